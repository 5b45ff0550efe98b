//! `crypto call admission limit ike {sa N | in-negotiation-sa N}`, each with `no`.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// The limits that the configuration names.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Established SAs at most.
    pub sas: Option<u32>,
    /// Negotiations at most.
    pub negotiations: Option<u32>,
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "crypto call admission limit ike ( sa / <sas:1-99999> \
                  | in-negotiation-sa / <negotiations:1-99999> )",
        help: &[
            ("call", "Configure Crypto Call Admission Control"),
            ("admission", "Configure Crypto Call Admission Control"),
            ("limit", "Configure Crypto Call Admission Control Limits"),
            ("ike", "Configure Crypto Call Admission Control IKE Limits"),
            ("sa", "Configure maximum number of IKE SAs"),
            (
                "in-negotiation-sa",
                "Configure maximum number of in-negotiation IKE SAs",
            ),
            ("<sas>", "Number of active IKE SAs allowed"),
            ("<negotiations>", "Number of in-negotiation IKE SAs allowed"),
        ],
    },
    apply,
    examples: &[
        "crypto call admission limit ike sa 2000",
        "crypto call admission limit ike in-negotiation-sa 40",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let removes = line.removes();
    let limits = &mut editor.config.admission;
    if line.has("sa") {
        limits.sas = if removes {
            None
        } else {
            Some(line.number("sas")?)
        };
    } else {
        limits.negotiations = if removes {
            None
        } else {
            Some(line.number("negotiations")?)
        };
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    let limits = config.admission;
    for (word, limit) in [
        ("sa", limits.sas),
        ("in-negotiation-sa", limits.negotiations),
    ] {
        if let Some(limit) = limit {
            text.line(format_args!(
                "crypto call admission limit ike {word} {limit}"
            ));
        }
    }
    text.separate();
}

//! `crypto isakmp keepalive N [RETRY] [periodic | on-demand]`: dead peer detection.

use crate::cli::grammar::{Incomplete, Syntax};
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// The line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds between probes.
    pub interval_s: u16,
    /// Seconds between retries.
    pub retry_s: Option<u16>,
    /// Whether probes are sent without a reason, too.
    pub periodic: bool,
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "crypto isakmp keepalive / <seconds:10-3600> [ <retry:2-60> ] \
                  [ periodic | on-demand ]",
        help: &[
            ("keepalive", "Set a keepalive interval for use with peers"),
            ("periodic", "Send keepalives at the interval"),
            ("on-demand", "Send keepalives only when nothing was heard"),
            ("<seconds>", "Number of seconds between keepalives"),
            (
                "<retry>",
                "Number of seconds between retries if keepalive fails",
            ),
        ],
    },
    apply,
    examples: &[
        "crypto isakmp keepalive 15",
        "crypto isakmp keepalive 15 5 periodic",
        "crypto isakmp keepalive 20 on-demand",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let keepalive = if line.removes() {
        None
    } else {
        let retry: Result<u16, Incomplete> = line.number("retry");
        Some(Keepalive {
            interval_s: line.number("seconds")?,
            retry_s: retry.ok(),
            periodic: line.has("periodic"),
        })
    };
    editor.config.isakmp_keepalive = keepalive;
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    if let Some(keepalive) = config.isakmp_keepalive {
        let retry = keepalive
            .retry_s
            .map_or_else(String::new, |retry| format!(" {retry}"));
        let periodic = if keepalive.periodic { " periodic" } else { "" };
        let interval = keepalive.interval_s;
        text.line(format_args!(
            "crypto isakmp keepalive {interval}{retry}{periodic}"
        ));
        text.separate();
    }
}

//! `write memory` and `copy running-config startup-config`.

use super::{Call, Exec, Outcome};
use crate::cli::grammar::Syntax;
use crate::config::{Refusal, render};
use crate::show::Page;

pub(super) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "write [ memory ]",
            help: &[
                ("write", "Write running configuration to memory"),
                ("memory", "Write to NV memory: the configuration file"),
            ],
        },
        is_privileged: true,
        run: save,
    },
    Exec {
        syntax: Syntax {
            grammar: "copy running-config startup-config",
            help: &[
                ("copy", "Copy from one file to another"),
                ("running-config", "Copy from current system configuration"),
                ("startup-config", "Copy to startup configuration"),
            ],
        },
        is_privileged: true,
        run: save,
    },
];

fn save(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let text = render(call.host.context().config);
    call.host.save(text)?;
    Ok(Outcome::Print(Page::text(
        "Building configuration...\n[OK]\n",
    )))
}

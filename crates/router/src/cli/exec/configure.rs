//! `configure terminal`, and the words that begin and end a session.

use super::{Call, Exec, Outcome};
use crate::cli::grammar::Syntax;
use crate::config::Refusal;
use crate::show::Page;

pub(super) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "configure terminal",
            help: &[
                ("configure", "Enter configuration mode"),
                ("terminal", "Configure from the terminal"),
            ],
        },
        is_privileged: true,
        run: |_| Ok(Outcome::Configure),
    },
    Exec {
        syntax: Syntax {
            grammar: "enable [ <level:0-15> ]",
            help: &[
                ("enable", "Turn on privileged commands"),
                ("<level>", "Enable level"),
            ],
        },
        is_privileged: false,
        run: enable,
    },
    Exec {
        syntax: Syntax {
            grammar: "disable",
            help: &[("disable", "Turn off privileged commands")],
        },
        is_privileged: false,
        run: disable,
    },
    Exec {
        syntax: Syntax {
            grammar: "( exit | quit | logout )",
            help: &[
                ("exit", "Exit from the EXEC"),
                ("quit", "Exit from the EXEC"),
                ("logout", "Exit from the EXEC"),
            ],
        },
        is_privileged: false,
        run: |_| Ok(Outcome::Close),
    },
    Exec {
        syntax: Syntax {
            grammar: "end",
            help: &[("end", "Nothing: no mode is open")],
        },
        is_privileged: false,
        run: |_| Ok(Outcome::quiet()),
    },
    Exec {
        syntax: Syntax {
            grammar: "show privilege",
            help: &[
                ("show", "Show running system information"),
                ("privilege", "Show current privilege level"),
            ],
        },
        is_privileged: false,
        run: privilege,
    },
];

/// Who may reach the box's socket is decided by its owner and group, so there is no password.
fn enable(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.is_privileged = true;
    Ok(Outcome::quiet())
}

fn disable(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.is_privileged = false;
    Ok(Outcome::quiet())
}

fn privilege(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let level = if call.terminal.is_privileged { 15 } else { 1 };
    Ok(Outcome::Print(Page {
        text: format!("Current privilege level is {level}\n"),
        json: Some(serde_json::json!({ "level": level })),
        ..Page::default()
    }))
}

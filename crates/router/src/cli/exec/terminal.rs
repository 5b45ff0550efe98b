//! `terminal ...`: this operator's terminal only.

use super::{Call, Exec, Outcome};
use crate::cli::grammar::Syntax;
use crate::config::Refusal;

const HELP: &[(&str, &str)] = &[
    ("terminal", "Set terminal line parameters"),
    ("length", "Set number of lines on a screen"),
    ("width", "Set width of the display terminal"),
    ("no", "Negate a command or set its defaults"),
    ("exec", "Configure EXEC"),
    ("prompt", "Configure EXEC command prompt"),
    ("timestamp", "Print timestamps for show commands"),
    ("monitor", "Copy debug output to the current terminal line"),
    ("<lines>", "Number of lines on screen (0 for no pausing)"),
    ("<columns>", "Number of characters on a screen line"),
];

pub(super) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "terminal length <lines:0-512>",
            help: HELP,
        },
        is_privileged: false,
        run: length,
    },
    Exec {
        syntax: Syntax {
            grammar: "terminal width <columns:0-512>",
            help: HELP,
        },
        is_privileged: false,
        run: width,
    },
    Exec {
        syntax: Syntax {
            grammar: "terminal [ no ] exec prompt timestamp",
            help: HELP,
        },
        is_privileged: false,
        run: timestamp,
    },
    Exec {
        syntax: Syntax {
            grammar: "terminal [ no ] monitor",
            help: HELP,
        },
        is_privileged: true,
        run: monitor,
    },
];

fn length(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.length = call.line.number("lines")?;
    Ok(Outcome::quiet())
}

fn width(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.width = call.line.number("columns")?;
    Ok(Outcome::quiet())
}

fn timestamp(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.has_timestamps = !call.line.has("no");
    Ok(Outcome::quiet())
}

fn monitor(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    call.terminal.monitors = !call.line.has("no");
    Ok(Outcome::quiet())
}

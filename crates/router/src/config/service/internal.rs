//! `service internal`: values that are for tests only.
//!
//! With it keys may live shorter than any operator wants, so that a test sees many of them in a
//! short time. The lines that need it must come after it.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::render::Text;
use crate::config::{Command, Config};

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "service internal",
        help: &[
            ("service", "Modify use of network based services"),
            ("internal", "Allow values that are for tests only"),
        ],
    },
    apply,
    examples: &["service internal"],
}];

#[allow(clippy::unnecessary_wraps, reason = "commands may refuse")]
fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    editor.config.internal = !line.removes();
    Ok(())
}

/// The least lifetime that a line may set, seconds.
///
/// # Errors
/// It is shorter.
pub(crate) fn least_lifetime(
    config: &Config,
    seconds: u32,
    least: u32,
    least_internal: u32,
) -> Result<(), Refusal> {
    let least = if config.internal {
        least_internal
    } else {
        least
    };
    if seconds < least {
        return Err(Refusal::new(format!(
            "% A lifetime of {seconds} s is too short: at least {least} s"
        )));
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    if config.internal {
        text.line(format_args!("service internal"));
    }
    text.separate();
}

//! `hostname NAME`.

use super::edit::{Editor, Line, Refusal};
use super::render::Text;
use super::{Command, Config};
use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;

/// Longest host name (RFC 1123 section 2.1).
const HOSTNAME_LEN_MAX: usize = 63;

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "hostname / <name:WORD>",
        help: &[
            ("hostname", "Set system's network name"),
            ("<name>", "This system's network name"),
        ],
    },
    apply,
    examples: &["hostname KS1"],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if line.removes() {
        editor.config.hostname = None;
        return Ok(());
    }
    let name = line.word("name")?;
    let fits = name.len() <= HOSTNAME_LEN_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !fits {
        return Err(Refusal::new(
            "% Hostname contains one or more illegal characters: up to 63 letters, digits, - _ . \
             that start with a letter",
        ));
    }
    editor.config.hostname = Some(name.to_owned());
    Ok(())
}

pub(super) fn render(config: &Config, text: &mut Text) {
    if let Some(name) = &config.hostname {
        text.line(format_args!("hostname {name}"));
        text.separate();
    }
}

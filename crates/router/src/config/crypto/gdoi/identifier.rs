//! `identifier` of a key server: which key server sender ids (KSSIDs) it owns.
//!
//! Here the ids follow from the rank of the key server's address (PROTOCOL P20), so the lines are
//! kept and nothing more.

use std::collections::BTreeSet;

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::Command;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;

/// The block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifier {
    /// `value`.
    pub values: BTreeSet<u16>,
    /// `range`, both ends included.
    pub ranges: BTreeSet<(u16, u16)>,
}

const HELP: &[(&str, &str)] = &[
    ("identifier", "Configure the key server's sender ids"),
    ("value", "One key server sender id"),
    ("range", "A range of key server sender ids"),
    ("-", "To"),
    ("<first>", "First id"),
    ("<last>", "Last id"),
    ("<value>", "Id"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "identifier",
            help: HELP,
        },
        apply: enter,
        examples: &["identifier"],
    },
    Command {
        mode: Mode::Identifier,
        syntax: Syntax {
            grammar: "value <value:0-511>",
            help: HELP,
        },
        apply: value,
        examples: &["value 3"],
    },
    Command {
        mode: Mode::Identifier,
        syntax: Syntax {
            grammar: "range <first:0-511> [ - ] <last:0-511>",
            help: HELP,
        },
        apply: range,
        examples: &["range 10 - 15", "range 20 30"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let local = editor.server_local()?;
    if line.removes() {
        local.identifier = None;
    } else {
        local.identifier.get_or_insert_with(Identifier::default);
        editor
            .warn("sender ids follow from the key servers' addresses: `identifier` has no effect");
        editor.enter(Place::Identifier);
    }
    Ok(())
}

fn identifier<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Identifier, Refusal> {
    editor.server_local()?.identifier.as_mut().ok_or_else(gone)
}

fn value(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let value = line.number("value")?;
    let values = &mut identifier(editor)?.values;
    if line.removes() {
        values.remove(&value);
    } else {
        values.insert(value);
    }
    Ok(())
}

fn range(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let range: (u16, u16) = (line.number("first")?, line.number("last")?);
    if range.0 > range.1 {
        return Err(Refusal::new(
            "% A range goes from the smaller to the larger id",
        ));
    }
    let ranges = &mut identifier(editor)?.ranges;
    if line.removes() {
        ranges.remove(&range);
    } else {
        ranges.insert(range);
    }
    Ok(())
}

pub(super) fn render(identifier: &Identifier, text: &mut Text) {
    text.line(format_args!("identifier"));
    text.block(|text| {
        for (first, last) in &identifier.ranges {
            text.line(format_args!("range {first} - {last}"));
        }
        for value in &identifier.values {
            text.line(format_args!("value {value}"));
        }
    });
}

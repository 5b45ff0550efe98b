//! The manual: every command of every mode, from the grammars themselves.

use std::fmt::Write;

use super::exec;
use super::grammar::Syntax;
use super::mode::Mode;
use crate::{config, show};

/// The manual as Markdown: per mode its commands, their words and examples.
#[must_use]
pub fn manual() -> String {
    let mut text = String::from(
        "# Commands\n\nWritten by the program from its grammars. `[ ]` may be left out, `( | )` is \
         one of several, `<name:...>` is a value; with `no`, a line may end at `/`.\n",
    );
    section(&mut text, "Exec mode: show");
    for show in show::COMMANDS {
        command(&mut text, show.syntax, &[]);
    }
    section(&mut text, "Exec mode");
    for exec in exec::COMMANDS.iter().flat_map(|file| file.iter()) {
        command(&mut text, exec.syntax, &[]);
    }
    for mode in Mode::ALL {
        section(&mut text, &format!("({})#", mode.prompt()));
        for row in config::manual().filter(|row| row.mode == mode) {
            command(&mut text, row.syntax, row.examples);
        }
    }
    text
}

fn section(text: &mut String, title: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "\n## {title}\n");
}

fn command(text: &mut String, syntax: Syntax, examples: &[&str]) {
    let _ = writeln!(text, "* `{}`", expanded(syntax.grammar));
    for example in examples {
        let _ = writeln!(text, "  - `{example}`");
    }
}

/// The grammar with its fragments written out and single blanks.
fn expanded(grammar: &str) -> String {
    let words = grammar
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => expanded(super::words::fragment(name)),
            None => word.to_owned(),
        });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_command() {
        insta::assert_snapshot!(manual());
    }
}

//! The grammar of a command, written once: parser, abbreviation, `?`, completion and the manual
//! come from it.
//!
//! A grammar is a line of text:
//!
//! | written | means |
//! |---|---|
//! | `rekey` | the keyword, which may be abbreviated as long as it is the only one that fits |
//! | `<number:1-100>` | a number of that range, captured as `number` |
//! | `<address:A.B.C.D>` | an IPv4 address, mask or wildcard |
//! | `<group:WORD>` | one word |
//! | `<key:SECRET>` | one word that is never shown or logged |
//! | `<text:LINE>` | the rest of the line |
//! | `[ ... ]` | may be left out |
//! | `( a \| b )` | one of these |
//! | `@address` | the fragment of that name ([`super::words::FRAGMENTS`]) |
//! | `/` | with `no`, the line may end here or anywhere after |
//!
//! Decides what a line says. Which commands exist where is decided by whoever makes the [`Tree`].

mod compile;
mod help;
mod matching;

pub use compile::{Argument, Kind, Token};
pub use help::{Suggestion, table};
pub use matching::{Failure, Form, Incomplete, Item, Match, Value};

pub(super) use matching::abbreviates;

use compile::Graph;

/// A grammar with the help of its words.
#[derive(Copy, Clone, Debug)]
pub struct Syntax {
    /// The grammar.
    pub grammar: &'static str,
    /// Help by keyword (`rekey`) or argument (`<group>`); words that are missing here are looked
    /// up in [`super::words::HELP`].
    pub help: &'static [(&'static str, &'static str)],
}

/// Several grammars that compete for a line.
pub struct Tree {
    entries: Vec<Entry>,
}

struct Entry {
    graph: Graph,
    syntax: Syntax,
}

impl Tree {
    /// The tree of these grammars; a match names a grammar by its place.
    ///
    /// # Panics
    /// When a grammar is malformed: grammars are constants, and tests make every tree.
    #[must_use]
    pub fn new(syntaxes: impl IntoIterator<Item = Syntax>) -> Self {
        Self {
            entries: syntaxes
                .into_iter()
                .map(|syntax| Entry {
                    graph: Graph::new(syntax.grammar),
                    syntax,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;

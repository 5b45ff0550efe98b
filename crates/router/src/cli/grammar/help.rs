//! What could stand at a place: `?`, completion and the words of errors.

use super::compile::{Kind, Token};
use super::matching::{Thread, abbreviates};
use super::{Form, Tree};
use crate::cli::line::Word;
use crate::cli::words;

/// One line of `?`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suggestion {
    /// The keyword, the argument's label (`<1-100>`, `WORD`), or `<cr>` for the end of the line.
    pub word: String,
    /// What it is.
    pub help: &'static str,
    /// Whether it can be typed as it stands.
    pub is_keyword: bool,
}

impl Tree {
    /// What can follow `words`, as far as it starts with `partial`; `None` if `words` is no start
    /// of any line.
    #[must_use]
    pub fn help(
        &self,
        line: &str,
        words: &[Word<'_>],
        partial: &str,
        form: Form,
    ) -> Option<Vec<Suggestion>> {
        let mut threads = self.start();
        let mut swallowed = Vec::new();
        for word in words {
            threads = self.step(&threads, *word, line, &mut swallowed).ok()?;
        }
        if threads.is_empty() {
            return None;
        }
        let mut found = self.suggestions(&threads);
        found.retain(|one| {
            partial.is_empty() || (one.is_keyword && abbreviates(partial, &one.word))
        });
        let removes = form == Form::Remove && !words.is_empty();
        let complete = threads.iter().any(|thread| {
            let graph = &self.entries[thread.entry].graph;
            graph
                .closure(thread.state)
                .iter()
                .any(|&state| graph.may_end(state, removes))
        });
        if complete && partial.is_empty() {
            found.push(Suggestion {
                word: "<cr>".to_owned(),
                help: "",
                is_keyword: false,
            });
        }
        Some(found)
    }

    /// What can follow these threads: keywords by the alphabet, then arguments.
    pub(super) fn suggestions(&self, threads: &[Thread]) -> Vec<Suggestion> {
        let mut found: Vec<Suggestion> = Vec::new();
        for thread in threads {
            for (token, _) in self.edges(thread) {
                let suggestion = self.suggestion(thread.entry, token);
                if !found.iter().any(|one| one.word == suggestion.word) {
                    found.push(suggestion);
                }
            }
        }
        found.sort_by(|a, b| (!a.is_keyword, &a.word).cmp(&(!b.is_keyword, &b.word)));
        found
    }

    fn suggestion(&self, entry: usize, token: Token) -> Suggestion {
        let own = self.entries[entry].syntax.help;
        let help = |key: &str| {
            own.iter()
                .chain(words::HELP)
                .find(|(word, _)| *word == key)
                .map_or("", |(_, help)| *help)
        };
        match token {
            Token::Keyword(word) => Suggestion {
                word: word.to_owned(),
                help: help(word),
                is_keyword: true,
            },
            Token::Argument(argument) => Suggestion {
                word: argument.kind.label(),
                help: match help(&format!("<{}>", argument.name)) {
                    "" => default_help(argument.kind),
                    text => text,
                },
                is_keyword: false,
            },
        }
    }

    /// Keywords of all grammars that have no help, for the test that asks for it.
    #[cfg(test)]
    pub(crate) fn without_help(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            for (token, _) in entry.graph.states.iter().flat_map(|state| &state.edges) {
                if let Token::Keyword(word) = token
                    && self.suggestion(place, *token).help.is_empty()
                {
                    missing.push(*word);
                }
            }
        }
        missing
    }
}

fn default_help(kind: Kind) -> &'static str {
    match kind {
        Kind::Number { .. } => "A number",
        Kind::Address => "IP address",
        Kind::Word | Kind::Secret => "A word",
        Kind::Line => "The rest of the line",
    }
}

/// The list of `?` as IOS prints it: two blanks, the words padded to one width, their help.
#[must_use]
pub fn table(suggestions: &[Suggestion]) -> String {
    let width = suggestions
        .iter()
        .map(|one| one.word.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for one in suggestions {
        let line = format!("  {:width$}  {}", one.word, one.help);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

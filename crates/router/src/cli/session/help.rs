//! `?` and completion.

use super::{Form, Reply, Session, commands, line, pipe, table};
use crate::cli::grammar::Suggestion;

impl Session {
    /// The answer to `text` followed by `?`.
    pub(super) fn help(&self, text: &str) -> Reply {
        match self.suggestions(text) {
            Some(found) if !found.is_empty() => Reply::done(table(&found)),
            Some(_) | None => Reply::refused("% Unrecognized command\n"),
        }
    }

    /// The words that `text`'s last word could be completed to.
    #[must_use]
    pub fn complete(&self, text: &str) -> Vec<String> {
        let found = self.suggestions(text).unwrap_or_default();
        found
            .into_iter()
            .filter(|one| one.is_keyword)
            .map(|one| one.word)
            .collect()
    }

    fn suggestions(&self, text: &str) -> Option<Vec<Suggestion>> {
        match &self.editing {
            None => exec(text),
            Some(draft) => {
                let words = line::words(text);
                match words.first() {
                    Some(word) if word.text == "do" && text.trim_start().len() > 2 => {
                        exec(&text[word.offset + 2..])
                    }
                    Some(_) | None => draft.cursor().help(text),
                }
            }
        }
    }
}

fn exec(text: &str) -> Option<Vec<Suggestion>> {
    if let Some((_, modifier)) = text.rsplit_once(" |") {
        let words = line::words(modifier);
        let is_open = modifier.ends_with(|c: char| !c.is_whitespace());
        return match (&words[..], is_open) {
            ([], _) => Some(pipe::suggestions("")),
            ([word], true) => Some(pipe::suggestions(word.text)),
            (_, _) => Some(vec![Suggestion {
                word: "LINE".to_owned(),
                help: "Regular expression",
                is_keyword: false,
            }]),
        };
    }
    let mut words = line::words(text);
    let is_open = text.ends_with(|c: char| !c.is_whitespace());
    let partial = if is_open {
        words.pop().map_or("", |word| word.text)
    } else {
        ""
    };
    let mut found = commands().tree.help(text, &words, partial, Form::Set)?;
    let is_show = words
        .first()
        .is_some_and(|word| word.text.len() >= 2 && "show".starts_with(word.text));
    if is_show && found.last().is_some_and(|one| one.word == "<cr>") {
        let end = found.pop();
        found.push(Suggestion {
            word: "|".to_owned(),
            help: "Output modifiers",
            is_keyword: false,
        });
        found.extend(end);
    }
    Some(found)
}

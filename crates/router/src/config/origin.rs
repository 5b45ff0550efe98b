//! Where in its file each line stood, so that errors about the whole can name lines.

use std::fmt::Write;

use super::edit::{Applied, Place};

/// The lines of a file that had an effect.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    file: String,
    lines: Vec<Origin>,
}

#[derive(Clone, Debug)]
struct Origin {
    context: String,
    line: String,
    number: usize,
}

impl Origins {
    /// No lines yet of the file of that name.
    #[must_use]
    pub fn of(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            lines: Vec::new(),
        }
    }

    /// What errors call the file.
    #[must_use]
    pub fn file(&self) -> &str {
        if self.file.is_empty() {
            "config"
        } else {
            &self.file
        }
    }

    /// Notes that `applied` is line `number`, counted from 1.
    pub(super) fn note(&mut self, applied: &Applied, number: usize) {
        if !applied.line.is_empty() {
            let context = context(&applied.context);
            let line = match &applied.entered {
                Some(place) => place.to_string(),
                None => applied.line.clone(),
            };
            self.lines.push(Origin {
                context,
                line,
                number,
            });
        }
    }

    /// The number of the last line inside of `path` that starts with the words `start`.
    #[must_use]
    pub fn line(&self, path: &[Place], start: &str) -> Option<usize> {
        let context = context(path);
        let found = self.lines.iter().rev().find(|origin| {
            let rest = origin.line.strip_prefix(start);
            origin.context == context && rest.is_some_and(|r| r.is_empty() || r.starts_with(' '))
        });
        found.map(|origin| origin.number)
    }

    /// The number of the line that opened the innermost block of `path` for the first time.
    #[must_use]
    pub fn block(&self, path: &[Place]) -> Option<usize> {
        let (inner, outer) = path.split_last()?;
        let (context, opener) = (context(outer), inner.to_string());
        let found = self
            .lines
            .iter()
            .find(|origin| origin.context == context && origin.line == opener);
        found.map(|origin| origin.number)
    }
}

fn context(path: &[Place]) -> String {
    let mut text = String::new();
    for place in path {
        // Writing into a String cannot fail.
        let _ = write!(text, "{}/", place);
    }
    text
}

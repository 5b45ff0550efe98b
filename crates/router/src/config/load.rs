//! A file as a whole: every error in one pass, each with its line.

use std::fmt;

use super::Config;
use super::check::check;
use super::edit::{Cursor, LineError};
use super::origin::Origins;
use crate::cli::grammar::{Failure, Suggestion};
use crate::cli::line;
use crate::limits::{CONFIG_ERRORS_MAX, CONFIG_LINES_MAX, EXPECTED_WORDS_MAX, LINE_LEN_MAX};

/// How bad it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not taken.
    Error,
    /// Something is missing: a file is not taken, an operator may be about to type it, and until
    /// then what lacks it does nothing.
    Incomplete,
    /// It is taken, and someone should look.
    Warning,
}

/// One thing to say about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What the file is called.
    pub file: String,
    /// The line in the file, counted from 1; none if it is about something that no line says.
    pub line: Option<usize>,
    /// What is wrong and what was expected. Never a secret.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: "config".to_owned(),
            line,
            text: text.into(),
        }
    }

    /// Something that is missing.
    pub fn incomplete(line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Incomplete,
            ..Self::error(line, text)
        }
    }

    /// A warning.
    pub fn warning(line: Option<usize>, text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            file: "config".to_owned(),
            line,
            text: text.into(),
        }
    }

    /// The same, about another file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }
}

/// `FILE:LINE: text`, as compilers write it; a warning says that it is one.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        match self.severity {
            Severity::Error | Severity::Incomplete => write!(f, " {}", self.text),
            Severity::Warning => write!(f, " warning: {}", self.text),
        }
    }
}

/// A configuration that can be used.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The tree.
    pub config: Config,
    /// What someone should look at, by line.
    pub warnings: Vec<Diagnostic>,
    /// Where its lines stood.
    pub origins: Origins,
}

/// Reads a configuration; errors call it `file`.
///
/// # Errors
/// With everything that is wrong in it, by line, warnings included.
pub fn parse(file: &str, text: &str) -> Result<Parsed, Vec<Diagnostic>> {
    let mut found = Reading {
        origins: Origins::of(file),
        ..Reading::default()
    };
    found.read(text);
    let Reading {
        config,
        mut said,
        origins,
        ..
    } = found;
    said.extend(check(&config, &origins));
    said.sort_by_key(|one| one.line.unwrap_or(usize::MAX));
    said.dedup();
    let said: Vec<_> = said.into_iter().map(|one| one.in_file(file)).collect();
    if said.iter().any(|one| one.severity != Severity::Warning) {
        return Err(said);
    }
    Ok(Parsed {
        config,
        warnings: said,
        origins,
    })
}

#[derive(Default)]
struct Reading {
    config: Config,
    cursor: Cursor,
    origins: Origins,
    said: Vec<Diagnostic>,
    /// The indentation of a line that was not taken: what is indented deeper belonged to it.
    skipping: Option<usize>,
}

impl Reading {
    fn read(&mut self, text: &str) {
        let mut ended = false;
        for (place, raw) in text.lines().enumerate() {
            let number = place + 1;
            if line::is_blank(raw) || is_heading(raw) {
                continue;
            }
            if ended {
                let text = "this line stands after `end` and is not read";
                self.said.push(Diagnostic::warning(Some(number), text));
                return;
            }
            if number > CONFIG_LINES_MAX || self.said.len() >= CONFIG_ERRORS_MAX {
                let text = "too much: reading stops here";
                self.said.push(Diagnostic::error(Some(number), text));
                return;
            }
            if raw.trim() == "end" {
                ended = true;
                continue;
            }
            self.line(number, raw);
        }
    }

    fn line(&mut self, number: usize, raw: &str) {
        let indent = line::indent(raw);
        if self.skipping.is_some_and(|outer| indent > outer) {
            return;
        }
        self.skipping = None;
        let at = Some(number);
        if raw.len() > LINE_LEN_MAX || raw.contains(|c: char| c.is_control() && c != '\t') {
            let text = format!("not a line of text of at most {LINE_LEN_MAX} octets");
            self.said.push(Diagnostic::error(at, text));
            return;
        }
        match self.cursor.apply(&mut self.config, raw) {
            Ok(applied) => {
                self.origins.note(&applied, number);
                let warnings = applied.warnings.into_iter();
                self.said
                    .extend(warnings.map(|text| Diagnostic::warning(at, text)));
            }
            Err(LineError::Unreadable(failure)) => {
                self.skipping = Some(indent);
                self.said
                    .push(Diagnostic::error(at, explain(raw, &failure)));
            }
            Err(LineError::Refused(refusal)) => {
                self.skipping = Some(indent);
                let text = refusal.0.trim_start_matches(['%', ' ']);
                self.said.push(Diagnostic::error(at, text));
            }
        }
    }
}

/// Lines that `show running-config` prints before the configuration and that come along when its
/// output is kept as a file.
fn is_heading(raw: &str) -> bool {
    [
        "Building configuration...",
        "Current configuration :",
        "Using ",
    ]
    .iter()
    .any(|heading| raw.starts_with(heading))
}

/// What was wrong with a line and what was expected, in one sentence.
pub(crate) fn explain(raw: &str, failure: &Failure) -> String {
    let words = line::words(raw);
    let text = |place: usize| words.get(place).map_or("", |word| word.text);
    match failure {
        Failure::Invalid { word, .. } if text(*word) == words.first().map_or("", |w| w.text) => {
            format!("unknown command \"{}\"", text(*word))
        }
        Failure::Invalid {
            word,
            expected,
            hides,
        } => {
            let word = if *hides {
                "this word"
            } else {
                &format!("\"{}\"", text(*word))
            };
            match (*hides, expected.is_empty()) {
                (_, true) => format!("nothing may follow here, but {word} does"),
                (_, false) => format!("{word} is not expected: expected {}", listed(expected)),
            }
        }
        Failure::Incomplete { expected } => {
            format!("the line ends too early: expected {}", listed(expected))
        }
        Failure::Ambiguous { word, keywords } => {
            format!(
                "\"{}\" is ambiguous: {}",
                text(*word),
                keywords.join(" or ")
            )
        }
    }
}

fn listed(expected: &[Suggestion]) -> String {
    let names: Vec<_> = expected
        .iter()
        .take(EXPECTED_WORDS_MAX)
        .map(|one| one.word.as_str())
        .collect();
    if expected.len() > EXPECTED_WORDS_MAX {
        return format!("{}, ...", names.join(", "));
    }
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "the end of the line".to_owned(),
    }
}

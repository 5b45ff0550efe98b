//! Output modifiers: `show ... | include PATTERN`, one or several in a chain.
//!
//! A `|` starts a modifier when a blank stands before it and a modifier's word after it; any other
//! `|` belongs to the pattern: `| in encrypt|decrypt` is one modifier (mission row 98).

use regex::{Regex, RegexBuilder};

use super::grammar::Suggestion;
use super::line;
use crate::limits::{PATTERN_BYTES_MAX, PIPES_MAX};

/// One modifier.
#[derive(Clone, Debug)]
pub enum Modifier {
    /// `begin`: from the first line that matches on.
    Begin(Regex),
    /// `count`: how many lines match.
    Count(Regex),
    /// `exclude`: the lines that do not match.
    Exclude(Regex),
    /// `include`: the lines that match.
    Include(Regex),
    /// `json`: the view instead of its text.
    Json,
    /// `section`: lines that match, each with the lines below it that are indented deeper.
    Section(Regex),
}

/// Their words, for `?`.
const WORDS: &[(&str, &str)] = &[
    ("begin", "Begin with the line that matches"),
    ("count", "Count number of lines which match regexp"),
    ("exclude", "Exclude lines that match"),
    ("include", "Include lines that match"),
    ("json", "Print the same as JSON"),
    ("section", "Filter a section of output"),
];

/// A line cut at its modifiers.
#[derive(Debug)]
pub struct Piped<'a> {
    /// What stands before the first `|`.
    pub command: &'a str,
    /// The modifiers in order.
    pub modifiers: Vec<Modifier>,
}

/// Why a modifier cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeError {
    /// The word at this column (in characters) is no modifier, or `json` is not the first one.
    Invalid(usize),
    /// The line ends before the modifier or its pattern.
    Incomplete,
    /// The word abbreviates several modifiers.
    Ambiguous,
    /// The pattern is no regular expression.
    Pattern(String),
}

/// Cuts a line at its modifiers.
///
/// # Errors
/// When what follows the first `|` is no modifier.
pub fn split(text: &str) -> Result<Piped<'_>, PipeError> {
    let starts = starts(text);
    let Some(first) = starts.first() else {
        return Ok(Piped {
            command: text,
            modifiers: Vec::new(),
        });
    };
    let mut modifiers = Vec::new();
    for (place, start) in starts.iter().enumerate() {
        let end = starts.get(place + 1).copied().unwrap_or(text.len());
        let column = text[..*start].chars().count() + 1;
        modifiers.push(modifier(&text[start + 1..end], column, place)?);
    }
    Ok(Piped {
        command: &text[..*first],
        modifiers,
    })
}

/// The bytes at which a modifier's `|` stands.
fn starts(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        let follows_blank = before.is_whitespace();
        before = letter;
        if letter != '|' || !follows_blank {
            continue;
        }
        let word = line::words(&text[at + 1..])
            .first()
            .map_or("", |word| word.text);
        // What follows the first one must be a modifier; later ones may belong to a pattern.
        if found.is_empty() || named(word).next().is_some() {
            found.push(at);
        }
        if found.len() == PIPES_MAX {
            break;
        }
    }
    found
}

fn named(word: &str) -> impl Iterator<Item = &'static str> + '_ {
    let word = word.to_ascii_lowercase();
    WORDS
        .iter()
        .map(|(name, _)| *name)
        .filter(move |name| !word.is_empty() && name.starts_with(&word))
}

fn modifier(text: &str, column: usize, place: usize) -> Result<Modifier, PipeError> {
    let words = line::words(text);
    let Some(word) = words.first() else {
        return Err(PipeError::Incomplete);
    };
    let mut names = named(word.text);
    let name = names
        .next()
        .ok_or(PipeError::Invalid(column + word.column))?;
    if names.next().is_some() {
        return Err(PipeError::Ambiguous);
    }
    let pattern = text[word.offset + word.text.len()..].trim();
    if name == "json" {
        return match (place, pattern.is_empty()) {
            (0, true) => Ok(Modifier::Json),
            (0, false) => Err(PipeError::Invalid(column + words[1].column)),
            (_, _) => Err(PipeError::Invalid(column + word.column)),
        };
    }
    if pattern.is_empty() {
        return Err(PipeError::Incomplete);
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| PipeError::Pattern(reason(&error)))?;
    Ok(match name {
        "begin" => Modifier::Begin(regex),
        "count" => Modifier::Count(regex),
        "exclude" => Modifier::Exclude(regex),
        "section" => Modifier::Section(regex),
        _ => Modifier::Include(regex),
    })
}

fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines()
        .last()
        .unwrap_or("")
        .trim_start_matches("error: ")
        .to_owned()
}

/// The text after the modifiers; `json` has been obeyed by whoever made the text.
#[must_use]
pub fn filter(text: String, modifiers: &[Modifier]) -> String {
    modifiers
        .iter()
        .fold(text, |text, modifier| match modifier {
            Modifier::Json => text,
            Modifier::Include(regex) => keep(&text, |line| regex.is_match(line)),
            Modifier::Exclude(regex) => keep(&text, |line| !regex.is_match(line)),
            Modifier::Begin(regex) => {
                let mut begun = false;
                keep(&text, |line| {
                    begun |= regex.is_match(line);
                    begun
                })
            }
            Modifier::Count(regex) => {
                let count = text.lines().filter(|line| regex.is_match(line)).count();
                format!("Number of lines which match regexp = {count}\n")
            }
            Modifier::Section(regex) => {
                let mut inside: Option<usize> = None;
                keep(&text, |line| {
                    let indent = line::indent(line);
                    if inside.is_some_and(|outer| indent <= outer) {
                        inside = None;
                    }
                    if inside.is_none() && regex.is_match(line) {
                        inside = Some(indent);
                    }
                    inside.is_some()
                })
            }
        })
}

fn keep(text: &str, mut wanted: impl FnMut(&str) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.lines().filter(|line| wanted(line)) {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// What can follow a `|`, as far as it starts with `partial`.
#[must_use]
pub fn suggestions(partial: &str) -> Vec<Suggestion> {
    let fits = WORDS
        .iter()
        .filter(|(word, _)| word.starts_with(&partial.to_ascii_lowercase()));
    fits.map(|(word, help)| Suggestion {
        word: (*word).to_owned(),
        help,
        is_keyword: true,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "interface: Serial1/0\n    #pkts encrypt: 4\n    #pkts decrypt: 5\n\
                        interface: Serial1/1\n    #pkts verify: 6\nend\n";

    fn piped(line: &str) -> String {
        let piped = split(line).unwrap_or_else(|error| panic!("{line}: {error:?}"));
        format!(
            "{}>{}",
            piped.command,
            filter(TEXT.to_owned(), &piped.modifiers)
        )
    }

    #[test]
    fn a_bar_without_blanks_belongs_to_the_pattern() {
        assert_eq!(
            piped("show crypto ipsec sa | in encrypt|decrypt"),
            "show crypto ipsec sa >    #pkts encrypt: 4\n    #pkts decrypt: 5\n"
        );
        assert_eq!(
            piped("show x | inc verify: | pkts"),
            "show x >    #pkts verify: 6\n",
            "one pattern with blanks and a bar"
        );
    }

    #[test]
    fn modifiers_chain_and_may_be_abbreviated() {
        assert_eq!(
            piped("show x |i pkts | ex decrypt | c #"),
            "show x >Number of lines which match regexp = 2\n"
        );
        assert_eq!(
            piped("show x | sec Serial1/1"),
            "show x >interface: Serial1/1\n    #pkts verify: 6\n"
        );
        assert_eq!(
            piped("show x | be verify"),
            "show x >    #pkts verify: 6\nend\n"
        );
        assert!(matches!(
            split("show x | json").unwrap().modifiers[..],
            [Modifier::Json]
        ));
    }

    #[test]
    fn what_is_no_modifier_is_refused() {
        assert_eq!(split("show x | frob y").unwrap_err(), PipeError::Invalid(9));
        assert_eq!(split("show x |").unwrap_err(), PipeError::Incomplete);
        assert_eq!(
            split("show x | include").unwrap_err(),
            PipeError::Incomplete
        );
        assert_eq!(
            split("show x | inc a | json").unwrap_err(),
            PipeError::Invalid(17)
        );
        assert!(matches!(
            split("show x | include (").unwrap_err(),
            PipeError::Pattern(_)
        ));
    }
}

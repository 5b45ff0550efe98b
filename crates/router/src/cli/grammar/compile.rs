//! From a grammar's text to states and edges.

use std::net::Ipv4Addr;

use super::Value;
use crate::cli::words;

/// What an edge takes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A keyword.
    Keyword(&'static str),
    /// An argument.
    Argument(Argument),
}

/// A captured argument.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What it is captured as.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
}

/// What an argument may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number of this range, both ends included.
    Number {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// An IPv4 address, mask or wildcard.
    Address,
    /// One word.
    Word,
    /// One word that is never shown or logged.
    Secret,
    /// The rest of the line, at least one word.
    Line,
}

impl Kind {
    /// How `?` writes it: `<1-100>`, `A.B.C.D`, `WORD`, `LINE`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Number { min, max } => format!("<{min}-{max}>"),
            Self::Address => "A.B.C.D".to_owned(),
            Self::Word | Self::Secret => "WORD".to_owned(),
            Self::Line => "LINE".to_owned(),
        }
    }

    /// The value of `text`, if it is of this kind.
    pub(super) fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Number { min, max } => {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = digits.then(|| text.parse::<u64>().ok()).flatten()?;
                (min..=max)
                    .contains(&number)
                    .then_some(Value::Number(number))
            }
            Self::Address => text.parse::<Ipv4Addr>().ok().map(Value::Address),
            Self::Word => Some(Value::Word(text.to_owned())),
            Self::Secret => Some(Value::Secret(crypto::Secret::copy_of(text.as_bytes()))),
            Self::Line => Some(Value::Line(text.trim_end().to_owned())),
        }
    }
}

/// One state of a grammar: a place between two words.
#[derive(Default)]
pub(super) struct State {
    /// Words that lead on.
    pub(super) edges: Vec<(Token, usize)>,
    /// States that are the same place, because what lies between may be left out.
    pub(super) skips: Vec<usize>,
}

/// A grammar as states; 0 is the start.
pub(super) struct Graph {
    pub(super) states: Vec<State>,
    /// The state in which the line is complete.
    pub(super) end: usize,
    /// The first state in which a line with `no` may end.
    pub(super) cut: usize,
}

impl Graph {
    pub(super) fn new(grammar: &'static str) -> Self {
        let mut graph = Self {
            states: vec![State::default()],
            end: 0,
            cut: usize::MAX,
        };
        let mut rest = grammar;
        graph.end = graph.sequence(&mut rest, 0, None);
        assert!(
            rest.is_empty(),
            "grammar `{grammar}`: `{rest}` is left over"
        );
        graph
    }

    /// Whether a line, with `no` if so, may end in `state`.
    pub(super) fn may_end(&self, state: usize, removes: bool) -> bool {
        state == self.end || (removes && state >= self.cut)
    }

    /// Every state that is the same place as one of `from`, each once.
    pub(super) fn closure(&self, from: usize) -> Vec<usize> {
        let mut seen = vec![from];
        let mut next = 0;
        while let Some(&state) = seen.get(next) {
            next += 1;
            for &skip in &self.states[state].skips {
                if !seen.contains(&skip) {
                    seen.push(skip);
                }
            }
        }
        seen
    }

    fn add(&mut self) -> usize {
        self.states.push(State::default());
        self.states.len() - 1
    }

    /// Reads a sequence up to `close` or the end; returns the state after it.
    fn sequence(&mut self, rest: &mut &'static str, from: usize, close: Option<char>) -> usize {
        let mut at = from;
        loop {
            *rest = rest.trim_start();
            let Some(first) = rest.chars().next() else {
                assert!(close.is_none(), "a bracket is not closed");
                return at;
            };
            match first {
                ')' | ']' | '|' if close.is_some() => return at,
                '[' => {
                    *rest = &rest[1..];
                    let after = self.alternatives(rest, at, ']');
                    self.states[at].skips.push(after);
                    at = after;
                }
                '(' => {
                    *rest = &rest[1..];
                    at = self.alternatives(rest, at, ')');
                }
                '/' => {
                    *rest = &rest[1..];
                    self.cut = at;
                }
                _ => {
                    let word = next_word(rest);
                    at = self.word(word, at);
                }
            }
        }
    }

    fn alternatives(&mut self, rest: &mut &'static str, from: usize, close: char) -> usize {
        let mut ends = Vec::new();
        loop {
            // Each branch starts in a state of its own, so that a bracket at the start of one
            // branch does not leak into another.
            let start = self.add();
            self.states[from].skips.push(start);
            ends.push(self.sequence(rest, start, Some(close)));
            let separator = rest.chars().next();
            *rest = rest.get(1..).unwrap_or("");
            if separator == Some(close) {
                break;
            }
            assert_eq!(separator, Some('|'), "brackets do not match");
        }
        let after = self.add();
        for end in ends {
            self.states[end].skips.push(after);
        }
        after
    }

    fn word(&mut self, word: &'static str, from: usize) -> usize {
        if let Some(name) = word.strip_prefix('@') {
            let mut fragment = words::fragment(name);
            return self.sequence(&mut fragment, from, None);
        }
        let token = word
            .strip_prefix('<')
            .and_then(|inner| inner.strip_suffix('>'))
            .map_or(Token::Keyword(word), |inner| {
                Token::Argument(argument(inner))
            });
        let to = self.add();
        self.states[from].edges.push((token, to));
        to
    }
}

fn next_word(rest: &mut &'static str) -> &'static str {
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '(' | ')' | '|'))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

fn argument(inner: &'static str) -> Argument {
    let (name, kind) = inner
        .split_once(':')
        .expect("an argument is written <name:KIND>");
    let kind = match kind {
        "A.B.C.D" => Kind::Address,
        "WORD" => Kind::Word,
        "SECRET" => Kind::Secret,
        "LINE" => Kind::Line,
        range => {
            let bounds = range.split_once('-').and_then(|(low, high)| {
                Some(Kind::Number {
                    min: low.parse().ok()?,
                    max: high.parse().ok()?,
                })
            });
            bounds.expect("a kind is A.B.C.D, WORD, SECRET, LINE or LOW-HIGH")
        }
    };
    Argument { name, kind }
}

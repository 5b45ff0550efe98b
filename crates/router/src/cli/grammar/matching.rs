//! A line against all grammars of a tree at once.
//!
//! Keywords win over arguments at the same place, an exact keyword over an abbreviation; a word
//! that abbreviates two keywords is ambiguous, whatever follows it, as on IOS.

use std::net::Ipv4Addr;

use crypto::Secret;

use super::compile::{Argument, Kind, Token};
use super::{Suggestion, Tree};
use crate::cli::line::Word;

/// Whether the line sets something or, after `no`, takes it away.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole grammar is needed.
    Set,
    /// The line may end early, from the grammar's `/` on.
    Remove,
}

/// The value of an argument.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Of `<n:1-9>`.
    Number(u64),
    /// Of `<a:A.B.C.D>`.
    Address(Ipv4Addr),
    /// Of `<w:WORD>`.
    Word(String),
    /// Of `<l:LINE>`.
    Line(String),
    /// Of `<s:SECRET>`.
    Secret(Secret),
}

/// One word of a line, understood.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// A keyword in full.
    Keyword(&'static str),
    /// An argument.
    Argument(&'static str, Value),
}

/// A line that a grammar accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct Match {
    /// The place of the grammar in its tree.
    pub entry: usize,
    /// The line's words, in order.
    pub items: Vec<Item>,
    /// Whether every keyword was written in full.
    pub is_exact: bool,
}

/// An argument that the line leaves out but its command needs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Incomplete;

impl Match {
    /// Whether the line has this keyword.
    #[must_use]
    pub fn has(&self, keyword: &str) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item, Item::Keyword(own) if *own == keyword))
    }

    /// The first argument of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.items.iter().find_map(|item| match item {
            Item::Argument(own, value) if *own == name => Some(value),
            Item::Argument(..) | Item::Keyword(_) => None,
        })
    }

    /// The number captured as `name`.
    ///
    /// # Errors
    /// When the line has none.
    pub fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, Incomplete> {
        match self.value(name) {
            Some(Value::Number(number)) => T::try_from(*number).map_err(|_| Incomplete),
            _ => Err(Incomplete),
        }
    }

    /// The address captured as `name`.
    ///
    /// # Errors
    /// When the line has none.
    pub fn address(&self, name: &str) -> Result<Ipv4Addr, Incomplete> {
        match self.value(name) {
            Some(Value::Address(address)) => Ok(*address),
            _ => Err(Incomplete),
        }
    }

    /// The word or rest of the line captured as `name`.
    ///
    /// # Errors
    /// When the line has none.
    pub fn word(&self, name: &str) -> Result<&str, Incomplete> {
        match self.value(name) {
            Some(Value::Word(text) | Value::Line(text)) => Ok(text),
            _ => Err(Incomplete),
        }
    }

    /// The secret captured as `name`.
    ///
    /// # Errors
    /// When the line has none.
    pub fn secret(&self, name: &str) -> Result<&Secret, Incomplete> {
        match self.value(name) {
            Some(Value::Secret(secret)) => Ok(secret),
            _ => Err(Incomplete),
        }
    }

    /// The line with its keywords in full; a secret shows as `*`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            if !text.is_empty() {
                text.push(' ');
            }
            match item {
                Item::Keyword(word) => text.push_str(word),
                Item::Argument(_, Value::Number(number)) => text.push_str(&number.to_string()),
                Item::Argument(_, Value::Address(address)) => text.push_str(&address.to_string()),
                Item::Argument(_, Value::Word(word) | Value::Line(word)) => text.push_str(word),
                Item::Argument(_, Value::Secret(_)) => text.push('*'),
            }
        }
        text
    }
}

/// Why no grammar accepts a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No grammar goes on with the word at this place.
    Invalid {
        /// Which word.
        word: usize,
        /// What could have stood there.
        expected: Vec<Suggestion>,
        /// Whether a secret stands before it, so that the word may be a part of one.
        hides: bool,
    },
    /// The line ends too early.
    Incomplete {
        /// What could follow.
        expected: Vec<Suggestion>,
    },
    /// The word at this place abbreviates several keywords.
    Ambiguous {
        /// Which word.
        word: usize,
        /// The keywords.
        keywords: Vec<&'static str>,
    },
}

impl Failure {
    /// How far the line was understood: of several failures the highest rank tells most.
    #[must_use]
    pub fn rank(&self) -> (usize, bool) {
        match self {
            Self::Invalid { word, .. } => (*word, false),
            Self::Ambiguous { word, .. } => (*word, true),
            Self::Incomplete { .. } => (usize::MAX, false),
        }
    }
}

#[derive(Clone)]
pub(super) struct Thread {
    pub(super) entry: usize,
    pub(super) state: usize,
    items: Vec<Item>,
    is_exact: bool,
}

impl Thread {
    fn into_match(self) -> Match {
        Match {
            entry: self.entry,
            items: self.items,
            is_exact: self.is_exact,
        }
    }

    fn holds_secret(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item, Item::Argument(_, Value::Secret(_))))
    }
}

impl Tree {
    /// Reads `words` of `line`.
    ///
    /// # Errors
    /// When no grammar accepts them; the error says where and what could have stood there.
    pub fn parse(&self, line: &str, words: &[Word<'_>], form: Form) -> Result<Match, Failure> {
        let mut threads = self.start();
        let mut swallowed = Vec::new();
        for (place, word) in words.iter().enumerate() {
            let before = self.suggestions(&threads);
            let hides = threads.iter().any(Thread::holds_secret);
            let next = self.step(&threads, *word, line, &mut swallowed);
            threads = next.map_err(|keywords| Failure::Ambiguous {
                word: place,
                keywords,
            })?;
            if threads.is_empty() {
                return match swallowed.into_iter().next() {
                    Some(found) => Ok(found),
                    None => Err(Failure::Invalid {
                        word: place,
                        expected: before,
                        hides,
                    }),
                };
            }
        }
        let removes = form == Form::Remove && !words.is_empty();
        let complete = threads.iter().find(|thread| {
            let graph = &self.entries[thread.entry].graph;
            graph
                .closure(thread.state)
                .iter()
                .any(|&state| graph.may_end(state, removes))
        });
        complete
            .map(|thread| thread.clone().into_match())
            .or_else(|| swallowed.into_iter().next())
            .ok_or_else(|| Failure::Incomplete {
                expected: self.suggestions(&threads),
            })
    }

    pub(super) fn start(&self) -> Vec<Thread> {
        (0..self.entries.len())
            .map(|entry| Thread {
                entry,
                state: 0,
                items: Vec::new(),
                is_exact: true,
            })
            .collect()
    }

    /// Every edge that leads on from `thread`.
    pub(super) fn edges(&self, thread: &Thread) -> impl Iterator<Item = (Token, usize)> + '_ {
        let graph = &self.entries[thread.entry].graph;
        graph
            .closure(thread.state)
            .into_iter()
            .flat_map(|state| graph.states[state].edges.iter().copied())
    }

    /// The threads after `word`, those of keywords first; lines that end with it go to `swallowed`.
    pub(super) fn step(
        &self,
        threads: &[Thread],
        word: Word<'_>,
        line: &str,
        swallowed: &mut Vec<Match>,
    ) -> Result<Vec<Thread>, Vec<&'static str>> {
        let mut exact = Vec::new();
        let mut abbreviated = Vec::new();
        let mut keywords: Vec<&'static str> = Vec::new();
        let mut arguments = Vec::new();
        for thread in threads {
            for (token, to) in self.edges(thread) {
                let advance = |item| {
                    let mut next = thread.clone();
                    next.state = to;
                    next.items.push(item);
                    next
                };
                match token {
                    Token::Keyword(own) if own.eq_ignore_ascii_case(word.text) => {
                        exact.push(advance(Item::Keyword(own)));
                    }
                    Token::Keyword(own) if abbreviates(word.text, own) => {
                        let next = advance(Item::Keyword(own));
                        abbreviated.push(Thread {
                            is_exact: false,
                            ..next
                        });
                        if !keywords.contains(&own) {
                            keywords.push(own);
                        }
                    }
                    Token::Keyword(_) => {}
                    Token::Argument(Argument {
                        name,
                        kind: Kind::Line,
                    }) => {
                        if let Some(value) = Kind::Line.read(&line[word.offset..]) {
                            swallowed.push(advance(Item::Argument(name, value)).into_match());
                        }
                    }
                    Token::Argument(Argument { name, kind }) => {
                        if let Some(value) = kind.read(word.text) {
                            arguments.push(advance(Item::Argument(name, value)));
                        }
                    }
                }
            }
        }
        let mut next = match (exact.is_empty(), keywords.len()) {
            (false, _) => exact,
            (true, 0 | 1) => abbreviated,
            (true, _) if arguments.is_empty() => return Err(keywords),
            (true, _) => Vec::new(),
        };
        next.append(&mut arguments);
        Ok(next)
    }
}

/// Whether `text` is the start of `keyword`.
pub(in crate::cli) fn abbreviates(text: &str, keyword: &str) -> bool {
    keyword
        .get(..text.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(text))
}

//! One line at a time: which command it is, where it applies, and what happens to the tree.
//!
//! A line that the innermost mode does not know is tried in the modes around it, as IOS does when
//! it reads a file; so blocks end by the next line that belongs outside. A mode that knows the line
//! in full goes before one that would have to take it for an abbreviation: `ip route` after an
//! interface's block is not that interface's `ip route-cache`. A refused line changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::LazyLock;

use super::crypto::gdoi::group::Group;
use super::crypto::gdoi::server_local::ServerLocal;
use super::{COMMANDS, Command, Config};
use crate::cli::grammar::{Failure, Form, Incomplete, Match, Suggestion, Tree};
use crate::cli::line::{self, Word};
use crate::cli::mode::Mode;

/// A block that has been entered, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `crypto isakmp policy N`.
    IsakmpPolicy(u16),
    /// `crypto isakmp peer address A`.
    IsakmpPeer(Ipv4Addr),
    /// `crypto ipsec transform-set T`.
    TransformSet(String),
    /// `crypto ipsec profile P`.
    IpsecProfile(String),
    /// `crypto gdoi group G`.
    Group(String),
    /// `server local`.
    ServerLocal,
    /// `sa ipsec N`.
    SaIpsec(u16),
    /// `redundancy`.
    Redundancy,
    /// `identifier`.
    Identifier,
    /// `crypto map M N gdoi`.
    CryptoMap(String, u16),
    /// `interface X`.
    Interface(String),
    /// `ip access-list extended NAME`.
    ExtendedAccessList(String),
    /// `ip access-list standard NAME`.
    StandardAccessList(String),
    /// A block of a feature that is not here: its mode and first line.
    Inert(Mode, String),
}

impl Place {
    /// The mode whose grammar holds here.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Self::IsakmpPolicy(_) => Mode::IsakmpPolicy,
            Self::IsakmpPeer(_) => Mode::IsakmpPeer,
            Self::TransformSet(_) => Mode::TransformSet,
            Self::IpsecProfile(_) => Mode::IpsecProfile,
            Self::Group(_) => Mode::Group,
            Self::ServerLocal => Mode::ServerLocal,
            Self::SaIpsec(_) => Mode::SaIpsec,
            Self::Redundancy => Mode::Redundancy,
            Self::Identifier => Mode::Identifier,
            Self::CryptoMap(..) => Mode::CryptoMap,
            Self::Interface(_) => Mode::Interface,
            Self::ExtendedAccessList(_) => Mode::ExtendedAccessList,
            Self::StandardAccessList(_) => Mode::StandardAccessList,
            Self::Inert(mode, _) => *mode,
        }
    }
}

/// The line that enters the block, without what it sets besides.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsakmpPolicy(number) => write!(f, "crypto isakmp policy {number}"),
            Self::IsakmpPeer(address) => write!(f, "crypto isakmp peer address {address}"),
            Self::TransformSet(name) => write!(f, "crypto ipsec transform-set {name}"),
            Self::IpsecProfile(name) => write!(f, "crypto ipsec profile {name}"),
            Self::Group(name) => write!(f, "crypto gdoi group {name}"),
            Self::ServerLocal => f.write_str("server local"),
            Self::SaIpsec(number) => write!(f, "sa ipsec {number}"),
            Self::Redundancy => f.write_str("redundancy"),
            Self::Identifier => f.write_str("identifier"),
            Self::CryptoMap(map, number) => write!(f, "crypto map {map} {number} gdoi"),
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::ExtendedAccessList(name) => write!(f, "ip access-list extended {name}"),
            Self::StandardAccessList(name) => write!(f, "ip access-list standard {name}"),
            Self::Inert(_, text) => f.write_str(text),
        }
    }
}

/// What stands before the command.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Nothing: set it.
    Set,
    /// `no`: take it away.
    No,
    /// `default`: as if it had never been said.
    Default,
}

/// A line that its grammar accepted.
pub struct Line {
    /// `no`, `default` or nothing.
    pub verb: Verb,
    matched: Match,
}

impl Line {
    /// Whether the line takes something away.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.verb != Verb::Set
    }
}

impl Deref for Line {
    type Target = Match;
    fn deref(&self) -> &Match {
        &self.matched
    }
}

/// Why a line that can be read is not obeyed; the text is what the operator sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// A refusal with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<Incomplete> for Refusal {
    fn from(_: Incomplete) -> Self {
        Self::new("% Incomplete command.")
    }
}

/// Why a line had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It cannot be read.
    Unreadable(Failure),
    /// It can be read and is refused.
    Refused(Refusal),
}

/// What an obeyed line did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What the operator should know; the line has its effect nevertheless.
    pub warnings: Vec<String>,
    /// The blocks around the line, outermost first.
    pub context: Vec<Place>,
    /// The line in full, without secrets; empty for `exit`.
    pub line: String,
    /// The block that the line opened.
    pub entered: Option<Place>,
}

/// Where configuration lines apply: the blocks that have been entered, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    path: Vec<Place>,
    /// Whether an operator is typing: then a line may not name what does not exist yet.
    live: bool,
}

impl Cursor {
    /// The start of a file.
    #[must_use]
    pub fn in_file() -> Self {
        Self::default()
    }

    /// `configure terminal`.
    #[must_use]
    pub const fn live() -> Self {
        Self {
            path: Vec::new(),
            live: true,
        }
    }

    /// The mode that the prompt shows.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.path.last().map_or(Mode::Global, Place::mode)
    }

    /// The blocks around, outermost first.
    #[must_use]
    pub fn path(&self) -> &[Place] {
        &self.path
    }

    /// Leaves the innermost block; whether there was one.
    pub fn exit(&mut self) -> bool {
        self.path.pop().is_some()
    }

    /// Obeys one line.
    ///
    /// # Errors
    /// When no mode from here outwards knows the line, or its command refuses it. Neither the
    /// configuration nor the place has changed then.
    pub fn apply(&mut self, config: &mut Config, text: &str) -> Result<Applied, LineError> {
        if let [word] = &line::words(text)[..]
            && is_exit(word.text)
        {
            self.exit();
            return Ok(Applied::default());
        }
        let (depth, command, line) = self.find(text).map_err(LineError::Unreadable)?;
        self.obey(config, depth, command, &line)
    }

    /// Whether the line belongs outside of the outermost block that is open.
    #[must_use]
    pub fn leaves(&self, text: &str) -> bool {
        !self.path.is_empty() && self.find(text).is_ok_and(|(depth, _, _)| depth == 0)
    }

    /// The command that a line is, with the number of blocks around it.
    fn find(&self, text: &str) -> Result<(usize, &'static Command, Line), Failure> {
        let words = line::words(text);
        let (verb, skip) = verb(&words);
        let form = if verb == Verb::Set {
            Form::Set
        } else {
            Form::Remove
        };
        let mut furthest: Option<Failure> = None;
        let mut abbreviated: Option<(usize, &'static Command, Match)> = None;
        for depth in (0..=self.path.len()).rev() {
            let mode = depth
                .checked_sub(1)
                .map_or(Mode::Global, |i| self.path[i].mode());
            let grammar = grammar(mode);
            match grammar.tree.parse(text, &words[skip..], form) {
                Ok(matched) => {
                    let command = grammar.commands[matched.entry];
                    if matched.is_exact {
                        return Ok((depth, command, Line { verb, matched }));
                    }
                    abbreviated.get_or_insert((depth, command, matched));
                }
                Err(failure) => {
                    let failure = shifted(failure, skip);
                    if furthest
                        .as_ref()
                        .is_none_or(|best| best.rank() < failure.rank())
                    {
                        furthest = Some(failure);
                    }
                }
            }
        }
        match abbreviated {
            Some((depth, command, matched)) => Ok((depth, command, Line { verb, matched })),
            None => Err(furthest.unwrap_or(Failure::Incomplete {
                expected: Vec::new(),
            })),
        }
    }

    fn obey(
        &mut self,
        config: &mut Config,
        depth: usize,
        command: &Command,
        line: &Line,
    ) -> Result<Applied, LineError> {
        let context = self.path[..depth].to_vec();
        let mut editor = Editor {
            config,
            path: &context,
            live: self.live,
            warnings: Vec::new(),
            entered: None,
        };
        (command.apply)(&mut editor, line).map_err(LineError::Refused)?;
        let Editor {
            warnings, entered, ..
        } = editor;
        self.path.truncate(depth);
        self.path.extend(entered.clone());
        Ok(Applied {
            warnings,
            context,
            line: line.canonical(),
            entered,
        })
    }

    /// What can follow `text`, for `?`; `None` if it is no start of a line here.
    #[must_use]
    pub fn help(&self, text: &str) -> Option<Vec<Suggestion>> {
        let mut words = line::words(text);
        let open = text.ends_with(|c: char| !c.is_whitespace());
        let partial = if open {
            words.pop().map_or("", |word| word.text)
        } else {
            ""
        };
        let (verb, skip) = verb(&words);
        let form = if verb == Verb::Set {
            Form::Set
        } else {
            Form::Remove
        };
        let tree = &grammar(self.mode()).tree;
        let mut found = tree.help(text, &words[skip..], partial, form).or_else(|| {
            grammar(Mode::Global)
                .tree
                .help(text, &words[skip..], partial, form)
        })?;
        if words.is_empty() {
            let others = MODE_WORDS
                .iter()
                .filter(|(word, _)| word.starts_with(partial));
            found.extend(others.map(|(word, help)| Suggestion {
                word: (*word).to_owned(),
                help,
                is_keyword: true,
            }));
            found.sort_by(|a, b| (!a.is_keyword, &a.word).cmp(&(!b.is_keyword, &b.word)));
        }
        Some(found)
    }
}

/// Whether the word leaves a mode. No other command of a configuration mode starts with `ex`.
#[must_use]
pub fn is_exit(word: &str) -> bool {
    word.len() >= 2 && "exit".starts_with(word)
}

/// Words that every configuration mode has.
const MODE_WORDS: &[(&str, &str)] = &[
    ("default", "Set a command to its defaults"),
    ("do", "To run exec commands in config mode"),
    ("end", "Exit from configure mode"),
    ("exit", "Exit from the current mode"),
    ("no", "Negate a command or set its defaults"),
];

fn verb(words: &[Word<'_>]) -> (Verb, usize) {
    match words.first().map(|word| word.text) {
        Some("no") => (Verb::No, 1),
        Some("default") => (Verb::Default, 1),
        _ => (Verb::Set, 0),
    }
}

fn shifted(failure: Failure, by: usize) -> Failure {
    match failure {
        Failure::Invalid {
            word,
            expected,
            hides,
        } => Failure::Invalid {
            word: word + by,
            expected,
            hides,
        },
        Failure::Ambiguous { word, keywords } => Failure::Ambiguous {
            word: word + by,
            keywords,
        },
        Failure::Incomplete { expected } => Failure::Incomplete { expected },
    }
}

struct Grammar {
    tree: Tree,
    commands: Vec<&'static Command>,
}

fn grammar(mode: Mode) -> &'static Grammar {
    static GRAMMARS: LazyLock<BTreeMap<Mode, Grammar>> = LazyLock::new(|| {
        let of = |mode| {
            let all = COMMANDS.iter().flat_map(|file| file.iter());
            let commands: Vec<_> = all.filter(|command| command.mode == mode).collect();
            let tree = Tree::new(commands.iter().map(|command| command.syntax));
            Grammar { tree, commands }
        };
        Mode::ALL.into_iter().map(|mode| (mode, of(mode))).collect()
    });
    &GRAMMARS[&mode]
}

/// The grammar of a mode, for the test that asks for help of every word.
#[cfg(test)]
pub(super) fn words_without_help(mode: Mode) -> Vec<&'static str> {
    grammar(mode).tree.without_help()
}

/// What a command may touch.
pub(crate) struct Editor<'a> {
    /// The tree.
    pub(crate) config: &'a mut Config,
    path: &'a [Place],
    live: bool,
    warnings: Vec<String>,
    entered: Option<Place>,
}

impl Editor<'_> {
    /// The lines after this one belong to that block.
    pub(crate) fn enter(&mut self, place: Place) {
        self.entered = Some(place);
    }

    /// Tells the operator something; the line has its effect.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Whether an operator is typing, so that names must exist already.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The block that the line stands in, counted from the innermost.
    pub(crate) fn place(&self, out: usize) -> Result<&Place, Refusal> {
        let at = self.path.len().checked_sub(out + 1);
        at.and_then(|at| self.path.get(at)).ok_or_else(gone)
    }

    /// The blocks around the line, outermost first.
    pub(crate) fn path(&self) -> &[Place] {
        self.path
    }

    /// The group that the line stands in, at any depth.
    pub(crate) fn group(&mut self) -> Result<&mut Group, Refusal> {
        let Some(Place::Group(name)) = self.path.first() else {
            return Err(gone());
        };
        self.config.groups.get_mut(name).ok_or_else(gone)
    }

    /// The key server that the line stands in, at any depth.
    pub(crate) fn server_local(&mut self) -> Result<&mut ServerLocal, Refusal> {
        self.group()?.local.as_mut().ok_or_else(gone)
    }
}

/// The block was removed while the operator was in it.
pub(crate) fn gone() -> Refusal {
    Refusal::new("% This block has been removed: leave it with `exit`")
}

//! Commands of the exec mode that do something; those that only show are in `show`.
//!
//! One file per first word. What an order does is decided by the machines; here it is read,
//! checked against the configuration, and passed on.

mod clear;
mod configure;
mod crypto;
mod terminal;
mod write;

use super::grammar::{Match, Syntax};
use super::session::{Operated, Terminal};
use crate::config::Refusal;
use crate::key_pairs::KeyImport;
use crate::show::Page;

/// One exec command.
pub(crate) struct Exec {
    /// What it looks like.
    pub(crate) syntax: Syntax,
    /// Whether it needs `enable`.
    pub(crate) is_privileged: bool,
    /// What it does.
    pub(crate) run: fn(&mut Call<'_>) -> Result<Outcome, Refusal>,
}

/// A command being obeyed.
pub(crate) struct Call<'a> {
    /// The box.
    pub(crate) host: &'a mut dyn Operated,
    /// The operator's terminal.
    pub(crate) terminal: &'a mut Terminal,
    /// Who the operator is, for the log.
    pub(crate) by: &'a str,
    /// The line.
    pub(crate) line: &'a Match,
}

/// What becomes of the session.
pub(crate) enum Outcome {
    /// It goes on; this is printed.
    Print(Page),
    /// The operator must say yes before the order is given.
    Ask {
        /// The question.
        question: String,
        /// The order.
        order: Order,
    },
    /// The operator pastes a key.
    Paste(KeyImport),
    /// Configuration mode begins.
    Configure,
    /// The session ends.
    Close,
}

/// An order that waits for a yes.
pub(crate) enum Order {
    /// To the machines.
    Machine(gdoi::machine::Command),
    /// `clear logging`.
    ClearLogging,
}

impl Outcome {
    /// Nothing is printed.
    pub(crate) fn quiet() -> Self {
        Self::Print(Page::default())
    }
}

/// Every exec command.
pub(crate) const COMMANDS: &[&[Exec]] = &[
    clear::COMMANDS,
    configure::COMMANDS,
    crypto::COMMANDS,
    crypto::key::COMMANDS,
    terminal::COMMANDS,
    write::COMMANDS,
];

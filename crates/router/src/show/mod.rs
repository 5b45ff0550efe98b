//! `show ...`: what the box says of itself, as IOS prints it and as JSON.
//!
//! One file per command, at the command's path. A file has `COMMAND` (the grammar, the help of its
//! words, how to run it), a `View` that serialises, `view`, which makes the view and changes
//! nothing, and `Display`, which is the IOS text. Text and JSON come from one view, so they cannot
//! disagree. [`COMMANDS`] lists every file.

use std::fmt;

use policy::{Time, WallClock};
use serde::Serialize;

use crate::Interface;
use crate::cli::grammar::{Match, Syntax};
use crate::config::{Config, Refusal, Target};
use crate::event_trace::EventTraces;
use crate::logging::Logging;

pub mod access_lists;
pub mod clock;
pub mod crypto;
pub mod logging;
pub mod machines;
pub mod monitor;
pub mod running_config;
pub mod startup_config;
pub mod version;

/// What views are made from: everything that the box knows, for reading.
#[derive(Copy, Clone)]
pub struct Context<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The configuration file as it was at the start.
    pub startup: &'a str,
    /// What the configuration means on this box.
    pub target: &'a Target,
    /// The kernel's interfaces.
    pub interfaces: &'a [Interface],
    /// The buffered log.
    pub logging: &'a Logging,
    /// The event traces.
    pub traces: &'a EventTraces,
    /// The machines and the packet path.
    pub machines: &'a dyn machines::Machines,
    /// The program's version.
    pub version: &'static str,
    /// When the program started.
    pub started: Time,
    /// Now.
    pub now: Time,
    /// Now, by the wall clock.
    pub wall: WallClock,
}

/// One show command.
#[derive(Copy, Clone)]
pub struct Show {
    /// The grammar, from `show` on.
    pub syntax: Syntax,
    /// Whether it needs `enable`: what shows secrets does.
    pub is_privileged: bool,
    /// Makes the page.
    pub run: fn(&Context<'_>, &Match) -> Result<Page, Refusal>,
}

/// What a command prints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// As IOS prints it; ends with a line end unless it is empty.
    pub text: String,
    /// The view.
    pub json: Option<serde_json::Value>,
    /// How far event traces are seen once the page was printed.
    pub seen: Vec<monitor::event_trace::Seen>,
}

impl Page {
    /// The page of a view.
    ///
    /// # Errors
    /// When the view cannot be serialised, which is a fault of the view: a map with keys that are
    /// no text.
    pub fn of<V: Serialize + fmt::Display>(view: &V) -> Result<Self, Refusal> {
        let json = serde_json::to_value(view)
            .map_err(|error| Refusal::new(format!("% This view has no JSON form: {error}")))?;
        let mut text = view.to_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(Self {
            text,
            json: Some(json),
            seen: Vec::new(),
        })
    }

    /// A page of text alone.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            json: None,
            seen: Vec::new(),
        }
    }
}

/// Every show command.
pub const COMMANDS: &[Show] = &[
    access_lists::COMMAND,
    clock::COMMAND,
    crypto::call::admission::COMMAND,
    crypto::gdoi::COMMAND,
    crypto::gdoi::feature::COMMAND,
    crypto::gdoi::gm::COMMAND,
    crypto::gdoi::gm::acl::COMMAND,
    crypto::gdoi::gm::dataplane::COMMAND,
    crypto::gdoi::gm::pubkey::COMMAND,
    crypto::gdoi::gm::rekey::COMMAND,
    crypto::gdoi::ipsec::sa::COMMAND,
    crypto::gdoi::ks::COMMAND,
    crypto::gdoi::ks::acl::COMMAND,
    crypto::gdoi::ks::coop::COMMAND,
    crypto::gdoi::ks::coop::config_diff::COMMAND,
    crypto::gdoi::ks::coop::identifier::COMMAND,
    crypto::gdoi::ks::coop::version::COMMAND,
    crypto::gdoi::ks::members::COMMAND,
    crypto::gdoi::ks::policy::COMMAND,
    crypto::gdoi::ks::rekey::COMMAND,
    crypto::gdoi::rekey::sa::COMMAND,
    crypto::ipsec::sa::COMMAND,
    crypto::isakmp::sa::COMMAND,
    crypto::key::mypubkey::COMMAND,
    crypto::map::COMMAND,
    logging::COMMAND,
    monitor::event_trace::COMMAND,
    running_config::COMMAND,
    startup_config::COMMAND,
    version::COMMAND,
];

#[cfg(test)]
pub(crate) mod tests;

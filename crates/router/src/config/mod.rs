//! The configuration: IOS text to one typed tree and back.
//!
//! One file per command, at the command's path: its grammar, what it changes, and how it reads in
//! `show running-config`. A file loads and an operator types through the same [`Cursor`], so there
//! is one meaning per line. This room decides what a text says and whether it makes sense by
//! itself; what the box does about it is decided by whoever compares the typed trees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;

pub mod check;
pub mod crypto;
pub mod edit;
pub mod hostname;
pub mod inert;
pub mod interface;
pub mod ip;
pub mod load;
pub mod logging;
pub mod monitor;
pub mod origin;
pub mod render;
pub mod service;
pub mod target;

pub use edit::{Applied, Cursor, LineError, Place, Refusal};
pub use load::{Diagnostic, Parsed, Severity, parse};
pub use origin::Origins;
pub use render::render;
pub use target::{Attachment, Target, to_gdoi};

use edit::{Editor, Line};

/// The whole configuration of a box. Everything that a line can set is here and nothing else, so
/// two texts mean the same exactly if their trees are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `hostname`; `Router` if there is none.
    pub hostname: Option<String>,
    /// `service internal`.
    pub internal: bool,
    /// `service timestamps`.
    pub timestamps: service::timestamps::Timestamps,
    /// `logging`.
    pub logging: logging::Logging,
    /// `monitor event-trace gdoi`.
    pub event_trace: monitor::event_trace::EventTrace,
    /// `crypto isakmp policy`, by number.
    pub isakmp_policies: BTreeMap<u16, crypto::isakmp::policy::Policy>,
    /// `crypto isakmp key`, by address and mask.
    pub isakmp_keys: BTreeMap<(Ipv4Addr, Ipv4Addr), crypto::isakmp::key::Key>,
    /// `crypto isakmp peer address`.
    pub isakmp_peers: BTreeMap<Ipv4Addr, crypto::isakmp::peer::Peer>,
    /// `crypto call admission limit ike`.
    pub admission: crypto::call::admission::Admission,
    /// `crypto isakmp keepalive`.
    pub isakmp_keepalive: Option<crypto::isakmp::keepalive::Keepalive>,
    /// `crypto ipsec transform-set`, by name.
    pub transform_sets: BTreeMap<String, policy::Transform>,
    /// `crypto ipsec profile`, by name.
    pub profiles: BTreeMap<String, crypto::ipsec::profile::Profile>,
    /// `crypto gdoi group`, by name.
    pub groups: BTreeMap<String, crypto::gdoi::group::Group>,
    /// `crypto map`, by name and sequence number.
    pub crypto_maps: BTreeMap<String, BTreeMap<u16, crypto::map::Entry>>,
    /// `interface`, by name.
    pub interfaces: BTreeMap<String, interface::Interface>,
    /// `ip route`.
    pub routes: BTreeSet<ip::route::Route>,
    /// `ip access-list` and `access-list`, by name or number.
    pub access_lists: BTreeMap<String, ip::access_list::AccessList>,
    /// Lines of features that are not here, as written.
    pub inert: Vec<inert::Block>,
}

impl Config {
    /// The host name in prompts and logs.
    #[must_use]
    pub fn host(&self) -> &str {
        self.hostname.as_deref().unwrap_or("Router")
    }
}

/// What a configuration command does.
pub(crate) type Apply = fn(&mut Editor<'_>, &Line) -> Result<(), Refusal>;

/// One configuration command.
pub(crate) struct Command {
    /// Where it can be typed.
    pub(crate) mode: Mode,
    /// What it looks like.
    pub(crate) syntax: Syntax,
    /// What it changes.
    pub(crate) apply: Apply,
    /// Lines that use it, each acceptable right after its mode was entered; the manual shows them
    /// and the round-trip test runs them.
    pub(crate) examples: &'static [&'static str],
}

/// Every configuration command there is, file by file.
pub(crate) const COMMANDS: &[&[Command]] = &[
    hostname::COMMANDS,
    service::timestamps::COMMANDS,
    service::internal::COMMANDS,
    logging::COMMANDS,
    monitor::event_trace::COMMANDS,
    crypto::call::admission::COMMANDS,
    crypto::isakmp::policy::COMMANDS,
    crypto::isakmp::key::COMMANDS,
    crypto::isakmp::peer::COMMANDS,
    crypto::isakmp::keepalive::COMMANDS,
    crypto::ipsec::transform_set::COMMANDS,
    crypto::ipsec::profile::COMMANDS,
    crypto::gdoi::group::COMMANDS,
    crypto::gdoi::server_local::COMMANDS,
    crypto::gdoi::rekey::COMMANDS,
    crypto::gdoi::sa_ipsec::COMMANDS,
    crypto::gdoi::redundancy::COMMANDS,
    crypto::gdoi::identifier::COMMANDS,
    crypto::map::COMMANDS,
    interface::COMMANDS,
    ip::access_list::COMMANDS,
    ip::access_list::NUMBERED,
    ip::route::COMMANDS,
    inert::COMMANDS,
];

/// A configuration command as the manual lists it.
#[derive(Copy, Clone, Debug)]
pub struct Manual {
    /// Where it can be typed.
    pub mode: Mode,
    /// Its grammar ([`crate::cli::grammar`] says how it is written) and the help of its words.
    pub syntax: Syntax,
    /// Lines that use it; none if the line is only kept.
    pub examples: &'static [&'static str],
}

/// Every configuration command, in the order of the files.
pub fn manual() -> impl Iterator<Item = Manual> {
    COMMANDS
        .iter()
        .flat_map(|file| file.iter())
        .map(|command| Manual {
            mode: command.mode,
            syntax: command.syntax,
            examples: command.examples,
        })
}

#[cfg(test)]
mod tests;

//! `show crypto gdoi ks coop [detail]`: roles, timers and sessions of cooperating key servers
//! (mission row 59).
//!
//! `detail` has what today's IOS prints, and what IOS does not know: term, generation, how far
//! ahead every key server holds the keys, two-way links, backlog.

use std::fmt;
use std::net::Ipv4Addr;

use gdoi::ks::{PeerCounters, PeerView, Role};
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

pub mod config_diff;
pub mod identifier;
mod session;
pub mod version;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks coop [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line.has("detail"))),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The groups that this box serves.
    pub groups: Vec<Group>,
    /// Whether the text has the details, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// A group that this box serves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its handle.
    pub handle: u32,
    /// This key server's handle.
    pub server_handle: u32,
    /// Cooperation; nothing when the group has one key server only.
    pub coop: Option<Coop>,
}

/// Cooperation in a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coop {
    /// This key server's address.
    pub local_address: Ipv4Addr,
    /// `local priority`.
    pub local_priority: u8,
    /// This key server's role.
    pub local_role: &'static str,
    /// This program's version.
    pub local_version: String,
    /// The version of what key servers say to each other.
    pub local_coop_version: String,
    /// The address of the primary, if one is known.
    pub primary: Option<Ipv4Addr>,
    /// From one announcement to the next, seconds.
    pub refresh_s: u64,
    /// Until the next announcement, seconds.
    pub next_announcement_s: u64,
    /// How long the primary may be silent before it is asked, seconds.
    pub primary_timeout_s: u64,
    /// Until the primary is asked, seconds; 0 when none is known.
    pub primary_silence_remaining_s: u64,
    /// How many times in a row the primary has been silent for that long.
    pub primary_silences: u64,
    /// Announcements whose pseudotime was ahead of this key server's.
    pub invalid_pseudotimes: u64,
    /// New members wait until a valid announcement has come.
    pub is_blocking: bool,
    /// Sequence number of the last message that left.
    pub sequence: u64,
    /// This key server's index.
    pub index: u8,
    /// How many key servers are configured.
    pub servers: usize,
    /// The highest term known: it rises with every primary.
    pub term: u32,
    /// The group's generation, a counter for each key server in order of index.
    pub generation: Vec<u32>,
    /// Whether it holds the whole state of the group.
    pub is_complete: bool,
    /// `key look-ahead`.
    pub look_ahead: u8,
    /// Periods after the running one that every key server of the view has acknowledged.
    pub acknowledged_periods: usize,
    /// How long traffic goes on without any further agreement, seconds.
    pub horizon_s: u64,
    /// How many members are refused by name.
    pub removed_members: usize,
    /// Configured key servers that do not know of a removal yet.
    pub removal_unknown_to: Vec<Ipv4Addr>,
    /// The other key servers in order of address.
    pub sessions: Vec<Session>,
}

/// One cooperative key server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its handle.
    pub handle: u32,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its index.
    pub index: u8,
    /// Its version, once heard.
    pub version: Option<String>,
    /// The version of what it says to other key servers, once heard.
    pub coop_version: Option<String>,
    /// Its priority, once heard.
    pub priority: Option<u8>,
    /// The role that it announced last.
    pub role: &'static str,
    /// Whether it is reachable.
    pub status: &'static str,
    /// Whether each of the two hears the other.
    pub is_two_way: bool,
    /// Whether it has not acknowledged in time what it was told.
    pub is_lagging: bool,
    /// How long ago it was heard, seconds.
    pub heard_ago_s: Option<u64>,
    /// Sequence number of its last message.
    pub sequence: u64,
    /// Whether there is a phase-1 SA with it.
    pub is_ike_established: bool,
    /// Changes that it has not acknowledged.
    pub backlog: usize,
    /// What passed.
    pub counters: Counters,
    /// Fields of its configuration that differ from this key server's.
    pub differing_fields: Vec<&'static str>,
}

/// What passed between two key servers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Announcements sent.
    pub announcements_sent: u64,
    /// Of these, with a request to reply.
    pub reply_requests_sent: u64,
    /// Announcements received.
    pub announcements_received: u64,
    /// Of these, with a request to reply.
    pub reply_requests_received: u64,
    /// Messages that could not be sent, or were never answered.
    pub sent_drops: u64,
    /// Messages that were refused.
    pub received_drops: u64,
    /// Octets of COOP payloads sent.
    pub octets_sent: u64,
    /// Octets of COOP payloads received.
    pub octets_received: u64,
}

/// The version of what this program says to other key servers. An announcement of another layout
/// is refused as a whole, so whoever is heard has this version, too.
pub(crate) fn coop_version() -> String {
    format!("{}.0.0", wire::private::Announcement::VERSION)
}

/// A role in one word.
pub(crate) const fn role_word(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Electing) => "Electing",
        Some(Role::Primary) => "Primary",
        Some(Role::Secondary) => "Secondary",
        None => "Unknown",
    }
}

/// Whether a peer is reachable, in the words of CISCO-GDOI-MIB.
pub(crate) const fn status_word(peer: &PeerView) -> &'static str {
    if peer.alive {
        "Alive"
    } else if peer.heard_ago.is_some() {
        "Dead"
    } else {
        "Unknown"
    }
}

/// The line of a group that has one key server only.
pub(crate) const NO_REDUNDANCY: &str = "*NO* redundancy configured for this group";

impl Group {
    fn of(ks: &gdoi::ks::View, version: &str) -> Self {
        Self {
            group: ks.group.to_string(),
            handle: ks.handle,
            server_handle: ks.server_handle,
            coop: ks.coop.as_ref().map(|coop| Coop::of(ks, coop, version)),
        }
    }
}

impl Coop {
    fn of(ks: &gdoi::ks::View, coop: &gdoi::ks::CoopView, version: &str) -> Self {
        let primary = coop
            .peers
            .iter()
            .find(|peer| Some(peer.address) == coop.primary);
        let silence = primary.and_then(|peer| peer.heard_ago);
        let servers = coop.peers.len() + 1;
        let silences = silence.map_or(0, |silence| {
            silence.as_nanos() / coop.primary_timeout.as_nanos().max(1)
        });
        let invalid = coop.peers.iter().map(|p| p.counters.invalid_pseudotimes);
        Self {
            local_address: ks.address,
            local_priority: ks.priority,
            local_role: role_word(Some(coop.role)),
            local_version: version.to_owned(),
            local_coop_version: coop_version(),
            primary: coop.primary,
            refresh_s: coop.refresh.as_secs(),
            next_announcement_s: coop.remaining.as_secs(),
            primary_timeout_s: coop.primary_timeout.as_secs(),
            primary_silence_remaining_s: silence.map_or(0, |silence| {
                coop.primary_timeout.saturating_sub(silence).as_secs()
            }),
            primary_silences: u64::try_from(silences).unwrap_or(u64::MAX),
            invalid_pseudotimes: invalid.sum(),
            is_blocking: coop.blocking,
            sequence: coop.sequence,
            index: coop.index.get(),
            servers,
            term: coop.term,
            generation: coop.generation.0.iter().copied().take(servers).collect(),
            is_complete: coop.complete,
            look_ahead: coop.look_ahead,
            acknowledged_periods: coop.acknowledged_periods,
            horizon_s: coop.horizon.as_secs(),
            removed_members: ks.removal.removed.len(),
            removal_unknown_to: ks.removal.lacking.clone(),
            sessions: coop.peers.iter().map(Session::of).collect(),
        }
    }
}

impl Session {
    fn of(peer: &PeerView) -> Self {
        Self {
            handle: peer.handle,
            address: peer.address,
            index: peer.index.get(),
            version: peer.version.clone(),
            coop_version: peer.version.as_ref().map(|_| coop_version()),
            priority: peer.priority,
            role: role_word(peer.role),
            status: status_word(peer),
            is_two_way: peer.alive,
            is_lagging: peer.lagging,
            heard_ago_s: peer.heard_ago.map(|span| span.as_secs()),
            sequence: peer.sequence,
            is_ike_established: peer.ike_established,
            backlog: peer.backlog,
            counters: Counters::of(&peer.counters),
            differing_fields: peer.differences.iter().map(|d| d.field).collect(),
        }
    }
}

impl Counters {
    const fn of(counters: &PeerCounters) -> Self {
        Self {
            announcements_sent: counters.announcements_sent,
            reply_requests_sent: counters.reply_requests_sent,
            announcements_received: counters.announcements_received,
            reply_requests_received: counters.reply_requests_received,
            sent_drops: counters.sent_drops,
            received_drops: counters.received_drops,
            octets_sent: counters.octets_sent,
            octets_received: counters.octets_received,
        }
    }
}

/// The groups that the box serves.
#[must_use]
pub fn view(context: &Context<'_>, is_detailed: bool) -> View {
    let servers = context.machines.key_servers();
    let groups = servers.iter().map(|ks| Group::of(ks, context.version));
    View {
        groups: groups.collect(),
        is_detailed,
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.groups.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            group.write(f, self.is_detailed)?;
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        writeln!(f, "Crypto Gdoi Group Name :{}", self.group)?;
        writeln!(
            f,
            "        Group handle: {}, Local Key Server handle: {}",
            self.handle, self.server_handle
        )?;
        match &self.coop {
            None => writeln!(f, "        {NO_REDUNDANCY}"),
            Some(coop) => coop.write(f, is_detailed),
        }
    }
}

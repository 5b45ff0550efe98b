//! What cooperation looks like to an operator: plain values.

use std::net::Ipv4Addr;
use std::time::Duration;

use policy::{Generation, KsIndex};

/// What a key server is in its group.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It takes part in an election.
    #[default]
    Electing,
    /// It mints keys and sends rekeys.
    Primary,
    /// It serves registrations with the primary's keys.
    Secondary,
}

/// Cooperation of one group, as this key server sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct CoopView {
    /// This key server's role.
    pub role: Role,
    /// Its index in the sorted list of key servers (PROTOCOL P19).
    pub index: KsIndex,
    /// The highest term known: it rises with every primary (PROTOCOL P17).
    pub term: u32,
    /// The group's generation (PROTOCOL P14).
    pub generation: Generation,
    /// The address of the primary, if one is known.
    pub primary: Option<Ipv4Addr>,
    /// Whether it holds the whole state of the group.
    pub complete: bool,
    /// From one announcement to the next.
    pub refresh: Duration,
    /// Until the next periodic announcement.
    pub remaining: Duration,
    /// How long a secondary waits for the primary's announcement.
    pub primary_timeout: Duration,
    /// Sequence number of the last message that left.
    pub sequence: u64,
    /// New members wait until a valid announcement has come.
    pub blocking: bool,
    /// `key look-ahead`.
    pub look_ahead: u8,
    /// How many periods after the running one every key server of the view has acknowledged.
    pub acknowledged_periods: usize,
    /// How long traffic goes on with keys that all of them hold, without any further agreement.
    pub horizon: Duration,
    /// The other key servers, in order of address.
    pub peers: Vec<PeerView>,
}

/// One cooperative key server.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerView {
    /// Its handle.
    pub handle: u32,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its index.
    pub index: KsIndex,
    /// Its version, once heard.
    pub version: Option<String>,
    /// Its priority, once heard.
    pub priority: Option<u8>,
    /// The role that it announced last.
    pub role: Option<Role>,
    /// Whether it is reachable both ways.
    pub alive: bool,
    /// Whether it lags: it has not acknowledged what it was told in time (PROTOCOL P13).
    pub lagging: bool,
    /// How long ago it was heard.
    pub heard_ago: Option<Duration>,
    /// Sequence number of its last message.
    pub sequence: u64,
    /// Whether a phase-1 SA with it is established.
    pub ike_established: bool,
    /// Changes that it has not acknowledged.
    pub backlog: usize,
    /// What passed.
    pub counters: PeerCounters,
    /// Fields of its configuration that differ from this key server's (both are shown).
    pub differences: Vec<Difference>,
}

/// What passed between two key servers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
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
    /// Announcements whose pseudotime was ahead of this key server's.
    pub invalid_pseudotimes: u64,
    /// Octets of COOP payloads sent.
    pub octets_sent: u64,
    /// Octets of COOP payloads received.
    pub octets_received: u64,
}

/// A field of the configuration that two key servers have set differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, in the words of the configuration.
    pub field: &'static str,
    /// Its value here.
    pub own: String,
    /// Its value there.
    pub theirs: String,
}

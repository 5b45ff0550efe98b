//! One cooperative key server as this one sees it: its link, what it said last, what it has.
//!
//! Decides whether it is reachable; what follows from that is the election's.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use policy::{Generation, KsIndex, Time};
use wire::private::Heard;

use super::election::Candidate;
use super::view::{Difference, PeerCounters, Role};
use crate::ike::{SaId, Version};
use crate::limits::{FLAP_WINDOW, FLAPS_MAX, PEER_SILENCE_MAX};

/// UDP port of GDOI (RFC 6407 section 2.2).
const PORT: u16 = 848;

/// The way to a peer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// None; tried again then.
    Down { retry: Time },
    /// Phase 1 is negotiated.
    Connecting(SaId),
    /// There is an SA.
    Up(SaId),
}

/// A message that waits for its answer.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Outstanding {
    /// Its exchange.
    pub(crate) exchange: (SaId, u32),
    /// Its last change: on the peer's disk when the answer says so.
    pub(crate) to: u64,
    /// When it left.
    pub(crate) sent: Time,
}

/// What a peer said of itself last.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) role: Role,
    pub(crate) priority: u8,
    pub(crate) version: Version,
    pub(crate) generation: Generation,
    pub(crate) complete: bool,
    pub(crate) founded: bool,
    /// Whether its list of key servers is ours.
    pub(crate) same_list: bool,
    /// What it said of the others.
    pub(crate) heard: Vec<Heard>,
}

/// A cooperative key server.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Ipv4Addr,
    pub(crate) index: KsIndex,
    pub(crate) link: Link,
    pub(crate) outstanding: Option<Outstanding>,
    /// When the next announcement to it is due.
    pub(crate) due: Time,
    /// Whether the next one asks for an announcement of its own.
    pub(crate) asks_reply: bool,
    pub(crate) incarnation: Option<[u8; 16]>,
    pub(crate) said: Option<Said>,
    /// When it was heard last.
    pub(crate) heard: Option<Time>,
    /// When it was last known to hear us.
    pub(crate) both_ways: Option<Time>,
    pub(crate) alive: bool,
    /// Whether the way to it was tried without success since it was alive.
    pub(crate) tried: bool,
    /// Whether it was reported as unreachable.
    pub(crate) lost: bool,
    /// Changes of ours up to this one are on its disk.
    pub(crate) acked: u64,
    /// Changes of this run's peer up to this one are on our disk.
    pub(crate) received: u64,
    /// The number of its last announcement.
    pub(crate) sequence: u64,
    pub(crate) lagging: bool,
    /// When it was lost lately.
    pub(crate) flaps: VecDeque<Time>,
    pub(crate) counters: PeerCounters,
    pub(crate) differences: Vec<Difference>,
    /// Its configuration, as it told it.
    pub(crate) fields: Vec<(u8, String)>,
    /// Whether it was reported that its phase 1 is too weak for keys.
    pub(crate) weak: bool,
}

impl Peer {
    pub(crate) fn new(address: Ipv4Addr, index: KsIndex, now: Time, yields: Duration) -> Self {
        Self {
            address,
            index,
            link: Link::Down {
                retry: now + yields,
            },
            outstanding: None,
            due: now,
            asks_reply: true,
            incarnation: None,
            said: None,
            heard: None,
            both_ways: None,
            alive: false,
            tried: false,
            lost: false,
            acked: 0,
            received: 0,
            sequence: 0,
            lagging: false,
            flaps: VecDeque::new(),
            counters: PeerCounters::default(),
            differences: Vec::new(),
            fields: Vec::new(),
            weak: false,
        }
    }

    /// Its address and port.
    pub(crate) const fn socket(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, PORT)
    }

    /// The SA with it.
    pub(crate) const fn sa(&self) -> Option<SaId> {
        match self.link {
            Link::Up(sa) => Some(sa),
            Link::Down { .. } | Link::Connecting(_) => None,
        }
    }

    /// The role that it announced, if it is alive.
    pub(crate) fn role(&self) -> Option<Role> {
        self.said
            .as_ref()
            .filter(|_| self.alive)
            .map(|said| said.role)
    }

    /// As a candidate, if it can be one.
    pub(crate) fn candidate(&self) -> Option<Candidate> {
        let said = self
            .said
            .as_ref()
            .filter(|said| self.alive && said.same_list)
            .filter(|said| said.priority > 0 || said.role == Role::Primary)?;
        Some(Candidate {
            index: self.index,
            address: self.address,
            priority: said.priority,
            role: said.role,
            complete: said.complete,
            founded: said.founded,
            generation: said.generation,
            lagging: self.lagging,
        })
    }

    /// When it is unreachable unless it is heard.
    pub(crate) fn silent_at(&self) -> Option<Time> {
        let heard = self.both_ways.filter(|_| self.alive)?;
        Some(heard + PEER_SILENCE_MAX)
    }

    /// It became unreachable and is the same run of its program: a flap.
    pub(crate) fn flapped(&mut self, now: Time) {
        self.flaps.push_back(now);
        self.flaps.retain(|at| now.since(*at) < FLAP_WINDOW);
    }

    /// Whether it comes and goes too often for an election at once.
    pub(crate) fn flaps_often(&self, now: Time) -> bool {
        let recent = |at: &&Time| now.since(**at) < FLAP_WINDOW;
        self.flaps.iter().filter(recent).count() >= FLAPS_MAX
    }

    /// Another run of its program: what was counted of the last one counts no more.
    pub(crate) fn reborn(&mut self, incarnation: [u8; 16]) {
        self.incarnation = Some(incarnation);
        self.acked = 0;
        self.received = 0;
        self.sequence = 0;
        self.lagging = false;
        self.flaps.clear();
    }
}

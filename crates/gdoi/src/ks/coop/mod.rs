//! Cooperation of key servers: one group, several key servers that back each other up (COOP).
//!
//! What each of them knows is a set of records that only grow together: keys, members, policy. Each
//! change is announced to every peer, which writes it to disk before it answers; a key is not used
//! before that (PROTOCOL P13). `election` says who leads, `roles` when, `import` what a peer's
//! record does here, `truth` where configurations differ. `docs/coop-wire.md` has the octets.

mod announce;
mod clock;
mod election;
mod handover;
mod import;
mod link;
mod log;
#[cfg(feature = "model")]
mod model;
mod peer;
mod records;
mod rekey_keys;
mod roles;
mod show;
mod truth;
mod view;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ::policy::{KsIndex, Time};
use crypto::Rng;
use wire::private::CoopMarks;

use super::{KeyServer, Serving};
use crate::config;
use crate::context::Context;
use crate::key_pairs::KeyPair;
use crate::limits::{COOP_SEQUENCE_BLOCK, COOP_START_WAIT, PEER_YIELD, REPLICATION_WAIT_MAX};
use crate::machine::Output;
use crate::persist::CoopRow;
use crate::policy_blob::Sha256;

pub(crate) use announce::group_of;
pub(crate) use handover::Handed;
pub(crate) use log::Key;
#[cfg(feature = "model")]
pub(crate) use model::Admitted;
#[cfg(feature = "model")]
pub use model::{Decoded, Spoken};
pub use view::{CoopView, Difference, PeerCounters, PeerView, Role};

use log::Log;
use peer::Peer;

/// Cooperation of one group.
#[derive(Clone)]
pub(crate) struct Coop {
    own: KsIndex,
    role: Role,
    /// This run of the program (PROTOCOL P22).
    incarnation: [u8; 16],
    peers: BTreeMap<KsIndex, Peer>,
    log: Log,
    row: CoopRow,
    sequence: u64,
    /// Whether it holds the whole state of the group.
    complete: bool,
    /// When an election is decided at the latest; `None` when none is held.
    decide_at: Option<Time>,
    /// Until when those are waited for that were never heard.
    start_until: Time,
    previous_primary: Option<Ipv4Addr>,
    next_announcement: Time,
    /// Pieces of policies that are not complete, and what they are for.
    pieces: BTreeMap<(Sha256, u16), Vec<u8>>,
    announced_group: Option<records::Group>,
    /// The term of the primary whose rekey key is held.
    rekey_key_term: u32,
    /// The fingerprint of the rekey key that the primary signs with, once told.
    primary_key: Option<Sha256>,
    /// The fingerprint of a rekey key that differs and may not be taken over.
    alarmed_key: Option<Sha256>,
    adopted: Vec<AdoptedKey>,
    /// The fingerprint of the rekey key that this key server told as primary.
    own_key: Option<Sha256>,
    /// The rekey key that each of the others told last: who tells it may lead here only later.
    told_keys: BTreeMap<KsIndex, records::RekeyKey>,
    /// When the clock was set by the primary's last.
    synchronised: Option<Time>,
    /// By how much the group's clock may be ahead of what was read then, from a slow answer.
    unsure: Duration,
    /// Since when keys wait for peers to write them down.
    waiting_since: Option<Time>,
    /// Whether another key server leads beside this one, and is about to step down.
    rivalled: bool,
    /// Whether members may hold other Rekey SAs than those that they were told from here: a peer is
    /// heard again that was not, or has brought a Rekey SA that nobody acknowledges.
    scattered: bool,
    handover: handover::HandOver,
}

/// A rekey key that came from the primary.
#[derive(Clone)]
pub(crate) struct AdoptedKey {
    /// Its label.
    pub(crate) label: String,
    /// The key.
    pub(crate) pair: KeyPair,
}

impl Coop {
    /// A key server that has just started.
    pub(crate) fn new(rng: &mut dyn Rng, now: Time, restored: Option<CoopRow>) -> Self {
        let mut incarnation = [0; 16];
        rng.fill(&mut incarnation);
        let row = restored.unwrap_or_default();
        Self {
            own: KsIndex::default(),
            role: Role::Electing,
            incarnation,
            peers: BTreeMap::new(),
            log: Log::default(),
            sequence: row.sequence_mark,
            row,
            complete: false,
            decide_at: None,
            start_until: now + COOP_START_WAIT,
            previous_primary: None,
            next_announcement: now,
            pieces: BTreeMap::new(),
            announced_group: None,
            rekey_key_term: 0,
            primary_key: None,
            alarmed_key: None,
            adopted: Vec::new(),
            own_key: None,
            told_keys: BTreeMap::new(),
            synchronised: None,
            unsure: Duration::ZERO,
            waiting_since: None,
            rivalled: false,
            scattered: false,
            handover: handover::HandOver::default(),
        }
    }

    /// Follows the configured list of key servers.
    pub(crate) fn configure(&mut self, now: Time, own: KsIndex, config: &config::KeyServer) {
        self.own = own;
        let mut before = std::mem::take(&mut self.peers);
        for address in &config.servers {
            let index = KsIndex::rank_of(*address, &config.servers);
            let Some(index) = index.filter(|index| *index != own) else {
                continue;
            };
            // Of two that start at one time only one begins phase 1.
            let yields = if own < index {
                Duration::ZERO
            } else {
                PEER_YIELD
            };
            let kept = before.values().find(|peer| peer.address == *address);
            let kept = kept
                .map(|peer| peer.index)
                .and_then(|at| before.remove(&at));
            let peer = kept.map_or_else(
                || Peer::new(*address, index, now, yields),
                |peer| Peer { index, ..peer },
            );
            self.peers.insert(index, peer);
        }
        if self.peers.is_empty() {
            self.role = Role::Primary;
            self.complete = true;
            self.decide_at = None;
        } else if self.role == Role::Electing && self.decide_at.is_none() {
            self.decide_at = Some(self.start_until);
        }
        self.log.changed(Key::Config);
        self.hasten(now);
    }

    /// Whether the group has this key server only.
    pub(crate) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether this key server mints keys and sends rekeys.
    pub(crate) fn leads(&self) -> bool {
        self.role == Role::Primary
    }

    /// A record changed: the peers are told at once.
    pub(crate) fn changed(&mut self, key: Key, now: Time) {
        if !self.is_alone() {
            self.log.changed(key);
            self.hasten(now);
        }
    }

    /// A record changed by what happened here, whoever told of it: all peers are told at once.
    pub(crate) fn changed_here(&mut self, key: Key, now: Time) {
        let source = self.log.source();
        self.log.comes_from(None);
        self.changed(key, now);
        self.log.comes_from(source);
    }

    /// Whether every configured key server is reachable.
    pub(crate) fn all_are_alive(&self) -> bool {
        self.peers.values().all(|peer| peer.alive)
    }

    /// Rekeys that were handed over are not repeated any more.
    pub(crate) fn withdraw_rekeys(&mut self) {
        self.handover.clear();
    }

    /// A record is no more.
    pub(crate) fn gone(&mut self, key: &Key) {
        self.log.gone(key);
    }

    /// Configured key servers that are not known to hold all of these records on disk.
    pub(crate) fn lacking(&self, keys: &[Key]) -> Vec<Ipv4Addr> {
        let has = |peer: &Peer, key: &Key| {
            let stamp = self.log.stamp(key);
            stamp.is_none_or(|stamp| peer.acked >= stamp) || self.log.is_from(key, peer.index)
        };
        let lacks = |peer: &&Peer| keys.iter().any(|key| !has(peer, key));
        let peers = self.peers.values().filter(lacks);
        peers.map(|peer| peer.address).collect()
    }

    /// No key waits for other key servers.
    pub(crate) fn stop_waiting(&mut self) {
        self.waiting_since = None;
    }

    /// Whether the rekey key must stay what it is: the primary's, which the group is signed with.
    //= getvpn P26
    pub(crate) fn keeps_rekey_key(&self) -> bool {
        !self.leads() && self.primary_key.is_some()
    }

    /// The rekey key that came from the primary, for whoever keeps the keys of this box.
    pub(crate) fn take_adopted(&mut self) -> Vec<AdoptedKey> {
        std::mem::take(&mut self.adopted)
    }

    /// The policy changed here.
    pub(crate) fn next_policy_version(&mut self) {
        let (_, count) = self.row.policy_version;
        self.row.policy_version = (self.row.tenure, count.saturating_add(1));
    }

    /// What is remembered over a restart.
    pub(crate) const fn row(&self) -> &CoopRow {
        &self.row
    }

    fn peer_at(&mut self, address: Ipv4Addr) -> Option<&mut Peer> {
        self.peers.values_mut().find(|peer| peer.address == address)
    }

    /// The next sequence number; when the mark rises it must be on disk before the message leaves.
    fn next_sequence(&mut self) -> (u64, bool) {
        self.sequence = self.sequence.saturating_add(1);
        let rises = self.sequence >= self.row.sequence_mark;
        if rises {
            self.row.sequence_mark = self.sequence.saturating_add(COOP_SEQUENCE_BLOCK);
        }
        (self.sequence, rises)
    }

    fn marks(&self, index: KsIndex) -> CoopMarks {
        self.row.marks[usize::from(index.get())]
    }

    fn marks_mut(&mut self, index: KsIndex) -> &mut CoopMarks {
        &mut self.row.marks[usize::from(index.get())]
    }

    /// Whether every key server of the view has a record on its disk.
    fn is_replicated(&self, key: &Key) -> bool {
        let Some(stamp) = self.log.stamp(key) else {
            return true;
        };
        let mut view = self
            .peers
            .values()
            .filter(|peer| peer.alive && !peer.lagging);
        view.all(|peer| peer.acked >= stamp || self.log.is_from(key, peer.index))
    }
}

impl KeyServer {
    /// Whether keys may be told to members: every key server of the view has them, or had time
    /// enough; those that did not write them down in time lag.
    //= getvpn P13
    pub(super) fn may_use(&mut self, cx: &mut Context<'_>, keys: &[Key]) -> bool {
        if keys.iter().all(|key| self.coop.is_replicated(key)) {
            self.coop.waiting_since = None;
            return true;
        }
        let since = *self.coop.waiting_since.get_or_insert(cx.now);
        if cx.now < since + self.replication_wait() {
            return false;
        }
        self.coop.waiting_since = None;
        let newest = keys.iter().filter_map(|key| self.coop.log.stamp(key)).max();
        for peer in self.coop.peers.values_mut() {
            if peer.alive && !peer.lagging && Some(peer.acked) < newest {
                peer.lagging = true;
                cx.out.report(event::Gdoi::COOP_KS_LAGGING {
                    ks: peer.address,
                    group: self.config.group.clone(),
                });
            }
        }
        true
    }

    /// How long keys wait for key servers that do not write them down.
    pub(super) fn replication_wait(&self) -> Duration {
        if self.coop.is_alone() {
            return Duration::ZERO;
        }
        let lifetime_s = self
            .plan
            .as_ref()
            .map_or(0, |plan| plan.wanted.tek_lifetime_s);
        REPLICATION_WAIT_MAX.min(Duration::from_secs(u64::from(lifetime_s)) / 8)
    }

    /// Why nobody can register here now.
    pub(super) fn waits(&self, now: Time) -> Option<&'static str> {
        if !self.coop.complete {
            return Some("this key server has not heard from the others yet");
        }
        let now = self.clock.at(now);
        // One that ended while all were off gives way when all hold the next.
        let lives = |kind| self.keys.kek(kind).is_some_and(|kek| now < kek.expiry);
        let keks = super::keys::kinds(&self.config).all(lives);
        if !keks || self.keys.running(now).is_none() || self.policy.is_none() {
            return Some("the key servers have not agreed on keys yet");
        }
        None
    }

    /// Writes down what this group must remember of its key servers.
    pub(super) fn persist_coop(&self, cx: &mut Context<'_>) {
        if !self.coop.is_alone() {
            let record = self.coop.row.record(&self.config.group);
            cx.out.push(Output::Persist(record));
        }
    }

    /// Members that were here before there was a log are part of it, too: those of the state file,
    /// and those of a key server that was alone.
    pub(in crate::ks) fn note_members(&mut self) {
        if !self.coop.is_alone() {
            // Whoever was readmitted is told before it is told to have registered again.
            self.note_removals();
            for (address, _) in self.members.iter() {
                self.coop.log.note(Key::Member(address), 0);
            }
        }
    }

    /// Puts what changed of removals into the log. Says whether anything did.
    fn note_removals(&mut self) -> bool {
        let log = &mut self.coop.log;
        let mut urgent = false;
        let removals = &self.keys.removals;
        for (member, word) in &removals.tombstones {
            let shape = u64::from(word.count) << 2 | 1;
            urgent |= log.note(Key::Tombstone(*member), shape);
        }
        if !removals.is_empty() {
            let raises = removals.raises.iter().map(|raise| raise.at.as_nanos());
            let shape = raises.fold(removals.cleared.made.as_nanos(), u64::wrapping_add);
            urgent |= log.note(Key::Removals, shape);
        }
        urgent
    }

    /// Puts what changed of keys and policy into the log.
    pub(in crate::ks) fn note_changes(&mut self, now: Time) {
        if self.coop.is_alone() {
            return;
        }
        // Who was removed, before any key that was made because of it.
        let mut urgent = self.note_removals();
        let log = &mut self.coop.log;
        for record in &self.keys.teks {
            let shape = u64::from(record.announced)
                | u64::from(record.delivered) << 1
                | u64::from(record.withdrawn) << 2;
            urgent |= log.note(Key::Tek(record.tek.spi), 8 | shape);
        }
        for kek in &self.keys.keks {
            let shape = u64::from(kek.announced) | u64::from(kek.delivered) << 1;
            // The sequence number alone is told with the next announcement: a term of its own keeps
            // whoever leads next from repeating it.
            urgent |= log.note(Key::Kek(kek.sa.spi), (u64::from(kek.seq) << 4) | 8 | shape);
        }
        let current = self.plan.as_ref().map(|plan| &*plan.key.label);
        let former = |label: &str| Some(label) != current;
        for kek in self.keys.keks.iter().filter(|kek| former(&kek.label)) {
            urgent |= log.note(Key::Signed(kek.label.clone()), 0);
        }
        for blob in [&self.policy, &self.next_policy].into_iter().flatten() {
            for number in 0..blob
                .octets
                .len()
                .div_ceil(crate::limits::POLICY_PIECE_OCTETS)
            {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                urgent |= log.note(Key::Piece(blob.sha256, number), 1);
            }
        }
        let name = |blob: &Option<super::PolicyBlob>| {
            let first = blob.as_ref().and_then(|blob| blob.sha256.first_chunk());
            first.copied().map_or(0, u64::from_be_bytes)
        };
        let shape = name(&self.policy) ^ name(&self.next_policy).rotate_left(1);
        urgent |= log.note(
            Key::Group,
            shape ^ u64::from(self.coop.row.policy_version.1),
        );
        self.coop.handover.expire(now);
        let handover = &self.coop.handover;
        let (keys, policies) = (&self.keys, [&self.policy, &self.next_policy]);
        log.retain(|key| match key {
            Key::Tek(spi) => keys.tek_by_spi(*spi).is_some(),
            Key::Kek(spi) => keys.kek_by_spi(spi).is_some(),
            Key::Signed(label) => former(label) && keys.keks.iter().any(|kek| kek.label == *label),
            Key::Piece(sha256, _) => policies
                .iter()
                .any(|blob| blob.as_ref().is_some_and(|blob| blob.sha256 == *sha256)),
            Key::Group | Key::Config | Key::Signing | Key::Member(_) => true,
            Key::Removals | Key::Tombstone(_) => true,
            Key::Handed(to, number) => handover.find(*to, *number).is_some(),
        });
        if urgent {
            self.coop.hasten(now);
        }
    }
}

impl Coop {
    /// The peers are to hear what changed at once.
    pub(crate) fn hasten(&mut self, now: Time) {
        let source = self.log.source();
        for peer in self.peers.values_mut() {
            if Some(peer.index) != source {
                peer.due = peer.due.min(now);
            }
        }
    }
}

/// Whether the group is configured well enough to take part.
fn takes_part(serving: &Serving) -> bool {
    // A key server that lacks only the rekey key gets it from the primary.
    matches!(serving, Serving::Yes | Serving::NoRekeyKey { .. })
}

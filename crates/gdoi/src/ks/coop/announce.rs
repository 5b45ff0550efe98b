//! What key servers say to each other, and what is believed of it.
//!
//! Decides the content of announcements and answers, and in which order one that came is judged:
//! kin, peer, list of key servers, sequence number; only then anything changes.

use std::net::SocketAddrV4;

use ::policy::{Generation, GroupId, KsIndex, Time};
use event::Gdoi;
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Nonce};
use wire::limits::COOP_RECORDS_MAX as RECORDS_MAX;
use wire::private::{Announcement, CoopFlags, CoopGroup, CoopMarks, CoopRecord, CoopRole, Heard};
use zeroize::Zeroizing;

use super::log::{Key, Log};
use super::peer::{Link, Outstanding, Said};
use super::view::Role;
use super::{Peer, records};
use crate::config::{IsakmpCipher, IsakmpHash};
use crate::context::Context;
use crate::ike::{Agreed, Connection, Expect, SaId, SendError, Version};
use crate::kin::{self, Proof};
use crate::ks::{KeyServer, PullMessage, Serving};
use crate::limits::{
    ANNOUNCEMENT_OCTETS_MAX, ANNOUNCEMENT_RETRY, PEER_SILENCE_MAX, PSEUDOTIME_MAX,
};
use crate::refusal::Refusal;

/// The records of one announcement.
#[derive(Default)]
pub(super) struct Delta {
    from: u64,
    pub(super) to: u64,
    backlog: u32,
    records: Vec<(u8, Zeroizing<Vec<u8>>)>,
}

/// What is said: an announcement, with records of its own.
#[derive(Clone)]
pub(super) struct Utterance {
    /// All but the records.
    pub(super) frame: Announcement<'static>,
    /// Kinds and octets.
    pub(super) records: Vec<(u8, Zeroizing<Vec<u8>>)>,
}

impl Utterance {
    /// As it is written, and as it is believed.
    pub(super) fn announcement(&self) -> Announcement<'_> {
        let mut announcement: Announcement<'_> = self.frame.clone();
        let records = self.records.iter();
        announcement.records = records
            .map(|(kind, octets)| CoopRecord {
                kind: *kind,
                octets,
            })
            .collect();
        announcement
    }
}

impl KeyServer {
    /// Sends a peer what it has not written down yet, if it is due and nothing is on its way.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        let Some(before) = self.owes(cx.now, index) else {
            return;
        };
        #[cfg(feature = "model")]
        if cx.decoded {
            return self.announce_decoded(cx, index, before);
        }
        let local = SocketAddrV4::new(self.config.address, 848);
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        // An SA that is nearly used up gives way to the next one.
        let sa = match cx
            .isakmp
            .connect(cx.now, local, peer.socket(), cx.rng, cx.out)
        {
            Connection::Established(sa) => sa,
            Connection::Pending(_) | Connection::Refused(_) => before,
        };
        if sa != before {
            peer.link = Link::Up(sa);
            cx.isakmp.watch(sa);
        }
        let kin = cx.isakmp.sa(sa).is_some_and(crate::ike::Sa::is_kin);
        let weakness = cx.isakmp.sa(sa).and_then(|sa| weakness(&sa.agreed()));
        let opened = cx
            .isakmp
            .open(cx.now, sa, ExchangeType::GETVPN_COOP, cx.rng);
        let message_id = match opened {
            Ok(message_id) => message_id,
            Err(SendError::Busy) => {
                peer.due = cx.now + ANNOUNCEMENT_RETRY;
                return;
            }
            Err(_) => return self.cannot_send(cx, index, sa),
        };
        let (delta, asks_reply) = self.begin_announcement(cx, index, (kin, weakness));
        let to = delta.to;
        let exchange = (sa, message_id);
        if self.say(cx, exchange, index, (delta, asks_reply), Expect::Reply) {
            self.announced(cx.now, index, exchange, (to, asks_reply));
        } else {
            self.cannot_send(cx, index, sa);
        }
    }

    /// The SA with a peer to which an announcement is due.
    fn owes(&self, now: Time, index: KsIndex) -> Option<SaId> {
        let peer = self.coop.peers.get(&index)?;
        let due = peer.outstanding.is_none() && peer.due <= now;
        peer.sa().filter(|_| due)
    }

    /// What goes into the announcement that is due, over an SA of that kind: whether the peer is
    /// proven kin there, and why it is too weak for keys.
    pub(super) fn begin_announcement(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        (kin, weakness): (bool, Option<String>),
    ) -> (Delta, bool) {
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return (Delta::default(), false);
        };
        peer.due = Time::MAX;
        let asks_reply = std::mem::take(&mut peer.asks_reply);
        self.coop.handover.expire(cx.now);
        let delta = if kin {
            self.delta(cx, index, weakness)
        } else {
            self.no_delta(index)
        };
        (delta, asks_reply)
    }

    /// An announcement has left.
    pub(super) fn announced(
        &mut self,
        now: Time,
        index: KsIndex,
        exchange: (SaId, u32),
        (to, asks_reply): (u64, bool),
    ) {
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        peer.counters.announcements_sent += 1;
        peer.counters.reply_requests_sent += u64::from(asks_reply);
        peer.outstanding = Some(Outstanding {
            exchange,
            to,
            sent: now,
        });
    }

    /// The SA takes nothing more: a new one is needed.
    fn cannot_send(&mut self, cx: &mut Context<'_>, index: KsIndex, sa: SaId) {
        cx.isakmp.delete(cx.now, sa, cx.rng, cx.out);
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.counters.sent_drops += 1;
            peer.asks_reply = true;
            peer.link = Link::Down { retry: cx.now };
        }
    }

    /// Says where this key server stands, with what changed. Says whether it could.
    fn say(
        &mut self,
        cx: &mut Context<'_>,
        (sa, message_id): (SaId, u32),
        index: KsIndex,
        said: (Delta, bool),
        expect: Expect,
    ) -> bool {
        let kin = cx.isakmp.sa(sa).is_some_and(crate::ike::Sa::is_kin);
        // Who is proven kin proves it in answers only.
        let proves = !kin || expect == Expect::Final;
        let nonce = proves
            .then(|| kin::with_bond(cx, sa, |bond, rng| kin::nonce(bond, rng)))
            .flatten();
        let (utterance, rises) = self.utter(cx.now, index, said);
        let mut builder = Builder::new();
        if let Some(nonce) = nonce.as_deref() {
            builder.push(&Nonce { data: nonce });
        }
        builder.push(&utterance.announcement());
        let Ok(built) = builder.finish() else {
            return false;
        };
        let octets = built.payloads().len() as u64;
        if rises {
            self.persist_coop(cx);
        }
        let message = (built.first(), built.payloads());
        let sent = cx
            .isakmp
            .send(cx.now, sa, message_id, message, expect, cx.out);
        if let Some(peer) = self.coop.peers.get_mut(&index).filter(|_| sent.is_ok()) {
            peer.counters.octets_sent += octets;
        }
        sent.is_ok()
    }

    /// Says where this key server stands. Says whether the mark of its numbers rose: it must be on
    /// disk before the message leaves.
    pub(super) fn utter(
        &mut self,
        now: Time,
        index: KsIndex,
        (delta, asks_reply): (Delta, bool),
    ) -> (Utterance, bool) {
        let (sequence, rises) = self.coop.next_sequence();
        let frame = self.frame_of(now, index, sequence, (&delta, asks_reply));
        let records = delta.records;
        (Utterance { frame, records }, rises)
    }

    fn frame_of(
        &self,
        now: Time,
        index: KsIndex,
        sequence: u64,
        (delta, asks_reply): (&Delta, bool),
    ) -> Announcement<'static> {
        let coop = &self.coop;
        let peer = coop.peers.get(&index);
        let own = coop.own;
        let plan = self.plan.as_ref();
        Announcement {
            role: role_to_wire(coop.role),
            flags: CoopFlags {
                reply_requested: asks_reply,
                complete: coop.complete,
                founded: self.is_founded(),
            },
            index: own.get(),
            // Who cannot lead, for want of a rekey key, is no candidate.
            priority: if self.serving == Serving::Yes {
                self.config.priority
            } else {
                0
            },
            version: [Version::OWN.major, Version::OWN.minor, Version::OWN.patch],
            group: group_to_wire(self.config.id),
            incarnation: coop.incarnation,
            receiver: peer.and_then(|peer| peer.incarnation).unwrap_or_default(),
            sequence,
            ks_list_hash: plan.map_or([0; 8], |plan| plan.wanted.ks_list_hash),
            pseudotime_ns: self.clock.at(now).as_nanos(),
            clock_generation: self.clock.generation().0,
            term: coop.row.term,
            generation: self.keys.generation.0,
            marks: self.own_marks(),
            yours: Some(coop.marks(index)).filter(|marks| *marks != CoopMarks::default()),
            received: peer.map_or(0, |peer| peer.received),
            from: delta.from,
            to: delta.to,
            backlog: delta.backlog,
            heard: coop.peers.values().map(|peer| heard(peer, now)).collect(),
            records: Vec::new(),
        }
    }

    /// The highest numbers that this key server has used.
    //= getvpn P22
    fn own_marks(&self) -> CoopMarks {
        let own = usize::from(self.coop.own.get());
        CoopMarks {
            sid: self.sids.mark(),
            term: self.coop.row.tenure,
            sequence: self.coop.sequence,
            generation: self.keys.generation.0[own],
        }
    }

    /// Whether this key server has keys of the group.
    pub(in crate::ks) fn is_founded(&self) -> bool {
        !self.keys.keks.is_empty()
    }

    pub(super) fn no_delta(&self, index: KsIndex) -> Delta {
        let acked = self.coop.peers.get(&index).map_or(0, |peer| peer.acked);
        let backlog = self.coop.log.after(acked).count();
        Delta {
            from: acked,
            to: acked,
            backlog: u32::try_from(backlog).unwrap_or(u32::MAX),
            records: Vec::new(),
        }
    }

    /// What a peer has not written down; nothing while it is not known which run of it listens, or
    /// when the SA is too weak for keys.
    fn delta(&mut self, cx: &mut Context<'_>, index: KsIndex, weakness: Option<String>) -> Delta {
        let mut delta = self.no_delta(index);
        let group = self.config.group.clone();
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return delta;
        };
        let ready = peer.incarnation.is_some() && peer.said.as_ref().is_some_and(|s| s.same_list);
        if !ready {
            return delta;
        }
        if let Some(reason) = weakness {
            if !std::mem::replace(&mut peer.weak, true) {
                let ks = peer.address;
                cx.out.report(Gdoi::COOP_PEER_WEAK { ks, group, reason });
            }
            return delta;
        }
        let mut octets = 0;
        let mut told: Vec<Key> = Vec::new();
        for (stamp, key) in self.coop.log.after(delta.from) {
            let known = self.coop.log.is_from(key, index) || Log::is_for_another(key, index);
            let needed = self.needed_by(key).filter(|kek| {
                let later = self.coop.log.stamp(kek) > Some(stamp);
                later && !known && !told.contains(kek) && !self.coop.log.is_from(kek, index)
            });
            let records: Vec<_> = [needed.as_ref(), Some(key).filter(|_| !known)]
                .into_iter()
                .flatten()
                .filter_map(|key| self.record(cx, key))
                .collect();
            octets += records.iter().map(|(_, own)| own.len() + 3).sum::<usize>();
            let count = delta.records.len();
            let full = octets > ANNOUNCEMENT_OCTETS_MAX || count + records.len() > RECORDS_MAX;
            if full && count > 0 {
                break;
            }
            let records = records.into_iter();
            let records = records.map(|(kind, octets)| (kind, Zeroizing::new(octets)));
            delta.records.extend(records);
            told.extend(needed);
            delta.to = stamp;
            delta.backlog = delta.backlog.saturating_sub(1);
        }
        delta
    }

    /// What whoever reads a record must know first, although its own turn may be later: the Rekey SA
    /// that a member's record names, whose sequence number every rekey changes; before a key, the
    /// rises of the generation that are to come, to which every merge adds.
    fn needed_by(&self, key: &Key) -> Option<Key> {
        match key {
            Key::Member(address) => Some(Key::Kek(self.members.find(*address)?.kek)),
            Key::Kek(_) | Key::Tek(_) => Some(Key::Removals).filter(|_| self.is_removing()),
            Key::Piece(..)
            | Key::Group
            | Key::Config
            | Key::Signing
            | Key::Signed(_)
            | Key::Removals
            | Key::Tombstone(_)
            | Key::Handed(..) => None,
        }
    }

    /// The octets of a record; `None` for one that is no more.
    fn record(&self, cx: &Context<'_>, key: &Key) -> Option<(u8, Vec<u8>)> {
        let (kind, octets) = match key {
            Key::Tek(spi) => (records::TEK, records::tek(self.keys.tek_by_spi(*spi)?)),
            Key::Kek(spi) => (records::KEK, records::kek(self.keys.kek_by_spi(spi)?)),
            Key::Member(address) => {
                let member = self.members.find(*address)?;
                (records::MEMBER, records::member(*address, member))
            }
            Key::Group if self.is_founded() => (records::GROUP, self.group_record().encode()),
            Key::Group => return None,
            Key::Piece(sha256, number) => {
                let blobs = [&self.policy, &self.next_policy];
                let mut blobs = blobs.into_iter().flatten();
                let blob = blobs.find(|blob| blob.sha256 == *sha256)?;
                let piece = records::Piece::of(*sha256, &blob.octets, *number)?;
                (records::PIECE, piece.encode())
            }
            Key::Signing => (records::REKEY_KEY, self.rekey_key_record(cx)?.encode()),
            Key::Signed(label) => {
                let record = self.former_key_record(cx, label)?;
                (records::FORMER_KEY, record.encode())
            }
            Key::Config => (records::CONFIG, records::config(&self.config_fields())),
            Key::Handed(to, number) => self.coop.handover.find(*to, *number)?.encode(),
            Key::Removals => (records::REMOVALS, self.keys.removals.encode()),
            Key::Tombstone(member) => {
                let word = self.keys.removals.tombstone(*member)?;
                (records::TOMBSTONE, records::tombstone(*member, word))
            }
        };
        Some((kind, octets.ok()?))
    }

    pub(super) fn group_record(&self) -> records::Group {
        let name = |blob: &Option<crate::policy_blob::PolicyBlob>| {
            let blob = blob.as_ref()?;
            Some((blob.sha256, u32::try_from(blob.octets.len()).ok()?))
        };
        records::Group {
            spi_key: self.keys.spi_key.clone(),
            version: self.coop.row.policy_version,
            policies: [name(&self.policy), name(&self.next_policy)],
        }
    }

    // ---------------------------------------------------------------- what comes in

    /// A message of COOP about this group: an announcement (step 1), or the answer to ours.
    pub(crate) fn coop_message(
        &mut self,
        cx: &mut Context<'_>,
        message: &PullMessage<'_>,
        step: u8,
    ) {
        let Some(source) = cx.isakmp.sa(message.sa).map(|sa| *sa.peer().ip()) else {
            return;
        };
        let octets = message.payloads.len() as u64;
        match self.believe(cx, message, step) {
            Ok(index) => {
                if let Some(peer) = self.coop.peers.get_mut(&index) {
                    peer.counters.octets_received += octets;
                }
                self.coop_tick(cx);
                self.tick(cx);
            }
            Err(refusal) => {
                if let Some(peer) = self.coop.peer_at(source) {
                    peer.counters.received_drops += 1;
                }
                let name = refusal.row().name;
                if self.refusals.count(cx.now, source, name) {
                    cx.out.report(refusal.coop_event(
                        source,
                        self.config.address,
                        &self.config.group,
                    ));
                }
            }
        }
    }

    fn believe(
        &mut self,
        cx: &mut Context<'_>,
        message: &PullMessage<'_>,
        step: u8,
    ) -> Result<KsIndex, Refusal> {
        let chain = Chain::decode(message.first, message.payloads).map_err(Refusal::Malformed)?;
        let raw = chain
            .find(PayloadType::GETVPN_COOP)
            .ok_or(Refusal::NotKin)?;
        let said: Announcement<'_> = raw.decode().map_err(Refusal::Malformed)?;
        if said.pseudotime_ns > PSEUDOTIME_MAX.as_nanos() {
            return Err(Refusal::Incomplete("a pseudotime past its end".to_owned()));
        }
        let source = cx.isakmp.sa(message.sa).map(|sa| *sa.peer().ip());
        let peer = source.and_then(|source| self.coop.peer_at(source));
        let index = peer.ok_or(Refusal::UnknownKeyServer)?.index;
        let nonce = chain.find(PayloadType::NONCE).map(|raw| raw.body);
        prove_kin(cx, message.sa, nonce)?;
        if step == 1 {
            let waiting = self.believe_announcement(cx, index, &said)?;
            self.answer(cx, message, index);
            self.heed(cx.now, index, &said, waiting);
        } else {
            let exchange = (message.sa, message.message_id);
            cx.isakmp.finish(message.sa, message.message_id);
            self.believe_answer(cx, index, &said, exchange)?;
        }
        Ok(index)
    }

    /// Judges an announcement whose sender is proven. Says whether more is to come.
    pub(super) fn believe_announcement(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
    ) -> Result<bool, Refusal> {
        let peer = self.coop.peers.get_mut(&index);
        let peer = peer.ok_or(Refusal::UnknownKeyServer)?;
        let same_run = peer.incarnation == Some(said.incarnation);
        if same_run && said.sequence <= peer.sequence {
            return Err(Refusal::CoopSequence {
                seq: said.sequence,
                last: peer.sequence,
            });
        }
        peer.counters.announcements_received += 1;
        peer.counters.reply_requests_received += u64::from(said.flags.reply_requested);
        self.take(cx, index, said, None)
    }

    /// An announcement was believed and answered.
    pub(super) fn heed(
        &mut self,
        now: Time,
        index: KsIndex,
        said: &Announcement<'_>,
        waiting: bool,
    ) {
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.sequence = said.sequence;
            if said.flags.reply_requested || waiting {
                peer.due = peer.due.min(now);
            }
        }
    }

    /// Judges the answer to an announcement of ours.
    pub(super) fn believe_answer(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
        exchange: (SaId, u32),
    ) -> Result<(), Refusal> {
        let peer = self.coop.peers.get_mut(&index);
        let peer = peer.ok_or(Refusal::UnknownKeyServer)?;
        let asked = peer
            .outstanding
            .take_if(|outstanding| outstanding.exchange == exchange);
        let asked = asked.ok_or(Refusal::NoPull)?;
        self.take(cx, index, said, Some(asked.sent))?;
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            let more = peer.acked < self.coop.log.last() && peer.acked >= asked.to;
            let next = self.coop.next_announcement;
            peer.due = if more || peer.asks_reply {
                cx.now
            } else {
                peer.due.min(next)
            };
        }
        Ok(())
    }

    fn answer(&mut self, cx: &mut Context<'_>, message: &PullMessage<'_>, index: KsIndex) {
        let delta = self.no_delta(index);
        let exchange = (message.sa, message.message_id);
        self.say(cx, exchange, index, (delta, false), Expect::Final);
    }

    /// Takes what a peer says as true. Says whether it holds records that it has not sent yet.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
        asked: Option<Time>,
    ) -> Result<bool, Refusal> {
        let own_hash = self.plan.as_ref().map(|plan| plan.wanted.ks_list_hash);
        let same_list = own_hash == Some(said.ks_list_hash) && said.index == index.get();
        let own = self.coop.own.get();
        let incarnation = self.coop.incarnation;
        let last = self.coop.log.last();
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return Err(Refusal::UnknownKeyServer);
        };
        if peer.incarnation != Some(said.incarnation) {
            peer.reborn(said.incarnation);
            self.coop.log.tell_again(index);
            peer.asks_reply = true;
            peer.due = cx.now;
        }
        let to_us = said.receiver == incarnation;
        if to_us {
            peer.acked = peer.acked.max(said.received.min(last));
            if peer.acked == last {
                peer.lagging = false;
            }
        }
        peer.heard = Some(cx.now);
        let hears_us = said.heard.iter().any(|heard| {
            heard.index == own && u128::from(heard.age_ms) < PEER_SILENCE_MAX.as_millis()
        });
        if to_us && (asked.is_some() || hears_us) {
            peer.both_ways = Some(cx.now);
        }
        peer.said = Some(Said {
            role: role_of(said.role),
            priority: said.priority,
            version: Version {
                major: said.version[0],
                minor: said.version[1],
                patch: said.version[2],
            },
            generation: Generation(said.generation),
            complete: said.flags.complete,
            founded: said.flags.founded,
            same_list,
            heard: said.heard.clone(),
        });
        self.revive(cx, index);
        self.compare_list(cx, index, same_list);
        if !same_list {
            return Ok(false);
        }
        self.coop.row.term = self.coop.row.term.max(said.term);
        if let Some(asked) = asked {
            self.follow_clock(cx, index, said, asked);
        }
        self.compare_marks(cx, index, said);
        self.import(cx, index, said, to_us)
    }

    /// A peer is reachable both ways again, or for the first time.
    fn revive(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        let group = self.config.group.clone();
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        if peer.alive || peer.both_ways.is_none() {
            return;
        }
        peer.alive = true;
        peer.tried = false;
        if std::mem::take(&mut peer.lost) {
            let ks = peer.address;
            self.coop.scattered = true;
            cx.out.report(Gdoi::COOP_KS_REACH { ks, group });
        }
        self.coop.hasten(cx.now);
    }
}

/// What is said of a peer to the others.
fn heard(peer: &Peer, now: Time) -> Heard {
    let age = peer.heard.map(|at| now.since(at).as_millis());
    let age_ms = age
        .and_then(|age| u32::try_from(age).ok())
        .unwrap_or(u32::MAX);
    Heard {
        index: peer.index.get(),
        role: role_to_wire(peer.said.as_ref().map_or(Role::Electing, |said| said.role)),
        both_ways: peer.alive,
        age_ms,
    }
}

pub(super) const fn role_of(role: CoopRole) -> Role {
    match role {
        CoopRole::Electing => Role::Electing,
        CoopRole::Primary => Role::Primary,
        CoopRole::Secondary => Role::Secondary,
    }
}

const fn role_to_wire(role: Role) -> CoopRole {
    match role {
        Role::Electing => CoopRole::Electing,
        Role::Primary => CoopRole::Primary,
        Role::Secondary => CoopRole::Secondary,
    }
}

fn group_to_wire(id: GroupId) -> CoopGroup {
    match id {
        GroupId::Number(number) => CoopGroup::Number(number),
        GroupId::Address(address) => CoopGroup::Address(address.octets()),
    }
}

/// The group that an announcement is about.
pub(crate) fn group_of(group: CoopGroup) -> GroupId {
    match group {
        CoopGroup::Number(number) => GroupId::Number(number),
        CoopGroup::Address(address) => GroupId::Address(address.into()),
    }
}

/// Cooperating key servers are kin, in every SA.
//= getvpn P2
fn prove_kin(cx: &mut Context<'_>, sa: SaId, nonce: Option<&[u8]>) -> Result<(), Refusal> {
    let known = cx.isakmp.sa(sa).is_some_and(crate::ike::Sa::is_kin);
    let Some(nonce) = nonce else {
        return if known { Ok(()) } else { Err(Refusal::NotKin) };
    };
    match kin::with_bond(cx, sa, |bond, _| kin::check(bond, nonce)) {
        Some(Proof::Kin) => {
            cx.isakmp.mark_kin(sa);
            Ok(())
        }
        Some(Proof::Downgraded) => Err(Refusal::Downgraded),
        Some(Proof::Plain) | None => Err(Refusal::NotKin),
    }
}

/// Why an SA is too weak to carry keys between key servers.
//= getvpn P26
fn weakness(agreed: &Agreed) -> Option<String> {
    if agreed.encryption != IsakmpCipher::Aes256 {
        return Some("phase 1 without AES-256".to_owned());
    }
    if agreed.hash == IsakmpHash::Sha1 {
        return Some("phase 1 with SHA-1".to_owned());
    }
    (agreed.group < 14).then(|| format!("Diffie-Hellman group {}", agreed.group))
}

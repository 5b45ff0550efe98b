//! The key server's side of the model check: what key servers tell each other as values, without
//! IKE, and what decides how a key server goes on as a hash. Nothing of it is in the product.

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{KekSpi, KsIndex, PeerKind, PseudoTime, Spi, Time};

use super::announce::Utterance;
use super::log::{Key, Log};
use super::peer::{Link, Peer};
use super::view::Role;
use crate::context::Context;
use crate::group_sa::{Grant, KekGrant, Offer, Received, TekGrant};
use crate::ike::SaId;
use crate::key_pairs::KeyPair;
use crate::ks::{Kek, KeyServer, Member, Serving, TekRecord};
use crate::machine::Output;
use crate::persist;
use crate::policy_blob::PolicyBlob;

/// An announcement that nobody answers is given up after this time (`limits`: sent four times).
const EXCHANGE_WAIT: Duration = Duration::from_millis(7_500);

/// What leaves a key server for another one.
#[derive(Clone)]
pub enum Decoded {
    /// A phase-1 SA with that one is asked for.
    Connect(KsIndex),
    /// An announcement, or the answer to one.
    Spoken(Spoken),
}

/// A message of COOP.
#[derive(Clone)]
pub struct Spoken {
    /// For whom it is.
    pub to: KsIndex,
    /// The SA that it is under.
    pub sa: u64,
    /// The exchange; the answer has the announcement's.
    pub exchange: u32,
    /// Whether it is an answer.
    pub answer: bool,
    said: Utterance,
}

impl Spoken {
    /// Hashes what it says, but for numbers that only order messages. `logs` turns numbers of the
    /// sender's and of the receiver's log into places.
    pub(crate) fn fingerprint(&self, h: &mut impl Hasher, logs: [&KeyServer; 2]) {
        let [sender, receiver] = logs;
        (self.to.get(), self.answer, self.sa).hash(h);
        let said = &self.said.frame;
        (said.role as u8, said.priority, said.term).hash(h);
        (
            said.flags.reply_requested,
            said.flags.complete,
            said.flags.founded,
        )
            .hash(h);
        (
            said.incarnation,
            said.receiver,
            said.generation,
            said.backlog > 0,
        )
            .hash(h);
        said.pseudotime_ns.hash(h);
        (said.marks.term, said.yours.map(|marks| marks.term)).hash(h);
        (sender.place(said.from), sender.place(said.to)).hash(h);
        receiver.place(said.received).hash(h);
        for heard in &said.heard {
            (heard.index, heard.role as u8, heard.both_ways, heard.age_ms).hash(h);
        }
        for (kind, octets) in &self.said.records {
            (kind, octets.as_slice()).hash(h);
        }
    }
}

/// What a registration gives a member.
pub(crate) struct Admitted {
    pub(crate) server: SocketAddrV4,
    pub(crate) offer: Offer,
    pub(crate) received: Received,
    pub(crate) seq: u32,
    pub(crate) policy: PolicyBlob,
    pub(crate) ack_base: crypto::Secret,
}

/// A phase-1 SA with a peer is asked for.
pub(super) fn connect(cx: &mut Context<'_>, peer: &mut Peer) {
    peer.link = Link::Connecting(SaId::numbered(0));
    let decoded = Decoded::Connect(peer.index);
    cx.out.push(Output::Decoded(Box::new(decoded)));
}

impl KeyServer {
    /// A copy that goes on from here; registrations do not last in the model.
    pub(crate) fn fork(&self) -> Self {
        Self {
            config: self.config.clone(),
            plan: self.plan.clone(),
            serving: self.serving.clone(),
            handle: self.handle,
            boot: self.boot,
            clock: self.clock,
            keys: self.keys.clone(),
            sids: self.sids.clone(),
            sid_marks: self.sid_marks.clone(),
            policy: self.policy.clone(),
            next_policy: self.next_policy.clone(),
            members: self.members.clone(),
            rekeying: self.rekeying.clone(),
            coop: self.coop.clone(),
            pulls: std::collections::BTreeMap::new(),
            refusals: crate::refusal::Refusals::default(),
            rekeys_sent: self.rekeys_sent,
            unsolicited_acks: self.unsolicited_acks,
            repeated_acks: self.repeated_acks,
            last_sync: self.last_sync,
            resyncs: self.resyncs,
            untimed: self.untimed.clone(),
            buried: self.buried.clone(),
            unsure_until: self.unsure_until,
            plain_reach: self.plain_reach,
            fragmented: self.fragmented,
            ordered: self.ordered,
            spent: self.spent,
            summoned: self.summoned.clone(),
            keys_until: self.keys_until,
            rate: self.rate.clone(),
        }
    }

    // ---------------------------------------------------------------- what happens

    /// An announcement is due over that SA.
    pub(super) fn announce_decoded(&mut self, cx: &mut Context<'_>, index: KsIndex, sa: SaId) {
        let said = self.begin_announcement(cx, index, (true, None));
        let about = (said.0.to, said.1);
        let exchange = (sa, u32::try_from(self.coop.sequence).unwrap_or(u32::MAX));
        self.say_decoded(cx, index, exchange, said, false);
        self.announced(cx.now, index, exchange, about);
    }

    fn say_decoded(
        &mut self,
        cx: &mut Context<'_>,
        to: KsIndex,
        (sa, exchange): (SaId, u32),
        said: (super::announce::Delta, bool),
        answer: bool,
    ) {
        let (said, rises) = self.utter(cx.now, to, said);
        if rises {
            self.persist_coop(cx);
        }
        let spoken = Spoken {
            to,
            sa: sa.number(),
            exchange,
            answer,
            said,
        };
        let decoded = Decoded::Spoken(spoken);
        cx.out.push(Output::Decoded(Box::new(decoded)));
    }

    /// A message of a peer came, under the SA that both have.
    pub(crate) fn hear_decoded(&mut self, cx: &mut Context<'_>, from: KsIndex, heard: &Spoken) {
        let said = heard.said.announcement();
        let exchange = (SaId::numbered(heard.sa), heard.exchange);
        let believed = if heard.answer {
            self.believe_answer(cx, from, &said, exchange)
        } else {
            self.believe_announcement(cx, from, &said).map(|waiting| {
                let delta = self.no_delta(from);
                self.say_decoded(cx, from, exchange, (delta, false), true);
                self.heed(cx.now, from, &said, waiting);
            })
        };
        if believed.is_ok() {
            self.coop_tick(cx);
            self.tick(cx);
        }
    }

    /// There is an SA with that peer.
    pub(crate) fn reached_decoded(&mut self, cx: &mut Context<'_>, index: KsIndex, sa: u64) {
        if let Some(peer) = self.coop.peers.get_mut(&index)
            && peer.sa().is_none()
        {
            peer.link = Link::Up(SaId::numbered(sa));
            peer.due = cx.now;
            self.coop_tick(cx);
        }
    }

    /// No SA with that peer came about.
    pub(crate) fn unreached_decoded(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        self.unreached(cx, index);
        self.coop_tick(cx);
    }

    /// The peer says that this SA is no more.
    pub(crate) fn deleted_decoded(&mut self, cx: &mut Context<'_>, sa: u64) {
        self.coop_deleted(cx, SaId::numbered(sa), false);
    }

    /// Gives up announcements that were not answered; returns the SAs, which are no more.
    pub(crate) fn give_up_decoded(&mut self, cx: &mut Context<'_>) -> Vec<u64> {
        let late = |peer: &Peer| {
            let outstanding = peer.outstanding?;
            (outstanding.sent + EXCHANGE_WAIT <= cx.now).then_some(outstanding.exchange)
        };
        let late: Vec<(SaId, u32)> = self.coop.peers.values().filter_map(late).collect();
        for (sa, message_id) in &late {
            self.coop_timeout(cx, *sa, *message_id);
        }
        late.iter().map(|(sa, _)| sa.number()).collect()
    }

    /// When `give_up_decoded` has something to do.
    pub(crate) fn give_up_at(&self) -> Option<Time> {
        let peers = self.coop.peers.values();
        let sent = peers.filter_map(|peer| peer.outstanding.map(|one| one.sent));
        sent.min().map(|sent| sent + EXCHANGE_WAIT)
    }

    /// A member that takes what is offered registers: messages 1 to 4 of its PULL at once. Sender
    /// identifiers are left out.
    pub(crate) fn admit_decoded(
        &mut self,
        cx: &mut Context<'_>,
        address: Ipv4Addr,
        takes: impl FnOnce(&Offer) -> bool,
    ) -> Option<Admitted> {
        if self.serving != Serving::Yes || self.waits(cx.now).is_some() {
            return None;
        }
        let kind = PeerKind::Ours;
        let (offer, kek) = self.registration_offer(cx, kind, address);
        if !takes(&offer) {
            return None;
        }
        let sa = self.keys.kek_by_spi(&kek)?;
        let signer = cx.key_pairs.signer(&sa.label, sa.sa.signature);
        let records = offer.teks.iter();
        let grant = Grant {
            kek: Some(KekGrant {
                sa: &sa.sa,
                public_key: signer.map(KeyPair::public_der),
                spi_key: Some(&self.keys.spi_key),
            }),
            teks: records
                .filter_map(|tek| self.keys.tek_by_spi(tek.spi))
                .map(TekGrant::of)
                .collect(),
            sids: None,
            clock_generation: self.clock.generation(),
        };
        let received = grant.with_wire(kind, |kd| Received::from_wire(kd, &offer, kind));
        let ack_base = crypto::Secret::copy_of(&address.octets());
        let admitted = Admitted {
            server: SocketAddrV4::new(self.config.address, 848),
            received: received.ok()?.ok()?,
            seq: sa.seq,
            policy: self.announced_policy()?.clone(),
            ack_base: ack_base.clone(),
            offer,
        };
        let member = Member {
            peer: SocketAddrV4::new(address, 848),
            local: admitted.server,
            server: self.config.address,
            joined: self.clock.at(cx.now),
            kek,
            is_kek_doubted: false,
            kind,
            ack_base,
            registered: Some(cx.now),
            ..self.members.find(address).cloned().unwrap_or_default()
        };
        self.rekeying.forget(address);
        let record = persist::member_record(&self.config.group, address, &member);
        cx.out.push(Output::Persist(record));
        self.members.insert(address, member);
        self.coop.changed(Key::Member(address), cx.now);
        self.tick(cx);
        Some(admitted)
    }

    // ---------------------------------------------------------------- what can be seen

    /// Its role.
    pub(crate) const fn role_decoded(&self) -> Role {
        self.coop.role
    }

    /// The Rekey SA and the number of a rekey that left lately.
    pub(crate) fn number_of(&self, bytes: &[u8]) -> Option<(KekSpi, u32)> {
        self.rekeying.number_of(bytes)
    }

    /// The place in this key server's log of a number: how many of its entries are not above it.
    fn place(&self, stamp: u64) -> usize {
        self.coop.log.places().filter(|at| *at <= stamp).count()
    }

    /// What is known of a peer's log, as a place in that.
    pub(crate) fn received_from(&self, peer: &Self) -> Option<usize> {
        let known = self.coop.peers.get(&peer.coop.own)?;
        let same = known.incarnation == Some(peer.coop.incarnation);
        same.then(|| peer.place(known.received))
    }

    /// Traffic keys that members are told now and that the group's generation has made dead.
    pub(crate) fn hands_out_dead_keys(&self, now: Time) -> bool {
        let now = self.clock.at(now);
        let dead = |tek: &::policy::Tek| !tek.generation.is_alive_in(&self.keys.generation);
        self.keys.usable(now).any(|record| dead(&record.tek))
    }

    /// The group's generation as this key server knows it.
    pub(crate) const fn generation_decoded(&self) -> ::policy::Generation {
        self.keys.generation
    }

    /// Hashes everything that decides how it goes on. Numbers of messages and of the log are
    /// replaced by their order, times by their distance from now; counters are left out.
    pub(crate) fn fingerprint(&self, now: Time, h: &mut impl Hasher) {
        let rel = Relative {
            now,
            pseudo: self.clock.at(now),
        };
        let coop = &self.coop;
        rel.pseudo.as_nanos().hash(h);
        (
            coop.role,
            coop.incarnation,
            coop.complete,
            self.serving == Serving::Yes,
        )
            .hash(h);
        rel.time(coop.decide_at).hash(h);
        rel.later(coop.start_until).hash(h);
        (
            rel.later(coop.next_announcement),
            rel.time(coop.waiting_since),
        )
            .hash(h);
        (
            coop.rekey_key_term,
            coop.row.term,
            coop.row.tenure,
            coop.row.policy_version,
        )
            .hash(h);
        coop.row.marks.iter().for_each(|marks| marks.term.hash(h));
        (rel.time(coop.synchronised), coop.unsure).hash(h);
        (self.clock.generation(), self.clock.is_lost(), self.resyncs).hash(h);
        self.untimed.members().hash(h);
        self.buried.hash(h);
        (coop.previous_primary, coop.rivalled, self.ordered).hash(h);
        coop.scattered.hash(h);
        for peer in coop.peers.values() {
            self.hash_peer(peer, rel, h);
        }
        coop.log.fingerprint(h);
        self.keys.tenure.hash(h);
        self.keys.generation.0.hash(h);
        let removals = &self.keys.removals;
        for raise in &removals.raises {
            (raise.index.get(), raise.counter, raise.at.as_nanos()).hash(h);
        }
        let cleared = removals.cleared;
        (cleared.made.as_nanos(), cleared.forget_at.as_nanos()).hash(h);
        self.hash_summoned(h);
        self.keys.keks.iter().for_each(|kek| hash_kek(kek, h));
        self.keys
            .teks
            .iter()
            .for_each(|record| hash_tek(record, rel, h));
        for blob in [&self.policy, &self.next_policy].into_iter().flatten() {
            blob.sha256.hash(h);
        }
        for (address, member) in self.members.iter() {
            (address, member.local, member.server, member.kek.0).hash(h);
            (member.is_kek_doubted, member.joined.as_nanos()).hash(h);
        }
        self.rekeying.fingerprint(|at| rel.of(at), h);
        rel.pseudo_time(self.last_sync).hash(h);
    }

    fn hash_peer(&self, peer: &Peer, rel: Relative, h: &mut impl Hasher) {
        match peer.link {
            Link::Down { retry } => (0, rel.of(retry)).hash(h),
            Link::Connecting(_) => 1.hash(h),
            Link::Up(sa) => (2, sa.number()).hash(h),
        }
        let outstanding = peer.outstanding;
        outstanding
            .map(|one| (self.place(one.to), rel.of(one.sent)))
            .hash(h);
        (
            rel.later(peer.due),
            peer.asks_reply,
            peer.incarnation,
            peer.lagging,
        )
            .hash(h);
        (peer.alive, peer.tried, self.place(peer.acked)).hash(h);
        (
            rel.time(peer.heard),
            rel.time(peer.both_ways),
            peer.flaps.len(),
        )
            .hash(h);
        if let Some(said) = &peer.said {
            (
                said.role,
                said.priority,
                said.complete,
                said.founded,
                said.same_list,
            )
                .hash(h);
            said.generation.0.hash(h);
            for heard in &said.heard {
                (heard.index, heard.role as u8, heard.both_ways, heard.age_ms).hash(h);
            }
        }
    }
}

fn hash_tek(record: &TekRecord, rel: Relative, h: &mut impl Hasher) {
    (
        record.tek.spi.0,
        record.announced,
        record.delivered,
        record.withdrawn,
    )
        .hash(h);
    (
        record.tek.activation.as_nanos(),
        record.tek.expiry.as_nanos(),
    )
        .hash(h);
    record.send_from.map(|at| rel.pseudo_time(at)).hash(h);
}

fn hash_kek(kek: &Kek, h: &mut impl Hasher) {
    (
        kek.sa.spi.0,
        kek.seq,
        kek.tenure,
        kek.announced,
        kek.delivered,
    )
        .hash(h);
    (kek.minted.as_nanos(), kek.expiry.as_nanos()).hash(h);
}

/// Times as their distance from now.
#[derive(Copy, Clone)]
struct Relative {
    now: Time,
    pseudo: PseudoTime,
}

impl Relative {
    fn of(self, at: Time) -> i128 {
        i128::from(at.as_nanos()) - i128::from(self.now.as_nanos())
    }

    /// What has passed is all the same.
    fn later(self, at: Time) -> i128 {
        self.of(at).max(0)
    }

    fn time(self, at: Option<Time>) -> Option<i128> {
        at.map(|at| self.of(at))
    }

    fn pseudo_time(self, at: PseudoTime) -> i128 {
        i128::from(at.as_nanos()) - i128::from(self.pseudo.as_nanos())
    }
}

impl Log {
    /// Hashes what changed in which order, and from whom.
    fn fingerprint(&self, h: &mut impl Hasher) {
        for (stamp, key) in self.after(0) {
            match key {
                Key::Piece(sha256, number) => (0, &sha256[..4], *number).hash(h),
                Key::Group => 1.hash(h),
                Key::Config => 2.hash(h),
                Key::Signing => 3.hash(h),
                Key::Signed(label) => (10, label).hash(h),
                Key::Kek(KekSpi(spi)) => (4, spi).hash(h),
                Key::Tek(Spi(spi)) => (5, spi).hash(h),
                Key::Member(address) => (6, address).hash(h),
                Key::Removals => 7.hash(h),
                Key::Tombstone(address) => (8, address).hash(h),
                Key::Handed(to, number) => (9, to.get(), number).hash(h),
            }
            self.source_of(key).map(KsIndex::get).hash(h);
            // The last number alone may be that of a record that is no more.
            (stamp == self.last()).hash(h);
        }
    }

    fn places(&self) -> impl Iterator<Item = u64> {
        self.after(0).map(|(stamp, _)| stamp)
    }
}

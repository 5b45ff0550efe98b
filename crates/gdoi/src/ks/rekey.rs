//! Rekeying a group: what is sent to which members, and what their acknowledgements do.
//!
//! Decides when keys follow one another and who is told. What a PUSH says is `ks::compose`, copies
//! and batches are `ks::outstanding`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ::policy::{Generation, KekSpi, PeerKind, PseudoTime, Spi};
use event::{Gdoi, Step};
use wire::iana::AckType;
use wire::private::AckFlags;

use super::coop::Key;
use super::due::{Anew, Departure};
use super::keys::{Activation, KINDS, Kek, NextSeq, TekRecord, Wanted, kinds};
use super::outstanding::{Answer, Content, Copies, HAND_OVERS, Push};
use super::policy::Plan;
use super::{KeyServer, Order, Serving};
use crate::ack::Ack;
use crate::context::Context;
use crate::limits::{
    HANDED_WIDELY_MAX, MULTICAST_ACK_WAIT, ORDERED_REKEYS_MAX, PUSH_BATCH, PUSH_BATCH_PAUSE,
    PUSHES_QUEUED_MAX, TERM_SHIFT,
};
use crate::machine::Output;

/// Which acknowledgement a kind of member is asked for.
//= getvpn P8
pub(crate) const fn ack_type(kind: PeerKind) -> Option<AckType> {
    match kind {
        PeerKind::Ours => Some(AckType::GETVPN_MEMBER),
        PeerKind::Rfc6407 => Some(AckType::KEK_SHA256),
        PeerKind::Rfc3547 => None,
    }
}

/// A PUSH was made.
pub(super) struct Pushed {
    /// The newest traffic key that had no room in it.
    left_out: Option<Spi>,
}

impl KeyServer {
    /// Time has passed: keys that are due are minted and announced, copies repeated.
    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        if self.serving != Serving::Yes {
            return;
        }
        let now = self.clock.at(cx.now);
        self.advance_removal(cx, now);
        let retired = self.keys.removals.spis.clone();
        if self.switch_policy(now) | self.keys.expire(now) {
            self.persist_group(cx);
        }
        if retired != self.keys.removals.spis {
            self.persist_removals(cx);
        }
        let Some(plan) = self.plan.clone().filter(|_| self.coop.leads()) else {
            self.buried.clear();
            return;
        };
        self.bury_retired(cx);
        if self.rekeying.len() < ORDERED_REKEYS_MAX {
            match self.ordered {
                Some(Order::Rekey) => {
                    self.mint_tek(cx, Activation::Soonest);
                    self.ordered = None;
                }
                Some(Order::Instead) => {
                    self.mint_instead(cx, |_| true);
                    // Until here whoever takes over does it all again.
                    self.ordered = None;
                    self.persist_group(cx);
                }
                None => {}
            }
        }
        self.mint_ahead(cx, &plan);
        self.announce_due(cx);
        self.tell_plain_what_is_near(cx);
        self.summon(cx);
        if self.sync_due(now) {
            self.resyncs = self.resyncs.saturating_sub(1);
            self.begin(cx);
            self.send_teks(cx);
        }
        self.remind(cx);
        self.send_due(cx);
    }

    /// Mints what the look-ahead asks for; without one, what follows a key that ends soon.
    //= getvpn P12
    pub(super) fn mint_ahead(&mut self, cx: &mut Context<'_>, plan: &Plan) {
        let now = self.clock.at(cx.now);
        let look_ahead = self.look_ahead();
        if self
            .mint_due(&plan.wanted, now)
            .is_none_or(|due| due <= now)
        {
            self.mint_tek(cx, Activation::InTurn);
            for _ in self.keys.ahead(now)..look_ahead {
                self.mint_tek(cx, Activation::InTurn);
            }
        }
        for kind in kinds(&self.config) {
            let due = self.keys.kek_due(kind, &plan.wanted);
            let none_ahead = self.keys.kek_ahead(kind).is_none();
            if none_ahead && due.is_none_or(|due| due <= now) {
                self.mint_kek(cx, kind);
            }
        }
    }

    /// Periods after the running one that keys are minted for.
    pub(super) fn look_ahead(&self) -> usize {
        if self.coop.is_alone() {
            0
        } else {
            usize::from(self.config.look_ahead)
        }
    }

    /// When the next traffic key is to be minted; `None` for at once.
    pub(super) fn mint_due(&self, wanted: &Wanted, now: PseudoTime) -> Option<PseudoTime> {
        self.keys.tek_due(wanted, self.look_ahead(), now)
    }

    /// Mints a traffic key; it is announced when its time has come.
    pub(super) fn mint_tek(&mut self, cx: &mut Context<'_>, when: Activation) -> Option<Spi> {
        let plan = self.plan.clone()?;
        let now = self.clock.at(cx.now);
        let spread = self.spread(cx);
        let spi = self.keys.mint_tek(&plan.wanted, when, spread, now, cx.rng);
        self.persist_group(cx);
        Some(spi)
    }

    /// Mints a kind's next Rekey SA; it is announced when every key server has it. One that another
    /// primary minted in a later term would stay the one in use: this one leads above it.
    //= getvpn P15, P17
    pub(super) fn mint_kek(&mut self, cx: &mut Context<'_>, kind: PeerKind) {
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let Some(signature) = cx.key_pairs.signature(&plan.key, plan.sig_hash) else {
            return;
        };
        if let Some(later) = self.keys.later_tenure(kind) {
            self.open_term(cx, later);
        }
        let (now, signer) = (self.clock.at(cx.now), (&*plan.key.label, signature));
        self.keys.mint_kek(kind, &plan.wanted, signer, now, cx.rng);
        self.persist_group(cx);
    }

    /// The traffic keys that members are to be told now.
    pub(super) fn teks_due(&self, now: PseudoTime) -> Vec<Spi> {
        let overlap = self.overlap();
        let due = |record: &&TekRecord| !record.announced && record.hand_from(overlap) <= now;
        let spis = self.keys.alive(now).filter(due);
        spis.map(|record| record.tek.spi).collect()
    }

    pub(super) fn overlap(&self) -> Duration {
        let plan = self.plan.as_ref();
        plan.map_or(Duration::ZERO, |plan| plan.wanted.schedule.overlap())
    }

    /// Announces the keys whose time has come and that every key server of the view holds.
    //= getvpn P13
    pub(super) fn announce_due(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let mut keys: Vec<Key> = Vec::new();
        for kind in kinds(&self.config) {
            keys.extend(self.keys.kek_ahead(kind).map(|kek| Key::Kek(kek.sa.spi)));
        }
        let teks = self.teks_due(now);
        keys.extend(teks.iter().copied().map(Key::Tek));
        if keys.is_empty() {
            self.coop.stop_waiting();
            return;
        }
        keys.extend(self.removal_keys());
        if !self.may_use(cx, &keys) {
            return;
        }
        for key in &keys {
            if let Key::Kek(spi) = key {
                self.announce_kek(cx, *spi);
            }
        }
        if !teks.is_empty() {
            // After a removal members come for the key, and the time for that is in its activation.
            let least = if self.is_removing() {
                now
            } else {
                self.all_can_send_from(cx)
            };
            self.keys.announce_teks(&teks, least);
            self.begin(cx);
            self.send_teks(cx);
        }
        self.persist_group(cx);
    }

    /// From when all members can send on what they are told now; earlier when until then little is
    /// left to send on.
    fn all_can_send_from(&self, cx: &Context<'_>) -> PseudoTime {
        let now = self.clock.at(cx.now);
        let until = self.keys.usable(now).map(|record| record.tek.expiry).max();
        let last = until.unwrap_or(now).before(self.overlap());
        now.after(self.delivery_span(cx)).min(last).max(now)
    }

    /// How long it may take until every member that can be reached has what is sent now.
    pub(super) fn delivery_span(&self, cx: &Context<'_>) -> Duration {
        self.plan.as_ref().map_or(Duration::ZERO, |plan| {
            plan.wanted.schedule.activation_delay(self.spread(cx))
        })
    }

    /// How long the batches of one rekey take, and if this key server dies among them, until
    /// another one sends the rest.
    fn spread(&self, cx: &Context<'_>) -> Duration {
        let batches = u32::try_from(self.members.len() / PUSH_BATCH).unwrap_or(u32::MAX);
        PUSH_BATCH_PAUSE.saturating_mul(batches) + self.takeover_span(cx)
    }

    /// Counts a rekey.
    pub(super) fn begin(&mut self, cx: &Context<'_>) {
        self.rekeys_sent += u64::from(self.members.len() > 0);
        self.rekeying.begin(cx.now);
        self.last_sync = self.clock.at(cx.now);
    }

    /// Sends the traffic keys in force to every member.
    pub(super) fn send_teks(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let Some(newest) = self.keys.usable(now).last().map(|record| record.tek.spi) else {
            return;
        };
        let mut sent = false;
        for kind in kinds(&self.config) {
            let members: Vec<Ipv4Addr> = self.members.of_kind(kind).collect();
            sent |= self.send(cx, kind, &Content::Teks(newest), members);
        }
        if !sent {
            self.mark_delivered(PeerKind::Ours, &Content::Teks(newest));
            self.persist_group(cx);
        }
    }

    /// A Rekey SA is in use from now on; it is sent under those that its members hold.
    //= RFC 6407 4.3
    //# If the
    //# message is using the new KEK attribute for the first time, the SEQ is
    //# reset to 1 in this message.
    fn announce_kek(&mut self, cx: &mut Context<'_>, spi: KekSpi) {
        self.keys.announce_kek(&spi);
        self.report_transport(cx, &spi);
        let Some(kind) = self.keys.kek_by_spi(&spi).map(|kek| kek.kind) else {
            return;
        };
        let members: Vec<Ipv4Addr> = self.members.of_kind(kind).collect();
        if !members.is_empty() {
            self.begin(cx);
        }
        if !self.send(cx, kind, &Content::Kek(spi), members) {
            self.mark_delivered(kind, &Content::Kek(spi));
        }
    }

    /// Members that hold another Rekey SA than the one in use are told it, under the one they hold.
    //= getvpn P15
    pub(super) fn unify_keks(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        for kind in KINDS {
            let Some(current) = self.keys.kek(kind).map(|kek| kek.sa.spi) else {
                continue;
            };
            let strangers: Vec<Ipv4Addr> = self
                .members
                .iter()
                .filter(|(_, member)| member.kind == kind && member.certain_kek() != current)
                .filter(|(_, member)| !self.holds_compromised(member))
                .map(|(address, _)| address)
                .collect();
            if strangers.is_empty() {
                continue;
            }
            self.begin(cx);
            let certain = |address: &Ipv4Addr| {
                let member = self.members.find(*address);
                member.is_some_and(|member| member.certain_kek() != KekSpi::default())
            };
            let (certain, mut doubted): (Vec<_>, Vec<_>) = strangers.into_iter().partition(certain);
            doubted.retain(|address| {
                let member = self.members.find(*address);
                member.is_some_and(|member| !self.is_left_behind(member, now))
            });
            let content = Content::Kek(current);
            self.send(cx, kind, &content, certain);
            self.send_under_all(cx, kind, &content, &doubted, |_| true);
        }
    }

    /// The same goes to these members under every Rekey SA but the one in use that they may hold.
    //= getvpn P15
    pub(super) fn send_under_all(
        &mut self,
        cx: &mut Context<'_>,
        kind: PeerKind,
        content: &Content,
        members: &[Ipv4Addr],
        fits: impl Fn(&Kek) -> bool,
    ) {
        let now = self.clock.at(cx.now);
        let current = self.keys.kek(kind).map(|kek| kek.sa.spi);
        let others = self.keys.keks.iter().filter(|kek| {
            let held = kek.kind == kind && kek.announced && now < kek.expiry;
            held && Some(kek.sa.spi) != current && fits(kek) && !self.keys.is_compromised(kek)
        });
        let others: Vec<(KekSpi, Option<Ipv4Addr>)> =
            others.map(|kek| (kek.sa.spi, kek.destination)).collect();
        for (under, destination) in others {
            self.send_under(cx, under, content, destination, members.to_vec());
        }
    }

    /// After a restart or a change of the primary: rekeys that were not over are sent again, as new
    /// PUSHes.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) {
        let keks: Vec<(PeerKind, KekSpi)> = self
            .keks_undelivered()
            .map(|kek| (kek.kind, kek.sa.spi))
            .collect();
        let teks = self.keys.teks.iter().any(|r| r.announced && !r.delivered);
        if teks || !keks.is_empty() {
            self.rekeying.begin(cx.now);
        }
        for (kind, spi) in keks {
            let members = self.members.of_kind(kind).collect();
            if !self.send(cx, kind, &Content::Kek(spi), members) {
                self.mark_delivered(kind, &Content::Kek(spi));
            }
        }
        if teks {
            self.send_teks(cx);
        }
    }

    fn keks_undelivered(&self) -> impl Iterator<Item = &Kek> {
        KINDS
            .into_iter()
            .filter_map(|kind| self.keys.kek(kind))
            .filter(|kek| !kek.delivered)
    }

    /// Makes PUSHes and queues them for these members, one under each Rekey SA that some of them
    /// hold. Says whether there is one.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        kind: PeerKind,
        content: &Content,
        members: Vec<Ipv4Addr>,
    ) -> bool {
        let mut sent = false;
        for (kek, members) in self.by_kek(cx, kind, content, members) {
            let destination = self.keys.kek_by_spi(&kek).and_then(|kek| kek.destination);
            sent |= self.send_under(cx, kek, content, destination, members);
        }
        sent
    }

    /// The same once more, in a new PUSH: what had no room in it has PUSHes of its own, which are
    /// repeated by themselves.
    fn send_anew(&mut self, cx: &mut Context<'_>, anew: &Anew, members: Vec<Ipv4Addr>) {
        let now = self.clock.at(cx.now);
        let under = anew.under.and_then(|under| self.keys.kek_by_spi(&under));
        let by_kek = match under.filter(|kek| now < kek.expiry) {
            Some(under) => BTreeMap::from([(under.sa.spi, members)]),
            None => self.by_kek(cx, anew.kind, &anew.content, members),
        };
        for (kek, members) in by_kek {
            let destination = self.keys.kek_by_spi(&kek).and_then(|kek| kek.destination);
            self.push_under(cx, kek, &anew.content, destination, members);
        }
    }

    /// Members that something goes to, by the Rekey SA that each can read; some are ejected.
    fn by_kek(
        &mut self,
        cx: &mut Context<'_>,
        kind: PeerKind,
        content: &Content,
        members: Vec<Ipv4Addr>,
    ) -> BTreeMap<KekSpi, Vec<Ipv4Addr>> {
        let now = self.clock.at(cx.now);
        let members = self.eject(cx, members);
        let mut by_kek: BTreeMap<KekSpi, Vec<Ipv4Addr>> = BTreeMap::new();
        for member in members {
            if let Some(kek) = self.kek_for(kind, content, member, now) {
                by_kek.entry(kek).or_default().push(member);
            }
        }
        if kind != PeerKind::Ours && matches!(content, Content::Teks(_) | Content::Retired) {
            self.also_under_the_one_in_use(kind, now, &mut by_kek);
        }
        by_kek
    }

    /// Plain members that heard of a Rekey SA need not keep the one before, and where nobody is asked
    /// it may be another key server that told them.
    //= getvpn P10
    fn also_under_the_one_in_use(
        &self,
        kind: PeerKind,
        now: PseudoTime,
        by_kek: &mut BTreeMap<KekSpi, Vec<Ipv4Addr>>,
    ) {
        let current = self.keys.kek(kind);
        let current = current.filter(|kek| kek.is_blind() && now < kek.expiry);
        if let Some(current) = current.filter(|_| !by_kek.is_empty()) {
            let everybody = by_kek.values().flatten().copied().collect();
            by_kek.entry(current.sa.spi).or_insert(everybody);
        }
    }

    /// The Rekey SA that a member can read: the one that it certainly holds, else the one in use,
    /// or, for a new Rekey SA, the one before it.
    pub(super) fn kek_for(
        &self,
        kind: PeerKind,
        content: &Content,
        member: Ipv4Addr,
        now: PseudoTime,
    ) -> Option<KekSpi> {
        let member = self.members.find(member);
        let known = member.and_then(|member| self.keys.kek_by_spi(&member.certain_kek()));
        let new = match content {
            Content::Teks(_) | Content::Retired => None,
            Content::Kek(new) => Some(new),
            // Nothing secret: what it got last is the best guess, however doubtful.
            Content::Register => {
                let got = member.and_then(|member| self.keys.kek_by_spi(&member.kek));
                return self.summoning_kek(kind, got, now);
            }
        };
        if known.is_some_and(|kek| self.keys.is_compromised(kek))
            || member.is_some_and(|member| self.is_left_behind(member, now))
        {
            return None;
        }
        let held =
            known.filter(|kek| kek.kind == kind && now < kek.expiry && Some(&kek.sa.spi) != new);
        let usual = || match new {
            None => self.keys.kek(kind),
            Some(new) => self.keys.predecessor(kind, new),
        };
        let kek = held.or_else(usual).filter(|kek| now < kek.expiry)?;
        Some(kek.sa.spi)
    }

    /// Whether there is something to say, and nothing in it was made because of a removal that this
    /// Rekey SA is older than: who was removed may hold it, though what is known of the removal is
    /// only its keys.
    //= getvpn P16
    fn may_bring(&self, under: &Kek, content: &Content, now: PseudoTime) -> bool {
        let fits = |generation: &Generation| under.generation.is_alive_in(generation);
        match content {
            Content::Register => true,
            Content::Retired => !self.keys.removals.spis.is_empty(),
            Content::Kek(new) => {
                // Nobody goes over to one that a removed member may hold, though it was to be told.
                let new = self.keys.kek_by_spi(new);
                new.is_none_or(|new| fits(&new.generation) && !self.keys.is_compromised(new))
            }
            Content::Teks(newest) => {
                // Each goes to plain members in a PUSH of its own: one that has ended in none.
                //= getvpn P10
                let usable = || self.keys.usable(now);
                let is_held = under.kind == PeerKind::Ours
                    || usable().any(|record| record.tek.spi == *newest);
                is_held && usable().all(|record| fits(&record.tek.generation))
            }
        }
    }

    /// Makes PUSHes under a Rekey SA and queues them for these members: one, and for what has no room
    /// in it and is still to be told, more. Says whether there is one.
    pub(super) fn send_under(
        &mut self,
        cx: &mut Context<'_>,
        spi: KekSpi,
        content: &Content,
        destination: Option<Ipv4Addr>,
        members: Vec<Ipv4Addr>,
    ) -> bool {
        let now = self.clock.at(cx.now);
        let Some(kind) = self.keys.kek_by_spi(&spi).map(|kek| kek.kind) else {
            return false;
        };
        if kind != PeerKind::Ours {
            return self.send_plain_under(cx, (kind, spi), content, destination, members);
        }
        let pushed = self.push_under(cx, spi, content, destination, members.clone());
        let Some(Pushed { left_out }) = pushed else {
            return false;
        };
        if let Some(last) = left_out.filter(|last| self.is_untold(kind, *last, now)) {
            self.send_under(cx, spi, &Content::Teks(last), destination, members);
        }
        true
    }

    /// Makes one PUSH and queues it for these members. The sequence number is on disk before the
    /// datagram leaves. `None` if there is nothing to say, or nobody to say it to.
    //= getvpn P17
    pub(super) fn push_under(
        &mut self,
        cx: &mut Context<'_>,
        spi: KekSpi,
        content: &Content,
        destination: Option<Ipv4Addr>,
        members: Vec<Ipv4Addr>,
    ) -> Option<Pushed> {
        let now = self.clock.at(cx.now);
        let under = self.keys.kek_by_spi(&spi);
        let under = under.filter(|kek| self.may_bring(kek, content, now))?;
        if members.is_empty() || self.rekeying.len() >= PUSHES_QUEUED_MAX {
            return None;
        }
        let (kind, asks) = (under.kind, under.ack_type().is_some());
        let seq = self.next_seq(cx, &spi)?;
        let sealed = self.seal(cx, &spi, seq, content)?;
        self.report_fragments(cx, kind, sealed.bytes.len());
        self.keys
            .kek_by_spi_mut(&spi)
            .expect("it was found above")
            .seq = seq;
        self.persist_group(cx);
        self.report_rekey(cx, destination, seq);
        let push = Push {
            kind,
            kek: spi,
            seq,
            content: content.clone(),
            bytes: sealed.bytes,
            destination,
            asks,
        };
        self.rekeying.add(cx.now, push, members.into_iter());
        Some(Pushed {
            left_out: sealed.left_out,
        })
    }

    /// Whether a rekey with one of the traffic keys up to `last` is not over. What a PUSH has no room
    /// for is most often what members have held for long; after a merge it may be what others send on.
    /// Plain members are told every key that is still to be sent on: who is new has held none.
    //= getvpn P10, P15
    pub(super) fn is_untold(&self, kind: PeerKind, last: Spi, now: PseudoTime) -> bool {
        let place = |record: &TekRecord| (record.tek.activation, record.tek.spi);
        let Some(last) = self.keys.tek_by_spi(last) else {
            return false;
        };
        if kind != PeerKind::Ours && now < last.told_activation() {
            return true;
        }
        let (mut usable, last) = (self.keys.usable(now), place(last));
        usable.any(|record| !record.delivered && place(record) <= last)
    }

    /// The number of the next PUSH under a Rekey SA, in a term of its own if another key server
    /// has used one above.
    //= getvpn P17
    fn next_seq(&mut self, cx: &mut Context<'_>, spi: &KekSpi) -> Option<u32> {
        let own = self.sids.space().index;
        for _ in 0..2 {
            let kek = self.keys.kek_by_spi(spi)?;
            let seen = kek.tenure.saturating_add(kek.seq >> TERM_SHIFT);
            match self.keys.next_seq(kek, own) {
                NextSeq::Seq(seq) => return Some(seq),
                NextSeq::NeedsTerm => self.open_term(cx, seen),
                NextSeq::UsedUp => break,
            }
        }
        None
    }

    /// Sends what is due of the rekeys on their way; with half a configuration they wait.
    fn send_due(&mut self, cx: &mut Context<'_>) {
        let Some(plan) = &self.plan else { return };
        let schedule = &plan.wanted.schedule;
        let copies = Copies {
            period: schedule.retransmit_period(),
            number: schedule.retransmit_number(),
            wait: schedule.scaled(MULTICAST_ACK_WAIT),
            hand_overs: if self.coop.is_alone() { 0 } else { HAND_OVERS },
            untimed: self.untimed.members(),
        };
        let due = self.rekeying.due(cx.now, copies);
        for departure in due.departures {
            if departure.member.is_multicast() {
                self.depart_once(cx, departure);
            } else {
                self.depart(cx, departure);
            }
        }
        let many = due.handed.len() > HANDED_WIDELY_MAX;
        for (departure, kek) in due.handed {
            self.hand_to_others(cx, departure, kek, many);
        }
        let any_missed = !due.missed.is_empty();
        // What went to a member under several Rekey SAs at a time is one rekey.
        let mut counted = BTreeSet::new();
        for (address, kek) in due.missed {
            self.missed(cx, address, &kek, counted.insert(address));
        }
        if any_missed && self.coop.leads() {
            self.summon(cx);
        }
        for (address, kek) in due.silent {
            self.heard_nothing(cx.now, address, &kek);
        }
        if !due.called.is_empty() {
            self.not_heard(cx.now, due.called);
        }
        self.trust_told(&due.told, cx.now);
        for (anew, members) in due.again {
            self.send_anew(cx, &anew, members);
        }
        self.rekeying.go_on(due.tried);
        let any_over = !due.over.is_empty();
        // It may have been made anew.
        let done = |content: &Content| !self.rekeying.is_on_its_way(content);
        let over = due.over.into_iter().filter(|(_, content)| done(content));
        for (kind, content) in over.collect::<Vec<_>>() {
            self.mark_delivered(kind, &content);
        }
        if any_over {
            self.persist_group(cx);
            self.persist_members(cx);
        }
    }

    /// A datagram leaves for one member.
    fn depart(&mut self, cx: &mut Context<'_>, departure: Departure) {
        let Some(member) = self.members.find_mut(departure.member) else {
            return;
        };
        if departure.copy {
            member.retries += 1;
        } else {
            member.sent(departure.seq);
        }
        let sent = Step::REKEY_SENT {
            from: *member.local.ip(),
            to: departure.member,
            seq: departure.seq,
            group: self.config.group.clone(),
            copy: if departure.copy { ", again" } else { "" }.to_owned(),
        };
        cx.out.push(Output::Transmit {
            local: member.local,
            peer: member.peer,
            bytes: departure.bytes,
        });
        cx.out.report(sent);
    }

    fn mark_delivered(&mut self, kind: PeerKind, content: &Content) {
        match content {
            Content::Register | Content::Retired => {}
            Content::Kek(spi) => {
                if let Some(kek) = self.keys.kek_by_spi_mut(spi) {
                    kek.delivered = true;
                }
            }
            Content::Teks(newest) => {
                let teks = &mut self.keys.teks;
                let place = |spi| teks.iter().position(|record| record.tek.spi == spi);
                let last = place(*newest).unwrap_or(teks.len());
                let on_its_way = self.rekeying.teks_on_their_way();
                let on_its_way = on_its_way.filter_map(|(kind, spi)| Some((kind, place(spi)?)));
                let (later, earlier): (Vec<_>, Vec<_>) = on_its_way.partition(|(_, at)| *at > last);
                // What goes to members of ours about a later key brings them this one, too.
                let with_it = |(of, _): &(PeerKind, usize)| *of == PeerKind::Ours;
                if kind != PeerKind::Ours && later.iter().any(with_it) {
                    return;
                }
                // What is on its way beside it, with keys that it had no room for.
                let first = earlier.into_iter().map(|(_, at)| at + 1).max().unwrap_or(0);
                for record in teks.iter_mut().take(last + 1).skip(first) {
                    // One that still waits for other key servers was no part of it.
                    record.delivered |= record.announced;
                }
            }
        }
    }

    /// An acknowledgement arrived. Says whether it is for a Rekey SA of this group.
    pub(crate) fn acknowledge(&mut self, cx: &mut Context<'_>, peer: Ipv4Addr, ack: &Ack) -> bool {
        let Some(kek) = self.keys.kek_by_spi(&ack.spi) else {
            return false;
        };
        let genuine = IpAddr::V4(peer) == ack.member
            && self.members.find(peer).is_some_and(|member| {
                let base = match member.kind {
                    PeerKind::Ours => &member.ack_base,
                    PeerKind::Rfc6407 | PeerKind::Rfc3547 => &kek.sa.key,
                };
                member.kind == kek.kind
                    && kek
                        .ack_type()
                        .is_some_and(|ty| ack.is_from_holder_of(ty, base))
            });
        let answer = if genuine {
            self.rekeying.acknowledged(&ack.spi, ack.seq, peer)
        } else {
            Answer::Unasked
        };
        let old_policy = ack
            .status
            .is_some_and(|status| status.flags.contains(AckFlags::OLD_POLICY));
        match answer {
            Answer::First => self.acknowledged(cx, (&ack.spi, ack.seq), peer, old_policy),
            Answer::Again => self.repeated_acks += 1,
            Answer::Unasked if genuine && self.returned(cx, ack, peer, old_policy) => {}
            Answer::Unasked => {
                self.unsolicited_acks += 1;
                if self
                    .refusals
                    .count(cx.now, peer, "unsolicited acknowledgement")
                {
                    cx.out.report(Gdoi::KS_UNSOL_ACK {
                        gm: peer,
                        group: self.config.group.clone(),
                    });
                }
            }
        }
        true
    }
}

impl KeyServer {
    /// A member has acknowledged a PUSH for the first time.
    pub(super) fn acknowledged(
        &mut self,
        cx: &mut Context<'_>,
        (kek, seq): (&KekSpi, u32),
        peer: Ipv4Addr,
        old_policy: bool,
    ) {
        let pushed = self.rekeying.content(kek, seq);
        if let Some((_, stamped)) = pushed {
            self.untimed.heard(peer, stamped);
        }
        let learned = pushed.map(|(content, _)| content.clone());
        let minted = |spi: &KekSpi| self.keys.kek_by_spi(spi).map(|kek| kek.minted);
        let mut moved = false;
        if let Some(member) = self.members.find_mut(peer) {
            member.acknowledged(seq);
            member.policy_behind = old_policy;
            // It holds what it could read, whatever was doubted before.
            moved = member.certain_kek() == KekSpi::default();
            if moved && minted(kek) < minted(&member.kek) {
                member.went_back(*kek);
            } else if moved {
                member.holds(*kek);
            }
            if let Some(Content::Kek(new)) = learned {
                moved |= member.kek != new;
                member.holds(new);
                // In doubt it went to it under others, too.
                self.rekeying.has(peer, &Content::Kek(new));
            }
        }
        if moved {
            // Whoever takes over must not send under the one before: its signing key may be another.
            // After a split the other side can reach the member under this one only.
            self.coop.changed_here(Key::Member(peer), cx.now);
        }
        cx.out.report(Step::ACK_RCVD {
            from: peer,
            to: self.config.address,
            seq,
            group: self.config.group.clone(),
        });
        self.send_due(cx);
    }
}

//! What a key server gave this member, and until when it is good.
//!
//! Decides which records are usable and when the next thing expires. Which of them is sent on is the
//! data plane's decision, by the same rule (PROTOCOL P11).

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ::policy::lifetime::Schedule;
use ::policy::tbar::PseudoClock;
use ::policy::{Acl, Generation, GroupSize, KekSpi, PeerKind, PseudoTime, Sid, Spi, Tek, Time};
use crypto::Secret;
use crypto::key_pair::PublicKey;
use wire::iana::AckType;

use super::fail_close::{Ended, Mark};
use super::policy::Purpose;
use crate::group_sa::Received;
use crate::limits::{KEKS_BESIDES_MAX, MERGE_SEND_WAIT};
use crate::policy_blob::PolicyBlob;
use crate::rekey_sa::RekeySa;

/// SPIs that are remembered after they were dropped, so that late packets start no recovery.
const DEAD_SPIS_MAX: usize = 64;

/// Everything that a registration and the rekeys since gave.
#[derive(Clone)]
pub(super) struct Held {
    /// The key server that registered this member.
    pub(super) server: SocketAddrV4,
    /// What it proved to be.
    pub(super) kind: PeerKind,
    /// The group's clock.
    pub(super) clock: PseudoClock,
    /// The group's generation.
    pub(super) generation: Generation,
    /// Rekey SAs.
    pub(super) keks: Keks,
    /// What rekeys must verify with.
    pub(super) public_key: Option<PublicKey>,
    /// What the tags of the group's SPIs are made with.
    pub(super) spi_key: Option<Secret>,
    /// Base key of acknowledgements of our own type, from the last PULL.
    pub(super) ack_base: Secret,
    /// Records by SPI.
    pub(super) teks: BTreeMap<Spi, Tek>,
    /// What each is recognised by.
    pub(super) marks: BTreeMap<Spi, Mark>,
    /// Sender identifiers.
    pub(super) sids: Vec<Sid>,
    /// How many bits one has.
    pub(super) sid_size: Option<GroupSize>,
    /// The policy.
    pub(super) policy: Policy,
    /// SPIs that were held lately.
    pub(super) dead: VecDeque<Spi>,
    /// The last rekey: from where, its number, when.
    pub(super) last_rekey: Option<(SocketAddrV4, u32, Time)>,
}

/// The policy as the key server gave it.
#[derive(Clone)]
pub(super) struct Policy {
    /// The list.
    pub(super) acl: Arc<Acl>,
    /// The TBAR window in seconds.
    pub(super) tbar_window_s: Option<u32>,
    /// From when it is in force.
    pub(super) activation: Option<PseudoTime>,
    /// The list in force until then, from a plain key server that has told another one since.
    pub(super) before: Option<Arc<Acl>>,
    /// Its blob, from a key server of ours.
    pub(super) blob: Option<Arc<PolicyBlob>>,
}

/// A Rekey SA that is held.
#[derive(Clone)]
pub(super) struct Kek {
    /// Its keys.
    pub(super) sa: RekeySa,
    /// Its number in shows.
    pub(super) conn_id: u32,
    /// When it ends.
    pub(super) expiry: PseudoTime,
    /// The group's generation when it was minted.
    pub(super) generation: Generation,
    /// The number of the last rekey that was accepted under it.
    pub(super) seq: u32,
    /// The one before.
    pub(super) previous_seq: u32,
    /// The number that the last registration gave.
    pub(super) registered_seq: u32,
    /// Which acknowledgement is asked for.
    pub(super) ack: Option<AckType>,
    /// Bits of the modulus or the curve that signs.
    pub(super) sig_key_bits: u16,
    /// The multicast address that its PUSHes come to; by unicast without one.
    pub(super) destination: Option<Ipv4Addr>,
    /// What its rekeys were signed with before another key was announced. A key server that does not
    /// know yet that this member holds a newer Rekey SA goes on with both.
    pub(super) signed_by: Option<PublicKey>,
}

/// The Rekey SAs of a member: three, as its view shows them, and some besides.
#[derive(Clone, Default)]
pub(super) struct Keks {
    /// Announced, not used by the key server yet.
    pub(super) new: Option<Kek>,
    /// In use.
    pub(super) current: Option<Kek>,
    /// Replaced.
    pub(super) previous: Option<Kek>,
    /// Held besides: after a split of the key servers each side may have announced its own
    /// (PROTOCOL P15).
    others: Vec<Kek>,
}

impl Keks {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kek> {
        [&self.new, &self.current, &self.previous]
            .into_iter()
            .flatten()
            .chain(&self.others)
    }

    /// The one that the next rekey comes under: the announced one, else the one in use.
    pub(super) fn next(&self) -> Option<&Kek> {
        self.new.as_ref().or(self.current.as_ref())
    }

    /// The multicast addresses that rekeys can still come to: a key server goes on with what was
    /// replaced where it does not know who has the new one.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.iter().filter_map(|kek| kek.destination)
    }

    /// Keeps one that gives way to another until it expires.
    fn keep(&mut self, kek: Option<Kek>) {
        let Some(kek) = kek else { return };
        if self.others.len() == KEKS_BESIDES_MAX {
            self.others.remove(0);
        }
        self.others.push(kek);
    }

    /// A registration gave a Rekey SA: what was held before becomes the previous one.
    pub(super) fn register(&mut self, kek: Kek) {
        //= RFC 6407 3.3
        //# In this case,
        //# the sequence number value in the SEQ payload MUST be considered stale
        //# and ignored.
        if let Some(held) = self.find_mut(&kek.sa.spi) {
            held.expiry = kek.expiry;
            held.seq = held.seq.max(kek.seq);
            held.registered_seq = kek.registered_seq;
            held.ack = kek.ack;
            return;
        }
        if self.current.is_some() {
            self.replace_current(kek);
        } else {
            self.current = Some(kek);
        }
        let new = self.new.take();
        self.keep(new);
    }

    /// A rekey announced a Rekey SA.
    pub(super) fn announce(&mut self, kek: Kek) {
        if self.find_mut(&kek.sa.spi).is_none() {
            let other = self.new.replace(kek);
            self.keep(other);
        }
    }

    /// A rekey came under this SPI: if it was the announced one, it is the current one from now on.
    pub(super) fn promote(&mut self, spi: &KekSpi) {
        if let Some(new) = self.new.take_if(|new| new.sa.spi == *spi) {
            self.replace_current(new);
        } else if let Some(at) = self.others.iter().position(|kek| kek.sa.spi == *spi) {
            let kek = self.others.remove(at);
            self.replace_current(kek);
        }
    }

    fn replace_current(&mut self, kek: Kek) {
        let old = self.current.replace(kek);
        let older = std::mem::replace(&mut self.previous, old);
        self.keep(older);
    }

    /// The Rekey SA of an SPI.
    pub(super) fn find(&self, spi: &KekSpi) -> Option<&Kek> {
        self.iter().find(|kek| kek.sa.spi == *spi)
    }

    /// The Rekey SA of an SPI, to be changed.
    pub(super) fn find_mut(&mut self, spi: &KekSpi) -> Option<&mut Kek> {
        [&mut self.new, &mut self.current, &mut self.previous]
            .into_iter()
            .flatten()
            .chain(&mut self.others)
            .find(|kek| kek.sa.spi == *spi)
    }

    /// Another key signs from now on: what is held was signed by `old`.
    fn signed_before(&mut self, old: &PublicKey) {
        let held = [&mut self.new, &mut self.current, &mut self.previous];
        for kek in held.into_iter().flatten().chain(&mut self.others) {
            kek.signed_by.get_or_insert_with(|| old.clone());
        }
    }

    /// Another clock counts than before.
    fn follow(&mut self, now: Time, clock: &PseudoClock, before: &PseudoClock) {
        let held = [&mut self.new, &mut self.current, &mut self.previous];
        for kek in held.into_iter().flatten().chain(&mut self.others) {
            (_, kek.expiry) = clock.retimed(before, now, (kek.expiry, kek.expiry));
        }
    }

    /// Drops what the key server deleted.
    pub(super) fn delete_all(&mut self) {
        *self = Self::default();
    }

    fn expire(&mut self, now: PseudoTime, generation: &Generation) {
        // One of the other side of a split, neither older nor newer, brings no key, but the word to
        // register again when both sides have met.
        //= getvpn P14
        let over = |kek: &Kek| kek.expiry <= now || generation.is_after(&kek.generation);
        for slot in [&mut self.new, &mut self.current, &mut self.previous] {
            if slot.as_ref().is_some_and(over) {
                *slot = None;
            }
        }
        self.others.retain(|kek| !over(kek));
        if self.current.is_none() {
            self.current = self.new.take().or_else(|| self.others.pop());
        }
    }

    /// Until when rekeys can be read: the latest expiry of what the key server may use next.
    pub(super) fn horizon(&self) -> Option<PseudoTime> {
        let ahead = [&self.new, &self.current].into_iter().flatten();
        ahead.chain(&self.others).map(|kek| kek.expiry).max()
    }
}

impl Held {
    /// The group's clock is read from another one from now on, and what is held lives as long as
    /// both say.
    //= getvpn P27
    pub(super) fn follow(&mut self, now: Time, clock: PseudoClock) {
        let before = std::mem::replace(&mut self.clock, clock);
        self.keks.follow(now, &clock, &before);
        for tek in self.teks.values_mut() {
            let life = clock.retimed(&before, now, (tek.activation, tek.expiry));
            (tek.activation, tek.expiry) = life;
        }
        if let Some(at) = &mut self.policy.activation {
            (*at, _) = clock.retimed(&before, now, (*at, *at));
        }
    }

    /// The key that signs rekeys from now on; those of the Rekey SAs held now may still be signed by
    /// the one before.
    pub(super) fn sign_with(&mut self, key: Option<PublicKey>) {
        let old = std::mem::replace(&mut self.public_key, key);
        let new = self.public_key.as_ref().map(PublicKey::to_spki_der);
        if let Some(old) = old.filter(|old| Some(old.to_spki_der()) != new) {
            self.keks.signed_before(&old);
        }
    }

    /// The keys that a rekey under this Rekey SA may be signed with.
    pub(super) fn signing_keys<'a>(
        &'a self,
        kek: &'a Kek,
    ) -> impl Iterator<Item = &'a PublicKey> + use<'a> {
        kek.signed_by.iter().chain(&self.public_key)
    }

    /// The Rekey SA of an SPI.
    pub(super) fn kek(&self, spi: &KekSpi) -> Option<&Kek> {
        self.keks.find(spi)
    }

    /// The schedule that fits the newest record: short lifetimes shrink all its times.
    pub(super) fn schedule(&self) -> Schedule {
        let newest = self.teks.values().max_by_key(|tek| tek.expiry);
        Schedule::new(newest.map_or(3_600, |tek| tek.orig_lifetime_s), 10, 1)
    }

    /// When the last of what is held ends: traffic keys, or the Rekey SA if there is one.
    pub(super) fn horizon(&self) -> PseudoTime {
        let teks = self
            .teks
            .values()
            .map(|tek| tek.expiry)
            .max()
            .unwrap_or(PseudoTime::ZERO);
        self.keks.horizon().map_or(teks, |kek| kek.min(teks))
    }

    /// Drops records that nobody may send on any more and whose last packets have arrived, and
    /// Rekey SAs that have ended; returns what is dropped.
    pub(super) fn expire(&mut self, now: PseudoTime) -> Vec<(Spi, Mark)> {
        let delay = self.schedule().delivery_delay();
        let generation = self.generation_kept(now);
        self.keks.expire(now, &generation);
        let over: Vec<(Spi, Mark)> = self
            .teks
            .values()
            //= getvpn P14
            .filter(|tek| {
                tek.expiry.after(delay) <= now
                    || !tek.generation.is_alive_in(&generation)
                    || self.never_sent(tek)
            })
            .map(|tek| {
                let mark = self.marks.get(&tek.spi).copied();
                (tek.spi, mark.unwrap_or(Mark::Expiry(tek.expiry)))
            })
            .collect();
        for (spi, _) in &over {
            self.drop_tek(*spi);
        }
        over
    }

    /// The group's generation at `now`: what the key server said, or that of a newer record that is
    /// sent on by then.
    //= getvpn P16
    fn generation_at(&self, now: PseudoTime) -> Generation {
        let sent = self.teks.values().filter(|tek| tek.activation <= now);
        sent.fold(self.generation, |generation, tek| {
            if tek.generation.is_alive_in(&generation) {
                tek.generation
            } else {
                generation
            }
        })
    }

    /// The generation of which keys are kept: what was sent before a newer one has arrived.
    fn generation_kept(&self, now: PseudoTime) -> Generation {
        self.generation_at(now.before(self.schedule().delivery_delay()))
    }

    /// Whether keys of this generation are dead: the key server that offers them has not heard of a
    /// removal that this member knows of. If it knows of another one, what is held would die, too.
    //= getvpn P14
    pub(super) fn outdates(&self, generation: &Generation, now: PseudoTime) -> bool {
        !self.teks.is_empty() && !generation.is_alive_in(&self.generation_kept(now))
    }

    /// Whether a record of a newer generation is sent on before this one would be.
    //= getvpn P16
    fn never_sent(&self, tek: &Tek) -> bool {
        self.teks.values().any(|other| {
            other.activation <= tek.activation && other.generation.is_after(&tek.generation)
        })
    }

    /// When records of an older generation than others are received on no more.
    fn next_generation(&self, delay: Duration) -> impl Iterator<Item = PseudoTime> {
        let newer = self.teks.values().filter(|newer| {
            let other = |tek: &Tek| !tek.generation.is_alive_in(&newer.generation);
            self.teks.values().any(other)
        });
        newer.map(move |newer| newer.activation.after(delay))
    }

    /// The record that was sent on first: the one that is missed least when there are too many.
    pub(super) fn oldest(&self) -> Option<Spi> {
        let oldest = self
            .teks
            .values()
            .min_by_key(|tek| (tek.activation, tek.spi));
        oldest.map(|tek| tek.spi)
    }

    /// Drops a record.
    pub(super) fn drop_tek(&mut self, spi: Spi) -> bool {
        if self.teks.remove(&spi).is_none() {
            return false;
        }
        self.marks.remove(&spi);
        if self.dead.len() == DEAD_SPIS_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(spi);
        true
    }

    /// Whether an SPI is held or was held recently.
    pub(super) fn was_held(&self, spi: Spi) -> bool {
        self.teks.contains_key(&spi) || self.dead.contains(&spi)
    }

    /// The record that is sent on at `now`, by the rule of the data plane.
    //= getvpn P11
    pub(super) fn outbound(&self, now: PseudoTime) -> Option<Spi> {
        self.teks
            .values()
            .filter(|tek| tek.is_active(now))
            .max_by_key(|tek| (tek.activation, tek.minted_by, tek.spi))
            .map(|tek| tek.spi)
    }

    /// A record that came with others, with the moment from which this member sends on it.
    pub(super) fn timed(
        &self,
        tek: Tek,
        (got, ended): (&Received, &Ended),
        by: Purpose,
        now: PseudoTime,
    ) -> Tek {
        let others = got.teks.values().filter_map(|(_, record)| record.as_ref());
        let is_new = |own: &&Tek| {
            let mark = Mark::Expiry(own.expiry);
            !self.teks.contains_key(&own.spi) && !ended.has(own.spi, mark)
        };
        // Without records it came alone.
        let came = others.chain([&tek]).filter(is_new);
        match self.next_after_a_gap(came, now) {
            Some((next, end)) if next == tek.spi => Tek {
                activation: end,
                ..tek
            },
            _ => match by {
                Purpose::Registration => tek,
                Purpose::Rekey => self.sent_on_later(tek, now),
            },
        }
    }

    /// A record of a rekey that came after the moment from which it is sent on. Either this member is
    /// late, or it is one of the other side of a split, which others of this side do not hold yet:
    /// it is sent on when they can have it, or there is nothing else to send on.
    //= getvpn P15
    fn sent_on_later(&self, tek: Tek, now: PseudoTime) -> Tek {
        let running = self.teks.values().filter(|own| own.is_active(now));
        let last = running.max_by_key(|own| own.expiry);
        let Some(last) = last.filter(|last| last.generation == tek.generation) else {
            return tek;
        };
        if self.kind != PeerKind::Ours || tek.activation > now {
            return tek;
        }
        let wait = self.schedule().scaled(MERGE_SEND_WAIT);
        let end = tek.expiry.before(Duration::from_nanos(1));
        let activation = now.after(wait).min(last.expiry).min(end);
        Tek { activation, ..tek }
    }

    /// Of the records that came and are held the one that is sent on next, if that is later than
    /// there is another one to send on; and when that ends. A key server delays a record that came
    /// from another one so that all members learn it first; to say nothing meanwhile would lose more
    /// than to be ahead.
    //= getvpn P15
    fn next_after_a_gap<'a>(
        &'a self,
        came: impl Iterator<Item = &'a Tek>,
        now: PseudoTime,
    ) -> Option<(Spi, PseudoTime)> {
        let good: Vec<&Tek> = came
            .chain(self.teks.values())
            .filter(|tek| now < tek.expiry && tek.generation.is_alive_in(&self.generation))
            .collect();
        let running = good.iter().filter(|tek| tek.is_active(now));
        let end = running.map(|tek| tek.expiry).max().unwrap_or(now);
        let later = good.iter().filter(|tek| !tek.is_active(now));
        let next = later.min_by_key(|tek| (tek.activation, tek.spi))?;
        (next.activation > end).then_some((next.spi, end))
    }

    /// When the next record or Rekey SA is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        let delay = self.schedule().delivery_delay();
        let teks = self.teks.values().map(|tek| tek.expiry.after(delay));
        let keks = self.keks.iter().map(|kek| kek.expiry);
        let generations = self.next_generation(delay);
        let all = teks.chain(keks).chain(generations);
        all.min().map(|at| self.clock.time_of(at))
    }
}

#[cfg(test)]
mod tests {
    use ::policy::{
        Encryption, Integrity, KekCipher, KeyBits, KsIndex, SigHash, Signature, Transform,
    };
    use crypto::SeededRng;

    use super::*;
    use crate::machine::TekKey;

    fn kek(rng: &mut SeededRng, generation: [u32; 2]) -> Kek {
        let mut counts = Generation::default();
        counts.0[..2].copy_from_slice(&generation);
        Kek {
            sa: RekeySa::mint(rng, KekCipher::Aes256, Signature::Rsa(SigHash::Sha256)),
            conn_id: 1,
            expiry: PseudoTime::from_nanos(1_000),
            generation: counts,
            seq: 0,
            previous_seq: 0,
            registered_seq: 0,
            ack: None,
            sig_key_bits: 2_048,
            destination: None,
            signed_by: None,
        }
    }

    fn tek(spi: u32, activation_s: u64, expiry_s: u64) -> Tek {
        Tek {
            spi: Spi(spi),
            activation: PseudoTime::from_secs(activation_s),
            expiry: PseudoTime::from_secs(expiry_s),
            transform: Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined)
                .expect("it exists"),
            generation: Generation::default(),
            ks_list_hash: [0; 8],
            minted_by: KsIndex::default(),
            orig_lifetime_s: 600,
        }
    }

    /// What a member holds that holds no key.
    fn held() -> Held {
        Held {
            server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 848),
            kind: PeerKind::Ours,
            clock: PseudoClock::reading(PseudoTime::ZERO, Time::ZERO),
            generation: Generation::default(),
            keks: Keks::default(),
            public_key: None,
            spi_key: None,
            ack_base: Secret::copy_of(&[]),
            teks: BTreeMap::new(),
            marks: BTreeMap::new(),
            sids: Vec::new(),
            sid_size: None,
            policy: Policy {
                acl: Arc::default(),
                tbar_window_s: None,
                activation: None,
                before: None,
                blob: None,
            },
            dead: VecDeque::new(),
            last_rekey: None,
        }
    }

    #[test]
    fn a_late_key_is_sent_on_later_unless_there_is_nothing_else() {
        let at = PseudoTime::from_secs;
        let mut held = held();
        let late = tek(2, 90, 700);
        let later = |held: &Held, now: u64| held.sent_on_later(late.clone(), at(now)).activation;
        assert_eq!(later(&held, 100), at(90), "there is nothing else");
        held.teks.insert(Spi(1), tek(1, 0, 600));
        assert_eq!(later(&held, 80), at(90), "it is early");
        assert_eq!(later(&held, 100), at(130));
        assert_eq!(later(&held, 590), at(600), "then the other one ends");
    }

    #[test]
    fn a_delayed_key_is_sent_on_when_the_one_before_it_ends() {
        let at = PseudoTime::from_secs;
        let key = TekKey {
            encryption: Secret::copy_of(&[]),
            integrity: Secret::copy_of(&[]),
        };
        let got = |teks: &[Tek]| Received {
            teks: teks
                .iter()
                .map(|tek| (tek.spi, (key.clone(), Some(tek.clone()))))
                .collect(),
            ..Received::default()
        };
        let (running, next, last) = (tek(1, 0, 110), tek(2, 130, 200), tek(3, 190, 260));
        let mut held = held();
        for by in [Purpose::Registration, Purpose::Rekey] {
            let begins = |held: &Held, tek: &Tek, with: &[Tek]| {
                let came = got(with);
                held.timed(tek.clone(), (&came, &Ended::default()), by, at(100))
                    .activation
            };
            held.teks.clear();
            assert_eq!(begins(&held, &next, &[next.clone(), last.clone()]), at(100));
            let alone = [next.clone()];
            let all = [running.clone(), next.clone(), last.clone()];
            assert_eq!(begins(&held, &running, &all), at(0));
            assert_eq!(begins(&held, &next, &all), at(110));
            assert_eq!(begins(&held, &last, &all), at(190), "there is another one");
            held.teks.insert(Spi(1), running.clone());
            assert_eq!(begins(&held, &next, &alone), at(110));
            held.teks.insert(Spi(4), tek(4, 105, 170));
            assert_eq!(begins(&held, &next, &alone), at(130), "no gap");
        }
    }

    #[test]
    fn a_rekey_sa_ends_with_its_generation_but_not_for_another_sides() {
        let mut rng = SeededRng::from_seed([1; 32]);
        let now = PseudoTime::from_nanos(1);
        for (of, group, kept) in [
            ([1, 0], [1, 0], true),
            ([0, 0], [1, 0], false),
            ([1, 0], [0, 0], true),
            ([0, 1], [1, 0], true),
            ([0, 1], [1, 1], false),
        ] {
            let mut keks = Keks {
                current: Some(kek(&mut rng, of)),
                ..Keks::default()
            };
            let mut generation = Generation::default();
            generation.0[..2].copy_from_slice(&group);
            keks.expire(now, &generation);
            assert_eq!(keks.current.is_some(), kept, "{of:?} in {group:?}");
            keks.expire(PseudoTime::from_nanos(1_000), &generation);
            assert!(keks.current.is_none(), "its time is over");
        }
    }
}

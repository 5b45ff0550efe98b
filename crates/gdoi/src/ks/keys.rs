//! The keys of a group: minting them and saying when their successors are due.
//!
//! Keys are immutable records with pseudotimes (PROTOCOL P11). Decides nothing about how they reach
//! the members; that is `ks::rekey`.

use std::net::Ipv4Addr;
use std::time::Duration;

use crypto::{Rng, Secret};
use policy::lifetime::Schedule;
use policy::{
    Generation, KekCipher, KekSpi, KsIndex, PeerKind, PseudoTime, Signature, Spi, Tek, Transform,
};

use super::removals::Removals;
use crate::config::{Acknowledgement, Multicast};
use crate::group_sa::TekGrant;
use crate::limits::{
    DELIVERY_DELAY, KEK_ACK_KEEP, SEQ_COUNT_BITS, SEQ_COUNT_MASK, SEQ_COUNT_MAX, TERM_MAX,
};
use crate::machine::TekKey;
use crate::rekey_sa::{RekeySa, random};

/// A Rekey SA and its life.
#[derive(Clone)]
pub(crate) struct Kek {
    /// Its keys.
    pub(crate) sa: RekeySa,
    /// The kind of member it is for (PROTOCOL P3).
    pub(crate) kind: PeerKind,
    /// When it was minted.
    pub(crate) minted: PseudoTime,
    /// Until when it is used.
    pub(crate) expiry: PseudoTime,
    /// The configured lifetime when it was minted, seconds.
    pub(crate) orig_lifetime_s: u32,
    /// The group's generation when it was minted.
    pub(crate) generation: Generation,
    /// The hash of the list of key servers then.
    pub(crate) ks_list_hash: [u8; 8],
    /// The key server that minted it.
    pub(crate) minted_by: KsIndex,
    /// The label of the key that signs under it.
    pub(crate) label: String,
    /// The multicast address that its PUSHes go to; by unicast without one.
    pub(crate) destination: Option<Ipv4Addr>,
    /// Whether its members are asked to acknowledge, if their kind can.
    pub(crate) acknowledged: bool,
    /// The sequence number of its last PUSH, on disk before that leaves (PROTOCOL P17).
    pub(crate) seq: u32,
    /// The term of the key server that minted it, when it did (PROTOCOL P17).
    pub(crate) tenure: u32,
    /// Whether it is in use: it was announced, or given to a member.
    pub(crate) announced: bool,
    /// Whether the rekey that announces it is over.
    pub(crate) delivered: bool,
}

impl Kek {
    /// Which of several is in use: that of the later primary, then the one that it minted later.
    const fn rank(&self) -> (u32, PseudoTime, KekSpi) {
        (self.tenure, self.minted, self.sa.spi)
    }
}

/// A traffic key and its record.
#[derive(Clone)]
pub(crate) struct TekRecord {
    /// The record that members get.
    pub(crate) tek: Tek,
    /// The key.
    pub(crate) key: TekKey,
    /// When it was minted.
    pub(crate) minted: PseudoTime,
    /// Whether members are told it: it was announced, or given to a member.
    pub(crate) announced: bool,
    /// Whether the rekey that announces it is over.
    pub(crate) delivered: bool,
    /// A change of the transform came before anybody held it: it is never sent on (PROTOCOL P12).
    pub(crate) withdrawn: bool,
    /// Members that learn it now send on it from then only: after a merge others do not hold it yet
    /// (PROTOCOL P15).
    pub(crate) send_from: Option<PseudoTime>,
}

impl TekRecord {
    /// From when members are to hold it: from the activation of the one before it (PROTOCOL P11).
    pub(crate) fn hand_from(&self, overlap: Duration) -> PseudoTime {
        let life = self.tek.expiry.since(self.tek.activation);
        self.tek.activation.before(life.saturating_sub(overlap))
    }

    /// From when a member that learns it now sends on it.
    pub(crate) fn told_activation(&self) -> PseudoTime {
        let told = self.tek.activation.max(self.send_from.unwrap_or_default());
        told.min(self.tek.expiry.before(Duration::from_nanos(1)))
    }
}

impl<'a> TekGrant<'a> {
    /// A record as members are told it.
    pub(crate) fn of(record: &'a TekRecord) -> Self {
        Self {
            tek: &record.tek,
            activation: record.told_activation(),
            key: &record.key,
        }
    }
}

/// What becomes of keys that were minted ahead and are to be sent on no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// Keys that are never sent on.
    pub(crate) spis: Vec<Spi>,
    /// When the keys that members hold already would be sent on.
    pub(crate) held: Vec<PseudoTime>,
}

/// When a new traffic key is to be sent on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Shortly before the end of the last one.
    InTurn,
    /// As soon as all members can have it.
    Soonest,
    /// Then, or as soon as all members can have it.
    NotBefore(PseudoTime),
}

/// What a PUSH can be numbered with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextSeq {
    /// This number.
    Seq(u32),
    /// A number of a term that this key server opens first.
    NeedsTerm,
    /// None: a new Rekey SA must come.
    UsedUp,
}

/// What new keys are to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What ESP does.
    pub(crate) transform: Transform,
    /// Lifetime of a traffic key, seconds.
    pub(crate) tek_lifetime_s: u32,
    /// Cipher of a Rekey SA.
    pub(crate) kek_cipher: KekCipher,
    /// Lifetime of a Rekey SA, seconds.
    pub(crate) kek_lifetime_s: u32,
    /// This key server.
    pub(crate) index: KsIndex,
    /// Hash of the list of key servers (PROTOCOL P19).
    pub(crate) ks_list_hash: [u8; 8],
    /// The times of the group.
    pub(crate) schedule: Schedule,
    /// The multicast address of rekeys and how they are acknowledged; `None` for unicast.
    pub(crate) multicast: Option<Multicast>,
}

impl Wanted {
    /// Where the PUSHes of a kind of member go, and whether they are acknowledged.
    //= getvpn P3
    pub(crate) fn delivery(&self, kind: PeerKind) -> (Option<Ipv4Addr>, bool) {
        let ours = kind == PeerKind::Ours;
        let own = self.multicast.filter(|own| ours || !own.plain_by_unicast);
        let Some(multicast) = own else {
            return (None, true);
        };
        let acknowledged = match multicast.acknowledgement {
            Acknowledgement::None => false,
            Acknowledgement::Ours => ours,
            Acknowledgement::Any => true,
        };
        (multicast.address, acknowledged)
    }
}

/// Everything secret of a group.
#[derive(Clone)]
pub(crate) struct GroupKeys {
    /// Rekey SAs, oldest first.
    pub(crate) keks: Vec<Kek>,
    /// Traffic keys, oldest first.
    pub(crate) teks: Vec<TekRecord>,
    /// What the tags of SPIs are made with (PROTOCOL P18).
    pub(crate) spi_key: Secret,
    /// The generation that keys must have.
    pub(crate) generation: Generation,
    /// The term that this key server opened when it last became primary (PROTOCOL P17).
    pub(crate) tenure: u32,
    /// Members that were taken out, and what of the generation is still to come.
    pub(crate) removals: Removals,
}

/// The kinds of member that a Rekey SA can be kept for (PROTOCOL P3).
pub(crate) const KINDS: [PeerKind; 3] = [PeerKind::Ours, PeerKind::Rfc6407, PeerKind::Rfc3547];

/// The kinds of member that this configuration admits.
pub(crate) fn kinds(config: &crate::config::KeyServer) -> impl Iterator<Item = PeerKind> + use<> {
    let has_rfc3547 = config.rfc3547.is_some();
    KINDS
        .into_iter()
        .filter(move |kind| *kind != PeerKind::Rfc3547 || has_rfc3547)
}

impl GroupKeys {
    /// A group that has no keys yet.
    pub(crate) fn new(rng: &mut dyn Rng) -> Self {
        Self {
            keks: Vec::new(),
            teks: Vec::new(),
            spi_key: random(rng, 32),
            generation: Generation::default(),
            tenure: 0,
            removals: Removals::default(),
        }
    }

    /// The generation that the group has, or is about to have.
    pub(crate) fn generation_ahead(&self) -> Generation {
        let raises = self.removals.raises.iter();
        raises.fold(self.generation, |generation, raise| {
            raise.applied_to(generation)
        })
    }

    /// Whether a removed member may hold this Rekey SA: nothing secret is sent under it any more.
    //= getvpn P16
    pub(crate) fn is_compromised(&self, kek: &Kek) -> bool {
        !kek.generation.is_alive_in(&self.generation_ahead())
    }

    /// Until when a traffic key is sent on: its expiry, or the rise of the generation that kills it.
    //= getvpn P16
    pub(crate) fn end(&self, record: &TekRecord) -> PseudoTime {
        let raises = self.removals.raises.iter();
        let kills = raises.filter(|raise| raise.kills(&record.tek.generation));
        let at = kills.map(|raise| raise.at).min();
        at.map_or(record.tek.expiry, |at| at.min(record.tek.expiry))
    }

    /// Rises of the generation that happened `delay` ago count for good. Says whether any did.
    pub(crate) fn raise_due(&mut self, now: PseudoTime, delay: Duration) -> bool {
        let before = self.generation;
        for raise in &self.removals.raises {
            if raise.at.after(delay) <= now {
                self.generation = raise.applied_to(self.generation);
            }
        }
        let generation = self.generation;
        self.removals
            .raises
            .retain(|raise| raise.kills(&generation));
        before != self.generation
    }

    /// The Rekey SA in use for a kind of member: the same one at every key server that holds the same
    /// records, whoever minted them.
    //= getvpn P15
    pub(crate) fn kek(&self, kind: PeerKind) -> Option<&Kek> {
        let alive = |kek: &&Kek| !self.is_compromised(kek);
        let own = self
            .keks
            .iter()
            .filter(|kek| kek.kind == kind && kek.announced);
        own.filter(alive).max_by_key(|kek| kek.rank())
    }

    /// The Rekey SA of that SPI.
    pub(crate) fn kek_by_spi(&self, spi: &KekSpi) -> Option<&Kek> {
        self.keks.iter().find(|kek| kek.sa.spi == *spi)
    }

    /// The Rekey SA of that SPI, to count up its sequence number.
    pub(crate) fn kek_by_spi_mut(&mut self, spi: &KekSpi) -> Option<&mut Kek> {
        self.keks.iter_mut().find(|kek| kek.sa.spi == *spi)
    }

    /// The traffic key that is sent on last.
    pub(crate) fn newest(&self) -> Option<&TekRecord> {
        self.teks.iter().rev().find(|record| !record.withdrawn)
    }

    /// The traffic key of that SPI.
    pub(crate) fn tek_by_spi(&self, spi: Spi) -> Option<&TekRecord> {
        self.teks.iter().find(|record| record.tek.spi == spi)
    }

    /// The traffic keys that are good at `now`, minted ahead or in use.
    //= getvpn P14
    pub(crate) fn alive(&self, now: PseudoTime) -> impl Iterator<Item = &TekRecord> {
        self.teks.iter().filter(move |record| {
            let end = self.end(record);
            !record.withdrawn
                && now < end
                && record.tek.activation < end
                && record.tek.generation.is_alive_in(&self.generation)
        })
    }

    /// The traffic keys that members are to hold at `now`, the one that is sent on last at the end.
    pub(crate) fn usable(&self, now: PseudoTime) -> impl Iterator<Item = &TekRecord> {
        self.alive(now).filter(|record| record.announced)
    }

    /// Puts a record into its place.
    pub(crate) fn insert_tek(&mut self, record: TekRecord) {
        let key = |record: &TekRecord| (record.tek.activation, record.tek.spi);
        let at = self.teks.partition_point(|held| key(held) < key(&record));
        self.teks.insert(at, record);
    }

    /// This key server leads no longer: what came from another primary and was still to be told here
    /// is told by that one, and given to whoever registers. Says whether there was any.
    //= getvpn P15
    pub(crate) fn follow_others(&mut self) -> bool {
        let untold = |record: &&mut TekRecord| !record.announced && record.send_from.is_some();
        let mut any = false;
        for record in self.teks.iter_mut().filter(untold) {
            record.announced = true;
            any = true;
        }
        any
    }

    /// Lets those of some traffic keys that nobody holds yet never be sent on, and says from when on
    /// those that members hold already would be.
    //= getvpn P12
    pub(crate) fn withdraw(&mut self, now: PseudoTime, those: impl Fn(&Tek) -> bool) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for record in &mut self.teks {
            let other = those(&record.tek) && !record.withdrawn;
            if other && record.tek.activation > now {
                if record.announced {
                    withdrawn.held.push(record.tek.activation);
                } else {
                    record.withdrawn = true;
                    withdrawn.spis.push(record.tek.spi);
                }
            }
        }
        withdrawn
    }

    /// The traffic key that members send on at `now`.
    //= getvpn P11
    pub(crate) fn running(&self, now: PseudoTime) -> Option<&TekRecord> {
        self.usable(now)
            .filter(|record| record.tek.activation <= now)
            .max_by_key(|record| (record.tek.activation, record.tek.spi))
    }

    /// The fewest traffic keys that follow one another without a gap from `now` on: one for each
    /// period, also where two key servers that did not hear each other minted for the same one. What
    /// another key server minted for a later time, under a clock that is ahead, is no part of it.
    fn chain(&self, now: PseudoTime) -> Vec<&TekRecord> {
        let mut end = now;
        let mut chain = Vec::new();
        loop {
            let follows = self
                .alive(now)
                .filter(|record| record.tek.activation <= end);
            let Some(last) = follows.max_by_key(|record| self.end(record)) else {
                return chain;
            };
            if self.end(last) <= end {
                return chain;
            }
            end = self.end(last);
            chain.push(last);
        }
    }

    /// How many traffic keys follow the running one without a gap.
    pub(crate) fn ahead(&self, now: PseudoTime) -> usize {
        self.chain(now).len().saturating_sub(1)
    }

    /// When the next traffic key is to be minted, so that there are always `look_ahead` ahead, or
    /// without a look-ahead shortly before the last one ends; `None` for at once.
    //= getvpn P12
    pub(crate) fn tek_due(
        &self,
        wanted: &Wanted,
        look_ahead: usize,
        now: PseudoTime,
    ) -> Option<PseudoTime> {
        let chain = self.chain(now);
        let last = chain.last()?;
        // Who was removed holds it: what ends early with the generation is nothing to go on with.
        if self.end(last) < last.tek.expiry {
            return None;
        }
        if look_ahead == 0 {
            let lead = wanted.schedule.tek_lead();
            return Some(due(last.tek.activation, last.tek.expiry, lead));
        }
        if self.ahead(now) < look_ahead {
            return None;
        }
        let next = chain.len().checked_sub(look_ahead)?;
        Some(chain[next].tek.activation)
    }

    /// When the successor of a kind's Rekey SA is due.
    pub(crate) fn kek_due(&self, kind: PeerKind, wanted: &Wanted) -> Option<PseudoTime> {
        let kek = self.kek(kind)?;
        if kek.seq & SEQ_COUNT_MASK >= SEQ_COUNT_MAX {
            return Some(kek.minted);
        }
        let lead = wanted.schedule.kek_lead(kek.orig_lifetime_s);
        Some(due(kek.minted, kek.expiry, lead))
    }

    /// Mints the next traffic key, which is announced later. It is sent on when every copy of the
    /// rekey has had time to arrive, and not before its predecessor's last part; a first key is
    /// sent on at once.
    pub(crate) fn mint_tek(
        &mut self,
        wanted: &Wanted,
        when: Activation,
        spread: Duration,
        now: PseudoTime,
        rng: &mut dyn Rng,
    ) -> Spi {
        let earliest = now.after(wanted.schedule.activation_delay(spread));
        let chain = self.chain(now);
        let before = chain.iter().map(|record| self.end(record)).max();
        let cut = chain
            .last()
            .is_some_and(|last| self.end(last) < last.tek.expiry);
        // A key that no longer reaches everyone in time is sent on when nothing else is left to send on.
        let activation = before.map_or(now, |end| match when {
            Activation::Soonest => earliest.min(end.before(wanted.schedule.overlap())).max(now),
            Activation::NotBefore(at) => earliest.min(end).max(at),
            // Who was removed holds the key before: none of the two is sent on for the other.
            Activation::InTurn if cut => end.max(now),
            Activation::InTurn => end.before(wanted.schedule.overlap()).max(earliest).min(end),
        });
        let spi = self.free_spi(wanted.index, rng);
        self.insert_tek(TekRecord {
            key: mint_key(wanted.transform, rng),
            tek: Tek {
                spi,
                transform: wanted.transform,
                activation,
                expiry: activation.after(Duration::from_secs(u64::from(wanted.tek_lifetime_s))),
                generation: self.generation_ahead(),
                ks_list_hash: wanted.ks_list_hash,
                minted_by: wanted.index,
                orig_lifetime_s: wanted.tek_lifetime_s,
            },
            minted: now,
            announced: false,
            delivered: before.is_none(),
            withdrawn: false,
            send_from: None,
        });
        spi
    }

    /// Members are told these from now on. None sends on one before `least`, when all can have it:
    /// a record may have waited for key servers longer than its activation allowed for.
    pub(crate) fn announce_teks(&mut self, spis: &[Spi], least: PseudoTime) {
        for record in self.teks.iter_mut().filter(|r| spis.contains(&r.tek.spi)) {
            record.announced = true;
            if !record.delivered && record.told_activation() < least {
                record.send_from = Some(least);
            }
        }
    }

    /// Mints the next Rekey SA of a kind; the one in use stays in use until `announce_kek`.
    pub(crate) fn mint_kek(
        &mut self,
        kind: PeerKind,
        wanted: &Wanted,
        (label, signature): (&str, Signature),
        now: PseudoTime,
        rng: &mut dyn Rng,
    ) -> KekSpi {
        let sa = RekeySa::mint(rng, wanted.kek_cipher, signature);
        let spi = sa.spi;
        let (destination, acknowledged) = wanted.delivery(kind);
        self.keks.push(Kek {
            sa,
            kind,
            minted: now,
            expiry: now.after(Duration::from_secs(u64::from(wanted.kek_lifetime_s))),
            orig_lifetime_s: wanted.kek_lifetime_s,
            generation: self.generation_ahead(),
            ks_list_hash: wanted.ks_list_hash,
            minted_by: wanted.index,
            label: label.to_owned(),
            destination,
            acknowledged,
            seq: 0,
            tenure: self.tenure,
            announced: false,
            delivered: false,
        });
        spi
    }

    /// A Rekey SA is in use from now on.
    pub(crate) fn announce_kek(&mut self, spi: &KekSpi) {
        if let Some(kek) = self.kek_by_spi_mut(spi) {
            kek.announced = true;
        }
    }

    /// The term of whoever minted the Rekey SA in use, if it is later than that of this key server.
    pub(crate) fn later_tenure(&self, kind: PeerKind) -> Option<u32> {
        let tenure = self.kek(kind)?.tenure;
        (tenure > self.tenure).then_some(tenure)
    }

    /// The Rekey SA of a kind that is minted and not in use yet.
    pub(crate) fn kek_ahead(&self, kind: PeerKind) -> Option<&Kek> {
        let in_use = self.kek(kind).map(Kek::rank);
        let ahead = |kek: &&Kek| {
            kek.kind == kind
                && !kek.announced
                && Some(kek.rank()) > in_use
                && !self.is_compromised(kek)
        };
        self.keks.iter().rev().find(ahead)
    }

    /// The Rekey SA that a new one of that kind is announced under: the one in use before it.
    pub(crate) fn predecessor(&self, kind: PeerKind, new: &KekSpi) -> Option<&Kek> {
        let others = self
            .keks
            .iter()
            .filter(|kek| kek.kind == kind && kek.announced);
        let others = others.filter(|kek| kek.sa.spi != *new && !self.is_compromised(kek));
        others.max_by_key(|kek| kek.rank())
    }

    /// The Rekey SA that was in use for a kind before the generation rose.
    pub(crate) fn compromised_kek(&self, kind: PeerKind, now: PseudoTime) -> Option<&Kek> {
        let keks = self.keks.iter();
        let lost = keks.filter(|kek| kek.kind == kind && kek.announced && now < kek.expiry);
        lost.filter(|kek| self.is_compromised(kek))
            .max_by_key(|kek| kek.rank())
    }

    /// Forgets what nobody may use any more. Says whether anything was forgotten.
    pub(crate) fn expire(&mut self, now: PseudoTime) -> bool {
        let before = (self.teks.len(), self.keks.len());
        let generation = self.generation;
        let removals = &mut self.removals;
        self.teks.retain(|record| {
            let until = record.tek.expiry.after(DELIVERY_DELAY);
            let alive = record.tek.generation.is_alive_in(&generation);
            if !alive {
                // Members that have not heard of it hold the key until then.
                removals.retire(record.tek.spi, until, now);
            }
            alive && now < until
        });
        let in_use: Vec<KekSpi> = self.keks_in_use().collect();
        self.keks
            .retain(|kek| now < kek.expiry.after(KEK_ACK_KEEP) || in_use.contains(&kek.sa.spi));
        before != (self.teks.len(), self.keks.len())
    }

    fn keks_in_use(&self) -> impl Iterator<Item = KekSpi> + '_ {
        KINDS
            .into_iter()
            .filter_map(|kind| self.kek(kind).map(|kek| kek.sa.spi))
    }

    /// When `expire` next has something to do.
    pub(crate) fn next_expiry(&self) -> Option<PseudoTime> {
        let in_use: Vec<KekSpi> = self.keks_in_use().collect();
        let teks = self
            .teks
            .iter()
            .map(|record| record.tek.expiry.after(DELIVERY_DELAY));
        let keks = self
            .keks
            .iter()
            .filter(|kek| !in_use.contains(&kek.sa.spi))
            .map(|kek| kek.expiry.after(KEK_ACK_KEEP));
        teks.chain(keks).min()
    }

    /// The next sequence number under a Rekey SA. Who minted it and leads since counts in term 0;
    /// whoever led later counts in a term and under an index of its own, so that no two key
    /// servers ever use one number and receivers see it rise.
    //= getvpn P17
    pub(crate) fn next_seq(&self, kek: &Kek, own: KsIndex) -> NextSeq {
        let term = self.tenure.saturating_sub(kek.tenure).min(TERM_MAX);
        let own_range = (term << 4) | u32::from(own.get());
        let (minters_range, minter) = (0, kek.minted_by == own);
        let range = match (term, minter) {
            (0, true) => minters_range,
            (0, false) => return NextSeq::NeedsTerm,
            _ => own_range,
        };
        // Somebody counts in a later range: members would refuse a number of this one.
        if kek.seq >> SEQ_COUNT_BITS > range {
            return NextSeq::NeedsTerm;
        }
        let next = kek.seq.max(range << SEQ_COUNT_BITS).checked_add(1);
        let next = next.filter(|next| next & SEQ_COUNT_MASK != 0);
        next.map_or(NextSeq::UsedUp, NextSeq::Seq)
    }
}

/// `lead` before `expiry`, but not in the first half of a life.
fn due(begin: PseudoTime, expiry: PseudoTime, lead: Duration) -> PseudoTime {
    let half = begin.after(expiry.since(begin) / 2);
    expiry.before(lead).max(half)
}

fn mint_key(transform: Transform, rng: &mut dyn Rng) -> TekKey {
    loop {
        let encryption = random(rng, transform.key_len());
        // A 3DES key of two equal neighbouring thirds would be a DES key (RFC 2451 section 2.3).
        if transform.encryption() == policy::Encryption::TripleDes {
            let third = |n: usize| &encryption.expose()[8 * n..8 * n + 8];
            if third(0) == third(1) || third(1) == third(2) {
                continue;
            }
        }
        return TekKey {
            encryption,
            integrity: random(rng, transform.integrity_key_len()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;
    use policy::{Encryption, Integrity, KeyBits};
    const SIGNER: (&str, Signature) = ("get", Signature::Rsa(policy::SigHash::Sha256));

    fn wanted(tek_lifetime_s: u32, kek_lifetime_s: u32) -> Wanted {
        Wanted {
            transform: Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined)
                .unwrap(),
            tek_lifetime_s,
            kek_cipher: KekCipher::Aes256,
            kek_lifetime_s,
            index: KsIndex::new(0).unwrap(),
            ks_list_hash: [1; 8],
            schedule: Schedule::new(tek_lifetime_s, 10, 2),
            multicast: None,
        }
    }

    /// At a merge two key servers have minted for the same period.
    #[test]
    fn keys_for_one_period_are_one_period_ahead() {
        let mut rng = SeededRng::from_number(1);
        let wanted = wanted(600, 1_200);
        let mut keys = GroupKeys::new(&mut rng);
        let now = PseudoTime::from_secs(1_000);
        let mut mint = |keys: &mut GroupKeys| {
            keys.mint_tek(&wanted, Activation::InTurn, Duration::ZERO, now, &mut rng)
        };
        mint(&mut keys);
        let next = mint(&mut keys);
        let mut rival = keys.tek_by_spi(next).unwrap().clone();
        rival.tek.spi = Spi(0x1234_5678);
        keys.insert_tek(rival);
        assert_eq!((keys.teks.len(), keys.ahead(now)), (3, 1));
        assert_eq!(keys.tek_due(&wanted, 2, now), None, "it is due at once");
        mint(&mut keys);
        assert_eq!(keys.ahead(now), 2);
    }

    /// For a day of periods: there is always a key to send on, and each key is with the members
    /// for the time of all copies before anyone sends on it.
    #[test]
    fn one_key_follows_the_other_without_a_gap() {
        for lifetime_s in [60, 120, 600, 3_600] {
            let mut rng = SeededRng::from_number(1);
            let wanted = wanted(lifetime_s, 2 * lifetime_s);
            let mut keys = GroupKeys::new(&mut rng);
            let mut now = PseudoTime::from_secs(1_000);
            let first = keys.mint_tek(&wanted, Activation::InTurn, Duration::ZERO, now, &mut rng);
            keys.announce_teks(&[first], now);
            for _ in 0..20 {
                let expiring = keys.newest().unwrap().tek.clone();
                now = keys.tek_due(&wanted, 0, now).unwrap();
                assert!(expiring.is_active(now));
                let spi = keys.mint_tek(&wanted, Activation::InTurn, Duration::ZERO, now, &mut rng);
                keys.announce_teks(&[spi], now);
                let next = keys.tek_by_spi(spi).unwrap().tek.clone();
                assert!(next.activation.since(now) >= wanted.schedule.retransmit_span());
                assert!(next.activation < expiring.expiry, "the two overlap");
                assert_ne!(next.spi, expiring.spi);
                keys.expire(next.activation);
                assert!(keys.running(next.activation).unwrap().tek == next);
                assert!(keys.teks.len() <= 2);
            }
        }
    }

    #[test]
    fn a_successor_takes_over_and_the_old_rekey_sa_stays_for_late_acknowledgements() {
        let mut rng = SeededRng::from_number(3);
        let wanted = wanted(60, 120);
        let mut keys = GroupKeys::new(&mut rng);
        let start = PseudoTime::from_secs(10);
        let first = keys.mint_kek(PeerKind::Ours, &wanted, SIGNER, start, &mut rng);
        assert!(keys.kek(PeerKind::Ours).is_none(), "minted, not in use");
        keys.announce_kek(&first);
        let due = keys.kek_due(PeerKind::Ours, &wanted).unwrap();
        assert!(start < due && due < start.after(Duration::from_secs(120)));
        let second = keys.mint_kek(PeerKind::Ours, &wanted, SIGNER, due, &mut rng);
        assert_eq!(keys.kek_ahead(PeerKind::Ours).unwrap().sa.spi, second);
        keys.announce_kek(&second);
        assert_eq!(keys.kek(PeerKind::Ours).unwrap().sa.spi, second);
        assert!(keys.kek_by_spi(&first).is_some());
        keys.expire(start.after(Duration::from_secs(120) + KEK_ACK_KEEP));
        assert!(keys.kek_by_spi(&first).is_none() && keys.kek_by_spi(&second).is_some());
    }
    #[test]
    fn no_two_key_servers_use_one_sequence_number_and_it_rises() {
        let mut rng = SeededRng::from_number(3);
        let wanted = wanted(60, 120);
        let mut keys = GroupKeys::new(&mut rng);
        let now = PseudoTime::from_secs(10);
        let spi = keys.mint_kek(PeerKind::Ours, &wanted, SIGNER, now, &mut rng);
        let (minter, other) = (KsIndex::new(0).unwrap(), KsIndex::new(3).unwrap());
        let mut seqs = Vec::new();
        let mut send = |keys: &mut GroupKeys, own| {
            let next = keys.next_seq(keys.kek_by_spi(&spi).unwrap(), own);
            if let NextSeq::Seq(seq) = next {
                keys.kek_by_spi_mut(&spi).unwrap().seq = seq;
            }
            seqs.push(next);
        };
        send(&mut keys, minter);
        send(&mut keys, minter);
        send(&mut keys, other);
        keys.tenure = 1;
        send(&mut keys, other);
        send(&mut keys, other);
        // Its own term is 1, too, but the other counts above it.
        send(&mut keys, minter);
        keys.tenure = 0;
        send(&mut keys, minter);
        keys.tenure = 2;
        send(&mut keys, minter);
        keys.kek_by_spi_mut(&spi).unwrap().seq = 0x0020_FFFF;
        send(&mut keys, minter);
        let expected = [
            NextSeq::Seq(1),
            NextSeq::Seq(2),
            NextSeq::NeedsTerm,
            NextSeq::Seq(0x0013_0001),
            NextSeq::Seq(0x0013_0002),
            NextSeq::NeedsTerm,
            NextSeq::NeedsTerm,
            NextSeq::Seq(0x0020_0001),
            NextSeq::UsedUp,
        ];
        assert_eq!(seqs, expected);
    }

    #[test]
    fn a_change_of_the_transform_withdraws_what_nobody_holds() {
        let mut rng = SeededRng::from_number(3);
        let wanted = wanted(60, 120);
        let mut keys = GroupKeys::new(&mut rng);
        let now = PseudoTime::from_secs(10);
        let spis: Vec<Spi> = (0..3)
            .map(|_| keys.mint_tek(&wanted, Activation::InTurn, Duration::ZERO, now, &mut rng))
            .collect();
        keys.announce_teks(&spis[..2], now);
        let null = Transform::new(Encryption::Null, Integrity::HmacSha256).unwrap();
        let withdrawn = keys.withdraw(now, |tek| tek.transform != null);
        assert_eq!(withdrawn.spis, spis[2..]);
        let held = keys.tek_by_spi(spis[1]).unwrap().tek.activation;
        assert_eq!(withdrawn.held, [held]);
        assert_eq!(keys.alive(now).count(), 2);
    }

    #[test]
    fn what_another_primary_told_its_members_is_given_here_when_that_one_leads() {
        let (mut rng, now) = (SeededRng::from_number(3), PseudoTime::from_secs(10));
        let (mut keys, wanted) = (GroupKeys::new(&mut rng), wanted(60, 120));
        for _ in 0..3 {
            keys.mint_tek(&wanted, Activation::InTurn, Duration::ZERO, now, &mut rng);
        }
        keys.teks[1].send_from = Some(now);
        assert!(keys.follow_others() && !keys.follow_others());
        assert!(keys.teks[1].announced && !keys.teks[2].announced);
    }
}

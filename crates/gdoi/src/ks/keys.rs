//! The keys of a group: minting them and saying when their successors are due.
//!
//! Keys are immutable records with pseudotimes (PROTOCOL P11). Decides nothing about how they reach
//! the members; that is `ks::rekey`.

use std::time::Duration;

use crypto::hash::Hash;
use crypto::hmac::prf;
use crypto::{Rng, Secret};
use policy::lifetime::Schedule;
use policy::spi::{SPI_MIN, SpiHead};
use policy::{
    Generation, KekCipher, KekSpi, KsIndex, PeerKind, PseudoTime, SigHash, Spi, Tek, Transform,
};

use crate::limits::{DELIVERY_DELAY, KEK_ACK_KEEP, SEQ_COUNT_MAX};
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
    /// The sequence number of its last PUSH, on disk before that leaves (PROTOCOL P17).
    pub(crate) seq: u32,
    /// Whether the rekey that announces it is over.
    pub(crate) delivered: bool,
    /// When its successor took over.
    pub(crate) replaced: Option<PseudoTime>,
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
    /// Whether the rekey that announces it is over.
    pub(crate) delivered: bool,
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
    /// Hash under its signatures.
    pub(crate) sig_hash: SigHash,
    /// Lifetime of a Rekey SA, seconds.
    pub(crate) kek_lifetime_s: u32,
    /// This key server.
    pub(crate) index: KsIndex,
    /// Hash of the list of key servers (PROTOCOL P19).
    pub(crate) ks_list_hash: [u8; 8],
    /// The times of the group.
    pub(crate) schedule: Schedule,
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
        }
    }

    /// The Rekey SA in use for a kind of member.
    pub(crate) fn kek(&self, kind: PeerKind) -> Option<&Kek> {
        self.keks
            .iter()
            .rev()
            .find(|kek| kek.kind == kind && kek.replaced.is_none())
    }

    /// The Rekey SA of that SPI.
    pub(crate) fn kek_by_spi(&self, spi: &KekSpi) -> Option<&Kek> {
        self.keks.iter().find(|kek| kek.sa.spi == *spi)
    }

    /// The Rekey SA of that SPI, to count up its sequence number.
    pub(crate) fn kek_by_spi_mut(&mut self, spi: &KekSpi) -> Option<&mut Kek> {
        self.keks.iter_mut().find(|kek| kek.sa.spi == *spi)
    }

    /// The traffic key that is minted last.
    pub(crate) fn newest(&self) -> Option<&TekRecord> {
        self.teks.last()
    }

    /// The traffic keys that members are to hold at `now`.
    pub(crate) fn usable(&self, now: PseudoTime) -> impl Iterator<Item = &TekRecord> {
        self.teks.iter().filter(move |record| {
            now < record.tek.expiry && record.tek.generation.is_alive_in(&self.generation)
        })
    }

    /// The traffic key that members send on at `now`.
    //= getvpn P11
    pub(crate) fn running(&self, now: PseudoTime) -> Option<&TekRecord> {
        self.usable(now)
            .filter(|record| record.tek.activation <= now)
            .max_by_key(|record| (record.tek.activation, record.tek.spi))
    }

    /// When the successor of the newest traffic key is due; `None` when there is no key at all.
    pub(crate) fn tek_due(&self, wanted: &Wanted) -> Option<PseudoTime> {
        let newest = &self.newest()?.tek;
        Some(due(
            newest.activation,
            newest.expiry,
            wanted.schedule.tek_lead(),
        ))
    }

    /// When the successor of a kind's Rekey SA is due.
    pub(crate) fn kek_due(&self, kind: PeerKind, wanted: &Wanted) -> Option<PseudoTime> {
        let kek = self.kek(kind)?;
        if kek.seq >= SEQ_COUNT_MAX {
            return Some(kek.minted);
        }
        let lead = wanted.schedule.kek_lead(kek.orig_lifetime_s);
        Some(due(kek.minted, kek.expiry, lead))
    }

    /// Mints the next traffic key. It is sent on when every copy of the rekey has had time to
    /// arrive, and not before its predecessor's last part; a first key is sent on at once.
    pub(crate) fn mint_tek(
        &mut self,
        wanted: &Wanted,
        urgent: bool,
        spread: Duration,
        now: PseudoTime,
        rng: &mut dyn Rng,
    ) -> &TekRecord {
        let earliest = now.after(wanted.schedule.activation_delay(spread));
        let before = self.usable(now).map(|record| &record.tek).last();
        let activation = match before {
            None => now,
            Some(_) if urgent => earliest,
            Some(before) => before
                .expiry
                .before(wanted.schedule.overlap())
                .max(earliest),
        };
        let tek = Tek {
            spi: self.free_spi(wanted.index, rng),
            transform: wanted.transform,
            activation,
            expiry: activation.after(Duration::from_secs(u64::from(wanted.tek_lifetime_s))),
            generation: self.generation,
            ks_list_hash: wanted.ks_list_hash,
            minted_by: wanted.index,
            orig_lifetime_s: wanted.tek_lifetime_s,
        };
        let first = before.is_none();
        self.teks.push(TekRecord {
            key: mint_key(wanted.transform, rng),
            tek,
            minted: now,
            delivered: first,
        });
        self.teks.last().expect("it was pushed just now")
    }

    /// Mints the next Rekey SA of a kind; the one in use stays in use until it is `promote`d.
    pub(crate) fn mint_kek(
        &mut self,
        kind: PeerKind,
        wanted: &Wanted,
        label: &str,
        now: PseudoTime,
        rng: &mut dyn Rng,
    ) -> KekSpi {
        let sa = RekeySa::mint(rng, wanted.kek_cipher, wanted.sig_hash);
        let spi = sa.spi;
        if let Some(before) = self
            .keks
            .iter_mut()
            .find(|kek| kek.kind == kind && kek.replaced.is_none())
        {
            before.replaced = Some(now);
        }
        self.keks.push(Kek {
            sa,
            kind,
            minted: now,
            expiry: now.after(Duration::from_secs(u64::from(wanted.kek_lifetime_s))),
            orig_lifetime_s: wanted.kek_lifetime_s,
            generation: self.generation,
            ks_list_hash: wanted.ks_list_hash,
            minted_by: wanted.index,
            label: label.to_owned(),
            seq: 0,
            delivered: false,
            replaced: None,
        });
        spi
    }

    /// The Rekey SA that a new one of that kind is announced under: the one that it replaced.
    pub(crate) fn predecessor(&self, kind: PeerKind, new: &KekSpi) -> Option<&Kek> {
        let at = self.keks.iter().position(|kek| kek.sa.spi == *new)?;
        self.keks[..at].iter().rev().find(|kek| kek.kind == kind)
    }

    /// Forgets what nobody may use any more. Says whether anything was forgotten.
    pub(crate) fn expire(&mut self, now: PseudoTime) -> bool {
        let before = (self.teks.len(), self.keks.len());
        self.teks
            .retain(|record| now < record.tek.expiry.after(DELIVERY_DELAY));
        self.keks.retain(|kek| match kek.replaced {
            None => true,
            Some(_) => now < kek.expiry.after(KEK_ACK_KEEP),
        });
        before != (self.teks.len(), self.keks.len())
    }

    /// When `expire` next has something to do.
    pub(crate) fn next_expiry(&self) -> Option<PseudoTime> {
        let teks = self
            .teks
            .iter()
            .map(|record| record.tek.expiry.after(DELIVERY_DELAY));
        let keks = self
            .keks
            .iter()
            .filter(|kek| kek.replaced.is_some())
            .map(|kek| kek.expiry.after(KEK_ACK_KEEP));
        teks.chain(keks).min()
    }

    //= getvpn P18
    fn free_spi(&self, index: KsIndex, rng: &mut dyn Rng) -> Spi {
        loop {
            let mut octets = [0; 2];
            rng.fill(&mut octets);
            let head = SpiHead::new(index, u16::from_be_bytes(octets));
            let spi = tagged(&self.spi_key, head);
            let taken = self.teks.iter().any(|record| record.tek.spi == spi);
            if spi.0 >= SPI_MIN && !taken {
                return spi;
            }
        }
    }
}

/// The SPI with that head and the group's tag.
//= getvpn P18
pub(crate) fn tagged(spi_key: &Secret, head: SpiHead) -> Spi {
    let tag = prf(Hash::Sha256, spi_key.expose(), &[&head.octets()]);
    head.with_tag([tag.expose()[0], tag.expose()[1]])
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

    fn wanted(tek_lifetime_s: u32, kek_lifetime_s: u32) -> Wanted {
        Wanted {
            transform: Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined)
                .unwrap(),
            tek_lifetime_s,
            kek_cipher: KekCipher::Aes256,
            sig_hash: SigHash::Sha256,
            kek_lifetime_s,
            index: KsIndex::new(0).unwrap(),
            ks_list_hash: [1; 8],
            schedule: Schedule::new(tek_lifetime_s, 10, 2),
        }
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
            keys.mint_tek(&wanted, false, Duration::ZERO, now, &mut rng);
            for _ in 0..20 {
                let expiring = keys.newest().unwrap().tek.clone();
                now = keys.tek_due(&wanted).unwrap();
                assert!(expiring.is_active(now));
                let next = keys
                    .mint_tek(&wanted, false, Duration::ZERO, now, &mut rng)
                    .tek
                    .clone();
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
    fn an_spi_carries_the_groups_tag_and_no_reserved_value() {
        let mut rng = SeededRng::from_number(7);
        let keys = GroupKeys::new(&mut rng);
        for _ in 0..2_000 {
            let spi = keys.free_spi(KsIndex::new(0).unwrap(), &mut rng);
            assert!(spi.0 >= SPI_MIN);
            assert_eq!(tagged(&keys.spi_key, SpiHead::of(spi)), spi);
        }
    }

    #[test]
    fn a_successor_takes_over_and_the_old_rekey_sa_stays_for_late_acknowledgements() {
        let mut rng = SeededRng::from_number(3);
        let wanted = wanted(60, 120);
        let mut keys = GroupKeys::new(&mut rng);
        let start = PseudoTime::from_secs(10);
        let first = keys.mint_kek(PeerKind::Ours, &wanted, "get", start, &mut rng);
        let due = keys.kek_due(PeerKind::Ours, &wanted).unwrap();
        assert!(start < due && due < start.after(Duration::from_secs(120)));
        let second = keys.mint_kek(PeerKind::Ours, &wanted, "get", due, &mut rng);
        assert_eq!(keys.kek(PeerKind::Ours).unwrap().sa.spi, second);
        assert!(keys.kek_by_spi(&first).is_some());
        keys.expire(start.after(Duration::from_secs(120) + KEK_ACK_KEEP));
        assert!(keys.kek_by_spi(&first).is_none() && keys.kek_by_spi(&second).is_some());
    }
}

//! What a PUSH says, and what of the policy and keys a member is told in whatever message.
//!
//! Decides which keys go into which PUSH, and what is left to another one. When one is sent and to
//! whom is `ks::rekey`; octets are `push`'s.

use std::net::Ipv4Addr;
use std::time::Duration;

use ::policy::{KekSpi, PeerKind, PseudoTime, Spi};
use wire::gdoi::Seq;
use wire::isakmp::{Builder, Delete};

use super::KeyServer;
use super::keys::{Kek, TekRecord};
use super::outstanding::Content;
use super::policy::blocks_log2;
use crate::context::Context;
use crate::group_sa::{Grant, KekGrant, KekOffer, Offer, TekGrant, TekOffer};
use crate::key_pairs::KeyPair;
use crate::limits::{PLAIN_EARLY_MAX, PUSH_LEN_MAX, TEKS_MAX};
use crate::private::{GroupStamp, KekRecord};
use crate::push::{Encoding, seal};

/// Chunk hashes of the policy that a PUSH carries; a longer list is fetched.
const PUSH_HASHES_INLINE: usize = 2;

/// A PUSH as it leaves.
pub(super) struct Sealed {
    /// The datagram.
    pub(super) bytes: Vec<u8>,
    /// Of the traffic keys that did not fit, the one that is sent on last.
    pub(super) left_out: Option<Spi>,
}

/// What went into a PUSH.
#[derive(Default)]
struct Composed {
    /// Parts that can be left to another PUSH.
    dispensable: usize,
    left_out: Option<Spi>,
}

impl KeyServer {
    /// A PUSH of that number under that Rekey SA; `None` without the key to sign it.
    pub(super) fn seal(
        &self,
        cx: &Context<'_>,
        under: &KekSpi,
        seq: u32,
        content: &Content,
    ) -> Option<Sealed> {
        let kek = self.keys.kek_by_spi(under)?;
        let pair = cx.key_pairs.signer(&kek.label, kek.sa.signature)?;
        let key = pair.private_key();
        let encoding = Encoding::of(kek.sa.signature, self.config.raw_hash);
        let now = self.clock.at(cx.now);
        // What does not fit a datagram is left to other PUSHes (PROTOCOL P4): older traffic keys, and
        // a public key that members hold since their registration.
        let mut room = usize::MAX;
        loop {
            let mut builder = Builder::new();
            builder.push(&Seq(seq));
            let Composed {
                dispensable,
                left_out,
            } = self
                .compose(cx, kek, content, room, now, &mut builder)
                .ok()?;
            let bytes = seal(&kek.sa, key, encoding, builder).ok()?;
            if bytes.len() <= PUSH_LEN_MAX || dispensable == 0 {
                return Some(Sealed { bytes, left_out });
            }
            room = dispensable - 1;
        }
    }

    /// Puts SA and KD into a PUSH under `under`, with at most `room` parts that can be left out;
    /// says how many of those it has, and what is left out.
    fn compose(
        &self,
        cx: &Context<'_>,
        under: &Kek,
        content: &Content,
        room: usize,
        now: PseudoTime,
        builder: &mut Builder,
    ) -> Result<Composed, wire::Error> {
        let kind = under.kind;
        let mut composed = Composed::default();
        match content {
            Content::Register => {
                self.compose_summons(under, now, builder)?;
                return Ok(composed);
            }
            Content::Retired => {
                let retired = self.keys.removals.spis.iter().rev().map(|(spi, _)| spi.0);
                let told: Vec<u32> = retired.take(DELETES_MAX).collect();
                builder.push(&Delete::esp(&told));
                return Ok(composed);
            }
            Content::Kek(_) | Content::Teks(_) => {}
        }
        let then = match content {
            Content::Teks(newest) => self.keys.tek_by_spi(*newest),
            Content::Register | Content::Retired | Content::Kek(_) => None,
        };
        let then = then.map_or(now, TekRecord::told_activation).max(now);
        let mut offer = self.frame(kind, (now, then), PUSH_HASHES_INLINE);
        let mut grant = Grant {
            clock_generation: self.clock.generation(),
            ..Grant::default()
        };
        match content {
            Content::Register | Content::Retired => {}
            Content::Kek(new) => {
                if let Some(kek) = self.keys.kek_by_spi(new) {
                    let signer = |kek: &Kek| cx.key_pairs.signer(&kek.label, kek.sa.signature);
                    let public = signer(kek).map(KeyPair::public_der);
                    let known = public == signer(under).map(KeyPair::public_der);
                    composed.dispensable = usize::from(known).min(room);
                    let public_key = public.filter(|_| !known || composed.dispensable > 0);
                    offer.kek = Some(self.kek_offer(cx, kek, now, None));
                    grant.kek = Some(KekGrant {
                        sa: &kek.sa,
                        public_key,
                        spi_key: None,
                    });
                }
            }
            Content::Teks(newest) => {
                composed = self.compose_teks(kind, *newest, room, now, (&mut offer, &mut grant));
            }
        }
        builder.push(&offer.to_wire(kind)?);
        grant.with_wire(kind, |kd| builder.push(kd))?;
        Ok(composed)
    }

    /// The traffic keys of a PUSH of which this is the newest.
    fn compose_teks<'a>(
        &'a self,
        kind: PeerKind,
        newest: Spi,
        room: usize,
        now: PseudoTime,
        (offer, grant): (&mut Offer, &mut Grant<'a>),
    ) -> Composed {
        let all: Vec<&TekRecord> = self.keys.usable(now).collect();
        let last = all.iter().position(|record| record.tek.spi == newest);
        let told = &all[..last.map_or(all.len(), |last| last + 1)];
        let records = told.iter().rev();
        // One delay counts for all keys of a PUSH: each goes to plain members in its own.
        //= getvpn P10
        let most = match kind {
            PeerKind::Ours => TEKS_MAX,
            PeerKind::Rfc6407 | PeerKind::Rfc3547 => 1,
        };
        let room = room.saturating_add(1).min(most);
        for record in records.clone().take(room) {
            let end = self.keys.end(record);
            offer.teks.push(tek_offer(record, end, now));
            grant.teks.push(TekGrant::of(record));
        }
        if let Some(newest) = told.last().filter(|_| kind == PeerKind::Rfc6407) {
            let delay = activation_delay(newest.told_activation().since(now));
            offer.activation_delay_s = u16::try_from(delay.as_secs()).ok().filter(|s| *s > 0);
        }
        Composed {
            dispensable: offer.teks.len().saturating_sub(1),
            left_out: records.skip(room).map(|record| record.tek.spi).next(),
        }
    }

    /// What every SA payload to a kind begins with, where the newest of its keys is sent on `then`.
    pub(super) fn frame(
        &self,
        kind: PeerKind,
        (now, then): (PseudoTime, PseudoTime),
        hashes: usize,
    ) -> Offer {
        if kind == PeerKind::Ours {
            return Offer {
                stamp: Some(GroupStamp {
                    pseudotime: now,
                    clock_generation: self.clock.generation(),
                    stamped_by: self.sids.space().index,
                    generation: self.keys.generation,
                }),
                policy: self.announced_policy().map(|blob| blob.name(hashes)),
                blocks_log2: self
                    .plan
                    .as_ref()
                    .and_then(|plan| blocks_log2(plan.wanted.transform, self.members.len())),
                ..Offer::default()
            };
        }
        Offer {
            acl: self.plain_lines(then),
            ..Offer::default()
        }
    }

    /// A Rekey SA as a kind of member is told it.
    pub(super) fn kek_offer(
        &self,
        cx: &Context<'_>,
        kek: &Kek,
        now: PseudoTime,
        member: Option<Ipv4Addr>,
    ) -> KekOffer {
        let remaining_s = kek.expiry.since(now).as_secs();
        let signer = cx.key_pairs.signer(&kek.label, kek.sa.signature);
        let bits = signer.map_or(0, |pair| pair.public_key().bits());
        KekOffer {
            source: self.config.address,
            destination: kek.destination.or(member).unwrap_or(Ipv4Addr::UNSPECIFIED),
            spi: kek.sa.spi,
            cipher: kek.sa.cipher,
            lifetime_s: u32::try_from(remaining_s).unwrap_or(u32::MAX).max(1),
            signature: kek.sa.signature,
            sig_key_bits: u16::try_from(bits).unwrap_or(u16::MAX),
            ack: kek.ack_type(),
            record: Some(KekRecord {
                activation: kek.minted,
                expiry: kek.expiry,
                clock_generation: self.clock.generation(),
                ks_list_hash: kek.ks_list_hash,
                minted_by: kek.minted_by,
                generation: kek.generation,
                orig_lifetime_s: kek.orig_lifetime_s,
            }),
        }
    }
}

/// The delay that a plain member is told. For it the time counts from the arrival, which a slow disk or
/// network may put off, so it sends on the key a little before all others, who hold it by then.
//= getvpn P10
fn activation_delay(left: Duration) -> Duration {
    left.saturating_sub((left / 12).min(PLAIN_EARLY_MAX))
}

/// So many SPIs fit into a PUSH (PROTOCOL P4); of more, those that ended last are told.
const DELETES_MAX: usize = 128;
/// What seconds leave out of a time, and a datagram takes to arrive.
const ROUNDED: Duration = Duration::from_secs(2);

/// A traffic key as its SATs say it: the lifetime is what is left until it ends. Where that is the
/// moment in which the next one begins, whoever is told it in seconds, and some time later, needs more.
pub(super) fn tek_offer(record: &TekRecord, end: PseudoTime, now: PseudoTime) -> TekOffer {
    let end = end.after(ROUNDED).min(record.tek.expiry);
    let remaining_s = end.since(now).as_secs();
    TekOffer {
        spi: record.tek.spi,
        transform: record.tek.transform,
        lifetime_s: u32::try_from(remaining_s).unwrap_or(u32::MAX).max(1),
    }
}

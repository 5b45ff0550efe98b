//! What a PUSH says, and what of the policy and keys a member is told in whatever message.
//!
//! Decides which keys go into which PUSH, and what is left to another one. When one is sent and to
//! whom is `ks::rekey`; octets are `push`'s.

use std::net::Ipv4Addr;

use ::policy::{KekSpi, PeerKind, PseudoTime, Spi};
use wire::gdoi::Seq;
use wire::isakmp::Builder;

use super::KeyServer;
use super::keys::{Kek, TekRecord};
use super::outstanding::Content;
use super::policy::blocks_log2;
use crate::context::Context;
use crate::group_sa::{Grant, KekGrant, KekOffer, Offer, TekGrant, TekOffer};
use crate::key_pairs::KeyPair;
use crate::limits::{PUSH_LEN_MAX, TEKS_MAX};
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
        let ours = kind == PeerKind::Ours;
        if *content == Content::Register {
            self.compose_summons(under, now, builder)?;
            return Ok(composed);
        }
        let mut offer = self.frame(kind, now, PUSH_HASHES_INLINE);
        let mut grant = Grant {
            clock_generation: self.clock.generation(),
            ..Grant::default()
        };
        match content {
            Content::Register => {}
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
                let all: Vec<&TekRecord> = self.keys.usable(now).collect();
                let last = all.iter().position(|record| record.tek.spi == *newest);
                let told = &all[..last.map_or(all.len(), |last| last + 1)];
                let records = told
                    .iter()
                    .rev()
                    .filter(|record| ours || record.tek.spi == *newest);
                let room = room.saturating_add(1).min(TEKS_MAX);
                for record in records.clone().take(room) {
                    offer
                        .teks
                        .push(tek_offer(record, self.keys.end(record), now));
                    grant.teks.push(TekGrant::of(record));
                }
                composed.left_out = records.clone().nth(room).map(|record| record.tek.spi);
                composed.dispensable = offer.teks.len().saturating_sub(1);
                let newest = self.keys.tek_by_spi(*newest);
                if let Some(newest) = newest.filter(|_| kind == PeerKind::Rfc6407) {
                    let delay = newest.tek.activation.since(now).as_secs();
                    offer.activation_delay_s = u16::try_from(delay).ok().filter(|s| *s > 0);
                }
            }
        }
        builder.push(&offer.to_wire(kind)?);
        grant.with_wire(kind, |kd| builder.push(kd))?;
        Ok(composed)
    }

    /// What every SA payload to a kind begins with.
    pub(super) fn frame(&self, kind: PeerKind, now: PseudoTime, hashes: usize) -> Offer {
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
            acl: self.plain_lines(),
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

/// A traffic key as its SATs say it: the lifetime is what is left until it ends.
pub(super) fn tek_offer(record: &TekRecord, end: PseudoTime, now: PseudoTime) -> TekOffer {
    let remaining_s = end.since(now).as_secs();
    TekOffer {
        spi: record.tek.spi,
        transform: record.tek.transform,
        lifetime_s: u32::try_from(remaining_s).unwrap_or(u32::MAX).max(1),
    }
}

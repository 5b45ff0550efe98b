//! Rekeys that a member does not acknowledge are repeated by other key servers, and its
//! acknowledgement comes back the same way (PROTOCOL P24).
//!
//! Decides what is handed to whom. When a rekey is handed over is `ks::outstanding`'s.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{KekSpi, KsIndex, Time};
use wire::codec::{Error, Reader, Writer};
use wire::gdoi::Sa;
use wire::iana::PayloadType;

use super::log::Key;
use super::peer::Peer;
use super::records;
use crate::context::Context;
use crate::group_sa::{Offer, TekOffer};
use crate::ks::rekey::ack_type;
use crate::ks::{KeyServer, Member};
use crate::limits::{HANDED_MAX, HANDED_OCTETS_MAX, KEK_ACK_KEEP, PUSH_IDENTICAL};
use crate::machine::Output;
use crate::push;

/// A PUSH to one member, as two key servers talk of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// The member.
    pub(crate) member: Ipv4Addr,
    /// The Rekey SA.
    pub(crate) kek: KekSpi,
    /// The sequence number.
    pub(crate) seq: u32,
    /// The datagram; nothing in what comes back, the acknowledgement.
    pub(crate) bytes: Vec<u8>,
    /// In what comes back: whether the member runs an old policy.
    pub(crate) old_policy: bool,
}

/// Everything that is handed from here, and where what was handed to us came from.
#[derive(Clone, Default)]
pub(super) struct HandOver {
    next: u64,
    out: BTreeMap<(KsIndex, u64), (Time, Handed)>,
    /// When, and from whom, who is to be told of the acknowledgement.
    repeated: BTreeMap<(Ipv4Addr, KekSpi, u32), (Time, KsIndex)>,
}

impl HandOver {
    /// What is told to a key server under a number.
    pub(super) fn find(&self, to: KsIndex, number: u64) -> Option<&Handed> {
        self.out.get(&(to, number)).map(|(_, handed)| handed)
    }

    /// A copy is of no use when its time is over: a key server that was away would repeat what all
    /// members have long replaced.
    //= getvpn P8
    pub(super) fn expire(&mut self, now: Time) {
        self.out
            .retain(|_, (made, _)| now.since(*made) < PUSH_IDENTICAL);
        self.repeated
            .retain(|_, (came, _)| now.since(*came) < KEK_ACK_KEEP * 2);
    }

    /// The keys in these rekeys are dead: nobody repeats them.
    //= getvpn P14
    pub(super) fn clear(&mut self) {
        self.out.retain(|_, (_, handed)| handed.bytes.is_empty());
    }

    fn add(&mut self, now: Time, to: KsIndex, handed: Handed) -> u64 {
        self.next += 1;
        if self.out.len() >= HANDED_MAX {
            self.out.pop_first();
        }
        self.out.insert((to, self.next), (now, handed));
        self.next
    }
}

impl Handed {
    /// Its kind on the wire, and its octets.
    pub(crate) fn encode(&self) -> (u8, Result<Vec<u8>, Error>) {
        let mut w = Writer::new();
        w.bytes(&self.member.octets());
        w.bytes(&self.kek.0);
        w.u32(self.seq);
        if self.bytes.is_empty() {
            w.u8(self.old_policy.into());
            return (records::HANDED_ACK, w.finish());
        }
        w.bytes(&self.bytes);
        (records::HANDED_PUSH, w.finish())
    }

    /// Reads what `encode` wrote.
    pub(crate) fn read(kind: u8, r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut handed = Self {
            member: Ipv4Addr::from(r.array::<4>()?),
            kek: KekSpi(r.array()?),
            seq: r.u32()?,
            bytes: Vec::new(),
            old_policy: false,
        };
        if kind == records::HANDED_ACK {
            handed.old_policy = r.u8()? == 1;
            return Ok(handed);
        }
        handed.bytes = r.rest().to_vec();
        if handed.bytes.is_empty() || handed.bytes.len() > HANDED_OCTETS_MAX {
            let octets = handed.bytes.len() as u64;
            return Err(r.bad("octets of a PUSH", octets, "1 to 8192"));
        }
        Ok(handed)
    }
}

impl KeyServer {
    /// Hands a PUSH to these key servers, unless it is longer than any of them takes.
    //= getvpn P24
    pub(in crate::ks) fn hand_over(&mut self, cx: &Context<'_>, to: &[KsIndex], handed: &Handed) {
        if handed.bytes.len() > HANDED_OCTETS_MAX {
            return;
        }
        for index in to {
            self.tell(cx, *index, handed.clone());
        }
    }

    /// Who repeats a PUSH for a member: every key server that is heard, since the way from some of
    /// them may be cut, too; for a member that none of them reached the last time, and among `many`,
    /// the one where it registered, and when that is this one or is not heard, another one each time.
    //= getvpn P24
    pub(in crate::ks) fn repeaters(&self, member: &Member, seq: u32, many: bool) -> Vec<KsIndex> {
        let heard = self.coop.peers.values().filter(|peer| peer.alive);
        let mut heard: Vec<&Peer> = heard.collect();
        if many || member.missed_in_row > 0 || ack_type(member.kind).is_none() {
            let turn = usize::try_from(seq).unwrap_or_default() % heard.len().max(1);
            heard.rotate_left(turn);
            heard.sort_by_key(|peer| peer.address != member.server);
            heard.truncate(1);
        }
        heard.iter().map(|peer| peer.index).collect()
    }

    fn tell(&mut self, cx: &Context<'_>, to: KsIndex, handed: Handed) {
        let source = self.coop.log.source();
        self.coop.log.comes_from(None);
        let number = self.coop.handover.add(cx.now, to, handed);
        self.coop.changed(Key::Handed(to, number), cx.now);
        self.coop.log.comes_from(source);
    }

    /// A key server hands a PUSH over: the same octets go to the member from here, unless a key in
    /// them has ended with its generation on the way, or they cannot be read here.
    //= getvpn P24
    pub(super) fn repeat(&mut self, cx: &mut Context<'_>, from: KsIndex, handed: Handed) {
        let Some(member) = self.members.find(handed.member) else {
            return;
        };
        if !self.vouches_for(cx.now, &handed) {
            return;
        }
        let (peer, local) = (
            member.peer,
            SocketAddrV4::new(self.config.address, member.local.port()),
        );
        let repeated = &mut self.coop.handover.repeated;
        if repeated.len() >= HANDED_MAX {
            let oldest = repeated.iter().min_by_key(|(_, (came, _))| *came);
            if let Some(name) = oldest.map(|(name, _)| *name) {
                repeated.remove(&name);
            }
        }
        let name = (handed.member, handed.kek, handed.seq);
        repeated.insert(name, (cx.now, from));
        cx.out.push(Output::Transmit {
            local,
            peer,
            bytes: handed.bytes,
        });
    }

    /// Whether every traffic key in a PUSH is held here and has not ended with its generation.
    //= getvpn P14
    fn vouches_for(&self, now: Time, handed: &Handed) -> bool {
        let (keys, now) = (&self.keys, self.clock.at(now));
        let Some(kek) = keys.kek_by_spi(&handed.kek) else {
            return false;
        };
        let Ok(opened) = push::open(&kek.sa, &handed.bytes) else {
            return false;
        };
        let chain = opened.chain();
        let sa = chain.find(PayloadType::SA);
        let sa: Option<Sa> = sa.and_then(|raw| raw.decode().ok());
        let offer = sa.and_then(|sa| Offer::from_wire(&sa, kek.kind).ok());
        let offer = offer.unwrap_or_default();
        // What has run out since it was sent is forgotten, and nobody takes it.
        let has_run_out = |tek: &TekOffer| {
            let life = Duration::from_secs(tek.lifetime_s.into());
            let end = offer
                .stamp
                .as_ref()
                .map(|stamp| stamp.pseudotime.after(life));
            end.is_some_and(|end| end <= now)
        };
        offer.teks.iter().all(|tek| {
            let Some(record) = keys.tek_by_spi(tek.spi) else {
                // What has ended with its generation is soon forgotten.
                return has_run_out(tek);
            };
            let generation = record.tek.generation;
            let mut raises = keys.removals.raises.iter().filter(|raise| raise.at <= now);
            !raises.any(|raise| raise.kills(&generation))
                && generation.is_alive_in(&keys.generation)
        })
    }

    /// An acknowledgement came, and is genuine. Says whether it is for a PUSH that was handed to us:
    /// then whoever handed it is told.
    //= getvpn P24
    pub(in crate::ks) fn return_ack(&mut self, cx: &Context<'_>, handed: Handed) -> bool {
        let name = (handed.member, handed.kek, handed.seq);
        let Some((_, to)) = self.coop.handover.repeated.get(&name).copied() else {
            return false;
        };
        self.tell(cx, to, handed);
        true
    }
}

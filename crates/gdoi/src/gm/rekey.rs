//! What a member believes of a rekey, and what it answers.
//!
//! The order of work is PROTOCOL P7's: cookies, cache of recent datagrams, decryption, form, sequence
//! number, signature, and only then state. What is wrong before the signature is verified is counted
//! and changes nothing.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use ::policy::{KekSpi, PeerKind, Spi, Time};
use crypto::key_pair::PublicKey;
use event::{Crypto, Gdoi};
use wire::gdoi::{Gap, Kd, Sa};
use wire::iana::{AckType, PayloadType, ProtocolId};
use wire::isakmp::{Delete, Header};
use wire::private::{AckFlags, AckStatus};

use super::Member;
use super::held::{Held, Kek};
use super::multicast::{Acknowledgement, DelayedAck};
use super::policy::Purpose;
use super::pseudotime::Read;
use super::registration::Plan;
use crate::ack;
use crate::context::Context;
use crate::group_sa::{Offer, Received, Unacceptable, unsupported};
use crate::key_pairs::algorithm;
use crate::limits::{
    ACK_REPEAT, PUSH_HASHES, PUSH_IDENTICAL, REFUSAL_REPORT_PAUSE, REGISTER_SPREAD_MAX,
    UNKNOWN_KEK_KEEP, UNKNOWN_KEK_MAX,
};
use crate::machine::Output;
use crate::policy_blob::{Sha256, sha256};
use crate::private::RegisterAgain;
use crate::push::{self, Opened};
use crate::rekey_sa::random_below;

/// The longest span over which a registration that the key server asks for is spread.
const SPREAD_MS_MAX: u64 = REGISTER_SPREAD_MAX.as_millis() as u64;

/// Datagrams that came lately.
#[derive(Clone, Default)]
pub(super) struct Pushes {
    recent: VecDeque<Recent>,
    /// Under Rekey SAs that are not held yet: the rekey that announces one may be late.
    early: VecDeque<Early>,
    alarmed: Option<Time>,
    /// Acknowledgements of multicast rekeys that wait for their moment.
    pub(super) acks: VecDeque<DelayedAck>,
}

#[derive(Clone)]
struct Recent {
    name: Sha256,
    /// The acknowledgement of a rekey that was processed, and when it left last.
    ack: Option<(Acknowledgement, Time)>,
}

#[derive(Clone)]
struct Early {
    came: Time,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    datagram: Vec<u8>,
}

impl Pushes {
    fn remember(&mut self, name: Sha256, ack: Option<(Acknowledgement, Time)>) {
        if self.recent.len() == PUSH_HASHES {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { name, ack });
    }

    /// Whether a forged or replayed rekey is reported now: anybody who has seen one rekey can send
    /// variations of it without end. All are counted.
    fn may_alarm(&mut self, now: Time) -> bool {
        let may = self
            .alarmed
            .is_none_or(|last| now.since(last) >= REFUSAL_REPORT_PAUSE);
        if may {
            self.alarmed = Some(now);
        }
        may
    }

    /// Forgets early rekeys whose Rekey SA did not come.
    pub(super) fn expire(&mut self, now: Time) {
        self.early
            .retain(|early| now.since(early.came) < UNKNOWN_KEK_KEEP);
    }

    /// When `expire` has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let early = self.early.front().map(|own| own.came + UNKNOWN_KEK_KEEP);
        let ack = self.acks.iter().map(DelayedAck::leaves).min();
        early.into_iter().chain(ack).min()
    }
}

#[cfg(feature = "model")]
impl Pushes {
    /// Hashes what decides about datagrams to come; `rel` makes times relative.
    pub(super) fn fingerprint(&self, rel: impl Fn(Time) -> i128, h: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        for recent in &self.recent {
            let repeated = |at: &Time| rel(*at + ACK_REPEAT).max(0);
            (
                &recent.name[..8],
                recent.ack.as_ref().map(|(_, at)| repeated(at)),
            )
                .hash(h);
        }
        for early in &self.early {
            (rel(early.came), early.peer, sha256(&early.datagram)).hash(h);
        }
    }
}

/// A rekey that was verified, with what it says.
struct Rekey {
    deletes: Vec<Delete>,
    content: Option<(Offer, Received)>,
}

impl Member {
    /// A PUSH came for this member's address. Says whether it is under a Rekey SA that is held; if
    /// not, it is kept for a moment.
    //= getvpn P7
    pub(crate) fn push(
        &mut self,
        cx: &mut Context<'_>,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        datagram: &[u8],
    ) -> bool {
        let Ok((header, _)) = Header::split(datagram) else {
            return false;
        };
        let spi = push::kek_spi(&header);
        let kek = self.held.as_ref().and_then(|held| held.kek(&spi)).cloned();
        match kek {
            Some(kek) => self.push_under(cx, &kek, (local, peer), datagram),
            None => self.keep_early(cx, local, peer, datagram),
        }
        self.holds_kek(&spi)
    }

    fn push_under(
        &mut self,
        cx: &mut Context<'_>,
        kek: &Kek,
        (local, peer): (SocketAddrV4, SocketAddrV4),
        datagram: &[u8],
    ) {
        let name = sha256(datagram);
        if self.is_copy(cx, &name, local, peer) {
            return;
        }
        let Ok(opened) = push::open(&kek.sa, datagram) else {
            return self.refuse(cx, "rekey unreadable");
        };
        if opened.seq <= kek.seq {
            if self.is_race(cx.now, kek, opened.seq) {
                return self.refuse(cx, "rekey that a registration overtook");
            }
            return self.refuse_sequence(cx, peer, opened.seq, kek.seq);
        }
        let held = self.held.as_ref();
        let form = held.and_then(|held| {
            let mut keys = held.signing_keys(kek);
            keys.find_map(|key| opened.verify(&kek.sa, key))
        });
        let Some(form) = form else {
            self.refuse(cx, "rekey signature");
            if self.pushes.may_alarm(cx.now) {
                self.report_failure(cx, peer);
            }
            return;
        };
        *self
            .counters
            .signature_forms
            .entry(form.name())
            .or_default() += 1;
        self.process(cx, &opened, kek, (local, peer), name);
    }

    /// A rekey that left before this member's registration and arrives after it: its content was in
    /// the registration, and its number is no alarm.
    fn is_race(&self, now: Time, kek: &Kek, seq: u32) -> bool {
        let recent = self
            .registered
            .is_some_and(|at| now.since(at) < PUSH_IDENTICAL);
        recent && seq <= kek.registered_seq
    }

    /// A copy costs a hash. It is acknowledged again if the first was processed, once a second.
    //= getvpn P8
    fn is_copy(
        &mut self,
        cx: &mut Context<'_>,
        name: &Sha256,
        local: SocketAddrV4,
        peer: SocketAddrV4,
    ) -> bool {
        let Some(seen) = self.pushes.recent.iter().find(|seen| seen.name == *name) else {
            return false;
        };
        self.counters.copies += 1;
        let due = seen
            .ack
            .as_ref()
            .filter(|(_, left)| cx.now.since(*left) >= ACK_REPEAT);
        let Some((again, _)) = due.cloned() else {
            return true;
        };
        // A registration since has changed what acknowledgements are keyed with.
        let bytes = self.acknowledge(&again.kek, again.seq);
        let bytes = bytes.unwrap_or(again.bytes);
        let again = Acknowledgement { bytes, ..again };
        let leaves = self.answer(cx, local, peer, again);
        let seen = self.pushes.recent.iter_mut().find(|own| own.name == *name);
        if let Some((_, left)) = seen.and_then(|seen| seen.ack.as_mut()) {
            *left = leaves;
        }
        true
    }

    /// The signature is right: the number is taken, then what the rekey says.
    fn process(
        &mut self,
        cx: &mut Context<'_>,
        opened: &Opened,
        kek: &Kek,
        (local, peer): (SocketAddrV4, SocketAddrV4),
        name: Sha256,
    ) {
        let Some(held) = &mut self.held else { return };
        let spi = kek.sa.spi;
        if let Some(kek) = held.keks.find_mut(&spi) {
            (kek.previous_seq, kek.seq) = (kek.seq, opened.seq);
        }
        let rekey = match read(opened, held.kind, held.public_key.as_ref()) {
            Ok(rekey) => rekey,
            Err(reason) => {
                self.pushes.remember(name, None);
                self.refuse(cx, "rekey rejected");
                cx.out.report(Gdoi::GM_REJECTING_SA_PAYLOAD {
                    ks: *peer.ip(),
                    group: self.config.group.clone(),
                    reason: reason.to_string(),
                });
                return self.report_failure(cx, peer);
            }
        };
        held.keks.promote(&spi);
        held.last_rekey = Some((peer, opened.seq, cx.now));
        self.counters.rekeys += 1;
        self.counters.rekeys_since_registration += 1;
        cx.out.report(Gdoi::GM_RECV_REKEY {
            group: self.config.group.clone(),
            from: *peer.ip(),
            to: *local.ip(),
            seq: opened.seq,
        });
        if let Some((offer, got)) = rekey.content {
            self.adopt(cx, &offer, &got);
        }
        // The acknowledgement is made before a Delete may take the Rekey SA away (RFC 8263 3).
        let ack = self.acknowledge(&spi, opened.seq).map(|bytes| {
            let seq = opened.seq;
            let kek = spi;
            let made = Acknowledgement { kek, seq, bytes };
            let leaves = self.answer(cx, local, peer, made.clone());
            (made, leaves)
        });
        self.pushes.remember(name, ack);
        self.delete(cx, &rekey.deletes);
        if self.attempt.is_idle() && rekey.deletes.is_empty() {
            self.plan_reregistration(cx);
        }
        self.expire(cx);
        self.retry_pushes(cx);
    }

    /// Installs what a rekey brings.
    fn adopt(&mut self, cx: &mut Context<'_>, offer: &Offer, got: &Received) {
        if let Some(stamp) = &offer.stamp {
            if let Some(held) = &mut self.held {
                held.generation = held.generation.join(&stamp.generation);
            }
            let read = self.clock.stamped(stamp, cx.now);
            if read != Read::Nothing {
                self.follow_clock(cx, stamp, read);
            }
        }
        let Some(held) = &self.held else { return };
        let now = held.clock.at(cx.now);
        if let (Some(kek), Some(said)) = (&got.kek, &offer.kek) {
            let announced = self.kek(said, kek.sa.clone(), 0, now);
            self.report_transport(cx, announced.destination);
            if let Some(held) = &mut self.held {
                if let Some(key) = &kek.public_key {
                    held.sign_with(Some(key.clone()));
                }
                held.keks.announce(announced);
                if let Some(key) = &kek.spi_key {
                    held.spi_key = Some(key.clone());
                }
            }
            cx.out.report(Gdoi::SA_KEK_UPDATED {});
        }
        self.install_teks(cx, offer, got, Purpose::Rekey);
        match &offer.policy {
            Some(name) => self.policy_named(cx, name),
            None => self.policy_told(cx, offer),
        }
        if let Some(again) = &offer.register_again {
            self.register_again(cx, again);
        }
    }

    /// The key server asks every member to come for new keys, under its own phase-1 SA: who was
    /// removed could read whatever came here. What is held stays until its time, or goes at once.
    //= getvpn P16
    fn register_again(&mut self, cx: &mut Context<'_>, again: &RegisterAgain) {
        let group = self.config.group.clone();
        let spread = u64::from(again.spread_ms).min(SPREAD_MS_MAX);
        if again.at_once {
            let within_s = spread.div_ceil(1_000);
            cx.out
                .report(Gdoi::GM_RECV_DELETE_IMMEDIATE { group, within_s });
        } else {
            cx.out.report(Gdoi::GM_RECV_DELETE { group });
        }
        let jitter = std::time::Duration::from_millis(random_below(cx.rng, spread + 1));
        let at = cx.now + jitter;
        self.abandon(cx);
        self.plan = if self.summoned {
            self.plan.asked_again(at)
        } else {
            Plan::at(at)
        };
        self.summoned = true;
    }

    /// The acknowledgement that the Rekey SA asks for, if it asks for one.
    fn acknowledge(&self, spi: &KekSpi, seq: u32) -> Option<Vec<u8>> {
        let held = self.held.as_ref()?;
        let kek = held.kek(spi)?;
        let ty = kek.ack?;
        let (base, status) = match ty {
            AckType::GETVPN_MEMBER => (&held.ack_base, Some(self.ack_status(held))),
            _ => (&kek.sa.key, None),
        };
        ack::build(ty, base, spi, seq, self.config.address, status)
    }

    /// What the key server learns beside: under which policy this member runs (PROTOCOL P5).
    fn ack_status(&self, held: &Held) -> AckStatus {
        let flags = if self.fetch.is_some() {
            AckFlags::OLD_POLICY
        } else {
            AckFlags::NONE
        };
        let policy = held
            .policy
            .blob
            .as_ref()
            .map_or([0; 32], |blob| blob.sha256);
        AckStatus { flags, policy }
    }

    /// The key server deletes keys: they go at once. Without a Rekey SA, or a key to send on, the member
    /// asks for new ones.
    fn delete(&mut self, cx: &mut Context<'_>, deletes: &[Delete]) {
        if deletes.is_empty() {
            return;
        }
        let group = self.config.group.clone();
        let Some(held) = &mut self.held else { return };
        for delete in deletes {
            //= RFC 6407 5.9
            //# the GCKS can signal deletion of all policy of
            //# a particular TEK protocol by sending a TEK with an SPI value equal to
            //# zero in the delete payload.
            let spis: Vec<Spi> = if delete.protocol == ProtocolId::RESERVED.0 {
                held.keks.delete_all();
                Vec::new()
            } else if delete.iter_u32().any(|spi| spi == 0) {
                held.teks.keys().copied().collect()
            } else {
                delete.iter_u32().map(Spi).collect()
            };
            for spi in spis {
                if held.drop_tek(spi) {
                    cx.out.push(Output::RemoveSa {
                        group: group.clone(),
                        spi,
                    });
                }
            }
        }
        let now = held.clock.at(cx.now);
        if held.keks.horizon().is_some() && held.teks.values().any(|tek| tek.is_active(now)) {
            if self.attempt.is_idle() {
                self.plan_reregistration(cx);
            }
            return;
        }
        cx.out.report(Gdoi::GM_RECV_DELETE {
            group: group.clone(),
        });
        if held.teks.is_empty() {
            self.held = None;
            cx.out.push(Output::CloseGroup { group });
        }
        if self.attempt.is_idle() {
            let jitter = random_below(cx.rng, 1_000);
            self.plan = Plan::at(cx.now + std::time::Duration::from_millis(jitter));
        }
    }

    fn keep_early(
        &mut self,
        cx: &mut Context<'_>,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        datagram: &[u8],
    ) {
        self.refuse(cx, "rekey under an unknown SPI");
        if self.pushes.early.len() == UNKNOWN_KEK_MAX {
            self.pushes.early.pop_front();
        }
        let datagram = datagram.to_vec();
        self.pushes.early.push_back(Early {
            came: cx.now,
            local,
            peer,
            datagram,
        });
    }

    /// A Rekey SA came: rekeys that were early for it may be read now.
    pub(super) fn retry_pushes(&mut self, cx: &mut Context<'_>) {
        let early = std::mem::take(&mut self.pushes.early);
        for one in early {
            let known = Header::split(&one.datagram)
                .is_ok_and(|(header, _)| self.holds_kek(&push::kek_spi(&header)));
            if known {
                self.push(cx, one.local, one.peer, &one.datagram);
            } else {
                self.pushes.early.push_back(one);
            }
        }
    }

    /// The three messages of mission row 83.
    #[track_caller]
    fn refuse_sequence(&mut self, cx: &mut Context<'_>, peer: SocketAddrV4, seq: u32, last: u32) {
        self.refuse(cx, "rekey sequence number");
        if !self.pushes.may_alarm(cx.now) {
            return;
        }
        let group = self.config.group.clone();
        cx.out
            .report(Gdoi::GDOI_REKEY_SEQ_FAILURE { group, seq, last });
        self.report_failure(cx, peer);
    }

    #[track_caller]
    fn report_failure(&self, cx: &mut Context<'_>, peer: SocketAddrV4) {
        cx.out.report(Gdoi::GDOI_REKEY_FAILURE {
            gm: self.config.address,
            group: self.config.group.clone(),
            ks: *peer.ip(),
        });
        let peer = (*peer.ip()).into();
        cx.out.report(Crypto::IKMP_MODE_FAILURE {
            mode: "GDOI".to_owned(),
            peer,
        });
    }
}

/// What a verified rekey says.
fn read(opened: &Opened, kind: PeerKind, held: Option<&PublicKey>) -> Result<Rekey, Unacceptable> {
    let chain = opened.chain();
    let deletes = chain
        .all(PayloadType::DELETE)
        .map(|raw| raw.decode())
        .collect::<Result<Vec<_>, _>>()?;
    let content = match (chain.find(PayloadType::SA), chain.find(PayloadType::KD)) {
        (Some(sa), Some(kd)) => {
            let sa: Sa = sa.decode()?;
            let kd: Kd<'_> = kd.decode()?;
            let offer = Offer::from_wire(&sa, kind)?;
            let got = Received::from_wire(&kd, &offer, kind)?;
            // Without a key of its own, a new Rekey SA is signed by the one that is held.
            if let Some(kek) = &got.kek {
                let key = kek.public_key.as_ref().or(held);
                let signature = kek.sa.signature;
                if key.is_none_or(|key| key.algorithm() != algorithm(signature)) {
                    return Err(unsupported(format!(
                        "a KEK signed by {signature} without its public key"
                    )));
                }
            }
            //= RFC 6407 5.6.4
            //# MUST NOT be
            if got.sids.is_some() {
                return Err(unsupported("sender identifiers in a rekey"));
            }
            if kind == PeerKind::Ours && offer.stamp.is_none() {
                return Err(unsupported("a rekey of a getvpn without its stamp"));
            }
            Some((offer, got))
        }
        _ => {
            let gap = chain.find(PayloadType::GAP);
            let gap: Option<Gap> = gap.map(|raw| raw.decode()).transpose()?;
            let offer = gap.map(|gap| Offer::of_gap(&gap, kind)).transpose()?;
            if kind == PeerKind::Ours && offer.as_ref().is_some_and(|own| own.stamp.is_none()) {
                return Err(unsupported("a rekey of a getvpn without its stamp"));
            }
            offer.map(|offer| (offer, Received::default()))
        }
    };
    Ok(Rekey { deletes, content })
}

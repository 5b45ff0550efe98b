//! Admitting members: the key server's side of a PULL.
//!
//! Decides who may join and what they are given. Before message 3 with a right HASH nothing of the
//! group changes (RFC 6407 section 7.2.5); `ike` has verified the HASH.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{FlowKey, KekSpi, PeerKind, PseudoTime, Sid, Spi, Time};
use crypto::Secret;
use event::{Gdoi, Step};
use wire::iana::PayloadType;

use super::compose::tek_offer;
use super::coop::Key;
use super::keys::TekRecord;
use super::members::Member;
use super::outstanding::Content;
use super::policy::{has_64_bit_blocks, plain_policy, rfc3547_policy};
use super::{KeyServer, Order, Serving};
use crate::config::RekeyKey;
use crate::context::Context;
use crate::group_sa::{Grant, KekGrant, Offer, TekGrant};
use crate::ike::{Expect, SaId};
use crate::key_pairs::{KeyPair, algorithm};
use crate::kin::{self, Bond, Proof};
use crate::limits::{
    MEMBERS_MAX, PLAIN_EARLY_MAX, PULL_PENDING, PULLS_PENDING_MAX, SIDS_PER_PULL_MAX, TEKS_MAX,
};
use crate::machine::Output;
use crate::persist;
use crate::pull::{Message1, Responder};
use crate::refusal::Refusal;

/// Chunk hashes of the policy that a PULL carries; a longer list is fetched.
const PULL_HASHES_INLINE: usize = 8;

/// A PULL that waits for message 3.
pub(crate) struct Pull {
    responder: Responder,
    peer: SocketAddrV4,
    local: SocketAddrV4,
    kind: PeerKind,
    version: Option<String>,
    kek: KekSpi,
    teks: Vec<Spi>,
    began: Time,
}

impl Pull {
    /// When it is given up.
    pub(super) fn deadline(&self) -> Time {
        self.began + PULL_PENDING
    }
}

/// A message of a PULL.
pub(crate) struct PullMessage<'a> {
    /// The SA that protects it.
    pub(crate) sa: SaId,
    /// Its exchange.
    pub(crate) message_id: u32,
    /// The type of its first payload.
    pub(crate) first: PayloadType,
    /// Its payloads.
    pub(crate) payloads: &'a [u8],
}

impl KeyServer {
    /// Message 1: a peer asks to join.
    pub(crate) fn begin_pull(
        &mut self,
        cx: &mut Context<'_>,
        message: &PullMessage<'_>,
        message_1: &Message1,
    ) {
        let Some(sa) = cx.isakmp.sa(message.sa) else {
            return;
        };
        let peer = *sa.peer().ip();
        match self.offer_to(cx, message, message_1) {
            Ok((pull, built)) => {
                let sent = cx.isakmp.send(
                    cx.now,
                    message.sa,
                    message.message_id,
                    (built.first(), built.payloads()),
                    Expect::Final,
                    cx.out,
                );
                if sent.is_ok() {
                    let key = (message.sa, message.message_id);
                    self.pulls.insert(key, pull);
                }
            }
            Err(refusal) => self.refuse(cx, message.sa, peer, &refusal),
        }
    }

    fn offer_to(
        &self,
        cx: &mut Context<'_>,
        message: &PullMessage<'_>,
        message_1: &Message1,
    ) -> Result<(Pull, wire::isakmp::Built), Refusal> {
        let sa = cx.isakmp.sa(message.sa).ok_or(Refusal::NoPull)?;
        let (local, peer) = (sa.local(), sa.peer());
        let version = sa.peer_version().map(|version| version.to_string());
        self.authorize(*peer.ip())?;
        let (kind, nonce) = prove(cx, message.sa, &message_1.nonce)?;
        let kind = self.kind_of(kind, *peer.ip());
        match &self.serving {
            Serving::Yes => {}
            Serving::NoRekeyKey { key, .. } => return Err(Refusal::NoRekeyKey(key.clone())),
            Serving::Incomplete(reason) => return Err(Refusal::Incomplete(reason.clone())),
        }
        if let Some(reason) = self.waits(cx.now) {
            return Err(Refusal::Incomplete(reason.to_owned()));
        }
        self.room_for(*peer.ip(), kind)?;
        self.signs_for(cx, kind).map_err(Refusal::NoRekeyKey)?;
        if kind == PeerKind::Ours {
            cx.isakmp.mark_kin(message.sa);
        }
        let (offer, kek) = self.registration_offer(cx, kind, *peer.ip());
        let teks = offer.teks.iter().map(|tek| tek.spi).collect();
        let (responder, built) =
            Responder::answer(message_1, nonce, &offer, kind).map_err(Refusal::Malformed)?;
        let pull = Pull {
            responder,
            peer,
            local,
            kind,
            version,
            kek,
            teks,
            began: cx.now,
        };
        Ok((pull, built))
    }

    /// Whether the pair that signs under the Rekey SA of that kind is here; which one is not.
    pub(super) fn signs_for(&self, cx: &Context<'_>, kind: PeerKind) -> Result<(), RekeyKey> {
        let Some(kek) = self.keys.kek(kind) else {
            return Ok(());
        };
        let signature = kek.sa.signature;
        match cx.key_pairs.signer(&kek.label, signature) {
            Some(_) => Ok(()),
            None => Err(RekeyKey::new(algorithm(signature).kind(), &kek.label)),
        }
    }

    /// `authorization address ipv4`.
    fn authorize(&self, peer: Ipv4Addr) -> Result<(), Refusal> {
        //= getvpn P16
        if self.keys.removals.refuses(peer) {
            return Err(Refusal::Removed);
        }
        let Some(acl) = &self.config.authorization else {
            return Ok(());
        };
        if acl.permits(&self.flow_of(peer)) {
            Ok(())
        } else {
            Err(Refusal::Unauthorized)
        }
    }

    /// What an access list over members is asked about one.
    const fn flow_of(&self, peer: Ipv4Addr) -> FlowKey {
        FlowKey {
            source: IpAddr::V4(peer),
            destination: IpAddr::V4(self.config.address),
            protocol: 17,
            source_port: Some(848),
            destination_port: Some(848),
        }
    }

    /// `client compatibility rfc3547`: the wire does not tell the two kinds of plain members apart.
    //= getvpn P2
    fn kind_of(&self, proven: PeerKind, peer: Ipv4Addr) -> PeerKind {
        let acl = self.config.rfc3547.as_ref();
        match proven {
            PeerKind::Ours => PeerKind::Ours,
            PeerKind::Rfc6407 | PeerKind::Rfc3547 => {
                if acl.is_some_and(|acl| acl.permits(&self.flow_of(peer))) {
                    PeerKind::Rfc3547
                } else {
                    PeerKind::Rfc6407
                }
            }
        }
    }

    fn room_for(&self, peer: Ipv4Addr, kind: PeerKind) -> Result<(), Refusal> {
        let plan = self.plan.as_ref().expect("a served group has a plan");
        if self.pulls.len() >= PULLS_PENDING_MAX {
            return Err(Refusal::TooManyPulls);
        }
        if self.members.len() >= MEMBERS_MAX && self.members.find(peer).is_none() {
            return Err(Refusal::GroupFull);
        }
        if kind != PeerKind::Ours {
            plain_policy(plan, &self.config, peer).map_err(Refusal::Unsayable)?;
            if kind == PeerKind::Rfc3547 {
                rfc3547_policy(plan).map_err(Refusal::Unsayable)?;
            }
            let bits = self.config.size.bits();
            //= getvpn P10
            if plan.wanted.transform.is_counter_mode() && bits > 16 {
                return Err(Refusal::Unsayable(format!(
                    "`group size` of {bits} bits cannot be told to an RFC 6407 member: \
                     configure small 8, 12 or 16"
                )));
            }
        }
        Ok(())
    }

    /// What message 2 says.
    pub(super) fn registration_offer(
        &self,
        cx: &Context<'_>,
        kind: PeerKind,
        peer: Ipv4Addr,
    ) -> (Offer, KekSpi) {
        let now = self.clock.at(cx.now);
        let kek = self.keys.kek(kind).expect("a served group has every KEK");
        let told = self
            .records_for(kind, cx.now)
            .map(TekRecord::told_activation);
        let then = told.max().map_or(now, |then| then.max(now));
        let mut offer = self.frame(kind, (now, then), PULL_HASHES_INLINE);
        offer.kek = Some(self.kek_offer(cx, kek, now, Some(peer)));
        offer.teks = self
            .records_for(kind, cx.now)
            .map(|record| tek_offer(record, self.keys.end(record), now))
            .collect();
        (offer, kek.sa.spi)
    }

    /// The records that a joiner gets: all of them, or for a plain member those that are sent on now,
    /// and the next too in the last minute before it is, when all others have it. After a merge there
    /// may be several that plain members send on: what they were told in seconds says not which of two
    /// is the later one.
    //= getvpn P10
    fn records_for(&self, kind: PeerKind, at: Time) -> impl Iterator<Item = &TekRecord> {
        let now = self.clock.at(at);
        let schedule = self.plan.as_ref().map(|plan| plan.wanted.schedule);
        let lead = schedule.map_or(Duration::ZERO, |schedule| schedule.reregister_lead());
        let soon = now.after(lead + PLAIN_EARLY_MAX);
        // Of more than a member believes, those that most likely nobody sends on are left out.
        let skipped = self.keys.usable(now).count().saturating_sub(TEKS_MAX);
        // Where none is sent on yet, after a clock was lost, it is the next one, however early.
        let first = self.keys.usable(now).map(TekRecord::told_activation).min();
        let soon = first.map_or(soon, |first| soon.max(first));
        self.keys.usable(now).skip(skipped).filter(move |record| {
            let from = record.told_activation();
            let all_have = (record.delivered && !self.is_removing()) || Some(from) == first;
            kind == PeerKind::Ours || from <= now || (all_have && from <= soon)
        })
    }

    /// Message 3: the member is admitted.
    pub(crate) fn finish_pull(&mut self, cx: &mut Context<'_>, message: &PullMessage<'_>) {
        let key = (message.sa, message.message_id);
        let Some(peer) = cx.isakmp.sa(message.sa).map(|sa| *sa.peer().ip()) else {
            return;
        };
        let Some(pull) = self.pulls.remove(&key) else {
            return self.refuse(cx, message.sa, peer, &Refusal::NoPull);
        };
        match self.admit(cx, message, &pull) {
            Ok((built, doubt)) => {
                cx.out.report(Step::GM_ADMITTED {
                    gm: peer,
                    ks: self.config.address,
                    group: self.config.group.clone(),
                });
                // An SA that ended in between: the member registers again.
                let _ = cx.isakmp.send(
                    cx.now,
                    message.sa,
                    message.message_id,
                    (built.first(), built.payloads()),
                    Expect::Final,
                    cx.out,
                );
                self.catch_up(cx, &pull);
                if doubt {
                    self.replace_doubtful_keys(cx);
                }
            }
            Err(refusal) => self.refuse(cx, message.sa, peer, &refusal),
        }
    }

    /// Message 4, and whether keys are in doubt because of what the member said.
    fn admit(
        &mut self,
        cx: &mut Context<'_>,
        message: &PullMessage<'_>,
        pull: &Pull,
    ) -> Result<(wire::isakmp::Built, bool), Refusal> {
        let said =
            Responder::read_3(message.first, message.payloads).map_err(Refusal::Malformed)?;
        let workers = said.workers.clamp(1, SIDS_PER_PULL_MAX);
        let address = *pull.peer.ip();
        self.authorize(address)?;
        let now = self.clock.at(cx.now);
        let ours = pull.kind == PeerKind::Ours;
        if let Some(spi) = said.spent.filter(|_| ours) {
            self.roll(cx, spi, address);
        }
        let held = said.held.filter(|_| ours);
        let doubt = held.is_some_and(|held| self.member_remembers(cx, address, &held));
        let (mark, until) = (self.sids.mark(), self.last_expiry().unwrap_or(now));
        let mut member = self.members.find(address).cloned().unwrap_or_default();
        member.end_lease(until, now);
        if !member.has_room(workers) {
            return Err(Refusal::SidsExhausted);
        }
        let sids = self.allocate_sids(address, workers, now)?;
        if self.sids.mark() != mark {
            self.persist_group(cx);
        }
        let ack_base = ack_base(cx, message.sa, pull);
        member.begin_lease(sids.clone());
        let member = Member {
            peer: pull.peer,
            local: pull.local,
            server: self.config.address,
            joined: now,
            kek: pull.kek,
            is_kek_doubted: false,
            kind: pull.kind,
            version: pull.version.clone(),
            ack_base,
            registered: Some(cx.now),
            policy_behind: false,
            missed_in_row: 0,
            handed_over: false,
            ..member
        };
        let built = self.message_4(cx, pull, &sids)?;
        self.tell_dropped(cx, pull.kind, address);
        self.rekeying.forget(address);
        self.untimed.heard(address, cx.now);
        let record = persist::member_record(&self.config.group, address, &member);
        cx.out.push(Output::Persist(record));
        self.members.insert(address, member);
        self.came_back(cx.now, address);
        self.coop.changed(Key::Member(address), cx.now);
        Ok((built, doubt))
    }

    /// When the traffic key that is held longest ends.
    fn last_expiry(&self) -> Option<PseudoTime> {
        let teks = self.keys.teks.iter();
        teks.map(|record| record.tek.expiry).max()
    }

    /// Sender identifiers for a member, if the cipher needs them.
    //= getvpn P20
    fn allocate_sids(
        &mut self,
        member: Ipv4Addr,
        workers: u16,
        now: PseudoTime,
    ) -> Result<Vec<Sid>, Refusal> {
        let plan = self.plan.as_ref();
        if !plan.is_some_and(|plan| plan.wanted.transform.is_counter_mode()) {
            return Ok(Vec::new());
        }
        let joiners = self.members.len() + usize::from(self.members.find(member).is_none());
        let needed = 4 * joiners as u64 * u64::from(workers);
        if needed > self.sids.space().count() {
            return Err(Refusal::SidsExhausted);
        }
        let leases = self.members.leases().chain(&self.keys.removals.leases);
        let sids = self.sids.allocate(workers, leases, now);
        sids.map_err(|_| Refusal::SidsExhausted)
    }

    /// A member has nearly used up a key: if it is the one that is sent on, the period ends early.
    //= getvpn P23
    fn roll(&mut self, cx: &mut Context<'_>, spi: Spi, gm: Ipv4Addr) {
        let running = self.keys.running(self.clock.at(cx.now));
        let is_running = running
            .is_some_and(|record| record.tek.spi == spi && has_64_bit_blocks(record.tek.transform));
        if is_running && self.spent != Some(spi) {
            self.spent = Some(spi);
            self.ordered = self.ordered.max(self.coop.leads().then_some(Order::Rekey));
            cx.out.report(Gdoi::KS_KEY_SPENT {
                group: self.config.group.clone(),
                gm,
                spi,
            });
        }
    }

    /// `client compatibility rfc6407`: lists what will not pass.
    //= getvpn P10
    fn tell_dropped(&self, cx: &mut Context<'_>, kind: PeerKind, peer: Ipv4Addr) {
        let Some(plan) = self.plan.as_ref().filter(|_| kind != PeerKind::Ours) else {
            return;
        };
        let plain = plain_policy(plan, &self.config, peer);
        let dropped = plain.map(|plain| plain.dropped).unwrap_or_default();
        if !dropped.is_empty() {
            let denies: Vec<String> = dropped.iter().map(ToString::to_string).collect();
            cx.out.report(Gdoi::KS_CLIENT_COMPATIBILITY {
                peer,
                group: self.config.group.clone(),
                denies: denies.join(", "),
            });
        }
    }

    fn message_4(
        &self,
        cx: &Context<'_>,
        pull: &Pull,
        sids: &[::policy::Sid],
    ) -> Result<wire::isakmp::Built, Refusal> {
        let kek = self.keys.kek_by_spi(&pull.kek).ok_or(Refusal::NoPull)?;
        let signer = cx.key_pairs.signer(&kek.label, kek.sa.signature);
        let mut grant = Grant {
            kek: Some(KekGrant {
                sa: &kek.sa,
                public_key: signer.map(KeyPair::public_der),
                spi_key: Some(&self.keys.spi_key),
            }),
            teks: Vec::new(),
            sids: (!sids.is_empty()).then_some((self.config.size, sids)),
            clock_generation: self.clock.generation(),
        };
        for spi in &pull.teks {
            let record = self.keys.teks.iter().find(|record| record.tek.spi == *spi);
            let record = record.ok_or(Refusal::NoPull)?;
            grant.teks.push(TekGrant::of(record));
        }
        Responder::message_4(Some(kek.seq), &grant, pull.kind).map_err(Refusal::Malformed)
    }

    /// What changed between message 2 and now, and what a plain joiner was not told, goes to the
    /// new member in PUSHes of its own.
    fn catch_up(&mut self, cx: &mut Context<'_>, pull: &Pull) {
        if !self.coop.leads() {
            // Whoever leads hears of the new member, and tells it.
            return self.tick(cx);
        }
        let address = *pull.peer.ip();
        let now = self.clock.at(cx.now);
        let newer_kek = self
            .keys
            .kek(pull.kind)
            .map(|kek| kek.sa.spi)
            .filter(|spi| *spi != pull.kek);
        if let Some(spi) = newer_kek {
            self.send_apart(cx, pull.kind, &Content::Kek(spi), address);
        }
        if pull.kind == PeerKind::Ours {
            let newest = self.keys.usable(now).last().map(|record| record.tek.spi);
            let untold = |record: &TekRecord| !pull.teks.contains(&record.tek.spi);
            let any = self.keys.usable(now).any(untold);
            if let Some(spi) = newest.filter(|_| any) {
                self.send_apart(cx, pull.kind, &Content::Teks(spi), address);
            }
        } else {
            self.tell_plain_joiner(cx, pull.kind, address, &pull.teks);
        }
        self.tick(cx);
    }

    /// Whether a PULL waits for message 3.
    pub(crate) fn has_pull(&self, sa: SaId, message_id: u32) -> bool {
        self.pulls.contains_key(&(sa, message_id))
    }

    /// Whether a peer may register.
    pub(crate) fn admits(&self, peer: Ipv4Addr) -> bool {
        self.authorize(peer).is_ok()
    }

    /// PULLs whose message 3 never came.
    pub(super) fn expire_pulls(&mut self, now: Time) {
        self.pulls.retain(|_, pull| now < pull.deadline());
    }

    /// A phase-1 SA is gone, and with it its PULLs.
    pub(crate) fn forget_sa(&mut self, sa: SaId) {
        self.pulls.retain(|(own, _), _| *own != sa);
    }

    #[track_caller]
    fn refuse(&mut self, cx: &mut Context<'_>, sa: SaId, peer: Ipv4Addr, refusal: &Refusal) {
        let row = refusal.row();
        if self.refusals.count(cx.now, peer, row.name) {
            cx.out.report(refusal.event(peer, &self.config.group));
        }
        // An SA that is used up cannot carry the reason; the member's own timer tells it then.
        let text = refusal.to_string();
        let _ = cx
            .isakmp
            .notify(sa, row.notify, text.as_bytes(), cx.rng, cx.out);
    }
}

/// What the peer proves to be, and the nonce that answers it.
//= getvpn P2
fn prove(
    cx: &mut Context<'_>,
    sa: SaId,
    peer_nonce: &[u8],
) -> Result<(PeerKind, Vec<u8>), Refusal> {
    let sa = cx.isakmp.sa(sa).ok_or(Refusal::NoPull)?;
    let prf = |parts: &[&[u8]]| sa.prf_a(parts);
    let mut cookies = [0; 16];
    cookies[..8].copy_from_slice(&sa.initiator_cookie());
    cookies[8..].copy_from_slice(&sa.responder_cookie());
    let bond = Bond {
        prf: &prf,
        cookies,
        initiator: sa.is_initiator(),
        received: sa.vendor_ids_received(),
        sent: sa.vendor_ids_sent(),
    };
    match kin::check(&bond, peer_nonce) {
        Proof::Kin => Ok((PeerKind::Ours, kin::nonce(&bond, cx.rng))),
        Proof::Plain => Ok((PeerKind::Rfc6407, kin::nonce(&bond, cx.rng))),
        Proof::Downgraded => Err(Refusal::Downgraded),
    }
}

/// What this registration's acknowledgements are keyed with.
//= getvpn P8
fn ack_base(cx: &Context<'_>, sa: SaId, pull: &Pull) -> Secret {
    if pull.kind != PeerKind::Ours {
        return Secret::default();
    }
    let [ni, nr] = pull.responder.nonces();
    cx.isakmp
        .sa(sa)
        .map(|sa| sa.prf_d(&[b"getvpn ack", ni, nr]))
        .unwrap_or_default()
}

//! Registering: the member's side of a PULL, which key server to try, and when to do it again.
//!
//! Decides what of a key server's offer is acceptable and when the next attempt is made. What is
//! held is kept while a new registration runs: a rekey or an expiry in between is not disturbed.

mod failure;
#[cfg(feature = "model")]
mod model;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ::policy::{Generation, PeerKind, PseudoTime, Spi, Tek, Time};
use event::{Crypto, Gdoi};
use wire::iana::{ExchangeType, PayloadType};

use super::fail_close::Mark;
use super::held::{Held, Kek, Keks, Policy};
use super::plain;
use super::policy::{Fetch, Purpose};
use super::pseudotime::{PseudoTimeFilter, Read};
use super::{Member, PORT};
use crate::context::Context;
use crate::group_sa::{KekOffer, Offer, Received, Unacceptable, acl_of, unsupported};
use crate::ike::{Connection, Expect, Failure, Sa, SaId, SendError};
use crate::kin::{self, Proof};
use crate::limits::{BACK_OFF_MIN, PULL_WAIT, TEKS_HELD_MAX};
use crate::machine::{KeyLogLine, Output, TekKey};
use crate::pull::{Initiator, Message4};
use crate::refusal::Refusal;
use crate::rekey_sa::random_below;

/// When the next registration begins, and where.
#[derive(Copy, Clone)]
pub(super) struct Plan {
    /// When; `None` while nothing is planned.
    pub(super) at: Option<Time>,
    /// The place of the server to try.
    pub(super) server: usize,
    /// Whether to go on to the next server first.
    pub(super) next_server: bool,
    /// How many attempts have failed in a row.
    failures: u32,
    /// How many of them, the last ones, were a key server's word that the member may not join.
    refusals: u32,
    /// Whether the last failure was a policy that cannot be followed.
    rejected: bool,
}

impl Plan {
    /// A registration at `at` with the first server.
    pub(super) const fn at(at: Time) -> Self {
        Self {
            at: Some(at),
            server: 0,
            next_server: false,
            failures: 0,
            refusals: 0,
            rejected: false,
        }
    }

    /// The same word once more: it puts nobody off who waits for its turn, and sends nobody back to
    /// servers that do not answer.
    pub(super) fn asked_again(&self, at: Time) -> Self {
        Self {
            server: self.server,
            next_server: self.next_server,
            ..Self::at(self.at.map_or(at, |turn| turn.min(at)))
        }
    }

    /// Whether the policy was refused.
    pub(super) const fn is_rejected(&self) -> bool {
        self.rejected
    }
}

/// A registration under way.
pub(super) enum Attempt {
    /// None.
    Idle,
    /// Phase 1 is negotiated.
    Phase1 {
        sa: SaId,
        server: Ipv4Addr,
        began: Time,
    },
    /// Message 1 was sent.
    Offer { run: Run, pull: Initiator },
    /// Message 3 was sent.
    Keys {
        run: Run,
        pull: Initiator,
        kind: PeerKind,
        offer: Box<Offer>,
        answered: Time,
    },
    /// Message 4 came; the policy that it names is fetched.
    Policy { run: Run, grant: Box<Granted> },
}

/// A PULL under a phase-1 SA.
#[derive(Copy, Clone)]
pub(super) struct Run {
    sa: SaId,
    message_id: u32,
    server: SocketAddrV4,
    began: Time,
    asked: Time,
}

/// What message 4 gave, complete but for the policy.
pub(super) struct Granted {
    kind: PeerKind,
    offer: Offer,
    message_4: Message4,
    ack_base: crypto::Secret,
    answered: Time,
}

impl Attempt {
    /// Whether no registration runs.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Whether this exchange is the PULL that runs.
    pub(super) fn is_exchange(&self, sa: SaId, message_id: u32) -> bool {
        self.exchange() == Some((sa, message_id))
    }

    /// The exchange of its PULL.
    const fn exchange(&self) -> Option<(SaId, u32)> {
        match self {
            Self::Offer { run, .. } | Self::Keys { run, .. } => Some((run.sa, run.message_id)),
            Self::Idle | Self::Phase1 { .. } | Self::Policy { .. } => None,
        }
    }

    /// The phase-1 SA that it runs under.
    pub(super) const fn sa(&self) -> Option<SaId> {
        match self {
            Self::Idle => None,
            Self::Phase1 { sa, .. } => Some(*sa),
            Self::Offer { run, .. } | Self::Keys { run, .. } | Self::Policy { run, .. } => {
                Some(run.sa)
            }
        }
    }

    /// The key server that it talks to.
    pub(super) const fn server(&self) -> Option<SocketAddrV4> {
        match self {
            Self::Idle => None,
            Self::Phase1 { server, .. } => Some(SocketAddrV4::new(*server, PORT)),
            Self::Offer { run, .. } | Self::Keys { run, .. } | Self::Policy { run, .. } => {
                Some(run.server)
            }
        }
    }

    /// When it is given up. Phase 1 ends by itself.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Idle | Self::Phase1 { .. } => None,
            Self::Offer { run, .. } | Self::Keys { run, .. } | Self::Policy { run, .. } => {
                Some(run.began + PULL_WAIT)
            }
        }
    }
}

impl Member {
    /// Begins what is due, gives up what takes too long.
    pub(super) fn advance_registration(&mut self, cx: &mut Context<'_>) {
        if self
            .attempt
            .deadline()
            .is_some_and(|deadline| deadline <= cx.now)
        {
            self.fail(cx, "the key server did not finish the registration", true);
        }
        if self.attempt.is_idle() && self.plan.at.is_some_and(|at| at <= cx.now) {
            self.begin(cx);
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>) {
        self.plan.at = None;
        if std::mem::take(&mut self.plan.next_server) {
            self.plan.server += 1;
        }
        let servers = &self.config.servers;
        let Some(server) = servers
            .get(self.plan.server % servers.len().max(1))
            .copied()
        else {
            self.last_failure = Some("no `server address ipv4` is configured".to_owned());
            return;
        };
        if self.held.is_some() && self.plan.failures == 0 {
            cx.out.report(Gdoi::GM_RE_REGISTER {
                group: self.config.group.clone(),
            });
        }
        self.counters.attempted += 1;
        cx.out.report(Crypto::GM_REGSTER {
            ks: server,
            group: self.config.group.to_string(),
            gm: self.config.address,
        });
        let peer = SocketAddrV4::new(server, PORT);
        match cx
            .isakmp
            .connect(cx.now, self.local(), peer, cx.rng, cx.out)
        {
            Connection::Established(sa) => self.pull(cx, sa, cx.now),
            Connection::Pending(sa) => {
                self.attempt = Attempt::Phase1 {
                    sa,
                    server,
                    began: cx.now,
                };
            }
            Connection::Refused(reason) => self.fail(cx, &reason.to_string(), false),
        }
    }

    /// A phase-1 SA was established.
    pub(crate) fn established(&mut self, cx: &mut Context<'_>, sa: SaId) {
        if let Attempt::Phase1 { sa: own, began, .. } = self.attempt
            && own == sa
        {
            self.pull(cx, sa, began);
        }
        self.fetch_established(cx, sa);
    }

    /// A negotiation ended without an SA.
    pub(crate) fn failed(&mut self, cx: &mut Context<'_>, sa: SaId, reason: Failure) {
        if self.attempt.sa() == Some(sa) {
            self.fail(cx, &reason.to_string(), false);
        }
        self.fetch_lost(cx, sa);
    }

    /// A phase-1 SA is gone.
    pub(crate) fn deleted(&mut self, cx: &mut Context<'_>, sa: SaId) {
        if self.attempt.sa() == Some(sa) {
            self.fail(cx, "the key server ended the phase-1 SA", false);
        }
        self.fetch_lost(cx, sa);
    }

    /// The key server answers no more under this SA. If it says that it does not know it, it has
    /// restarted, and the next attempt, with the same server, negotiates a new one. If it says nothing
    /// it is not there, and the next server is asked while what is held lasts.
    pub(crate) fn timeout(&mut self, cx: &mut Context<'_>, sa: SaId, message_id: u32) {
        if self.attempt.is_exchange(sa, message_id) {
            let restarted = cx.isakmp.sa(sa).is_some_and(Sa::is_disowned);
            let others = self.config.servers.len() > 1;
            self.fail(cx, "the key server does not answer", true);
            (self.plan.next_server, self.plan.at) = (others && !restarted, Some(cx.now));
        } else if self.fetch_timed_out(cx, sa, message_id) {
            cx.isakmp.delete(cx.now, sa, cx.rng, cx.out);
        }
    }

    /// The key server refused, under the SA.
    pub(crate) fn notified(&mut self, cx: &mut Context<'_>, sa: SaId, notify: &str) {
        if self.attempt.sa() == Some(sa) && !matches!(self.attempt, Attempt::Phase1 { .. }) {
            // What the key server does not believe about the peer was said in phase 1.
            let dead = notify.starts_with("AUTHENTICATION_FAILED");
            let reason = format!("the key server refused: {notify}");
            // An attacker on the way is gone sooner than a removal is taken back.
            let altered = notify.ends_with(&Refusal::Downgraded.to_string());
            if dead && !altered {
                self.refused(cx, &reason);
            } else {
                self.fail(cx, &reason, dead);
            }
        }
    }

    fn pull(&mut self, cx: &mut Context<'_>, sa: SaId, began: Time) {
        let plain = self.config.compatible_rfc6407;
        let nonce = kin::with_bond(cx, sa, |bond, rng| match plain {
            true => kin::plain_nonce(rng),
            false => kin::nonce(bond, rng),
        });
        let Some(nonce) = nonce else {
            return self.fail(cx, "the phase-1 SA is gone", false);
        };
        let Some(server) = cx.isakmp.sa(sa).map(Sa::peer) else {
            return;
        };
        let begun = Initiator::begin(self.config.id, nonce);
        let opened = cx
            .isakmp
            .open(cx.now, sa, ExchangeType::GROUPKEY_PULL, cx.rng);
        let (Ok((pull, built)), Ok(message_id)) = (begun, opened) else {
            let dead = opened != Err(SendError::Busy);
            return self.fail(cx, "the phase-1 SA takes no more exchanges", dead);
        };
        let run = Run {
            sa,
            message_id,
            server,
            began,
            asked: cx.now,
        };
        self.attempt = Attempt::Offer { run, pull };
        self.send(cx, run, (built.first(), built.payloads()));
    }

    fn send(&mut self, cx: &mut Context<'_>, run: Run, message: (PayloadType, &[u8])) {
        let (now, out) = (cx.now, &mut *cx.out);
        let sent = cx
            .isakmp
            .send(now, run.sa, run.message_id, message, Expect::Reply, out);
        if sent.is_err() {
            self.fail(
                cx,
                "the message could not be sent under the phase-1 SA",
                true,
            );
        }
    }

    /// A message of an exchange that this member began came.
    pub(crate) fn exchange(
        &mut self,
        cx: &mut Context<'_>,
        (sa, message_id): (SaId, u32),
        first: PayloadType,
        payloads: &[u8],
    ) {
        if !self.attempt.is_exchange(sa, message_id) {
            return self.fetch_message(cx, (sa, message_id), first, payloads);
        }
        match std::mem::replace(&mut self.attempt, Attempt::Idle) {
            Attempt::Offer { run, pull } => self.on_offer(cx, run, pull, first, payloads),
            Attempt::Keys {
                run,
                pull,
                kind,
                offer,
                answered,
            } => {
                let answer = Initiator::read_4(first, payloads, &offer, kind);
                cx.isakmp.finish(run.sa, run.message_id);
                match answer {
                    Ok(message_4) => {
                        let [ni, nr] = pull.nonces();
                        let ack_base = cx
                            .isakmp
                            .sa(run.sa)
                            .map(|sa| sa.prf_d(&[b"getvpn ack", ni, nr]))
                            .unwrap_or_default();
                        let grant = Granted {
                            kind,
                            offer: *offer,
                            message_4,
                            ack_base,
                            answered,
                        };
                        self.on_keys(cx, run, grant);
                    }
                    Err(reason) => self.reject(cx, run, &reason),
                }
            }
            other @ (Attempt::Idle | Attempt::Phase1 { .. } | Attempt::Policy { .. }) => {
                self.attempt = other;
            }
        }
    }

    fn on_offer(
        &mut self,
        cx: &mut Context<'_>,
        run: Run,
        mut pull: Initiator,
        first: PayloadType,
        payloads: &[u8],
    ) {
        let message_2 = match pull.read_2(first, payloads) {
            Ok(message_2) => message_2,
            Err(error) => return self.reject(cx, run, &Unacceptable::Malformed(error)),
        };
        //= getvpn P2
        let proof = kin::with_bond(cx, run.sa, |bond, _| kin::check(bond, &message_2.nonce));
        let kind = match proof {
            _ if self.config.compatible_rfc6407 => PeerKind::Rfc6407,
            Some(Proof::Kin) => PeerKind::Ours,
            Some(Proof::Plain) | None => PeerKind::Rfc6407,
            Some(Proof::Downgraded) => {
                let peer = *run.server.ip();
                let group = self.config.group.clone();
                cx.out.report(Gdoi::GDOI_DOWNGRADE { peer, group });
                self.refuse(cx, "vendor ids altered");
                // Every PULL under this SA would meet the same alteration.
                cx.isakmp.delete(cx.now, run.sa, cx.rng, cx.out);
                return self.fail(cx, "vendor ids were altered on the way", true);
            }
        };
        if kind == PeerKind::Ours {
            cx.isakmp.mark_kin(run.sa);
        }
        let held = self
            .held
            .as_ref()
            .and_then(|held| Some((held.sid_size?, &held.sids[..])));
        let spent = self.spent();
        let offer = Offer::from_wire(&message_2.sa, kind).and_then(|offer| {
            acceptable(&offer, kind)?;
            let built = Initiator::message_3(self.config.workers, held, spent, kind)?;
            Ok((offer, built))
        });
        match offer {
            Ok((offer, _)) if self.is_behind(&offer, run.asked, cx.now) => self.outdated(cx, run),
            Ok((offer, built)) => {
                self.attempt = Attempt::Keys {
                    run,
                    pull,
                    kind,
                    offer: Box::new(offer),
                    answered: cx.now,
                };
                self.send(cx, run, (built.first(), built.payloads()));
            }
            Err(reason) => self.reject(cx, run, &reason),
        }
    }

    /// Whether the key server has not heard of a removal that this member knows of. What it has would
    /// be of no use, and it would take this member for one that holds it.
    //= getvpn P14
    fn is_behind(&self, offer: &Offer, asked: Time, answered: Time) -> bool {
        let record = offer.kek.as_ref().and_then(|kek| kek.record);
        let (Some(held), Some(record), Some(stamp)) = (&self.held, record, offer.stamp) else {
            return false;
        };
        // One that has set its clock back without naming a new one founds its group anew.
        let anew = self.clock.is_set_back(&stamp, asked, answered);
        !anew && held.outdates(&record.generation, held.clock.at(answered))
    }

    fn on_keys(&mut self, cx: &mut Context<'_>, run: Run, grant: Granted) {
        if let Err(reason) = self.check_keys(&grant.offer, &grant.message_4.received) {
            return self.reject(cx, run, &reason);
        }
        let given = &grant.message_4.received.teks;
        let ended = |(spi, (key, record)): (&Spi, &(TekKey, Option<Tek>))| {
            self.ended.has(*spi, Mark::of(key, record.as_ref()))
        };
        if !given.is_empty() && given.iter().all(ended) {
            return self.fail(cx, "all keys that were given have ended here", false);
        }
        let grant = Box::new(grant);
        let held = self.held.as_ref().and_then(|held| held.policy.blob.clone());
        match &grant.offer.policy {
            None => {
                let acl = Arc::new(acl_of(grant.offer.acl.clone(), &self.config.group));
                let policy = Policy {
                    acl,
                    tbar_window_s: None,
                    activation: None,
                    before: None,
                    blob: None,
                };
                self.install(cx, run, *grant, policy);
            }
            Some(name) => match held.filter(|blob| blob.sha256 == name.sha256) {
                Some(blob) => self.install(cx, run, *grant, Policy::of(blob)),
                None => {
                    let fetch = Fetch::begin(name.clone(), Purpose::Registration, cx.now);
                    self.attempt = Attempt::Policy { run, grant };
                    self.fetch = Some(fetch);
                    self.fetch_under(cx, run.sa);
                }
            },
        }
    }

    /// The policy that a registration waited for is here.
    pub(super) fn policy_fetched(&mut self, cx: &mut Context<'_>, policy: Policy) {
        match std::mem::replace(&mut self.attempt, Attempt::Idle) {
            Attempt::Policy { run, grant } => self.install(cx, run, *grant, policy),
            other @ (Attempt::Idle
            | Attempt::Phase1 { .. }
            | Attempt::Offer { .. }
            | Attempt::Keys { .. }) => self.attempt = other,
        }
    }

    /// Whether the keys are ones that this member can use.
    fn check_keys(&self, offer: &Offer, received: &Received) -> Result<(), Unacceptable> {
        let counter_mode = offer.teks.iter().any(|tek| tek.transform.is_counter_mode());
        let sids = received.sids.as_ref().map_or(0, |(_, sids)| sids.len());
        //= RFC 6407 4.4
        //# If it is a
        //# sender and does not hold a current SID value, it MUST NOT install the
        //# Data-Security SAs.
        if counter_mode && sids == 0 {
            return Err(unsupported(
                "a counter-mode key without a sender identifier",
            ));
        }
        let kek = received.kek.as_ref();
        if kek.is_some_and(|kek| kek.public_key.is_none()) {
            return Err(unsupported("a KEK without a public key"));
        }
        Ok(())
    }

    fn install(&mut self, cx: &mut Context<'_>, run: Run, grant: Granted, policy: Policy) {
        let group = self.config.group.clone();
        // The stamp was made between our question and its answer.
        let (asked, answered) = (run.asked, grant.answered);
        match &grant.offer.stamp {
            Some(stamp) => match self.clock.answered(stamp, asked, answered) {
                Read::SetBack => {
                    self.report_pseudotime(cx, stamp.pseudotime);
                    self.drop_keys(cx);
                }
                read @ Read::Anew => self.follow_clock(cx, stamp, read),
                Read::Better | Read::Nothing => {}
            },
            None => self.clock = PseudoTimeFilter::free_running(cx.now),
        }
        let Some(clock) = self.clock.clock(cx.now) else {
            return;
        };
        let now = clock.at(cx.now);
        self.hold(&grant, run.server, clock, policy);
        let Granted {
            offer, message_4, ..
        } = grant;
        let received = message_4.received;
        self.fetch = None;
        cx.out.push(Output::SetClock {
            group: group.clone(),
            clock,
            anew: false,
        });
        if let Some((size, sids)) = received.sids.clone() {
            cx.out.push(Output::InstallSids { group, size, sids });
        }
        self.install_policy(cx);
        if let (Some(kek), Some(said)) = (&received.kek, &offer.kek) {
            let kek = self.kek(said, kek.sa.clone(), message_4.seq.unwrap_or(0), now);
            self.report_transport(cx, kek.destination);
            if let Some(held) = &mut self.held {
                held.keks.register(kek);
            }
            cx.out.report(Gdoi::SA_KEK_UPDATED {});
        }
        self.install_teks(cx, &offer, &received, Purpose::Registration);
        self.expire(cx);
        self.registered(cx, run.server);
        self.retry_pushes(cx);
    }

    /// Holds what a registration gave, beside the keys that an earlier one gave and that have not
    /// ended yet.
    fn hold(
        &mut self,
        grant: &Granted,
        server: SocketAddrV4,
        clock: ::policy::tbar::PseudoClock,
        policy: Policy,
    ) {
        let old = self.held.take();
        let stamped = grant.offer.stamp;
        let generation = stamped.map_or_else(Generation::default, |stamp| stamp.generation);
        // A key server that does not know of a removal yet brings no key of before back.
        //= getvpn P14
        let known = old.as_ref().filter(|old| !old.teks.is_empty());
        let generation = known.map_or(generation, |old| old.generation.join(&generation));
        let received = &grant.message_4.received;
        let (sid_size, sids) = received
            .sids
            .clone()
            .map_or((None, Vec::new()), |(size, sids)| (Some(size), sids));
        let public_key = received.kek.as_ref().and_then(|kek| kek.public_key.clone());
        let spi_key = received.kek.as_ref().and_then(|kek| kek.spi_key.clone());
        let mut held = Held {
            server,
            kind: grant.kind,
            clock,
            generation,
            keks: Keks::default(),
            public_key: old.as_ref().and_then(|old| old.public_key.clone()),
            spi_key,
            ack_base: grant.ack_base.clone(),
            teks: std::collections::BTreeMap::new(),
            marks: std::collections::BTreeMap::new(),
            sids,
            sid_size,
            policy,
            dead: std::collections::VecDeque::new(),
            last_rekey: None,
        };
        if let Some(old) = old {
            held.keks = old.keks;
            held.teks = old.teks;
            held.marks = old.marks;
            held.dead = old.dead;
            held.last_rekey = old.last_rekey;
        }
        held.sign_with(public_key);
        self.held = Some(held);
    }

    fn registered(&mut self, cx: &mut Context<'_>, server: SocketAddrV4) {
        let (group, ks, gm) = (self.config.group.clone(), *server.ip(), self.config.address);
        cx.out.report(Gdoi::GM_REGS_COMPL {
            ks,
            group: group.clone(),
            gm,
        });
        cx.out
            .report(Gdoi::GM_INSTALL_POLICIES_SUCCESS { ks, group, gm });
        self.counters.succeeded += 1;
        self.counters.rekeys_since_registration = 0;
        self.last_failure = None;
        self.registered = Some(cx.now);
        self.wants_sids = false;
        self.summoned = false;
        self.attempt = Attempt::Idle;
        self.plan = Plan {
            server: self.plan.server,
            ..Plan::at(cx.now)
        };
        self.plan_reregistration(cx);
    }

    /// A Rekey SA as an offer says it.
    pub(super) fn kek(
        &mut self,
        said: &KekOffer,
        sa: crate::rekey_sa::RekeySa,
        seq: u32,
        now: PseudoTime,
    ) -> Kek {
        let conn_id = self.next_conn_id;
        self.next_conn_id += 1;
        let lifetime = Duration::from_secs(u64::from(said.lifetime_s));
        Kek {
            sa,
            conn_id: KEK_CONN_ID_FIRST + conn_id,
            expiry: said
                .record
                .map_or_else(|| now.after(lifetime), |record| record.expiry),
            generation: said
                .record
                .map_or_else(Generation::default, |record| record.generation),
            seq,
            previous_seq: seq,
            registered_seq: seq,
            ack: said.ack,
            sig_key_bits: said.sig_key_bits,
            destination: Some(said.destination).filter(Ipv4Addr::is_multicast),
            signed_by: None,
        }
    }

    /// Installs the traffic keys of an offer; the data plane receives on them at once.
    pub(super) fn install_teks(
        &mut self,
        cx: &mut Context<'_>,
        offer: &Offer,
        got: &Received,
        by: Purpose,
    ) {
        let group = self.config.group.clone();
        let Some(held) = &mut self.held else { return };
        //= getvpn P23
        if let Some(log2) = offer.blocks_log2 {
            let group = group.clone();
            cx.out.push(Output::LimitBlocks { group, log2 });
        }
        let now = held.clock.at(cx.now);
        let delay = Duration::from_secs(u64::from(offer.activation_delay_s.unwrap_or(0)));
        let mut updated = false;
        for said in &offer.teks {
            let Some((key, record)) = got.teks.get(&said.spi) else {
                continue;
            };
            let tek = record
                .clone()
                .unwrap_or_else(|| plain::record(said, now, delay));
            //= getvpn P14
            if tek.expiry <= now || !tek.generation.is_alive_in(&held.generation) {
                continue;
            }
            //= RFC 6407 4.4
            //# It MAY initiate a GROUPKEY-PULL exchange to the
            //# GCKS in order to obtain a SID value (along with current group
            //# policy).
            if tek.transform.is_counter_mode() && held.sids.is_empty() {
                self.wants_sids = true;
                continue;
            }
            // A record never changes: what a key server says of it again says nothing new. Without one,
            // it says how long the key still lives.
            if let Some(own) = held.teks.get_mut(&tek.spi) {
                if record.is_none() && plain::retime(own, &tek) {
                    let (tek, key, group) = (Box::new(own.clone()), key.clone(), group.clone());
                    cx.out.push(Output::InstallSa { group, tek, key });
                }
                continue;
            }
            let mark = Mark::of(key, record.as_ref());
            if self.ended.has(tek.spi, mark) {
                continue;
            }
            if held.teks.len() == TEKS_HELD_MAX
                && let Some(oldest) = held.oldest()
            {
                held.drop_tek(oldest);
                let (group, spi) = (group.clone(), oldest);
                cx.out.push(Output::RemoveSa { group, spi });
            }
            let tek = held.timed(tek, (got, &self.ended), by, now);
            updated = true;
            held.marks.insert(tek.spi, mark);
            held.teks.insert(tek.spi, tek.clone());
            tell_key_log(cx, &tek, key);
            let (tek, key, group) = (Box::new(tek), key.clone(), group.clone());
            cx.out.push(Output::InstallSa { group, tek, key });
        }
        if updated {
            cx.out.report(Gdoi::SA_TEK_UPDATED {});
        }
    }

    /// The member registers again before what it holds ends, at a random moment of a short span, so
    /// that a group does not come as one.
    pub(super) fn plan_reregistration(&mut self, cx: &mut Context<'_>) {
        let Some(held) = &self.held else { return };
        if self.summoned {
            return;
        }
        if self.wants_sids {
            // An attempt that failed has its own time.
            if self.plan.failures == 0 {
                let jitter = Duration::from_millis(random_below(cx.rng, 1_000));
                self.plan.at = Some(cx.now + jitter);
            }
            return;
        }
        let schedule = held.schedule();
        let jitter_ms = u64::try_from(schedule.reregister_jitter().as_millis()).unwrap_or(0);
        let jitter = Duration::from_millis(random_below(cx.rng, jitter_ms + 1));
        let lead = schedule.reregister_lead() + plain::early(held.kind);
        let at = held.horizon().before(lead + jitter);
        self.plan.at = Some(held.clock.time_of(at).max(cx.now + BACK_OFF_MIN));
        (self.plan.failures, self.plan.refusals, self.plan.rejected) = (0, 0, false);
    }

    /// Ends a registration that runs.
    pub(super) fn abandon(&mut self, cx: &mut Context<'_>) {
        if let Some(sa) = self.attempt.sa() {
            cx.isakmp.delete(cx.now, sa, cx.rng, cx.out);
        }
        self.attempt = Attempt::Idle;
    }
}

fn tell_key_log(cx: &mut Context<'_>, tek: &Tek, key: &TekKey) {
    if cx.keylog {
        let (tek, key) = (Box::new(tek.clone()), key.clone());
        cx.out.push(Output::KeyLog(KeyLogLine::Esp { tek, key }));
    }
}

/// The numbers of Rekey SAs in shows begin here, so that they are not taken for phase-1 SAs'.
const KEK_CONN_ID_FIRST: u32 = 1_000_000;

/// Whether the offer holds what a member needs.
fn acceptable(offer: &Offer, kind: PeerKind) -> Result<(), Unacceptable> {
    if offer.teks.is_empty() {
        return Err(unsupported("no traffic key"));
    }
    if kind == PeerKind::Ours && (offer.stamp.is_none() || offer.policy.is_none()) {
        return Err(unsupported(
            "a getvpn key server that names no clock or policy",
        ));
    }
    Ok(())
}

//! The policy of the group at the member: its own denies first, and fetching what a key server of
//! ours names (PROTOCOL P5).
//!
//! Decides which list is in force. When the lines apply to a packet is the data plane's (P6).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ::policy::{Acl, PeerKind, PseudoTime, Time};
use event::Gdoi;
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain};
use wire::private::{PolicyChunk, PolicyName, PolicyRequest};

use super::held::{Held, Policy};
use super::{Member, PORT, back_off};
use crate::context::Context;
use crate::group_sa::{Offer, acl_of};
use crate::ike::{Connection, Expect, SaId};
use crate::limits::{BACK_OFF_MAX, BACK_OFF_MIN, FETCH_JITTER};
use crate::machine::Output;
use crate::policy_blob::{Assembly, PolicyBlob};
use crate::rekey_sa::random_below;

/// What a policy is fetched for, and what keys came by.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A registration waits for it.
    Registration,
    /// A rekey named it; the member runs under the old one meanwhile.
    Rekey,
}

/// A policy being fetched, chunk by chunk, under a phase-1 SA.
pub(super) struct Fetch {
    assembly: Assembly,
    purpose: Purpose,
    /// Tries in vain.
    failures: u32,
    /// When the next step is due, if nothing is under way.
    at: Option<Time>,
    /// The SA whose negotiation is waited for.
    waiting: Option<SaId>,
    exchange: Option<(SaId, u32)>,
}

impl Fetch {
    /// A fetch that has not begun.
    pub(super) fn begin(name: PolicyName, purpose: Purpose, at: Time) -> Self {
        Self {
            assembly: Assembly::new(name),
            purpose,
            failures: 0,
            at: Some(at),
            waiting: None,
            exchange: None,
        }
    }

    /// Whether it was begun for that.
    pub(super) fn is_for(&self, purpose: Purpose) -> bool {
        self.purpose == purpose
    }

    /// Whether this exchange is its own.
    pub(super) fn is_exchange(&self, sa: SaId, message_id: u32) -> bool {
        self.exchange == Some((sa, message_id))
    }

    /// When its next step is due.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.at
    }

    fn wanted(&self) -> Option<PolicyRequest> {
        self.assembly.wanted()
    }
}

impl Policy {
    /// The policy of a blob.
    pub(super) fn of(blob: Arc<PolicyBlob>) -> Self {
        Self {
            acl: Arc::new(blob.acl.clone()),
            tbar_window_s: blob.tbar_window_s,
            activation: Some(blob.activation),
            before: None,
            blob: Some(blob),
        }
    }

    /// The list that is in force then.
    fn acl_at(&self, then: PseudoTime) -> &Arc<Acl> {
        let comes_later = self.activation.is_some_and(|at| then < at);
        let before = self.before.as_ref().filter(|_| comes_later);
        before.unwrap_or(&self.acl)
    }
}

impl Member {
    /// Puts the policy in force: one list, the member's own denies first (mission 2.4).
    pub(super) fn install_policy(&self, cx: &mut Context<'_>) {
        let Some(held) = &self.held else { return };
        cx.out.push(Output::InstallPolicy {
            group: self.config.group.clone(),
            acl: Arc::new(self.merged(&held.policy.acl)),
            tbar_window_s: held.policy.tbar_window_s,
            activation: held.policy.activation,
        });
    }

    /// The member's denies, then the key server's list.
    pub(super) fn merged(&self, downloaded: &Acl) -> Acl {
        let own = self.config.local_acl.iter().flat_map(|acl| &acl.entries);
        let entries = own.chain(&downloaded.entries).copied().collect();
        Acl {
            name: downloaded.name.clone(),
            entries,
        }
    }

    /// A rekey named a policy: if it is not the one that is held, it is fetched.
    pub(super) fn policy_named(&mut self, cx: &mut Context<'_>, name: &PolicyName) {
        let Some(held) = &self.held else { return };
        if held
            .policy
            .blob
            .as_ref()
            .is_some_and(|blob| blob.sha256 == name.sha256)
        {
            self.fetch = None;
            return;
        }
        let known = self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.assembly.name.sha256 == name.sha256);
        if !known {
            let group = self.config.group.clone();
            cx.out.report(Gdoi::POLICY_STALE { group });
            let jitter_ms = u64::try_from(FETCH_JITTER.as_millis()).unwrap_or(0);
            let at = cx.now + Duration::from_millis(random_below(cx.rng, jitter_ms));
            self.fetch = Some(Fetch::begin(name.clone(), Purpose::Rekey, at));
        }
    }

    /// A plain key server says every line with each key, of the policy that is in force when that key is
    /// sent on: that is news if it is not what was said of that time before.
    //= getvpn P6
    pub(super) fn policy_told(&mut self, cx: &mut Context<'_>, offer: &Offer) {
        let plain = |held: &&mut Held| held.kind != PeerKind::Ours && !offer.teks.is_empty();
        let Some(held) = self.held.as_mut().filter(plain) else {
            return;
        };
        let delay = Duration::from_secs(u64::from(offer.activation_delay_s.unwrap_or(0)));
        let then = held.clock.at(cx.now).after(delay);
        let before = held.policy.acl_at(then);
        let acl = acl_of(offer.acl.clone(), &self.config.group);
        if **before != acl {
            held.policy = Policy {
                before: Some(Arc::clone(before)),
                acl: Arc::new(acl),
                tbar_window_s: None,
                activation: Some(then),
                blob: None,
            };
            self.install_policy(cx);
        }
    }

    /// Does what is due of a fetch.
    pub(super) fn advance_fetch(&mut self, cx: &mut Context<'_>) {
        let due = self
            .fetch
            .as_ref()
            .and_then(Fetch::deadline)
            .is_some_and(|at| at <= cx.now);
        if !due {
            return;
        }
        let Some(server) = self.fetch_server() else {
            self.fetch = None;
            return;
        };
        let peer = SocketAddrV4::new(server, PORT);
        match cx
            .isakmp
            .connect(cx.now, self.local(), peer, cx.rng, cx.out)
        {
            Connection::Established(sa) => self.fetch_under(cx, sa),
            Connection::Pending(sa) => {
                if let Some(fetch) = &mut self.fetch {
                    (fetch.at, fetch.waiting) = (None, Some(sa));
                }
            }
            Connection::Refused(_) => self.fetch_again(cx),
        }
    }

    /// Whom to ask: during a registration the key server that it is with, later the one that the
    /// keys came from, and when that one fails, the others in their order. `None` when the
    /// registration has ended without keys.
    fn fetch_server(&self) -> Option<Ipv4Addr> {
        let fetch = self.fetch.as_ref()?;
        let first = match fetch.purpose {
            Purpose::Registration => return self.attempt.server().map(|server| *server.ip()),
            Purpose::Rekey => *self.held.as_ref()?.server.ip(),
        };
        let others = self
            .config
            .servers
            .iter()
            .filter(|server| **server != first);
        let servers: Vec<Ipv4Addr> = std::iter::once(first).chain(others.copied()).collect();
        let turn = usize::try_from(fetch.failures).unwrap_or_default();
        servers.get(turn % servers.len()).copied()
    }

    /// The SA that a fetch waited for is there.
    pub(super) fn fetch_established(&mut self, cx: &mut Context<'_>, sa: SaId) {
        if self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.waiting == Some(sa))
        {
            self.fetch_under(cx, sa);
        }
    }

    /// An SA is gone.
    pub(super) fn fetch_lost(&mut self, cx: &mut Context<'_>, sa: SaId) {
        let ours = self.fetch.as_ref().is_some_and(|fetch| {
            fetch.waiting == Some(sa) || fetch.exchange.is_some_and(|(own, _)| own == sa)
        });
        if ours {
            self.fetch_again(cx);
        }
    }

    /// A request was not answered. Says whether it was this fetch's.
    pub(super) fn fetch_timed_out(
        &mut self,
        cx: &mut Context<'_>,
        sa: SaId,
        message_id: u32,
    ) -> bool {
        let ours = self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.is_exchange(sa, message_id));
        if ours {
            self.fetch_again(cx);
        }
        ours
    }

    /// Asks the next key server after a pause that grows with every round over all of them.
    fn fetch_again(&mut self, cx: &mut Context<'_>) {
        let servers = u32::try_from(self.config.servers.len()).unwrap_or(u32::MAX);
        let Some(fetch) = &mut self.fetch else { return };
        fetch.failures = fetch.failures.saturating_add(1);
        let rounds = fetch.failures / servers.max(1);
        (fetch.waiting, fetch.exchange) = (None, None);
        fetch.at = Some(cx.now + back_off(cx, BACK_OFF_MIN, BACK_OFF_MAX, rounds));
    }

    /// Asks for the next piece.
    pub(super) fn fetch_under(&mut self, cx: &mut Context<'_>, sa: SaId) {
        let Some(request) = self.fetch.as_ref().and_then(Fetch::wanted) else {
            return;
        };
        let mut builder = Builder::new();
        builder.push(&request);
        let kind = ExchangeType::GETVPN_POLICY_FETCH;
        let sent = cx
            .isakmp
            .open(cx.now, sa, kind, cx.rng)
            .ok()
            .and_then(|message_id| {
                let built = builder.finish().ok()?;
                let message = (built.first(), built.payloads());
                let (now, out) = (cx.now, &mut *cx.out);
                cx.isakmp
                    .send(now, sa, message_id, message, Expect::Reply, out)
                    .ok()?;
                Some(message_id)
            });
        match (sent, &mut self.fetch) {
            (Some(message_id), Some(fetch)) => {
                (fetch.at, fetch.waiting, fetch.exchange) = (None, None, Some((sa, message_id)));
            }
            _ => self.fetch_again(cx),
        }
    }

    /// A piece came.
    pub(super) fn fetch_message(
        &mut self,
        cx: &mut Context<'_>,
        (sa, message_id): (SaId, u32),
        first: PayloadType,
        payloads: &[u8],
    ) {
        cx.isakmp.finish(sa, message_id);
        let Some(fetch) = &mut self.fetch else { return };
        fetch.exchange = None;
        let added = Chain::decode(first, payloads).ok().and_then(|chain| {
            let raw = chain.find(PayloadType::GETVPN_POLICY_CHUNK)?;
            let chunk: PolicyChunk<'_> = raw.decode().ok()?;
            Some(fetch.assembly.add(chunk.kind, chunk.number, chunk.data?))
        });
        if added != Some(true) {
            self.refuse(cx, "policy chunk refused");
            return self.fetch_again(cx);
        }
        if fetch.assembly.wanted().is_some() {
            return self.fetch_under(cx, sa);
        }
        let (blob, purpose) = (fetch.assembly.finish(), fetch.purpose);
        self.fetch = None;
        match blob {
            Ok(blob) => self.adopt_policy(cx, Policy::of(Arc::new(blob)), purpose),
            Err(error) => {
                self.refuse(cx, "policy refused");
                self.last_failure = Some(error.to_string());
            }
        }
    }

    fn adopt_policy(&mut self, cx: &mut Context<'_>, policy: Policy, purpose: Purpose) {
        match purpose {
            Purpose::Registration => self.policy_fetched(cx, policy),
            Purpose::Rekey => {
                if let Some(held) = &mut self.held {
                    held.policy = policy;
                    self.install_policy(cx);
                }
            }
        }
    }
}

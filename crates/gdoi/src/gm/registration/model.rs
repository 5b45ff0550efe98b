//! The member's side of the model check: a registration as one step, rekeys and acknowledgements as
//! the datagrams that they are. Nothing of it is in the product.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ::policy::{KekSpi, PeerKind, PseudoTime, Spi, Time};

use super::super::held::Held;
use super::super::pseudotime::PseudoTimeFilter;
use super::super::rekey::Pushes;
use super::{Attempt, Granted, Plan, Policy, Run};
use crate::config;
use crate::context::Context;
use crate::gm::{Counters, Member, UnknownSpis};
use crate::group_sa::Offer;
use crate::ike::SaId;
use crate::ks::Admitted;
use crate::limits::BACK_OFF_MIN;
use crate::pull::Message4;

impl Member {
    /// A member that registers at once.
    pub(crate) fn decoded(config: config::Member, now: Time) -> Self {
        Self {
            attempt: Attempt::Idle,
            plan: Plan::at(now),
            held: None,
            clock: PseudoTimeFilter::default(),
            pushes: Pushes::default(),
            fetch: None,
            counters: Counters::default(),
            last_failure: None,
            unknown: UnknownSpis::default(),
            ended: crate::gm::fail_close::Ended::default(),
            wants_sids: false,
            summoned: false,
            spent: None,
            next_conn_id: 1,
            registered: None,
            config,
        }
    }

    /// A copy that goes on from here; neither registrations nor fetches last in the model.
    pub(crate) fn fork(&self) -> Self {
        Self {
            attempt: Attempt::Idle,
            plan: self.plan,
            held: self.held.clone(),
            clock: self.clock.clone(),
            pushes: self.pushes.clone(),
            fetch: None,
            counters: self.counters.clone(),
            last_failure: None,
            unknown: UnknownSpis::default(),
            ended: self.ended.clone(),
            wants_sids: self.wants_sids,
            summoned: self.summoned,
            spent: self.spent,
            next_conn_id: self.next_conn_id,
            registered: self.registered,
            config: self.config.clone(),
        }
    }

    /// Time has passed; a registration that is due is the caller's.
    pub(crate) fn timer_decoded(&mut self, cx: &mut Context<'_>) {
        self.expire(cx);
        self.pushes.expire(cx.now);
    }

    /// The place of the server to ask first, when a registration is due.
    pub(crate) fn wants_to_register(&self, now: Time) -> Option<usize> {
        let due = self.plan.at.is_some_and(|at| at <= now);
        let next = usize::from(self.plan.next_server);
        due.then_some(self.plan.server + next)
    }

    /// No key server of a round answered.
    pub(crate) fn not_registered(&mut self, now: Time) {
        self.plan.at = Some(now + BACK_OFF_MIN);
    }

    /// Whether it takes this from a key server that answers at once.
    pub(crate) fn would_take(&self, offer: &Offer, now: Time) -> bool {
        !self.is_behind(offer, now, now)
    }

    /// A key server gave everything.
    pub(crate) fn register_decoded(
        &mut self,
        cx: &mut Context<'_>,
        admitted: Admitted,
        server: usize,
    ) {
        self.plan = Plan {
            server,
            ..Plan::at(cx.now)
        };
        let run = Run {
            sa: SaId::numbered(0),
            message_id: 0,
            server: admitted.server,
            began: cx.now,
            asked: cx.now,
        };
        let granted = Granted {
            kind: PeerKind::Ours,
            offer: admitted.offer,
            message_4: Message4 {
                seq: Some(admitted.seq),
                received: admitted.received,
            },
            ack_base: admitted.ack_base,
            answered: cx.now,
        };
        self.install(cx, run, granted, Policy::of(Arc::new(admitted.policy)));
    }

    /// Whether it holds keys, and so may send and receive.
    pub(crate) const fn is_registered(&self) -> bool {
        self.held.is_some()
    }

    /// The key that it sends on.
    pub(crate) fn sends_on(&self, now: Time) -> Option<Spi> {
        let held = self.held.as_ref()?;
        held.outbound(held.clock.at(now))
    }

    /// Whether it receives on a key.
    pub(crate) fn accepts(&self, spi: Spi) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.teks.contains_key(&spi))
    }

    /// The last sequence number under each Rekey SA.
    pub(crate) fn sequences(&self) -> BTreeMap<KekSpi, u32> {
        let keks = self.held.iter().flat_map(|held| held.keks.iter());
        keks.map(|kek| (kek.sa.spi, kek.seq)).collect()
    }

    /// How many rekeys it took.
    pub(crate) const fn rekeys_taken(&self) -> u64 {
        self.counters.rekeys
    }

    /// Hashes everything that decides how it goes on.
    pub(crate) fn fingerprint(&self, now: Time, h: &mut impl Hasher) {
        let rel = |at: Time| i128::from(at.as_nanos()) - i128::from(now.as_nanos());
        (
            self.plan.at.map(rel),
            self.plan.server,
            self.plan.next_server,
        )
            .hash(h);
        (self.wants_sids, self.summoned, self.plan.failures).hash(h);
        self.pushes.fingerprint(rel, h);
        if let Some(held) = &self.held {
            hash_held(held, held.clock.at(now), h);
        }
    }
}

fn hash_held(held: &Held, now: PseudoTime, h: &mut impl Hasher) {
    now.as_nanos().hash(h);
    held.generation.0.hash(h);
    let slots = [&held.keks.new, &held.keks.current, &held.keks.previous];
    for slot in slots {
        slot.as_ref().map(|kek| kek.sa.spi.0).hash(h);
    }
    for kek in held.keks.iter() {
        (kek.sa.spi.0, kek.seq, kek.registered_seq).hash(h);
    }
    for tek in held.teks.values() {
        (tek.spi.0, tek.activation.as_nanos()).hash(h);
    }
    held.dead.iter().for_each(|spi| spi.0.hash(h));
}

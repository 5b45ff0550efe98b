//! What the tests' members have in place of a data plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::tbar::PseudoClock;
use policy::{Acl, PseudoTime, Sid, Spi, Tek, Time};

use crate::machine::TekKey;

/// What a data plane would hold.
#[derive(Default)]
pub(super) struct DataPlane {
    pub(super) sas: BTreeMap<Spi, (Tek, TekKey)>,
    pub(super) acl: Option<Arc<Acl>>,
    pub(super) policy_from: Option<PseudoTime>,
    pub(super) sids: Vec<Sid>,
    pub(super) clock: Option<PseudoClock>,
    pub(super) closed: u32,
    pub(super) blocks_log2: Option<u8>,
}

impl DataPlane {
    /// The key that is sent on at `now` (PROTOCOL P11).
    pub(super) fn outbound(&self, now: Time) -> Option<Spi> {
        let clock = self.clock?;
        self.sas
            .values()
            .map(|(tek, _)| tek)
            .filter(|tek| tek.is_active(clock.at(now)))
            .max_by_key(|tek| (tek.activation, tek.spi))
            .map(|tek| tek.spi)
    }

    /// Another reading of the group's clock, or of another clock (PROTOCOL P27).
    pub(super) fn set_clock(&mut self, now: Time, clock: PseudoClock, anew: bool) {
        let before = self.clock.replace(clock);
        for (tek, _) in self.sas.values_mut().filter(|_| anew) {
            let life = (tek.activation, tek.expiry);
            let before = before.expect("a member with keys has a clock");
            (tek.activation, tek.expiry) = clock.retimed(&before, now, life);
        }
    }

    /// Everything is gone but how often that happened.
    pub(super) fn close(&mut self) {
        *self = Self {
            closed: self.closed + 1,
            ..Self::default()
        };
    }
}

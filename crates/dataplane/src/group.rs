//! A group's state on the router's side: what is held, and what is remembered of what was held.

use std::sync::Arc;
use std::time::Duration;

use policy::tbar::PseudoClock;
use policy::{Acl, GroupName, GroupSize, PseudoTime, Sid, Spi, Tek, Time};

use crate::control::Refusal;
use crate::counters::{Hits, PerWorker, Traffic};
use crate::limits::{
    BLOCKS_MAX_LOG2, DELIVERY_DELAY, POLICIES_PER_GROUP_MAX, REPLAY_IDLE_DEFAULT,
    SAS_PER_GROUP_MAX, SIDS_PER_PULL_MAX, SIDS_REMEMBERED_MAX,
};
use crate::sadb::{Sa, SidCounter, TekKey};
use crate::snapshot::{Group, Policy};

pub(crate) struct GroupState {
    name: Arc<GroupName>,
    /// Whether the configuration has the group; one that went away is kept for its SID counters.
    pub(crate) is_configured: bool,
    fail_close: bool,
    local_acl: Option<Arc<Acl>>,
    /// Whether there ever was a policy: fail-open ends with the first.
    was_registered: bool,
    policies: Vec<Arc<Policy>>,
    tbar_window_s: Option<u32>,
    /// Best first (P11).
    pub(crate) sas: Vec<Arc<Sa>>,
    size: GroupSize,
    pub(crate) sids: Vec<Arc<SidCounter>>,
    /// Every SID that was installed, the latest last.
    remembered: Vec<Arc<SidCounter>>,
    /// Blocks of 64 bits that one worker may encrypt with one key (PROTOCOL P23).
    blocks_max: u64,
    pub(crate) clock: PseudoClock,
    pub(crate) traffic: Arc<PerWorker<Traffic>>,
}

const fn share(log2: u8, workers: usize) -> u64 {
    let workers = if workers == 0 { 1 } else { workers as u64 };
    (1 << log2) / workers
}

impl GroupState {
    pub(crate) fn new(name: GroupName, workers: usize) -> Self {
        Self {
            name: Arc::new(name),
            is_configured: true,
            fail_close: true,
            local_acl: None,
            was_registered: false,
            policies: Vec::new(),
            tbar_window_s: None,
            sas: Vec::new(),
            size: GroupSize::default(),
            sids: Vec::new(),
            remembered: Vec::new(),
            blocks_max: share(BLOCKS_MAX_LOG2, workers),
            clock: PseudoClock::default(),
            traffic: Arc::new(PerWorker::new(workers, Traffic::default)),
        }
    }

    /// Forgets everything but how far each SID was used: should a key server ever hand the same
    /// SID and key out again, no nonce comes twice.
    //= getvpn P21
    pub(crate) fn remove(&mut self, workers: usize) -> bool {
        let remembered = std::mem::take(&mut self.remembered);
        let was_configured = self.is_configured;
        *self = Self {
            is_configured: false,
            remembered,
            ..Self::new(GroupName::clone(&self.name), workers)
        };
        was_configured
    }

    pub(crate) fn configure(
        &mut self,
        fail_close: bool,
        local_acl: Option<Arc<Acl>>,
        workers: usize,
    ) -> bool {
        let changed = self.fail_close != fail_close || self.local_acl != local_acl;
        if self.local_acl != local_acl {
            self.local_acl = local_acl;
            for policy in &mut self.policies {
                let acl = Arc::clone(&policy.acl);
                let local = self.local_acl.as_deref();
                *policy = Arc::new(Policy::new(policy.activation, acl, local, workers));
            }
        }
        self.fail_close = fail_close;
        changed
    }

    pub(crate) fn install_sa(
        &mut self,
        tek: Tek,
        key: &TekKey,
        workers: usize,
    ) -> Result<bool, Refusal> {
        if let Some(place) = self.sas.iter().position(|sa| sa.tek.spi == tek.spi) {
            return self.refresh_sa(place, tek, key);
        }
        if self.sas.len() >= SAS_PER_GROUP_MAX {
            return Err(Refusal::TooMany {
                what: "SAs of one group",
                limit: SAS_PER_GROUP_MAX,
            });
        }
        let sa = Sa::new(Arc::clone(&self.name), tek, key, workers)?;
        self.sas.push(Arc::new(sa));
        self.order_sas();
        Ok(true)
    }

    fn refresh_sa(&mut self, place: usize, tek: Tek, key: &TekKey) -> Result<bool, Refusal> {
        let held = &self.sas[place];
        if !held.has_key(&tek, key) || held.tek.transform != tek.transform {
            return Err(Refusal::SpiTaken { spi: tek.spi });
        }
        if held.tek == tek {
            return Ok(false);
        }
        self.sas[place] = Arc::new(held.with_record(tek, key)?);
        self.order_sas();
        Ok(true)
    }

    /// Latest activation first; ties by the minting key server's rank, then SPI. Every member
    /// sorts alike, so that all send on the same record.
    //= getvpn P11
    fn order_sas(&mut self) {
        self.sas
            .sort_by_key(|sa| std::cmp::Reverse((sa.tek.activation, sa.tek.minted_by, sa.tek.spi)));
    }

    pub(crate) fn remove_sa(&mut self, spi: Spi) -> bool {
        let before = self.sas.len();
        self.sas.retain(|sa| sa.tek.spi != spi);
        self.sas.len() != before
    }

    pub(crate) fn sa(&self, spi: Spi) -> Option<&Sa> {
        self.sas.iter().find(|sa| sa.tek.spi == spi).map(|sa| &**sa)
    }

    pub(crate) fn install_policy(
        &mut self,
        now: Time,
        acl: Arc<Acl>,
        tbar_window_s: Option<u32>,
        activation: PseudoTime,
        workers: usize,
    ) -> bool {
        let mut changed = self.tbar_window_s != tbar_window_s || !self.was_registered;
        self.tbar_window_s = tbar_window_s;
        self.was_registered = true;
        if self.policies.last().is_some_and(|last| last.acl == acl) {
            return changed;
        }
        // What was to come into force at the same time or later is replaced.
        self.policies
            .retain(|policy| policy.activation < activation);
        let local = self.local_acl.as_deref();
        self.policies
            .push(Arc::new(Policy::new(activation, acl, local, workers)));
        self.drop_old_policies(now);
        changed = true;
        changed
    }

    /// Another reading of the group's clock, or of another clock.
    //= getvpn P27
    pub(crate) fn set_clock(&mut self, now: Time, clock: PseudoClock, anew: bool) -> bool {
        let before = std::mem::replace(&mut self.clock, clock);
        if before == clock {
            return false;
        }
        if anew {
            for sa in &mut self.sas {
                let life = (sa.tek.activation, sa.tek.expiry);
                *sa = Arc::new(sa.with_times(clock.retimed(&before, now, life)));
            }
            self.order_sas();
            for policy in &mut self.policies {
                let life = (policy.activation, policy.activation);
                let (activation, _) = clock.retimed(&before, now, life);
                *policy = Arc::new(policy.with_activation(activation));
            }
        }
        true
    }

    /// Policies whose successor has been in force for longer than the grace are of no use.
    fn drop_old_policies(&mut self, now: Time) {
        let (now, grace) = (self.clock.at(now), self.grace());
        let ended = self
            .policies
            .iter()
            .skip(1)
            .take_while(|next| next.activation.after(grace) < now)
            .count();
        let too_many = self.policies.len().saturating_sub(POLICIES_PER_GROUP_MAX);
        self.policies.drain(..ended.max(too_many));
    }

    pub(crate) fn install_sids(&mut self, size: GroupSize, sids: &[Sid]) -> Result<bool, Refusal> {
        if sids.len() > SIDS_PER_PULL_MAX {
            return Err(Refusal::TooMany {
                what: "SIDs of one PULL",
                limit: SIDS_PER_PULL_MAX,
            });
        }
        let same =
            self.size == size && self.sids.iter().map(|own| own.sid).eq(sids.iter().copied());
        if same {
            return Ok(false);
        }
        self.size = size;
        self.sids = sids.iter().map(|&sid| self.recall(size, sid)).collect();
        Ok(true)
    }

    /// The counter of a SID, which goes on where it stood if it was ever installed before.
    //= getvpn P21
    fn recall(&mut self, size: GroupSize, sid: Sid) -> Arc<SidCounter> {
        let known = self
            .remembered
            .iter()
            .position(|own| own.sid == sid && own.size == size);
        let counter = known.map_or_else(
            || Arc::new(SidCounter::new(sid, size)),
            |place| self.remembered.remove(place),
        );
        if self.remembered.len() >= SIDS_REMEMBERED_MAX {
            self.remembered.remove(0);
        }
        self.remembered.push(Arc::clone(&counter));
        counter
    }

    /// A sender may encrypt 2^`log2` blocks with one key; each worker gets its share.
    //= getvpn P23
    pub(crate) fn limit_blocks(&mut self, log2: u8, workers: usize) -> bool {
        let before = self.blocks_max;
        self.blocks_max = share(log2.min(BLOCKS_MAX_LOG2), workers);
        self.blocks_max != before
    }

    pub(crate) fn close(&mut self) -> bool {
        let held = !self.sas.is_empty() || !self.sids.is_empty() || !self.policies.is_empty();
        self.sas.clear();
        self.sids.clear();
        if self.fail_close {
            self.policies.clear();
        }
        held
    }

    fn grace(&self) -> Duration {
        let window = Duration::from_secs(u64::from(self.tbar_window_s.unwrap_or(0)));
        window + DELIVERY_DELAY
    }

    /// What workers see, with the group's SAs at `first_sa` and after.
    pub(crate) fn view(&self, first_sa: usize) -> Group {
        let window = self
            .tbar_window_s
            .map(|s| Duration::from_secs(u64::from(s)));
        Group {
            name: Arc::clone(&self.name),
            closed_without_policy: self.fail_close || self.was_registered,
            closes_v6: self.fail_close,
            local_acl: self.local_acl.clone(),
            policies: self.policies.clone(),
            records: (first_sa..first_sa + self.sas.len()).collect(),
            sids: self.sids.clone(),
            size: self.size,
            blocks_max: self.blocks_max,
            clock: self.clock,
            grace: self.grace(),
            replay_idle: window.unwrap_or(REPLAY_IDLE_DEFAULT) * 2,
            traffic: Arc::clone(&self.traffic),
        }
    }

    pub(crate) fn newest_hits(&self) -> Vec<Hits> {
        let Some(policy) = self.policies.last() else {
            return Vec::new();
        };
        let mut sums = vec![Hits::default(); policy.acl.entries.len()];
        for line in policy.hits.iter() {
            for (sum, hits) in sums.iter_mut().zip(line) {
                sum.outbound += hits.outbound.read();
                sum.inbound += hits.inbound.read();
            }
        }
        sums
    }
}

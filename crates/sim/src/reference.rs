//! The reference model: whose packets the promises cover at a moment.
//!
//! Simple on purpose. It knows who runs, who registered, who can reach a key server and since when,
//! and which orders are under way; it knows nothing of keys. What it covers must arrive (DESIGN.md
//! section 1); what it does not cover may arrive or not.

use std::collections::BTreeSet;
use std::time::Duration;

use gdoi::limits::{ELECTION_WAIT, PEER_SILENCE_MAX, TAKEOVER_MARGIN};
use policy::Time;
use policy::lifetime::Schedule;

use crate::node::NodeId;

/// A member whose situation was outside of the promise has, once it is over, this long to come back
/// ...
const RECOVERY: Duration = Duration::from_secs(150);
/// ... and for each key server this much, since it may try dead ones before.
const RECOVERY_PER_SERVER: Duration = Duration::from_secs(15);

/// Key servers that can hear each other again have met within this: phase 1 begins again
/// `PEER_RETRY` after an attempt was given up, and the merge takes its messages.
const REUNION: Duration = Duration::from_secs(15);

/// A removal waits so long for key servers that do not write it down ...
const REPLICATION_MAX: Duration = Duration::from_secs(10);
/// ... then keys of before are sent on for so long, plus a second for so many members, which is the
/// time that they have to come (PROTOCOL P16).
const REMOVAL: Duration = Duration::from_secs(15);
/// In that time a copy of the call comes that is not later than this.
const COPY: Duration = Duration::from_secs(10);
const REGISTRATIONS_PER_S: usize = 50;
/// After a removal with `now` all others that hear a key server are back within this, and the time
/// that another key server needs to lead.
const RECALL: Duration = Duration::from_secs(60);

/// The group's times.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Times {
    /// How long no key server need be reachable without a loss.
    pub(crate) tolerated: Duration,
    /// From an ordered rekey until everybody sends on its key.
    pub(crate) urgent: Duration,
    /// How long a member that lost contact may take to be back.
    pub(crate) recovery: Duration,
    /// How long a split of key servers may last without a loss: so long, and until they have met
    /// again, all hold the same keys ahead.
    pub(crate) shared: Duration,
    /// From an ordered removal until nobody sends on keys of before.
    pub(crate) removal: Duration,
    /// From one with `now` until all others are back.
    pub(crate) recall: Duration,
    /// How long a packet may be on its way.
    pub(crate) delivery: Duration,
    /// How long the keys last that a member holds.
    pub(crate) held: Duration,
}

impl Times {
    /// The times of a group with so many key servers and this schedule.
    ///
    /// A rekey that a member misses leaves `tek_lead` before the old key ends; the member registers
    /// again at the latest `reregister_lead` and its jitter before. What lies between is how long
    /// nobody need hear it.
    pub(crate) fn of(
        schedule: &Schedule,
        (key_servers, members): (usize, usize),
        look_ahead: u32,
    ) -> Self {
        let late = schedule.reregister_lead() + schedule.reregister_jitter();
        let servers = u32::try_from(key_servers).unwrap_or(u32::MAX);
        let takeover = if key_servers > 1 {
            PEER_SILENCE_MAX + ELECTION_WAIT + TAKEOVER_MARGIN
        } else {
            Duration::ZERO
        };
        let registrations = members.div_ceil(REGISTRATIONS_PER_S) as u64;
        let later = schedule.retransmit_period().saturating_sub(COPY);
        let removal = REMOVAL + later + Duration::from_secs(registrations);
        Self {
            tolerated: schedule.tek_lead().saturating_sub(late),
            urgent: schedule.activation_delay(takeover) + Duration::from_secs(2),
            recovery: RECOVERY + RECOVERY_PER_SERVER.saturating_mul(servers),
            removal: if key_servers > 1 {
                removal + REPLICATION_MAX + takeover
            } else {
                removal
            },
            recall: RECALL + takeover,
            delivery: schedule.delivery_delay(),
            held: schedule.period() * 2,
            shared: (schedule.period() * look_ahead)
                .saturating_sub(schedule.overlap())
                .saturating_sub(REUNION),
        }
    }

    /// The times of a group whose lifetimes change between these and others.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            tolerated: self.tolerated.min(other.tolerated),
            urgent: self.urgent.max(other.urgent),
            recovery: self.recovery.max(other.recovery),
            shared: self.shared.min(other.shared),
            removal: self.removal.max(other.removal),
            recall: self.recall.max(other.recall),
            delivery: self.delivery.max(other.delivery),
            held: self.held.max(other.held),
        }
    }
}

/// One member as the model sees it.
#[derive(Clone, Debug, Default)]
struct Standing {
    registered: bool,
    removed: bool,
    alone_since: Option<Time>,
    excused_until: Time,
    /// Its registration has ended. It learns it from its own timer, at the latest by then.
    ejected_until: Time,
}

/// All members of a group.
pub(crate) struct Reference {
    times: Times,
    standings: Vec<Standing>,
    urgent_until: Time,
    /// Since when some key servers do not hear each other.
    apart_since: Option<Time>,
    /// One of them was ordered a key meanwhile.
    apart_urgent: bool,
    /// Key servers that ran the last time.
    running: Vec<NodeId>,
    /// Those that went down while some did not hear each other: what they know comes back with them.
    estranged: BTreeSet<NodeId>,
}

impl Reference {
    /// Nobody is registered. `nodes` is the number of all boxes: members go by their number.
    pub(crate) fn new(times: Times, nodes: usize) -> Self {
        Self {
            times,
            standings: vec![Standing::default(); nodes],
            urgent_until: Time::ZERO,
            apart_since: None,
            apart_urgent: false,
            running: Vec::new(),
            estranged: BTreeSet::new(),
        }
    }

    /// The group's times.
    pub(crate) const fn times(&self) -> &Times {
        &self.times
    }

    /// A member holds policy and keys.
    pub(crate) fn registered(&mut self, member: NodeId) {
        let standing = &mut self.standings[member];
        (standing.registered, standing.ejected_until) = (true, Time::ZERO);
    }

    /// A key server ended a member's registration, since three rekeys were not acknowledged: of what
    /// follows nobody tells it until it registers again (PROTOCOL P9).
    pub(crate) fn ejected(&mut self, now: Time, member: NodeId) {
        self.standings[member].ejected_until = now + self.times.held;
    }

    /// A member's process is gone.
    pub(crate) fn died(&mut self, member: NodeId) {
        self.standings[member].registered = false;
    }

    /// Whether a member can reach a key server that serves, over a path as good as on a normal day.
    pub(crate) fn contact(&mut self, now: Time, member: NodeId, reaches: bool) {
        let times = self.times;
        let urgent = now < self.urgent_until;
        let standing = &mut self.standings[member];
        if !reaches {
            if standing.alone_since.is_none() && urgent {
                standing.excused_until = Time::MAX;
            }
            standing.alone_since.get_or_insert(now);
            return;
        }
        if let Some(since) = standing.alone_since.take() {
            let long = now.since(since) > times.tolerated;
            let back = now + times.recovery;
            if standing.excused_until == Time::MAX {
                standing.excused_until = back;
            } else if long {
                standing.excused_until = standing.excused_until.max(back);
            }
        }
    }

    /// Whether all key servers that run hear each other. Those that do not go on with the keys that
    /// they share; what an operator orders of one meanwhile, or beyond those keys, the members of
    /// the other cannot know.
    pub(crate) fn key_servers_agree(&mut self, now: Time, running: Vec<NodeId>, agree: bool) {
        if self.apart_since.is_some() {
            let gone = self.running.iter().filter(|id| !running.contains(id));
            self.estranged.extend(gone);
        }
        self.estranged.retain(|id| !running.contains(id));
        self.running = running;
        let agree = agree && self.estranged.is_empty();
        if !agree {
            self.apart_since.get_or_insert(now);
            self.apart_urgent |= now < self.urgent_until;
        } else if self.apart_for_long(now) {
            self.excuse_all(now);
            self.apart_since = None;
            self.apart_urgent = false;
        } else {
            self.apart_since = None;
        }
    }

    /// Key servers begin without each other: they share no key until they have met.
    pub(crate) fn founded_apart(&mut self, now: Time) {
        self.apart_since.get_or_insert(now);
        self.apart_urgent = true;
    }

    /// A key server died that an operator had just ordered something of which no other one may have
    /// heard: it is as if it were apart until it is back.
    pub(crate) fn ordered_in_vain(&mut self, now: Time, server: NodeId) {
        self.estranged.insert(server);
        self.apart_since.get_or_insert(now);
        self.apart_urgent = true;
    }

    fn apart_for_long(&self, now: Time) -> bool {
        self.apart_since
            .is_some_and(|since| self.apart_urgent || now.since(since) > self.times.shared)
    }

    /// An operator ordered a key that everybody sends on within seconds: whoever cannot hear of it,
    /// or stops hearing before it is sent on, is left behind, and nothing promises otherwise.
    pub(crate) fn urgent_rekey(&mut self, now: Time) {
        self.urgent(now, self.times.urgent);
    }

    /// An operator removed a member: its packets are nobody's promise, and the keys of all others
    /// follow within seconds, or are gone at once.
    pub(crate) fn removed(&mut self, now: Time, member: NodeId, at_once: bool) {
        self.standings[member].removed = true;
        self.recalled(now, at_once);
    }

    /// Every member is asked to register again.
    pub(crate) fn recalled(&mut self, now: Time, at_once: bool) {
        if at_once {
            let back = now + self.times.recall;
            for standing in &mut self.standings {
                standing.excused_until = standing.excused_until.max(back);
            }
        }
        self.urgent(now, self.times.removal);
    }

    /// A removed member may register again.
    pub(crate) fn readmitted(&mut self, now: Time, member: NodeId) {
        self.standings[member].removed = false;
        self.excuse(member, now);
    }

    fn urgent(&mut self, now: Time, span: Duration) {
        self.urgent_until = self.urgent_until.max(now + span);
        self.apart_urgent = self.apart_since.is_some();
        for standing in &mut self.standings {
            if standing.alone_since.is_some() {
                standing.excused_until = Time::MAX;
            }
        }
    }

    /// Something happened that no promise covers; it is over by `end`.
    pub(crate) fn excuse_all(&mut self, end: Time) {
        let until = end + self.times.recovery;
        for standing in &mut self.standings {
            standing.excused_until = standing.excused_until.max(until);
        }
    }

    /// Something happened to one member that no promise covers; it is over by `end`.
    pub(crate) fn excuse(&mut self, member: NodeId, end: Time) {
        let until = end + self.times.recovery;
        let standing = &mut self.standings[member];
        standing.excused_until = standing.excused_until.max(until);
    }

    /// Whether the promises cover a member's packets now.
    pub(crate) fn covers(&self, now: Time, member: NodeId) -> bool {
        let standing = &self.standings[member];
        standing.registered
            && !standing.removed
            && !self.apart_for_long(now)
            && now >= standing.excused_until
            && now >= standing.ejected_until
            && standing
                .alone_since
                .is_none_or(|since| now.since(since) <= self.times.tolerated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Reference {
        let times = Times::of(&Schedule::new(3_600, 10, 2), (1, 2), 2);
        assert_eq!(times.tolerated, Duration::from_secs(133));
        let mut model = Reference::new(times, 2);
        model.registered(0);
        model.registered(1);
        model
    }

    const fn at(s: u64) -> Time {
        Time::from_secs(s)
    }

    #[test]
    fn a_short_outage_is_covered_and_a_long_one_is_not_until_it_is_over_and_healed() {
        let mut model = model();
        model.contact(at(100), 0, false);
        assert!(model.covers(at(233), 0) && !model.covers(at(234), 0));
        assert!(model.covers(at(234), 1));
        model.contact(at(300), 0, true);
        assert!(!model.covers(at(301), 0) && model.covers(at(300 + 165), 0));
        model.contact(at(1_000), 0, false);
        model.contact(at(1_100), 0, true);
        assert!(model.covers(at(1_101), 0));
    }

    #[test]
    fn key_servers_may_be_apart_as_long_as_they_share_keys() {
        let mut model = model();
        assert_eq!(model.times.shared, Duration::from_secs(2 * 3_570 - 30 - 15));
        let both = || vec![0, 1];
        model.key_servers_agree(at(100), both(), false);
        assert!(model.covers(at(7_195), 0) && !model.covers(at(7_196), 0));
        model.key_servers_agree(at(8_000), both(), true);
        assert!(!model.covers(at(8_001), 0) && model.covers(at(8_200), 0));
        model.key_servers_agree(at(9_000), both(), false);
        model.urgent_rekey(at(9_001));
        assert!(!model.covers(at(9_002), 0), "only one side knows that key");
        model.key_servers_agree(at(9_010), both(), true);
        assert!(model.covers(at(9_200), 0));
        model.key_servers_agree(at(10_000), both(), false);
        model.urgent_rekey(at(10_001));
        model.key_servers_agree(at(10_002), vec![1], true);
        assert!(
            !model.covers(at(10_500), 0),
            "one side is down with its key"
        );
        model.key_servers_agree(at(10_600), both(), true);
        assert!(!model.covers(at(10_601), 0) && model.covers(at(10_800), 0));
    }

    #[test]
    fn an_order_that_died_with_its_key_server_is_none_until_that_is_back() {
        let mut model = model();
        model.removed(at(100), 1, true);
        model.ordered_in_vain(at(101), 0);
        model.key_servers_agree(at(101), vec![1], true);
        assert!(!model.covers(at(1_000), 0));
        model.key_servers_agree(at(1_000), vec![0, 1], true);
        assert!(!model.covers(at(1_001), 0) && model.covers(at(1_200), 0));
    }

    #[test]
    fn an_ejected_member_is_covered_again_from_its_next_registration_or_the_end_of_its_keys() {
        let mut model = model();
        model.ejected(at(100), 0);
        assert!(!model.covers(at(7_239), 0) && model.covers(at(7_240), 0));
        assert!(model.covers(at(101), 1));
        model.registered(0);
        assert!(model.covers(at(101), 0));
    }

    #[test]
    fn whoever_does_not_hear_of_an_urgent_key_is_not_covered() {
        let mut model = model();
        model.contact(at(10), 0, false);
        model.urgent_rekey(at(11));
        assert!(!model.covers(at(12), 0) && model.covers(at(12), 1));
        model.contact(at(13), 1, false);
        assert!(!model.covers(at(14), 1), "it stopped hearing in between");
        model.contact(at(20), 1, true);
        assert!(model.covers(at(400), 1));
        model.died(1);
        assert!(!model.covers(at(400), 1));
    }
}

//! What the core does between any two boxes, each direction apart.
//!
//! Every box hangs on the core by its own [`Link`]; a pair of boxes may suffer faults beside that.
//! Most pairs suffer none, so only those that do are kept. Pure and seeded.

use std::collections::BTreeMap;
use std::time::Duration;

use crypto::Rng;
use policy::Time;

use crate::link::{Link, Ppm, below, happens};
use crate::node::NodeId;

/// How late a copy of a control datagram may come.
const LATE_MAX_MS: u64 = 600_000;

/// What is carried: copies of control datagrams come late, and of single ones the access links
/// lose no two in a row, since that is one lost message and not a fault of the network.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cargo {
    /// A datagram on UDP 848.
    Control,
    /// A packet of the group.
    Data,
}

/// What a direction between two boxes suffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Nothing passes.
    pub(crate) cut: bool,
    /// How many packets are lost, any number in a row.
    pub(crate) loss: Ppm,
    /// How many arrive twice.
    pub(crate) duplication: Ppm,
    /// Time on the way beside that of the links.
    pub(crate) delay: Duration,
    /// How many control datagrams arrive once more, up to ten minutes later.
    pub(crate) late_copies: Ppm,
    /// How many control datagrams are held back until the next has been delivered.
    pub(crate) held_back: Ppm,
}

impl Fault {
    /// Nothing passes this way.
    pub(crate) fn cut() -> Self {
        Self {
            cut: true,
            ..Self::default()
        }
    }

    /// Whether a box that relies on this direction may miss several messages in a row.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.cut || self.loss > 0 || self.held_back > 0 || !self.delay.is_zero()
    }
}

/// What becomes of one datagram.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// When copies of it arrive.
    pub(crate) arrivals: Vec<Time>,
    /// It is held back until the next one of its direction was delivered.
    pub(crate) held: bool,
}

/// So many datagrams of a direction arrive after one was lost: rekeys for members of two kinds go to one
/// multicast address in turn, and so do their copies.
const SPARED: u8 = 3;

/// The whole core.
#[derive(Default)]
pub(crate) struct Network {
    links: Vec<Link>,
    faults: BTreeMap<(NodeId, NodeId), Fault>,
    /// Directions that lost a datagram lately, and how many more of it arrive.
    unlucky: BTreeMap<(NodeId, NodeId), u8>,
}

impl Network {
    /// A box is connected; boxes come in the order of their numbers.
    pub(crate) fn connect(&mut self, link: Link) {
        self.links.push(link);
    }

    /// The link of a box.
    pub(crate) fn link_mut(&mut self, node: NodeId) -> Option<&mut Link> {
        self.links.get_mut(node)
    }

    /// A direction suffers from now on.
    pub(crate) fn suffer(&mut self, from: NodeId, to: NodeId, fault: Fault) {
        self.faults.insert((from, to), fault);
    }

    /// A direction is well again.
    pub(crate) fn mend(&mut self, from: NodeId, to: NodeId) {
        self.faults.remove(&(from, to));
    }

    /// Every direction between boxes is well again. What the links suffer stays.
    pub(crate) fn heal(&mut self) {
        self.faults.clear();
    }

    /// Whether messages pass this way, now and then at least.
    pub(crate) fn passes(&self, from: NodeId, to: NodeId) -> bool {
        let cut = |node: NodeId| self.links.get(node).is_none_or(|link| link.cut);
        let fault = self.faults.get(&(from, to));
        !cut(from) && !cut(to) && fault.is_none_or(|fault| !fault.cut)
    }

    /// Whether both directions are as good as a network is on a normal day.
    pub(crate) fn is_good(&self, a: NodeId, b: NodeId) -> bool {
        let heavy = |way| self.faults.get(&way).is_some_and(Fault::is_heavy);
        self.passes(a, b) && self.passes(b, a) && !heavy((a, b)) && !heavy((b, a))
    }

    /// What becomes of a packet that leaves now.
    pub(crate) fn offer(
        &mut self,
        now: Time,
        (from, to): (NodeId, NodeId),
        cargo: Cargo,
        rng: &mut dyn Rng,
    ) -> Fate {
        let mut fate = Fate::default();
        if !self.passes(from, to) {
            return fate;
        }
        let (Some(up), Some(down)) = (self.links.get(from), self.links.get(to)) else {
            return fate;
        };
        for at in up.offer(now, rng) {
            fate.arrivals.extend(down.offer(at, rng));
        }
        if cargo == Cargo::Control && up.loss + down.loss > 0 {
            self.spare(now, (from, to), &mut fate);
        }
        if let Some(fault) = self.faults.get(&(from, to)) {
            fault.strike(now, cargo, rng, &mut fate);
        }
        fate
    }

    /// One control datagram may be lost on a normal day, but none of those that follow it in its direction,
    /// its own copy among them.
    fn spare(&mut self, now: Time, way: (NodeId, NodeId), fate: &mut Fate) {
        let Some(spared) = self.unlucky.get_mut(&way) else {
            if fate.arrivals.is_empty() {
                self.unlucky.insert(way, SPARED);
            }
            return;
        };
        *spared -= 1;
        if *spared == 0 {
            self.unlucky.remove(&way);
        }
        if fate.arrivals.is_empty() {
            let delay = [way.0, way.1].map(|node| self.links[node].delay);
            fate.arrivals.push(now + delay[0] + delay[1]);
        }
    }
}

impl Fault {
    fn strike(&self, now: Time, cargo: Cargo, rng: &mut dyn Rng, fate: &mut Fate) {
        if happens(self.loss, rng) {
            fate.arrivals.clear();
        }
        for at in &mut fate.arrivals {
            *at += self.delay;
        }
        if happens(self.duplication, rng)
            && let Some(at) = fate.arrivals.first().copied()
        {
            fate.arrivals
                .push(at + Duration::from_millis(below(500, rng)));
        }
        if cargo == Cargo::Data {
            return;
        }
        if happens(self.late_copies, rng) {
            fate.arrivals
                .push(now + Duration::from_millis(below(LATE_MAX_MS, rng)));
        }
        fate.held = happens(self.held_back, rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;

    fn network() -> Network {
        let mut network = Network::default();
        for _ in 0..3 {
            network.connect(Link::default());
        }
        network
    }

    fn count(network: &mut Network, way: (NodeId, NodeId), rng: &mut SeededRng) -> usize {
        network
            .offer(Time::ZERO, way, Cargo::Control, rng)
            .arrivals
            .len()
    }

    #[test]
    fn a_cut_of_one_direction_leaves_the_other_and_every_other_pair_alone() {
        let (mut network, mut rng) = (network(), SeededRng::from_number(1));
        network.suffer(0, 1, Fault::cut());
        assert_eq!(count(&mut network, (0, 1), &mut rng), 0);
        for way in [(1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            assert_eq!(count(&mut network, way, &mut rng), 1, "{way:?}");
        }
        assert!(!network.is_good(0, 1) && !network.is_good(1, 0) && network.is_good(1, 2));
        network.heal();
        assert!(network.is_good(0, 1));
    }

    #[test]
    fn on_a_normal_day_no_control_datagram_is_lost_soon_after_another() {
        let mut network = network();
        network.link_mut(0).unwrap().loss = 500_000;
        let mut rng = SeededRng::from_number(2);
        let mut lost = 0;
        let mut since = SPARED;
        for _ in 0..1_000 {
            let gone = count(&mut network, (0, 1), &mut rng) == 0;
            assert!(!gone || since >= SPARED);
            lost += usize::from(gone);
            since = if gone { 0 } else { since.saturating_add(1) };
        }
        assert!((150..300).contains(&lost), "{lost}");
    }

    #[test]
    fn a_late_copy_comes_within_ten_minutes_beside_the_datagram_itself() {
        let (mut network, mut rng) = (network(), SeededRng::from_number(3));
        let fault = Fault {
            late_copies: 1_000_000,
            ..Fault::default()
        };
        network.suffer(0, 1, fault);
        let fate = network.offer(Time::ZERO, (0, 1), Cargo::Control, &mut rng);
        assert_eq!(fate.arrivals.len(), 2);
        assert!(fate.arrivals[1] <= Time::from_secs(600));
        assert!(network.is_good(0, 1), "a late copy costs nobody a message");
    }
}

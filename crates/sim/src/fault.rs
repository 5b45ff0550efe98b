//! What happens to a group on a bad day: one fault at a time, each with its span and its end.
//!
//! Decides which faults a group can be asked to survive. What must survive them is the reference
//! model's to say.

use std::time::Duration;

use crypto::SeededRng;
use gdoi::BootId;
use policy::Time;

use crate::attacker::Attack;
use crate::link::below;
use crate::network::Fault;
use crate::node::{Boundary, NodeId, Trap};
use crate::store::Age;
use crate::world::VirtualWorld;

/// A machine needs so much longer to boot than another one.
const BOOT_MS_MAX: u64 = 15_000;

/// What a key server says of a change of the policy of its group begins so.
const PREVIEW: &str = "% Group ";

/// A sort of fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// An operator orders a rekey.
    Rekey,
    /// A key server dies and comes back.
    ServerDies,
    /// A member dies and comes back.
    MemberDies,
    /// A box dies at a boundary of its disk or its network.
    Boundary,
    /// A member loses what it holds by an operator's word.
    Clear,
    /// Messages get lost, many in a row.
    Loss,
    /// Copies come late, messages overtake each other.
    Disorder,
    /// Directions are cut.
    Partition,
    /// A disk takes seconds for a commit.
    SlowDisk,
    /// Crystals and wall clocks change.
    Clocks,
    /// Somebody on the path or inside attacks.
    Attack,
    /// Somebody alters vendor ids.
    VendorIds,
    /// A key server's disk is replaced by an empty one.
    DiskLoss,
    /// A key server's machine boots: its core clock begins anew.
    Reboot,
    /// The machines of all key servers are off for a while: nobody knows the group's clock.
    PowerCut,
    /// A key server's disk is restored from an older copy.
    RollBack,
    /// Operators remove members, let them in again, or have all register again.
    Removal,
    /// Operators change the transform set.
    Transform,
    /// Operators change the rest of the policy: how rekeys travel, lifetimes, what is encrypted.
    Policy,
    /// Operators change the rekey key, or the cipher of rekeys.
    Signing,
}

impl Sort {
    /// What may happen to a group of so many key servers. One that stands alone has nobody to ask
    /// what its restored disk has forgotten (PROTOCOL P22 needs an operator then), or what the
    /// group's clock reads after its machine was off (PROTOCOL P27).
    pub(crate) fn of_group(key_servers: usize) -> Vec<Self> {
        let mut sorts = vec![
            Self::Rekey,
            Self::Rekey,
            Self::ServerDies,
            Self::ServerDies,
            Self::MemberDies,
            Self::MemberDies,
            Self::Boundary,
            Self::Boundary,
            Self::Boundary,
            Self::Clear,
            Self::Loss,
            Self::Disorder,
            Self::Disorder,
            Self::Partition,
            Self::Partition,
            Self::SlowDisk,
            Self::Clocks,
            Self::Attack,
            Self::Attack,
            Self::VendorIds,
            Self::DiskLoss,
            Self::Removal,
            Self::Removal,
            Self::Transform,
        ];
        if key_servers > 1 {
            sorts.extend([Self::RollBack, Self::Reboot]);
            sorts.extend([Self::Partition, Self::Partition]);
        }
        sorts
    }
}

impl Sort {
    /// Whether it lasts until it is healed, and is not done at once.
    const fn lasts(self) -> bool {
        matches!(
            self,
            Self::ServerDies
                | Self::MemberDies
                | Self::Loss
                | Self::Partition
                | Self::SlowDisk
                | Self::VendorIds
        )
    }
}

/// What became of a key server's memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Damage {
    /// The disk is empty.
    Empty,
    /// The disk is as it was a minute ago.
    Minute,
    /// The disk is as it was an hour ago.
    Hour,
    /// The machine's clock began anew.
    Boot,
}

/// How long a fault lasts, and how long the group may need after it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Course {
    /// Until it is healed.
    pub(crate) lasts: Duration,
    /// From then until every member must be well.
    pub(crate) settles: Duration,
}

impl VirtualWorld {
    /// Lets a fault of this sort begin.
    pub(crate) fn begin_fault(
        &mut self,
        sort: Sort,
        tek_lifetime_s: u32,
        dice: &mut SeededRng,
    ) -> Course {
        let settles = self.recovery();
        let span = self.span(dice);
        let brief = Course {
            lasts: Duration::from_millis(below(5_000, dice)),
            settles,
        };
        match sort {
            Sort::Rekey => self.order_rekey(dice),
            Sort::ServerDies | Sort::MemberDies => {
                let id = self.victim(sort == Sort::ServerDies, dice);
                self.kill_node(id);
                self.come_back(id, span);
            }
            Sort::Boundary => {
                self.set_trap(span, dice);
                let settles = settles + span;
                return Course { settles, ..brief };
            }
            Sort::Clear => {
                let id = self.victim(false, dice);
                self.excuse(id, Duration::ZERO);
                self.order(id, "clear crypto gdoi");
            }
            Sort::Loss => self.lose_messages(dice),
            Sort::Disorder => {
                self.disorder(dice);
                return Course {
                    lasts: Duration::from_secs(60 + below(600, dice)),
                    settles: settles + Duration::from_secs(600),
                };
            }
            Sort::Partition => self.partition(dice),
            Sort::SlowDisk => self.slow_a_disk(dice),
            Sort::Clocks => self.turn_clocks(dice),
            Sort::Attack => {
                let attack = Attack::ALL[place(Attack::ALL.len(), dice)];
                let count = 10 + below(90, dice);
                self.attack(attack, count, dice);
            }
            Sort::VendorIds => self.alter_vendor_ids(dice),
            Sort::Transform => return self.begin_transform(settles, dice),
            Sort::Policy => return self.begin_policy(settles, dice),
            Sort::Signing => return self.begin_signing(settles, dice),
            Sort::Removal => return self.begin_removal(settles, dice),
            Sort::DiskLoss => return self.unsettle(Damage::Empty, tek_lifetime_s, span, dice),
            Sort::Reboot => return self.unsettle(Damage::Boot, tek_lifetime_s, span, dice),
            Sort::PowerCut => return self.cut_power(span, settles, dice),
            Sort::RollBack => {
                let old = [Damage::Minute, Damage::Hour][place(2, dice)];
                return self.unsettle(old, tek_lifetime_s, span, dice);
            }
        }
        if sort.lasts() {
            Course {
                lasts: span,
                settles,
            }
        } else {
            brief
        }
    }

    fn slow_a_disk(&mut self, dice: &mut SeededRng) {
        let id = self.victim(true, dice);
        let commit = Duration::from_millis(500 + below(3_000, dice));
        self.nodes[id].store.set_slow(Some(commit));
    }

    /// Everything is well again; boxes that are to come back of themselves still do.
    pub(crate) fn end_fault(&mut self) {
        self.network.heal();
        self.attacker.alter(None);
        for node in &mut self.nodes {
            node.trap = None;
            node.store.set_slow(None);
        }
        self.note(|_| "healed".into());
        self.survey();
    }

    /// Spans are short enough for the promise most often, and sometimes far too long.
    fn span(&self, dice: &mut SeededRng) -> Duration {
        let tolerated = self
            .reference
            .as_ref()
            .map_or(Duration::ZERO, |model| model.times().tolerated);
        let most_ms = match below(10, dice) {
            0 => 1_200_000,
            1..=3 => 120_000,
            _ => u64::try_from(tolerated.as_millis()).unwrap_or(1).max(1),
        };
        Duration::from_millis(below(most_ms, dice))
    }

    /// How long a group may need after a fault.
    pub(crate) fn recovery(&self) -> Duration {
        self.reference
            .as_ref()
            .map_or(Duration::ZERO, |model| model.times().recovery)
    }

    fn victim(&self, server: bool, dice: &mut SeededRng) -> NodeId {
        let boxes = if server { &self.servers } else { &self.members };
        boxes[place(boxes.len(), dice)]
    }

    fn excuse(&mut self, member: NodeId, lasts: Duration) {
        let end = self.now + lasts;
        if let Some(model) = &mut self.reference {
            model.excuse(member, end);
        }
    }

    fn excuse_all(&mut self, lasts: Duration) {
        let end = self.now + lasts;
        if let Some(model) = &mut self.reference {
            model.excuse_all(end);
        }
    }

    /// Types a line; a box that is down misses it, as it would. A change of the configuration is one
    /// that the box takes.
    pub(crate) fn order(&mut self, id: NodeId, line: &str) {
        self.note(|world| format!("{}# {line}", world.nodes[id].name));
        let said = self.type_line(id, line).unwrap_or_default();
        let refuses = |said: &str| said.starts_with('%') && !said.starts_with(PREVIEW);
        if line.starts_with("configure ") && said.lines().any(refuses) {
            let what = format!("{}: {line}: {said}", self.nodes[id].name);
            self.watch.violate(self.now, "an order is obeyed", &what);
        }
    }

    fn come_back(&mut self, id: NodeId, span: Duration) {
        self.later(span, crate::world::Happening::Restart { node: id });
    }

    fn order_rekey(&mut self, dice: &mut SeededRng) {
        let now = self.now;
        if let Some(model) = &mut self.reference {
            model.urgent_rekey(now);
        }
        let id = self.victim(true, dice);
        self.order(id, "crypto gdoi ks rekey");
    }

    fn set_trap(&mut self, down: Duration, dice: &mut SeededRng) {
        let id = self.victim(below(4, dice) > 0, dice);
        let boundary = Boundary::ALL[place(Boundary::ALL.len(), dice)];
        self.nodes[id].trap = Some(Trap {
            boundary,
            skip: u32::try_from(below(4, dice)).unwrap_or(0),
            down,
        });
        self.note(|world| format!("{} will die: {boundary:?}", world.nodes[id].name));
        // Half of the time an ordered rekey brings it there at once.
        if below(2, dice) == 0 {
            self.order_rekey(dice);
        }
    }

    /// Every direction of which `picked` says so suffers.
    fn suffer(&mut self, fault: &Fault, picked: impl Fn(NodeId, NodeId) -> bool) {
        let count = self.nodes.len();
        for from in 0..count {
            for to in 0..count {
                if from != to && picked(from, to) {
                    self.network.suffer(from, to, fault.clone());
                }
            }
        }
        self.survey();
    }

    fn lose_messages(&mut self, dice: &mut SeededRng) {
        let ppm = |most: u64, dice: &mut SeededRng| u32::try_from(below(most, dice)).unwrap_or(0);
        let fault = Fault {
            loss: 50_000 + ppm(600_000, dice),
            duplication: ppm(200_000, dice),
            delay: Duration::from_millis(below(400, dice)),
            ..Fault::default()
        };
        self.note(|_| format!("{fault:?}"));
        if below(3, dice) == 0 {
            self.suffer(&fault, |_, _| true);
        } else {
            let id = self.victim(below(2, dice) == 0, dice);
            let outward = below(2, dice) == 0;
            self.suffer(
                &fault,
                |from, to| if outward { from == id } else { to == id },
            );
        }
    }

    fn disorder(&mut self, dice: &mut SeededRng) {
        let held_back = if below(2, dice) == 0 { 0 } else { 100_000 };
        let fault = Fault {
            duplication: 200_000,
            late_copies: 300_000,
            held_back,
            ..Fault::default()
        };
        self.note(|_| format!("{fault:?}"));
        self.suffer(&fault, |_, _| true);
    }

    fn partition(&mut self, dice: &mut SeededRng) {
        let count = self.nodes.len();
        let servers = self.servers.clone();
        let side: Vec<bool> = (0..count).map(|_| below(2, dice) == 0).collect();
        let cut = Fault::cut();
        let lone = below(count as u64, dice);
        let lone = usize::try_from(lone).unwrap_or(0);
        let is_server = |id: NodeId| servers.contains(&id);
        let sort = below(if servers.len() > 1 { 6 } else { 4 }, dice);
        self.note(|_| format!("partition {sort}, {side:?}, {lone}"));
        match sort {
            // Two halves, members and key servers alike.
            0 => self.suffer(&cut, |a, b| side[a] != side[b]),
            // One box sends and hears nothing.
            1 => self.suffer(&cut, |a, b| a == lone || b == lone),
            // One direction of one box.
            2 => self.suffer(&cut, |a, _| a == lone),
            // Single pairs: A and C do not hear each other, B hears both.
            3 => self.suffer(&cut, |a, b| side[a] && !side[b] && (a + b) % 3 == 0),
            // The key servers only: members go on to reach all of them.
            4 => self.suffer(&cut, |a, b| {
                is_server(a) && is_server(b) && side[a] != side[b]
            }),
            // Every key server for itself.
            _ => self.suffer(&cut, |a, b| is_server(a) && is_server(b)),
        }
    }

    /// The key servers fall into two parts; half of the time the members with them.
    pub(crate) fn part_key_servers(&mut self, dice: &mut SeededRng) {
        let servers = self.servers.clone();
        let mut side: Vec<bool> = (0..self.nodes.len()).map(|_| below(2, dice) == 0).collect();
        if servers.iter().all(|id| side[*id] == side[servers[0]]) {
            side[servers[0]] = !side[servers[0]];
        }
        let members_too = below(2, dice) == 0;
        self.note(|_| format!("apart {side:?}, members too: {members_too}"));
        let is_server = |id: NodeId| servers.contains(&id);
        self.suffer(&Fault::cut(), |a, b| {
            side[a] != side[b] && (members_too || (is_server(a) && is_server(b)))
        });
    }

    fn turn_clocks(&mut self, dice: &mut SeededRng) {
        let now = self.now;
        for node in &mut self.nodes {
            let ppm = i32::try_from(below(401, dice)).unwrap_or(0) - 200;
            node.clock.drift(now, ppm);
            let days = i64::try_from(below(3, dice)).unwrap_or(0) - 1;
            node.clock.step_wall(days * 86_400_000);
        }
        for id in 0..self.nodes.len() {
            self.pump(id);
        }
    }

    fn alter_vendor_ids(&mut self, dice: &mut SeededRng) {
        let (member, server) = (self.victim(false, dice), self.victim(true, dice));
        let way = if below(2, dice) == 0 {
            (member, server)
        } else {
            (server, member)
        };
        self.attacker.alter(Some(way));
        self.excuse(member, Duration::ZERO);
        self.survey();
        // Only a new phase 1 meets the alteration.
        self.kill_node(member);
        self.come_back(member, Duration::from_secs(1));
    }

    /// A key server's disk or machine is not what it was. A group with one key server is unsettled
    /// by that until the members' keys have ended.
    fn unsettle(
        &mut self,
        damage: Damage,
        tek_lifetime_s: u32,
        span: Duration,
        dice: &mut SeededRng,
    ) -> Course {
        let id = self.victim(true, dice);
        let alone = self.servers.len() == 1;
        let span = span.min(Duration::from_secs(120)) + Duration::from_secs(1);
        let horizon = if alone {
            Duration::from_secs(2 * u64::from(tek_lifetime_s))
        } else {
            Duration::ZERO
        };
        if alone {
            self.excuse_all(span + horizon);
        }
        self.kill_node(id);
        self.damage(id, damage, dice);
        if alone && damage == Damage::Empty {
            self.watch.begin_epoch();
            // Its tombstones are gone with everything else.
            for member in self.watch.outsiders.forget() {
                if let Some(model) = &mut self.reference {
                    model.readmitted(self.now, member);
                }
            }
        }
        self.note(|world| format!("{} suffers {damage:?}", world.nodes[id].name));
        self.come_back(id, span);
        Course {
            lasts: span + Duration::from_secs(1),
            settles: self.recovery() + horizon,
        }
    }

    /// All key servers lose their power for the same span, and each boots as fast as it can.
    fn cut_power(&mut self, span: Duration, settles: Duration, dice: &mut SeededRng) -> Course {
        for id in self.servers.clone() {
            self.kill_node(id);
            let boots = span + Duration::from_millis(1_000 + below(BOOT_MS_MAX, dice));
            self.boot(id, self.now + boots, dice);
            self.come_back(id, boots);
        }
        self.note(|_| format!("no key server has power for {span:?}"));
        Course {
            lasts: span + Duration::from_millis(1_000 + BOOT_MS_MAX),
            settles,
        }
    }

    fn damage(&mut self, id: NodeId, damage: Damage, dice: &mut SeededRng) {
        let node = &mut self.nodes[id];
        match damage {
            Damage::Empty => node.store.lose(),
            Damage::Minute => drop(node.store.roll_back(Age::Minute)),
            Damage::Hour => drop(node.store.roll_back(Age::Hour)),
            Damage::Boot => self.boot(id, self.now, dice),
        }
    }

    /// A machine boots: its clock begins anew, some time before `at`.
    fn boot(&mut self, id: NodeId, at: Time, dice: &mut SeededRng) {
        let node = &mut self.nodes[id];
        let mut boot = [0; 16];
        crypto::Rng::fill(dice, &mut boot);
        node.boot = BootId(boot);
        let early = Time::from_secs(5 + below(60, dice));
        node.clock.restart(at, early);
    }

    /// An operator makes the rekey key where no key server has one any more.
    pub(crate) fn make_rekey_key(&mut self, line: &str) {
        let first = self.servers[0];
        self.order(first, line);
    }
}

/// A place in a list of so many.
pub(crate) fn place(count: usize, dice: &mut SeededRng) -> usize {
    usize::try_from(below(count.max(1) as u64, dice)).unwrap_or(0)
}

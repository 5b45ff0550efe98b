//! Members are removed and readmitted by operators, on one side of a split or on both.
//!
//! Decides whom, where and how. What a removed member may read is `outsider`'s to say, what the
//! others must not lose `reference`'s.

use std::time::Duration;

use crypto::SeededRng;
use gdoi::ks::Role;
use router::show::machines::Machines as _;

use crate::coop;
use crate::fault::{Course, place};
use crate::link::below;
use crate::node::{NodeId, WAN};
use crate::world::{Happening, VirtualWorld};

/// Members that are never removed: somebody must be left to talk.
const LEFT_MIN: usize = 2;
/// So many are out at once at most.
const OUT_MAX: usize = 2;
/// Key servers that do not hear each other have elected by then.
pub(crate) const SETTLED_APART: Duration = Duration::from_secs(75);
/// From an order until a key server dies, at most.
const DEATH_MAX_MS: u64 = 10_000;
/// ... and at least: until then an order is on disk, and the operator is answered.
const DEATH_MIN_MS: u64 = 50;
/// Until then another key server has heard of an order, through losses too.
const HEARD: Duration = Duration::from_secs(2);
/// How long it is dead, at most.
const DOWN_MAX_MS: u64 = 120_000;
/// From the order in a split until it is healed, at most.
const APART_MAX_S: u64 = 180;

impl VirtualWorld {
    /// One removal, readmission or clearing, drawn; sometimes a key server dies while it goes on.
    pub(crate) fn begin_removal(&mut self, recovery: Duration, dice: &mut SeededRng) -> Course {
        let dies = self.servers.len() > 1 && below(3, dice) == 0;
        let course = self.begin_order(recovery, dice);
        if !dies {
            return course;
        }
        // In a split the order comes when both sides have settled.
        let ordered = if course.lasts < SETTLED_APART {
            Duration::ZERO
        } else {
            SETTLED_APART
        };
        let after = ordered + Duration::from_millis(below(DEATH_MAX_MS, dice).max(DEATH_MIN_MS));
        let down = Duration::from_millis(below(DOWN_MAX_MS, dice));
        let node = self.servers[place(self.servers.len(), dice)];
        self.later(after, Happening::ServerDies { node, down });
        Course {
            lasts: course.lasts.max(after + down),
            ..course
        }
    }

    fn begin_order(&mut self, recovery: Duration, dice: &mut SeededRng) -> Course {
        let at_once = below(3, dice) == 0;
        let out: Vec<NodeId> = self.watch.outsiders.members().collect();
        let mut left = self.members.clone();
        left.retain(|member| !out.contains(member));
        let spare = left.len().saturating_sub(LEFT_MIN);
        let spare = spare.min(OUT_MAX.saturating_sub(out.len()));
        let several = self.servers.len() > 1;
        let brief = Course {
            lasts: Duration::from_secs(below(60, dice)),
            settles: recovery,
        };
        match below(6, dice) {
            0..=2 if !out.is_empty() => self.readmit(out[place(out.len(), dice)]),
            0 => self.recall(at_once),
            1..=3 if several && spare > 0 => {
                let members = self.draw_members(&mut left, spare, dice);
                self.part_key_servers(dice);
                let order = Happening::Remove { members, at_once };
                self.later(SETTLED_APART, order);
                let rest = Duration::from_millis(below(APART_MAX_S * 1_000, dice));
                return Course {
                    lasts: SETTLED_APART + rest,
                    settles: recovery,
                };
            }
            _ if spare > 0 => {
                let members = self.draw_members(&mut left, 1, dice);
                // Whether it waits for its own timer or asks at once, it is refused.
                if below(2, dice) == 0 {
                    let line = "clear crypto gdoi".to_owned();
                    let node = members[0];
                    let span = Duration::from_millis(below(30_000, dice));
                    self.later(span, Happening::Type { node, line });
                }
                self.remove(&members, at_once);
            }
            _ if !out.is_empty() => self.readmit(out[place(out.len(), dice)]),
            _ => self.recall(at_once),
        }
        brief
    }

    fn draw_members(
        &self,
        left: &mut Vec<NodeId>,
        count: usize,
        dice: &mut SeededRng,
    ) -> Vec<NodeId> {
        (0..count)
            .map(|_| left.remove(place(left.len(), dice)))
            .collect()
    }

    /// At the primary of every part of the key servers another one of these members is removed.
    pub(crate) fn remove(&mut self, members: &[NodeId], at_once: bool) {
        let primaries = self.primaries();
        self.ordered = (self.now, primaries.clone());
        for (primary, member) in primaries.into_iter().zip(members.iter().copied()) {
            let Some(address) = self.wan_address(member) else {
                continue;
            };
            let now_word = if at_once { " now" } else { "" };
            let line = format!("clear crypto gdoi ks members {address}{now_word}");
            self.order(primary, &line);
            if !self.refuses(primary, member) {
                let what = format!("{}: {line}", self.nodes[primary].name);
                self.watch.violate(self.now, "an order is obeyed", &what);
                continue;
            }
            let now = self.now;
            let Some(model) = &mut self.reference else {
                continue;
            };
            model.removed(now, member, at_once);
            let span = if at_once {
                Duration::ZERO
            } else {
                model.times().removal
            };
            self.watch
                .removed(&self.nodes[member].name, member, primary, now + span);
        }
    }

    /// Every member is to register again.
    fn recall(&mut self, at_once: bool) {
        let now_word = if at_once { " now" } else { "" };
        let line = format!("clear crypto gdoi ks members{now_word}");
        let primaries = self.primaries();
        self.ordered = (self.now, primaries.clone());
        for primary in primaries {
            self.order(primary, &line);
            if let Some(model) = &mut self.reference {
                model.recalled(self.now, at_once);
            }
        }
    }

    /// A key server dies: perhaps nobody else has heard what it was ordered.
    pub(crate) fn orders_die_with(&mut self, server: NodeId) {
        let (at, servers) = &self.ordered;
        let unheard = servers.contains(&server) && self.now.since(*at) < HEARD;
        if let Some(model) = self.reference.as_mut().filter(|_| unheard) {
            model.ordered_in_vain(self.now, server);
        }
    }

    fn readmit(&mut self, member: NodeId) {
        let Some(address) = self.wan_address(member) else {
            return;
        };
        for primary in self.primaries() {
            self.order(primary, &format!("crypto gdoi ks readmit {address}"));
            if self.refuses(primary, member) {
                let what = format!("{} still refuses {address}", self.nodes[primary].name);
                self.watch.violate(self.now, "an order is obeyed", &what);
            }
            self.watch.outsiders.readmit(member);
            if let Some(model) = &mut self.reference {
                model.readmitted(self.now, member);
            }
            // Nobody tells it: it would ask when the keys that it still holds end.
            self.order(member, "clear crypto gdoi");
        }
    }

    /// The primary of every part of the key servers that can hear each other.
    pub(crate) fn primaries(&self) -> Vec<NodeId> {
        let runs = |server: &NodeId| self.nodes[*server].running.is_some();
        let running: Vec<NodeId> = self.servers.iter().copied().filter(runs).collect();
        let network = &self.network;
        let joined = |a, b| network.passes(a, b) && network.passes(b, a);
        let parts = coop::components(&running, joined).into_iter();
        parts
            .filter_map(|part| part.into_iter().find(|server| self.leads(*server)))
            .collect()
    }

    /// Whether a key server that runs leads.
    pub(crate) fn leads(&self, server: NodeId) -> bool {
        let running = self.nodes[server].running.as_ref();
        let views = running.map(|own| own.router.key_servers());
        let view = views.iter().flatten().next();
        view.is_some_and(|view| {
            let coop = view.coop.as_ref();
            coop.is_none_or(|coop| coop.role == Role::Primary)
        })
    }

    /// Whether a key server says that it refuses a member.
    fn refuses(&self, server: NodeId, member: NodeId) -> bool {
        let address = self.wan_address(member);
        let running = self.nodes[server].running.as_ref();
        let views = running.map(|own| own.router.key_servers());
        let mut removed = views
            .iter()
            .flatten()
            .flat_map(|view| &view.removal.removed);
        removed.any(|(removed, _)| Some(*removed) == address)
    }

    /// Key servers that know of a removal refuse the member, whatever became of them since, and do
    /// not count it among their members.
    pub(crate) fn removed_members_are_out(&mut self) {
        let mut wrong = Vec::new();
        for &server in &self.servers {
            let Some(running) = &self.nodes[server].running else {
                continue;
            };
            let views = running.router.key_servers();
            for member in self.watch.outsiders.known_to(server) {
                let address = self.wan_address(member);
                let mut members = views.iter().flat_map(|view| &view.members);
                let counted = members.any(|own| Some(own.address) == address);
                if counted || !self.refuses(server, member) {
                    let [server, member] = [server, member].map(|id| &self.nodes[id].name);
                    wrong.push(format!("{server} has forgotten the removal of {member}"));
                }
            }
        }
        for what in wrong {
            self.watch
                .violate(self.now, "a removed member stays out", &what);
        }
    }

    /// The address from which a member registers.
    fn wan_address(&self, member: NodeId) -> Option<std::net::Ipv4Addr> {
        let interfaces = &self.nodes[member].interfaces;
        let wan = interfaces.iter().find(|one| one.name == WAN)?;
        wan.addresses.first().map(|(address, _)| *address)
    }
}

//! What is looked at now and then, beside what is watched at every step: contact, memory, clocks,
//! registrations, primaries.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::{Acl, ClockGeneration, PeerKind, Time};
use router::Input;
use router::show::machines::Machines as _;

use crate::coop;
use crate::node::NodeId;
use crate::reference::Reference;
use crate::watch::Held;
use crate::world::VirtualWorld;

impl VirtualWorld {
    /// Who can reach a key server has changed: the reference model is told.
    pub(crate) fn survey(&mut self) {
        // Who does not hear whoever leads gets its rekeys from the others, unless nobody knows that.
        let leaders: Vec<NodeId> = match self.is_blind {
            true => self
                .servers
                .iter()
                .copied()
                .filter(|id| self.leads(*id))
                .collect(),
            false => Vec::new(),
        };
        let Some(model) = &mut self.reference else {
            return;
        };
        for &member in &self.members {
            let hears = |server: &NodeId| {
                self.nodes[*server].running.is_some()
                    && self.network.is_good(member, *server)
                    && !self.attacker.is_between(member, *server)
            };
            let led = leaders.is_empty() || leaders.iter().any(hears);
            let reaches = led && self.servers.iter().any(hears);
            model.contact(self.now, member, reaches);
        }
        let runs = |server: &NodeId| self.nodes[*server].running.is_some();
        let running: Vec<NodeId> = self.servers.iter().copied().filter(runs).collect();
        let joined = |one, other| self.network.is_good(one, other);
        let agree = coop::components(&running, joined).len() <= 1;
        model.key_servers_agree(self.now, running, agree);
    }

    /// Looks into every box.
    pub(crate) fn look(&mut self, tbar_window_s: Option<u32>) {
        let now = self.now;
        let mut readings: BTreeMap<ClockGeneration, Vec<_>> = BTreeMap::new();
        for id in 0..self.nodes.len() {
            let serves = self.servers.contains(&id);
            let peers = if serves {
                self.nodes.len() - 1
            } else {
                self.servers.len()
            };
            let node = &mut self.nodes[id];
            let (local, wall) = (node.clock.local(now), node.clock.wall(now));
            let Some(running) = &mut node.running else {
                continue;
            };
            // Views are as of the last thing that happened to a box.
            let nothing = Input::Notices(Vec::new());
            running.router.handle(local, wall, nothing);
            let members = running.router.members();
            let servers = running.router.key_servers();
            let held = Held {
                peers,
                rows: node.store.len(),
                phase1: running.router.isakmp().rows.len(),
                teks: members.iter().map(|own| own.teks.len()).sum(),
                members: servers.iter().map(|own| own.members.len()).sum(),
            };
            let covered = self
                .reference
                .as_ref()
                .is_some_and(|model| model.covers(now, id));
            if let Some(own) = members.first().filter(|_| covered)
                && let Some(reading) = own.pseudotime
            {
                let clock = readings.entry(own.clock_generation).or_default();
                clock.push((node.name.clone(), reading));
            }
            self.watch.memory_is_bounded(now, &node.name, &held);
        }
        if let Some(window) = tbar_window_s {
            let window = Duration::from_secs(u64::from(window));
            for clock in readings.values() {
                self.watch.pseudotime_agrees(now, clock, window);
            }
        }
    }

    /// After a calm span every member that runs holds keys, and the policy that key servers name.
    pub(crate) fn members_are_registered(&mut self, calm: Duration) {
        for &id in &self.members {
            let node = &self.nodes[id];
            let Some(running) = &node.running else {
                continue;
            };
            if self.watch.outsiders.contains(id) {
                continue;
            }
            for view in running.router.members() {
                let held = !view.teks.is_empty() && view.merged_acl.is_some();
                if !held {
                    let failure = view.last_failure.unwrap_or_default();
                    let what = format!(
                        "{} is {} {calm:?} after the last fault: {failure}",
                        node.name, view.status
                    );
                    self.watch
                        .violate(self.now, "members register again", &what);
                } else if view.policy_stale {
                    let what = format!("{} {calm:?} after the last fault", node.name);
                    self.watch
                        .violate(self.now, "a policy that is named is fetched", &what);
                }
            }
        }
    }

    /// After a calm span every member within the promise reads the clock that key servers name, but
    /// for those of RFC 6407, to which nobody names it.
    pub(crate) fn one_clock(&mut self, calm: Duration) {
        let runs = |id: &NodeId| Some((*id, self.nodes[*id].running.as_ref()?));
        let servers = self.servers.iter().filter_map(runs);
        let named = servers.flat_map(|(_, running)| running.router.key_servers());
        let Some(newest) = named.map(|view| view.clock_generation).max() else {
            return;
        };
        let covered = |id| {
            let model = self.reference.as_ref();
            model.is_some_and(|model| model.covers(self.now, id))
        };
        let members = self.members.iter().filter_map(runs);
        let behind = members
            .filter(|(id, _)| covered(*id))
            .flat_map(|(id, running)| {
                running
                    .router
                    .members()
                    .into_iter()
                    .map(move |own| (id, own))
            })
            .filter(|(_, own)| own.server_kind == Some(PeerKind::Ours))
            .find(|(_, own)| !own.teks.is_empty() && own.clock_generation < newest);
        if let Some((id, own)) = behind {
            let (name, own) = (&self.nodes[id].name, own.clock_generation.0);
            let what = format!(
                "{name} is in {own} {calm:?} after the last fault, not in {}",
                newest.0
            );
            self.watch
                .violate(self.now, "a new clock is followed", &what);
        }
    }

    /// After a calm span all members within the promise have been told the same lines, those of RFC 6407
    /// too, to which nobody names the policy.
    pub(crate) fn one_access_list(&mut self, calm: Duration) {
        let model = self.reference.as_ref();
        let covered = |id: NodeId| model.is_some_and(|model| model.covers(self.now, id));
        let out = |id: NodeId| self.watch.outsiders.contains(id);
        let members = self.members.iter().copied();
        let told = members
            .filter(|id| covered(*id) && !out(*id))
            .flat_map(|id| {
                let running = self.nodes[id].running.as_ref();
                let views = running.map(|running| running.router.members());
                let views = views.into_iter().flatten();
                let held = views.filter(|view| !view.teks.is_empty());
                held.filter_map(move |view| Some((id, view.downloaded_acl?)))
            });
        let told: Vec<_> = told.collect();
        let other = told.first().and_then(|(one, acl)| {
            let mut others = told.iter();
            let (other, own) = others.find(|(_, own)| own.entries != acl.entries)?;
            Some(((one, acl), (other, own)))
        });
        if let Some(((one, acl), (other, own))) = other {
            let lines = |acl: &Acl| {
                let lines: Vec<String> = acl.entries.iter().map(ToString::to_string).collect();
                lines.join(", ")
            };
            let what = format!(
                "{calm:?} after the last fault {} is told {}, and {} {}",
                self.nodes[*one].name,
                lines(acl),
                self.nodes[*other].name,
                lines(own)
            );
            self.watch
                .violate(self.now, "one access list is told to all", &what);
        }
    }

    /// Word of removals goes from key server to key server.
    pub(crate) fn word_spreads(&mut self) {
        if self.watch.outsiders.is_empty() {
            return;
        }
        let Some(times) = self.reference.as_ref().map(Reference::times) else {
            return;
        };
        let runs = |server: &NodeId| self.nodes[*server].running.is_some();
        let running: Vec<NodeId> = self.servers.iter().copied().filter(runs).collect();
        let network = &self.network;
        let (now, all, recovery) = (self.now, self.servers.len(), times.recovery);
        let joined = |a, b| network.is_good(a, b);
        let outsiders = &mut self.watch.outsiders;
        outsiders.word_spreads(now, &running, all, joined, recovery);
    }

    /// Key servers that can reach each other agree on one primary. Groups with one key server, and
    /// boxes that show no cooperation, have none.
    pub(crate) fn one_primary_per_component(&mut self) {
        if self.servers.len() < 2 {
            return;
        }
        let running = |id: &NodeId| self.nodes[*id].running.is_some();
        let alive: Vec<NodeId> = self.servers.iter().copied().filter(running).collect();
        let network = &self.network;
        let joined = |a, b| network.passes(a, b) && network.passes(b, a);
        for component in coop::components(&alive, joined) {
            let mut primaries = Vec::new();
            let mut shown = 0;
            for id in &component {
                let text = self.type_line(*id, "show crypto gdoi ks coop | json");
                let role = text.ok().and_then(|text| coop::is_primary(&text));
                shown += usize::from(role.is_some());
                if role == Some(true) {
                    primaries.push(self.nodes[*id].name.clone());
                }
            }
            if shown == component.len() && primaries.len() != 1 {
                let what = format!("{} key servers have {primaries:?}", component.len());
                self.watch
                    .violate(self.now, "one primary per component", &what);
            }
        }
    }

    /// Forgets what only old keys need.
    pub(crate) fn forget_old(&mut self, tek_lifetime_s: u32) {
        let life = Duration::from_secs(2 * u64::from(tek_lifetime_s) + 600);
        self.watch.forget_idle_keys(self.now, life);
    }

    /// Virtual time in a form for people.
    pub(crate) fn clock_text(at: Time) -> String {
        let s = at.as_secs();
        format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide;
    use crate::link::Link;
    use crate::scenario::World as _;

    #[test]
    fn after_its_key_server_lost_its_disk_a_member_holds_only_keys_that_this_one_knows() {
        let mut world = guide::world(12, &Link::default()).unwrap();
        guide::boot(&mut world).unwrap();
        // The other key server would give it all back.
        world.kill("ks2").unwrap();
        world.run_until(Time::from_secs(4_000));
        let server = world.id("ks1").unwrap();
        world.kill_node(server);
        world.nodes[server].store.lose();
        world.start_node(server).unwrap();
        let key = "crypto key generate rsa label get modulus 2048";
        world.exec("ks1", key).unwrap();
        world.run_until(Time::from_secs(4_000 + 3_700));
        let spis = |world: &VirtualWorld, name: &str| -> Vec<u32> {
            let running = world.node(name).unwrap().running.as_ref().unwrap();
            let held = running
                .router
                .members()
                .into_iter()
                .flat_map(|own| own.teks);
            let minted = running.router.key_servers();
            let minted = minted.into_iter().flat_map(|own| own.teks);
            held.map(|tek| tek.spi.0)
                .chain(minted.map(|tek| tek.spi.0))
                .collect()
        };
        let minted = spis(&world, "ks1");
        for name in ["gm1", "gm2"] {
            let held = spis(&world, name);
            assert!(!held.is_empty(), "{name} came back");
            assert!(held.iter().all(|spi| minted.contains(spi)), "{name}");
        }
    }
}

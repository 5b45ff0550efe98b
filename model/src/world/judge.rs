//! What is judged after every step. Decides what is broken; what never may be is named in `world`.

use std::collections::BTreeSet;
use std::sync::Arc;

use gdoi::model::{Role, Server};
use policy::Time;

use super::World;
use crate::bounds::SETTLED;

impl World {
    pub(super) fn judge(&mut self) {
        if self.is_settled() {
            let parts = self.parts();
            let one_primary = parts.iter().all(|part| self.has_one_primary(part));
            let one_generation = parts.iter().all(|part| self.has_one_generation(part));
            self.broken |= u8::from(!one_primary) | u8::from(!one_generation) << 6;
        }
        if self.promises_packets() && self.loses_packets() {
            self.broken |= 1 << 3;
        }
        let dead = |server: &Arc<Server>| server.hands_out_dead_keys(self.now);
        if self.servers.iter().flatten().any(dead) {
            self.broken |= 1 << 4;
        }
    }

    fn is_settled(&self) -> bool {
        self.net.is_empty() && self.now.since(self.calm_since) >= SETTLED
    }

    /// The key servers that hear each other, directly or not.
    fn parts(&self) -> Vec<Vec<u8>> {
        let up = |place: &u8| self.servers[usize::from(*place)].is_some();
        let mut rest: Vec<u8> = (0..self.bounds.servers).filter(up).collect();
        let mut parts = Vec::new();
        while let Some(first) = rest.pop() {
            let mut part = vec![first];
            let mut at = 0;
            while at < part.len() {
                let here = part[at];
                let (near, far) = rest.iter().partition(|place| !self.is_cut(here, **place));
                rest = far;
                let near: Vec<u8> = near;
                part.extend(near);
                at += 1;
            }
            parts.push(part);
        }
        parts
    }

    fn has_one_primary(&self, part: &[u8]) -> bool {
        let leads = |place: &&u8| self.role(**place) == Some(Role::Primary);
        part.iter().filter(leads).count() == 1
    }

    fn has_one_generation(&self, part: &[u8]) -> bool {
        let servers = part.iter().map(|place| &self.servers[usize::from(*place)]);
        let known: BTreeSet<_> = servers.flatten().map(|ks| ks.generation()).collect();
        known.len() == 1
    }

    /// While members come for the keys after a removal, nothing is lost if nothing else goes wrong.
    fn promises_packets(&self) -> bool {
        let cleared = self.left.clears < self.bounds.clears;
        !cleared || self.bounds.faults - self.left.faults == 1
    }

    /// Whether what one member sends on now another one does not accept.
    fn loses_packets(&self) -> bool {
        let quiet = self.now < Time::ZERO + self.bounds.quiet;
        !quiet
            && self.members.iter().any(|from| {
                let Some(spi) = from.sends_on(self.now) else {
                    return true;
                };
                !self.members.iter().all(|to| to.accepts(spi))
            })
    }
}

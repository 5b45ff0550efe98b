//! The watch over a core: one capture per port, all tallied together. Decides that a look at the
//! core is a look at every port of it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Result;
use netio::testbed;

use crate::capture::{Record, Watch};
use crate::limits::{LOOK_AGAIN, WATCH_DELAY_MAX};
use crate::netns;
use crate::place::Place;
use crate::probe::Host;
use crate::sight::{Protected, Sight};
use crate::state::Lab;

/// Running captures on all ports of one node.
pub(crate) struct Core {
    watches: Vec<Watch>,
}

impl Core {
    /// Starts to watch every port of the node; `record` says which file a port gets, if any.
    pub(crate) fn watch(
        place: &Place,
        lab: &Lab,
        node: &str,
        hosts: &[Host],
        record: impl Fn(&str) -> Result<Option<Record>>,
    ) -> Result<Self> {
        let mut protected = Protected::default();
        for host in hosts {
            protected.hosts.extend(netns::inside(
                &host.namespace,
                || Ok(testbed::addresses()?),
            )?);
        }
        let namespace = place.open_namespace(node)?;
        let mut watches = Vec::new();
        for port in lab.ports(node) {
            let sight = Sight::of(protected.clone());
            watches.push(Watch::start(&namespace, port, sight, record(port)?)?);
        }
        Ok(Self { watches })
    }

    /// The SPIs of the latest ESP packets, each once, over all ways between two hosts.
    pub(crate) fn last_spis(&self) -> Vec<u32> {
        let mut all = BTreeSet::new();
        for watch in &self.watches {
            watch.look(|captured| all.extend(captured.sight.last_spi.values().copied()));
        }
        all.into_iter().collect()
    }

    /// ESP packets from a host so far; waits a little until there are `expected`, since the watch
    /// reads a moment behind.
    pub(crate) fn esp_from(&self, host: Ipv4Addr, expected: u64) -> u64 {
        let until = Instant::now() + WATCH_DELAY_MAX;
        loop {
            let seen = self
                .watches
                .iter()
                .map(|watch| watch.look(|c| c.sight.esp_from(host)))
                .sum();
            if seen >= expected || Instant::now() > until {
                return seen;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Ends the watch: what all ports saw, and how many frames the kernel had no room for.
    pub(crate) fn finish(self) -> Result<(Sight, u64)> {
        let mut sight = Sight::default();
        let mut dropped = 0;
        for watch in self.watches {
            let captured = watch.finish()?;
            sight.join(captured.sight);
            dropped += captured.dropped;
        }
        Ok((sight, dropped))
    }
}

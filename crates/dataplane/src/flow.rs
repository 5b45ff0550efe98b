//! The flow cache: the verdicts of recent IPv4 flows, in front of the access lists.
//!
//! Decides nothing: a verdict is found here only if the classifier gave it for the same flow under
//! the same state of the policies. IPv6 flows are judged anew each time.

use crate::InterfaceId;
use crate::limits::{FLOW_SETS, FLOW_WAYS};
use crate::packet::{Flow, Ipv4};

/// What is cached: three words that the classifier packs and unpacks.
pub(crate) type Packed = [u32; 3];

/// Which way a packet goes: the two are judged apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Outbound,
    Inbound,
}

#[derive(Copy, Clone, Default)]
struct Entry {
    key: [u64; 2],
    stamp: u32,
    verdict: Packed,
}

/// The cache of a worker: sets of four, the oldest way replaced in turn.
pub(crate) struct FlowCache {
    entries: Vec<Entry>,
    victim: u8,
    stamp: u32,
    generation: (u64, u64),
}

impl FlowCache {
    pub(crate) fn new() -> Self {
        Self {
            entries: vec![Entry::default(); FLOW_SETS * FLOW_WAYS],
            victim: 0,
            stamp: 1,
            generation: (0, 0),
        }
    }

    /// Forgets everything if the policies are not those of `generation`.
    pub(crate) fn turn_to(&mut self, generation: (u64, u64)) {
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.entries.fill(Entry::default());
            self.stamp = 1;
        }
    }

    #[inline]
    fn key(interface: InterfaceId, way: Way, ip: &Ipv4) -> [u64; 2] {
        let mut words = ip.words();
        words[1] |= u64::from(way == Way::Inbound) << 9 | u64::from(interface.0) << 16;
        words
    }

    #[inline]
    fn set_of([low, high]: [u64; 2]) -> usize {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let hash = (low.wrapping_mul(ODD).rotate_left(29) ^ high).wrapping_mul(ODD);
        (hash >> 40) as usize % FLOW_SETS * FLOW_WAYS
    }

    /// The verdict of the flow: from here, or from `judge` and then kept.
    pub(crate) fn verdict(
        &mut self,
        interface: InterfaceId,
        way: Way,
        ip: &Ipv4,
        judge: impl FnOnce(&Flow) -> Packed,
    ) -> Packed {
        let key = Self::key(interface, way, ip);
        let set = Self::set_of(key);
        let entries = &mut self.entries[set..set + FLOW_WAYS];
        if let Some(entry) = entries
            .iter()
            .find(|entry| entry.key == key && entry.stamp == self.stamp)
        {
            return entry.verdict;
        }
        let verdict = judge(&ip.flow());
        let stale = entries.iter().position(|entry| entry.stamp != self.stamp);
        self.victim = self.victim.wrapping_add(1);
        let place = stale.unwrap_or_else(|| usize::from(self.victim) % FLOW_WAYS);
        entries[place] = Entry {
            key,
            stamp: self.stamp,
            verdict,
        };
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ip::{Ipv4Header, Protocol};

    fn packet(host: u32, offset: usize) -> Ipv4 {
        let header = Ipv4Header {
            fragment_offset: offset,
            ..Ipv4Header::new(host.into(), [10, 0, 0, 1].into(), Protocol::UDP, 0)
        };
        Ipv4::read(&header.packet(&[0, 1, 0, 2, 0, 8, 0, 0])).unwrap()
    }

    fn flow(host: u32) -> Ipv4 {
        packet(host, 0)
    }

    fn ask(cache: &mut FlowCache, way: Way, ip: &Ipv4, fresh: u32) -> u32 {
        cache.verdict(InterfaceId::FIRST, way, ip, |_| [fresh, 0, 0])[0]
    }

    #[test]
    fn a_verdict_is_found_again_until_the_policies_change() {
        let mut cache = FlowCache::new();
        cache.turn_to((1, 0));
        assert_eq!(ask(&mut cache, Way::Outbound, &flow(1), 7), 7);
        assert_eq!(ask(&mut cache, Way::Outbound, &flow(1), 8), 7);
        assert_eq!(ask(&mut cache, Way::Inbound, &flow(1), 8), 8);
        let hidden = packet(1, 8);
        assert_eq!(ask(&mut cache, Way::Outbound, &hidden, 9), 9);
        cache.turn_to((1, 0));
        assert_eq!(ask(&mut cache, Way::Outbound, &flow(1), 10), 7);
        cache.turn_to((1, 1));
        assert_eq!(ask(&mut cache, Way::Outbound, &flow(1), 10), 10);
    }

    #[test]
    fn more_flows_than_entries_only_cost_time() {
        let mut cache = FlowCache::new();
        let hosts = (FLOW_SETS * FLOW_WAYS * 3) as u32;
        for round in 0..2 {
            for host in 0..hosts {
                let got = ask(&mut cache, Way::Outbound, &flow(host), host);
                assert_eq!(got, host, "round {round}");
            }
        }
    }
}

//! How many negotiations strangers may hold open, and whose place a new one takes.
//!
//! An address in a datagram is free to forge until message 3 brings our cookie back. So a flood
//! under a peer's address must not lock that peer out: a new negotiation is never refused in favour
//! of older ones of its own address, but takes the place of a random one that still waits for
//! message 3. It decides on places only; what a negotiation is, it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::api::SaId;
use crate::limits::{HALF_OPEN_MAX, HALF_OPEN_PER_SOURCE_MAX, KEYED_PER_SOURCE_MAX};

/// The negotiations of one address.
#[derive(Default)]
struct Source {
    /// Those that wait for message 3.
    waiting: Vec<SaId>,
    /// Those that wait for message 5, each paid for with a Diffie-Hellman exchange.
    keyed: usize,
}

/// The places of half-open negotiations that peers began.
#[derive(Default)]
pub(super) struct HalfOpen {
    sources: BTreeMap<Ipv4Addr, Source>,
    /// All that wait for message 3.
    waiting: BTreeSet<SaId>,
    total: usize,
}

/// Whether there is a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is.
    Free,
    /// If this one goes.
    Of(SaId),
    /// There is none.
    None,
}

impl HalfOpen {
    /// The place for one more negotiation of `peer`; `random` picks whose.
    pub(super) fn place(&self, peer: Ipv4Addr, random: u32) -> Place {
        let own = self.sources.get(&peer);
        let waiting = own.map_or(&[][..], |source| &source.waiting);
        if waiting.len() < HALF_OPEN_PER_SOURCE_MAX && self.total < HALF_OPEN_MAX {
            return Place::Free;
        }
        if waiting.len() >= HALF_OPEN_PER_SOURCE_MAX {
            return Place::Of(waiting[random as usize % waiting.len()]);
        }
        // The table is full. A random one goes, so most likely one of who holds most.
        let (Some(first), Some(last)) = (self.waiting.first(), self.waiting.last()) else {
            return Place::None;
        };
        let from = SaId(first.0 + u64::from(random) % (last.0 - first.0 + 1));
        self.waiting
            .range(from..)
            .next()
            .map_or(Place::None, |id| Place::Of(*id))
    }

    /// A negotiation waits for message 3.
    pub(super) fn waits(&mut self, peer: Ipv4Addr, id: SaId) {
        self.sources.entry(peer).or_default().waiting.push(id);
        self.waiting.insert(id);
        self.total += 1;
    }

    /// Whether one more of this address may be keyed.
    pub(super) fn may_key(&self, peer: Ipv4Addr) -> bool {
        self.sources
            .get(&peer)
            .is_none_or(|source| source.keyed < KEYED_PER_SOURCE_MAX)
    }

    /// Message 3 came: the address is real, and its place is paid for.
    pub(super) fn keyed(&mut self, peer: Ipv4Addr, id: SaId) {
        self.waiting.remove(&id);
        if let Some(source) = self.sources.get_mut(&peer) {
            source.waiting.retain(|waiting| *waiting != id);
            source.keyed += 1;
        }
    }

    /// A negotiation is no longer half open.
    pub(super) fn ends(&mut self, peer: Ipv4Addr, id: SaId) {
        let Some(source) = self.sources.get_mut(&peer) else {
            return;
        };
        self.waiting.remove(&id);
        let before = source.waiting.len();
        source.waiting.retain(|waiting| *waiting != id);
        if source.waiting.len() == before {
            source.keyed = source.keyed.saturating_sub(1);
        }
        self.total = self.total.saturating_sub(1);
        if source.waiting.is_empty() && source.keyed == 0 {
            self.sources.remove(&peer);
        }
    }

    /// How many have come to message 3.
    pub(super) fn keyed_len(&self) -> usize {
        self.total.saturating_sub(self.waiting.len())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Ipv4Addr = Ipv4Addr::new(10, 1, 20, 2);

    #[test]
    fn a_new_negotiation_takes_a_random_place_of_its_own_address() {
        let mut half_open = HalfOpen::default();
        for id in 0..HALF_OPEN_PER_SOURCE_MAX as u64 {
            assert_eq!(half_open.place(PEER, 7), Place::Free);
            half_open.waits(PEER, SaId(id));
        }
        assert_eq!(half_open.place(PEER, 7), Place::Of(SaId(7)));
        assert_eq!(half_open.place(Ipv4Addr::new(10, 1, 21, 2), 7), Place::Free);
    }

    #[test]
    fn a_full_table_gives_a_random_place_away() {
        let mut half_open = HalfOpen::default();
        let mut id = 0;
        for address in 0..HALF_OPEN_MAX / HALF_OPEN_PER_SOURCE_MAX {
            let peer = Ipv4Addr::from(0x0a00_0000 + u32::try_from(address).unwrap());
            for _ in 0..HALF_OPEN_PER_SOURCE_MAX {
                half_open.waits(peer, SaId(id));
                id += 1;
            }
        }
        assert_eq!(half_open.len(), HALF_OPEN_MAX);
        assert!(matches!(half_open.place(PEER, 3), Place::Of(_)));
    }

    #[test]
    fn a_negotiation_with_keys_keeps_its_place_and_counts_once() {
        let mut half_open = HalfOpen::default();
        for id in 0..KEYED_PER_SOURCE_MAX as u64 {
            half_open.waits(PEER, SaId(id));
            assert!(half_open.may_key(PEER));
            half_open.keyed(PEER, SaId(id));
        }
        assert!(!half_open.may_key(PEER));
        for id in 0..KEYED_PER_SOURCE_MAX as u64 {
            half_open.ends(PEER, SaId(id));
        }
        assert!(half_open.may_key(PEER));
        assert_eq!((half_open.len(), half_open.sources.len()), (0, 0));
    }
}

//! Which inbound clear packets are suspect: a small superset of what a group policy encrypts.
//!
//! Decides no packet's fate: suspects go to the forwarder, whose access list gives the exact
//! verdict. A superset is enough, and must be one: what is not suspect is never looked at again.

use std::net::Ipv4Addr;

use super::limits::RANGES_MAX;
use crate::acl::{Ace, Action, AddressMatch};

/// Addresses from `first` to `last`, both included.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The lowest address.
    pub first: Ipv4Addr,
    /// The highest address.
    pub last: Ipv4Addr,
}

/// Inbound packets that the forwarder must see although they are in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    /// Suspect if source and destination are both in here.
    pub(super) both: Vec<Range>,
    /// Suspect if source or destination is in here.
    pub(super) either: Vec<Range>,
    /// Every IPv4 packet is suspect.
    pub(super) all_v4: bool,
    /// Every IPv6 packet is suspect.
    pub(super) all_v6: bool,
}

impl Protected {
    /// Nothing is suspect.
    pub const NONE: Self = Self {
        both: Vec::new(),
        either: Vec::new(),
        all_v4: false,
        all_v6: false,
    };

    /// Everything is suspect: nothing is known yet, or the policy names everything.
    pub const ALL: Self = Self {
        both: Vec::new(),
        either: Vec::new(),
        all_v4: true,
        all_v6: true,
    };

    /// A superset of what the permits among `entries` name, in either direction.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Ace>) -> Self {
        let mut all = Self::NONE;
        for entry in entries {
            if entry.action == Action::Permit {
                all.add(entry);
            }
        }
        all.both = summarise(all.both, RANGES_MAX);
        let left = RANGES_MAX - all.both.len();
        all.either = summarise(all.either, left.max(1));
        all
    }

    fn add(&mut self, entry: &Ace) {
        let range = |match_: &AddressMatch| match match_ {
            AddressMatch::V4 { address, wildcard } => Some(Range {
                first: *address,
                last: Ipv4Addr::from_bits(address.to_bits() | wildcard.to_bits()),
            }),
            AddressMatch::Any | AddressMatch::V6 { .. } => None,
        };
        match (&entry.source, &entry.destination) {
            (AddressMatch::Any, AddressMatch::Any) => (self.all_v4, self.all_v6) = (true, true),
            // IPv6 prefixes are not told apart: a policy that names one makes all IPv6 suspect.
            (AddressMatch::V6 { .. }, _) | (_, AddressMatch::V6 { .. }) => self.all_v6 = true,
            (AddressMatch::V4 { .. }, AddressMatch::V4 { .. }) => {
                self.both.extend(range(&entry.source));
                self.both.extend(range(&entry.destination));
            }
            (AddressMatch::V4 { .. }, AddressMatch::Any) => {
                self.either.extend(range(&entry.source));
            }
            (AddressMatch::Any, AddressMatch::V4 { .. }) => {
                self.either.extend(range(&entry.destination));
            }
        }
    }

    /// Whether an IPv4 packet with these addresses is suspect.
    #[must_use]
    pub fn suspects(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let within = |ranges: &[Range], address: Ipv4Addr| {
            ranges
                .iter()
                .any(|range| (range.first..=range.last).contains(&address))
        };
        self.all_v4
            || within(&self.both, source) && within(&self.both, destination)
            || within(&self.either, source)
            || within(&self.either, destination)
    }
}

/// Sorted, disjoint, not adjacent, and at most `most` (at least 1): the smallest gaps are closed
/// first, which only ever adds addresses.
fn summarise(mut ranges: Vec<Range>, most: usize) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(before) if range.first.to_bits() <= before.last.to_bits().saturating_add(1) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    if merged.len() <= most {
        return merged;
    }
    let gap = |pair: &[Range]| pair[1].first.to_bits() - pair[0].last.to_bits();
    let mut gaps: Vec<(u32, usize)> = merged
        .windows(2)
        .map(gap)
        .enumerate()
        .map(|(place, gap)| (gap, place))
        .collect();
    gaps.sort_unstable();
    gaps.truncate(merged.len() - most);
    let mut close = vec![false; merged.len()];
    for (_, place) in gaps {
        close[place] = true;
    }
    let mut few: Vec<Range> = Vec::with_capacity(most);
    for (place, range) in merged.into_iter().enumerate() {
        match few.last_mut() {
            Some(before) if place > 0 && close[place - 1] => before.last = range.last,
            _ => few.push(range),
        }
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: [u8; 4], last: [u8; 4]) -> Range {
        Range {
            first: first.into(),
            last: last.into(),
        }
    }

    #[test]
    fn overlapping_and_adjacent_ranges_become_one() {
        let ranges = vec![
            range([10, 0, 1, 0], [10, 0, 1, 255]),
            range([10, 0, 0, 0], [10, 0, 0, 255]),
            range([10, 0, 1, 7], [10, 0, 1, 9]),
            range([10, 9, 0, 0], [10, 9, 0, 0]),
            range([255, 0, 0, 0], [255, 255, 255, 255]),
        ];
        assert_eq!(
            summarise(ranges, 9),
            [
                range([10, 0, 0, 0], [10, 0, 1, 255]),
                range([10, 9, 0, 0], [10, 9, 0, 0]),
                range([255, 0, 0, 0], [255, 255, 255, 255]),
            ]
        );
    }

    #[test]
    fn too_many_ranges_close_their_smallest_gaps_and_lose_no_address() {
        let ranges: Vec<Range> = (0..2_000u32)
            .map(|n| {
                let at = Ipv4Addr::from_bits(0x0a00_0000 + n * n);
                Range {
                    first: at,
                    last: at,
                }
            })
            .collect();
        let few = summarise(ranges.clone(), 500);
        assert_eq!(few.len(), 500);
        assert!(few.is_sorted());
        for old in ranges {
            assert!(
                few.iter()
                    .any(|new| new.first <= old.first && old.last <= new.last)
            );
        }
        assert_eq!(few[499].first.to_bits(), 0x0a00_0000 + 1_999 * 1_999);
    }

    #[test]
    fn every_packet_that_a_permit_names_is_suspect_in_both_directions() {
        let net = |a, b| AddressMatch::v4([a, b, 0, 0].into(), [0, 0, 255, 255].into());
        let permit = |source, destination| Ace {
            source,
            destination,
            ..Ace::PERMIT_IP_ANY_ANY
        };
        let protected = Protected::of(&[
            permit(net(192, 168), net(192, 168)),
            permit(net(10, 7), AddressMatch::Any),
            Ace {
                action: Action::Deny,
                ..permit(net(10, 8), AddressMatch::Any)
            },
        ]);
        let suspect = |source: [u8; 4], destination: [u8; 4]| {
            let forward = protected.suspects(source.into(), destination.into());
            assert_eq!(
                forward,
                protected.suspects(destination.into(), source.into())
            );
            forward
        };
        assert!(suspect([192, 168, 1, 1], [192, 168, 2, 2]));
        assert!(!suspect([192, 168, 1, 1], [8, 8, 8, 8]));
        assert!(suspect([10, 7, 1, 1], [8, 8, 8, 8]));
        assert!(!suspect([10, 8, 1, 1], [8, 8, 8, 8]));
        assert_eq!(Protected::of(&[Ace::PERMIT_IP_ANY_ANY]), Protected::ALL);
        assert_eq!(Protected::of(&[]), Protected::NONE);
    }
}

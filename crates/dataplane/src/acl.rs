//! The compiled access list: the same answers as [`Acl::first_match`], fast for long lists.
//!
//! Decides which entry is the first to name a flow, not what that means. A short list is searched
//! entry by entry. A long one is a tuple space: entries with the same masks share a hash table, the
//! tables are asked in the order of their first entry, and a table whose first entry comes after the
//! best match so far ends the search. Every candidate is checked by [`Ace::matches`] itself, so a
//! hash collision costs time and never a wrong answer.
//!
//! A later fragment shows no ports. For it a permit that names ports counts as if it named none
//! ([`Compiled::first_match`] with `ports_hidden`): what may belong to a flow that must be encrypted
//! is encrypted, as IOS lets a permit entry with ports take later fragments along.

use std::net::IpAddr;
use std::sync::Arc;

use policy::{Ace, Acl, Action, AddressMatch, FlowKey, PortMatch};

use crate::limits::LINEAR_ENTRIES_MAX;
use crate::packet::Flow;

/// An access list, ready to be asked for every packet.
#[derive(Clone)]
pub(crate) struct Compiled {
    shown: Matcher,
    /// The list for packets that hide their ports, where it differs.
    hidden: Option<Matcher>,
}

impl Compiled {
    pub(crate) fn new(acl: Arc<Acl>) -> Self {
        Self::with_limit(acl, LINEAR_ENTRIES_MAX)
    }

    fn with_limit(acl: Arc<Acl>, linear_max: usize) -> Self {
        let names_ports = |ace: &Ace| {
            ace.action == Action::Permit
                && (ace.source_port != PortMatch::Any || ace.destination_port != PortMatch::Any)
        };
        let hidden = acl.entries.iter().any(names_ports).then(|| {
            let mut widened = Acl::clone(&acl);
            for ace in widened.entries.iter_mut().filter(|ace| names_ports(ace)) {
                ace.source_port = PortMatch::Any;
                ace.destination_port = PortMatch::Any;
            }
            Matcher::new(Arc::new(widened), linear_max)
        });
        Self {
            shown: Matcher::new(acl, linear_max),
            hidden,
        }
    }

    /// The place and action of the first entry that names the flow.
    pub(crate) fn first_match(&self, flow: &Flow) -> Option<(usize, Action)> {
        match &self.hidden {
            Some(hidden) if flow.ports_hidden => hidden.first_match(&flow.key),
            Some(_) | None => self.shown.first_match(&flow.key),
        }
    }
}

#[derive(Clone)]
struct Matcher {
    acl: Arc<Acl>,
    /// Empty for a short list.
    tuples: Vec<Tuple>,
}

impl Matcher {
    fn new(acl: Arc<Acl>, linear_max: usize) -> Self {
        let tuples = if acl.entries.len() > linear_max {
            tuples_of(&acl.entries)
        } else {
            Vec::new()
        };
        Self { acl, tuples }
    }

    fn first_match(&self, key: &FlowKey) -> Option<(usize, Action)> {
        if self.tuples.is_empty() {
            return self
                .acl
                .first_match(key)
                .map(|(place, ace)| (place, ace.action));
        }
        let mut best = self.acl.entries.len();
        for tuple in &self.tuples {
            if tuple.first >= best {
                break;
            }
            let candidates = tuple.candidates(key);
            if let Some(&place) = candidates
                .iter()
                .take_while(|&&place| (place as usize) < best)
                .find(|&&place| self.acl.entries[place as usize].matches(key))
            {
                best = place as usize;
            }
        }
        self.acl.entries.get(best).map(|ace| (best, ace.action))
    }
}

/// What the entries of one hash table have in common: which bits of a flow they look at exactly.
/// Ports that are not named exactly are left to the check of the candidate.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    source_mask: u128,
    destination_mask: u128,
    source_family: Family,
    destination_family: Family,
    protocol: bool,
    source_port: bool,
    destination_port: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Any,
    V4,
    V6,
}

impl Shape {
    fn of(ace: &Ace) -> Self {
        let side = |side: &AddressMatch| match side {
            AddressMatch::Any => (Family::Any, 0),
            AddressMatch::V4 { wildcard, .. } => (Family::V4, u128::from(!wildcard.to_bits())),
            AddressMatch::V6 { length, .. } => (
                Family::V6,
                u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0),
            ),
        };
        let (source_family, source_mask) = side(&ace.source);
        let (destination_family, destination_mask) = side(&ace.destination);
        Self {
            source_mask,
            destination_mask,
            source_family,
            destination_family,
            protocol: ace.protocol.is_some(),
            source_port: matches!(ace.source_port, PortMatch::Eq(_)),
            destination_port: matches!(ace.destination_port, PortMatch::Eq(_)),
        }
    }

    /// The hash of what this shape looks at.
    fn hash(&self, parts: &Parts) -> u64 {
        let mut hash = Hash(0);
        hash.add(parts.source & self.source_mask);
        hash.add(parts.destination & self.destination_mask);
        let port = |looked_at: bool, port: u16| if looked_at { u128::from(port) } else { 0 };
        hash.add(
            port(self.source_port, parts.source_port)
                | port(self.destination_port, parts.destination_port) << 16
                | u128::from(if self.protocol { parts.protocol } else { 0 }) << 32,
        );
        hash.0
    }
}

/// A flow, or the exact side of an entry, as numbers.
struct Parts {
    source: u128,
    destination: u128,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

impl Parts {
    fn of_flow(key: &FlowKey) -> Self {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        Self {
            source: number(key.source),
            destination: number(key.destination),
            protocol: key.protocol,
            source_port: key.source_port.unwrap_or(0),
            destination_port: key.destination_port.unwrap_or(0),
        }
    }

    fn of_entry(ace: &Ace) -> Self {
        let number = |side: &AddressMatch| match side {
            AddressMatch::Any => 0,
            AddressMatch::V4 { address, .. } => u128::from(address.to_bits()),
            AddressMatch::V6 { prefix, .. } => prefix.to_bits(),
        };
        let port = |port: &PortMatch| match port {
            PortMatch::Eq(port) => *port,
            PortMatch::Any
            | PortMatch::Neq(_)
            | PortMatch::Lt(_)
            | PortMatch::Gt(_)
            | PortMatch::Range(..) => 0,
        };
        Self {
            source: number(&ace.source),
            destination: number(&ace.destination),
            protocol: ace.protocol.unwrap_or(0),
            source_port: port(&ace.source_port),
            destination_port: port(&ace.destination_port),
        }
    }
}

/// A multiplicative hash. The keys are the operator's own policy and the values are checked, so it
/// need not withstand an attacker.
struct Hash(u64);

impl Hash {
    fn add(&mut self, value: u128) {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        for half in [value as u64, (value >> 64) as u64] {
            self.0 = (self.0.rotate_left(5) ^ half).wrapping_mul(ODD);
            self.0 ^= self.0 >> 32;
        }
    }
}

/// The entries of one shape: buckets of places, each in ascending order.
#[derive(Clone)]
struct Tuple {
    shape: Shape,
    first: usize,
    /// Where each bucket begins in `places`, with the end after the last; a power of two plus one.
    begins: Box<[u32]>,
    places: Box<[u32]>,
}

impl Tuple {
    fn new(shape: Shape, entries: &[Ace], members: &[u32]) -> Self {
        let buckets = members.len().next_power_of_two();
        let bucket_of = |place: u32| {
            (shape.hash(&Parts::of_entry(&entries[place as usize])) as usize) & (buckets - 1)
        };
        let mut sorted: Vec<(usize, u32)> = members
            .iter()
            .map(|&place| (bucket_of(place), place))
            .collect();
        sorted.sort_unstable();
        let begins = (0..=buckets)
            .map(|bucket| sorted.partition_point(|(own, _)| *own < bucket) as u32)
            .collect();
        Self {
            shape,
            first: members.first().map_or(0, |&place| place as usize),
            begins,
            places: sorted.into_iter().map(|(_, place)| place).collect(),
        }
    }

    fn candidates(&self, key: &FlowKey) -> &[u32] {
        let buckets = self.begins.len() - 1;
        let bucket = (self.shape.hash(&Parts::of_flow(key)) as usize) & (buckets - 1);
        &self.places[self.begins[bucket] as usize..self.begins[bucket + 1] as usize]
    }
}

/// The tables of a list, in the order of their first entries.
fn tuples_of(entries: &[Ace]) -> Vec<Tuple> {
    let mut members: std::collections::BTreeMap<Shape, Vec<u32>> =
        std::collections::BTreeMap::new();
    for (place, ace) in (0_u32..).zip(entries) {
        members.entry(Shape::of(ace)).or_default().push(place);
    }
    let mut tuples: Vec<Tuple> = members
        .into_iter()
        .map(|(shape, members)| Tuple::new(shape, entries, &members))
        .collect();
    tuples.sort_unstable_by_key(|tuple| tuple.first);
    tuples
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn address() -> impl Strategy<Value = AddressMatch> {
        prop_oneof![
            Just(AddressMatch::Any),
            (
                0_u8..4,
                0_u8..4,
                prop_oneof![Just(0_u32), Just(0xFF), Just(0xFFFF), Just(0xFF01)]
            )
                .prop_map(|(c, d, wildcard)| AddressMatch::v4(
                    Ipv4Addr::new(10, 0, c, d),
                    Ipv4Addr::from_bits(wildcard)
                )),
            (0_u16..4, prop_oneof![Just(0_u8), Just(64), Just(128)]).prop_map(|(h, length)| {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                AddressMatch::V6 {
                    prefix: Ipv6Addr::from_bits(u128::from(h) & mask),
                    length,
                }
            }),
        ]
    }

    fn ports() -> impl Strategy<Value = PortMatch> {
        prop_oneof![
            3 => Just(PortMatch::Any),
            2 => (0_u16..4).prop_map(PortMatch::Eq),
            1 => (0_u16..4).prop_map(PortMatch::Neq),
            1 => (0_u16..4).prop_map(PortMatch::Lt),
            1 => (0_u16..4).prop_map(PortMatch::Gt),
            1 => (0_u16..4, 0_u16..4).prop_map(|(a, b)| PortMatch::Range(a, b)),
        ]
    }

    fn entry() -> impl Strategy<Value = Ace> {
        (
            any::<bool>(),
            prop_oneof![Just(None), Just(Some(6)), Just(Some(17)), Just(Some(0))],
            (address(), ports()),
            (address(), ports()),
        )
            .prop_map(
                |(permit, protocol, (source, source_port), (destination, destination_port))| Ace {
                    action: if permit { Action::Permit } else { Action::Deny },
                    protocol,
                    source,
                    source_port,
                    destination,
                    destination_port,
                },
            )
    }

    fn flow() -> impl Strategy<Value = FlowKey> {
        let v4 = || (0_u8..4, 0_u8..4).prop_map(|(c, d)| IpAddr::from([10, 0, c, d]));
        let v6 = || (0_u128..4).prop_map(|h| IpAddr::V6(Ipv6Addr::from_bits(h)));
        let port = || prop_oneof![Just(None), (0_u16..5).prop_map(Some)];
        (
            prop_oneof![3 => (v4(), v4()), 1 => (v6(), v6())],
            prop_oneof![Just(6_u8), Just(17), Just(1), Just(0)],
            (port(), port()),
        )
            .prop_map(
                |((source, destination), protocol, (source_port, destination_port))| FlowKey {
                    source,
                    destination,
                    protocol,
                    source_port,
                    destination_port,
                },
            )
    }

    proptest! {
        #[test]
        fn tuples_answer_exactly_as_the_list(
            entries in prop::collection::vec(entry(), 1..60),
            flows in prop::collection::vec(flow(), 1..40),
        ) {
            let acl = Arc::new(Acl { name: "A".into(), entries });
            for limit in [0, 1_000] {
                let compiled = Compiled::with_limit(Arc::clone(&acl), limit);
                for key in &flows {
                    let expected = acl.first_match(key).map(|(place, ace)| (place, ace.action));
                    let shown = Flow { key: *key, ports_hidden: false };
                    prop_assert_eq!(compiled.first_match(&shown), expected);
                }
            }
        }

        #[test]
        fn a_flow_with_hidden_ports_is_encrypted_if_any_ports_would_be(
            entries in prop::collection::vec(entry(), 1..20),
            key in flow(),
        ) {
            let acl = Arc::new(Acl { name: "A".into(), entries });
            let hidden = FlowKey { source_port: None, destination_port: None, ..key };
            let compiled = Compiled::with_limit(Arc::clone(&acl), 0);
            let got = compiled.first_match(&Flow { key: hidden, ports_hidden: true });
            let some_ports_permit = (0..6).any(|source| (0..6).any(|destination| {
                let ports = (Some(source), Some(destination));
                acl.permits(&FlowKey { source_port: ports.0, destination_port: ports.1, ..key })
            }));
            if some_ports_permit && key.protocol != 0 {
                prop_assert_eq!(got.map(|(_, action)| action), Some(Action::Permit));
            }
        }
    }

    #[test]
    fn ten_thousand_entries_of_a_few_shapes_make_a_few_tables() {
        let entries = (0..10_000_u32)
            .map(|i| Ace {
                source: AddressMatch::host(Ipv4Addr::from_bits(0x0A00_0000 | i)),
                ..Ace::PERMIT_IP_ANY_ANY
            })
            .chain([Ace {
                action: Action::Deny,
                ..Ace::PERMIT_IP_ANY_ANY
            }])
            .collect();
        let matcher = Matcher::new(
            Arc::new(Acl {
                name: "A".into(),
                entries,
            }),
            LINEAR_ENTRIES_MAX,
        );
        assert_eq!(matcher.tuples.len(), 2);
        let longest = matcher.tuples[0]
            .begins
            .windows(2)
            .map(|w| w[1] - w[0])
            .max();
        assert!(longest.is_some_and(|longest| longest < 16), "{longest:?}");
    }
}

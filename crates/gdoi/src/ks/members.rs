//! The member database of a key server.
//!
//! A member is here from message 3 of its PULL on, with what is needed to rekey it after a restart
//! of the key server. Decides nothing about admission; that is `ks::registration`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crypto::Secret;
use policy::{KekSpi, PeerKind, PseudoTime, Sid, Time};

use super::sid::SidLease;
use crate::limits::LEASE_OCTETS_MAX;

/// A registered member.
#[derive(Clone)]
pub(crate) struct Member {
    /// Where its rekeys go.
    pub(crate) peer: SocketAddrV4,
    /// Our address that it registered with.
    pub(crate) local: SocketAddrV4,
    /// The key server where it registered.
    pub(crate) server: Ipv4Addr,
    /// When, in pseudotime. What several key servers know of a member is ordered by this, so it is a
    /// nanosecond more for each time that the member went back to an older Rekey SA.
    pub(crate) joined: PseudoTime,
    /// The Rekey SA that it got last.
    pub(crate) kek: KekSpi,
    /// Whether it has not acknowledged a rekey under that one since: it may hold another one by now.
    pub(crate) is_kek_doubted: bool,
    /// What it proved to be.
    pub(crate) kind: PeerKind,
    /// Its version as its vendor id says.
    pub(crate) version: Option<String>,
    /// What its acknowledgements are keyed with (PROTOCOL P8); empty for plain members.
    pub(crate) ack_base: Secret,
    /// Its sender identifiers, the current lease last.
    pub(crate) leases: Vec<SidLease>,
    /// When it registered last, in this run of the program.
    pub(crate) registered: Option<Time>,
    /// Rekeys sent to it, copies not counted.
    pub(crate) rekeys_sent: u64,
    /// Copies sent to it.
    pub(crate) retries: u64,
    /// Acknowledgements received.
    pub(crate) acks_received: u64,
    /// Rekeys never acknowledged.
    pub(crate) acks_missed: u64,
    /// The last four sequence numbers sent, newest first.
    pub(crate) sent_seqs: [u32; 4],
    /// The last four acknowledged, newest first.
    pub(crate) received_seqs: [u32; 4],
    /// Whether it said that it does not hold the policy in force.
    pub(crate) policy_behind: bool,
    /// Rekeys in a row that it has not acknowledged, in this run of the program.
    pub(crate) missed_in_row: u8,
    /// Whether one of them was repeated by another key server.
    pub(crate) handed_over: bool,
}

impl Member {
    /// The Rekey SA that it certainly holds; none that there is, if that is not known.
    pub(crate) fn certain_kek(&self) -> KekSpi {
        if self.is_kek_doubted {
            KekSpi::default()
        } else {
            self.kek
        }
    }

    /// It holds this Rekey SA.
    pub(crate) fn holds(&mut self, kek: KekSpi) {
        (self.kek, self.is_kek_doubted) = (kek, false);
    }

    /// It holds this Rekey SA, though it was told a newer one: whatever others know of it is older.
    //= getvpn P15
    pub(crate) fn went_back(&mut self, kek: KekSpi) {
        self.holds(kek);
        self.joined = self.joined.after(Duration::from_nanos(1));
    }

    /// How many identifiers the current registration holds.
    pub(crate) fn sids(&self) -> usize {
        self.leases
            .iter()
            .filter(|lease| lease.until.is_none())
            .map(|lease| lease.sids.len())
            .sum()
    }

    /// The current registration ends: its identifiers are free when `until` has passed, the expiry
    /// of the last record that it was given.
    //= getvpn P20
    pub(crate) fn end_lease(&mut self, until: PseudoTime, now: PseudoTime) {
        self.leases
            .retain(|lease| lease.until.is_none_or(|until| now <= until));
        for lease in &mut self.leases {
            lease.until.get_or_insert(until);
        }
    }

    /// Whether its record has room for so many identifiers more: a member that registers over and over
    /// gets none while those of its registrations before may be in use.
    //= getvpn P20
    pub(crate) fn has_room(&self, sids: u16) -> bool {
        let octets = |sids: usize| 10 + 4 * sids;
        let held: usize = self.leases.iter().map(|own| octets(own.sids.len())).sum();
        held + octets(sids.into()) <= LEASE_OCTETS_MAX
    }

    /// A new registration got these identifiers.
    pub(crate) fn begin_lease(&mut self, sids: Vec<Sid>) {
        if !sids.is_empty() {
            self.leases.push(SidLease { sids, until: None });
        }
    }

    /// What another key server knows of it: the later registration counts, the identifiers of both
    /// stay in use as long as their records.
    //= getvpn P20
    pub(crate) fn join(&mut self, other: Self, until: PseudoTime, now: PseudoTime) {
        let newer = (other.joined, other.server) > (self.joined, self.server);
        let same = (other.joined, other.server) == (self.joined, self.server);
        if same {
            return;
        }
        let mut old = if newer {
            std::mem::replace(self, other)
        } else {
            other
        };
        old.end_lease(until, now);
        for lease in old.leases {
            let held = |own: &SidLease| own.sids == lease.sids;
            if !self.leases.iter().any(held) {
                self.leases.insert(0, lease);
            }
        }
        if newer {
            (self.rekeys_sent, self.retries) = (old.rekeys_sent, old.retries);
            (self.acks_received, self.acks_missed) = (old.acks_received, old.acks_missed);
            (self.sent_seqs, self.received_seqs) = (old.sent_seqs, old.received_seqs);
        }
    }

    /// A rekey was sent to it for the first time.
    pub(crate) fn sent(&mut self, seq: u32) {
        self.rekeys_sent += 1;
        shift(&mut self.sent_seqs, seq);
    }

    /// It acknowledged a rekey.
    pub(crate) fn acknowledged(&mut self, seq: u32) {
        self.acks_received += 1;
        (self.missed_in_row, self.handed_over) = (0, false);
        shift(&mut self.received_seqs, seq);
    }
}

/// Nobody yet: what a first registration begins with.
impl Default for Member {
    fn default() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            peer: nowhere,
            local: nowhere,
            server: Ipv4Addr::UNSPECIFIED,
            joined: PseudoTime::ZERO,
            kek: KekSpi::default(),
            is_kek_doubted: false,
            kind: PeerKind::Rfc6407,
            version: None,
            ack_base: Secret::default(),
            leases: Vec::new(),
            registered: None,
            rekeys_sent: 0,
            retries: 0,
            acks_received: 0,
            acks_missed: 0,
            sent_seqs: [0; 4],
            received_seqs: [0; 4],
            policy_behind: false,
            missed_in_row: 0,
            handed_over: false,
        }
    }
}

fn shift(seqs: &mut [u32; 4], seq: u32) {
    seqs.rotate_right(1);
    seqs[0] = seq;
}

/// All members of a group by address.
#[derive(Clone, Default)]
pub(crate) struct Members {
    by_address: BTreeMap<Ipv4Addr, Member>,
}

impl Members {
    /// The member of that address.
    pub(crate) fn find(&self, address: Ipv4Addr) -> Option<&Member> {
        self.by_address.get(&address)
    }

    /// The member of that address.
    pub(crate) fn find_mut(&mut self, address: Ipv4Addr) -> Option<&mut Member> {
        self.by_address.get_mut(&address)
    }

    /// Puts a member in place of what its address had before.
    pub(crate) fn insert(&mut self, address: Ipv4Addr, member: Member) {
        self.by_address.insert(address, member);
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, address: Ipv4Addr) -> Option<Member> {
        self.by_address.remove(&address)
    }

    /// All members, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_address.values_mut()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// All members in order of address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ipv4Addr, &Member)> {
        self.by_address
            .iter()
            .map(|(address, member)| (*address, member))
    }

    /// Addresses of the members of a kind.
    pub(crate) fn of_kind(&self, kind: PeerKind) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.iter()
            .filter(move |(_, member)| member.kind == kind)
            .map(|(address, _)| address)
    }

    /// Every lease of every member.
    pub(crate) fn leases(&self) -> impl Iterator<Item = &SidLease> {
        self.by_address.values().flat_map(|member| &member.leases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key server that was told earlier that the member holds a newer Rekey SA must not win.
    #[test]
    fn that_a_member_went_back_to_an_older_rekey_sa_is_known_later() {
        let (older, newer) = (KekSpi([1; 16]), KekSpi([2; 16]));
        let mut here = Member {
            joined: PseudoTime::from_secs(7),
            kek: newer,
            ..Member::default()
        };
        let mut there = here.clone();
        here.is_kek_doubted = true;
        here.went_back(older);
        let now = PseudoTime::from_secs(9);
        there.join(here.clone(), now, now);
        assert_eq!(there.certain_kek(), older);
        here.join(
            Member {
                joined: PseudoTime::from_secs(7),
                kek: newer,
                ..Member::default()
            },
            now,
            now,
        );
        assert_eq!(here.certain_kek(), older);
    }
}

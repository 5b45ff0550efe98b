//! The immutable state that workers read: SAs, policies, SIDs, clocks, interfaces.
//!
//! Decides, for a flow at a pseudotime, whether it is encrypted, in clear or dropped, and which SA
//! is sent on. Built by [`crate::Control`] and swapped as a whole.

use std::sync::Arc;
use std::time::Duration;

use policy::tbar::PseudoClock;
use policy::{Acl, Action, GroupName, GroupSize, PseudoTime, Spi, Time};

use crate::InterfaceId;
use crate::acl::Compiled;
use crate::counters::{EntryHits, PerWorker, Traffic};
use crate::fail_close;
use crate::flow::Packed;
use crate::limits::{GROUPS_PER_INTERFACE_MAX, POLICIES_PER_GROUP_MAX};
use crate::packet::Flow;
use crate::sadb::{Sa, SidCounter};

/// What all workers work with until the next one.
pub struct Snapshot {
    pub(crate) number: u64,
    pub(crate) sas: Vec<Arc<Sa>>,
    pub(crate) groups: Vec<Group>,
    pub(crate) interfaces: Vec<Interface>,
}

/// A group as the packet path sees it.
pub(crate) struct Group {
    pub(crate) name: Arc<GroupName>,
    /// Whether everything is dropped while there is no policy.
    pub(crate) closed_without_policy: bool,
    /// Whether IPv6 that no line names is dropped: hosts that speak both families must not go round
    /// an IPv4 policy.
    pub(crate) closes_v6: bool,
    pub(crate) local_acl: Option<Arc<Acl>>,
    /// In the order of their activations.
    pub(crate) policies: Vec<Arc<Policy>>,
    /// Places in [`Snapshot::sas`], best first (P11).
    pub(crate) records: Vec<usize>,
    pub(crate) sids: Vec<Arc<SidCounter>>,
    pub(crate) size: GroupSize,
    /// Blocks of 64 bits that one worker may encrypt with one key.
    pub(crate) blocks_max: u64,
    pub(crate) clock: PseudoClock,
    /// How far apart the members' switches and a packet's arrival may be: TBAR window and delay.
    pub(crate) grace: Duration,
    /// How long a sender must be silent before its replay window may be given away.
    pub(crate) replay_idle: Duration,
    pub(crate) traffic: Arc<PerWorker<Traffic>>,
}

/// A policy with the pseudotime from which it counts.
pub(crate) struct Policy {
    pub(crate) activation: PseudoTime,
    /// The merged list as it was installed.
    pub(crate) acl: Arc<Acl>,
    pub(crate) outbound: Compiled,
    /// The member's own denies, seen from outside, then the merged list.
    pub(crate) inbound: Compiled,
    /// How many of the inbound list's entries come before the merged list.
    pub(crate) mirrored: usize,
    pub(crate) hits: Arc<PerWorker<Box<[EntryHits]>>>,
}

impl Policy {
    /// A policy, ready.
    ///
    /// The sender judged an arriving flow by the same list in the same direction, so the list is
    /// asked as it stands. The member's own denies speak of what *it* sends: what comes back to
    /// those flows is in clear too, so they are mirrored for the inbound way.
    pub(crate) fn new(
        activation: PseudoTime,
        acl: Arc<Acl>,
        local: Option<&Acl>,
        workers: usize,
    ) -> Self {
        let denies = local.into_iter().flat_map(|local| &local.entries);
        let mut entries: Vec<_> = denies
            .filter(|ace| ace.action == Action::Deny)
            .map(|ace| ace.reversed())
            .collect();
        let mirrored = entries.len();
        entries.extend_from_slice(&acl.entries);
        let inbound = Compiled::new(Arc::new(Acl {
            name: acl.name.clone(),
            entries,
        }));
        let lines = acl.entries.len();
        Self {
            activation,
            outbound: Compiled::new(Arc::clone(&acl)),
            inbound,
            mirrored,
            acl,
            hits: Arc::new(PerWorker::new(workers, || {
                (0..lines).map(|_| EntryHits::default()).collect()
            })),
        }
    }

    /// The same policy with another beginning, and its counters.
    pub(crate) fn with_activation(&self, activation: PseudoTime) -> Self {
        Self {
            activation,
            acl: Arc::clone(&self.acl),
            outbound: self.outbound.clone(),
            inbound: self.inbound.clone(),
            mirrored: self.mirrored,
            hits: Arc::clone(&self.hits),
        }
    }
}

/// A protected interface.
pub(crate) struct Interface {
    pub(crate) name: String,
    /// Places in [`Snapshot::groups`], in the order of the crypto map; empty without one.
    pub(crate) groups: Vec<usize>,
    /// Whether a crypto map is attached; without one nothing passes.
    pub(crate) attached: bool,
    /// Whether every group of the crypto map is configured; what the others do not claim may be a
    /// missing one's and is dropped.
    pub(crate) complete: bool,
    pub(crate) mtu: usize,
    /// What may be received on, sorted by SPI.
    pub(crate) spis: Vec<Held>,
    pub(crate) traffic: Arc<PerWorker<Traffic>>,
}

/// An SA as arriving packets find it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Held {
    pub(crate) spi: Spi,
    /// A place in [`Snapshot::sas`].
    pub(crate) sa: usize,
    /// A place in the interface's groups.
    pub(crate) group: usize,
    /// Until when its packets are accepted (P11).
    pub(crate) until: PseudoTime,
    /// The same on the core's clock.
    pub(crate) expires: Time,
}

impl Snapshot {
    /// Until when the SA of this fingerprint can be received on, if it is held.
    pub(crate) fn received_until(&self, fingerprint: u64) -> Option<Time> {
        let held = self.interfaces.iter().flat_map(|own| &own.spis);
        held.filter(|held| self.sas[held.sa].fingerprint == fingerprint)
            .map(|held| held.expires)
            .max()
    }

    /// Which one this is; it grows with every change.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The number by which workers name a protected interface; it never changes while the program
    /// runs.
    #[must_use]
    pub fn interface_id(&self, name: &str) -> Option<InterfaceId> {
        let place = self.interfaces.iter().position(|own| own.name == name)?;
        u16::try_from(place).ok().map(InterfaceId)
    }

    /// Every SA that is held.
    pub fn sas(&self) -> impl Iterator<Item = &Sa> {
        self.sas.iter().map(|sa| &**sa)
    }

    pub(crate) fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))
    }
}

/// Where a group stands at one moment: computed once a batch.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) now: PseudoTime,
    /// The policy that outbound packets obey.
    pub(crate) policy: Option<usize>,
    /// The policies that inbound packets may obey, one bit each (P6).
    pub(crate) accepted: u8,
    /// The SA that is sent on, a place in [`Snapshot::sas`].
    pub(crate) sa: Option<usize>,
}

impl Group {
    pub(crate) fn phase(&self, sas: &[Arc<Sa>], now: Time) -> Phase {
        let now = self.clock.at(now);
        let active = |policy: &Arc<Policy>| policy.activation <= now;
        let first = (!self.policies.is_empty()).then_some(0);
        Phase {
            now,
            // A group that holds a policy is never without one, whatever its clock says.
            policy: self.policies.iter().rposition(active).or(first),
            accepted: self.accepted(now),
            sa: self.outbound_sa(sas, now),
        }
    }

    /// The policies of which one may have been the sender's when it sent what arrives now.
    //= getvpn P6
    fn accepted(&self, now: PseudoTime) -> u8 {
        let mut accepted = 0;
        for (place, policy) in self
            .policies
            .iter()
            .enumerate()
            .take(POLICIES_PER_GROUP_MAX)
        {
            let begins = policy.activation.before(self.grace);
            let ends = self
                .policies
                .get(place + 1)
                .map(|next| next.activation.after(self.grace));
            if begins <= now && ends.is_none_or(|end| now <= end) {
                accepted |= 1 << place;
            }
        }
        if accepted == 0 && !self.policies.is_empty() {
            accepted = 1;
        }
        accepted
    }

    /// The record to send on: that with the latest activation, of those that are active.
    //= getvpn P11
    fn outbound_sa(&self, sas: &[Arc<Sa>], now: PseudoTime) -> Option<usize> {
        self.records
            .iter()
            .copied()
            .find(|&place| sas[place].tek.is_active(now))
    }

    /// Until when an SA's packets are accepted.
    pub(crate) fn inbound_until(&self, sa: &Sa) -> PseudoTime {
        sa.tek.expiry.after(self.grace)
    }

    /// The SID of a worker. Workers beyond the number of SIDs share one, which its atomic counter
    /// allows.
    pub(crate) fn sid_of(&self, worker: usize) -> Option<&SidCounter> {
        let own = self.sids.get(worker);
        own.or_else(|| self.sids.get(worker.checked_rem(self.sids.len())?))
            .map(|counter| &**counter)
    }
}

/// An access list entry that decided: group (place in the interface's list), policy, line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decisive {
    pub(crate) group: usize,
    pub(crate) policy: usize,
    pub(crate) line: usize,
}

/// What is done with an outbound packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// It is encrypted for this group (place in the interface's list).
    Encrypt(Decisive),
    /// It leaves in clear; the first deny that named it, if one did.
    Clear(Option<Decisive>),
    /// It is dropped: a group that may claim it is not registered.
    FailClose,
}

/// What an inbound packet may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    /// One bit for each group of the interface that may have encrypted it.
    pub(crate) groups: u32,
    /// Whether it may have come in clear.
    pub(crate) clear: bool,
    /// Whether a group that may claim it is not registered.
    pub(crate) fail_close: bool,
    /// The line of the first permit that names it, if it is the merged list's.
    pub(crate) by: Option<Decisive>,
}

/// A judge of flows at one moment.
pub(crate) struct Judge<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) interface: &'s Interface,
    /// One for each group of the snapshot.
    pub(crate) phases: &'s [Phase],
}

impl Judge<'_> {
    fn groups(&self) -> impl Iterator<Item = (usize, &Group, &Phase)> {
        let places = self.interface.groups.iter().enumerate();
        places.map(|(order, &place)| (order, &self.snapshot.groups[place], &self.phases[place]))
    }

    /// The groups in the order of the crypto map: the first permit encrypts; a deny, or no match,
    /// passes on to the next, as IOS does. A group without policy claims what no other did.
    pub(crate) fn outbound(&self, flow: &Flow) -> Outbound {
        if !self.interface.attached {
            return Outbound::FailClose;
        }
        let mut denied = None;
        let mut fail_close = !self.interface.complete;
        let mut unnamed_v6 = false;
        for (place, group, phase) in self.groups() {
            let Some(policy) = phase.policy else {
                fail_close |= group.closed_without_policy
                    && !fail_close::exempts(group.local_acl.as_deref(), &flow.key);
                continue;
            };
            let Some((line, action)) = group.policies[policy].outbound.first_match(flow) else {
                unnamed_v6 |= group.closes_v6 && flow.key.source.is_ipv6();
                continue;
            };
            let decisive = Decisive {
                group: place,
                policy,
                line,
            };
            match action {
                Action::Permit => return Outbound::Encrypt(decisive),
                Action::Deny => denied = denied.or(Some(decisive)),
            }
        }
        if fail_close || (unnamed_v6 && denied.is_none()) {
            Outbound::FailClose
        } else {
            Outbound::Clear(denied)
        }
    }

    /// The same for the other way, with every policy that may have been the sender's.
    //= getvpn P6
    pub(crate) fn inbound(&self, flow: &Flow) -> Inbound {
        let mut verdict = Inbound {
            groups: 0,
            clear: false,
            fail_close: !(self.interface.attached && self.interface.complete),
            by: None,
        };
        if !self.interface.attached {
            return verdict;
        }
        for (place, group, phase) in self.groups() {
            if phase.accepted == 0 {
                verdict.fail_close |= group.closed_without_policy
                    && !fail_close::exempts(group.local_acl.as_deref(), &flow.key.reversed());
                continue;
            }
            let mut passes = false;
            for (number, policy) in accepted(group, phase) {
                match policy.inbound.first_match(flow) {
                    Some((line, Action::Permit)) => {
                        verdict.groups |= 1 << place;
                        let line = line.checked_sub(policy.mirrored);
                        let by = line.map(|line| Decisive {
                            group: place,
                            policy: number,
                            line,
                        });
                        verdict.by = verdict.by.or(by);
                    }
                    Some((_, Action::Deny)) | None => passes = true,
                }
            }
            if !passes {
                return verdict;
            }
        }
        verdict.clear = !verdict.fail_close;
        verdict
    }
}

fn accepted<'g>(group: &'g Group, phase: &Phase) -> impl Iterator<Item = (usize, &'g Policy)> {
    let mask = phase.accepted;
    let policies = group.policies.iter().enumerate();
    policies
        .filter(move |(place, _)| mask >> place & 1 == 1)
        .map(|(place, policy)| (place, &**policy))
}

// The flow cache holds a verdict in three words: the kind, a set of groups, the decisive line.
const ENCRYPT: u32 = 1;
const CLEAR: u32 = 2;
const FAIL_CLOSE: u32 = 4;
const DECISIVE: u32 = 8;

const _: () = assert!(GROUPS_PER_INTERFACE_MAX <= 32 && POLICIES_PER_GROUP_MAX <= 8);

fn pack(kind: u32, groups: u32, by: Option<Decisive>) -> Packed {
    by.map_or([kind, groups, 0], |by| {
        let place = (by.group as u32) << 8 | (by.policy as u32) << 16;
        [kind | DECISIVE | place, groups, by.line as u32]
    })
}

fn unpack(packed: Packed) -> Option<Decisive> {
    (packed[0] & DECISIVE != 0).then_some(Decisive {
        group: (packed[0] >> 8 & 0xFF) as usize,
        policy: (packed[0] >> 16) as usize,
        line: packed[2] as usize,
    })
}

impl Outbound {
    pub(crate) fn pack(self) -> Packed {
        match self {
            Self::Encrypt(by) => pack(ENCRYPT, 0, Some(by)),
            Self::Clear(by) => pack(CLEAR, 0, by),
            Self::FailClose => pack(FAIL_CLOSE, 0, None),
        }
    }

    pub(crate) fn unpack(packed: Packed) -> Self {
        match (packed[0] & 7, unpack(packed)) {
            (ENCRYPT, Some(by)) => Self::Encrypt(by),
            (CLEAR, by) => Self::Clear(by),
            (_, _) => Self::FailClose,
        }
    }
}

impl Inbound {
    pub(crate) fn pack(self) -> Packed {
        let clear = if self.clear { CLEAR } else { 0 };
        let fail_close = if self.fail_close { FAIL_CLOSE } else { 0 };
        pack(clear | fail_close, self.groups, self.by)
    }

    pub(crate) fn unpack(packed: Packed) -> Self {
        Self {
            groups: packed[1],
            clear: packed[0] & CLEAR != 0,
            fail_close: packed[0] & FAIL_CLOSE != 0,
            by: unpack(packed),
        }
    }
}

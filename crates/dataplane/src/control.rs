//! The side of the packet path that the router holds: updates in, snapshots and counters out.
//!
//! Decides what a snapshot holds; a change of anything makes a new one, and what did not change is
//! shared with the one before. Counters, sequence numbers and SID counters live here across
//! snapshots, so that no rebuild ever sets one back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use policy::tbar::PseudoClock;
use policy::{Acl, GroupName, GroupSize, PseudoTime, Sid, Spi, Tek, Time};

use crate::InterfaceId;
use crate::counters::{Hits, PerWorker, Totals, Traffic};
use crate::group::GroupState;
use crate::limits::{GROUPS_PER_INTERFACE_MAX, MTU_MIN};
use crate::sadb::{Sa, TekKey};
use crate::snapshot::{Held, Interface, Snapshot};

/// What the router tells the packet path.
pub enum Update {
    /// A crypto map is attached to an interface, or what it says changed.
    Attach(InterfaceFacts),
    /// The crypto map was taken away: nothing passes the packet path of this interface any more.
    Detach {
        /// The interface.
        interface: String,
    },
    /// A group of a crypto map is configured, or its configuration changed.
    Group {
        /// The group.
        group: GroupName,
        /// `fail-close` (the default): without a policy nothing passes in clear.
        fail_close: bool,
        /// The member's own list, whose denies count before registration too.
        local_acl: Option<Arc<Acl>>,
    },
    /// A group is no longer configured; all that it held is forgotten, but for how far its SIDs
    /// were used.
    RemoveGroup {
        /// The group.
        group: GroupName,
    },
    /// A traffic key is held from now on; installing one that is held refreshes its record.
    InstallSa {
        /// The group.
        group: GroupName,
        /// The record.
        tek: Box<Tek>,
        /// The keys.
        key: TekKey,
    },
    /// A traffic key is no longer held.
    RemoveSa {
        /// The group.
        group: GroupName,
        /// Its SPI.
        spi: Spi,
    },
    /// The group's policy.
    InstallPolicy {
        /// The group.
        group: GroupName,
        /// The merged list, the member's own denies first; permit = encrypt.
        acl: Arc<Acl>,
        /// The TBAR window in seconds, if the group has TBAR.
        tbar_window_s: Option<u32>,
        /// From when it counts; at once if it names no time (PROTOCOL P6).
        activation: Option<PseudoTime>,
    },
    /// The SIDs to send with, in place of all before; one for each worker is best.
    InstallSids {
        /// The group.
        group: GroupName,
        /// How many bits a SID has.
        size: GroupSize,
        /// The SIDs.
        sids: Vec<Sid>,
    },
    /// How many blocks of 64 bits this sender may encrypt with one key of the group: 2^`log2`
    /// (PROTOCOL P23).
    LimitBlocks {
        /// The group.
        group: GroupName,
        /// At most 30, which it is until the key server says less.
        log2: u8,
    },
    /// The group's pseudotime.
    SetClock {
        /// The group.
        group: GroupName,
        /// The clock.
        clock: PseudoClock,
        /// Whether it is another clock than before: what is held lives as long as both say
        /// (PROTOCOL P27).
        anew: bool,
    },
    /// The member left the group or lost everything: keys and SIDs go, and with fail-close the
    /// policy too, so that nothing passes. Without fail-close the last policy stays, and what it
    /// encrypts is dropped for want of an SA.
    CloseGroup {
        /// The group.
        group: GroupName,
    },
}

/// What the packet path must know of a protected interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name, as the configuration gives it.
    pub name: String,
    /// The groups of its crypto map, in the order of their sequence numbers.
    pub groups: Vec<GroupName>,
    /// Its IP MTU in octets, at least 576.
    pub mtu: u16,
}

/// Why an update was not taken; nothing changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A key does not have the length of its transform.
    KeyLength {
        /// The record.
        spi: Spi,
        /// Which key.
        what: &'static str,
        /// Octets it must have.
        expected: usize,
        /// Octets it has.
        found: usize,
    },
    /// The cipher refuses the key.
    Key {
        /// The record.
        spi: Spi,
        /// Why.
        reason: crypto::Error,
    },
    /// A held SPI came again with another key: whose traffic is whose could no longer be told.
    SpiTaken {
        /// The SPI.
        spi: Spi,
    },
    /// More of something than the packet path keeps.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The MTU of an interface is too small for IPv4.
    Mtu {
        /// What was given, octets.
        mtu: u16,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyLength {
                spi,
                what,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{what} of SA {spi} has {found} octets, expected {expected}"
                )
            }
            Self::Key { spi, reason } => write!(f, "key of SA {spi} refused: {reason}"),
            Self::SpiTaken { spi } => write!(f, "SPI {spi} is held with another key"),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            Self::Mtu { mtu } => write!(f, "MTU {mtu} is below {MTU_MIN}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The router's end of the packet path.
pub struct Control {
    workers: usize,
    groups: BTreeMap<GroupName, GroupState>,
    interfaces: Vec<InterfaceState>,
    snapshot: Arc<Snapshot>,
    changed: bool,
}

struct InterfaceState {
    facts: InterfaceFacts,
    attached: bool,
    traffic: Arc<PerWorker<Traffic>>,
}

impl Control {
    /// A packet path without interfaces for workers 0..`workers`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            groups: BTreeMap::new(),
            interfaces: Vec::new(),
            snapshot: Arc::new(Snapshot {
                number: 0,
                sas: Vec::new(),
                groups: Vec::new(),
                interfaces: Vec::new(),
            }),
            changed: false,
        }
    }

    /// Takes an update and says whether it changed anything that workers see.
    ///
    /// # Errors
    /// When the update cannot be obeyed; then nothing changed.
    pub fn apply(&mut self, now: Time, update: Update) -> Result<bool, Refusal> {
        let changed = match update {
            Update::Attach(facts) => self.attach(facts)?,
            Update::Detach { interface } => self.detach(&interface),
            Update::RemoveGroup { group } => {
                let workers = self.workers;
                let known = self.groups.get_mut(&group);
                known.is_some_and(|state| state.remove(workers))
            }
            Update::Group {
                group,
                fail_close,
                local_acl,
            } => {
                let known = self.groups.get(&group).is_some_and(|own| own.is_configured);
                let workers = self.workers;
                self.group(group).configure(fail_close, local_acl, workers) | !known
            }
            Update::InstallSa { group, tek, key } => self.install_sa(group, *tek, &key)?,
            Update::RemoveSa { group, spi } => self.group(group).remove_sa(spi),
            Update::InstallPolicy {
                group,
                acl,
                tbar_window_s,
                activation,
            } => {
                let workers = self.workers;
                let group = self.group(group);
                let activation = activation.unwrap_or_else(|| group.clock.at(now));
                group.install_policy(now, acl, tbar_window_s, activation, workers)
            }
            Update::InstallSids { group, size, sids } => {
                self.group(group).install_sids(size, &sids)?
            }
            Update::LimitBlocks { group, log2 } => {
                let workers = self.workers;
                self.group(group).limit_blocks(log2, workers)
            }
            Update::SetClock { group, clock, anew } => {
                self.group(group).set_clock(now, clock, anew)
            }
            Update::CloseGroup { group } => self.group(group).close(),
        };
        self.changed |= changed;
        Ok(changed)
    }

    /// The state as it is now; the same object as before if nothing changed.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if std::mem::take(&mut self.changed) {
            self.snapshot = Arc::new(self.build());
        }
        Arc::clone(&self.snapshot)
    }

    fn group(&mut self, name: GroupName) -> &mut GroupState {
        let workers = self.workers;
        let state = self
            .groups
            .entry(name)
            .or_insert_with_key(|name| GroupState::new(name.clone(), workers));
        state.is_configured = true;
        state
    }

    fn attach(&mut self, facts: InterfaceFacts) -> Result<bool, Refusal> {
        if facts.mtu < MTU_MIN {
            return Err(Refusal::Mtu { mtu: facts.mtu });
        }
        if facts.groups.len() > GROUPS_PER_INTERFACE_MAX {
            return Err(Refusal::TooMany {
                what: "groups of one crypto map",
                limit: GROUPS_PER_INTERFACE_MAX,
            });
        }
        for group in &facts.groups {
            self.group(group.clone());
        }
        let Some(known) = self
            .interfaces
            .iter_mut()
            .find(|own| own.facts.name == facts.name)
        else {
            if self.interfaces.len() > usize::from(u16::MAX) {
                return Err(Refusal::TooMany {
                    what: "interfaces",
                    limit: usize::from(u16::MAX),
                });
            }
            self.interfaces.push(InterfaceState {
                facts,
                attached: true,
                traffic: Arc::new(PerWorker::new(self.workers, Traffic::default)),
            });
            return Ok(true);
        };
        let changed = !known.attached || known.facts != facts;
        known.attached = true;
        known.facts = facts;
        Ok(changed)
    }

    fn detach(&mut self, interface: &str) -> bool {
        self.interfaces
            .iter_mut()
            .find(|own| own.facts.name == interface)
            .is_some_and(|own| std::mem::take(&mut own.attached))
    }

    fn install_sa(&mut self, group: GroupName, tek: Tek, key: &TekKey) -> Result<bool, Refusal> {
        let workers = self.workers;
        self.group(group).install_sa(tek, key, workers)
    }

    fn build(&self) -> Snapshot {
        let mut sas = Vec::new();
        let mut groups = Vec::new();
        for state in self.groups.values().filter(|own| own.is_configured) {
            groups.push(state.view(sas.len()));
            sas.extend(state.sas.iter().cloned());
        }
        let interfaces = self
            .interfaces
            .iter()
            .map(|own| self.interface_view(own, &groups, &sas));
        Snapshot {
            number: self.snapshot.number + 1,
            interfaces: interfaces.collect(),
            sas,
            groups,
        }
    }

    fn interface_view(
        &self,
        own: &InterfaceState,
        groups: &[crate::snapshot::Group],
        sas: &[Arc<Sa>],
    ) -> Interface {
        let place_of = |name: &GroupName| groups.iter().position(|group| *group.name == *name);
        let places: Vec<usize> = own.facts.groups.iter().filter_map(place_of).collect();
        let mut spis = Vec::new();
        for (order, &place) in places.iter().enumerate() {
            let group = &groups[place];
            for &sa in &group.records {
                let until = group.inbound_until(&sas[sa]);
                spis.push(Held {
                    spi: sas[sa].tek.spi,
                    sa,
                    group: order,
                    until,
                    expires: group.clock.time_of(until),
                });
            }
        }
        // Two groups may hold one SPI by chance: the first of the crypto map has it.
        spis.sort_by_key(|held: &Held| (held.spi, held.group));
        spis.dedup_by_key(|held| held.spi);
        Interface {
            name: own.facts.name.clone(),
            attached: own.attached,
            complete: places.len() == own.facts.groups.len(),
            groups: places,
            mtu: usize::from(own.facts.mtu),
            spis,
            traffic: Arc::clone(&own.traffic),
        }
    }
}

/// What was counted; every reading may lag behind a running worker by some packets.
impl Control {
    /// The number of a protected interface, as [`Snapshot::interface_id`] gives it.
    #[must_use]
    pub fn interface_id(&self, name: &str) -> Option<InterfaceId> {
        let place = self
            .interfaces
            .iter()
            .position(|own| own.facts.name == name)?;
        u16::try_from(place).ok().map(InterfaceId)
    }

    /// The counters of a protected interface.
    #[must_use]
    pub fn interface_totals(&self, id: InterfaceId) -> Totals {
        self.interfaces
            .get(usize::from(id.0))
            .map(|own| Totals::of(&own.traffic))
            .unwrap_or_default()
    }

    /// The counters of a group, over all SAs that it had since it was configured.
    #[must_use]
    pub fn group_totals(&self, group: &GroupName) -> Totals {
        self.groups
            .get(group)
            .map(|own| Totals::of(&own.traffic))
            .unwrap_or_default()
    }

    /// The counters of an SA that is held; none of one that is not.
    #[must_use]
    pub fn sa_totals(&self, group: &GroupName, spi: Spi) -> Option<Totals> {
        let sa = self.groups.get(group)?.sa(spi)?;
        Some(Totals::of(&sa.traffic))
    }

    /// The SPI that is sent on at `now`, if one is.
    #[must_use]
    pub fn outbound_spi(&self, group: &GroupName, now: Time) -> Option<Spi> {
        let state = self.groups.get(group)?;
        let place = state.view(0).phase(&state.sas, now).sa?;
        state.sas.get(place).map(|sa| sa.tek.spi)
    }

    /// Every SA record that the group holds, in the order of preference for sending.
    pub fn teks(&self, group: &GroupName) -> impl Iterator<Item = &Tek> {
        let sas = self.groups.get(group).into_iter().flat_map(|own| &own.sas);
        sas.map(|sa| &sa.tek)
    }

    /// How often each line of the group's newest policy decided, in the order of its lines.
    #[must_use]
    pub fn policy_hits(&self, group: &GroupName) -> Vec<Hits> {
        self.groups
            .get(group)
            .map(GroupState::newest_hits)
            .unwrap_or_default()
    }

    /// The current SIDs of the group and how many IVs were drawn from each.
    #[must_use]
    pub fn sid_use(&self, group: &GroupName) -> Vec<(Sid, u64)> {
        let sids = self.groups.get(group).into_iter().flat_map(|own| &own.sids);
        sids.map(|counter| (counter.sid, counter.used())).collect()
    }

    /// The largest packet that the interface can take before it is encrypted for the group, octets.
    #[must_use]
    pub fn plaintext_mtu(&self, id: InterfaceId, group: &GroupName, now: Time) -> Option<usize> {
        let state = self.groups.get(group)?;
        let mtu = usize::from(self.interfaces.get(usize::from(id.0))?.facts.mtu);
        let sa = state.sas.get(state.view(0).phase(&state.sas, now).sa?)?;
        Some(sa.layout.plaintext_max(mtu))
    }
}

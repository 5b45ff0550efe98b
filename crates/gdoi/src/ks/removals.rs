//! What a group remembers of members that were taken out: a set that only grows, the same at every
//! key server that has heard the same (PROTOCOL P14 to P16).
//!
//! Pure. Who is taken out and what follows from it is `removal`'s.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy::{Generation, KsIndex, PseudoTime, Spi};
use wire::codec::{Error, Reader, Writer};

use super::SidLease;
use crate::limits::{RAISES_MAX, RETIRED_MAX, TOMBSTONES_MAX};
use crate::persist;

/// The group's generation rises at a moment: a counter of one key server reaches a value.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raise {
    /// The key server whose counter it is.
    pub(crate) index: KsIndex,
    /// The value.
    pub(crate) counter: u32,
    /// From when on the keys of before are sent on no more.
    pub(crate) at: PseudoTime,
}

impl Raise {
    /// Whether a key of that generation is dead once this has happened.
    pub(crate) fn kills(&self, generation: &Generation) -> bool {
        generation.0[usize::from(self.index.get())] < self.counter
    }

    /// A generation after this.
    pub(crate) fn applied_to(&self, mut generation: Generation) -> Generation {
        let counter = &mut generation.0[usize::from(self.index.get())];
        *counter = self.counter.max(*counter);
        generation
    }
}

/// How a member that was taken out stands, the stronger word last.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It may register again.
    Readmitted,
    /// Its registration is void; it may register again.
    Ejected,
    /// Every key server refuses it.
    Removed,
}

/// The last word about a member. Of two the later one counts, and of two that are equally late the
/// one that takes more away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tombstone {
    /// How many words there were about this member.
    pub(crate) count: u32,
    /// How it stands.
    pub(crate) standing: Standing,
    /// Registrations that are not after this are void.
    pub(crate) made: PseudoTime,
}

/// Every registration before a moment is to be repeated (`clear crypto gdoi ks members`).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cleared {
    /// The moment.
    pub(crate) made: PseudoTime,
    /// When members that have not come back are forgotten.
    pub(crate) forget_at: PseudoTime,
}

/// Everything of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removals {
    /// The last clearing of the whole group.
    pub(crate) cleared: Cleared,
    /// Rises of the generation that are still to come.
    pub(crate) raises: Vec<Raise>,
    /// By address.
    pub(crate) tombstones: BTreeMap<Ipv4Addr, Tombstone>,
    /// Sender identifiers of members that are no more: not to be given out before their keys end.
    pub(crate) leases: Vec<SidLease>,
    /// SPIs of keys that ended with their generation: not to be given out before members that have
    /// not heard of it forget them.
    pub(crate) spis: Vec<(Spi, PseudoTime)>,
}

impl Removals {
    /// Whether nothing was ever removed.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A key has ended with its generation; members may hold it until then.
    //= getvpn P18
    pub(crate) fn retire(&mut self, spi: Spi, until: PseudoTime, now: PseudoTime) {
        self.spis.retain(|(_, until)| now < *until);
        if now < until && self.spis.len() < RETIRED_MAX {
            self.spis.push((spi, until));
        }
    }

    /// Whether members may hold a key with that SPI which has ended with its generation.
    pub(crate) fn is_retired(&self, spi: Spi) -> bool {
        self.spis.iter().any(|(retired, _)| *retired == spi)
    }

    /// The last word about a member.
    pub(crate) fn tombstone(&self, member: Ipv4Addr) -> Option<&Tombstone> {
        self.tombstones.get(&member)
    }

    /// Whether a member is refused by name.
    pub(crate) fn refuses(&self, member: Ipv4Addr) -> bool {
        self.tombstone(member)
            .is_some_and(|tombstone| tombstone.standing == Standing::Removed)
    }

    /// Whether a registration of that time is void at `now`.
    pub(crate) fn voids(&self, member: Ipv4Addr, joined: PseudoTime, now: PseudoTime) -> bool {
        let cleared = joined < self.cleared.made && self.cleared.forget_at <= now;
        let word = self
            .tombstone(member)
            .is_some_and(|word| match word.standing {
                Standing::Removed => true,
                Standing::Ejected => joined <= word.made,
                Standing::Readmitted => false,
            });
        cleared || word
    }

    /// The next word about a member; `None` when it would change nothing, or too many are kept.
    pub(crate) fn say(
        &mut self,
        member: Ipv4Addr,
        standing: Standing,
        made: PseudoTime,
    ) -> Option<Tombstone> {
        let before = self.tombstone(member).copied();
        let same = before.is_some_and(|word| word.standing == standing);
        let full = before.is_none() && self.tombstones.len() >= TOMBSTONES_MAX;
        if (same && standing != Standing::Ejected) || full {
            return None;
        }
        let word = Tombstone {
            count: before.map_or(0, |word| word.count).saturating_add(1),
            standing,
            made,
        };
        self.tombstones.insert(member, word);
        Some(word)
    }

    /// Takes another key server's word about a member. Says whether it is news.
    //= getvpn P15
    pub(crate) fn join_tombstone(&mut self, member: Ipv4Addr, word: Tombstone) -> bool {
        let held = self.tombstone(member);
        let full = held.is_none() && self.tombstones.len() >= TOMBSTONES_MAX;
        let news = held.is_none_or(|held| *held < word) && !full;
        if news {
            self.tombstones.insert(member, word);
        }
        news
    }

    /// Takes what another key server knows to come, of which `generation` has happened already. Says
    /// whether something of it is news.
    //= getvpn P15
    pub(crate) fn join_raises(&mut self, theirs: &Self, generation: &Generation) -> bool {
        let mut news = false;
        if self.cleared < theirs.cleared {
            self.cleared = theirs.cleared;
            news = true;
        }
        for raise in &theirs.raises {
            let held = self.raises.contains(raise);
            if !held && raise.kills(generation) && self.raises.len() < RAISES_MAX {
                self.raises.push(*raise);
                news = true;
            }
        }
        self.raises.sort_unstable();
        news
    }

    /// Whether something is to come here that another key server did not tell.
    pub(crate) fn has_more_than(&self, theirs: &Self) -> bool {
        let news = |raise: &Raise| !theirs.raises.contains(raise);
        self.cleared > theirs.cleared || self.raises.iter().any(news)
    }

    /// What is told to other key servers beside the tombstones.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    fn write(&self, w: &mut Writer) {
        w.u64(self.cleared.made.as_nanos());
        w.u64(self.cleared.forget_at.as_nanos());
        w.count_u8("removals", "raises", self.raises.len());
        for raise in &self.raises {
            w.u8(raise.index.get());
            w.u32(raise.counter);
            w.u64(raise.at.as_nanos());
        }
    }

    /// Reads what `encode` wrote.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let cleared = Cleared {
            made: PseudoTime::from_nanos(r.u64()?),
            forget_at: PseudoTime::from_nanos(r.u64()?),
        };
        let number = r.u8()?;
        if usize::from(number) > RAISES_MAX {
            return Err(r.bad("rises of the generation", number, "at most 64"));
        }
        let mut raises = Vec::new();
        for _ in 0..number {
            let index = persist::read_index(r)?;
            let counter = r.u32()?;
            let at = PseudoTime::from_nanos(r.u64()?);
            raises.push(Raise { index, counter, at });
        }
        Ok(Self {
            cleared,
            raises,
            ..Self::default()
        })
    }

    /// The octets of the row on disk.
    pub(crate) fn write_row(&self, w: &mut Writer) {
        self.write(w);
        w.count_u16("removals", "tombstones", self.tombstones.len());
        for (member, word) in &self.tombstones {
            write_tombstone(*member, word, w);
        }
        w.count_u16("removals", "leases", self.leases.len());
        for lease in &self.leases {
            persist::write_lease(lease, w);
        }
        // An older build, which knows of none, reads the row while there are none.
        if self.spis.is_empty() {
            return;
        }
        w.count_u16("removals", "SPIs", self.spis.len());
        for (spi, until) in &self.spis {
            w.u32(spi.0);
            w.u64(until.as_nanos());
        }
    }

    /// Reads what `write_row` wrote.
    pub(crate) fn read_row(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut removals = Self::read(r)?;
        for _ in 0..r.u16()? {
            let (member, word) = read_tombstone(r)?;
            removals.tombstones.insert(member, word);
        }
        for _ in 0..r.u16()? {
            removals.leases.push(persist::read_lease(r)?);
        }
        // Where there are none the row ends here.
        if !r.is_empty() {
            for _ in 0..r.u16()? {
                let spi = Spi(r.u32()?);
                removals.spis.push((spi, PseudoTime::from_nanos(r.u64()?)));
            }
        }
        Ok(removals)
    }
}

/// The octets of a word about a member.
pub(crate) fn write_tombstone(member: Ipv4Addr, word: &Tombstone, w: &mut Writer) {
    w.bytes(&member.octets());
    w.u32(word.count);
    w.u8(match word.standing {
        Standing::Readmitted => 0,
        Standing::Ejected => 1,
        Standing::Removed => 2,
    });
    w.u64(word.made.as_nanos());
}

/// Reads what `write_tombstone` wrote.
pub(crate) fn read_tombstone(r: &mut Reader<'_>) -> Result<(Ipv4Addr, Tombstone), Error> {
    let member = Ipv4Addr::from(r.array::<4>()?);
    let count = r.u32()?;
    let standing = match r.u8()? {
        0 => Standing::Readmitted,
        1 => Standing::Ejected,
        2 => Standing::Removed,
        other => return Err(r.bad("standing of a member", other, "0 to 2")),
    };
    let made = PseudoTime::from_nanos(r.u64()?);
    let word = Tombstone {
        count,
        standing,
        made,
    };
    Ok((member, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_tombstone()(count in 0..3_u32, standing in 0..3_u8, made in 0..3_u64) -> Tombstone {
            let standing = [Standing::Readmitted, Standing::Ejected, Standing::Removed]
                [usize::from(standing)];
            Tombstone { count, standing, made: PseudoTime::from_secs(made) }
        }
    }

    prop_compose! {
        fn any_raise()(index in 0..3_u8, counter in 1..4_u32, at in 0..3_u64) -> Raise {
            Raise {
                index: KsIndex::new(index).unwrap(),
                counter,
                at: PseudoTime::from_secs(at),
            }
        }
    }

    /// What a key server knows: its generation and its removals.
    #[derive(Clone, Debug, PartialEq)]
    struct Known {
        generation: Generation,
        removals: Removals,
    }

    impl Known {
        /// As a message of a peer is taken: generation, rises, tombstones.
        fn join(mut self, other: &Self) -> Self {
            self.generation = self.generation.join(&other.generation);
            self.removals.join_raises(&other.removals, &self.generation);
            let generation = self.generation;
            self.removals
                .raises
                .retain(|raise| raise.kills(&generation));
            for (member, word) in &other.removals.tombstones {
                self.removals.join_tombstone(*member, *word);
            }
            self
        }
    }

    prop_compose! {
        fn any_known()(
            counters in proptest::array::uniform3(0..3_u32),
            made in 0..3_u64,
            raises in proptest::collection::vec(any_raise(), 0..3),
            words in proptest::collection::btree_map(0..3_u8, any_tombstone(), 0..3),
        ) -> Known {
            let mut generation = Generation::default();
            generation.0[..3].copy_from_slice(&counters);
            let mut removals = Removals {
                cleared: Cleared {
                    made: PseudoTime::from_secs(made),
                    forget_at: PseudoTime::from_secs(made + 1),
                },
                ..Removals::default()
            };
            for raise in raises {
                if raise.kills(&generation) && !removals.raises.contains(&raise) {
                    removals.raises.push(raise);
                }
            }
            removals.raises.sort_unstable();
            for (member, word) in words {
                removals.tombstones.insert(Ipv4Addr::new(10, 0, 0, member), word);
            }
            Known { generation, removals }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_all_know_the_same(
            a in any_known(), b in any_known(), c in any_known(),
        ) {
            let ab = a.clone().join(&b);
            prop_assert_eq!(&ab, &b.clone().join(&a));
            prop_assert_eq!(ab.clone().join(&c), a.clone().join(&b.join(&c)));
            prop_assert_eq!(&ab.clone().join(&a), &ab);
            prop_assert_eq!(&ab.clone().join(&ab), &ab);
        }

        #[test]
        fn a_removal_is_not_undone_by_a_word_that_is_not_later(
            one in any_tombstone(), other in any_tombstone(),
        ) {
            let member = Ipv4Addr::new(10, 0, 0, 1);
            let mut removals = Removals::default();
            removals.join_tombstone(member, one);
            removals.join_tombstone(member, other);
            let removed = |word: &Tombstone| word.standing == Standing::Removed;
            if removed(&one) && other.count <= one.count {
                prop_assert!(removals.refuses(member));
            }
        }

        #[test]
        fn the_row_reads_back(known in any_known()) {
            let mut removals = known.removals;
            removals.leases.push(SidLease {
                sids: vec![policy::Sid(7)],
                until: Some(PseudoTime::from_secs(9)),
            });
            removals.spis.push((Spi(0x0123_4567), PseudoTime::from_secs(9)));
            let mut w = Writer::new();
            removals.write_row(&mut w);
            let octets = w.finish().unwrap();
            let mut r = Reader::new("removals", &octets);
            prop_assert_eq!(Removals::read_row(&mut r).unwrap(), removals);
            r.end().unwrap();
        }
    }
}

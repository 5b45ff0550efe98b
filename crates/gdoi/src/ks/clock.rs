//! The group's clock as a key server keeps it (PROTOCOL P27).
//!
//! Knows which generation it is of and whether it was lost. Whose clock counts is decided where key
//! servers meet, in `coop::clock`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ::policy::tbar::PseudoClock;
use ::policy::{ClockGeneration, PseudoTime, Time};

use crate::limits::CLOCK_MARK;

/// Members that have taken no stamp of the clock yet since it has its name. The first one that they
/// take is all that they know of it, so it must not be that of an old copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Untimed {
    since: Time,
    members: BTreeSet<Ipv4Addr>,
}

impl Untimed {
    /// The clock is named: nobody knows it.
    pub(super) fn of(now: Time, members: impl Iterator<Item = Ipv4Addr>) -> Self {
        Self {
            since: now,
            members: members.collect(),
        }
    }

    /// A member has taken a stamp that was made then.
    pub(super) fn heard(&mut self, member: Ipv4Addr, stamped: Time) {
        if stamped >= self.since {
            self.members.remove(&member);
        }
    }

    /// The members.
    pub(crate) const fn members(&self) -> &BTreeSet<Ipv4Addr> {
        &self.members
    }
}

/// An offset on the boot clock, of a generation.
#[derive(Copy, Clone, Debug)]
pub(crate) struct GroupClock {
    reading: PseudoClock,
    generation: ClockGeneration,
    is_lost: bool,
    /// When it was written down last.
    marked: Time,
}

impl GroupClock {
    /// The clock of a group that begins now.
    pub(crate) fn beginning(now: Time) -> Self {
        Self {
            reading: PseudoClock::reading(PseudoTime::ZERO, now),
            generation: ClockGeneration::default(),
            is_lost: false,
            marked: now,
        }
    }

    /// The clock that an earlier run left.
    pub(crate) const fn restored(
        reading: PseudoClock,
        generation: ClockGeneration,
        is_lost: bool,
    ) -> Self {
        Self {
            reading,
            generation,
            is_lost,
            marked: Time::ZERO,
        }
    }

    /// It is being written down.
    pub(super) const fn mark(&mut self, now: Time) {
        self.marked = now;
    }

    /// When it is to be written down again: a machine that loses its power goes on from there.
    pub(super) fn mark_due(&self) -> Time {
        self.marked + CLOCK_MARK
    }

    /// Which clock it is.
    pub(crate) const fn generation(&self) -> ClockGeneration {
        self.generation
    }

    /// Whether what it reads is a guess: the machine was off, and nobody has told the group's time
    /// since.
    pub(crate) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The pseudotime at core time `now`.
    pub(crate) fn at(&self, now: Time) -> PseudoTime {
        self.reading.at(now)
    }

    /// The core time at which it reads `pseudotime`.
    pub(crate) fn time_of(&self, pseudotime: PseudoTime) -> Time {
        self.reading.time_of(pseudotime)
    }

    /// It reads `pseudotime` at core time `now`, as somebody who knows said.
    pub(crate) fn set(&mut self, pseudotime: PseudoTime, now: Time) {
        self.reading = PseudoClock::reading(pseudotime, now);
        self.is_lost = false;
    }

    /// What it reads is of this generation from now on.
    pub(crate) const fn name(&mut self, generation: ClockGeneration) {
        self.generation = generation;
        self.is_lost = false;
    }
}

//! Pseudotime: the group's clock, and the arithmetic of time-based anti-replay.
//!
//! Decides nothing about where a pseudotime comes from (PROTOCOL P27); it is an offset on core time.

use std::fmt;
use std::time::Duration;

use crate::group::KsIndex;
use crate::time::Time;

/// A reading of the group's clock, nanoseconds since the group's pseudotime began.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PseudoTime(u64);

impl PseudoTime {
    /// The beginning of the group's pseudotime.
    pub const ZERO: Self = Self(0);

    /// `nanos` nanoseconds after the beginning.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `secs` seconds after the beginning.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the beginning.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The span from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This pseudotime moved forward.
    #[must_use]
    #[inline]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// This pseudotime moved back, not before the beginning.
    #[must_use]
    #[inline]
    pub fn before(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Seconds with two decimals, as `Replay Value` shows it.
impl fmt::Display for PseudoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:02}",
            self.0 / 1_000_000_000,
            self.0 / 10_000_000 % 100
        )
    }
}

/// Which clock a pseudotime is of. A key server that lost the group's clock opens the next
/// generation; pseudotimes of two generations differ by nobody knows how much (PROTOCOL P27).
///
/// The index of who opened it is in its last four bits, so that two key servers never open the
/// same one.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockGeneration(pub u32);

impl ClockGeneration {
    /// The generation that `by` opens after this one; the last one stays itself.
    #[must_use]
    pub fn next(self, by: KsIndex) -> Self {
        let next = (self.0 | 15).checked_add(1);
        Self(next.map_or(self.0, |next| next | u32::from(by.get())))
    }
}

/// The pseudotime as an offset on core time: what a key server keeps and a member adopts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PseudoClock {
    offset_ns: i128,
}

impl PseudoClock {
    /// The clock that reads `pseudotime` at core time `now`.
    #[must_use]
    pub fn reading(pseudotime: PseudoTime, now: Time) -> Self {
        Self {
            offset_ns: i128::from(pseudotime.0) - i128::from(now.as_nanos()),
        }
    }

    /// The pseudotime at core time `now`.
    #[must_use]
    #[inline]
    pub fn at(&self, now: Time) -> PseudoTime {
        let nanos = (i128::from(now.as_nanos()) + self.offset_ns).max(0);
        PseudoTime(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The times of a record in this clock, which has taken the place of `before` at `now`. What was
    /// sent on goes on being sent on, and what is not yet begins when this clock says so, as for all
    /// who ask a key server later. It ends when both clocks have it so (PROTOCOL P27).
    #[must_use]
    pub fn retimed(
        &self,
        before: &Self,
        now: Time,
        (activation, expiry): (PseudoTime, PseudoTime),
    ) -> (PseudoTime, PseudoTime) {
        let moved = |at: PseudoTime| {
            let nanos = i128::from(at.0) + self.offset_ns - before.offset_ns;
            PseudoTime(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
        };
        let begun = activation <= before.at(now);
        let activation = if begun {
            activation.min(moved(activation))
        } else {
            activation
        };
        (activation, expiry.max(moved(expiry)))
    }

    /// The core time at which this clock reads `pseudotime`; the origin for what lies before it.
    #[must_use]
    pub fn time_of(&self, pseudotime: PseudoTime) -> Time {
        let nanos = (i128::from(pseudotime.0) - self.offset_ns).max(0);
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lives_as_long_as_the_clock_before_and_the_new_one_say() {
        let (at, now) = (PseudoTime::from_secs, Time::from_secs(50));
        let reading = |s| PseudoClock::reading(at(s), now);
        let retimed = |s, life| reading(s).retimed(&reading(1_000), now, life);
        let running = (at(900), at(1_100));
        assert_eq!(retimed(1_300, running), (at(900), at(1_400)));
        assert_eq!(retimed(300, running), (at(200), at(1_100)));
        assert_eq!(retimed(50, running), (at(0), at(1_100)));
        let next = (at(1_070), at(1_200));
        assert_eq!(retimed(1_300, next), (at(1_070), at(1_500)));
        assert_eq!(retimed(300, next), (at(1_070), at(1_200)));
    }

    #[test]
    fn two_key_servers_open_two_generations_both_newer_than_the_one_before() {
        let index = |n| KsIndex::new(n).unwrap();
        let first = ClockGeneration::default();
        let (a, b) = (first.next(index(0)), first.next(index(15)));
        assert_eq!((a, b), (ClockGeneration(16), ClockGeneration(31)));
        assert!(first < a && a < b && b < a.next(index(0)));
        let last = ClockGeneration(u32::MAX);
        assert_eq!(last.next(index(3)), last);
    }

    #[test]
    fn a_clock_reads_what_it_was_set_to_and_goes_on() {
        let clock = PseudoClock::reading(PseudoTime::from_secs(100), Time::from_secs(7));
        assert_eq!(clock.at(Time::from_secs(8)), PseudoTime::from_secs(101));
        assert_eq!(
            clock.time_of(PseudoTime::from_secs(103)),
            Time::from_secs(10)
        );
        assert_eq!(
            PseudoTime::from_nanos(625_866_260_000_000).to_string(),
            "625866.26"
        );
    }
}

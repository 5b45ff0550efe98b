//! Pseudotime: the group's clock, and the arithmetic of time-based anti-replay.
//!
//! Decides nothing about where a pseudotime comes from (PROTOCOL P27); it is an offset on core time.

use std::fmt;
use std::time::Duration;

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

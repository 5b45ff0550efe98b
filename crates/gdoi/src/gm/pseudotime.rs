//! The group's clock as a member reads it.
//!
//! Takes stamps of verified messages only, and decides which of them to believe. Delay makes a
//! stamp old, never new, so the latest reading counts; a PULL's round trip bounds it from above.

use policy::tbar::PseudoClock;
use policy::{PseudoTime, Time};

/// How far two crystals may drift apart, in millionths: each is wrong by 200 at most (PROTOCOL P27).
/// With no room above that, a stamp that was a little slower than the last that was believed would
/// not be believed for hours.
const DRIFT_PPM: i128 = 500;
/// A stamp that is further ahead of what can be is no drift.
const JUMP_NS: i128 = 1_000_000_000;

/// An offset from core time to pseudotime, in nanoseconds, that was right at `taken`.
#[derive(Copy, Clone)]
struct Bound {
    offset_ns: i128,
    taken: Time,
}

impl Bound {
    fn of(stamp: PseudoTime, at: Time) -> Self {
        Self {
            offset_ns: i128::from(stamp.as_nanos()) - i128::from(at.as_nanos()),
            taken: at,
        }
    }

    fn drift_ns(&self, now: Time) -> i128 {
        i128::try_from(now.since(self.taken).as_nanos()).unwrap_or(i128::MAX / DRIFT_PPM)
            * DRIFT_PPM
            / 1_000_000
    }
}

/// The member's estimate of one key server's pseudotime.
#[derive(Clone, Default)]
pub(super) struct PseudoTimeFilter {
    latest: Option<Bound>,
    ceiling: Option<Bound>,
}

impl PseudoTimeFilter {
    /// A clock that no key server gives: what a plain key server's delays are counted in.
    pub(super) fn free_running(now: Time) -> Self {
        Self {
            latest: Some(Bound::of(PseudoTime::from_nanos(now.as_nanos()), now)),
            ceiling: None,
        }
    }

    /// A stamp came in a verified message at `now`. Says whether the reading changed.
    ///
    /// A stamp that is further ahead than any drift explains is a key server that set its clock on,
    /// after it had lost it: what was known of the old clock is worth nothing then.
    //= getvpn P27
    pub(super) fn stamped(&mut self, stamp: PseudoTime, now: Time) -> bool {
        let sample = Bound::of(stamp, now);
        if self.ceiling_ns(now).saturating_add(JUMP_NS) < sample.offset_ns {
            self.ceiling = None;
        }
        let newer = self
            .latest
            .is_none_or(|held| sample.offset_ns > held.offset_ns - held.drift_ns(now));
        if newer {
            self.latest = Some(sample);
        }
        newer
    }

    /// A stamp came in the answer to a question of ours that left at `asked`: the key server's
    /// clock read `stamp` at some time between the two. A reading that cannot be is given up. Says
    /// whether the clock was set back by more than any drift explains.
    pub(super) fn answered(&mut self, stamp: PseudoTime, asked: Time, answered: Time) -> bool {
        let (lower, upper) = (Bound::of(stamp, answered), Bound::of(stamp, asked));
        let set_back = self.is_set_back(stamp, asked, answered);
        if self.floor_ns(answered) > upper.offset_ns || self.ceiling_ns(answered) < lower.offset_ns
        {
            (self.latest, self.ceiling) = (None, None);
        }
        if upper.offset_ns < self.ceiling_ns(answered) {
            self.ceiling = Some(Bound {
                taken: answered,
                ..upper
            });
        }
        self.stamped(stamp, answered);
        set_back
    }

    /// Whether that answer shows a clock that was set back by more than any drift explains.
    pub(super) fn is_set_back(&self, stamp: PseudoTime, asked: Time, answered: Time) -> bool {
        self.floor_ns(answered) > Bound::of(stamp, asked).offset_ns + JUMP_NS
    }

    fn floor_ns(&self, now: Time) -> i128 {
        self.latest
            .map_or(i128::MIN, |held| held.offset_ns - held.drift_ns(now))
    }

    fn ceiling_ns(&self, now: Time) -> i128 {
        self.ceiling
            .map_or(i128::MAX, |held| held.offset_ns + held.drift_ns(now))
    }

    /// The clock to use from `now` on; `None` before the first stamp.
    pub(super) fn clock(&self, now: Time) -> Option<PseudoClock> {
        let latest = self.latest?;
        let offset_ns = latest.offset_ns.min(self.ceiling_ns(now));
        let reading = i128::from(now.as_nanos()) + offset_ns;
        let nanos = u64::try_from(reading.max(0)).unwrap_or(u64::MAX);
        Some(PseudoClock::reading(PseudoTime::from_nanos(nanos), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading_s(filter: &PseudoTimeFilter, at_s: u64) -> f64 {
        let now = Time::from_secs(at_s);
        let clock = filter.clock(now).unwrap();
        clock.at(now).as_nanos() as f64 / 1e9
    }

    #[test]
    fn the_stamp_that_was_delayed_least_counts() {
        let mut filter = PseudoTimeFilter::default();
        assert!(filter.clock(Time::ZERO).is_none());
        assert!(filter.stamped(PseudoTime::from_secs(997), Time::from_secs(10)));
        assert!(filter.stamped(PseudoTime::from_secs(1_000), Time::from_secs(11)));
        assert!(!filter.stamped(PseudoTime::from_secs(1_000), Time::from_secs(12)));
        assert!((reading_s(&filter, 12) - 1_001.0).abs() < 1e-6);
    }

    #[test]
    fn after_hours_without_a_better_stamp_the_old_one_gives_way() {
        let mut filter = PseudoTimeFilter::default();
        filter.stamped(PseudoTime::from_secs(100), Time::from_secs(100));
        let day = 86_400;
        let ten_late = PseudoTime::from_secs(100 + day - 10);
        assert!(filter.stamped(ten_late, Time::from_secs(100 + day)));
        assert!((reading_s(&filter, 100 + day) - (90.0 + day as f64)).abs() < 1e-6);
    }

    /// The worst crystals and a network whose delay varies by 30 ms: the reading stays within half of
    /// the smallest usual window of 10 s.
    #[test]
    fn the_worst_crystals_do_not_carry_a_member_away_from_its_key_server() {
        let mut filter = PseudoTimeFilter::default();
        let group = |s: u64| PseudoTime::from_nanos(s * 1_000_000_000 - s * 400_000);
        for s in (0..86_400).step_by(80) {
            let delay_ms = if s == 0 { 0 } else { 20 + s % 31 };
            let at = Time::from_millis(s * 1_000 + delay_ms);
            filter.stamped(group(s), at);
            let ahead = reading_s(&filter, s) - group(s).as_nanos() as f64 / 1e9;
            assert!(ahead.abs() < 1.0, "{ahead} s after {s} s");
        }
    }

    #[test]
    fn the_round_trip_of_a_pull_bounds_the_reading() {
        let mut filter = PseudoTimeFilter::default();
        filter.answered(
            PseudoTime::from_secs(500),
            Time::from_secs(10),
            Time::from_secs(12),
        );
        assert!((reading_s(&filter, 12) - 500.0).abs() < 1e-6);
        filter.stamped(PseudoTime::from_nanos(503_900_000_000), Time::from_secs(13));
        assert!((reading_s(&filter, 13) - 503.0).abs() < 0.01);
    }

    #[test]
    fn a_key_server_that_sets_its_clock_on_or_back_is_followed() {
        let mut filter = PseudoTimeFilter::default();
        let at = Time::from_secs;
        assert!(!filter.answered(PseudoTime::from_secs(500), at(10), at(12)));
        filter.stamped(PseudoTime::from_secs(803), at(13));
        assert!((reading_s(&filter, 13) - 803.0).abs() < 1e-6);
        assert!(!filter.answered(PseudoTime::from_secs(810), at(19), at(20)));
        assert!(filter.answered(PseudoTime::from_secs(100), at(20), at(21)));
        assert!((reading_s(&filter, 21) - 100.0).abs() < 1e-6);
    }
}

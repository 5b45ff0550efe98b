//! The group's clock as a member reads it.
//!
//! Takes stamps of verified messages only, and decides which of them to believe. Delay makes a
//! stamp old, never new, so the latest reading counts; a PULL's round trip bounds it from above.

use policy::tbar::PseudoClock;
use policy::{ClockGeneration, PseudoTime, Time};

use event::Gdoi;

use super::Member;
use crate::context::Context;
use crate::machine::Output;
use crate::private::GroupStamp;

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

/// What became of a stamp.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It says nothing new: it was delayed, or is of a clock that was left behind.
    Nothing,
    /// The reading is a little better.
    Better,
    /// It is of another clock, by a newer generation or because the one before was set on by more
    /// than any drift explains: what is held ends when both clocks say so.
    Anew,
    /// The clock was set back by more than any drift explains, and no key server says that it was
    /// lost: what is held of the time before has no end that is known.
    SetBack,
}

/// The member's estimate of the group's pseudotime.
#[derive(Clone, Default)]
pub(super) struct PseudoTimeFilter {
    generation: ClockGeneration,
    latest: Option<Bound>,
    ceiling: Option<Bound>,
}

impl PseudoTimeFilter {
    /// A clock that no key server gives: what a plain key server's delays are counted in.
    pub(super) fn free_running(now: Time) -> Self {
        Self {
            latest: Some(Bound::of(PseudoTime::from_nanos(now.as_nanos()), now)),
            ..Self::default()
        }
    }

    /// Which clock it reads.
    pub(super) const fn generation(&self) -> ClockGeneration {
        self.generation
    }

    /// A stamp came in a verified message at `now`.
    ///
    /// A key server that lost the group's clock names a newer generation: nothing that was known of
    /// the one before counts then, and of those the stamps that are still on their way.
    //= getvpn P27
    pub(super) fn stamped(&mut self, stamp: &GroupStamp, now: Time) -> Read {
        if stamp.clock_generation < self.generation {
            return Read::Nothing;
        }
        let anew = self.latest.is_some() && stamp.clock_generation > self.generation;
        if anew {
            *self = Self::default();
        }
        self.generation = stamp.clock_generation;
        let sample = Bound::of(stamp.pseudotime, now);
        let set_on = self.ceiling_ns(now).saturating_add(JUMP_NS) < sample.offset_ns;
        if set_on {
            self.ceiling = None;
        }
        let newer = self
            .latest
            .is_none_or(|held| sample.offset_ns > held.offset_ns - held.drift_ns(now));
        if newer {
            self.latest = Some(sample);
        }
        match (anew || set_on, newer) {
            (true, _) => Read::Anew,
            (false, true) => Read::Better,
            (false, false) => Read::Nothing,
        }
    }

    /// A stamp came in the answer to a question of ours that left at `asked`: the key server's
    /// clock read `stamp` at some time between the two. A reading that cannot be is given up.
    pub(super) fn answered(&mut self, stamp: &GroupStamp, asked: Time, answered: Time) -> Read {
        let (lower, upper) = (
            Bound::of(stamp.pseudotime, answered),
            Bound::of(stamp.pseudotime, asked),
        );
        let set_back = self.is_set_back(stamp, asked, answered);
        let cannot_be = self.floor_ns(answered) > upper.offset_ns
            || self.ceiling_ns(answered) < lower.offset_ns;
        let was_read = self.latest.is_some();
        let anew = was_read && stamp.clock_generation > self.generation;
        // Whom this member registers with has the last word, also with an older clock.
        if cannot_be || stamp.clock_generation != self.generation {
            *self = Self {
                generation: stamp.clock_generation,
                ..Self::default()
            };
        }
        if upper.offset_ns < self.ceiling_ns(answered) {
            self.ceiling = Some(Bound {
                taken: answered,
                ..upper
            });
        }
        match self.stamped(stamp, answered) {
            _ if set_back => Read::SetBack,
            _ if anew => Read::Anew,
            read @ (Read::Nothing | Read::Better | Read::Anew | Read::SetBack) => read,
        }
    }

    /// Whether that answer shows a clock that was set back by more than any drift explains, though
    /// it is no newer one.
    pub(super) fn is_set_back(&self, stamp: &GroupStamp, asked: Time, answered: Time) -> bool {
        stamp.clock_generation <= self.generation
            && self.floor_ns(answered) > Bound::of(stamp.pseudotime, asked).offset_ns + JUMP_NS
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

impl Member {
    /// The reading changed: what is held goes by it from now on.
    pub(super) fn follow_clock(&mut self, cx: &mut Context<'_>, stamp: &GroupStamp, read: Read) {
        let anew = read == Read::Anew;
        if anew {
            self.report_pseudotime(cx, stamp.pseudotime);
            // What has ended by the clock before does not come back to life.
            self.expire(cx);
        }
        let Some((held, clock)) = self.held.as_mut().zip(self.clock.clock(cx.now)) else {
            return;
        };
        if anew {
            held.follow(cx.now, clock);
        } else {
            held.clock = clock;
        }
        let group = self.config.group.clone();
        cx.out.push(Output::SetClock { group, clock, anew });
    }

    /// A key server's clock differs from what this member goes by, if that is by more than drift.
    pub(super) fn report_pseudotime(&self, cx: &mut Context<'_>, stamp: PseudoTime) {
        let Some(own) = self.held.as_ref().map(|held| held.clock.at(cx.now)) else {
            return;
        };
        let apart = stamp.since(own).max(own.since(stamp));
        if apart.as_nanos() > JUMP_NS.unsigned_abs() {
            cx.out.report(Gdoi::PSEUDO_TIME_LARGE {
                ks_s: stamp.as_secs(),
                gm_s: own.as_secs(),
                group: self.config.group.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(generation: u32, pseudotime: PseudoTime) -> GroupStamp {
        GroupStamp {
            pseudotime,
            clock_generation: ClockGeneration(generation),
            stamped_by: policy::KsIndex::default(),
            generation: policy::Generation::default(),
        }
    }

    fn stamp_s(s: u64) -> GroupStamp {
        of(0, PseudoTime::from_secs(s))
    }

    const fn at(s: u64) -> Time {
        Time::from_secs(s)
    }

    fn reading_s(filter: &PseudoTimeFilter, at_s: u64) -> f64 {
        let now = Time::from_secs(at_s);
        let clock = filter.clock(now).unwrap();
        clock.at(now).as_nanos() as f64 / 1e9
    }

    #[test]
    fn the_stamp_that_was_delayed_least_counts() {
        let mut filter = PseudoTimeFilter::default();
        assert!(filter.clock(Time::ZERO).is_none());
        assert_eq!(filter.stamped(&stamp_s(997), at(10)), Read::Better);
        assert_eq!(filter.stamped(&stamp_s(1_000), at(11)), Read::Better);
        assert_eq!(filter.stamped(&stamp_s(1_000), at(12)), Read::Nothing);
        assert!((reading_s(&filter, 12) - 1_001.0).abs() < 1e-6);
    }

    #[test]
    fn after_hours_without_a_better_stamp_the_old_one_gives_way() {
        let mut filter = PseudoTimeFilter::default();
        filter.stamped(&stamp_s(100), at(100));
        let day = 86_400;
        let ten_late = stamp_s(100 + day - 10);
        assert_eq!(filter.stamped(&ten_late, at(100 + day)), Read::Better);
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
            filter.stamped(&of(0, group(s)), at);
            let ahead = reading_s(&filter, s) - group(s).as_nanos() as f64 / 1e9;
            assert!(ahead.abs() < 1.0, "{ahead} s after {s} s");
        }
    }

    #[test]
    fn the_round_trip_of_a_pull_bounds_the_reading() {
        let mut filter = PseudoTimeFilter::default();
        filter.answered(&stamp_s(500), at(10), at(12));
        assert!((reading_s(&filter, 12) - 500.0).abs() < 1e-6);
        filter.stamped(&of(0, PseudoTime::from_nanos(503_900_000_000)), at(13));
        assert!((reading_s(&filter, 13) - 503.0).abs() < 0.01);
    }

    #[test]
    fn a_key_server_that_sets_its_clock_on_or_back_is_followed() {
        let mut filter = PseudoTimeFilter::default();
        let began = filter.answered(&stamp_s(500), at(10), at(12));
        assert_eq!(began, Read::Better);
        assert_eq!(filter.stamped(&stamp_s(803), at(13)), Read::Anew);
        assert!((reading_s(&filter, 13) - 803.0).abs() < 1e-6);
        let known = filter.answered(&stamp_s(810), at(19), at(20));
        assert_ne!(known, Read::SetBack);
        let back = filter.answered(&stamp_s(100), at(20), at(21));
        assert_eq!(back, Read::SetBack);
        assert!((reading_s(&filter, 21) - 100.0).abs() < 1e-6);
    }

    #[test]
    fn a_newer_generation_is_followed_back_and_stamps_of_the_one_before_count_no_more() {
        let mut filter = PseudoTimeFilter::default();
        filter.answered(&stamp_s(5_000), at(10), at(10));
        let lost = |s| of(17, PseudoTime::from_secs(s));
        assert_eq!(filter.stamped(&lost(300), at(20)), Read::Anew);
        assert_eq!(filter.stamped(&stamp_s(5_011), at(21)), Read::Nothing);
        assert!((reading_s(&filter, 21) - 301.0).abs() < 1e-6);
        assert_eq!(filter.stamped(&lost(302), at(22)), Read::Better);
        assert_eq!(filter.generation(), ClockGeneration(17));
        // A registration counts, whatever it is by; the keys of a time that is gone then end.
        let later = filter.answered(&of(32, PseudoTime::from_secs(100)), at(30), at(31));
        assert_eq!(later, Read::Anew);
        let older = filter.answered(&lost(50), at(40), at(41));
        assert_eq!(older, Read::SetBack);
        assert_eq!(filter.generation(), ClockGeneration(17));
        assert!((reading_s(&filter, 41) - 50.0).abs() < 1e-6);
    }
}

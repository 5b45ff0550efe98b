//! The clocks of one box: core time that drifts, and a wall clock that may be stepped.
//!
//! Core time is an affine map of the world's time and never goes back. Stepping the wall clock does
//! not touch it, as on a real machine (PROTOCOL P27).

use policy::{Time, WallClock};

/// The wall clock at the beginning: 2026-01-01 00:00 UTC.
const WALL_START_MS: i64 = 1_767_225_600_000;
const MILLION: i128 = 1_000_000;

/// A box's crystal and its wall clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeClock {
    world: Time,
    local: Time,
    drift_ppm: i128,
    step_ms: i64,
}

impl NodeClock {
    /// From `now` on the crystal is so much too fast.
    pub(crate) fn drift(&mut self, now: Time, ppm: i32) {
        (self.local, self.world) = (self.local(now), now);
        self.drift_ppm = i128::from(ppm);
    }

    /// The machine boots: core time begins anew.
    pub(crate) fn restart(&mut self, now: Time, local: Time) {
        (self.local, self.world) = (local, now);
    }

    /// Somebody sets the wall clock.
    pub(crate) const fn step_wall(&mut self, by_ms: i64) {
        self.step_ms += by_ms;
    }

    /// What the box's core clock reads.
    pub(crate) fn local(&self, world: Time) -> Time {
        let passed = nanos(world) - nanos(self.world);
        time(nanos(self.local) + passed + passed * self.drift_ppm / MILLION)
    }

    /// The first moment at which the core clock reads `local` or more.
    pub(crate) fn world(&self, local: Time) -> Time {
        if local <= self.local {
            return self.world;
        }
        let ahead = nanos(local) - nanos(self.local);
        let mut world = time(nanos(self.world) + ahead * MILLION / (MILLION + self.drift_ppm));
        while self.local(world) < local {
            world = Time::from_nanos(world.as_nanos().saturating_add(1));
            if world == Time::MAX {
                break;
            }
        }
        world
    }

    /// What the box's wall clock reads.
    pub(crate) fn wall(&self, world: Time) -> WallClock {
        let millis = i64::try_from(world.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        WallClock {
            unix_ms: WALL_START_MS
                .saturating_add(millis)
                .saturating_add(self.step_ms),
            synchronised: true,
        }
    }
}

fn nanos(time: Time) -> i128 {
    i128::from(time.as_nanos())
}

fn time(nanos: i128) -> Time {
    Time::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drifting_clock_is_inverted_exactly_and_a_step_of_the_wall_does_not_move_it() {
        for ppm in [-200, -1, 0, 7, 200] {
            let mut clock = NodeClock::default();
            clock.drift(Time::from_secs(1_000), ppm);
            for local in [1, 999_999_999_999, 1_000_000_000_000, 86_400_123_456_789] {
                let local = Time::from_nanos(local);
                let world = clock.world(local);
                assert!(clock.local(world) >= local, "{ppm} {local:?}");
                let before = Time::from_nanos(world.as_nanos().saturating_sub(1));
                assert!(clock.local(before) < local || world == Time::from_secs(1_000));
            }
            let day = Time::from_secs(86_400);
            let (core, wall) = (clock.local(day), clock.wall(day).unix_ms);
            clock.step_wall(-86_400_000);
            assert_eq!(clock.local(day), core);
            assert_eq!(clock.wall(day).unix_ms, wall - 86_400_000);
        }
    }

    #[test]
    fn a_day_of_200_ppm_is_17_seconds() {
        let mut clock = NodeClock::default();
        clock.drift(Time::ZERO, 200);
        assert_eq!(
            clock.local(Time::from_secs(86_400)).as_nanos(),
            86_417_280_000_000
        );
    }
}

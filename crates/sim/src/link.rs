//! What a link does to a packet: delay, loss, duplication, reordering, cut. Pure and seeded.

use std::time::Duration;

use crypto::{Rng, SeededRng};
use policy::Time;

/// Parts per million.
pub type Ppm = u32;

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Time on the way.
    pub delay: Duration,
    /// Up to so much more, equally distributed.
    pub jitter: Duration,
    /// How many packets are lost.
    pub loss: Ppm,
    /// How many arrive twice.
    pub duplication: Ppm,
    /// How many wait for `reorder_wait`, so that later ones overtake them.
    pub reordering: Ppm,
    /// How long a reordered packet waits.
    pub reorder_wait: Duration,
    /// Nothing passes.
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            reordering: 0,
            reorder_wait: Duration::from_millis(20),
            cut: false,
        }
    }
}

impl Link {
    /// When a packet that is sent at `now` arrives: never, once, or twice.
    pub fn offer(&self, now: Time, rng: &mut dyn Rng) -> Arrivals {
        if self.cut || happens(self.loss, rng) {
            return Arrivals::default();
        }
        let mut arrivals = Arrivals {
            first: Some(self.arrival(now, rng)),
            second: None,
        };
        if happens(self.duplication, rng) {
            arrivals.second = Some(self.arrival(now, rng));
        }
        arrivals
    }

    fn arrival(&self, now: Time, rng: &mut dyn Rng) -> Time {
        let mut at = now + self.delay;
        if !self.jitter.is_zero() {
            let span = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
            at += Duration::from_nanos(below(span.saturating_add(1), rng));
        }
        if happens(self.reordering, rng) {
            at += self.reorder_wait;
        }
        at
    }
}

/// One direction of a link with dice of its own.
pub struct Way {
    link: Link,
    dice: SeededRng,
}

impl Way {
    /// The direction; the same seed does the same to the same packets.
    #[must_use]
    pub fn new(link: Link, seed: u64) -> Self {
        let dice = SeededRng::from_number(seed);
        Self { link, dice }
    }

    /// When a packet that is sent at `now` arrives: never, once, or twice.
    pub fn offer(&mut self, now: Time) -> Arrivals {
        self.link.offer(now, &mut self.dice)
    }
}

/// Arrival times of one packet.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    first: Option<Time>,
    second: Option<Time>,
}

impl Iterator for Arrivals {
    type Item = Time;
    fn next(&mut self) -> Option<Time> {
        self.first.take().or_else(|| self.second.take())
    }
}

/// A number below `bound`, which must not be 0.
pub fn below(bound: u64, rng: &mut dyn Rng) -> u64 {
    let mut octets = [0; 8];
    rng.fill(&mut octets);
    // The bias of the remainder is bound / 2^64: far below what any scenario can see.
    u64::from_le_bytes(octets) % bound
}

pub(crate) fn happens(chance: Ppm, rng: &mut dyn Rng) -> bool {
    chance > 0 && below(1_000_000, rng) < u64::from(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_duplication_come_as_often_as_they_are_asked_for() {
        let link = Link {
            loss: 100_000,
            duplication: 50_000,
            ..Link::default()
        };
        let mut rng = SeededRng::from_number(1);
        let mut counts = [0; 3];
        for _ in 0..20_000 {
            counts[link.offer(Time::ZERO, &mut rng).count()] += 1;
        }
        assert!((1_800..2_200).contains(&counts[0]), "{counts:?}");
        assert!((780..1_020).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn a_seed_replays_and_a_cut_link_passes_nothing() {
        let link = Link {
            jitter: Duration::from_millis(9),
            ..Link::default()
        };
        let run = |seed| {
            let mut rng = SeededRng::from_number(seed);
            (0..50)
                .map(|_| link.offer(Time::ZERO, &mut rng).next())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let cut = Link { cut: true, ..link };
        assert_eq!(
            cut.offer(Time::ZERO, &mut SeededRng::from_number(1))
                .count(),
            0
        );
    }
}

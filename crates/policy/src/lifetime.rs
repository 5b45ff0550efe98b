//! When rekeys leave, when members register again: the arithmetic of lifetimes.
//!
//! The constants are those of the reference system (mission sections 2.2 and 2.3). For traffic key
//! lifetimes below 600 seconds all of them shrink in proportion, so that a short lifetime behaves
//! like a long one in fast motion.

use std::time::Duration;

/// Below this a TEK lifetime is accepted with a warning, seconds.
pub const TEK_LIFETIME_WARN_S: u32 = 120;
/// From this TEK lifetime on the constants are not shrunk, seconds.
const FULL_SCALE_S: u32 = 600;
/// Shortest time between two copies of a rekey.
const RETRANSMIT_PERIOD_MIN: Duration = Duration::from_millis(500);

/// The times of one group, made from its configured lifetimes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    tek_lifetime_s: u32,
    retransmit_period_s: u16,
    retransmit_number: u16,
    takeover: Duration,
}

impl Schedule {
    /// The schedule for a TEK lifetime and `rekey retransmit PERIOD number NUMBER`.
    #[must_use]
    pub const fn new(
        tek_lifetime_s: u32,
        retransmit_period_s: u16,
        retransmit_number: u16,
    ) -> Self {
        Self {
            tek_lifetime_s,
            retransmit_period_s,
            retransmit_number,
            takeover: Duration::ZERO,
        }
    }

    /// The same where another key server takes over `span` after the death of the primary, at most.
    #[must_use]
    pub const fn with_takeover(self, span: Duration) -> Self {
        Self {
            takeover: span,
            ..self
        }
    }

    /// A constant of the reference, shrunk for a short lifetime.
    #[must_use]
    pub fn scaled(&self, constant: Duration) -> Duration {
        constant * self.tek_lifetime_s.min(FULL_SCALE_S) / FULL_SCALE_S
    }

    /// Time between two copies of a rekey.
    #[must_use]
    pub fn retransmit_period(&self) -> Duration {
        let period = Duration::from_secs(u64::from(self.retransmit_period_s));
        self.scaled(period).max(RETRANSMIT_PERIOD_MIN)
    }

    /// How many copies of an unacknowledged rekey follow the first: what fits into the shrunk span
    /// and into a quarter of the lifetime, so that one rekey is over before the next begins; at
    /// least one if any is configured.
    #[must_use]
    pub fn retransmit_number(&self) -> u16 {
        let scale = self.tek_lifetime_s.min(FULL_SCALE_S);
        let shrunk = u128::from(u32::from(self.retransmit_number) * scale / FULL_SCALE_S);
        let quarter_ms = u128::from(self.tek_lifetime_s) * 250;
        let fitting = quarter_ms / self.retransmit_period().as_millis();
        u16::try_from(shrunk.min(fitting))
            .unwrap_or(u16::MAX)
            .max(self.retransmit_number.min(1))
    }

    /// From the first copy of a rekey until no further copy is sent.
    #[must_use]
    pub fn retransmit_span(&self) -> Duration {
        self.retransmit_period() * u32::from(self.retransmit_number())
    }

    /// How long before a TEK's expiry the rekey with its successor leaves.
    ///
    /// 90 seconds or 5 % of the lifetime, the time of all copies, and a batch of members; never
    /// more than half of the lifetime.
    #[must_use]
    pub fn tek_lead(&self) -> Duration {
        let lifetime = Duration::from_secs(u64::from(self.tek_lifetime_s));
        let base = self.scaled(Duration::from_secs(90)).max(lifetime / 20);
        (base + self.retransmit_span() + self.batch()).min(lifetime / 2)
    }

    /// How long before a KEK's expiry the rekey with its successor leaves: a primary that dies just
    /// before that leaves another one the time to send it.
    #[must_use]
    pub fn kek_lead(&self, kek_lifetime_s: u32) -> Duration {
        let lifetime = Duration::from_secs(u64::from(kek_lifetime_s));
        let base = self.scaled(Duration::from_secs(200)).max(self.takeover);
        (base + self.retransmit_span() + self.batch()).min(lifetime / 2)
    }

    /// From one TEK's activation to the next one's.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_secs(u64::from(self.tek_lifetime_s)).saturating_sub(self.overlap())
    }

    /// How long before the old TEK's expiry members begin to send on the new one.
    #[must_use]
    pub fn overlap(&self) -> Duration {
        self.scaled(Duration::from_secs(30))
    }

    /// The least time from sending a TEK to sending on it: every copy has left, `spread` over the
    /// batches of members, and had time to arrive, so nobody sends on what another does not hold.
    #[must_use]
    pub fn activation_delay(&self, spread: Duration) -> Duration {
        self.retransmit_span() + spread + self.batch().max(Duration::from_secs(1))
    }

    /// How long after its expiry a TEK is still received on: what is on the way arrives.
    #[must_use]
    pub fn delivery_delay(&self) -> Duration {
        self.scaled(Duration::from_secs(10))
            .max(Duration::from_secs(1))
    }

    /// A member that heard no rekey registers again so long before its keys expire, and up to
    /// [`Self::reregister_jitter`] earlier.
    #[must_use]
    pub fn reregister_lead(&self) -> Duration {
        self.scaled(Duration::from_secs(60))
    }

    /// The span over which members spread their registrations.
    #[must_use]
    pub fn reregister_jitter(&self) -> Duration {
        self.scaled(Duration::from_secs(12))
    }

    /// A TEK that a policy change replaces lives on at most so long: the smaller of what is left
    /// and of 90 seconds or 5 % of the lifetime, itself at most an hour.
    #[must_use]
    pub fn shortened(&self, remaining: Duration) -> Duration {
        let five_percent = Duration::from_secs(u64::from(self.tek_lifetime_s)) / 20;
        let bounded = five_percent.min(Duration::from_secs(3_600));
        remaining.min(self.scaled(Duration::from_secs(90)).max(bounded))
    }

    fn batch(&self) -> Duration {
        self.scaled(Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_the_reference_are_met() {
        let forum = Schedule::new(3_600, 10, 2);
        assert_eq!(forum.kek_lead(1_200), Duration::from_secs(225));
        let genie = Schedule::new(600, 10, 3);
        assert_eq!(genie.tek_lead(), Duration::from_secs(125));
        assert_eq!(genie.kek_lead(1_200), Duration::from_secs(235));
        assert_eq!(genie.reregister_lead(), Duration::from_secs(60));
        let takeover = Duration::from_secs(48);
        let short = Schedule::new(60, 10, 2).with_takeover(takeover);
        assert!(short.kek_lead(300) > takeover && short.kek_lead(300) < takeover * 11 / 10);
        assert_eq!(
            genie.with_takeover(takeover).kek_lead(1_200),
            genie.kek_lead(1_200)
        );
    }

    #[test]
    fn short_lifetimes_shrink_everything_and_leave_room_for_every_step() {
        for lifetime_s in [10, 60, 61, 120, 599, 600, 3_600, 86_400] {
            for (period, number) in [(10, 2), (60, 10), (10, 0), (10, 5)] {
                let s = Schedule::new(lifetime_s, period, number);
                let lifetime = Duration::from_secs(u64::from(lifetime_s));
                assert!(s.tek_lead() <= lifetime / 2);
                assert!(s.overlap() < s.tek_lead(), "{lifetime_s} {period} {number}");
                assert!(s.overlap() + s.delivery_delay() < lifetime);
                assert!(s.reregister_lead() + s.reregister_jitter() < s.tek_lead());
                assert!((s.retransmit_number() == 0) == (number == 0));
                let delay = s.activation_delay(Duration::ZERO);
                assert!(delay < s.tek_lead().max(lifetime / 2));
            }
        }
        assert_eq!(
            Schedule::new(60, 10, 2).tek_lead(),
            Duration::from_millis(10_500)
        );
    }
}

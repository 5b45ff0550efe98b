//! What a worker wants the operator to know: sampled, limited in rate, in a bounded ring.
//!
//! The counters say how many; a notice says which. Its text and severity are the router's.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use event::DropReason;
use policy::{GroupName, Sid, Spi, Time};

use crate::InterfaceId;
use crate::limits::{NOTICE_INTERVAL, NOTICE_INTERVAL_INVALID_SPI, NOTICES_MAX};

/// One thing that happened, and how many of its kind were not told since the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Time,
    /// What.
    pub what: Happening,
    /// Notices of the same kind that the rate limit swallowed since the last one.
    pub suppressed: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A packet was dropped.
    Dropped {
        /// Why.
        reason: DropReason,
        /// The protected interface.
        interface: InterfaceId,
        /// The group whose policy or SA decided, if one did.
        group: Option<Arc<GroupName>>,
        /// The SPI, if the packet carried one or was to carry one.
        spi: Option<Spi>,
        /// The packet's source, the inner one once it was decrypted; none when it could not be read.
        source: Option<IpAddr>,
        /// Its destination, likewise.
        destination: Option<IpAddr>,
        /// Its IP protocol, 50 for what was not decrypted.
        protocol: u8,
    },
    /// Three quarters of a SID's counter are used: register again to get another (PROTOCOL P21).
    SidNearlyUsed {
        /// The group.
        group: Arc<GroupName>,
        /// The SID.
        sid: Sid,
    },
    /// Three quarters of the blocks that this sender may encrypt with a key are used: the key server
    /// is to replace it (PROTOCOL P23).
    KeyNearlyUsed {
        /// The group.
        group: Arc<GroupName>,
        /// The key.
        spi: Spi,
    },
    /// More senders are heard than replay windows may be kept: copies of what this one sends are
    /// not recognised.
    ReplayTableFull {
        /// The group.
        group: Arc<GroupName>,
        /// The sender.
        sid: Sid,
    },
}

/// Kinds that are limited apart: the drop reasons, then the others.
const KINDS: usize = DropReason::ALL.len() + 3;

/// What is limited in rate apart from others.
#[derive(Copy, Clone)]
pub(crate) enum Kind {
    Dropped(DropReason),
    ReplayTableFull,
    SidNearlyUsed,
    KeyNearlyUsed,
}

/// The ring of a worker.
pub(crate) struct Notices {
    ring: VecDeque<Notice>,
    next: [Time; KINDS],
    suppressed: [u64; KINDS],
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self {
            ring: VecDeque::with_capacity(NOTICES_MAX),
            next: [Time::ZERO; KINDS],
            suppressed: [0; KINDS],
        }
    }

    /// Notes what `happening` says, unless one of the kind was told a moment ago.
    pub(crate) fn tell(&mut self, at: Time, kind: Kind, happening: impl FnOnce() -> Happening) {
        let (place, always) = match kind {
            Kind::Dropped(reason) => (reason as usize, false),
            Kind::ReplayTableFull => (DropReason::ALL.len(), false),
            // Happens once for each SID: it must not be lost to the rate.
            Kind::SidNearlyUsed => (DropReason::ALL.len() + 1, true),
            // Happens once for each key, likewise.
            Kind::KeyNearlyUsed => (DropReason::ALL.len() + 2, true),
        };
        if !(always || at >= self.next[place]) || self.ring.len() >= NOTICES_MAX {
            self.suppressed[place] += 1;
            return;
        }
        self.next[place] = at
            + match kind {
                Kind::Dropped(DropReason::InvalidSpi) => NOTICE_INTERVAL_INVALID_SPI,
                Kind::Dropped(_)
                | Kind::ReplayTableFull
                | Kind::SidNearlyUsed
                | Kind::KeyNearlyUsed => NOTICE_INTERVAL,
            };
        let suppressed = std::mem::take(&mut self.suppressed[place]);
        self.ring.push_back(Notice {
            at,
            what: happening(),
            suppressed,
        });
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Notice> + '_ {
        self.ring.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(notices: &mut Notices, at: Time, reason: DropReason) {
        notices.tell(at, Kind::Dropped(reason), || Happening::Dropped {
            reason,
            interface: InterfaceId::FIRST,
            group: None,
            spi: None,
            source: None,
            destination: None,
            protocol: 50,
        });
    }

    #[test]
    fn one_notice_of_a_kind_in_a_second_and_the_rest_is_counted() {
        let mut notices = Notices::new();
        for ms in [0, 10, 20, 1_000] {
            tell(&mut notices, Time::from_millis(ms), DropReason::BadIcv);
        }
        tell(&mut notices, Time::from_millis(20), DropReason::Replayed);
        let told: Vec<_> = notices
            .drain()
            .map(|n| (n.at.as_nanos() / 1_000_000, n.suppressed))
            .collect();
        assert_eq!(told, [(0, 0), (1_000, 2), (20, 0)]);
    }

    #[test]
    fn the_ring_is_bounded() {
        let mut notices = Notices::new();
        for s in 0..1_000 {
            tell(&mut notices, Time::from_secs(s), DropReason::BadIcv);
        }
        assert_eq!(notices.drain().count(), NOTICES_MAX);
    }
}

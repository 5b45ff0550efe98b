//! What is counted, by whom, and how it is read.
//!
//! Every worker has its own line of counters and is the only one to write it: no lock, no shared
//! cache line. The router reads at any time and sums. A counter is never reset while its object
//! lives.

use std::sync::atomic::{AtomicU64, Ordering};

use event::DropReason;

const REASONS: usize = DropReason::ALL.len();

/// One value for each worker, each in its own cache lines.
pub(crate) struct PerWorker<T> {
    lines: Box<[Line<T>]>,
}

#[repr(align(128))]
struct Line<T>(T);

impl<T> PerWorker<T> {
    pub(crate) fn new(workers: usize, mut each: impl FnMut() -> T) -> Self {
        Self {
            lines: (0..workers.max(1)).map(|_| Line(each())).collect(),
        }
    }

    /// The line of a worker. A worker beyond the number that was planned shares another's line:
    /// counts may then be lost, nothing else.
    #[inline]
    pub(crate) fn of(&self, worker: usize) -> &T {
        &self.lines.get(worker).unwrap_or(&self.lines[0]).0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.lines.iter().map(|line| &line.0)
    }
}

/// A counter with one writer.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(sum, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's counters of an SA, a group or an interface.
#[derive(Default)]
pub(crate) struct Traffic {
    encaps_packets: Count,
    encaps_octets: Count,
    decaps_packets: Count,
    decaps_octets: Count,
    clear_out_packets: Count,
    clear_in_packets: Count,
    drops: [Count; REASONS],
}

impl Traffic {
    #[inline]
    pub(crate) fn encapsulated(&self, octets: usize) {
        self.encaps_packets.add(1);
        self.encaps_octets.add(octets as u64);
    }

    #[inline]
    pub(crate) fn decapsulated(&self, octets: usize) {
        self.decaps_packets.add(1);
        self.decaps_octets.add(octets as u64);
    }

    pub(crate) fn passed_clear_out(&self) {
        self.clear_out_packets.add(1);
    }

    pub(crate) fn passed_clear_in(&self) {
        self.clear_in_packets.add(1);
    }

    pub(crate) fn dropped(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }
}

/// A worker's counters of one access list entry.
#[derive(Default)]
pub(crate) struct EntryHits {
    pub(crate) outbound: Count,
    pub(crate) inbound: Count,
}

/// Dropped packets by reason.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; REASONS]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; REASONS])
    }
}

/// Counts of a reason that comes several times add up.
impl FromIterator<(DropReason, u64)> for Drops {
    fn from_iter<I: IntoIterator<Item = (DropReason, u64)>>(counts: I) -> Self {
        let mut drops = Self::default();
        for (reason, count) in counts {
            let sum = &mut drops.0[reason as usize];
            *sum = sum.wrapping_add(count);
        }
        drops
    }
}

impl Drops {
    /// How many packets were dropped for this reason.
    #[must_use]
    pub const fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason with its number, in the order of [`DropReason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.0)
    }

    /// How many packets were dropped.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }
}

/// The counters of an SA, a group or an interface, summed over the workers.
///
/// Octets are those of the inner packets. An interface counts all that its packets met; a group
/// what its policy decided; an SA what was sealed and opened with it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets encrypted.
    pub encaps_packets: u64,
    /// Octets of the packets encrypted.
    pub encaps_octets: u64,
    /// Packets decrypted and accepted.
    pub decaps_packets: u64,
    /// Octets of the packets decrypted and accepted.
    pub decaps_octets: u64,
    /// Outbound packets that the policy lets pass in clear (interfaces only).
    pub clear_out_packets: u64,
    /// Inbound packets that were looked at and that the policy lets pass in clear (interfaces only).
    pub clear_in_packets: u64,
    /// Packets dropped, by reason.
    pub drops: Drops,
}

impl Totals {
    pub(crate) fn of(traffic: &PerWorker<Traffic>) -> Self {
        let mut totals = Self::default();
        for line in traffic.iter() {
            totals.encaps_packets += line.encaps_packets.read();
            totals.encaps_octets += line.encaps_octets.read();
            totals.decaps_packets += line.decaps_packets.read();
            totals.decaps_octets += line.decaps_octets.read();
            totals.clear_out_packets += line.clear_out_packets.read();
            totals.clear_in_packets += line.clear_in_packets.read();
            for (sum, count) in totals.drops.0.iter_mut().zip(&line.drops) {
                *sum += count.read();
            }
        }
        totals
    }
}

/// How often an access list entry decided.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Packets toward the WAN.
    pub outbound: u64,
    /// Packets from the WAN.
    pub inbound: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_sums_what_the_workers_wrote() {
        let traffic = PerWorker::new(2, Traffic::default);
        traffic.of(0).encapsulated(100);
        traffic.of(1).encapsulated(50);
        traffic.of(1).dropped(DropReason::NoSa);
        traffic.of(3).decapsulated(7);
        let totals = Totals::of(&traffic);
        assert_eq!((totals.encaps_packets, totals.encaps_octets), (2, 150));
        assert_eq!((totals.decaps_packets, totals.decaps_octets), (1, 7));
        assert_eq!(totals.drops.of(DropReason::NoSa), 1);
        assert_eq!(totals.drops.total(), 1);
    }
}

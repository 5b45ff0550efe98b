//! Which sender identifiers a key server hands out (PROTOCOL P20, RFC 6054 section 3).
//!
//! Counts upwards; only when the space is used up does it look for identifiers that nobody can
//! still send with. Who holds which one is known from the members' records.

use std::collections::BTreeSet;

use policy::{PseudoTime, Sid, SidSpace};

use crate::limits::SID_BLOCK;

/// Identifiers that a member was given, and until when they may be in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SidLease {
    /// The identifiers.
    pub(crate) sids: Vec<Sid>,
    /// `None` while the registration that got them lasts; afterwards the expiry of the last record
    /// that its holder was given.
    pub(crate) until: Option<PseudoTime>,
}

/// The counter and its mark on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SidAllocator {
    space: SidSpace,
    start: u64,
    next: u64,
    mark: u64,
    allocated_any: bool,
}

/// No identifier is free.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl SidAllocator {
    /// The allocator after a start: whatever lies below the mark may have been handed out.
    pub(crate) const fn restored(space: SidSpace, mark: u64) -> Self {
        Self {
            space,
            start: mark,
            next: mark,
            mark,
            allocated_any: false,
        }
    }

    /// The space it hands out from.
    pub(crate) const fn space(&self) -> SidSpace {
        self.space
    }

    /// The high-water mark that is, or is about to be, on disk.
    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    /// How many were handed out, those skipped by a restart included.
    pub(crate) const fn allocated(&self) -> u64 {
        self.next
    }

    /// Whether this run has handed out any.
    pub(crate) const fn has_allocated(&self) -> bool {
        self.allocated_any
    }

    /// Whether the identifier of that number was handed out in this run or was skipped, and then
    /// once only.
    pub(crate) const fn is_of_this_run(&self, number: u64) -> bool {
        self.start <= number && number < self.next && self.next < self.space.count()
    }

    /// Whatever lies below `mark` may have been handed out: somebody else remembers it.
    pub(crate) fn skip_to(&mut self, mark: u64) {
        self.next = self.next.max(mark).min(self.space.count());
        self.mark = self.mark.max(self.next);
    }

    /// Hands out `count` identifiers that nobody else sends with. When the mark rises it must be
    /// on disk before they leave.
    ///
    /// # Errors
    /// When so many are not free; nothing is handed out then.
    //= getvpn P20
    pub(crate) fn allocate<'a>(
        &mut self,
        count: u16,
        leases: impl Iterator<Item = &'a SidLease>,
        now: PseudoTime,
    ) -> Result<Vec<Sid>, Exhausted> {
        let count_wide = u64::from(count);
        let capacity = self.space.count();
        if capacity - self.next >= count_wide {
            let sids = (self.next..self.next + count_wide)
                .map(|n| self.space.sid(n).ok_or(Exhausted))
                .collect::<Result<_, _>>()?;
            self.next += count_wide;
            self.allocated_any = true;
            if self.next > self.mark {
                self.mark = self.next.next_multiple_of(SID_BLOCK).min(capacity);
            }
            return Ok(sids);
        }
        self.next = capacity;
        self.mark = capacity;
        let in_use: BTreeSet<Sid> = leases
            .filter(|lease| lease.until.is_none_or(|until| now <= until))
            .flat_map(|lease| lease.sids.iter().copied())
            .collect();
        let free: Vec<Sid> = (0..capacity)
            .filter_map(|n| self.space.sid(n))
            .filter(|sid| !in_use.contains(sid))
            .take(usize::from(count))
            .collect();
        if free.len() == usize::from(count) {
            self.allocated_any = true;
            Ok(free)
        } else {
            Err(Exhausted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{GroupSize, KsIndex};

    fn space(size: GroupSize) -> SidSpace {
        SidSpace {
            size,
            index: KsIndex::new(1).unwrap(),
        }
    }

    #[test]
    fn a_restart_skips_the_rest_of_the_block_and_nothing_repeats() {
        let mut first = SidAllocator::restored(space(GroupSize::Medium), 0);
        let none = || std::iter::empty();
        let given = first.allocate(3, none(), PseudoTime::ZERO).unwrap();
        assert_eq!(given[0], Sid(1 << 20));
        assert_eq!(first.mark(), SID_BLOCK);
        let mut second = SidAllocator::restored(space(GroupSize::Medium), first.mark());
        let after = second.allocate(1, none(), PseudoTime::ZERO).unwrap();
        assert_eq!(after[0], Sid((1 << 20) + 1_024));
        assert!(!given.contains(&after[0]));
    }

    #[test]
    fn identifiers_come_back_only_when_their_last_record_has_expired() {
        let mut allocator = SidAllocator::restored(space(GroupSize::Small8), 0);
        let given = allocator
            .allocate(16, std::iter::empty(), PseudoTime::ZERO)
            .unwrap();
        let mut lease = SidLease {
            sids: given,
            until: None,
        };
        let late = PseudoTime::from_secs(1_000_000);
        let again = |allocator: &mut SidAllocator, lease: &SidLease, now| {
            allocator.allocate(1, std::iter::once(lease), now)
        };
        assert_eq!(again(&mut allocator, &lease, late), Err(Exhausted));
        lease.until = Some(PseudoTime::from_secs(50));
        let at = |s| PseudoTime::from_secs(s);
        assert_eq!(again(&mut allocator, &lease, at(50)), Err(Exhausted));
        assert_eq!(again(&mut allocator, &lease, at(51)), Ok(vec![Sid(16)]));
    }
}

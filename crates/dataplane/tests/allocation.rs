//! The steady path allocates nothing: no packet between members that have heard of each other.
//!
//! The counting allocator needs `unsafe`; it is the system's with a counter before it.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dataplane::{FrameBuf, Sink};
use support::{H1, H2, Member, cbc, deny_port, gcm, loaded, permit_lans, udp};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps what was sent without allocating, once it is large enough.
struct Wire {
    frames: Vec<FrameBuf>,
    used: usize,
}

impl Sink for Wire {
    fn transmit(&mut self, frame: &[u8]) {
        assert!(self.frames[self.used].load(frame));
        self.used += 1;
    }
    fn deliver(&mut self, frame: &[u8]) {
        assert!(!frame.is_empty());
        self.used += 1;
    }
}

#[test]
fn no_packet_of_a_known_sender_allocates() {
    for transform in [gcm(), cbc()] {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        for member in [&mut a, &mut b] {
            member.policy(&[deny_port(17, 7), permit_lans()]);
        }
        let (from, to) = (a.snapshot(), b.snapshot());
        // Whole packets, one in clear, one that is cut; more of them than a batch.
        let mut clear = vec![udp(H1, H2, 300); 80];
        clear[3] = udp(H1, [10, 0, 0, 1], 300);
        clear[5] = udp(H1, H2, 1_500);
        let room = || (0..81).map(|_| FrameBuf::with_capacity(1_600)).collect();
        let mut wire = Wire {
            frames: room(),
            used: 0,
        };
        let mut lan = Wire {
            frames: Vec::new(),
            used: 0,
        };
        for round in 0..4 {
            let mut frames = loaded(&clear);
            (wire.used, lan.used) = (0, 0);
            let before = ALLOCATIONS.get();
            a.workers[0].outbound(&from, a.id, a.now, &mut frames, &mut wire);
            b.workers[0].inbound(&to, b.id, b.now, &mut wire.frames, &mut lan);
            let allocated = ALLOCATIONS.get() - before;
            assert_eq!((wire.used, lan.used), (81, 81));
            assert!(
                round == 0 || allocated == 0,
                "{transform} round {round}: {allocated}"
            );
        }
    }
}

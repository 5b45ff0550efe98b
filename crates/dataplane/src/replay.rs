//! Copies of packets: one window for each sender of each counter-mode SA.
//!
//! The IV of GCM and GMAC names its sender (RFC 6054) and is authenticated, so a window per (SA,
//! SID) recognises copies although many send on one SA. Decides only whether a counter was seen;
//! that the tag verified first, and what a copy means, is the pipeline's.
//!
//! An SA is known here by the fingerprint of its key: a key that is removed and installed again
//! meets its old windows.

use std::time::Duration;

use policy::{Sid, Time};

use crate::limits::{REPLAY_WINDOW, REPLAY_WINDOWS_MAX};

const WORD_BITS: u64 = 64;
/// One word more than the window is wide, so that it is full width wherever its head stands.
const WORDS: u64 = REPLAY_WINDOW / WORD_BITS + 1;

/// The counters seen of one sender.
struct Window {
    sa: u64,
    sid: Sid,
    /// The highest counter seen.
    head: u64,
    last_heard: Time,
    /// When the SA can no longer be received on.
    expires: Time,
    seen: Box<[u64; WORDS as usize]>,
}

impl Window {
    fn new(sa: u64, sid: Sid, counter: u64, now: Time, expires: Time) -> Self {
        let mut window = Self {
            sa,
            sid,
            head: counter,
            last_heard: now,
            expires,
            seen: Box::new([0; WORDS as usize]),
        };
        window.mark(counter);
        window
    }

    const fn bit(counter: u64) -> (usize, u64) {
        let word = (counter / WORD_BITS) % WORDS;
        (word as usize, 1 << (counter % WORD_BITS))
    }

    fn mark(&mut self, counter: u64) {
        let (word, bit) = Self::bit(counter);
        self.seen[word] |= bit;
    }

    #[inline]
    fn is_fresh(&self, counter: u64) -> bool {
        let (word, bit) = Self::bit(counter);
        counter > self.head || (self.head - counter < REPLAY_WINDOW && self.seen[word] & bit == 0)
    }

    fn accept(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        if counter > self.head {
            let steps = (counter / WORD_BITS - self.head / WORD_BITS).min(WORDS);
            for step in 1..=steps {
                let word = (self.head / WORD_BITS + step) % WORDS;
                self.seen[word as usize] = 0;
            }
            self.head = counter;
        }
        self.mark(counter);
        true
    }
}

/// What became of a verified packet's counter.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Not seen before.
    Fresh,
    /// Seen before, or too far behind to tell.
    Copy,
    /// There is no room for another sender's window; copies of what it sends are not recognised.
    NoRoom,
}

/// The windows of a worker, found through an open-addressing table.
pub(crate) struct Windows {
    windows: Vec<Window>,
    /// Place in `windows` plus one; 0 is empty. A power of two, at most half full.
    table: Vec<u32>,
    windows_max: usize,
}

impl Windows {
    pub(crate) fn new() -> Self {
        Self::with_limit(REPLAY_WINDOWS_MAX)
    }

    fn with_limit(windows_max: usize) -> Self {
        Self {
            windows: Vec::new(),
            table: vec![0; 64],
            windows_max,
        }
    }

    #[inline]
    fn slot_of(&self, sa: u64, sid: Sid) -> usize {
        let hash = (sa ^ u64::from(sid.0).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> 32) as usize & (self.table.len() - 1)
    }

    /// The place of a window, or the empty slot where it would be noted.
    #[inline]
    fn find(&self, sa: u64, sid: Sid) -> Result<usize, usize> {
        let mut slot = self.slot_of(sa, sid);
        loop {
            let Some(place) = (self.table[slot] as usize).checked_sub(1) else {
                return Err(slot);
            };
            let window = &self.windows[place];
            if window.sa == sa && window.sid == sid {
                return Ok(place);
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
    }

    /// Whether the counter is not known to be a copy. Moves nothing: the tag is not verified yet.
    #[inline]
    pub(crate) fn peek(&self, sa: u64, sid: Sid, counter: u64) -> bool {
        self.find(sa, sid)
            .map_or(true, |place| self.windows[place].is_fresh(counter))
    }

    /// Notes the counter of a packet whose tag verified. Only here are windows made.
    //= getvpn P28
    pub(crate) fn accept(&mut self, sender: Sender, counter: u64, now: Time) -> Counted {
        match self.find(sender.sa, sender.sid) {
            Ok(place) => {
                let window = &mut self.windows[place];
                window.last_heard = now;
                if window.accept(counter) {
                    Counted::Fresh
                } else {
                    Counted::Copy
                }
            }
            Err(slot) => self.open(slot, sender, counter, now),
        }
    }

    fn open(&mut self, slot: usize, sender: Sender, counter: u64, now: Time) -> Counted {
        let window = Window::new(sender.sa, sender.sid, counter, now, sender.expires);
        if self.windows.len() < self.windows_max {
            self.windows.push(window);
            self.table[slot] = place_of(self.windows.len() - 1);
            if self.windows.len() * 2 > self.table.len() {
                self.index();
            }
            return Counted::Fresh;
        }
        let idle =
            |window: &Window| window.expires <= now || now.since(window.last_heard) >= sender.idle;
        let Some(oldest) = (0..self.windows.len())
            .filter(|&place| idle(&self.windows[place]))
            .min_by_key(|&place| self.windows[place].last_heard)
        else {
            return Counted::NoRoom;
        };
        self.windows[oldest] = window;
        self.index();
        Counted::Fresh
    }

    /// Forgets the windows of SAs that can no longer be received on. `held` says until when an SA
    /// that is held can be: another clock of the group may have put its end off.
    pub(crate) fn expire(&mut self, now: Time, held: impl Fn(u64) -> Option<Time>) {
        let before = self.windows.len();
        for window in &mut self.windows {
            window.expires = held(window.sa).unwrap_or(window.expires);
        }
        self.windows.retain(|window| window.expires > now);
        if self.windows.len() != before {
            self.index();
        }
    }

    fn index(&mut self) {
        let slots = (self.windows.len() * 4).next_power_of_two().max(64);
        self.table.clear();
        self.table.resize(slots, 0);
        for place in 0..self.windows.len() {
            let (sa, sid) = (self.windows[place].sa, self.windows[place].sid);
            if let Err(slot) = self.find(sa, sid) {
                self.table[slot] = place_of(place);
            }
        }
    }
}

fn place_of(place: usize) -> u32 {
    u32::try_from(place + 1).expect("the number of windows is bounded")
}

/// Whose window, and how long it is kept.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sender {
    /// The fingerprint of the SA's key.
    pub(crate) sa: u64,
    /// The sender within it.
    pub(crate) sid: Sid,
    /// When the SA can no longer be received on.
    pub(crate) expires: Time,
    /// How long a window must have been idle before it may be given to another sender.
    pub(crate) idle: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: u64 = REPLAY_WINDOW;

    fn sender(sid: u32) -> Sender {
        Sender {
            sa: 1,
            sid: Sid(sid),
            expires: Time::from_secs(1_000),
            idle: Duration::from_secs(10),
        }
    }

    /// Every row is a counter and whether it is fresh when it comes at that point.
    #[test]
    fn the_window_answers_as_the_table_says() {
        let rows = [
            (0, true),
            (0, false),
            (1, true),
            (1, false),
            (9, true),
            (8, true),
            (7, true),
            (7, false),
            (W, true),
            (W - 1, true),
            (W - 1, false),
            (2, true),
            (2, false),
            (W + 16, true),
            (3, false),
            (17, true),
            (16, false),
            (17, false),
            (W * 4, true),
            (W * 4 - W, false),
            (W * 4 - (W - 1), true),
            (W * 4 - (W - 1), false),
            (10, false),
            (W * 4 - 200, true),
            (W * 4 - 200, false),
            (u64::MAX, true),
            (u64::MAX, false),
            (u64::MAX - (W - 1), true),
            (u64::MAX - W, false),
        ];
        let mut windows = Windows::new();
        for (row, (counter, fresh)) in rows.into_iter().enumerate() {
            assert_eq!(windows.peek(1, Sid(5), counter), fresh, "peek, row {row}");
            let expected = if fresh { Counted::Fresh } else { Counted::Copy };
            let got = windows.accept(sender(5), counter, Time::ZERO);
            assert_eq!(got, expected, "row {row}");
        }
    }

    #[test]
    fn every_counter_passes_once_in_whatever_order_within_the_window() {
        let mut windows = Windows::new();
        let mut fresh = 0;
        // 7919 is prime to the window's width: this visits every residue, far from in order.
        for round in 0..3 {
            for i in 0..W {
                let counter = (i * 7_919) % W;
                let counted = windows.accept(sender(1), counter, Time::ZERO);
                fresh += u64::from(counted == Counted::Fresh);
                assert_eq!(counted == Counted::Fresh, round == 0, "{counter}");
            }
        }
        assert_eq!(fresh, W);
    }

    #[test]
    fn senders_and_keys_have_windows_of_their_own() {
        let mut windows = Windows::new();
        for sid in 0..500 {
            assert_eq!(windows.accept(sender(sid), 7, Time::ZERO), Counted::Fresh);
        }
        for sid in 0..500 {
            assert_eq!(windows.accept(sender(sid), 7, Time::ZERO), Counted::Copy);
        }
        let other = Sender { sa: 2, ..sender(3) };
        assert_eq!(windows.accept(other, 7, Time::ZERO), Counted::Fresh);
        assert_eq!(windows.accept(other, 7, Time::ZERO), Counted::Copy);
    }

    #[test]
    fn a_full_table_gives_away_only_what_was_idle() {
        let mut windows = Windows::with_limit(4);
        for sid in 0..4 {
            let now = Time::from_secs(u64::from(sid));
            assert_eq!(windows.accept(sender(sid), 1, now), Counted::Fresh);
        }
        assert_eq!(
            windows.accept(sender(9), 1, Time::from_secs(9)),
            Counted::NoRoom
        );
        assert_eq!(
            windows.accept(sender(9), 1, Time::from_secs(11)),
            Counted::Fresh
        );
        assert_eq!(
            windows.accept(sender(9), 1, Time::from_secs(11)),
            Counted::Copy
        );
        assert_eq!(
            windows.accept(sender(1), 1, Time::from_secs(11)),
            Counted::Copy
        );
        windows.expire(Time::from_secs(1_000), |_| Some(Time::from_secs(1_001)));
        let kept = windows.accept(sender(1), 1, Time::from_secs(1_000));
        assert_eq!(kept, Counted::Copy, "the end was put off");
        windows.expire(Time::from_secs(1_001), |_| None);
        assert!(windows.windows.is_empty());
        assert_eq!(
            windows.accept(sender(1), 1, Time::from_secs(11)),
            Counted::Fresh
        );
    }
}

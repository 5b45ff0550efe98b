//! A frame with room around it, so that it grows and shrinks in place.
//!
//! Decides nothing about its content.

use crate::limits::{HEADROOM, TAILROOM};

/// An Ethernet frame within a larger buffer of any kind: a box, a slice of a ring.
///
/// In this crate frames grow by at most [`HEADROOM`] and [`TAILROOM`] octets.
#[derive(Clone, Debug, Default)]
pub struct FrameBuf<M = Box<[u8]>> {
    room: M,
    start: usize,
    end: usize,
}

impl FrameBuf {
    /// An empty frame that can take `len_max` octets and has the room that sealing needs.
    #[must_use]
    pub fn with_capacity(len_max: usize) -> Self {
        Self {
            room: vec![0; HEADROOM + len_max + TAILROOM].into_boxed_slice(),
            start: HEADROOM,
            end: HEADROOM,
        }
    }
}

impl<M: AsRef<[u8]> + AsMut<[u8]>> FrameBuf<M> {
    /// The frame of `len` octets that begins at `start` of `room`; `None` if it does not fit there.
    #[must_use]
    pub fn new(room: M, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= room.as_ref().len()).then_some(Self { room, start, end })
    }

    /// Where to read a frame into: empty but for the room before and after. Say then how long it
    /// was with [`Self::set_len`].
    pub fn space(&mut self) -> &mut [u8] {
        let room = self.room.as_mut();
        let end = room
            .len()
            .saturating_sub(TAILROOM)
            .max(HEADROOM.min(room.len()));
        self.start = HEADROOM.min(end);
        self.end = self.start;
        &mut room[self.start..end]
    }

    /// The first `len` octets of [`Self::space`] are the frame; longer than that is cut.
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start.saturating_add(len).min(self.room.as_ref().len());
    }

    /// Copies a frame in; false if it is too long, and then the frame is empty.
    #[must_use]
    pub fn load(&mut self, octets: &[u8]) -> bool {
        let space = self.space();
        let fits = octets.len() <= space.len();
        if fits {
            space[..octets.len()].copy_from_slice(octets);
            self.set_len(octets.len());
        }
        fits
    }

    /// The frame.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.room.as_ref()[self.start..self.end]
    }

    /// The frame, to be changed.
    pub fn octets_mut(&mut self) -> &mut [u8] {
        &mut self.room.as_mut()[self.start..self.end]
    }

    /// How long the frame is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Adds octets before and after the frame; false, and no change, when there is no room.
    pub(crate) fn grow(&mut self, front: usize, back: usize) -> bool {
        let len = self.room.as_ref().len();
        let fits = front <= self.start && back <= len - self.end;
        if fits {
            self.start -= front;
            self.end += back;
        }
        fits
    }

    /// Takes octets away from the beginning.
    pub(crate) fn cut_front(&mut self, octets: usize) {
        self.start = self.start.saturating_add(octets).min(self.end);
    }

    /// Keeps the first `len` octets.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_grows_only_into_its_room() {
        let mut frame = FrameBuf::with_capacity(4);
        assert!(frame.load(&[1, 2, 3, 4]));
        assert!(!frame.clone().load(&[0; 5]));
        assert!(!frame.grow(HEADROOM + 1, 0));
        assert!(!frame.grow(0, TAILROOM + 1));
        assert_eq!(frame.octets(), [1, 2, 3, 4]);
        assert!(frame.grow(HEADROOM, TAILROOM));
        assert_eq!(frame.len(), HEADROOM + 4 + TAILROOM);
        frame.cut_front(HEADROOM);
        frame.truncate(4);
        assert_eq!(frame.octets(), [1, 2, 3, 4]);
        frame.cut_front(usize::MAX);
        assert!(frame.is_empty());
    }

    #[test]
    fn borrowed_memory_is_as_good_as_owned() {
        let mut ring = [7_u8; 8];
        assert!(FrameBuf::new(&mut ring[..], 4, 5).is_none());
        assert!(FrameBuf::new(&mut ring[..], usize::MAX, 5).is_none());
        let mut frame = FrameBuf::new(&mut ring[..], 4, 4).expect("it fits");
        frame.octets_mut()[0] = 1;
        assert!(frame.grow(2, 0) && !frame.grow(0, 1));
        assert_eq!(frame.octets(), [7, 7, 1, 7, 7, 7]);
        // A buffer smaller than the room around a frame has no space, and nothing panics.
        assert!(frame.space().is_empty());
    }
}

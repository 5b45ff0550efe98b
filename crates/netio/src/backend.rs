//! The four ends of a forwarder, so that faster ones can take a place without touching it.
//!
//! Frames are Ethernet with their VLAN tags in place. Everything moves in batches.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

/// What the kernel left undone in a frame: a checksum to fill in, a super-packet to cut. It belongs
/// to the frame as long as nobody changes it, and goes back to the kernel with it.
/// The octets of `struct virtio_net_hdr`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Offload(pub(crate) [u8; Self::LEN]);

impl Offload {
    /// Octets on the device.
    pub(crate) const LEN: usize = 10;
    /// Nothing is left undone.
    pub const NONE: Self = Self([0; Self::LEN]);

    /// The offsets after `octets` were inserted before the network header.
    pub(crate) fn shifted(self, octets: u16) -> Self {
        let mut header = self.0;
        let mut add = |at: usize| {
            let old = u16::from_ne_bytes([header[at], header[at + 1]]);
            header[at..at + 2].copy_from_slice(&old.saturating_add(octets).to_ne_bytes());
        };
        let (flags, gso) = (self.0[0], self.0[1]);
        if gso != 0 {
            add(2); // hdr_len
        }
        if flags & 1 != 0 {
            add(6); // csum_start
        }
        Self(header)
    }
}

/// One frame that was received.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Its length in its space.
    pub len: usize,
    /// What the kernel left undone.
    pub offload: Offload,
}

/// Where frames come from: from the stack that is to be protected, or off the wire.
pub trait FrameRx: Send {
    /// Fills the first spaces with one frame each and says how many; 0 = none waits. A frame
    /// that is longer than its space is dropped.
    ///
    /// # Errors
    /// The device is gone or down.
    fn receive(
        &mut self,
        spaces: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> io::Result<usize>;

    /// What to poll for the next frame.
    fn readable(&self) -> BorrowedFd<'_>;

    /// Frames that were lost before they could be received, since the start.
    fn lost(&mut self) -> u64;
}

/// The way to the stack: frames appear as if they had arrived on the WAN port.
pub trait ClearTx: Send {
    /// Hands one frame over; the stack sees other hardware addresses.
    ///
    /// # Errors
    /// The device is gone, down or out of memory: the frame is lost.
    fn send(&mut self, frame: &[u8], offload: &Offload) -> io::Result<()>;
}

/// The way to the wire, past every filter.
pub trait WireTx: Send {
    /// Sends frames as they are, in order. How many the kernel refused; those are lost.
    fn send(&mut self, frames: &[IoSlice<'_>]) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_moves_the_offsets_that_are_in_use() {
        let header = |flags: u8, gso: u8, hdr_len: u16, start: u16| {
            let mut octets = [0; Offload::LEN];
            octets[0] = flags;
            octets[1] = gso;
            octets[2..4].copy_from_slice(&hdr_len.to_ne_bytes());
            octets[6..8].copy_from_slice(&start.to_ne_bytes());
            Offload(octets)
        };
        assert_eq!(Offload::NONE.shifted(4), Offload::NONE);
        assert_eq!(header(1, 0, 0, 34).shifted(4), header(1, 0, 0, 38));
        assert_eq!(header(1, 1, 54, 34).shifted(4), header(1, 1, 58, 38));
    }
}

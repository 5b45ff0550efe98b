//! The limits of the system side, on one screen.

use std::time::Duration;

/// Buffers of the sockets, octets each way: 24 ms of stall at 20,000 packets/s and more.
pub const SOCKET_BUFFER: u32 = 4 * 1024 * 1024;

/// Frames that wait in the TAP device to be read.
pub const TAP_QUEUE: u32 = 16_384;

/// Frames or datagrams that one call to the kernel moves at most.
pub const BATCH_MAX: usize = 64;

/// The longest frame: a super-packet of 64 KiB with Ethernet and two VLAN tags.
pub const FRAME_MAX: usize = 65_535 + 22;

/// The longest datagram.
pub const DATAGRAM_MAX: usize = 65_535;

/// One netlink answer.
pub(crate) const NETLINK_BUFFER: usize = 64 * 1024;

/// How long a frame may wait for the driver before it counts as refused.
pub(crate) const TRANSMIT_WAIT: Duration = Duration::from_millis(100);

/// Blocks of a capture ring.
pub(crate) const RING_BLOCKS: u32 = 32;
/// Octets of one block of a capture ring.
pub(crate) const RING_BLOCK_LEN: u32 = 1 << 20;
/// A block that is not full is handed over after this many milliseconds.
pub(crate) const RING_RETIRE_MS: u32 = 20;

/// Descriptors that one poll waits for: a waker and two for each of some thirty ports.
pub(crate) const POLL_MAX: usize = 64;

/// Supplementary groups of a peer that are looked at.
pub(crate) const PEER_GROUPS_MAX: usize = 1_024;

//! Packet sockets on the WAN port: ESP and suspects in, frames out past all filters.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use policy::steer::{self, Instruction};

use crate::backend::{FrameRx, Offload, Received, WireTx};
use crate::limits::{BATCH_MAX, TRANSMIT_WAIT};
use crate::sys;
use crate::udp::enlarge_buffers;

const ETH_P_ALL: u16 = 0x0003;
const TAG: usize = 4;

fn open() -> io::Result<OwnedFd> {
    // Protocol 0: nothing is received until bind names a protocol, when the filter is in place.
    sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
}

/// Takes the frames that its filter names off the wire, before traffic control sees them.
///
/// With ETH_P_ALL the kernel calls it ahead of the ingress filters, so that what those drop is
/// seen here; with a protocol of its own it would be called after them, and starve.
#[derive(Debug)]
pub struct PacketRx {
    fd: OwnedFd,
    headers: Box<[[u8; Offload::LEN]; BATCH_MAX]>,
    frames: Box<[sys::Frame; BATCH_MAX]>,
    lost: u64,
}

impl PacketRx {
    /// Opens the socket on a device with its filter.
    ///
    /// # Errors
    /// Needs CAP_NET_RAW; the device may be gone or the filter refused.
    pub fn open(index: u32, filter: &[Instruction]) -> io::Result<Self> {
        let fd = open()?;
        let set = |name, value: i32| sys::set_option(fd.as_fd(), libc::SOL_PACKET, name, value);
        set(libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(libc::PACKET_AUXDATA, 1)?;
        set(libc::PACKET_VNET_HDR, 1)?;
        enlarge_buffers(fd.as_fd())?;
        sys::attach_filter(fd.as_fd(), filter)?;
        sys::bind_packet(fd.as_fd(), index, ETH_P_ALL)?;
        Ok(Self {
            fd,
            headers: Box::new([[0; Offload::LEN]; BATCH_MAX]),
            frames: Box::new([sys::Frame::default(); BATCH_MAX]),
            lost: 0,
        })
    }

    /// A handle that can replace the filter while the socket is in use.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn filter(&self) -> io::Result<FilterHandle> {
        self.fd.try_clone().map(FilterHandle)
    }
}

/// Replaces the filter of a [`PacketRx`].
#[derive(Debug)]
pub struct FilterHandle(OwnedFd);

impl FilterHandle {
    /// Replaces the filter atomically.
    ///
    /// # Errors
    /// The filter is refused; the old one stays.
    pub fn replace(&self, filter: &[Instruction]) -> io::Result<()> {
        sys::attach_filter(self.0.as_fd(), filter)
    }

    /// From now on nothing is received.
    ///
    /// # Errors
    /// The filter is refused; the old one stays.
    pub fn close(&self) -> io::Result<()> {
        self.replace(&steer::constant(0))
    }
}

/// Whether the kernel had a packet that it could not hand over, and dropped: one of a segmentation
/// that it has no word for in the header before the frame, or for which it had no memory.
fn is_about_one_packet(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EINVAL, libc::ENOBUFS, libc::ENOMEM]
        .map(Some)
        .contains(&code)
}

impl FrameRx for PacketRx {
    fn receive(
        &mut self,
        spaces: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> io::Result<usize> {
        let most = spaces.len().min(received.len()).min(BATCH_MAX);
        let spaces = &mut spaces[..most];
        let fd = self.fd.as_fd();
        let got = match sys::receive_frames(
            fd,
            self.headers.as_mut_slice(),
            spaces,
            self.frames.as_mut_slice(),
        ) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) if is_about_one_packet(&error) => {
                self.lost += 1;
                0
            }
            Err(error) => return Err(error),
        };
        for place in 0..got {
            let frame = self.frames[place];
            let mut offload = Offload(self.headers[place]);
            let mut len = frame.len;
            if let Some((tci, protocol)) = frame.tag {
                len = insert_tag(&mut spaces[place], len, tci, protocol);
                offload = offload.shifted(u16::try_from(TAG).expect("a small constant"));
            }
            if frame.cut || len == 0 {
                self.lost += 1;
                len = 0;
            }
            received[place] = Received { len, offload };
        }
        Ok(got)
    }

    fn readable(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn lost(&mut self) -> u64 {
        // Reading the statistics sets them to zero.
        let statistics: io::Result<libc::tpacket_stats> =
            sys::option(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok(statistics) = statistics {
            self.lost += u64::from(statistics.tp_drops);
        }
        self.lost
    }
}

/// Puts a VLAN tag back where the kernel took it from. The new length, 0 if there is no room.
fn insert_tag(space: &mut [u8], len: usize, tci: u16, protocol: u16) -> usize {
    const ADDRESSES: usize = 12;
    if len < ADDRESSES || len + TAG > space.len() {
        return 0;
    }
    space.copy_within(ADDRESSES..len, ADDRESSES + TAG);
    space[ADDRESSES..ADDRESSES + 2].copy_from_slice(&protocol.to_be_bytes());
    space[ADDRESSES + 2..ADDRESSES + TAG].copy_from_slice(&tci.to_be_bytes());
    len + TAG
}

/// Sends frames on a device without its queueing discipline and so without its egress filters.
#[derive(Debug)]
pub struct PacketTx {
    fd: OwnedFd,
}

impl PacketTx {
    /// Opens the socket on a device.
    ///
    /// # Errors
    /// Needs CAP_NET_RAW; the device may be gone.
    pub fn open(index: u32) -> io::Result<Self> {
        let sender = Self::open_queued(index)?;
        // Without the bypass every frame would come back through the egress redirect.
        sys::set_option(
            sender.fd.as_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            1_i32,
        )?;
        Ok(sender)
    }

    /// Opens a socket that sends as the stack does: through the queueing discipline and filters.
    ///
    /// # Errors
    /// Needs CAP_NET_RAW; the device may be gone.
    pub fn open_queued(index: u32) -> io::Result<Self> {
        let fd = open()?;
        let wait = libc::timeval {
            tv_sec: 0,
            tv_usec: libc::suseconds_t::from(
                i32::try_from(TRANSMIT_WAIT.as_micros()).expect("a short wait"),
            ),
        };
        sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_SNDTIMEO, wait)?;
        enlarge_buffers(fd.as_fd())?;
        sys::bind_packet(fd.as_fd(), index, 0)?;
        Ok(Self { fd })
    }
}

impl WireTx for PacketTx {
    fn send(&mut self, frames: &[IoSlice<'_>]) -> usize {
        let (mut left, mut refused) = (frames, 0);
        while !left.is_empty() {
            let done = match sys::send_frames(self.fd.as_fd(), left) {
                Ok(sent) => sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(_) => {
                    // The first of them is what the driver would not take.
                    refused += 1;
                    1
                }
            };
            left = &left[done.min(left.len())..];
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_back_where_it_was() {
        let mut space = [0_u8; 24];
        for (place, octet) in space.iter_mut().enumerate().take(18) {
            *octet = u8::try_from(place).unwrap();
        }
        assert_eq!(insert_tag(&mut space, 18, 100, 0x88a8), 22);
        assert_eq!(space[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(space[12..16], [0x88, 0xa8, 0, 100]);
        assert_eq!(space[16..22], [12, 13, 14, 15, 16, 17]);
        assert_eq!(insert_tag(&mut space, 22, 1, 0x8100), 0);
        assert_eq!(insert_tag(&mut space, 11, 1, 0x8100), 0);
    }
}

//! A capture of what passes a device, both ways, as a pcap file.

use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::BATCH_MAX;
use crate::sys;
use crate::udp::enlarge_buffers;

const ETH_P_ALL: u16 = 0x0003;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;
const TAG: usize = 4;

/// A packet socket that copies every frame of a device, incoming and outgoing.
#[derive(Debug)]
pub struct Capture {
    fd: OwnedFd,
    snaplen: usize,
    buffer: Vec<u8>,
}

impl Capture {
    /// Starts to capture on a device; frames are cut to `snaplen` octets.
    ///
    /// # Errors
    /// Needs CAP_NET_RAW; the device may be gone.
    pub fn open(index: u32, snaplen: usize) -> io::Result<Self> {
        let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        sys::set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1_i32)?;
        enlarge_buffers(fd.as_fd())?;
        sys::bind_packet(fd.as_fd(), index, ETH_P_ALL)?;
        Ok(Self {
            fd,
            snaplen,
            buffer: vec![0; BATCH_MAX * snaplen],
        })
    }

    /// Writes the head of a pcap file.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_head(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&MAGIC_NANOS.to_le_bytes())?;
        to.write_all(&[2, 0, 4, 0])?;
        to.write_all(&[0; 8])?;
        let snaplen = u32::try_from(self.snaplen).unwrap_or(u32::MAX);
        to.write_all(&snaplen.to_le_bytes())?;
        to.write_all(&LINKTYPE_ETHERNET.to_le_bytes())
    }

    /// Writes the frames that wait, without waiting; how many there were.
    ///
    /// # Errors
    /// Those of the writer, or the device is gone.
    pub fn write_waiting(&mut self, to: &mut impl Write) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let got = self.write_batch(to)?;
            total += got;
            if got < BATCH_MAX {
                return Ok(total);
            }
        }
    }

    fn write_batch(&mut self, to: &mut impl Write) -> io::Result<usize> {
        let mut headers = [[0_u8; 0]; BATCH_MAX];
        let mut frames = [sys::Frame::default(); BATCH_MAX];
        let mut spaces: Vec<IoSliceMut<'_>> = self
            .buffer
            .chunks_exact_mut(self.snaplen)
            .map(IoSliceMut::new)
            .collect();
        let got = match sys::receive_frames(self.fd.as_fd(), &mut headers, &mut spaces, &mut frames)
        {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let nanos = u64::try_from(sys::clock_nanos(libc::CLOCK_REALTIME)).unwrap_or(0);
        for (space, frame) in spaces.iter().zip(frames).take(got) {
            let octets = &space[..frame.len.min(space.len())];
            let tag = frame.tag.map(|(tci, protocol)| {
                let [a, b] = protocol.to_be_bytes();
                let [c, d] = tci.to_be_bytes();
                [a, b, c, d]
            });
            let tag = tag.as_ref().map_or(&[][..], <[u8; TAG]>::as_slice);
            let split = octets.len().min(12);
            let length = u32::try_from(octets.len() + tag.len()).unwrap_or(u32::MAX);
            let seconds = u32::try_from(nanos / 1_000_000_000).unwrap_or(u32::MAX);
            let fraction = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
            for word in [seconds, fraction, length, length] {
                to.write_all(&word.to_le_bytes())?;
            }
            to.write_all(&octets[..split])?;
            to.write_all(tag)?;
            to.write_all(&octets[split..])?;
        }
        Ok(got)
    }

    /// Frames that came faster than they were written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let statistics: io::Result<libc::tpacket_stats> =
            sys::option(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
        statistics.map_or(0, |statistics| u64::from(statistics.tp_drops))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

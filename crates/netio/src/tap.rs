//! The TAP device between the stack and the forwarder.
//!
//! It exists as long as it is open: when the process ends it goes, and a redirect to it drops.
//! Frames that are read carry what the kernel sends through the WAN port; frames that are written
//! appear as arrived on the WAN port (`steer` sees to both).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use policy::steer::Reentry;

use crate::backend::{ClearTx, FrameRx, Offload, Received};
use crate::limits::TAP_QUEUE;
use crate::link::{self, Change};
use crate::netlink::Socket;
use crate::sys;

const TUN: &str = "/dev/net/tun";

/// The longest name of a device.
const NAME_MAX: usize = 15;

/// An open TAP device.
#[derive(Debug)]
pub struct Tap {
    file: File,
    index: u32,
    reentry: Reentry,
    statistics: Socket,
}

/// The name of the TAP device of a WAN port: `gv-wan`, cut to what the kernel takes.
#[must_use]
pub fn name(device: &str) -> String {
    let mut name = format!("gv-{device}");
    while name.len() > NAME_MAX {
        name.pop();
    }
    name
}

impl Tap {
    /// Makes the TAP device of a WAN port: up, with a long queue, the port's MTU and no life of
    /// its own (no addresses, no ARP, no IPv6).
    ///
    /// # Errors
    /// No /dev/net/tun, no CAP_NET_ADMIN, or another process holds the device.
    pub fn create(device: &str, mtu: u32, reentry: Reentry) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(TUN)
            .map_err(|error| io::Error::new(error.kind(), format!("{TUN}: {error}")))?;
        let name = name(device);
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
        sys::tun_set_iff(file.as_fd(), &name, flags)?;
        // The kernel is to cut super-packets and fill in checksums before a frame is read.
        sys::tun_set_offload(file.as_fd(), 0)?;
        let mut netlink = Socket::open()?;
        let interface = link::named(&mut netlink, &name)?
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        for change in [
            Change::Mac(reentry.destination),
            Change::Mtu(mtu),
            Change::QueueLen(TAP_QUEUE),
            Change::FramesOnly,
            Change::Up(true),
        ] {
            link::change(&mut netlink, interface.index, &change)?;
        }
        Ok(Self {
            file,
            index: interface.index,
            reentry,
            statistics: netlink,
        })
    }

    /// The kernel's index of the device.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// A second handle for the thread that writes; the device stays while either is open.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn writer(&self) -> io::Result<TapWriter> {
        Ok(TapWriter {
            file: self.file.try_clone()?,
            reentry: self.reentry,
        })
    }
}

impl FrameRx for Tap {
    fn receive(
        &mut self,
        spaces: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> io::Result<usize> {
        let mut count = 0;
        while let (Some(space), Some(slot)) = (spaces.get_mut(count), received.get_mut(count)) {
            let mut offload = Offload::NONE;
            let whole = space.len();
            let mut parts = [IoSliceMut::new(&mut offload.0), IoSliceMut::new(space)];
            match (&self.file).read_vectored(&mut parts) {
                Ok(octets) => {
                    let len = octets.saturating_sub(Offload::LEN);
                    // What the device itself sends (its own multicast reports) is no traffic.
                    let own = space.get(6..12) == Some(&self.reentry.destination[..]);
                    if !own && len < whole {
                        *slot = Received { len, offload };
                        count += 1;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(count)
    }

    fn readable(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn lost(&mut self) -> u64 {
        link::transmit_drops(&mut self.statistics, self.index).unwrap_or(0)
    }
}

/// The writing end of a TAP device.
#[derive(Debug)]
pub struct TapWriter {
    file: File,
    reentry: Reentry,
}

impl ClearTx for TapWriter {
    fn send(&mut self, frame: &[u8], offload: &Offload) -> io::Result<()> {
        const ADDRESSES: usize = 12;
        let Some((first, _)) = frame.split_first_chunk::<ADDRESSES>() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut addresses = *first;
        addresses[6..].copy_from_slice(&self.reentry.source);
        if addresses[0] & 0x01 == 0 {
            addresses[..6].copy_from_slice(&self.reentry.destination);
        }
        let parts = [
            IoSlice::new(&offload.0),
            IoSlice::new(&addresses),
            IoSlice::new(&frame[ADDRESSES..]),
        ];
        (&self.file).write_vectored(&parts).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel() {
        assert_eq!(name("wan"), "gv-wan");
        assert_eq!(name("enp0s31f6.4000"), "gv-enp0s31f6.40");
    }
}

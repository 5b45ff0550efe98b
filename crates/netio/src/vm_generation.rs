//! The kernel's word that this virtual machine goes on from an image of its memory.
//!
//! The hypervisor changes the VM generation id when a machine is restored or cloned; the kernel's
//! driver then stirs its randomness and sends a uevent. No clock jumps on such a resumption. Kernels
//! without the driver or the uevent say nothing. What follows from it is not decided here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::NETLINK_BUFFER;
use crate::sys;
use crate::udp::enlarge_buffers;

/// The kernel's own uevents, before udev repeats them to others.
const KERNEL_GROUP: u32 = 1;
/// What the driver of the VM generation id adds to the uevent of its device.
const NEW_GENERATION: &[u8] = b"NEW_VMGENID=1";

/// Hears of new generations.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Hears from now on.
    ///
    /// # Errors
    /// The kernel gives no uevents here.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = sys::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT)?;
        // Devices that come and go say hundreds in a moment, and what is lost counts as a new one.
        enlarge_buffers(socket.as_fd())?;
        sys::bind_netlink(socket.as_fd(), KERNEL_GROUP)?;
        let buffer = vec![0; NETLINK_BUFFER];
        Ok(Self { socket, buffer })
    }

    /// Whether the machine was resumed since the last call; never waits. Uevents that were lost may
    /// have said so.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn is_new(&mut self) -> io::Result<bool> {
        let mut is_new = false;
        loop {
            match sys::receive(self.socket.as_fd(), &mut self.buffer, 0) {
                Ok(len) => is_new |= says_new_generation(&self.buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(is_new),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => is_new = true,
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A uevent is a path and then variables, each ended by a nul.
fn says_new_generation(uevent: &[u8]) -> bool {
    uevent
        .split(|octet| *octet == 0)
        .any(|variable| variable == NEW_GENERATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_uevent_of_a_new_generation_says_so() {
        let uevent =
            |variables: &str| format!("change@/devices/vmgenid\0ACTION=change\0{variables}");
        assert!(says_new_generation(
            uevent("NEW_VMGENID=1\0SEQNUM=7\0").as_bytes()
        ));
        assert!(!says_new_generation(uevent("SEQNUM=7\0").as_bytes()));
        assert!(!says_new_generation(
            uevent("XNEW_VMGENID=1\0NEW_VMGENID=12\0").as_bytes()
        ));
        assert!(!says_new_generation(b""));
    }

    #[test]
    fn nothing_new_is_heard_of_a_machine_that_just_runs() {
        let mut monitor = Monitor::open().unwrap();
        assert!(!monitor.is_new().unwrap());
    }
}

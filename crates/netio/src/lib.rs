//! Linux: clocks, sockets, interfaces, the TAP device, packet sockets and traffic control.
//!
//! Knows no protocol and decides nothing: bytes in, bytes out. Which frames pass a WAN port is
//! `policy::steer`'s to say; this crate loads it. All `unsafe` of the program apart from the
//! cryptographic bindings is in `sys`, `ring` and `testbed`, behind functions that are safe to call.

pub mod backend;
pub mod clock;
pub mod limits;
pub mod link;
pub mod mroute;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod ring;
pub mod steer;
mod sys;
pub mod tap;
pub mod testbed;
pub mod udp;
pub mod vm_generation;

pub use sys::{Ready, Wait, effective_user, peer_groups, poll};

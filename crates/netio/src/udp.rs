//! UDP sockets, one for each local address, so that a datagram's local address is known and an
//! answer leaves from it.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use crate::limits::SOCKET_BUFFER;
use crate::sys;

/// Class selector 6, what routers mark their own control traffic with.
const TOS_INTERNETWORK_CONTROL: i32 = 0xc0;

/// A non-blocking socket bound to `local`, with large buffers, marked as network control. Several
/// processes may bind different addresses of one host.
///
/// # Errors
/// The address is not this host's, the port is taken or needs a privilege.
pub fn bind(local: SocketAddrV4) -> io::Result<UdpSocket> {
    let fd = sys::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
    sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1_i32)?;
    sys::set_option(
        fd.as_fd(),
        libc::IPPROTO_IP,
        libc::IP_TOS,
        TOS_INTERNETWORK_CONTROL,
    )?;
    enlarge_buffers(fd.as_fd())?;
    sys::bind_v4(fd.as_fd(), local)?;
    Ok(fd.into())
}

/// Sets both socket buffers to [`SOCKET_BUFFER`]: beyond the system's limit if the privilege is
/// there, else up to it.
///
/// # Errors
/// Only when the socket takes no such option at all.
pub(crate) fn enlarge_buffers(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        if sys::set_option(fd, libc::SOL_SOCKET, force, SOCKET_BUFFER).is_err() {
            sys::set_option(fd, libc::SOL_SOCKET, plain, SOCKET_BUFFER)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn sockets_of_one_port_and_two_addresses_do_not_disturb_each_other() {
        let one = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = one.local_addr().unwrap().port();
        let two = bind(SocketAddrV4::new([127, 0, 0, 2].into(), port)).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"x", ("127.0.0.2", port)).unwrap();
        let mut buffer = [0; 8];
        let mut waits = [crate::Wait::for_input(two.as_fd())];
        crate::poll(&mut waits, Some(std::time::Duration::from_secs(5))).unwrap();
        assert!(waits[0].ready.readable);
        assert_eq!(two.recv(&mut buffer).unwrap(), 1);
        let nothing = one.recv(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let unknown = bind(SocketAddrV4::new([192, 0, 2, 1].into(), 0)).unwrap_err();
        assert_eq!(unknown.kind(), io::ErrorKind::AddrNotAvailable);
    }
}

//! UDP sockets, one for each local address, so that a datagram's local address is known and an
//! answer leaves from it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use crate::limits::{BATCH_MAX, DATAGRAM_MAX, SOCKET_BUFFER};
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

/// A non-blocking socket that receives what comes for a multicast address by the interface of
/// another address, and asks the network for it (IGMP) as long as it is open.
///
/// # Errors
/// No interface has that address, or the host has joined as many groups as it may.
pub fn join(group: SocketAddrV4, interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let fd = sys::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
    let (socket, ip) = (libc::SOL_SOCKET, libc::IPPROTO_IP);
    sys::set_option(fd.as_fd(), socket, libc::SO_REUSEADDR, 1_i32)?;
    // What others on this host have joined by other interfaces is not for this socket.
    sys::set_option(fd.as_fd(), ip, libc::IP_MULTICAST_ALL, 0_i32)?;
    enlarge_buffers(fd.as_fd())?;
    sys::bind_v4(fd.as_fd(), group)?;
    // struct ip_mreq: both addresses in network order.
    let request = [*group.ip(), interface].map(|own| own.to_bits().to_be());
    sys::set_option(fd.as_fd(), ip, libc::IP_ADD_MEMBERSHIP, request)?;
    Ok(fd.into())
}

/// How many routers a multicast datagram of this socket may cross.
///
/// # Errors
/// Only when the socket takes no such option.
pub fn set_multicast_ttl(socket: BorrowedFd<'_>, ttl: u8) -> io::Result<()> {
    let ttl = i32::from(ttl);
    sys::set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, ttl)
}

/// Room for the datagrams of one call to the kernel, to be used again and again.
pub struct Inbox {
    /// [`BATCH_MAX`] times [`DATAGRAM_MAX`]; only what datagrams have filled takes memory.
    spaces: Vec<u8>,
    arrived: [sys::Arrived; BATCH_MAX],
    count: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            spaces: vec![0; BATCH_MAX * DATAGRAM_MAX],
            arrived: [sys::Arrived::default(); BATCH_MAX],
            count: 0,
        }
    }
}

impl Inbox {
    /// Takes what has arrived at `socket`, up to [`BATCH_MAX`] datagrams, in place of what it holds.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, or an ICMP answer to something that was sent earlier.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.count = 0;
        self.count =
            sys::receive_datagrams(socket, &mut self.spaces, DATAGRAM_MAX, &mut self.arrived)?;
        Ok(())
    }

    /// The datagrams it holds, each with its sender, in the order of their arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddrV4, &[u8])> {
        self.spaces
            .chunks_exact(DATAGRAM_MAX)
            .zip(&self.arrived[..self.count])
            .map(|(space, arrived)| (arrived.peer, &space[..arrived.len]))
    }
}

/// Sends each datagram to its peer. One that cannot be sent now is lost, as any datagram may be,
/// and does not stop those behind it; how many were lost.
pub fn send(socket: BorrowedFd<'_>, mut datagrams: &[(SocketAddrV4, &[u8])]) -> usize {
    let mut lost = 0;
    while !datagrams.is_empty() {
        let passed = match sys::send_datagrams(socket, datagrams) {
            Ok(sent) => sent.max(1),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => {
                lost += 1;
                1
            }
        };
        datagrams = &datagrams[passed..];
    }
    lost
}

/// Sets both socket buffers to [`SOCKET_BUFFER`]: beyond the system's limit if the privilege is
/// there, else up to it.
///
/// # Errors
/// Only when the socket takes no such option at all.
pub(crate) fn enlarge_buffers(fd: BorrowedFd<'_>) -> io::Result<()> {
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
    fn address(socket: &UdpSocket) -> SocketAddrV4 {
        match socket.local_addr().unwrap() {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(_) => panic!("an IPv4 socket"),
        }
    }

    #[test]
    fn a_multicast_address_is_heard_by_the_interface_where_it_was_joined() {
        let sender = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        set_multicast_ttl(sender.as_fd(), 1).unwrap();
        let first = SocketAddrV4::new([239, 255, 77, 1].into(), 0);
        let joined = match join(first, Ipv4Addr::LOCALHOST) {
            Ok(joined) => joined,
            // The loopback device of some sandboxes has no multicast.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
            Err(error) => panic!("{error}"),
        };
        let to = address(&joined);
        assert_eq!(send(sender.as_fd(), &[(to, b"rekey")]), 0);
        let mut waits = [crate::Wait::for_input(joined.as_fd())];
        crate::poll(&mut waits, Some(std::time::Duration::from_secs(5))).unwrap();
        let mut inbox = Inbox::default();
        inbox.receive(joined.as_fd()).unwrap();
        let got: Vec<_> = inbox.datagrams().collect();
        assert_eq!(got, [(address(&sender), &b"rekey"[..])]);
        let nowhere = join(first, [192, 0, 2, 1].into()).unwrap_err();
        assert_eq!(nowhere.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn many_datagrams_pass_in_one_call_and_keep_their_senders_and_order() {
        let receiver = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = bind(SocketAddrV4::new([127, 0, 0, 2].into(), 0)).unwrap();
        let (from, to) = (address(&sender), address(&receiver));
        let count = u8::try_from(BATCH_MAX + 1).unwrap();
        let octets: Vec<Vec<u8>> = (0..count).map(|n| vec![n; 1 + usize::from(n)]).collect();
        let all: Vec<(SocketAddrV4, &[u8])> =
            octets.iter().map(|one| (to, one.as_slice())).collect();
        assert_eq!(send(sender.as_fd(), &all), 0);
        let mut inbox = Inbox::default();
        inbox.receive(receiver.as_fd()).unwrap();
        let got: Vec<_> = inbox
            .datagrams()
            .map(|(peer, one)| (peer, one.to_vec()))
            .collect();
        let expected = octets[..BATCH_MAX].iter().map(|one| (from, one.clone()));
        assert_eq!(got, expected.collect::<Vec<_>>());
        inbox.receive(receiver.as_fd()).unwrap();
        let got: Vec<_> = inbox.datagrams().collect();
        assert_eq!(got, [(from, octets[BATCH_MAX].as_slice())]);
        let nothing = inbox.receive(receiver.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inbox.datagrams().count(), 0);
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_does_not_stop_the_next() {
        let receiver = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (to, too_long) = (address(&receiver), vec![0; DATAGRAM_MAX + 1]);
        let all = [(to, &b"a"[..]), (to, too_long.as_slice()), (to, &b"b"[..])];
        assert_eq!(send(sender.as_fd(), &all), 1);
        let mut inbox = Inbox::default();
        inbox.receive(receiver.as_fd()).unwrap();
        let got: Vec<_> = inbox.datagrams().map(|(_, octets)| octets).collect();
        assert_eq!(got, [b"a", b"b"]);
    }
}

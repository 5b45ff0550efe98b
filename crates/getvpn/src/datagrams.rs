//! UDP 848: one socket for each address that the box listens at, and for each multicast address
//! that it has joined by an interface.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Bound;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use netio::limits::BATCH_MAX;
use netio::udp::Inbox;
use tokio::io::Interest;
use tokio::net::UdpSocket;

const PORT: u16 = 848;

/// What a socket is for: an address of this box, or a multicast address with the address of the
/// interface by which it is heard.
type Place = (Ipv4Addr, Option<Ipv4Addr>);

/// A datagram that is to leave.
struct Datagram {
    local: SocketAddrV4,
    peer: SocketAddrV4,
    octets: Vec<u8>,
}

/// The open sockets.
#[derive(Default)]
pub(crate) struct Datagrams {
    wanted: BTreeSet<Place>,
    sockets: BTreeMap<Place, Open>,
    /// What the last call to the kernel brought ...
    inbox: Inbox,
    /// ... and where.
    arrived_at: Option<Place>,
    /// What leaves with the next call to the kernel.
    posted: Vec<Datagram>,
}

/// One socket: its sending end, and the one that the runtime watches. What is sent goes to the
/// kernel at once: the runtime would hold a datagram for unsendable that leaves before it has ever
/// looked at the socket, so the first one of every start.
struct Open {
    sender: std::net::UdpSocket,
    receiver: UdpSocket,
    local: SocketAddrV4,
}

impl Datagrams {
    /// Listens at these addresses and at no others. What could not be done, with the address.
    pub(crate) fn listen(&mut self, addresses: Vec<Ipv4Addr>) -> Vec<(Ipv4Addr, io::Error)> {
        self.wanted.retain(|(_, interface)| interface.is_some());
        let own = addresses.into_iter().map(|address| (address, None));
        self.wanted.extend(own);
        self.sockets.retain(|place, _| self.wanted.contains(place));
        self.retry()
    }

    /// Hears a multicast address by the interface of an address. What could not be done.
    pub(crate) fn join(
        &mut self,
        group: Ipv4Addr,
        interface: Ipv4Addr,
    ) -> Vec<(Ipv4Addr, io::Error)> {
        self.wanted.insert((group, Some(interface)));
        self.retry()
    }

    /// Hears it no longer.
    pub(crate) fn leave(&mut self, group: Ipv4Addr, interface: Ipv4Addr) {
        let place = (group, Some(interface));
        self.wanted.remove(&place);
        self.sockets.remove(&place);
    }

    /// Joins everything anew before it leaves the old: an interface that went and came back has
    /// forgotten what was heard by it.
    pub(crate) fn rejoin(&mut self) {
        let (joined, own) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|((_, interface), _)| interface.is_some());
        self.sockets = own;
        let _old: BTreeMap<Place, Open> = joined;
        // What fails is tried again, and was told when it was joined first.
        let _ = self.retry();
    }

    /// Tries again what failed: an address may have come to an interface.
    pub(crate) fn retry(&mut self) -> Vec<(Ipv4Addr, io::Error)> {
        let mut failed = Vec::new();
        for place in &self.wanted {
            if self.sockets.contains_key(place) {
                continue;
            }
            let local = SocketAddrV4::new(place.0, PORT);
            let socket = match place.1 {
                None => netio::udp::bind(local),
                Some(interface) => netio::udp::join(local, interface),
            };
            match socket.and_then(|socket| open(socket, local)) {
                Ok(socket) => {
                    self.sockets.insert(*place, socket);
                }
                Err(error) => failed.push((place.0, error)),
            }
        }
        failed
    }

    /// Waits until datagrams have arrived at one of the addresses and says how many, at least one
    /// and at most [`BATCH_MAX`]; [`Self::arrived`] has them until it is called again.
    ///
    /// They come from the kernel straight into the loop that handles them: a task of their own and
    /// a queue between the two cost more than a small message takes to be handled.
    pub(crate) async fn receive(&mut self) -> usize {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        // Who was served last comes last, so that no address waits for a busy one.
        let after = self.arrived_at.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.arrived_at.map_or(Bound::Unbounded, Bound::Included);
        let last = self.sockets.range((Bound::Unbounded, upto));
        let order = self.sockets.range((after, Bound::Unbounded)).chain(last);
        for (place, socket) in order {
            if let Poll::Ready(count) = socket.poll_receive(&mut self.inbox, cx) {
                self.arrived_at = Some(*place);
                return Poll::Ready(count);
            }
        }
        Poll::Pending
    }

    /// What arrived last, with the local address and the peer's, in the order of its arrival.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = (SocketAddrV4, SocketAddrV4, &[u8])> {
        let socket = self.arrived_at.and_then(|at| self.sockets.get(&at));
        socket.into_iter().flat_map(|socket| {
            let datagrams = self.inbox.datagrams();
            datagrams.map(|(peer, octets)| (socket.local, peer, octets))
        })
    }

    /// Sends a datagram, after those that were posted before, at [`Self::flush`] or earlier.
    pub(crate) fn post(&mut self, local: SocketAddrV4, peer: SocketAddrV4, octets: Vec<u8>) {
        self.posted.push(Datagram {
            local,
            peer,
            octets,
        });
        if self.posted.len() == BATCH_MAX {
            self.flush();
        }
    }

    /// Sends a datagram to a multicast address, after those that were posted before.
    pub(crate) fn send_multicast(
        &mut self,
        local: SocketAddrV4,
        group: SocketAddrV4,
        ttl: u8,
        octets: &[u8],
    ) {
        self.flush();
        let Some(socket) = self.sockets.get(&(*local.ip(), None)) else {
            return;
        };
        let socket = socket.sender.as_fd();
        // Without the option the kernel's own value keeps the datagram in the network of the port,
        // which is seen at the members; there is nothing better to send it with.
        let _ = netio::udp::set_multicast_ttl(socket, ttl);
        netio::udp::send(socket, &[(group, octets)]);
    }

    /// Hands the kernel what was posted. What cannot be sent now is lost, as any datagram may be:
    /// every exchange repeats what is not answered.
    pub(crate) fn flush(&mut self) {
        for run in self.posted.chunk_by(|one, next| one.local == next.local) {
            let Some(socket) = self.sockets.get(&(*run[0].local.ip(), None)) else {
                continue;
            };
            let datagrams: Vec<(SocketAddrV4, &[u8])> = run
                .iter()
                .map(|one| (one.peer, one.octets.as_slice()))
                .collect();
            netio::udp::send(socket.sender.as_fd(), &datagrams);
        }
        self.posted.clear();
    }
}

fn open(sender: std::net::UdpSocket, local: SocketAddrV4) -> io::Result<Open> {
    let receiver = UdpSocket::from_std(sender.try_clone()?)?;
    Ok(Open {
        sender,
        receiver,
        local,
    })
}

impl Open {
    /// Fills `inbox`, or has the waker called when there is something.
    fn poll_receive(&self, inbox: &mut Inbox, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            // It fails only when the runtime ends.
            let Poll::Ready(Ok(())) = self.receiver.poll_recv_ready(cx) else {
                return Poll::Pending;
            };
            let mut count = 0;
            // An error is an ICMP answer to something that was sent earlier.
            let _ = self.receiver.try_io(Interest::READABLE, || {
                inbox.receive(self.receiver.as_fd())?;
                count = inbox.datagrams().count();
                if count < BATCH_MAX {
                    // Nothing is left: what comes from now on wakes the runtime again.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            if count > 0 {
                return Poll::Ready(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    fn bound(local: SocketAddrV4) -> Open {
        open(netio::udp::bind(local).unwrap(), local).unwrap()
    }

    #[tokio::test]
    async fn the_first_datagram_leaves_although_the_socket_is_new() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut sockets = Datagrams::default();
        let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let open = bound(local);
        let SocketAddr::V4(bound) = open.sender.local_addr().unwrap() else {
            panic!("an IPv4 socket");
        };
        sockets.sockets.insert((*local.ip(), None), open);
        let SocketAddr::V4(to) = peer.local_addr().unwrap() else {
            panic!("an IPv4 socket");
        };
        // Without a socket there it is lost, and what is behind it leaves all the same.
        let elsewhere = SocketAddrV4::new([192, 0, 2, 1].into(), 0);
        sockets.post(elsewhere, to, b"lost".to_vec());
        sockets.post(local, to, b"message 1".to_vec());
        sockets.flush();
        let mut buffer = [0; 16];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 9);
        peer.send_to(b"message 2", bound).unwrap();
        assert_eq!(sockets.receive().await, 1);
        let arrived: Vec<_> = sockets.arrived().collect();
        assert_eq!(arrived, [(local, to, &b"message 2"[..])]);
    }

    #[tokio::test]
    async fn no_datagram_is_left_behind_and_no_address_waits_for_another() {
        let mut sockets = Datagrams::default();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addresses = [[127, 0, 0, 1], [127, 0, 0, 2]].map(Ipv4Addr::from);
        let mut ports = Vec::new();
        for address in addresses {
            let open = bound(SocketAddrV4::new(address, 0));
            ports.push(open.sender.local_addr().unwrap());
            sockets.sockets.insert((address, None), open);
        }
        // More than one call brings, twice; and some after the socket was found empty.
        for round in 0..2_u8 {
            for number in 0..100_u8 {
                for port in &ports {
                    sender.send_to(&[round, number], port).unwrap();
                }
            }
            let (mut seen, mut order) = (BTreeMap::<Ipv4Addr, Vec<u8>>::new(), Vec::new());
            while seen.values().map(Vec::len).sum::<usize>() < 200 {
                let received = tokio::time::timeout(Duration::from_secs(5), sockets.receive());
                assert!(received.await.unwrap() > 0);
                for (local, _, octets) in sockets.arrived() {
                    assert_eq!(octets[0], round);
                    seen.entry(*local.ip()).or_default().push(octets[1]);
                }
                order.push(sockets.arrived_at.unwrap());
            }
            let all: Vec<u8> = (0..100).collect();
            assert!(seen.values().all(|numbers| *numbers == all));
            assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
        }
        let nothing = tokio::time::timeout(Duration::from_millis(20), sockets.receive());
        assert!(nothing.await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_listened_at_no_longer_is_silent() {
        let mut sockets = Datagrams::default();
        let open = bound(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        let port = open.sender.local_addr().unwrap();
        sockets.sockets.insert((Ipv4Addr::LOCALHOST, None), open);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"x", port).unwrap();
        assert_eq!(sockets.receive().await, 1);
        assert!(sockets.listen(Vec::new()).is_empty());
        assert_eq!(sockets.arrived().count(), 0);
        let nothing = tokio::time::timeout(Duration::from_millis(20), sockets.receive());
        assert!(nothing.await.is_err());
    }
}

//! UDP 848: one socket for each address that the box listens at.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;

use netio::limits::BATCH_MAX;
use netio::udp::Inbox;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const PORT: u16 = 848;

/// A datagram that arrived or is to leave.
pub(crate) struct Datagram {
    pub(crate) local: SocketAddrV4,
    pub(crate) peer: SocketAddrV4,
    pub(crate) octets: Vec<u8>,
}

/// The open sockets.
pub(crate) struct Datagrams {
    arrived: mpsc::Sender<Datagram>,
    wanted: Vec<Ipv4Addr>,
    sockets: BTreeMap<Ipv4Addr, Open>,
    /// Multicast addresses that are to be heard, each with the address of its interface, and the
    /// task that receives once it could be joined.
    joined: BTreeMap<(Ipv4Addr, Ipv4Addr), Option<JoinHandle<()>>>,
    /// What leaves with the next call to the kernel.
    posted: Vec<Datagram>,
}

/// One socket: its sending end, and the task that receives. What is sent goes to the kernel at once:
/// the runtime would hold a datagram for unsendable that leaves before it has ever looked at the
/// socket, so the first one of every start.
struct Open {
    sender: std::net::UdpSocket,
    receiver: JoinHandle<()>,
}

impl Datagrams {
    /// No socket yet; what arrives will go to `arrived`.
    pub(crate) const fn new(arrived: mpsc::Sender<Datagram>) -> Self {
        Self {
            arrived,
            wanted: Vec::new(),
            sockets: BTreeMap::new(),
            joined: BTreeMap::new(),
            posted: Vec::new(),
        }
    }

    /// Listens at these addresses and at no others. What could not be done, with the address.
    pub(crate) fn listen(&mut self, addresses: Vec<Ipv4Addr>) -> Vec<(Ipv4Addr, io::Error)> {
        self.sockets.retain(|address, socket| {
            let stays = addresses.contains(address);
            if !stays {
                socket.receiver.abort();
            }
            stays
        });
        self.wanted = addresses;
        self.retry()
    }

    /// Tries again what failed: an address may have come to an interface.
    pub(crate) fn retry(&mut self) -> Vec<(Ipv4Addr, io::Error)> {
        let mut failed = self.retry_joins();
        for address in self.wanted.clone() {
            if self.sockets.contains_key(&address) {
                continue;
            }
            let local = SocketAddrV4::new(address, PORT);
            match self.open(local) {
                Ok(socket) => {
                    self.sockets.insert(address, socket);
                }
                Err(error) => failed.push((address, error)),
            }
        }
        failed
    }

    /// Hears a multicast address by the interface of an address.
    pub(crate) fn join(
        &mut self,
        group: Ipv4Addr,
        interface: Ipv4Addr,
    ) -> Vec<(Ipv4Addr, io::Error)> {
        self.joined.entry((group, interface)).or_default();
        self.retry_joins()
    }

    /// Hears it no longer.
    pub(crate) fn leave(&mut self, group: Ipv4Addr, interface: Ipv4Addr) {
        if let Some(Some(receiver)) = self.joined.remove(&(group, interface)) {
            receiver.abort();
        }
    }

    /// Joins everything anew before it leaves the old: an interface that went and came back has
    /// forgotten what was heard by it.
    pub(crate) fn rejoin(&mut self) -> Vec<(Ipv4Addr, io::Error)> {
        let old: Vec<JoinHandle<()>> = self.joined.values_mut().filter_map(Option::take).collect();
        let failed = self.retry_joins();
        old.iter().for_each(JoinHandle::abort);
        failed
    }

    fn retry_joins(&mut self) -> Vec<(Ipv4Addr, io::Error)> {
        let mut failed = Vec::new();
        let missing = self.joined.iter_mut().filter(|(_, task)| task.is_none());
        for ((group, interface), task) in missing {
            let local = SocketAddrV4::new(*group, PORT);
            let socket = netio::udp::join(local, *interface).and_then(UdpSocket::from_std);
            match socket {
                Ok(socket) => {
                    *task = Some(tokio::spawn(receive(socket, local, self.arrived.clone())))
                }
                Err(error) => failed.push((*group, error)),
            }
        }
        failed
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
        let Some(socket) = self.sockets.get(local.ip()) else {
            return;
        };
        let socket = socket.sender.as_fd();
        // Without the option the kernel's own value keeps the datagram in the network of the port,
        // which is seen at the members; there is nothing better to send it with.
        let _ = netio::udp::set_multicast_ttl(socket, ttl);
        netio::udp::send(socket, &[(group, octets)]);
    }

    fn open(&self, local: SocketAddrV4) -> io::Result<Open> {
        let sender = netio::udp::bind(local)?;
        let socket = UdpSocket::from_std(sender.try_clone()?)?;
        let receiver = tokio::spawn(receive(socket, local, self.arrived.clone()));
        Ok(Open { sender, receiver })
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

    /// Hands the kernel what was posted. What cannot be sent now is lost, as any datagram may be:
    /// every exchange repeats what is not answered.
    pub(crate) fn flush(&mut self) {
        for run in self.posted.chunk_by(|one, next| one.local == next.local) {
            let Some(socket) = self.sockets.get(run[0].local.ip()) else {
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

async fn receive(socket: UdpSocket, local: SocketAddrV4, arrived: mpsc::Sender<Datagram>) {
    let mut inbox = Inbox::default();
    loop {
        let received = socket
            .async_io(Interest::READABLE, || inbox.receive(socket.as_fd()))
            .await;
        if received.is_err() {
            // An ICMP answer to something that was sent earlier.
            continue;
        }
        for (peer, octets) in inbox.datagrams() {
            let datagram = Datagram {
                local,
                peer,
                octets: octets.to_vec(),
            };
            if arrived.send(datagram).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    #[tokio::test]
    async fn the_first_datagram_leaves_although_the_socket_is_new() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (arrived, mut datagrams) = mpsc::channel(4);
        let mut sockets = Datagrams::new(arrived);
        let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let open = sockets.open(local).unwrap();
        let SocketAddr::V4(bound) = open.sender.local_addr().unwrap() else {
            panic!("an IPv4 socket");
        };
        sockets.sockets.insert(*local.ip(), open);
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
        let datagram = datagrams.recv().await.unwrap();
        assert_eq!(
            (datagram.peer, &datagram.octets[..]),
            (to, &b"message 2"[..])
        );
    }
}

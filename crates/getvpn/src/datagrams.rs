//! UDP 848: one socket for each address that the box listens at.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::limits::DATAGRAM_MAX;

const PORT: u16 = 848;

/// A datagram that arrived.
pub(crate) struct Datagram {
    pub(crate) local: SocketAddrV4,
    pub(crate) peer: SocketAddrV4,
    pub(crate) octets: Vec<u8>,
}

/// The open sockets.
pub(crate) struct Datagrams {
    arrived: mpsc::Sender<Datagram>,
    wanted: Vec<Ipv4Addr>,
    sockets: BTreeMap<Ipv4Addr, (Arc<UdpSocket>, JoinHandle<()>)>,
}

impl Datagrams {
    /// No socket yet; what arrives will go to `arrived`.
    pub(crate) const fn new(arrived: mpsc::Sender<Datagram>) -> Self {
        Self {
            arrived,
            wanted: Vec::new(),
            sockets: BTreeMap::new(),
        }
    }

    /// Listens at these addresses and at no others. What could not be done, with the address.
    pub(crate) fn listen(&mut self, addresses: Vec<Ipv4Addr>) -> Vec<(Ipv4Addr, io::Error)> {
        self.sockets.retain(|address, (_, task)| {
            let stays = addresses.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        self.wanted = addresses;
        self.retry()
    }

    /// Tries again what failed: an address may have come to an interface.
    pub(crate) fn retry(&mut self) -> Vec<(Ipv4Addr, io::Error)> {
        let mut failed = Vec::new();
        for address in self.wanted.clone() {
            if self.sockets.contains_key(&address) {
                continue;
            }
            let local = SocketAddrV4::new(address, PORT);
            match netio::udp::bind(local).and_then(UdpSocket::from_std) {
                Ok(socket) => {
                    let socket = Arc::new(socket);
                    let arrived = self.arrived.clone();
                    let task = tokio::spawn(receive(Arc::clone(&socket), local, arrived));
                    self.sockets.insert(address, (socket, task));
                }
                Err(error) => failed.push((address, error)),
            }
        }
        failed
    }

    /// Sends a datagram; one that cannot be sent now is lost, as any datagram may be.
    ///
    /// # Errors
    /// Why it was lost.
    pub(crate) fn send(
        &self,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        octets: &[u8],
    ) -> io::Result<()> {
        let (socket, _) = self
            .sockets
            .get(local.ip())
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.try_send_to(octets, peer.into()).map(drop)
    }
}

async fn receive(socket: Arc<UdpSocket>, local: SocketAddrV4, arrived: mpsc::Sender<Datagram>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // An error here is an ICMP answer to something that was sent earlier.
        let Ok((octets, SocketAddr::V4(peer))) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let datagram = Datagram {
            local,
            peer,
            octets: buffer[..octets].to_vec(),
        };
        if arrived.send(datagram).await.is_err() {
            return;
        }
    }
}

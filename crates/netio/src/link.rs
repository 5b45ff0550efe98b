//! Network interfaces: what there is, and the few changes that devices of ours and the lab need.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::netlink::{Attributes, Message, Socket};

const IFINFOMSG: usize = 16;
const IFADDRMSG: usize = 8;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index.
    pub index: u32,
    /// The device's name.
    pub name: String,
    /// `ip link set X alias ...`.
    pub alias: Option<String>,
    /// Its MAC address; zero where there is none.
    pub mac: [u8; 6],
    /// Octets of a packet.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// IPv4 addresses with prefix lengths, the primary first.
    pub addresses: Vec<(Ipv4Addr, u8)>,
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn info_message(kind: u16, flags: i32, index: u32) -> Message {
    info_message_with(kind, flags, index, 0, 0)
}

fn info_message_with(kind: u16, flags: i32, index: u32, on: u32, change: u32) -> Message {
    Message::new(kind, flags, &info_body(index, on, change))
}

fn info_body(index: u32, on: u32, change: u32) -> [u8; IFINFOMSG] {
    let mut body = [0; IFINFOMSG];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&on.to_ne_bytes());
    body[12..16].copy_from_slice(&change.to_ne_bytes());
    body
}

/// Every interface of the network namespace, by index.
///
/// # Errors
/// The kernel refuses the list.
pub fn interfaces(socket: &mut Socket) -> io::Result<Vec<Interface>> {
    let mut all: Vec<Interface> = socket
        .dump(&info_message(libc::RTM_GETLINK, 0, 0))?
        .iter()
        .filter_map(|answer| answer.split(IFINFOMSG))
        .filter_map(|(fixed, attributes)| interface(fixed, attributes))
        .collect();
    all.sort_by_key(|interface| interface.index);
    let mut family = [0; IFADDRMSG];
    family[0] = u8::try_from(libc::AF_INET).expect("a small constant");
    let mut addresses: Vec<(u32, bool, Ipv4Addr, u8)> = socket
        .dump(&Message::new(libc::RTM_GETADDR, 0, &family))?
        .iter()
        .filter_map(|answer| answer.split(IFADDRMSG))
        .filter_map(|(fixed, attributes)| {
            let octets = attributes
                .find(libc::IFA_LOCAL)
                .or_else(|| attributes.find(libc::IFA_ADDRESS))?;
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?);
            let secondary = u32::from(fixed[2]) & libc::IFA_F_SECONDARY != 0;
            Some((u32_at(fixed, 4)?, secondary, address, fixed[1]))
        })
        .collect();
    // Stable: the kernel's order stays among the primary and among the secondary addresses.
    addresses.sort_by_key(|(_, secondary, ..)| *secondary);
    for (index, _, address, length) in addresses {
        if let Some(interface) = all.iter_mut().find(|interface| interface.index == index) {
            interface.addresses.push((address, length));
        }
    }
    Ok(all)
}

fn interface(fixed: &[u8], attributes: Attributes<'_>) -> Option<Interface> {
    let up = u32::try_from(libc::IFF_UP).expect("a small constant");
    Some(Interface {
        index: u32_at(fixed, 4)?,
        name: attributes.find_text(libc::IFLA_IFNAME)?,
        alias: attributes.find_text(libc::IFLA_IFALIAS),
        mac: attributes
            .find(libc::IFLA_ADDRESS)
            .and_then(|octets| octets.try_into().ok())
            .unwrap_or_default(),
        mtu: attributes.find_u32(libc::IFLA_MTU).unwrap_or(0),
        up: u32_at(fixed, 8)? & up != 0,
        addresses: Vec::new(),
    })
}

/// The interface of that name, if there is one.
///
/// # Errors
/// The kernel refuses the list.
pub fn named(socket: &mut Socket, name: &str) -> io::Result<Option<Interface>> {
    let all = interfaces(socket)?;
    Ok(all.into_iter().find(|interface| interface.name == name))
}

/// Packets that the kernel could not queue to the device (`tx_dropped`), since it exists.
///
/// # Errors
/// There is no such device.
pub fn transmit_drops(socket: &mut Socket, index: u32) -> io::Result<u64> {
    const TX_DROPPED: usize = 7 * 8;
    let answers = socket.dump(&info_message(libc::RTM_GETLINK, 0, 0))?;
    answers
        .iter()
        .filter_map(|answer| answer.split(IFINFOMSG))
        .find(|(fixed, _)| u32_at(fixed, 4) == Some(index))
        .and_then(|(_, attributes)| attributes.find(libc::IFLA_STATS64))
        .and_then(|stats| stats.get(TX_DROPPED..TX_DROPPED + 8)?.try_into().ok())
        .map(u64::from_ne_bytes)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}

/// Something to change on an interface.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// Up or down.
    Up(bool),
    /// The alias.
    Alias(&'a str),
    /// The MAC address.
    Mac([u8; 6]),
    /// The MTU.
    Mtu(u32),
    /// Packets that may wait to be sent.
    QueueLen(u32),
    /// No IPv6 address of its own making, no neighbours: a device that only carries frames.
    FramesOnly,
    /// Into the network namespace behind the descriptor.
    Namespace(BorrowedFd<'a>),
}

/// Changes an interface.
///
/// # Errors
/// The kernel's refusal.
pub fn change(socket: &mut Socket, index: u32, change: &Change<'_>) -> io::Result<()> {
    let bit = |flag: i32| u32::try_from(flag).expect("flags are positive");
    let new = |on: u32, mask: u32| info_message_with(libc::RTM_NEWLINK, 0, index, on, mask);
    let message = match change {
        Change::Up(true) => new(bit(libc::IFF_UP), bit(libc::IFF_UP)),
        Change::Up(false) => new(0, bit(libc::IFF_UP)),
        Change::Alias(alias) => new(0, 0).with(libc::IFLA_IFALIAS, alias.as_bytes()),
        Change::Mac(mac) => new(0, 0).with(libc::IFLA_ADDRESS, mac),
        Change::Mtu(mtu) => new(0, 0).with_u32(libc::IFLA_MTU, *mtu),
        Change::QueueLen(frames) => new(0, 0).with_u32(libc::IFLA_TXQLEN, *frames),
        Change::FramesOnly => {
            new(bit(libc::IFF_NOARP), bit(libc::IFF_NOARP)).nested(libc::IFLA_AF_SPEC, |spec| {
                let family = u16::try_from(libc::AF_INET6).expect("a small constant");
                spec.nested(family, |inet6| {
                    inet6.with(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE])
                })
            })
        }
        Change::Namespace(fd) => {
            new(0, 0).with(libc::IFLA_NET_NS_FD, &fd.as_raw_fd().to_ne_bytes())
        }
    };
    socket.request(message)
}

/// Makes a pair of virtual Ethernet devices, both in this namespace and down.
///
/// # Errors
/// The kernel's refusal, for example because a name is taken.
pub fn create_veth(socket: &mut Socket, name: &str, peer: &str) -> io::Result<()> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let message = info_message(libc::RTM_NEWLINK, flags, 0)
        .with_text(libc::IFLA_IFNAME, name)
        .nested(libc::IFLA_LINKINFO, |info| {
            info.with(libc::IFLA_INFO_KIND, b"veth")
                .nested(libc::IFLA_INFO_DATA, |data| {
                    data.nested_with_body(VETH_INFO_PEER, &info_body(0, 0, 0), |other| {
                        other.with_text(libc::IFLA_IFNAME, peer)
                    })
                })
        });
    socket.request(message)
}

/// Removes a device.
///
/// # Errors
/// The kernel's refusal.
pub fn delete(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.request(info_message(libc::RTM_DELLINK, 0, index))
}

/// Gives an interface an IPv4 address.
///
/// # Errors
/// The kernel's refusal.
pub fn add_address(
    socket: &mut Socket,
    index: u32,
    address: Ipv4Addr,
    prefix_length: u8,
) -> io::Result<()> {
    let mut body = [0; IFADDRMSG];
    body[0] = u8::try_from(libc::AF_INET).expect("a small constant");
    body[1] = prefix_length;
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    socket.request(
        Message::new(libc::RTM_NEWADDR, flags, &body)
            .with(libc::IFA_LOCAL, &address.octets())
            .with(libc::IFA_ADDRESS, &address.octets()),
    )
}

/// Adds an IPv4 route through a gateway.
///
/// # Errors
/// The kernel's refusal, for example because the gateway cannot be reached.
pub fn add_route(
    socket: &mut Socket,
    destination: Ipv4Addr,
    prefix_length: u8,
    gateway: Ipv4Addr,
) -> io::Result<()> {
    let small = |value: i32| u8::try_from(value).expect("a small constant");
    let body = [
        small(libc::AF_INET),
        prefix_length,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    socket.request(
        Message::new(libc::RTM_NEWROUTE, flags, &body)
            .with(libc::RTA_DST, &destination.octets())
            .with(libc::RTA_GATEWAY, &gateway.octets()),
    )
}

/// Tells when interfaces, their addresses or their traffic control filters change.
#[derive(Debug)]
pub struct Monitor(Socket);

impl Monitor {
    /// Hears changes from now on.
    ///
    /// # Errors
    /// The kernel refuses netlink.
    pub fn open() -> io::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_TC;
        let groups = u32::try_from(groups).expect("a small constant");
        Socket::open_groups(groups).map(Self)
    }

    /// Whether anything changed since the last call; never waits.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn changed(&mut self) -> io::Result<bool> {
        self.0.drain()
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let mut socket = Socket::open().unwrap();
        let lo = named(&mut socket, "lo").unwrap().unwrap();
        assert_eq!((lo.index, lo.mac), (1, [0; 6]));
        assert!(lo.mtu >= 1_500);
        assert_eq!(transmit_drops(&mut socket, lo.index).unwrap(), 0);
        assert!(transmit_drops(&mut socket, 1 << 30).is_err());
        assert!(named(&mut socket, "no-such-device").unwrap().is_none());
    }
}

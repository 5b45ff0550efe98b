//! What a port of the core saw: every frame is sorted by whether it may be there. Pure; decides
//! what counts as clear traffic of the hosts' networks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::OFFENDERS_KEPT;
use netio::testbed::DeviceAddress;

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: [u16; 2] = [0x8100, 0x88a8];
/// The protocol number of ESP.
const ESP: u8 = 50;

/// The addresses that only ESP may carry over the core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protected {
    /// The hosts' own addresses with their networks.
    pub(crate) hosts: Vec<DeviceAddress>,
}

impl Protected {
    fn covers(&self, address: IpAddr) -> bool {
        self.hosts.iter().any(|host| match (host.address, address) {
            (IpAddr::V4(host_v4), IpAddr::V4(other)) => {
                let shift = 32_u32.saturating_sub(host.prefix_len);
                (u32::from(host_v4) ^ u32::from(other))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(host_v6), IpAddr::V6(other)) => {
                let shift = 128_u32.saturating_sub(host.prefix_len);
                (u128::from(host_v6) ^ u128::from(other))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        })
    }

    fn is_host(&self, address: IpAddr) -> bool {
        self.hosts.iter().any(|host| host.address == address)
    }
}

/// ESP packets that look alike from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outside {
    /// The outer source.
    pub(crate) from: Ipv4Addr,
    /// The outer destination.
    pub(crate) to: Ipv4Addr,
    /// The SPI.
    pub(crate) spi: u32,
    /// The type of service.
    pub(crate) tos: u8,
}

/// A count of packets and octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Packets.
    pub(crate) packets: u64,
    /// Octets on the wire.
    pub(crate) octets: u64,
}

/// The tally of one port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    protected: Protected,
    /// ESP by its outside.
    pub(crate) esp: BTreeMap<Outside, Count>,
    /// The SPI of the last ESP packet between each two hosts.
    pub(crate) last_spi: BTreeMap<(Ipv4Addr, Ipv4Addr), u32>,
    /// Packets from and to the hosts' networks that are not ESP.
    pub(crate) clear: u64,
    /// ESP packets whose addresses are not hosts' own.
    pub(crate) foreign: u64,
    /// The first packets of the two counts above, in words.
    pub(crate) offenders: Vec<String>,
    /// All other frames: ARP, neighbour discovery, the routers' own.
    pub(crate) other: Count,
}

/// An IP packet as far as the tally needs it.
struct Packet<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    tos: u8,
    first_fragment: bool,
    payload: &'a [u8],
}

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {} protocol {} tos {:#04x}",
            self.from, self.to, self.protocol, self.tos
        )?;
        for octet in self.payload.iter().take(24) {
            write!(f, " {octet:02x}")?;
        }
        Ok(())
    }
}

impl Sight {
    /// A tally that knows which networks are the hosts'.
    pub(crate) fn of(protected: Protected) -> Self {
        Self {
            protected,
            ..Self::default()
        }
    }

    /// Counts one frame.
    pub(crate) fn see(&mut self, frame: &[u8], wire_len: u32) {
        let octets = u64::from(wire_len);
        let Some(packet) = packet(frame) else {
            return add(&mut self.other, octets);
        };
        let between_hosts = self.protected.covers(packet.from) && self.protected.covers(packet.to);
        if let (ESP, IpAddr::V4(from), IpAddr::V4(to)) = (packet.protocol, packet.from, packet.to) {
            if !self.protected.is_host(packet.from) || !self.protected.is_host(packet.to) {
                self.foreign += 1;
                return self.offend("ESP not under the hosts' addresses", &packet);
            }
            let spi = match (packet.first_fragment, packet.payload.first_chunk()) {
                (true, Some(spi)) => u32::from_be_bytes(*spi),
                // A later fragment shows no SPI; it belongs to the packet before it.
                (false, _) => self.last_spi.get(&(from, to)).copied().unwrap_or(0),
                (true, None) => 0,
            };
            self.last_spi.insert((from, to), spi);
            let outside = Outside {
                from,
                to,
                spi,
                tos: packet.tos,
            };
            add(self.esp.entry(outside).or_default(), octets);
        } else if between_hosts {
            self.clear += 1;
            self.offend("clear", &packet);
        } else {
            add(&mut self.other, octets);
        }
    }

    fn offend(&mut self, what: &str, packet: &Packet<'_>) {
        if self.offenders.len() < OFFENDERS_KEPT {
            self.offenders.push(format!("{what}: {packet}"));
        }
    }

    /// Joins the tally of another port.
    pub(crate) fn join(&mut self, other: Self) {
        for (outside, count) in other.esp {
            let mine = self.esp.entry(outside).or_default();
            mine.packets += count.packets;
            mine.octets += count.octets;
        }
        self.last_spi.extend(other.last_spi);
        self.clear += other.clear;
        self.foreign += other.foreign;
        self.other.packets += other.other.packets;
        self.other.octets += other.other.octets;
        self.offenders.extend(other.offenders);
        self.offenders.truncate(OFFENDERS_KEPT);
    }

    /// ESP packets in all.
    pub(crate) fn esp_packets(&self) -> u64 {
        self.esp.values().map(|count| count.packets).sum()
    }

    /// ESP packets between two hosts with this type of service.
    pub(crate) fn esp_with_tos(&self, from: Ipv4Addr, to: Ipv4Addr, tos: u8) -> u64 {
        let alike = self
            .esp
            .iter()
            .filter(|(at, _)| at.from == from && at.to == to && at.tos == tos);
        alike.map(|(_, count)| count.packets).sum()
    }

    /// ESP packets from a host.
    pub(crate) fn esp_from(&self, host: Ipv4Addr) -> u64 {
        let alike = self.esp.iter().filter(|(at, _)| at.from == host);
        alike.map(|(_, count)| count.packets).sum()
    }

    /// ESP packets by SPI.
    pub(crate) fn by_spi(&self) -> BTreeMap<u32, u64> {
        let mut found = BTreeMap::new();
        for (outside, count) in &self.esp {
            *found.entry(outside.spi).or_default() += count.packets;
        }
        found
    }
}

fn add(count: &mut Count, octets: u64) {
    count.packets += 1;
    count.octets += octets;
}

/// The IP packet in an Ethernet frame, under any number of VLAN tags.
fn packet(frame: &[u8]) -> Option<Packet<'_>> {
    let mut rest = frame.get(12..)?;
    loop {
        let (kind, after) = rest.split_first_chunk::<2>()?;
        let kind = u16::from_be_bytes(*kind);
        if VLAN.contains(&kind) {
            rest = after.get(2..)?;
            continue;
        }
        return match kind {
            IPV4 => packet_v4(after),
            IPV6 => packet_v6(after),
            _ => None,
        };
    }
}

fn packet_v4(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<20>()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        f0,
        f1,
        _,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *header;
    Some(Packet {
        from: Ipv4Addr::new(s0, s1, s2, s3).into(),
        to: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        tos: header[1],
        first_fragment: u16::from_be_bytes([f0, f1]) & 0x1fff == 0,
        payload: bytes.get(header_len..).unwrap_or_default(),
    })
}

fn packet_v6(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<40>()?;
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    Some(Packet {
        from: address(8)?,
        to: address(24)?,
        protocol: header[6],
        tos: header[0] << 4 | header[1] >> 4,
        first_fragment: true,
        payload: &bytes[40..],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const H1: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 10);
    const H2: Ipv4Addr = Ipv4Addr::new(192, 168, 21, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 21, 99);

    fn sight() -> Sight {
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        let host = |address: IpAddr, prefix_len| DeviceAddress {
            address,
            prefix_len,
            index: 1,
        };
        Sight::of(Protected {
            hosts: vec![
                host(H1.into(), 24),
                host(H2.into(), 24),
                host(v6("fd00:20::10"), 64),
                host(v6("fd00:21::10"), 64),
            ],
        })
    }

    fn v4(from: Ipv4Addr, to: Ipv4Addr, tos: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, tos, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(from.octets());
        frame.extend(to.octets());
        frame.extend(payload);
        frame
    }

    #[test]
    fn esp_between_hosts_is_counted_by_spi_and_service() {
        let mut sight = sight();
        for spi in [1, 1, 2_u32] {
            sight.see(&v4(H1, H2, 0xb8, 50, &spi.to_be_bytes()), 100);
        }
        sight.see(&v4(H2, H1, 0, 50, &9_u32.to_be_bytes()), 100);
        assert_eq!(
            sight.by_spi().into_iter().collect::<Vec<_>>(),
            [(1, 2), (2, 1), (9, 1)]
        );
        assert_eq!(sight.esp_with_tos(H1, H2, 0xb8), 3);
        assert_eq!(sight.last_spi[&(H1, H2)], 2);
        assert_eq!((sight.clear, sight.foreign), (0, 0));
    }

    #[test]
    fn clear_packets_of_the_networks_are_counted_also_for_other_addresses_in_them() {
        let mut sight = sight();
        sight.see(&v4(H1, H2, 0, 17, b"hello"), 60);
        sight.see(&v4(H1, OTHER, 0, 1, b"hello"), 60);
        assert_eq!(sight.clear, 2);
        assert!(sight.offenders[0].starts_with("clear: 192.168.20.10 > 192.168.21.10 protocol 17"));
    }

    #[test]
    fn clear_packets_hide_neither_behind_a_tag_nor_in_ipv6() {
        let mut sight = sight();
        let mut tagged = v4(H1, H2, 0, 17, b"hello");
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        sight.see(&tagged, 64);
        let mut six = vec![0; 12];
        six.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 17, 64]);
        for host in ["fd00:20::10", "fd00:21::10"] {
            six.extend(host.parse::<Ipv6Addr>().unwrap().octets());
        }
        sight.see(&six, 54);
        assert_eq!(sight.clear, 2);
    }

    #[test]
    fn esp_under_other_addresses_is_foreign_and_the_routers_own_traffic_is_other() {
        let mut sight = sight();
        let (ks, gm) = (Ipv4Addr::new(10, 1, 11, 2), Ipv4Addr::new(10, 1, 20, 2));
        sight.see(&v4(gm, ks, 0, 17, b"ike"), 60);
        sight.see(&v4(gm, ks, 0, 50, &[0, 0, 0, 7]), 60);
        sight.see(&v4(H1, OTHER, 0, 50, &[0, 0, 0, 7]), 60);
        sight.see(&[0; 9], 9);
        assert_eq!((sight.foreign, sight.clear, sight.other.packets), (2, 0, 2));
    }
}

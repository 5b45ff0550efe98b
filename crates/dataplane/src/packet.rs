//! What of a frame the pipeline looks at: where the IP packet is, and its flow.
//!
//! Decides only whether the octets are an IP packet. Never trusts a length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::FlowKey;

use crate::limits::EXTENSION_HEADERS_MAX;

/// IP protocol numbers that the packet path knows.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ESP: u8 = 50;
    pub(crate) const NONE: u8 = 59;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// Octets of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;

/// Why octets are no packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Neither IPv4 nor IPv6.
    NotIp,
    /// Lengths contradict each other.
    Malformed,
}

/// A flow, and whether its ports are hidden: a later fragment of TCP or UDP shows none.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) ports_hidden: bool,
}

/// An IPv4 header, read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Ipv4 {
    pub(crate) header_len: usize,
    pub(crate) total_len: usize,
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) more_fragments: bool,
    /// In octets.
    pub(crate) fragment_offset: usize,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

impl Ipv4 {
    pub(crate) const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset > 0
    }
}

/// A packet within a frame.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Packet {
    /// Where the IP header begins: the Ethernet header and its VLAN tags are before it.
    pub(crate) l3: usize,
    pub(crate) flow: Flow,
    /// The header, if it is IPv4's.
    pub(crate) ipv4: Option<Ipv4>,
}

/// Two octets of `octets` as a number; none beyond the end.
pub(crate) fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Four octets of `octets` as a number; none beyond the end.
pub(crate) fn be32(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Reads a frame.
pub(crate) fn parse(frame: &[u8]) -> Result<Packet, Fault> {
    let mut at = ETHERNET_HEADER - 2;
    for _ in 0..3 {
        match be16(frame, at).ok_or(Fault::Malformed)? {
            0x8100 | 0x88A8 => at += VLAN_TAG,
            0x0800 => return parse_ipv4(frame, at + 2),
            0x86DD => return parse_ipv6(frame, at + 2),
            _ => break,
        }
    }
    Err(Fault::NotIp)
}

fn parse_ipv4(frame: &[u8], l3: usize) -> Result<Packet, Fault> {
    let octets = frame.get(l3..).unwrap_or_default();
    let ip = read_ipv4(octets).ok_or(Fault::Malformed)?;
    let has_ports = matches!(ip.protocol, protocol::TCP | protocol::UDP);
    let ports = (has_ports && ip.fragment_offset == 0 && ip.total_len >= ip.header_len + 4)
        .then(|| ports_at(octets, ip.header_len))
        .flatten();
    Ok(Packet {
        l3,
        flow: Flow {
            key: FlowKey {
                source: ip.source.into(),
                destination: ip.destination.into(),
                protocol: ip.protocol,
                source_port: ports.map(|ports| ports.0),
                destination_port: ports.map(|ports| ports.1),
            },
            ports_hidden: has_ports && ports.is_none(),
        },
        ipv4: Some(ip),
    })
}

/// Reads an IPv4 header whose packet lies whole within `octets`.
pub(crate) fn read_ipv4(octets: &[u8]) -> Option<Ipv4> {
    let header: &[u8; IPV4_HEADER] = octets.first_chunk()?;
    let header_len = usize::from(header[0] & 0x0F) * 4;
    let total_len = usize::from(be16(header, 2)?);
    if header[0] >> 4 != 4
        || header_len < IPV4_HEADER
        || total_len < header_len
        || total_len > octets.len()
    {
        return None;
    }
    let fragment = be16(header, 6)?;
    Some(Ipv4 {
        header_len,
        total_len,
        tos: header[1],
        id: be16(header, 4)?,
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        fragment_offset: usize::from(fragment & 0x1FFF) * 8,
        ttl: header[8],
        protocol: header[9],
        source: Ipv4Addr::from_bits(be32(header, 12)?),
        destination: Ipv4Addr::from_bits(be32(header, 16)?),
    })
}

fn ports_at(octets: &[u8], at: usize) -> Option<(u16, u16)> {
    Some((be16(octets, at)?, be16(octets, at + 2)?))
}

fn parse_ipv6(frame: &[u8], l3: usize) -> Result<Packet, Fault> {
    let octets = frame.get(l3..).unwrap_or_default();
    let header: &[u8; IPV6_HEADER] = octets.first_chunk().ok_or(Fault::Malformed)?;
    let len = IPV6_HEADER + usize::from(be16(header, 4).unwrap_or(0));
    if header[0] >> 4 != 6 || len > octets.len() {
        return Err(Fault::Malformed);
    }
    let address = |at: usize| -> IpAddr {
        let octets: [u8; 16] = std::array::from_fn(|i| header[at + i]);
        Ipv6Addr::from(octets).into()
    };
    let upper = upper_of_ipv6(&octets[..len], header[6]).ok_or(Fault::Malformed)?;
    let has_ports = matches!(upper.protocol, protocol::TCP | protocol::UDP);
    let ports = (has_ports && !upper.is_later_fragment)
        .then(|| ports_at(&octets[..len], upper.at))
        .flatten();
    Ok(Packet {
        l3,
        flow: Flow {
            key: FlowKey {
                source: address(8),
                destination: address(24),
                protocol: upper.protocol,
                source_port: ports.map(|ports| ports.0),
                destination_port: ports.map(|ports| ports.1),
            },
            ports_hidden: has_ports && ports.is_none(),
        },
        ipv4: None,
    })
}

struct Upper {
    protocol: u8,
    at: usize,
    is_later_fragment: bool,
}

/// Follows the extension headers; none when the chain is broken or too long, since what cannot be
/// read cannot be judged.
fn upper_of_ipv6(packet: &[u8], first: u8) -> Option<Upper> {
    let (mut next, mut at) = (first, IPV6_HEADER);
    for _ in 0..=EXTENSION_HEADERS_MAX {
        let octets = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(*packet.get(at + 1)?) + 1) * 8
            }
            protocol::FRAGMENT => {
                let offset = be16(packet, at + 2)? & 0xFFF8;
                let after = *packet.get(at)?;
                be32(packet, at + 4)?;
                if offset > 0 {
                    return Some(Upper {
                        protocol: after,
                        at: at + 8,
                        is_later_fragment: true,
                    });
                }
                8
            }
            protocol => {
                return Some(Upper {
                    protocol,
                    at,
                    is_later_fragment: false,
                });
            }
        };
        next = *packet.get(at)?;
        at += octets;
    }
    None
}

/// The Internet checksum (RFC 1071) of an even or odd number of octets.
pub(crate) fn checksum(octets: &[u8]) -> u16 {
    let mut sum = 0_u64;
    let mut words = octets.chunks_exact(4);
    for word in &mut words {
        sum += u64::from(be32(word, 0).unwrap_or(0));
    }
    let mut last = [0; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Writes the checksum of an IPv4 header.
pub(crate) fn seal_ipv4_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_with_vlan_tags_and_padding_is_read() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&hex::decode("88a8000a81000064").expect("hex"));
        frame.extend_from_slice(
            &hex::decode("08004500001c000100004011f96cc0a81401c0a81501").expect("hex"),
        );
        frame.extend_from_slice(&hex::decode("1388138900080000").expect("hex"));
        frame.extend_from_slice(&[0; 18]);
        let packet = parse(&frame).expect("it is well formed");
        assert_eq!(packet.l3, 22);
        assert_eq!(packet.ipv4.map(|ip| ip.total_len), Some(28));
        assert_eq!(packet.flow.key.source_port, Some(5000));
        assert_eq!(packet.flow.key.destination_port, Some(5001));
        assert!(!packet.flow.ports_hidden);
        for cut in 0..50 {
            assert!(parse(&frame[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_later_fragment_hides_its_ports() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(
            &hex::decode("08004500001c000120014011f96cc0a81401c0a815011388138900080000")
                .expect("hex"),
        );
        let packet = parse(&frame).expect("it is well formed");
        assert_eq!(packet.flow.key.source_port, None);
        assert!(packet.flow.ports_hidden);
        let ip = packet.ipv4.expect("IPv4");
        assert!(ip.is_fragment() && ip.more_fragments && ip.fragment_offset == 8);
    }

    #[test]
    fn extension_headers_are_followed_and_broken_chains_refused() {
        let mut frame = vec![0; 12];
        let base =
            "86dd60000000001800400000000000000000000000000000000100000000000000000000000000000002";
        frame.extend_from_slice(&hex::decode(base).expect("hex"));
        frame[12 + 2 + 6] = protocol::HOP_BY_HOP;
        frame.extend_from_slice(&[protocol::FRAGMENT, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend_from_slice(&[protocol::UDP, 0, 0, 1, 0, 0, 0, 9]);
        frame.extend_from_slice(&hex::decode("1388138900080000").expect("hex"));
        let packet = parse(&frame).expect("it is well formed");
        assert_eq!(packet.flow.key.protocol, protocol::UDP);
        assert_eq!(packet.flow.key.source_port, Some(5000));
        frame[14 + 40 + 8 + 3] = 8;
        let packet = parse(&frame).expect("it is well formed");
        assert!(packet.flow.ports_hidden);
        frame[14 + 40 + 1] = 9;
        assert_eq!(parse(&frame).map(|p| p.l3), Err(Fault::Malformed));
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
        assert_eq!(checksum(&[0xFF]), 0x00FF);
        let mut header = hex::decode("450000730000400040110000c0a80001c0a800c7").expect("hex");
        seal_ipv4_header(&mut header);
        assert_eq!(header[10..12], [0xB8, 0x61]);
        assert_eq!(checksum(&header), 0);
    }
}

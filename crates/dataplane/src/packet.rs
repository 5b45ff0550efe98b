//! What of a frame the pipeline looks at: where the IP packet is, and its flow.
//!
//! Decides only whether a packet can be judged. The formats are those of `wire`; what is kept here
//! is copied out, so that the frame can be changed in place.

use std::net::Ipv4Addr;

use policy::FlowKey;
use wire::ethernet::{EtherType, Frame};
use wire::ip::{self, Protocol};

/// Octets of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = ip::Ipv4::HEADER_LEN;

/// Why a frame cannot be judged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A flow, and whether its ports are hidden: a later fragment of TCP or UDP shows none.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) ports_hidden: bool,
}

/// An IPv4 header without its options and the ports behind it, copied out of the packet as they are.
///
/// The octets are copied whole and read in pieces. The other way round, put together of fields and
/// then moved in larger pieces, each packet waited for its own stores.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Ipv4 {
    header: [u8; IPV4_HEADER],
    /// Zeros where none are shown.
    ports: [u8; 4],
    shows_ports: bool,
}

impl Ipv4 {
    /// Of the packet at the front of `octets`, which must lie whole within them.
    #[inline(always)]
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let view = ip::Ipv4::parse(octets).ok()?;
        let header = view.header().first_chunk().copied()?;
        let may_show = has_ports(view.protocol()) && view.fragment_offset() == 0;
        let shown = view.payload().first_chunk().filter(|_| may_show);
        Some(Self {
            header,
            ports: shown.copied().unwrap_or_default(),
            shows_ports: shown.is_some(),
        })
    }

    #[inline]
    const fn half_word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.header[at], self.header[at + 1]])
    }

    #[inline]
    const fn word(&self, at: usize) -> u32 {
        (self.half_word(at) as u32) << 16 | self.half_word(at + 2) as u32
    }

    /// Octets of the header with its options.
    #[inline]
    pub(crate) const fn header_len(&self) -> usize {
        (self.header[0] & 15) as usize * 4
    }

    /// Octets of header and payload.
    #[inline]
    pub(crate) const fn total_len(&self) -> usize {
        self.half_word(2) as usize
    }

    #[inline]
    pub(crate) const fn tos(&self) -> u8 {
        self.header[1]
    }

    #[inline]
    pub(crate) const fn identification(&self) -> u16 {
        self.half_word(4)
    }

    #[inline]
    pub(crate) const fn dont_fragment(&self) -> bool {
        self.header[6] & 0x40 != 0
    }

    pub(crate) const fn more_fragments(&self) -> bool {
        self.header[6] & 0x20 != 0
    }

    /// Where the payload stands in the unfragmented one, octets.
    pub(crate) const fn fragment_offset(&self) -> usize {
        (self.half_word(6) & 0x1FFF) as usize * 8
    }

    #[inline]
    pub(crate) const fn is_fragment(&self) -> bool {
        self.half_word(6) & 0x3FFF != 0
    }

    #[inline]
    pub(crate) const fn ttl(&self) -> u8 {
        self.header[8]
    }

    #[inline]
    pub(crate) const fn protocol(&self) -> Protocol {
        Protocol(self.header[9])
    }

    #[inline]
    pub(crate) const fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.word(12))
    }

    #[inline]
    pub(crate) const fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.word(16))
    }

    #[inline]
    pub(crate) const fn addresses(&self) -> (Ipv4Addr, Ipv4Addr) {
        (self.source(), self.destination())
    }

    #[inline]
    const fn hides_ports(&self) -> bool {
        has_ports(self.protocol()) && !self.shows_ports
    }

    pub(crate) fn flow(&self) -> Flow {
        let [a, b, c, d] = self.ports;
        let shown = |port| self.shows_ports.then_some(u16::from_be_bytes(port));
        Flow {
            key: FlowKey {
                source: self.source().into(),
                destination: self.destination().into(),
                protocol: self.protocol().0,
                source_port: shown([a, b]),
                destination_port: shown([c, d]),
            },
            ports_hidden: self.hides_ports(),
        }
    }

    /// All that [`Self::flow`] says, in two words; bits 9 to 31 of the second are free.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 2] {
        let kind = u64::from(self.protocol().0) | u64::from(self.hides_ports()) << 8;
        [
            u64::from(self.word(12)) << 32 | u64::from(self.word(16)),
            u64::from(u32::from_be_bytes(self.ports)) << 32 | kind,
        ]
    }
}

const fn has_ports(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP)
}

/// A packet within a frame.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Packet {
    /// Where the IP header begins: the Ethernet header and its VLAN tags are before it.
    pub(crate) l3: usize,
    pub(crate) ip: Ip,
}

/// What of a packet is kept.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Ip {
    V4(Ipv4),
    V6(Flow),
}

impl Packet {
    pub(crate) fn flow(&self) -> Flow {
        match &self.ip {
            Ip::V4(ip) => ip.flow(),
            Ip::V6(flow) => *flow,
        }
    }
}

/// Reads a frame.
///
/// Always inlined, as is [`Ipv4::read`]: what they return is larger than registers, and each packet
/// would wait for it to come back from memory.
#[inline(always)]
pub(crate) fn parse(octets: &[u8]) -> Result<Packet, Unreadable> {
    let frame = Frame::parse(octets).map_err(|_| Unreadable)?;
    let l3 = octets.len() - frame.payload.len();
    match frame.ty {
        EtherType::IPV4 => {
            let ip = Ipv4::read(frame.payload).ok_or(Unreadable)?;
            Ok(Packet { l3, ip: Ip::V4(ip) })
        }
        EtherType::IPV6 => {
            let flow = flow_of_ipv6(frame.payload).ok_or(Unreadable)?;
            Ok(Packet {
                l3,
                ip: Ip::V6(flow),
            })
        }
        _ => Err(Unreadable),
    }
}

/// The flow of a packet whose extension headers can be followed.
///
/// A chain that breaks off, or that a later fragment leaves out, hides what the packet is: a permit
/// that names a protocol could not see it.
fn flow_of_ipv6(octets: &[u8]) -> Option<Flow> {
    let tuple = ip::Ipv6::parse(octets).ok()?.five_tuple();
    (!is_extension(tuple.protocol)).then(|| Flow {
        key: FlowKey {
            source: tuple.source,
            destination: tuple.destination,
            protocol: tuple.protocol.0,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
        },
        ports_hidden: has_ports(tuple.protocol) && tuple.source_port.is_none(),
    })
}

const fn is_extension(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::HOP_BY_HOP
            | Protocol::IPV6_ROUTING
            | Protocol::IPV6_FRAGMENT
            | Protocol::IPV6_DESTINATION_OPTIONS
            | Protocol::MOBILITY
    )
}

/// Writes the checksum of an IPv4 header.
pub(crate) fn seal_ipv4_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = header_checksum(words_of(header));
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Whether an IPv4 header, options included, has its right checksum.
#[inline]
pub(crate) fn is_ipv4_header_intact(header: &[u8]) -> bool {
    header_checksum(words_of(header)) == 0
}

/// The words of an IPv4 header, which consists of such.
#[inline]
fn words_of(header: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = header.as_chunks::<4>();
    words.iter().map(|word| u32::from_be_bytes(*word))
}

/// The Internet checksum (RFC 1071) over the words of an IPv4 header, fifteen at most.
#[inline]
pub(crate) fn header_checksum(words: impl IntoIterator<Item = u32>) -> u16 {
    let sum: u64 = words.into_iter().map(u64::from).sum();
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(hex: &str) -> Vec<u8> {
        let mut octets = vec![0; 12];
        octets.extend_from_slice(&hex::decode(hex).unwrap());
        octets
    }

    fn v4(packet: &Packet) -> Ipv4 {
        match packet.ip {
            Ip::V4(ip) => ip,
            Ip::V6(flow) => panic!("{flow:?}"),
        }
    }

    #[test]
    fn a_frame_with_vlan_tags_and_padding_is_read() {
        let tags_and_type = "88a8000a810000640800";
        let header = "4500001c000100004011f96cc0a81401c0a81501";
        let mut octets = frame(&format!("{tags_and_type}{header}1388138900080000"));
        octets.extend_from_slice(&[0; 18]);
        let packet = parse(&octets).unwrap();
        assert_eq!(packet.l3, 22);
        assert_eq!(v4(&packet).total_len(), 28);
        assert_eq!(packet.flow().key.source_port, Some(5000));
        assert_eq!(packet.flow().key.destination_port, Some(5001));
        assert!(!packet.flow().ports_hidden);
        for cut in 0..50 {
            assert!(parse(&octets[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_later_fragment_hides_its_ports() {
        let header = "08004500001c000120014011f96cc0a81401c0a81501";
        let packet = parse(&frame(&format!("{header}1388138900080000"))).unwrap();
        assert_eq!(packet.flow().key.source_port, None);
        assert!(packet.flow().ports_hidden);
        assert!(v4(&packet).is_fragment());
    }

    #[test]
    fn what_extension_headers_hide_is_not_judged() {
        let base = "86dd6000000000180040";
        let addresses = "0000000000000000000000000000000100000000000000000000000000000002";
        let chain = "2c00010400000000 11000001 00000009 1388138900080000".replace(' ', "");
        let octets = frame(&format!("{base}{addresses}{chain}"));
        let packet = parse(&octets).unwrap();
        assert_eq!(packet.flow().key.protocol, 17);
        assert_eq!(packet.flow().key.source_port, Some(5000));
        let fragment = 14 + 40 + 8;
        let mut later = octets.clone();
        later[fragment + 3] = 8;
        assert!(parse(&later).unwrap().flow().ports_hidden);
        later[fragment] = 60;
        assert_eq!(parse(&later).map(|packet| packet.l3), Err(Unreadable));
        let mut broken = octets;
        broken[14 + 40 + 1] = 9;
        assert_eq!(parse(&broken).map(|packet| packet.l3), Err(Unreadable));
    }

    #[test]
    fn a_written_checksum_is_right() {
        let mut header = hex::decode("450000730000400040110000c0a80001c0a800c7").unwrap();
        seal_ipv4_header(&mut header);
        assert_eq!(header[10..12], [0xB8, 0x61]);
    }
}

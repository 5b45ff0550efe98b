//! What of a frame the pipeline looks at: where the IP packet is, and its flow.
//!
//! Decides only whether a packet can be judged. The formats are those of `wire`; what is kept here
//! is copied out, so that the frame can be changed in place.

use std::net::Ipv4Addr;

use policy::FlowKey;
use wire::ethernet::{EtherType, Frame};
use wire::ip::{self, Ipv4Header, Protocol};

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

impl Flow {
    fn new(tuple: ip::FiveTuple) -> Self {
        let has_ports = matches!(tuple.protocol, Protocol::TCP | Protocol::UDP);
        Self {
            key: FlowKey {
                source: tuple.source,
                destination: tuple.destination,
                protocol: tuple.protocol.0,
                source_port: tuple.source_port,
                destination_port: tuple.destination_port,
            },
            ports_hidden: has_ports && tuple.source_port.is_none(),
        }
    }
}

/// An IPv4 header, copied out of its packet.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Ipv4 {
    /// Its fields.
    pub(crate) fields: Ipv4Header,
    /// Octets of the header with its options.
    pub(crate) header_len: usize,
    /// Octets of header and payload.
    pub(crate) total_len: usize,
}

impl Ipv4 {
    /// Of the packet at the front of `octets`, which must lie whole within them.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        ip::Ipv4::parse(octets).ok().map(|view| Self::of(&view))
    }

    fn of(view: &ip::Ipv4<'_>) -> Self {
        Self {
            fields: view.repr(),
            header_len: view.header_len(),
            total_len: view.total_len(),
        }
    }

    pub(crate) const fn is_fragment(&self) -> bool {
        self.fields.more_fragments || self.fields.fragment_offset > 0
    }

    pub(crate) const fn addresses(&self) -> (Ipv4Addr, Ipv4Addr) {
        (self.fields.source, self.fields.destination)
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

/// Reads a frame.
pub(crate) fn parse(octets: &[u8]) -> Result<Packet, Unreadable> {
    let frame = Frame::parse(octets).map_err(|_| Unreadable)?;
    let l3 = octets.len() - frame.payload.len();
    match frame.ty {
        EtherType::IPV4 => {
            let view = ip::Ipv4::parse(frame.payload).map_err(|_| Unreadable)?;
            Ok(Packet {
                l3,
                flow: Flow::new(view.five_tuple()),
                ipv4: Some(Ipv4::of(&view)),
            })
        }
        EtherType::IPV6 => {
            let view = ip::Ipv6::parse(frame.payload).map_err(|_| Unreadable)?;
            let tuple = view.five_tuple();
            // A chain of extension headers that breaks off, or that a later fragment leaves out,
            // hides what the packet is: a permit that names a protocol could not see it.
            if is_extension(tuple.protocol) {
                return Err(Unreadable);
            }
            Ok(Packet {
                l3,
                flow: Flow::new(tuple),
                ipv4: None,
            })
        }
        _ => Err(Unreadable),
    }
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
    let sum = ip::checksum(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(hex: &str) -> Vec<u8> {
        let mut octets = vec![0; 12];
        octets.extend_from_slice(&hex::decode(hex).unwrap());
        octets
    }

    #[test]
    fn a_frame_with_vlan_tags_and_padding_is_read() {
        let tags_and_type = "88a8000a810000640800";
        let header = "4500001c000100004011f96cc0a81401c0a81501";
        let mut octets = frame(&format!("{tags_and_type}{header}1388138900080000"));
        octets.extend_from_slice(&[0; 18]);
        let packet = parse(&octets).unwrap();
        assert_eq!(packet.l3, 22);
        assert_eq!(packet.ipv4.map(|ip| ip.total_len), Some(28));
        assert_eq!(packet.flow.key.source_port, Some(5000));
        assert_eq!(packet.flow.key.destination_port, Some(5001));
        assert!(!packet.flow.ports_hidden);
        for cut in 0..50 {
            assert!(parse(&octets[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_later_fragment_hides_its_ports() {
        let header = "08004500001c000120014011f96cc0a81401c0a81501";
        let packet = parse(&frame(&format!("{header}1388138900080000"))).unwrap();
        assert_eq!(packet.flow.key.source_port, None);
        assert!(packet.flow.ports_hidden);
        assert!(packet.ipv4.unwrap().is_fragment());
    }

    #[test]
    fn what_extension_headers_hide_is_not_judged() {
        let base = "86dd6000000000180040";
        let addresses = "0000000000000000000000000000000100000000000000000000000000000002";
        let chain = "2c00010400000000 11000001 00000009 1388138900080000".replace(' ', "");
        let octets = frame(&format!("{base}{addresses}{chain}"));
        let packet = parse(&octets).unwrap();
        assert_eq!(packet.flow.key.protocol, 17);
        assert_eq!(packet.flow.key.source_port, Some(5000));
        let fragment = 14 + 40 + 8;
        let mut later = octets.clone();
        later[fragment + 3] = 8;
        assert!(parse(&later).unwrap().flow.ports_hidden);
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

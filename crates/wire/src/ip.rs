//! IPv4 and IPv6 packets: views over their octets, and headers to write.
//!
//! A view that exists has its header and its whole declared length inside the octets it was made
//! of. Checksums are computed and compared on request only. What to do with a packet is decided by
//! `dataplane`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::codec::{Error, Kind};
use crate::numbers::numbers;

numbers! {
    /// IP protocol number, and IPv6 next header.
    Protocol(u8) {
        HOP_BY_HOP = 0;
        ICMP = 1;
        IGMP = 2;
        IPV4 = 4;
        TCP = 6;
        UDP = 17;
        IPV6 = 41;
        IPV6_ROUTING = 43;
        IPV6_FRAGMENT = 44;
        GRE = 47;
        ESP = 50;
        AH = 51;
        IPV6_ICMP = 58;
        IPV6_NO_NEXT = 59;
        IPV6_DESTINATION_OPTIONS = 60;
        MOBILITY = 135;
    }
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have an even length.
///
/// Over octets that contain their own right checksum it is 0.
#[must_use]
#[inline]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        let (pairs, odd) = part.as_chunks::<2>();
        for pair in pairs {
            sum += u64::from(u16::from_be_bytes(*pair));
        }
        if let [octet] = odd {
            sum += u64::from(*octet) << 8;
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// A checksum after one 16-bit word under it changed from `old` to `new` (RFC 1624 equation 3).
#[must_use]
pub const fn checksum_adjusted(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = !checksum as u32 + !old as u32 + new as u32;
    let sum = (sum & 0xFFFF) + (sum >> 16);
    !(((sum & 0xFFFF) + (sum >> 16)) as u16)
}

/// What tells flows apart. Ports are there for TCP and UDP, except in later fragments.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol; for IPv6 that of the first header that is no extension.
    pub protocol: Protocol,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
}

fn ports(protocol: Protocol, first_fragment: bool, payload: &[u8]) -> (Option<u16>, Option<u16>) {
    if !first_fragment || !matches!(protocol, Protocol::TCP | Protocol::UDP) {
        return (None, None);
    }
    match payload {
        [a, b, c, d, ..] => (
            Some(u16::from_be_bytes([*a, *b])),
            Some(u16::from_be_bytes([*c, *d])),
        ),
        _ => (None, None),
    }
}

/// A packet of either family.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// IPv4.
    V4(Ipv4<'a>),
    /// IPv6.
    V6(Ipv6<'a>),
}

impl<'a> Packet<'a> {
    /// The packet at the front of `bytes`.
    ///
    /// # Errors
    /// Neither IPv4 nor IPv6, or malformed.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.first().map(|octet| octet >> 4) {
            Some(4) => Ipv4::parse(bytes).map(Self::V4),
            Some(6) => Ipv6::parse(bytes).map(Self::V6),
            Some(version) => Err(Error {
                what: "IP packet",
                kind: Kind::Value {
                    field: "version",
                    value: version.into(),
                    expected: "4 or 6",
                },
            }),
            None => Err(short("IP packet", 1, 0)),
        }
    }

    /// What tells its flow apart.
    #[must_use]
    #[inline]
    pub fn five_tuple(&self) -> FiveTuple {
        match self {
            Self::V4(packet) => packet.five_tuple(),
            Self::V6(packet) => packet.five_tuple(),
        }
    }
}

const fn short(what: &'static str, needed: usize, left: usize) -> Error {
    Error {
        what,
        kind: Kind::Short { needed, left },
    }
}

/// An IPv4 packet (RFC 791 section 3.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Version|  IHL  |Type of Service|          Total Length         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         Identification        |Flags|      Fragment Offset    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Time to Live |    Protocol   |         Header Checksum       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                       Source Address                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Destination Address                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Options                    |    Padding    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv4<'a> {
    fixed: &'a [u8; 20],
    header: &'a [u8],
    payload: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Octets of a header without options.
    pub const HEADER_LEN: usize = 20;
    const WHAT: &'static str = "IPv4 packet";

    /// The packet at the front of `bytes`; octets after its Total Length are not looked at.
    ///
    /// # Errors
    /// Another version, a header length below 20 octets, a total length below the header's or
    /// above what is there.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let bad = |field, value: usize, expected| Error {
            what: Self::WHAT,
            kind: Kind::Value {
                field,
                value: value as u64,
                expected,
            },
        };
        let Some(fixed) = bytes.first_chunk::<20>() else {
            return Err(short(Self::WHAT, 20, bytes.len()));
        };
        let version = usize::from(fixed[0] >> 4);
        if version != 4 {
            return Err(bad("version", version, "4"));
        }
        let header_len = usize::from(fixed[0] & 15) * 4;
        if header_len < Self::HEADER_LEN {
            return Err(bad("header length", header_len, "20 or more"));
        }
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if total < header_len {
            return Err(bad("Total Length", total, "the header's length or more"));
        }
        let Some(whole) = bytes.get(..total) else {
            return Err(short(Self::WHAT, total, bytes.len()));
        };
        let (header, payload) = whole.split_at(header_len);
        Ok(Self {
            fixed,
            header,
            payload,
            whole,
        })
    }

    /// Octets of the header, options included.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header.len()
    }

    /// The header, options included.
    #[must_use]
    pub const fn header(&self) -> &'a [u8] {
        self.header
    }

    /// The options, empty for nearly all packets.
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        &self.header[Self::HEADER_LEN..]
    }

    /// What follows the header.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Header and payload.
    #[must_use]
    pub const fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// Type of service: DSCP and ECN.
    #[must_use]
    pub const fn tos(&self) -> u8 {
        self.fixed[1]
    }

    /// Octets of header and payload.
    #[must_use]
    pub const fn total_len(&self) -> usize {
        self.whole.len()
    }

    /// What its fragments have in common.
    #[must_use]
    pub const fn identification(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// The DF bit.
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        self.fixed[6] & 0x40 != 0
    }

    /// The MF bit.
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        self.fixed[6] & 0x20 != 0
    }

    /// Where the payload stands in the unfragmented one, octets.
    #[must_use]
    pub const fn fragment_offset(&self) -> usize {
        (u16::from_be_bytes([self.fixed[6], self.fixed[7]]) & 0x1FFF) as usize * 8
    }

    /// Whether this is not a whole packet.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments() || self.fragment_offset() != 0
    }

    /// Time to live.
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// What the payload is.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        Protocol(self.fixed[9])
    }

    /// Whether the header's checksum is right.
    #[must_use]
    pub fn checksum_is_right(&self) -> bool {
        checksum(&[self.header]) == 0
    }

    /// Source address.
    #[must_use]
    pub const fn source(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            self.fixed[12],
            self.fixed[13],
            self.fixed[14],
            self.fixed[15],
        )
    }

    /// Destination address.
    #[must_use]
    pub const fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            self.fixed[16],
            self.fixed[17],
            self.fixed[18],
            self.fixed[19],
        )
    }

    /// What tells its flow apart.
    #[must_use]
    #[inline]
    pub fn five_tuple(&self) -> FiveTuple {
        let first = self.fragment_offset() == 0;
        let (source_port, destination_port) = ports(self.protocol(), first, self.payload);
        FiveTuple {
            source: self.source().into(),
            destination: self.destination().into(),
            protocol: self.protocol(),
            source_port,
            destination_port,
        }
    }

    /// The header to write in order to get this one again, its options apart.
    #[must_use]
    #[inline]
    pub fn repr(&self) -> Ipv4Header {
        Ipv4Header {
            tos: self.tos(),
            payload_len: self.payload.len(),
            identification: self.identification(),
            dont_fragment: self.dont_fragment(),
            more_fragments: self.more_fragments(),
            fragment_offset: self.fragment_offset(),
            ttl: self.ttl(),
            protocol: self.protocol(),
            source: self.source(),
            destination: self.destination(),
        }
    }
}

/// An IPv4 header without options, to be written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Type of service.
    pub tos: u8,
    /// Octets that follow the header.
    pub payload_len: usize,
    /// What the fragments have in common.
    pub identification: u16,
    /// The DF bit.
    pub dont_fragment: bool,
    /// The MF bit.
    pub more_fragments: bool,
    /// Octets, a multiple of eight.
    pub fragment_offset: usize,
    /// Time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
}

impl Ipv4Header {
    /// A header with TTL 64 for a packet that is no fragment.
    #[must_use]
    pub const fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: Protocol,
        payload_len: usize,
    ) -> Self {
        Self {
            tos: 0,
            payload_len,
            identification: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            source,
            destination,
        }
    }

    /// The octets, with the checksum. A payload that does not fit the 16 bits of Total Length is
    /// written as the largest that does; callers fragment before they come here.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> [u8; Ipv4::HEADER_LEN] {
        let total = u16::try_from(self.payload_len + Ipv4::HEADER_LEN).unwrap_or(u16::MAX);
        let offset = u16::try_from(self.fragment_offset / 8).unwrap_or(u16::MAX) & 0x1FFF;
        let flags =
            u16::from(self.dont_fragment) << 14 | u16::from(self.more_fragments) << 13 | offset;
        let mut out = [0; Ipv4::HEADER_LEN];
        out[0] = 0x45;
        out[1] = self.tos;
        out[2..4].copy_from_slice(&total.to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        out[6..8].copy_from_slice(&flags.to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol.0;
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..20].copy_from_slice(&self.destination.octets());
        let sum = checksum(&[&out]);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// The packet: the header for `payload`, whatever `payload_len` says, and `payload`.
    #[must_use]
    pub fn packet(mut self, payload: &[u8]) -> Vec<u8> {
        self.payload_len = payload.len();
        [&self.encode()[..], payload].concat()
    }
}

/// The pseudo header under the checksums of TCP and UDP over IPv4 (RFC 768, RFC 9293 section 3.1).
#[must_use]
pub fn pseudo_header_v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: Protocol,
    length: usize,
) -> [u8; 12] {
    let mut out = [0; 12];
    out[..4].copy_from_slice(&source.octets());
    out[4..8].copy_from_slice(&destination.octets());
    out[9] = protocol.0;
    out[10..].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    out
}

/// A UDP datagram in an IPv4 packet, with both checksums.
#[must_use]
pub fn udp_packet(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let datagram = crate::udp::datagram_v4(source, destination, payload);
    Ipv4Header::new(
        *source.ip(),
        *destination.ip(),
        Protocol::UDP,
        datagram.len(),
    )
    .packet(&datagram)
}

/// An IPv6 packet (RFC 8200 section 3).
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Version| Traffic Class |           Flow Label                  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         Payload Length        |  Next Header  |   Hop Limit   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                         Source Address                        +
/// |                           (16 octets)                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                      Destination Address                      +
/// |                           (16 octets)                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ipv6<'a> {
    fixed: &'a [u8; 40],
    payload: &'a [u8],
    whole: &'a [u8],
}

/// The first header of an IPv6 packet that is no extension header.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Upper<'a> {
    /// What it is; an extension header if the packet ends inside of one.
    pub protocol: Protocol,
    /// It and what follows; empty in that case.
    pub payload: &'a [u8],
    /// Where the payload stands in the unfragmented one, octets; `None` without fragment header.
    pub fragment_offset: Option<usize>,
    /// Whether fragments follow.
    pub more_fragments: bool,
}

impl<'a> Ipv6<'a> {
    /// Octets of the header without extensions.
    pub const HEADER_LEN: usize = 40;
    const WHAT: &'static str = "IPv6 packet";

    /// The packet at the front of `bytes`; octets after its Payload Length are not looked at.
    ///
    /// # Errors
    /// Another version, or a payload longer than what is there.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some(fixed) = bytes.first_chunk::<40>() else {
            return Err(short(Self::WHAT, 40, bytes.len()));
        };
        if fixed[0] >> 4 != 6 {
            return Err(Error {
                what: Self::WHAT,
                kind: Kind::Value {
                    field: "version",
                    value: (fixed[0] >> 4).into(),
                    expected: "6",
                },
            });
        }
        let total = Self::HEADER_LEN + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let Some(whole) = bytes.get(..total) else {
            return Err(short(Self::WHAT, total, bytes.len()));
        };
        Ok(Self {
            fixed,
            payload: &whole[Self::HEADER_LEN..],
            whole,
        })
    }

    /// What follows the fixed header, extensions included.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Header and payload.
    #[must_use]
    pub const fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// Traffic class: DSCP and ECN.
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        self.fixed[0] << 4 | self.fixed[1] >> 4
    }

    /// Flow label, 20 bits.
    #[must_use]
    pub const fn flow_label(&self) -> u32 {
        u32::from_be_bytes([0, self.fixed[1] & 15, self.fixed[2], self.fixed[3]])
    }

    /// What the payload begins with.
    #[must_use]
    pub const fn next_header(&self) -> Protocol {
        Protocol(self.fixed[6])
    }

    /// Hop limit.
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.fixed[7]
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| self.fixed[8 + i]))
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| self.fixed[24 + i]))
    }

    /// The first header that is no extension (RFC 8200 section 4); AH and ESP are none here.
    #[must_use]
    pub fn upper(&self) -> Upper<'a> {
        let mut upper = Upper {
            protocol: self.next_header(),
            payload: self.payload,
            fragment_offset: None,
            more_fragments: false,
        };
        loop {
            let extension = match upper.protocol {
                Protocol::HOP_BY_HOP
                | Protocol::IPV6_ROUTING
                | Protocol::IPV6_DESTINATION_OPTIONS
                | Protocol::MOBILITY => match upper.payload {
                    [_, units, ..] => 8 + usize::from(*units) * 8,
                    _ => 8,
                },
                Protocol::IPV6_FRAGMENT => 8,
                _ => return upper,
            };
            let Some((head, tail)) = upper.payload.split_at_checked(extension) else {
                upper.payload = &[];
                return upper;
            };
            if upper.protocol == Protocol::IPV6_FRAGMENT {
                let field = u16::from_be_bytes([head[2], head[3]]);
                upper.fragment_offset = Some(usize::from(field & 0xFFF8));
                upper.more_fragments = field & 1 != 0;
            }
            upper.protocol = Protocol(head[0]);
            upper.payload = tail;
            if upper.fragment_offset.is_some_and(|offset| offset != 0) {
                // What follows is the middle of something: the number is all that is known.
                return upper;
            }
        }
    }

    /// What tells its flow apart.
    #[must_use]
    #[inline]
    pub fn five_tuple(&self) -> FiveTuple {
        let upper = self.upper();
        let first = upper.fragment_offset.unwrap_or(0) == 0;
        let (source_port, destination_port) = ports(upper.protocol, first, upper.payload);
        FiveTuple {
            source: self.source().into(),
            destination: self.destination().into(),
            protocol: upper.protocol,
            source_port,
            destination_port,
        }
    }
}

//! ICMP for IPv4: echo, and the errors that a gateway sends.
//!
//! Whether a packet may be answered with an error at all (RFC 1122 section 3.2.2) is decided by
//! who sends it.

use std::net::Ipv4Addr;

use crate::codec::{Error, Kind, Reader};
use crate::ip::{Ipv4Header, Protocol, checksum};
use crate::numbers::numbers;

numbers! {
    /// ICMP type (RFC 792).
    IcmpType(u8) {
        ECHO_REPLY = 0;
        DESTINATION_UNREACHABLE = 3;
        REDIRECT = 5;
        ECHO_REQUEST = 8;
        TIME_EXCEEDED = 11;
        PARAMETER_PROBLEM = 12;
    }
}

numbers! {
    /// Code of a destination unreachable (RFC 792, RFC 1812 section 5.2.7.1).
    UnreachableCode(u8) {
        NETWORK = 0;
        HOST = 1;
        PROTOCOL = 2;
        PORT = 3;
        FRAGMENTATION_NEEDED = 4;
        SOURCE_ROUTE_FAILED = 5;
        ADMINISTRATIVELY_PROHIBITED = 13;
    }
}

/// Octets of an offending packet that an error quotes: as many as fit into the 576 octets that an
/// error may have (RFC 1812 section 4.3.2.3).
pub const QUOTE_MAX: usize = 576 - 20 - Icmp::HEADER_LEN;

/// An ICMP message (RFC 792); the four octets after the checksum depend on the type.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |     Code      |          Checksum             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    rest of the header                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          data ...
/// +-+-+-+-+-
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Icmp<'a> {
    /// The type.
    pub ty: IcmpType,
    /// The code.
    pub code: u8,
    /// The rest of the header.
    pub rest: [u8; 4],
    /// Echoed data, or the quoted packet of an error.
    pub data: &'a [u8],
}

impl<'a> Icmp<'a> {
    /// Octets of the header.
    pub const HEADER_LEN: usize = 8;

    /// The message that `bytes` are.
    ///
    /// # Errors
    /// Shorter than a header, or a wrong checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("ICMP message", bytes);
        let ty = IcmpType(r.u8()?);
        let code = r.u8()?;
        let sum = r.u16()?;
        let rest = r.array()?;
        if checksum(&[bytes]) != 0 {
            return Err(r.error(Kind::Value {
                field: "checksum",
                value: sum.into(),
                expected: "that of the message",
            }));
        }
        Ok(Self {
            ty,
            code,
            rest,
            data: r.rest(),
        })
    }

    /// Identifier and sequence number of an echo.
    #[must_use]
    pub const fn echo(&self) -> Option<(u16, u16)> {
        match self.ty {
            IcmpType::ECHO_REPLY | IcmpType::ECHO_REQUEST => {
                let [a, b, c, d] = self.rest;
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// Next-hop MTU of a "fragmentation needed"; 0 from routers that do not know RFC 1191.
    #[must_use]
    pub const fn next_hop_mtu(&self) -> Option<u16> {
        match (self.ty, UnreachableCode(self.code)) {
            (IcmpType::DESTINATION_UNREACHABLE, UnreachableCode::FRAGMENTATION_NEEDED) => {
                Some(u16::from_be_bytes([self.rest[2], self.rest[3]]))
            }
            _ => None,
        }
    }

    /// The octets, with the checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEADER_LEN + self.data.len());
        out.extend_from_slice(&[self.ty.0, self.code, 0, 0]);
        out.extend_from_slice(&self.rest);
        out.extend_from_slice(self.data);
        let sum = checksum(&[&out]);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

/// An echo request, ready for an IPv4 packet.
#[must_use]
pub fn echo_request(identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    echo(IcmpType::ECHO_REQUEST, identifier, sequence, data)
}

/// An echo reply, ready for an IPv4 packet.
#[must_use]
pub fn echo_reply(identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    echo(IcmpType::ECHO_REPLY, identifier, sequence, data)
}

fn echo(ty: IcmpType, identifier: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
    let [a, b] = identifier.to_be_bytes();
    let [c, d] = sequence.to_be_bytes();
    Icmp {
        ty,
        code: 0,
        rest: [a, b, c, d],
        data,
    }
    .encode()
}

/// A destination unreachable as an IPv4 packet from `from` to `to` that quotes `offending`.
#[must_use]
pub fn unreachable(
    from: Ipv4Addr,
    to: Ipv4Addr,
    code: UnreachableCode,
    offending: &[u8],
) -> Vec<u8> {
    error(from, to, code, 0, offending)
}

/// "Fragmentation needed and DF set" with the MTU that fits (RFC 1191 section 4).
#[must_use]
pub fn fragmentation_needed(
    from: Ipv4Addr,
    to: Ipv4Addr,
    next_hop_mtu: u16,
    offending: &[u8],
) -> Vec<u8> {
    let code = UnreachableCode::FRAGMENTATION_NEEDED;
    error(from, to, code, next_hop_mtu, offending)
}

fn error(
    from: Ipv4Addr,
    to: Ipv4Addr,
    code: UnreachableCode,
    mtu: u16,
    offending: &[u8],
) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let message = Icmp {
        ty: IcmpType::DESTINATION_UNREACHABLE,
        code: code.0,
        rest: [0, 0, high, low],
        data: &offending[..offending.len().min(QUOTE_MAX)],
    }
    .encode();
    // RFC 1812 section 4.3.2.5: errors have the precedence of internetwork control.
    Ipv4Header {
        tos: 0xC0,
        ..Ipv4Header::new(from, to, Protocol::ICMP, message.len())
    }
    .packet(&message)
}

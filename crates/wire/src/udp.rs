//! UDP datagrams.

use std::net::SocketAddrV4;

use crate::codec::{Error, Reader};
use crate::ip::{Protocol, checksum, pseudo_header_v4};

/// A UDP datagram (RFC 768).
///
/// ```text
///  0      7 8     15 16    23 24    31
/// +--------+--------+--------+--------+
/// |     Source      |   Destination   |
/// |      Port       |      Port       |
/// +--------+--------+--------+--------+
/// |                 |                 |
/// |     Length      |    Checksum     |
/// +--------+--------+--------+--------+
/// |          data octets ...          |
/// +--------+--------+--------+--------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The checksum; 0 means that there is none.
    pub checksum: u16,
    /// The data.
    pub payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Octets of the header.
    pub const HEADER_LEN: usize = 8;

    /// The datagram at the front of `bytes`; octets after its Length are not looked at.
    ///
    /// # Errors
    /// A Length below 8 or above what is there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("UDP datagram", bytes);
        let source_port = r.u16()?;
        let destination_port = r.u16()?;
        let length = usize::from(r.u16()?);
        let checksum = r.u16()?;
        let Some(data) = length.checked_sub(Self::HEADER_LEN) else {
            return Err(r.bad("Length", length as u64, "8 or more"));
        };
        Ok(Self {
            source_port,
            destination_port,
            checksum,
            payload: r.take(data)?,
        })
    }
}

/// A datagram with its checksum, for IPv4.
#[must_use]
pub fn datagram_v4(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = Udp::HEADER_LEN + payload.len();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    let pseudo = pseudo_header_v4(*source.ip(), *destination.ip(), Protocol::UDP, length);
    let sum = match checksum(&[&pseudo, &out]) {
        0 => 0xFFFF,
        sum => sum,
    };
    out[6..8].copy_from_slice(&sum.to_be_bytes());
    out
}

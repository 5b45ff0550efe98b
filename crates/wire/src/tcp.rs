//! TCP headers: ports, flags, and where the maximum segment size stands.

use crate::codec::{Error, Reader};

/// The flags of a TCP header; unknown bits survive.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(1);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(2);
    /// Reset the connection.
    pub const RST: Self = Self(4);
    /// Push.
    pub const PSH: Self = Self(8);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(16);
    /// The urgent pointer counts.
    pub const URG: Self = Self(32);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A TCP segment (RFC 9293 section 3.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          Source Port          |       Destination Port        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        Sequence Number                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Acknowledgment Number                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Data |       |C|E|U|A|P|R|S|F|                               |
/// | Offset| Rsrvd |W|C|R|C|S|S|Y|I|            Window             |
/// |       |       |R|E|G|K|H|T|N|N|                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           Checksum            |         Urgent Pointer        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           [Options]                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Flags.
    pub flags: Flags,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// Options with their padding.
    pub options: &'a [u8],
    /// The data.
    pub payload: &'a [u8],
}

/// Where a segment's maximum segment size stands, and what it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Mss {
    /// Of the two octets of the value, from the beginning of the TCP header.
    pub offset: usize,
    /// The value.
    pub value: u16,
}

impl<'a> Tcp<'a> {
    /// Octets of a header without options.
    pub const HEADER_LEN: usize = 20;
    /// Where the checksum stands in the header.
    pub const CHECKSUM_OFFSET: usize = 16;

    /// The segment that `bytes` are.
    ///
    /// # Errors
    /// Shorter than its header says, or a header below 20 octets.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("TCP segment", bytes);
        let source_port = r.u16()?;
        let destination_port = r.u16()?;
        let sequence = r.u32()?;
        let acknowledgment = r.u32()?;
        let header_len = usize::from(r.u8()? >> 4) * 4;
        let flags = Flags(r.u8()?);
        let window = r.u16()?;
        let checksum = r.u16()?;
        r.u16()?;
        let Some(options) = header_len.checked_sub(Self::HEADER_LEN) else {
            return Err(r.bad("header length", header_len as u64, "20 or more"));
        };
        Ok(Self {
            source_port,
            destination_port,
            sequence,
            acknowledgment,
            flags,
            window,
            checksum,
            options: r.take(options)?,
            payload: r.rest(),
        })
    }

    /// The maximum segment size option, if it is there and well-formed.
    #[must_use]
    pub fn mss(&self) -> Option<Mss> {
        let mut at = 0;
        loop {
            match self.options.get(at..)? {
                [] | [0, ..] => return None,
                [1, ..] => at += 1,
                [2, 4, high, low, ..] => {
                    return Some(Mss {
                        offset: Self::HEADER_LEN + at + 2,
                        value: u16::from_be_bytes([*high, *low]),
                    });
                }
                [_, length, ..] if *length >= 2 => at += usize::from(*length),
                [_] | [_, ..] => return None,
            }
        }
    }
}

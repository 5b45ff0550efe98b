//! The header of every ISAKMP and GDOI message.

use std::fmt;

use crate::codec::{Error, Kind, Reader};
use crate::iana::{ExchangeType, PayloadType};

/// The flags octet; unknown bits survive.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag: a message in the clear.
    pub const NONE: Self = Self(0);
    /// What follows the header is encrypted.
    pub const ENCRYPTION: Self = Self(1);
    /// The sender asks for a CONNECTED notify; unused in GDOI.
    pub const COMMIT: Self = Self(2);
    /// A notify that is authenticated only.
    pub const AUTH_ONLY: Self = Self(4);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `E`, `E|C`, `-`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = [
            (Self::ENCRYPTION, "E"),
            (Self::COMMIT, "C"),
            (Self::AUTH_ONLY, "A"),
        ]
        .iter()
        .filter(|(flag, _)| self.contains(*flag))
        .map(|(_, name)| *name)
        .collect();
        f.pad(&if names.is_empty() {
            "-".to_owned()
        } else {
            names.join("|")
        })
    }
}

/// The ISAKMP header (RFC 2408 section 3.1).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                          Initiator                            !
/// !                            Cookie                             !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                          Responder                            !
/// !                            Cookie                             !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Next Payload ! MjVer ! MnVer ! Exchange Type !     Flags     !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                          Message ID                           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                            Length                             !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Cookie of the initiator; in a PUSH the first half of the KEK's SPI.
    pub initiator_cookie: [u8; 8],
    /// Cookie of the responder, zero in the first message; in a PUSH the second half of the SPI.
    pub responder_cookie: [u8; 8],
    /// Type of the first payload.
    pub next_payload: PayloadType,
    /// Major version in the upper half, minor version in the lower.
    pub version: u8,
    /// The exchange.
    pub exchange_type: ExchangeType,
    /// Encryption and other flags.
    pub flags: Flags,
    /// The exchange within the SA: 0 in phase 1 and in a PUSH.
    pub message_id: u32,
    /// Octets of the whole message, this header included.
    pub length: u32,
}

impl Header {
    /// Octets of the header.
    pub const LEN: usize = 28;
    /// Version 1.0, the only one there is.
    pub const VERSION_1_0: u8 = 0x10;

    /// A header of version 1.0; next payload and length are set when the message is built.
    #[must_use]
    pub const fn new(
        initiator_cookie: [u8; 8],
        responder_cookie: [u8; 8],
        exchange_type: ExchangeType,
        flags: Flags,
        message_id: u32,
    ) -> Self {
        Self {
            initiator_cookie,
            responder_cookie,
            next_payload: PayloadType::NONE,
            version: Self::VERSION_1_0,
            exchange_type,
            flags,
            message_id,
            length: 0,
        }
    }

    /// The header at the front of `bytes`; what follows is not looked at.
    ///
    /// # Errors
    /// `Short` below 28 octets.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("ISAKMP header", bytes);
        Ok(Self {
            initiator_cookie: r.array()?,
            responder_cookie: r.array()?,
            next_payload: PayloadType(r.u8()?),
            version: r.u8()?,
            exchange_type: ExchangeType(r.u8()?),
            flags: Flags(r.u8()?),
            message_id: r.u32()?,
            length: r.u32()?,
        })
    }

    /// The header of a datagram and what follows it; the Length field must be the datagram's.
    ///
    /// # Errors
    /// `Short` if the datagram is shorter than a header or than its Length says, `Trailing` if it
    /// is longer.
    pub fn split(datagram: &[u8]) -> Result<(Self, &[u8]), Error> {
        let header = Self::decode(datagram)?;
        let error = |kind| Error {
            what: "ISAKMP header",
            kind,
        };
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if length < Self::LEN {
            return Err(error(Kind::Value {
                field: "Length",
                value: header.length.into(),
                expected: "28 or more",
            }));
        }
        if length > datagram.len() {
            return Err(error(Kind::Short {
                needed: length,
                left: datagram.len(),
            }));
        }
        if length < datagram.len() {
            return Err(error(Kind::Trailing {
                octets: datagram.len() - length,
            }));
        }
        Ok((header, &datagram[Self::LEN..]))
    }

    /// The octets of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.initiator_cookie);
        out[8..16].copy_from_slice(&self.responder_cookie);
        out[16] = self.next_payload.0;
        out[17] = self.version;
        out[18] = self.exchange_type.0;
        out[19] = self.flags.0;
        out[20..24].copy_from_slice(&self.message_id.to_be_bytes());
        out[24..].copy_from_slice(&self.length.to_be_bytes());
        out
    }

    /// Major version: 1 for every message that can be understood.
    #[must_use]
    pub const fn major_version(&self) -> u8 {
        self.version >> 4
    }

    /// Minor version.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.version & 15
    }

    /// The cookie pair as the 16 octets of a Rekey SA's SPI (RFC 6407 section 5.3).
    #[must_use]
    pub fn cookies(&self) -> [u8; 16] {
        let mut spi = [0; 16];
        spi[..8].copy_from_slice(&self.initiator_cookie);
        spi[8..].copy_from_slice(&self.responder_cookie);
        spi
    }
}

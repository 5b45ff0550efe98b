//! Parts of a message that is larger than a datagram may be.
//!
//! Only the form of one part; assembling them, and its limits, is decided by `gdoi`.

use crate::codec::{Error, Kind, Reader};
use crate::iana::{ExchangeType, PayloadType};
use crate::isakmp::header::{Flags, Header};

/// Parts of one message (PROTOCOL P4).
pub const PARTS_MAX: usize = 64;
/// Octets of the MAC.
pub const MAC_LEN: usize = 16;
/// Octets of a datagram with a part, and of every PUSH (PROTOCOL P4).
pub const DATAGRAM_MAX: usize = 1_280;
/// Octets of the message in one part.
pub const PIECE_MAX: usize = DATAGRAM_MAX - MAC_START - MAC_LEN;

const WHAT: &str = "message part";
/// Header, exchange, part, total, RESERVED.
const MAC_START: usize = Header::LEN + 4;

/// One part of a message (PROTOCOL P4).
///
/// ```text
/// +-------------+--------------+----------+-----------+--------------+----------+-------+
/// | Header (28) | exchange (1) | part (1) | total (1) | RESERVED (1) | MAC (16) | piece |
/// +-------------+--------------+----------+-----------+--------------+----------+-------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Exchange of the whole message.
    pub exchange: ExchangeType,
    /// Which part, from 1.
    pub part: u8,
    /// How many there are.
    pub total: u8,
    /// What the MAC covers: the octets before it and the octets after it.
    pub authenticated: [&'a [u8]; 2],
    /// The MAC.
    pub mac: [u8; MAC_LEN],
    /// Octets of the message.
    pub piece: &'a [u8],
}

impl<'a> Part<'a> {
    /// The part in a datagram of which the header says exchange 241.
    ///
    /// # Errors
    /// A malformed header or part; a part number above its total; an empty or too large piece.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Error> {
        let (header, body) = Header::split(datagram)?;
        let mut r = Reader::new(WHAT, body);
        if header.next_payload != PayloadType::NONE {
            return Err(r.bad("Next Payload", header.next_payload.0, "0"));
        }
        if header.flags != Flags::NONE {
            return Err(r.bad("Flags", header.flags.0, "0"));
        }
        let exchange = ExchangeType(r.u8()?);
        let part = r.u8()?;
        let total = r.u8()?;
        r.reserved()?;
        if !(2..=PARTS_MAX).contains(&usize::from(total)) {
            return Err(r.bad("total", total, "2 to 64"));
        }
        if part == 0 || part > total {
            return Err(r.bad("part", part, "1 to the total"));
        }
        let mac = r.array()?;
        let piece = r.rest();
        if piece.is_empty() || piece.len() > PIECE_MAX {
            return Err(r.bad("octets of the piece", piece.len() as u64, "1 to 1232"));
        }
        Ok(Self {
            exchange,
            part,
            total,
            authenticated: [&datagram[..MAC_START], piece],
            mac,
            piece,
        })
    }
}

/// Cuts a message into datagrams, each with a MAC that `mac` computes over two runs of octets.
///
/// # Errors
/// The message has no header, fits one datagram as it is, or needs more than 64 parts.
pub fn cut(
    message: &[u8],
    mut mac: impl FnMut([&[u8]; 2]) -> [u8; MAC_LEN],
) -> Result<Vec<Vec<u8>>, Error> {
    let whole = Header::decode(message)?;
    let pieces = message.chunks(PIECE_MAX);
    let count = pieces.len();
    let total = match u8::try_from(count) {
        Ok(total) if (2..=PARTS_MAX).contains(&count) => total,
        _ => {
            return Err(Error {
                what: WHAT,
                kind: Kind::Value {
                    field: "parts of the message",
                    value: count as u64,
                    expected: "2 to 64",
                },
            });
        }
    };
    Ok((1..)
        .zip(pieces)
        .map(|(part, piece)| {
            let length = MAC_START + MAC_LEN + piece.len();
            let header = Header {
                next_payload: PayloadType::NONE,
                exchange_type: ExchangeType::GETVPN_PART,
                flags: Flags::NONE,
                length: u32::try_from(length).unwrap_or(u32::MAX),
                ..whole
            };
            let mut front = header.encode().to_vec();
            front.extend_from_slice(&[whole.exchange_type.0, part, total, 0]);
            let mac = mac([&front, piece]);
            [&front, &mac[..], piece].concat()
        })
        .collect())
}

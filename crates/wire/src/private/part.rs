//! One part of a message that is larger than a datagram should be (PROTOCOL P4).
//!
//! Not a payload: it stands alone behind the ISAKMP header of exchange 241, whose cookies and
//! message id are those of the message. Whether the MAC is right is not decided here.

use crate::codec::{Error, Reader, Writer};
use crate::iana::{ExchangeType, PayloadType};
use crate::isakmp::header::{Flags, Header};

/// A part; `docs/private-attributes.md` section 7.
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Exchange Type !     Part      !     Total     !   RESERVED    !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                            Serial                             !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        MAC (16 octets)                        ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                     Octets of the message                     ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The exchange of the message.
    pub exchange: ExchangeType,
    /// Which part this is, from 1.
    pub number: u8,
    /// How many parts there are.
    pub total: u8,
    /// Tells the messages of one exchange apart.
    pub serial: u32,
    /// Over everything here and the names in the header.
    pub mac: [u8; 16],
    /// This part's octets of the message.
    pub body: &'a [u8],
}

impl<'a> Part<'a> {
    /// Reads what follows the ISAKMP header.
    ///
    /// # Errors
    /// A part without octets, or whose number is not between 1 and the total.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("message part", bytes);
        let exchange = ExchangeType(r.u8()?);
        let number = r.u8()?;
        let total = r.u8()?;
        r.reserved()?;
        if number == 0 || number > total {
            return Err(r.bad("Part", number, "1 to Total"));
        }
        let serial = r.u32()?;
        let mac = r.array()?;
        if r.is_empty() {
            return Err(r.bad("length", 0_u8, "1 octet of the message or more"));
        }
        Ok(Self {
            exchange,
            number,
            total,
            serial,
            mac,
            body: r.rest(),
        })
    }

    /// The datagram, with cookies and message id of `header`.
    #[must_use]
    pub fn encode(&self, header: Header) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(self.exchange.0);
        w.u8(self.number);
        w.u8(self.total);
        w.u8(0);
        w.u32(self.serial);
        w.bytes(&self.mac);
        w.bytes(self.body);
        let length = u32::try_from(Header::LEN + w.len()).unwrap_or(u32::MAX);
        let header = Header {
            next_payload: PayloadType::NONE,
            exchange_type: ExchangeType::GETVPN_PART,
            flags: Flags::NONE,
            length,
            ..header
        };
        let mut datagram = header.encode().to_vec();
        // Nothing in here counts anything, so nothing can fail to fit.
        datagram.extend(w.finish().unwrap_or_default());
        datagram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCTETS: [u8; 26] = [
        32, 2, 3, 0, 0xde, 0xad, 0xbe, 0xef, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 8,
    ];

    #[test]
    fn a_part_is_read_and_written_octet_for_octet() {
        let part = Part::decode(&OCTETS).unwrap();
        let expected = Part {
            exchange: ExchangeType::GROUPKEY_PULL,
            number: 2,
            total: 3,
            serial: 0xdead_beef,
            mac: [1; 16],
            body: &[7, 8],
        };
        assert_eq!(part, expected);
        let header = Header::new(
            [1; 8],
            [2; 8],
            ExchangeType::GROUPKEY_PULL,
            Flags::ENCRYPTION,
            9,
        );
        let datagram = part.encode(header);
        let (header, body) = Header::split(&datagram).unwrap();
        assert_eq!(header.exchange_type, ExchangeType::GETVPN_PART);
        assert_eq!((header.flags, header.message_id), (Flags::NONE, 9));
        assert_eq!(body, OCTETS);
    }

    #[test]
    fn a_part_outside_its_total_or_without_octets_is_refused() {
        for (at, value) in [(1, 0), (1, 4), (3, 1)] {
            let mut octets = OCTETS;
            octets[at] = value;
            assert!(Part::decode(&octets).is_err(), "{at} {value}");
        }
        assert!(Part::decode(&OCTETS[..24]).is_err());
    }
}

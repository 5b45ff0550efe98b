//! The frame of ESP: header and trailer. What is between them is `dataplane`'s.

use crate::codec::{Error, Kind, Reader};

/// An ESP packet (RFC 4303 section 2) with what follows the two clear fields.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |               Security Parameters Index (SPI)                 |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      Sequence Number                          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Payload Data* (variable)                   |
/// ~                                                               ~
/// +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |               |     Padding (0-255 bytes)                     |
/// +-+-+-+-+-+-+-+-+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                               |  Pad Length   | Next Header   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         Integrity Check Value-ICV   (variable)                |
/// ~                                                               ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Esp<'a> {
    /// The SPI.
    pub spi: u32,
    /// The sequence number.
    pub sequence: u32,
    /// IV, ciphertext and ICV.
    pub rest: &'a [u8],
}

impl<'a> Esp<'a> {
    /// Octets of SPI and sequence number.
    pub const HEADER_LEN: usize = 8;

    /// The packet that `bytes`, an IP packet's payload, are.
    ///
    /// # Errors
    /// Shorter than its header, or SPI 0, which is never sent.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("ESP packet", bytes);
        let spi = r.u32()?;
        //= RFC 4303 2.1
        //# The SPI value of zero (0)
        //# is reserved for local, implementation-specific use and MUST NOT be
        //# sent on the wire.
        if spi == 0 {
            return Err(r.bad("SPI", spi, "not 0"));
        }
        Ok(Self {
            spi,
            sequence: r.u32()?,
            rest: r.rest(),
        })
    }

    /// SPI and sequence number as octets.
    #[must_use]
    #[inline]
    pub fn header(spi: u32, sequence: u32) -> [u8; 8] {
        (u64::from(spi) << 32 | u64::from(sequence)).to_be_bytes()
    }
}

/// Octets of Pad Length and Next Header.
pub const TRAILER_LEN: usize = 2;

/// How many octets of padding make payload, padding and trailer a multiple of `unit` octets.
#[must_use]
pub const fn pad_len(payload_len: usize, unit: usize) -> usize {
    (payload_len + TRAILER_LEN).next_multiple_of(unit) - payload_len - TRAILER_LEN
}

/// Fills `out`, which is padding and trailer, with the default padding 1, 2, 3, ...
///
/// Needs two octets at least and 257 at most; another length writes nothing.
#[inline]
pub fn write_trailer(out: &mut [u8], next_header: u8) {
    let Some((padding, trailer)) = out.split_last_chunk_mut::<TRAILER_LEN>() else {
        return;
    };
    let Ok(length) = u8::try_from(padding.len()) else {
        return;
    };
    //= RFC 4303 2.4
    //# The Padding bytes
    //# are initialized with a series of (unsigned, 1-byte) integer values.
    for (octet, value) in padding.iter_mut().zip(1..) {
        *octet = value;
    }
    *trailer = [length, next_header];
}

/// The payload and next header of decrypted octets; the padding must be the default one.
///
/// # Errors
/// Shorter than the trailer or the padding that it names, or padding that is not 1, 2, 3, ...
#[inline]
pub fn split_trailer(plain: &[u8]) -> Result<(&[u8], u8), Error> {
    let error = |kind| Error {
        what: "ESP trailer",
        kind,
    };
    let Some((front, [length, next_header])) = plain.split_last_chunk::<TRAILER_LEN>() else {
        return Err(error(Kind::Short {
            needed: TRAILER_LEN,
            left: plain.len(),
        }));
    };
    let length = usize::from(*length);
    let Some(payload_len) = front.len().checked_sub(length) else {
        return Err(error(Kind::Short {
            needed: length,
            left: front.len(),
        }));
    };
    let (payload, padding) = front.split_at(payload_len);
    //= RFC 4303 2.4
    //# When this padding scheme is employed,
    //# the receiver SHOULD inspect the Padding field.
    let wrong = padding
        .iter()
        .zip(1_u8..)
        .find(|(octet, value)| **octet != *value);
    match wrong {
        None => Ok((payload, *next_header)),
        Some((octet, _)) => Err(error(Kind::Value {
            field: "padding",
            value: (*octet).into(),
            expected: "1, 2, 3, ...",
        })),
    }
}

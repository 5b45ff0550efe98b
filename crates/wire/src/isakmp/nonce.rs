//! The Nonce payload, with the bounds of the exchange it stands in.

use std::ops::RangeInclusive;

use crate::codec::{Error, Reader, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;

/// Octets of a nonce in phase 1 (RFC 2409 section 5).
pub const PHASE_1_LEN: RangeInclusive<usize> = 8..=256;
/// Octets of a nonce in a PULL (RFC 6407 section 5.8).
pub const PULL_LEN: RangeInclusive<usize> = 8..=128;

/// The Nonce payload (RFC 2408 section 3.13); decoding admits what phase 1 admits.
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                            Nonce Data                         ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Nonce<'a> {
    /// The nonce.
    pub data: &'a [u8],
}

impl<'a> Nonce<'a> {
    /// The nonce of a PULL.
    ///
    /// # Errors
    /// `Value` outside 8..=128 octets.
    //= RFC 6407 5.8
    //# The data portion of the Nonce payload (i.e., Ni_b and Nr_b included
    //# in the HASHs) MUST be a value between 8 and 128 octets.
    pub fn decode_pull(body: &'a [u8]) -> Result<Self, Error> {
        if PULL_LEN.contains(&body.len()) {
            Ok(Self { data: body })
        } else {
            Err(Reader::new("Nonce payload of a PULL", body).bad(
                "length",
                body.len() as u64,
                "8 to 128 octets",
            ))
        }
    }
}

impl<'a> Payload<'a> for Nonce<'a> {
    const TYPE: PayloadType = PayloadType::NONCE;

    //= RFC 2409 5
    //# The length of nonce payload MUST be between 8
    //# and 256 bytes inclusive.
    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        if PHASE_1_LEN.contains(&body.len()) {
            Ok(Self { data: body })
        } else {
            Err(Reader::new("Nonce payload", body).bad(
                "length",
                body.len() as u64,
                "8 to 256 octets",
            ))
        }
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(self.data);
    }
}

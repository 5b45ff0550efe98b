//! The Hash payload; whether the hash is right is not decided here.

use crate::codec::{Error, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;

/// The Hash payload (RFC 2408 section 3.11).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                           Hash Data                           ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Hash<'a> {
    /// The hash, as long as the negotiated one.
    pub data: &'a [u8],
}

impl<'a> Payload<'a> for Hash<'a> {
    const TYPE: PayloadType = PayloadType::HASH;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { data: body })
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(self.data);
    }
}

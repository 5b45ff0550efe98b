//! The Key Exchange payload; whether its length fits the group is `crypto`'s to say.

use crate::codec::{Error, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;

/// The Key Exchange payload (RFC 2408 section 3.7).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Key Exchange Data                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ke<'a> {
    /// The public value, as long as the group's prime or point.
    pub data: &'a [u8],
}

impl<'a> Payload<'a> for Ke<'a> {
    const TYPE: PayloadType = PayloadType::KE;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { data: body })
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(self.data);
    }
}

//! The Sequence Number payload; whether the number is new is decided by `gdoi`.

use crate::codec::{Error, Reader, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;

/// The Sequence Number payload (RFC 6407 section 5.7).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                      Sequence Number                          !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u32);

impl Payload<'_> for Seq {
    const TYPE: PayloadType = PayloadType::SEQ;

    //= RFC 6407 5.7
    //# MUST be a value of
    //# 8.
    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("SEQ payload", body);
        let number = r.u32()?;
        r.end()?;
        Ok(Self(number))
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.0);
    }
}

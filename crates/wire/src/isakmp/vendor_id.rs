//! The Vendor ID payload: a hint only, since IKEv1 does not authenticate it (PROTOCOL P2).

use crate::codec::{Error, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;

/// The Vendor ID payload (RFC 2408 section 3.16).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        Vendor ID (VID)                        ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VendorId<'a> {
    /// What the vendor says.
    pub data: &'a [u8],
}

impl<'a> Payload<'a> for VendorId<'a> {
    const TYPE: PayloadType = PayloadType::VENDOR_ID;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { data: body })
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(self.data);
    }
}

/// Dead peer detection, without the two octets of its version (RFC 3706 section 5.1).
pub const DPD: [u8; 14] = [
    0xAF, 0xCA, 0xD7, 0x13, 0x68, 0xA1, 0xF1, 0xC9, 0x6B, 0x86, 0x96, 0xFC, 0x77, 0x57,
];
/// Dead peer detection, version 1.0: what is sent.
pub const DPD_1_0: [u8; 16] = [
    0xAF, 0xCA, 0xD7, 0x13, 0x68, 0xA1, 0xF1, 0xC9, 0x6B, 0x86, 0x96, 0xFC, 0x77, 0x57, 0x01, 0x00,
];

impl VendorId<'_> {
    /// Whether it announces dead peer detection, of whatever version.
    #[must_use]
    pub fn is_dpd(&self) -> bool {
        self.data.starts_with(&DPD)
    }
}

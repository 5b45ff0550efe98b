//! The Notification payload.

use crate::codec::{Error, Reader, Writer};
use crate::iana::{Doi, NotifyType, PayloadType, ProtocolId};
use crate::isakmp::payload::Payload;

/// The Notification payload (RFC 2408 section 3.14).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !              Domain of Interpretation  (DOI)                  !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Protocol-ID  !   SPI Size    !      Notify Message Type      !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                Security Parameter Index (SPI)                 ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       Notification Data                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Of the SA that the notification is about.
    pub doi: Doi,
    /// Its protocol.
    pub protocol: ProtocolId,
    /// What is notified.
    pub ty: NotifyType,
    /// Its SPI, 16 octets of cookies for ISAKMP, or empty.
    pub spi: Vec<u8>,
    /// What goes with the type.
    pub data: Vec<u8>,
}

impl Payload<'_> for Notify {
    const TYPE: PayloadType = PayloadType::NOTIFY;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Notification payload", body);
        let doi = Doi(r.u32()?);
        let protocol = ProtocolId(r.u8()?);
        let spi_size = usize::from(r.u8()?);
        Ok(Self {
            doi,
            protocol,
            ty: NotifyType(r.u16()?),
            spi: r.take(spi_size)?.to_vec(),
            data: r.rest().to_vec(),
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.doi.0);
        w.u8(self.protocol.0);
        w.count_u8("Notification payload", "SPI octets", self.spi.len());
        w.u16(self.ty.0);
        w.bytes(&self.spi);
        w.bytes(&self.data);
    }
}

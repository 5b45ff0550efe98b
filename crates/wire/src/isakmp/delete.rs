//! The Delete payload, of phase 1 and of a PUSH.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::{Doi, PayloadType, ProtocolId, SatProtocol};
use crate::isakmp::payload::Payload;
use crate::limits::DELETE_SPIS_MAX;

/// The Delete payload (RFC 2408 section 3.15, RFC 6407 section 5.9).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !              Domain of Interpretation  (DOI)                  !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Protocol-Id  !   SPI Size    !           # of SPIs           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~               Security Parameter Index(es) (SPI)              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// GDOI in a PUSH, the SA's in phase 1.
    pub doi: Doi,
    /// In phase 1 a `ProtocolId`; in a PUSH a `SatProtocol`, 0 being the KEK.
    pub protocol: u8,
    /// Octets of each SPI.
    pub spi_size: u8,
    /// The SPIs one after the other; in a PUSH a zero SPI is all of that protocol.
    pub spis: Vec<u8>,
}

impl Delete {
    /// The phase-1 SA with these cookies is gone.
    #[must_use]
    pub fn isakmp(doi: Doi, cookies: [u8; 16]) -> Self {
        Self {
            doi,
            protocol: ProtocolId::ISAKMP.0,
            spi_size: 16,
            spis: cookies.to_vec(),
        }
    }

    /// In a PUSH: these ESP SAs are gone, SPI 0 meaning all.
    #[must_use]
    pub fn esp(spis: &[u32]) -> Self {
        Self {
            doi: Doi::GDOI,
            protocol: SatProtocol::IPSEC_ESP.0,
            spi_size: 4,
            spis: spis.iter().flat_map(|spi| spi.to_be_bytes()).collect(),
        }
    }

    /// In a PUSH: the Rekey SA is gone, SPI 0 meaning all.
    //= RFC 6407 5.9
    //# To delete a KEK SA, the value of
    //# zero MUST be used as the protocol ID.
    #[must_use]
    pub fn kek(spi: [u8; 16]) -> Self {
        Self {
            doi: Doi::GDOI,
            protocol: SatProtocol::KEK.0,
            spi_size: 16,
            spis: spi.to_vec(),
        }
    }

    /// Each SPI.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spis.chunks_exact(usize::from(self.spi_size.max(1)))
    }

    /// Each SPI of four octets; empty if they have another size.
    pub fn iter_u32(&self) -> impl Iterator<Item = u32> {
        self.iter()
            .filter_map(|spi| spi.try_into().ok().map(u32::from_be_bytes))
    }
}

impl Payload<'_> for Delete {
    const TYPE: PayloadType = PayloadType::DELETE;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Delete payload", body);
        let doi = Doi(r.u32()?);
        let protocol = r.u8()?;
        let spi_size = r.u8()?;
        let count = usize::from(r.u16()?);
        if spi_size == 0 {
            return Err(r.bad("SPI Size", 0_u8, "1 or more"));
        }
        if count > DELETE_SPIS_MAX {
            return Err(r.error(Kind::TooMany {
                parts: "SPIs",
                max: DELETE_SPIS_MAX,
            }));
        }
        let spis = r.take(count * usize::from(spi_size))?.to_vec();
        r.end()?;
        Ok(Self {
            doi,
            protocol,
            spi_size,
            spis,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.doi.0);
        w.u8(self.protocol);
        w.u8(self.spi_size);
        let count = self.spis.len() / usize::from(self.spi_size.max(1));
        w.count_u16("Delete payload", "SPIs", count);
        w.bytes(&self.spis);
    }
}

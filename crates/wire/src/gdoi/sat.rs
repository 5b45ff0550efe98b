//! The SA TEK payload: what a Data-Security SA is, and for which traffic.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::gdoi::identity::Identity;
use crate::iana::{
    AddressPreservation, AuthAlgorithm, EncapsulationMode, EspTransform, LifeType, PayloadType,
    SaAttribute, SaDirection, SatProtocol,
};
use crate::isakmp::attribute::{self, Attribute, once};
use crate::isakmp::payload::Payload;

const WHAT: &str = "SA TEK payload";

/// The SA TEK payload (RFC 6407 section 5.5).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Protocol-ID   !       TEK Protocol-Specific Payload           ~
/// +-+-+-+-+-+-+-+-+                                               ~
/// ~                                                               ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sat {
    /// GDOI_PROTO_IPSEC_ESP.
    Esp(EspSat),
    /// AH, IEC 61850 and whatever else there may be: kept as it stands.
    Other {
        /// Which one.
        protocol: SatProtocol,
        /// The protocol-specific part.
        body: Vec<u8>,
    },
}

/// The part of ESP (RFC 6407 section 5.5.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !    Protocol   !  SRC ID Type  !         SRC ID Port           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !SRC ID Data Len!          SRC Identification Data              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! DST ID Type   !         DST ID Port           !DST ID Data Len!
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! DST Identification Data                                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Transform ID  !                        SPI                    !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !      SPI      !       RFC 2407 SA Attributes                  ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspSat {
    /// IP protocol of the traffic, 0 for any.
    pub protocol: u8,
    /// Source of the traffic.
    pub source: Identity,
    /// Destination of the traffic.
    pub destination: Identity,
    /// The cipher.
    pub transform: EspTransform,
    /// The SPI.
    pub spi: u32,
    /// Encapsulation Mode; absent is left to the receiver (RFC 2407 section 4.5).
    pub encapsulation: Option<EncapsulationMode>,
    /// Authentication Algorithm; absent when the cipher brings its own.
    pub authentication: Option<AuthAlgorithm>,
    /// Key Length in bits, for ciphers with several.
    pub key_bits: Option<u16>,
    /// SA Life Duration of SA Life Type seconds.
    pub lifetime_s: Option<u32>,
    /// SA Life Duration of SA Life Type kilobytes.
    pub lifetime_kb: Option<u32>,
    /// Address Preservation; absent means both addresses (RFC 6407 section 5.5.1.1.1).
    pub address_preservation: Option<AddressPreservation>,
    /// SA Direction; absent means symmetric (RFC 6407 section 5.5.1.1.2).
    pub direction: Option<SaDirection>,
    /// Attributes with other classes, Extended Sequence Number among them. Group Description, to
    /// be ignored (RFC 6407 section 5.5.1), is not.
    pub other: Vec<Attribute<'static>>,
}

#[derive(Default)]
struct Found {
    encapsulation: Option<u16>,
    authentication: Option<u16>,
    key_bits: Option<u16>,
    lifetime_s: Option<u32>,
    lifetime_kb: Option<u32>,
    address_preservation: Option<u16>,
    direction: Option<u16>,
    other: Vec<Attribute<'static>>,
    /// The life type whose duration has not come yet.
    life_type: Option<LifeType>,
}

impl Found {
    fn add(&mut self, attribute: Attribute<'_>) -> Result<(), Error> {
        let (slot, field) = match SaAttribute(attribute.class) {
            SaAttribute::ENCAPSULATION_MODE => (&mut self.encapsulation, "Encapsulation Mode"),
            SaAttribute::AUTHENTICATION_ALGORITHM => {
                (&mut self.authentication, "Authentication Algorithm")
            }
            SaAttribute::KEY_LENGTH => (&mut self.key_bits, "Key Length"),
            SaAttribute::ADDRESS_PRESERVATION => {
                (&mut self.address_preservation, "Address Preservation")
            }
            SaAttribute::SA_DIRECTION => (&mut self.direction, "SA Direction"),
            SaAttribute::GROUP_DESCRIPTION => return Ok(()),
            SaAttribute::LIFE_TYPE | SaAttribute::LIFE_DURATION => return self.life(&attribute),
            _ => {
                self.other.push(attribute.into_owned());
                return Ok(());
            }
        };
        once(slot, attribute.expect_basic(WHAT, field)?, WHAT, field)
    }

    /// A life type and the duration that must follow it (RFC 2407 section 4.5).
    fn life(&mut self, attribute: &Attribute<'_>) -> Result<(), Error> {
        if SaAttribute(attribute.class) == SaAttribute::LIFE_TYPE {
            let ty = LifeType(attribute.expect_basic(WHAT, "SA Life Type")?);
            return once(&mut self.life_type, ty, WHAT, "SA Life Type");
        }
        let duration = attribute.expect_u32(WHAT, "SA Life Duration")?;
        match self.life_type.take() {
            Some(LifeType::SECONDS) => {
                once(&mut self.lifetime_s, duration, WHAT, "lifetime in seconds")
            }
            Some(LifeType::KILOBYTES) => once(
                &mut self.lifetime_kb,
                duration,
                WHAT,
                "lifetime in kilobytes",
            ),
            Some(ty) => Err(Error {
                what: WHAT,
                kind: Kind::Value {
                    field: "SA Life Type",
                    value: ty.0.into(),
                    expected: "1 (seconds) or 2 (kilobytes)",
                },
            }),
            None => Err(Error {
                what: WHAT,
                kind: Kind::Missing {
                    part: "the SA Life Type before an SA Life Duration",
                },
            }),
        }
    }
}

impl EspSat {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let protocol = r.u8()?;
        let source = Identity::decode(r)?;
        let destination = Identity::decode(r)?;
        let transform = EspTransform(r.u8()?);
        let spi = r.u32()?;
        let mut found = Found::default();
        for attribute in attribute::decode_all(r)? {
            found.add(attribute)?;
        }
        if found.life_type.is_some() {
            return Err(r.error(Kind::Missing {
                part: "the SA Life Duration after an SA Life Type",
            }));
        }
        Ok(Self {
            protocol,
            source,
            destination,
            transform,
            spi,
            encapsulation: found.encapsulation.map(EncapsulationMode),
            authentication: found.authentication.map(AuthAlgorithm),
            key_bits: found.key_bits,
            lifetime_s: found.lifetime_s,
            lifetime_kb: found.lifetime_kb,
            address_preservation: found.address_preservation.map(AddressPreservation),
            direction: found.direction.map(SaDirection),
            other: found.other,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.protocol);
        self.source.encode(WHAT, w);
        self.destination.encode(WHAT, w);
        w.u8(self.transform.0);
        w.u32(self.spi);
        let basic = |class: SaAttribute, value: Option<u16>, w: &mut Writer| {
            attribute::encode_basic(class.0, value, w);
        };
        basic(
            SaAttribute::ENCAPSULATION_MODE,
            self.encapsulation.map(|n| n.0),
            w,
        );
        let authentication = self.authentication.map(|n| n.0);
        basic(SaAttribute::AUTHENTICATION_ALGORITHM, authentication, w);
        basic(SaAttribute::KEY_LENGTH, self.key_bits, w);
        for (ty, duration) in [
            (LifeType::SECONDS, self.lifetime_s),
            (LifeType::KILOBYTES, self.lifetime_kb),
        ] {
            if let Some(duration) = duration {
                basic(SaAttribute::LIFE_TYPE, Some(ty.0), w);
                Attribute::number(SaAttribute::LIFE_DURATION.0, duration).encode(w);
            }
        }
        let preservation = self.address_preservation.map(|n| n.0);
        basic(SaAttribute::ADDRESS_PRESERVATION, preservation, w);
        basic(SaAttribute::SA_DIRECTION, self.direction.map(|n| n.0), w);
        attribute::encode(&self.other, w);
    }
}

impl Payload<'_> for Sat {
    const TYPE: PayloadType = PayloadType::SAT;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(WHAT, body);
        Ok(match SatProtocol(r.u8()?) {
            SatProtocol::IPSEC_ESP => Self::Esp(EspSat::decode(&mut r)?),
            protocol => Self::Other {
                protocol,
                body: r.rest().to_vec(),
            },
        })
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::Esp(esp) => {
                w.u8(SatProtocol::IPSEC_ESP.0);
                esp.encode(w);
            }
            Self::Other { protocol, body } => {
                w.u8(protocol.0);
                w.bytes(body);
            }
        }
    }
}

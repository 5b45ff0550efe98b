//! The SA payload of phase 1: proposals and transforms.
//!
//! The GDOI SA payload has the same number and another layout: [`crate::gdoi::sa`].

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::{Doi, IsakmpTransform, OakleyAttribute, PayloadType, ProtocolId};
use crate::isakmp::attribute::{self, Attribute};
use crate::isakmp::payload::{Payload, generic, link};
use crate::limits::PROPOSALS_MAX;

/// Situation bit of the IPsec DOI: identities only, no labels (RFC 2407 section 4.2.1).
pub const SIT_IDENTITY_ONLY: u32 = 1;
/// Situation bits that bring labels with them (RFC 2407 sections 4.2.2, 4.2.3).
const SIT_LABELED: u32 = 2 | 4;

/// The Security Association payload of phase 1 (RFC 2408 section 3.4, RFC 2407 section 4.6.1
/// without labels).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !              Domain of Interpretation  (DOI)                  !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                           Situation                           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                           Proposals                           ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    /// GDOI, or IPSEC (PROTOCOL P1).
    pub doi: Doi,
    /// The situation, a bitmap; none of the labelled ones is read.
    pub situation: u32,
    /// What is offered, best first.
    pub proposals: Vec<Proposal>,
}

/// A Proposal payload (RFC 2408 section 3.5).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Proposal #   !  Protocol-Id  !    SPI Size   !# of Transforms!
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                        SPI (variable)                         !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number; the answer repeats it.
    pub number: u8,
    /// ISAKMP in phase 1.
    pub protocol: ProtocolId,
    /// Ignored in phase 1, usually empty.
    pub spi: Vec<u8>,
    /// The transforms, best first.
    pub transforms: Vec<Transform>,
}

/// A Transform payload (RFC 2408 section 3.6).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  Transform #  !  Transform-Id !           RESERVED2           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                        SA Attributes                          ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Its number; the answer repeats it.
    pub number: u8,
    /// KEY_IKE in phase 1.
    pub id: IsakmpTransform,
    /// The attributes as they stand: the answer repeats them unchanged.
    pub attributes: Vec<Attribute<'static>>,
}

impl Transform {
    /// The number in the first attribute of a class; `None` if there is none, or it is no number.
    #[must_use]
    pub fn number_of(&self, class: OakleyAttribute) -> Option<u64> {
        self.attributes
            .iter()
            .find(|attribute| attribute.class == class.0)?
            .as_number()
    }

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Transform payload", body);
        let number = r.u8()?;
        let id = IsakmpTransform(r.u8()?);
        r.reserved()?;
        r.reserved()?;
        let attributes = attribute::decode_all(&mut r)?
            .into_iter()
            .map(Attribute::into_owned)
            .collect();
        Ok(Self {
            number,
            id,
            attributes,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.number);
        w.u8(self.id.0);
        w.u16(0);
        attribute::encode(&self.attributes, w);
    }
}

/// What follows one of `ty`: another of them, or nothing.
fn next_of(
    r: &Reader<'_>,
    ty: PayloadType,
    next: PayloadType,
    expected: &'static str,
) -> Result<bool, Error> {
    if next == ty {
        Ok(true)
    } else if next == PayloadType::NONE {
        Ok(false)
    } else {
        Err(r.bad("Next Payload", next.0, expected))
    }
}

impl Proposal {
    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Proposal payload", body);
        let number = r.u8()?;
        let protocol = ProtocolId(r.u8()?);
        let spi_size = usize::from(r.u8()?);
        let count = usize::from(r.u8()?);
        let spi = r.take(spi_size)?.to_vec();
        let mut transforms = Vec::new();
        let mut more = !r.is_empty();
        while more {
            let (raw, next) = link(&mut r, PayloadType::TRANSFORM)?;
            more = next_of(&r, PayloadType::TRANSFORM, next, "3 or 0")?;
            transforms.push(Transform::decode(raw.body)?);
        }
        r.end()?;
        if transforms.len() != count || count == 0 {
            return Err(r.bad(
                "# of Transforms",
                count as u64,
                "the number of its Transform payloads, at least 1",
            ));
        }
        Ok(Self {
            number,
            protocol,
            spi,
            transforms,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.number);
        w.u8(self.protocol.0);
        w.count_u8("Proposal payload", "SPI octets", self.spi.len());
        w.count_u8("Proposal payload", "transforms", self.transforms.len());
        w.bytes(&self.spi);
        for (place, transform) in self.transforms.iter().enumerate() {
            let last = place + 1 == self.transforms.len();
            let next = if last {
                PayloadType::NONE
            } else {
                PayloadType::TRANSFORM
            };
            generic(w, next, |w| transform.encode(w));
        }
    }
}

impl Payload<'_> for Sa {
    const TYPE: PayloadType = PayloadType::SA;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("SA payload", body);
        let doi = Doi(r.u32()?);
        let situation = r.u32()?;
        if situation & SIT_LABELED != 0 {
            return Err(r.bad(
                "Situation",
                situation,
                "0 or 1: labelled domains are not supported",
            ));
        }
        let mut proposals = Vec::new();
        let mut more = !r.is_empty();
        while more {
            if proposals.len() == PROPOSALS_MAX {
                return Err(r.error(Kind::TooMany {
                    parts: "proposals",
                    max: PROPOSALS_MAX,
                }));
            }
            let (raw, next) = link(&mut r, PayloadType::PROPOSAL)?;
            more = next_of(&r, PayloadType::PROPOSAL, next, "2 or 0")?;
            proposals.push(Proposal::decode(raw.body)?);
        }
        r.end()?;
        if proposals.is_empty() {
            return Err(r.error(Kind::Missing {
                part: "a Proposal payload",
            }));
        }
        Ok(Self {
            doi,
            situation,
            proposals,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.doi.0);
        w.u32(self.situation);
        for (place, proposal) in self.proposals.iter().enumerate() {
            let last = place + 1 == self.proposals.len();
            let next = if last {
                PayloadType::NONE
            } else {
                PayloadType::PROPOSAL
            };
            generic(w, next, |w| proposal.encode(w));
        }
    }
}

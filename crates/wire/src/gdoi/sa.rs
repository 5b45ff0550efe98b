//! The SA payload of a PULL and a PUSH: SAK, GAP and SATs inside one payload.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::gdoi::{Gap, Sak, Sat};
use crate::iana::{Doi, PayloadType};
use crate::isakmp::payload::{Payload, generic, link};
use crate::limits::SATS_MAX;

const WHAT: &str = "GDOI SA payload";

/// The Security Association payload of GDOI (RFC 6407 section 5.2).
///
/// Its length covers all SA attribute payloads, and its Next Payload names what follows the whole
/// group.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                              DOI                              !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !                           Situation                           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! SA Attribute Next Payload     !          RESERVED2            !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sa {
    /// GDOI.
    pub doi: Doi,
    /// Zero.
    pub situation: u32,
    /// The Rekey SA, if the group has one or it changes.
    pub sak: Option<Sak>,
    /// Group associated policy.
    pub gap: Option<Gap>,
    /// The Data-Security SAs, one per line of the policy.
    pub sats: Vec<Sat>,
}

impl Default for Sa {
    fn default() -> Self {
        Self {
            doi: Doi::GDOI,
            situation: 0,
            sak: None,
            gap: None,
            sats: Vec::new(),
        }
    }
}

impl Sa {
    /// The SA attribute payloads in their order, as types.
    fn types(&self) -> impl Iterator<Item = PayloadType> + '_ {
        let sak = self.sak.is_some().then_some(PayloadType::SAK);
        let gap = self.gap.is_some().then_some(PayloadType::GAP);
        sak.into_iter()
            .chain(gap)
            .chain(self.sats.iter().map(|_| PayloadType::SAT))
    }

    fn add(&mut self, ty: PayloadType, body: &[u8]) -> Result<(), Error> {
        let error = |kind| Error { what: WHAT, kind };
        match ty {
            PayloadType::SAK if self.sak.is_some() => Err(error(Kind::Repeated { part: "SAK" })),
            PayloadType::GAP if self.gap.is_some() => Err(error(Kind::Repeated { part: "GAP" })),
            //= RFC 6407 5.2.1
            //# When present, the order of the SA Attribute payloads MUST be: SAK,
            //# GAP, and SATs.
            PayloadType::SAK if self.gap.is_none() && self.sats.is_empty() => {
                self.sak = Some(Sak::decode(body)?);
                Ok(())
            }
            PayloadType::GAP if self.sats.is_empty() => {
                self.gap = Some(Gap::decode(body)?);
                Ok(())
            }
            PayloadType::SAT if self.sats.len() < SATS_MAX => {
                self.sats.push(Sat::decode(body)?);
                Ok(())
            }
            PayloadType::SAT => Err(error(Kind::TooMany {
                parts: "SA TEK payloads",
                max: SATS_MAX,
            })),
            other => Err(error(Kind::Value {
                field: "type of an SA attribute payload",
                value: other.0.into(),
                expected: "SAK (15), GAP (22), SAT (16) in this order",
            })),
        }
    }
}

impl Payload<'_> for Sa {
    const TYPE: PayloadType = PayloadType::SA;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(WHAT, body);
        let mut sa = Self {
            doi: Doi(r.u32()?),
            situation: r.u32()?,
            ..Self::default()
        };
        if sa.doi != Doi::GDOI {
            return Err(r.bad("DOI", sa.doi.0, "2 (GDOI)"));
        }
        let first = r.u16()?;
        let Ok(first) = u8::try_from(first) else {
            return Err(r.bad("SA Attribute Next Payload", first, "15, 16 or 22"));
        };
        r.reserved()?;
        r.reserved()?;
        let mut ty = PayloadType(first);
        while ty != PayloadType::NONE {
            let (raw, next) = link(&mut r, ty)?;
            sa.add(ty, raw.body)?;
            ty = next;
        }
        r.end()?;
        //= RFC 6407 5.2.1
        //# where either one SAK or SAT payload MUST be present.
        if sa.sak.is_none() && sa.sats.is_empty() {
            return Err(r.error(Kind::Missing {
                part: "a SAK or a SAT",
            }));
        }
        Ok(sa)
    }

    fn encode(&self, w: &mut Writer) {
        let mut types = self.types();
        let mut next = move || types.next().unwrap_or(PayloadType::NONE);
        w.u32(self.doi.0);
        w.u32(self.situation);
        w.u16(next().0.into());
        w.u16(0);
        if let Some(sak) = &self.sak {
            generic(w, next(), |w| sak.encode(w));
        }
        if let Some(gap) = &self.gap {
            generic(w, next(), |w| gap.encode(w));
        }
        for sat in &self.sats {
            generic(w, next(), |w| sat.encode(w));
        }
    }
}

//! The Group Associated Policy payload.

use crate::codec::{Error, Reader, Writer};
use crate::iana::{GapAttribute, PayloadType};
use crate::isakmp::attribute::{self, Attribute, once};
use crate::isakmp::payload::Payload;

const WHAT: &str = "GAP payload";

/// The Group Associated Policy payload (RFC 6407 section 5.4): from the key server inside its SA
/// payload, from the member as a payload of PULL message 3.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !        Payload Length         !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !               Group Associated Policy Attributes              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// ACTIVATION_TIME_DELAY: seconds until new SAs are sent on.
    pub activation_delay_s: Option<u16>,
    /// DEACTIVATION_TIME_DELAY: seconds until replaced SAs are dropped.
    pub deactivation_delay_s: Option<u16>,
    /// SENDER_ID_REQUEST: how many SIDs a member asks for.
    pub sender_id_request: Option<u16>,
    /// Attributes that RFC 6407 does not name: ours among them.
    pub other: Vec<Attribute<'static>>,
}

impl Payload<'_> for Gap {
    const TYPE: PayloadType = PayloadType::GAP;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut gap = Self::default();
        for attribute in attribute::decode_all(&mut Reader::new(WHAT, body))? {
            let (slot, field) = match GapAttribute(attribute.class) {
                GapAttribute::ACTIVATION_TIME_DELAY => {
                    (&mut gap.activation_delay_s, "ACTIVATION_TIME_DELAY")
                }
                GapAttribute::DEACTIVATION_TIME_DELAY => {
                    (&mut gap.deactivation_delay_s, "DEACTIVATION_TIME_DELAY")
                }
                GapAttribute::SENDER_ID_REQUEST => {
                    (&mut gap.sender_id_request, "SENDER_ID_REQUEST")
                }
                _ => {
                    gap.other.push(attribute.into_owned());
                    continue;
                }
            };
            once(slot, attribute.expect_basic(WHAT, field)?, WHAT, field)?;
        }
        Ok(gap)
    }

    fn encode(&self, w: &mut Writer) {
        for (class, value) in [
            (GapAttribute::ACTIVATION_TIME_DELAY, self.activation_delay_s),
            (
                GapAttribute::DEACTIVATION_TIME_DELAY,
                self.deactivation_delay_s,
            ),
            (GapAttribute::SENDER_ID_REQUEST, self.sender_id_request),
        ] {
            if let Some(value) = value {
                Attribute::basic(class.0, value).encode(w);
            }
        }
        attribute::encode(&self.other, w);
    }
}

//! Data attributes: the type/value and type/length/value lists of SA, SAK, SAT, GAP and KD.
//!
//! Decides where an attribute ends and in which of the two formats it stands; what its value means
//! is decided by the payload that holds it.

use std::borrow::Cow;
use std::fmt;

use crate::codec::{Error, Kind, Reader, Writer};
use crate::limits::ATTRIBUTES_MAX;

/// The bit that says that the value stands in place of the length.
const FORMAT_BASIC: u16 = 0x8000;

/// A data attribute (RFC 2408 section 3.3).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !A!       Attribute Type        !    AF=0  Attribute Length     !
/// !F!                             !    AF=1  Attribute Value      !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// .                   AF=0  Attribute Value                       .
/// .                   AF=1  Not Transmitted                       .
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The class, 15 bits; what it names depends on the payload.
    pub class: u16,
    /// The value.
    pub value: Value<'a>,
}

/// The value of an attribute, in the format in which it stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Two octets in place of the length.
    Basic(u16),
    /// Any number of octets.
    Variable(Cow<'a, [u8]>),
}

/// Shows the class and size only: values may be keys.
impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Basic(value) => write!(f, "{}={value}", self.class),
            Value::Variable(octets) => write!(f, "{}=[{} octets]", self.class, octets.len()),
        }
    }
}

impl<'a> Attribute<'a> {
    /// A basic attribute.
    #[must_use]
    pub const fn basic(class: u16, value: u16) -> Self {
        Self {
            class,
            value: Value::Basic(value),
        }
    }

    /// A variable attribute over octets that stay where they are.
    #[must_use]
    pub const fn variable(class: u16, octets: &'a [u8]) -> Self {
        Self {
            class,
            value: Value::Variable(Cow::Borrowed(octets)),
        }
    }

    /// A number in the shortest format: basic if it fits two octets, else four octets (RFC 2407
    /// section 4.5).
    #[must_use]
    pub fn number(class: u16, value: u32) -> Attribute<'static> {
        match u16::try_from(value) {
            Ok(short) => Attribute::basic(class, short),
            Err(_) => Attribute {
                class,
                value: Value::Variable(Cow::Owned(value.to_be_bytes().to_vec())),
            },
        }
    }

    /// A number of four octets in the variable format.
    #[must_use]
    pub fn long(class: u16, value: u32) -> Attribute<'static> {
        Attribute {
            class,
            value: Value::Variable(Cow::Owned(value.to_be_bytes().to_vec())),
        }
    }

    /// The value as a number: basic, or variable with one to eight octets.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        match &self.value {
            Value::Basic(value) => Some(u64::from(*value)),
            Value::Variable(octets) if (1..=8).contains(&octets.len()) => Some(
                octets
                    .iter()
                    .fold(0, |number, octet| number << 8 | u64::from(*octet)),
            ),
            Value::Variable(_) => None,
        }
    }

    /// The same attribute with octets of its own.
    #[must_use]
    pub fn into_owned(self) -> Attribute<'static> {
        Attribute {
            class: self.class,
            value: match self.value {
                Value::Basic(value) => Value::Basic(value),
                Value::Variable(octets) => Value::Variable(Cow::Owned(octets.into_owned())),
            },
        }
    }

    /// Reads one attribute.
    ///
    /// # Errors
    /// `Short` if it ends too early.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        let head = r.u16()?;
        let low = r.u16()?;
        let class = head & !FORMAT_BASIC;
        Ok(if head & FORMAT_BASIC == 0 {
            Self::variable(class, r.take(usize::from(low))?)
        } else {
            Self::basic(class, low)
        })
    }

    /// Writes the attribute.
    pub fn encode(&self, w: &mut Writer) {
        match &self.value {
            Value::Basic(value) => {
                w.u16(self.class | FORMAT_BASIC);
                w.u16(*value);
            }
            Value::Variable(octets) => {
                w.u16(self.class & !FORMAT_BASIC);
                let start = w.len() + 2;
                w.length_u16("attribute", start, |w| w.bytes(octets));
            }
        }
    }

    /// The value of an attribute that its registry calls basic.
    //= RFC 2407 4.5
    //# Attributes described as basic MUST NOT be encoded
    //# as variable.
    pub(crate) fn expect_basic(
        &self,
        what: &'static str,
        field: &'static str,
    ) -> Result<u16, Error> {
        match &self.value {
            Value::Basic(value) => Ok(*value),
            Value::Variable(octets) => Err(Error {
                what,
                kind: Kind::Value {
                    field,
                    value: octets.len() as u64,
                    expected: "a basic attribute, not octets",
                },
            }),
        }
    }

    /// The value of an attribute that holds a number of at most four octets, in either format.
    pub(crate) fn expect_u32(&self, what: &'static str, field: &'static str) -> Result<u32, Error> {
        let number = self.as_number().and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| Error {
            what,
            kind: Kind::Value {
                field,
                value: self.as_number().unwrap_or(u64::MAX),
                expected: "a number of at most four octets",
            },
        })
    }
}

/// Reads all that is left as attributes.
///
/// # Errors
/// An attribute that ends too early, or too many of them.
pub fn decode_all<'a>(r: &mut Reader<'a>) -> Result<Vec<Attribute<'a>>, Error> {
    decode_up_to(r, ATTRIBUTES_MAX)
}

pub(crate) fn decode_up_to<'a>(
    r: &mut Reader<'a>,
    max: usize,
) -> Result<Vec<Attribute<'a>>, Error> {
    let mut attributes = Vec::new();
    while !r.is_empty() {
        if attributes.len() == max {
            return Err(r.error(Kind::TooMany {
                parts: "attributes",
                max,
            }));
        }
        attributes.push(Attribute::decode(r)?);
    }
    Ok(attributes)
}

/// Writes attributes one after the other.
pub fn encode(attributes: &[Attribute<'_>], w: &mut Writer) {
    for attribute in attributes {
        attribute.encode(w);
    }
}

/// Writes a basic attribute if there is a value for it.
pub(crate) fn encode_basic(class: u16, value: Option<u16>, w: &mut Writer) {
    if let Some(value) = value {
        Attribute::basic(class, value).encode(w);
    }
}

/// Puts a value into a slot that may be filled once.
pub(crate) fn once<T>(
    slot: &mut Option<T>,
    value: T,
    what: &'static str,
    part: &'static str,
) -> Result<(), Error> {
    if slot.replace(value).is_some() {
        return Err(Error {
            what,
            kind: Kind::Repeated { part },
        });
    }
    Ok(())
}

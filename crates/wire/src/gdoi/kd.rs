//! The Key Download payload.
//!
//! Key octets are borrowed from the decrypted message: whoever wipes that has wiped them. Whether a
//! key fits the algorithm of its SA is decided by `gdoi`.

use std::fmt;

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::{
    KdType, KekKeyAttribute, LkhAttribute, PayloadType, SidAttribute, TekKeyAttribute,
};
use crate::isakmp::attribute::{self, Attribute, Value, once};
use crate::isakmp::payload::Payload;
use crate::limits::{KEY_PACKETS_MAX, SIDS_MAX};

/// The Key Download payload (RFC 6407 section 5.6).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Number of Key Packets         !            RESERVED2          !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ~                    Key Packets                                ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kd<'a> {
    /// The key packets in their order.
    pub packets: Vec<KeyPacket<'a>>,
}

/// A key packet (RFC 6407 section 5.6).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !   KD Type     !   RESERVED    !            KD Length          !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !    SPI Size   !                   SPI (variable)              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ~                    Key Packet Attributes                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPacket<'a> {
    /// Keys of a Data-Security SA.
    Tek(TekKeys<'a>),
    /// Keys of the Rekey SA.
    Kek(KekKeys<'a>),
    /// Keys of the tree.
    Lkh(LkhKeys<'a>),
    /// Sender identifiers.
    Sid(Sids),
    /// A type that RFC 6407 does not name.
    Other {
        /// The type.
        ty: KdType,
        /// The SPI.
        spi: &'a [u8],
        /// The attributes.
        attributes: Vec<Attribute<'a>>,
    },
}

/// TEK download type (RFC 6407 section 5.6.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TekKeys<'a> {
    /// Of the SAT that it belongs to.
    pub spi: u32,
    /// TEK_ALGORITHM_KEY: the cipher's key, with the salt for counter modes.
    pub algorithm_key: Option<&'a [u8]>,
    /// TEK_INTEGRITY_KEY.
    pub integrity_key: Option<&'a [u8]>,
    /// TEK_SOURCE_AUTH_KEY.
    pub source_auth_key: Option<&'a [u8]>,
    /// Attributes that RFC 6407 does not name: ours among them.
    pub other: Vec<Attribute<'a>>,
}

/// KEK download type (RFC 6407 section 5.6.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KekKeys<'a> {
    /// Of the SAK that it belongs to.
    pub spi: [u8; 16],
    /// KEK_ALGORITHM_KEY: the static IV, then the key.
    pub algorithm_key: Option<&'a [u8]>,
    /// SIG_ALGORITHM_KEY: the public key, a DER SubjectPublicKeyInfo or a bare PKCS#1 key.
    pub signature_key: Option<&'a [u8]>,
    /// Attributes that RFC 6407 does not name.
    pub other: Vec<Attribute<'a>>,
}

/// LKH download type (RFC 6407 section 5.6.3).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LkhKeys<'a> {
    /// Of the SAK that it belongs to.
    pub spi: [u8; 16],
    /// LKH_DOWNLOAD_ARRAY, to be read by [`super::lkh::DownloadArray`].
    pub download_array: Option<&'a [u8]>,
    /// LKH_UPDATE_ARRAYs, to be read by [`super::lkh::UpdateArray`].
    pub update_arrays: Vec<&'a [u8]>,
    /// SIG_ALGORITHM_KEY: the public key.
    pub signature_key: Option<&'a [u8]>,
    /// Attributes that RFC 6407 does not name.
    pub other: Vec<Attribute<'a>>,
}

/// SID download type (RFC 6407 section 5.6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sids {
    /// NUMBER_OF_SID_BITS: 1 to 32.
    pub bits: u8,
    /// SID_VALUEs, each below 2^bits.
    pub values: Vec<u32>,
    /// Attributes that RFC 6407 does not name.
    pub other: Vec<Attribute<'static>>,
}

/// Without the keys.
impl fmt::Debug for TekKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TekKeys(0x{:08X}, {:?})", self.spi, self.other)
    }
}

/// Without the keys.
impl fmt::Debug for KekKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KekKeys({:02X?}, {:?})", self.spi, self.other)
    }
}

/// Without the keys.
impl fmt::Debug for LkhKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LkhKeys({:02X?}, {:?})", self.spi, self.other)
    }
}

/// The octets of a key: an attribute that its registry calls variable.
fn key<'a>(
    attribute: Attribute<'a>,
    what: &'static str,
    field: &'static str,
) -> Result<&'a [u8], Error> {
    match attribute.value {
        Value::Variable(std::borrow::Cow::Borrowed(octets)) => Ok(octets),
        // Decoded attributes borrow; a basic one is a key of two octets, which no algorithm has.
        Value::Variable(std::borrow::Cow::Owned(_)) | Value::Basic(_) => Err(Error {
            what,
            kind: Kind::Value {
                field,
                value: u64::from(attribute.class),
                expected: "a variable attribute",
            },
        }),
    }
}

fn write_key(class: u16, octets: Option<&[u8]>, w: &mut Writer) {
    if let Some(octets) = octets {
        Attribute::variable(class, octets).encode(w);
    }
}

impl<'a> TekKeys<'a> {
    const WHAT: &'static str = "TEK key packet";

    fn decode(spi: &[u8], attributes: Vec<Attribute<'a>>) -> Result<Self, Error> {
        let mut keys = Self {
            spi: u32::from_be_bytes(sized(Self::WHAT, spi, "4 octets")?),
            ..Self::default()
        };
        for attribute in attributes {
            let (slot, field) = match TekKeyAttribute(attribute.class) {
                TekKeyAttribute::TEK_ALGORITHM_KEY => {
                    (&mut keys.algorithm_key, "TEK_ALGORITHM_KEY")
                }
                TekKeyAttribute::TEK_INTEGRITY_KEY => {
                    (&mut keys.integrity_key, "TEK_INTEGRITY_KEY")
                }
                TekKeyAttribute::TEK_SOURCE_AUTH_KEY => {
                    (&mut keys.source_auth_key, "TEK_SOURCE_AUTH_KEY")
                }
                _ => {
                    keys.other.push(attribute);
                    continue;
                }
            };
            once(slot, key(attribute, Self::WHAT, field)?, Self::WHAT, field)?;
        }
        Ok(keys)
    }

    fn encode(&self, w: &mut Writer) {
        write_key(TekKeyAttribute::TEK_ALGORITHM_KEY.0, self.algorithm_key, w);
        write_key(TekKeyAttribute::TEK_INTEGRITY_KEY.0, self.integrity_key, w);
        write_key(
            TekKeyAttribute::TEK_SOURCE_AUTH_KEY.0,
            self.source_auth_key,
            w,
        );
        attribute::encode(&self.other, w);
    }
}

impl<'a> KekKeys<'a> {
    const WHAT: &'static str = "KEK key packet";

    fn decode(spi: &[u8], attributes: Vec<Attribute<'a>>) -> Result<Self, Error> {
        let mut keys = Self {
            spi: sized(Self::WHAT, spi, "16 octets")?,
            ..Self::default()
        };
        for attribute in attributes {
            let (slot, field) = match KekKeyAttribute(attribute.class) {
                KekKeyAttribute::KEK_ALGORITHM_KEY => {
                    (&mut keys.algorithm_key, "KEK_ALGORITHM_KEY")
                }
                KekKeyAttribute::SIG_ALGORITHM_KEY => {
                    (&mut keys.signature_key, "SIG_ALGORITHM_KEY")
                }
                _ => {
                    keys.other.push(attribute);
                    continue;
                }
            };
            once(slot, key(attribute, Self::WHAT, field)?, Self::WHAT, field)?;
        }
        Ok(keys)
    }

    fn encode(&self, w: &mut Writer) {
        write_key(KekKeyAttribute::KEK_ALGORITHM_KEY.0, self.algorithm_key, w);
        write_key(KekKeyAttribute::SIG_ALGORITHM_KEY.0, self.signature_key, w);
        attribute::encode(&self.other, w);
    }
}

impl<'a> LkhKeys<'a> {
    const WHAT: &'static str = "LKH key packet";

    fn decode(spi: &[u8], attributes: Vec<Attribute<'a>>) -> Result<Self, Error> {
        let mut keys = Self {
            spi: sized(Self::WHAT, spi, "16 octets")?,
            ..Self::default()
        };
        for attribute in attributes {
            let (slot, field) = match LkhAttribute(attribute.class) {
                LkhAttribute::LKH_DOWNLOAD_ARRAY => {
                    (&mut keys.download_array, "LKH_DOWNLOAD_ARRAY")
                }
                LkhAttribute::SIG_ALGORITHM_KEY => (&mut keys.signature_key, "SIG_ALGORITHM_KEY"),
                LkhAttribute::LKH_UPDATE_ARRAY => {
                    let array = key(attribute, Self::WHAT, "LKH_UPDATE_ARRAY")?;
                    keys.update_arrays.push(array);
                    continue;
                }
                _ => {
                    keys.other.push(attribute);
                    continue;
                }
            };
            once(slot, key(attribute, Self::WHAT, field)?, Self::WHAT, field)?;
        }
        Ok(keys)
    }

    fn encode(&self, w: &mut Writer) {
        write_key(LkhAttribute::LKH_DOWNLOAD_ARRAY.0, self.download_array, w);
        for array in &self.update_arrays {
            write_key(LkhAttribute::LKH_UPDATE_ARRAY.0, Some(array), w);
        }
        write_key(LkhAttribute::SIG_ALGORITHM_KEY.0, self.signature_key, w);
        attribute::encode(&self.other, w);
    }
}

impl Sids {
    const WHAT: &'static str = "SID key packet";

    fn decode(spi: &[u8], attributes: Vec<Attribute<'_>>) -> Result<Self, Error> {
        //= RFC 6407 5.6.4
        //# When the KD Type is
        //# SID, the SPI Size field MUST be zero, and the SPI field is omitted.
        sized::<0>(Self::WHAT, spi, "0 octets")?;
        let bad = |field, value, expected| Error {
            what: Self::WHAT,
            kind: Kind::Value {
                field,
                value,
                expected,
            },
        };
        let mut bits = None;
        let mut sids = Self::default();
        for attribute in attributes {
            match SidAttribute(attribute.class) {
                SidAttribute::NUMBER_OF_SID_BITS => {
                    let value = attribute.expect_basic(Self::WHAT, "NUMBER_OF_SID_BITS")?;
                    once(&mut bits, value, Self::WHAT, "NUMBER_OF_SID_BITS")?;
                }
                SidAttribute::SID_VALUE => {
                    sids.values
                        .push(attribute.expect_u32(Self::WHAT, "SID_VALUE")?);
                }
                _ => sids.other.push(attribute.into_owned()),
            }
        }
        let Some(bits) = bits else {
            return Err(Error {
                what: Self::WHAT,
                kind: Kind::Missing {
                    part: "NUMBER_OF_SID_BITS",
                },
            });
        };
        sids.bits = match u8::try_from(bits) {
            Ok(bits @ 1..=32) => bits,
            _ => return Err(bad("NUMBER_OF_SID_BITS", bits.into(), "1 to 32")),
        };
        match sids.values.iter().find(|sid| !sids.fits(**sid)) {
            Some(sid) => Err(bad(
                "SID_VALUE",
                (*sid).into(),
                "below 2^NUMBER_OF_SID_BITS",
            )),
            None => Ok(sids),
        }
    }

    const fn fits(&self, sid: u32) -> bool {
        self.bits >= 32 || sid >> self.bits == 0
    }

    /// A value takes as many octets as its bits need: the RFC does not say.
    fn encode(&self, w: &mut Writer) {
        Attribute::basic(SidAttribute::NUMBER_OF_SID_BITS.0, self.bits.into()).encode(w);
        let octets = usize::from(self.bits.clamp(1, 32)).div_ceil(8);
        for sid in &self.values {
            if !self.fits(*sid) {
                w.fail(
                    Self::WHAT,
                    Kind::Value {
                        field: "SID_VALUE",
                        value: (*sid).into(),
                        expected: "below 2^NUMBER_OF_SID_BITS",
                    },
                );
            }
            let value = sid.to_be_bytes();
            write_key(SidAttribute::SID_VALUE.0, Some(&value[4 - octets..]), w);
        }
        attribute::encode(&self.other, w);
    }
}

fn sized<const N: usize>(
    what: &'static str,
    spi: &[u8],
    expected: &'static str,
) -> Result<[u8; N], Error> {
    <[u8; N]>::try_from(spi).map_err(|_| Error {
        what,
        kind: Kind::Value {
            field: "SPI Size",
            value: spi.len() as u64,
            expected,
        },
    })
}

impl<'a> KeyPacket<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Error> {
        let ty = KdType(r.u8()?);
        r.reserved()?;
        let length = usize::from(r.u16()?);
        let Some(rest) = length.checked_sub(4) else {
            return Err(r.bad("KD Length", length as u64, "4 or more"));
        };
        let mut packet = r.sub("key packet", rest)?;
        let spi_size = usize::from(packet.u8()?);
        let spi = packet.take(spi_size)?;
        let attributes = attribute::decode_up_to(&mut packet, SIDS_MAX + 1)?;
        Ok(match ty {
            KdType::TEK => Self::Tek(TekKeys::decode(spi, attributes)?),
            KdType::KEK => Self::Kek(KekKeys::decode(spi, attributes)?),
            KdType::LKH => Self::Lkh(LkhKeys::decode(spi, attributes)?),
            KdType::SID => Self::Sid(Sids::decode(spi, attributes)?),
            ty => Self::Other {
                ty,
                spi,
                attributes,
            },
        })
    }

    const fn ty(&self) -> KdType {
        match self {
            Self::Tek(_) => KdType::TEK,
            Self::Kek(_) => KdType::KEK,
            Self::Lkh(_) => KdType::LKH,
            Self::Sid(_) => KdType::SID,
            Self::Other { ty, .. } => *ty,
        }
    }

    fn encode(&self, w: &mut Writer) {
        let start = w.len();
        w.u8(self.ty().0);
        w.u8(0);
        w.length_u16("key packet", start, |w| match self {
            Self::Tek(keys) => {
                w.length_u8("key packet", |w| w.u32(keys.spi));
                keys.encode(w);
            }
            Self::Kek(keys) => {
                w.length_u8("key packet", |w| w.bytes(&keys.spi));
                keys.encode(w);
            }
            Self::Lkh(keys) => {
                w.length_u8("key packet", |w| w.bytes(&keys.spi));
                keys.encode(w);
            }
            Self::Sid(sids) => {
                w.u8(0);
                sids.encode(w);
            }
            Self::Other {
                spi, attributes, ..
            } => {
                w.length_u8("key packet", |w| w.bytes(spi));
                attribute::encode(attributes, w);
            }
        });
    }
}

impl<'a> Payload<'a> for Kd<'a> {
    const TYPE: PayloadType = PayloadType::KD;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("KD payload", body);
        let count = usize::from(r.u16()?);
        r.reserved()?;
        r.reserved()?;
        if count > KEY_PACKETS_MAX {
            return Err(r.error(Kind::TooMany {
                parts: "key packets",
                max: KEY_PACKETS_MAX,
            }));
        }
        let mut packets = Vec::new();
        for _ in 0..count {
            packets.push(KeyPacket::decode(&mut r)?);
        }
        r.end()?;
        let repeated = |part| Error {
            what: "KD payload",
            kind: Kind::Repeated { part },
        };
        //= RFC 6407 5.6.2
        //# If the KEK key packet is included, there MUST be only one present in
        //# the KD payload.
        let count_of = |ty| packets.iter().filter(|packet| packet.ty() == ty).count();
        if count_of(KdType::KEK) > 1 {
            return Err(repeated("the KEK key packet"));
        }
        //= RFC 6407 5.6.3
        //# If an LKH key packet is included in the KD payload, there MUST be
        //# only one present.
        if count_of(KdType::LKH) > 1 {
            return Err(repeated("the LKH key packet"));
        }
        Ok(Self { packets })
    }

    fn encode(&self, w: &mut Writer) {
        w.count_u16("KD payload", "key packets", self.packets.len());
        w.u16(0);
        self.packets.iter().for_each(|packet| packet.encode(w));
    }
}

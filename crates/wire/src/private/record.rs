//! Attributes that go with keys: records, the group's stamp, and the SIDs that a member holds.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::{GapAttribute, TekKeyAttribute};
use crate::isakmp::attribute::{Attribute, Value};
use crate::limits::SIDS_HELD_MAX;

/// The group's generation: one counter per key server index (PROTOCOL P14).
pub type Generation = [u32; 16];

pub(super) fn read_generation(r: &mut Reader<'_>) -> Result<Generation, Error> {
    let map = r.u16()?;
    let mut generation = Generation::default();
    for (index, counter) in generation.iter_mut().enumerate() {
        if map & 1 << index != 0 {
            *counter = r.u32()?;
            if *counter == 0 {
                return Err(r.bad(
                    "counter of the generation",
                    0_u8,
                    "not 0 when its bit is set",
                ));
            }
        }
    }
    Ok(generation)
}

pub(super) fn write_generation(generation: &Generation, w: &mut Writer) {
    let map = generation
        .iter()
        .enumerate()
        .filter(|(_, counter)| **counter != 0)
        .fold(0_u16, |map, (index, _)| map | 1 << index);
    w.u16(map);
    for counter in generation.iter().filter(|counter| **counter != 0) {
        w.u32(*counter);
    }
}

/// An index 0..=15.
pub(super) fn read_index(r: &mut Reader<'_>, field: &'static str) -> Result<u8, Error> {
    match r.u8()? {
        index @ 0..=15 => Ok(index),
        other => Err(r.bad(field, other, "0 to 15")),
    }
}

/// The octets of the attribute of a class among those that the RFCs do not name.
///
/// # Errors
/// The attribute is there twice, or basic.
pub(crate) fn find<'a>(
    attributes: &'a [Attribute<'_>],
    class: u16,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Error> {
    let mut found = attributes
        .iter()
        .filter(|attribute| attribute.class == class);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(Error {
            what,
            kind: Kind::Repeated {
                part: "the attribute",
            },
        });
    }
    match &first.value {
        Value::Variable(octets) => Ok(Some(octets)),
        Value::Basic(value) => Err(Error {
            what,
            kind: Kind::Value {
                field: "basic value",
                value: (*value).into(),
                expected: "a variable attribute",
            },
        }),
    }
}

/// Makes a variable attribute of what `encode` writes.
pub(crate) fn attribute(
    class: u16,
    encode: impl FnOnce(&mut Writer),
) -> Result<Attribute<'static>, Error> {
    let mut w = Writer::new();
    encode(&mut w);
    Ok(Attribute {
        class,
        value: Value::Variable(w.finish()?.into()),
    })
}

/// GETVPN_KEY_RECORD: what there is to know about a TEK or KEK besides its key (PROTOCOL P11).
///
/// ```text
/// +----------------+------------+------------------+--------------+-----------------+
/// | activation (8) | expiry (8) | pseudotime gen (4)| lifetime (4) | KS list hash (8)|
/// +----------------+------------+------------------+--------------+-----------------+
/// | minted by (1)  | generation (2 + 4n)                                             |
/// +----------------+-----------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// From when it may be sent on, nanoseconds of pseudotime.
    pub activation_ns: u64,
    /// Until when, nanoseconds of pseudotime.
    pub expiry_ns: u64,
    /// The pseudotime generation that both are in (PROTOCOL P27).
    pub clock_generation: u32,
    /// The lifetime that was configured when it was minted.
    pub orig_lifetime_s: u32,
    /// Hash of the group's list of key servers (PROTOCOL P19).
    pub ks_list_hash: [u8; 8],
    /// Index of the key server that minted it.
    pub minted_by: u8,
    /// The group's generation when it was minted.
    pub generation: Generation,
}

impl KeyRecord {
    const WHAT: &'static str = "key record";
    /// The class in a SAK and in a TEK key packet.
    pub const CLASS: u16 = TekKeyAttribute::GETVPN_KEY_RECORD.0;

    /// The record among the attributes of a SAK or TEK key packet, if there is one.
    ///
    /// # Errors
    /// It is there twice or malformed.
    pub fn find(attributes: &[Attribute<'_>]) -> Result<Option<Self>, Error> {
        find(attributes, Self::CLASS, Self::WHAT)?
            .map(Self::decode)
            .transpose()
    }

    /// The record in an attribute's value.
    ///
    /// # Errors
    /// What is malformed, and how.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, value);
        let record = Self {
            activation_ns: r.u64()?,
            expiry_ns: r.u64()?,
            clock_generation: r.u32()?,
            orig_lifetime_s: r.u32()?,
            ks_list_hash: r.array()?,
            minted_by: read_index(&mut r, "minting key server")?,
            generation: read_generation(&mut r)?,
        };
        r.end()?;
        Ok(record)
    }

    /// The attribute, for a SAK or TEK key packet to a peer of our kind.
    ///
    /// # Errors
    /// The index of the minting key server is above 15.
    pub fn attribute(&self) -> Result<Attribute<'static>, Error> {
        attribute(Self::CLASS, |w| {
            w.u64(self.activation_ns);
            w.u64(self.expiry_ns);
            w.u32(self.clock_generation);
            w.u32(self.orig_lifetime_s);
            w.bytes(&self.ks_list_hash);
            write_index(Self::WHAT, "minting key server", self.minted_by, w);
            write_generation(&self.generation, w);
        })
    }
}

/// An index, refused above 15.
pub(super) fn write_index(what: &'static str, field: &'static str, index: u8, w: &mut Writer) {
    if index > 15 {
        w.fail(
            what,
            Kind::Value {
                field,
                value: index.into(),
                expected: "0 to 15",
            },
        );
    }
    w.u8(index);
}

/// GETVPN_GROUP_STAMP: the group's pseudotime and generation (PROTOCOL P14, P27).
///
/// ```text
/// +----------------+--------------------+----------------+---------------------+
/// | pseudotime (8) | pseudotime gen (4) | stamped by (1) | generation (2 + 4n) |
/// +----------------+--------------------+----------------+---------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStamp {
    /// The key server's pseudotime when it made the message, nanoseconds.
    pub pseudotime_ns: u64,
    /// The generation of that pseudotime.
    pub clock_generation: u32,
    /// Index of the key server.
    pub stamped_by: u8,
    /// The group's generation.
    pub generation: Generation,
}

impl GroupStamp {
    const WHAT: &'static str = "group stamp";
    /// The class in a GAP.
    pub const CLASS: u16 = GapAttribute::GETVPN_GROUP_STAMP.0;

    /// The stamp among the attributes of a GAP, if there is one.
    ///
    /// # Errors
    /// It is there twice or malformed.
    pub fn find(attributes: &[Attribute<'_>]) -> Result<Option<Self>, Error> {
        find(attributes, Self::CLASS, Self::WHAT)?
            .map(Self::decode)
            .transpose()
    }

    /// The stamp in an attribute's value.
    ///
    /// # Errors
    /// What is malformed, and how.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, value);
        let stamp = Self {
            pseudotime_ns: r.u64()?,
            clock_generation: r.u32()?,
            stamped_by: read_index(&mut r, "stamping key server")?,
            generation: read_generation(&mut r)?,
        };
        r.end()?;
        Ok(stamp)
    }

    /// The attribute, for a GAP to a peer of our kind.
    ///
    /// # Errors
    /// The index of the stamping key server is above 15.
    pub fn attribute(&self) -> Result<Attribute<'static>, Error> {
        attribute(Self::CLASS, |w| {
            w.u64(self.pseudotime_ns);
            w.u32(self.clock_generation);
            write_index(Self::WHAT, "stamping key server", self.stamped_by, w);
            write_generation(&self.generation, w);
        })
    }
}

/// GETVPN_SIDS_HELD: what a member tells a key server that may have forgotten it (PROTOCOL P22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidsHeld {
    /// Bits of a SID.
    pub bits: u8,
    /// The SIDs, ascending.
    pub sids: Vec<u32>,
}

impl SidsHeld {
    const WHAT: &'static str = "SIDs held";
    /// The class in a GAP.
    pub const CLASS: u16 = GapAttribute::GETVPN_SIDS_HELD.0;

    /// The SIDs among the attributes of a GAP, if they are there.
    ///
    /// # Errors
    /// They are there twice or malformed.
    pub fn find(attributes: &[Attribute<'_>]) -> Result<Option<Self>, Error> {
        find(attributes, Self::CLASS, Self::WHAT)?
            .map(Self::decode)
            .transpose()
    }

    /// The SIDs in an attribute's value.
    ///
    /// # Errors
    /// More than 64 SIDs, SIDs that are not ascending or have more than their bits.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, value);
        let bits = r.u8()?;
        if !(1..=32).contains(&bits) {
            return Err(r.bad("bits", bits, "1 to 32"));
        }
        let mut sids = Vec::new();
        while !r.is_empty() {
            if sids.len() == SIDS_HELD_MAX {
                return Err(r.error(Kind::TooMany {
                    parts: "SIDs",
                    max: SIDS_HELD_MAX,
                }));
            }
            let sid = r.u32()?;
            if sids.last().is_some_and(|last| *last >= sid) {
                return Err(r.bad("SID", sid, "above the one before it"));
            }
            if bits < 32 && sid >> bits != 0 {
                return Err(r.bad("SID", sid, "below 2^bits"));
            }
            sids.push(sid);
        }
        Ok(Self { bits, sids })
    }

    /// The attribute, for the GAP of PULL message 3 to a peer of our kind.
    ///
    /// # Errors
    /// What `decode` would refuse.
    pub fn attribute(&self) -> Result<Attribute<'static>, Error> {
        let attribute = attribute(Self::CLASS, |w| {
            w.u8(self.bits);
            self.sids.iter().for_each(|sid| w.u32(*sid));
        })?;
        if let Value::Variable(octets) = &attribute.value {
            Self::decode(octets)?;
        }
        Ok(attribute)
    }
}

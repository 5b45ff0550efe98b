//! Our own attributes inside SAK, GAP and KD as the group's records, and back.
//!
//! They go to proven kin only (PROTOCOL P2); their octets are `wire::private`'s.

use std::time::Duration;

use policy::{ClockGeneration, Generation, KsIndex, PseudoTime, Spi, Tek, Transform};
use wire::iana::GapAttribute;
use wire::isakmp::{Attribute, Value};
use wire::private::{self, KeyRecord};

use crate::group_sa::{Unacceptable, unsupported};
use crate::limits::LIFETIME_MAX;

/// The group's clock and generation (PROTOCOL P14, P27).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupStamp {
    /// What the key server's clock read when the message was made.
    pub(crate) pseudotime: PseudoTime,
    /// Which clock that is; all times of the message are that clock's.
    pub(crate) clock_generation: ClockGeneration,
    /// The key server.
    pub(crate) stamped_by: KsIndex,
    /// The group's generation.
    pub(crate) generation: Generation,
}

impl GroupStamp {
    /// The attribute's content.
    pub(crate) const fn to_wire(self) -> private::GroupStamp {
        private::GroupStamp {
            pseudotime_ns: self.pseudotime.as_nanos(),
            clock_generation: self.clock_generation.0,
            stamped_by: self.stamped_by.get(),
            generation: self.generation.0,
        }
    }

    /// What an attribute says.
    pub(crate) fn of(stamp: &private::GroupStamp) -> Result<Self, Unacceptable> {
        Ok(Self {
            pseudotime: PseudoTime::from_nanos(stamp.pseudotime_ns),
            clock_generation: ClockGeneration(stamp.clock_generation),
            stamped_by: index(stamp.stamped_by)?,
            generation: Generation(stamp.generation),
        })
    }
}

/// What a PUSH without keys asks for (PROTOCOL P16).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisterAgain {
    /// The span over which members spread their registrations, milliseconds.
    pub(crate) spread_ms: u32,
    /// Whether every key that the member holds has ended.
    pub(crate) at_once: bool,
}

impl RegisterAgain {
    const CLASS: u16 = GapAttribute::GETVPN_REGISTER_AGAIN.0;

    /// The attribute.
    pub(crate) fn attribute(self) -> Attribute<'static> {
        let [a, b, c, d] = self.spread_ms.to_be_bytes();
        let octets = vec![a, b, c, d, u8::from(self.at_once)];
        Attribute {
            class: Self::CLASS,
            value: Value::Variable(octets.into()),
        }
    }

    /// What the attributes of a GAP ask for.
    pub(crate) fn find(attributes: &[Attribute<'_>]) -> Result<Option<Self>, Unacceptable> {
        let Some(own) = attributes.iter().find(|own| own.class == Self::CLASS) else {
            return Ok(None);
        };
        let octets = match &own.value {
            Value::Variable(octets) => <[u8; 5]>::try_from(&octets[..]).ok(),
            Value::Basic(_) => None,
        };
        match octets {
            Some([a, b, c, d, flag @ 0..=1]) => Ok(Some(Self {
                spread_ms: u32::from_be_bytes([a, b, c, d]),
                at_once: flag == 1,
            })),
            Some(_) | None => Err(unsupported("a GAP attribute 140 that asks for nothing")),
        }
    }
}

fn index(index: u8) -> Result<KsIndex, Unacceptable> {
    KsIndex::new(index).ok_or_else(|| unsupported(format!("key server index {index}")))
}

/// A lifetime that a member believes.
fn believable(record: &KeyRecord) -> Result<(), Unacceptable> {
    let life = Duration::from_nanos(record.expiry_ns.saturating_sub(record.activation_ns));
    if life.is_zero() || life > LIFETIME_MAX {
        return Err(unsupported(format!(
            "a key that lives {} s",
            life.as_secs()
        )));
    }
    Ok(())
}

/// The record of a traffic key (PROTOCOL P11), for a receiver that sends on it from `activation`, in
/// the time of `clock`.
pub(crate) const fn tek_record(
    tek: &Tek,
    activation: PseudoTime,
    clock: ClockGeneration,
) -> KeyRecord {
    KeyRecord {
        activation_ns: activation.as_nanos(),
        expiry_ns: tek.expiry.as_nanos(),
        clock_generation: clock.0,
        orig_lifetime_s: tek.orig_lifetime_s,
        ks_list_hash: tek.ks_list_hash,
        minted_by: tek.minted_by.get(),
        generation: tek.generation.0,
    }
}

/// The traffic key `spi` as its record says it.
pub(crate) fn tek_of(
    record: &KeyRecord,
    spi: Spi,
    transform: Transform,
) -> Result<Tek, Unacceptable> {
    believable(record)?;
    Ok(Tek {
        spi,
        transform,
        activation: PseudoTime::from_nanos(record.activation_ns),
        expiry: PseudoTime::from_nanos(record.expiry_ns),
        generation: Generation(record.generation),
        ks_list_hash: record.ks_list_hash,
        minted_by: index(record.minted_by)?,
        orig_lifetime_s: record.orig_lifetime_s,
    })
}

/// The record of a Rekey SA (PROTOCOL P11, P14).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct KekRecord {
    /// From when it is used.
    pub(crate) activation: PseudoTime,
    /// Until when it is used.
    pub(crate) expiry: PseudoTime,
    /// Which clock both are of.
    pub(crate) clock_generation: ClockGeneration,
    /// The group's generation when it was minted.
    pub(crate) generation: Generation,
    /// The configured lifetime when it was minted, seconds.
    pub(crate) orig_lifetime_s: u32,
    /// Hash of the list of key servers.
    pub(crate) ks_list_hash: [u8; 8],
    /// The key server that minted it.
    pub(crate) minted_by: KsIndex,
}

impl KekRecord {
    /// The attribute's content.
    pub(crate) const fn to_wire(self) -> KeyRecord {
        KeyRecord {
            activation_ns: self.activation.as_nanos(),
            expiry_ns: self.expiry.as_nanos(),
            clock_generation: self.clock_generation.0,
            orig_lifetime_s: self.orig_lifetime_s,
            ks_list_hash: self.ks_list_hash,
            minted_by: self.minted_by.get(),
            generation: self.generation.0,
        }
    }

    /// What an attribute says.
    pub(crate) fn of(record: &KeyRecord) -> Result<Self, Unacceptable> {
        believable(record)?;
        Ok(Self {
            activation: PseudoTime::from_nanos(record.activation_ns),
            expiry: PseudoTime::from_nanos(record.expiry_ns),
            clock_generation: ClockGeneration(record.clock_generation),
            generation: Generation(record.generation),
            orig_lifetime_s: record.orig_lifetime_s,
            ks_list_hash: record.ks_list_hash,
            minted_by: index(record.minted_by)?,
        })
    }
}

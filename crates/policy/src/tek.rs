//! A traffic key's record, without the key.

use std::fmt;
use std::time::Duration;

use crate::group::{Generation, KsIndex};
use crate::tbar::PseudoTime;
use crate::transform_set::Transform;

/// The SPI of a group's ESP SA (RFC 4303 section 2.1), 256 or above.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

/// `0x8BF147EF`: upper case, as IOS prints it in policies.
impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

/// An immutable record of a traffic key (PROTOCOL P11); the key itself travels beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tek {
    /// The SPI on the wire, one for both directions.
    pub spi: Spi,
    /// What ESP does with it.
    pub transform: Transform,
    /// From when it may be sent on.
    pub activation: PseudoTime,
    /// Until when it may be sent on and, with the delivery delay, received.
    pub expiry: PseudoTime,
    /// The group's generation when it was minted.
    pub generation: Generation,
    /// SHA-256 over the sorted addresses of the group's key servers, the first eight octets (P19).
    pub ks_list_hash: [u8; 8],
    /// The key server that minted it.
    pub minted_by: KsIndex,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
}

impl Tek {
    /// How long the key may still be sent on at `now`.
    #[must_use]
    pub fn remaining(&self, now: PseudoTime) -> Duration {
        self.expiry.since(now)
    }

    /// Whether the key may be sent on at `now`, its generation apart.
    #[must_use]
    pub fn is_active(&self, now: PseudoTime) -> bool {
        self.activation <= now && now < self.expiry
    }
}

//! Sender identifiers of counter-mode groups (RFC 6054 section 3, PROTOCOL P20).

use crate::group::KsIndex;

/// One sender identifier: the leftmost bits of the IV of everything its holder sends.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub u32);

/// `group size`: how many bits of the IV name the sender.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupSize {
    /// `small 8`.
    Small8,
    /// `small 12`.
    Small12,
    /// `small 16`.
    Small16,
    /// `medium`: 24 bits.
    #[default]
    Medium,
    /// `large`: 32 bits.
    Large,
}

impl GroupSize {
    /// Bits of a SID.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Small8 => 8,
            Self::Small12 => 12,
            Self::Small16 => 16,
            Self::Medium => 24,
            Self::Large => 32,
        }
    }

    /// The size with that many bits, if there is one.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            8 => Some(Self::Small8),
            12 => Some(Self::Small12),
            16 => Some(Self::Small16),
            24 => Some(Self::Medium),
            32 => Some(Self::Large),
            _ => None,
        }
    }
}

/// The SIDs that one key server may hand out: those whose top four bits are its index.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SidSpace {
    /// The group's size.
    pub size: GroupSize,
    /// The key server.
    pub index: KsIndex,
}

impl SidSpace {
    /// How many SIDs the space holds.
    #[must_use]
    pub const fn count(&self) -> u64 {
        1 << (self.size.bits() - 4)
    }

    /// The SID number `n` of this space; `None` past its end.
    //= getvpn P20
    #[must_use]
    pub fn sid(&self, n: u64) -> Option<Sid> {
        (n < self.count()).then(|| {
            let top = u64::from(self.index.get()) << (self.size.bits() - 4);
            Sid(u32::try_from(top | n).unwrap_or(u32::MAX))
        })
    }

    /// The space that a SID lies in, and its number there; `None` if it has more bits.
    //= getvpn P20
    #[must_use]
    pub fn holding(size: GroupSize, sid: Sid) -> Option<(Self, u64)> {
        let index = u64::from(sid.0) >> (size.bits() - 4);
        let index = KsIndex::new(u8::try_from(index).ok()?)?;
        let space = Self { size, index };
        Some((space, u64::from(sid.0) & (space.count() - 1)))
    }
}

/// The IV of a counter-mode packet: SID in the leftmost bits, then the sender's own counter.
///
/// `None` once the counter does not fit beside the SID: the sender must stop (RFC 6407 section 3.5).
#[must_use]
#[inline]
pub fn iv(size: GroupSize, sid: Sid, ssiv: u64) -> Option<[u8; 8]> {
    let counter_bits = 64 - u32::from(size.bits());
    (ssiv >> counter_bits == 0).then(|| ((u64::from(sid.0) << counter_bits) | ssiv).to_be_bytes())
}

/// The SID and counter of a received IV.
#[must_use]
#[inline]
pub fn split_iv(size: GroupSize, iv: [u8; 8]) -> (Sid, u64) {
    let counter_bits = 64 - u32::from(size.bits());
    let value = u64::from_be_bytes(iv);
    let sid = u32::try_from(value >> counter_bits).unwrap_or(u32::MAX);
    (Sid(sid), value & ((1 << counter_bits) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_of_two_key_servers_never_meet() {
        for size in [GroupSize::Small8, GroupSize::Small16, GroupSize::Large] {
            let space = |i| SidSpace {
                size,
                index: KsIndex::new(i).unwrap(),
            };
            let last = space(0).sid(space(0).count() - 1).unwrap();
            assert!(last < space(1).sid(0).unwrap());
            assert_eq!(space(15).sid(space(15).count()), None);
        }
    }

    #[test]
    fn an_iv_names_its_sender_and_counter() {
        let built = iv(GroupSize::Medium, Sid(0xABCDEF), 0x01_0203).unwrap();
        assert_eq!(built, [0xAB, 0xCD, 0xEF, 0, 0, 1, 2, 3]);
        assert_eq!(
            split_iv(GroupSize::Medium, built),
            (Sid(0xABCDEF), 0x01_0203)
        );
        assert_eq!(iv(GroupSize::Large, Sid(1), 1 << 32), None);
    }
}

//! The layout of a group's SPIs: who minted it, a random part, and a tag that members recognise.
//!
//! Computes no tag: that takes a key (PROTOCOL P18).

use crate::group::KsIndex;
use crate::tek::Spi;

/// Bits of the random part.
pub const RANDOM_BITS: u32 = 14;
/// Bits of the tag.
pub const TAG_BITS: u32 = 14;
/// SPIs below this are reserved (RFC 4303 section 2.1).
pub const SPI_MIN: u32 = 256;

/// The first 18 bits of an SPI: the key server's index and the random part.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SpiHead(u32);

impl SpiHead {
    /// The head of that key server with that random part, whose upper bits are cut off.
    #[must_use]
    pub const fn new(index: KsIndex, random: u16) -> Self {
        let random = random as u32 & ((1 << RANDOM_BITS) - 1);
        Self(((index.get() as u32) << RANDOM_BITS) | random)
    }

    /// The head of an SPI.
    #[must_use]
    pub const fn of(spi: Spi) -> Self {
        Self(spi.0 >> TAG_BITS)
    }

    /// The octets that the tag is computed over: the 18 bits, right-aligned in three octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// The SPI with this head and a tag, given as the first two octets of a PRF's output.
    //= getvpn P18
    #[must_use]
    pub const fn with_tag(self, prf: [u8; 2]) -> Spi {
        let tag = u16::from_be_bytes(prf) as u32 >> (16 - TAG_BITS);
        Spi((self.0 << TAG_BITS) | tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_spi_comes_apart_into_what_it_was_made_of() {
        let head = SpiHead::new(KsIndex::new(0xA).unwrap(), 0xFFFF);
        let spi = head.with_tag([0xFF, 0xFC]);
        assert_eq!(spi.0, 0xAFFF_FFFF);
        assert_eq!(SpiHead::of(spi), head);
        assert_eq!(head.octets(), [0x02, 0xBF, 0xFF]);
        let other = SpiHead::new(KsIndex::new(0).unwrap(), 1).with_tag([0x80, 0]);
        assert_eq!(other.0, (1 << 14) | (1 << 13));
    }
}

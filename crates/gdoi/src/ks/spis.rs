//! The names of traffic keys: free ones, with the group's tag.
//!
//! Decides which SPI a new key gets (PROTOCOL P18).

use crypto::hash::Hash;
use crypto::hmac::prf;
use crypto::{Rng, Secret};
use policy::spi::{SPI_MIN, SpiHead};
use policy::{KsIndex, Spi};

use super::GroupKeys;

impl GroupKeys {
    /// An SPI that no key has that anybody may still hold.
    //= getvpn P18
    pub(super) fn free_spi(&self, index: KsIndex, rng: &mut dyn Rng) -> Spi {
        loop {
            let mut octets = [0; 2];
            rng.fill(&mut octets);
            let head = SpiHead::new(index, u16::from_be_bytes(octets));
            let spi = tagged(&self.spi_key, head);
            let taken = self.teks.iter().any(|record| record.tek.spi == spi);
            if spi.0 >= SPI_MIN && !taken && !self.removals.is_retired(spi) {
                return spi;
            }
        }
    }
}

/// The SPI with that head and the group's tag.
//= getvpn P18
pub(crate) fn tagged(spi_key: &Secret, head: SpiHead) -> Spi {
    let tag = prf(Hash::Sha256, spi_key.expose(), &[&head.octets()]);
    head.with_tag([tag.expose()[0], tag.expose()[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;
    use policy::PseudoTime;

    #[test]
    fn an_spi_carries_the_groups_tag_and_no_reserved_value() {
        let mut rng = SeededRng::from_number(7);
        let keys = GroupKeys::new(&mut rng);
        for _ in 0..2_000 {
            let spi = keys.free_spi(KsIndex::new(0).unwrap(), &mut rng);
            assert!(spi.0 >= SPI_MIN);
            assert_eq!(tagged(&keys.spi_key, SpiHead::of(spi)), spi);
        }
    }

    #[test]
    fn the_spi_of_a_key_that_ended_with_its_generation_is_not_free_while_members_may_hold_it() {
        let mut rng = SeededRng::from_number(7);
        let mut keys = GroupKeys::new(&mut rng);
        let index = KsIndex::new(0).unwrap();
        let first = keys.free_spi(index, &mut SeededRng::from_number(9));
        let (now, until) = (PseudoTime::from_secs(10), PseudoTime::from_secs(20));
        keys.removals.retire(first, until, now);
        let next = |keys: &GroupKeys| keys.free_spi(index, &mut SeededRng::from_number(9));
        assert_ne!(next(&keys), first);
        // What is retired later makes room for what members have forgotten.
        keys.removals
            .retire(Spi(0x300), until, PseudoTime::from_secs(21));
        assert_eq!(next(&keys), first);
    }
}

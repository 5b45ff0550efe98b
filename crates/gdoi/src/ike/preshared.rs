//! Which pre-shared key is for a peer.
//!
//! A key server has one for each of its members and looks for it with every negotiation, so they
//! stand by mask and address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crypto::Secret;

use crate::config::PresharedKey;

/// The configured keys.
#[derive(Default)]
pub(super) struct PresharedKeys {
    /// By mask, then by the bits of the address that the mask leaves.
    by_mask: BTreeMap<u32, BTreeMap<u32, Secret>>,
}

impl PresharedKeys {
    /// These keys; of two for the same addresses the later one.
    pub(super) fn new(keys: &[PresharedKey]) -> Self {
        let mut by_mask: BTreeMap<u32, BTreeMap<u32, Secret>> = BTreeMap::new();
        for key in keys {
            let mask = key.mask.to_bits();
            let address = key.address.to_bits() & mask;
            by_mask
                .entry(mask)
                .or_default()
                .insert(address, key.secret.clone());
        }
        Self { by_mask }
    }

    /// The key for a peer: that of the longest mask.
    pub(super) fn find(&self, peer: Ipv4Addr) -> Option<&Secret> {
        self.by_mask
            .iter()
            .rev()
            .find_map(|(mask, keys)| keys.get(&(peer.to_bits() & mask)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mask_that_covers_the_peer_has_the_key() {
        let key = |address: [u8; 4], mask: [u8; 4], secret: &str| PresharedKey {
            address: address.into(),
            mask: mask.into(),
            secret: Secret::copy_of(secret.as_bytes()),
        };
        let one = [255, 255, 255, 255];
        let keys = PresharedKeys::new(&[
            key([10, 1, 1, 1], one, "first"),
            key([0, 0, 0, 0], [0, 0, 0, 0], "anybody"),
            key([10, 1, 1, 1], one, "peer"),
            key([10, 1, 9, 9], [255, 255, 0, 0], "network"),
        ]);
        let found = |peer: [u8; 4]| keys.find(peer.into()).unwrap().expose();
        assert_eq!(found([10, 1, 1, 1]), b"peer");
        assert_eq!(found([10, 1, 1, 2]), b"network");
        assert_eq!(found([10, 2, 1, 1]), b"anybody");
        let keys = PresharedKeys::new(&[key([10, 1, 1, 1], one, "peer")]);
        assert!(keys.find([10, 1, 1, 2].into()).is_none());
    }
}

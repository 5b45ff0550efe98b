//! Pre-shared keys: whom they are for and how much they are worth.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;

use crypto::Secret;
use crypto::hash::Hash;

use super::Check;
use crate::config::crypto::isakmp::key::Key;
use crate::limits::PSK_BITS_ADVISED;

impl Check<'_> {
    //= getvpn P26
    pub(super) fn isakmp_keys(&mut self) {
        let peers = self.cooperating_peers();
        // Thousands of keys are usual: one is found among all by its hash, and its line is looked
        // for only when something is said of it.
        let mut earlier: BTreeMap<Vec<u8>, Ipv4Addr> = BTreeMap::new();
        for ((address, mask), key) in &self.config.isakmp_keys {
            let mut said = Vec::new();
            if !mask.is_broadcast() {
                said.push(format!(
                    "the key for {address} {mask} is shared by many: whoever has it can play key \
                     server; give each pair a key of its own"
                ));
            }
            let bits = bits(&key.secret);
            if bits < PSK_BITS_ADVISED && mask.is_broadcast() && peers.contains(address) {
                said.push(format!(
                    "the key for the key server {address} is worth about {bits} bits, and the \
                     group's keys travel under it: expected at least {PSK_BITS_ADVISED}, for \
                     example 22 random letters and digits"
                ));
            } else if bits < PSK_BITS_ADVISED {
                said.push(format!(
                    "the key for {address} is worth about {bits} bits: expected at least \
                     {PSK_BITS_ADVISED}, for example 22 random letters and digits"
                ));
            }
            let hash = Hash::Sha256.digest(&[key.secret.expose()]);
            match earlier.entry(hash.as_ref().to_vec()) {
                Entry::Occupied(other) => said.push(format!(
                    "the key for {address} is that for {}: one key per pair of peers",
                    other.get()
                )),
                Entry::Vacant(place) => {
                    place.insert(*address);
                }
            }
            if !said.is_empty() {
                let line = self.key_line(*address, *mask);
                said.into_iter().for_each(|text| self.warn(line, text));
            }
        }
    }

    fn key_line(&self, address: Ipv4Addr, mask: Ipv4Addr) -> Option<usize> {
        let spelled = [
            format!("crypto isakmp key * address {address} {mask}"),
            format!("crypto isakmp key 0 * address {address} {mask}"),
            format!("crypto isakmp key * address {address}"),
            format!("crypto isakmp key 0 * address {address}"),
        ];
        spelled.iter().find_map(|line| self.origins.line(&[], line))
    }

    /// The key that phase 1 with `peer` takes: that of the longest mask.
    pub(super) fn pre_shared_key_for(
        &self,
        peer: Ipv4Addr,
    ) -> Option<(&(Ipv4Addr, Ipv4Addr), &Key)> {
        let keys = self.config.isakmp_keys.iter();
        keys.filter(|((address, mask), _)| peer.to_bits() & mask.to_bits() == address.to_bits())
            .max_by_key(|((_, mask), _)| mask.to_bits())
    }
}

/// An upper estimate of a key's entropy: its different characters, each drawn from the smallest
/// usual alphabet that holds all of them.
fn bits(secret: &Secret) -> u32 {
    let octets = secret.expose();
    let holds = |class: fn(&u8) -> bool| octets.iter().any(class);
    let is_hex = octets.iter().all(u8::is_ascii_hexdigit);
    let mut alphabet = 0;
    if is_hex {
        alphabet = 16;
    } else {
        for (held, size) in [
            (holds(u8::is_ascii_digit), 10),
            (holds(u8::is_ascii_lowercase), 26),
            (holds(u8::is_ascii_uppercase), 26),
            (holds(|octet| !octet.is_ascii_alphanumeric()), 32),
        ] {
            alphabet += if held { size } else { 0 };
        }
    }
    // Tenths of bits: log2 of 10, 16, 26, 36, 52, 62 and above.
    let tenths: u32 = match alphabet {
        0..=10 => 33,
        11..=16 => 40,
        17..=26 => 47,
        27..=42 => 51,
        43..=58 => 57,
        _ => 59,
    };
    let mut seen = [false; 256];
    let mut different = 0;
    for octet in octets {
        let known = &mut seen[usize::from(*octet)];
        different += u32::from(!*known);
        *known = true;
    }
    // A long run of few characters is worth little: each character counts twice at most.
    let effective = u32::try_from(octets.len())
        .unwrap_or(u32::MAX)
        .min(different * 2);
    effective.saturating_mul(tenths) / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_are_worth_their_length_and_passwords_are_not() {
        let worth = |text: &str| bits(&Secret::copy_of(text.as_bytes()));
        assert!(worth("cisco123") < 64);
        assert!(worth("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") < 64);
        assert!(
            worth("8b1f7c2e9d3a4f60b5c8e1d7a2f49036") >= 120,
            "32 hex digits"
        );
        assert!(
            worth("q7Zk2mVx9LpTb4RwYc8NsEhG") >= 128,
            "24 letters and digits"
        );
        assert_eq!(worth(""), 0);
    }
}

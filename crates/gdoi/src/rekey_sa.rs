//! A Rekey SA: the keys under which PUSHes travel, the same on both ends.
//!
//! Decides nothing about which one is in use or how long; only what they are.

use crypto::cbc::{Algorithm, Cipher};
use crypto::hash::Hash;
use crypto::{Rng, Secret};
use policy::{KekCipher, KekSpi, SigHash, Signature};

/// A Rekey SA (RFC 6407 section 5.3). It has no Debug, since it is made of secrets.
#[derive(Clone)]
pub(crate) struct RekeySa {
    /// Its SPI: the cookies of its PUSHes.
    pub(crate) spi: KekSpi,
    /// Its cipher.
    pub(crate) cipher: KekCipher,
    /// The key.
    pub(crate) key: Secret,
    /// The IV of every PUSH.
    pub(crate) iv: Secret,
    /// How its PUSHes are signed.
    pub(crate) signature: Signature,
}

impl RekeySa {
    /// A new Rekey SA.
    //= RFC 6407 7.5
    //# the GCKS MUST derive the
    //# keying material using a strong random number generator.
    //= getvpn P3
    pub(crate) fn mint(rng: &mut dyn Rng, cipher: KekCipher, signature: Signature) -> Self {
        let mut spi = KekSpi::default();
        // Zero cookies would look like the beginning of a phase 1.
        while spi.initiator_cookie() == [0; 8] || spi.responder_cookie() == [0; 8] {
            rng.fill(&mut spi.0);
        }
        loop {
            let sa = Self {
                spi,
                cipher,
                key: random(rng, cipher.key_len()),
                iv: random(rng, cipher.block_len()),
                signature,
            };
            // Only a 3DES key that is a DES key is refused, one in 2^56.
            if sa.cbc().is_some() {
                return sa;
            }
        }
    }

    /// The cipher with its key; `None` if the key does not fit it.
    pub(crate) fn cbc(&self) -> Option<Cipher> {
        Cipher::new(algorithm(self.cipher), self.key.expose()).ok()
    }
}

/// Octets that nobody can guess.
pub(crate) fn random(rng: &mut dyn Rng, len: usize) -> Secret {
    let mut octets = vec![0; len];
    rng.fill(&mut octets);
    Secret::new(octets)
}

/// A number below `bound`, which is not zero: for jitter, where a bias of 2^-32 does not matter.
pub(crate) fn random_below(rng: &mut dyn Rng, bound: u64) -> u64 {
    let mut octets = [0; 8];
    rng.fill(&mut octets);
    u64::from_be_bytes(octets) % bound.max(1)
}

const fn algorithm(cipher: KekCipher) -> Algorithm {
    match cipher {
        KekCipher::TripleDes => Algorithm::TripleDes,
        KekCipher::Aes128 => Algorithm::Aes128,
        KekCipher::Aes192 => Algorithm::Aes192,
        KekCipher::Aes256 => Algorithm::Aes256,
    }
}

/// The hash function of a `rekey sig-hash`.
pub(crate) const fn hash(sig_hash: SigHash) -> Hash {
    match sig_hash {
        SigHash::Sha1 => Hash::Sha1,
        SigHash::Sha256 => Hash::Sha256,
        SigHash::Sha384 => Hash::Sha384,
        SigHash::Sha512 => Hash::Sha512,
    }
}

//! HMAC (RFC 2104) over parts: for the wire, truncated or not, and for deriving keys.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use crate::Secret;
use crate::hash::{Digest, Hash};

/// A key made ready for one hash function. Its schedule is zeroised when dropped.
#[derive(Clone)]
pub struct Key {
    key: hmac::Key,
}

impl Key {
    /// Takes `key` of any length: longer than a block it is hashed first (RFC 2104 section 2).
    #[must_use]
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        let algorithm = match hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        Self {
            key: hmac::Key::new(algorithm, key),
        }
    }

    /// The whole tag over the parts, one after the other. Who truncates takes the first octets.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part);
        }
        Digest::of(context.sign().as_ref())
    }

    /// Whether `tag` is the whole tag over the parts; in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.verify_truncated(parts, tag, self.key.algorithm().tag_len())
    }

    /// Whether `tag` is the first `len` octets of the tag over the parts; in constant time.
    ///
    /// A `tag` of another length than `len` never verifies, and no tag does when `len` is 0 or
    /// longer than the hash.
    #[must_use]
    pub fn verify_truncated(&self, parts: &[&[u8]], tag: &[u8], len: usize) -> bool {
        let whole = self.sign(parts);
        match whole.as_ref().get(..len) {
            Some(expected) if len > 0 => expected.ct_eq(tag).into(),
            Some(_) | None => false,
        }
    }
}

/// HMAC as a pseudo-random function: the whole output over the parts, as a secret.
#[must_use]
pub fn prf(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut output = Key::new(hash, key).sign(parts);
    let secret = Secret::copy_of(output.as_ref());
    output.wipe();
    secret
}

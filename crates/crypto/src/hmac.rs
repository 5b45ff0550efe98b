//! HMAC (RFC 2104) over parts: for the wire, truncated or not, and for deriving keys.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Secret;
use crate::aws_lc::{self, HMAC_SCHEDULE_LEN_MAX, HmacStart};
use crate::hash::{Digest, Hash, OUTPUT_LEN_MAX};

/// A key made ready for one hash function. Its schedule is zeroised when dropped.
#[derive(Clone)]
pub struct Key {
    hash: Hash,
    schedule: Zeroizing<[u8; HMAC_SCHEDULE_LEN_MAX]>,
    len: usize,
}

impl Key {
    /// Takes `key` of any length: longer than a block it is hashed first (RFC 2104 section 2).
    #[must_use]
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        let mut schedule = Zeroizing::new([0; HMAC_SCHEDULE_LEN_MAX]);
        let len = aws_lc::hmac_schedule(hash, key, &mut schedule)
            .expect("the library takes a key of any length and has every hash");
        Self {
            hash,
            schedule,
            len,
        }
    }

    /// The whole tag over the parts, one after the other. Who truncates takes the first octets.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> Digest {
        compute(
            self.hash,
            &HmacStart::Schedule(&self.schedule[..self.len]),
            parts,
        )
    }

    /// The whole tag over the parts as a secret: what [`prf`] gives for this key.
    #[must_use]
    pub fn prf(&self, parts: &[&[u8]]) -> Secret {
        secret(self.sign(parts))
    }

    /// Whether `tag` is the whole tag over the parts; in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.verify_truncated(parts, tag, self.hash.output_len())
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
    secret(compute(hash, &HmacStart::Key(key), parts))
}

fn secret(mut output: Digest) -> Secret {
    let secret = Secret::copy_of(output.as_ref());
    output.wipe();
    secret
}

fn compute(hash: Hash, start: &HmacStart<'_>, parts: &[&[u8]]) -> Digest {
    let mut tag = [0; OUTPUT_LEN_MAX];
    let len = aws_lc::hmac(hash, start, parts, &mut tag)
        .expect("the library has every hash and takes parts of any length");
    let digest = Digest::of(&tag[..len]);
    zeroize::Zeroize::zeroize(&mut tag);
    digest
}

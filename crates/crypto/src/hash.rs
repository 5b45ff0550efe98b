//! Hash functions over parts, so that no caller has to join them.

use std::fmt;

use aws_lc_rs::digest;

/// The longest output of a hash here, in octets.
pub const OUTPUT_LEN_MAX: usize = 64;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-1 (FIPS 180-4): 20 octets. For old peers.
    Sha1,
    /// SHA-256: 32 octets.
    Sha256,
    /// SHA-384: 48 octets.
    Sha384,
    /// SHA-512: 64 octets.
    Sha512,
}

impl Hash {
    /// Every hash, weakest first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The digest of the parts, one after the other.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Digest {
        Digest::of(self.context(parts).finish().as_ref())
    }

    /// Octets of a digest.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Octets of the block that the function works on (the B of HMAC).
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
        }
    }

    pub(crate) fn context(self, parts: &[&[u8]]) -> digest::Context {
        let mut context = digest::Context::new(match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        });
        for part in parts {
            context.update(part);
        }
        context
    }
}

/// The output of a hash or of an HMAC that goes over the wire: 20 to 64 octets, held in line.
///
/// It is not treated as a secret. An HMAC that yields a key is [`crate::hmac::prf`].
#[derive(Clone, Copy)]
pub struct Digest {
    octets: [u8; OUTPUT_LEN_MAX],
    len: usize,
}

impl Digest {
    pub(crate) fn of(output: &[u8]) -> Self {
        let mut octets = [0; OUTPUT_LEN_MAX];
        octets[..output.len()].copy_from_slice(output);
        Self {
            octets,
            len: output.len(),
        }
    }

    /// Zeroises the octets, for an output that turned out to be a secret.
    pub(crate) fn wipe(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.octets);
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// In constant time for equal lengths.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.as_ref(), other.as_ref()).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.as_ref() {
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

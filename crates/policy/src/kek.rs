//! The words of a Rekey SA: its SPI, cipher and signature.

use std::fmt;

/// The SPI of a Rekey SA: the cookie pair of its PUSH messages (RFC 6407 section 5.3).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekSpi(pub [u8; 16]);

/// `0x18864836BA888BCD1126671EEAFEB4C7`.
impl fmt::Display for KekSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl KekSpi {
    /// The first eight octets: the initiator's cookie.
    #[must_use]
    pub fn initiator_cookie(&self) -> [u8; 8] {
        std::array::from_fn(|i| self.0[i])
    }

    /// The last eight octets: the responder's cookie.
    #[must_use]
    pub fn responder_cookie(&self) -> [u8; 8] {
        std::array::from_fn(|i| self.0[i + 8])
    }
}

/// `rekey algorithm`: the cipher of a Rekey SA, CBC always (RFC 6407 section 5.3.3).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KekCipher {
    /// `3des-cbc`.
    TripleDes,
    /// `aes 128`.
    Aes128,
    /// `aes 192`.
    Aes192,
    /// `aes 256`.
    #[default]
    Aes256,
}

impl KekCipher {
    /// Octets of the key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// Octets of the block, which are those of the static IV.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }
}

/// `3DES` or `AES`, as `ks policy` and `show crypto gdoi` print it; the size is a field of its own.
impl fmt::Display for KekCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TripleDes => "3DES",
            Self::Aes128 | Self::Aes192 | Self::Aes256 => "AES",
        })
    }
}

/// How rekeys are signed (RFC 6407 section 5.3.6): a curve brings its hash.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signature {
    /// RSA over this hash.
    Rsa(SigHash),
    /// ECDSA on P-256.
    Ecdsa256,
    /// ECDSA on P-384.
    Ecdsa384,
    /// ECDSA on P-521.
    Ecdsa521,
}

impl Signature {
    /// The hash that is signed.
    #[must_use]
    pub const fn hash(self) -> SigHash {
        match self {
            Self::Rsa(hash) => hash,
            Self::Ecdsa256 => SigHash::Sha256,
            Self::Ecdsa384 => SigHash::Sha384,
            Self::Ecdsa521 => SigHash::Sha512,
        }
    }
}

/// Its name as RFC 6407 has it, `SIG_ALG_RSA`; the hash is a field of its own.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rsa(_) => "SIG_ALG_RSA",
            Self::Ecdsa256 => "SIG_ALG_ECDSA_256",
            Self::Ecdsa384 => "SIG_ALG_ECDSA_384",
            Self::Ecdsa521 => "SIG_ALG_ECDSA_521",
        })
    }
}

/// `rekey sig-hash algorithm`: the hash under the rekey's RSA signature.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SigHash {
    /// `sha`.
    Sha1,
    /// `sha256`.
    #[default]
    Sha256,
    /// `sha384`.
    Sha384,
    /// `sha512`.
    Sha512,
}

/// `HMAC_AUTH_SHA512`, the form of `show crypto gdoi`.
impl fmt::Display for SigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sha1 => "HMAC_AUTH_SHA",
            Self::Sha256 => "HMAC_AUTH_SHA256",
            Self::Sha384 => "HMAC_AUTH_SHA384",
            Self::Sha512 => "HMAC_AUTH_SHA512",
        })
    }
}

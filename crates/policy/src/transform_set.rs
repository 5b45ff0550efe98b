//! `crypto ipsec transform-set`: what ESP does to a packet of the group.

use std::fmt;

/// Size of an AES key.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyBits {
    /// 128 bits.
    B128,
    /// 192 bits.
    B192,
    /// 256 bits.
    B256,
}

impl KeyBits {
    /// The number of bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::B128 => 128,
            Self::B192 => 192,
            Self::B256 => 256,
        }
    }

    /// The size with that many bits, if AES has it.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            128 => Some(Self::B128),
            192 => Some(Self::B192),
            256 => Some(Self::B256),
            _ => None,
        }
    }

    /// The number of octets.
    #[must_use]
    pub const fn octets(self) -> usize {
        self.bits() as usize / 8
    }
}

/// The cipher of a transform.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// `esp-null` (RFC 2410).
    Null,
    /// `esp-3des` (RFC 2451).
    TripleDes,
    /// `esp-aes` (RFC 3602).
    AesCbc(KeyBits),
    /// `esp-gcm`, ICV of 16 octets (RFC 4106).
    AesGcm(KeyBits),
    /// `esp-gmac`: integrity only (RFC 4543).
    AesGmac(KeyBits),
}

/// The integrity of a transform.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// The cipher brings its own (GCM, GMAC).
    Combined,
    /// `esp-sha-hmac`: HMAC-SHA1-96 (RFC 2404).
    HmacSha1,
    /// `esp-sha256-hmac`: HMAC-SHA-256-128 (RFC 4868).
    HmacSha256,
    /// `esp-sha384-hmac`: HMAC-SHA-384-192.
    HmacSha384,
    /// `esp-sha512-hmac`: HMAC-SHA-512-256.
    HmacSha512,
}

/// Why two words make no transform.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// GCM and GMAC bring their own integrity.
    IntegrityTwice,
    /// Everything else needs an integrity word: encryption alone is malleable.
    IntegrityMissing,
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::IntegrityTwice => "esp-gcm and esp-gmac bring their own integrity: give no hmac",
            Self::IntegrityMissing => {
                "an integrity word is needed: esp-sha-hmac, esp-sha256-hmac, esp-sha384-hmac or esp-sha512-hmac"
            }
        })
    }
}

/// A transform that can exist: cipher and integrity fit each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    encryption: Encryption,
    integrity: Integrity,
}

impl Transform {
    /// The transform of two words.
    ///
    /// # Errors
    /// When the cipher brings its own integrity and another is given, or neither does.
    pub const fn new(encryption: Encryption, integrity: Integrity) -> Result<Self, TransformError> {
        match (encryption, integrity) {
            (Encryption::AesGcm(_) | Encryption::AesGmac(_), Integrity::Combined)
            | (
                Encryption::Null | Encryption::TripleDes | Encryption::AesCbc(_),
                Integrity::HmacSha1
                | Integrity::HmacSha256
                | Integrity::HmacSha384
                | Integrity::HmacSha512,
            ) => Ok(Self {
                encryption,
                integrity,
            }),
            (Encryption::AesGcm(_) | Encryption::AesGmac(_), _) => {
                Err(TransformError::IntegrityTwice)
            }
            (_, Integrity::Combined) => Err(TransformError::IntegrityMissing),
        }
    }

    /// The cipher.
    #[must_use]
    pub const fn encryption(self) -> Encryption {
        self.encryption
    }

    /// The integrity.
    #[must_use]
    pub const fn integrity(self) -> Integrity {
        self.integrity
    }

    /// Whether the IV is a counter that must never repeat, so that senders need SIDs.
    #[must_use]
    pub const fn is_counter_mode(self) -> bool {
        matches!(
            self.encryption,
            Encryption::AesGcm(_) | Encryption::AesGmac(_)
        )
    }

    /// Octets of the cipher key as TEK_ALGORITHM_KEY carries it: with the four of the salt for
    /// counter modes, 0 for ESP-NULL (RFC 6407 section 5.6.1.1).
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self.encryption {
            Encryption::Null => 0,
            Encryption::TripleDes => 24,
            Encryption::AesCbc(bits) => bits.octets(),
            Encryption::AesGcm(bits) | Encryption::AesGmac(bits) => bits.octets() + 4,
        }
    }

    /// Octets of TEK_INTEGRITY_KEY: those of the hash's output, 0 when the cipher brings integrity.
    #[must_use]
    pub const fn integrity_key_len(self) -> usize {
        match self.integrity {
            Integrity::Combined => 0,
            Integrity::HmacSha1 => 20,
            Integrity::HmacSha256 => 32,
            Integrity::HmacSha384 => 48,
            Integrity::HmacSha512 => 64,
        }
    }

    /// Octets of the IV in each packet.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self.encryption {
            Encryption::Null => 0,
            Encryption::TripleDes | Encryption::AesGcm(_) | Encryption::AesGmac(_) => 8,
            Encryption::AesCbc(_) => 16,
        }
    }

    /// Octets of the ICV.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self.integrity {
            Integrity::HmacSha1 => 12,
            Integrity::Combined | Integrity::HmacSha256 => 16,
            Integrity::HmacSha384 => 24,
            Integrity::HmacSha512 => 32,
        }
    }

    /// What payload, padding and the two octets of the trailer must fill: the block, at least four.
    #[must_use]
    pub const fn pad_unit(self) -> usize {
        match self.encryption {
            Encryption::Null | Encryption::AesGcm(_) | Encryption::AesGmac(_) => 4,
            Encryption::TripleDes => 8,
            Encryption::AesCbc(_) => 16,
        }
    }

    /// The words of `show crypto ipsec sa`: `esp-gcm 256`, `esp-256-aes esp-sha-hmac`.
    #[must_use]
    pub fn show(self) -> String {
        match self.encryption {
            Encryption::AesCbc(bits) => format!("esp-{}-aes{}", bits.bits(), self.hmac_word()),
            Encryption::Null
            | Encryption::TripleDes
            | Encryption::AesGcm(_)
            | Encryption::AesGmac(_) => self.to_string(),
        }
    }

    const fn hmac_word(self) -> &'static str {
        match self.integrity {
            Integrity::Combined => "",
            Integrity::HmacSha1 => " esp-sha-hmac",
            Integrity::HmacSha256 => " esp-sha256-hmac",
            Integrity::HmacSha384 => " esp-sha384-hmac",
            Integrity::HmacSha512 => " esp-sha512-hmac",
        }
    }
}

/// The words of the configuration: `esp-gcm 256`, `esp-aes 256 esp-sha-hmac`.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encryption {
            Encryption::Null => write!(f, "esp-null")?,
            Encryption::TripleDes => write!(f, "esp-3des")?,
            Encryption::AesCbc(bits) => write!(f, "esp-aes {}", bits.bits())?,
            Encryption::AesGcm(bits) => write!(f, "esp-gcm {}", bits.bits())?,
            Encryption::AesGmac(bits) => write!(f, "esp-gmac {}", bits.bits())?,
        }
        f.write_str(self.hmac_word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sizes_agree_with_the_rfcs() {
        let gcm = Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined).unwrap();
        assert_eq!(gcm.to_string(), "esp-gcm 256");
        assert_eq!((gcm.key_len(), gcm.iv_len(), gcm.icv_len()), (36, 8, 16));
        let cbc = Transform::new(Encryption::AesCbc(KeyBits::B128), Integrity::HmacSha1).unwrap();
        assert_eq!(cbc.to_string(), "esp-aes 128 esp-sha-hmac");
        assert_eq!(cbc.show(), "esp-128-aes esp-sha-hmac");
        assert_eq!(
            (cbc.key_len(), cbc.integrity_key_len(), cbc.icv_len()),
            (16, 20, 12)
        );
    }

    #[test]
    fn a_cipher_without_integrity_and_one_with_two_are_refused() {
        assert_eq!(
            Transform::new(Encryption::TripleDes, Integrity::Combined),
            Err(TransformError::IntegrityMissing)
        );
        assert_eq!(
            Transform::new(Encryption::AesGcm(KeyBits::B128), Integrity::HmacSha1),
            Err(TransformError::IntegrityTwice)
        );
    }
}

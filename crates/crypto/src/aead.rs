//! AES in Galois/counter mode, in place, with a tag of 16 octets; and GMAC, which is its tag
//! over octets that stay in clear.
//!
//! A nonce must never be used twice under one key. This module cannot see to that: whoever owns
//! the key does.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{BadTag, Error};

/// Octets of a nonce.
pub const NONCE_LEN: usize = 12;
/// Octets of a tag.
pub const TAG_LEN: usize = 16;

/// AES-GCM (NIST SP 800-38D) with its key schedule, made once; zeroised when dropped.
pub struct Gcm {
    key: LessSafeKey,
}

impl Gcm {
    /// Makes the key schedule of a key of 16, 24 or 32 octets.
    ///
    /// # Errors
    /// [`Error::Length`] for another length.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        let algorithm = match key.len() {
            16 => &aead::AES_128_GCM,
            24 => &aead::AES_192_GCM,
            32 => &aead::AES_256_GCM,
            found => {
                return Err(Error::Length {
                    what: "AES-GCM key",
                    expected: 32,
                    found,
                });
            }
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::Library {
            what: "AES-GCM key schedule",
        })?;
        Ok(Self {
            key: LessSafeKey::new(key),
        })
    }

    /// Encrypts `data` in place and returns the tag over `aad` and the ciphertext.
    ///
    /// # Panics
    /// For more than the 2^36 - 32 octets that the mode allows under one nonce; no packet comes
    /// near.
    #[must_use]
    #[inline]
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .expect("AES-GCM seals whatever fits under one nonce");
        tag.as_ref()
            .try_into()
            .expect("the tag of AES-GCM has 16 octets")
    }

    /// Decrypts `data` in place if `tag` is the tag over `aad` and `data`.
    ///
    /// # Errors
    /// [`BadTag`] otherwise; `data` is then no plaintext and must be thrown away.
    #[inline]
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), BadTag> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.key
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data)
            .map(|_| ())
            .map_err(|_| BadTag)
    }
}

/// AES-GMAC: the tag of AES-GCM over octets that are authenticated and not encrypted (RFC 4543).
pub struct Gmac {
    gcm: Gcm,
}

impl Gmac {
    /// Makes the key schedule of a key of 16, 24 or 32 octets.
    ///
    /// # Errors
    /// [`Error::Length`] for another length.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        Gcm::new(key).map(|gcm| Self { gcm })
    }

    /// The tag over `octets`.
    #[must_use]
    #[inline]
    pub fn sign(&self, nonce: &[u8; NONCE_LEN], octets: &[u8]) -> [u8; TAG_LEN] {
        self.gcm.seal_in_place(nonce, octets, &mut [])
    }

    /// Checks in constant time that `tag` is the tag over `octets`.
    ///
    /// # Errors
    /// [`BadTag`] if it is not.
    #[inline]
    pub fn verify(
        &self,
        nonce: &[u8; NONCE_LEN],
        octets: &[u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), BadTag> {
        self.gcm.open_in_place(nonce, octets, &mut [], tag)
    }
}

//! Block ciphers in cipher block chaining, in place and without padding.
//!
//! Padding and the choice of IVs belong to the protocol; what this module gives back is the last
//! ciphertext block, from which a protocol may chain on.

use std::fmt;

use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Error;
use crate::aws_lc::Aes;

/// A block cipher for CBC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 3DES with three keys, encrypt-decrypt-encrypt (RFC 2451): key 24 octets, block 8.
    TripleDes,
    /// AES with a key of 16 octets (RFC 3602), block 16.
    Aes128,
    /// AES with a key of 24 octets, block 16.
    Aes192,
    /// AES with a key of 32 octets, block 16.
    Aes256,
}

impl Algorithm {
    /// Octets of the key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// Octets of a block, and so of an IV.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }
}

/// One block of ciphertext, fit to be the next IV: 8 or 16 octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Iv {
    octets: [u8; 16],
    len: usize,
}

impl Iv {
    fn of(block: &[u8]) -> Self {
        let mut octets = [0; 16];
        octets[..block.len()].copy_from_slice(block);
        Self {
            octets,
            len: block.len(),
        }
    }
}

impl AsRef<[u8]> for Iv {
    fn as_ref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.as_ref() {
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// A cipher with its key schedule, made once; zeroised when dropped.
pub struct Cipher {
    algorithm: Algorithm,
    schedule: Schedule,
}

enum Schedule {
    TripleDes {
        encrypting: Box<EncryptingKey>,
        decrypting: Box<DecryptingKey>,
    },
    Aes(Box<Aes>),
}

impl Cipher {
    /// Makes the key schedule.
    ///
    /// # Errors
    /// [`Error::Length`] for a key of another length than [`Algorithm::key_len`],
    /// [`Error::WeakKey`] for a 3DES key that is no better than a DES key: two of its thirds are
    /// equal, or one is a weak or semi-weak DES key. Parity bits are not looked at.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, Error> {
        let (expected, found) = (algorithm.key_len(), key.len());
        if expected != found {
            return Err(Error::Length {
                what: "CBC key",
                expected,
                found,
            });
        }
        let schedule = match algorithm {
            Algorithm::TripleDes => triple_des(key)?,
            Algorithm::Aes128 | Algorithm::Aes192 | Algorithm::Aes256 => {
                Schedule::Aes(Aes::new(key).ok_or(Error::Library {
                    what: "AES key schedule",
                })?)
            }
        };
        Ok(Self {
            algorithm,
            schedule,
        })
    }

    /// The algorithm that the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Encrypts `data`, whole blocks, in place and returns its last block, or `iv` if there is
    /// no data.
    ///
    /// # Errors
    /// [`Error::Length`] for an IV that is not one block, [`Error::Blocks`] for a broken block;
    /// `data` is then as it was.
    pub fn encrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<Iv, Error> {
        let iv = self.check(iv, data)?;
        let done = match &self.schedule {
            Schedule::TripleDes { encrypting, .. } => {
                let context = EncryptionContext::Iv64(FixedLength::from(first_eight(&iv)));
                let result = encrypting.less_safe_encrypt(data, context);
                result.ok().map(drop)
            }
            Schedule::Aes(aes) => aes.cbc_encrypt(iv.octets, data),
        };
        done.ok_or(Error::Library {
            what: "CBC encryption",
        })?;
        Ok(self.last_block(data).unwrap_or(iv))
    }

    /// Decrypts `data`, whole blocks, in place and returns what was its last ciphertext block,
    /// or `iv` if there is no data.
    ///
    /// # Errors
    /// As for [`Self::encrypt`]. That the result makes sense is not looked at.
    pub fn decrypt(&self, iv: &[u8], data: &mut [u8]) -> Result<Iv, Error> {
        let iv = self.check(iv, data)?;
        let last = self.last_block(data).unwrap_or(iv);
        let done = match &self.schedule {
            Schedule::TripleDes { decrypting, .. } => {
                let context = DecryptionContext::Iv64(FixedLength::from(first_eight(&iv)));
                decrypting.decrypt(data, context).ok().map(drop)
            }
            Schedule::Aes(aes) => aes.cbc_decrypt(iv.octets, data),
        };
        done.ok_or(Error::Library {
            what: "CBC decryption",
        })?;
        Ok(last)
    }

    fn check(&self, iv: &[u8], data: &[u8]) -> Result<Iv, Error> {
        let block = self.algorithm.block_len();
        if iv.len() != block {
            return Err(Error::Length {
                what: "CBC IV",
                expected: block,
                found: iv.len(),
            });
        }
        if !data.len().is_multiple_of(block) {
            return Err(Error::Blocks {
                octets: data.len(),
                block,
            });
        }
        Ok(Iv::of(iv))
    }

    fn last_block(&self, data: &[u8]) -> Option<Iv> {
        data.rchunks_exact(self.algorithm.block_len())
            .next()
            .map(Iv::of)
    }
}

fn first_eight(iv: &Iv) -> [u8; 8] {
    let mut octets = [0; 8];
    octets.copy_from_slice(&iv.octets[..8]);
    octets
}

/// 3DES, if `key` is one. That two thirds differ in parity only, the library does not see.
#[expect(
    deprecated,
    reason = "old peers speak 3DES, which is why it is offered"
)]
fn triple_des(key: &[u8]) -> Result<Schedule, Error> {
    let bare: Zeroizing<Vec<u8>> = Zeroizing::new(key.iter().map(|octet| octet & 0xfe).collect());
    //= RFC 2451 2.3
    //# However, if the first two or last two independent 64-bit keys are
    //# equal (k1 == k2 or k2 == k3), then the 3DES operation is simply the
    //# same as DES.  Implementers MUST reject keys that exhibit this
    //# property.
    let degenerate = bare[..8].ct_eq(&bare[8..16]) | bare[8..16].ct_eq(&bare[16..]);
    if degenerate.into() {
        return Err(Error::WeakKey);
    }
    let unbound = || UnboundCipherKey::new(&cipher::DES_EDE3_FOR_LEGACY_USE_ONLY, key);
    let refused = |_| Error::WeakKey;
    Ok(Schedule::TripleDes {
        encrypting: Box::new(unbound().and_then(EncryptingKey::cbc).map_err(refused)?),
        decrypting: Box::new(unbound().and_then(DecryptingKey::cbc).map_err(refused)?),
    })
}

//! ECDSA with the hash that belongs to the curve, signatures as r | s of fixed length
//! (RFC 4754).
//!
//! The library draws the nonce of each signature from its own generator and cannot be told
//! otherwise, so signing twice gives two signatures and no seed replays them. A simulation that
//! must replay therefore signs with RSA; verifying is deterministic as everything else.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair, ParsedPublicKey,
};

use crate::hash::{Digest, Hash};
use crate::{BadSignature, Error, Rng, Secret, dh};

/// A curve with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// P-256 with SHA-256: signatures of 64 octets.
    P256,
    /// P-384 with SHA-384: signatures of 96 octets.
    P384,
    /// P-521 with SHA-512: signatures of 132 octets.
    P521,
}

impl Curve {
    /// Every curve, smallest first.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Bits of its field, by which it is named.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// The hash that belongs to the curve.
    #[must_use]
    pub const fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    /// Octets of a signature.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::P256 => 64,
            Self::P384 => 96,
            Self::P521 => 132,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }

    fn agreement(self) -> dh::Curve {
        match self {
            Self::P256 => dh::Curve::P256,
            Self::P384 => dh::Curve::P384,
            Self::P521 => dh::Curve::P521,
        }
    }
}

/// A private key with its public half.
#[derive(Clone)]
pub struct PrivateKey {
    curve: Curve,
    pair: Arc<EcdsaKeyPair>,
    public: PublicKey,
}

impl PrivateKey {
    /// Draws a key from `rng`. Unlike the nonces of its signatures, the key replays.
    ///
    /// # Errors
    /// [`Error::Library`] if the library has no memory.
    pub fn generate(curve: Curve, rng: &mut dyn Rng) -> Result<Self, Error> {
        let scalar = curve.agreement().draw_scalar(rng);
        let point = dh::EcpPrivateKey::new(curve.agreement(), &scalar)?.public_point()?;
        EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar.expose(), &point)
            .map_err(|_| Error::Library {
                what: "import of an ECDSA key",
            })
            .and_then(|pair| Self::of(curve, pair))
    }

    /// The key in PKCS#8 (RFC 5208), which must be of this curve.
    ///
    /// # Errors
    /// [`Error::Encoding`] if it is not.
    pub fn from_pkcs8(curve: Curve, der: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), der).map_err(|_| Error::Encoding {
            what: "ECDSA private key (PKCS#8) of the curve",
        })?;
        Self::of(curve, pair)
    }

    fn of(curve: Curve, pair: EcdsaKeyPair) -> Result<Self, Error> {
        let spki: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| Error::Library {
                what: "encoding of an ECDSA public key",
            })?;
        let public = PublicKey::from_spki_der(curve, spki.as_ref())?;
        Ok(Self {
            curve,
            pair: Arc::new(pair),
            public,
        })
    }

    /// The key in PKCS#8.
    ///
    /// # Errors
    /// [`Error::Library`] if the library has no memory.
    pub fn to_pkcs8(&self) -> Result<Secret, Error> {
        self.pair
            .to_pkcs8v1()
            .map(|der| Secret::copy_of(der.as_ref()))
            .map_err(|_| Error::Library {
                what: "encoding of an ECDSA private key",
            })
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the message that the parts are, hashed with the curve's hash: r | s.
    ///
    /// # Errors
    /// [`Error::Library`] if the library has no randomness or no memory.
    pub fn sign(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        //= RFC 4754 7
        //# the signature payload SHALL contain an
        //# encoding of the computed signature consisting of the concatenation of
        //# a pair of integers r and s.
        let digest = self.curve.hash().context(parts).finish();
        self.pair
            .sign_digest(&digest)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| Error::Library {
                what: "ECDSA signing",
            })
    }
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    curve: Curve,
    key: Arc<ParsedPublicKey>,
    spki: Vec<u8>,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

/// The curve and the fingerprint.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ECDSA-{:?} {:?}", self.curve, self.fingerprint())
    }
}

impl PublicKey {
    /// The key in SubjectPublicKeyInfo (RFC 5480), which must be of this curve.
    ///
    /// # Errors
    /// [`Error::Encoding`] if it is not.
    pub fn from_spki_der(curve: Curve, der: &[u8]) -> Result<Self, Error> {
        let wrong = Error::Encoding {
            what: "ECDSA public key (SubjectPublicKeyInfo) of the curve",
        };
        let key = ParsedPublicKey::new(curve.verification(), der).map_err(|_| wrong)?;
        let spki: PublicKeyX509Der<'_> = key.as_der().map_err(|_| wrong)?;
        if spki.as_ref() != der {
            return Err(wrong);
        }
        Ok(Self {
            curve,
            key: Arc::new(key),
            spki: der.to_vec(),
        })
    }

    /// The curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The key in SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the key in SubjectPublicKeyInfo: what people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Hash::Sha256.digest(&[&self.spki])
    }

    /// Checks that `signature` is r | s over the message that the parts are.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let digest = self.curve.hash().context(parts).finish();
        self.key
            .verify_digest_sig(&digest, signature)
            .map_err(|_| BadSignature)
    }
}

//! Keys of either kind that sign, RSA and ECDSA, behind one type.
//!
//! Decides which kinds there are and how each is read. What is hashed, and how RSA pads it, is for
//! whoever signs and verifies: [`crate::rsa`] and [`crate::ecdsa`] differ in it.

use std::fmt;

use crate::ecdsa::{self, Curve};
use crate::{Error, rsa};

/// The kinds of key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// RSA.
    Rsa,
    /// ECDSA on one of the curves.
    Ec,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ec];

    /// The word for it in commands.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ec => "ec",
        }
    }

    /// Its name in sentences, with its article.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA",
            Self::Ec => "an EC",
        }
    }
}

/// Its name in sentences.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rsa => "RSA",
            Self::Ec => "EC",
        })
    }
}

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RSA, with whatever modulus.
    Rsa,
    /// ECDSA on this curve.
    Ecdsa(Curve),
}

impl Algorithm {
    /// The kind of keys that sign so.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Rsa => Kind::Rsa,
            Self::Ecdsa(_) => Kind::Ec,
        }
    }
}

/// How large a key pair that is to be made is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// RSA.
    Rsa {
        /// Bits of the modulus.
        modulus_bits: u16,
    },
    /// ECDSA on this curve.
    Ec(Curve),
}

impl Size {
    /// The kind of key pair.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Rsa { .. } => Kind::Rsa,
            Self::Ec(_) => Kind::Ec,
        }
    }

    /// Bits of the modulus or the curve.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Rsa { modulus_bits } => modulus_bits,
            Self::Ec(curve) => curve.bits(),
        }
    }
}

/// A private key with its public half.
#[derive(Clone)]
pub enum PrivateKey {
    /// RSA.
    Rsa(rsa::PrivateKey),
    /// ECDSA.
    Ecdsa(ecdsa::PrivateKey),
}

impl PrivateKey {
    /// The key in PKCS#8 (RFC 5208), which must be of this kind; of ECDSA on any of the curves.
    ///
    /// # Errors
    /// [`Error::Encoding`], [`Error::ModulusSize`], [`Error::PublicExponent`].
    pub fn from_pkcs8(kind: Kind, der: &[u8]) -> Result<Self, Error> {
        match kind {
            Kind::Rsa => rsa::PrivateKey::from_pkcs8(der).map(Self::Rsa),
            Kind::Ec => Curve::ALL
                .into_iter()
                .find_map(|curve| ecdsa::PrivateKey::from_pkcs8(curve, der).ok())
                .map(Self::Ecdsa)
                .ok_or(Error::Encoding {
                    what: "EC key (PKCS#8) of P-256, P-384 or P-521",
                }),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(key.public_key().clone()),
            Self::Ecdsa(key) => PublicKey::Ecdsa(key.public_key().clone()),
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa(rsa::PublicKey),
    /// ECDSA.
    Ecdsa(ecdsa::PublicKey),
}

impl PublicKey {
    /// The key for this algorithm in SubjectPublicKeyInfo (RFC 5280, RFC 5480); of RSA the bare
    /// RSAPublicKey, too.
    ///
    /// # Errors
    /// [`Error::Encoding`], [`Error::ModulusSize`], [`Error::PublicExponent`].
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, Error> {
        match algorithm {
            Algorithm::Rsa => rsa::PublicKey::from_der(der).map(Self::Rsa),
            Algorithm::Ecdsa(curve) => ecdsa::PublicKey::from_spki_der(curve, der).map(Self::Ecdsa),
        }
    }

    /// The algorithm that it is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rsa,
            Self::Ecdsa(key) => Algorithm::Ecdsa(key.curve()),
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Rsa(_) => Kind::Rsa,
            Self::Ecdsa(_) => Kind::Ec,
        }
    }

    /// Bits of the modulus or the curve.
    #[must_use]
    pub fn bits(&self) -> usize {
        match self {
            Self::Rsa(key) => key.modulus_bits(),
            Self::Ecdsa(key) => key.curve().bits().into(),
        }
    }

    /// Octets of a signature.
    #[must_use]
    pub fn signature_len(&self) -> usize {
        match self {
            Self::Rsa(key) => key.modulus_len(),
            Self::Ecdsa(key) => key.curve().signature_len(),
        }
    }

    /// The key in SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki_der(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => key.to_spki_der(),
            Self::Ecdsa(key) => key.to_spki_der(),
        }
    }
}

//! Diffie-Hellman: an ephemeral key pair in a numbered group, and the secret it agrees on.
//!
//! Decided here: how a secret exponent is drawn, which peer values are refused, and how values
//! and secrets are encoded. Not decided here: which groups are offered to whom.

mod ecp;
mod modp;
mod numbers;

use crate::{Error, Rng, Secret};

pub(crate) use ecp::{Curve, PrivateKey as EcpPrivateKey};

/// A group, by its IANA number for IKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Group 2: 1024-bit MODP (RFC 2409 section 6.2). For old peers: within reach of a state.
    Modp1024,
    /// Group 5: 1536-bit MODP (RFC 3526).
    Modp1536,
    /// Group 14: 2048-bit MODP (RFC 3526).
    Modp2048,
    /// Group 15: 3072-bit MODP (RFC 3526).
    Modp3072,
    /// Group 16: 4096-bit MODP (RFC 3526).
    Modp4096,
    /// Group 19: 256-bit random ECP, P-256 (RFC 5903).
    Ecp256,
    /// Group 20: 384-bit random ECP, P-384 (RFC 5903).
    Ecp384,
    /// Group 21: 521-bit random ECP, P-521 (RFC 5903).
    Ecp521,
}

enum Kind {
    Modp(&'static modp::Field),
    Ecp(Curve),
}

impl Group {
    /// Every group, by number.
    pub const ALL: [Self; 8] = [
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
    ];

    /// The group of an IANA number, if it is one of these.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.number() == number)
    }

    /// The IANA number.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
            Self::Ecp256 => 19,
            Self::Ecp384 => 20,
            Self::Ecp521 => 21,
        }
    }

    /// Octets of a public value on the wire.
    #[must_use]
    pub const fn public_len(self) -> usize {
        match self {
            Self::Modp1024 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
        }
    }

    /// Octets of the agreed secret.
    #[must_use]
    pub const fn secret_len(self) -> usize {
        match self {
            Self::Modp1024 | Self::Modp1536 | Self::Modp2048 | Self::Modp3072 | Self::Modp4096 => {
                self.public_len()
            }
            Self::Ecp256 | Self::Ecp384 | Self::Ecp521 => self.public_len() / 2,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Modp1024 => Kind::Modp(&modp::MODP_1024),
            Self::Modp1536 => Kind::Modp(&modp::MODP_1536),
            Self::Modp2048 => Kind::Modp(&modp::MODP_2048),
            Self::Modp3072 => Kind::Modp(&modp::MODP_3072),
            Self::Modp4096 => Kind::Modp(&modp::MODP_4096),
            Self::Ecp256 => Kind::Ecp(Curve::P256),
            Self::Ecp384 => Kind::Ecp(Curve::P384),
            Self::Ecp521 => Kind::Ecp(Curve::P521),
        }
    }

    const fn refuse(self, why: &'static str) -> Error {
        Error::PublicValue { group: self, why }
    }
}

/// A secret exponent with its public value, for one exchange; the exponent is zeroised when
/// dropped.
pub struct KeyPair {
    group: Group,
    private: Private,
    public_value: Vec<u8>,
}

enum Private {
    Modp(&'static modp::Field, Secret),
    Ecp(ecp::PrivateKey),
}

impl KeyPair {
    /// Draws a secret exponent from `rng` and computes its public value.
    ///
    /// # Errors
    /// [`Error::Library`] if the library has no memory.
    pub fn generate(group: Group, rng: &mut dyn Rng) -> Result<Self, Error> {
        match group.kind() {
            Kind::Modp(field) => {
                let exponent = field.draw_exponent(rng);
                let public_value = field.public_value(&exponent)?;
                Ok(Self {
                    group,
                    private: Private::Modp(field, exponent),
                    public_value,
                })
            }
            Kind::Ecp(curve) => {
                let private = ecp::PrivateKey::new(curve, &curve.draw_scalar(rng))?;
                let public_value = private.public_value()?;
                Ok(Self {
                    group,
                    private: Private::Ecp(private),
                    public_value,
                })
            }
        }
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// The public value as it goes over the wire: [`Group::public_len`] octets. MODP: padded on
    /// the left with zeros (RFC 2409 section 5); ECP: x | y (RFC 5903 section 7).
    #[must_use]
    pub fn public_value(&self) -> &[u8] {
        &self.public_value
    }

    /// The secret that this pair and the peer's public value agree on: [`Group::secret_len`]
    /// octets. MODP: g^xy padded on the left with zeros; ECP: the x coordinate.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::PublicValue`] for a peer value that no honest peer sends:
    /// wrong length; MODP 0, 1, p-1 and above; a point that is not on the curve.
    pub fn agree(&self, peer: &[u8]) -> Result<Secret, Error> {
        let expected = self.group.public_len();
        if peer.len() != expected {
            let what = "Diffie-Hellman public value";
            return Err(Error::Length {
                what,
                expected,
                found: peer.len(),
            });
        }
        match &self.private {
            Private::Modp(field, exponent) => field.agree(self.group, exponent, peer),
            Private::Ecp(private) => private.agree(self.group, peer),
        }
    }
}

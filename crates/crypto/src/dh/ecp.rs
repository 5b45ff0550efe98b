//! The ECP groups: the NIST curves, with scalars drawn by rejection.

use aws_lc_rs::agreement::{self, ParsedPublicKey, UnparsedPublicKey};

use super::{Group, numbers};
use crate::{Error, Rng, Secret};

/// The first octet of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// The longest uncompressed point: P-521's.
const POINT_LEN_MAX: usize = 133;

/// A curve over a prime field.
#[derive(Clone, Copy)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::P521 => &agreement::ECDH_P521,
        }
    }

    fn order(self) -> &'static [u8] {
        match self {
            Self::P256 => &numbers::P256_ORDER,
            Self::P384 => &numbers::P384_ORDER,
            Self::P521 => &numbers::P521_ORDER,
        }
    }

    /// A scalar in [1, n-1], each as likely as any other: what falls outside is drawn again.
    pub(crate) fn draw_scalar(self, rng: &mut dyn Rng) -> Secret {
        let order = self.order();
        // The bits above the order's highest one (P-521's octets have seven) are cleared, so
        // that a draw succeeds more often than not.
        let mask = u8::MAX >> order[0].leading_zeros();
        loop {
            let mut octets = vec![0; order.len()];
            rng.fill(&mut octets);
            octets[0] &= mask;
            // What the comparison's time tells is how often a scalar was thrown away.
            let scalar = Secret::new(octets);
            if scalar.expose() < order && scalar.expose().iter().any(|octet| *octet != 0) {
                return scalar;
            }
        }
    }
}

/// A secret scalar of one curve.
pub(crate) struct PrivateKey {
    key: agreement::PrivateKey,
}

impl PrivateKey {
    /// `scalar` lies in [1, n-1] and has as many octets as the order.
    pub(crate) fn new(curve: Curve, scalar: &Secret) -> Result<Self, Error> {
        agreement::PrivateKey::from_private_key(curve.algorithm(), scalar.expose())
            .map(|key| Self { key })
            .map_err(|_| Error::Library {
                what: "import of an ECP scalar",
            })
    }

    /// The public point, uncompressed: 04 | x | y.
    pub(crate) fn public_point(&self) -> Result<Vec<u8>, Error> {
        let point = self.key.compute_public_key();
        let point = point.map_err(|_| Error::Library {
            what: "ECP public value",
        })?;
        Ok(point.as_ref().to_vec())
    }

    /// The public point as x | y.
    pub(super) fn public_value(&self) -> Result<Vec<u8>, Error> {
        self.public_point().map(|mut point| point.split_off(1))
    }

    /// `peer` is x | y, of the right length.
    pub(super) fn agree(&self, group: Group, peer: &[u8]) -> Result<Secret, Error> {
        let mut point = [0; POINT_LEN_MAX];
        point[0] = UNCOMPRESSED;
        point[1..=peer.len()].copy_from_slice(peer);
        //= RFC 5903 7
        //# The Diffie-Hellman shared secret value consists of the x value of the
        //# Diffie-Hellman common value.
        let peer = UnparsedPublicKey::new(self.key.algorithm(), &point[..=peer.len()]);
        let peer = ParsedPublicKey::try_from(peer)
            .map_err(|_| group.refuse("not a point of the curve"))?;
        let failed = Error::Library {
            what: "ECP agreement",
        };
        agreement::agree(&self.key, peer, failed, |secret| {
            Ok(Secret::copy_of(secret))
        })
    }
}

//! Keys that everybody has: for tests and simulations, which must replay, and for nothing else.

use crate::key_pair::Size;
use crate::{Secret, SeededRng, ecdsa};

/// An RSA key of 2048 bits in PKCS#8. It is published with this source: whoever signs with it
/// has signed nothing.
pub const NOT_SECRET_RSA_2048_PKCS8: &[u8] =
    include_bytes!("../fixtures/not-secret-rsa-2048.pk8.der");

/// Another one, for tests in which two must not be confused.
pub const NOT_SECRET_RSA_2048_PKCS8_SECOND: &[u8] =
    include_bytes!("../fixtures/not-secret-rsa-2048-second.pk8.der");

/// The private key of [`NOT_SECRET_RSA_2048_PKCS8`].
#[must_use]
pub fn not_secret_rsa_2048() -> crate::rsa::PrivateKey {
    crate::rsa::PrivateKey::from_pkcs8(NOT_SECRET_RSA_2048_PKCS8)
        .expect("the published key is well-formed")
}

/// A key for whoever asked for one of this size, in PKCS#8. Of RSA it is always the same one of
/// 2048 bits; of a curve one that a seed draws, no more secret than the others.
#[must_use]
pub fn not_secret_pkcs8(size: Size) -> Secret {
    match size {
        Size::Rsa { .. } => Secret::copy_of(NOT_SECRET_RSA_2048_PKCS8),
        Size::Ec(curve) => ecdsa::PrivateKey::generate(curve, &mut SeededRng::from_number(1))
            .and_then(|key| key.to_pkcs8())
            .expect("a drawn scalar is a key"),
    }
}

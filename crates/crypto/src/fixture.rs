//! Keys that everybody has: for tests and simulations, which must replay, and for nothing else.

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

/// An EC key in PKCS#8 for each curve, no more secret than the others: it is drawn from a seed.
#[must_use]
pub fn not_secret_ec_pkcs8(curve: crate::ecdsa::Curve) -> crate::Secret {
    let mut rng = crate::SeededRng::from_number(1);
    crate::ecdsa::PrivateKey::generate(curve, &mut rng)
        .and_then(|key| key.to_pkcs8())
        .expect("any drawn scalar is a key")
}

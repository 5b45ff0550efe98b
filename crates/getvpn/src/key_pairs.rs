//! Key pairs for rekeys: made here, beside the loop, since those of RSA take up to seconds.

use anyhow::{Result, anyhow};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair};
use crypto::Secret;
use crypto::ecdsa::Curve;
use crypto::key_pair::Size;

/// A new private key of that size, PKCS#8 DER; the modulus of an RSA key has at least as many bits:
/// 2048, 3072 or 4096.
///
/// # Errors
/// The library has no randomness.
pub(crate) fn generate(size: Size) -> Result<Secret> {
    match size {
        Size::Rsa { modulus_bits } => generate_rsa(modulus_bits),
        Size::Ec(curve) => generate_ec(curve),
    }
}

fn generate_ec(curve: Curve) -> Result<Secret> {
    let algorithm = match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    };
    let der = EcdsaKeyPair::generate(algorithm)
        .and_then(|pair| pair.to_pkcs8v1())
        .map_err(|_| anyhow!("cannot make an EC key"))?;
    Ok(Secret::copy_of(der.as_ref()))
}

fn generate_rsa(modulus_bits: u16) -> Result<Secret> {
    let size = match modulus_bits {
        ..=2_048 => KeySize::Rsa2048,
        2_049..=3_072 => KeySize::Rsa3072,
        3_073.. => KeySize::Rsa4096,
    };
    let pair = KeyPair::generate(size).map_err(|_| anyhow!("cannot make an RSA key"))?;
    let der: Pkcs8V1Der<'_> = pair
        .as_der()
        .map_err(|_| anyhow!("cannot encode an RSA key"))?;
    Ok(Secret::copy_of(der.as_ref()))
}

#[cfg(test)]
mod tests {
    use crypto::key_pair::{Kind, PrivateKey};

    use super::*;

    #[test]
    fn keys_have_the_asked_size_or_the_next() {
        for (modulus_bits, made) in [(2_048, 2_048), (2_050, 3_072)] {
            let der = generate(Size::Rsa { modulus_bits }).unwrap();
            let key = PrivateKey::from_pkcs8(Kind::Rsa, der.expose()).unwrap();
            assert_eq!(key.public_key().bits(), made);
        }
        for curve in Curve::ALL {
            let der = generate(Size::Ec(curve)).unwrap();
            let key = PrivateKey::from_pkcs8(Kind::Ec, der.expose()).unwrap();
            assert_eq!(key.public_key().bits(), usize::from(curve.bits()));
        }
    }
}

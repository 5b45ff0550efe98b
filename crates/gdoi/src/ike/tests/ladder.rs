//! What passes on the wire, message by message, and that nothing on it can be lost for good.

use std::time::Duration;

use policy::Time;

use super::network::{Fate, GM, KS, Network, config, policy};
use crate::config::{IsakmpCipher, IsakmpHash, IsakmpPeer};
use crate::ike::{Connection, Failure, RefusalCounter, SaState, Upcall};

const LONG: Duration = Duration::from_secs(60);

fn refusals(network: &Network) -> u64 {
    let of = |at: usize| -> u64 {
        network.nodes[at]
            .engine
            .counters()
            .refusals()
            .map(|(_, count)| count)
            .sum()
    };
    of(0) + of(1)
}

#[test]
fn main_mode_and_a_pull_take_ten_messages() {
    let mut network = Network::fitting();
    assert!(matches!(network.connect(0), Connection::Pending(_)));
    network.run_for(LONG);
    network.assert_one_sa();
    assert!(network.pull(Time::from_secs(120), 100));
    assert_eq!(refusals(&network), 0);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn what_comes_out_of_an_exchange_is_what_went_in() {
    let mut network = Network::fitting();
    network.connect(0);
    network.run_for(LONG);
    assert!(network.pull(Time::from_secs(120), 100));
    let received: Vec<_> = network
        .nodes
        .iter()
        .flat_map(|node| &node.upcalls)
        .filter_map(|upcall| match upcall {
            Upcall::Exchange { step, payloads, .. } => Some((*step, payloads.to_vec())),
            Upcall::Established(_)
            | Upcall::Failed { .. }
            | Upcall::Plain { .. }
            | Upcall::Timeout { .. }
            | Upcall::Notify { .. }
            | Upcall::Deleted(_)
            | Upcall::Dead(_) => None,
        })
        .collect();
    for (step, payloads) in received {
        let expected = match step {
            1 => super::network::pull_1(),
            2 => super::network::pull_2(100),
            3 => wire::isakmp::Builder::new().finish().unwrap(),
            _ => super::network::pull_4(100),
        };
        assert_eq!(payloads, expected.payloads(), "message {step}");
    }
}

#[test]
fn every_single_loss_is_made_good() {
    for lost in 0..10 {
        let mut network = Network::fitting();
        network.fate = Box::new(move |n, _| if n == lost { Fate::Lose } else { Fate::Deliver });
        network.connect(0);
        network.run_for(LONG);
        network.assert_one_sa();
        assert!(
            network.pull(Time::from_secs(120), 100),
            "{lost}: {}",
            network.transcript
        );
        assert_eq!(refusals(&network), 0, "{lost}: {}", network.transcript);
    }
}

#[test]
fn every_single_copy_is_harmless() {
    for copied in 0..10 {
        let mut network = Network::fitting();
        network.fate = Box::new(move |n, _| {
            if n == copied {
                Fate::Duplicate
            } else {
                Fate::Deliver
            }
        });
        network.connect(0);
        network.run_for(LONG);
        network.assert_one_sa();
        assert!(
            network.pull(Time::from_secs(120), 100),
            "{copied}: {}",
            network.transcript
        );
        network.run_for(LONG);
        network.assert_one_sa();
        assert_eq!(refusals(&network), 0, "{copied}: {}", network.transcript);
        let upcalls = network
            .nodes
            .iter()
            .map(|node| node.upcalls.len())
            .sum::<usize>();
        assert_eq!(upcalls, 6, "{copied}: {}", network.transcript);
    }
}

#[test]
fn a_wire_that_loses_a_third_and_copies_a_third_is_survived() {
    let mut established = 0;
    for seed in 0..200_u64 {
        let mut network = Network::fitting();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        network.fate = Box::new(move |_, _| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            [Fate::Lose, Fate::Duplicate, Fate::Deliver][usize::try_from(state % 3).unwrap()]
        });
        network.connect(0);
        network.run_for(LONG);
        if network.nodes[0].established().is_empty() {
            continue;
        }
        established += 1;
        network.assert_one_sa();
        network.pull(network.now + LONG, 100);
        assert_eq!(refusals(&network), 0, "{seed}: {}", network.transcript);
    }
    assert!(established > 150, "{established} of 200");
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut network = Network::fitting();
    network.fate = Box::new(|_, _| Fate::Lose);
    network.connect(0);
    network.run_for(LONG);
    assert!(network.nodes[0].engine.view().rows.is_empty());
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn another_pre_shared_key_is_named_on_both_sides() {
    let mut network = Network::new(config("secret", KS), config("another", GM));
    network.connect(0);
    network.run_for(LONG);
    let failed = matches!(
        network.nodes[0].upcalls.as_slice(),
        [Upcall::Failed {
            reason: Failure::NoAnswer {
                message: 5,
                hint: None
            },
            ..
        }]
    );
    assert!(failed, "{}", network.transcript);
    let counters = network.nodes[1].engine.counters();
    assert_eq!(counters.refused(RefusalCounter::Undecryptable), 4);
    assert_eq!(network.nodes[1].engine.view().half_open, 0);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn no_common_policy_is_named_with_both_sides_policies() {
    let mut ks = config("secret", GM);
    ks.policies = vec![
        policy(IsakmpCipher::Aes256, IsakmpHash::Sha256, 20),
        policy(IsakmpCipher::TripleDes, IsakmpHash::Sha1, 2),
    ];
    let mut network = Network::new(config("secret", KS), ks);
    network.connect(0);
    network.run_for(LONG);
    assert_eq!(network.nodes[1].engine.view().rows, []);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn a_peer_without_a_key_is_refused_in_silence() {
    let mut ks = config("secret", GM);
    ks.keys.clear();
    let mut network = Network::new(config("secret", KS), ks);
    network.connect(0);
    network.run_for(LONG);
    assert!(network.sent.iter().all(|(from, _)| *from == 0));
    let refused = network.nodes[1]
        .engine
        .counters()
        .refused(RefusalCounter::NoPresharedKey);
    assert_eq!(refused, 4);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn without_key_or_policy_nothing_begins() {
    let mut gm = config("secret", KS);
    gm.keys.clear();
    let mut network = Network::new(gm, config("secret", GM));
    assert_eq!(
        network.connect(0),
        Connection::Refused(Failure::NoPresharedKey)
    );
    let mut gm = config("secret", KS);
    gm.policies.clear();
    let mut network = Network::new(gm, config("secret", GM));
    assert_eq!(network.connect(0), Connection::Refused(Failure::NoPolicy));
    assert_eq!(network.sent.len(), 0);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn a_peer_with_doi_ipsec_gets_doi_1_and_answers_in_kind() {
    let mut gm = config("secret", KS);
    gm.peers = vec![IsakmpPeer {
        address: *KS.ip(),
        doi_ipsec: true,
    }];
    let mut network = Network::new(gm, config("secret", GM));
    network.connect(0);
    network.run_for(LONG);
    network.assert_one_sa();
    for (_, bytes) in &network.sent[..2] {
        // Behind the header and the generic header of the SA payload: DOI and situation.
        assert_eq!(bytes[32..40], [0, 0, 0, 1, 0, 0, 0, 1]);
    }
    let mut network = Network::fitting();
    network.connect(0);
    network.run_for(LONG);
    for (_, bytes) in &network.sent[..2] {
        assert_eq!(bytes[32..40], [0, 0, 0, 2, 0, 0, 0, 0]);
    }
}

#[test]
fn gdoi_with_situation_1_is_accepted_and_answered_in_kind() {
    let mut network = Network::fitting();
    network.connect(0);
    let mut bytes = network.flight.pop_front().unwrap().bytes;
    bytes[36..40].copy_from_slice(&[0, 0, 0, 1]);
    network.deliver(1, GM, &bytes);
    assert_eq!(network.sent[1].1[32..40], [0, 0, 0, 2, 0, 0, 0, 1]);
    for (doi, situation) in [(1, 0), (3, 0), (0, 0)] {
        let mut network = Network::fitting();
        network.connect(0);
        let mut bytes = network.flight.pop_front().unwrap().bytes;
        bytes[32..40].copy_from_slice(&[0, 0, 0, doi, 0, 0, 0, situation]);
        network.deliver(1, GM, &bytes);
        assert_eq!(network.nodes[1].engine.view().half_open, 0);
        assert_eq!(refusals(&network), 1, "{doi} {situation}");
    }
}

#[test]
fn every_algorithm_reaches_an_sa() {
    let ciphers = [
        IsakmpCipher::TripleDes,
        IsakmpCipher::Aes128,
        IsakmpCipher::Aes192,
        IsakmpCipher::Aes256,
    ];
    let hashes = [
        IsakmpHash::Sha1,
        IsakmpHash::Sha256,
        IsakmpHash::Sha384,
        IsakmpHash::Sha512,
    ];
    for encryption in ciphers {
        for hash in hashes {
            let mut gm = config("secret", KS);
            gm.policies = vec![policy(encryption, hash, 19)];
            let mut ks = config("secret", GM);
            ks.policies.clone_from(&gm.policies);
            let mut network = Network::new(gm, ks);
            network.connect(0);
            network.run_for(LONG);
            network.assert_one_sa();
            assert!(network.pull(network.now + LONG, 100));
        }
    }
    for group in [2, 5, 14, 15, 16, 20, 21] {
        let mut gm = config("secret", KS);
        gm.policies = vec![policy(IsakmpCipher::Aes128, IsakmpHash::Sha256, group)];
        let mut ks = config("secret", GM);
        ks.policies.clone_from(&gm.policies);
        let mut network = Network::new(gm, ks);
        network.connect(0);
        network.run_for(LONG);
        network.assert_one_sa();
    }
}

#[test]
fn the_first_of_the_initiators_offers_that_fits_is_taken_and_the_shorter_life() {
    let mut gm = config("secret", KS);
    gm.policies = vec![
        policy(IsakmpCipher::Aes256, IsakmpHash::Sha512, 21),
        policy(IsakmpCipher::Aes128, IsakmpHash::Sha256, 19),
        policy(IsakmpCipher::Aes256, IsakmpHash::Sha256, 19),
    ];
    let mut ks = config("secret", GM);
    ks.policies = vec![
        policy(IsakmpCipher::Aes256, IsakmpHash::Sha256, 19),
        policy(IsakmpCipher::Aes128, IsakmpHash::Sha256, 19),
    ];
    ks.policies[1].lifetime_s = 3_600;
    let mut network = Network::new(gm, ks);
    network.connect(0);
    network.run_for(LONG);
    let (_, sa) = network.assert_one_sa();
    let agreed = network.nodes[1].engine.sa(sa).unwrap().agreed();
    assert_eq!(agreed.encryption, IsakmpCipher::Aes128);
    assert_eq!(agreed.lifetime_s, 3_600);
    // The side with the shorter life ends it and says so.
    network.run_for(Duration::from_secs(3_600));
    assert!(
        network
            .nodes
            .iter()
            .all(|node| node.engine.view().rows.is_empty())
    );
}

#[test]
fn an_sa_is_shown_as_ios_shows_it() {
    let mut network = Network::fitting();
    network.connect(0);
    let states = |network: &Network| -> Vec<_> {
        let rows = network
            .nodes
            .iter()
            .map(|node| node.engine.view().rows.first().cloned());
        rows.map(|row| row.map(|row| (row.state, row.conn_id)))
            .collect()
    };
    let mut seen = vec![states(&network)];
    while network.step(Time::from_secs(1)) {
        seen.push(states(&network));
    }
    use SaState::{GdoiIdle, MmKeyExch, MmNoState, MmSaSetup};
    let expected = [
        vec![Some((MmNoState, 0)), None],
        vec![Some((MmNoState, 0)), Some((MmSaSetup, 0))],
        vec![Some((MmSaSetup, 0)), Some((MmSaSetup, 0))],
        vec![Some((MmSaSetup, 0)), Some((MmKeyExch, 0))],
        vec![Some((MmKeyExch, 0)), Some((MmKeyExch, 0))],
        vec![Some((MmKeyExch, 0)), Some((GdoiIdle, 1_001))],
        vec![Some((GdoiIdle, 1_001)), Some((GdoiIdle, 1_001))],
    ];
    assert_eq!(seen, expected);
    let rows = network
        .nodes
        .each_ref()
        .map(|node| node.engine.view().rows[0].clone());
    for row in rows {
        assert_eq!((row.destination, row.source), (*KS.ip(), *GM.ip()));
        assert_eq!(row.peer_version, Some(crate::ike::Version::OWN));
    }
}

#[test]
fn a_peer_with_another_address_than_its_keys_is_refused() {
    let mut ks = config("secret", GM);
    ks.keys[0].address = std::net::Ipv4Addr::new(10, 1, 20, 0);
    ks.keys[0].mask = std::net::Ipv4Addr::new(255, 255, 255, 0);
    let mut network = Network::new(config("secret", KS), ks);
    // gm1 speaks from an address that it does not name in its identity.
    let elsewhere = std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(10, 1, 20, 9), 848);
    network.connect(0);
    while let Some(datagram) = network.flight.pop_front() {
        let from = if datagram.to == 1 { elsewhere } else { KS };
        network.deliver(datagram.to, from, &datagram.bytes);
    }
    let counters = network.nodes[1].engine.counters();
    assert_eq!(counters.refused(RefusalCounter::Identity), 1);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn the_key_of_the_longest_mask_is_the_peers() {
    let mut ks = config("secret", GM);
    let mut any = ks.keys[0].clone();
    any.address = std::net::Ipv4Addr::UNSPECIFIED;
    any.mask = std::net::Ipv4Addr::UNSPECIFIED;
    any.secret = crypto::Secret::copy_of(b"for everybody");
    ks.keys.insert(0, any.clone());
    ks.keys.push(any);
    let mut network = Network::new(config("secret", KS), ks);
    network.connect(0);
    network.run_for(LONG);
    network.assert_one_sa();
}

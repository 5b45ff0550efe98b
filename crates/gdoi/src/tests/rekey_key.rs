//! A new Rekey SA or signing key, and the key server that takes over after it.

use std::time::Duration;

use crypto::key_pair::Kind;
use crypto::{Secret, fixture};
use policy::KekCipher;

use super::coop::{group, role};
use super::network::{Fate, KS2, Network, gm, key_server};
use crate::config::{KeyServer, RekeyKey};
use crate::ks::Role;
use crate::machine::{Command, Input};

const PUSH: u8 = 33;
const ACK: u8 = 35;
const TICK: Duration = Duration::from_millis(250);

/// Two key servers and two members, in which `change` made a new Rekey SA that all members hold; then
/// the primary died, and the other one leads and was ordered to rekey.
fn taken_over(seed: u64, change: fn(&mut KeyServer)) -> Network {
    let mut network = group(seed, 2, 2, 600, 10);
    network.run_s(20);
    for name in ["ks1", "ks2"] {
        network.give(
            name,
            Input::KeyPair {
                label: "other".into(),
                kind: Kind::Rsa,
                exportable: false,
                pkcs8: Secret::copy_of(fixture::NOT_SECRET_RSA_2048_PKCS8_SECOND),
            },
        );
    }
    let before = network.ks("ks1").keks[0].spi;
    network.reconfigure("ks1", change);
    network.reconfigure("ks2", change);
    network.watch(Duration::from_secs(30), TICK, Network::assert_understood);
    assert_ne!(network.ks("ks1").keks[0].spi, before);
    network.kill("ks1");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(role(&network, "ks2"), Role::Primary);
    network.log.clear();
    network.command("ks2", Command::Rekey { group: None });
    network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
    network
}

#[test]
fn who_takes_over_rekeys_under_the_rekey_sa_that_members_hold_now() {
    let changes: [fn(&mut KeyServer); 2] = [
        |own| own.kek_cipher = KekCipher::Aes128,
        |own| own.rekey_key = Some(RekeyKey::new(Kind::Rsa, "other")),
    ];
    for (seed, change) in changes.into_iter().enumerate() {
        let network = taken_over(seed as u64 + 1, change);
        let current = network.ks("ks2").keks[0].spi;
        let log = network.log.iter();
        let pushes: Vec<_> = log
            .filter(|packet| packet.exchange() == PUSH && *packet.from.ip() == KS2)
            .collect();
        assert!(!pushes.is_empty(), "{}", network.transcript);
        for push in pushes {
            assert_eq!(push.bytes[..16], current.0, "{}", network.transcript);
        }
        for n in 1..=2 {
            let refusals = network.gm(n).refusals;
            assert!(
                refusals.iter().all(|(_, count)| *count == 0),
                "{refusals:?}"
            );
        }
    }
}

#[test]
fn a_member_whose_acknowledgements_are_lost_believes_both_signing_keys_under_the_old_rekey_sa() {
    let mut network = Network::of(3, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    network.give(
        "ks1",
        Input::KeyPair {
            label: "other".into(),
            kind: Kind::Rsa,
            exportable: false,
            pkcs8: Secret::copy_of(fixture::NOT_SECRET_RSA_2048_PKCS8_SECOND),
        },
    );
    let before = network.ks("ks1").keks[0].spi;
    network.fate = Box::new(|packet, _| {
        let is_lost = packet.exchange() == ACK && *packet.from.ip() == gm(1);
        if is_lost { Fate::Lose } else { Fate::Deliver }
    });
    network.reconfigure("ks1", |own| {
        own.rekey_key = Some(RekeyKey::new(Kind::Rsa, "other"))
    });
    network.run_s(3);
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.log.clear();
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
    let mut log = network.log.iter();
    let under_the_old = |packet: &super::network::Packet| {
        packet.exchange() == PUSH && *packet.to.ip() == gm(1) && packet.bytes[..16] == before.0
    };
    assert!(log.any(under_the_old), "{}", network.transcript);
    for n in 1..=2 {
        let view = network.gm(n);
        assert!(
            view.refusals.iter().all(|(_, count)| *count == 0),
            "{:?}",
            view.refusals
        );
        assert_eq!(view.registrations_succeeded, 1);
        // The one whose acknowledgement was lost may lack the first: it gets that anew.
        let expected = if n == 1 { 3 } else { 2 };
        assert_eq!(
            view.rekeys_received, expected,
            "{n}\n{}",
            network.transcript
        );
    }
}

//! Which rekey keys several key servers hold, who leads without one, and who signs for whom.

use std::time::Duration;

use crypto::ecdsa::Curve;
use crypto::key_pair::{Kind, Size};
use policy::Signature;

use super::coop::{group, heal, role, split};
use super::merge::apart;
use super::network::{KS, KS2, Network, generate_rsa};
use crate::config::RekeyKey;
use crate::ks::{Role, Serving};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(250);

fn generate(label: &str) -> Command {
    Command::GenerateKeyPair {
        label: label.into(),
        size: Size::Ec(Curve::P256),
        exportable: true,
    }
}

fn sign_with(network: &mut Network, name: &str, kind: Kind, label: &str) {
    let key = RekeyKey::new(kind, label);
    network.reconfigure(name, |own| own.rekey_key = Some(key));
}

/// The labels of the key pairs of a box.
fn labels(network: &Network, name: &str) -> Vec<String> {
    let machine = network.node(name).machine.as_ref().unwrap();
    machine
        .key_pairs()
        .into_iter()
        .map(|key| key.label)
        .collect()
}

fn assert_leads(network: &Network, name: &str) {
    let role = role(network, name);
    assert_eq!(role, Role::Primary, "{name}\n{}", network.transcript);
}

fn assert_serves(network: &Network, name: &str) {
    let serving = network.ks(name).serving;
    assert_eq!(serving, Serving::Yes, "{name}\n{}", network.transcript);
}

fn without_its_disk(network: &mut Network, name: &str) {
    network.kill(name);
    let at = network.at(name);
    network.nodes[at].disk.clear();
    network.start(name);
}

/// One that names a key which nobody has leads to nothing: whoever has one leads.
#[test]
fn a_primary_that_names_a_missing_key_gives_the_role_up() {
    let mut network = group(40, 2, 2, 600, 10);
    network.run_s(20);
    assert_leads(&network, "ks1");
    sign_with(&mut network, "ks1", Kind::Ec, "nobodys");
    network.watch(Duration::from_secs(1_300), TICK, Network::assert_understood);
    assert_leads(&network, "ks2");
    // Made, it signs, and who names it leads again.
    network.command("ks1", generate("nobodys"));
    sign_with(&mut network, "ks2", Kind::Ec, "nobodys");
    network.watch(Duration::from_secs(700), TICK, Network::assert_understood);
    for name in ["ks1", "ks2"] {
        assert_serves(&network, name);
        assert_eq!(network.ks(name).keks[0].signature, Signature::Ecdsa256);
    }
}

/// Where nobody else could lead, the role is kept: the group goes on with what it has.
#[test]
fn a_lone_primary_that_names_a_missing_key_keeps_the_role() {
    let mut network = group(41, 2, 1, 600, 10);
    network.run_s(20);
    network.kill("ks2");
    network.run_s(60);
    sign_with(&mut network, "ks1", Kind::Ec, "nobodys");
    network.run_s(60);
    assert_leads(&network, "ks1");
}

/// Who still leads when it is told the other side's key needs it later.
#[test]
fn a_key_that_was_told_at_a_merge_is_there_when_it_is_named() {
    let mut network = group(42, 2, 2, 600, 10);
    network.run_s(20);
    apart(&mut network, &[KS2]);
    network.run_s(60);
    network.command("ks2", generate("curve"));
    sign_with(&mut network, "ks2", Kind::Ec, "curve");
    network.run_s(30);
    assert_leads(&network, "ks2");
    heal(&mut network);
    network.run_s(60);
    assert_leads(&network, "ks1");
    sign_with(&mut network, "ks1", Kind::Ec, "curve");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    // It is there already, so it need not give the role up to get it.
    assert_leads(&network, "ks1");
    for name in ["ks1", "ks2"] {
        assert_serves(&network, name);
        assert_eq!(labels(&network, name), ["curve", "get"]);
    }
}

/// Also the pair that signs under a Rekey SA of before: under its own label, and not in place of the
/// one that is configured.
#[test]
fn who_takes_over_has_the_pair_that_signs_under_the_rekey_sa_in_use() {
    let mut network = group(43, 2, 2, 600, 10);
    network.run_s(20);
    without_its_disk(&mut network, "ks2");
    network.command("ks2", generate("curve"));
    sign_with(&mut network, "ks2", Kind::Ec, "curve");
    network.run_s(60);
    assert_eq!(
        labels(&network, "ks2"),
        ["curve", "get"],
        "{}",
        network.transcript
    );
    network.kill("ks1");
    network.watch(Duration::from_secs(90), TICK, Network::assert_understood);
    assert_leads(&network, "ks2");
    network.command("ks2", Command::Rekey { group: None });
    network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
    for n in [1, 2] {
        assert_eq!(
            network.gm(n).last_rekey_from,
            Some(KS2),
            "{}",
            network.transcript
        );
    }
}

/// A key server that went over to another key, and one that lost its disk then, hold both pairs.
#[test]
fn the_pair_of_a_rekey_sa_of_before_is_told_too() {
    let mut network = group(44, 3, 2, 3_600, 10);
    network.run_s(20);
    network.command("ks1", generate("curve"));
    network.run_s(5);
    sign_with(&mut network, "ks1", Kind::Ec, "curve");
    network.run_s(20);
    without_its_disk(&mut network, "ks3");
    sign_with(&mut network, "ks3", Kind::Ec, "curve");
    network.run_s(60);
    assert_eq!(
        labels(&network, "ks3"),
        ["curve", "get"],
        "{}",
        network.transcript
    );
}

/// A member is not given a Rekey SA whose signatures it could not check.
#[test]
fn who_lacks_the_pair_of_the_rekey_sa_in_use_refuses_by_its_name() {
    let mut network = group(45, 2, 1, 600, 10);
    network.run_s(20);
    network.reconfigure("ks2", |own| own.key_sync = false);
    without_its_disk(&mut network, "ks2");
    network.command("ks2", generate("curve"));
    sign_with(&mut network, "ks2", Kind::Ec, "curve");
    network.run_s(60);
    assert_serves(&network, "ks2");
    assert_eq!(labels(&network, "ks2"), ["curve"], "{}", network.transcript);
    split(&mut network, super::network::gm(1), &[KS]);
    network.node_mut("ks2").events.clear();
    network.command("gm1", Command::ClearGdoi { group: None });
    network.run_s(20);
    let events = &network.node("ks2").events;
    let named = |event: &String| event.contains("KS_NO_RSA_KEYS: RSA Key - get ");
    assert!(events.iter().any(named), "{}", network.transcript);
    assert_eq!(network.registered(), 0);
    // The pair comes back: it is served.
    network.command("ks2", generate_rsa());
    network.run_s(120);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
}

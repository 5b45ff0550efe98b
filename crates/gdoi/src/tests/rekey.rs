//! Rekeys: scheduled, ordered, of the KEK, after a change of policy.

use std::time::Duration;

use super::network::{Network, cbc, g1, key_server};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(250);

#[test]
fn an_ordered_rekey_is_this_ladder() {
    let mut network = Network::of(1, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    network.transcript.clear();
    network.command("ks1", Command::Rekey { group: Some(g1()) });
    network.run_s(40);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn an_ordered_rekey_changes_the_key_and_nobody_sends_on_what_another_lacks() {
    let mut network = Network::of(2, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    let before = network.node("gm1").plane().outbound(network.now).unwrap();
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let after = network.node("gm1").plane().outbound(network.now).unwrap();
    assert_ne!(before, after);
    let view = network.ks("ks1");
    assert_eq!(view.teks[0].spi, after);
    assert_eq!((view.rekeys_sent, view.seq), (1, 1));
    assert_eq!(view.members[0].acks_received, 1);
    assert_eq!(view.members[0].sent_seqs, [1, 0, 0, 0]);
    assert_eq!(view.members[0].received_seqs, [1, 0, 0, 0]);
    assert_eq!(view.last_rekey_duration, Duration::from_millis(100));
    let member = network.gm(1);
    assert_eq!((member.rekeys_received, member.acks_sent), (1, 1));
}

#[test]
fn twenty_minutes_of_the_shortest_lifetimes_pass_without_a_gap() {
    let mut network = Network::of(3, &key_server(60, 120), 3);
    network.run_s(5);
    let registrations = network.gm(1).registrations_succeeded;
    network.watch(Duration::from_secs(1_200), TICK, |network| {
        network.assert_understood();
        network.assert_keys_agree("ks1");
    });
    let member = network.gm(1);
    assert_eq!(
        member.registrations_succeeded, registrations,
        "{}",
        network.transcript
    );
    let view = network.ks("ks1");
    assert!(view.rekeys_sent >= 20 + 8, "{} rekeys", view.rekeys_sent);
    assert_eq!(view.rekeys_retransmitted, 0);
    assert_eq!(
        network.node("gm1").count("GM_RECV_REKEY") as u64,
        view.rekeys_sent
    );
    assert!(network.node("gm1").count("SA_KEK_UPDATED") >= 8);
    network.assert_sids_unique();
}

#[test]
fn a_week_of_usual_lifetimes_passes_without_a_gap() {
    let mut network = Network::of(4, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    network.watch(
        Duration::from_secs(7 * 86_400),
        Duration::from_secs(17),
        Network::assert_understood,
    );
    assert_eq!(network.gm(1).registrations_succeeded, 1);
    assert_eq!(network.gm(2).refusals, []);
}

#[test]
fn a_new_transform_is_rekeyed_at_once_and_switched_to_by_all_at_the_same_time() {
    let mut network = Network::of(5, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    network.reconfigure("ks1", |config| config.sas[0].transform = cbc());
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let plane = network.node("gm2").plane();
    let spi = plane.outbound(network.now).unwrap();
    assert_eq!(plane.sas[&spi].0.transform, cbc());
}

#[test]
fn the_longest_lifetimes_last_for_months() {
    let month_s = 30 * 86_400;
    let mut network = Network::of(6, &key_server(month_s, 2 * month_s), 2);
    network.run_s(5);
    network.watch(
        Duration::from_secs(u64::from(month_s) * 5),
        Duration::from_secs(3_001),
        Network::assert_understood,
    );
    assert_eq!(network.gm(1).registrations_succeeded, 1);
    assert!(network.gm(1).rekeys_received >= 6);
}

#[test]
fn a_policy_that_cannot_be_served_is_named_and_corrected_without_a_restart() {
    let mut network = Network::of(7, &key_server(3_600, 3_600), 1);
    network.run_s(5);
    assert_eq!(network.registered(), 0);
    let events = &network.node("ks1").events;
    assert!(
        events.iter().any(|line| line.contains("less than twice")),
        "{events:?}"
    );
    network.reconfigure("ks1", |config| config.kek_lifetime_s = 7_200);
    network.run_s(90);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
}

#[test]
fn an_operator_may_order_rekeys_as_often_as_he_likes() {
    let mut network = Network::of(8, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    for _ in 0..60 {
        for _ in 0..5 {
            network.command("ks1", Command::Rekey { group: None });
        }
        network.watch(Duration::from_secs(2), TICK, Network::assert_understood);
    }
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert!(network.ks("ks1").teks.len() > crate::limits::TEKS_HELD_MAX);
    assert!(network.node("gm1").plane().sas.len() <= crate::limits::TEKS_HELD_MAX);
    network.add_member(3);
    network.watch(Duration::from_secs(30), TICK, Network::assert_understood);
    assert_eq!(network.registered(), 3, "a joiner can follow it");
}

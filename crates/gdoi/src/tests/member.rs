//! A member's own decisions: which server, when again, what when nobody answers.

use std::time::Duration;

use policy::spi::SpiHead;
use policy::{KsIndex, Spi};

use super::network::{Fate, KS, KS2, Network, Packet, g1, key_server, member, seconds};
use crate::config::Config;
use crate::gm::Status;
use crate::machine::{Command, Input};

const TICK: Duration = Duration::from_millis(500);

fn with_two_servers(network: &mut Network) {
    let mut config = (*network.node("gm1").config).clone();
    config.members[0].servers = vec![KS2, KS];
    network.configure("gm1", config);
}

#[test]
fn the_next_server_is_tried_when_the_first_is_silent() {
    let mut network = Network::new(1);
    network.add_key_server("ks1", key_server(3_600, 7_200));
    let mut own = member(1);
    own.servers = vec![KS2, KS];
    let config = Config {
        isakmp: super::network::isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![own],
    };
    network.add("gm1", super::network::gm(1), config);
    network.run_s(40);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
    assert_eq!(network.gm(1).server.map(|server| *server.ip()), Some(KS));
    assert!(network.gm(1).registrations_attempted >= 2);
    with_two_servers(&mut network);
    assert_eq!(network.registered(), 1);
}

#[test]
fn a_member_that_hears_no_rekey_registers_again_before_its_keys_expire() {
    let mut network = Network::of(2, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.fate = Box::new(|packet, _| {
        if packet.exchange() == 33 && *packet.to.ip() == super::network::gm(1) {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    let planned = network.gm(1).reregisters_in.expect("it is planned");
    assert!((520..=540).contains(&planned.as_secs()), "{planned:?}");
    network.watch(Duration::from_secs(1_500), TICK, Network::assert_understood);
    let view = network.gm(1);
    assert!(
        view.registrations_succeeded >= 3,
        "{}",
        view.registrations_succeeded
    );
    assert!(network.node("gm1").has_event("GM_RE_REGISTER"));
    assert_eq!(network.gm(2).registrations_succeeded, 1);
    network.assert_sids_unique();
}

#[test]
fn without_a_key_server_a_member_keeps_its_keys_to_their_end_and_then_closes() {
    let mut network = Network::of(3, &key_server(600, 1_200), 2);
    network.run_s(5);
    let expiry = network.ks("ks1").teks[0].remaining;
    network.kill("ks1");
    network.watch(
        expiry - Duration::from_secs(2),
        TICK,
        Network::assert_understood,
    );
    assert_eq!(network.node("gm1").plane().closed, 0);
    network.run_s(20);
    assert_eq!(
        network.node("gm1").plane().closed,
        1,
        "{}",
        seconds(network.now)
    );
    assert!(network.node("gm1").plane().acl.is_none());
    network.start("ks1");
    network.run_s(90);
    assert_eq!(network.registered(), 2, "{}", network.transcript);
    network.assert_understood();
}

#[test]
fn clear_crypto_gdoi_drops_everything_and_registers_again() {
    let mut network = Network::of(4, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.command("gm1", Command::ClearGdoi { group: Some(g1()) });
    assert_eq!(network.node("gm1").plane().closed, 1);
    assert_eq!(network.gm(1).status, Status::Registering);
    network.run_s(5);
    assert!(network.node("gm1").has_event("GM_CLEAR_REGISTER"));
    assert_eq!(network.registered(), 2);
    assert_eq!(network.node("gm1").all_sids.len(), 2);
    network.assert_sids_unique();
}

#[test]
fn a_worker_that_runs_out_of_its_counter_gets_a_new_sid_and_traffic_goes_on() {
    let mut network = Network::of(5, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.give("gm1", Input::SidsLow { group: g1() });
    network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
    assert_eq!(network.node("gm1").all_sids.len(), 2);
    network.assert_sids_unique();
}

/// PROTOCOL P21: what a copy of the memory may hold too is not used again: no key, no sender
/// identifier, no phase-1 SA, no randomness.
#[test]
fn a_member_whose_memory_was_resumed_closes_and_registers_anew() {
    let mut network = Network::of(15, &key_server(600, 1_200), 2);
    network.run_s(5);
    let before = network.node("gm1").plane().sids.clone();
    network.log.clear();
    let rng = Box::new(crypto::SeededRng::from_number(99));
    network.give("gm1", Input::Resumed { rng });
    assert_eq!(network.node("gm1").plane().closed, 1);
    assert!(network.node("gm1").plane().sas.is_empty());
    assert_eq!(network.gm(1).status, Status::Registering);
    let first = network.log.first().expect("it asks at once");
    assert_eq!(
        first.exchange(),
        2,
        "main mode: the old phase-1 SA is not used"
    );
    network.run_s(5);
    network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
    assert!(network.node("gm1").has_event("GM_RESUMED"));
    let view = network.gm(1);
    assert_eq!(
        (view.status, view.resumptions, view.registrations_succeeded),
        (Status::Registered, 1, 2)
    );
    let after = &network.node("gm1").plane().sids;
    assert!(after.iter().all(|sid| !before.contains(sid)), "{after:?}");
    network.assert_sids_unique();
}

fn triple_des() -> policy::Transform {
    policy::Transform::new(policy::Encryption::TripleDes, policy::Integrity::HmacSha1).unwrap()
}

/// PROTOCOL P23: the key server says how much each sender may encrypt, and when one has nearly done so
/// it ends the period, once however many members say so, and without a packet that is not understood.
#[test]
fn a_key_of_64_bit_blocks_that_a_member_has_nearly_used_up_is_replaced() {
    let mut config = key_server(3_600, 7_200);
    config.sas[0].transform = triple_des();
    let mut network = Network::of(16, &config, 2);
    network.run_s(5);
    for name in ["gm1", "gm2"] {
        assert_eq!(
            network.node(name).plane().blocks_log2,
            Some(30 - 4),
            "of sixteen"
        );
    }
    let now = network.now;
    let spi = network.node("gm1").plane().outbound(now).unwrap();
    for name in ["gm1", "gm2", "gm1"] {
        network.give(name, Input::KeySpent { group: g1(), spi });
        network.watch(Duration::from_secs(3), TICK, Network::assert_understood);
    }
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let now = network.now;
    for name in ["gm1", "gm2"] {
        let next = network.node(name).plane().outbound(now).unwrap();
        assert_ne!(next, spi, "{name}");
    }
    assert_eq!(network.node("ks1").count("KS_KEY_SPENT"), 1);
    assert_eq!(
        network.gm(1).registrations_succeeded,
        2,
        "a key is said once"
    );
    // A key that is not sent on any more, or was never held, ends nothing.
    network.give("gm1", Input::KeySpent { group: g1(), spi });
    network.give(
        "gm2",
        Input::KeySpent {
            group: g1(),
            spi: Spi(7),
        },
    );
    network.run_s(10);
    assert_eq!(network.node("ks1").count("KS_KEY_SPENT"), 1);
}

#[test]
fn a_group_of_128_bit_blocks_is_told_of_no_limit() {
    let mut network = Network::of(17, &key_server(600, 1_200), 1);
    network.run_s(5);
    assert_eq!(network.node("gm1").plane().blocks_log2, None);
}

#[test]
fn several_workers_get_a_sid_each() {
    let mut network = Network::of(6, &key_server(600, 1_200), 1);
    let mut config = (*network.node("gm1").config).clone();
    config.members[0].workers = 4;
    network.configure("gm1", config);
    network.run_s(10);
    assert_eq!(network.node("gm1").plane().sids.len(), 4);
    assert_eq!(network.ks("ks1").members[0].sids, 4);
    network.assert_sids_unique();
}

/// PROTOCOL P18: an SPI with the group's tag, three times in two seconds, starts a registration;
/// any other SPI does not.
#[test]
fn an_unknown_spi_of_the_group_starts_recovery_once_a_minute() {
    let mut network = Network::of(7, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    for n in 0..100 {
        network.give(
            "gm1",
            Input::UnknownSpi {
                spi: Spi(0x4242_0000 + n),
            },
        );
    }
    network.run_s(5);
    assert_eq!(
        network.gm(1).registrations_attempted,
        1,
        "no tag, no recovery"
    );
    let spi = foreign_spi(&network);
    for _ in 0..10 {
        network.give("gm1", Input::UnknownSpi { spi });
    }
    network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
    assert_eq!(network.gm(1).registrations_succeeded, 2);
    assert_eq!(network.node("gm1").count("GM_RECOVERY_REGISTRATION"), 1);
    for _ in 0..10 {
        network.give("gm1", Input::UnknownSpi { spi });
    }
    network.run_s(5);
    assert_eq!(
        network.gm(1).registrations_succeeded,
        2,
        "not twice in a minute"
    );
}

/// An SPI of this group that its members do not hold: what another partition would mint.
fn foreign_spi(network: &Network) -> Spi {
    let mut restored = network.restored("ks1");
    let (row, _) = restored.groups.remove(&g1()).expect("the group is there");
    let index = KsIndex::new(7).expect("below 16");
    crate::ks::spis::tagged(&row.keys.spi_key, SpiHead::new(index, 99))
}

#[test]
fn two_groups_on_one_key_server_and_one_member_do_not_mix() {
    let mut second = key_server(60, 120);
    second.group = "G2".into();
    second.id = policy::GroupId::Number(4_444);
    second.sas[0].transform = super::network::cbc();
    let mut network = Network::new(8);
    let config = Config {
        isakmp: super::network::isakmp(),
        incomplete: Vec::new(),
        key_servers: vec![key_server(600, 1_200), second],
        members: Vec::new(),
    };
    network.add("ks1", KS, config);
    network.command("ks1", super::network::generate_rsa());
    for n in [1, 2] {
        let mut other = member(n);
        other.group = "G2".into();
        other.id = policy::GroupId::Number(4_444);
        let config = Config {
            isakmp: super::network::isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![member(n), other],
        };
        network.add(&format!("gm{n}"), super::network::gm(n), config);
    }
    network.run_s(5);
    network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
    for name in ["gm1", "gm2"] {
        let node = network.node(name);
        let views = node.machine.as_ref().unwrap().gm_views(network.now);
        assert_eq!(views.len(), 2);
        assert!(views.iter().all(|view| view.status == Status::Registered));
        assert!(views.iter().all(|view| view.registrations_succeeded == 1));
        let mut spis: Vec<Spi> = node
            .planes
            .values()
            .flat_map(|p| p.sas.keys())
            .copied()
            .collect();
        let count = spis.len();
        spis.sort_unstable();
        spis.dedup();
        assert_eq!(spis.len(), count);
    }
    let pushes: Vec<&Packet> = network.log.iter().filter(|p| p.exchange() == 33).collect();
    assert!(pushes.len() > 20);
}

/// Eight bits of SID are sixteen for each key server: what was given out comes back only when the
/// keys that it was used with have ended.
#[test]
fn in_the_smallest_group_sids_run_out_by_name_and_come_back_with_time() {
    let mut config = key_server(600, 1_200);
    config.size = policy::GroupSize::Small8;
    let mut network = Network::of(9, &config, 2);
    network.run_s(5);
    for _ in 0..14 {
        network.give("gm1", Input::SidsLow { group: g1() });
        network.run_s(3);
    }
    network.assert_sids_unique();
    assert_eq!(network.node("gm1").all_sids.len(), 15);
    network.give("gm1", Input::SidsLow { group: g1() });
    network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
    let failure = network.gm(1).last_failure.expect("it knows why");
    assert!(
        failure.contains("no sender identifier is free"),
        "{failure}"
    );
    network.watch(Duration::from_secs(1_800), TICK, Network::assert_understood);
    let view = network.gm(1);
    assert_eq!(view.last_failure, None, "{}", network.transcript);
    assert!(network.node("gm1").all_sids.len() > 15);
}

//! Several groups between the same boxes share their phase-1 SAs; a group whose configuration loses
//! something that it needs stands still and forgets nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use policy::{GroupId, GroupName};

use super::coop::cooperating;
use super::network::{KS, KS2, Network, g1, generate_rsa, gm, isakmp, key_server, member};
use crate::config::{self, Config};
use crate::ks::Role;
use crate::machine::Command;

/// More than an SA may hold exchanges.
const GROUPS: u32 = 20;

fn name(n: u32) -> GroupName {
    GroupName::new(format!("G{n}"))
}

/// Two key servers of many groups, which begin at the same time.
fn many(seed: u64) -> Network {
    let mut network = Network::new(seed);
    for (box_name, address, priority) in [("ks1", KS, 10), ("ks2", KS2, 5)] {
        let of = |n: u32| config::KeyServer {
            group: name(n),
            id: GroupId::Number(3_000 + n),
            ..cooperating(address, priority, &[KS, KS2], 600)
        };
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: (1..=GROUPS).map(of).collect(),
            members: Vec::new(),
        };
        network.add(box_name, address, config);
        network.command(box_name, generate_rsa());
    }
    network
}

/// What a key server knows of each of its groups: its role, whether it hears the other one, and its keys.
fn state(network: &Network, name: &str) -> Vec<(Role, bool, Vec<u32>)> {
    let node = network.node(name);
    let machine = node.machine.as_ref().expect("it is alive");
    let views = machine.ks_views(node.local(network.now));
    views
        .into_iter()
        .map(|view| {
            let coop = view.coop.expect("it has a peer");
            let keys = view.teks.iter().map(|tek| tek.spi.0).collect();
            (coop.role, coop.peers.iter().all(|peer| peer.alive), keys)
        })
        .collect()
}

fn assert_all_agree(network: &Network) {
    let (one, two) = (state(network, "ks1"), state(network, "ks2"));
    assert_eq!(one.len(), GROUPS as usize);
    for (at, (one, two)) in one.iter().zip(&two).enumerate() {
        assert_eq!((one.0, two.0), (Role::Primary, Role::Secondary), "G{at}");
        assert!(one.1 && two.1, "G{at} hears nobody");
        assert!(
            !one.2.is_empty() && one.2 == two.2,
            "G{at}: {one:?} {two:?}"
        );
    }
}

#[test]
fn more_groups_than_an_sa_holds_exchanges_meet_and_go_on() {
    let mut network = many(1);
    network.run_s(60);
    assert_all_agree(&network);
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(60);
    assert_all_agree(&network);
}

/// No keepalives: whichever group's announcement stays unanswered first ends the SA, for all groups.
#[test]
fn the_groups_of_a_peer_that_restarts_all_find_it_again() {
    for seed in 1..=3 {
        let mut network = many(seed);
        // Not when all are due.
        network.run_s(65);
        network.kill("ks2");
        for n in 1..=3 {
            let group = Some(name(n));
            network.command("ks1", Command::Rekey { group });
            network.run_s(2);
        }
        network.run_s(20);
        network.start("ks2");
        network.run_s(90);
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(60);
        assert_all_agree(&network);
    }
}

/// One key server and some members.
fn lone(members: u8) -> Network {
    Network::of(7, &key_server(600, 1_200), members)
}

fn without_the_group(network: &Network) -> Config {
    let mut config = (*network.node("ks1").config).clone();
    config.incomplete = vec![(g1(), "it has no rekey key".to_owned())];
    config.key_servers.clear();
    config
}

#[test]
fn a_group_whose_configuration_is_incomplete_for_a_while_forgets_nothing() {
    let mut network = lone(3);
    network.run_s(30);
    let before = network.ks("ks1");
    let (disk, config) = (
        network.node("ks1").disk.clone(),
        Arc::clone(&network.node("ks1").config),
    );
    let lacking = without_the_group(&network);
    network.configure("ks1", lacking);
    assert!(network.node("ks1").has_event("KS_INCOMPLETE_CFG"));
    network.run_s(20);
    assert_eq!(network.node("ks1").disk.len(), disk.len(), "rows are gone");
    network.configure("ks1", (*config).clone());
    network.run_s(20);
    let after = network.ks("ks1");
    assert_eq!(after.keks[0].spi, before.keks[0].spi);
    assert_eq!(after.members.len(), 3);
    assert_eq!(network.registered(), 3);
    let mut gone = (*config).clone();
    gone.key_servers.clear();
    network.configure("ks1", gone);
    network.run_s(1);
    let rows = network.node("ks1").disk.keys();
    let of_the_group = rows.filter(|row| row.windows(2).any(|two| two == b"G1"));
    assert_eq!(of_the_group.count(), 0, "a group that is not there at all");
}

/// Acknowledgements of a rekey come while the group stands still.
#[test]
fn what_comes_while_a_group_stands_still_does_no_harm() {
    let mut network = lone(3);
    network.run_s(30);
    let config = Arc::clone(&network.node("ks1").config);
    network.command("ks1", Command::Rekey { group: None });
    let lacking = without_the_group(&network);
    network.configure("ks1", lacking);
    network.run_s(30);
    network.configure("ks1", (*config).clone());
    network.run_s(60);
    network.assert_newest_held("ks1");
}

/// Identifiers that may be in use are remembered; a member that comes over and over is refused in the
/// end, and nobody else is.
#[test]
fn a_member_that_registers_over_and_over_is_refused_before_its_record_is_too_long() {
    let mut network = lone(1);
    let busy = |n: u8, address: Ipv4Addr| Config {
        isakmp: isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![config::Member {
            workers: 60,
            address,
            ..member(n)
        }],
    };
    network.add("gm2", gm(2), busy(2, gm(2)));
    network.run_s(10);
    for _ in 0..80 {
        network.command("gm2", Command::ClearGdoi { group: None });
        network.run_s(3);
    }
    let refused = network.ks("ks1").refusals.into_iter();
    let refused = refused.filter(|(reason, _)| *reason == "no sender identifier free");
    assert!(refused.map(|(_, count)| count).sum::<u64>() > 0);
    let longest = network
        .node("ks1")
        .disk
        .values()
        .map(|row| row.expose().len())
        .max();
    assert!(longest < Some(16_384), "{longest:?}");
    network.command("gm1", Command::ClearGdoi { group: None });
    network.run_s(10);
    assert_eq!(
        network.node("gm1").count("GM_REGS_COMPL"),
        2,
        "{}",
        network.transcript
    );
}

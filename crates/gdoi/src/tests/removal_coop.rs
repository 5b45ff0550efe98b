//! Members are taken out of groups with several key servers, in splits and merges too.

use std::time::Duration;

use super::coop::{KS3, group, heal, primary, role, split};
use super::network::{KS, KS2, gm};
use super::removal::{Adversary, assert_others_understand, clear, outbound};
use crate::ks::Role;
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(100);

#[test]
fn a_removal_at_the_primary_is_known_to_all_and_loses_nothing() {
    for seed in 1..=3 {
        let mut network = group(seed, 3, 5, 600, 10);
        network.run_s(30);
        let mut adversary = Adversary::of(&network, 2, "ks1");
        network.command("ks1", clear(Some(2), false));
        network.watch(Duration::from_secs(40), TICK, |network| {
            assert_others_understand(network, 2, 5);
        });
        for name in ["ks1", "ks2", "ks3"] {
            let members = network.ks(name).members;
            let addresses: Vec<_> = members.iter().map(|member| member.address).collect();
            let all: Vec<_> = [1, 3, 4, 5].map(gm).to_vec();
            assert_eq!(addresses, all, "{name}\n{}", network.transcript);
        }
        network.watch(Duration::from_secs(2_000), TICK, |network| {
            assert_others_understand(network, 2, 5);
            adversary.assert_deaf(network, 2, 5);
        });
        assert_eq!(adversary.try_all(&network), 4);
        adversary.assert_dumb(&network, 2, 5);
        let refused = |name: &&str| network.node(name).has_event("KS_GM_REVOKED");
        let servers = ["ks1", "ks2", "ks3"];
        assert_eq!(servers.iter().filter(|name| refused(name)).count(), 3);
        network.assert_sids_unique();
    }
}

#[test]
fn a_removal_outlives_the_key_server_that_made_it() {
    let mut network = group(11, 3, 4, 600, 10);
    network.run_s(30);
    let adversary = Adversary::of(&network, 4, "ks1");
    network.command("ks1", clear(Some(4), false));
    network.run_s(2);
    network.kill("ks1");
    network.run_s(30);
    assert_eq!(role(&network, "ks2"), Role::Primary);
    network.watch(Duration::from_secs(600), TICK, |network| {
        assert_others_understand(network, 4, 4);
        adversary.assert_deaf(network, 4, 4);
    });
    adversary.assert_dumb(&network, 4, 4);
    assert_eq!(network.ks("ks2").members.len(), 3);
    network.start("ks1");
    network.run_s(60);
    assert_eq!(network.ks("ks1").members.len(), 3, "{}", network.transcript);
    network.assert_sids_unique();
}

#[test]
fn removals_on_both_sides_of_a_split_hold_after_the_merge() {
    for now in [false, true] {
        let mut network = group(12, 2, 6, 600, 10);
        network.run_s(30);
        let ones = Adversary::of(&network, 1, "ks1");
        let twos = Adversary::of(&network, 2, "ks1");
        split(&mut network, KS, &[KS2]);
        network.run_s(60);
        assert_eq!(role(&network, "ks2"), Role::Primary);
        network.command("ks1", clear(Some(1), now));
        network.command("ks2", clear(Some(2), now));
        network.run_s(60);
        // What the two were given since, on the side that did not know of their removal.
        let later_one = Adversary::of(&network, 1, "ks2");
        let later_two = Adversary::of(&network, 2, "ks1");
        heal(&mut network);
        network.run_s(90);
        assert_eq!(primary(&network, &["ks1", "ks2"]), "ks1");
        for name in ["ks1", "ks2"] {
            let members = network.ks(name).members;
            let addresses: Vec<_> = members.iter().map(|member| member.address).collect();
            let all: Vec<_> = [3, 4, 5, 6].map(gm).to_vec();
            assert_eq!(addresses, all, "{name}\n{}", network.transcript);
        }
        let (one, two) = (network.ks("ks1"), network.ks("ks2"));
        let generation = one.coop.unwrap().generation;
        assert_eq!(generation, two.coop.unwrap().generation);
        assert!(generation.0[0] > 0 && generation.0[1] > 0);
        network.watch(Duration::from_secs(900), TICK, |network| {
            let spi = outbound(network, 3);
            for n in 3..=6 {
                let plane = network.node(&format!("gm{n}")).plane();
                assert!(
                    spi.is_some_and(|spi| plane.sas.contains_key(&spi)),
                    "gm{n}\n{}",
                    network.transcript
                );
            }
            for adversary in [&ones, &twos, &later_one, &later_two] {
                adversary.assert_deaf(network, 1, 2);
                for n in 3..=6 {
                    let plane = network.node(&format!("gm{n}")).plane();
                    adversary.assert_knows_none_of(plane, network);
                }
            }
        });
        network.assert_sids_unique();
    }
}

#[test]
fn a_key_server_that_was_away_learns_of_the_removal_before_it_serves() {
    let mut network = group(13, 3, 4, 600, 10);
    network.run_s(30);
    split(&mut network, KS3, &[KS, KS2]);
    network.run_s(60);
    network.command("ks1", clear(Some(1), false));
    network.run_s(60);
    assert_eq!(network.ks("ks1").members.len(), 3);
    let removal = network.ks("ks1").removal;
    assert_eq!(removal.lacking, [KS3], "it is partial");
    assert_eq!(removal.removed.len(), 1);
    heal(&mut network);
    network.run_s(60);
    for name in ["ks1", "ks2", "ks3"] {
        let removal = network.ks(name).removal;
        assert!(removal.lacking.is_empty(), "{name}");
        assert_eq!(removal.removed[0].0, gm(1), "{name}");
        assert_eq!(removal.keys_end_in, None, "{name}");
    }
    assert_eq!(network.ks("ks3").members.len(), 3, "{}", network.transcript);
    network.watch(Duration::from_secs(900), TICK, |network| {
        assert_others_understand(network, 1, 4);
    });
}

#[test]
fn replace_now_with_several_key_servers() {
    let mut network = group(14, 3, 4, 600, 10);
    network.run_s(30);
    let mut adversary = Adversary::of(&network, 1, "ks1");
    network.command("ks2", Command::ReplaceNow { group: None });
    network.run_s(3);
    assert_eq!(adversary.try_all(&network), 0, "a secondary does nothing");
    network.command("ks1", Command::ReplaceNow { group: None });
    network.run_s(5);
    network.watch(Duration::from_secs(900), TICK, |network| {
        network.assert_understood();
        adversary.assert_deaf(network, 0, 4);
        adversary.assert_dumb(network, 0, 4);
    });
    assert_eq!(network.registered(), 4);
    network.assert_sids_unique();
}

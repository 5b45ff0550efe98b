//! Members are taken out of groups with several key servers, in splits and merges too.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::coop::{KS3, alone, group, heal, primary, role, split};
use super::network::{Fate, KS, KS2, Network, gm};
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

/// A key that is minted ahead and would be sent on for a moment only, before it ends with the
/// generation, is nothing to go on with: the one after it is minted at once.
#[test]
fn a_removal_shortly_before_a_key_is_sent_on_waits_for_nothing() {
    for before_ms in (25_000..29_000).step_by(250) {
        let mut network = group(4, 2, 3, 60, 10);
        for name in ["ks1", "ks2"] {
            network.reconfigure(name, |own| own.look_ahead = 1);
        }
        network.run_s(200);
        let next = |network: &Network| {
            let teks = network.ks("ks1").teks;
            let ahead = teks.iter().map(|tek| tek.activates_in);
            ahead.filter(|wait| !wait.is_zero()).min()
        };
        let moment = Duration::from_millis(before_ms);
        while next(&network).is_none_or(|wait| wait > moment || moment - wait > TICK) {
            network.run(TICK);
        }
        let adversary = Adversary::of(&network, 2, "ks1");
        network.command("ks1", clear(Some(2), false));
        network.watch(Duration::from_secs(30), TICK, |network| {
            assert_others_understand(network, 2, 3);
        });
        adversary.assert_deaf(&network, 2, 3);
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
    // The old keys have ended when the sides meet, or not.
    for (now, apart_s) in [(false, 60), (true, 60), (false, 5)] {
        let mut network = group(12, 2, 6, 600, 10);
        network.run_s(30);
        let ones = Adversary::of(&network, 1, "ks1");
        let twos = Adversary::of(&network, 2, "ks1");
        split(&mut network, KS, &[KS2]);
        network.run_s(60);
        assert_eq!(role(&network, "ks2"), Role::Primary);
        network.command("ks1", clear(Some(1), now));
        network.command("ks2", clear(Some(2), now));
        network.run_s(apart_s);
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

/// Copies come so late that a key of the other side would wait for its members until long after those
/// of before have ended; who registers there meanwhile would have nothing to send on that counts.
#[test]
fn a_merge_before_the_end_of_a_removal_does_not_outlast_it() {
    let mut network = group(16, 3, 6, 3_600, 10);
    for name in ["ks1", "ks2", "ks3"] {
        network.reconfigure(name, |own| {
            (own.retransmit_period_s, own.retransmit_number) = (40, 5);
        });
    }
    network.run_s(30);
    split(&mut network, KS3, &[KS, KS2]);
    network.run_s(60);
    let adversary = Adversary::of(&network, 1, "ks1");
    network.command("ks1", clear(Some(1), false));
    network.run_s(20);
    // It hears of the removal from one that does not lead, and leads for a moment more.
    split(&mut network, KS3, &[KS]);
    while network.ks("ks3").removal.removed.is_empty() {
        network.run(TICK);
    }
    for name in ["gm3", "gm6"] {
        network.command(name, Command::ClearGdoi { group: None });
    }
    network.run_s(2);
    heal(&mut network);
    network.run_s(140);
    network.watch(Duration::from_secs(300), TICK, |network| {
        assert_others_understand(network, 1, 6);
        adversary.assert_deaf(network, 1, 6);
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

#[test]
fn a_removal_that_no_member_could_hear_of_is_made_good_when_the_split_heals() {
    for now in [false, true] {
        let mut network = group(15, 2, 4, 60, 10);
        // The Rekey SA has changed since: the key servers know who acknowledged what.
        network.run_s(300);
        let before = Adversary::of(&network, 1, "ks1");
        alone(&mut network);
        network.run_s(60);
        network.command("ks1", clear(Some(1), now));
        network.run_s(90);
        // What it was given since, by the one that did not know.
        let mut later = Adversary::of(&network, 1, "ks2");
        heal(&mut network);
        network.run_s(30);
        network.watch(Duration::from_secs(300), TICK, |network| {
            assert_others_understand(network, 1, 4);
            for adversary in [&before, &later] {
                adversary.assert_deaf(network, 1, 4);
                adversary.assert_dumb(network, 1, 4);
            }
        });
        assert!(later.try_all(&network) > 0, "they were asked to come");
    }
}

#[test]
fn a_member_that_came_to_a_key_server_which_had_not_heard_of_the_removal_comes_again() {
    comes_again(("ks1", KS), ("ks2", KS2), false);
}

/// The call to register has a higher number than the rekeys of the key server where the members
/// registered: that one does not even know that they hold its Rekey SA.
#[test]
fn a_member_that_reads_no_rekey_of_such_a_key_server_comes_again_too() {
    comes_again(("ks2", KS2), ("ks1", KS), true);
}

/// `knows` removes a member in a split, others register at `other`, which may rekey them in vain.
fn comes_again(knows: (&str, Ipv4Addr), other: (&str, Ipv4Addr), rekeyed: bool) {
    let mut network = group(16, 2, 4, 600, 0);
    network.run_s(30);
    split(&mut network, KS, &[KS2]);
    network.run_s(75);
    network.command(knows.0, clear(Some(1), false));
    network.run_s(42);
    let of_other = |network: &Network| {
        let at = |n| network.gm(n).server.map(|server| *server.ip());
        (2..=4).filter(|n| at(*n) == Some(other.1)).count()
    };
    assert!(of_other(&network) > 0, "{}", network.transcript);
    if rekeyed {
        network.command(other.0, Command::Rekey { group: None });
        network.run_s(60);
        let refused = |n: &u8| {
            network
                .node(&format!("gm{n}"))
                .has_event("GDOI_REKEY_SEQ_FAILURE")
        };
        assert!((2..=4).any(|n| refused(&n)), "{}", network.transcript);
    }
    let adversary = Adversary::of(&network, 1, other.0);
    heal(&mut network);
    network.run_s(60);
    network.watch(Duration::from_secs(900), TICK, |network| {
        assert_others_understand(network, 1, 4);
        adversary.assert_deaf(network, 1, 4);
        adversary.assert_dumb(network, 1, 4);
    });
}

#[test]
fn who_was_away_repeats_no_rekey_that_was_handed_to_it_long_ago() {
    let mut network = group(17, 2, 2, 600, 10);
    network.run_s(30);
    network.command("gm2", Command::ClearGdoi { group: None });
    network.run_s(5);
    // One member hears the primary no more, so that its rekeys are handed over.
    network.fate = Box::new(|packet, _| {
        let way = [*packet.from.ip(), *packet.to.ip()];
        let deaf = packet.exchange() == 33 && way == [KS, gm(2)];
        if deaf { Fate::Lose } else { Fate::Deliver }
    });
    let pushes = |network: &Network, from: Ipv4Addr| {
        let log = network.log.iter();
        log.filter(|packet| packet.exchange() == 33 && *packet.from.ip() == from)
            .count()
    };
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(60);
    assert!(pushes(&network, KS2) > 0, "{}", network.transcript);
    heal(&mut network);
    network.kill("ks2");
    network.run_s(120);
    let before = pushes(&network, KS2);
    network.start("ks2");
    network.run_s(60);
    assert_eq!(pushes(&network, KS2), before, "{}", network.transcript);
}

/// One copy of a rekey that another key server repeats may be lost, too.
#[test]
fn a_rekey_that_is_handed_over_is_repeated_twice() {
    let mut network = group(17, 2, 2, 600, 10);
    network.run_s(30);
    let mut lost = 0;
    network.fate = Box::new(move |packet, _| {
        let way = [*packet.from.ip(), *packet.to.ip()];
        let first = lost == 0 && packet.exchange() == 33 && way == [KS2, gm(2)];
        lost += u32::from(first);
        let deaf = packet.exchange() == 33 && way == [KS, gm(2)];
        if deaf || first {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(60);
    let teks = |n| -> BTreeSet<_> { network.gm(n).teks.iter().map(|tek| tek.spi).collect() };
    assert_eq!(teks(1), teks(2), "{}", network.transcript);
    assert_eq!(network.node("gm2").count("GM_REGS_COMPL"), 1);
}

/// A key server comes back with the disk of before a member was let in again: it hears of that
/// before it hears that the member has registered.
#[test]
fn who_was_readmitted_is_known_to_a_key_server_that_had_forgotten_it() {
    let mut network = group(17, 2, 3, 600, 10);
    network.run_s(30);
    network.command("ks1", clear(Some(3), false));
    network.run_s(60);
    let old = network.node("ks2").disk.clone();
    let readmit = Command::Readmit {
        group: None,
        member: gm(3),
    };
    network.command("ks1", readmit);
    network.command("gm3", Command::ClearGdoi { group: None });
    network.run_s(60);
    // The log of who tells it begins anew, too.
    network.kill("ks1");
    network.run_s(1);
    network.start("ks1");
    network.run_s(60);
    network.kill("ks2");
    network.node_mut("ks2").disk = old;
    network.run_s(60);
    network.start("ks2");
    network.run_s(60);
    let members = network.ks("ks2").members;
    let known = members.iter().any(|member| member.address == gm(3));
    assert!(known, "{}", network.transcript);
}

/// Either key server dies after any of its writes while a removal goes on, the one that was told too,
/// and is back some seconds later: the others lose nothing, and who was removed learns nothing.
#[test]
fn either_key_server_may_die_after_any_write_of_a_removal() {
    let run = |victim: &str, dies_after: Option<usize>| {
        let mut network = group(17, 2, 4, 600, 10);
        network.run_s(30);
        let adversary = Adversary::of(&network, 4, "ks1");
        let before = network.node(victim).writes;
        network.node_mut(victim).dies_after = dies_after.map(|writes| before + writes);
        network.command("ks1", clear(Some(4), false));
        let mut down = 0;
        for _ in 0..1_200 {
            network.run(TICK);
            assert_others_understand(&network, 4, 4);
            down += u32::from(network.node(victim).machine.is_none());
            if down == 100 {
                network.start(victim);
                down += 1;
            }
        }
        adversary.assert_deaf(&network, 4, 4);
        for name in ["ks1", "ks2"] {
            let members = network.ks(name).members;
            let out = members.iter().any(|member| member.address == gm(4));
            assert!(!out, "{name} {dies_after:?}\n{}", network.transcript);
        }
        network.assert_sids_unique();
        assert_eq!(dies_after.is_some(), down > 0);
        network.node(victim).writes - before
    };
    for victim in ["ks1", "ks2"] {
        let writes = run(victim, None);
        assert!(writes > 5, "{writes}");
        // Later ones are of what a removal leaves behind.
        for dies_after in 1..=writes.min(25) {
            run(victim, Some(dies_after));
        }
    }
}

//! What one side of a split did reaches the members of the other side when it heals.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use policy::{ClockGeneration, PseudoTime, Spi};

use super::coop::{found, group, heal, primary};
use super::network::{Fate, KS, KS2, Network, g1, gm};
use super::removal::{assert_others_understand, clear, outbound};
use crate::ks::TekRecord;
use crate::machine::{Command, Input};

const TICK: Duration = Duration::from_millis(100);

/// Nothing passes between these and all others.
pub(super) fn apart(network: &mut Network, side: &[Ipv4Addr]) {
    let side = side.to_vec();
    network.fate = Box::new(move |packet, _| {
        let [from, to] = [packet.from, packet.to].map(|end| side.contains(end.ip()));
        if from == to {
            Fate::Deliver
        } else {
            Fate::Lose
        }
    });
}

/// The other side has nothing of its own to bring, so nothing that comes from it makes the winner
/// tell its keys.
#[test]
fn a_key_made_on_the_winning_side_reaches_the_members_of_the_other() {
    for seed in 1..=5 {
        let mut network = group(seed, 2, 4, 3_600, 10);
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(3)]);
        network.run_s(60);
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(60);
        heal(&mut network);
        network.run_s(40);
        assert_eq!(primary(&network, &["ks1", "ks2"]), "ks1");
        network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
    }
}

/// Where a member registered last, as that key server knows.
fn registered_at(network: &Network, ks: &str, member: Ipv4Addr) -> Option<Ipv4Addr> {
    let mut members = network.ks(ks).members.into_iter();
    let found = members.find(|known| known.address == member);
    found.map(|known| known.key_server)
}

/// Both sides know a registration of the same member; the later one counts, whoever tells first.
#[test]
fn the_later_of_two_registrations_is_known_to_all_after_a_merge() {
    for (first, second) in [(KS, KS2), (KS2, KS)] {
        let mut network = group(1, 2, 4, 3_600, 10);
        network.run_s(30);
        for server in [first, second] {
            apart(&mut network, &[server, gm(1)]);
            network.run_s(60);
            network.command("gm1", Command::ClearGdoi { group: None });
            network.run_s(90);
        }
        let told = |network: &Network, ks: &str| registered_at(network, ks, gm(1));
        let both = [told(&network, "ks1"), told(&network, "ks2")];
        assert_eq!(both, [Some(KS), Some(KS2)]);
        heal(&mut network);
        network.run_s(60);
        let both = [told(&network, "ks1"), told(&network, "ks2")];
        assert_eq!(both, [Some(second); 2], "{}", network.transcript);
    }
}

/// Both sides removed somebody; a member that comes from one to the other may use the keys of neither
/// for long, but it hears both when they have met.
#[test]
fn who_changes_sides_after_removals_on_both_is_heard_of_again() {
    for seed in 1..=3 {
        let mut network = group(seed, 2, 4, 300, 10);
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(2)]);
        network.run_s(75);
        network.command("ks1", clear(Some(4), false));
        network.command("ks2", clear(Some(1), false));
        network.run_s(5);
        apart(&mut network, &[KS, gm(1)]);
        network.run_s(240);
        let moved = network.gm(2).registrations_succeeded;
        assert!(moved >= 2, "gm2 came {moved} times\n{}", network.transcript);
        heal(&mut network);
        network.run_s(45);
        network.watch(Duration::from_secs(60), TICK, |network| {
            let spi = outbound(network, 3);
            for n in [2, 3] {
                let plane = network.node(&format!("gm{n}")).plane();
                let held = spi.is_some_and(|spi| plane.sas.contains_key(&spi));
                assert!(held, "gm{n} lacks {spi:?}\n{}", network.transcript);
            }
        });
    }
}

/// A member that heard of a removal comes to a key server that has not, but perhaps of another one:
/// what it gets there would be dead, so it keeps what it holds, and hears what its own side says when
/// they have met.
#[test]
fn a_key_server_that_has_not_heard_of_a_removal_is_not_joined() {
    for (seed, of_another) in [(1, false), (2, false), (1, true), (2, true)] {
        let mut network = group(seed, 2, 4, 3_600, 10);
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(2)]);
        network.run_s(75);
        network.command("ks1", clear(Some(3), true));
        let order = if of_another {
            clear(None, true)
        } else {
            Command::Rekey { group: None }
        };
        network.command("ks2", order);
        network.run_s(60);
        apart(&mut network, &[KS, gm(1)]);
        for _ in 0..3 {
            let spi = outbound(&network, 4).expect("it sends");
            network.give("gm2", Input::UnknownSpi { spi });
        }
        network.run_s(60);
        let refusals = network.gm(2).refusals;
        let behind = |(reason, _): &(&str, u64)| *reason == "key server behind a removal";
        assert!(refusals.iter().any(behind), "{}", network.transcript);
        let registered = registered_at(&network, "ks2", gm(2));
        assert_ne!(registered, Some(KS2), "it is not joined");
        heal(&mut network);
        network.run_s(45);
        network.watch(Duration::from_secs(60), TICK, |network| {
            assert_others_understand(network, 3, 4);
        });
    }
}

/// Two key servers that founded a group each.
fn two_foundings(seed: u64) -> Network {
    let mut network = Network::new(seed);
    apart(&mut network, &[KS, gm(1), gm(3)]);
    found(&mut network, 2, 4, (300, 10));
    network.run_s(100);
    assert_eq!(network.registered(), 4, "{}", network.transcript);
    network
}

/// Each of two key servers founded a group of its own. When they have met, both give every key that
/// members send on to whoever comes.
#[test]
fn after_two_foundings_have_met_both_key_servers_give_the_keys_of_both() {
    for seed in 1..=3 {
        let mut network = two_foundings(seed);
        heal(&mut network);
        network.run_s(60);
        for server in [KS, KS2] {
            apart(&mut network, &[server, gm(1)]);
            network.command("gm1", Command::ClearGdoi { group: None });
            network.run_s(20);
            let plane = |n: u8| network.node(&format!("gm{n}")).plane();
            for n in 2..=4 {
                let spi = plane(n).outbound(network.now).expect("it holds keys");
                let held = plane(1).sas.contains_key(&spi);
                assert!(held, "{server} kept {spi} back\n{}", network.transcript);
            }
            heal(&mut network);
            network.run_s(5);
        }
    }
}

/// Both founders are given the same new policy, each at its own time: when they have met, all members
/// hold the same one, and none looks for one that nobody has.
#[test]
fn of_two_policies_that_are_equally_old_all_take_the_same() {
    for seed in 1..=3 {
        let mut network = two_foundings(seed);
        for name in ["ks1", "ks2"] {
            network.reconfigure(name, |own| own.sas[0].tbar_window_s = Some(20));
            network.run_s(3);
        }
        heal(&mut network);
        network.run_s(90);
        let served = ["ks1", "ks2"].map(|name| network.ks(name).policy_name);
        let held = (1..=4).filter_map(|n| network.gm(n).policy_name);
        let policies: BTreeSet<_> = held.chain(served).collect();
        assert_eq!(policies.len(), 1, "{policies:?}\n{}", network.transcript);
        for n in 1..=4 {
            assert!(!network.gm(n).policy_stale, "gm{n}\n{}", network.transcript);
        }
    }
}

/// All key servers lost their power: whoever leads then opens a clock, and the other follows it.
#[test]
fn key_servers_that_all_lost_the_clock_agree_on_a_new_one() {
    for seed in 1..=2 {
        let mut network = group(seed, 2, 3, 3_600, 10);
        network.run_s(400);
        network.kill("ks1");
        network.kill("ks2");
        network.watch(Duration::from_secs(45), TICK, Network::assert_understood);
        network.boot("ks2");
        network.start("ks2");
        network.run_s(2);
        network.boot("ks1");
        network.start("ks1");
        network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
        assert_same_clock(&network, 3);
        assert_eq!(network.ks("ks1").clock_generation, ClockGeneration(16));
        // Into the time of keys that nobody held before.
        let second = Duration::from_secs(1);
        network.watch(4_000 * second, second, Network::assert_understood);
    }
}

/// Key servers take keys for alive that they told ahead and that ended at the members while they
/// were off. A member that begins anew is given them, and sends on others that were made instead.
#[test]
fn keys_told_ahead_that_ended_while_all_were_off_are_sent_on_by_nobody() {
    for seed in 1..=2 {
        let mut network = group(seed, 2, 3, 300, 10);
        network.run_s(400);
        network.kill("ks1");
        network.kill("ks2");
        network.run_s(900);
        network.kill("gm1");
        for name in ["ks1", "ks2"] {
            network.boot(name);
            network.start(name);
        }
        network.start("gm1");
        network.run_s(90);
        assert_eq!(network.registered(), 3);
        network.watch(Duration::from_secs(700), TICK, Network::assert_understood);
    }
}

/// A key server of two that lost the clock dies after its so-many-th write, if that is given, and
/// the other one with it. It comes back alone. Says how many of the keys told ahead before all that
/// it would still send on, and how much it wrote.
fn doubted_after_a_death(dies: &str, after: Option<usize>) -> (usize, usize) {
    let mut network = group(3, 2, 2, 3_600, 10);
    network.run_s(400);
    let told_ahead = |network: &Network| -> BTreeSet<Spi> {
        let (row, _) = &network.restored(dies).groups[&g1()];
        let unsent = |record: &&TekRecord| !record.announced && !record.withdrawn;
        let teks = row.keys.teks.iter().filter(unsent);
        teks.map(|record| record.tek.spi).collect()
    };
    let before = told_ahead(&network);
    assert!(!before.is_empty());
    network.kill("ks1");
    network.kill("ks2");
    network.run_s(60);
    let written = network.node(dies).writes;
    network.node_mut(dies).dies_after = after.map(|writes| written + writes);
    for name in ["ks1", "ks2"] {
        network.boot(name);
        network.start(name);
    }
    for _ in 0..200 {
        network.run(TICK);
        if network.node(dies).machine.is_none() {
            break;
        }
    }
    let written = network.node(dies).writes - written;
    network.kill("ks1");
    network.kill("ks2");
    network.start(dies);
    network.run_s(30);
    let doubted = told_ahead(&network).intersection(&before).count();
    (doubted, written)
}

/// That keys told ahead are to be replaced is not forgotten by who opened the clock, nor by who
/// followed it and leads next, wherever they die.
#[test]
fn keys_in_doubt_are_replaced_wherever_a_key_server_dies() {
    for dies in ["ks1", "ks2"] {
        let (doubted, writes) = doubted_after_a_death(dies, None);
        assert_eq!(doubted, 0, "{dies}");
        assert!(writes >= 10, "{dies}: {writes}");
        for after in 1..=writes {
            let (doubted, _) = doubted_after_a_death(dies, Some(after));
            assert_eq!(doubted, 0, "{dies} after {after}");
        }
    }
}

/// A key server whose machine was off alone takes the group's time from the other one, and no
/// generation begins.
#[test]
fn a_key_server_that_lost_the_clock_alone_is_told_it() {
    let mut network = group(1, 2, 3, 3_600, 10);
    network.run_s(400);
    network.kill("ks1");
    network.run_s(100);
    network.boot("ks1");
    network.start("ks1");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_same_clock(&network, 3);
    assert_eq!(
        network.ks("ks1").clock_generation,
        ClockGeneration::default()
    );
}

/// One that lost the clock while it heard nobody opened a generation for its own members. Whoever
/// leads when both have met names a newer one still, so that the members of both follow.
#[test]
fn whoever_leads_after_a_split_outdoes_the_clock_that_the_other_side_opened() {
    for (lost, side) in [("ks1", KS), ("ks2", KS2)] {
        let mut network = group(2, 2, 4, 3_600, 10);
        network.run_s(400);
        apart(&mut network, &[side, gm(1), gm(3)]);
        network.kill(lost);
        network.run_s(200);
        network.boot(lost);
        network.start(lost);
        network.run_s(60);
        let opened = network.ks(lost).clock_generation;
        assert!(opened > ClockGeneration::default());
        assert_eq!(network.gm(1).clock_generation, opened);
        assert_eq!(network.gm(2).clock_generation, ClockGeneration::default());
        heal(&mut network);
        network.run_s(60);
        assert_same_clock(&network, 4);
        if primary(&network, &["ks1", "ks2"]) == lost {
            assert_eq!(network.gm(2).clock_generation, opened);
        } else {
            assert!(network.gm(1).clock_generation > opened);
        }
        network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
    }
}

/// Both key servers and all members read the same clock.
fn assert_same_clock(network: &Network, members: u8) {
    let (a, b) = (network.ks("ks1"), network.ks("ks2"));
    assert_eq!(a.clock_generation, b.clock_generation);
    let apart = |c: PseudoTime, d: PseudoTime| c.since(d).max(d.since(c));
    assert!(apart(a.pseudotime, b.pseudotime) < Duration::from_millis(500));
    for n in 1..=members {
        let own = network.gm(n);
        assert_eq!(own.clock_generation, a.clock_generation, "gm{n}");
        let read = own.pseudotime.unwrap();
        let off = apart(read, a.pseudotime);
        // A rekey may have waited for a second, and its stamp is as old then.
        assert!(off < Duration::from_millis(1_500), "gm{n} is {off:?} off");
    }
}

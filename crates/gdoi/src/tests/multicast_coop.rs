//! Rekeys by multicast from several key servers: what members miss of it in a split, they are told
//! when it heals, whether anybody says who has it or not.

use std::net::Ipv4Addr;
use std::time::Duration;

use policy::RekeyTransport;

use super::coop::{alone, group, heal, primary, split};
use super::merge::apart;
use super::multicast::switch;
use super::network::{Fate, KS, KS2, Network, gm};
use super::removal::{Adversary, assert_others_understand, clear};
use crate::config::Acknowledgement;
use crate::machine::Command;

const GM1: Ipv4Addr = Ipv4Addr::new(10, 1, 21, 2);
const TICK: Duration = Duration::from_millis(100);
/// Members are asked to acknowledge, or nobody knows who has a rekey.
const ACKNOWLEDGEMENTS: [Acknowledgement; 2] = [Acknowledgement::Ours, Acknowledgement::None];

/// Two key servers that rekey four members by multicast.
fn by_multicast(seed: u64, tek_s: u32, acknowledgement: Acknowledgement) -> Network {
    let mut network = group(seed, 2, 4, tek_s, 10);
    for name in ["ks1", "ks2"] {
        network.reconfigure(name, |own| {
            switch(own, RekeyTransport::Multicast);
            own.multicast.acknowledgement = acknowledgement;
        });
    }
    network
}

fn registrations(network: &Network) -> [u64; 4] {
    [1, 2, 3, 4].map(|n| network.gm(n).registrations_succeeded)
}

#[test]
fn a_key_made_on_the_winning_side_reaches_the_members_of_the_other() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        let mut network = by_multicast(1, 3_600, acknowledgement);
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(3)]);
        network.run_s(60);
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(60);
        heal(&mut network);
        network.run_s(60);
        assert_eq!(primary(&network, &["ks1", "ks2"]), "ks1");
        network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
        assert_eq!(registrations(&network), [1; 4], "{}", network.transcript);
    }
}

#[test]
fn a_rekey_sa_of_one_side_is_told_under_that_of_the_other() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        let mut network = by_multicast(5, 60, acknowledgement);
        network.run_s(60);
        apart(&mut network, &[KS, gm(1), gm(3)]);
        network.run_s(310);
        let [one, two] = ["ks1", "ks2"].map(|name| network.ks(name).keks[0].spi);
        assert_ne!(one, two, "each has a Rekey SA of its own");
        heal(&mut network);
        network.run_s(100);
        let running = network.ks(primary(&network, &["ks1", "ks2"])).keks[0].spi;
        for n in 1..=4 {
            let held = network.gm(n).keks;
            let mut held = [held.new, held.current].into_iter().flatten();
            assert!(held.any(|kek| kek.spi == running), "gm{n}");
        }
        let before = registrations(&network);
        network.watch(Duration::from_secs(500), TICK, Network::assert_understood);
        assert_eq!(registrations(&network), before, "{}", network.transcript);
    }
}

#[test]
fn a_removal_that_no_member_could_hear_of_is_made_good_when_the_split_heals() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        let mut network = by_multicast(15, 600, acknowledgement);
        network.run_s(30);
        let before = Adversary::of(&network, 1, "ks1");
        alone(&mut network);
        network.run_s(60);
        network.command("ks1", clear(Some(1), false));
        network.run_s(90);
        // What it was given since, by the one that did not know.
        let mut later = Adversary::of(&network, 1, "ks2");
        heal(&mut network);
        network.run_s(100);
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

/// The numbers of the other side are higher: whoever heard them takes no call from this one.
#[test]
fn a_call_that_the_other_side_has_outnumbered_is_made_again() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        let mut network = by_multicast(16, 600, acknowledgement);
        network.run_s(30);
        split(&mut network, KS, &[KS2]);
        network.run_s(75);
        network.command("ks2", Command::Rekey { group: None });
        network.run_s(10);
        network.command("ks1", clear(Some(1), false));
        network.run_s(60);
        let refused = |n: &u8| {
            let node = network.node(&format!("gm{n}"));
            node.has_event("GDOI_REKEY_SEQ_FAILURE")
        };
        assert!((2..=4).all(|n| refused(&n)), "{}", network.transcript);
        let adversary = Adversary::of(&network, 1, "ks2");
        heal(&mut network);
        network.run_s(100);
        network.watch(Duration::from_secs(300), TICK, |network| {
            assert_others_understand(network, 1, 4);
            adversary.assert_deaf(network, 1, 4);
        });
    }
}

/// Nobody acknowledges a call, so it is repeated; it must not keep members from coming whose first
/// key server is dead.
#[test]
fn who_is_asked_again_and_again_comes_nevertheless() {
    let mut network = by_multicast(17, 60, Acknowledgement::None);
    network.run_s(60);
    network.kill("ks1");
    network.run_s(60);
    network.command("ks2", clear(Some(1), false));
    network.run_s(60);
    let adversary = Adversary::of(&network, 1, "ks2");
    network.watch(Duration::from_secs(120), TICK, |network| {
        assert_others_understand(network, 1, 4);
    });
    adversary.assert_knows_none_of(network.node("gm2").plane(), &network);
}

/// Where another key server is heard that does not hear of it, a Rekey SA is taken to be told.
#[test]
fn a_rekey_sa_of_the_moment_of_a_split_reaches_everybody() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        for moment in (0..30).step_by(2) {
            let mut network = by_multicast(moment, 60, acknowledgement);
            network.run_s(60 + 4 * moment);
            apart(&mut network, &[KS, gm(1), gm(3)]);
            network.run_s(45);
            heal(&mut network);
            network.run_s(60);
            network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
            assert_eq!(registrations(&network), [1; 4], "{}", network.transcript);
        }
    }
}

/// The members of the other side hold the Rekey SA of before, by unicast, and those of this side one
/// under which nobody answers: the next one is told under both.
#[test]
fn a_change_of_the_transport_in_a_split_reaches_the_other_side() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        let mut network = group(20, 2, 4, 3_600, 10);
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(3)]);
        network.run_s(60);
        for name in ["ks1", "ks2"] {
            network.reconfigure(name, |own| {
                switch(own, RekeyTransport::Multicast);
                own.multicast.acknowledgement = acknowledgement;
            });
            network.run_s(60);
            heal(&mut network);
            network.run_s(30);
        }
        let running = network.ks(primary(&network, &["ks1", "ks2"])).keks[0].spi;
        for n in 1..=4 {
            let held = network.gm(n).keks;
            let mut held = [held.new, held.current].into_iter().flatten();
            assert!(
                held.any(|kek| kek.spi == running),
                "gm{n}\n{}",
                network.transcript
            );
        }
        network.command("ks1", Command::Rekey { group: None });
        network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
        assert_eq!(registrations(&network), [1; 4], "{}", network.transcript);
    }
}

/// The other side tells the key of the moment of the split again, in a term of its own, under the Rekey SA
/// that all hold. Whoever leads in the end learns of the term before it learns of the number, and has begun
/// to tell the next Rekey SA by then.
#[test]
fn a_rekey_sa_that_is_told_when_the_other_side_has_counted_on_reaches_it() {
    for acknowledgement in ACKNOWLEDGEMENTS {
        for seed in 0..4 {
            let mut network = by_multicast(seed, 3_600, acknowledgement);
            network.run_s(60);
            network.command("ks1", Command::Rekey { group: None });
            network.run_s(2);
            apart(&mut network, &[KS, gm(1), gm(3)]);
            network.run_s(120);
            network.reconfigure("ks1", |own| switch(own, RekeyTransport::Unicast));
            network.run_s(60 + seed);
            // For a while all that ks2 has to tell is lost, but for its answers.
            network.fate = Box::new(|packet, _| match packet.exchange() {
                240 | 241 if *packet.from.ip() == KS2 && packet.bytes.len() > 400 => Fate::Lose,
                _ => Fate::Deliver,
            });
            network.run_s(3);
            heal(&mut network);
            network.run_s(60);
            network.reconfigure("ks2", |own| switch(own, RekeyTransport::Unicast));
            network.run_s(60);
            let running = network.ks(primary(&network, &["ks1", "ks2"])).keks[0].spi;
            for n in 1..=4 {
                let held = network.gm(n).keks;
                let mut held = [held.new, held.current].into_iter().flatten();
                let holds = held.any(|kek| kek.spi == running);
                assert!(holds, "seed {seed} gm{n}\n{}", network.transcript);
            }
            network.command("ks1", Command::Rekey { group: None });
            network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
            assert_eq!(registrations(&network), [1; 4], "{}", network.transcript);
        }
    }
}

/// A member that does not hear the key server that leads gets its rekeys from the other one.
//= getvpn P24
#[test]
fn what_a_member_does_not_acknowledge_is_repeated_by_the_others() {
    let mut network = by_multicast(19, 600, Acknowledgement::Ours);
    network.run_s(30);
    let leads = if primary(&network, &["ks1", "ks2"]) == "ks1" {
        KS
    } else {
        KS2
    };
    split(&mut network, leads, &[GM1]);
    network.watch(Duration::from_secs(1_800), TICK, Network::assert_understood);
    // One may just be on its way.
    network.run_s(60);
    let rekeys = [1, 2].map(|n| network.gm(n).rekeys_received);
    assert_eq!(rekeys[0], rekeys[1], "{}", network.transcript);
    assert_eq!(registrations(&network), [1; 4]);
}

/// In the moment after a removal with `now` there is no key to be reminded of.
#[test]
fn reminders_wait_for_a_key() {
    for moment in 0..15 {
        let mut network = by_multicast(18, 3_600, Acknowledgement::None);
        network.reconfigure("ks1", |own| own.reminder_s = Some(30));
        network.run_s(30);
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(60 + 2 * moment);
        alone(&mut network);
        network.run_s(1);
        network.command("ks1", clear(None, true));
        network.run_s(60);
        heal(&mut network);
        network.run_s(120);
        network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    }
}

//! Members that acknowledge no rekeys: stale, then out, and never for a key server's fault.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::coop::group;
use super::network::{Fate, KS, KS2, Network, gm, key_server};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(250);

/// No rekey of this key server reaches the member.
fn lose_pushes(network: &mut Network, from: Ipv4Addr, to: Ipv4Addr) {
    lose_all_pushes(network, &[from], to);
}

/// No rekey of these key servers reaches the member.
fn lose_all_pushes(network: &mut Network, from: &[Ipv4Addr], to: Ipv4Addr) {
    let from = from.to_vec();
    network.fate = Box::new(move |packet, _| {
        let between = from.contains(packet.from.ip()) && *packet.to.ip() == to;
        if between && packet.exchange() == 33 {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
}

fn rekeys(network: &mut Network, count: usize) {
    for _ in 0..count {
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(60);
    }
}

/// A member that registered there.
fn registered_at(network: &Network, server: Ipv4Addr) -> u8 {
    let members = network.ks("ks1").members;
    let found = members.iter().find(|own| own.key_server == server);
    let address = found.unwrap_or_else(|| panic!("{}", network.transcript));
    (1..=9).find(|n| gm(*n) == address.address).unwrap()
}

fn is_listed(network: &Network, n: u8) -> bool {
    let members = network.ks("ks1").members;
    members.iter().any(|member| member.address == gm(n))
}

#[test]
fn three_missed_rekeys_end_a_registration_and_the_members_own_timer_begins_the_next() {
    let mut network = Network::of(1, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    rekeys(&mut network, 1);
    lose_pushes(&mut network, KS, gm(2));
    rekeys(&mut network, 2);
    let ks = network.node("ks1");
    assert_eq!(ks.count("KS_GM_STALE"), 1, "{}", network.transcript);
    assert!(is_listed(&network, 2));
    rekeys(&mut network, 1);
    assert!(is_listed(&network, 2), "three are missed, none is due");
    let before = network.gm(2).registrations_succeeded;
    rekeys(&mut network, 1);
    assert_eq!(network.node("ks1").count("KS_NACK_GM_EJECT"), 1);
    assert!(!is_listed(&network, 2), "{}", network.transcript);
    let sent = network.log.len();
    rekeys(&mut network, 1);
    let to_it =
        |packet: &&super::network::Packet| packet.exchange() == 33 && *packet.to.ip() == gm(2);
    assert_eq!(network.log[sent..].iter().filter(to_it).count(), 0);
    network.run_s(3_600);
    assert!(network.gm(2).registrations_succeeded > before);
    assert!(is_listed(&network, 2));
    network.assert_sids_unique();
}

#[test]
fn who_never_acknowledged_is_never_ejected() {
    let mut network = Network::new(2);
    network.add_key_server("ks1", key_server(3_600, 7_200));
    lose_pushes(&mut network, KS, gm(1));
    network.add_member(1);
    network.run_s(5);
    rekeys(&mut network, 6);
    let ks = network.node("ks1");
    assert!(!ks.has_event("KS_GM_STALE") && !ks.has_event("KS_NACK_GM_EJECT"));
    assert!(is_listed(&network, 1));
}

#[test]
fn one_acknowledgement_makes_a_stale_member_a_good_one() {
    let mut network = Network::of(3, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    rekeys(&mut network, 1);
    lose_pushes(&mut network, KS, gm(2));
    rekeys(&mut network, 2);
    network.fate = Box::new(|_, _| Fate::Deliver);
    rekeys(&mut network, 1);
    lose_pushes(&mut network, KS, gm(2));
    rekeys(&mut network, 3);
    assert!(is_listed(&network, 2), "{}", network.transcript);
    assert_eq!(network.node("ks1").count("KS_GM_STALE"), 2);
}

#[test]
fn a_rekey_that_the_primary_cannot_bring_comes_from_the_key_server_of_the_registration() {
    let mut network = group(4, 2, 2, 3_600, 10);
    network.run_s(30);
    let far = registered_at(&network, KS2);
    lose_pushes(&mut network, KS, gm(far));
    for _ in 0..5 {
        network.command("ks1", Command::Rekey { group: None });
        network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    }
    let view = network.ks("ks1");
    let member = view.members.iter().find(|member| member.address == gm(far));
    let member = member.unwrap();
    assert_eq!(member.acks_missed, 0, "{}", network.transcript);
    assert_eq!(member.acks_received, 5);
    assert_eq!(network.gm(far).registrations_succeeded, 1);
    assert!(!network.node("ks1").has_event("KS_GM_STALE"));
    assert_eq!(network.ks("ks2").unsolicited_acks, 0);
}

#[test]
fn nobody_is_ejected_while_a_key_server_is_away() {
    let mut network = group(5, 2, 2, 3_600, 10);
    network.run_s(30);
    let near = registered_at(&network, KS);
    rekeys(&mut network, 1);
    network.kill("ks2");
    lose_all_pushes(&mut network, &[KS, KS2], gm(near));
    network.run_s(60);
    rekeys(&mut network, 5);
    assert_eq!(network.node("ks1").count("KS_GM_STALE"), 0);
    network.start("ks2");
    network.run_s(60);
    rekeys(&mut network, 3);
    assert_eq!(network.node("ks1").count("KS_GM_STALE"), 1);
    assert!(is_listed(&network, near), "{}", network.transcript);
    rekeys(&mut network, 1);
    assert!(!is_listed(&network, near), "{}", network.transcript);
    network.run_s(60);
    let members = network.ks("ks2").members;
    assert!(members.iter().all(|member| member.address != gm(near)));
}

/// The primary's rekeys do not reach a member that registered there, or its acknowledgements do not
/// come back: another key server repeats the rekey, and the acknowledgement comes back over it.
#[test]
fn a_cut_in_one_direction_between_the_primary_and_its_own_member_costs_nothing() {
    for outward in [true, false] {
        let mut network = group(4, 3, 3, 60, 10);
        network.run_s(30);
        let near = registered_at(&network, KS);
        network.fate = Box::new(move |packet, _| {
            let way = (*packet.from.ip(), *packet.to.ip());
            let cut = if outward {
                (KS, gm(near))
            } else {
                (gm(near), KS)
            };
            if way == cut {
                Fate::Lose
            } else {
                Fate::Deliver
            }
        });
        network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
        assert!(is_listed(&network, near), "{}", network.transcript);
        let registered = network.gm(near).registrations_succeeded;
        assert_eq!(registered, 1, "{}", network.transcript);
        assert!(!network.node("ks1").has_event("KS_GM_STALE"));
    }
}

//! What plain members are told of the policy: all lines with every key, and another policy with the key
//! with which it comes into force.

use std::sync::Arc;
use std::time::Duration;

use policy::{Ace, Acl, GroupSize, PeerKind};
use wire::iana::PayloadType;

use super::network::{Network, Packet, cbc};
use super::plain::{Plain, Registered, mixed, register, sayable};
use crate::config::KeyServer;
use crate::group_sa::Offer;
use crate::limits::PUSH_LEN_MAX;
use crate::machine::Command;
use crate::push::open;

/// A policy of so many lines, each of which can be said to a plain member.
fn of_lines(lines: u16) -> KeyServer {
    let mut config = sayable(cbc(), GroupSize::Medium);
    let line = |port| Ace {
        protocol: Some(17),
        destination_port: policy::PortMatch::Eq(port),
        ..config.sas[0].acl.entries[0]
    };
    let entries = (1..=lines).map(line).collect();
    config.sas[0].acl = Arc::new(Acl {
        name: "ENCPOL".into(),
        entries,
    });
    config
}

/// The rekey that an operator orders, as the plain member hears it.
fn rekey(network: &mut Network, plain: &mut Plain) -> Packet {
    plain.idle(network);
    plain.pushes.clear();
    network.command("ks1", Command::Rekey { group: None });
    plain
        .until(network, |plain, _, _| plain.pushes.pop())
        .expect("it is told the key")
}

/// The lines of the policy in a rekey.
fn lines_in(push: &Packet, registered: &Registered) -> Vec<Ace> {
    let sa = &registered.received.kek.as_ref().expect("there is one").sa;
    let opened = open(sa, &push.bytes).expect("it is under its Rekey SA");
    let chain = opened.chain();
    let said = chain.find(PayloadType::SA).expect("it has one").decode();
    let said: wire::gdoi::Sa = said.expect("it is well-formed");
    let offer = Offer::from_wire(&said, PeerKind::Rfc6407);
    offer.expect("a plain member can follow it").acl
}

//= getvpn P4
#[test]
fn a_rekey_for_plain_members_that_is_longer_than_a_packet_is_whole_and_named_once_a_policy() {
    let long = of_lines(60);
    let (mut network, mut plain) = mixed(&long);
    let got = register(&mut plain, &mut network).expect("it is served");
    assert_eq!(got.offer.acl, long.sas[0].acl.entries);
    for _ in 0..2 {
        let push = rekey(&mut network, &mut plain);
        assert!(push.bytes.len() > PUSH_LEN_MAX);
        assert_eq!(lines_in(&push, &got), long.sas[0].acl.entries);
        let said = format!("{} octets", push.bytes.len());
        let events = &network.node("ks1").events;
        let named = |line: &&String| line.contains("-KS_REKEY_FRAGMENTED:") && line.contains(&said);
        assert_eq!(events.iter().filter(named).count(), 1, "{events:?}");
        network.run_s(60);
    }
    // What members of ours are sent fits, whatever the policy.
    let ours = network.log.iter().filter(|packet| {
        *packet.to.ip() == super::network::gm(1) && packet.bytes.len() > PUSH_LEN_MAX
    });
    assert_eq!(ours.count(), 0);
    let short = of_lines(4);
    network.reconfigure("ks1", |own| own.sas[0].acl = Arc::clone(&short.sas[0].acl));
    network.run_s(60);
    let push = rekey(&mut network, &mut plain);
    assert!(push.bytes.len() <= PUSH_LEN_MAX);
    assert_eq!(lines_in(&push, &got), short.sas[0].acl.entries);
    assert_eq!(network.node("ks1").count("KS_REKEY_FRAGMENTED"), 1);
    network.reconfigure("ks1", |own| own.sas[0].acl = Arc::clone(&long.sas[0].acl));
    network.run_s(60);
    assert_eq!(network.node("ks1").count("KS_REKEY_FRAGMENTED"), 2);
}

/// A group of one member of ours and a plain one, which are both this program.
fn one_of_each(config: &KeyServer) -> Network {
    let mut network = Network::of(7, config, 2);
    let mut own = (*network.node("gm2").config).clone();
    own.members[0].compatible_rfc6407 = true;
    network.configure("gm2", own);
    network.command("gm2", Command::ClearGdoi { group: None });
    network.run_s(20);
    network
}

//= getvpn P6
#[test]
fn another_policy_reaches_a_plain_member_with_the_key_with_which_it_comes_into_force() {
    let mut network = one_of_each(&of_lines(2));
    let before = of_lines(2).sas[0].acl.entries.clone();
    let after = of_lines(5).sas[0].acl.entries.clone();
    let downloaded = |network: &Network, n| {
        let acl = network.gm(n).downloaded_acl.expect("it is registered");
        acl.entries.clone()
    };
    assert_eq!(downloaded(&network, 2), before);
    network.reconfigure("ks1", |own| {
        own.sas[0].acl = Arc::clone(&of_lines(5).sas[0].acl)
    });
    network.run_s(5);
    let told = network.now;
    let from = [1, 2].map(|n| {
        assert_eq!(downloaded(&network, n), after, "{}", network.transcript);
        let node = network.node(&format!("gm{n}"));
        let plane = node.plane();
        let from = plane.policy_from.expect("it is told from when");
        from.since(plane.clock.expect("it has one").at(told))
    });
    // Plain members come a little early.
    assert!(from[0] > Duration::from_secs(10), "{from:?}");
    let early = from[0].checked_sub(from[1]).expect("it is not later");
    assert!(early <= Duration::from_secs(6), "{early:?}");
    // Who registers meanwhile is told once more.
    network.command("gm2", Command::ClearGdoi { group: None });
    network.run_s(5);
    assert_eq!(downloaded(&network, 2), after, "{}", network.transcript);
    network.run_s(120);
    assert_eq!(downloaded(&network, 2), after);
    assert_eq!(downloaded(&network, 1), after);
}

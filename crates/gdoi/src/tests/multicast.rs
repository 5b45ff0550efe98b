//! Rekeys by multicast: one datagram for all, repeated blindly; who misses them loses nothing.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use policy::{RekeyTransport, Time};

use super::network::{Fate, KS, KS2, Network, Packet, gm, isakmp, key_server, member, socket};
use crate::config::{Acknowledgement, Config, KeyServer, Multicast};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(250);
const PUSH: u8 = 33;
const ACK: u8 = 35;
pub(super) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 10, 1, 1);

/// A group that is rekeyed by multicast.
fn by_multicast(tek_s: u32, kek_s: u32) -> KeyServer {
    let mut own = key_server(tek_s, kek_s);
    switch(&mut own, RekeyTransport::Multicast);
    own
}

pub(super) fn switch(own: &mut KeyServer, transport: RekeyTransport) {
    own.transport = transport;
    own.multicast = Multicast {
        address: Some(GROUP),
        ..own.multicast
    };
}

fn rekey(network: &mut Network) {
    network.command("ks1", Command::Rekey { group: None });
}

/// The PUSHes that were sent since the log was cleared.
fn pushes(network: &Network) -> Vec<&Packet> {
    let log = network.log.iter();
    log.filter(|packet| packet.exchange() == PUSH).collect()
}

fn to_group(network: &Network) -> usize {
    let pushes = pushes(network);
    pushes.iter().filter(|push| *push.to.ip() == GROUP).count()
}

#[test]
fn one_datagram_and_its_copies_whatever_the_number_of_members() {
    for members in [1, 5] {
        let mut network = Network::of(1, &by_multicast(3_600, 7_200), members);
        network.run_s(5);
        assert_eq!(network.registered(), usize::from(members));
        for n in 1..=members {
            let node = network.node(&format!("gm{n}"));
            assert_eq!(node.joined.iter().collect::<Vec<_>>(), [&GROUP]);
            assert!(node.has_event("GM_REKEY_TRANS_2_MULTI"));
            assert_eq!(network.gm(n).transport, RekeyTransport::Multicast);
            let kek = network.gm(n).keks.current.unwrap();
            assert_eq!((kek.destination, kek.source), (GROUP, KS));
        }
        network.log.clear();
        rekey(&mut network);
        network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
        let pushes = pushes(&network);
        assert_eq!(
            pushes.len(),
            3,
            "one and two copies\n{}",
            network.transcript
        );
        for push in &pushes {
            assert_eq!((push.from, push.to), (socket(KS), socket(GROUP)));
            assert_eq!(push.bytes, pushes[0].bytes);
        }
        let ks = network.node("ks1");
        let line = "Sending Multicast Rekey for group G1 from address 10.1.11.2 to 239.10.1.1 \
                    with seq # 1";
        assert_eq!(ks.count("KS_SEND_MCAST_REKEY"), 1);
        assert_eq!(ks.count("KS_SEND_UNICAST_REKEY"), 0);
        assert!(ks.events.iter().any(|event| event.ends_with(line)));
        network.assert_newest_held("ks1");
        let view = network.ks("ks1");
        assert_eq!((view.rekeys_sent, view.rekeys_retransmitted), (1, 2));
        for (n, own) in (1..=members).zip(&view.members) {
            assert_eq!((own.rekeys_sent, own.acks_received), (1, 1));
            assert_eq!(own.acks_missed, 0);
            assert_eq!((own.sent_seqs[0], own.received_seqs[0]), (1, 1));
            assert_eq!(network.gm(n).rekeys_received, 1);
            assert_eq!(network.gm(n).refusals, []);
        }
        assert_eq!(view.unsolicited_acks, 0, "{}", network.transcript);
    }
}

#[test]
fn acknowledgements_come_from_the_members_own_addresses_and_spread_over_five_seconds() {
    let mut network = Network::of(2, &by_multicast(3_600, 7_200), 12);
    network.run_s(5);
    let times: Rc<RefCell<Vec<(Time, Ipv4Addr)>>> = Rc::default();
    let seen = Rc::clone(&times);
    network.fate = Box::new(move |packet, now| {
        if packet.exchange() == ACK {
            seen.borrow_mut().push((now, *packet.from.ip()));
        }
        Fate::Deliver
    });
    let began = network.now;
    rekey(&mut network);
    network.run_s(9);
    let times = times.borrow();
    assert_eq!(times.len(), 12);
    for n in 1..=12 {
        assert!(times.iter().any(|(_, from)| *from == gm(n)));
    }
    let spans: Vec<Duration> = times.iter().map(|(at, _)| at.since(began)).collect();
    assert!(
        spans
            .iter()
            .all(|span| *span < Duration::from_millis(5_100))
    );
    let (first, last) = (spans[0], spans[11]);
    assert!(
        last.saturating_sub(first) > Duration::from_secs(2),
        "{spans:?}"
    );
}

#[test]
fn a_copy_helps_who_lost_the_first_and_who_hears_no_rekey_is_seen_and_registers_in_time() {
    let mut network = Network::of(3, &by_multicast(600, 1_200), 3);
    network.run_s(5);
    let lost = Rc::new(RefCell::new(false));
    network.fate = Box::new(move |packet, _| {
        let to = |member| packet.exchange() == PUSH && *packet.to.ip() == member;
        if to(gm(3)) || (to(gm(1)) && !lost.replace(true)) {
            return Fate::Lose;
        }
        Fate::Deliver
    });
    rekey(&mut network);
    network.run_s(45);
    let view = network.ks("ks1");
    let missed: Vec<u64> = view.members.iter().map(|own| own.acks_missed).collect();
    assert_eq!(missed, [0, 0, 1], "{}", network.transcript);
    assert_eq!(view.members.len(), 3, "nobody is removed");
    assert_eq!(network.gm(1).rekeys_received, 1);
    assert_eq!(network.gm(3).rekeys_received, 0);
    // Without a single rekey the third member goes on for ever, by registering in time; the members
    // of ours are asked before and so know what the others send on.
    let registered = network.gm(3).registrations_succeeded;
    network.run_s(3_600);
    assert_eq!(network.registered(), 3);
    assert_eq!(network.ks("ks1").members.len(), 3);
    assert!(network.gm(3).registrations_succeeded > registered);
    assert_eq!(network.gm(1).registrations_succeeded, 1);
    let deaf = network.node("gm3").plane();
    assert_eq!(deaf.closed, 0, "it was never without keys");
}

/// Where the network does not carry multicast to a member, it gets a copy of each rekey alone, and
/// need not register again.
//= getvpn P24
#[test]
fn who_is_out_of_reach_of_multicast_gets_every_rekey_alone() {
    let mut network = Network::of(3, &by_multicast(600, 1_200), 3);
    network.run_s(5);
    network.node_mut("gm3").deaf = true;
    network.watch(Duration::from_secs(3_600), TICK, Network::assert_understood);
    let view = network.ks("ks1");
    let missed: Vec<u64> = view.members.iter().map(|own| own.acks_missed).collect();
    assert_eq!(missed, [0; 3], "{}", network.transcript);
    assert_eq!(network.gm(3).registrations_succeeded, 1);
    assert_eq!(network.gm(3).rekeys_received, network.gm(1).rekeys_received);
    network.assert_newest_held("ks1");
    let apart = |packet: &&Packet| packet.exchange() == PUSH && *packet.to.ip() == gm(2);
    assert_eq!(
        network.log.iter().filter(apart).count(),
        0,
        "the others are not troubled"
    );
}

#[test]
fn kek_rekeys_follow_one_another_for_hours_under_loss() {
    let mut network = Network::of(4, &by_multicast(120, 240), 4);
    let state = RefCell::new(0x1234_5678_9ABC_DEF1_u64);
    network.run_s(3);
    network.fate = Box::new(move |packet, _| {
        let mut x = *state.borrow();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *state.borrow_mut() = x;
        let lose = matches!(packet.exchange(), PUSH | ACK) && x.is_multiple_of(10);
        if lose { Fate::Lose } else { Fate::Deliver }
    });
    network.watch(Duration::from_secs(3_600), TICK, Network::assert_understood);
    assert_eq!(network.registered(), 4);
    network.assert_sids_unique();
    assert!(network.node("gm1").count("SA_KEK_UPDATED") > 15);
    assert!(network.gm(1).rekeys_received > 40);
}

#[test]
fn who_is_not_asked_does_not_answer_and_misses_nothing() {
    let mut own = by_multicast(120, 240);
    own.multicast.acknowledgement = Acknowledgement::None;
    let mut network = Network::of(5, &own, 2);
    network.run_s(3);
    network.watch(Duration::from_secs(1_800), TICK, Network::assert_understood);
    assert!(network.log.iter().all(|packet| packet.exchange() != ACK));
    let view = network.ks("ks1");
    for member in &view.members {
        assert_eq!((member.acks_received, member.acks_missed), (0, 0));
        assert!(member.rekeys_sent > 20);
    }
    assert!(view.keks.iter().all(|kek| kek.acknowledgement == 0));
    for n in [1, 2] {
        assert_eq!(network.gm(n).registrations_succeeded, 1);
        assert_eq!(network.gm(n).refusals, [], "{}", network.transcript);
    }
}

/// Every change is told under the old transport; the members say so, and lose nothing.
#[test]
fn the_transport_changes_at_run_time_in_both_directions_and_back() {
    let mut network = Network::of(6, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    let mut rekeys = 0;
    for round in 1..=2 {
        network.log.clear();
        network.reconfigure("ks1", |own| switch(own, RekeyTransport::Multicast));
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        assert_eq!(to_group(&network), 0, "the old transport tells it");
        assert_eq!(pushes(&network).len(), 3);
        assert_eq!(network.node("ks1").count("KS_REKEY_TRANS_2_MULTI"), round);
        network.log.clear();
        rekey(&mut network);
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        assert_eq!((to_group(&network), pushes(&network).len()), (3, 3));
        network.log.clear();
        network.reconfigure("ks1", |own| switch(own, RekeyTransport::Unicast));
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        assert_eq!((to_group(&network), pushes(&network).len()), (3, 3));
        assert_eq!(network.node("ks1").count("KS_REKEY_TRANS_2_UNI"), round);
        network.log.clear();
        rekey(&mut network);
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        assert_eq!((to_group(&network), pushes(&network).len()), (0, 3));
        network.assert_newest_held("ks1");
        rekeys += 4;
        for n in 1..=3 {
            let node = network.node(&format!("gm{n}"));
            assert_eq!(node.count("GM_REKEY_TRANS_2_MULTI"), round);
            // One more at the first registration.
            assert_eq!(node.count("GM_REKEY_TRANS_2_UNI"), round + 1);
            let view = network.gm(n);
            assert_eq!(
                (view.rekeys_received, view.registrations_succeeded),
                (rekeys, 1)
            );
            assert_eq!(view.refusals, [], "{}", network.transcript);
        }
    }
    let joined =
        |network: &Network| (1..=3).any(|n| !network.node(&format!("gm{n}")).joined.is_empty());
    assert!(
        joined(&network),
        "a key server may go on under what was replaced"
    );
    network.run_s(7_200);
    assert!(!joined(&network), "until it has ended");
}

#[test]
fn without_a_multicast_address_nobody_is_served_and_the_line_is_named() {
    let mut own = by_multicast(3_600, 7_200);
    own.multicast.address = None;
    let mut network = Network::of(7, &own, 1);
    network.run_s(5);
    assert_eq!(network.registered(), 0);
    assert!(network.node("ks1").has_event("KS_INCOMPLETE_CFG"));
    let events = &network.node("ks1").events;
    assert!(
        events
            .iter()
            .any(|line| line.contains("rekey address ipv4"))
    );
}

#[test]
fn the_secondary_goes_on_at_the_same_address_and_another_one_is_a_mismatch() {
    let mut network = Network::new(8);
    let servers = vec![KS, KS2];
    for (name, address, priority) in [("ks1", KS, 10), ("ks2", KS2, 5)] {
        let own = KeyServer {
            address,
            priority,
            servers: servers.clone(),
            ..by_multicast(60, 120)
        };
        network.add_key_server(name, own);
    }
    for n in 1..=3 {
        let mut own = member(n);
        own.servers.clone_from(&servers);
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![own],
        };
        network.add(&format!("gm{n}"), gm(n), config);
    }
    network.run_s(90);
    assert_eq!(network.registered(), 3);
    assert_eq!(network.node("ks2").count("COOP_CONFIG_MISMATCH"), 0);
    network.kill("ks1");
    network.log.clear();
    network.watch(Duration::from_secs(300), TICK, Network::assert_understood);
    assert_eq!(
        network.ks("ks2").coop.unwrap().role,
        crate::ks::Role::Primary
    );
    let pushes = pushes(&network);
    let from_ks2 = |push: &&&Packet| (push.from, push.to) == (socket(KS2), socket(GROUP));
    assert!(pushes.iter().filter(from_ks2).count() > 4);
    assert_eq!(network.node("ks2").count("KS_REKEY_TRANS_2_UNI"), 0);
    for n in 1..=3 {
        assert_eq!(network.gm(n).refusals, [], "{}", network.transcript);
    }
    network.start("ks1");
    network.run_s(60);
    network.reconfigure("ks1", |own| {
        own.multicast.address = Some(Ipv4Addr::new(239, 10, 1, 2));
    });
    network.run_s(30);
    for name in ["ks1", "ks2"] {
        let events = &network.node(name).events;
        let named = |line: &String| line.contains("WARNNING rekey address configuration");
        assert!(events.iter().any(named), "{name}: {events:?}");
    }
}

/// Anybody can send to a multicast address: what is no rekey of the key server is counted and
/// changes nothing.
#[test]
fn hostile_datagrams_to_the_group_change_nothing() {
    let mut network = Network::of(9, &by_multicast(3_600, 7_200), 2);
    network.run_s(5);
    network.log.clear();
    rekey(&mut network);
    network.run_s(40);
    let genuine = pushes(&network)[0].clone();
    let before = network.gm(1);
    let mut sent = 0;
    for at in [0, 8, 17, 19, 28, 40, genuine.bytes.len() - 1] {
        let mut bytes = genuine.bytes.clone();
        bytes[at] ^= 1;
        network.transmit(Packet {
            bytes,
            ..genuine.clone()
        });
        sent += 1;
    }
    for bytes in [Vec::new(), vec![0; 28], genuine.bytes[..40].to_vec()] {
        network.transmit(Packet {
            bytes,
            ..genuine.clone()
        });
        sent += 1;
    }
    // A copy of the true one, from an address of the attacker's.
    network.transmit(Packet {
        from: socket(Ipv4Addr::new(203, 0, 113, 9)),
        ..genuine
    });
    network.log.clear();
    network.run_s(20);
    let after = network.gm(1);
    assert_eq!(after.rekeys_received, before.rekeys_received);
    assert_eq!((&after.keks.new, &after.keks.previous), (&None, &None));
    let seq = |view: &crate::gm::View| view.keks.current.as_ref().map(|kek| kek.seq);
    assert_eq!(seq(&after), seq(&before));
    let refused: u64 = after.refusals.iter().map(|(_, count)| count).sum();
    assert!((1..=sent).contains(&refused), "{:?}", after.refusals);
    rekey(&mut network);
    network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
    assert_eq!(network.gm(1).rekeys_received, before.rekeys_received + 1);
}

/// `rekey retransmit N periodic`: reminders are new PUSHes, until nobody needs one.
#[test]
fn reminders_go_on_until_everyone_has_acknowledged() {
    let mut own = by_multicast(3_600, 7_200);
    own.reminder_s = Some(60);
    let mut network = Network::of(10, &own, 2);
    network.run_s(5);
    network.fate = Box::new(|packet, _| {
        let lost = packet.exchange() == PUSH && *packet.to.ip() == gm(2);
        if lost { Fate::Lose } else { Fate::Deliver }
    });
    network.log.clear();
    rekey(&mut network);
    network.run_s(200);
    let mut different: Vec<&[u8]> = Vec::new();
    for push in pushes(&network) {
        if !different.contains(&push.bytes.as_slice()) {
            different.push(&push.bytes);
        }
    }
    let rekeys = different.len();
    assert_eq!(
        rekeys, 4,
        "one and a reminder a minute\n{}",
        network.transcript
    );
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.run_s(70);
    network.assert_newest_held("ks1");
    let sent = network.ks("ks1").rekeys_sent;
    network.run_s(300);
    assert_eq!(network.ks("ks1").rekeys_sent, sent, "nobody needs one");
}

/// Plain members keep to unicast while those of ours are on multicast (PROTOCOL P3).
#[test]
fn each_kind_has_its_own_transport() {
    let mut own = by_multicast(3_600, 7_200);
    own.multicast.plain_by_unicast = true;
    let mut network = Network::of(11, &own, 1);
    network.run_s(5);
    let restored = network.restored("ks1");
    let (row, _) = restored.groups.values().next().unwrap();
    let destinations: Vec<_> = row
        .keys
        .keks
        .iter()
        .map(|kek| (kek.kind, kek.destination, kek.ack_type().is_some()))
        .collect();
    assert_eq!(
        destinations,
        [
            (policy::PeerKind::Ours, Some(GROUP), true),
            (policy::PeerKind::Rfc6407, None, true)
        ]
    );
}

#[test]
fn a_key_server_that_starts_again_goes_on_with_the_same_rekey_sa() {
    let mut network = Network::of(12, &by_multicast(600, 1_200), 2);
    network.run_s(5);
    let kek = network.ks("ks1").keks[0].spi;
    network.kill("ks1");
    network.start("ks1");
    network.run_s(5);
    assert_eq!(network.ks("ks1").keks[0].spi, kek);
    network.log.clear();
    rekey(&mut network);
    network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
    assert!(to_group(&network) > 0 && to_group(&network) == pushes(&network).len());
    assert_eq!(network.gm(1).refusals, []);
}

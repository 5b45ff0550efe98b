//! Members of RFC 6407 beside ours in groups with several key servers: they read no record of a key,
//! so what ours take from records they must be told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use policy::{GroupSize, RekeyTransport};
use wire::iana::PayloadType;
use wire::isakmp::Delete;

use super::coop::{group, heal};
use super::merge::apart;
use super::multicast::switch;
use super::network::{Fate, KS, KS2, Network, cbc, gm, isakmp, member};
use super::plain::{register, sayable};
use super::removal::{Adversary, assert_others_understand, clear};
use crate::config::{Acknowledgement, Config, KeyServer};
use crate::machine::Command;
use crate::push::open;

const TICK: Duration = Duration::from_millis(100);
/// As many are of our kind.
const PLAIN: u8 = 2;

/// Two key servers, and four members of which the first two are plain.
fn mixed(seed: u64, tek_s: u32, change: impl Fn(&mut KeyServer)) -> Network {
    let mut network = group(seed, 2, 0, tek_s, 10);
    populate(&mut network, change);
    network
}

/// Gives two key servers a policy that plain members can be told, and four members to both.
fn populate(network: &mut Network, change: impl Fn(&mut KeyServer)) {
    for name in ["ks1", "ks2"] {
        network.reconfigure(name, |own| {
            let policy = sayable(own.sas[0].transform, GroupSize::Small16);
            own.size = policy.size;
            own.sas[0].acl = Arc::clone(&policy.sas[0].acl);
            change(own);
        });
    }
    for n in 1..=2 * PLAIN {
        add(network, n, &[KS, KS2]);
    }
}

/// A member that takes key servers in this order.
fn add(network: &mut Network, n: u8, servers: &[Ipv4Addr]) {
    let mut own = member(n);
    own.servers = servers.to_vec();
    own.compatible_rfc6407 = n <= PLAIN;
    let config = Config {
        isakmp: isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![own],
    };
    network.add(&format!("gm{n}"), gm(n), config);
}

#[test]
fn rekeys_go_on_for_both_kinds_and_lose_nothing() {
    for transport in [RekeyTransport::Unicast, RekeyTransport::Multicast] {
        let mut network = mixed(1, 60, |own| switch(own, transport));
        network.run_s(60);
        assert_eq!(network.registered(), 4, "{}", network.transcript);
        let kinds = [1, 3].map(|n| network.gm(n).server_kind.map(|kind| kind.to_string()));
        assert_ne!(kinds[0], kinds[1], "the first speaks RFC 6407 only");
        network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
        for n in 1..=4 {
            assert_eq!(network.gm(n).registrations_succeeded, 1, "gm{n}");
        }
    }
}

/// Times that plain members are told count from the arrival: a copy says what is left by then.
#[test]
fn a_copy_tells_a_plain_member_no_older_time_than_the_first_datagram() {
    let mut network = mixed(2, 60, |own| {
        (own.retransmit_period_s, own.retransmit_number) = (40, 2);
    });
    network.run_s(60);
    // Of each rekey the first plain member gets the second copy only.
    let mut before = Vec::new();
    network.fate = Box::new(move |packet, now| {
        if packet.exchange() != 33 || *packet.to.ip() != gm(1) {
            return Fate::Deliver;
        }
        let at = now.as_secs();
        before.retain(|when| at - when < 20);
        before.push(at);
        match before.len() {
            1 | 2 => Fate::Lose,
            _ => Fate::Deliver,
        }
    });
    network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
}

/// Two keys become due at a time when sides of a split meet. Each is told to plain members, too.
#[test]
fn keys_of_both_sides_of_a_split_reach_plain_members() {
    for seed in 3..=4 {
        let mut network = mixed(seed, 600, |_| {});
        network.run_s(30);
        apart(&mut network, &[KS, gm(1), gm(3)]);
        network.run_s(60);
        for name in ["ks1", "ks2"] {
            network.command(name, Command::Rekey { group: None });
        }
        network.run_s(60);
        heal(&mut network);
        network.run_s(100);
        network.watch(Duration::from_secs(1_500), TICK, Network::assert_understood);
    }
}

/// Plain members are told each key in a PUSH of its own, and have acknowledged that one; ours are told all of
/// them by one, which one member has not heard when the primary dies.
#[test]
fn a_key_that_plain_members_have_is_told_to_ours_by_whoever_takes_over() {
    let mut network = mixed(9, 3_600, |_| {});
    // The next key is announced, and not sent on yet.
    network.run_s(2_700);
    network.fate = Box::new(|packet, _| match *packet.to.ip() == gm(3) {
        true => Fate::Lose,
        false => Fate::Deliver,
    });
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(2);
    network.kill("ks1");
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
}

/// It is told what is sent on now; the next key it gets from the primary, which sends rekeys.
#[test]
fn who_registers_at_a_secondary_is_told_the_next_key_by_the_primary() {
    let mut network = mixed(7, 600, |_| {});
    network.run_s(60);
    network.kill("gm1");
    network.run_s(5);
    let at = network.at("gm1");
    network.nodes[at].config = Arc::new(Config {
        members: vec![crate::config::Member {
            servers: vec![KS2],
            compatible_rfc6407: true,
            ..member(1)
        }],
        isakmp: isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
    });
    network.start("gm1");
    network.run_s(10);
    let ahead = network.ks("ks1").teks;
    let next = ahead
        .iter()
        .find(|tek| !tek.activates_in.is_zero())
        .unwrap();
    let held = network.gm(1).teks;
    assert!(held.iter().any(|tek| tek.spi == next.spi), "{held:?}");
    network.watch(Duration::from_secs(1_500), TICK, Network::assert_understood);
}

/// Ours read in every message which generation counts; at plain members dead keys are deleted.
#[test]
fn what_a_removed_member_knew_is_deleted_at_plain_members() {
    for now in [false, true] {
        let mut network = mixed(8, 600, |_| {});
        network.run_s(60);
        let mut adversary = Adversary::of(&network, 4, "ks1");
        network.command("ks1", clear(Some(4), now));
        network.run_s(if now { 30 } else { 60 });
        network.watch(Duration::from_secs(1_500), TICK, |network| {
            assert_others_understand(network, 4, 4);
            adversary.assert_deaf(network, 4, 4);
            adversary.assert_dumb(network, 4, 4);
        });
        adversary.try_all(&network);
        for n in 1..=3 {
            let registrations = network.gm(n).registrations_succeeded;
            assert_eq!(registrations, 2, "gm{n} came back once");
        }
    }
}

/// So are those of another make, which do not shorten what they hold.
#[test]
fn a_plain_member_that_is_back_is_told_which_keys_have_ended() {
    let config = sayable(cbc(), GroupSize::Medium);
    let (mut network, mut plain) = super::plain::mixed(&config);
    let before = register(&mut plain, &mut network).expect("it is served");
    network.command("ks1", clear(None, false));
    plain.idle(&mut network);
    let after = register(&mut plain, &mut network).expect("it is served again");
    plain.pushes.clear();
    network.run_s(40);
    plain.idle(&mut network);
    let kek = after.received.kek.expect("there is a KEK").sa;
    let deleted = plain.pushes.iter().filter_map(|push| {
        let opened = open(&kek, &push.bytes).ok()?;
        let delete: Delete = opened.chain().find(PayloadType::DELETE)?.decode().ok()?;
        Some(delete.iter_u32().collect::<Vec<u32>>())
    });
    let deleted: Vec<u32> = deleted.flatten().collect();
    let spi = before.offer.teks[0].spi.0;
    assert!(deleted.contains(&spi), "{deleted:x?} {spi:x}");
    assert!(!deleted.contains(&0), "others are good");
}

/// On the other side of the split plain members were told a Rekey SA that nobody acknowledges.
#[test]
fn plain_members_are_called_under_the_rekey_sa_of_either_side() {
    let mut network = mixed(9, 300, |own| {
        switch(own, RekeyTransport::Multicast);
        own.multicast.acknowledgement = Acknowledgement::None;
    });
    network.run_s(60);
    // The key servers only: all members hear both.
    super::coop::split(&mut network, KS, &[KS2]);
    network.run_s(700);
    let adversary = Adversary::of(&network, 4, "ks2");
    network.command("ks1", clear(Some(4), false));
    network.run_s(20);
    heal(&mut network);
    network.run_s(120);
    network.watch(Duration::from_secs(600), TICK, |network| {
        assert_others_understand(network, 4, 4);
        adversary.assert_deaf(network, 4, 4);
    });
}

/// Two key servers that found the group apart, each with a plain member and one of ours.
fn two_foundings(seed: u64, change: impl Fn(&mut KeyServer)) -> Network {
    let mut network = Network::new(seed);
    apart(&mut network, &[KS, gm(1), gm(3)]);
    super::coop::found(&mut network, 2, 0, (1_800, 10));
    populate(&mut network, change);
    network
}

/// At a merge nobody knows which keys plain members of the other side hold: they are told all, also
/// those that have been sent on for long. What the other side knows comes when the winner has told
/// its own members already.
#[test]
fn plain_members_of_two_foundings_learn_what_is_sent_on_at_the_other() {
    for seed in 10..=11 {
        let mut network = two_foundings(seed, |_| {});
        network.run_s(1_500);
        let met = network.now;
        network.fate = Box::new(move |packet, now| {
            let ends = [*packet.from.ip(), *packet.to.ip()];
            let records = ends == [KS2, KS] && packet.bytes.len() > 400;
            match records && now < met + Duration::from_secs(5) {
                true => Fate::Lose,
                false => Fate::Deliver,
            }
        });
        network.run_s(60);
        network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
    }
}

/// One side changed over to another transport by a Rekey SA that nobody acknowledges, and knows not
/// that members of the other side never heard of it.
#[test]
fn plain_members_of_the_other_side_are_told_that_rekeys_come_by_unicast() {
    let mut network = mixed(12, 600, |own| {
        switch(own, RekeyTransport::Multicast);
        own.multicast.acknowledgement = Acknowledgement::None;
    });
    network.run_s(60);
    apart(&mut network, &[KS, gm(2), gm(4)]);
    network.run_s(60);
    let unicast = |own: &mut KeyServer| own.transport = RekeyTransport::Unicast;
    network.reconfigure("ks2", unicast);
    network.run_s(200);
    heal(&mut network);
    network.run_s(10);
    network.reconfigure("ks1", unicast);
    network.watch(Duration::from_secs(1_500), TICK, Network::assert_understood);
    for n in 1..=4 {
        assert_eq!(network.gm(n).registrations_succeeded, 1, "gm{n}");
    }
}

/// The clock went on from where it was written down: keys live longer than plain members were told,
/// and what ended at them while all key servers were off stays ended.
#[test]
fn plain_members_are_told_every_key_by_a_clock_that_was_lost() {
    for (tek_s, runs_s, off_s) in [(600, 480, 40), (600, 520, 40), (300, 500, 400)] {
        let mut network = mixed(13, tek_s, |own| {
            (own.retransmit_period_s, own.retransmit_number) = (40, 2);
        });
        network.run_s(runs_s);
        network.kill("ks1");
        network.kill("ks2");
        network.run_s(off_s);
        for name in ["ks1", "ks2"] {
            network.boot(name);
            network.start(name);
        }
        network.run_s(if off_s > 100 { 90 } else { 30 });
        assert_eq!(network.registered(), 4);
        network.watch(Duration::from_secs(900), TICK, Network::assert_understood);
    }
}

/// A copy is made anew as long as there is something in it: of a key that has ended it would tell the
/// newest one, and that it is sent on at once.
#[test]
fn a_plain_member_sends_on_no_key_long_before_its_time() {
    let mut network = two_foundings(14, |own| {
        switch(own, RekeyTransport::Multicast);
        own.multicast.acknowledgement = Acknowledgement::None;
        (own.retransmit_period_s, own.retransmit_number) = (20, 5);
    });
    network.run_s(1_735);
    heal(&mut network);
    network.run_s(40);
    network.watch(Duration::from_secs(300), TICK, |network| {
        assert_none_early(network);
    });
}

/// No plain member sends on a key long before its time.
fn assert_none_early(network: &Network) {
    for n in 1..=PLAIN {
        let sent = network.gm(n).teks.into_iter().find(|tek| tek.outbound);
        let spi = sent.expect("it sends").spi;
        let teks = network.ks("ks1").teks;
        let early = teks.iter().find(|tek| tek.spi == spi);
        let early = early.map_or(Duration::ZERO, |tek| tek.activates_in);
        assert!(early <= Duration::from_secs(6), "gm{n}: {early:?} early");
    }
}

/// The delay is 16 bits of seconds: keys that are announced more than 18 hours ahead are told later.
#[test]
fn plain_members_wait_for_keys_that_are_announced_a_day_ahead() {
    let mut network = mixed(3, 86_400, |_| ());
    network.run_s(60);
    for _ in 0..2 {
        network.watch(
            Duration::from_secs(86_000),
            Duration::from_secs(600),
            assert_none_early,
        );
        network.watch(
            Duration::from_secs(600),
            Duration::from_secs(1),
            |network| {
                assert_none_early(network);
                network.assert_understood();
            },
        );
    }
    for n in 1..=2 * PLAIN {
        let registrations = network.gm(n).registrations_succeeded;
        assert_eq!(registrations, 1, "gm{n}");
    }
}

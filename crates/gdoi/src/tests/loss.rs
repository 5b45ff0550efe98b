//! Every datagram of a registration and a rekey lost, doubled or late, one at a time, and many at
//! random.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::network::{Fate, Network, key_server};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(500);

/// A member registers and a rekey follows; datagram number `victim` has `fate`.
fn run_with(victim: usize, fate: fn() -> Fate) -> Network {
    let mut network = Network::new(11);
    let sent = Rc::new(Cell::new(0));
    network.fate = Box::new(move |_, _| {
        sent.set(sent.get() + 1);
        if sent.get() == victim {
            fate()
        } else {
            Fate::Deliver
        }
    });
    network.add_key_server("ks1", key_server(600, 1_200));
    network.add_member(1);
    network.add_member(2);
    network.run_s(40);
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    network
}

fn assert_well(network: &Network, victim: usize) {
    assert_eq!(network.registered(), 2, "{victim}\n{}", network.transcript);
    network.assert_keys_agree("ks1");
    network.assert_newest_held("ks1");
    network.assert_sids_unique();
    let view = network.ks("ks1");
    for member in &view.members {
        let (sent, received) = (member.sent_seqs[0], member.received_seqs[0]);
        assert_eq!(sent, received, "{victim}\n{}", network.transcript);
    }
    assert_eq!(view.unsolicited_acks, 0, "{victim}\n{}", network.transcript);
    for n in [1, 2] {
        let refusals = network.gm(n).refusals;
        assert_eq!(refusals, [], "{victim}\n{}", network.transcript);
    }
}

#[test]
fn one_lost_datagram_changes_nothing_that_matters() {
    let datagrams = run_with(usize::MAX, || Fate::Deliver).log.len();
    assert!(datagrams >= 28, "{datagrams}");
    for victim in 1..=datagrams {
        assert_well(&run_with(victim, || Fate::Lose), victim);
    }
}

#[test]
fn one_doubled_datagram_changes_nothing_that_matters() {
    let datagrams = run_with(usize::MAX, || Fate::Deliver).log.len();
    for victim in 1..=datagrams {
        assert_well(&run_with(victim, || Fate::Twice), victim);
    }
}

#[test]
fn one_late_datagram_changes_nothing_that_matters() {
    let datagrams = run_with(usize::MAX, || Fate::Deliver).log.len();
    for victim in 1..=datagrams {
        assert_well(
            &run_with(victim, || Fate::Late(Duration::from_millis(2_700))),
            victim,
        );
    }
}

/// A tenth of all datagrams is lost, for an hour of the shortest lifetimes.
#[test]
fn an_hour_with_every_tenth_datagram_lost_passes_without_a_gap() {
    for seed in 1..=3_u64 {
        let mut network = Network::new(seed);
        let state = Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        network.fate = Box::new(move |_, _| {
            // xorshift64: any reproducible scatter will do.
            let mut x = state.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            state.set(x);
            match x % 20 {
                0 | 1 => Fate::Lose,
                2 => Fate::Twice,
                3 => Fate::Late(Duration::from_millis(x / 20 % 3_000)),
                _ => Fate::Deliver,
            }
        });
        network.add_key_server("ks1", key_server(120, 240));
        for n in 1..=4 {
            network.add_member(n);
        }
        network.run_s(60);
        network.watch(Duration::from_secs(3_600), TICK, Network::assert_understood);
        assert_eq!(network.registered(), 4);
        network.assert_sids_unique();
        assert!(network.ks("ks1").rekeys_retransmitted > 0);
    }
}

/// The acknowledgements of one member never arrive: copies stop at the configured number, the
/// member is counted as one that misses them, and loses nothing.
#[test]
fn a_member_whose_acknowledgements_are_lost_is_counted_and_loses_nothing() {
    let mut network = Network::of(5, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.fate = Box::new(|packet, _| {
        if packet.exchange() == 35 && *packet.from.ip() == super::network::gm(1) {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let view = network.ks("ks1");
    let (lossy, good) = (&view.members[0], &view.members[1]);
    assert_eq!((lossy.rekeys_sent, lossy.rekeys_retries), (1, 2));
    assert_eq!((lossy.acks_received, lossy.acks_missed), (0, 1));
    assert_eq!((good.acks_received, good.rekeys_retries), (1, 0));
    assert_eq!(view.last_rekey_retransmits, 2);
    // A copy makes the member repeat its acknowledgement, and nothing else.
    let member = network.gm(1);
    assert_eq!((member.rekeys_received, member.acks_sent), (1, 3));
}

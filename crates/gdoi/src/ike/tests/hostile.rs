//! Strangers, and those on the path: what they send changes nothing and costs little.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use proptest::prelude::*;
use wire::iana::ExchangeType;
use wire::isakmp::Header;

use super::network::{Fate, GM, KS, Network, config};
use crate::ike::{Isakmp, RefusalCounter, Upcall};
use crate::limits::{
    COMPUTATIONS_MAX, HALF_OPEN_MAX, HALF_OPEN_PER_SOURCE_MAX, KEYED_PER_SOURCE_MAX,
    REPORTS_REMEMBERED_MAX,
};

const LONG: Duration = Duration::from_secs(60);

/// The datagrams of main mode and a PULL, in order, with who receives them.
fn ladder() -> Vec<(usize, Vec<u8>)> {
    let mut network = Network::fitting();
    network.connect(0);
    network.run_for(LONG);
    assert!(network.pull(network.now + LONG, 100));
    network
        .sent
        .into_iter()
        .map(|(from, bytes)| (1 - from, bytes))
        .collect()
}

fn refusals(engine: &Isakmp) -> u64 {
    engine.counters().refusals().map(|(_, count)| count).sum()
}

/// Runs with a forged datagram put before the n-th one; both must still end with one SA.
fn forge(n: usize, change: impl Fn(&[u8]) -> Vec<u8>) -> Network {
    let mut network = Network::fitting();
    network.connect(0);
    for _ in 0..n {
        assert!(network.step(policy::Time::from_secs(1)));
    }
    let next = network.flight.front().expect("something is in flight");
    let (to, from, bytes) = (next.to, next.from, change(&next.bytes));
    let rows = network.nodes[to].engine.view().rows;
    let sent = network.sent.len();
    let before = refusals(&network.nodes[to].engine);
    network.deliver(to, from, &bytes);
    assert_eq!(
        refusals(&network.nodes[to].engine),
        before + 1,
        "{}",
        network.transcript
    );
    assert_eq!(network.nodes[to].engine.view().rows, rows);
    assert_eq!(
        network.sent.len(),
        sent,
        "nothing is answered: {}",
        network.transcript
    );
    network.run_for(LONG);
    network.assert_one_sa();
    network
}

#[test]
fn a_message_that_is_cut_short_anywhere_changes_nothing() {
    for n in 0..6 {
        let len = ladder()[n].1.len();
        for cut in (0..len).step_by(7) {
            forge(n, |bytes| bytes[..cut].to_vec());
            // ... with a header that agrees.
            if cut >= Header::LEN {
                forge(n, |bytes| {
                    let mut bytes = bytes[..cut].to_vec();
                    let length = u32::try_from(cut).unwrap();
                    bytes[24..28].copy_from_slice(&length.to_be_bytes());
                    bytes
                });
            }
        }
    }
}

#[test]
fn a_wrong_header_changes_nothing() {
    for n in 0..6 {
        for (at, value) in [(17, 0x20), (18, 4), (18, 99), (19, 0xfe), (20, 1), (27, 0)] {
            if at == 19 && n < 4 {
                forge(n, |bytes| [&bytes[..19], &[1], &bytes[20..]].concat());
                continue;
            }
            forge(n, |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[at] = value;
                bytes
            });
        }
    }
}

/// Who forges its address has not seen our cookie: a key costs an answer that reached it.
#[test]
fn a_later_message_without_our_cookie_costs_no_key() {
    for n in [2, 4] {
        let mut network = Network::fitting();
        network.connect(0);
        for _ in 0..n {
            assert!(network.step(policy::Time::from_secs(1)));
        }
        let next = network.flight.front().expect("something is in flight");
        let (to, from, mut bytes) = (next.to, next.from, next.bytes.clone());
        bytes[8..16].fill(0);
        let sent = network.sent.len();
        network.deliver(to, from, &bytes);
        let said = network.sent[sent..].iter();
        let mut kinds = said.map(|(_, bytes)| Header::decode(bytes).unwrap().exchange_type);
        assert!(
            kinds.all(|kind| kind == ExchangeType::INFORMATIONAL),
            "{}",
            network.transcript
        );
        network.run_for(LONG);
        network.assert_one_sa();
    }
}

#[test]
fn a_flipped_bit_in_an_encrypted_hash_or_identity_changes_nothing() {
    for n in [4, 5] {
        // The first two blocks hold the ID payload and the head of HASH.
        for at in Header::LEN..Header::LEN + 32 {
            let network = forge(n, |bytes| {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 0x10;
                bytes
            });
            let to = usize::from(n == 4);
            let counters = network.nodes[to].engine.counters();
            let silent = counters.refused(RefusalCounter::Undecryptable)
                + counters.refused(RefusalCounter::BadHash)
                + counters.refused(RefusalCounter::IllegalPayloads);
            assert_eq!(silent, 1);
        }
    }
}

#[test]
fn garbage_within_a_pull_changes_nothing() {
    for n in 6..10 {
        let mut network = Network::fitting();
        network.fate = Box::new(move |at, _| if at == n { Fate::Lose } else { Fate::Deliver });
        network.connect(0);
        network.run_for(LONG);
        let start = network.now;
        // Stop with the n-th datagram lost, and put something else in its place.
        network.pull(start + Duration::from_millis(300), 100);
        let (from, good) = network.sent[n].clone();
        let source = network.nodes[from].address;
        for at in Header::LEN..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            network.deliver(1 - from, source, &bytes);
        }
        let to = &network.nodes[1 - from].engine;
        assert_eq!(
            refusals(to),
            u64::try_from(good.len() - Header::LEN).unwrap()
        );
        let before = network.nodes[1 - from].upcalls.len();
        network.deliver(1 - from, source, &good);
        assert_eq!(
            network.nodes[1 - from].upcalls.len(),
            before + 1,
            "{}",
            network.transcript
        );
    }
}

#[test]
fn a_replay_of_everything_changes_nothing() {
    let mut network = Network::fitting();
    network.connect(0);
    network.run_for(LONG);
    assert!(network.pull(network.now + LONG, 100));
    network.run_for(LONG);
    let rows = network.nodes.each_ref().map(|node| node.engine.view().rows);
    let upcalls = network.nodes.each_ref().map(|node| node.upcalls.len());
    for (from, bytes) in network.sent.clone() {
        for to in 0..2 {
            // To whom it was sent, and back to who sent it.
            let source = network.nodes[1 - to].address;
            let _ = from;
            network.deliver(to, source, &bytes);
        }
    }
    let after = network.nodes.each_ref().map(|node| node.upcalls.len());
    assert_eq!(upcalls, after, "{}", network.transcript);
    // A reflected message 1 opens a negotiation like any other; nothing else is new.
    for (node, before) in network.nodes.iter().zip(rows) {
        let now = node.engine.view().rows;
        assert!(before.iter().all(|row| now.contains(row)));
        assert!(now.len() <= before.len() + 1);
    }
}

#[test]
fn aggressive_mode_and_strange_exchanges_are_dropped_and_counted() {
    let mut network = Network::fitting();
    for (exchange, counter) in [
        (4, RefusalCounter::AggressiveMode),
        (1, RefusalCounter::UnknownExchange),
        (34, RefusalCounter::UnknownExchange),
        (243, RefusalCounter::UnknownExchange),
        (240, RefusalCounter::NoSa),
        (32, RefusalCounter::NoSa),
        (241, RefusalCounter::NoSa),
        (5, RefusalCounter::NoSa),
    ] {
        let mut bytes = ladder()[0].1.clone();
        bytes[18] = exchange;
        let before = network.nodes[1].engine.counters().refused(counter);
        network.deliver(1, GM, &bytes);
        let after = network.nodes[1].engine.counters().refused(counter);
        assert_eq!(after, before + 1, "{exchange}");
    }
    // Only who uses cookies that are not known here is told so, and never about a notification.
    assert_eq!(network.sent.len(), 3);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn an_answer_before_message_3_is_never_much_longer_than_its_question() {
    let mut network = Network::fitting();
    network.connect(0);
    let question = network.sent[0].1.clone();
    // Without vendor ids.
    let sa_len = usize::from(u16::from_be_bytes([question[30], question[31]]));
    let mut short = question[..28 + sa_len].to_vec();
    let length = u32::try_from(short.len()).unwrap();
    short[24..28].copy_from_slice(&length.to_be_bytes());
    short[28] = 0;
    network.flight.clear();
    network.deliver(1, GM, &short);
    let answer = &network.sent[1].1;
    assert!(
        2 * answer.len() <= 3 * short.len(),
        "{} for {}",
        answer.len(),
        short.len()
    );
}

#[test]
fn a_flood_of_first_messages_stays_bounded_and_lets_the_honest_in() {
    let mut ks = config("secret", GM);
    ks.keys[0].address = Ipv4Addr::UNSPECIFIED;
    ks.keys[0].mask = Ipv4Addr::UNSPECIFIED;
    let mut network = Network::new(config("secret", KS), ks);
    let mut bytes = ladder()[0].1.clone();
    let flood = |network: &mut Network, count: u32, source: &dyn Fn(u32) -> Ipv4Addr| {
        for n in 0..count {
            bytes[..4].copy_from_slice(&(n + 1).to_be_bytes());
            let from = SocketAddrV4::new(source(n), 848);
            network.deliver(1, from, &bytes);
        }
        network.flight.clear();
    };
    let mut flood = flood;
    flood(&mut network, 10_000, &|n| Ipv4Addr::from(0x0b00_0000 + n));
    assert_eq!(network.nodes[1].engine.view().half_open, HALF_OPEN_MAX);
    // Under the address of the honest one.
    flood(&mut network, 1_000, &|_| *GM.ip());
    assert!(network.nodes[1].engine.view().half_open <= HALF_OPEN_MAX);
    network.transcript.clear();
    network.connect(0);
    network.run_for(LONG);
    network.assert_one_sa();
    assert_eq!(network.nodes[1].engine.view().half_open, 0);
    assert_eq!(network.nodes[1].engine.view().rows.len(), 1);
}

#[test]
fn one_address_holds_so_many_negotiations_and_no_more() {
    let mut network = Network::fitting();
    let mut bytes = ladder()[0].1.clone();
    for n in 0..2_000_u32 {
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        network.deliver(1, GM, &bytes);
    }
    assert_eq!(
        network.nodes[1].engine.view().half_open,
        HALF_OPEN_PER_SOURCE_MAX
    );
}

#[test]
fn diffie_hellman_is_not_computed_without_end() {
    let mut network = Network::fitting();
    network.connect(0);
    for _ in 0..2 {
        network.step(policy::Time::from_secs(1));
    }
    let good = network.flight.front().unwrap().bytes.clone();
    for n in 0..20_u8 {
        let mut bytes = good.clone();
        bytes[40] ^= n | 1;
        network.deliver(1, GM, &bytes);
    }
    let counters = network.nodes[1].engine.counters();
    assert_eq!(
        counters.refused(RefusalCounter::KeyExchange),
        u64::from(COMPUTATIONS_MAX)
    );
    let refused = counters.refused(RefusalCounter::Computations);
    assert_eq!(refused, 20 - u64::from(COMPUTATIONS_MAX));
}

#[test]
fn negotiations_that_cost_a_key_are_few_per_address() {
    let mut network = Network::fitting();
    let first = ladder()[0].1.clone();
    let third = ladder()[2].1.clone();
    for n in 0..20_u8 {
        let mut one = first.clone();
        one[0] = n;
        network.deliver(1, GM, &one);
        let answer = network.sent.last().unwrap().1.clone();
        let mut three = third.clone();
        three[..16].copy_from_slice(&answer[..16]);
        network.deliver(1, GM, &three);
    }
    let counters = network.nodes[1].engine.counters();
    let refused = counters.refused(RefusalCounter::HalfOpenFull);
    assert_eq!(refused, 20 - KEYED_PER_SOURCE_MAX as u64);
}

#[test]
fn messages_1_under_a_forged_address_use_up_no_configured_limit() {
    let mut network = Network::fitting();
    let mut config = (*network.nodes[1].engine.config).clone();
    config.admission.negotiations = Some(1);
    network.nodes[1]
        .engine
        .configure(std::sync::Arc::new(config));
    let first = ladder()[0].1.clone();
    for n in 0..200_u8 {
        let mut one = first.clone();
        one[0] = n;
        network.deliver(1, GM, &one);
    }
    network.connect(0);
    network.run_for(LONG);
    network.assert_one_sa();
    let counters = network.nodes[1].engine.counters();
    assert_eq!(counters.refused(RefusalCounter::NegotiationLimit), 0);
}

#[test]
fn what_is_notified_in_clear_is_counted_and_never_obeyed() {
    for n in 0..=6 {
        let mut network = Network::fitting();
        network.connect(0);
        for _ in 0..n {
            network.step(policy::Time::from_secs(1));
        }
        let header = Header::decode(&network.sent.last().unwrap().1).unwrap();
        for ty in 1..=30 {
            let ty = wire::iana::NotifyType(ty);
            let bytes = crate::ike::informational::clear_notify(&header, ty);
            network.deliver(0, KS, &bytes);
        }
        let notified = network.nodes[0].engine.counters().clear_notifies;
        assert_eq!(notified, 30, "{n}: {}", network.transcript);
        network.run_for(LONG);
        network.assert_one_sa();
    }
}

#[test]
fn the_log_of_refusals_is_bounded() {
    let mut network = Network::fitting();
    for n in 0..10_000_u32 {
        let from = SocketAddrV4::new(Ipv4Addr::from(0x0b00_0000 + n), 848);
        network.deliver(1, from, &[0; 10]);
        network.deliver(1, from, &[0; 10]);
    }
    assert_eq!(network.nodes[1].events.len(), REPORTS_REMEMBERED_MAX);
    assert_eq!(
        network.nodes[1]
            .engine
            .counters()
            .refused(RefusalCounter::Malformed),
        20_000
    );
}

proptest! {
    #[test]
    fn no_octets_panic_or_are_answered_at_length(
        steps in 0_usize..12,
        to in 0_usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let ladder = ladder();
        let mut network = Network::fitting();
        network.connect(0);
        for _ in 0..steps.min(7) {
            network.step(policy::Time::from_secs(1));
        }
        let mut bytes = match network.flight.front() {
            Some(next) => next.bytes.clone(),
            None => ladder[steps % ladder.len()].1.clone(),
        };
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() * 2).max(1));
        bytes.extend(tail);
        let length = u32::try_from(bytes.len()).unwrap();
        if bytes.len() >= 28 && length % 3 != 0 {
            bytes[24..28].copy_from_slice(&length.to_be_bytes());
        }
        let sent = network.sent.len();
        let source = network.nodes[1 - to].address;
        network.deliver(to, source, &bytes);
        if bytes.get(8..16) == Some(&[0; 8]) {
            let answers: usize = network.sent[sent..].iter().map(|(_, bytes)| bytes.len()).sum();
            prop_assert!(2 * answers <= 3 * bytes.len() || steps > 0);
        }
        let is_group = network.nodes[to]
            .upcalls
            .iter()
            .any(|upcall| matches!(upcall, Upcall::Deleted(_)));
        prop_assert!(!is_group);
    }
}

//! What happens to an SA once it is there: deletes, contacts, keepalives, lifetimes, parts.

use std::time::Duration;

use policy::Time;
use wire::iana::{ExchangeType, NotifyType, PayloadType};
use wire::isakmp::Header;

use super::network::{Fate, GM, KS, Network, config, pull_1};
use crate::ike::{Connection, Expect, RefusalCounter, SaId, SendError, Upcall};
use crate::limits::{EXCHANGES_PER_SA_MAX, SAS_PER_PEER_MAX};

const LONG: Duration = Duration::from_secs(60);

fn up() -> (Network, SaId, SaId) {
    let mut network = Network::fitting();
    network.connect(0);
    network.run_for(LONG);
    let (gm, ks) = network.assert_one_sa();
    network.transcript.clear();
    (network, gm, ks)
}

fn deleted(network: &Network, at: usize) -> usize {
    let is_deleted = |upcall: &&Upcall| matches!(upcall, Upcall::Deleted(_) | Upcall::Dead(_));
    network.nodes[at].upcalls.iter().filter(is_deleted).count()
}

#[test]
fn connecting_again_finds_the_sa_from_either_side() {
    let (mut network, gm, ks) = up();
    assert_eq!(network.connect(0), Connection::Established(gm));
    assert_eq!(network.connect(1), Connection::Established(ks));
    assert_eq!(network.transcript, "");
}

#[test]
fn connecting_twice_negotiates_once() {
    let mut network = Network::fitting();
    let first = network.connect(0);
    assert_eq!(network.connect(0), first);
    network.run_for(LONG);
    network.assert_one_sa();
}

#[test]
fn a_delete_ends_the_sa_on_both_sides() {
    let (mut network, gm, _) = up();
    network.with(0, |engine, now, rng, out| engine.delete(now, gm, rng, out));
    network.run_for(LONG);
    assert!(
        network
            .nodes
            .iter()
            .all(|node| node.engine.view().rows.is_empty())
    );
    assert_eq!((deleted(&network, 0), deleted(&network, 1)), (1, 1));
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn a_member_that_restarted_replaces_its_old_sa() {
    let (mut network, _, _) = up();
    let (restarted, _, _) = up();
    network.nodes[0] = restarted.nodes.into_iter().next().unwrap();
    network.nodes[0].engine = crate::ike::Isakmp::new(false);
    network.nodes[0]
        .engine
        .configure(std::sync::Arc::new(config("secret", KS)));
    network.nodes[0].upcalls.clear();
    network.connect(0);
    network.run_for(LONG);
    assert_eq!(network.nodes[0].engine.view().rows.len(), 1);
    assert_eq!(network.nodes[1].engine.view().rows.len(), 1);
    assert_eq!(deleted(&network, 1), 1);
}

#[test]
fn two_that_begin_at_the_same_time_keep_what_both_hold() {
    let mut network = Network::fitting();
    network.connect(0);
    network.connect(1);
    network.run_for(LONG);
    let cookies = |at: usize| -> Vec<_> {
        let sas = network.nodes[at].established();
        let sas = sas.iter().filter_map(|sa| network.nodes[at].engine.sa(*sa));
        let mut cookies: Vec<_> = sas.map(|sa| sa.initiator_cookie()).collect();
        cookies.sort_unstable();
        cookies
    };
    assert_eq!(cookies(0), cookies(1));
    assert!(!cookies(0).is_empty());
}

#[test]
fn a_peer_holds_a_few_sas_and_no_more() {
    let (mut network, _, _) = up();
    for _ in 0..2 * SAS_PER_PEER_MAX {
        // A member that forgets its SAs but does not say so.
        let sas = network.nodes[0].established();
        network.fate = Box::new(|_, _| Fate::Lose);
        for sa in sas {
            network.with(0, |engine, now, rng, out| engine.delete(now, sa, rng, out));
        }
        network.fate = Box::new(|_, _| Fate::Deliver);
        network.connect(0);
        network.run_for(LONG);
    }
    assert!(network.nodes[1].engine.view().rows.len() <= SAS_PER_PEER_MAX);
}

#[test]
fn an_sa_ends_with_its_lifetime_and_is_not_used_shortly_before() {
    let mut gm = config("secret", KS);
    gm.policies[0].lifetime_s = 120;
    let mut network = Network::new(gm, config("secret", GM));
    network.connect(0);
    network.run_for(Duration::from_secs(1));
    let (gm, _) = network.assert_one_sa();
    assert_eq!(network.connect(0), Connection::Established(gm));
    network.run_until(Time::from_secs(100));
    assert!(matches!(network.connect(0), Connection::Pending(_)));
    network.run_until(Time::from_secs(110));
    assert_eq!(network.nodes[0].engine.view().rows.len(), 2);
    network.run_until(Time::from_secs(125));
    assert_eq!(network.nodes[0].engine.view().rows.len(), 1);
    assert_eq!(network.nodes[1].engine.view().rows.len(), 1);
}

#[test]
fn a_silent_peer_is_asked_and_lives() {
    let mut ks = config("secret", GM);
    ks.keepalive_s = 10;
    let mut network = Network::new(config("secret", KS), ks);
    network.connect(0);
    network.run_until(Time::from_secs(25));
    network.assert_one_sa();
    for node in &network.nodes {
        assert_eq!(
            node.engine
                .counters()
                .refusals()
                .map(|(_, n)| n)
                .sum::<u64>(),
            0
        );
    }
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn a_dead_peer_is_found_out() {
    let mut ks = config("secret", GM);
    ks.keepalive_s = 10;
    let mut network = Network::new(config("secret", KS), ks);
    network.connect(0);
    network.run_until(Time::from_secs(1));
    network.fate = Box::new(|_, _| Fate::Lose);
    network.transcript.clear();
    network.run_until(Time::from_secs(40));
    assert_eq!(network.nodes[1].engine.view().rows, []);
    assert_eq!(deleted(&network, 1), 1);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn without_keepalive_nobody_is_asked() {
    let (mut network, _, _) = up();
    network.run_until(Time::from_secs(3_600));
    assert_eq!(network.transcript, "");
}

/// Routers say the lifetime that they take right after message 6.
#[test]
fn a_status_under_the_sa_ends_nothing_above() {
    let (mut network, _, ks) = up();
    network.with(1, |engine, _, rng, out| {
        let ty = NotifyType::RESPONDER_LIFETIME;
        engine.notify(ks, ty, b"", rng, out).unwrap();
    });
    let before = network.nodes[0].upcalls.len();
    network.run_for(LONG);
    assert_eq!(network.nodes[0].upcalls.len(), before);
}

/// Keepalives use up message ids: another SA takes over while there are some left to ask with.
#[test]
fn an_sa_is_replaced_before_its_message_ids_are_used_up() {
    let (mut network, gm, _) = up();
    network.with(0, |engine, _, rng, out| {
        for _ in 0..crate::limits::MESSAGE_IDS_MAX - crate::limits::MESSAGE_IDS_RESERVE {
            let ty = NotifyType::REPLAY_STATUS;
            engine.notify(gm, ty, b"", rng, out).unwrap();
        }
        out.drain().for_each(drop);
        let ty = NotifyType::REPLAY_STATUS;
        assert!(engine.notify(gm, ty, b"", rng, out).is_ok());
    });
    assert_ne!(network.connect(0), Connection::Established(gm));
}

#[test]
fn a_notification_under_the_sa_reaches_those_above() {
    let (mut network, _, ks) = up();
    network.with(1, |engine, _, rng, out| {
        let ty = NotifyType::INVALID_ID_INFORMATION;
        engine.notify(ks, ty, b"group", rng, out).unwrap();
    });
    network.run_for(LONG);
    let reached = matches!(
        network.nodes[0].upcalls.last(),
        Some(Upcall::Notify { notify: NotifyType::INVALID_ID_INFORMATION, data, .. })
            if data == b"group"
    );
    assert!(reached, "{}", network.transcript);
}

#[test]
fn an_exchange_that_nobody_answers_times_out_and_leaves_the_sa() {
    let (mut network, gm, _) = up();
    network.fate = Box::new(|_, _| Fate::Lose);
    assert!(!network.pull(network.now + LONG, 100));
    assert!(matches!(
        network.nodes[0].upcalls.last(),
        Some(Upcall::Timeout { .. })
    ));
    assert!(network.nodes[0].engine.sa(gm).is_some());
}

#[test]
fn a_key_server_that_restarted_says_so_and_is_waited_for_no_longer() {
    let (mut network, _, _) = up();
    network.nodes[1].engine = crate::ike::Isakmp::new(false);
    network.nodes[1]
        .engine
        .configure(std::sync::Arc::new(config("secret", GM)));
    let start = network.now;
    assert!(!network.pull(start + Duration::from_secs(3), 100));
    assert!(matches!(
        network.nodes[0].upcalls.last(),
        Some(Upcall::Timeout { .. })
    ));
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn who_only_claims_a_restart_changes_nothing() {
    let (mut network, _, _) = up();
    let header = Header::decode(&network.sent.last().unwrap().1).unwrap();
    let ty = NotifyType::INVALID_COOKIE;
    let forged = crate::ike::informational::clear_notify(&header, ty);
    let first = network.sent.len();
    // The first two messages are lost, and the forger tells its tale.
    network.fate = Box::new(move |n, _| {
        if n < first + 2 {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    assert!(!network.pull(network.now + Duration::from_millis(600), 100));
    for _ in 0..10 {
        network.deliver(0, KS, &forged);
    }
    network.run_for(LONG);
    let answered = |upcall: &Upcall| matches!(upcall, Upcall::Exchange { step: 1, .. });
    assert!(network.nodes[1].upcalls.iter().any(answered));
}

#[test]
fn an_exchange_that_the_peer_leaves_times_out_too() {
    let (mut network, _, _) = up();
    let sa = network.nodes[0].established()[0];
    network.with(0, |engine, now, rng, out| {
        let id = engine
            .open(now, sa, ExchangeType::GROUPKEY_PULL, rng)
            .unwrap();
        let built = pull_1();
        let payloads = (built.first(), built.payloads());
        engine
            .send(now, sa, id, payloads, Expect::Final, out)
            .unwrap();
    });
    network.run_for(LONG);
    for node in &network.nodes {
        assert!(matches!(node.upcalls.last(), Some(Upcall::Timeout { .. })));
    }
}

#[test]
fn what_may_not_be_said_is_not_sent() {
    let (mut network, gm, _) = up();
    network.with(0, |engine, now, rng, out| {
        let id = engine
            .open(now, gm, ExchangeType::GROUPKEY_PULL, rng)
            .unwrap();
        let built = pull_1();
        let good = (built.first(), built.payloads());
        let mut send = |id, payloads| engine.send(now, gm, id, payloads, Expect::Reply, out);
        assert_eq!(send(id + 1, good), Err(SendError::NoExchange));
        assert!(matches!(
            send(id, (PayloadType::NONE, &[])),
            Err(SendError::Illegal(_))
        ));
        assert!(matches!(
            send(id, (PayloadType::ID, &[1, 2])),
            Err(SendError::Malformed(_))
        ));
        assert_eq!(send(id, good), Ok(()));
        assert_eq!(send(id, good), Err(SendError::NotOurTurn));
        let unknown = ExchangeType(99);
        let id = engine.open(now, gm, unknown, rng).unwrap();
        let sent = engine.send(now, gm, id, good, Expect::Reply, out);
        assert!(matches!(sent, Err(SendError::Illegal(_))));
    });
}

#[test]
fn an_sa_holds_so_many_exchanges_and_no_more() {
    let (mut network, gm, _) = up();
    network.with(0, |engine, now, rng, _| {
        for _ in 0..EXCHANGES_PER_SA_MAX {
            engine
                .open(now, gm, ExchangeType::GROUPKEY_PULL, rng)
                .unwrap();
        }
        let more = engine.open(now, gm, ExchangeType::GROUPKEY_PULL, rng);
        assert_eq!(more, Err(SendError::Busy));
    });
}

#[test]
fn a_long_message_between_kin_goes_in_parts() {
    let (mut network, gm, ks) = up();
    network.with(0, |engine, _, _, _| engine.mark_kin(gm));
    network.with(1, |engine, _, _, _| engine.mark_kin(ks));
    let first = network.sent.len();
    assert!(network.pull(network.now + LONG, 30_000));
    assert!(
        network.sent[first..]
            .iter()
            .all(|(_, bytes)| bytes.len() <= 1_200)
    );
    assert_eq!(
        network.nodes[0]
            .engine
            .counters()
            .refusals()
            .map(|(_, n)| n)
            .sum::<u64>(),
        0
    );
    let nodes = network.nodes.iter();
    let waiting: u64 = nodes.map(|node| node.engine.counters().parts).sum();
    assert!(waiting >= 20, "{waiting} parts that did not end a message");
}

#[test]
fn a_long_message_to_a_plain_peer_goes_in_one() {
    let (mut network, _, _) = up();
    let first = network.sent.len();
    assert!(network.pull(network.now + LONG, 30_000));
    assert_eq!(network.sent.len() - first, 4);
}

#[test]
fn the_loss_of_any_part_is_made_good() {
    for lost in 0..12 {
        let (mut network, gm, ks) = up();
        network.with(0, |engine, _, _, _| engine.mark_kin(gm));
        network.with(1, |engine, _, _, _| engine.mark_kin(ks));
        let first = network.sent.len();
        network.fate = Box::new(move |n, _| {
            if n == first + lost {
                Fate::Lose
            } else {
                Fate::Deliver
            }
        });
        assert!(
            network.pull(network.now + LONG, 5_000),
            "{lost}: {}",
            network.transcript
        );
    }
}

#[test]
fn forged_parts_are_refused_and_take_no_place() {
    let (mut network, gm, ks) = up();
    network.with(0, |engine, _, _, _| engine.mark_kin(gm));
    network.with(1, |engine, _, _, _| engine.mark_kin(ks));
    let first = network.sent.len();
    network.fate = Box::new(move |n, bytes| {
        let is_part = Header::decode(bytes).unwrap().exchange_type == ExchangeType::GETVPN_PART;
        if is_part && n < first + 7 {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    network.pull(network.now + Duration::from_millis(120), 5_000);
    let parts = network.sent[first..].to_vec();
    let mut forged = 0;
    for (from, bytes) in &parts {
        let is_part = Header::decode(bytes).unwrap().exchange_type == ExchangeType::GETVPN_PART;
        if !is_part {
            continue;
        }
        for at in (20..24).chain(Header::LEN..bytes.len()) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            network.deliver(1 - from, KS, &bytes);
            forged += 1;
        }
        // Sent back to where it came from.
        let source = network.nodes[1 - from].address;
        network.deliver(*from, source, bytes);
        let reflected = network.nodes[*from]
            .engine
            .counters()
            .refused(RefusalCounter::BadPart);
        assert!(reflected > 0);
    }
    assert!(forged > 1_000);
    let counters = network.nodes[0].engine.counters();
    let refused =
        counters.refused(RefusalCounter::BadPart) + counters.refused(RefusalCounter::Malformed);
    assert_eq!(refused, forged);
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.run_for(LONG);
    let got_it = network.nodes[0]
        .upcalls
        .iter()
        .any(|upcall| matches!(upcall, Upcall::Exchange { step: 2, .. }));
    assert!(got_it, "{}", network.transcript);
}

#[test]
fn parts_of_an_exchange_that_is_over_are_replays_and_take_no_place() {
    let (mut network, gm, ks) = up();
    network.with(0, |engine, _, _, _| engine.mark_kin(gm));
    network.with(1, |engine, _, _, _| engine.mark_kin(ks));
    let first = network.sent.len();
    assert!(network.pull(network.now + LONG, 5_000));
    network.run_for(crate::limits::EXCHANGE_LINGER + Duration::from_secs(1));
    let is_part =
        |bytes: &[u8]| Header::decode(bytes).unwrap().exchange_type == ExchangeType::GETVPN_PART;
    let sent = network.sent[first..].to_vec();
    let parts: Vec<_> = sent.iter().filter(|(_, bytes)| is_part(bytes)).collect();
    assert!(parts.len() > 4);
    let counts = |network: &Network| {
        let of = |counters: &crate::ike::Counters| {
            (counters.parts, counters.refused(RefusalCounter::Replayed))
        };
        let nodes = network.nodes.iter();
        nodes
            .map(|node| of(node.engine.counters()))
            .fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    };
    let before = counts(&network);
    for (from, bytes) in &parts {
        let source = network.nodes[*from].address;
        network.deliver(1 - from, source, bytes);
    }
    let after = counts(&network);
    assert_eq!(after, (before.0, before.1 + parts.len() as u64));
}

//! Which key is used when, and that no nonce is ever used twice and no copy accepted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;

use dataplane::{Happening, Update};
use event::DropReason;
use policy::{KsIndex, Spi, Time};
use support::{H1, H2, Member, cbc, gcm, group, permit_lans, spi_and_iv, tek, udp};

fn spi(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[34..38].try_into().unwrap())
}

#[test]
fn the_sender_changes_keys_at_the_pseudotime_of_the_activation() {
    let mut a = Member::registered(1, gcm());
    a.now = Time::from_secs(1_000);
    a.clock(5_000);
    a.key(tek(0x2000, gcm(), 5_010, 5_020));
    a.key(tek(0x3000, gcm(), 5_020, 5_030));
    a.apply(Update::RemoveSa {
        group: group(),
        spi: Spi(0x1000),
    });
    let sent_at = |a: &mut Member, ns: u64| {
        a.now = Time::from_nanos(ns);
        a.send(&[udp(H1, H2, 100)]).first().map(|frame| spi(frame))
    };
    const S: u64 = 1_000_000_000;
    assert_eq!(sent_at(&mut a, 1_010 * S - 1), None);
    assert_eq!(sent_at(&mut a, 1_010 * S), Some(0x2000));
    assert_eq!(sent_at(&mut a, 1_020 * S - 1), Some(0x2000));
    assert_eq!(sent_at(&mut a, 1_020 * S), Some(0x3000));
    assert_eq!(sent_at(&mut a, 1_030 * S - 1), Some(0x3000));
    assert_eq!(sent_at(&mut a, 1_030 * S), None);
    assert_eq!(a.dropped(DropReason::NoSa), 2);
    assert_eq!(
        a.control.outbound_spi(&group(), Time::from_secs(1_015)),
        Some(Spi(0x2000))
    );
}

#[test]
fn the_latest_activation_wins_and_ties_go_to_the_higher_key_server_then_spi() {
    let mut a = Member::registered(1, gcm());
    a.key(tek(0x0900, gcm(), 1, 3_600));
    a.now = Time::from_secs(2);
    let sent = |a: &mut Member| spi(&a.send(&[udp(H1, H2, 100)])[0]);
    assert_eq!(sent(&mut a), 0x0900);
    a.key(tek(0x0901, gcm(), 1, 3_600));
    assert_eq!(sent(&mut a), 0x0901);
    let mut other = tek(0x0800, gcm(), 1, 3_600);
    other.minted_by = KsIndex::new(1).unwrap();
    a.key(other);
    assert_eq!(sent(&mut a), 0x0800);
}

/// What was sent on goes on being sent on, what is not yet waits for the new clock, and both are
/// received on as long as either clock has it.
#[test]
fn keys_live_as_long_as_the_clock_before_and_the_new_one_say() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    for member in [&mut a, &mut b] {
        member.now = Time::from_secs(1_000);
        member.clock(5_000);
        member.key(tek(0x2000, gcm(), 4_990, 5_020));
        member.key(tek(0x3000, gcm(), 5_010, 5_060));
        member.apply(Update::RemoveSa {
            group: group(),
            spi: Spi(0x1000),
        });
    }
    a.new_clock(4_970);
    let sent = |a: &mut Member, b: &mut Member, s| {
        (a.now, b.now) = (Time::from_secs(s), Time::from_secs(s));
        let frames = a.send(&[udp(H1, H2, 100)]);
        let received = b.receive(&frames).len();
        (frames.first().map(|frame| spi(frame)), received)
    };
    assert_eq!(sent(&mut a, &mut b, 1_000), (Some(0x2000), 1));
    assert_eq!(sent(&mut a, &mut b, 1_024), (Some(0x2000), 1));
    let late = sent(&mut a, &mut b, 1_039);
    assert_eq!(late, (Some(0x2000), 0), "the other has not heard");
    let next = sent(&mut a, &mut b, 1_040);
    assert_eq!(next, (Some(0x3000), 1), "4970 and 40 s");
    b.new_clock(5_300);
    let set_on = sent(&mut a, &mut b, 1_041);
    assert_eq!(set_on, (Some(0x3000), 1), "nothing ends early");
}

#[test]
fn a_key_is_received_on_before_its_activation_and_for_the_delivery_delay_after_its_expiry() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    for member in [&mut a, &mut b] {
        member.key(tek(0x2000, gcm(), 100, 200));
    }
    a.now = Time::from_secs(150);
    let mut received_at = |s| {
        b.now = Time::from_secs(s);
        b.receive(&a.send(&[udp(H1, H2, 100)])).len()
    };
    let seen: Vec<_> = [0, 99, 199, 205, 206].map(&mut received_at).to_vec();
    assert_eq!(seen, [1, 1, 1, 1, 0]);
    assert_eq!(b.dropped(DropReason::InvalidSpi), 1);
}

#[test]
fn a_copy_is_refused_also_within_a_batch_and_after_the_key_came_again() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let sealed = a.send(&[udp(H1, H2, 100), udp(H1, H2, 101)]);
    let batch = [sealed[0].clone(), sealed[0].clone(), sealed[1].clone()];
    assert_eq!(b.receive(&batch).len(), 2);
    assert_eq!(b.receive(&sealed).len(), 0);
    assert_eq!(b.dropped(DropReason::Replayed), 3);
    b.apply(Update::RemoveSa {
        group: group(),
        spi: Spi(0x1000),
    });
    assert!(b.receive(&sealed).is_empty());
    b.key(tek(0x1000, gcm(), 0, 3_600));
    assert_eq!(b.receive(&sealed).len(), 0);
    assert_eq!(b.dropped(DropReason::Replayed), 5);
}

#[test]
fn a_forged_packet_moves_no_window() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let sealed = a.send(&vec![udp(H1, H2, 100); 3]);
    let mut forged = sealed[2].clone();
    // A counter far ahead would push the others out of the window, were it believed.
    forged[47] = 0x7F;
    assert!(b.receive(&[forged]).is_empty());
    assert_eq!(b.dropped(DropReason::BadIcv), 1);
    assert_eq!(b.receive(&sealed).len(), 3);
}

#[test]
fn every_packet_has_an_iv_of_its_own_over_workers_keys_and_registrations() {
    let mut a = Member::unregistered(1, 3);
    a.clock(0);
    a.policy(&[permit_lans()]);
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for period in 0..4_u32 {
        a.now = Time::from_secs(u64::from(period) * 100);
        a.key(tek(0x1000 + period, gcm(), u64::from(period) * 100, 3_600));
        // The SIDs alternate, so that each pair is installed again after the other.
        let first = period % 2 * 3;
        a.sids(&[first, first + 1, first + 2]);
        for round in 0..50 {
            for worker in 0..3 {
                let frames = vec![udp(H1, H2, 60 + round); 5];
                for frame in a.send_by(worker, &frames) {
                    let (spi, iv) = spi_and_iv(&frame);
                    assert_eq!(spi, 0x1000 + period);
                    assert_eq!(iv >> 40, u64::from(first) + worker as u64);
                    // The SPI stands for the key; the counter goes on even over keys.
                    assert!(seen.insert(iv), "IV {iv:#018x} twice");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 4 * 50 * 3 * 5);
    // The same SIDs under the running key once more, and a new worker in the place of an old one.
    a.sids(&[]);
    assert!(a.send(&[udp(H1, H2, 60)]).is_empty());
    assert_eq!(a.dropped(DropReason::NoSid), 1);
    a.sids(&[3, 4, 5]);
    a.workers[0] = dataplane::Worker::new(0, &mut crypto::SeededRng::from_number(1));
    let (_, iv) = spi_and_iv(&a.send(&[udp(H1, H2, 60)])[0]);
    assert!(seen.insert(iv), "IV {iv:#018x} twice");
    // Nor when the group was taken out of the configuration and put back.
    a.apply(Update::RemoveGroup { group: group() });
    assert!(a.send(&[udp(H1, H2, 60)]).is_empty());
    a.policy(&[permit_lans()]);
    a.sids(&[3, 4, 5]);
    a.key(tek(0x1003, gcm(), 0, 3_600));
    let (_, iv) = spi_and_iv(&a.send(&[udp(H1, H2, 60)])[0]);
    assert!(seen.insert(iv), "IV {iv:#018x} twice");
}

#[test]
fn workers_that_share_a_sid_share_its_counter() {
    let mut a = Member::unregistered(1, 2);
    a.clock(0);
    a.policy(&[permit_lans()]);
    a.sids(&[7]);
    a.key(tek(0x1000, gcm(), 0, 3_600));
    let mut ivs = BTreeSet::new();
    for worker in [0, 1, 0, 1] {
        ivs.insert(spi_and_iv(&a.send_by(worker, &[udp(H1, H2, 60)])[0]).1);
    }
    assert_eq!(ivs.len(), 4);
    assert_eq!(a.control.sid_use(&group()), [(policy::Sid(7), 4)]);
}

#[test]
fn cbc_ivs_are_new_for_every_packet_and_worker() {
    let mut a = Member::unregistered(1, 2);
    a.clock(0);
    a.policy(&[permit_lans()]);
    a.key(tek(0x1000, cbc(), 0, 3_600));
    let mut ivs = BTreeSet::new();
    for worker in [0, 1] {
        for frame in a.send_by(worker, &vec![udp(H1, H2, 100); 500]) {
            ivs.insert(frame[42..58].to_vec());
        }
    }
    assert_eq!(ivs.len(), 1_000);
    // No two are near each other, as those of a counter would be.
    let starts: BTreeSet<_> = ivs.iter().map(|iv| iv[..4].to_vec()).collect();
    assert!(starts.len() > 990);
}

#[test]
fn sequence_numbers_rise_from_one_for_each_worker_and_key() {
    let mut a = Member::registered(1, cbc());
    let numbers = |a: &mut Member| -> Vec<u32> {
        let sent = a.send(&vec![udp(H1, H2, 100); 3]);
        let number = |frame: &Vec<u8>| u32::from_be_bytes(frame[38..42].try_into().unwrap());
        sent.iter().map(number).collect()
    };
    assert_eq!(numbers(&mut a), [1, 2, 3]);
    let mut refreshed = tek(0x1000, cbc(), 0, 3_601);
    refreshed.orig_lifetime_s = 7;
    a.key(refreshed);
    assert_eq!(numbers(&mut a), [4, 5, 6]);
    assert_eq!(
        a.control
            .sa_totals(&group(), Spi(0x1000))
            .unwrap()
            .encaps_packets,
        6
    );
    a.key(tek(0x1001, cbc(), 0, 3_600));
    assert_eq!(numbers(&mut a), [1, 2, 3]);
    assert_eq!(a.control.group_totals(&group()).encaps_packets, 9);
}

#[test]
fn notices_name_the_packet_and_are_limited_in_rate() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    for _ in 0..10 {
        let mut sealed = a.send(&[udp(H1, H2, 100)]).remove(0);
        *sealed.last_mut().unwrap() ^= 1;
        assert!(b.receive(&[sealed]).is_empty());
    }
    let notices: Vec<_> = b.workers[0].take_notices().collect();
    assert_eq!(notices.len(), 1);
    let Happening::Dropped {
        reason,
        spi,
        source,
        destination,
        ..
    } = &notices[0].what
    else {
        panic!("{notices:?}");
    };
    assert_eq!((*reason, *spi), (DropReason::BadIcv, Some(Spi(0x1000))));
    assert_eq!((*source, *destination), (Some(H1.into()), Some(H2.into())));
    assert_eq!(
        b.control
            .sa_totals(&group(), Spi(0x1000))
            .unwrap()
            .drops
            .total(),
        10
    );
}

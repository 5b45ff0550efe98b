//! Who gets which copy when.

use super::*;

const COPIES: Copies<'_> = Copies {
    period: Duration::from_secs(10),
    number: 2,
    wait: Duration::from_secs(10),
    hand_overs: HAND_OVERS,
    untimed: &BTreeSet::new(),
};

fn member(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn kek() -> KekSpi {
    KekSpi([5; 16])
}

fn rekeying(members: &[u8], seq: u32) -> Rekeying {
    let mut rekeying = Rekeying::default();
    add(&mut rekeying, Time::ZERO, members, seq);
    rekeying
}

fn push(seq: u32, content: Content) -> Push {
    Push {
        kind: PeerKind::Ours,
        kek: kek(),
        seq,
        content,
        bytes: vec![1],
        destination: None,
        asks: true,
    }
}

/// What a new PUSH in place of one of these is.
fn told_anew(spi: u32) -> Anew {
    Anew {
        kind: PeerKind::Ours,
        under: None,
        content: Content::Teks(Spi(spi)),
    }
}

fn add(rekeying: &mut Rekeying, now: Time, members: &[u8], seq: u32) {
    let content = Content::Teks(Spi(seq));
    let targets = members.iter().map(|n| member(*n));
    rekeying.add(now, push(seq, content), targets);
}

#[test]
fn copies_leave_until_the_member_answers_and_stop_at_the_configured_number() {
    let mut rekeying = rekeying(&[1, 2], 7);
    let mut sent = Vec::new();
    let mut missed = Vec::new();
    let mut over = 0;
    for s in 0..60 {
        let now = Time::from_secs(s);
        let due = rekeying.due(now, COPIES);
        sent.extend(due.departures.iter().map(|d| (s, d.member, d.copy)));
        missed.extend(due.missed);
        over += due.over.len();
        if s == 3 {
            assert_eq!(rekeying.acknowledged(&kek(), 7, member(1)), Answer::First);
            assert_eq!(rekeying.acknowledged(&kek(), 7, member(1)), Answer::Again);
            assert_eq!(rekeying.acknowledged(&kek(), 8, member(1)), Answer::Unasked);
        }
    }
    let (one, two) = (member(1), member(2));
    let expected = [
        (0, one, false),
        (0, two, false),
        (10, two, true),
        (20, two, true),
    ];
    assert_eq!(sent, expected);
    assert_eq!((missed, over), (vec![(two, kek())], 1));
    assert_eq!(rekeying.last.retransmits, 2);
    assert_eq!(rekeying.last.duration, Duration::from_secs(30));
}

#[test]
fn the_second_rekey_waits_for_the_firsts_acknowledgement_or_a_second() {
    let mut rekeying = rekeying(&[1, 2], 7);
    add(&mut rekeying, Time::ZERO, &[1, 2], 8);
    let seqs = |due: &Due| -> Vec<_> { due.departures.iter().map(|d| (d.member, d.seq)).collect() };
    let first = rekeying.due(Time::ZERO, COPIES);
    assert_eq!(seqs(&first), [(member(1), 7), (member(2), 7)]);
    rekeying.acknowledged(&kek(), 7, member(1));
    let later = rekeying.due(Time::from_millis(1_000), COPIES);
    assert_eq!(seqs(&later), [(member(1), 8), (member(2), 8)]);
}

#[test]
fn a_call_to_register_waits_for_nothing() {
    let mut rekeying = rekeying(&[1], 7);
    rekeying.due(Time::ZERO, COPIES);
    let call = push(8, Content::Register);
    rekeying.add(Time::ZERO, call, [member(1)].into_iter());
    let due = rekeying.due(Time::ZERO, COPIES);
    let seqs: Vec<u32> = due.departures.iter().map(|d| d.seq).collect();
    assert_eq!(seqs, [8]);
}

/// Two kinds of members may share a multicast address; only those of one read its PUSHes.
#[test]
fn rekeys_of_two_kinds_to_one_address_do_not_wait_for_each_other() {
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let mut rekeying = Rekeying::default();
    for (seq, kind) in [(7, PeerKind::Ours), (8, PeerKind::Rfc6407)] {
        let push = Push {
            kind,
            kek: KekSpi([u8::try_from(seq).unwrap(); 16]),
            destination: Some(group),
            asks: false,
            ..push(seq, Content::Teks(Spi(seq)))
        };
        rekeying.add(Time::ZERO, push, [member(1)].into_iter());
    }
    let due = rekeying.due(Time::ZERO, COPIES);
    let seqs: Vec<u32> = due.departures.iter().map(|d| d.seq).collect();
    assert_eq!(seqs, [7, 8]);
}

/// Of several that nobody acknowledges each copy is made anew, and none has a number below one that
/// has left: who has read that one would refuse it.
#[test]
fn copies_for_plain_members_leave_in_the_order_of_their_numbers() {
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let made = |seq, content| Push {
        kind: PeerKind::Rfc6407,
        destination: Some(group),
        asks: false,
        ..push(seq, content)
    };
    let mut rekeying = Rekeying::default();
    let mut seq = 2;
    rekeying.add(
        Time::ZERO,
        made(1, Content::Teks(Spi(1))),
        [member(1)].into_iter(),
    );
    rekeying.add(
        Time::ZERO,
        made(2, Content::Retired),
        [member(1)].into_iter(),
    );
    let mut sent = Vec::new();
    for ms in (0..40_000).step_by(100) {
        let now = Time::from_millis(ms);
        if ms == 9_900 {
            seq += 1;
            let late = made(seq, Content::Teks(Spi(3)));
            rekeying.add(now, late, [member(1)].into_iter());
        }
        let due = rekeying.due(now, COPIES);
        sent.extend(due.departures.iter().map(|departure| departure.seq));
        for (anew, _) in due.again {
            seq += 1;
            rekeying.add(now, made(seq, anew.content), [member(1)].into_iter());
        }
        rekeying.go_on(due.tried);
    }
    assert_eq!(sent.len(), 9, "{sent:?}");
    assert!(sent.is_sorted(), "{sent:?}");
}

#[test]
fn after_a_minute_the_rest_gets_a_new_push_instead_of_a_copy() {
    let slow = Copies {
        period: Duration::from_secs(40),
        number: 3,
        ..COPIES
    };
    let mut rekeying = rekeying(&[1], 7);
    assert_eq!(rekeying.due(Time::ZERO, slow).departures.len(), 1);
    assert_eq!(rekeying.due(Time::from_secs(40), slow).departures.len(), 1);
    let due = rekeying.due(Time::from_secs(80), slow);
    assert!(due.departures.is_empty() && due.missed.is_empty());
    assert_eq!(due.again[0].1, [member(1)]);
}

/// What goes to a member that knows no stamp of the clock has one of now, and is given up, handed
/// over, counted as copies are.
#[test]
fn who_knows_no_stamp_of_the_clock_gets_new_pushes_in_place_of_copies() {
    let group = Some(Ipv4Addr::new(239, 0, 0, 1));
    for destination in [None, group] {
        let mut rekeying = Rekeying::default();
        let new = |seq| Push {
            destination,
            ..push(seq, Content::Teks(Spi(7)))
        };
        rekeying.add(Time::ZERO, new(7), [1, 2].into_iter().map(member));
        let untimed = BTreeSet::from([member(2)]);
        let copies = Copies {
            untimed: &untimed,
            ..COPIES
        };
        let (mut sent, mut handed, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for s in 0..90 {
            let now = Time::from_secs(s);
            let due = rekeying.due(now, copies);
            for (anew, members) in due.again {
                assert_eq!(anew, told_anew(7));
                assert_eq!(members, [member(2)]);
                let seq = 8 + u32::try_from(s).unwrap();
                rekeying.add(now, new(seq), members.into_iter());
            }
            rekeying.go_on(due.tried);
            assert!(due.departures.iter().all(|departure| !departure.copy));
            sent.extend(due.departures.iter().map(|one| (s, one.member, one.seq)));
            handed.extend(due.handed.iter().map(|(one, _)| (s, one.seq)));
            missed.extend(due.missed.iter().map(|(member, _)| (s, *member)));
            missed.extend(due.silent.iter().map(|(member, _)| (s, *member)));
            if s == 2 {
                rekeying.acknowledged(&kek(), 7, member(1));
            }
        }
        if let Some(group) = destination {
            assert_eq!(sent, [(0, group, 7), (11, group, 18), (22, group, 29)]);
            assert_eq!((handed, missed), (vec![], vec![(32, member(2))]));
        } else {
            let own = [(11, member(2), 18), (22, member(2), 29)];
            assert_eq!(sent[2..], own);
            assert_eq!(handed, [(22, 29), (33, 40)]);
            assert_eq!(missed, [(33, member(2))]);
        }
    }
}

#[test]
fn who_has_acknowledged_a_later_rekey_gets_the_missed_one_anew() {
    let mut rekeying = rekeying(&[1, 2, 3], 7);
    add(&mut rekeying, Time::ZERO, &[1, 2, 3], 8);
    rekeying.due(Time::ZERO, COPIES);
    rekeying.due(Time::from_secs(1), COPIES);
    for n in [1, 2] {
        assert_eq!(rekeying.acknowledged(&kek(), 8, member(n)), Answer::First);
    }
    // Its acknowledgement was only late.
    assert_eq!(rekeying.acknowledged(&kek(), 7, member(2)), Answer::First);
    let due = rekeying.due(Time::from_secs(10), COPIES);
    let copies: Vec<_> = due.departures.iter().map(|d| (d.member, d.seq)).collect();
    assert_eq!(copies, [(member(3), 7)]);
    let again = (told_anew(7), vec![member(1)]);
    assert_eq!(due.again, [again]);
}

#[test]
fn who_has_acknowledged_a_later_multicast_rekey_gets_the_missed_one_anew() {
    let mut rekeying = Rekeying::default();
    let group = Some(Ipv4Addr::new(239, 0, 0, 1));
    for seq in [7, 8] {
        let push = Push {
            destination: group,
            ..push(seq, Content::Teks(Spi(seq)))
        };
        rekeying.add(Time::ZERO, push, [1, 2].into_iter().map(member));
    }
    let mut again = Vec::new();
    let mut silent = Vec::new();
    for s in 0..60 {
        let due = rekeying.due(Time::from_secs(s), COPIES);
        assert!(due.again.is_empty() || s == 10, "with the next copy");
        again.extend(due.again);
        silent.extend(due.silent);
        if s == 2 {
            assert_eq!(rekeying.acknowledged(&kek(), 8, member(1)), Answer::First);
            assert_eq!(rekeying.acknowledged(&kek(), 8, member(2)), Answer::First);
            assert_eq!(rekeying.acknowledged(&kek(), 7, member(2)), Answer::First);
        }
    }
    let missed = (told_anew(7), vec![member(1)]);
    assert_eq!(again, [missed]);
    assert!(silent.is_empty());
}

/// The way of multicast datagrams to one member is broken, to another one everything: the first two
/// copies go to all, and then one more to each of them, and over other key servers.
//= getvpn P24
#[test]
fn who_acknowledges_no_multicast_gets_a_copy_alone() {
    let group = Ipv4Addr::new(239, 0, 0, 1);
    let mut rekeying = Rekeying::default();
    let push = Push {
        destination: Some(group),
        ..push(7, Content::Teks(Spi(7)))
    };
    rekeying.add(Time::ZERO, push, [1, 2, 3].into_iter().map(member));
    let (mut sent, mut handed, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for s in 0..90 {
        let due = rekeying.due(Time::from_secs(s), COPIES);
        sent.extend(due.departures.iter().map(|one| (s, one.member)));
        handed.extend(due.handed.iter().map(|(one, _)| (s, one.member)));
        silent.extend(due.silent.iter().map(|(member, _)| (s, *member)));
        assert!(due.missed.is_empty(), "nobody is removed for it");
        for (at, n) in [(2, 1), (21, 2)] {
            if s == at {
                let answer = rekeying.acknowledged(&kek(), 7, member(n));
                assert_eq!(answer, Answer::First);
            }
        }
    }
    let alone = [(20, member(2)), (20, member(3))];
    assert_eq!(sent[..2], [(0, group), (10, group)]);
    assert_eq!(sent[2..], [&[(20, group)], &alone[..]].concat());
    assert_eq!(handed, [&alone[..], &[(30, member(3))]].concat());
    assert_eq!(silent, [(30, member(3))]);
    let late = rekeying.acknowledged(&kek(), 7, member(3));
    assert_eq!(late, Answer::First);
}

/// A copy after more than a minute is a new PUSH, and counts as a copy nevertheless.
//= getvpn P8
#[test]
fn copies_that_are_made_anew_come_to_an_end() {
    let copies = Copies {
        period: Duration::from_secs(100),
        ..COPIES
    };
    let mut rekeying = rekeying(&[1], 7);
    let (mut sent, mut missed) = (Vec::new(), Vec::new());
    for s in 0..2_000 {
        let now = Time::from_secs(s);
        let due = rekeying.due(now, copies);
        for (anew, members) in due.again {
            let seq = 7 + u32::try_from(s / 100).unwrap();
            rekeying.add(now, push(seq, anew.content), members.into_iter());
        }
        rekeying.go_on(due.tried);
        sent.extend(due.departures.iter().map(|one| (s, one.seq)));
        missed.extend(due.missed.iter().map(|(member, _)| (s, *member)));
    }
    assert_eq!(sent, [(0, 7), (101, 8), (202, 9)]);
    assert_eq!(missed, [(302, member(1))]);
}

#[test]
fn what_has_ended_goes_to_nobody_again_and_to_those_who_lack_it_anew() {
    let group = Some(Ipv4Addr::new(239, 0, 0, 1));
    for (destination, asks, lacking) in [
        (None, true, vec![member(2)]),
        (group, true, vec![member(2)]),
        (group, false, vec![member(1), member(2)]),
    ] {
        let mut rekeying = Rekeying::default();
        let push = Push {
            destination,
            asks,
            ..push(7, Content::Teks(Spi(7)))
        };
        rekeying.add(Time::ZERO, push, [1, 2].into_iter().map(member));
        rekeying.due(Time::ZERO, COPIES);
        rekeying.acknowledged(&kek(), 7, member(1));
        rekeying.outdate(Time::from_secs(5));
        let due = rekeying.due(Time::from_secs(10), COPIES);
        assert!(due.departures.is_empty());
        // Where nobody is asked, for those that hold that Rekey SA.
        let anew = Anew {
            under: (!asks).then_some(kek()),
            ..told_anew(7)
        };
        assert_eq!(
            due.again,
            [(anew, lacking)],
            "{destination:?}, asked: {asks}"
        );
        let after = rekeying.due(Time::from_secs(20), COPIES);
        assert!(after.departures.is_empty() && after.again.is_empty());
    }
}

#[test]
fn what_another_key_server_has_outnumbered_goes_to_all_anew() {
    let mut rekeying = rekeying(&[1, 2], 7);
    rekeying.due(Time::ZERO, COPIES);
    rekeying.acknowledged(&kek(), 7, member(1));
    rekeying.outnumber(&kek(), 7);
    let due = rekeying.due(Time::from_secs(10), COPIES);
    assert_eq!(due.departures.len(), 1, "it is its own number");
    rekeying.outnumber(&kek(), 8);
    let due = rekeying.due(Time::from_secs(20), COPIES);
    let again = (told_anew(7), vec![member(2)]);
    assert_eq!((due.departures.len(), due.again), (0, vec![again]));
}

#[test]
fn what_a_member_could_not_read_is_taken_from_its_way_and_named_once() {
    let other = KekSpi([6; 16]);
    let mut rekeying = rekeying(&[1, 2], 7);
    let under_other = |seq, content| Push {
        kek: other,
        ..push(seq, content)
    };
    let one = || std::iter::once(member(1));
    rekeying.add(Time::ZERO, under_other(1, Content::Teks(Spi(7))), one());
    rekeying.add(Time::ZERO, under_other(2, Content::Kek(kek())), one());
    rekeying.add(Time::ZERO, under_other(3, Content::Register), one());
    for s in 0..40 {
        rekeying.due(Time::from_secs(s), COPIES);
    }
    // All copies have left in vain.
    let unread = rekeying.take_unread(member(1), &kek());
    assert_eq!(unread, [Content::Teks(Spi(7))]);
    assert!(rekeying.take_unread(member(1), &kek()).is_empty());
    let unread = rekeying.take_unread(member(1), &other);
    assert_eq!(unread, [Content::Teks(Spi(7))]);
    let late = rekeying.acknowledged(&kek(), 7, member(1));
    assert_eq!(late, Answer::Again);
    let of_another = rekeying.acknowledged(&kek(), 7, member(2));
    assert_eq!(of_another, Answer::First);
    let (ours, plain) = (PeerKind::Ours, PeerKind::Rfc6407);
    let begun = rekeying.begun_since(ours, Time::ZERO);
    assert_eq!(begun, [Content::Teks(Spi(7)), Content::Kek(kek())]);
    assert!(rekeying.begun_since(ours, Time::from_secs(1)).is_empty());
    assert!(rekeying.begun_since(plain, Time::ZERO).is_empty());
}

#[test]
fn a_large_group_is_served_in_batches() {
    let mut rekeying = Rekeying::default();
    let members = (0..250u32).map(Ipv4Addr::from_bits);
    let content = Content::Teks(Spi(1));
    rekeying.add(Time::ZERO, push(1, content), members);
    let mut now = Time::ZERO;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(rekeying.due(now, COPIES).departures.len());
        now = rekeying.deadline(now).unwrap();
    }
    assert_eq!(sizes, [100, 100, 50]);
}

/// The batches of a large group take longer than a stamp may be old, and nobody is left out.
#[test]
fn a_large_group_that_knows_no_stamp_is_told_fresh_ones() {
    let members: BTreeSet<Ipv4Addr> = (0..2_000u32).map(Ipv4Addr::from_bits).collect();
    let copies = Copies {
        untimed: &members,
        ..COPIES
    };
    let mut rekeying = Rekeying::default();
    let content = Content::Teks(Spi(1));
    let mut made = vec![Time::ZERO];
    rekeying.add(Time::ZERO, push(0, content), members.iter().copied());
    let (mut now, mut told) = (Time::ZERO, BTreeSet::new());
    while now < Time::from_secs(9) {
        let due = rekeying.due(now, copies);
        for one in due.departures {
            let age = now.since(made[usize::try_from(one.seq).unwrap()]);
            assert!(age <= Duration::from_millis(600), "{age:?}");
            assert!(told.insert(one.member));
            rekeying.acknowledged(&kek(), one.seq, one.member);
        }
        for (anew, members) in due.again {
            let seq = u32::try_from(made.len()).unwrap();
            made.push(now);
            rekeying.add(now, push(seq, anew.content), members.into_iter());
        }
        rekeying.go_on(due.tried);
        let Some(at) = rekeying.deadline(now) else {
            break;
        };
        now = at;
    }
    assert_eq!(told, members);
    assert!(made.len() > 3, "{}", made.len());
}

/// The same for everyone under two Rekey SAs, of which nobody says who holds which: what is made anew
/// goes on under its own, and the network cannot turn it and what follows round.
#[test]
fn what_is_told_blindly_is_made_anew_under_its_own_rekey_sa_and_apart() {
    let group = Ipv4Addr::new(239, 0, 0, 1);
    let blind = |seq, under| Push {
        kind: PeerKind::Rfc6407,
        kek: under,
        destination: Some(group),
        asks: false,
        ..push(seq, Content::Kek(KekSpi([9; 16])))
    };
    let keks = [kek(), KekSpi([6; 16])];
    let mut rekeying = Rekeying::default();
    for (seq, under) in keks.into_iter().enumerate() {
        rekeying.add(
            Time::ZERO,
            blind(seq as u32, under),
            [member(1)].into_iter(),
        );
    }
    let mut sent: Vec<(u64, KekSpi)> = Vec::new();
    let mut seqs = BTreeMap::from([(0, keks[0]), (1, keks[1])]);
    for ms in (0..40_000).step_by(50) {
        let now = Time::from_millis(ms);
        let due = rekeying.due(now, COPIES);
        sent.extend(due.departures.iter().map(|one| (ms, seqs[&one.seq])));
        for (anew, members) in due.again {
            let (seq, under) = (seqs.len() as u32, anew.under.unwrap());
            seqs.insert(seq, under);
            rekeying.add(now, blind(seq, under), members.into_iter());
        }
        rekeying.go_on(due.tried);
    }
    for under in keks {
        let copies = sent.iter().filter(|(_, own)| *own == under).count();
        assert_eq!(copies, 1 + usize::from(COPIES.number), "{sent:?}");
    }
    let apart = |pair: &[(u64, KekSpi)]| pair[1].0 >= pair[0].0 + 200;
    assert!(sent.windows(2).all(apart), "{sent:?}");
}

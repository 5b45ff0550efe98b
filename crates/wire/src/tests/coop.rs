//! Announcements between key servers, octet for octet.

use crate::codec::Error;
use crate::isakmp::{Builder, Payload};
use crate::private::{Announcement, CoopFlags, CoopGroup, CoopMarks, CoopRecord, CoopRole, Heard};
use crate::tests::{both_ways, octets};

/// A primary tells the secondary that it knows three changes.
const FULL: &str = "
    01 01 07 02 | 64 010203 | 01 000004d2
    a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 | b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2
    0000000000000409 | c3c3c3c3c3c3c3c3
    00000000075bcd15 00000002 | 00001001 | 0005 00000007 00000001
    0000000000000400 00000fff 0000000000000408 00000001
    01 0000000000000800 00000002 000000000000000a 00000000
    000000000000002a | 0000000000000010 0000000000000013 | 00000063
    02 | 00 02 01 000003e8 | 0f 00 00 ffffffff
    0003 | 01 0002 abcd | 07 0000 | ff 0001 ee";

fn full() -> Announcement<'static> {
    let mut generation = [0; 16];
    generation[0] = 7;
    generation[2] = 1;
    let record = |kind, octets| CoopRecord { kind, octets };
    Announcement {
        role: CoopRole::Primary,
        flags: CoopFlags {
            reply_requested: true,
            complete: true,
            founded: true,
        },
        index: 2,
        priority: 100,
        version: [1, 2, 3],
        group: CoopGroup::Number(1_234),
        incarnation: [0xa1; 16],
        receiver: [0xb2; 16],
        sequence: 0x409,
        ks_list_hash: [0xc3; 8],
        pseudotime_ns: 123_456_789,
        clock_generation: 2,
        term: 4_097,
        generation,
        marks: CoopMarks {
            sid: 1_024,
            term: 4_095,
            sequence: 0x408,
            generation: 1,
        },
        yours: Some(CoopMarks {
            sid: 2_048,
            term: 2,
            sequence: 10,
            generation: 0,
        }),
        received: 42,
        from: 16,
        to: 19,
        backlog: 99,
        heard: vec![
            Heard {
                index: 0,
                role: CoopRole::Secondary,
                both_ways: true,
                age_ms: 1_000,
            },
            Heard {
                index: 15,
                role: CoopRole::Electing,
                both_ways: false,
                age_ms: u32::MAX,
            },
        ],
        records: vec![
            record(1, &[0xab, 0xcd]),
            record(7, &[]),
            record(255, &[0xee]),
        ],
    }
}

/// The first words of a key server that knows nothing yet.
const FIRST: &str = "
    01 00 01 00 | 00 000100 | 02 e0000001
    11111111111111111111111111111111 | 00000000000000000000000000000000
    0000000000000001 | 2222222222222222
    0000000000000000 00000000 | 00000000 | 0000
    0000000000000000 00000000 0000000000000001 00000000
    00
    0000000000000000 | 0000000000000000 0000000000000000 | 00000000
    00 | 0000";

fn first() -> Announcement<'static> {
    Announcement {
        role: CoopRole::Electing,
        flags: CoopFlags {
            reply_requested: true,
            ..CoopFlags::default()
        },
        index: 0,
        priority: 0,
        version: [0, 1, 0],
        group: CoopGroup::Address([224, 0, 0, 1]),
        incarnation: [0x11; 16],
        receiver: [0; 16],
        sequence: 1,
        ks_list_hash: [0x22; 8],
        pseudotime_ns: 0,
        clock_generation: 0,
        term: 0,
        generation: [0; 16],
        marks: CoopMarks {
            sequence: 1,
            ..CoopMarks::default()
        },
        yours: None,
        received: 0,
        from: 0,
        to: 0,
        backlog: 0,
        heard: Vec::new(),
        records: Vec::new(),
    }
}

#[test]
fn an_announcement_is_read_and_written() {
    both_ways(&octets(FULL), &full());
    both_ways(&octets(FIRST), &first());
    assert_eq!(octets(FIRST).len(), 135);
    let quiet = FIRST.replacen("01 00 01 00", "01 02 00 00", 1);
    let secondary = Announcement {
        role: CoopRole::Secondary,
        flags: CoopFlags::default(),
        ..first()
    };
    both_ways(&octets(&quiet), &secondary);
}

#[test]
fn each_flag_has_its_bit() {
    for (octet, flags) in [
        ("01", [true, false, false]),
        ("02", [false, true, false]),
        ("04", [false, false, true]),
    ] {
        let [reply_requested, complete, founded] = flags;
        let text = FIRST.replacen("01 00 01 00", &format!("01 00 {octet} 00"), 1);
        let announcement = Announcement {
            flags: CoopFlags {
                reply_requested,
                complete,
                founded,
            },
            ..first()
        };
        both_ways(&octets(&text), &announcement);
    }
}

#[test]
fn an_announcement_cut_short_or_continued_is_refused() {
    let whole = octets(FULL);
    for len in 0..whole.len() {
        let error = Announcement::decode(&whole[..len]).unwrap_err().to_string();
        assert!(error.ends_with(" left"), "{len}: {error}");
    }
    let mut more = whole;
    more.push(0);
    assert_eq!(
        Announcement::decode(&more).unwrap_err().to_string(),
        "COOP announcement: 1 octets after its end, none expected"
    );
}

#[test]
fn an_announcement_has_one_encoding() {
    for (from, to, says) in [
        ("01 01 07 02", "02 01 07 02", "version is 2, expected 1"),
        (
            "01 01 07 02",
            "01 03 07 02",
            "role is 3, expected 0 electing, 1 primary, 2 secondary",
        ),
        ("01 01 07 02", "01 01 08 02", "flags is 8, expected 0 to 7"),
        (
            "01 01 07 02",
            "01 01 07 10",
            "index of the sender is 16, expected 0 to 15",
        ),
        (
            "01 000004d2",
            "00 000004d2",
            "kind of group identity is 0, expected 1 number, 2 address",
        ),
        (
            "01 000004d2",
            "03 000004d2",
            "kind of group identity is 3, expected 1 number, 2 address",
        ),
        (
            "0005 00000007 00000001",
            "0005 00000007 00000000",
            "counter of the generation is 0, expected not 0 when its bit is set",
        ),
        (
            "01 0000000000000800",
            "02 0000000000000800",
            "marks of the receiver is 2, expected 0 or 1",
        ),
        (
            "0000000000000010 0000000000000013",
            "0000000000000014 0000000000000013",
            "last change is 19, expected the first or above",
        ),
        (
            "00 02 01 000003e8",
            "00 03 01 000003e8",
            "role is 3, expected 0 electing, 1 primary, 2 secondary",
        ),
        (
            "00 02 01 000003e8",
            "00 02 02 000003e8",
            "both ways is 2, expected 0 or 1",
        ),
        (
            "0f 00 00 ffffffff",
            "10 00 00 ffffffff",
            "index of a key server is 16, expected 0 to 15",
        ),
        (
            "0f 00 00 ffffffff",
            "00 00 00 ffffffff",
            "index of a key server is 0, expected above the one before it",
        ),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let error = Announcement::decode(&octets(&text)).unwrap_err();
        assert_eq!(error.to_string(), format!("COOP announcement: {says}"));
    }
}

#[test]
fn more_key_servers_or_records_than_a_group_can_have_are_refused_before_they_are_read() {
    for (from, to, says) in [
        ("02 | 00 02 01", "11 | 00 02 01", "more than 16 key servers"),
        ("0003 | 01 0002", "1001 | 01 0002", "more than 4096 records"),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let error = Announcement::decode(&octets(&text)).unwrap_err();
        assert_eq!(error.to_string(), format!("COOP announcement: {says}"));
    }
}

fn refusal(announcement: &Announcement<'_>) -> String {
    let mut builder = Builder::new();
    builder.push(announcement);
    let refused: Result<_, Error> = builder.finish();
    refused.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_would_be_refused_is_not_written() {
    let heard = |index| Heard {
        index,
        role: CoopRole::Primary,
        both_ways: true,
        age_ms: 0,
    };
    let none = CoopRecord {
        kind: 1,
        octets: &[],
    };
    let long = vec![0; 65_536];
    let with = |change: &dyn Fn(&mut Announcement<'static>)| {
        let mut announcement = full();
        change(&mut announcement);
        refusal(&announcement)
    };
    assert_eq!(
        with(&|a| a.index = 16),
        "COOP announcement: index of the sender is 16, expected 0 to 15"
    );
    assert_eq!(
        with(&|a| a.to = 15),
        "COOP announcement: last change is 15, expected the first or above"
    );
    assert_eq!(
        with(&|a| a.heard = vec![heard(16)]),
        "COOP announcement: index of a key server is 16, expected 0 to 15"
    );
    assert_eq!(
        with(&|a| a.heard = vec![heard(3), heard(3)]),
        "COOP announcement: index of a key server is 3, expected above the one before it"
    );
    assert_eq!(
        with(&|a| a.heard = (0..17).map(heard).collect()),
        "COOP announcement: more than 16 key servers"
    );
    assert_eq!(
        with(&|a| a.records = vec![none; 4_097]),
        "COOP announcement: more than 4096 records"
    );
    let announcement = Announcement {
        records: vec![CoopRecord {
            octets: &long,
            ..none
        }],
        ..full()
    };
    assert_eq!(
        refusal(&announcement),
        "COOP announcement: more than 65535 octets of a record"
    );
}

#[test]
fn the_longest_announcement_without_records_fits_a_datagram() {
    let announcement = Announcement {
        generation: [u32::MAX; 16],
        heard: (0..16)
            .map(|index| Heard {
                index,
                role: CoopRole::Secondary,
                both_ways: true,
                age_ms: 1,
            })
            .collect(),
        records: Vec::new(),
        ..full()
    };
    let mut builder = Builder::new();
    let place = builder.push(&announcement);
    // HDR, HASH of SHA-512, NONCE of the kin proof and padding take less than 200.
    assert_eq!(builder.finish().unwrap().body(place).len(), 335);
}

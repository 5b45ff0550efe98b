//! The tables as pictures: states, refusals, legal payloads.

use std::fmt::Write as _;
use std::time::Duration;

use crypto::dh::Group;
use wire::iana::{Doi, ExchangeType, PayloadType};

use super::network::{GM, KS, Network};
use crate::exchange::{Illegal, MESSAGES, Others, Protection, Sender, message_at};
use crate::ike::{Refusal, RefusalCounter};

/// What each message does in each state of either role.
#[test]
fn the_transitions_of_main_mode() {
    let mut done = Network::fitting();
    done.connect(0);
    done.run_for(Duration::from_secs(60));
    assert!(done.pull(done.now + Duration::from_secs(60), 100));
    let names = ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6", "PULL1", "PULL2"];
    let mut table = String::new();
    for (role, name) in [(0, "initiator"), (1, "responder")] {
        for before in 0..=6 {
            // The same seeds make the same messages, so those of `done` fit here.
            let rows = |network: &Network| {
                let rows = network.nodes[role].engine.view().rows;
                rows.first().map_or("-", |row| row.state.name())
            };
            let fresh = || {
                let mut network = Network::fitting();
                network.connect(0);
                for _ in 0..before {
                    network.step(policy::Time::from_secs(1));
                }
                network
            };
            let state = rows(&fresh());
            let _ = writeln!(table, "{name} after {before} messages, {state}");
            for (n, message) in names.iter().enumerate() {
                let (from, bytes) = &done.sent[n];
                if *from == role {
                    continue;
                }
                let mut network = fresh();
                let refused = |network: &Network| {
                    let counters = network.nodes[role].engine.counters().clone();
                    let counts = RefusalCounter::ALL.map(|counter| counters.refused(counter));
                    (counts, counters.duplicates)
                };
                let (counts, duplicates) = refused(&network);
                let sent = network.sent.len();
                network.deliver(role, [KS, GM][role], bytes);
                let (counts_after, duplicates_after) = refused(&network);
                let refusal = (0..counts.len())
                    .find(|at| counts[*at] != counts_after[*at])
                    .map(|at| format!("refused: {}", RefusalCounter::ALL[at].name()));
                let what = match refusal {
                    Some(refusal) => refusal,
                    None if duplicates != duplicates_after => "copy".to_owned(),
                    None => rows(&network).to_owned(),
                };
                let answered = if network.sent.len() > sent {
                    ", answered"
                } else {
                    ""
                };
                let _ = writeln!(table, "    {message}: {what}{answered}");
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// One of each kind, in the order of the counters.
fn refusals() -> Vec<Refusal> {
    let shorts = wire::Error {
        what: "SA payload",
        kind: wire::Kind::Short { needed: 4, left: 2 },
    };
    let illegal = Illegal::Missing {
        message: "MAIN MODE 3",
        payload: PayloadType::KE,
    };
    let mismatch = {
        let sa = wire::isakmp::Sa {
            doi: Doi::GDOI,
            situation: 0,
            proposals: vec![wire::isakmp::Proposal {
                number: 1,
                protocol: wire::iana::ProtocolId::ISAKMP,
                spi: Vec::new(),
                transforms: Vec::new(),
            }],
        };
        match crate::ike::proposal::choose(&[], &sa) {
            Err(Refusal::NoProposal(mismatch)) => mismatch,
            Ok(_) | Err(_) => panic!("nothing fits nothing"),
        }
    };
    let key = crypto::Error::PublicValue {
        group: Group::Modp2048,
        why: "0",
    };
    vec![
        Refusal::Malformed(shorts),
        Refusal::Illegal(illegal),
        Refusal::Version(0x20),
        Refusal::AggressiveMode,
        Refusal::UnknownExchange(ExchangeType(99)),
        Refusal::NoSa,
        Refusal::NotEncrypted,
        Refusal::EncryptedTooEarly,
        Refusal::TooEarly(ExchangeType::GROUPKEY_PULL),
        Refusal::MessageId(7),
        Refusal::NoPresharedKey,
        Refusal::NoProposal(mismatch.clone()),
        Refusal::NotOffered(mismatch),
        Refusal::BadProposal("phase 1 has exactly one proposal"),
        Refusal::Doi(Doi(7)),
        Refusal::Situation(4),
        Refusal::KeyExchange(key),
        Refusal::NonceLength(3),
        Refusal::Undecryptable { first: true },
        Refusal::BadHash,
        Refusal::Identity {
            claimed: "10.0.0.9".to_owned(),
            expected: *GM.ip(),
        },
        Refusal::HalfOpenFull,
        Refusal::SaLimit,
        Refusal::NegotiationLimit,
        Refusal::Computations,
        Refusal::ExchangesFull,
        Refusal::Replayed(7),
        Refusal::BadPart("its MAC does not verify"),
        Refusal::BadKeepalive("its number was seen before"),
    ]
}

#[test]
fn each_refusal_has_one_notify_one_counter_and_one_text() {
    let all = refusals();
    let counters: Vec<_> = all.iter().map(|refusal| refusal.row().counter).collect();
    assert_eq!(
        counters,
        RefusalCounter::ALL,
        "one counter each, and none without a refusal"
    );
    let mut table = String::new();
    for refusal in &all {
        let row = refusal.row();
        let _ = writeln!(
            table,
            "{:<28} {:<26} {:?}\n    {}",
            row.counter.name(),
            row.notify.to_string(),
            row.answer,
            refusal.event(*GM.ip())
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_legal_payloads_of_every_message() {
    let mut table = String::new();
    for message in MESSAGES {
        let _ = write!(table, "{:<18} {:?}:", message.name, message.protection);
        for rule in message.rules {
            let _ = write!(table, " {}", rule.payload);
            match (rule.min, rule.max) {
                (1, 1) => {}
                (0, 0) => table.push('!'),
                (0, 1) => table.push('?'),
                (min, max) => {
                    let _ = write!(table, "{{{min}..{max}}}");
                }
            }
        }
        table.push_str(match message.others {
            Others::Ignored => " others ignored\n",
            Others::Refused => "\n",
        });
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_message_with_a_payload_too_many_too_few_or_misplaced_is_illegal() {
    use PayloadType as P;
    let pull_1 = message_at(ExchangeType::GROUPKEY_PULL, 1).unwrap();
    assert_eq!(pull_1.check(&[P::HASH, P::NONCE, P::ID]), Ok(()));
    assert_eq!(pull_1.check(&[P::HASH, P::ID, P::NONCE]), Ok(()));
    assert_eq!(
        pull_1.check(&[P::HASH, P::NONCE, P::ID, P::CERT, P::POP]),
        Ok(())
    );
    let message = "GROUPKEY-PULL 1";
    let illegal = |payloads: &[P]| pull_1.check(payloads).unwrap_err();
    let missing = Illegal::Missing {
        message,
        payload: P::ID,
    };
    assert_eq!(illegal(&[P::HASH, P::NONCE]), missing);
    let too_many = Illegal::TooMany {
        message,
        payload: P::NONCE,
        max: 1,
    };
    assert_eq!(illegal(&[P::HASH, P::NONCE, P::NONCE, P::ID]), too_many);
    let not_first = Illegal::NotFirst {
        message,
        payload: P::HASH,
    };
    assert_eq!(illegal(&[P::NONCE, P::HASH, P::ID]), not_first);
    let forbidden = Illegal::Forbidden {
        message,
        payload: P::KE,
    };
    assert_eq!(illegal(&[P::HASH, P::NONCE, P::ID, P::KE]), forbidden);
    let push = message_at(ExchangeType::GROUPKEY_PUSH, 1).unwrap();
    assert_eq!(push.check(&[P::SEQ, P::SA, P::KD, P::SIG]), Ok(()));
    assert_eq!(push.check(&[P::SEQ, P::DELETE, P::SIG]), Ok(()));
    let out_of_order = Illegal::OutOfOrder {
        message: "GROUPKEY-PUSH",
        payload: P::DELETE,
    };
    assert_eq!(push.check(&[P::SEQ, P::SIG, P::DELETE]), Err(out_of_order));
    assert!(message_at(ExchangeType::GROUPKEY_PULL, 5).is_err());
    assert!(message_at(ExchangeType::AGGRESSIVE, 1).is_err());
    assert!(message_at(ExchangeType::UNREGISTERED_34, 1).is_err());
}

/// The proof of kin is a nonce that either message may have; nothing else is welcome between key
/// servers, whose peers are all of our kind.
#[test]
fn an_announcement_and_its_answer_have_the_same_payloads() {
    use PayloadType as P;
    for (step, sender, name) in [
        (1, Sender::Initiator, "COOP 1"),
        (2, Sender::Responder, "COOP 2"),
    ] {
        let coop = message_at(ExchangeType::GETVPN_COOP, step).unwrap();
        assert_eq!((coop.name, coop.sender), (name, sender));
        assert_eq!(coop.protection, Protection::Isakmp);
        for legal in [
            &[P::HASH, P::GETVPN_COOP][..],
            &[P::HASH, P::NONCE, P::GETVPN_COOP],
            &[P::HASH, P::GETVPN_COOP, P::NONCE],
        ] {
            assert_eq!(coop.check(legal), Ok(()), "{legal:?}");
        }
        for (illegal, says) in [
            (
                &[P::HASH, P::NONCE][..],
                "needs a GETVPN_COOP payload and has none",
            ),
            (
                &[P::NONCE, P::GETVPN_COOP],
                "needs a HASH payload and has none",
            ),
            (
                &[P::NONCE, P::HASH, P::GETVPN_COOP],
                "must begin with its HASH payload",
            ),
            (
                &[P::HASH, P::GETVPN_COOP, P::GETVPN_COOP],
                "may have 1 GETVPN_COOP payloads and has more",
            ),
            (
                &[P::HASH, P::NONCE, P::NONCE, P::GETVPN_COOP],
                "may have 1 NONCE payloads and has more",
            ),
            (
                &[P::HASH, P::GETVPN_COOP, P::NOTIFY],
                "may not have a NOTIFY payload",
            ),
            (
                &[P::HASH, P::SA, P::GETVPN_COOP],
                "may not have a SA payload",
            ),
        ] {
            let refused = coop.check(illegal).unwrap_err();
            assert_eq!(refused.to_string(), format!("{name} {says}"));
        }
    }
    let third = message_at(ExchangeType::GETVPN_COOP, 3).unwrap_err();
    assert_eq!(third.to_string(), "exchange GETVPN_COOP has no message 3");
}

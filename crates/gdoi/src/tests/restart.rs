//! What survives: a key server that dies at any write, a member that dies, a machine that boots.

use std::collections::BTreeSet;
use std::time::Duration;

use crypto::{Secret, SeededRng};
use policy::{ClockGeneration, PseudoTime, Spi, Time};

use super::network::{Fate, Network, g1, generate_rsa, gm, isakmp, key_server, member};
use crate::Machine;
use crate::config::{self, Config};
use crate::ks::GroupKeys;
use crate::limits::SID_BLOCK;
use crate::machine::{Command, Record};
use crate::persist::{BootId, GroupRow, Restored, group_record};

const TICK: Duration = Duration::from_millis(250);
/// GROUPKEY-PUSH.
const PUSH: u8 = 33;

#[test]
fn a_killed_key_server_comes_back_with_members_sequence_marks_and_keys() {
    let mut network = Network::of(1, &key_server(600, 1_200), 3);
    network.run_s(5);
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(30);
    let before = network.ks("ks1");
    network.kill("ks1");
    network.run_s(20);
    network.start("ks1");
    network.run_s(1);
    let after = network.ks("ks1");
    assert_eq!(after.members.len(), 3);
    for (own, other) in before.members.iter().zip(&after.members) {
        assert_eq!(own.address, other.address);
        assert_eq!(own.sids, other.sids);
        assert_eq!(own.acks_received, other.acks_received);
        assert_eq!(own.sent_seqs, other.sent_seqs);
    }
    assert_eq!(before.seq, after.seq);
    assert_eq!(before.sids.mark, after.sids.mark);
    assert_eq!(before.keks[0].spi, after.keks[0].spi);
    assert_eq!(before.policy_name, after.policy_name);
    let spis = |view: &crate::ks::View| view.teks.iter().map(|t| t.spi).collect::<Vec<_>>();
    assert_eq!(spis(&before), spis(&after));
    assert_eq!(after.pseudotime.since(before.pseudotime).as_secs(), 21);
    assert_eq!(after.rekeys_sent, before.rekeys_sent, "nothing was open");
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let view = network.ks("ks1");
    assert!(view.seq > before.seq);
    assert!(
        view.members
            .iter()
            .all(|member| member.received_seqs[0] == view.seq)
    );
    assert_eq!(network.gm(1).registrations_succeeded, 1);
    network.assert_sids_unique();
}

/// The key server dies right after each of its writes, before whatever was to follow, and comes
/// back some time later. Traffic goes on, no sequence number and no SID is used twice.
#[test]
fn a_key_server_may_die_after_any_write() {
    let mut undisturbed = scenario(None);
    undisturbed.run_s(70);
    let writes = undisturbed.node("ks1").writes;
    assert!(writes >= 12, "{writes}");
    for dies_after in 1..=writes {
        let mut network = scenario(Some(dies_after));
        network.watch(Duration::from_secs(70), TICK, Network::assert_understood);
        assert!(network.node("ks1").machine.is_none(), "{dies_after}");
        network.start("ks1");
        // The key that the operator had made may be lost with the write.
        network.command("ks1", generate_rsa());
        network.watch(Duration::from_secs(100), TICK, Network::assert_understood);
        network.assert_newest_held("ks1");
        assert_eq!(
            network.registered(),
            2,
            "{dies_after}: {}",
            network.transcript
        );
        network.assert_sids_unique();
        network.assert_keys_agree("ks1");
        assert_no_sequence_number_twice(&network);
    }
}

fn scenario(dies_after: Option<usize>) -> Network {
    let mut network = Network::new(7);
    network.next_dies_after = dies_after;
    network.add_key_server("ks1", key_server(600, 1_200));
    network.add_member(1);
    network.run_s(2);
    network.add_member(2);
    network.run_s(5);
    network.command("ks1", Command::Rekey { group: None });
    network
}

/// The same across several scheduled rekeys of both kinds of key: three seconds without a key server
/// are no gap, whenever they come.
#[test]
fn a_key_server_may_die_in_the_middle_of_any_scheduled_rekey() {
    let run = |dies_after: Option<usize>| {
        let mut network = Network::new(8);
        network.add_key_server("ks1", key_server(60, 120));
        network.add_member(1);
        network.add_member(2);
        network.run_s(5);
        let before = network.node("ks1").writes;
        network.node_mut("ks1").dies_after = dies_after.map(|writes| before + writes);
        for _ in 0..800 {
            network.run(TICK);
            network.assert_understood();
            if network.node("ks1").machine.is_none() {
                network.watch(Duration::from_secs(3), TICK, Network::assert_understood);
                network.start("ks1");
            }
        }
        network.assert_sids_unique();
        network.assert_keys_agree("ks1");
        assert_no_sequence_number_twice(&network);
        assert_eq!(network.gm(1).registrations_succeeded, 1, "{dies_after:?}");
        assert_eq!(
            network.gm(2).refusals,
            [],
            "{dies_after:?}\n{}",
            network.transcript
        );
        network.node("ks1").writes - before
    };
    let writes = run(None);
    assert!(writes > 15, "{writes}");
    for dies_after in 1..writes {
        run(Some(dies_after));
    }
}

/// Under one Rekey SA no two different PUSHes have one sequence number: since the first block of a
/// PUSH is that of its number, equal first blocks under equal cookies must be equal datagrams.
fn assert_no_sequence_number_twice(network: &Network) {
    let mut seen: BTreeSet<(Vec<u8>, Vec<u8>)> = BTreeSet::new();
    let mut whole: BTreeSet<Vec<u8>> = BTreeSet::new();
    for packet in network.log.iter().filter(|packet| packet.exchange() == 33) {
        if whole.insert(packet.bytes.clone()) {
            let first = (packet.bytes[..16].to_vec(), packet.bytes[28..44].to_vec());
            assert!(
                seen.insert(first),
                "a sequence number twice\n{}",
                network.transcript
            );
        }
    }
}

#[test]
fn a_killed_member_registers_again_and_gets_new_sids() {
    let mut network = Network::of(3, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.kill("gm1");
    network.run_s(3);
    network.start("gm1");
    network.run_s(3);
    assert_eq!(network.registered(), 2);
    network.assert_understood();
    network.assert_sids_unique();
    assert_eq!(network.ks("ks1").members.len(), 2);
    assert_eq!(network.node("gm1").all_sids.len(), 2);
    network.watch(Duration::from_secs(1_200), TICK, Network::assert_understood);
}

/// How far a member's clock is from the key server's.
fn off(network: &Network, ks: &str, n: u8) -> Duration {
    let (own, theirs) = (network.gm(n).pseudotime.unwrap(), network.ks(ks).pseudotime);
    own.since(theirs).max(theirs.since(own))
}

#[test]
fn after_another_boot_members_follow_the_clock_of_a_new_generation_and_traffic_goes_on() {
    for down_s in [5, 60, 110] {
        let mut network = Network::of(4, &key_server(3_600, 7_200), 2);
        network.run_s(600);
        let before = network.ks("ks1").pseudotime;
        network.kill("ks1");
        network.watch(
            Duration::from_secs(down_s),
            TICK,
            Network::assert_understood,
        );
        network.boot("ks1");
        network.start("ks1");
        network.watch(Duration::from_secs(30), TICK, Network::assert_understood);
        let after = network.ks("ks1");
        assert_eq!(after.clock_generation, ClockGeneration(16));
        // It was written down at most two minutes before.
        let off_by = before.since(after.pseudotime.before(Duration::from_secs(30)));
        assert!(off_by <= Duration::from_secs(120), "{off_by:?}");
        assert!(network.node("ks1").has_event("KS_CLOCK_LOST"));
        for n in 1..=2 {
            assert_eq!(network.gm(n).clock_generation, ClockGeneration(16));
            assert!(off(&network, "ks1", n) < Duration::from_millis(500));
            let name = format!("gm{n}");
            assert!(network.node(&name).has_event("PSEUDO_TIME_LARGE"));
        }
        network.watch(Duration::from_secs(4_000), TICK, Network::assert_understood);
        network.assert_keys_agree("ks1");
        network.kill("ks1");
        network.start("ks1");
        network.run_s(5);
        assert_eq!(network.ks("ks1").clock_generation, ClockGeneration(16));
        assert_eq!(network.node("ks1").count("KS_CLOCK_LOST"), 1);
    }
}

/// Members know the clock of a new generation by one stamp. Who lost the first rekey, or the first and
/// its repetition, gets a stamp of then and not of before.
#[test]
fn a_member_that_lost_the_first_stamps_of_a_new_clock_is_told_one_of_now() {
    for lost in 1..=2 {
        let mut network = Network::of(4, &key_server(3_600, 7_200), 2);
        network.run_s(600);
        network.kill("ks1");
        network.run_s(20);
        network.boot("ks1");
        let mut left = lost;
        network.fate = Box::new(move |packet, _| {
            let is_push = packet.exchange() == PUSH && *packet.to.ip() == gm(2);
            if is_push && left > 0 {
                left -= 1;
                return Fate::Lose;
            }
            Fate::Deliver
        });
        network.start("ks1");
        for _ in 0..400 {
            network.run(TICK);
            if network.gm(2).clock_generation == ClockGeneration(16) {
                let off_by = off(&network, "ks1", 2);
                assert!(off_by < Duration::from_millis(700), "{off_by:?}");
            }
        }
        assert_eq!(network.gm(2).clock_generation, ClockGeneration(16));
        assert_eq!(network.gm(2).registrations_succeeded, 1);
        let members = network.ks("ks1").members;
        assert!(members.iter().all(|m| m.acks_missed == 0), "{members:?}");
    }
}

/// The key server takes keys for alive that ended at the members while it was off; those took what
/// was sent on them, know no copies of it any more, and do not take them again.
#[test]
fn a_key_that_ended_while_the_key_server_was_off_does_not_come_back() {
    let mut network = Network::of(6, &key_server(300, 600), 2);
    network.run_s(400);
    let held = |network: &Network| -> BTreeSet<Spi> {
        let teks = (1..=2).flat_map(|n| network.gm(n).teks);
        teks.map(|tek| tek.spi).collect()
    };
    let before = held(&network);
    network.kill("ks1");
    network.run_s(900);
    assert_eq!(network.registered(), 0);
    network.boot("ks1");
    network.start("ks1");
    network.run_s(90);
    assert_eq!(network.registered(), 2);
    assert!(held(&network).is_disjoint(&before));
    network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
}

#[test]
fn the_clock_of_another_boot_is_lost_and_goes_on_from_where_it_was_written_down() {
    let row = |clock_generation, clock_lost| GroupRow {
        boot: BootId([1; 16]),
        written: Time::from_secs(5_000),
        pseudotime: PseudoTime::from_secs(900),
        clock_generation,
        clock_lost,
        keys: GroupKeys::new(&mut SeededRng::from_number(1)),
        sid_marks: Vec::new(),
        policy: None,
        next_policy: None,
        rekeys_sent: 0,
    };
    let first = ClockGeneration::default();
    let same = row(first, false).clock(BootId([1; 16]));
    assert_eq!(same.at(Time::from_secs(5_010)), PseudoTime::from_secs(910));
    assert!(!same.is_lost());
    let other = row(first, false).clock(BootId([2; 16]));
    assert_eq!(other.at(Time::from_secs(40)), PseudoTime::from_secs(940));
    assert!(other.is_lost());
    // Nobody told the time in that boot either.
    assert!(row(first, true).clock(BootId([1; 16])).is_lost());
    for (generation, lost) in [(first, false), (ClockGeneration(33), false), (first, true)] {
        let record = group_record(&g1(), &row(generation, lost));
        let restored = Restored::read(vec![record]).unwrap();
        let (row, _) = &restored.groups[&g1()];
        assert_eq!((row.clock_generation, row.clock_lost), (generation, lost));
    }
}

#[test]
fn a_row_that_was_damaged_is_named_and_nothing_starts() {
    let mut network = Network::of(5, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    let disk = network.node("ks1").disk.clone();
    assert!(disk.len() == 3, "a group, a member, a key");
    for (key, value) in &disk {
        let name = String::from_utf8(key.clone()).unwrap();
        let octets = value.expose();
        for cut in [0, 1, octets.len() / 2, octets.len() - 1] {
            let mut rows = disk.clone();
            rows.insert(key.clone(), Secret::copy_of(&octets[..cut]));
            let rows = rows
                .into_iter()
                .map(|(key, value)| Record {
                    key,
                    value: Some(value),
                })
                .collect();
            let rng = Box::new(SeededRng::from_number(1));
            let machine = Machine::new(rng, false, BootId([1; 16]), rows);
            let error = machine.err().expect("a cut row is refused");
            assert!(error.to_string().contains(&name), "{error}");
        }
        for at in 0..octets.len() {
            let mut altered = octets.to_vec();
            altered[at] ^= 0x55;
            let mut rows = disk.clone();
            rows.insert(key.clone(), Secret::new(altered));
            let rows = rows
                .into_iter()
                .map(|(key, value)| Record {
                    key,
                    value: Some(value),
                })
                .collect();
            // Whatever it is taken for, it is no panic.
            let rng = Box::new(SeededRng::from_number(1));
            let _ = Machine::new(rng, false, BootId([1; 16]), rows);
        }
    }
}

#[test]
fn a_clock_that_is_about_to_stand_still_is_named_and_nothing_starts() {
    let mut network = Network::of(5, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    let (key, value) = network.node("ks1").disk.first_key_value().unwrap();
    // After the version, the boot and the time of writing.
    let mut octets = value.expose().to_vec();
    octets[25..33].copy_from_slice(&(u64::MAX - 1_000_000_000).to_be_bytes());
    let row = Record {
        key: key.clone(),
        value: Some(Secret::new(octets)),
    };
    let rng = Box::new(SeededRng::from_number(1));
    let machine = Machine::new(rng, false, BootId([1; 16]), vec![row]);
    let error = machine.err().expect("the row is refused").to_string();
    assert!(error.contains("pseudotime"), "{error}");
}

#[test]
fn a_group_that_is_no_longer_configured_is_forgotten_on_disk() {
    let mut network = Network::of(6, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    let mut config = (*network.node("ks1").config).clone();
    config.key_servers.clear();
    network.configure("ks1", config);
    let left: Vec<_> = network.node("ks1").disk.keys().cloned().collect();
    assert_eq!(left, [b"rsa/get".to_vec()]);
}

/// The state folder of the only key server is restored from a copy, and it hands identifiers out
/// anew. The first member that registers again tells it; all keys are replaced, and in the end no
/// identifier has two holders.
//= getvpn P22
#[test]
fn members_remember_what_a_restored_key_server_has_forgotten() {
    let mut network = Network::of(15, &key_server(60, 120), 0);
    let join = |network: &mut Network, n: u8| {
        let own = config::Member {
            workers: 60,
            ..member(n)
        };
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![own],
        };
        network.add(&format!("gm{n}"), gm(n), config);
    };
    join(&mut network, 1);
    network.run_s(10);
    let old = network.node("ks1").disk.clone();
    let block = usize::try_from(SID_BLOCK).unwrap();
    for n in 2..=u8::try_from(block / 60 + 4).unwrap() {
        join(&mut network, n);
    }
    network.run_s(20);
    network.kill("ks1");
    network.node_mut("ks1").disk = old;
    network.start("ks1");
    join(&mut network, 40);
    network.run_s(5);
    let held =
        |network: &Network, n: u8| -> BTreeSet<_> { network.gm(n).sids.into_iter().collect() };
    let twice = (2..40)
        .filter(|n| {
            network
                .nodes
                .iter()
                .any(|node| node.name == format!("gm{n}"))
        })
        .any(|n| !held(&network, n).is_disjoint(&held(&network, 40)));
    assert!(twice, "the danger is there");
    assert!(!network.node("ks1").has_event("KS_STATE_ROLLBACK"));
    network.run_s(150);
    assert!(
        network.node("ks1").has_event("KS_STATE_ROLLBACK"),
        "{}",
        network.transcript
    );
    assert!(
        network.node("gm40").has_event("GM_RECV_DELETE"),
        "who holds another's identifier is asked to come: {}",
        network.transcript
    );
    let mut seen = BTreeSet::new();
    let members = network
        .nodes
        .iter()
        .filter(|node| node.name.starts_with("gm"));
    for node in members {
        for sid in &node.planes[&g1()].sids {
            assert!(
                seen.insert(*sid),
                "{sid:?} of {} has two holders",
                node.name
            );
        }
    }
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    network.assert_newest_held("ks1");
}

//! Members are taken out: the others lose nothing, and who was removed opens nothing any more.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use policy::Spi;

use super::network::{Fate, Network, Packet, g1, gm, key_server};
use super::plane::DataPlane;
use crate::gm::Status;
use crate::machine::{Command, TekKey};
use crate::persist::Restored;
use crate::push;
use crate::rekey_sa::RekeySa;

const TICK: Duration = Duration::from_millis(100);

pub(super) fn clear(member: Option<u8>, now: bool) -> Command {
    Command::ClearMembers {
        group: Some(g1()),
        member: member.map(gm),
        now,
    }
}

pub(super) fn outbound(network: &Network, n: u8) -> Option<Spi> {
    network
        .node(&format!("gm{n}"))
        .planes
        .values()
        .find_map(|plane| plane.outbound(network.now))
}

/// Whatever a member but `out` sends, every other one but `out` receives, `of` members in all.
pub(super) fn assert_others_understand(network: &Network, out: u8, of: u8) {
    for n in (1..=of).filter(|n| *n != out) {
        let spi = outbound(network, n);
        let spi = spi.unwrap_or_else(|| panic!("gm{n} is mute\n{}", network.transcript));
        for other in (1..=of).filter(|n| *n != out) {
            let plane = network.node(&format!("gm{other}")).plane();
            assert!(
                plane.sas.contains_key(&spi),
                "gm{other} lacks {spi} of gm{n}\n{}",
                network.transcript
            );
        }
    }
}

/// A removed member that keeps all it ever held, and records all that passes.
pub(super) struct Adversary {
    keks: BTreeMap<[u8; 16], RekeySa>,
    teks: BTreeMap<Spi, TekKey>,
    /// How much of the network's log it has tried before.
    seen: usize,
}

impl Adversary {
    /// What a key server of the group has on disk and what a member's data plane has is what the
    /// member was told at most.
    pub(super) fn of(network: &Network, n: u8, ks: &str) -> Self {
        let mut own = Self {
            keks: BTreeMap::new(),
            teks: BTreeMap::new(),
            seen: network.log.len(),
        };
        let restored: Restored = network.restored(ks);
        for (row, _) in restored.groups.values() {
            for kek in row.keys.keks.iter().filter(|kek| kek.announced) {
                own.keks.insert(kek.sa.spi.0, kek.sa.clone());
            }
        }
        for (spi, (_, key)) in &network.node(&format!("gm{n}")).plane().sas {
            own.teks.insert(*spi, key.clone());
        }
        own
    }

    /// Tries every key that it knows on every PUSH since: whatever opens brings no key.
    pub(super) fn try_all(&mut self, network: &Network) -> usize {
        let mut opened_count = 0;
        let later: Vec<Packet> = network.log[self.seen..].to_vec();
        self.seen = network.log.len();
        for packet in later.iter().filter(|packet| packet.exchange() == 33) {
            for kek in self.keks.values() {
                let Ok(opened) = push::open(kek, &packet.bytes) else {
                    continue;
                };
                opened_count += 1;
                let types: Vec<_> = opened.chain().types().collect();
                assert!(
                    !types.contains(&wire::iana::PayloadType::KD),
                    "a key for the removed member\n{}",
                    network.transcript
                );
            }
        }
        opened_count
    }

    /// No key that a member sends on is one that it knows, by SPI or by octets.
    pub(super) fn assert_deaf(&self, network: &Network, out: u8, of: u8) {
        for n in (1..=of).filter(|n| *n != out) {
            let plane = network.node(&format!("gm{n}")).plane();
            let Some(spi) = plane.outbound(network.now) else {
                continue;
            };
            let (_, key) = &plane.sas[&spi];
            let known = self
                .teks
                .values()
                .any(|own| own.encryption.expose() == key.encryption.expose());
            assert!(!known, "gm{n} sends on {spi}\n{}", network.transcript);
        }
    }

    /// A member neither sends nor receives on what it knows.
    pub(super) fn assert_knows_none_of(&self, plane: &DataPlane, network: &Network) {
        for spi in plane.sas.keys() {
            assert!(
                !self.teks.contains_key(spi),
                "{spi}\n{}",
                network.transcript
            );
        }
    }

    /// No member receives on a key that it knows: nothing that it forges is taken.
    pub(super) fn assert_dumb(&self, network: &Network, out: u8, of: u8) {
        for n in (1..=of).filter(|n| *n != out) {
            let plane = network.node(&format!("gm{n}")).plane();
            for spi in plane.sas.keys() {
                assert!(!self.teks.contains_key(spi), "gm{n} receives on {spi}");
            }
        }
    }
}

#[test]
fn every_member_of_a_cleared_group_comes_back_and_nothing_is_lost() {
    let mut network = Network::of(1, &key_server(3_600, 7_200), 4);
    network.run_s(5);
    let before = outbound(&network, 1).unwrap();
    let kek = network.ks("ks1").keks[0].spi;
    network.command("ks1", clear(None, false));
    network.watch(Duration::from_secs(14), TICK, Network::assert_understood);
    assert_eq!(outbound(&network, 1), Some(before), "not before its time");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let view = network.ks("ks1");
    assert_ne!(outbound(&network, 1), Some(before));
    assert_ne!(view.keks[0].spi, kek);
    assert_eq!(view.members.len(), 4);
    for n in 1..=4 {
        let member = network.gm(n);
        assert_eq!(member.registrations_succeeded, 2, "{}", network.transcript);
        let node = network.node(&format!("gm{n}"));
        assert_eq!(node.count("GM_RECV_DELETE"), 1);
        assert!(!node.plane().sas.contains_key(&before), "it is dead");
        assert_eq!(node.plane().closed, 0);
    }
    network.assert_sids_unique();
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    for member in network.ks("ks1").members {
        assert_eq!(member.acks_missed, 0, "{}", network.transcript);
    }
}

#[test]
fn a_removed_member_stays_out_and_the_others_lose_nothing() {
    for seed in 1..=10 {
        let mut network = Network::of(seed, &key_server(600, 1_200), 4);
        network.run_s(5);
        let mut adversary = Adversary::of(&network, 3, "ks1");
        network.command("ks1", clear(Some(3), false));
        network.watch(Duration::from_secs(16), TICK, |network| {
            assert_others_understand(network, 3, 4);
        });
        network.watch(Duration::from_secs(2_000), TICK, |network| {
            assert_others_understand(network, 3, 4);
            adversary.assert_deaf(network, 3, 4);
        });
        assert_eq!(adversary.try_all(&network), 3, "the message without a key");
        adversary.assert_dumb(&network, 3, 4);
        let view = network.ks("ks1");
        assert_eq!(view.members.len(), 3);
        let ks = network.node("ks1");
        assert_eq!(ks.count("GM_DELETE"), 1);
        assert!(ks.has_event("KS_GM_REVOKED"), "{}", network.transcript);
        assert_eq!(network.gm(3).registrations_succeeded, 1);
        assert_ne!(network.gm(3).status, Status::Registered);
        network.assert_sids_unique();
    }
}

/// A member that missed the call hears a copy in time, however long that takes to come.
#[test]
fn the_keys_of_before_live_until_a_copy_has_come() {
    let mut own = key_server(3_600, 7_200);
    own.retransmit_period_s = 40;
    let mut network = Network::of(1, &own, 3);
    network.run_s(5);
    let adversary = Adversary::of(&network, 1, "ks1");
    let lost = Cell::new(false);
    network.fate = Box::new(move |packet, _| {
        let call = packet.exchange() == 33 && *packet.to.ip() == gm(3);
        if call && !lost.replace(true) {
            return Fate::Lose;
        }
        Fate::Deliver
    });
    network.command("ks1", clear(Some(1), false));
    network.watch(Duration::from_secs(46), TICK, |network| {
        assert_others_understand(network, 1, 3);
    });
    network.watch(Duration::from_secs(60), TICK, |network| {
        assert_others_understand(network, 1, 3);
        adversary.assert_deaf(network, 1, 3);
    });
}

#[test]
fn a_refused_member_asks_ever_less_often() {
    let mut network = Network::of(4, &key_server(600, 1_200), 2);
    network.run_s(5);
    network.command("ks1", clear(Some(2), true));
    network.command("gm2", Command::ClearGdoi { group: None });
    network.run_s(60);
    let soon = network.node("gm2").count("GM_REGSTER");
    assert!(soon >= 5, "asked {soon} times within a minute");
    network.run_s(3_600);
    let later = network.node("gm2").count("GM_REGSTER");
    network.run_s(3_600);
    let hour = network.node("gm2").count("GM_REGSTER") - later;
    assert!((12..=24).contains(&hour), "asked {hour} times in an hour");
    let member = network.gm(2);
    assert_ne!(member.status, Status::Registered);
    // An operator who lets it in again does not wait for its timer.
    let readmit = Command::Readmit {
        group: None,
        member: gm(2),
    };
    network.command("ks1", readmit);
    network.command("gm2", Command::ClearGdoi { group: None });
    network.run_s(5);
    assert_eq!(network.gm(2).status, Status::Registered);
}

#[test]
fn with_now_nobody_sends_another_packet_under_a_key_of_before() {
    let mut network = Network::of(2, &key_server(3_600, 7_200), 4);
    network.run_s(5);
    let mut adversary = Adversary::of(&network, 2, "ks1");
    network.command("ks1", clear(Some(2), true));
    network.run(Duration::from_millis(51));
    for n in [1, 3, 4] {
        let node = network.node(&format!("gm{n}"));
        assert_eq!(node.count("GM_RECV_DELETE_IMMEDIATE"), 1);
        assert_eq!(node.plane().closed, 1, "{}", network.transcript);
    }
    adversary.assert_dumb(&network, 2, 4);
    network.run_s(3);
    network.watch(Duration::from_secs(600), TICK, |network| {
        assert_others_understand(network, 2, 4);
        adversary.assert_deaf(network, 2, 4);
        adversary.assert_dumb(network, 2, 4);
    });
    assert_eq!(adversary.try_all(&network), 3);
    network.assert_sids_unique();
}

#[test]
fn replace_now_replaces_every_key_and_takes_nobody_out() {
    let mut network = Network::of(3, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    let mut adversary = Adversary::of(&network, 1, "ks1");
    network.command("ks1", Command::ReplaceNow { group: None });
    network.run_s(3);
    network.watch(Duration::from_secs(60), TICK, |network| {
        network.assert_understood();
        adversary.assert_deaf(network, 0, 3);
        adversary.assert_dumb(network, 0, 3);
    });
    assert_eq!(adversary.try_all(&network), 3);
    assert_eq!(network.ks("ks1").members.len(), 3);
    assert_eq!(network.registered(), 3);
    network.assert_sids_unique();
}

#[test]
fn who_is_readmitted_may_register_again() {
    let mut network = Network::of(4, &key_server(600, 1_200), 3);
    network.run_s(5);
    network.command("ks1", clear(Some(1), true));
    network.run_s(700);
    assert_eq!(network.registered(), 2);
    let readmit = Command::Readmit {
        group: None,
        member: gm(1),
    };
    network.command("ks1", readmit);
    network.run_s(305);
    assert_eq!(network.registered(), 3, "{}", network.transcript);
    network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
    network.assert_sids_unique();
}

#[test]
fn who_did_not_hear_that_it_is_to_come_is_asked_again() {
    let mut network = Network::of(6, &key_server(3_600, 7_200), 3);
    network.run_s(30);
    network.fate = Box::new(|packet, _| {
        let deaf = packet.exchange() == 33 && *packet.to.ip() == gm(3);
        if deaf { Fate::Lose } else { Fate::Deliver }
    });
    network.command("ks1", clear(Some(1), false));
    // All copies of the first message are over, and the keys of before have ended.
    network.run_s(60);
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.run_s(15);
    assert_others_understand(&network, 1, 3);
}

#[test]
fn who_does_not_come_back_is_forgotten() {
    let mut network = Network::of(5, &key_server(600, 1_200), 3);
    network.run_s(5);
    network.kill("gm2");
    network.command("ks1", clear(None, false));
    network.run_s(120);
    let view = network.ks("ks1");
    let left: Vec<_> = view.members.iter().map(|member| member.address).collect();
    assert_eq!(left, [gm(1), gm(3)], "{}", network.transcript);
    network.start("gm2");
    network.run_s(5);
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(network.registered(), 3);
    network.assert_sids_unique();
}

/// The key server dies right after each write that a removal makes; whatever was written holds.
#[test]
fn a_key_server_may_die_after_any_write_of_a_removal() {
    for now in [false, true] {
        let writes = removal_with_a_death(None, now);
        assert!(writes >= 5, "{writes}");
        for dies_after in 1..=writes {
            removal_with_a_death(Some(dies_after), now);
        }
    }
}

fn removal_with_a_death(dies_after: Option<usize>, now: bool) -> usize {
    let mut network = Network::of(6, &key_server(600, 1_200), 3);
    network.run_s(5);
    let adversary = Adversary::of(&network, 3, "ks1");
    let before = network.node("ks1").writes;
    network.node_mut("ks1").dies_after = dies_after.map(|writes| before + writes);
    network.command("ks1", clear(Some(3), now));
    for _ in 0..100 {
        network.run(TICK);
        if network.node("ks1").machine.is_none() {
            network.run_s(1);
            network.start("ks1");
        }
    }
    let writes = network.node("ks1").writes - before;
    // An order that was not written down was not given.
    network.command("ks1", clear(Some(3), now));
    network.run_s(90);
    let view = network.ks("ks1");
    assert_eq!(
        view.members.len(),
        2,
        "{dies_after:?}\n{}",
        network.transcript
    );
    network.watch(Duration::from_secs(300), TICK, |network| {
        assert_others_understand(network, 3, 3);
        adversary.assert_deaf(network, 3, 3);
        adversary.assert_dumb(network, 3, 3);
    });
    network.assert_sids_unique();
    writes
}

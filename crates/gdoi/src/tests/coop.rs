//! Several key servers of one group: elections, failures, splits, merges; members lose nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use policy::{Acl, RekeyTransport, SigHash};

use super::network::{
    Fate, KS, KS2, Network, cbc_256, g1, generate_rsa, gm, isakmp, key_server, member,
};
use crate::config::{self, Config};
use crate::ks::Role;
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(250);
pub(super) const KS3: Ipv4Addr = Ipv4Addr::new(10, 1, 13, 2);
const ALL: [(&str, Ipv4Addr, u8); 3] = [("ks1", KS, 10), ("ks2", KS2, 5), ("ks3", KS3, 1)];

pub(super) fn cooperating(
    address: Ipv4Addr,
    priority: u8,
    servers: &[Ipv4Addr],
    tek_s: u32,
) -> config::KeyServer {
    config::KeyServer {
        address,
        priority,
        servers: servers.to_vec(),
        ..key_server(tek_s, 2 * tek_s)
    }
}

/// `count` key servers and members that take them in different orders.
pub(super) fn group(seed: u64, count: usize, members: u8, tek_s: u32, keepalive_s: u16) -> Network {
    let mut network = Network::new(seed);
    found(&mut network, count, members, (tek_s, keepalive_s));
    network
}

/// Puts key servers that cooperate and members that know all of them into a network.
pub(super) fn found(
    network: &mut Network,
    count: usize,
    members: u8,
    (tek_s, keepalive_s): (u32, u16),
) {
    let servers: Vec<Ipv4Addr> = ALL[..count]
        .iter()
        .map(|(_, address, _)| *address)
        .collect();
    let phase_1 = || config::Isakmp {
        keepalive_s,
        ..isakmp()
    };
    for (name, address, priority) in &ALL[..count] {
        let own = cooperating(*address, *priority, &servers, tek_s);
        let config = Config {
            isakmp: phase_1(),
            incomplete: Vec::new(),
            key_servers: vec![own],
            members: Vec::new(),
        };
        network.add(name, *address, config);
        network.command(name, generate_rsa());
    }
    for n in 1..=members {
        let mut own = member(n);
        own.servers = servers.clone();
        own.servers.rotate_left(usize::from(n - 1) % count);
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![own],
        };
        network.add(&format!("gm{n}"), gm(n), config);
    }
}

pub(super) fn role(network: &Network, name: &str) -> Role {
    network.ks(name).coop.expect("it has peers").role
}

/// The only key server among these that leads.
pub(super) fn primary<'a>(network: &Network, names: &[&'a str]) -> &'a str {
    let leads: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| role(network, name) == Role::Primary)
        .collect();
    assert_eq!(leads.len(), 1, "{leads:?}\n{}", network.transcript);
    leads[0]
}

/// Nothing passes between these key servers.
pub(super) fn split(network: &mut Network, one: Ipv4Addr, others: &'static [Ipv4Addr]) {
    network.fate = Box::new(move |packet, _| {
        let ends = [*packet.from.ip(), *packet.to.ip()];
        let between = ends.contains(&one) && ends.iter().any(|end| others.contains(end));
        if between { Fate::Lose } else { Fate::Deliver }
    });
}

/// Nothing passes to or from the first key server.
pub(super) fn alone(network: &mut Network) {
    network.fate = Box::new(|packet, _| {
        let ends = [*packet.from.ip(), *packet.to.ip()];
        if ends.contains(&KS) {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
}

pub(super) fn heal(network: &mut Network) {
    network.fate = Box::new(|_, _| Fate::Deliver);
}

#[test]
fn two_that_start_together_elect_by_priority_and_share_everything() {
    let mut network = group(1, 2, 4, 600, 0);
    network.run_s(10);
    assert_eq!(role(&network, "ks1"), Role::Primary);
    assert_eq!(role(&network, "ks2"), Role::Secondary);
    assert_eq!(network.registered(), 4, "{}", network.transcript);
    network.run_s(5);
    let (one, two) = (network.ks("ks1"), network.ks("ks2"));
    assert_eq!((one.members.len(), two.members.len()), (4, 4));
    let at: Vec<Ipv4Addr> = one.members.iter().map(|member| member.key_server).collect();
    assert!(
        at.contains(&KS) && at.contains(&KS2),
        "the load is shared: {at:?}"
    );
    assert_eq!(one.policy_name, two.policy_name);
    assert_eq!(one.keks[0].spi, two.keks[0].spi);
    assert_eq!(one.coop.unwrap().acknowledged_periods, 2);
    assert!(two.coop.unwrap().complete);
    network.assert_sids_unique();
    network.assert_understood();
    for name in ["ks1", "ks2"] {
        for calm in ["COOP_CONFIG_MISMATCH", "COOP_KS_UNREACH", "COOP_MERGE"] {
            assert_eq!(network.node(name).count(calm), 0, "{}", network.transcript);
        }
    }
}

#[test]
fn the_primary_rekeys_members_of_every_key_server_a_period_ahead() {
    let mut network = group(2, 2, 4, 60, 0);
    network.run_s(15);
    network.watch(Duration::from_secs(900), TICK, Network::assert_understood);
    for n in 1..=4 {
        let view = network.gm(n);
        assert!(view.rekeys_received >= 15, "{n}\n{}", network.transcript);
        assert_eq!(view.registrations_succeeded, 1, "{}", network.transcript);
    }
    for member in network.ks("ks1").members {
        assert_eq!(member.acks_missed, 0);
        assert_eq!(member.rekeys_retries, 0, "{}", network.transcript);
    }
    assert_eq!(network.ks("ks2").rekeys_sent, 0);
}

#[test]
fn a_dead_primary_is_replaced_within_five_seconds_and_nothing_is_sent_for_it() {
    let mut network = group(3, 2, 4, 600, 10);
    network.run_s(60);
    let pushes = |network: &Network| network.log.iter().filter(|p| p.exchange() == 33).count();
    let before = pushes(&network);
    network.kill("ks1");
    network.run_s(5);
    assert_eq!(
        role(&network, "ks2"),
        Role::Primary,
        "{}",
        network.transcript
    );
    assert!(network.node("ks2").has_event("COOP_KS_TRANS_TO_PRI"));
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(
        pushes(&network),
        before,
        "a mere failover\n{}",
        network.transcript
    );
    network.watch(Duration::from_secs(3_600), TICK, Network::assert_understood);
    for n in 1..=4 {
        assert_eq!(
            network.gm(n).registrations_succeeded,
            1,
            "{}",
            network.transcript
        );
        assert_eq!(
            network
                .node(&format!("gm{n}"))
                .count("GDOI_REKEY_SEQ_FAILURE"),
            0
        );
    }
    for member in network.ks("ks2").members {
        assert_eq!(member.acks_missed, 0, "{}", network.transcript);
    }
}

#[test]
fn without_keepalives_three_announcements_are_enough() {
    let mut network = group(4, 3, 3, 600, 0);
    network.run_s(30);
    assert_eq!(primary(&network, &["ks1", "ks2", "ks3"]), "ks1");
    network.kill("ks1");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(primary(&network, &["ks2", "ks3"]), "ks2");
    network.start("ks1");
    network.run_s(30);
    assert_eq!(
        primary(&network, &["ks1", "ks2", "ks3"]),
        "ks2",
        "no preemption"
    );
    assert!(network.ks("ks1").coop.unwrap().complete);
}

#[test]
fn a_split_no_longer_than_the_look_ahead_and_its_merge_lose_nothing() {
    for seconds in [30, 90, 150] {
        let mut network = group(5, 2, 4, 60, 10);
        network.run_s(90);
        split(&mut network, KS, &[KS2]);
        network.watch(
            Duration::from_secs(seconds),
            TICK,
            Network::assert_understood,
        );
        assert_eq!(role(&network, "ks1"), Role::Primary);
        assert_eq!(role(&network, "ks2"), Role::Primary, "availability first");
        heal(&mut network);
        network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
        assert_eq!(
            primary(&network, &["ks1", "ks2"]),
            "ks1",
            "{}",
            network.transcript
        );
        network.assert_sids_unique();
        let (one, two) = (network.ks("ks1"), network.ks("ks2"));
        assert_eq!(one.keks[0].spi, two.keks[0].spi);
        assert_eq!(one.members.len(), two.members.len());
    }
}

/// Who wins a merge reaches members of the other side under the Rekey SA that the other side gave
/// them, though it has never sent them anything under that one.
#[test]
fn after_a_merge_members_of_the_other_side_are_rekeyed_and_need_not_come() {
    for seconds in [250, 310] {
        let mut network = group(5, 2, 4, 60, 10);
        network.run_s(60);
        network.kill("ks1");
        network.run_s(30);
        network.start("ks1");
        network.run_s(30);
        assert_eq!(primary(&network, &["ks1", "ks2"]), "ks2");
        alone(&mut network);
        network.run_s(seconds);
        let [one, two] = ["ks1", "ks2"].map(|name| network.ks(name).keks[0].spi);
        assert_ne!(one, two, "each has a Rekey SA of its own");
        let came = |network: &Network| [1, 2, 3, 4].map(|n| network.gm(n).registrations_succeeded);
        let before = came(&network);
        heal(&mut network);
        network.run_s(100);
        assert_eq!(primary(&network, &["ks1", "ks2"]), "ks1");
        let running = network.ks("ks1").keks[0].spi;
        for n in 1..=4 {
            let held = network.gm(n).keks;
            let held = [held.new, held.current].into_iter().flatten();
            let held: Vec<_> = held.map(|kek| kek.spi).collect();
            assert!(held.contains(&running), "gm{n} after {seconds} s");
        }
        network.run_s(500);
        assert_eq!(came(&network), before, "{}", network.transcript);
        assert!(!network.node("ks1").has_event("KS_NACK_GM_EJECT"));
    }
}

#[test]
fn a_cut_between_two_of_three_leaves_one_primary() {
    let mut network = group(6, 3, 3, 60, 10);
    network.run_s(60);
    split(&mut network, KS, &[KS3]);
    network.watch(Duration::from_secs(600), TICK, |network| {
        network.assert_understood();
        assert_eq!(
            role(network, "ks1"),
            Role::Primary,
            "{}",
            network.transcript
        );
        assert_eq!(
            role(network, "ks3"),
            Role::Secondary,
            "{}",
            network.transcript
        );
    });
    let far = network.ks("ks3");
    assert_eq!(
        far.keks[0].spi,
        network.ks("ks1").keks[0].spi,
        "relayed by ks2"
    );
    heal(&mut network);
    network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
    assert_eq!(primary(&network, &["ks1", "ks2", "ks3"]), "ks1");
}

#[test]
fn a_key_server_without_the_rekey_key_gets_the_primarys_and_can_take_over() {
    let mut network = group(7, 2, 0, 600, 10);
    network.run_s(10);
    let mut late = network.node("ks2").config.as_ref().clone();
    late.key_servers[0].servers = vec![KS, KS2];
    network.kill("ks2");
    let at = network.at("ks2");
    network.nodes[at].disk.clear();
    network.start("ks2");
    assert!(network.node("ks2").has_event("KS_NO_RSA_KEYS"));
    network.run_s(30);
    assert!(
        network.node("ks2").has_event("COOP_REKEY_KEY_ADOPTED"),
        "{}",
        network.transcript
    );
    let keys = |name: &str| network.node(name).machine.as_ref().unwrap().key_pairs();
    assert_eq!(keys("ks1")[0].public_key, keys("ks2")[0].public_key);
    network.kill("ks1");
    network.run_s(10);
    assert_eq!(
        role(&network, "ks2"),
        Role::Primary,
        "{}",
        network.transcript
    );
}

/// Members that registered with a key server are known to the others from it; whoever lost its disk
/// hears of its own members from them, also when those were started again meanwhile.
#[test]
fn a_key_server_without_its_disk_hears_of_all_members_again() {
    let mut network = group(14, 2, 4, 600, 10);
    network.run_s(20);
    for dies in ["ks2", "ks1"] {
        network.kill(dies);
        network.run_s(10);
        if dies == "ks1" {
            let at = network.at(dies);
            network.nodes[at].disk.clear();
        }
        network.start(dies);
        network.run_s(30);
        assert_eq!(network.ks(dies).members.len(), 4, "{dies}");
    }
}

#[test]
fn with_no_key_sync_a_missing_key_stays_missing() {
    let mut network = group(8, 2, 0, 600, 10);
    network.run_s(10);
    network.reconfigure("ks2", |own| own.key_sync = false);
    network.kill("ks2");
    let at = network.at("ks2");
    network.nodes[at].disk.clear();
    network.start("ks2");
    network.run_s(30);
    assert!(
        network.node("ks2").has_event("COOP_REKEY_KEY_MISMATCH"),
        "{}",
        network.transcript
    );
    let keys = network.node("ks2").machine.as_ref().unwrap().key_pairs();
    assert!(keys.is_empty());
}

#[test]
fn each_field_that_differs_is_named_on_both_sides() {
    type Change = fn(&mut config::KeyServer);
    let changes: [(&str, Change); 8] = [
        ("rekey sig-hash", |own| own.sig_hash = SigHash::Sha512),
        ("rekey lifetime", |own| own.kek_lifetime_s += 600),
        ("rekey retransmit", |own| own.retransmit_number = 5),
        ("transform set", |own| own.sas[0].transform = cbc_256()),
        ("TEK lifetime", |own| own.sas[0].lifetime_s -= 60),
        ("access list", |own| {
            own.sas[0].acl = Arc::new(Acl {
                name: "ENCPOL".into(),
                entries: vec![policy::Ace::PERMIT_IP_ANY_ANY],
            });
        }),
        ("replay method", |own| own.sas[0].tbar_window_s = Some(5)),
        ("key look-ahead", |own| own.look_ahead = 1),
    ];
    for (field, change) in changes {
        let mut network = group(9, 2, 1, 600, 0);
        network.run_s(20);
        network.reconfigure("ks2", change);
        network.run_s(30);
        for name in ["ks1", "ks2"] {
            let peer = &network.ks(name).coop.unwrap().peers[0];
            let fields: Vec<&str> = peer.differences.iter().map(|one| one.field).collect();
            assert_eq!(fields, [field], "{name}\n{}", network.transcript);
            let named = format!("WARNNING {field} configuration");
            let said = |line: &&String| line.contains(&named);
            assert_eq!(
                network.node(name).events.iter().filter(said).count(),
                1,
                "{field} {name}"
            );
        }
        network.assert_understood();
    }
}

#[test]
fn another_list_of_key_servers_shares_nothing() {
    let mut network = group(10, 2, 0, 600, 0);
    network.reconfigure("ks2", |own| own.servers.push(KS3));
    network.run_s(60);
    let peer = &network.ks("ks1").coop.unwrap().peers[0];
    assert_eq!(peer.differences[0].field, "key server list");
    assert_ne!(network.ks("ks1").keks[0].spi, network.ks("ks2").keks[0].spi);
}

#[test]
fn a_restarted_key_server_uses_no_number_again() {
    let mut network = group(11, 2, 3, 60, 10);
    network.run_s(60);
    for round in 0..6 {
        let dies = if round % 2 == 0 { "ks1" } else { "ks2" };
        network.kill(dies);
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        network.start(dies);
        network.watch(Duration::from_secs(40), TICK, Network::assert_understood);
        primary(&network, &["ks1", "ks2"]);
    }
    network.assert_sids_unique();
    for n in 1..=3 {
        let node = network.node(&format!("gm{n}"));
        assert_eq!(
            node.count("GDOI_REKEY_SEQ_FAILURE"),
            0,
            "{}",
            network.transcript
        );
    }
}

#[test]
fn a_state_that_was_rolled_back_is_noticed_and_its_marks_are_taken() {
    let mut network = group(12, 2, 1, 600, 10);
    network.run_s(20);
    let old = network.node("ks2").disk.clone();
    for n in 2..=40 {
        let mut own = member(n);
        own.servers = vec![KS2];
        own.workers = 60;
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![own],
        };
        network.add(&format!("gm{n}"), gm(n), config);
    }
    network.run_s(60);
    network.kill("ks2");
    network.node_mut("ks2").disk = old;
    network.start("ks2");
    network.run_s(30);
    assert!(
        network.node("ks2").has_event("KS_STATE_ROLLBACK"),
        "{}",
        network.transcript
    );
    network.command("gm2", Command::ClearGdoi { group: Some(g1()) });
    network.run_s(30);
    network.assert_sids_unique();
}

#[test]
fn clearing_the_role_elects_anew_and_loses_nothing() {
    let mut network = group(13, 2, 3, 60, 10);
    network.run_s(60);
    network.command("ks1", Command::ClearCoopRole { group: None });
    network.watch(Duration::from_secs(120), TICK, Network::assert_understood);
    primary(&network, &["ks1", "ks2"]);
    network.command("ks1", Command::ClearCoopCounters { group: None });
    let peer = &network.ks("ks1").coop.unwrap().peers[0];
    assert_eq!(peer.counters, crate::ks::PeerCounters::default());
}

#[test]
fn no_datagram_is_longer_than_the_path_allows() {
    let mut network = group(14, 2, 60, 600, 0);
    network.run_s(120);
    let longest = network.log.iter().map(|packet| packet.bytes.len()).max();
    assert!(longest <= Some(1_280), "{longest:?}");
    assert_eq!(network.ks("ks2").members.len(), 60);
    assert_eq!(network.ks("ks2").transport, RekeyTransport::Unicast);
}

/// Random deaths, cuts and losses, none longer than the look-ahead: nothing that a member sends is
/// ever not understood, no identifier is given twice, and in the end one key server leads.
fn an_hour_of_faults(seed: u64) {
    let mut network = group(seed, 3, 4, 60, 10);
    let mut dice = crypto::SeededRng::from_number(seed ^ 0x5EED);
    let mut roll = |bound: u64| crate::rekey_sa::random_below(&mut dice, bound);
    network.run_s(60);
    let until = network.now + Duration::from_secs(3_600);
    while network.now < until {
        let victim = usize::try_from(roll(3)).unwrap();
        let (name, address, _) = ALL[victim];
        let span = Duration::from_millis(500 + roll(100_000));
        match roll(4) {
            0 => {
                network.kill(name);
                network.watch(span, TICK, Network::assert_understood);
                network.start(name);
            }
            1 => {
                split(&mut network, address, &[KS, KS2, KS3]);
                network.watch(span, TICK, Network::assert_understood);
                heal(&mut network);
            }
            2 => {
                let (_, other, _) = ALL[(victim + 1) % 3];
                let ends = [address, other];
                network.fate = Box::new(move |packet, _| {
                    let way = [*packet.from.ip(), *packet.to.ip()];
                    if way == ends {
                        Fate::Lose
                    } else {
                        Fate::Deliver
                    }
                });
                network.watch(span, TICK, Network::assert_understood);
                heal(&mut network);
            }
            _ => network.command(name, Command::Rekey { group: None }),
        }
        let calm = Duration::from_secs(5 + roll(120));
        network.watch(calm, TICK, Network::assert_understood);
    }
    network.watch(Duration::from_secs(180), TICK, Network::assert_understood);
    primary(&network, &["ks1", "ks2", "ks3"]);
    network.assert_sids_unique();
    let first = network.ks("ks1").keks[0].spi;
    for name in ["ks2", "ks3"] {
        assert_eq!(network.ks(name).keks[0].spi, first, "{name}");
        assert!(network.ks(name).coop.unwrap().complete, "{name}");
    }
}

#[test]
fn hours_of_faults_lose_nothing() {
    for seed in 0..3 {
        an_hour_of_faults(seed);
    }
}

#[test]
fn who_has_no_rekey_key_is_not_waited_for_whatever_its_priority() {
    let mut network = Network::new(15);
    for (name, address, priority) in [("ks1", KS, 1), ("ks2", KS2, 200)] {
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: vec![cooperating(address, priority, &[KS, KS2], 600)],
            members: Vec::new(),
        };
        network.add(name, address, config);
    }
    network.command("ks1", generate_rsa());
    network.run_s(15);
    assert_eq!(
        role(&network, "ks1"),
        Role::Primary,
        "{}",
        network.transcript
    );
    assert_eq!(role(&network, "ks2"), Role::Secondary);
    assert!(network.node("ks2").has_event("COOP_REKEY_KEY_ADOPTED"));
}

/// A member lost every copy of a rekey, and when its timer tells it so the key server where it
/// registered is not there: it asks the next one while what it holds lasts.
#[test]
fn who_hears_nothing_from_its_key_server_asks_the_next_one_at_once() {
    for (seed, gone) in (1..=4).flat_map(|seed| [(seed, KS), (seed, KS2)]) {
        let mut network = group(seed, 2, 2, 200, 10);
        network.run_s(30);
        network.fate = Box::new(move |packet, _| {
            let ends = [*packet.from.ip(), *packet.to.ip()];
            let cut = ends.contains(&gm(2)) && (packet.exchange() == 33 || ends.contains(&gone));
            if cut { Fate::Lose } else { Fate::Deliver }
        });
        network.watch(Duration::from_secs(600), TICK, Network::assert_understood);
        let registrations = network.node("gm2").count("GM_REGS_COMPL");
        assert!(registrations > 1, "{}", network.transcript);
    }
}

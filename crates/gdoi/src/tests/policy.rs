//! Policies: changes, the member's own denies, large ones, members that are behind.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use policy::{Ace, Acl, Action, AddressMatch, PortMatch};

use super::network::{Fate, Network, encpol, key_server};

const TICK: Duration = Duration::from_millis(250);

fn deny_host(n: u32) -> Ace {
    Ace {
        action: Action::Deny,
        source: AddressMatch::host(Ipv4Addr::from_bits(0x0A00_0000 + n)),
        destination_port: PortMatch::Any,
        ..Ace::PERMIT_IP_ANY_ANY
    }
}

fn changed(entries: u32) -> Arc<Acl> {
    let mut acl = encpol();
    let permit = acl.entries.pop().expect("it ends with a permit");
    acl.entries.extend((0..entries).map(deny_host));
    acl.entries.push(permit);
    Arc::new(acl)
}

#[test]
fn a_new_access_list_reaches_all_members_with_a_time_from_which_it_holds() {
    let mut network = Network::of(1, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    let acl = changed(2);
    network.reconfigure("ks1", |config| config.sas[0].acl = Arc::clone(&acl));
    network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
    let mut activations = Vec::new();
    for name in ["gm1", "gm2", "gm3"] {
        let plane = network.node(name).plane();
        assert_eq!(plane.acl.as_ref().unwrap().entries, acl.entries);
        let from = plane.policy_from.expect("it has a time");
        assert!(
            from > plane.clock.unwrap().at(network.now),
            "it is still to come"
        );
        activations.push(from);
    }
    assert!(activations.iter().all(|from| *from == activations[0]));
    let view = network.ks("ks1");
    assert_eq!(
        view.teks[0].activates_in,
        activations[0].since(view.pseudotime)
    );
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(
        network.ks("ks1").policy_name,
        network.gm(1).policy_name.unwrap()
    );
    assert!(network.node("gm1").has_event("POLICY_STALE"));
    assert_eq!(
        network.gm(1).registrations_succeeded,
        1,
        "nobody registered again"
    );
}

#[test]
fn a_policy_of_hundreds_of_lines_is_fetched_in_pieces() {
    let mut config = key_server(3_600, 7_200);
    config.sas[0].acl = changed(900);
    let mut network = Network::of(2, &config, 2);
    network.run_s(20);
    assert_eq!(network.registered(), 2, "{}", network.transcript);
    let acl = network.node("gm1").plane().acl.clone().unwrap();
    assert_eq!(acl.entries, config.sas[0].acl.entries);
    assert!(network.log.iter().all(|packet| packet.bytes.len() <= 1_280));
    network.reconfigure("ks1", |config| config.sas[0].acl = changed(901));
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    let acl = network.node("gm2").plane().acl.clone().unwrap();
    assert_eq!(acl.entries.len(), 903);
    assert!(network.log.iter().all(|packet| packet.bytes.len() <= 1_280));
}

#[test]
fn the_members_own_denies_come_first() {
    let mut network = Network::of(3, &key_server(3_600, 7_200), 1);
    let mut config = (*network.node("gm1").config).clone();
    let own = Acl {
        name: "LOCAL".into(),
        entries: vec![deny_host(77)],
    };
    config.members[0].local_acl = Some(Arc::new(own));
    network.configure("gm1", config);
    network.run_s(5);
    let acl = network.node("gm1").plane().acl.clone().unwrap();
    assert_eq!(acl.entries[0], deny_host(77));
    assert_eq!(acl.entries[1..], encpol().entries);
    assert_eq!(
        network.gm(1).downloaded_acl.unwrap().entries,
        encpol().entries
    );
}

#[test]
fn a_member_that_cannot_fetch_runs_on_under_its_old_policy_and_the_key_server_shows_it() {
    let mut network = Network::of(4, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    network.fate = Box::new(|packet, _| {
        if packet.exchange() == 242 && *packet.from.ip() == super::network::gm(1) {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    network.reconfigure("ks1", |config| config.sas[0].acl = changed(1));
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert!(network.gm(1).policy_stale && !network.gm(2).policy_stale);
    assert!(network.ks("ks1").members[0].policy_behind);
    let acl = network.node("gm1").plane().acl.clone().unwrap();
    assert_eq!(acl.entries, encpol().entries);
    network.fate = Box::new(|_, _| Fate::Deliver);
    network.run_s(30);
    assert!(!network.gm(1).policy_stale, "{}", network.transcript);
}

#[test]
fn a_lifetime_acts_on_the_next_key_and_the_operator_is_told_how_to_hurry() {
    let mut network = Network::of(5, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    network.reconfigure("ks1", |config| config.sas[0].lifetime_s = 1_800);
    network.run_s(10);
    assert!(network.node("ks1").has_event("POLICY_CHANGE"));
    let view = network.ks("ks1");
    assert_eq!((view.teks.len(), view.teks[0].orig_lifetime_s), (1, 3_600));
    network.watch(Duration::from_secs(3_700), TICK, Network::assert_understood);
    assert_eq!(network.ks("ks1").teks[0].orig_lifetime_s, 1_800);
}

#[test]
fn members_that_need_sids_for_a_new_transform_fetch_them_before_it_is_sent_on() {
    let mut config = key_server(3_600, 7_200);
    config.sas[0].transform = super::network::cbc();
    let mut network = Network::of(6, &config, 3);
    network.run_s(5);
    assert!(network.node("gm1").plane().sids.is_empty());
    network.reconfigure("ks1", |config| {
        config.sas[0].transform = super::network::gcm()
    });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    for name in ["gm1", "gm2", "gm3"] {
        let plane = network.node(name).plane();
        assert_eq!(plane.sids.len(), 1);
        let spi = plane.outbound(network.now).unwrap();
        assert_eq!(plane.sas[&spi].0.transform, super::network::gcm());
    }
    network.assert_sids_unique();
}

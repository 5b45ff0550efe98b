//! `crypto call admission limit ike`: a storm is spread, and nobody is lost over it.

use std::time::Duration;

use super::network::{KS, KS2, Network, gm, isakmp, key_server, member};
use crate::config::Config;
use crate::ike::{AdmissionLimits, RefusalCounter};

const TICK: Duration = Duration::from_millis(250);

/// A key server with these limits, and members that all come at once.
fn limited(seed: u64, members: u8, limits: AdmissionLimits) -> Network {
    let mut network = Network::new(seed);
    network.add_key_server("ks1", key_server(3_600, 7_200));
    limit(&mut network, limits);
    for n in 1..=members {
        network.add_member(n);
    }
    network
}

fn limit(network: &mut Network, limits: AdmissionLimits) {
    let mut config = (*network.node("ks1").config).clone();
    config.isakmp.admission = limits;
    network.configure("ks1", config);
}

fn refused(network: &Network, counter: RefusalCounter) -> u64 {
    let machine = network.node("ks1").machine.as_ref();
    machine.unwrap().isakmp_view().counters.refused(counter)
}

#[test]
fn members_that_come_at_once_are_served_one_after_the_other() {
    let limits = AdmissionLimits {
        negotiations: Some(1),
        ..AdmissionLimits::default()
    };
    let mut network = limited(1, 12, limits);
    network.run_s(60);
    assert_eq!(network.registered(), 12, "{}", network.transcript);
    assert!(refused(&network, RefusalCounter::NegotiationLimit) > 0);
    assert!(network.node("ks1").has_event("IKMP_BUSY"));
    let view = network.node("ks1").machine.as_ref().unwrap().isakmp_view();
    let counts = &view.admission.counts;
    assert!(counts.incoming >= counts.incoming_accepted && counts.incoming_accepted >= 12);
    assert_eq!((view.admission.active, view.admission.negotiating), (12, 0));
    network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
}

#[test]
fn a_member_too_many_goes_to_the_next_key_server() {
    let limits = AdmissionLimits {
        sas: Some(2),
        ..AdmissionLimits::default()
    };
    let mut network = limited(2, 2, limits);
    network.run_s(10);
    assert_eq!(network.registered(), 2);
    let mut other = key_server(3_600, 7_200);
    (other.address, other.servers) = (KS2, vec![KS2]);
    network.add_key_server("ks2", other);
    let mut third = member(3);
    third.servers = vec![KS, KS2];
    let config = Config {
        isakmp: isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![third],
    };
    network.add("gm3", gm(3), config);
    network.run_s(120);
    let server = network.gm(3).server.map(|server| *server.ip());
    assert_eq!(
        (network.registered(), server),
        (3, Some(KS2)),
        "{}",
        network.transcript
    );
    assert!(refused(&network, RefusalCounter::SaLimit) > 0);
    // Who has an SA is not one more: a member that begins anew is served.
    network.command("gm1", crate::machine::Command::ClearGdoi { group: None });
    network.run_s(20);
    assert_eq!(network.gm(1).server.map(|server| *server.ip()), Some(KS));
    assert_eq!(network.registered(), 3, "{}", network.transcript);
}

#[test]
fn who_is_always_admitted_is_admitted_at_any_limit() {
    let limits = AdmissionLimits {
        sas: Some(0),
        negotiations: Some(0),
        always: vec![gm(1)],
    };
    let mut network = limited(3, 2, limits);
    network.run_s(30);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
    limit(&mut network, AdmissionLimits::default());
    network.run_s(300);
    assert_eq!(network.registered(), 2, "{}", network.transcript);
}

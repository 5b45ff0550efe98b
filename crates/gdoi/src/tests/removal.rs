//! Members are taken out: the others lose nothing, and who was removed opens nothing any more.

use std::time::Duration;

use super::network::{Network, g1, gm, key_server};
use crate::machine::Command;

const TICK: Duration = Duration::from_millis(100);

fn clear(member: Option<u8>, now: bool) -> Command {
    Command::ClearMembers {
        group: Some(g1()),
        member: member.map(gm),
        now,
    }
}

fn outbound(network: &Network, n: u8) -> Option<policy::Spi> {
    network
        .node(&format!("gm{n}"))
        .planes
        .values()
        .find_map(|plane| plane.outbound(network.now))
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
    assert_ne!(
        outbound(&network, 1),
        Some(before),
        "{}",
        network.transcript
    );
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

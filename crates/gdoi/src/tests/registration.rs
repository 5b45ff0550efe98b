//! Registration: the ladder, the events, what members then hold.

use std::time::Duration;

use super::network::{Network, g1, gcm, key_server};

#[test]
fn a_registration_is_this_ladder() {
    let mut network = Network::of(1, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    insta::assert_snapshot!(network.transcript);
}

#[test]
fn members_hold_what_the_key_server_says() {
    let mut network = Network::of(2, &key_server(3_600, 7_200), 3);
    network.run_s(5);
    assert_eq!(network.registered(), 3, "{}", network.transcript);
    network.assert_understood();
    network.assert_keys_agree("ks1");
    network.assert_sids_unique();
    let view = network.ks("ks1");
    assert_eq!(view.members.len(), 3);
    assert_eq!(view.teks.len(), 1);
    assert_eq!(view.teks[0].transform, gcm());
    assert_eq!(
        view.teks[0].elapsed + view.teks[0].remaining,
        view.teks[0].life
    );
    let member = network.gm(1);
    assert_eq!(member.keks.current.unwrap().spi, view.keks[0].spi);
    assert_eq!(network.node("gm1").plane().sids.len(), 1);
    let clock = network.node("gm1").plane().clock.unwrap();
    let apart = view.pseudotime.since(clock.at(network.now));
    assert!(apart < Duration::from_millis(60), "{apart:?}");
}

#[test]
fn the_events_of_a_registration_come_in_the_order_of_the_guide() {
    let mut network = Network::of(3, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    let mnemonics = network.node("gm1").mnemonics();
    let from = mnemonics.iter().position(|m| *m == "GM_REKEY_TRANS_2_UNI");
    assert_eq!(
        &mnemonics[from.expect("it is registered")..],
        [
            "GM_REKEY_TRANS_2_UNI",
            "SA_KEK_UPDATED",
            "SA_TEK_UPDATED",
            "GM_REGS_COMPL",
            "GM_INSTALL_POLICIES_SUCCESS"
        ]
    );
    assert!(network.node("gm1").has_event("GM_REGSTER"));
    assert!(network.node("gm1").planes.contains_key(&g1()));
}

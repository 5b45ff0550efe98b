//! What is said of a change before it is made is what the key server then does, field by field.

use std::net::Ipv4Addr;
use std::sync::Arc;

use policy::{GroupSize, KekCipher, RekeyTransport, SigHash};

use super::multicast::GROUP;
use super::network::{Network, cbc, encpol, key_server};
use crate::config::KeyServer;
use crate::ks::preview::{Change, Effect, preview};

type Edit = fn(&mut KeyServer);

/// The rows of the policy change table, and every other field that can change at run time.
const ROWS: [(&str, Edit, Option<Effect>); 17] = [
    (
        "transform set",
        |own| own.sas[0].transform = cbc(),
        Some(Effect::NewTeks),
    ),
    (
        "access list",
        |own| drop_last_line(own),
        Some(Effect::NewTeks),
    ),
    (
        "lifetime of traffic keys",
        |own| own.sas[0].lifetime_s = 1_800,
        Some(Effect::NextRekey),
    ),
    (
        "rekey lifetime",
        |own| own.kek_lifetime_s = 14_400,
        Some(Effect::NextRekey),
    ),
    (
        "rekey algorithm",
        |own| own.kek_cipher = KekCipher::Aes128,
        Some(Effect::NewKek),
    ),
    (
        "rekey sig-hash algorithm",
        |own| own.sig_hash = SigHash::Sha512,
        Some(Effect::NewKek),
    ),
    (
        "rekey transport",
        |own| by_multicast(own),
        Some(Effect::NewKek),
    ),
    (
        "rekey sig-hash raw-hash",
        |own| own.raw_hash = true,
        Some(Effect::NextRekey),
    ),
    (
        "rekey retransmit",
        |own| own.retransmit_number = 1,
        Some(Effect::FromNowOn),
    ),
    (
        "rekey multicast ttl",
        |own| own.multicast.ttl = 3,
        Some(Effect::FromNowOn),
    ),
    (
        "authorization",
        |own| own.authorization = Some(Arc::new(encpol())),
        Some(Effect::FromNowOn),
    ),
    (
        "client compatibility",
        |own| own.rfc6407_drops_denies ^= true,
        Some(Effect::FromNowOn),
    ),
    (
        "group size",
        |own| own.size = GroupSize::Small12,
        Some(Effect::FromNowOn),
    ),
    (
        "key look-ahead",
        |own| own.look_ahead = 3,
        Some(Effect::FromNowOn),
    ),
    (
        "local priority",
        |own| own.priority = 77,
        Some(Effect::FromNowOn),
    ),
    // The name of a profile is in no key: what it stands for is.
    ("profile", |own| own.sas[0].profile = "other".into(), None),
    ("nothing", |_| {}, None),
];

fn drop_last_line(own: &mut KeyServer) {
    let mut acl = encpol();
    acl.entries.remove(0);
    own.sas[0].acl = Arc::new(acl);
}

fn by_multicast(own: &mut KeyServer) {
    own.transport = RekeyTransport::Multicast;
    own.multicast.address = Some(GROUP);
}

#[test]
fn every_change_does_what_was_said_of_it() {
    for (what, edit, effect) in ROWS {
        let before = key_server(3_600, 7_200);
        let mut after = before.clone();
        edit(&mut after);
        let expected: Vec<Change> = effect
            .clone()
            .map(|effect| Change { what, effect })
            .into_iter()
            .collect();
        assert_eq!(preview(&before, &after), Ok(expected), "{what}");

        let mut network = Network::of(1, &before, 2);
        network.run_s(5);
        let old = network.ks("ks1");
        network.reconfigure("ks1", edit);
        network.run_s(5);
        let new = network.ks("ks1");
        let new_teks = new
            .teks
            .iter()
            .filter(|tek| old.teks.iter().all(|own| own.spi != tek.spi));
        let has_new_teks = new_teks.count() > 0;
        let has_new_kek = new.keks[0].spi != old.keks[0].spi;
        let expects = |wanted: Effect| effect == Some(wanted);
        assert_eq!(
            has_new_teks,
            expects(Effect::NewTeks),
            "{what}: traffic keys"
        );
        assert_eq!(has_new_kek, expects(Effect::NewKek), "{what}: rekey key");
        let sent = new.rekeys_sent > old.rekeys_sent;
        assert_eq!(sent, has_new_teks || has_new_kek, "{what}: a rekey left");
        network.run_s(60);
        network.assert_understood();
    }
}

#[test]
fn a_change_of_the_key_servers_replaces_the_traffic_keys() {
    let before = key_server(3_600, 7_200);
    let mut after = before.clone();
    after.servers.push(Ipv4Addr::new(10, 1, 12, 2));
    let said = preview(&before, &after).unwrap();
    assert_eq!(said.len(), 1);
    assert_eq!(
        (said[0].what, &said[0].effect),
        ("list of key servers", &Effect::NewTeks)
    );
}

#[test]
fn a_change_that_stops_the_group_says_why() {
    let before = key_server(3_600, 7_200);
    let mut after = before.clone();
    after.kek_lifetime_s = 3_600;
    let said = preview(&before, &after).unwrap_err();
    assert!(said.contains("less than twice"), "{said}");
    // And back: what keys it gets are its first, or those that it had.
    assert_eq!(preview(&after, &before), Ok(Vec::new()));
}

//! Key servers of a group whose configurations differ: each field has a name (mission rows 21, 57).

use std::sync::Arc;

use policy::{Acl, GroupSize, KekCipher, RekeyTransport, SigHash};

use super::coop::group;
use super::multicast::switch;
use super::network::cbc_256;
use crate::config::{Acknowledgement, KeyServer};

type Change = fn(&mut KeyServer);

const CHANGES: [(&str, Change); 18] = [
    ("rekey transport", |own| {
        own.multicast.plain_by_unicast = true
    }),
    ("rekey algorithm", |own| own.kek_cipher = KekCipher::Aes128),
    ("rekey sig-hash", |own| own.sig_hash = SigHash::Sha512),
    ("rekey lifetime", |own| own.kek_lifetime_s = 7_777),
    ("rekey retransmit", |own| own.retransmit_number = 7),
    ("transform set", |own| own.sas[0].transform = cbc_256()),
    ("TEK lifetime", |own| own.sas[0].lifetime_s = 777),
    ("access list", |own| {
        let mut acl = Acl::clone(&own.sas[0].acl);
        acl.entries.pop();
        own.sas[0].acl = Arc::new(acl);
    }),
    ("replay method", |own| own.sas[0].tbar_window_s = Some(7)),
    ("group size", |own| own.size = GroupSize::Small16),
    ("authorization", |own| {
        own.authorization = Some(Arc::clone(&own.sas[0].acl));
    }),
    ("key look-ahead", |own| own.look_ahead = 3),
    ("rekey address", |own| {
        switch(own, RekeyTransport::Multicast)
    }),
    ("rekey acknowledgement", |own| {
        switch(own, RekeyTransport::Multicast);
        own.multicast.acknowledgement = Acknowledgement::Any;
    }),
    ("rekey multicast ttl", |own| own.multicast.ttl = 7),
    ("rekey retransmit periodic", |own| own.reminder_s = Some(77)),
    ("client compatibility rfc6407", |own| {
        own.rfc6407_drops_denies = true;
    }),
    ("client compatibility rfc3547", |own| {
        own.rfc3547 = Some(Arc::clone(&own.sas[0].acl));
    }),
];

#[test]
fn each_field_that_differs_is_named_on_both_sides() {
    for (field, change) in CHANGES {
        let mut network = group(1, 2, 0, 3_600, 10);
        network.run_s(30);
        network.reconfigure("ks2", change);
        network.run_s(40);
        for name in ["ks1", "ks2"] {
            let coop = network.ks(name).coop.expect("it has a peer");
            let named = |one: &crate::ks::Difference| one.field == field;
            let differs = coop.peers[0].differences.iter().any(named);
            assert!(differs, "{name}: {field}\n{}", network.transcript);
            assert!(
                network.node(name).has_event("COOP_CONFIG_MISMATCH"),
                "{name}: {field}"
            );
        }
    }
}

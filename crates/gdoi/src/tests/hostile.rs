//! What liars reach: vendor ids altered on the way, forged and replayed rekeys, forged
//! acknowledgements, strangers, and a key server that lies.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crypto::fixture::not_secret_rsa_2048;
use crypto::key_pair::PrivateKey;
use policy::{Ace, Acl, AddressMatch, GroupId, PeerKind, Tek, Time};
use wire::gdoi::Seq;
use wire::iana::{AckType, PayloadType};
use wire::isakmp::{Builder, Chain, Header, VendorId};

use super::network::{Fate, KS, Network, Packet, g1, generate_rsa, gm, key_server, member, socket};
use super::plane::DataPlane;
use crate::group_sa::{Grant, Offer, TekGrant, TekOffer};
use crate::ks::{Kek, TekRecord};
use crate::machine::Command;
use crate::private::GroupStamp;
use crate::push::{Encoding, seal};
use crate::{ack, gm::View};

const TICK: Duration = Duration::from_millis(500);

// ---------------------------------------------------------------- vendor ids (PROTOCOL P2)

/// Main mode messages 1 and 2, which carry vendor ids in clear, with other vendor ids.
fn with_vendor_ids(packet: &Packet, change: &dyn Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let (header, payloads) = Header::split(&packet.bytes).unwrap();
    let chain = Chain::decode_exact(header.next_payload, payloads).unwrap();
    let mut ids: Vec<Vec<u8>> = chain
        .all(PayloadType::VENDOR_ID)
        .map(|raw| raw.body.to_vec())
        .collect();
    let mut builder = Builder::new();
    for raw in &chain.payloads {
        if raw.ty != PayloadType::VENDOR_ID {
            builder.push_raw(raw.ty, raw.body);
        }
    }
    change(&mut ids);
    for id in &ids {
        builder.push(&VendorId { data: id });
    }
    builder.finish().unwrap().into_message(header)
}

fn network_with_proxy(change: fn(&mut Vec<Vec<u8>>), from: Ipv4Addr) -> Network {
    let mut network = Network::new(3);
    network.fate = Box::new(move |packet, _| {
        if packet.exchange() == 2 && *packet.from.ip() == from {
            let (header, payloads) = Header::split(&packet.bytes).unwrap();
            let clear = Chain::decode_exact(header.next_payload, payloads);
            if clear.is_ok_and(|chain| chain.find(PayloadType::VENDOR_ID).is_some()) {
                return Fate::Altered(with_vendor_ids(packet, &change));
            }
        }
        Fate::Deliver
    });
    network.add_key_server("ks1", key_server(600, 1_200));
    network.add_member(1);
    network.run_s(8);
    network
}

#[test]
fn vendor_ids_that_are_stripped_altered_or_added_on_the_way_are_found_out_and_refused() {
    let changes: [fn(&mut Vec<Vec<u8>>); 4] = [
        Vec::clear,
        |ids| ids[0][3] ^= 1,
        |ids| ids.push(b"something more".to_vec()),
        |ids| ids.reverse(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        for from in [gm(1), KS] {
            let network = network_with_proxy(change, from);
            assert_eq!(
                network.registered(),
                0,
                "{at} {from}\n{}",
                network.transcript
            );
            let downgraded =
                ["ks1", "gm1"].map(|name| network.node(name).has_event("GDOI_DOWNGRADE"));
            assert!(
                downgraded.contains(&true),
                "{at} {from}\n{}",
                network.transcript
            );
            assert!(network.ks("ks1").members.is_empty());
        }
    }
}

/// Whoever alters vendor ids keeps a member out for as long as it is there, and a minute more at most:
/// it is no key server that says that the member may not join.
#[test]
fn a_member_is_back_a_minute_after_who_altered_its_vendor_ids_is_gone() {
    for from in [gm(1), KS] {
        let mut network = network_with_proxy(Vec::clear, from);
        network.run_s(1_200);
        assert_eq!(network.registered(), 0);
        network.fate = Box::new(|_, _| Fate::Deliver);
        network.run_s(70);
        assert_eq!(network.registered(), 1, "{from}");
    }
}

#[test]
fn a_proxy_that_changes_nothing_is_not_noticed() {
    let network = network_with_proxy(|_| {}, gm(1));
    assert_eq!(network.registered(), 1, "{}", network.transcript);
}

// ---------------------------------------------------------------- forged and replayed rekeys

/// What an insider, or a thief of the key server's disk, knows.
pub(super) struct Stolen {
    pub(super) kek: Kek,
    pub(super) tek: TekRecord,
    ack_base: crypto::Secret,
}

pub(super) fn stolen(network: &Network) -> Stolen {
    let mut restored = network.restored("ks1");
    let (row, members) = restored.groups.remove(&g1()).expect("the group is there");
    let member = members.find(gm(1)).expect("the member is there");
    Stolen {
        kek: row
            .keys
            .kek(PeerKind::Ours)
            .expect("there is a KEK")
            .clone(),
        tek: row.keys.teks.last().expect("there is a TEK").clone(),
        ack_base: member.ack_base.clone(),
    }
}

/// The key server's own key.
fn forger() -> PrivateKey {
    PrivateKey::Rsa(not_secret_rsa_2048())
}

/// A PUSH that says `tek` again, as whoever holds the KEK can make it.
pub(super) fn push(stolen: &Stolen, seq: u32, tek: &Tek, key: &PrivateKey) -> Packet {
    let offer = Offer {
        stamp: Some(GroupStamp {
            pseudotime: tek.activation,
            clock_generation: ::policy::ClockGeneration::default(),
            stamped_by: tek.minted_by,
            generation: tek.generation,
        }),
        teks: vec![TekOffer {
            spi: tek.spi,
            transform: tek.transform,
            lifetime_s: 600,
        }],
        ..Offer::default()
    };
    let grant = Grant {
        teks: vec![TekGrant {
            tek,
            activation: tek.activation,
            key: &stolen.tek.key,
        }],
        ..Grant::default()
    };
    let mut builder = Builder::new();
    builder.push(&Seq(seq));
    builder.push(&offer.to_wire(PeerKind::Ours).unwrap());
    grant
        .with_wire(PeerKind::Ours, |kd| builder.push(kd))
        .unwrap();
    let encoding = Encoding::of(stolen.kek.sa.signature, false);
    let bytes = seal(&stolen.kek.sa, key, encoding, builder);
    Packet {
        from: socket(KS),
        to: socket(gm(1)),
        bytes: bytes.expect("it fits"),
    }
}

/// Another key than the group's: the published one with another modulus is not at hand, so a
/// signature of it over something else stands for one by another key.
fn with_a_wrong_signature(mut packet: Packet, stolen: &Stolen) -> Packet {
    let cipher = stolen.kek.sa.cbc().unwrap();
    let iv = stolen.kek.sa.iv.expose();
    let octets = &mut packet.bytes[28..];
    cipher.decrypt(iv, octets).unwrap();
    // Inside the signature, which is last but for the padding.
    let at = octets.len() - 100;
    octets[at] ^= 0x10;
    cipher.encrypt(iv, octets).unwrap();
    packet
}

/// What must not change when a rekey is refused.
fn state(view: &View, plane: &DataPlane, now: Time) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        view.keks.clone().current.map(|kek| (kek.spi, kek.seq)),
        view.rekeys_received,
        view.acks_sent,
        view.policy_name.clone(),
        plane.sas.keys().copied().collect::<Vec<_>>(),
        plane.outbound(now),
    )
}

fn state_of(network: &Network) -> impl PartialEq + std::fmt::Debug + use<> {
    let plane = network.node("gm1").plane();
    state(&network.gm(1), plane, network.now)
}

fn settled() -> Network {
    let mut network = Network::of(4, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    for _ in 0..11 {
        network.command("ks1", Command::Rekey { group: None });
        network.run_s(3);
    }
    network.run_s(60);
    network
}

#[test]
fn a_sequence_number_that_is_not_above_the_last_raises_the_three_messages_of_the_guide() {
    let mut network = settled();
    let stolen = stolen(&network);
    let before = state_of(&network);
    network.node_mut("gm1").events.clear();
    network.transmit(push(&stolen, 1, &stolen.tek.tek, &forger()));
    network.run_s(1);
    assert_eq!(
        network.node("gm1").events,
        [
            "%GDOI-3-GDOI_REKEY_SEQ_FAILURE: Failed to process rekey seq # 1 in seq payload for \
             group G1, last seq # 11",
            "%GDOI-3-GDOI_REKEY_FAILURE: Processing of REKEY payloads failed on GM 10.1.21.2 in \
             the group G1, with peer at 10.1.11.2",
            "%CRYPTO-6-IKMP_MODE_FAILURE: Processing of GDOI mode failed with peer at 10.1.11.2",
        ]
    );
    assert_eq!(state_of(&network), before);
}

#[test]
fn a_rekey_with_a_wrong_signature_changes_nothing_not_even_the_sequence_number() {
    let mut network = settled();
    let stolen = stolen(&network);
    let before = state_of(&network);
    let forged = push(&stolen, 500, &stolen.tek.tek, &forger());
    network.transmit(with_a_wrong_signature(forged, &stolen));
    network.run_s(1);
    assert_eq!(state_of(&network), before);
    assert!(network.node("gm1").has_event("GDOI_REKEY_FAILURE"));
    assert!(network.gm(1).refusals.contains(&("rekey signature", 1)));
    // The next true rekey is accepted.
    network.command("ks1", Command::Rekey { group: None });
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    assert_eq!(network.gm(1).keks.current.unwrap().seq, 12);
}

#[test]
fn no_altered_octet_of_a_true_rekey_is_accepted() {
    let mut network = settled();
    let stolen = stolen(&network);
    let genuine = push(&stolen, 12, &stolen.tek.tek, &forger());
    let before = state_of(&network);
    for at in 0..genuine.bytes.len() {
        let mut altered = genuine.clone();
        altered.bytes[at] ^= 0x01;
        network.transmit(altered);
        network.run(Duration::from_millis(60));
        assert_eq!(state_of(&network), before, "octet {at}");
    }
    network.transmit(genuine);
    network.run_s(1);
    assert_ne!(state_of(&network), before, "the unaltered one is accepted");
}

#[test]
fn captured_rekeys_replayed_later_change_nothing() {
    let mut network = Network::of(5, &key_server(60, 120), 2);
    network.run_s(400);
    let captured: Vec<Packet> = network
        .log
        .iter()
        .filter(|packet| packet.exchange() == 33)
        .cloned()
        .collect();
    assert!(captured.len() > 10);
    // With the key server dead, nothing but the replays can change anything.
    network.kill("ks1");
    let taken = |network: &Network| network.gm(1).rekeys_received;
    network.run_s(1);
    let before = taken(&network);
    for packet in captured {
        network.transmit(packet);
        network.run(Duration::from_millis(55));
        assert_eq!(taken(&network), before);
        network.assert_understood();
    }
    network.start("ks1");
    network.watch(Duration::from_secs(200), TICK, Network::assert_understood);
    assert_eq!(network.gm(1).registrations_succeeded, 1);
}

#[test]
fn a_signed_rekey_that_lies_is_refused_by_name_and_bounded() {
    let mut network = settled();
    let stolen = stolen(&network);
    let key = forger();
    let held = network.node("gm1").plane().sas.len();
    let mut endless = stolen.tek.tek.clone();
    endless.spi.0 ^= 0xF0F0;
    endless.expiry = endless
        .activation
        .after(crate::limits::LIFETIME_MAX + Duration::from_secs(1));
    network.transmit(push(&stolen, 12, &endless, &key));
    network.run_s(1);
    assert!(network.node("gm1").has_event("GM_REJECTING_SA_PAYLOAD"));
    assert_eq!(network.node("gm1").plane().sas.len(), held);
    for n in 0..100 {
        let mut tek = stolen.tek.tek.clone();
        tek.spi.0 = 0x8000_0000 + n;
        network.transmit(push(&stolen, 100 + n, &tek, &key));
        network.run(Duration::from_millis(60));
    }
    let sas = network.node("gm1").plane().sas.len();
    assert!(sas <= crate::limits::TEKS_HELD_MAX, "{sas}");
}

// ---------------------------------------------------------------- acknowledgements

#[test]
fn no_member_can_acknowledge_for_another() {
    let mut network = Network::of(6, &key_server(3_600, 7_200), 2);
    network.run_s(5);
    network.fate = Box::new(|packet, _| {
        if packet.exchange() == 35 && *packet.from.ip() == gm(2) {
            Fate::Lose
        } else {
            Fate::Deliver
        }
    });
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(1);
    let stolen = stolen(&network);
    let spi = stolen.kek.sa.spi;
    // Member 1 knows the KEK and its own key, not that of member 2.
    for base in [&stolen.kek.sa.key, &stolen.ack_base] {
        for ty in [AckType::KEK_SHA256, AckType::GETVPN_MEMBER] {
            let bytes = ack::build(ty, base, &spi, 1, gm(2), None).unwrap();
            network.fate = Box::new(|_, _| Fate::Deliver);
            network.transmit(Packet {
                from: socket(gm(2)),
                to: socket(KS),
                bytes,
            });
            network.run(Duration::from_millis(60));
        }
    }
    let view = network.ks("ks1");
    assert_eq!(view.members[1].acks_received, 0);
    assert_eq!(view.unsolicited_acks, 4);
    assert!(network.node("ks1").has_event("KS_UNSOL_ACK"));
}

/// Sends a datagram to a node once more, ten times.
fn repeat(network: &mut Network, packet: &Packet) {
    for _ in 0..10 {
        network.transmit(packet.clone());
        network.run(Duration::from_millis(60));
    }
}

#[test]
fn copies_of_rekeys_and_acknowledgements_and_those_that_went_astray_are_counted() {
    let mut network = Network::of(8, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    network.log.clear();
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(2);
    let said = |exchange| {
        let found = network.log.iter().find(|own| own.exchange() == exchange);
        found.cloned().unwrap()
    };
    let (push, ack) = (said(33), said(35));
    let before = network.gm(1).acks_sent;
    repeat(&mut network, &push);
    let copies = network.gm(1).rekey_copies;
    // It answers again, and is heard again by the key server, at most once a second.
    let again = network.gm(1).acks_sent - before;
    assert!(again <= 1, "{again}");
    assert_eq!((copies, network.gm(1).refusals), (10, vec![]));
    assert_eq!(network.ks("ks1").repeated_acks, again);
    repeat(&mut network, &ack);
    let view = network.ks("ks1");
    assert_eq!((view.repeated_acks, view.unsolicited_acks), (again + 10, 0));
    // Each to the other side.
    repeat(
        &mut network,
        &Packet {
            from: push.to,
            to: push.from,
            ..push
        },
    );
    repeat(
        &mut network,
        &Packet {
            from: ack.to,
            to: ack.from,
            ..ack
        },
    );
    let strays = |name: &str| {
        let machine = network.node(name).machine.as_ref();
        machine.unwrap().isakmp_view().strays
    };
    assert_eq!(strays("ks1"), [("rekey for no member", 10)]);
    assert_eq!(strays("gm1"), [("unsolicited acknowledgement", 10)]);
    let told = |name: &str, event: &str| network.node(name).count(event);
    assert_eq!(told("ks1", "IKMP_BAD_MESSAGE"), 1);
    assert_eq!(told("gm1", "KS_UNSOL_ACK"), 1);
}

// ---------------------------------------------------------------- strangers

#[test]
fn who_is_not_authorized_is_refused_by_name_and_leaves_nothing_behind() {
    let mut config = key_server(600, 1_200);
    config.authorization = Some(Arc::new(Acl {
        name: "MEMBERS".into(),
        entries: vec![Ace {
            source: AddressMatch::host(gm(2)),
            ..Ace::PERMIT_IP_ANY_ANY
        }],
    }));
    let mut network = Network::of(7, &config, 2);
    network.run_s(5);
    assert_eq!(network.registered(), 1);
    assert_eq!(network.ks("ks1").members.len(), 1);
    assert!(network.node("ks1").has_event("UNAUTHORIZED_IPADDR"));
    let failure = network.gm(1).last_failure.expect("it knows why");
    assert!(failure.contains("not authorized"), "{failure}");
    let refusals = network.ks("ks1").refusals;
    assert!(
        refusals
            .iter()
            .any(|(name, count)| *name == "unauthorized address" && *count > 0)
    );
}

#[test]
fn an_unknown_group_is_refused_by_name() {
    let mut network = Network::of(8, &key_server(600, 1_200), 0);
    let mut other = member(1);
    other.id = GroupId::Number(4_444);
    let config = crate::Config {
        isakmp: super::network::isakmp(),
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![other],
    };
    network.add("gm1", gm(1), config);
    network.run_s(5);
    assert_eq!(network.registered(), 0);
    let events = &network.node("ks1").events;
    assert!(
        events
            .iter()
            .any(|line| line.contains("tried to join grp 4444")),
        "{events:?}"
    );
}

#[test]
fn without_a_rekey_key_nobody_is_served_and_each_refusal_says_so() {
    let mut network = Network::new(9);
    let config = crate::Config {
        isakmp: super::network::isakmp(),
        incomplete: Vec::new(),
        key_servers: vec![key_server(600, 1_200)],
        members: Vec::new(),
    };
    network.add("ks1", KS, config);
    assert_eq!(
        network.node("ks1").count("KS_NO_RSA_KEYS"),
        1,
        "at configuration"
    );
    network.add_member(1);
    network.run_s(20);
    assert_eq!(network.registered(), 0);
    assert!(network.node("ks1").count("KS_NO_RSA_KEYS") > 2);
    network.command("ks1", generate_rsa());
    network.run_s(90);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
}

//! Peers that speak plain RFC 6407: a member at our key server, a key server for our member. They
//! are written from the RFC's messages on top of phase 1, and know nothing of our own attributes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crypto::fixture::not_secret_rsa_2048;
use crypto::key_pair::PrivateKey;
use crypto::{Rng as _, Secret, SeededRng};
use policy::{
    Ace, Acl, AddressMatch, GroupId, GroupSize, KekCipher, KekSpi, PeerKind, PortMatch, PseudoTime,
    Sid, SigHash, Signature, Spi, Tek, Transform,
};
use wire::gdoi::Seq;
use wire::iana::{AckType, ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Delete};

use super::network::{KS, Network, Packet, cbc, encpol, gcm, gm, isakmp, key_server, socket};
use crate::ack;
use crate::config::KeyServer;
use crate::group_sa::{Grant, KekGrant, KekOffer, Offer, Received, TekGrant, TekOffer};
use crate::ike::{Connection, Expect, Isakmp, SaId, Upcall};
use crate::machine::{Command, Outbox, Output, TekKey};
use crate::pull::{Initiator, Message1, Responder};
use crate::push::{Encoding, open, seal};
use crate::rekey_sa::RekeySa;

const KIND: PeerKind = PeerKind::Rfc6407;

/// Phase 1 of a plain peer, beside the network.
pub(super) struct Plain {
    address: Ipv4Addr,
    isakmp: Isakmp,
    rng: SeededRng,
    pub(super) kind: PeerKind,
    /// How much of the network's log it has seen.
    seen: usize,
    pub(super) pushes: Vec<Packet>,
    acks: Vec<Packet>,
}

impl Plain {
    pub(super) fn new(address: Ipv4Addr, network: &Network) -> Self {
        let mut engine = Isakmp::new(false);
        engine.configure(Arc::new(isakmp()));
        Self {
            address,
            isakmp: engine,
            rng: SeededRng::from_number(u64::from(address.to_bits())),
            kind: KIND,
            seen: network.log.len(),
            pushes: Vec::new(),
            acks: Vec::new(),
        }
    }

    fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; 24];
        self.rng.fill(&mut nonce);
        nonce
    }

    fn sent(&mut self, network: &mut Network, out: &mut Outbox) {
        for output in out.drain().collect::<Vec<_>>() {
            if let Output::Transmit { local, peer, bytes } = output {
                network.transmit(Packet {
                    from: local,
                    to: peer,
                    bytes,
                });
            }
        }
    }

    /// Takes what was sent to it, and lets time pass until `done`.
    pub(super) fn until<T>(
        &mut self,
        network: &mut Network,
        mut done: impl FnMut(&mut Self, &mut Network, Upcall) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..200 {
            while self.seen < network.log.len() {
                let packet = network.log[self.seen].clone();
                self.seen += 1;
                if *packet.to.ip() != self.address {
                    continue;
                }
                let mut out = Outbox::default();
                let (now, rng) = (network.now, &mut self.rng);
                self.isakmp
                    .datagram(now, packet.to, packet.from, &packet.bytes, rng, &mut out);
                self.sent(network, &mut out);
                while let Some(upcall) = self.isakmp.upcall() {
                    if let Upcall::Plain { exchange, .. } = &upcall {
                        match *exchange {
                            ExchangeType::GROUPKEY_PUSH => self.pushes.push(packet.clone()),
                            _ => self.acks.push(packet.clone()),
                        }
                    }
                    if let Some(value) = done(self, network, upcall) {
                        return Some(value);
                    }
                }
            }
            network.run(Duration::from_millis(50));
        }
        None
    }

    pub(super) fn idle(&mut self, network: &mut Network) {
        self.until(network, |_, _, _| None::<()>);
    }

    fn send(
        &mut self,
        network: &mut Network,
        (sa, message_id): (SaId, u32),
        built: &wire::isakmp::Built,
        expect: Expect,
    ) {
        let mut out = Outbox::default();
        let message = (built.first(), built.payloads());
        self.isakmp
            .send(network.now, sa, message_id, message, expect, &mut out)
            .expect("it is this end's turn");
        self.sent(network, &mut out);
    }
}

/// What a plain member got by its PULL.
pub(super) struct Registered {
    pub(super) offer: Offer,
    pub(super) received: Received,
    seq: u32,
}

/// The payloads of a message of an exchange.
fn exchange(upcall: Upcall) -> Option<(PayloadType, zeroize::Zeroizing<Vec<u8>>)> {
    if let Upcall::Exchange {
        first, payloads, ..
    } = upcall
    {
        Some((first, payloads))
    } else {
        None
    }
}

/// A plain member registers; the refusal if it is refused.
pub(super) fn register(plain: &mut Plain, network: &mut Network) -> Result<Registered, String> {
    let mut out = Outbox::default();
    let connection = plain.isakmp.connect(
        network.now,
        socket(plain.address),
        socket(KS),
        &mut plain.rng,
        &mut out,
    );
    plain.sent(network, &mut out);
    let sa = match connection {
        Connection::Established(sa) => sa,
        Connection::Pending(_) => plain
            .until(network, |_, _, upcall| {
                if let Upcall::Established(sa) = upcall {
                    Some(sa)
                } else {
                    None
                }
            })
            .ok_or("no phase 1")?,
        Connection::Refused(_) => return Err("phase 1 refused".into()),
    };
    let nonce = plain.nonce();
    let (mut pull, built) = Initiator::begin(GroupId::Number(3_333), nonce).expect("it fits");
    let kind = ExchangeType::GROUPKEY_PULL;
    let message_id = plain
        .isakmp
        .open(network.now, sa, kind, &mut plain.rng)
        .expect("there is room");
    plain.send(network, (sa, message_id), &built, Expect::Reply);
    let answer = plain.until(network, |_, _, upcall| {
        if let Upcall::Notify { notify, data, .. } = upcall {
            return Some(Err(format!("{notify}: {}", String::from_utf8_lossy(&data))));
        }
        exchange(upcall).map(Ok)
    });
    let (first, payloads) = answer.ok_or("no answer")??;
    let message_2 = pull.read_2(first, &payloads).expect("it is well-formed");
    assert_nothing_private(&message_2.sa, plain.kind);
    let offer = Offer::from_wire(&message_2.sa, plain.kind).expect("a plain member can follow it");
    let built = Initiator::message_3(1, None, None, plain.kind).expect("it fits");
    plain.send(network, (sa, message_id), &built, Expect::Reply);
    let (first, payloads) = plain
        .until(network, |_, _, upcall| exchange(upcall))
        .ok_or("no message 4")?;
    plain.isakmp.finish(sa, message_id);
    let message_4 =
        Initiator::read_4(first, &payloads, &offer, plain.kind).expect("it can be followed");
    assert!(
        message_4
            .received
            .teks
            .values()
            .all(|(_, record)| record.is_none())
    );
    Ok(Registered {
        offer,
        received: message_4.received,
        seq: message_4.seq.expect("a SEQ comes with the SAK"),
    })
}

/// Plain peers abort at what they do not know (RFC 6407 sections 5.3.2, 5.4).
fn assert_nothing_private(sa: &wire::gdoi::Sa, kind: PeerKind) {
    let is_rfc6407 = kind == PeerKind::Rfc6407;
    if let Some(sak) = &sa.sak {
        assert_eq!(sak.other, []);
        let ack = is_rfc6407.then_some(AckType::KEK_SHA256);
        assert_eq!(sak.ack_requested, ack);
    }
    assert!(is_rfc6407 || sa.gap.is_none(), "RFC 3547 has no GAP");
    if let Some(gap) = &sa.gap {
        assert_eq!(gap.other, []);
    }
}

/// A policy that can be said to a plain member: permits only.
pub(super) fn sayable(transform: Transform, size: GroupSize) -> KeyServer {
    let mut config = key_server(600, 1_200);
    config.size = size;
    config.sas[0].transform = transform;
    let net = |third| AddressMatch::v4([192, 168, third, 0].into(), [0, 0, 0, 255].into());
    let line = |from, to| Ace {
        source: net(from),
        destination: net(to),
        ..Ace::PERMIT_IP_ANY_ANY
    };
    config.sas[0].acl = Arc::new(Acl {
        name: "ENCPOL".into(),
        entries: vec![line(20, 21), line(21, 20)],
    });
    config
}

pub(super) fn mixed(config: &KeyServer) -> (Network, Plain) {
    let mut network = Network::of(21, config, 1);
    network.run_s(5);
    let plain = Plain::new(Ipv4Addr::new(10, 1, 50, 2), &network);
    (network, plain)
}

#[test]
fn a_plain_member_gets_the_policy_line_by_line_and_the_running_key_only() {
    for (transform, size) in [(cbc(), GroupSize::Medium), (gcm(), GroupSize::Small16)] {
        let config = sayable(transform, size);
        let (mut network, mut plain) = mixed(&config);
        let got = register(&mut plain, &mut network).expect("it is served");
        assert_eq!(got.offer.acl, config.sas[0].acl.entries);
        assert_eq!((got.offer.teks.len(), got.received.teks.len()), (1, 1));
        assert_eq!(got.offer.teks[0].transform, transform);
        assert_eq!(got.offer.activation_delay_s, None);
        assert!((590..=600).contains(&got.offer.teks[0].lifetime_s));
        assert_eq!(got.seq, 0);
        let spi = got.offer.teks[0].spi;
        let ours = &network.node("gm1").plane().sas[&spi];
        assert!(ours.1.encryption == got.received.teks[&spi].0.encryption);
        let sids = got
            .received
            .sids
            .clone()
            .map(|(size, sids)| (size, sids.len()));
        assert_eq!(sids, transform.is_counter_mode().then_some((size, 1)));
        let view = network.ks("ks1");
        assert_eq!(view.keks.len(), 2, "a Rekey SA for each kind");
        assert_ne!(view.keks[0].spi, view.keks[1].spi);
        let member = view
            .members
            .iter()
            .find(|member| member.address == plain.address);
        assert_eq!(member.expect("it is a member").kind, KIND);
    }
}

#[test]
fn a_plain_member_is_rekeyed_with_the_delay_that_is_left_and_its_acknowledgement_counts() {
    let (mut network, mut plain) = mixed(&sayable(cbc(), GroupSize::Medium));
    let got = register(&mut plain, &mut network).expect("it is served");
    network.command("ks1", Command::Rekey { group: None });
    let sa = got
        .received
        .kek
        .as_ref()
        .expect("there is a KEK")
        .sa
        .clone();
    plain.until(&mut network, |plain, _, _| {
        (!plain.pushes.is_empty()).then_some(())
    });
    let push = plain.pushes.remove(0);
    let opened = open(&sa, &push.bytes).expect("it is under its Rekey SA");
    let key = got
        .received
        .kek
        .as_ref()
        .unwrap()
        .public_key
        .clone()
        .unwrap();
    assert!(opened.verify(&sa, &key).is_some());
    assert_eq!(opened.seq, 1);
    let chain = opened.chain();
    let said: wire::gdoi::Sa = chain.find(PayloadType::SA).unwrap().decode().unwrap();
    assert_nothing_private(&said, KIND);
    let offer = Offer::from_wire(&said, KIND).expect("a plain member can follow it");
    let view = network.ks("ks1");
    let (newest, delay) = (view.teks[0].spi, view.teks[0].activates_in.as_secs());
    assert_eq!(offer.teks.len(), 1);
    assert_eq!(offer.teks[0].spi, newest);
    let said_s = u64::from(offer.activation_delay_s.expect("it is not to send yet"));
    assert!((delay - 6..=delay).contains(&said_s), "{said_s} {delay}");
    let member = Ipv4Addr::new(10, 1, 50, 2);
    let bytes = ack::build(AckType::KEK_SHA256, &sa.key, &sa.spi, 1, member, None).unwrap();
    network.transmit(Packet {
        from: socket(member),
        to: socket(KS),
        bytes,
    });
    network.run_s(30);
    let view = network.ks("ks1");
    assert!(view.members.iter().all(|member| member.acks_received == 1));
    assert_eq!((view.unsolicited_acks, view.rekeys_retransmitted), (0, 0));
}

/// PROTOCOL P16: the Rekey SA is deleted, with `now` the traffic keys too; no key comes with it.
#[test]
fn a_plain_member_of_a_cleared_group_has_its_keys_deleted() {
    for (now, deletes) in [(false, vec![0]), (true, vec![1, 0])] {
        let (mut network, mut plain) = mixed(&sayable(cbc(), GroupSize::Medium));
        let got = register(&mut plain, &mut network).expect("it is served");
        let sa = got.received.kek.expect("there is a KEK").sa;
        let (group, member) = (None, None);
        network.command("ks1", Command::ClearMembers { group, member, now });
        plain.until(&mut network, |plain, _, _| {
            (!plain.pushes.is_empty()).then_some(())
        });
        let push = plain.pushes.remove(0);
        let opened = open(&sa, &push.bytes).expect("it is under its Rekey SA");
        let chain = opened.chain();
        assert!(chain.find(PayloadType::SA).is_none() && chain.find(PayloadType::GAP).is_none());
        let said = chain
            .all(PayloadType::DELETE)
            .map(|raw| raw.decode().unwrap());
        let said: Vec<u8> = said.map(|one: Delete| one.protocol).collect();
        assert_eq!(said, deletes);
    }
}

/// A policy that can be said to a member of RFC 3547, which this one is.
pub(super) fn of_rfc3547(config: &mut KeyServer) {
    config.sig_hash = SigHash::Sha1;
    config.rfc3547 = Some(Arc::new(Acl {
        name: "OLD".into(),
        entries: vec![Ace {
            source: AddressMatch::v4([10, 1, 50, 2].into(), [0; 4].into()),
            ..Ace::PERMIT_IP_ANY_ANY
        }],
    }));
}

/// PROTOCOL P3, P10.
#[test]
fn a_member_of_rfc_3547_has_a_rekey_sa_of_its_own_and_hears_no_word_of_rfc_6407() {
    let mut config = sayable(cbc(), GroupSize::Medium);
    of_rfc3547(&mut config);
    let (mut network, mut plain) = mixed(&config);
    let mut newer = Plain::new(Ipv4Addr::new(10, 1, 51, 2), &network);
    plain.kind = PeerKind::Rfc3547;
    let got = register(&mut plain, &mut network).expect("it is served");
    let other = register(&mut newer, &mut network).expect("the list does not permit it");
    let sa = got.received.kek.as_ref().unwrap().sa.clone();
    assert_ne!(sa.spi, other.received.kek.as_ref().unwrap().sa.spi);
    assert_eq!(got.offer.acl, config.sas[0].acl.entries);
    assert_eq!(got.received.sids, None);
    let view = network.ks("ks1");
    assert_eq!(view.keks.len(), 3, "a Rekey SA for each kind");
    let kind = |address| {
        view.members
            .iter()
            .find(|member| member.address == address)
            .unwrap()
            .kind
    };
    assert_eq!(
        (kind(plain.address), kind(newer.address)),
        (PeerKind::Rfc3547, KIND)
    );

    network.command("ks1", Command::Rekey { group: None });
    plain.until(&mut network, |plain, _, _| {
        (!plain.pushes.is_empty()).then_some(())
    });
    let push = plain.pushes.remove(0);
    let opened = open(&sa, &push.bytes).expect("it is under its Rekey SA");
    let key = got
        .received
        .kek
        .as_ref()
        .unwrap()
        .public_key
        .clone()
        .unwrap();
    assert!(opened.verify(&sa, &key).is_some());
    let chain = opened.chain();
    for absent in [PayloadType::GAP, PayloadType::DELETE] {
        assert!(chain.find(absent).is_none(), "{absent}");
    }
    let said: wire::gdoi::Sa = chain.find(PayloadType::SA).unwrap().decode().unwrap();
    assert_nothing_private(&said, plain.kind);
    let offer = Offer::from_wire(&said, plain.kind).expect("it can follow it");
    assert_eq!(offer.teks.len(), 1);
    assert_eq!(offer.teks[0].spi, network.ks("ks1").teks[0].spi);
    // No acknowledgement is asked for, so none is missed.
    network.run_s(60);
    let member = network
        .ks("ks1")
        .members
        .into_iter()
        .find(|member| member.address == plain.address);
    assert_eq!(member.unwrap().acks_missed, 0);
}

#[test]
fn what_rfc_3547_cannot_say_is_refused_by_the_name_of_the_command() {
    let mut counter = sayable(gcm(), GroupSize::Small16);
    of_rfc3547(&mut counter);
    let mut hash = sayable(cbc(), GroupSize::Medium);
    of_rfc3547(&mut hash);
    hash.sig_hash = SigHash::Sha256;
    for (config, expected) in [
        (counter, "`crypto ipsec transform-set` esp-gcm"),
        (hash, "`rekey sig-hash algorithm` other than sha"),
    ] {
        let (mut network, mut plain) = mixed(&config);
        plain.kind = PeerKind::Rfc3547;
        let refused = register(&mut plain, &mut network)
            .err()
            .expect("it is refused");
        assert!(refused.contains(expected), "{refused}");
        assert!(network.node("ks1").has_event("KS_POLICY_NOT_SUPPORTED"));
        let mut newer = Plain::new(Ipv4Addr::new(10, 1, 51, 2), &network);
        assert!(
            register(&mut newer, &mut network).is_ok(),
            "the others are served"
        );
    }
}

/// PROTOCOL P10: who joins between the sending of a key and the switch to it gets the running key by
/// PULL and the next one in a PUSH of its own.
#[test]
fn a_plain_joiner_before_a_switch_gets_a_rekey_of_its_own() {
    let mut config = sayable(cbc(), GroupSize::Medium);
    (config.retransmit_period_s, config.retransmit_number) = (45, 3);
    let (mut network, mut plain) = mixed(&config);
    network.command("ks1", Command::Rekey { group: None });
    network.run_s(2);
    let newest = network.ks("ks1").teks[0].spi;
    let got = register(&mut plain, &mut network).expect("it is served");
    assert_eq!(got.offer.teks.len(), 1);
    assert_ne!(got.offer.teks[0].spi, newest);
    plain.until(&mut network, |plain, _, _| {
        (!plain.pushes.is_empty()).then_some(())
    });
    let sa = got
        .received
        .kek
        .as_ref()
        .expect("there is a KEK")
        .sa
        .clone();
    let opened = open(&sa, &plain.pushes[0].bytes).expect("it is under its Rekey SA");
    let chain = opened.chain();
    let said: wire::gdoi::Sa = chain.find(PayloadType::SA).unwrap().decode().unwrap();
    let offer = Offer::from_wire(&said, KIND).unwrap();
    assert_eq!(offer.teks[0].spi, newest);
    assert!(opened.seq > got.seq);
}

#[test]
fn what_cannot_be_said_to_a_plain_member_is_refused_and_the_line_is_named() {
    let mut deny = sayable(cbc(), GroupSize::Medium);
    deny.sas[0].acl = Arc::new(encpol());
    let mut ports = sayable(cbc(), GroupSize::Medium);
    let mut acl = (*ports.sas[0].acl).clone();
    acl.entries[1].destination_port = PortMatch::Range(1, 9);
    ports.sas[0].acl = Arc::new(acl);
    let mut tbar = sayable(cbc(), GroupSize::Medium);
    tbar.sas[0].tbar_window_s = Some(5);
    let cases = [
        (
            deny,
            "access-list ENCPOL line 1 `deny udp any eq 848 any eq 848`",
        ),
        (ports, "access-list ENCPOL line 2"),
        (tbar, "replay time window-size 5"),
        (sayable(gcm(), GroupSize::Medium), "group size"),
    ];
    for (config, named) in cases {
        let (mut network, mut plain) = mixed(&config);
        let refusal = register(&mut plain, &mut network)
            .err()
            .expect("it is refused");
        assert!(refusal.contains(named), "{refusal}");
        let events = &network.node("ks1").events;
        let told = |line: &String| line.contains("KS_POLICY_NOT_SUPPORTED") && line.contains(named);
        assert!(events.iter().any(told), "{events:?}");
        assert_eq!(network.registered(), 1, "members of ours are served");
        assert_eq!(network.ks("ks1").members.len(), 1);
    }
}

#[test]
fn compatibility_drops_denies_unless_that_would_encrypt_the_key_exchange() {
    let mut config = sayable(cbc(), GroupSize::Medium);
    config.rfc6407_drops_denies = true;
    let mut acl = (*config.sas[0].acl).clone();
    acl.entries.insert(0, encpol().entries[0]);
    config.sas[0].acl = Arc::new(acl);
    let (mut network, mut plain) = mixed(&config);
    let got = register(&mut plain, &mut network).expect("it is served");
    assert_eq!(got.offer.acl, config.sas[0].acl.entries[1..]);
    assert!(network.node("ks1").has_event("KS_CLIENT_COMPATIBILITY"));
    config.sas[0].acl = Arc::new(encpol());
    let (mut network, mut plain) = mixed(&config);
    let refusal = register(&mut plain, &mut network)
        .err()
        .expect("it is refused");
    assert!(refusal.contains("would encrypt udp port"), "{refusal}");
}

/// RFC 6407 section 7.2.5: nothing is kept of a peer before the HASH of its message 3 was right.
#[test]
fn a_pull_that_ends_after_message_2_leaves_no_member_and_no_sid() {
    let (mut network, mut plain) = mixed(&sayable(gcm(), GroupSize::Small16));
    let before = network.ks("ks1");
    let disk = network.node("ks1").disk.len();
    register_up_to_message_2(&mut plain, &mut network);
    network.run_s(60);
    let after = network.ks("ks1");
    assert_eq!(after.members, vec_at(&before, &after));
    assert_eq!(after.sids, before.sids);
    assert_eq!(network.node("ks1").disk.len(), disk);
}

/// The members of `before` with the ages that they have in `after`.
fn vec_at(before: &crate::ks::View, after: &crate::ks::View) -> Vec<crate::ks::MemberView> {
    let mut members = before.members.clone();
    for (member, now) in members.iter_mut().zip(&after.members) {
        member.registered_ago = now.registered_ago;
    }
    members
}

fn register_up_to_message_2(plain: &mut Plain, network: &mut Network) {
    let mut out = Outbox::default();
    let (local, peer) = (socket(plain.address), socket(KS));
    plain
        .isakmp
        .connect(network.now, local, peer, &mut plain.rng, &mut out);
    plain.sent(network, &mut out);
    let established = plain.until(network, |_, _, upcall| {
        if let Upcall::Established(sa) = upcall {
            Some(sa)
        } else {
            None
        }
    });
    let sa = established.expect("phase 1 is done");
    let nonce = plain.nonce();
    let (_, built) = Initiator::begin(GroupId::Number(3_333), nonce).expect("it fits");
    let kind = ExchangeType::GROUPKEY_PULL;
    let opened = plain.isakmp.open(network.now, sa, kind, &mut plain.rng);
    let message_id = opened.expect("there is room");
    plain.send(network, (sa, message_id), &built, Expect::Reply);
    plain
        .until(network, |_, _, upcall| exchange(upcall))
        .expect("message 2 comes");
}

// ---------------------------------------------------------------- a plain key server

struct PlainServer {
    plain: Plain,
    sa: RekeySa,
    teks: Vec<(Tek, TekKey)>,
}

impl PlainServer {
    fn new(network: &Network) -> Self {
        let mut plain = Plain::new(KS, network);
        let signature = Signature::Rsa(SigHash::Sha1);
        let sa = RekeySa::mint(&mut plain.rng, KekCipher::TripleDes, signature);
        let mut server = Self {
            plain,
            sa,
            teks: Vec::new(),
        };
        server.mint(0x1111_2222);
        server
    }

    fn mint(&mut self, spi: u32) {
        let mut octets = vec![0; 48];
        self.plain.rng.fill(&mut octets);
        let tek = Tek {
            spi: Spi(spi),
            transform: cbc(),
            activation: PseudoTime::ZERO,
            expiry: PseudoTime::from_secs(1_000),
            generation: policy::Generation::default(),
            ks_list_hash: [0; 8],
            minted_by: policy::KsIndex::default(),
            orig_lifetime_s: 300,
        };
        let key = TekKey {
            encryption: Secret::copy_of(&octets[..16]),
            integrity: Secret::copy_of(&octets[16..]),
        };
        self.teks.push((tek, key));
    }

    fn offer(&self, transform: Transform) -> Offer {
        let (tek, _) = self.teks.last().expect("there is one");
        Offer {
            kek: Some(KekOffer {
                source: KS,
                destination: gm(1),
                spi: self.sa.spi,
                cipher: self.sa.cipher,
                lifetime_s: 900,
                signature: self.sa.signature,
                sig_key_bits: 2_048,
                ack: Some(AckType::KEK_SHA256),
                record: None,
            }),
            teks: vec![TekOffer {
                spi: tek.spi,
                transform,
                lifetime_s: 300,
            }],
            acl: vec![Ace::PERMIT_IP_ANY_ANY],
            ..Offer::default()
        }
    }

    /// Serves one PULL.
    fn serve(&mut self, network: &mut Network, transform: Transform) -> Option<()> {
        let offer = self.offer(transform);
        let nonce = self.plain.nonce();
        let sa = self.sa.clone();
        let (tek, key) = self.teks.last().cloned().expect("there is one");
        let public = not_secret_rsa_2048().public_key().to_spki_der().to_vec();
        self.plain.until(network, move |plain, network, upcall| {
            let Upcall::Exchange {
                sa: under,
                message_id,
                step,
                first,
                payloads,
                ..
            } = upcall
            else {
                return None;
            };
            if step == 1 {
                let message_1 = Message1::read(first, &payloads).expect("it is well-formed");
                let answer = Responder::answer(&message_1, nonce.clone(), &offer, KIND);
                let (_, built) = answer.expect("it fits");
                plain.send(network, (under, message_id), &built, Expect::Final);
                return None;
            }
            let chain = Chain::decode(first, &payloads).expect("it is well-formed");
            assert_eq!(
                chain.payloads,
                [],
                "a plain peer is asked for nothing private"
            );
            let grant = Grant {
                kek: Some(KekGrant {
                    sa: &sa,
                    public_key: Some(&public),
                    spi_key: None,
                }),
                teks: vec![TekGrant {
                    tek: &tek,
                    activation: tek.activation,
                    key: &key,
                }],
                sids: None::<(GroupSize, &[Sid])>,
                clock_generation: ::policy::ClockGeneration::default(),
            };
            let built = Responder::message_4(Some(4), &grant, KIND).expect("it fits");
            plain.send(network, (under, message_id), &built, Expect::Final);
            Some(())
        })
    }

    fn push(&self, seq: u32, delay_s: u16) -> Packet {
        let (tek, key) = self.teks.last().expect("there is one");
        let offer = Offer {
            kek: None,
            activation_delay_s: Some(delay_s),
            ..self.offer(cbc())
        };
        let mut builder = Builder::new();
        builder.push(&Seq(seq));
        builder.push(&offer.to_wire(KIND).unwrap());
        let grant = Grant {
            teks: vec![TekGrant {
                tek,
                activation: tek.activation,
                key,
            }],
            ..Grant::default()
        };
        grant.with_wire(KIND, |kd| builder.push(kd)).unwrap();
        let key = PrivateKey::Rsa(not_secret_rsa_2048());
        let bytes = seal(&self.sa, &key, Encoding::RawHash, builder);
        Packet {
            from: socket(KS),
            to: socket(gm(1)),
            bytes: bytes.expect("it fits"),
        }
    }
}

#[test]
fn our_member_registers_with_a_plain_key_server_and_follows_its_rekeys() {
    let mut network = Network::new(31);
    let mut server = PlainServer::new(&network);
    network.add_member(1);
    server.serve(&mut network, cbc()).expect("a PULL comes");
    network.run_s(1);
    assert_eq!(network.registered(), 1, "{}", network.transcript);
    let first = Spi(0x1111_2222);
    let plane = network.node("gm1").plane();
    assert_eq!(plane.outbound(network.now), Some(first));
    assert_eq!(
        plane.acl.as_ref().unwrap().entries,
        [Ace::PERMIT_IP_ANY_ANY]
    );
    let view = network.gm(1);
    assert_eq!(view.server_kind, Some(KIND));
    assert_eq!(view.keks.current.unwrap().seq, 4);
    server.mint(0x3333_4444);
    network.transmit(server.push(5, 20));
    server.plain.idle(&mut network);
    let plane = network.node("gm1").plane();
    assert!(
        plane.sas.contains_key(&Spi(0x3333_4444)),
        "received on at once"
    );
    assert_eq!(plane.outbound(network.now), Some(first), "not sent on yet");
    assert_eq!(server.plain.acks.len(), 1);
    let ack = ack::open(&server.plain.acks[0].bytes).expect("it has the form of one");
    assert_eq!((ack.seq, ack.spi, ack.status), (5, server.sa.spi, None));
    assert!(ack.is_from_holder_of(AckType::KEK_SHA256, &server.sa.key));
    let forms = network.gm(1).signature_forms;
    assert_eq!(forms, [("raw hash, length before padding", 1)]);
    network.run_s(15);
    let plane = network.node("gm1").plane();
    assert_eq!(plane.outbound(network.now), Some(Spi(0x3333_4444)));
    assert_ne!(server.sa.spi, KekSpi::default());
}

#[test]
fn a_policy_that_our_member_cannot_install_is_named_and_tried_again_only_after_a_back_off() {
    let mut network = Network::new(32);
    let mut server = PlainServer::new(&network);
    network.add_member(1);
    // The keys do not fit what is offered: AES-256 said, a key for AES-128 given.
    server
        .serve(&mut network, super::network::cbc_256())
        .expect("a PULL comes");
    network.run_s(2);
    assert_eq!(network.registered(), 0);
    let node = network.node("gm1");
    assert_eq!(node.count("GM_REJECTING_SA_PAYLOAD"), 1);
    assert!(
        node.events
            .iter()
            .any(|line| line.contains("do not fit esp-aes 256")),
        "{:?}",
        node.events
    );
    assert_eq!(network.gm(1).status, crate::gm::Status::Rejected);
    let again = network.gm(1).reregisters_in.expect("it is planned");
    assert!(again >= Duration::from_secs(10), "{again:?}");
}

//! Rekeys that an EC key signs: on each curve, over changes of the key, among several key servers,
//! and forged.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crypto::ecdsa::{self, Curve};
use crypto::key_pair::{Kind, PrivateKey, PublicKey, Size};
use crypto::{Secret, SeededRng, fixture, pem};
use policy::{GroupSize, KekSpi, PeerKind, PseudoTime, SigHash, Signature};
use wire::gdoi::Seq;
use wire::iana::{PayloadType, SigAlgorithm, SigHashAlgorithm};
use wire::isakmp::Builder;

use super::coop::{group, role};
use super::hostile::{Stolen, push, stolen};
use super::network::{KS, Network, Packet, cbc, generate_rsa, gm, key_server, socket};
use super::plain::{Plain, mixed, of_rfc3547, register, sayable};
use crate::config::{KeyServer, RekeyKey};
use crate::group_sa::{Grant, KekGrant, KekOffer, Offer, Received, TekGrant, TekOffer};
use crate::ks::{Role, Serving};
use crate::machine::{self, Input, Record};
use crate::persist::Restored;
use crate::private::{GroupStamp, KekRecord};
use crate::push::{Encoding, open, seal};
use crate::rekey_sa::RekeySa;

const PUSH: u8 = 33;
const TICK: Duration = Duration::from_millis(250);
const EACH: [(Curve, Signature, u16, usize); 3] = [
    (Curve::P256, Signature::Ecdsa256, 256, 64),
    (Curve::P384, Signature::Ecdsa384, 384, 96),
    (Curve::P521, Signature::Ecdsa521, 521, 132),
];

fn generate(curve: Curve, label: &str) -> machine::Command {
    machine::Command::GenerateKeyPair {
        label: label.into(),
        size: Size::Ec(curve),
        exportable: true,
    }
}

fn named(label: &str) -> Option<RekeyKey> {
    Some(RekeyKey::new(Kind::Ec, label))
}

/// The private key that `generate` gives everybody.
fn known(curve: Curve) -> PrivateKey {
    let pkcs8 = fixture::not_secret_pkcs8(Size::Ec(curve));
    PrivateKey::from_pkcs8(Kind::Ec, pkcs8.expose()).unwrap()
}

/// A key of that curve that no key server of these tests has.
fn stranger(curve: Curve) -> PrivateKey {
    let key = ecdsa::PrivateKey::generate(curve, &mut SeededRng::from_number(77));
    PrivateKey::Ecdsa(key.unwrap())
}

fn own(own: &KeyServer) -> KeyServer {
    KeyServer {
        rekey_key: named("curve"),
        ..own.clone()
    }
}

/// One key server whose key is of that curve, and two members.
fn signed_by(curve: Curve, seed: u64) -> Network {
    let mut network = Network::of(seed, &own(&key_server(3_600, 7_200)), 2);
    network.command("ks1", generate(curve, "curve"));
    network.run_s(8);
    assert_eq!(network.registered(), 2, "{}", network.transcript);
    network
}

/// Whether a log line of a box has these words.
fn said(network: &Network, name: &str, words: &str) -> bool {
    let mut events = network.node(name).events.iter();
    events.any(|event| event.contains(words))
}

fn assert_nothing_was_refused(network: &Network) {
    for n in 1..=2 {
        let refusals = network.gm(n).refusals;
        let refused = refusals.iter().any(|(_, count)| *count > 0);
        assert!(!refused, "{refusals:?}\n{}", network.transcript);
    }
}

#[test]
fn members_believe_what_a_key_of_each_curve_signs() {
    for (seed, (curve, signature, bits, len)) in EACH.into_iter().enumerate() {
        let mut network = signed_by(curve, seed as u64 + 1);
        network.log.clear();
        for _ in 0..3 {
            network.command("ks1", machine::Command::Rekey { group: None });
            network.watch(Duration::from_secs(5), TICK, Network::assert_understood);
        }
        assert_nothing_was_refused(&network);
        let spki = known(curve).public_key().to_spki_der().to_vec();
        for n in 1..=2 {
            let view = network.gm(n);
            assert_eq!(view.rekeys_received, 3, "{}", network.transcript);
            let forms = [("ECDSA, length before padding", 3)];
            assert_eq!(view.signature_forms, forms);
            let kek = view.keks.current.unwrap();
            let said = (kek.signature, kek.sig_key_bits, kek.sig_size);
            assert_eq!(said, (signature, bits, len));
            let key = view.public_key.unwrap();
            assert_eq!((key.kind, key.bits), (Kind::Ec, usize::from(bits)));
            assert_eq!(key.der, spki);
        }
        let kek = &network.ks("ks1").keks[0];
        let said = (kek.signature, kek.sig_size, kek.sig_key_len);
        assert_eq!(said, (signature, len, spki.len()));
        // What travels, opened with the key server's own Rekey SA.
        let sa = stolen(&network).kek.sa;
        let pushes = network.log.iter().filter(|sent| sent.exchange() == PUSH);
        let opened: Vec<_> = pushes.map(|sent| open(&sa, &sent.bytes).unwrap()).collect();
        assert_eq!(opened.len(), 6);
        for opened in opened {
            let chain = opened.chain();
            let sig = chain.find(PayloadType::SIG).unwrap();
            assert_eq!(sig.body.len(), len);
        }
    }
}

/// An ASN.1 integer of octets that are a number, most significant first.
fn integer(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let mut value = octets[zeros..].to_vec();
    if value[0] >= 0x80 {
        value.insert(0, 0);
    }
    [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
}

/// r | s as OpenSSL takes it (RFC 3279 section 2.2.3).
fn ecdsa_sig_value(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let numbers = [integer(r), integer(s)].concat();
    let len = u8::try_from(numbers.len()).unwrap();
    let head = if len < 0x80 {
        vec![0x30, len]
    } else {
        vec![0x30, 0x81, len]
    };
    [head, numbers].concat()
}

/// Whether the openssl program finds that signature under the message; `None` without the program.
fn openssl_verifies(hash: &str, key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<bool> {
    let folder = std::env::temp_dir();
    let name = |what: &str| {
        let process = std::process::id();
        folder.join(format!("getvpn-ecdsa-{process}-{hash}.{what}"))
    };
    let files = [
        (name("pem"), pem::public(key).into_bytes()),
        (name("sig"), signature.to_vec()),
        (name("message"), message.to_vec()),
    ];
    for (path, octets) in &files {
        std::fs::write(path, octets).unwrap();
    }
    let [pem, sig, message] = files.map(|(path, _)| path);
    let done = Command::new("openssl")
        .args(["dgst", hash, "-verify"])
        .args([
            pem.as_path(),
            Path::new("-signature"),
            sig.as_path(),
            message.as_path(),
        ])
        .output();
    for path in [pem, sig, message] {
        std::fs::remove_file(path).unwrap();
    }
    Some(done.ok()?.status.success())
}

#[expect(clippy::print_stdout, reason = "a test that could not be made says so")]
fn skipped() {
    println!("skipped: there is no openssl program");
}

/// RFC 6407 section 4: the signature is over "rekey", the header as it is before encryption, and
/// all payloads before SIG. The octets are put together here, from what travelled.
#[test]
fn openssl_finds_the_signature_under_what_rfc_6407_says_on_each_curve() {
    for (seed, (curve, _, _, len)) in EACH.into_iter().enumerate() {
        let mut network = signed_by(curve, seed as u64 + 11);
        network.log.clear();
        network.command("ks1", machine::Command::Rekey { group: None });
        network.run_s(1);
        let mut pushes = network.log.iter().filter(|sent| sent.exchange() == PUSH);
        let push = pushes.next().expect("it was sent").bytes.clone();
        let sa = stolen(&network).kek.sa;
        let (mut header, mut payloads) = (push[..28].to_vec(), push[28..].to_vec());
        let cipher = sa.cbc().unwrap();
        cipher.decrypt(sa.iv.expose(), &mut payloads).unwrap();
        let at = signature_at(&payloads, len);
        let whole = u32::try_from(28 + at + len).unwrap();
        header[24..].copy_from_slice(&whole.to_be_bytes());
        let signed = [b"rekey", &header[..], &payloads[..at - 4]].concat();
        let signature = ecdsa_sig_value(&payloads[at..at + len]);
        let hash = match curve {
            Curve::P256 => "-sha256",
            Curve::P384 => "-sha384",
            Curve::P521 => "-sha512",
        };
        let key = known(curve).public_key();
        let Some(verified) = openssl_verifies(hash, &key, &signed, &signature) else {
            return skipped();
        };
        assert!(verified, "{curve:?}");
        let other = [&signed[1..], b"x"].concat();
        let verified = openssl_verifies(hash, &key, &other, &signature);
        assert_eq!(verified, Some(false), "{curve:?}");
    }
}

#[test]
fn a_group_goes_from_rsa_to_a_curve_to_another_and_back_and_no_rekey_is_refused() {
    let mut network = Network::of(5, &key_server(3_600, 7_200), 2);
    for (curve, ..) in EACH {
        network.command("ks1", generate(curve, &format!("{curve:?}")));
    }
    network.run_s(5);
    let rsa = network.ks("ks1").keks[0].signature;
    assert_eq!(rsa, Signature::Rsa(SigHash::Sha256));
    let keys = EACH.map(|(curve, signature, ..)| (named(&format!("{curve:?}")), signature));
    let back = [(Some(RekeyKey::new(Kind::Rsa, "get")), rsa)];
    for (key, signature) in keys.into_iter().chain(back) {
        network.reconfigure("ks1", |own| own.rekey_key = key);
        network.watch(Duration::from_secs(30), TICK, Network::assert_understood);
        network.command("ks1", machine::Command::Rekey { group: None });
        network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
        assert_eq!(network.ks("ks1").keks[0].signature, signature);
        for n in 1..=2 {
            let view = network.gm(n);
            let current = view.keks.current.unwrap();
            assert_eq!(current.signature, signature, "{}", network.transcript);
            assert_eq!(view.registrations_succeeded, 1);
        }
    }
    assert_nothing_was_refused(&network);
}

#[test]
fn a_key_server_that_has_no_ec_key_gets_the_primarys_keeps_it_on_disk_and_takes_over() {
    for (seed, (curve, signature, ..)) in EACH.into_iter().enumerate() {
        let mut network = group(seed as u64 + 20, 2, 2, 600, 10);
        // From the beginning, or while the group runs with another key.
        network.run_s(20 * seed as u64);
        network.command("ks1", generate(curve, "curve"));
        for name in ["ks1", "ks2"] {
            network.reconfigure(name, |own| own.rekey_key = named("curve"));
        }
        assert!(said(&network, "ks2", "KS_NO_EC_KEYS"));
        network.run_s(40);
        assert!(said(
            &network,
            "ks2",
            "COOP_REKEY_KEY_ADOPTED: EC key curve"
        ));
        let differs = said(&network, "ks1", "COOP_CONFIG_MISMATCH");
        assert!(!differs || seed > 0, "{}", network.transcript);
        // Only what is on disk comes back.
        network.kill("ks2");
        network.run_s(5);
        network.start("ks2");
        network.run_s(30);
        let keys = |name: &str| network.node(name).machine.as_ref().unwrap().key_pairs();
        let held = |name: &str| keys(name).into_iter().find(|key| key.label == "curve");
        assert_eq!(held("ks1"), held("ks2"));
        assert_eq!(held("ks2").unwrap().kind, Kind::Ec);
        network.kill("ks1");
        network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
        assert_eq!(role(&network, "ks2"), Role::Primary);
        network.command("ks2", machine::Command::Rekey { group: None });
        network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
        assert_eq!(network.ks("ks2").keks[0].signature, signature);
        assert_nothing_was_refused(&network);
        assert_eq!(network.gm(1).last_rekey_from, Some(super::network::KS2));
    }
}

/// Each change is made on the primary first, a while before the other one.
#[test]
fn a_running_group_changes_its_key_and_every_key_server_holds_the_old_and_the_new_one() {
    let mut network = group(27, 2, 2, 600, 10);
    network.run_s(20);
    let mut keys: Vec<_> = EACH
        .map(|(curve, ..)| (Kind::Ec, format!("{curve:?}")))
        .into();
    for curve in [Curve::P256, Curve::P384] {
        network.command("ks1", generate(curve, &format!("{curve:?}")));
    }
    keys.push((Kind::Rsa, "get".to_owned()));
    keys.push((Kind::Ec, "P256".to_owned()));
    for (kind, label) in keys {
        for name in ["ks1", "ks2"] {
            let key = RekeyKey::new(kind, &label);
            network.reconfigure(name, |own| own.rekey_key = Some(key));
            // Named first, or made first.
            if (name, &*label) == ("ks1", "P521") {
                network.command("ks1", generate(Curve::P521, "P521"));
            }
            network.watch(Duration::from_secs(8), TICK, Network::assert_understood);
        }
        let of = |name: &str| network.node(name).machine.as_ref().unwrap().key_pairs();
        let held = |name: &str| of(name).into_iter().find(|key| key.label == label);
        assert_eq!(held("ks1"), held("ks2"), "{}", network.transcript);
        assert_eq!(network.ks("ks2").serving, Serving::Yes);
    }
    let keys = network.node("ks2").machine.as_ref().unwrap().key_pairs();
    let labels: Vec<_> = keys.into_iter().map(|key| key.label).collect();
    assert_eq!(labels, ["P256", "P384", "P521", "get"]);
    network.kill("ks1");
    network.watch(Duration::from_secs(60), TICK, Network::assert_understood);
    network.command("ks2", machine::Command::Rekey { group: None });
    network.watch(Duration::from_secs(10), TICK, Network::assert_understood);
    assert_eq!(network.ks("ks2").keks[0].signature, Signature::Ecdsa256);
    assert_eq!(network.gm(1).last_rekey_from, Some(super::network::KS2));
    assert_nothing_was_refused(&network);
}

#[test]
fn two_ec_keys_without_key_sync_raise_the_alarm() {
    let mut network = group(31, 2, 0, 600, 10);
    for (name, curve) in [("ks1", Curve::P256), ("ks2", Curve::P384)] {
        network.command(name, generate(curve, "curve"));
        network.reconfigure(name, |own| {
            own.rekey_key = named("curve");
            own.key_sync = false;
        });
    }
    network.run_s(60);
    let alarm = "COOP_REKEY_KEY_MISMATCH: EC key curve of group G1 differs";
    assert!(said(&network, "ks2", alarm), "{}", network.transcript);
}

#[test]
fn key_servers_that_name_keys_of_different_kinds_say_so_and_neither_key_is_lost() {
    let mut network = group(32, 2, 0, 600, 10);
    network.command("ks1", generate(Curve::P256, "curve"));
    network.run_s(20);
    network.reconfigure("ks1", |own| own.rekey_key = named("curve"));
    network.run_s(60);
    for name in ["ks1", "ks2"] {
        let named = "COOP_CONFIG_MISMATCH: WARNNING rekey sig-hash";
        assert!(said(&network, name, named), "{}", network.transcript);
    }
    let alarm = "COOP_REKEY_KEY_MISMATCH: RSA key get of group G1 differs";
    assert!(said(&network, "ks2", alarm), "{}", network.transcript);
    let keys = network.node("ks2").machine.as_ref().unwrap().key_pairs();
    let kinds: Vec<_> = keys.iter().map(|key| (&*key.label, key.kind)).collect();
    assert_eq!(kinds, [("curve", Kind::Ec), ("get", Kind::Rsa)]);
}

#[test]
fn a_label_names_one_key_and_the_other_kind_is_refused_by_name() {
    let mut network = Network::of(33, &key_server(3_600, 7_200), 1);
    network.run_s(5);
    network.command("ks1", generate(Curve::P256, "get"));
    let refused = "EC_KEY_REFUSED: EC key get cannot be used: it is the name of an RSA key";
    assert!(said(&network, "ks1", refused), "{}", network.transcript);
    network.reconfigure("ks1", |own| own.rekey_key = named("get"));
    let (key, other) = (RekeyKey::new(Kind::Ec, "get"), Some(Kind::Rsa));
    let serving = Serving::NoRekeyKey { key, other };
    assert_eq!(network.ks("ks1").serving, serving);
    assert!(said(&network, "ks1", "KS_NO_EC_KEYS: EC Key - get"));
    // Garbage, a key of the other kind, and one of no curve of ours, under a free label.
    let mut rsa = fixture::NOT_SECRET_RSA_2048_PKCS8.to_vec();
    for pkcs8 in [rsa.clone(), rsa.split_off(40), Vec::new(), vec![0x30; 200]] {
        let label = "free".to_owned();
        let (kind, exportable, pkcs8) = (Kind::Ec, true, Secret::new(pkcs8));
        let made = Input::KeyPair {
            label,
            kind,
            exportable,
            pkcs8,
        };
        network.node_mut("ks1").events.clear();
        network.give("ks1", made);
        let refused = "EC_KEY_REFUSED: EC key free cannot be used: not a well-formed EC key";
        assert!(said(&network, "ks1", refused), "{}", network.transcript);
    }
    let keys = network.node("ks1").machine.as_ref().unwrap().key_pairs();
    assert_eq!(keys.len(), 1);
    // Gone for good, it leaves no row; then the label is free for the other kind.
    let label = "get".to_owned();
    network.command("ks1", machine::Command::ZeroizeKeyPair { label });
    network.command("ks1", generate(Curve::P256, "get"));
    let rows = network.node("ks1").disk.keys().cloned();
    let rows: Vec<_> = rows.filter(|row| row.ends_with(b"/get")).collect();
    assert_eq!(rows, [b"ec/get".to_vec()]);
    assert_eq!(network.ks("ks1").serving, Serving::Yes);
    let label = "get".to_owned();
    network.command("ks1", machine::Command::ZeroizeKeyPair { label });
    assert!(said(&network, "ks1", "EC_KEY_ZEROIZED: EC key get"));
    network.command("ks1", generate_rsa());
    assert!(network.node("ks1").disk.contains_key(&b"rsa/get"[..]));
}

#[test]
fn rfc_6407_is_told_of_an_ec_key_and_rfc_3547_refused_by_the_name_of_the_command() {
    let mut config = sayable(cbc(), GroupSize::Medium);
    of_rfc3547(&mut config);
    let (mut network, mut older) = mixed(&own(&config));
    network.command("ks1", generate(Curve::P384, "curve"));
    older.kind = PeerKind::Rfc3547;
    let refused = register(&mut older, &mut network).err();
    let refused = refused.expect("it knows RSA only");
    let named = "`rekey authentication mypubkey ec curve` cannot be told to an RFC 3547 member";
    assert!(refused.contains(named), "{refused}");
    assert!(said(&network, "ks1", "KS_POLICY_NOT_SUPPORTED"));
    let mut newer = Plain::new(Ipv4Addr::new(10, 1, 51, 2), &network);
    let got = register(&mut newer, &mut network).expect("it is served");
    let kek = got.offer.kek.expect("with a Rekey SA");
    assert_eq!(kek.signature, Signature::Ecdsa384);
    let key = got.received.kek.unwrap().public_key;
    assert!(key == Some(known(Curve::P384).public_key()));
}

/// A row of a key pair as it has always been: version, whether it may be exported, PKCS#8.
fn row(name: &str, pkcs8: &[u8]) -> Record {
    let len = u16::try_from(pkcs8.len()).unwrap().to_be_bytes();
    let value = [&[2, 1], &len[..], pkcs8].concat();
    Record {
        key: name.as_bytes().to_vec(),
        value: Some(Secret::new(value)),
    }
}

#[test]
fn rows_of_key_pairs_are_read_by_the_kind_in_their_name_and_no_other_kind_is_taken_for_it() {
    let rsa = fixture::NOT_SECRET_RSA_2048_PKCS8;
    let curves = EACH.map(|(curve, ..)| fixture::not_secret_pkcs8(Size::Ec(curve)));
    let restored = Restored::read(vec![
        row("rsa/get", rsa),
        row("ec/a", curves[0].expose()),
        row("ec/b/c", curves[1].expose()),
        row("ec/d", curves[2].expose()),
        row("else/get", b"of a later build"),
    ]);
    let restored = restored
        .map_err(|corrupt| corrupt.to_string())
        .ok()
        .unwrap();
    let pairs = restored.key_pairs.iter();
    let bits: Vec<_> = pairs
        .map(|(label, pair)| (&**label, pair.public_key().bits()))
        .collect();
    assert_eq!(bits, [("a", 256), ("b/c", 384), ("d", 521), ("get", 2_048)]);
    let damaged = &curves[0].expose()[1..];
    for (name, pkcs8) in [
        ("ec/get", rsa),
        ("rsa/a", curves[0].expose()),
        ("ec/a", damaged),
        ("ec/a", b""),
    ] {
        let corrupt = Restored::read(vec![row(name, pkcs8)]).err().unwrap();
        assert_eq!(corrupt.row, name);
        assert!(corrupt.to_string().contains("key in PKCS#8"), "{corrupt}");
    }
}

// ---------------------------------------------------------------- forged

/// What a refusal must leave as it is.
fn state(network: &Network) -> impl PartialEq + std::fmt::Debug + use<> {
    let view = network.gm(1);
    let kek = view
        .keks
        .current
        .map(|kek| (kek.spi, kek.seq, kek.signature));
    (
        kek,
        view.keks.new,
        view.rekeys_received,
        view.acks_sent,
        view.public_key,
    )
}

#[test]
fn a_rekey_that_another_key_signed_or_another_algorithm_changes_nothing() {
    let mut network = signed_by(Curve::P256, 41);
    let Stolen { kek, tek, .. } = stolen(&network);
    let thief = stolen(&network);
    let before = state(&network);
    let rsa = PrivateKey::Rsa(fixture::not_secret_rsa_2048());
    let forgers = [
        (Signature::Ecdsa256, stranger(Curve::P256)),
        (Signature::Ecdsa384, known(Curve::P384)),
        (Signature::Ecdsa521, known(Curve::P521)),
        (Signature::Rsa(SigHash::Sha256), rsa),
    ];
    let mut expected = 0;
    for (seq, (signature, key)) in (500..).zip(forgers) {
        let mut forged = stolen(&network);
        forged.kek.sa.signature = signature;
        network.transmit(push(&forged, seq, &tek.tek, &key));
        network.run_s(1);
        expected += 1;
        let counted = network.gm(1).refusals;
        assert!(
            counted.contains(&("rekey signature", expected)),
            "{counted:?}"
        );
        assert_eq!(state(&network), before, "{signature}");
    }
    // A true one, cut, stretched, with r and s changed round, with either zero.
    let genuine = push(&thief, 600, &tek.tek, &known(Curve::P256));
    let tampered: [fn(&mut [u8]); 4] = [
        |sig| sig.rotate_left(32),
        |sig| sig[..32].fill(0),
        |sig| sig[32..].fill(0),
        |sig| sig.fill(0xFF),
    ];
    for tamper in tampered {
        let mut forged = genuine.clone();
        let (cipher, iv) = (kek.sa.cbc().unwrap(), kek.sa.iv.expose());
        let octets = &mut forged.bytes[28..];
        cipher.decrypt(iv, octets).unwrap();
        let at = signature_at(octets, 64);
        tamper(&mut octets[at..at + 64]);
        cipher.encrypt(iv, octets).unwrap();
        network.transmit(forged);
        network.run_s(1);
        expected += 1;
        let counted = network.gm(1).refusals;
        assert!(
            counted.contains(&("rekey signature", expected)),
            "{counted:?}"
        );
        assert_eq!(state(&network), before);
    }
    assert!(said(&network, "gm1", "GDOI_REKEY_FAILURE"));
    network.transmit(genuine);
    network.run_s(1);
    assert_eq!(network.gm(1).rekeys_received, 1, "{}", network.transcript);
}

/// Where the signature of that many octets begins in a decrypted PUSH: its payload, the last, has a
/// header of four octets that ends in its length.
fn signature_at(octets: &[u8], len: usize) -> usize {
    let head = [0, 0, 0, u8::try_from(4 + len).unwrap()];
    let heads = octets.windows(4).rposition(|four| four == head);
    heads.expect("the SIG payload is there") + 4
}

/// What a new Rekey SA says of its signatures, and the public key beside it.
struct Said {
    signature: Signature,
    bits: u16,
    key: Option<Vec<u8>>,
}

/// A PUSH, truly signed, that announces a Rekey SA.
fn announcing(stolen: &Stolen, seq: u32, said: &Said) -> Packet {
    let tek = &stolen.tek.tek;
    let mut sa = RekeySa::mint(
        &mut SeededRng::from_number(u64::from(seq)),
        stolen.kek.sa.cipher,
        said.signature,
    );
    sa.spi = KekSpi([seq as u8; 16]);
    let offer = Offer {
        stamp: Some(GroupStamp {
            pseudotime: tek.activation,
            clock_generation: ::policy::ClockGeneration::default(),
            stamped_by: tek.minted_by,
            generation: tek.generation,
        }),
        kek: Some(kek_offer(&sa, said.bits, stolen)),
        teks: vec![TekOffer {
            spi: tek.spi,
            transform: tek.transform,
            lifetime_s: 600,
        }],
        ..Offer::default()
    };
    let grant = Grant {
        kek: Some(KekGrant {
            sa: &sa,
            public_key: said.key.as_deref(),
            spi_key: None,
        }),
        teks: vec![TekGrant {
            tek,
            activation: tek.activation,
            key: &stolen.tek.key,
        }],
        sids: None,
        clock_generation: ::policy::ClockGeneration::default(),
    };
    let mut builder = Builder::new();
    builder.push(&Seq(seq));
    builder.push(&offer.to_wire(PeerKind::Ours).unwrap());
    grant
        .with_wire(PeerKind::Ours, |kd| builder.push(kd))
        .unwrap();
    let encoding = Encoding::of(stolen.kek.sa.signature, false);
    let bytes = seal(&stolen.kek.sa, &known(Curve::P256), encoding, builder);
    Packet {
        from: socket(KS),
        to: socket(gm(1)),
        bytes: bytes.expect("it fits"),
    }
}

fn kek_offer(sa: &RekeySa, bits: u16, stolen: &Stolen) -> KekOffer {
    KekOffer {
        source: KS,
        destination: gm(1),
        spi: sa.spi,
        cipher: sa.cipher,
        lifetime_s: 7_200,
        signature: sa.signature,
        sig_key_bits: bits,
        ack: None,
        record: Some(KekRecord {
            activation: PseudoTime::ZERO,
            expiry: stolen.kek.expiry,
            clock_generation: ::policy::ClockGeneration::default(),
            ks_list_hash: stolen.kek.ks_list_hash,
            minted_by: stolen.kek.minted_by,
            generation: stolen.kek.generation,
            orig_lifetime_s: 7_200,
        }),
    }
}

#[test]
fn a_rekey_sa_whose_key_is_not_of_its_algorithm_curve_or_length_is_rejected_by_name() {
    let mut network = signed_by(Curve::P256, 42);
    let thief = stolen(&network);
    let spki = |key: PrivateKey| Some(key.public_key().to_spki_der().to_vec());
    let rsa = || PrivateKey::Rsa(fixture::not_secret_rsa_2048());
    let sha256 = Signature::Rsa(SigHash::Sha256);
    let lie = |signature, bits, key| Said {
        signature,
        bits,
        key,
    };
    let mut cut = spki(known(Curve::P384));
    cut.as_mut().unwrap().pop();
    let lies = [
        (lie(sha256, 2_048, spki(known(Curve::P256))), "SIG_ALG_RSA"),
        (
            lie(Signature::Ecdsa256, 256, spki(rsa())),
            "SIG_ALG_ECDSA_256",
        ),
        (
            lie(Signature::Ecdsa384, 384, spki(known(Curve::P256))),
            "SIG_ALG_ECDSA_384",
        ),
        (lie(Signature::Ecdsa384, 384, cut), "SIG_ALG_ECDSA_384"),
        (
            lie(Signature::Ecdsa521, 512, spki(known(Curve::P521))),
            "signature key of 512 bits for SIG_ALG_ECDSA_521",
        ),
        (
            lie(Signature::Ecdsa384, 384, None),
            "SIG_ALG_ECDSA_384 without its public key",
        ),
        (
            lie(sha256, 2_048, None),
            "SIG_ALG_RSA without its public key",
        ),
    ];
    for (place, (said, reason)) in (1..).zip(lies) {
        let events = network.node("gm1").events.len();
        let (held, kek) = (network.gm(1).public_key, network.gm(1).keks.new);
        network.transmit(announcing(&thief, 100 + place, &said));
        network.run_s(1);
        let view = network.gm(1);
        let counted = ("rekey rejected", u64::from(place));
        assert!(view.refusals.contains(&counted), "{:?}", view.refusals);
        let mut said = network.node("gm1").events[events..].iter();
        let rejected = |event: &&String| event.contains("GM_REJECTING_SA_PAYLOAD");
        let event = said.find(rejected).expect("it is told");
        assert!(event.contains(reason), "{event}");
        assert_eq!((view.public_key, view.keks.new), (held, kek));
    }
    // What fits is taken.
    let fits = lie(Signature::Ecdsa384, 384, spki(known(Curve::P384)));
    network.transmit(announcing(&thief, 200, &fits));
    network.run_s(1);
    let new = network.gm(1).keks.new.expect("it was announced");
    assert_eq!(new.signature, Signature::Ecdsa384);
}

#[test]
fn a_sak_names_algorithm_hash_and_length_and_one_that_contradicts_itself_is_refused() {
    let network = signed_by(Curve::P256, 43);
    let thief = stolen(&network);
    let numbers = [
        (SigAlgorithm(4), SigHashAlgorithm::SHA256),
        (SigAlgorithm(5), SigHashAlgorithm::SHA384),
        (SigAlgorithm(6), SigHashAlgorithm::SHA512),
    ];
    for ((_, signature, bits, _), (algorithm, hash)) in EACH.into_iter().zip(numbers) {
        let mut sa = thief.kek.sa.clone();
        sa.signature = signature;
        let offer = Offer {
            kek: Some(kek_offer(&sa, bits, &thief)),
            ..Offer::default()
        };
        let said = offer.to_wire(PeerKind::Ours).unwrap();
        let read = |change: fn(&mut wire::gdoi::Sak)| {
            let mut said = said.clone();
            change(said.sak.as_mut().unwrap());
            Offer::from_wire(&said, PeerKind::Ours).map_err(|refused| refused.to_string())
        };
        let sak = said.sak.as_ref().unwrap();
        assert_eq!(sak.sig_algorithm, algorithm);
        assert_eq!(sak.sig_hash, Some(hash));
        assert_eq!(sak.sig_key_bits, Some(bits));
        assert_eq!(read(|_| {}), Ok(offer));
        //= RFC 6407 5.3.5
        //# and SIG_HASH_ALGORITHM is OPTIONAL in a SAK payload.
        let silent = read(|sak| (sak.sig_hash, sak.sig_key_bits) = (None, None));
        assert_eq!(silent.unwrap().kek.unwrap().signature, signature);
        let refused = read(|sak| sak.sig_hash = Some(SigHashAlgorithm::SHA1)).unwrap_err();
        assert!(refused.contains("for SIG_ALG_ECDSA"), "{refused}");
        let refused = read(|sak| sak.sig_key_bits = Some(2_048)).unwrap_err();
        assert!(refused.contains("2048 bits for SIG_ALG_ECDSA"), "{refused}");
        for other in [SigAlgorithm::DSS, SigAlgorithm::ECDSS, SigAlgorithm(7)] {
            let mut said = said.clone();
            said.sak.as_mut().unwrap().sig_algorithm = other;
            let refused = Offer::from_wire(&said, PeerKind::Ours).unwrap_err();
            assert!(refused.to_string().contains("signature algorithm"));
        }
    }
}

#[test]
fn no_altered_octet_of_an_ec_public_key_is_taken_for_the_key() {
    let network = signed_by(Curve::P256, 44);
    let thief = stolen(&network);
    for (curve, signature, bits, _) in EACH {
        let mut sa = thief.kek.sa.clone();
        sa.signature = signature;
        let offer = Offer {
            kek: Some(kek_offer(&sa, bits, &thief)),
            ..Offer::default()
        };
        let genuine = known(curve).public_key();
        let der = genuine.to_spki_der().to_vec();
        for at in 0..der.len() {
            let mut altered = der.clone();
            altered[at] ^= 1;
            let grant = Grant {
                kek: Some(KekGrant {
                    sa: &sa,
                    public_key: Some(&altered),
                    spi_key: None,
                }),
                ..Grant::default()
            };
            let read = |kd: &wire::gdoi::Kd<'_>| Received::from_wire(kd, &offer, PeerKind::Ours);
            let read = grant.with_wire(PeerKind::Ours, read).unwrap();
            assert!(read.is_err(), "octet {at} of {signature}");
        }
    }
}

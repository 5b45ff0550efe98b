//! Packets that another implementation sealed: opened here, and made again octet for octet.

use std::sync::Arc;

use policy::{
    Encryption, Generation, Integrity, KeyBits, KsIndex, PseudoTime, Spi, Tek, Transform,
};

use crate::engine::{AwsLc, Engine, Job};
use crate::esp::{Headers, IV_MAX, Iv, Payload, encapsulate, payload_of};
use crate::frame::FrameBuf;
use crate::packet::Ipv4;
use crate::sadb::{Sa, TekKey};

const VECTORS: &str = include_str!("../tests/scapy/vectors.txt");
const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

fn transform(words: &str) -> Transform {
    let bits = |bits: &str| KeyBits::from_bits(bits.parse().unwrap()).unwrap();
    let integrity = |word| match word {
        "esp-sha-hmac" => Integrity::HmacSha1,
        "esp-sha256-hmac" => Integrity::HmacSha256,
        "esp-sha384-hmac" => Integrity::HmacSha384,
        "esp-sha512-hmac" => Integrity::HmacSha512,
        other => panic!("{other}"),
    };
    let words: Vec<&str> = words.split(' ').collect();
    let (encryption, integrity) = match words[..] {
        ["esp-gcm", size] => (Encryption::AesGcm(bits(size)), Integrity::Combined),
        ["esp-gmac", size] => (Encryption::AesGmac(bits(size)), Integrity::Combined),
        ["esp-null", hmac] => (Encryption::Null, integrity(hmac)),
        ["esp-3des", hmac] => (Encryption::TripleDes, integrity(hmac)),
        ["esp-aes", size, hmac] => (Encryption::AesCbc(bits(size)), integrity(hmac)),
        _ => panic!("{words:?}"),
    };
    Transform::new(encryption, integrity).unwrap()
}

struct Vector {
    sa: Arc<Sa>,
    sequence: u32,
    iv: Vec<u8>,
    inner: Vec<u8>,
    sealed: Vec<u8>,
}

fn vector(line: &str) -> Vector {
    let (words, rest) = line.split_once('|').unwrap();
    let fields: Vec<Vec<u8>> = rest
        .split('|')
        .map(|hex| hex::decode(hex).unwrap())
        .collect();
    let number = |octets: &[u8]| u32::from_be_bytes(octets.try_into().unwrap());
    let tek = Tek {
        spi: Spi(number(&fields[0])),
        transform: transform(words),
        activation: PseudoTime::ZERO,
        expiry: PseudoTime::from_secs(3_600),
        generation: Generation::default(),
        ks_list_hash: [0; 8],
        minted_by: KsIndex::default(),
        orig_lifetime_s: 3_600,
    };
    let key = TekKey {
        encryption: crypto::Secret::copy_of(&fields[3]),
        integrity: crypto::Secret::copy_of(&fields[4]),
    };
    Vector {
        sa: Arc::new(Sa::new(Arc::new("G1".into()), tek, &key, 1).unwrap()),
        sequence: number(&fields[1]),
        iv: fields[2].clone(),
        inner: fields[5].clone(),
        sealed: fields[6].clone(),
    }
}

fn frame_of(packet: &[u8]) -> FrameBuf {
    let mut frame = FrameBuf::with_capacity(1_500);
    assert!(frame.load(&[&LINK[..], packet].concat()));
    frame
}

fn job(esp: usize) -> [Job; 1] {
    [Job {
        frame: 0,
        sa: 0,
        esp,
        done: false,
    }]
}

#[test]
fn every_transform_is_among_the_packets_of_scapy() {
    let mut transforms: Vec<_> = VECTORS.lines().map(|line| line.split('|').next()).collect();
    transforms.sort_unstable();
    transforms.dedup();
    assert_eq!(transforms.len(), 26);
}

#[test]
fn packets_of_scapy_are_opened() {
    for line in VECTORS.lines() {
        let vector = vector(line);
        let mut frames = [frame_of(&vector.sealed)];
        let mut jobs = job(LINK.len() + 20);
        AwsLc.open_batch(&[Arc::clone(&vector.sa)], &mut frames, &mut jobs);
        assert!(jobs[0].done, "{line}");
        let transform = vector.sa.tek.transform;
        let octets = frames[0].octets();
        let begin = LINK.len() + 28 + transform.iv_len();
        let payload = &octets[begin..octets.len() - transform.icv_len()];
        let len = vector.inner.len();
        assert_eq!(payload_of(payload), Some(Payload::Ipv4 { len }), "{line}");
        assert_eq!(payload[..len], vector.inner, "{line}");
    }
}

#[test]
fn packets_of_scapy_are_made_again_octet_for_octet() {
    for line in VECTORS.lines() {
        let vector = vector(line);
        let mut frames = [frame_of(&vector.inner)];
        let ip = Ipv4::read(&vector.inner).unwrap();
        let mut iv = [0; IV_MAX];
        iv[..vector.iv.len()].copy_from_slice(&vector.iv);
        let headers = Headers {
            layout: &vector.sa.layout,
            spi: vector.sa.tek.spi,
            sequence: vector.sequence,
            iv: Iv::block(iv),
            id: ip.identification(),
        };
        let esp = encapsulate(&mut frames[0], LINK.len(), &ip, &headers).unwrap();
        let mut jobs = job(esp);
        AwsLc.seal_batch(&[Arc::clone(&vector.sa)], &mut frames, &mut jobs);
        assert!(jobs[0].done, "{line}");
        assert_eq!(frames[0].octets()[..LINK.len()], LINK);
        assert_eq!(
            hex::encode(&frames[0].octets()[LINK.len()..]),
            hex::encode(&vector.sealed)
        );
    }
}

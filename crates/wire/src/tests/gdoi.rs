//! GDOI payloads: octets and values, in both directions.

use std::net::Ipv4Addr;

use crate::gdoi::{
    EspSat, Gap, Identity, Kd, KekKeys, KeyPacket, Sa, Sak, Sat, Seq, Sids, TekKeys,
};
use crate::iana::{
    AckType, AuthAlgorithm, Doi, EncapsulationMode, EspTransform, KekAlgorithm, PayloadType,
    SigAlgorithm, SigHashAlgorithm,
};
use crate::isakmp::{Attribute, Builder, Chain, Delete, Payload};
use crate::tests::{both_ways, octets};

fn reference_sat(spi: u32, destination: [u8; 4]) -> Sat {
    Sat::Esp(EspSat {
        protocol: 0,
        source: Identity::v4(Ipv4Addr::new(10, 0, 224, 37), 0),
        destination: Identity::v4(destination.into(), 0),
        transform: EspTransform::TRIPLE_DES,
        spi,
        encapsulation: Some(EncapsulationMode::TRANSPORT),
        authentication: Some(AuthAlgorithm::HMAC_SHA1),
        key_bits: None,
        lifetime_s: Some(60),
        lifetime_kb: None,
        address_preservation: None,
        direction: None,
        other: Vec::new(),
    })
}

/// The SA payload of a recorded PULL, whose HASH(2) is known to be right.
const REFERENCE_SA: &str = "
    00000002 00000000 000f 0000
    10 00 0035 | 11 | 01 0350 04 0a00e02c | 01 0350 04 ef0a0101
    6162636465666768 3031323334353637 | 00000000 | 80020002 80050002 80060001
    10 00 002b | 01 | 00 | 01 0000 04 0a00e025 | 01 0000 04 ef010101
    03 | 1122aabb | 80040002 80050002 80010001 8002003c
    00 00 002b | 01 | 00 | 01 0000 04 0a00e025 | 01 0000 04 ef010102
    03 | 3344ccdd | 80040002 80050002 80010001 8002003c";

#[test]
fn the_sa_of_the_reference_trace_is_read_and_written() {
    let body = octets(REFERENCE_SA);
    assert_eq!(body.len() + 4, 0x9b);
    let sa = Sa {
        doi: Doi::GDOI,
        situation: 0,
        sak: Some(Sak {
            protocol: 17,
            source: Identity::v4(Ipv4Addr::new(10, 0, 224, 44), 848),
            destination: Identity::v4(Ipv4Addr::new(239, 10, 1, 1), 848),
            spi: *b"abcdefgh01234567",
            algorithm: KekAlgorithm::TRIPLE_DES,
            key_bits: None,
            lifetime_s: None,
            sig_hash: Some(SigHashAlgorithm::SHA1),
            sig_algorithm: SigAlgorithm::RSA,
            sig_key_bits: None,
            management: None,
            ack_requested: None,
            other: Vec::new(),
        }),
        gap: None,
        sats: vec![
            reference_sat(0x1122_aabb, [239, 1, 1, 1]),
            reference_sat(0x3344_ccdd, [239, 1, 1, 2]),
        ],
    };
    both_ways(&body, &sa);
}

#[test]
fn a_kd_with_every_kind_of_packet_is_read_and_written() {
    let body = octets(
        "0004 0000
         01 00 0019 04 11223344 0001 0004 a1a2a3a4 0002 0004 b1b2b3b4
         02 00 0025 10 000102030405060708090a0b0c0d0e0f 0001 0004 c1c2c3c4 0002 0004 d1d2d3d4
         04 00 0017 00 80010018 0002 0003 abcdef 0002 0003 000001
         80 00 000b 02 9999 80050007",
    );
    let kd = Kd {
        packets: vec![
            KeyPacket::Tek(TekKeys {
                spi: 0x1122_3344,
                algorithm_key: Some(&[0xa1, 0xa2, 0xa3, 0xa4]),
                integrity_key: Some(&[0xb1, 0xb2, 0xb3, 0xb4]),
                ..TekKeys::default()
            }),
            KeyPacket::Kek(KekKeys {
                spi: std::array::from_fn(|i| i as u8),
                algorithm_key: Some(&[0xc1, 0xc2, 0xc3, 0xc4]),
                signature_key: Some(&[0xd1, 0xd2, 0xd3, 0xd4]),
                other: Vec::new(),
            }),
            KeyPacket::Sid(Sids {
                bits: 24,
                values: vec![0x00AB_CDEF, 1],
                other: Vec::new(),
            }),
            KeyPacket::Other {
                ty: crate::iana::KdType(128),
                spi: &[0x99, 0x99],
                attributes: vec![Attribute::basic(5, 7)],
            },
        ],
    };
    both_ways(&body, &kd);
}

#[test]
fn gap_seq_and_delete_are_read_and_written() {
    both_ways(
        &octets("8001 000a 8002 001e 8003 0002 0080 0001 07"),
        &Gap {
            activation_delay_s: Some(10),
            deactivation_delay_s: Some(30),
            sender_id_request: Some(2),
            other: vec![Attribute::variable(128, &[7]).into_owned()],
        },
    );
    both_ways(&octets("00000001"), &Seq(1));
    both_ways(
        &octets("00000002 01 04 0002 00000100 00000101"),
        &Delete::esp(&[256, 257]),
    );
    both_ways(
        &octets("00000002 00 10 0001 000102030405060708090a0b0c0d0e0f"),
        &Delete::kek(std::array::from_fn(|i| i as u8)),
    );
}

#[test]
fn the_next_payload_of_an_sa_names_what_follows_the_group() {
    let mut builder = Builder::new();
    builder.push(&Seq(7));
    builder.push(&Sa {
        sats: vec![reference_sat(1, [239, 1, 1, 1])],
        ..Sa::default()
    });
    builder.push(&Kd::default());
    let built = builder.finish().unwrap();
    let chain = Chain::decode_exact(built.first(), built.payloads()).unwrap();
    let types: Vec<_> = chain.types().collect();
    assert_eq!(types, [PayloadType::SEQ, PayloadType::SA, PayloadType::KD]);
}

#[test]
fn a_second_sak_and_a_wrong_order_are_named() {
    let body = octets(REFERENCE_SA);
    let mut twice = body.clone();
    twice[12] = 15;
    let first = twice[12..12 + 0x35].to_vec();
    twice.splice(12..12, first);
    assert_eq!(
        Sa::decode(&twice).unwrap_err().to_string(),
        "GDOI SA payload: SAK more than once"
    );
    let mut late = body;
    late[12 + 0x35] = 22;
    assert_eq!(
        Sa::decode(&late).unwrap_err().to_string(),
        "GDOI SA payload: type of an SA attribute payload is 22, expected SAK (15), GAP (22), \
         SAT (16) in this order"
    );
}

#[test]
fn a_sak_with_everything_keeps_what_it_does_not_know() {
    let sak = Sak {
        protocol: 17,
        source: Identity::v4(Ipv4Addr::new(10, 1, 11, 2), 848),
        destination: Identity::v4(Ipv4Addr::new(10, 1, 20, 2), 848),
        spi: [9; 16],
        algorithm: KekAlgorithm::AES,
        key_bits: Some(256),
        lifetime_s: Some(86_400),
        sig_hash: Some(SigHashAlgorithm::SHA256),
        sig_algorithm: SigAlgorithm::RSA,
        sig_key_bits: Some(2_048),
        management: None,
        ack_requested: Some(AckType::GETVPN_MEMBER),
        other: vec![Attribute::basic(200, 1)],
    };
    both_ways(
        &octets(
            "11 | 01 0350 04 0a010b02 | 01 0350 04 0a011402
             09090909090909090909090909090909 | 00000000
             80020003 80030100 0004000400015180 80050003 80060001 80070800 80090081 80c80001",
        ),
        &sak,
    );
}

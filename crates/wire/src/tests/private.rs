use std::net::{Ipv4Addr, Ipv6Addr};

use crate::gdoi::{Ack, EspSat, Gap, Identity, Kd, KekKeys, KeyPacket, Sa, Sak, Sat, Seq, TekKeys};
use crate::iana::{
    AckType, AuthAlgorithm, EncapsulationMode, EspTransform, ExchangeType, KekAlgorithm,
    PayloadType, SaDirection, SigAlgorithm, SigHashAlgorithm,
};
use crate::isakmp::{Attribute, Builder, Flags, Hash, Header, Id, Sig, Value};
use crate::private::{
    AckFlags, AckStatus, Action, AddressRule, ChunkKind, ChunkList, GroupStamp, KeyRecord,
    KinNonce, PolicyAce, PolicyBlob, PolicyChunk, PolicyName, PolicyRequest, PolicySa, PortRule,
    SidsHeld,
};
use crate::tests::{both_ways, octets};

fn value(attribute: &Attribute<'_>) -> Vec<u8> {
    match &attribute.value {
        Value::Variable(octets) => octets.to_vec(),
        Value::Basic(_) => panic!("a basic attribute"),
    }
}

fn generation(counters: &[(usize, u32)]) -> [u32; 16] {
    let mut generation = [0; 16];
    for (index, counter) in counters {
        generation[*index] = *counter;
    }
    generation
}

fn record() -> KeyRecord {
    KeyRecord {
        activation_ns: 1,
        expiry_ns: 0x0102_0304_0506_0708,
        clock_generation: 2,
        orig_lifetime_s: 3_600,
        ks_list_hash: [9; 8],
        minted_by: 15,
        generation: generation(&[(0, 5), (15, 1)]),
    }
}

#[test]
fn a_key_record_is_read_and_written() {
    let body = octets(
        "0000000000000001 0102030405060708 00000002 00000e10 0909090909090909 0f
         8001 00000005 00000001",
    );
    let attribute = record().attribute().unwrap();
    assert_eq!(value(&attribute), body);
    assert_eq!(KeyRecord::decode(&body).unwrap(), record());
    assert_eq!(KeyRecord::find(&[attribute]).unwrap(), Some(record()));
    assert_eq!(KeyRecord::find(&[]).unwrap(), None);
    let twice = [record().attribute().unwrap(), record().attribute().unwrap()];
    assert_eq!(
        KeyRecord::find(&twice).unwrap_err().to_string(),
        "key record: the attribute more than once"
    );
    let zero = octets(
        "0000000000000001 0102030405060708 00000002 00000e10 0909090909090909 0f 0001 00000000",
    );
    assert_eq!(
        KeyRecord::decode(&zero).unwrap_err().to_string(),
        "key record: counter of the generation is 0, expected not 0 when its bit is set"
    );
}

fn stamp() -> GroupStamp {
    GroupStamp {
        pseudotime_ns: 7,
        clock_generation: 1,
        stamped_by: 0,
        generation: [0; 16],
    }
}

#[test]
fn stamp_and_sids_are_read_and_written() {
    let body = octets("0000000000000007 00000001 00 0000");
    assert_eq!(value(&stamp().attribute().unwrap()), body);
    assert_eq!(GroupStamp::decode(&body).unwrap(), stamp());
    let held = SidsHeld {
        bits: 24,
        sids: vec![1, 0x00AB_CDEF],
    };
    let body = octets("18 00000001 00abcdef");
    assert_eq!(value(&held.attribute().unwrap()), body);
    assert_eq!(SidsHeld::decode(&body).unwrap(), held);
    assert!(SidsHeld::decode(&octets("18 00000002 00000002")).is_err());
    assert!(SidsHeld::decode(&octets("18 01000000")).is_err());
}

#[test]
fn a_policy_name_has_the_form_that_fits_its_chunks() {
    let name = |octets, chunks| PolicyName {
        sha256: [1; 32],
        octets,
        chunks,
    };
    for good in [
        name(1, ChunkList::Single),
        name(1_024, ChunkList::Single),
        name(1_025, ChunkList::Inline(vec![[2; 32], [3; 32]])),
        name(1_025, ChunkList::Named([4; 32])),
        name(1 << 20, ChunkList::Named([4; 32])),
    ] {
        let attribute = good.attribute().unwrap();
        assert_eq!(PolicyName::decode(&value(&attribute)).unwrap(), good);
        assert_eq!(PolicyName::find(&[attribute]).unwrap(), Some(good));
    }
    for bad in [
        name(0, ChunkList::Single),
        name(1_025, ChunkList::Single),
        name(1_024, ChunkList::Named([4; 32])),
        name(1_025, ChunkList::Inline(vec![[2; 32]])),
        name((1 << 20) + 1, ChunkList::Named([4; 32])),
    ] {
        assert!(bad.attribute().is_err(), "{bad:?}");
    }
    let body =
        octets("00000000000000000000000000000000000000000000000000000000000000aa 00000400 00");
    assert_eq!(PolicyName::decode(&body).unwrap().chunk_count(), 1);
}

#[test]
fn nonce_request_and_chunk_are_read_and_written() {
    let nonce = KinNonce {
        random: [1; 32],
        kin: [2; 12],
        vid: [3; 12],
    };
    assert_eq!(KinNonce::decode(&nonce.encode()).unwrap(), nonce);
    assert!(KinNonce::decode(&[0; 55]).is_err() && KinNonce::decode(&[0; 57]).is_err());
    let mut body = vec![5; 32];
    body.extend_from_slice(&[2, 0, 0, 7]);
    both_ways(
        &body,
        &PolicyRequest {
            sha256: [5; 32],
            kind: ChunkKind::List,
            number: 7,
        },
    );
    both_ways(
        &octets("01 00 0007 aabb"),
        &PolicyChunk {
            kind: ChunkKind::Blob,
            number: 7,
            data: Some(&[0xaa, 0xbb]),
        },
    );
    both_ways(
        &octets("01 01 0007"),
        &PolicyChunk {
            kind: ChunkKind::Blob,
            number: 7,
            data: None,
        },
    );
    assert!(
        crate::isakmp::Raw {
            ty: PayloadType::GETVPN_POLICY_CHUNK,
            whole: &[],
            body: &octets("01 01 0007 aa"),
        }
        .decode::<PolicyChunk<'_>>()
        .is_err()
    );
}

fn policy() -> PolicyBlob {
    let any = PolicyAce {
        action: Action::Permit,
        protocol: None,
        source: AddressRule::Any,
        source_port: PortRule::Any,
        destination: AddressRule::Any,
        destination_port: PortRule::Any,
    };
    PolicyBlob {
        activation_ns: 0x0A0B,
        clock_generation: 1,
        sas: vec![PolicySa {
            number: 10,
            transform: EspTransform::AES_GCM_16,
            key_bits: 256,
            authentication: AuthAlgorithm::NONE,
            lifetime_s: 3_600,
            tbar_window_s: Some(5),
            acl_name: "ENCPOL".into(),
            aces: vec![
                PolicyAce {
                    action: Action::Deny,
                    protocol: Some(17),
                    source_port: PortRule::Eq(848),
                    destination_port: PortRule::Range(500, 848),
                    ..any
                },
                PolicyAce {
                    source: AddressRule::V4 {
                        address: Ipv4Addr::new(192, 168, 0, 0),
                        wildcard: Ipv4Addr::new(0, 0, 255, 255),
                    },
                    destination: AddressRule::V6 {
                        prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
                        length: 32,
                    },
                    ..any
                },
            ],
        }],
    }
}

const POLICY: &str = "
    01 00 0001 0000000000000a0b 00000001
    000a 14 00 0100 0000 00000e10 00000005 06 454e43504f4c 0002
    02 0011 00 01 0350 00 05 01f4 0350
    01 0100 04 c0a80000 0000ffff 00 06 20010db8000000000000000000000000 20 00";

#[test]
fn a_policy_blob_is_read_and_written() {
    assert_eq!(
        hex::encode(policy().encode().unwrap()),
        hex::encode(octets(POLICY))
    );
    assert_eq!(PolicyBlob::decode(&octets(POLICY)).unwrap(), policy());
}

#[test]
fn a_policy_has_one_encoding() {
    for (from, to, says) in [
        ("01 00 0001", "02 00 0001", "version is 2, expected 1"),
        (
            "02 0011",
            "03 0011",
            "action is 3, expected 1 (permit) or 2 (deny)",
        ),
        (
            "0011 00 01",
            "0111 00 01",
            "protocol is 273, expected 0 to 256",
        ),
        (
            "05 01f4 0350",
            "05 0351 0350",
            "end of a port range is 848, expected its beginning or above",
        ),
        (
            "c0a80000",
            "c0a80001",
            "address is 3232235521, expected 0 where the wildcard is 1",
        ),
        (
            "0000ffff 00",
            "ffffffff 00",
            "wildcard is 4294967295, expected any instead of all ones",
        ),
        (
            "000000 20 00",
            "000001 20 00",
            "prefix length is 32, expected no bits beyond it",
        ),
        (
            "000000 20 00",
            "000000 81 00",
            "prefix length is 129, expected 0 to 128",
        ),
    ] {
        let text = POLICY.replacen(from, to, 1);
        assert_ne!(text, POLICY);
        let error = PolicyBlob::decode(&octets(&text)).unwrap_err();
        assert_eq!(error.to_string(), format!("policy blob: {says}"));
    }
    let mut twice = policy();
    twice.sas.push(twice.sas[0].clone());
    assert_eq!(
        twice.encode().unwrap_err().to_string(),
        "policy blob: number of an SA is 10, expected above the one before it"
    );
    let mut zero = policy();
    zero.sas[0].tbar_window_s = Some(0);
    assert!(zero.encode().is_err());
}

#[test]
fn an_ack_of_ours_says_what_was_done_and_a_plain_one_does_not() {
    let status = AckStatus {
        flags: AckFlags::OLD_POLICY,
        policy: [8; 32],
    };
    assert!(status.flags.contains(AckFlags::OLD_POLICY));
    let mut builder = Builder::new();
    let hash = builder.push(&Hash { data: &[0xcc; 32] });
    builder.push(&Seq(5));
    let id = Id::of_address(Ipv4Addr::new(10, 1, 20, 2).into());
    builder.push(&id);
    let plain_len = 36 + 8 + 12;
    builder.push(&status.notify());
    let built = builder.finish().unwrap();
    let ack = Ack::decode(built.first(), built.payloads()).unwrap();
    assert_eq!((ack.hash, ack.seq, &ack.id), (&[0xcc; 32][..], Seq(5), &id));
    assert_eq!(ack.authenticated, built.after(hash));
    assert_eq!(AckStatus::decode(ack.notify.as_ref().unwrap()), Ok(status));
    let mut plain = built.payloads()[..plain_len].to_vec();
    plain[44] = 0;
    let ack = Ack::decode(PayloadType::HASH, &plain).unwrap();
    assert_eq!(ack.notify, None);
    assert_eq!(ack.authenticated.len(), 20);
    assert_eq!(
        Ack::decode(PayloadType::NONCE, &plain)
            .unwrap_err()
            .to_string(),
        "GROUPKEY-PUSH ACK: payload type is 10, expected HASH (8) first"
    );
}

/// The SA payload of the table in `docs/private-attributes.md` section 10.
fn usual_sa(kek_spi: [u8; 16], record: &KeyRecord) -> Sa {
    let any = Identity::v4_subnet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, 0);
    let stamp = GroupStamp {
        generation: record.generation,
        ..stamp()
    };
    let name = PolicyName {
        sha256: [1; 32],
        octets: 4_000,
        chunks: ChunkList::Named([2; 32]),
    };
    Sa {
        sak: Some(Sak {
            protocol: 17,
            source: Identity::v4(Ipv4Addr::new(10, 1, 11, 2), 848),
            destination: Identity::v4(Ipv4Addr::new(10, 1, 20, 2), 848),
            spi: kek_spi,
            algorithm: KekAlgorithm::AES,
            key_bits: Some(256),
            lifetime_s: Some(86_400),
            sig_hash: Some(SigHashAlgorithm::SHA256),
            sig_algorithm: SigAlgorithm::RSA,
            sig_key_bits: Some(2_048),
            management: None,
            ack_requested: Some(AckType::GETVPN_MEMBER),
            other: vec![record.attribute().unwrap()],
        }),
        gap: Some(Gap {
            other: vec![stamp.attribute().unwrap(), name.attribute().unwrap()],
            ..Gap::default()
        }),
        sats: vec![Sat::Esp(EspSat {
            protocol: 0,
            source: any.clone(),
            destination: any,
            transform: EspTransform::AES_GCM_16,
            spi: 0x1000_0001,
            encapsulation: Some(EncapsulationMode::TUNNEL),
            authentication: None,
            key_bits: Some(256),
            lifetime_s: Some(86_400),
            lifetime_kb: None,
            address_preservation: None,
            direction: Some(SaDirection::SYMMETRIC),
            other: Vec::new(),
        })],
        ..Sa::default()
    }
}

#[test]
fn a_push_with_a_new_kek_and_tek_fits_a_datagram() {
    let record = KeyRecord {
        generation: generation(&[(0, 1), (1, 1)]),
        ..record()
    };
    let kek_spi = [3; 16];
    let mut builder = Builder::new();
    builder.push(&Seq(1));
    builder.push(&usual_sa(kek_spi, &record));
    builder.push(&Kd {
        packets: vec![
            KeyPacket::Tek(TekKeys {
                spi: 0x1000_0001,
                algorithm_key: Some(&[6; 36]),
                other: vec![record.attribute().unwrap()],
                ..TekKeys::default()
            }),
            KeyPacket::Kek(KekKeys {
                spi: kek_spi,
                algorithm_key: Some(&[7; 48]),
                signature_key: Some(&[4; 294]),
                other: Vec::new(),
            }),
        ],
    });
    builder.push(&Sig { data: &[5; 256] });
    let header = Header::new(
        [1; 8],
        [2; 8],
        ExchangeType::GROUPKEY_PUSH,
        Flags::ENCRYPTION,
        0,
    );
    let message = builder.finish().unwrap().into_padded_message(header, 16);
    assert_eq!(message.len(), 1_084);
    assert!(message.len() < 1_280);
}

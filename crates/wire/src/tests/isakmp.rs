use std::net::Ipv4Addr;

use crate::codec::Writer;
use crate::iana::{
    CertEncoding, Doi, ExchangeType, IdType, IsakmpTransform, NotifyType, OakleyAttribute,
    OakleyGroup, PayloadType, ProtocolId,
};
use crate::isakmp::{
    Attribute, Builder, Cert, CertRequest, Chain, Delete, Flags, Hash, Header, Id, Ke, Nonce,
    Notify, Payload, Proposal, Sa, Sig, Transform, VendorId, vendor_id,
};
use crate::tests::{both_ways, octets};

const HEADER: &str = "0102030405060708 1112131415161718 08 10 20 01 deadbeef 0000001c";

#[test]
fn a_header_is_read_and_written() {
    let bytes = octets(HEADER);
    let (header, rest) = Header::split(&bytes).unwrap();
    assert_eq!(rest, []);
    assert_eq!(
        header,
        Header {
            initiator_cookie: [1, 2, 3, 4, 5, 6, 7, 8],
            responder_cookie: [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
            next_payload: PayloadType::HASH,
            version: Header::VERSION_1_0,
            exchange_type: ExchangeType::GROUPKEY_PULL,
            flags: Flags::ENCRYPTION,
            message_id: 0xdead_beef,
            length: 28,
        }
    );
    assert_eq!((header.major_version(), header.minor_version()), (1, 0));
    assert_eq!(header.cookies(), bytes[..16]);
    assert_eq!(header.encode(), bytes[..]);
    assert_eq!(header.flags.to_string(), "E");
}

#[test]
fn a_length_that_is_not_the_datagrams_is_named() {
    let mut bytes = octets(HEADER);
    bytes[27] = 27;
    let says = |bytes: &[u8]| Header::split(bytes).unwrap_err().to_string();
    assert_eq!(
        says(&bytes),
        "ISAKMP header: Length is 27, expected 28 or more"
    );
    bytes[27] = 30;
    assert_eq!(says(&bytes), "ISAKMP header: 30 octets expected, 28 left");
    bytes[27] = 28;
    bytes.push(0);
    assert_eq!(
        says(&bytes),
        "ISAKMP header: 1 octets after its end, none expected"
    );
    assert_eq!(
        says(&bytes[..9]),
        "ISAKMP header: 8 octets expected, 1 left"
    );
}

/// One proposal of two transforms, as strongSwan and others send them.
const OFFER: &str = "
    00000001 00000001
    00 00 004c | 01 01 00 02
    03 00 0024 | 01 01 0000 80010007 800e0100 80020004 80040013 80030001 800b0001 800c0e10
    00 00 0020 | 02 01 0000 80010005 80020002 8004000e 80030001 000c0004 00015180";

#[test]
fn a_phase_1_offer_is_read_and_written() {
    let body = octets(OFFER);
    let number = |class: OakleyAttribute, value| Attribute::basic(class.0, value);
    let strong = Transform {
        number: 1,
        id: IsakmpTransform::KEY_IKE,
        attributes: vec![
            number(OakleyAttribute::ENCRYPTION_ALGORITHM, 7),
            number(OakleyAttribute::KEY_LENGTH, 256),
            number(OakleyAttribute::HASH_ALGORITHM, 4),
            number(OakleyAttribute::GROUP_DESCRIPTION, 19),
            number(OakleyAttribute::AUTHENTICATION_METHOD, 1),
            number(OakleyAttribute::LIFE_TYPE, 1),
            number(OakleyAttribute::LIFE_DURATION, 3_600),
        ],
    };
    let weak = Transform {
        number: 2,
        id: IsakmpTransform::KEY_IKE,
        attributes: vec![
            number(OakleyAttribute::ENCRYPTION_ALGORITHM, 5),
            number(OakleyAttribute::HASH_ALGORITHM, 2),
            number(OakleyAttribute::GROUP_DESCRIPTION, 14),
            number(OakleyAttribute::AUTHENTICATION_METHOD, 1),
            Attribute::long(OakleyAttribute::LIFE_DURATION.0, 86_400),
        ],
    };
    let group = strong.number_of(OakleyAttribute::GROUP_DESCRIPTION);
    assert_eq!(group, Some(OakleyGroup::ECP_256.0.into()));
    assert_eq!(weak.number_of(OakleyAttribute::LIFE_DURATION), Some(86_400));
    assert_eq!(weak.number_of(OakleyAttribute::KEY_LENGTH), None);
    let sa = Sa {
        doi: Doi::IPSEC,
        situation: crate::isakmp::sa::SIT_IDENTITY_ONLY,
        proposals: vec![Proposal {
            number: 1,
            protocol: ProtocolId::ISAKMP,
            spi: Vec::new(),
            transforms: vec![strong, weak],
        }],
    };
    both_ways(&body, &sa);
}

#[test]
fn wrong_counts_and_labels_in_an_offer_are_named() {
    let one = "00000002 00000000 | 00 00 0014 | 01 01 00 01 | 00 00 000c | 01 01 0000 80010007";
    assert_eq!(Sa::decode(&octets(one)).unwrap().doi, Doi::GDOI);
    for (from, to, says) in [
        (
            "01 01 00 01 |",
            "01 01 00 02 |",
            "Proposal payload: # of Transforms is 2, expected the number of its Transform \
             payloads, at least 1",
        ),
        (
            "00000000 |",
            "00000002 |",
            "SA payload: Situation is 2, expected 0 or 1: labelled domains are not supported",
        ),
        (
            "00 00 000c",
            "02 00 000c",
            "Proposal payload: Next Payload is 2, expected 3 or 0",
        ),
        (
            "00 00 000c",
            "00 01 000c",
            "Proposal payload: RESERVED is 1, expected 0",
        ),
        (
            "80010007",
            "00010007",
            "Transform payload: 7 octets expected, 0 left",
        ),
    ] {
        let error = Sa::decode(&octets(&one.replacen(from, to, 1))).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
    let empty = Sa::decode(&octets("00000002 00000000")).unwrap_err();
    assert_eq!(
        empty.to_string(),
        "SA payload: a Proposal payload is missing"
    );
}

#[test]
fn identities_are_read_and_written() {
    both_ways(&octets("0b 00 0000 000004d2"), &Id::group_number(1_234));
    let address = Ipv4Addr::new(10, 1, 20, 2);
    both_ways(
        &octets("01 00 0000 0a011402"),
        &Id::of_address(address.into()),
    );
    both_ways(
        &octets("02 11 01f4 676d312e6578616d706c65"),
        &Id {
            ty: IdType::FQDN,
            protocol: 17,
            port: 500,
            data: b"gm1.example".to_vec(),
        },
    );
    assert_eq!(Id::group_number(1_234).as_group_number(), Some(1_234));
    assert_eq!(
        Id::of_address(address.into()).address(),
        Some(address.into())
    );
    assert_eq!(Id::group_number(1).address(), None);
    assert_eq!(
        Id::decode(&octets("01 00 0000 0a0114"))
            .unwrap_err()
            .to_string(),
        "ID payload: length of Identification Data is 3, expected 4 octets for ID_IPV4_ADDR"
    );
}

#[test]
fn payloads_that_are_mere_octets_are_read_and_written() {
    both_ways(&[1, 2, 3], &Ke { data: &[1, 2, 3] });
    both_ways(&[1, 2, 3], &Hash { data: &[1, 2, 3] });
    both_ways(&[1, 2, 3], &Sig { data: &[1, 2, 3] });
    both_ways(&[7; 8], &Nonce { data: &[7; 8] });
    let dpd = VendorId {
        data: &vendor_id::DPD_1_0,
    };
    assert!(dpd.is_dpd());
    both_ways(&octets("afcad71368a1f1c96b8696fc77570100"), &dpd);
    both_ways(
        &octets("04 3082"),
        &Cert {
            encoding: CertEncoding::X509_SIGNATURE,
            data: &[0x30, 0x82],
        },
    );
    both_ways(
        &octets("04"),
        &CertRequest {
            encoding: CertEncoding::X509_SIGNATURE,
            authority: &[],
        },
    );
}

#[test]
fn a_nonce_has_the_bounds_of_its_exchange() {
    assert!(Nonce::decode(&[0; 7]).is_err() && Nonce::decode(&[0; 257]).is_err());
    assert!(Nonce::decode(&[0; 256]).is_ok() && Nonce::decode_pull(&[0; 128]).is_ok());
    assert_eq!(
        Nonce::decode_pull(&[0; 129]).unwrap_err().to_string(),
        "Nonce payload of a PULL: length is 129, expected 8 to 128 octets"
    );
}

#[test]
fn notify_and_delete_of_phase_1_are_read_and_written() {
    both_ways(
        &octets("00000001 01 10 8d28 01020304050607081112131415161718 00000007"),
        &Notify {
            doi: Doi::IPSEC,
            protocol: ProtocolId::ISAKMP,
            ty: NotifyType::R_U_THERE,
            spi: octets("01020304050607081112131415161718"),
            data: octets("00000007"),
        },
    );
    assert!(NotifyType::NO_PROPOSAL_CHOSEN.is_error() && !NotifyType::R_U_THERE.is_error());
    let cookies = [5; 16];
    both_ways(
        &octets("00000002 01 10 0001 05050505050505050505050505050505"),
        &Delete::isakmp(Doi::GDOI, cookies),
    );
    let none = Delete::decode(&octets("00000002 01 00 0001")).unwrap_err();
    assert_eq!(
        none.to_string(),
        "Delete payload: SPI Size is 0, expected 1 or more"
    );
}

#[test]
fn a_chain_gives_whole_payloads_and_its_padding() {
    let bytes = octets("0a 00 0006 aabb | 00 00 000c 1122334455667788 | 000000");
    let chain = Chain::decode(PayloadType::HASH, &bytes).unwrap();
    assert_eq!((chain.used, chain.padding), (18, &[0, 0, 0][..]));
    let nonce = chain.find(PayloadType::NONCE).unwrap();
    assert_eq!((nonce.whole, nonce.body), (&bytes[6..18], &bytes[10..18]));
    assert_eq!(chain.payloads[0].whole, &bytes[..6]);
    assert_eq!(
        Chain::decode_exact(PayloadType::HASH, &bytes)
            .unwrap_err()
            .to_string(),
        "payload chain: 3 octets after its end, none expected"
    );
    assert!(
        Chain::decode(PayloadType::NONE, &[])
            .unwrap()
            .payloads
            .is_empty()
    );
}

#[test]
fn a_broken_chain_is_named() {
    for (text, says) in [
        (
            "00 00 0003",
            "payload chain: Payload Length is 3, expected 4 or more",
        ),
        ("00 00 0009 aa", "payload chain: 5 octets expected, 1 left"),
        ("00 01 0004", "payload chain: RESERVED is 1, expected 0"),
        ("08 00 0004", "payload chain: 1 octets expected, 0 left"),
    ] {
        let error = Chain::decode(PayloadType::HASH, &octets(text)).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
    let endless = [8, 0, 0, 4].repeat(65);
    assert_eq!(
        Chain::decode(PayloadType::HASH, &endless)
            .unwrap_err()
            .to_string(),
        "payload chain: more than 64 payloads"
    );
}

#[test]
fn a_built_chain_patches_what_follows_and_fills_in_hashes() {
    let mut builder = Builder::new();
    let hash = builder.push(&Hash { data: &[0; 2] });
    let nonce = builder.push(&Nonce { data: &[7; 8] });
    builder.push_raw(PayloadType(200), &[1]);
    let mut built = builder.finish().unwrap();
    assert_eq!(
        built.after(hash),
        octets("c8 00 000c 0707070707070707 00 00 0005 01")
    );
    assert_eq!(built.before(nonce), octets("0a 00 0006 0000"));
    built.body_mut(hash).copy_from_slice(&[0xaa, 0xbb]);
    assert_eq!(built.whole(hash), octets("0a 00 0006 aabb"));
    let header = Header::new(
        [1; 8],
        [2; 8],
        ExchangeType::GROUPKEY_PULL,
        Flags::ENCRYPTION,
        3,
    );
    assert_eq!(built.header(header).length, 28 + 6 + 12 + 5);
    let message = built.into_padded_message(header, 16);
    assert_eq!(message.len(), 28 + 32);
    let (header, payloads) = Header::split(&message).unwrap();
    assert_eq!(
        (header.next_payload, header.length),
        (PayloadType::HASH, 60)
    );
    assert_eq!(
        Chain::decode(header.next_payload, payloads).unwrap().used,
        23
    );
}

#[test]
fn what_does_not_fit_a_field_is_an_error_and_no_panic() {
    let mut builder = Builder::new();
    builder.push_raw(PayloadType::VENDOR_ID, &vec![0; 65_532]);
    assert_eq!(
        builder.finish().err().unwrap().to_string(),
        "payload: more than 65535 octets"
    );
    let mut w = Writer::new();
    w.count_u8("Proposal payload", "transforms", 256);
    assert_eq!(
        w.finish().unwrap_err().to_string(),
        "Proposal payload: more than 255 transforms"
    );
}

//! Properties over values and octets that nobody thought of.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::gdoi::{EspSat, Gap, Identity, Kd, KekKeys, KeyPacket, Sa, Sak, Sat, Sids, TekKeys};
use crate::iana::{
    AckType, AddressPreservation, AuthAlgorithm, Doi, EncapsulationMode, EspTransform, IdType,
    IsakmpTransform, KekAlgorithm, KekManagement, NotifyType, PayloadType, ProtocolId, SaDirection,
    SatProtocol, SigAlgorithm, SigHashAlgorithm,
};
use crate::isakmp::{
    self, Attribute, Builder, Chain, Delete, Header, Id, Notify, Payload, Proposal, Transform,
    Value,
};
use crate::private::{
    Action, AddressRule, Announcement, CoopFlags, CoopGroup, CoopMarks, CoopRecord, CoopRole,
    GroupStamp, Heard, KeyRecord, PolicyAce, PolicyBlob, PolicySa, PortRule,
};

/// The body of a payload.
fn body<'a, P: Payload<'a>>(payload: &P) -> Vec<u8> {
    let mut builder = Builder::new();
    let place = builder.push(payload);
    builder.finish().unwrap().body(place).to_vec()
}

/// A value that was read is written in a form that reads as the same value, and that form is
/// stable.
fn settles<'a, P: Payload<'a> + PartialEq + Debug>(bytes: &'a [u8]) -> Option<(P, Vec<u8>)> {
    let value = P::decode(bytes).ok()?;
    let written = body(&value);
    Some((value, written))
}

fn attribute(classes: std::ops::Range<u16>) -> impl Strategy<Value = Attribute<'static>> {
    (
        classes,
        any::<bool>(),
        any::<u16>(),
        vec(any::<u8>(), 0..20),
    )
        .prop_map(|(class, basic, number, octets)| {
            if basic {
                Attribute::basic(class, number)
            } else {
                Attribute {
                    class,
                    value: Value::Variable(octets.into()),
                }
            }
        })
}

fn identity() -> impl Strategy<Value = Identity> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(a, port)| Identity::v4(a.into(), port)),
        (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(a, m, port)| Identity::v4_subnet(a.into(), m.into(), port)),
        (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u16>())
            .prop_map(|(a, m, port)| Identity::v6_subnet(a.into(), m.into(), port)),
        (any::<u16>(), vec(any::<u8>(), 0..255)).prop_map(|(port, data)| Identity {
            ty: IdType::KEY_ID,
            port,
            data
        }),
        any::<u8>().prop_map(|ty| Identity {
            ty: IdType(ty),
            port: 0,
            data: vec![0; 3]
        }),
    ]
}

prop_compose! {
    fn sak()(
        (protocol, source, destination, spi) in
            (any::<u8>(), identity(), identity(), any::<[u8; 16]>()),
        (algorithm, key_bits, lifetime_s) in
            (any::<u16>(), option::of(any::<u16>()), option::of(any::<u32>())),
        (hash, signature, bits) in
            (option::of(any::<u16>()), any::<u16>(), option::of(any::<u16>())),
        (management, ack) in (option::of(any::<u16>()), option::of(any::<u16>())),
        other in vec(attribute(10..0x8000), 0..4),
    ) -> Sak {
        Sak {
            protocol,
            source,
            destination,
            spi,
            algorithm: KekAlgorithm(algorithm),
            key_bits,
            lifetime_s,
            sig_hash: hash.map(SigHashAlgorithm),
            sig_algorithm: SigAlgorithm(signature),
            sig_key_bits: bits,
            management: management.map(KekManagement),
            ack_requested: ack.map(AckType),
            other,
        }
    }
}

prop_compose! {
    fn esp_sat()(
        (protocol, source, destination) in (any::<u8>(), identity(), identity()),
        (transform, spi) in (any::<u8>(), any::<u32>()),
        (encapsulation, authentication, key_bits) in
            (option::of(any::<u16>()), option::of(any::<u16>()), option::of(any::<u16>())),
        (lifetime_s, lifetime_kb) in (option::of(any::<u32>()), option::of(any::<u32>())),
        (preservation, direction) in (option::of(any::<u16>()), option::of(any::<u16>())),
        other in vec(attribute(16..0x8000), 0..4),
    ) -> Sat {
        Sat::Esp(EspSat {
            protocol,
            source,
            destination,
            transform: EspTransform(transform),
            spi,
            encapsulation: encapsulation.map(EncapsulationMode),
            authentication: authentication.map(AuthAlgorithm),
            key_bits,
            lifetime_s,
            lifetime_kb,
            address_preservation: preservation.map(AddressPreservation),
            direction: direction.map(SaDirection),
            other,
        })
    }
}

fn sat() -> impl Strategy<Value = Sat> {
    prop_oneof![
        esp_sat(),
        (2_u8.., vec(any::<u8>(), 0..40)).prop_map(|(protocol, body)| Sat::Other {
            protocol: SatProtocol(protocol),
            body
        }),
    ]
}

prop_compose! {
    fn gap()(
        (activation, deactivation) in (option::of(any::<u16>()), option::of(any::<u16>())),
        request in option::of(any::<u16>()),
        other in vec(attribute(4..0x8000), 0..4),
    ) -> Gap {
        Gap {
            activation_delay_s: activation,
            deactivation_delay_s: deactivation,
            sender_id_request: request,
            other,
        }
    }
}

prop_compose! {
    fn gdoi_sa()(
        sak in option::of(sak()),
        gap in option::of(gap()),
        sats in vec(sat(), 1..5),
    ) -> Sa {
        Sa { sak, gap, sats, ..Sa::default() }
    }
}

prop_compose! {
    fn proposal()(
        (number, protocol) in (any::<u8>(), any::<u8>()),
        spi in vec(any::<u8>(), 0..16),
        transforms in vec(
            (any::<u8>(), any::<u8>(), vec(attribute(0..0x8000), 0..8)),
            1..5,
        ),
    ) -> Proposal {
        let transforms = transforms
            .into_iter()
            .map(|(number, id, attributes)| Transform {
                number,
                id: IsakmpTransform(id),
                attributes,
            })
            .collect();
        Proposal { number, protocol: ProtocolId(protocol), spi, transforms }
    }
}

fn address_rule() -> impl Strategy<Value = AddressRule> {
    prop_oneof![
        Just(AddressRule::Any),
        (any::<u32>(), any::<u32>()).prop_map(|(address, wildcard)| {
            let wildcard = wildcard & 0x7FFF_FFFF;
            AddressRule::V4 {
                address: Ipv4Addr::from_bits(address & !wildcard),
                wildcard: Ipv4Addr::from_bits(wildcard),
            }
        }),
        (any::<u128>(), 0_u8..=128).prop_map(|(prefix, length)| {
            let kept = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
            AddressRule::V6 {
                prefix: Ipv6Addr::from_bits(prefix & kept),
                length,
            }
        }),
    ]
}

fn port_rule() -> impl Strategy<Value = PortRule> {
    prop_oneof![
        Just(PortRule::Any),
        any::<u16>().prop_map(PortRule::Eq),
        any::<u16>().prop_map(PortRule::Neq),
        any::<u16>().prop_map(PortRule::Lt),
        any::<u16>().prop_map(PortRule::Gt),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRule::Range(a.min(b), a.max(b))),
    ]
}

prop_compose! {
    fn ace()(
        permit in any::<bool>(),
        protocol in option::of(any::<u8>()),
        (source, source_port) in (address_rule(), port_rule()),
        (destination, destination_port) in (address_rule(), port_rule()),
    ) -> PolicyAce {
        let action = if permit { Action::Permit } else { Action::Deny };
        PolicyAce { action, protocol, source, source_port, destination, destination_port }
    }
}

prop_compose! {
    fn policy()(
        (activation_ns, clock_generation) in (any::<u64>(), any::<u32>()),
        sas in proptest::collection::btree_map(any::<u16>(), (
            any::<(u8, u16, u16, u32)>(),
            option::of(1_u32..),
            "[ -~]{0,40}",
            vec(ace(), 0..8),
        ), 0..4),
    ) -> PolicyBlob {
        let sas = sas
            .into_iter()
            .map(|(number, (ints, tbar_window_s, acl_name, aces))| PolicySa {
                number,
                transform: EspTransform(ints.0),
                key_bits: ints.1,
                authentication: AuthAlgorithm(ints.2),
                lifetime_s: ints.3,
                tbar_window_s,
                acl_name,
                aces,
            })
            .collect();
        PolicyBlob { activation_ns, clock_generation, sas }
    }
}

fn octets_of(attribute: &Attribute<'_>) -> Vec<u8> {
    match &attribute.value {
        Value::Variable(octets) => octets.to_vec(),
        Value::Basic(_) => panic!("a basic attribute"),
    }
}

fn coop_role() -> impl Strategy<Value = CoopRole> {
    prop_oneof![
        Just(CoopRole::Electing),
        Just(CoopRole::Primary),
        Just(CoopRole::Secondary),
    ]
}

prop_compose! {
    fn coop_marks()(
        (sid, term, sequence, generation) in
            (any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>()),
    ) -> CoopMarks {
        CoopMarks { sid, term, sequence, generation }
    }
}

prop_compose! {
    /// Of each other key server at most one entry.
    fn heard()(
        entries in vec(option::of((coop_role(), any::<bool>(), any::<u32>())), 16),
    ) -> Vec<Heard> {
        (0..16)
            .zip(entries)
            .filter_map(|(index, entry)| {
                let (role, both_ways, age_ms) = entry?;
                Some(Heard { index, role, both_ways, age_ms })
            })
            .collect()
    }
}

prop_compose! {
    /// Without its records, which borrow.
    fn announcement()(
        (role, flags, index, priority) in
            (coop_role(), any::<[bool; 3]>(), 0_u8..16, any::<u8>()),
        (version, group) in (any::<[u8; 3]>(), prop_oneof![
            any::<u32>().prop_map(CoopGroup::Number),
            any::<[u8; 4]>().prop_map(CoopGroup::Address),
        ]),
        (incarnation, receiver, sequence, ks_list_hash) in
            (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u64>(), any::<[u8; 8]>()),
        (pseudotime_ns, clock_generation, term) in (any::<u64>(), any::<u32>(), any::<u32>()),
        generation in prop::array::uniform16(prop_oneof![Just(0), any::<u32>()]),
        (marks, yours) in (coop_marks(), option::of(coop_marks())),
        (received, ends, backlog) in (any::<u64>(), any::<[u64; 2]>(), any::<u32>()),
        heard in heard(),
    ) -> Announcement<'static> {
        let [reply_requested, complete, founded] = flags;
        Announcement {
            role,
            flags: CoopFlags { reply_requested, complete, founded },
            index,
            priority,
            version,
            group,
            incarnation,
            receiver,
            sequence,
            ks_list_hash,
            pseudotime_ns,
            clock_generation,
            term,
            generation,
            marks,
            yours,
            received,
            from: ends[0].min(ends[1]),
            to: ends[0].max(ends[1]),
            backlog,
            heard,
            records: Vec::new(),
        }
    }
}

proptest! {
    #[test]
    fn headers_come_back(bytes: [u8; 28]) {
        prop_assert_eq!(Header::decode(&bytes).unwrap().encode(), bytes);
    }

    #[test]
    fn phase_1_offers_come_back(
        doi: u32,
        situation in any::<u32>().prop_map(|bits| bits & !6),
        proposals in vec(proposal(), 1..4),
    ) {
        let sa = isakmp::Sa { doi: Doi(doi), situation, proposals };
        prop_assert_eq!(isakmp::Sa::decode(&body(&sa)).unwrap(), sa);
    }

    #[test]
    fn gdoi_policies_come_back(sa in gdoi_sa()) {
        prop_assert_eq!(Sa::decode(&body(&sa)).unwrap(), sa);
    }

    #[test]
    fn keys_come_back(
        teks in vec(any::<(u32, Option<[u8; 36]>, Option<[u8; 20]>, Option<[u8; 3]>)>(), 0..4),
        kek in any::<([u8; 16], Option<[u8; 48]>, Option<[u8; 30]>)>(),
        (bits, sids) in (1_u8..=32).prop_flat_map(|bits| {
            (Just(bits), vec(0..=(u32::MAX >> (32 - bits)), 0..5))
        }),
        other in vec(attribute(200..300), 0..3),
    ) {
        let mut packets: Vec<KeyPacket<'_>> = teks
            .iter()
            .map(|(spi, algorithm, integrity, source_auth)| KeyPacket::Tek(TekKeys {
                spi: *spi,
                algorithm_key: algorithm.as_ref().map(<[u8; 36]>::as_slice),
                integrity_key: integrity.as_ref().map(<[u8; 20]>::as_slice),
                source_auth_key: source_auth.as_ref().map(<[u8; 3]>::as_slice),
                other: other.clone(),
            }))
            .collect();
        packets.push(KeyPacket::Kek(KekKeys {
            spi: kek.0,
            algorithm_key: kek.1.as_ref().map(<[u8; 48]>::as_slice),
            signature_key: kek.2.as_ref().map(<[u8; 30]>::as_slice),
            other,
        }));
        packets.push(KeyPacket::Sid(Sids { bits, values: sids, other: Vec::new() }));
        let kd = Kd { packets };
        let octets = body(&kd);
        prop_assert_eq!(Kd::decode(&octets).unwrap(), kd);
    }

    #[test]
    fn small_payloads_come_back(
        ints: (u32, u8, u16, u8, u16),
        spi in vec(any::<u8>(), 0..255),
        data in vec(any::<u8>(), 0..300),
        gap in gap(),
    ) {
        let notify = Notify {
            doi: Doi(ints.0),
            protocol: ProtocolId(ints.1),
            ty: NotifyType(ints.2),
            spi,
            data: data.clone(),
        };
        prop_assert_eq!(Notify::decode(&body(&notify)).unwrap(), notify);
        let id = Id { ty: IdType::KEY_ID, protocol: ints.3, port: ints.4, data: data.clone() };
        prop_assert_eq!(Id::decode(&body(&id)).unwrap(), id);
        let spis = data[..data.len() / 4 * 4].to_vec();
        let delete = Delete { doi: Doi(ints.0), protocol: ints.1, spi_size: 4, spis };
        prop_assert_eq!(Delete::decode(&body(&delete)).unwrap(), delete);
        prop_assert_eq!(Gap::decode(&body(&gap)).unwrap(), gap);
    }

    #[test]
    fn chains_come_back(
        bodies in vec((1_u8.., vec(any::<u8>(), 0..50)), 0..64),
        pad in 0_usize..16,
    ) {
        let mut builder = Builder::new();
        for (ty, body) in &bodies {
            builder.push_raw(PayloadType(*ty), body);
        }
        let built = builder.finish().unwrap();
        let mut bytes = built.payloads().to_vec();
        bytes.extend(std::iter::repeat_n(0, pad));
        let chain = Chain::decode(built.first(), &bytes).unwrap();
        prop_assert_eq!((chain.used, chain.padding.len()), (built.payloads().len(), pad));
        let read: Vec<(u8, Vec<u8>)> =
            chain.payloads.iter().map(|raw| (raw.ty.0, raw.body.to_vec())).collect();
        prop_assert_eq!(read, bodies);
    }

    #[test]
    fn policies_come_back(policy in policy()) {
        let bytes = policy.encode().unwrap();
        prop_assert_eq!(PolicyBlob::decode(&bytes).unwrap(), policy);
    }

    #[test]
    fn announcements_come_back(
        announcement in announcement(),
        records in vec((any::<u8>(), vec(any::<u8>(), 0..80)), 0..20),
        bends in vec(any::<(prop::sample::Index, u8)>(), 0..4),
        cut: prop::sample::Index,
    ) {
        let records =
            records.iter().map(|(kind, octets)| CoopRecord { kind: *kind, octets }).collect();
        let announcement = Announcement { records, ..announcement };
        let mut bytes = body(&announcement);
        prop_assert_eq!(&Announcement::decode(&bytes).unwrap(), &announcement);
        prop_assert!(Announcement::decode(&bytes[..cut.index(bytes.len())]).is_err());
        // Bent, it is refused or is the one form of something else.
        for (place, value) in &bends {
            let place = place.index(bytes.len());
            bytes[place] = *value;
        }
        if let Some((_, written)) = settles::<Announcement<'_>>(&bytes) {
            prop_assert_eq!(written, bytes);
        }
    }

    #[test]
    fn private_attributes_come_back(
        ints: (u64, u64, u32, u32),
        ks_list_hash: [u8; 8],
        index in 0_u8..16,
        generation: [u32; 16],
        sparse: u16,
    ) {
        let generation =
            std::array::from_fn(|i| if sparse & 1 << i == 0 { 0 } else { generation[i] });
        let record = KeyRecord {
            activation_ns: ints.0,
            expiry_ns: ints.1,
            clock_generation: ints.2,
            orig_lifetime_s: ints.3,
            ks_list_hash,
            minted_by: index,
            generation,
        };
        let octets = octets_of(&record.attribute().unwrap());
        prop_assert_eq!(KeyRecord::decode(&octets).unwrap(), record);
        let stamp = GroupStamp {
            pseudotime_ns: ints.0,
            clock_generation: ints.2,
            stamped_by: index,
            generation,
        };
        let octets = octets_of(&stamp.attribute().unwrap());
        prop_assert_eq!(GroupStamp::decode(&octets).unwrap(), stamp);
    }

    /// Octets that were right once, bent in a few places, are refused or settle in one step.
    #[test]
    fn bent_payloads_are_refused_or_settle(
        sa in gdoi_sa(),
        offer in vec(proposal(), 1..3),
        policy in policy(),
        bends in vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let bend = |mut bytes: Vec<u8>| {
            for (place, value) in &bends {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            bytes
        };
        let bytes = bend(body(&sa));
        if let Some((value, written)) = settles::<Sa>(&bytes) {
            prop_assert_eq!(Sa::decode(&written).unwrap(), value);
        }
        let offer = isakmp::Sa { doi: Doi::GDOI, situation: 0, proposals: offer };
        let bytes = bend(body(&offer));
        if let Some((value, written)) = settles::<isakmp::Sa>(&bytes) {
            prop_assert_eq!(&written, &bytes);
            prop_assert_eq!(isakmp::Sa::decode(&written).unwrap(), value);
        }
        let bytes = bend(policy.encode().unwrap());
        if let Ok(value) = PolicyBlob::decode(&bytes) {
            prop_assert_eq!(value.encode().unwrap(), bytes);
        }
    }
}

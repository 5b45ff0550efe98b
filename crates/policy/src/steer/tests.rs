//! The filters against a table of packets, and against a plain reading of the same rules.

use proptest::prelude::*;

use super::bpf::tests::run;
use super::*;
use crate::acl::{Ace, AddressMatch};

const REENTRY: Reentry = Reentry {
    source: [0x02, 1, 2, 3, 4, 5],
    destination: [0x06, 6, 7, 8, 9, 10],
};
const WAN: [u8; 6] = [0x52, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [0x52, 0, 0, 0, 0, 2];
const OWN: [u8; 4] = [10, 1, 20, 2];
const KS: [u8; 4] = [10, 1, 11, 2];
const GATEWAY: [u8; 4] = [10, 1, 20, 1];
const H1: [u8; 4] = [192, 168, 20, 10];
const H2: [u8; 4] = [192, 168, 21, 10];

fn member() -> Plan {
    Plan {
        device: "wan".into(),
        interface: "Serial1/0".into(),
        own: vec![OWN.into()],
        peers: Peers::Servers(vec![[10, 1, 12, 2].into(), KS.into()]),
        protected: Protected::of(&[guide_policy()]),
    }
}

fn guide_policy() -> Ace {
    let net = AddressMatch::v4([192, 168, 0, 0].into(), [0, 0, 255, 255].into());
    Ace {
        source: net,
        destination: net,
        ..Ace::PERMIT_IP_ANY_ANY
    }
}

fn frame(destination: [u8; 6], source: [u8; 6], tags: &[u16], kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    for (place, vlan) in tags.iter().enumerate() {
        frame.extend(if place + 1 < tags.len() {
            [0x88, 0xa8]
        } else {
            [0x81, 0]
        });
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(rest);
    frame
}

fn v4(protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![
        0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0,
    ];
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    packet
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Vec<u8> {
    let [a, b] = [ports.0.to_be_bytes(), ports.1.to_be_bytes()];
    v4(
        17,
        source,
        destination,
        &[a[0], a[1], b[0], b[1], 0, 8, 0, 0],
    )
}

fn v6(next: u8, hop_limit: u8, source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, hop_limit];
    packet.extend(address(source));
    packet.extend(address(destination));
    packet.extend(payload);
    packet
}

fn igmp(ttl: u8, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut packet = v4(2, source, destination, &[0x22, 0, 0, 0]);
    packet[8] = ttl;
    packet
}

fn fragment(mut packet: Vec<u8>, field: u16) -> Vec<u8> {
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet
}

const V4: u16 = 0x0800;
const V6: u16 = 0x86dd;
/// Link-local, global, and the group of MLD reports.
const LOCAL: &str = "fe80::1";
const GLOBAL: &str = "2001:db8::1";
const GLOBAL_2: &str = "2001:db8::2";
const REPORTS: &str = "ff02::16";
/// A hop-by-hop header with router alert, then the type of an ICMPv6 message.
const REPORT: [u8; 12] = [58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0];
const QUERY: [u8; 12] = [58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0];
const NO_MLD: [u8; 12] = [17, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0];
/// UDP from the DHCPv6 client's port to the server's, and back.
const DHCPV6: [u8; 8] = [2, 34, 2, 35, 0, 8, 0, 0];
const DHCPV6_BACK: [u8; 8] = [2, 35, 2, 34, 0, 8, 0, 0];

fn leaves(plan: &Plan, kind: u16, packet: &[u8]) -> bool {
    let program = egress(plan);
    let verdict = |tags: &[u16]| run(&program, &frame(PEER, WAN, tags, kind, packet)) != 0;
    let plain = verdict(&[]);
    assert_eq!(plain, verdict(&[100]), "one VLAN tag changes nothing");
    assert_eq!(plain, verdict(&[7, 100]), "two VLAN tags change nothing");
    assert!(!verdict(&[1, 2, 3]), "behind three tags nothing is exempt");
    plain
}

/// What is named to the stack is not taken by the socket, and the other way round.
fn enters(plan: &Plan, bytes: &[u8]) -> bool {
    let passes = run(&ingress(plan, &REENTRY), bytes) != 0;
    let taken = run(&socket(plan, &REENTRY), bytes) != 0;
    assert_ne!(passes, taken, "{bytes:02x?}");
    passes
}

fn arrives(plan: &Plan, kind: u16, packet: &[u8]) -> bool {
    let plain = enters(plan, &frame(WAN, PEER, &[], kind, packet));
    assert_eq!(plain, enters(plan, &frame(WAN, PEER, &[100], kind, packet)));
    plain
}

/// What, whether it leaves as it is, EtherType, packet.
type Leaving = (&'static str, bool, u16, Vec<u8>);

fn check_leaving(table: &[Leaving]) {
    for (what, expected, kind, packet) in table {
        assert_eq!(leaves(&member(), *kind, packet), *expected, "{what}");
    }
}

#[test]
fn only_link_control_leaves_without_an_ip_header() {
    check_leaving(&[
        ("ARP", true, 0x0806, vec![0; 28]),
        ("LLDP", true, 0x88cc, vec![0; 28]),
        ("spanning tree", true, 0x0026, vec![0x42; 38]),
        ("MPLS may carry IP", false, 0x8847, vec![0; 60]),
        ("PPPoE may carry IP", false, 0x8864, vec![0; 60]),
        ("an unknown kind", false, 0x9999, vec![0; 60]),
    ]);
}

#[test]
fn only_the_named_kinds_of_ipv4_leave_a_member_as_they_are() {
    let gdoi = || udp(OWN, KS, (848, 848));
    check_leaving(&[
        ("transit ICMP", false, V4, v4(1, H1, H2, &[8; 8])),
        ("a host's own ESP", false, V4, v4(50, H1, H2, &[0; 40])),
        ("GDOI to the server", true, V4, gdoi()),
        ("GDOI to another", false, V4, udp(OWN, H2, (848, 848))),
        ("a host's GDOI", false, V4, udp(H1, KS, (848, 848))),
        ("another port", false, V4, udp(OWN, KS, (848, 53))),
        ("a fragment of GDOI", false, V4, fragment(gdoi(), 0x2000)),
        ("a later fragment", false, V4, fragment(gdoi(), 0x0001)),
        ("DHCP discover", true, V4, udp([0; 4], [255; 4], (68, 67))),
        ("DHCP renewal", true, V4, udp(OWN, GATEWAY, (68, 67))),
        ("a host's DHCP", false, V4, udp(H1, [255; 4], (68, 67))),
        ("no DHCP", false, V4, udp([0; 4], [255; 4], (68, 68))),
        ("own IGMP", true, V4, igmp(1, OWN, [224, 0, 0, 22])),
        ("a host's IGMP", false, V4, igmp(1, H1, [224, 0, 0, 22])),
        ("IGMP to a host", false, V4, igmp(1, OWN, H2)),
        ("IGMP with a TTL", false, V4, igmp(2, OWN, [224, 0, 0, 22])),
        ("UDP without ports", false, V4, v4(17, OWN, KS, &[])),
        ("a header cut short", false, V4, vec![0x45, 0, 0]),
    ]);
}

#[test]
fn only_the_named_kinds_of_ipv6_leave_a_member_as_they_are() {
    check_leaving(&[
        (
            "ND",
            true,
            V6,
            v6(58, 255, LOCAL, "ff02::1:ff00:2", &[135; 24]),
        ),
        (
            "forwarded ND",
            false,
            V6,
            v6(58, 254, GLOBAL, GLOBAL_2, &[135; 24]),
        ),
        ("echo", false, V6, v6(58, 255, GLOBAL, GLOBAL_2, &[128; 24])),
        ("MLD", true, V6, v6(0, 1, LOCAL, REPORTS, &REPORT)),
        (
            "MLD from nowhere",
            true,
            V6,
            v6(0, 1, "::", REPORTS, &REPORT),
        ),
        (
            "a host's MLD",
            false,
            V6,
            v6(0, 1, GLOBAL, "ff05::16", &REPORT),
        ),
        ("no MLD", false, V6, v6(0, 1, LOCAL, REPORTS, &NO_MLD)),
        ("DHCPv6", true, V6, v6(17, 64, LOCAL, "ff02::1:2", &DHCPV6)),
        (
            "a host's DHCPv6",
            false,
            V6,
            v6(17, 64, GLOBAL, "ff02::1:2", &DHCPV6),
        ),
        ("ESP", false, V6, v6(50, 64, GLOBAL, GLOBAL_2, &[0; 24])),
    ]);
}

#[test]
fn a_key_server_speaks_gdoi_with_anyone() {
    let plan = Plan {
        peers: Peers::Anyone,
        ..member()
    };
    assert!(leaves(&plan, 0x0800, &udp(OWN, H2, (848, 848))));
    assert!(leaves(&plan, 0x0800, &udp(OWN, [239, 1, 1, 1], (848, 848))));
    assert!(leaves(&plan, 0x0800, &udp(OWN, H2, (68, 67))));
    assert!(!leaves(&plan, 0x0800, &udp(OWN, H2, (849, 848))));
    assert!(!leaves(&plan, 0x0800, &udp(H1, H2, (848, 848))));
    let all = Plan {
        protected: Protected::ALL,
        ..plan
    };
    assert!(arrives(&all, 0x0800, &udp(H2, OWN, (848, 848))));
    assert!(!arrives(&all, 0x0800, &udp(H2, H1, (848, 848))));
}

/// Servers send what they offer to the address that they offer.
#[test]
fn a_port_without_an_address_gets_one() {
    let all = Plan {
        protected: Protected::ALL,
        ..member()
    };
    let bare = Plan {
        own: Vec::new(),
        ..all.clone()
    };
    let offer = udp(GATEWAY, H1, (67, 68));
    assert!(arrives(&bare, 0x0800, &offer));
    assert!(!arrives(&all, 0x0800, &offer));
    assert!(!arrives(&bare, 0x0800, &udp(GATEWAY, H1, (67, 69))));
}

/// What, whether it enters with the guide's policy, while nothing is known, EtherType, packet.
type Entering = (&'static str, bool, bool, u16, Vec<u8>);

fn check_entering(table: &[Entering]) {
    let all = Plan {
        protected: Protected::ALL,
        ..member()
    };
    for (what, guide, unknown, kind, packet) in table {
        assert_eq!(arrives(&member(), *kind, packet), *guide, "{what}");
        assert_eq!(
            arrives(&all, *kind, packet),
            *unknown,
            "{what}, nothing known"
        );
    }
}

#[test]
fn the_stack_gets_neither_esp_nor_clear_ipv4_of_protected_networks() {
    let offer = || udp(GATEWAY, [255; 4], (67, 68));
    let rekey = || udp(KS, [239, 1, 1, 1], (848, 848));
    check_entering(&[
        ("ARP", true, true, 0x0806, vec![0; 28]),
        ("MPLS", false, false, 0x8847, vec![0; 28]),
        ("ESP", false, false, V4, v4(50, H2, H1, &[0; 40])),
        (
            "ESP of others",
            false,
            false,
            V4,
            v4(50, [8; 4], [9; 4], &[0; 40]),
        ),
        ("protected", false, false, V4, v4(1, H2, H1, &[0; 8])),
        (
            "a fragment",
            false,
            false,
            V4,
            fragment(udp(H2, H1, (1, 2)), 7),
        ),
        ("to the port", true, false, V4, v4(1, [8; 4], OWN, &[0; 8])),
        ("from outside", true, false, V4, v4(6, [8; 4], H1, &[0; 20])),
        ("GDOI", true, true, V4, udp(KS, OWN, (848, 848))),
        ("multicast rekey", true, true, V4, rekey()),
        (
            "another's GDOI",
            true,
            false,
            V4,
            udp([8; 4], OWN, (848, 848)),
        ),
        ("DHCP offer", true, true, V4, offer()),
        ("DHCP ack", true, true, V4, udp(GATEWAY, OWN, (67, 68))),
        ("DHCP to a host", false, false, V4, udp(H2, H1, (67, 68))),
        (
            "IGMP query",
            true,
            true,
            V4,
            igmp(1, GATEWAY, [224, 0, 0, 1]),
        ),
        ("IGMP to a host", false, false, V4, igmp(1, H2, H1)),
    ]);
}

#[test]
fn the_stack_gets_ipv6_as_long_as_no_policy_names_it() {
    check_entering(&[
        (
            "ND",
            true,
            true,
            V6,
            v6(58, 255, LOCAL, "fe80::2", &[136; 24]),
        ),
        (
            "MLD query",
            true,
            true,
            V6,
            v6(0, 1, LOCAL, "ff02::1", &QUERY),
        ),
        (
            "DHCPv6",
            true,
            true,
            V6,
            v6(17, 64, LOCAL, "fe80::2", &DHCPV6_BACK),
        ),
        (
            "TCP",
            true,
            false,
            V6,
            v6(6, 64, GLOBAL_2, GLOBAL, &[0; 20]),
        ),
        (
            "ESP",
            false,
            false,
            V6,
            v6(50, 64, GLOBAL_2, GLOBAL, &[0; 20]),
        ),
    ]);
}

#[test]
fn frames_of_the_forwarder_pass_and_imitations_do_not() {
    let all = Plan {
        protected: Protected::ALL,
        ..member()
    };
    let group = [0x01, 0, 0x5e, 1, 1, 1];
    let esp = v4(50, H2, H1, &[0; 40]);
    let passes = |destination, source| enters(&all, &frame(destination, source, &[], 0x0800, &esp));
    assert!(passes(REENTRY.destination, REENTRY.source));
    assert!(passes(group, REENTRY.source));
    assert!(!passes(WAN, REENTRY.source));
    assert!(!passes(REENTRY.destination, WAN));
    for octet in 0..6 {
        for bit in 0..8 {
            let mut source = REENTRY.source;
            source[octet] ^= 1 << bit;
            assert!(!passes(REENTRY.destination, source));
            let mut destination = REENTRY.destination;
            destination[octet] ^= 1 << bit;
            let multicast = destination[0] & 1 == 1;
            assert_eq!(passes(destination, REENTRY.source), multicast);
        }
    }
}

#[test]
fn random_addresses_are_unicast_and_locally_administered() {
    for random in [[0; 12], [0xff; 12]] {
        let reentry = Reentry::from_random(random);
        for address in [reentry.source, reentry.destination] {
            assert_eq!(address[0] & 0x03, 0x02);
        }
    }
}

#[test]
fn a_truncated_frame_is_never_exempt() {
    let plan = member();
    let program = egress(&plan);
    let inbound = ingress(&plan, &REENTRY);
    for packet in [
        udp(OWN, KS, (848, 848)),
        udp([0; 4], [255; 4], (68, 67)),
        v4(6, [8; 4], OWN, &[0; 20]),
    ] {
        let whole = frame(PEER, WAN, &[], 0x0800, &packet);
        // Ports are read last; the source address, which ends at 30, is what inbound needs.
        for length in 0..34 {
            assert_eq!(run(&program, &whole[..length]), 0, "{length}");
            assert_eq!(run(&inbound, &whole[..length.min(29)]), 0, "{length}");
        }
    }
}

#[test]
fn the_largest_plan_fits_into_the_kernels_limit() {
    let ranges = |start: u32| -> Vec<Ace> {
        (0..2_000u32)
            .map(|n| Ace {
                source: AddressMatch::v4((start + n * 0x1_0000).into(), [0, 0, 0, 255].into()),
                ..Ace::PERMIT_IP_ANY_ANY
            })
            .collect()
    };
    let mut entries = ranges(0x0a00_0000);
    for entry in &mut entries[..1_000] {
        entry.destination = entry.source;
    }
    let addresses: Vec<Ipv4Addr> = (0..200u32).map(|n| (0x0100_0000 + n).into()).collect();
    for protected in [
        Protected::of(&entries),
        Protected::of(&ranges(0)),
        Protected::of(&entries[..1_000]),
    ] {
        let plan = Plan {
            device: "wan".into(),
            interface: "Serial1/0".into(),
            own: addresses.clone(),
            peers: Peers::Servers(addresses.clone()),
            protected,
        };
        for program in [
            egress(&plan),
            ingress(&plan, &REENTRY),
            socket(&plan, &REENTRY),
        ] {
            assert!(program.len() <= INSTRUCTIONS_MAX, "{}", program.len());
        }
    }
}

prop_compose! {
    fn address()(low in 0u32..0x40, high in 0u32..4) -> [u8; 4] {
        (high << 30 | low << 8 | low).to_be_bytes()
    }
}

proptest! {
    /// The searches agree with the plain reading of the ranges.
    #[test]
    fn the_filter_suspects_what_the_ranges_say(
        permits in proptest::collection::vec(
            (address(), 0u32..12, proptest::option::of(address())),
            0..200,
        ),
        packets in proptest::collection::vec((address(), address()), 1..50),
    ) {
        let entries: Vec<Ace> = permits.into_iter().map(|(source, bits, destination)| Ace {
            source: AddressMatch::v4(source.into(), ((1u32 << bits) - 1).into()),
            destination: destination.map_or(AddressMatch::Any, |address| {
                AddressMatch::v4(address.into(), [0, 0, 0, 7].into())
            }),
            ..Ace::PERMIT_IP_ANY_ANY
        }).collect();
        let plan = Plan { protected: Protected::of(&entries), ..member() };
        for (source, destination) in packets {
            let packet = v4(6, source, destination, &[0; 20]);
            let passes = enters(&plan, &frame(WAN, PEER, &[], 0x0800, &packet));
            prop_assert_eq!(passes, !plan.protected.suspects(source.into(), destination.into()));
        }
    }

    /// The socket takes what the stack is not given, for any octets at all, unless both find the
    /// frame too short, and then the stack is not given it either.
    #[test]
    fn stack_and_socket_never_both_have_a_frame(
        octets in proptest::collection::vec(any::<u8>(), 0..80),
        kind in prop_oneof![Just(0x0800u16), Just(0x86dd), Just(0x8100), any::<u16>()],
    ) {
        let mut bytes = octets;
        if bytes.len() > 13 {
            bytes[12..14].copy_from_slice(&kind.to_be_bytes());
        }
        let passes = run(&ingress(&member(), &REENTRY), &bytes) != 0;
        let taken = run(&socket(&member(), &REENTRY), &bytes) != 0;
        prop_assert!(!(passes && taken));
    }
}

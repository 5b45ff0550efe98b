use std::net::{Ipv4Addr, SocketAddrV4};

use crate::esp::{self, Esp};
use crate::ethernet::{EtherType, Frame, Mac, Tag};
use crate::icmp::{self, Icmp, IcmpType, QUOTE_MAX, UnreachableCode};
use crate::ip::{self, Ipv4, Ipv4Header, Packet, Protocol, checksum, checksum_adjusted};
use crate::pcap::{Capture, FileHeader, LinkType, Record};
use crate::tcp::{Flags, Mss, Tcp};
use crate::tests::octets;
use crate::udp::Udp;

const A: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 10);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 21, 10);

/// An IPv4 header of which the checksum is widely known to be b861.
const KNOWN: &str = "45000073 00004000 4011b861 c0a80001 c0a800c7";

#[test]
fn the_checksum_is_that_of_a_known_header_and_adjusts() {
    let mut header = octets(KNOWN);
    assert_eq!(checksum(&[&header]), 0);
    header[10..12].fill(0);
    assert_eq!(checksum(&[&header]), 0xb861);
    assert_eq!(checksum(&[&header[..8], &header[8..]]), 0xb861);
    header[8] -= 1;
    assert_eq!(
        checksum_adjusted(0xb861, 0x4011, 0x3f11),
        checksum(&[&header])
    );
    assert_eq!(checksum(&[&[1, 2, 3]]), !0x0402);
}

#[test]
fn an_ipv4_header_is_read_and_written() {
    let mut bytes = octets(KNOWN);
    bytes.resize(0x73 + 5, 0);
    let packet = Ipv4::parse(&bytes).unwrap();
    assert!(packet.checksum_is_right() && packet.dont_fragment() && !packet.is_fragment());
    assert_eq!(packet.payload().len(), 0x73 - 20);
    assert_eq!(packet.repr().encode(), bytes[..20]);
    let fragment = Ipv4Header {
        more_fragments: true,
        fragment_offset: 1_480,
        ..Ipv4Header::new(A, B, Protocol::UDP, 100)
    };
    let bytes = fragment.packet(&[7; 100]);
    let packet = Ipv4::parse(&bytes).unwrap();
    assert_eq!(packet.repr(), fragment);
    assert_eq!(packet.five_tuple().source_port, None);
}

#[test]
fn malformed_ip_is_named() {
    let good = ip::udp_packet(
        SocketAddrV4::new(A, 5_000),
        SocketAddrV4::new(B, 848),
        b"hello",
    );
    let cases: [(usize, u8, &str); 4] = [
        (0, 0x35, "IP packet: version is 3, expected 4 or 6"),
        (
            0,
            0x44,
            "IPv4 packet: header length is 16, expected 20 or more",
        ),
        (
            3,
            10,
            "IPv4 packet: Total Length is 10, expected the header's length or more",
        ),
        (3, 200, "IPv4 packet: 200 octets expected, 33 left"),
    ];
    for (place, value, text) in cases {
        let mut bad = good.clone();
        bad[place] = value;
        assert_eq!(Packet::parse(&bad).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_udp_packet_shows_its_five_tuple_and_has_right_checksums() {
    let bytes = ip::udp_packet(
        SocketAddrV4::new(A, 5_000),
        SocketAddrV4::new(B, 848),
        b"hello",
    );
    let packet = Ipv4::parse(&bytes).unwrap();
    assert!(packet.checksum_is_right());
    let pseudo = ip::pseudo_header_v4(A, B, Protocol::UDP, packet.payload().len());
    assert_eq!(checksum(&[&pseudo, packet.payload()]), 0);
    let udp = Udp::parse(packet.payload()).unwrap();
    assert_eq!((udp.source_port, udp.payload), (5_000, &b"hello"[..]));
    let tuple = packet.five_tuple();
    assert_eq!(
        (tuple.source_port, tuple.destination_port),
        (Some(5_000), Some(848))
    );
}

#[test]
fn ipv6_extension_headers_are_walked_to_the_ports() {
    let mut bytes = octets(
        "60012345 0018 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002
         2c 00 000000000000 | 11 00 0001 deadbeef | 1388 0350 0008 0000",
    );
    let Packet::V6(packet) = Packet::parse(&bytes).unwrap() else {
        panic!("not IPv6");
    };
    assert_eq!(packet.flow_label(), 0x12345);
    let upper = packet.upper();
    assert_eq!(upper.fragment_offset, Some(0));
    assert!(upper.more_fragments);
    let tuple = packet.five_tuple();
    assert_eq!(tuple.protocol, Protocol::UDP);
    assert_eq!(tuple.destination_port, Some(848));
    bytes[51] = 0x10;
    let later = Packet::parse(&bytes).unwrap().five_tuple();
    assert_eq!((later.protocol, later.source_port), (Protocol::UDP, None));
}

#[test]
fn the_mss_option_is_found_behind_others() {
    let syn = octets("c001 0050 00000001 00000000 7002 ffff 0000 0000 | 01 01 02 04 05b4 00 00");
    let segment = Tcp::parse(&syn).unwrap();
    assert!(segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK));
    let mss = segment.mss().unwrap();
    assert_eq!(
        mss,
        Mss {
            offset: 24,
            value: 1_460
        }
    );
    assert_eq!(syn[mss.offset..mss.offset + 2], [0x05, 0xb4]);
    let endless = octets("c001 0050 00000001 00000000 6002 ffff 0000 0000 | 08 00 02 04");
    assert_eq!(Tcp::parse(&endless).unwrap().mss(), None);
}

#[test]
fn fragmentation_needed_names_the_mtu_and_quotes_what_fits() {
    let offending = ip::udp_packet(
        SocketAddrV4::new(A, 1),
        SocketAddrV4::new(B, 2),
        &[9; 1_400],
    );
    let error = icmp::fragmentation_needed(B, A, 1_422, &offending);
    assert_eq!(error.len(), 576);
    let packet = Ipv4::parse(&error).unwrap();
    let message = Icmp::parse(packet.payload()).unwrap();
    assert_eq!(message.next_hop_mtu(), Some(1_422));
    assert_eq!(message.data, &offending[..QUOTE_MAX]);
    let other = icmp::unreachable(
        B,
        A,
        UnreachableCode::ADMINISTRATIVELY_PROHIBITED,
        &offending,
    );
    let message = Icmp::parse(Ipv4::parse(&other).unwrap().payload()).unwrap();
    assert_eq!((message.code, message.next_hop_mtu()), (13, None));
}

#[test]
fn an_echo_is_answered_in_kind_and_a_bent_one_refused() {
    let request = icmp::echo_request(7, 9, b"payload");
    let parsed = Icmp::parse(&request).unwrap();
    assert_eq!(
        (parsed.ty, parsed.echo()),
        (IcmpType::ECHO_REQUEST, Some((7, 9)))
    );
    assert_eq!(parsed.encode(), request);
    let mut bent = request;
    bent[9] ^= 1;
    assert!(Icmp::parse(&bent).is_err());
}

#[test]
fn an_esp_trailer_is_written_and_inspected() {
    for (payload, unit, pad) in [(0, 4, 2), (5, 16, 9), (14, 16, 0), (15, 16, 15)] {
        assert_eq!(esp::pad_len(payload, unit), pad);
        let mut plain = vec![0xEE; payload + pad + esp::TRAILER_LEN];
        esp::write_trailer(&mut plain[payload..], 4);
        assert_eq!(
            esp::split_trailer(&plain).unwrap(),
            (&vec![0xEE; payload][..], 4)
        );
    }
    let bent = [1, 3, 2, 4];
    assert_eq!(
        esp::split_trailer(&bent).unwrap_err().to_string(),
        "ESP trailer: padding is 3, expected 1, 2, 3, ..."
    );
    assert!(esp::split_trailer(&[9, 4]).is_err());
    let header = Esp::header(0x1122_3344, 5);
    let packet = Esp::parse(&header).unwrap();
    assert_eq!((packet.spi, packet.sequence), (0x1122_3344, 5));
    assert!(Esp::parse(&[0; 8]).is_err());
}

#[test]
fn frames_with_and_without_tags_are_read_and_written() {
    let plain = octets("ffffffffffff 020000000001 0800 4500");
    let frame = Frame::parse(&plain).unwrap();
    assert!(frame.destination.is_group());
    assert_eq!((frame.ty, frame.header_len()), (EtherType::IPV4, 14));
    assert_eq!(frame.encode(), plain);
    let double = octets("020000000002 020000000001 88a8 0064 8100 6065 86dd 60");
    let frame = Frame::parse(&double).unwrap();
    assert_eq!(frame.tags[1].map(Tag::vlan), Some(101));
    assert_eq!(
        (frame.ty, frame.source, frame.header_len()),
        (EtherType::IPV6, Mac([2, 0, 0, 0, 0, 1]), 22)
    );
    assert_eq!(frame.encode(), double);
    assert!(Frame::parse(&double[..20]).is_err());
}

#[test]
fn captures_are_written_and_read_in_either_byte_order() {
    let header = FileHeader {
        snap_len: 4,
        link_type: LinkType::ETHERNET,
    };
    let record = Record::of(1_700_000_000_123_456_789, b"abcdef", header.snap_len);
    let mut file = header.encode().to_vec();
    file.extend_from_slice(&record.header());
    file.extend_from_slice(record.data);
    let capture = Capture::parse(&file).unwrap();
    assert_eq!(capture.header, header);
    assert_eq!(capture.collect::<Result<Vec<_>, _>>().unwrap(), [record]);
    let micros = octets(
        "d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000
         01000000 02000000 03000000 05000000 aabbcc | 00",
    );
    let records: Vec<_> = Capture::parse(&micros).unwrap().collect();
    assert_eq!(
        records[0],
        Ok(Record {
            time_ns: 1_000_002_000,
            original_len: 5,
            data: &[0xaa, 0xbb, 0xcc]
        })
    );
    assert!(records[1].is_err() && records.len() == 2);
}

//! What one member seals, another opens: every transform, every padding, and nothing that changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::slice::from_ref;

use event::DropReason;
use proptest::prelude::*;
use support::{H1, H2, LINK, Member, cbc, gcm, in_frame, tek, transforms, udp};
use wire::esp::Esp;
use wire::ip::{Ipv4, Ipv4Header, Protocol};

#[test]
fn every_transform_carries_every_length_with_the_hosts_own_header() {
    for transform in transforms() {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        for len in (28..=92).chain(1_300..1_332) {
            let clear = udp(H1, H2, len);
            let sealed = a.send(from_ref(&clear));
            assert_eq!(sealed.len(), 1, "{transform} {len}");
            let inner = Ipv4::parse(&clear[14..]).unwrap();
            let outer = Ipv4::parse(&sealed[0][14..]).unwrap();
            assert_eq!(sealed[0][..14], LINK);
            assert!(outer.checksum_is_right());
            let expected = Ipv4Header {
                protocol: Protocol::ESP,
                payload_len: outer.payload().len(),
                ..inner.repr()
            };
            assert_eq!(outer.repr(), expected);
            assert_eq!(outer.header_len(), 20);
            assert_eq!(Esp::parse(outer.payload()).unwrap().spi, 0x1000);
            assert_eq!(b.receive(&sealed), [clear], "{transform} {len}");
        }
        assert_eq!(a.totals().encaps_packets, 97);
        assert_eq!(b.totals().decaps_packets, 97);
        assert_eq!(b.totals().drops.total(), 0);
    }
}

#[test]
fn vlan_tags_options_and_ethernet_padding_are_kept_apart() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let mut packet = udp(H1, H2, 60)[14..].to_vec();
    // Four octets of options: the header grows by one word.
    packet.splice(20..20, [1, 1, 1, 0]);
    packet[0] = 0x46;
    packet[3] += 4;
    packet[10..12].fill(0);
    let sum = wire::ip::checksum(&[&packet[..24]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let tagged = [&LINK[..12], &[0x81, 0, 0, 100, 8, 0], &packet].concat();
    let padded = [&tagged[..], &[0; 7]].concat();
    let sealed = a.send(&[padded]);
    assert_eq!(sealed[0][..18], tagged[..18]);
    assert_eq!(sealed[0][18], 0x45);
    assert_eq!(b.receive(&sealed), [tagged]);
}

#[test]
fn the_null_cipher_shows_the_payload_and_the_others_do_not() {
    for transform in transforms() {
        let clear = udp(H1, H2, 200);
        let sealed = Member::registered(1, transform).send(from_ref(&clear));
        let shows = sealed[0]
            .windows(64)
            .any(|window| *window == clear[60..124]);
        let in_clear =
            transform.to_string().contains("null") || transform.to_string().contains("gmac");
        assert_eq!(shows, in_clear, "{transform}");
    }
}

#[test]
fn a_congestion_mark_of_the_core_reaches_the_inner_packet() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let with_tos = |tos| {
        let header = Ipv4Header {
            tos,
            ..Ipv4Header::new(H1.into(), H2.into(), Protocol::UDP, 0)
        };
        in_frame(&header.packet(&[0; 40]))
    };
    let mark = |frame: &[u8]| {
        let view = Ipv4::parse(&frame[14..]).unwrap();
        let header = Ipv4Header {
            tos: view.tos() | 3,
            ..view.repr()
        };
        in_frame(&header.packet(view.payload()))
    };
    let capable = a.send(&[with_tos(0xB8 | 2)]);
    let got = b.receive(&[mark(&capable[0])]);
    assert_eq!(got, [with_tos(0xB8 | 3)]);
    let incapable = a.send(&[with_tos(0xB8)]);
    assert!(b.receive(&[mark(&incapable[0])]).is_empty());
    assert_eq!(b.dropped(DropReason::BadEcn), 1);
}

#[test]
fn outer_addresses_that_are_not_the_inner_ones_are_refused() {
    for transform in [gcm(), cbc()] {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        let sealed = a.send(&[udp(H1, H2, 100)]);
        let view = Ipv4::parse(&sealed[0][14..]).unwrap();
        let header = Ipv4Header {
            source: [192, 168, 20, 11].into(),
            ..view.repr()
        };
        let moved = in_frame(&header.packet(view.payload()));
        assert!(b.receive(&[moved]).is_empty());
        assert_eq!(b.dropped(DropReason::AddressMismatch), 1);
        assert_eq!(b.receive(&sealed).len(), 1);
    }
}

#[test]
fn a_whole_batch_keeps_its_order() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let frames: Vec<_> = (0..200)
        .map(|i| match i % 4 {
            0 => udp(H1, [10, 0, 0, 1], 60 + i),
            1 => udp(H1, H2, 1_490),
            _ => udp(H1, H2, 60 + i),
        })
        .collect();
    let sent = a.send(&frames);
    // Every fourth packet passes in clear, every other fourth is cut in two.
    assert_eq!(sent.len(), 250);
    let whole = |frame: &Vec<u8>| !Ipv4::parse(&frame[14..]).unwrap().is_fragment();
    let got: Vec<_> = b.receive(&sent).into_iter().filter(whole).collect();
    let numbered = frames.into_iter().enumerate();
    let expected: Vec<_> = numbered
        .filter(|(i, _)| i % 4 != 1)
        .map(|(_, frame)| frame)
        .collect();
    assert!(got == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_packet_with_a_flipped_bit_is_accepted(
        which in 0_usize..26,
        len in 28_usize..300,
        place in any::<prop::sample::Index>(),
    ) {
        let transform = transforms()[which];
        let (mut a, mut b) = (Member::registered(1, transform), Member::registered(2, transform));
        let sealed = a.send(&[udp(H1, H2, len)]);
        let bits = (sealed[0].len() - LINK.len()) * 8;
        let bit = LINK.len() * 8 + place.index(bits);
        let mut flipped = sealed[0].clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(b.receive(&[flipped]).is_empty());
        prop_assert_eq!(b.totals().drops.total(), 1);
        prop_assert_eq!(b.receive(&sealed).len(), 1);
    }

    #[test]
    fn no_packet_under_another_key_is_accepted(which in 0_usize..26, len in 28_usize..300) {
        let transform = transforms()[which];
        let mut a = Member::registered(1, transform);
        let mut b = Member::unregistered(2, 1);
        b.clock(0);
        b.policy(&[support::permit_lans()]);
        let mut other = tek(0x1001, transform, 0, 3_600);
        let key = support::key_of(&other);
        other.spi = policy::Spi(0x1000);
        let group = support::group();
        b.apply(dataplane::Update::InstallSa { group, tek: Box::new(other), key });
        prop_assert!(b.receive(&a.send(&[udp(H1, H2, len)])).is_empty());
        prop_assert_eq!(b.dropped(DropReason::BadIcv), 1);
    }
}

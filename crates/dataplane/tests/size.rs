//! Packets that do not fit once they are encrypted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::slice::from_ref;

use event::DropReason;
use policy::Time;
use support::{H1, H2, LINK, Member, gcm, group, in_frame, transforms, udp};
use wire::icmp::{Icmp, IcmpType};
use wire::ip::{Ipv4, Ipv4Header, Protocol};

fn with_df(len: usize) -> Vec<u8> {
    let view = udp(H1, H2, len);
    let view = Ipv4::parse(&view[14..]).unwrap();
    let header = Ipv4Header {
        dont_fragment: true,
        ..view.repr()
    };
    in_frame(&header.packet(view.payload()))
}

#[test]
fn the_largest_packet_that_is_announced_fits_for_every_transform() {
    for transform in transforms() {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        let mtu = a.control.plaintext_mtu(a.id, &group(), a.now).unwrap();
        let sealed = a.send(&[with_df(mtu)]);
        assert!(sealed[0].len() <= LINK.len() + 1_500, "{transform}");
        assert!(sealed[0].len() + 16 > LINK.len() + 1_500, "{transform}");
        assert_eq!(b.receive(&sealed), [with_df(mtu)]);
        assert!(a.send(&[with_df(mtu + 1)]).is_empty(), "{transform}");
        assert_eq!(a.dropped(DropReason::TooBig), 1);
    }
}

#[test]
fn a_host_is_told_what_fits() {
    let mut a = Member::registered(1, gcm());
    let big = with_df(1_500);
    assert!(a.send(from_ref(&big)).is_empty());
    let answers = std::mem::take(&mut a.port.lan);
    assert_eq!(answers.len(), 1);
    // It goes back the way the packet came.
    assert_eq!(answers[0][..6], big[6..12]);
    assert_eq!(answers[0][6..12], big[..6]);
    let ip = Ipv4::parse(&answers[0][14..]).unwrap();
    assert!(ip.checksum_is_right());
    assert_eq!((ip.source(), ip.destination()), (H2.into(), H1.into()));
    assert_eq!(ip.protocol(), Protocol::ICMP);
    let icmp = Icmp::parse(ip.payload()).unwrap();
    assert_eq!((icmp.ty, icmp.code), (IcmpType::DESTINATION_UNREACHABLE, 4));
    let mtu = a.control.plaintext_mtu(a.id, &group(), a.now).unwrap();
    assert_eq!(icmp.next_hop_mtu().map(usize::from), Some(mtu));
    assert_eq!(icmp.data[..28], big[14..42]);
}

#[test]
fn hosts_are_told_ten_times_a_second_and_groups_of_hosts_never() {
    let mut a = Member::registered(1, gcm());
    a.policy(&[policy::Ace::PERMIT_IP_ANY_ANY]);
    assert!(a.send(&vec![with_df(1_500); 30]).is_empty());
    assert_eq!(std::mem::take(&mut a.port.lan).len(), 10);
    a.now = Time::from_secs(1);
    assert!(a.send(&vec![with_df(1_500); 30]).is_empty());
    assert_eq!(std::mem::take(&mut a.port.lan).len(), 10);
    a.now = Time::from_secs(2);
    let mut multicast = with_df(1_500);
    multicast[30..34].copy_from_slice(&[239, 1, 1, 1]);
    assert!(a.send(&[multicast]).is_empty());
    assert!(a.port.lan.is_empty());
    assert_eq!(a.dropped(DropReason::TooBig), 61);
}

#[test]
fn a_packet_that_may_be_cut_arrives_in_pieces_that_make_it_again() {
    for transform in transforms() {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        for len in [1_490, 1_500, 3_000, 9_000] {
            let clear = udp(H1, H2, len);
            let sealed = a.send(from_ref(&clear));
            assert!(sealed.iter().all(|frame| frame.len() <= LINK.len() + 1_500));
            assert!(
                sealed.len() <= len / 1_350 + 1,
                "{transform} {len}: {}",
                sealed.len()
            );
            let pieces = b.receive(&sealed);
            assert_eq!(pieces.len(), sealed.len());
            let mut whole = Vec::new();
            for (place, piece) in pieces.iter().enumerate() {
                let ip = Ipv4::parse(&piece[14..]).unwrap();
                assert!(ip.checksum_is_right());
                assert_eq!(ip.fragment_offset(), whole.len());
                assert_eq!(ip.identification(), 0x1234);
                assert_eq!(ip.more_fragments(), place + 1 < pieces.len());
                whole.extend_from_slice(ip.payload());
            }
            assert!(whole == clear[34..], "{transform} {len}");
        }
        assert_eq!(a.totals().drops.total() + b.totals().drops.total(), 0);
    }
}

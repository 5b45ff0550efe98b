//! Frames that nobody sends in good faith.

mod support;

use event::DropReason;
use proptest::prelude::*;
use support::{H1, H2, Member, cbc, gcm, transforms, udp};
use wire::esp::Esp;
use wire::ip::{Ipv4, Ipv4Header, Protocol};

/// Frames of pure noise, and frames that look like something.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let ip = (any::<u16>(), prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(ty, body)| {
        let ty = [0x0800_u16, 0x86DD, 0x8100, 0x0800][usize::from(ty % 4)];
        let mut frame = vec![2; 12];
        frame.extend_from_slice(&ty.to_be_bytes());
        frame.extend(body);
        if let Some(version) = frame.get_mut(14) {
            *version = if ty == 0x86DD {
                0x60
            } else {
                0x40 | *version & 0x0F
            };
        }
        frame
    });
    let esp = (
        any::<u32>(),
        prop::collection::vec(any::<u8>(), 0..120),
        any::<bool>(),
    )
        .prop_map(|(number, body, ours)| {
            let spi = if ours { 0x1000 } else { number };
            let esp = [&Esp::header(spi, number)[..], &body].concat();
            let header = Ipv4Header::new(H1.into(), H2.into(), Protocol::ESP, 0);
            support::in_frame(&header.packet(&esp))
        });
    let mutated = (28_usize..300, any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(len, place, value)| {
            let mut frame = udp(H1, H2, len);
            let place = place.index(frame.len());
            frame[place] = value;
            frame
        },
    );
    prop_oneof![noise, ip, esp, mutated]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_frame_makes_a_worker_panic_and_every_frame_is_accounted_for(
        which in 0_usize..26,
        frames in prop::collection::vec(frame(), 1..90),
    ) {
        let transform = transforms()[which];
        let mut member = Member::registered(1, transform);
        let out = member.send(&frames);
        let totals = member.totals();
        let told = member.port.lan.len();
        prop_assert!(told as u64 <= totals.drops.total());
        prop_assert_eq!(out.len() as u64, totals.encaps_packets + totals.clear_out_packets);
        prop_assert!(out.len() as u64 + totals.drops.total() >= frames.len() as u64);
        member.port.lan.clear();
        let got = member.receive(&frames);
        let after = member.totals();
        // Nothing of this was sealed with the key, so nothing is taken as if it were.
        prop_assert_eq!(after.decaps_packets, 0);
        prop_assert_eq!(got.len() as u64, after.clear_in_packets);
        let dropped = after.drops.total() - totals.drops.total();
        prop_assert_eq!(got.len() as u64 + dropped, frames.len() as u64);
    }

    #[test]
    fn what_leaves_between_the_protected_networks_is_esp(
        frames in prop::collection::vec(frame(), 1..50),
    ) {
        let mut member = Member::registered(1, gcm());
        for sent in member.send(&frames) {
            let Ok(ip) = Ipv4::parse(sent.get(14..).unwrap_or_default()) else { continue };
            let is_lan = |address: std::net::Ipv4Addr| address.octets()[..2] == [192, 168];
            if sent[12..14] == [8, 0] && is_lan(ip.source()) && is_lan(ip.destination()) {
                prop_assert_eq!(ip.protocol(), Protocol::ESP);
                prop_assert_eq!(Esp::parse(ip.payload()).map(|esp| esp.spi), Ok(0x1000));
            }
        }
    }
}

#[test]
fn esp_that_is_cut_short_anywhere_is_malformed_or_does_not_verify() {
    for transform in [gcm(), cbc()] {
        let (mut a, mut b) = (
            Member::registered(1, transform),
            Member::registered(2, transform),
        );
        let sealed = a.send(&[udp(H1, H2, 100)]).remove(0);
        let view = Ipv4::parse(&sealed[14..]).unwrap();
        let (header, esp) = (view.repr(), view.payload());
        for len in 0..esp.len() {
            let cut = support::in_frame(&header.packet(&esp[..len]));
            assert!(b.receive(&[cut]).is_empty(), "{len}");
        }
        let drops = b.totals().drops;
        let named = drops.of(DropReason::Malformed) + drops.of(DropReason::BadIcv);
        assert_eq!(named, esp.len() as u64);
    }
}

#[test]
fn fragments_of_esp_are_not_taken() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let sealed = a.send(&[udp(H1, H2, 100)]).remove(0);
    let view = Ipv4::parse(&sealed[14..]).unwrap();
    let header = Ipv4Header {
        more_fragments: true,
        ..view.repr()
    };
    let fragment = support::in_frame(&header.packet(view.payload()));
    assert!(b.receive(&[fragment]).is_empty());
    assert_eq!(b.dropped(DropReason::Malformed), 1);
}

#[test]
fn an_interface_nobody_knows_passes_nothing() {
    let mut a = Member::registered(1, gcm());
    let other = Member::unregistered(2, 1).control.snapshot();
    let empty = dataplane::Control::new(1).snapshot();
    assert_eq!(other.interface_id("Serial9/9"), None);
    let mut frames = support::loaded(&[udp(H1, H2, 100)]);
    a.workers[0].outbound(&empty, a.id, a.now, &mut frames, &mut a.port);
    a.workers[0].inbound(&empty, a.id, a.now, &mut frames, &mut a.port);
    assert!(a.port.wan.is_empty() && a.port.lan.is_empty());
}

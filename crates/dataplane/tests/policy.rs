//! What is encrypted, what stays in clear and what is dropped, in both directions.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::slice::from_ref;

use dataplane::{InterfaceFacts, Refusal, Update};
use event::DropReason;
use policy::{Ace, Acl, Action, AddressMatch, PortMatch, PseudoTime, Spi, Time};
use support::{
    H1, H2, Member, WAN, acl, cbc, deny_port, gcm, group, in_frame, key_of, permit_lans, tek, udp,
};
use wire::esp::Esp;
use wire::ip::{Ipv4, Ipv4Header, Protocol};

const OTHER: [u8; 4] = [10, 9, 9, 9];

fn is_esp(frame: &[u8]) -> bool {
    Ipv4::parse(&frame[14..]).unwrap().protocol() == Protocol::ESP
}

fn ipv6(payload_protocol: u8) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, payload_protocol, 64];
    packet.extend_from_slice(&[0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(&[0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend_from_slice(&[0x13, 0x88, 0x13, 0x89, 0, 8, 0, 0]);
    [
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xDD],
        &packet[..],
    ]
    .concat()
}

#[test]
fn before_registration_nothing_passes_but_what_the_members_own_list_denies() {
    let mut a = Member::unregistered(1, 1);
    let local_acl = Some(acl(&[deny_port(17, 5001)]));
    a.apply(Update::Group {
        group: group(),
        fail_close: true,
        local_acl,
    });
    let exempt = udp(H1, H2, 100);
    let mut other = exempt.clone();
    other[37] = 0x8A;
    assert_eq!(a.send(&[exempt.clone(), other.clone()]), [exempt]);
    assert_eq!(a.dropped(DropReason::FailClose), 1);
    // From the other side the exemption is that of the answer.
    let mut answer = udp(H2, H1, 100);
    answer[34..38].copy_from_slice(&[0x13, 0x89, 0x13, 0x88]);
    assert_eq!(a.receive(&[answer.clone(), other]), [answer]);
    assert_eq!(a.dropped(DropReason::FailClose), 2);
    assert_eq!(a.send(&[ipv6(17)]).len(), 1);
    assert!(a.send(&[ipv6(58)]).is_empty());
}

#[test]
fn no_fail_close_is_open_before_the_first_registration_only() {
    let mut a = Member::unregistered(1, 1);
    a.apply(Update::Group {
        group: group(),
        fail_close: false,
        local_acl: None,
    });
    let clear = udp(H1, H2, 100);
    assert_eq!(a.send(from_ref(&clear)), from_ref(&clear));
    a.clock(0);
    a.policy(&[permit_lans()]);
    a.sids(&[1]);
    a.key(tek(0x1000, gcm(), 0, 3_600));
    assert!(is_esp(&a.send(from_ref(&clear))[0]));
    a.apply(Update::CloseGroup { group: group() });
    assert!(a.send(&[clear]).is_empty());
    assert_eq!(a.dropped(DropReason::NoSa), 1);
    let elsewhere = udp(H1, OTHER, 100);
    assert_eq!(a.send(from_ref(&elsewhere)), [elsewhere]);
}

#[test]
fn a_closed_group_drops_everything_until_it_registers_again() {
    let mut a = Member::registered(1, gcm());
    let elsewhere = udp(H1, OTHER, 100);
    assert_eq!(a.send(from_ref(&elsewhere)), from_ref(&elsewhere));
    a.apply(Update::CloseGroup { group: group() });
    assert!(a.send(&[elsewhere, udp(H1, H2, 100)]).is_empty());
    assert_eq!(a.dropped(DropReason::FailClose), 2);
    a.policy(&[permit_lans()]);
    a.sids(&[9]);
    a.key(tek(0x1000, gcm(), 0, 3_600));
    assert!(is_esp(&a.send(&[udp(H1, H2, 100)])[0]));
}

#[test]
fn a_detached_interface_and_a_removed_group_pass_nothing() {
    let mut a = Member::registered(1, gcm());
    a.apply(Update::RemoveGroup { group: group() });
    assert!(a.send(&[udp(H1, H2, 100), udp(H1, OTHER, 100)]).is_empty());
    let mut a = Member::registered(1, gcm());
    a.apply(Update::Detach {
        interface: WAN.into(),
    });
    assert!(a.send(&[udp(H1, H2, 100), udp(H1, OTHER, 100)]).is_empty());
    assert_eq!(a.dropped(DropReason::FailClose), 2);
}

#[test]
fn a_packet_in_clear_is_taken_only_if_the_policy_has_it_in_clear() {
    let mut b = Member::registered(2, gcm());
    let elsewhere = udp(OTHER, H2, 100);
    assert_eq!(
        b.receive(&[udp(H1, H2, 100), elsewhere.clone()]),
        [elsewhere]
    );
    assert_eq!(b.dropped(DropReason::ClearText), 1);
    assert_eq!(b.totals().clear_in_packets, 1);
    let notice = b.workers[0].take_notices().next().unwrap();
    let dataplane::Happening::Dropped {
        reason,
        source,
        group: of,
        ..
    } = notice.what
    else {
        panic!("{notice:?}");
    };
    assert_eq!((reason, source), (DropReason::ClearText, Some(H1.into())));
    assert_eq!(of.as_deref(), Some(&group()));
}

#[test]
fn what_was_decrypted_must_be_what_the_policy_encrypts() {
    let mut a = Member::registered(1, cbc());
    let mut b = Member::registered(2, cbc());
    b.policy(&[deny_port(17, 5001), permit_lans()]);
    b.now = Time::from_secs(60);
    assert!(b.receive(&a.send(&[udp(H1, H2, 100)])).is_empty());
    assert_eq!(b.dropped(DropReason::NotInPolicy), 1);
}

#[test]
fn the_members_own_denies_hold_for_the_answers_too() {
    let local = Ace {
        destination: AddressMatch::host(H2.into()),
        ..deny_port(17, 5001)
    };
    let mut a = Member::unregistered(1, 1);
    let local_acl = Some(acl(&[local]));
    a.apply(Update::Group {
        group: group(),
        fail_close: true,
        local_acl,
    });
    a.clock(0);
    a.policy(&[local, permit_lans()]);
    a.sids(&[1]);
    a.key(tek(0x1000, gcm(), 0, 3_600));
    let out = udp(H1, H2, 100);
    assert_eq!(a.send(from_ref(&out)), [out]);
    let mut answer = udp(H2, H1, 100);
    answer[34..38].copy_from_slice(&[0x13, 0x89, 0x13, 0x88]);
    assert_eq!(a.receive(from_ref(&answer)), [answer]);
    assert!(a.receive(&[udp(H2, H1, 100)]).is_empty());
}

#[test]
fn esp_and_multicast_of_the_hosts_are_encrypted_like_everything_the_policy_names() {
    let (mut a, mut b) = (Member::registered(1, gcm()), Member::registered(2, gcm()));
    let esp = [&Esp::header(0x1000, 1)[..], &[7; 40]].concat();
    let own = in_frame(&Ipv4Header::new(H1.into(), H2.into(), Protocol::ESP, 0).packet(&esp));
    let sealed = a.send(from_ref(&own));
    assert!(sealed[0].len() > own.len());
    assert_eq!(b.receive(&sealed), [own]);
    let any = [Ace::PERMIT_IP_ANY_ANY];
    a.policy(&any);
    b.policy(&any);
    let mut multicast = udp(H1, [239, 1, 1, 1], 100);
    multicast[..6].copy_from_slice(&[1, 0, 0x5E, 1, 1, 1]);
    let sealed = a.send(from_ref(&multicast));
    assert_eq!(sealed[0][..6], [1, 0, 0x5E, 1, 1, 1]);
    assert!(is_esp(&sealed[0]));
    assert_eq!(b.receive(&sealed), [multicast]);
}

#[test]
fn esp_of_others_goes_on_only_where_the_policy_leaves_it_in_clear() {
    let mut b = Member::registered(2, gcm());
    let esp = [&Esp::header(0x7777, 1)[..], &[7; 40]].concat();
    let foreign = |from: [u8; 4]| {
        in_frame(&Ipv4Header::new(from.into(), H2.into(), Protocol::ESP, 0).packet(&esp))
    };
    assert_eq!(b.receive(&[foreign(H1), foreign(OTHER)]), [foreign(OTHER)]);
    assert_eq!(b.dropped(DropReason::InvalidSpi), 1);
    let notice = b.workers[0].take_notices().next().unwrap();
    let dataplane::Happening::Dropped { spi, .. } = notice.what else {
        panic!("{notice:?}");
    };
    assert_eq!(spi, Some(Spi(0x7777)));
}

#[test]
fn ipv6_passes_only_where_a_line_or_no_fail_close_says_so() {
    let mut a = Member::registered(1, gcm());
    assert!(a.send(&[ipv6(17)]).is_empty(), "no line names it");
    assert_eq!(a.dropped(DropReason::FailClose), 1);
    a.apply(Update::Group {
        group: group(),
        fail_close: false,
        local_acl: None,
    });
    assert_eq!(a.send(&[ipv6(17)]), [ipv6(17)]);
    a.policy(&[deny_port(17, 5001), Ace::PERMIT_IP_ANY_ANY]);
    assert_eq!(a.send(&[ipv6(17), ipv6(58)]), [ipv6(17)]);
    assert_eq!(a.dropped(DropReason::Unprotectable), 1);
    a.now = Time::from_secs(60);
    assert_eq!(a.receive(&[ipv6(17), ipv6(58)]), [ipv6(17)]);
    assert_eq!(a.dropped(DropReason::ClearText), 1);
    let arp = [&[0xFF; 6][..], &[2, 0, 0, 0, 0, 2, 8, 6], &[0; 28]].concat();
    assert!(a.send(&[arp]).is_empty());
}

#[test]
fn a_later_fragment_of_a_flow_named_by_its_ports_is_encrypted() {
    let mut a = Member::registered(1, gcm());
    let by_port = Ace {
        protocol: Some(17),
        destination_port: PortMatch::Eq(5001),
        ..permit_lans()
    };
    a.policy(&[by_port]);
    let first = Ipv4Header {
        more_fragments: true,
        ..Ipv4Header::new(H1.into(), H2.into(), Protocol::UDP, 0)
    };
    let later = Ipv4Header {
        more_fragments: false,
        fragment_offset: 40,
        ..first
    };
    let payload = &udp(H1, H2, 60)[34..];
    let frames = [
        in_frame(&first.packet(payload)),
        in_frame(&later.packet(payload)),
    ];
    let sent = a.send(&frames);
    assert!(sent.len() == 2 && sent.iter().all(|frame| is_esp(frame)));
    // Fragments of one datagram must not be mixed up by whoever fragments their ESP packets.
    let id = |frame: &Vec<u8>| Ipv4::parse(&frame[14..]).unwrap().identification();
    assert_ne!(id(&sent[0]), id(&sent[1]));
    let mut other_port = udp(H1, H2, 60);
    other_port[37] = 0;
    assert_eq!(a.send(from_ref(&other_port)), [other_port]);
}

#[test]
fn groups_of_a_crypto_map_are_searched_in_their_order() {
    let mut a = Member::unregistered(1, 1);
    let facts = InterfaceFacts {
        name: WAN.into(),
        groups: vec!["G1".into(), "G2".into()],
        mtu: 1_500,
    };
    a.apply(Update::Attach(facts));
    let install = |a: &mut Member, name: &str, spi, entries: &[Ace]| {
        let tek = tek(spi, cbc(), 0, 3_600);
        let (group, key) = (policy::GroupName::from(name), key_of(&tek));
        a.apply(Update::InstallPolicy {
            group: group.clone(),
            acl: acl(entries),
            tbar_window_s: None,
            activation: None,
        });
        a.apply(Update::InstallSa {
            group,
            tek: Box::new(tek),
            key,
        });
    };
    let spi = |frame: &[u8]| u32::from_be_bytes(frame[34..38].try_into().unwrap());
    install(&mut a, "G2", 0x2000, &[Ace::PERMIT_IP_ANY_ANY]);
    // G1 is not registered: what G2 claims is encrypted for G2.
    assert_eq!(spi(&a.send(&[udp(H1, H2, 100)])[0]), 0x2000);
    install(&mut a, "G1", 0x1000, &[deny_port(17, 7), permit_lans()]);
    let sent = a.send(&[udp(H1, H2, 100), udp(H1, OTHER, 100)]);
    assert_eq!((spi(&sent[0]), spi(&sent[1])), (0x1000, 0x2000));
    assert_eq!(a.control.policy_hits(&"G1".into())[1].outbound, 1);
    assert_eq!(a.control.policy_hits(&"G2".into())[0].outbound, 2);
    let g2 = a.control.group_totals(&"G2".into());
    assert_eq!((g2.encaps_packets, g2.encaps_octets), (2, 200));
    // What one group's key opened must be that group's by its policy.
    let mut b = Member::unregistered(2, 1);
    let facts = InterfaceFacts {
        name: WAN.into(),
        groups: vec!["G2".into(), "G1".into()],
        mtu: 1_500,
    };
    b.apply(Update::Attach(facts));
    install(&mut b, "G1", 0x1000, &[permit_lans()]);
    install(&mut b, "G2", 0x2000, &[Ace::PERMIT_IP_ANY_ANY]);
    assert_eq!(b.receive(&sent), [udp(H1, OTHER, 100)]);
    assert_eq!(b.dropped(DropReason::NotInPolicy), 1);
}

#[test]
fn around_the_switch_of_a_policy_both_are_taken_and_the_new_one_is_sent() {
    let (mut a, mut b) = (Member::registered(1, cbc()), Member::registered(2, cbc()));
    let at = Some(PseudoTime::from_secs(100));
    let new = [deny_port(17, 5001), permit_lans()];
    for member in [&mut a, &mut b] {
        member.now = Time::from_secs(50);
        member.policy_from(&new, at);
    }
    let flow = udp(H1, H2, 100);
    let mut seen = Vec::new();
    for s in [50, 94, 95, 99, 100, 105, 106] {
        (a.now, b.now) = (Time::from_secs(s), Time::from_secs(s));
        let sent = a.send(from_ref(&flow)).remove(0);
        let clear_taken = b.receive(from_ref(&flow)).len() == 1;
        a.now = Time::from_secs(60);
        let esp_taken = b.receive(&a.send(from_ref(&flow))).len() == 1;
        seen.push((s, is_esp(&sent), esp_taken, clear_taken));
    }
    let expected = [
        (50, true, true, false),
        (94, true, true, false),
        (95, true, true, true),
        (99, true, true, true),
        (100, false, true, true),
        (105, false, true, true),
        (106, false, false, true),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_update_that_cannot_be_obeyed_changes_nothing() {
    let mut a = Member::registered(1, gcm());
    let before = a.snapshot().number();
    let short = tek(0x2000, gcm(), 0, 10);
    let mut key = key_of(&short);
    key.encryption = crypto::Secret::copy_of(&[1; 32]);
    let update = Update::InstallSa {
        group: group(),
        tek: Box::new(short),
        key,
    };
    let expected = Refusal::KeyLength {
        spi: Spi(0x2000),
        what: "cipher key",
        expected: 36,
        found: 32,
    };
    assert_eq!(a.control.apply(a.now, update), Err(expected));
    let taken = tek(0x1000, gcm(), 0, 10);
    let key = key_of(&tek(0x1001, gcm(), 0, 10));
    let update = Update::InstallSa {
        group: group(),
        tek: Box::new(taken),
        key,
    };
    let expected = Refusal::SpiTaken { spi: Spi(0x1000) };
    assert_eq!(a.control.apply(a.now, update), Err(expected));
    let facts = InterfaceFacts {
        name: WAN.into(),
        groups: vec![],
        mtu: 500,
    };
    assert_eq!(
        a.control.apply(a.now, Update::Attach(facts)),
        Err(Refusal::Mtu { mtu: 500 })
    );
    assert_eq!(a.snapshot().number(), before);
    let same = acl(&[permit_lans()]);
    assert_eq!(Acl::clone(&same).entries[0].action, Action::Permit);
    a.policy(&[permit_lans()]);
    a.key(tek(0x1000, gcm(), 0, 3_600));
    assert_eq!(
        a.snapshot().number(),
        before,
        "what is held already changes nothing"
    );
}

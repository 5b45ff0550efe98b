//! Packets: IP, UDP, TCP, ICMP, ESP, Ethernet, and capture files.

use wire::esp::{self, Esp};
use wire::ethernet::Frame;
use wire::icmp::Icmp;
use wire::ip::{Ipv4, Packet, checksum, checksum_adjusted};
use wire::pcap::{Capture, Record};
use wire::tcp::Tcp;
use wire::udp::Udp;

/// An IP packet of either family.
pub fn ip(bytes: &[u8]) {
    match Packet::parse(bytes) {
        Ok(Packet::V4(packet)) => {
            let tuple = packet.five_tuple();
            assert!(tuple.source_port.is_none() || packet.fragment_offset() == 0);
            assert_eq!(
                packet.header_len() + packet.payload().len(),
                packet.total_len()
            );
            let header = packet.repr().encode();
            let again = Ipv4::parse(&header);
            assert_eq!(again.is_ok(), packet.payload().is_empty());
            assert_eq!(checksum(&[&header]), 0);
            if packet.checksum_is_right() && packet.options().is_empty() && has_one_form(bytes) {
                assert_eq!(header, packet.header());
                adjusts(packet.header());
            }
        }
        Ok(Packet::V6(packet)) => {
            let upper = packet.upper();
            assert!(upper.payload.len() <= packet.payload().len());
            assert_eq!(packet.five_tuple().protocol, upper.protocol);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whether a header has the form that is written: the reserved flag is 0, and so is a checksum
/// that could also be all ones, which sums to the same.
fn has_one_form(header: &[u8]) -> bool {
    header[6] & 0x80 == 0 && header[10..12] != [0xFF, 0xFF]
}

/// A right header stays right when its TTL changes and its checksum is adjusted.
fn adjusts(header: &[u8]) {
    let mut changed = header.to_vec();
    changed[8] = changed[8].wrapping_sub(1);
    let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let sum = checksum_adjusted(word(header, 10), word(header, 8), word(&changed, 8));
    changed[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(checksum(&[&changed]), 0);
}

/// A UDP datagram.
pub fn udp(bytes: &[u8]) {
    if let Ok(datagram) = Udp::parse(bytes) {
        assert!(datagram.payload.len() + Udp::HEADER_LEN <= bytes.len());
    }
}

/// A TCP segment; the maximum segment size stands where it is said to.
pub fn tcp(bytes: &[u8]) {
    if let Ok(segment) = Tcp::parse(bytes)
        && let Some(mss) = segment.mss()
    {
        assert!(mss.offset + 2 <= Tcp::HEADER_LEN + segment.options.len());
        assert_eq!(bytes[mss.offset..mss.offset + 2], mss.value.to_be_bytes());
    }
}

/// An ICMP message.
pub fn icmp(bytes: &[u8]) {
    if let Ok(message) = Icmp::parse(bytes) {
        assert!(message.echo().is_none() || message.next_hop_mtu().is_none());
        // A right checksum of all ones is written as 0, which sums to the same.
        if bytes[2..4] != [0xFF, 0xFF] {
            assert_eq!(message.encode(), bytes);
        }
    }
}

/// An ESP packet, and decrypted octets with a trailer.
pub fn esp(bytes: &[u8]) {
    if let Ok(packet) = Esp::parse(bytes) {
        assert_eq!(
            Esp::header(packet.spi, packet.sequence),
            bytes[..Esp::HEADER_LEN]
        );
    }
    if let Ok((payload, next_header)) = esp::split_trailer(bytes) {
        let mut trailer = bytes[payload.len()..].to_vec();
        trailer.fill(0xEE);
        esp::write_trailer(&mut trailer, next_header);
        assert_eq!(trailer, bytes[payload.len()..]);
    }
}

/// An Ethernet frame.
pub fn ethernet(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes) {
        assert_eq!(frame.encode(), bytes);
        assert_eq!(frame.header_len() + frame.payload.len(), bytes.len());
    }
}

/// A capture file.
pub fn pcap(bytes: &[u8]) {
    let Ok(capture) = Capture::parse(bytes) else {
        return;
    };
    for record in capture.flatten() {
        let again = Record::of(record.time_ns, record.data, u32::MAX);
        assert_eq!(again.header()[8..12], record.header()[8..12]);
    }
}

//! What a host is told when its packet is too big to be encrypted and must not be cut.
//!
//! Decides whether an ICMP "fragmentation needed" is due, and builds it new. The hosts see the
//! largest packet that fits after encryption, not the WAN's MTU.

use std::net::Ipv4Addr;
use std::time::Duration;

use policy::Time;
use wire::ethernet::Frame;
use wire::icmp::{self, IcmpType};
use wire::ip::Protocol;

use crate::frame::FrameBuf;
use crate::limits::{ICMP_HOSTS, ICMP_PER_SECOND};
use crate::packet::Ipv4;

/// How many messages each host was sent in the running second.
pub(crate) struct IcmpRate {
    hosts: Vec<Host>,
}

#[derive(Copy, Clone, Default)]
struct Host {
    since: Time,
    sent: u32,
}

impl IcmpRate {
    pub(crate) fn new() -> Self {
        Self {
            hosts: vec![Host::default(); ICMP_HOSTS],
        }
    }

    /// Whether one more may go to this host. Hosts that share a place share its budget.
    pub(crate) fn allows(&mut self, host: Ipv4Addr, now: Time) -> bool {
        let hash = host.to_bits().wrapping_mul(0x9E37_79B9) >> 16;
        let place = &mut self.hosts[hash as usize % ICMP_HOSTS];
        if place.sent == 0 || now.since(place.since) >= Duration::from_secs(1) {
            *place = Host {
                since: now,
                sent: 0,
            };
        }
        let allowed = place.sent < ICMP_PER_SECOND;
        place.sent += u32::from(allowed);
        allowed
    }
}

/// Whether an ICMP error may answer this frame's packet at all (RFC 1122 section 3.2.2): never an
/// error, a later fragment, or what did not go from one host to one host.
pub(crate) fn may_be_answered(frame: &Frame<'_>, ip: &Ipv4) -> bool {
    let is_host = |address: Ipv4Addr| {
        !(address.is_multicast()
            || address.is_broadcast()
            || address.is_unspecified()
            || address.is_loopback())
    };
    let kind = frame.payload.get(ip.header_len()).copied().map(IcmpType);
    let is_error = ip.protocol() == Protocol::ICMP
        && !matches!(kind, Some(IcmpType::ECHO_REQUEST | IcmpType::ECHO_REPLY));
    let (source, destination) = ip.addresses();
    let from_host_to_host = is_host(source) && is_host(destination);
    !frame.destination.is_group() && from_host_to_host && ip.fragment_offset() == 0 && !is_error
}

/// Writes into `out` the frame that tells the source of `frame`'s packet what fits; false when that
/// cannot be.
///
/// Its source address is the packet's destination: it enters the kernel where that host's packets
/// would, so that reverse path checks pass, while an address of this router would be refused there
/// as a martian.
pub(crate) fn fragmentation_needed(
    frame: &Frame<'_>,
    ip: &Ipv4,
    mtu: u16,
    out: &mut FrameBuf,
) -> bool {
    let (source, destination) = ip.addresses();
    let offending = &frame.payload[..ip.total_len().min(frame.payload.len())];
    let answer = Frame {
        destination: frame.source,
        source: frame.destination,
        payload: &icmp::fragmentation_needed(destination, source, mtu, offending),
        ..*frame
    };
    out.load(&answer.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_second_for_each_host() {
        let mut rate = IcmpRate::new();
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let sent =
            |rate: &mut IcmpRate, host, at| (0..50).filter(|_| rate.allows(host, at)).count();
        assert_eq!(sent(&mut rate, a, Time::from_secs(1)), 10);
        assert_eq!(sent(&mut rate, b, Time::from_secs(1)), 10);
        assert_eq!(sent(&mut rate, a, Time::from_millis(1_999)), 0);
        assert_eq!(sent(&mut rate, a, Time::from_secs(2)), 10);
    }
}

//! What a host is told when its packet is too big to be encrypted and must not be cut.
//!
//! Decides whether an ICMP "fragmentation needed" is due, and builds it new. The hosts see the
//! largest packet that fits after encryption, not the WAN's MTU.

use std::net::Ipv4Addr;
use std::time::Duration;

use policy::Time;

use crate::frame::FrameBuf;
use crate::limits::{ICMP_HOSTS, ICMP_PER_SECOND};
use crate::packet::{IPV4_HEADER, Ipv4, checksum, protocol, seal_ipv4_header};

const ICMP_HEADER: usize = 8;
/// Octets of the offending packet's payload that are quoted.
const QUOTED: usize = 8;
const TTL: u8 = 64;
const MAC: usize = 6;

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

/// Whether an ICMP error may answer this packet at all (RFC 1122 section 3.2.2): never an error,
/// a later fragment, or what did not go from one host to one host.
pub(crate) fn may_be_answered(frame: &[u8], packet: &[u8], ip: &Ipv4) -> bool {
    let is_host = |address: Ipv4Addr| {
        !(address.is_multicast()
            || address.is_broadcast()
            || address.is_unspecified()
            || address.is_loopback())
    };
    let link_is_unicast = frame.first().is_some_and(|first| first & 1 == 0);
    let is_icmp_error = ip.protocol == protocol::ICMP
        && packet
            .get(ip.header_len)
            .is_some_and(|kind| matches!(kind, 3 | 4 | 5 | 11 | 12));
    link_is_unicast
        && is_host(ip.source)
        && is_host(ip.destination)
        && ip.fragment_offset == 0
        && !is_icmp_error
}

/// Writes into `out` the frame that tells the source of `frame`'s packet, at `l3`, what fits.
///
/// Its source address is the packet's destination: it enters the kernel where that host's packets
/// would, so that reverse path checks pass, while an address of this router would be refused there
/// as a martian.
pub(crate) fn fragmentation_needed(
    frame: &[u8],
    l3: usize,
    ip: &Ipv4,
    mtu: u16,
    out: &mut FrameBuf,
) -> Option<()> {
    let packet = frame.get(l3..l3 + ip.total_len)?;
    let quoted = packet.get(..(ip.header_len + QUOTED).min(packet.len()))?;
    let len = IPV4_HEADER + ICMP_HEADER + quoted.len();
    out.space().get_mut(..l3 + len)?.fill(0);
    out.set_len(l3 + len);
    let octets = out.octets_mut();
    octets[..MAC].copy_from_slice(&frame[MAC..2 * MAC]);
    octets[MAC..2 * MAC].copy_from_slice(&frame[..MAC]);
    octets[2 * MAC..l3].copy_from_slice(&frame[2 * MAC..l3]);
    let (header, icmp) = octets[l3..].split_at_mut(IPV4_HEADER);
    header[0] = 0x45;
    header[1] = 0xC0; // Precedence internetwork control, as RFC 1812 section 4.3.2.5 asks for.
    header[2..4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
    header[8] = TTL;
    header[9] = protocol::ICMP;
    header[12..16].copy_from_slice(&ip.destination.octets());
    header[16..20].copy_from_slice(&ip.source.octets());
    seal_ipv4_header(header);
    icmp[0] = 3;
    icmp[1] = 4;
    icmp[6..8].copy_from_slice(&mtu.to_be_bytes());
    icmp[ICMP_HEADER..].copy_from_slice(quoted);
    let sum = checksum(icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(())
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

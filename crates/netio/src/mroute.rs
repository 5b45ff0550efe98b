//! The kernel's IPv4 multicast routing (IP_MROUTE): which ports take part, and which of them a
//! source's packets for a group leave by. Decides nothing: who has joined what is the caller's.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys;

/// Ports that can take part (MAXVIFS).
pub const PORTS_MAX: usize = 32;

/// The address that members report to by IGMP version 3.
const REPORTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

const MRT_INIT: i32 = 200;
const MRT_ADD_VIF: i32 = 202;
const MRT_ADD_MFC: i32 = 204;
const VIFF_USE_IFINDEX: u8 = 8;
/// What the kernel says in place of an IP protocol when it is a question to this program.
const QUESTION: u8 = 0;
/// "No route for this source and group" (IGMPMSG_NOCACHE).
const NO_ROUTE: u8 = 1;

/// struct vifctl as words: number, flags and threshold; rate limit; device; remote end.
fn vif_control(vif: u16, index: u32) -> [u32; 4] {
    let [a, b] = vif.to_ne_bytes();
    let threshold = 1;
    let first = u32::from_ne_bytes([a, b, VIFF_USE_IFINDEX, threshold]);
    [first, 0, index, 0]
}

/// struct mfcctl as words: source, group, port in and ports out, and four counters.
fn route_control(
    source: Ipv4Addr,
    group: Ipv4Addr,
    from: u16,
    ttls: &[u8; PORTS_MAX],
) -> [u32; 15] {
    let mut octets = [0; 60];
    octets[..4].copy_from_slice(&source.octets());
    octets[4..8].copy_from_slice(&group.octets());
    octets[8..10].copy_from_slice(&from.to_ne_bytes());
    octets[10..10 + PORTS_MAX].copy_from_slice(ttls);
    std::array::from_fn(|word| {
        let at = 4 * word;
        u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    })
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Packets of a source for a group come by a port and have no route yet; the first one waits.
    Unrouted {
        /// The port's number.
        port: u16,
        /// The source.
        source: Ipv4Addr,
        /// The group.
        group: Ipv4Addr,
    },
    /// A host has joined a group, or left it (IGMP version 2 or 3).
    Report {
        /// The host.
        host: Ipv4Addr,
        /// The group.
        group: Ipv4Addr,
        /// Joined, else left.
        joined: bool,
    },
}

/// Multicast routing of this thread's network namespace; it ends when this is dropped.
pub struct MulticastRouter {
    socket: OwnedFd,
    ports: u16,
}

impl MulticastRouter {
    /// Switches multicast routing on.
    ///
    /// # Errors
    /// Needs CAP_NET_ADMIN, a kernel with IP_MROUTE, and that nobody else routes here.
    pub fn start() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK;
        let socket = sys::socket(libc::AF_INET, kind, libc::IPPROTO_IGMP)?;
        sys::set_option(socket.as_fd(), libc::IPPROTO_IP, MRT_INIT, 1_i32)?;
        Ok(Self { socket, ports: 0 })
    }

    /// The port of an address takes part; its number.
    ///
    /// # Errors
    /// No port has that address, or [`PORTS_MAX`] take part.
    pub fn add_port(&mut self, address: Ipv4Addr, index: u32) -> io::Result<u16> {
        let control = vif_control(self.ports, index);
        let ip = libc::IPPROTO_IP;
        sys::set_option(self.socket.as_fd(), ip, MRT_ADD_VIF, control)?;
        let request = [REPORTS, address].map(|own| own.to_bits().to_be());
        sys::set_option(self.socket.as_fd(), ip, libc::IP_ADD_MEMBERSHIP, request)?;
        self.ports += 1;
        Ok(self.ports - 1)
    }

    /// What a source sends to a group and comes by port `from` leaves by the ports `to`.
    ///
    /// # Errors
    /// A port that does not take part.
    pub fn route(
        &self,
        source: Ipv4Addr,
        group: Ipv4Addr,
        from: u16,
        to: &[u16],
    ) -> io::Result<()> {
        let mut ttls = [0; PORTS_MAX];
        for port in to {
            if let Some(ttl) = ttls.get_mut(usize::from(*port)) {
                *ttl = 1;
            }
        }
        let control = route_control(source, group, from, &ttls);
        sys::set_option(self.socket.as_fd(), libc::IPPROTO_IP, MRT_ADD_MFC, control)
    }

    /// What the next packet says; nothing if it is of no interest.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn hear(&self) -> io::Result<Vec<Heard>> {
        let mut buffer = [0; 2_048];
        let len = sys::receive(self.socket.as_fd(), &mut buffer, 0)?;
        Ok(read(&buffer[..len]))
    }
}

impl AsFd for MulticastRouter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address_at(octets: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
    Some(four.into())
}

/// Reads a packet with its IP header, or a question of the kernel in the place of one.
fn read(packet: &[u8]) -> Vec<Heard> {
    let (Some(source), Some(destination)) = (address_at(packet, 12), address_at(packet, 16)) else {
        return Vec::new();
    };
    if packet[9] == QUESTION {
        let port = u16::from_le_bytes([packet[10], packet[11]]);
        let question = Heard::Unrouted {
            port,
            source,
            group: destination,
        };
        return Vec::from_iter((packet[8] == NO_ROUTE).then_some(question));
    }
    let header = usize::from(packet[0] & 0x0f) * 4;
    let report = packet.get(header..).unwrap_or_default();
    report_of(report)
        .into_iter()
        .map(|(group, joined)| Heard::Report {
            host: source,
            group,
            joined,
        })
        .collect()
}

/// The groups of an IGMP message, each with whether it is joined: RFC 2236 section 2, RFC 3376
/// section 4.2.
fn report_of(message: &[u8]) -> Vec<(Ipv4Addr, bool)> {
    const JOIN_2: u8 = 0x16;
    const LEAVE_2: u8 = 0x17;
    const REPORT_3: u8 = 0x22;
    match message.first().copied() {
        Some(ty @ (JOIN_2 | LEAVE_2)) => {
            let group = address_at(message, 4);
            group
                .map(|group| (group, ty == JOIN_2))
                .into_iter()
                .collect()
        }
        Some(REPORT_3) => records_of(message),
        _ => Vec::new(),
    }
}

fn records_of(report: &[u8]) -> Vec<(Ipv4Addr, bool)> {
    const IS_EXCLUDE: u8 = 2;
    const TO_INCLUDE: u8 = 3;
    const TO_EXCLUDE: u8 = 4;
    let mut groups = Vec::new();
    let mut at = 8;
    while let (Some(head), Some(group)) = (report.get(at..at + 4), address_at(report, at + 4)) {
        let sources = usize::from(u16::from_be_bytes([head[2], head[3]]));
        match (head[0], sources) {
            (IS_EXCLUDE | TO_EXCLUDE, _) => groups.push((group, true)),
            (TO_INCLUDE, 0) => groups.push((group, false)),
            _ => {}
        }
        at += 8 + 4 * (sources + usize::from(head[1]));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_both_versions_and_the_kernels_question_are_read() {
        let group = Ipv4Addr::new(239, 10, 1, 1);
        let [a, b, c, d] = group.octets();
        assert_eq!(report_of(&[0x16, 0, 0, 0, a, b, c, d]), [(group, true)]);
        assert_eq!(report_of(&[0x17, 0, 0, 0, a, b, c, d]), [(group, false)]);
        let mut report = vec![0x22, 0, 0, 0, 0, 0, 0, 2];
        report.extend([4, 0, 0, 0, a, b, c, d]);
        report.extend([3, 0, 0, 0, a, b, c, d]);
        assert_eq!(report_of(&report), [(group, true), (group, false)]);
        report.truncate(20);
        assert_eq!(report_of(&report), [(group, true)]);
        let mut question = vec![0; 20];
        question[8] = NO_ROUTE;
        question[10] = 3;
        question[12..16].copy_from_slice(&[10, 1, 11, 2]);
        question[16..20].copy_from_slice(&group.octets());
        let unrouted = Heard::Unrouted {
            port: 3,
            source: Ipv4Addr::new(10, 1, 11, 2),
            group,
        };
        assert_eq!(read(&question), [unrouted]);
        assert!(read(&question[..19]).is_empty() && report_of(&[]).is_empty());
    }
}

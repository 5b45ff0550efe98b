//! Packets that a host sends on its own and that a careless member would let through: protocol 50
//! with an SPI that no key server made, IPv6, and plain UDP for the times when nothing may pass.
//! Decides what is sent; the core's tally judges.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netio::testbed;

use crate::limits::STRAY_MAX;
use crate::netns;
use crate::probe::Host;

/// The SPI of the packets that a host makes up itself. Below 256, so no key server mints it.
pub(crate) const STRAY_SPI: u32 = 0x0000_00a5;
/// Packets of each sort that a host sends to another at a time.
const EACH: u64 = 20;
/// What follows it.
const STRAY_BODY: &[u8] = b"protocol 50 made up by a host of the LAN, no member sealed this";

/// What became of the stray packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strays {
    /// Protocol-50 packets that the host sent.
    pub(crate) esp_sent: u64,
    /// Of these, those that reached the other host as they were sent.
    pub(crate) esp_arrived: u64,
    /// IPv4 datagrams that the host sent.
    pub(crate) udp_sent: u64,
    /// Of these, those that reached the other host.
    pub(crate) udp_arrived: u64,
    /// IPv6 datagrams that the host sent; none if it has no IPv6 address.
    pub(crate) ipv6_sent: u64,
    /// Of these, those that reached the other host.
    pub(crate) ipv6_arrived: u64,
}

impl Strays {
    /// Packets of all sorts that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.esp_sent + self.udp_sent + self.ipv6_sent
    }

    /// Packets of all sorts that arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.esp_arrived + self.udp_arrived + self.ipv6_arrived
    }

    /// Adds what became of others.
    fn add(&mut self, other: Self) {
        self.esp_sent += other.esp_sent;
        self.esp_arrived += other.esp_arrived;
        self.udp_sent += other.udp_sent;
        self.udp_arrived += other.udp_arrived;
        self.ipv6_sent += other.ipv6_sent;
        self.ipv6_arrived += other.ipv6_arrived;
    }
}

impl fmt::Display for Strays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorts = [
            ("protocol 50", self.esp_arrived, self.esp_sent),
            ("UDP", self.udp_arrived, self.udp_sent),
            ("IPv6", self.ipv6_arrived, self.ipv6_sent),
        ];
        for (number, (sort, arrived, sent)) in sorts.into_iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{sort} {arrived} of {sent}")?;
        }
        Ok(())
    }
}

/// Lets every host send packets of each sort to every other, all at once.
pub(crate) fn send_all(hosts: &[Host]) -> Result<Strays> {
    let mut all = Strays::default();
    std::thread::scope(|scope| {
        let mut ways = Vec::new();
        for a in hosts {
            for b in hosts.iter().filter(|b| b.address != a.address) {
                ways.push((
                    scope.spawn(|| protocol_50(a, b, EACH)),
                    scope.spawn(|| datagrams(a, b, a.address.into(), b.address.into(), EACH)),
                    scope.spawn(|| match (ipv6_of(a)?, ipv6_of(b)?) {
                        (Some(from), Some(to)) => datagrams(a, b, from.into(), to.into(), EACH),
                        _ => Ok((0, 0)),
                    }),
                ));
            }
        }
        for (esp, udp, ipv6) in ways {
            let (esp_sent, esp_arrived) = netns::join_scoped(esp)?;
            let (udp_sent, udp_arrived) = netns::join_scoped(udp)?;
            let (ipv6_sent, ipv6_arrived) = netns::join_scoped(ipv6)?;
            all.add(Strays {
                esp_sent,
                esp_arrived,
                udp_sent,
                udp_arrived,
                ipv6_sent,
                ipv6_arrived,
            });
        }
        Ok(all)
    })
}

fn protocol_50(a: &Host, b: &Host, count: u64) -> Result<(u64, u64)> {
    let receiver = netns::inside(&b.namespace, || {
        let socket = testbed::raw_socket(libc::IPPROTO_ESP)?;
        testbed::set_receive_timeout(&socket, 50)?;
        Ok(socket)
    })?;
    let body = |number: u64| {
        let sequence = number as u32;
        [
            &STRAY_SPI.to_be_bytes(),
            &sequence.to_be_bytes(),
            STRAY_BODY,
        ]
        .concat()
    };
    netns::inside(&a.namespace, || {
        let socket = testbed::raw_socket(libc::IPPROTO_ESP)?;
        for number in 0..count {
            testbed::raw_send(&socket, &body(number), b.address).context("send protocol 50")?;
        }
        Ok(())
    })?;
    let mut arrived = 0;
    let mut buffer = vec![0; 2048];
    let until = Instant::now() + STRAY_MAX;
    while arrived < count && Instant::now() < until {
        let Some(len) = testbed::raw_receive(&receiver, &mut buffer)? else {
            continue;
        };
        let packet = &buffer[..len];
        let from = packet.get(12..16) == Some(&a.address.octets());
        let inner = packet.get(20..).unwrap_or_default();
        if from && (0..count).any(|number| inner == body(number)) {
            arrived += 1;
        }
    }
    Ok((count, arrived))
}

/// The first IPv6 address of a host.
fn ipv6_of(host: &Host) -> Result<Option<Ipv6Addr>> {
    let found = netns::inside(&host.namespace, || Ok(testbed::addresses()?))?;
    Ok(found.iter().find_map(|at| match at.address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }))
}

/// Sends datagrams from an address of `a` to one of `b`; how many left and how many arrived.
fn datagrams(a: &Host, b: &Host, from: IpAddr, to: IpAddr, count: u64) -> Result<(u64, u64)> {
    let receiver = netns::inside(&b.namespace, || Ok(UdpSocket::bind((to, 0))?))?;
    receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
    let to = receiver.local_addr()?;
    let sent = netns::inside(&a.namespace, || {
        let socket = UdpSocket::bind((from, 0))?;
        let sent = (0..count)
            .filter(|_| socket.send_to(STRAY_BODY, to).is_ok())
            .count();
        Ok(sent as u64)
    })?;
    let mut arrived = 0;
    let mut buffer = [0; 256];
    let until = Instant::now() + STRAY_MAX;
    while arrived < sent && Instant::now() < until {
        if receiver
            .recv(&mut buffer)
            .is_ok_and(|len| buffer[..len] == *STRAY_BODY)
        {
            arrived += 1;
        }
    }
    Ok((sent, arrived))
}

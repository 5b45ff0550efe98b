//! Constant-rate UDP between two hosts, and what became of every packet.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use policy::Time;
use wire::ip::{Packet, udp_packet};
use wire::udp::Udp;

use crate::scenario::Measure;

/// Source and destination port of all flows.
const PORT: u16 = 7_000;
/// Octets at the start of a payload: flow and number.
const HEAD_LEN: usize = 12;

/// One direction of a conversation.
#[derive(Debug)]
pub struct Flow {
    /// The number that its packets carry.
    pub id: u32,
    /// Who sends.
    pub from: Ipv4Addr,
    /// Who receives.
    pub to: Ipv4Addr,
    /// Time between two packets.
    pub interval: Duration,
    /// Octets of a payload.
    pub octets: usize,
    /// Packets sent.
    pub sent: u64,
    /// Whether more will be sent.
    pub open: bool,
    missing: BTreeSet<u64>,
    highest: Option<u64>,
    reordered: u64,
    duplicated: u64,
}

impl Flow {
    /// A flow that has sent nothing; payloads are at least 12 octets.
    #[must_use]
    pub fn new(id: u32, from: Ipv4Addr, to: Ipv4Addr, pps: u32, octets: u32) -> Self {
        Self {
            id,
            from,
            to,
            interval: Duration::from_secs(1) / pps.max(1),
            octets: usize::try_from(octets)
                .unwrap_or(usize::MAX)
                .clamp(HEAD_LEN, 1_472),
            sent: 0,
            open: true,
            missing: BTreeSet::new(),
            highest: None,
            reordered: 0,
            duplicated: 0,
        }
    }

    /// The next packet, from IP header to the end.
    pub fn packet(&mut self) -> Vec<u8> {
        let mut payload = vec![0; self.octets];
        payload[..4].copy_from_slice(&self.id.to_be_bytes());
        payload[4..HEAD_LEN].copy_from_slice(&self.sent.to_be_bytes());
        self.missing.insert(self.sent);
        self.sent += 1;
        let end = |address| SocketAddrV4::new(address, PORT);
        udp_packet(end(self.from), end(self.to), &payload)
    }

    /// A packet of this flow arrived.
    pub fn arrived(&mut self, number: u64) {
        if !self.missing.remove(&number) {
            self.duplicated += 1;
            return;
        }
        if self.highest.is_some_and(|highest| number < highest) {
            self.reordered += 1;
        }
        self.highest = self.highest.max(Some(number));
    }

    /// What the flow has suffered so far; what is on the way counts as lost.
    #[must_use]
    pub fn measured(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Lost => self.missing.len() as u64,
            Measure::Reordered => self.reordered,
            Measure::Duplicated => self.duplicated,
        }
    }
}

/// Flow and number of a packet that some flow made.
#[must_use]
pub fn identify(packet: &[u8]) -> Option<(u32, u64)> {
    let Packet::V4(packet) = Packet::parse(packet).ok()? else {
        return None;
    };
    let udp = Udp::parse(packet.payload()).ok()?;
    let (id, rest) = udp.payload.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    (udp.destination_port == PORT).then(|| (u32::from_be_bytes(*id), u64::from_be_bytes(*number)))
}

/// When the packet number `n` of a flow that began at `start` leaves.
#[must_use]
pub fn due(start: Time, interval: Duration, n: u64) -> Time {
    start + Duration::from_nanos(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX) * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_told_from_every_other() {
        let mut flow = Flow::new(
            3,
            [192, 168, 20, 10].into(),
            [192, 168, 21, 10].into(),
            100,
            200,
        );
        let packets: Vec<_> = (0..4).map(|_| flow.packet()).collect();
        assert_eq!(identify(&packets[2]), Some((3, 2)));
        assert_eq!(packets[0].len(), 228);
        for n in [0, 2, 1, 1] {
            flow.arrived(n);
        }
        let measured =
            [Measure::Lost, Measure::Reordered, Measure::Duplicated].map(|m| flow.measured(m));
        assert_eq!(measured, [1, 1, 1]);
    }
}

//! Single packets between members, and what became of each.
//!
//! Decides nothing about which of them must arrive; that is the reference model's.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use policy::Time;
use wire::ip::udp_packet;

use crate::node::NodeId;

/// The flow number that marks a probe.
pub(crate) const PROBE_FLOW: u32 = u32::MAX;
/// The flow number that marks a packet that an attacker injects in clear.
pub(crate) const CLEAR_FLOW: u32 = u32::MAX - 1;
/// After this time a packet has arrived or it never does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
const PORT: u16 = 7_000;
const OCTETS: usize = 64;

/// One packet.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The member behind which it began.
    pub(crate) from: NodeId,
    /// The member behind which it is to arrive.
    pub(crate) to: NodeId,
    /// When it left the host.
    pub(crate) sent: Time,
    /// Whether the promises demand its delivery.
    pub(crate) demanded: bool,
    /// Whether it left the first member.
    pub(crate) left: bool,
    /// How often it arrived.
    pub(crate) arrived: u32,
    /// How often the receiver had been started.
    pub(crate) boots: u32,
}

/// All packets of a world.
#[derive(Default)]
pub(crate) struct Probes {
    all: Vec<Probe>,
    judged: usize,
    /// How many had to arrive.
    pub(crate) demanded: u64,
    /// How many arrived.
    pub(crate) delivered: u64,
}

impl Probes {
    /// A packet begins its way; returns its number.
    pub(crate) fn begin(&mut self, probe: Probe) -> u64 {
        self.all.push(probe);
        self.all.len() as u64 - 1
    }

    /// The packet of that number.
    pub(crate) fn find_mut(&mut self, number: u64) -> Option<&mut Probe> {
        self.all.get_mut(usize::try_from(number).ok()?)
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The next packet whose time is over, once.
    pub(crate) fn over(&mut self, now: Time) -> Option<&Probe> {
        let probe = self.all.get(self.judged)?;
        if now.since(probe.sent) < PATIENCE {
            return None;
        }
        self.judged += 1;
        self.demanded += u64::from(probe.demanded);
        self.delivered += u64::from(probe.arrived > 0);
        Some(probe)
    }
}

/// A UDP packet that carries a flow's number and its own.
pub(crate) fn packet(flow: u32, number: u64, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut payload = [0; OCTETS];
    payload[..4].copy_from_slice(&flow.to_be_bytes());
    payload[4..12].copy_from_slice(&number.to_be_bytes());
    let end = |address| SocketAddrV4::new(address, PORT);
    udp_packet(end(from), end(to), &payload)
}

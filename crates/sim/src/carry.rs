//! How datagrams and packets get from box to box, and what is seen of them on the way.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dataplane::{FrameBuf, InterfaceId, Sink};
use router::Input;
use router::show::machines::Machines as _;
use wire::ethernet::{EtherType, Frame, Mac};
use wire::ip::{Packet, Protocol};

use crate::link::below;
use crate::network::Cargo;
use crate::node::{Node, NodeId};
use crate::probe::{CLEAR_FLOW, PATIENCE, PROBE_FLOW, Probe, packet};
use crate::reference::Reference;
use crate::traffic::{due, identify};
use crate::world::{Happening, PORT, VirtualWorld};

/// How long a datagram is held back at most.
const HOLD_MAX_MS: u64 = 600_000;

/// A datagram on UDP 848.
#[derive(Clone)]
pub(crate) struct Datagram {
    /// The box where it arrives.
    pub(crate) to: NodeId,
    /// The address it was sent to.
    pub(crate) local: Ipv4Addr,
    /// Where it came from.
    pub(crate) peer: Ipv4Addr,
    /// Its payload.
    pub(crate) bytes: Vec<u8>,
}

/// What a forwarder sent on.
#[derive(Default)]
struct Port {
    wan: Vec<Vec<u8>>,
    lan: Vec<Vec<u8>>,
}

impl Sink for Port {
    fn transmit(&mut self, frame: &[u8]) {
        self.wan.push(frame.to_vec());
    }
    fn deliver(&mut self, frame: &[u8]) {
        self.lan.push(frame.to_vec());
    }
}

/// What the core sees of a frame.
struct Sight {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// SPI and the first octets of the IV, if it is ESP.
    esp: Option<(u32, [u8; 8])>,
}

impl VirtualWorld {
    /// A datagram leaves a box.
    pub(crate) fn send(&mut self, from: NodeId, local: Ipv4Addr, peer: Ipv4Addr, bytes: Vec<u8>) {
        let to = self.addresses.get(&peer).copied();
        let name = &self.nodes[from].name;
        if let Some(ladder) = &mut self.ladder {
            let shown = to.map_or_else(|| peer.to_string(), |to| self.nodes[to].name.clone());
            ladder.datagram(self.now, name, &shown, &bytes);
        }
        if self.reference.is_some() {
            self.watch.leaves(self.now, (from, name), to, &bytes);
        }
        let Some(to) = to else { return };
        let bytes = self
            .attacker
            .tamper((from, to), &bytes, &mut self.rng)
            .unwrap_or(bytes);
        let datagram = Datagram {
            to,
            local: peer,
            peer: local,
            bytes,
        };
        self.attacker.record(&datagram);
        self.carry(from, datagram);
    }

    /// A datagram leaves a box for a multicast address: the core makes a copy for every box that has
    /// joined, and each has its own fate.
    pub(crate) fn send_multicast(
        &mut self,
        from: NodeId,
        local: Ipv4Addr,
        group: Ipv4Addr,
        bytes: &[u8],
    ) {
        let name = &self.nodes[from].name;
        if let Some(ladder) = &mut self.ladder {
            ladder.datagram(self.now, name, &group.to_string(), bytes);
        }
        if self.reference.is_some() {
            self.watch.leaves(self.now, (from, name), None, bytes);
        }
        let routed = self.routes_multicast;
        let joined = |node: &Node| {
            let running = node.running.as_ref();
            routed && running.is_some_and(|own| own.joined.contains(&group))
        };
        let receivers: Vec<NodeId> = (0..self.nodes.len())
            .filter(|to| *to != from && joined(&self.nodes[*to]))
            .collect();
        for to in receivers {
            let datagram = Datagram {
                to,
                local: group,
                peer: local,
                bytes: bytes.to_vec(),
            };
            self.attacker.record(&datagram);
            self.carry(from, datagram);
        }
    }

    /// The core carries a datagram.
    fn carry(&mut self, from: NodeId, datagram: Datagram) {
        let way = (from, datagram.to);
        let fate = self
            .network
            .offer(self.now, way, Cargo::Control, &mut self.rng);
        let released = self.held.remove(&way);
        let last = fate.arrivals.last().copied().unwrap_or(self.now);
        if fate.held {
            let number = self.next_number();
            self.held.insert(way, (number, datagram));
            let span = Duration::from_millis(below(HOLD_MAX_MS, &mut self.rng));
            self.later(span, Happening::Release { way, number });
        } else {
            for at in fate.arrivals {
                self.schedule(at, Happening::Datagram(datagram.clone()));
            }
        }
        if let Some((_, late)) = released {
            let at = last + Duration::from_millis(20);
            self.schedule(at, Happening::Datagram(late));
        }
    }

    /// A datagram was held back for so long that it comes without another one before it.
    pub(crate) fn release(&mut self, way: (NodeId, NodeId), number: u64) {
        if self.held.get(&way).is_some_and(|(own, _)| *own == number)
            && let Some((_, datagram)) = self.held.remove(&way)
        {
            self.deliver(datagram);
        }
    }

    /// A datagram arrives.
    pub(crate) fn deliver(&mut self, datagram: Datagram) {
        let end = |address| SocketAddrV4::new(address, PORT);
        let watched = self.reference.is_some();
        if watched {
            self.watch.arrives(&datagram.bytes);
        }
        let running = self.nodes[datagram.to].running.as_ref();
        let deaf = running.is_none_or(|own| !own.joined.contains(&datagram.local));
        if datagram.local.is_multicast() && deaf {
            return;
        }
        self.input(
            datagram.to,
            Input::Datagram {
                local: end(datagram.local),
                peer: end(datagram.peer),
                bytes: &datagram.bytes,
            },
        );
        if watched {
            self.watch.worked();
        }
    }

    /// A packet of a scenario's flow begins its way.
    pub(crate) fn emit(&mut self, place: usize) {
        let Some((start, flow)) = self.flows.get_mut(place) else {
            return;
        };
        if !flow.open {
            return;
        }
        let next = due(*start, flow.interval, flow.sent + 1);
        let (from, packet) = (flow.from, flow.packet());
        self.schedule(next, Happening::Packet { flow: place });
        if let Some(router) = self.router_of(from) {
            self.route(router, &packet, None);
        }
    }

    /// A packet between two members begins its way.
    pub(crate) fn probe(&mut self, from: NodeId, to: NodeId) {
        let (Some(source), Some(destination)) = (self.host_behind(from), self.host_behind(to))
        else {
            return;
        };
        let demanded = self.reference.as_ref().is_some_and(|model| {
            let both = model.covers(self.now, from) && model.covers(self.now, to);
            both && self.network.passes(from, to)
        });
        let number = self.probes.begin(Probe {
            from,
            to,
            sent: self.now,
            demanded,
            left: false,
            arrived: 0,
            boots: self.nodes[to].boots,
        });
        let packet = packet(PROBE_FLOW, number, source, destination);
        self.route(from, &packet, Some(number));
    }

    /// The host in a member's LAN.
    pub(crate) fn host_behind(&self, node: NodeId) -> Option<Ipv4Addr> {
        let (router, _) = self.nodes[node].lans().next()?;
        Some(Ipv4Addr::from(router.to_bits() + 9))
    }

    /// A host's packet goes through its router's forwarder.
    fn route(&mut self, router: NodeId, packet: &[u8], probe: Option<u64>) {
        let port = self.forward(router, &frame(packet), true);
        for frame in port.wan {
            self.leave(router, frame, probe);
        }
    }

    /// Runs the forwarder of a box over one frame; a dead box forwards nothing.
    fn forward(&mut self, id: NodeId, frame: &[u8], outbound: bool) -> Port {
        let mut port = Port::default();
        let node = &mut self.nodes[id];
        let now = node.clock.local(self.now);
        let Some(running) = &mut node.running else {
            return port;
        };
        let mut frames = [FrameBuf::with_capacity(frame.len())];
        if !frames[0].load(frame) {
            return port;
        }
        let (worker, snapshot) = (&mut running.worker, Arc::clone(&running.snapshot));
        let wan = InterfaceId::FIRST;
        if outbound {
            worker.outbound(&snapshot, wan, now, &mut frames, &mut port);
        } else {
            worker.inbound(&snapshot, wan, now, &mut frames, &mut port);
        }
        let notices: Vec<_> = running.worker.take_notices().collect();
        if !notices.is_empty() {
            self.input(id, Input::Notices(notices));
        }
        port
    }

    /// A frame leaves a WAN port: the core looks at it and carries it to the other router.
    fn leave(&mut self, from: NodeId, frame: Vec<u8>, probe: Option<u64>) {
        let Some(sight) = sight(&frame) else {
            return;
        };
        let ends = (sight.source, sight.destination);
        let to = self.router_of(sight.destination);
        let name = &self.nodes[from].name;
        match sight.esp {
            Some((spi, iv)) => {
                let keys = self.nodes[from].running.as_ref().map(|own| &own.keys);
                let key = keys.and_then(|keys| keys.get(&spi).copied());
                let key = key.unwrap_or_else(|| u64::from(spi));
                self.watch.no_iv_twice(self.now, name, key, spi, iv);
                if self.is_covered(from) {
                    self.watch.no_removed_member_reads(self.now, name, key);
                }
            }
            None if self.router_of(sight.source).is_some() && to.is_some() => {
                self.watch.nothing_leaves_in_clear(self.now, name, ends);
            }
            None => {}
        }
        let Some(to) = to else { return };
        self.attacker.record_frame(to, &frame);
        let fate = self
            .network
            .offer(self.now, (from, to), Cargo::Data, &mut self.rng);
        if let Some(probe) = probe.and_then(|number| self.probes.find_mut(number)) {
            probe.left = true;
            // What the network loses no router can deliver.
            probe.demanded &= !fate.arrivals.is_empty();
        }
        for at in fate.arrivals {
            let frame = frame.clone();
            self.schedule(at, Happening::Frame { to, frame });
        }
    }

    /// A frame arrives from the core.
    pub(crate) fn arrive(&mut self, to: NodeId, frame: &[u8]) {
        for frame in self.forward(to, frame, false).lan {
            let packet = Frame::parse(&frame)
                .ok()
                .and_then(|frame| identify(frame.payload));
            match packet {
                Some((PROBE_FLOW, number)) => {
                    if let Some(probe) = self.probes.find_mut(number) {
                        probe.arrived += 1;
                        let (from, copies) = (probe.from, probe.arrived);
                        // A receiver that was started in between has forgotten what it saw.
                        let same_life = probe.boots == self.nodes[to].boots;
                        if copies > 1 && self.tells_copies && same_life {
                            self.nothing_is_delivered_twice(from, to);
                        }
                        self.no_removed_member_is_heard(from, to);
                    }
                }
                Some((CLEAR_FLOW, _)) => {
                    let name = &self.nodes[to].name;
                    self.watch.nothing_is_accepted_in_clear(self.now, name);
                }
                Some((id, number)) => {
                    if let Some((_, flow)) = self.flows.iter_mut().find(|(_, flow)| flow.id == id) {
                        flow.arrived(number);
                    }
                }
                None => {}
            }
        }
    }

    fn is_covered(&self, member: NodeId) -> bool {
        let model = self.reference.as_ref();
        model.is_some_and(|model| model.covers(self.now, member))
    }

    fn no_removed_member_is_heard(&mut self, from: NodeId, to: NodeId) {
        if !self.is_covered(to) {
            return;
        }
        let Some(times) = self.reference.as_ref().map(Reference::times) else {
            return;
        };
        let delay = times.delivery + PATIENCE;
        let [sender, receiver] = [from, to].map(|id| self.nodes[id].name.as_str());
        self.watch
            .no_removed_member_is_heard(self.now, (from, sender), receiver, delay);
    }

    fn nothing_is_delivered_twice(&mut self, from: NodeId, to: NodeId) {
        let what = format!(
            "a packet from {} to {} came out of it twice",
            self.nodes[from].name, self.nodes[to].name
        );
        self.watch
            .violate(self.now, "nothing is delivered twice", &what);
    }

    /// Judges the packets whose time is over.
    pub(crate) fn judge(&mut self) {
        while let Some(probe) = self.probes.over(self.now) {
            let lost = probe.demanded && probe.arrived == 0;
            if !lost {
                continue;
            }
            let (from, to, sent) = (probe.from, probe.to, probe.sent);
            let (left, boots) = (probe.left, probe.boots);
            let receiver = &self.nodes[to];
            // A receiver that died or fell out of the promise in between owes nothing.
            let excused = receiver.boots != boots
                || receiver.running.is_none()
                || !self
                    .reference
                    .as_ref()
                    .is_some_and(|model| model.covers(self.now, to));
            if !excused {
                let place = if left { "on its way" } else { "by its sender" };
                let what = format!(
                    "a packet from {} to {} was dropped {place}; {}; {}",
                    self.nodes[from].name,
                    self.nodes[to].name,
                    self.keys_text(from),
                    self.keys_text(to)
                );
                self.watch
                    .violate(sent, "nothing is lost that must arrive", &what);
            }
        }
    }

    /// The traffic keys that a member holds, for whoever looks for the reason of a loss.
    fn keys_text(&self, member: NodeId) -> String {
        let node = &self.nodes[member];
        let views = node.running.as_ref().map(|own| own.router.members());
        let teks = views.iter().flatten().flat_map(|view| &view.teks);
        let shown: Vec<String> = teks
            .map(|tek| {
                let (from, to) = (tek.activates_in.as_secs(), tek.remaining.as_secs());
                format!("0x{:08X} {from}..{to} s", tek.spi.0)
            })
            .collect();
        format!(
            "{} held, when it last did something, {}",
            node.name,
            shown.join(", ")
        )
    }

    /// The router behind which a host's address lies.
    pub(crate) fn router_of(&self, host: Ipv4Addr) -> Option<NodeId> {
        let near = |(own, length, id): &(Ipv4Addr, u8, NodeId)| {
            let shift = 32 - u32::from(*length);
            let differ = (own.to_bits() ^ host.to_bits())
                .checked_shr(shift)
                .unwrap_or(0);
            (differ == 0).then_some(*id)
        };
        self.lans.iter().find_map(near)
    }
}

/// What the core sees of a frame.
fn sight(frame: &[u8]) -> Option<Sight> {
    let Packet::V4(packet) = Packet::parse(Frame::parse(frame).ok()?.payload).ok()? else {
        return None;
    };
    let is_esp = packet.protocol() == Protocol::ESP;
    let esp = is_esp.then(|| packet.payload()).and_then(|octets| {
        let (spi, rest) = octets.split_first_chunk()?;
        let (_, rest) = rest.split_first_chunk::<4>()?;
        let (iv, _) = rest.split_first_chunk()?;
        Some((u32::from_be_bytes(*spi), *iv))
    });
    Some(Sight {
        source: packet.source(),
        destination: packet.destination(),
        esp,
    })
}

/// An Ethernet frame around a packet, as a router's kernel would make it toward the core.
pub(crate) fn frame(packet: &[u8]) -> Vec<u8> {
    Frame {
        destination: Mac([2, 0, 0, 0, 0, 1]),
        source: Mac([2, 0, 0, 0, 0, 2]),
        tags: [None; 2],
        ty: EtherType::IPV4,
        payload: packet,
    }
    .encode()
}

//! The world in virtual time: it obeys every box's effects, carries datagrams and packets, and
//! watches what must never happen.
//!
//! A box sends to the core and from there to another box, over the links of both. A host hangs
//! directly on its router. A packet that leaves a router toward another router's LAN in clear, and
//! an IV that is used twice under one SPI, are violations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crypto::{Rng, SeededRng};
use dataplane::{Control, FrameBuf, InterfaceId, Sink, Worker};
use gdoi::BootId;
use gdoi::machine::Record;
use policy::{Time, WallClock};
use router::{Boot, Input, Output, Router};
use wire::ethernet::{EtherType, Frame, Mac};

use wire::ip::{Packet, Protocol};

use crate::ladder::Ladder;
use crate::link::Link;
use crate::node::{Node, Running};
use crate::scenario::{Action, Measure, World};
use crate::traffic::{Flow, due, identify};

/// How long the disk takes for a transaction.
const DISK: Duration = Duration::from_micros(200);
/// How long making an RSA key takes.
const RSA: Duration = Duration::from_millis(300);
/// The wall clock at the beginning: 2026-01-01 00:00 UTC.
const WALL_START_MS: i64 = 1_767_225_600_000;
/// Effects of one box without time passing; more is a loop.
const EFFECTS_MAX: usize = 100_000;
/// Timers of one box at one instant; more is a loop.
const STEPS_AT_ONCE_MAX: u32 = 100;
/// UDP port of GDOI (RFC 6407 section 2.2).
const PORT: u16 = 848;

/// A world.
pub struct VirtualWorld {
    now: Time,
    rng: SeededRng,
    nodes: BTreeMap<String, Node>,
    hosts: BTreeMap<String, Ipv4Addr>,
    links: BTreeMap<String, Link>,
    happenings: BTreeMap<(Time, u64), Happening>,
    count: u64,
    flows: Vec<(Time, Flow)>,
    ladder: Option<Ladder>,
    ivs: BTreeSet<([u8; 4], [u8; 8])>,
    violations: Vec<String>,
    stuck: u32,
}

enum Happening {
    Datagram {
        to: String,
        local: Ipv4Addr,
        peer: Ipv4Addr,
        bytes: Vec<u8>,
    },
    Frame {
        to: String,
        frame: Vec<u8>,
    },
    Written {
        node: String,
        boot: u32,
        number: u64,
        records: Vec<Record>,
    },
    RsaKey {
        node: String,
        boot: u32,
        label: String,
        exportable: bool,
    },
    Packet {
        flow: usize,
    },
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

impl VirtualWorld {
    /// An empty world that `seed` determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            rng: SeededRng::from_number(seed),
            nodes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            happenings: BTreeMap::new(),
            count: 0,
            flows: Vec::new(),
            ladder: None,
            ivs: BTreeSet::new(),
            violations: Vec::new(),
            stuck: 0,
        }
    }

    /// Writes down everything from now on.
    pub fn explain(&mut self) {
        self.ladder = Some(Ladder::default());
    }

    /// Adds a box that does not run yet, with its link to the core.
    pub fn add_node(&mut self, name: &str, node: Node, link: Link) {
        self.nodes.insert(name.into(), node);
        self.links.insert(name.into(), link);
    }

    /// Adds a host; the box whose LAN its address lies in is its router.
    pub fn add_host(&mut self, name: &str, address: Ipv4Addr) {
        self.hosts.insert(name.into(), address);
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The transcript, if one is written.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.ladder.as_ref().map(Ladder::text).unwrap_or_default()
    }

    /// What happened that never must.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// A box.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The link of a box to the core.
    pub fn link_mut(&mut self, name: &str) -> Option<&mut Link> {
        self.links.get_mut(name)
    }

    /// Starts a box with what it has on disk.
    ///
    /// # Errors
    /// No such box, it runs already, or its configuration is refused.
    pub fn start(&mut self, name: &str) -> Result<(), String> {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let (now, wall) = (self.now, self.wall());
        let node = self
            .nodes
            .get_mut(name)
            .ok_or_else(|| format!("no box is named {name}"))?;
        if node.running.is_some() {
            return Err(format!("{name} runs already"));
        }
        let router = Router::new(Boot {
            config: node.config.clone(),
            config_name: name.into(),
            seed,
            keylog: None,
            boot: BootId(*b"a virtual world."),
            restored: node.rows(),
            interfaces: node.interfaces.clone(),
            workers: 1,
            version: env!("CARGO_PKG_VERSION"),
            now,
            wall,
        })
        .map_err(|error| format!("{name}: {error}"))?;
        node.boots += 1;
        node.running = Some(Running {
            router,
            worker: Worker::new(0, &mut self.rng),
            snapshot: Control::new(1).snapshot(),
            listening: Vec::new(),
        });
        self.note(&format!("start {name}"));
        self.pump(name);
        Ok(())
    }

    /// Kills a box: its disk stays as it is, everything else is gone.
    ///
    /// # Errors
    /// No such box.
    pub fn kill(&mut self, name: &str) -> Result<(), String> {
        let node = self
            .nodes
            .get_mut(name)
            .ok_or_else(|| format!("no box is named {name}"))?;
        node.running = None;
        self.note(&format!("kill {name}"));
        Ok(())
    }

    /// Lets a box find that its memory was resumed from an image.
    ///
    /// # Errors
    /// No such box, or it does not run.
    pub fn resume(&mut self, name: &str) -> Result<(), String> {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let node = self.nodes.get_mut(name);
        let running = node.and_then(|node| node.running.as_mut());
        let running = running.ok_or_else(|| format!("{name} does not run"))?;
        running.worker.reseed(&mut self.rng);
        self.note(&format!("resume {name}"));
        self.input(name, Input::Resumed { seed });
        Ok(())
    }

    /// Lets time pass until `until`.
    pub fn run_until(&mut self, until: Time) {
        loop {
            let event = self.happenings.first_key_value().map(|((at, _), _)| *at);
            let timer = self
                .nodes
                .iter()
                .filter_map(|(name, node)| Some((node.running.as_ref()?.router.deadline()?, name)))
                .min();
            let timer = timer.map(|(at, name)| (at.max(self.now), name.clone()));
            match (event, timer) {
                (Some(at), timer) if at <= until && timer.as_ref().is_none_or(|t| at <= t.0) => {
                    self.now = self.now.max(at);
                    if let Some((_, happening)) = self.happenings.pop_first() {
                        self.happen(happening);
                    }
                }
                (_, Some((at, name))) if at <= until => {
                    self.now = at;
                    self.input(&name, Input::Timer);
                    self.check_progress(&name);
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// A box may do several things at one instant, but whose deadline never moves stops the world.
    fn check_progress(&mut self, name: &str) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let deadline = node
            .running
            .as_ref()
            .and_then(|running| running.router.deadline());
        if deadline.is_none_or(|deadline| deadline > now) {
            self.stuck = 0;
            return;
        }
        self.stuck += 1;
        if self.stuck > STEPS_AT_ONCE_MAX {
            self.violations.push(format!(
                "{now:?} {name}: its deadline {deadline:?} does not move"
            ));
            node.running = None;
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram {
                to,
                local,
                peer,
                bytes,
            } => {
                let end = |address| std::net::SocketAddrV4::new(address, PORT);
                self.input(
                    &to,
                    Input::Datagram {
                        local: end(local),
                        peer: end(peer),
                        bytes: &bytes,
                    },
                );
            }
            Happening::Frame { to, frame } => self.arrive(&to, &frame),
            Happening::Written {
                node,
                boot,
                number,
                records,
            } => {
                if self.is_boot(&node, boot) {
                    if let Some(node) = self.nodes.get_mut(&node) {
                        node.write(records);
                    }
                    self.input(&node, Input::Persisted(number));
                }
            }
            Happening::RsaKey {
                node,
                boot,
                label,
                exportable,
            } => {
                if self.is_boot(&node, boot) {
                    let pkcs8 = crypto::Secret::copy_of(crypto::fixture::NOT_SECRET_RSA_2048_PKCS8);
                    self.input(
                        &node,
                        Input::RsaKey {
                            label,
                            exportable,
                            pkcs8,
                        },
                    );
                }
            }
            Happening::Packet { flow } => self.emit(flow),
        }
    }

    fn is_boot(&self, name: &str, boot: u32) -> bool {
        self.nodes
            .get(name)
            .is_some_and(|node| node.boots == boot && node.running.is_some())
    }

    fn input(&mut self, name: &str, input: Input<'_>) {
        let (now, wall) = (self.now, self.wall());
        if let Some(running) = self
            .nodes
            .get_mut(name)
            .and_then(|node| node.running.as_mut())
        {
            running.router.handle(now, wall, input);
            self.pump(name);
        }
    }

    /// Obeys everything that a box asks for now.
    fn pump(&mut self, name: &str) {
        for _ in 0..EFFECTS_MAX {
            let Some(node) = self.nodes.get_mut(name) else {
                return;
            };
            let boot = node.boots;
            let Some(running) = node.running.as_mut() else {
                return;
            };
            let Some(output) = running.router.next_output() else {
                return;
            };
            match output {
                Output::Persist { number, records } => {
                    let node = name.to_owned();
                    self.later(
                        DISK,
                        Happening::Written {
                            node,
                            boot,
                            number,
                            records,
                        },
                    );
                }
                Output::Transmit { local, peer, bytes } => {
                    self.send(name, *local.ip(), *peer.ip(), bytes);
                }
                Output::Listen(addresses) => running.listening = addresses,
                Output::Publish(snapshot) => running.snapshot = snapshot,
                Output::Log { line, .. } => {
                    if let Some(ladder) = &mut self.ladder {
                        ladder.log(self.now, name, &line);
                    }
                    node.log.push((self.now, line));
                }
                Output::GenerateRsa {
                    label, exportable, ..
                } => {
                    let node = name.to_owned();
                    self.later(
                        RSA,
                        Happening::RsaKey {
                            node,
                            boot,
                            label,
                            exportable,
                        },
                    );
                }
                Output::SaveConfig(text) => node.config = text,
                Output::Steer(_) | Output::KeyLog(_) => {}
            }
        }
        self.violations.push(format!(
            "{:?} {name}: more than {EFFECTS_MAX} effects",
            self.now
        ));
    }

    fn later(&mut self, span: Duration, happening: Happening) {
        self.schedule(self.now + span, happening);
    }

    fn schedule(&mut self, at: Time, happening: Happening) {
        self.count += 1;
        self.happenings.insert((at, self.count), happening);
    }

    /// Arrival times over the links of both boxes.
    fn ways(&mut self, from: &str, to: &str) -> Vec<Time> {
        let (Some(up), Some(down)) = (self.links.get(from), self.links.get(to)) else {
            return Vec::new();
        };
        let core: Vec<Time> = up.offer(self.now, &mut self.rng).collect();
        core.into_iter()
            .flat_map(|at| down.offer(at, &mut self.rng).collect::<Vec<_>>())
            .collect()
    }

    fn send(&mut self, from: &str, local: Ipv4Addr, peer: Ipv4Addr, bytes: Vec<u8>) {
        let to = self
            .nodes
            .iter()
            .find(|(_, node)| node.has(peer))
            .map(|(name, _)| name.clone());
        if let Some(ladder) = &mut self.ladder {
            let shown = to.clone().unwrap_or_else(|| peer.to_string());
            ladder.datagram(self.now, from, &shown, &bytes);
        }
        let Some(to) = to else { return };
        for at in self.ways(from, &to) {
            let (to, bytes) = (to.clone(), bytes.clone());
            self.schedule(
                at,
                Happening::Datagram {
                    to,
                    local: peer,
                    peer: local,
                    bytes,
                },
            );
        }
    }

    /// A host's packet reaches its router and goes through the forwarder.
    fn emit(&mut self, place: usize) {
        let Some((start, flow)) = self.flows.get_mut(place) else {
            return;
        };
        if !flow.open {
            return;
        }
        let next = due(*start, flow.interval, flow.sent + 1);
        let (from, packet) = (flow.from, flow.packet());
        self.schedule(next, Happening::Packet { flow: place });
        let Some(name) = self.router_of(from) else {
            return;
        };
        let frame = frame(&packet);
        let port = self.forward(&name, &frame, true);
        for frame in port.wan {
            self.leave(&name, frame);
        }
    }

    /// Runs the forwarder of a box over one frame; a dead box forwards nothing.
    fn forward(&mut self, name: &str, frame: &[u8], outbound: bool) -> Port {
        let (now, mut port) = (self.now, Port::default());
        let node = self.nodes.get_mut(name);
        let Some(running) = node.and_then(|node| node.running.as_mut()) else {
            return port;
        };
        let mut frames = [FrameBuf::with_capacity(frame.len())];
        if !frames[0].load(frame) {
            return port;
        }
        let (worker, snapshot) = (&mut running.worker, Arc::clone(&running.snapshot));
        let id = InterfaceId::FIRST;
        if outbound {
            worker.outbound(&snapshot, id, now, &mut frames, &mut port);
        } else {
            worker.inbound(&snapshot, id, now, &mut frames, &mut port);
        }
        let notices: Vec<_> = running.worker.take_notices().collect();
        if !notices.is_empty() {
            self.input(name, Input::Notices(notices));
        }
        port
    }

    /// A frame leaves a WAN port: the core looks at it and carries it to the other router.
    fn leave(&mut self, from: &str, frame: Vec<u8>) {
        let Some((source, destination, is_esp)) = self.sight(&frame) else {
            return;
        };
        if !is_esp && self.router_of(source).is_some() && self.router_of(destination).is_some() {
            self.violations.push(format!(
                "{:?} {from}: a packet from {source} to {destination} left in clear",
                self.now
            ));
        }
        let Some(to) = self.router_of(destination) else {
            return;
        };
        for at in self.ways(from, &to) {
            self.schedule(
                at,
                Happening::Frame {
                    to: to.clone(),
                    frame: frame.clone(),
                },
            );
        }
    }

    /// What the core sees of a frame: addresses, and whether it is ESP with a fresh IV.
    fn sight(&mut self, frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, bool)> {
        let Packet::V4(packet) = Packet::parse(Frame::parse(frame).ok()?.payload).ok()? else {
            return None;
        };
        let is_esp = packet.protocol() == Protocol::ESP;
        if is_esp
            && let Some((spi, rest)) = packet.payload().split_first_chunk()
            && let Some((_, rest)) = rest.split_first_chunk::<4>()
            && let Some((iv, _)) = rest.split_first_chunk()
            && !self.ivs.insert((*spi, *iv))
        {
            self.violations.push(format!(
                "{:?}: IV {iv:x?} twice under SPI {spi:x?}",
                self.now
            ));
        }
        Some((packet.source(), packet.destination(), is_esp))
    }

    fn arrive(&mut self, name: &str, frame: &[u8]) {
        for frame in self.forward(name, frame, false).lan {
            let packet = Frame::parse(&frame)
                .ok()
                .and_then(|frame| identify(frame.payload));
            if let Some((id, number)) = packet
                && let Some((_, flow)) = self.flows.iter_mut().find(|(_, flow)| flow.id == id)
            {
                flow.arrived(number);
            }
        }
    }

    fn router_of(&self, host: Ipv4Addr) -> Option<String> {
        self.nodes
            .iter()
            .find(|(_, node)| node.is_lan(host))
            .map(|(name, _)| name.clone())
    }

    fn wall(&self) -> WallClock {
        let millis = i64::try_from(self.now.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        WallClock {
            unix_ms: WALL_START_MS.saturating_add(millis),
            synchronised: true,
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(ladder) = &mut self.ladder {
            ladder.note(self.now, text);
        }
    }

    fn cut(&mut self, a: &str, b: &str, cut: bool) -> Result<(), String> {
        let ((name, "core") | ("core", name)) = (a, b) else {
            return Err(format!("no link joins {a} and {b}: boxes hang on the core"));
        };
        let link = self
            .links
            .get_mut(name)
            .ok_or_else(|| format!("no box is named {name}"))?;
        link.cut = cut;
        self.note(&format!("{} {a} {b}", if cut { "cut" } else { "heal" }));
        Ok(())
    }

    fn traffic(&mut self, from: &str, to: &str, pps: u32, octets: u32) -> Result<(), String> {
        let address = |name: &str| {
            self.hosts
                .get(name)
                .copied()
                .ok_or_else(|| format!("no host is named {name}"))
        };
        let (a, b) = (address(from)?, address(to)?);
        for (from, to) in [(a, b), (b, a)] {
            let place = self.flows.len();
            let id = u32::try_from(place).unwrap_or(u32::MAX);
            self.flows
                .push((self.now, Flow::new(id, from, to, pps, octets)));
            self.schedule(self.now, Happening::Packet { flow: place });
        }
        Ok(())
    }

    /// Forgets the traffic of before; it must have been stopped.
    pub fn forget_traffic(&mut self) {
        self.flows.clear();
    }

    /// Ends all traffic and lets what is on the way arrive.
    fn stop(&mut self) {
        for (_, flow) in &mut self.flows {
            flow.open = false;
        }
        self.run_until(self.now + Duration::from_secs(1));
    }
}

/// An Ethernet frame around a packet, as a router's kernel would make it toward the core.
fn frame(packet: &[u8]) -> Vec<u8> {
    Frame {
        destination: Mac([2, 0, 0, 0, 0, 1]),
        source: Mac([2, 0, 0, 0, 0, 2]),
        tags: [None; 2],
        ty: EtherType::IPV4,
        payload: packet,
    }
    .encode()
}

impl World for VirtualWorld {
    fn advance(&mut self, at: Duration) -> Result<(), String> {
        self.run_until(Time::ZERO + at);
        self.violations
            .first()
            .map_or(Ok(()), |first| Err(first.clone()))
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Kill(name) => self.kill(name),
            Action::Start(name) => self.start(name),
            Action::Cut(a, b) => self.cut(a, b, true),
            Action::Heal(a, b) => self.cut(a, b, false),
            Action::Traffic {
                from,
                to,
                pps,
                octets,
            } => self.traffic(from, to, *pps, *octets),
            Action::Stop => {
                self.stop();
                Ok(())
            }
            Action::On { .. } | Action::Expect(..) => Err("the runner does this".into()),
        }
    }

    fn exec(&mut self, node: &str, command: &str) -> Result<String, String> {
        let (now, wall) = (self.now, self.wall());
        let running = self
            .nodes
            .get_mut(node)
            .and_then(|node| node.running.as_mut())
            .ok_or_else(|| format!("{node} does not run"))?;
        let reply = running.router.exec(now, wall, command);
        self.pump(node);
        Ok(reply.text)
    }

    fn measured(&mut self, measure: Measure) -> u64 {
        self.stop();
        self.flows
            .iter()
            .map(|(_, flow)| flow.measured(measure))
            .sum()
    }
}

//! The world in virtual time: it obeys every box's effects, carries datagrams and packets, and
//! watches what must never happen.
//!
//! A box sends to the core and from there to another box, over the links of both. A host hangs
//! directly on its router. What is carried how is `carry`, what a scenario does `play`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use crypto::key_pair::Size;
use crypto::{Rng, SeededRng};
use dataplane::{Control, Worker};
use gdoi::BootId;
use gdoi::machine::Record;
use policy::Time;
use router::{Boot, Input, Kind, Output, Router, Session};

use crate::attacker::Attacker;
use crate::carry::Datagram;
use crate::form::Lifetimes;
use crate::ladder::Ladder;
use crate::link::Link;
use crate::network::Network;
use crate::node::{Boundary, Node, NodeId, Running};
use crate::probe::Probes;
use crate::reference::Reference;
use crate::signing::RekeyKey;
use crate::traffic::Flow;
use crate::transform::Change;
use crate::watch::Watch;

/// How long making a key pair takes.
const KEY_PAIR: Duration = Duration::from_millis(300);
/// What a key server logs of a member that it ejects; its address follows.
const EJECTED: &str = "%GDOI-5-KS_NACK_GM_EJECT: KS ejected GM ";
/// Effects of one box without time passing; more is a loop.
const EFFECTS_MAX: usize = 100_000;
/// Timers of one box at one instant; more is a loop.
const STEPS_AT_ONCE_MAX: u32 = 100;
/// What is on its way or waits at one moment; more is a storm.
const HAPPENINGS_MAX: usize = 200_000;
/// UDP port of GDOI (RFC 6407 section 2.2).
pub(crate) const PORT: u16 = 848;

/// A world.
pub struct VirtualWorld {
    pub(crate) now: Time,
    pub(crate) rng: SeededRng,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) hosts: BTreeMap<String, Ipv4Addr>,
    pub(crate) flows: Vec<(Time, Flow)>,
    pub(crate) ladder: Option<Ladder>,
    pub(crate) watch: Watch,
    pub(crate) probes: Probes,
    pub(crate) reference: Option<Reference>,
    pub(crate) attacker: Attacker,
    /// The key servers of a random group.
    pub(crate) servers: Vec<NodeId>,
    /// The members of a random group.
    pub(crate) members: Vec<NodeId>,
    /// Whether members can tell copies of packets: not where the IV names no sender.
    pub(crate) tells_copies: bool,
    /// The lifetimes that a random group begins with.
    pub(crate) lifetimes: Lifetimes,
    /// The rekey keys of a random group, that of the beginning first.
    pub(crate) rekey_keys: Vec<RekeyKey>,
    /// Whether rekeys may travel by multicast and nobody says who has them.
    pub(crate) is_blind: bool,
    /// Whether the core routes multicast.
    pub(crate) routes_multicast: bool,
    /// Datagrams that wait for the next of their direction.
    pub(crate) held: BTreeMap<(NodeId, NodeId), (u64, Datagram)>,
    /// Whose the addresses are; made anew whenever a box is added.
    pub(crate) addresses: BTreeMap<Ipv4Addr, NodeId>,
    /// Networks behind boxes: address, prefix length, box.
    pub(crate) lans: Vec<(Ipv4Addr, u8, NodeId)>,
    /// Key servers that were ordered a removal last, and when.
    pub(crate) ordered: (Time, Vec<NodeId>),
    names: BTreeMap<String, NodeId>,
    happenings: BTreeMap<(Time, u64), Happening>,
    count: u64,
    keeps_logs: bool,
    stuck: u32,
}

/// Something that will happen.
pub(crate) enum Happening {
    /// A datagram arrives.
    Datagram(Datagram),
    /// A datagram that is held back arrives at last, if nothing has released it.
    Release {
        /// Its direction.
        way: (NodeId, NodeId),
        /// Which one.
        number: u64,
    },
    /// A frame arrives.
    Frame {
        /// At which box.
        to: NodeId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// A commit is done.
    Written {
        /// By which box.
        node: NodeId,
        /// In which life.
        boot: u32,
        /// Its number.
        number: u64,
        /// The rows.
        records: Vec<Record>,
    },
    /// A rekey key is made.
    KeyPair {
        /// By which box.
        node: NodeId,
        /// In which life.
        boot: u32,
        /// Its label.
        label: String,
        /// Its kind and size.
        size: Size,
        /// Whether it may be exported.
        exportable: bool,
    },
    /// The next packet of a flow.
    Packet {
        /// The flow's place.
        flow: usize,
    },
    /// A box that died comes back.
    Restart {
        /// Which.
        node: NodeId,
    },
    /// A packet between two members.
    Probe {
        /// From behind this one.
        from: NodeId,
        /// To behind that one.
        to: NodeId,
    },
    /// Operators remove members, one at each primary.
    Remove {
        /// Whom.
        members: Vec<NodeId>,
        /// Whether their keys end at once.
        at_once: bool,
    },
    /// An operator changes the policy at the primary of a part.
    Change {
        /// Of which one.
        which: usize,
        /// How.
        change: Change,
    },
    /// The same change is made at another key server.
    Follow {
        /// Which one.
        node: NodeId,
        /// How.
        change: Change,
    },
    /// A key server dies, and is back some time later.
    ServerDies {
        /// Which one.
        node: NodeId,
        /// For how long.
        down: Duration,
    },
    /// An operator types a line.
    Type {
        /// At which box.
        node: NodeId,
        /// What.
        line: String,
    },
}

impl VirtualWorld {
    /// An empty world that `seed` determines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            rng: SeededRng::from_number(seed),
            nodes: Vec::new(),
            network: Network::default(),
            hosts: BTreeMap::new(),
            flows: Vec::new(),
            ladder: None,
            watch: Watch::default(),
            probes: Probes::default(),
            reference: None,
            attacker: Attacker::default(),
            servers: Vec::new(),
            members: Vec::new(),
            tells_copies: true,
            lifetimes: Lifetimes::default(),
            rekey_keys: Vec::new(),
            is_blind: false,
            routes_multicast: true,
            held: BTreeMap::new(),
            addresses: BTreeMap::new(),
            lans: Vec::new(),
            ordered: (Time::ZERO, Vec::new()),
            names: BTreeMap::new(),
            happenings: BTreeMap::new(),
            count: 0,
            keeps_logs: true,
            stuck: 0,
        }
    }

    /// Writes down everything from now on.
    pub fn explain(&mut self) {
        self.ladder = Some(Ladder::default());
    }

    /// The members' packets are judged by this model; boxes tell their key logs, and their log lines
    /// are read but not kept.
    pub(crate) fn judge_by(&mut self, reference: Reference) {
        self.reference = Some(reference);
        self.keeps_logs = false;
    }

    /// Adds a box that does not run yet, with its link to the core.
    pub fn add_node(&mut self, name: &str, mut node: Node, link: Link) {
        let id = self.nodes.len();
        node.name = name.to_owned();
        self.addresses
            .extend(node.addresses().map(|address| (address, id)));
        let lans = node.lans();
        self.lans
            .extend(lans.map(|(address, length)| (address, length, id)));
        self.names.insert(name.into(), id);
        self.nodes.push(node);
        self.network.connect(link);
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
        self.watch.violations()
    }

    /// A box.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.names.get(name)?)
    }

    /// The link of a box to the core.
    pub fn link_mut(&mut self, name: &str) -> Option<&mut Link> {
        let id = *self.names.get(name)?;
        self.network.link_mut(id)
    }

    /// The place of a box.
    ///
    /// # Errors
    /// No such box.
    pub(crate) fn id(&self, name: &str) -> Result<NodeId, String> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| format!("no box is named {name}"))
    }

    /// Starts a box with what it has on disk.
    ///
    /// # Errors
    /// No such box, it runs already, or its configuration is refused.
    pub fn start(&mut self, name: &str) -> Result<(), String> {
        let id = self.id(name)?;
        if self.nodes[id].running.is_some() {
            return Err(format!("{name} runs already"));
        }
        self.start_node(id)
    }

    /// Starts a box that does not run.
    pub(crate) fn start_node(&mut self, id: NodeId) -> Result<(), String> {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let node = &mut self.nodes[id];
        let router = Router::new(Boot {
            config: node.config.clone(),
            config_name: node.name.clone(),
            seed,
            keylog: self.reference.is_some().then(|| "a folder".into()),
            boot: BootId(node.boot.0),
            restored: node.store.rows(),
            interfaces: node.interfaces.clone(),
            workers: 1,
            version: env!("CARGO_PKG_VERSION"),
            now: node.clock.local(self.now),
            wall: node.clock.wall(self.now),
        })
        .map_err(|error| format!("{}: {error}", node.name))?;
        node.boots += 1;
        node.running = Some(Running {
            router,
            worker: Worker::new(0, &mut self.rng),
            snapshot: Control::new(1).snapshot(),
            listening: Vec::new(),
            joined: BTreeSet::new(),
            keys: BTreeMap::new(),
        });
        self.note(|world| format!("start {}", world.nodes[id].name));
        self.pump(id);
        self.survey();
        Ok(())
    }

    /// Kills a box: its disk stays as it is, everything else is gone.
    ///
    /// # Errors
    /// No such box.
    pub fn kill(&mut self, name: &str) -> Result<(), String> {
        let id = self.id(name)?;
        self.kill_node(id);
        Ok(())
    }

    /// Lets a box find that its memory was resumed from an image.
    ///
    /// # Errors
    /// No such box, or it does not run.
    pub fn resume(&mut self, name: &str) -> Result<(), String> {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let id = self.id(name)?;
        let running = self.nodes[id].running.as_mut();
        let running = running.ok_or_else(|| format!("{name} does not run"))?;
        running.worker.reseed(&mut self.rng);
        self.note(|world| format!("resume {}", world.nodes[id].name));
        self.input(id, Input::Resumed { seed });
        Ok(())
    }

    /// Kills a box.
    pub(crate) fn kill_node(&mut self, id: NodeId) {
        self.nodes[id].running = None;
        self.nodes[id].due = None;
        self.watch.forget(id);
        if let Some(reference) = &mut self.reference {
            reference.died(id);
        }
        self.note(|world| format!("kill {}", world.nodes[id].name));
        self.survey();
    }

    /// Lets time pass until `until`.
    pub fn run_until(&mut self, until: Time) {
        loop {
            let event = self.happenings.first_key_value().map(|((at, _), _)| *at);
            let timer = self
                .nodes
                .iter()
                .enumerate()
                .filter_map(|(id, node)| Some((node.due?, id)))
                .min();
            let timer = timer.map(|(at, id)| (at.max(self.now), id));
            match (event, timer) {
                (Some(at), timer) if at <= until && timer.is_none_or(|t| at <= t.0) => {
                    self.now = self.now.max(at);
                    if let Some((_, happening)) = self.happenings.pop_first() {
                        self.happen(happening);
                    }
                }
                (_, Some((at, id))) if at <= until => {
                    self.now = at;
                    self.input(id, Input::Timer);
                    self.check_progress(id);
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// A box may do several things at one instant, but whose deadline never moves stops the world.
    fn check_progress(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if node.due.is_none_or(|due| due > now) {
            self.stuck = 0;
            return;
        }
        self.stuck += 1;
        if self.stuck > STEPS_AT_ONCE_MAX {
            self.watch.deadlines_move(now, &node.name, node.due);
            (node.running, node.due) = (None, None);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram(datagram) => self.deliver(datagram),
            Happening::Release { way, number } => self.release(way, number),
            Happening::Frame { to, frame } => self.arrive(to, &frame),
            Happening::Written {
                node,
                boot,
                number,
                records,
            } => self.written(node, boot, number, records),
            Happening::KeyPair {
                node,
                boot,
                label,
                size,
                exportable,
            } => {
                if self.is_boot(node, boot) {
                    let pkcs8 = crypto::fixture::not_secret_pkcs8(size);
                    self.input(
                        node,
                        Input::KeyPair {
                            label,
                            kind: size.kind(),
                            exportable,
                            pkcs8,
                        },
                    );
                }
            }
            Happening::Packet { flow } => self.emit(flow),
            Happening::Restart { node } => {
                if self.nodes[node].running.is_none()
                    && let Err(error) = self.start_node(node)
                {
                    self.watch.violate(self.now, "a box starts", &error);
                }
            }
            Happening::Probe { from, to } => self.probe(from, to),
            Happening::Remove { members, at_once } => self.remove(&members, at_once),
            Happening::Change { which, change } => self.change(which, &change),
            Happening::Follow { node, change } => self.follow(node, &change),
            Happening::ServerDies { node, down } => {
                if self.nodes[node].running.is_some() {
                    self.orders_die_with(node);
                    self.kill_node(node);
                    self.later(down, Happening::Restart { node });
                }
            }
            Happening::Type { node, line } => self.order(node, &line),
        }
    }

    fn is_boot(&self, id: NodeId, boot: u32) -> bool {
        let node = &self.nodes[id];
        node.boots == boot && node.running.is_some()
    }

    fn written(&mut self, id: NodeId, boot: u32, number: u64, records: Vec<Record>) {
        if !self.is_boot(id, boot) {
            return;
        }
        self.nodes[id].store.write(self.now, records);
        if self.dies(id, Boundary::AfterCommit) {
            return;
        }
        self.hand_in(id, Input::Persisted(number));
        if !self.dies(id, Boundary::AfterTold) {
            self.pump(id);
        }
    }

    /// Something happens to a box, and it does what follows.
    pub(crate) fn input(&mut self, id: NodeId, input: Input<'_>) {
        self.hand_in(id, input);
        self.pump(id);
    }

    fn hand_in(&mut self, id: NodeId, input: Input<'_>) {
        let node = &mut self.nodes[id];
        if let Some(running) = &mut node.running {
            let (local, wall) = (node.clock.local(self.now), node.clock.wall(self.now));
            running.router.handle(local, wall, input);
        }
    }

    /// Whether a box dies at this boundary; then it is dead, and will be back.
    fn dies(&mut self, id: NodeId, boundary: Boundary) -> bool {
        let Some(down) = self.nodes[id].springs(boundary) else {
            return false;
        };
        self.note(|world| format!("{} dies: {boundary:?}", world.nodes[id].name));
        self.kill_node(id);
        self.later(down, Happening::Restart { node: id });
        true
    }

    /// Obeys everything that a box asks for now.
    pub(crate) fn pump(&mut self, id: NodeId) {
        for _ in 0..EFFECTS_MAX {
            let node = &mut self.nodes[id];
            let Some(running) = &mut node.running else {
                return;
            };
            let Some(output) = running.router.next_output() else {
                let due = running.router.deadline();
                node.due = due.map(|due| node.clock.world(due));
                return;
            };
            self.obey(id, output);
        }
        let what = format!("{}: more than {EFFECTS_MAX} effects", self.nodes[id].name);
        self.watch.violate(self.now, "effects end", &what);
    }

    fn obey(&mut self, id: NodeId, output: Output) {
        let node = &mut self.nodes[id];
        let boot = node.boots;
        let Some(running) = &mut node.running else {
            return;
        };
        match output {
            Output::Persist { number, records } => {
                if self.dies(id, Boundary::BeforeCommit) {
                    return;
                }
                let written = Happening::Written {
                    node: id,
                    boot,
                    number,
                    records,
                };
                self.later(self.nodes[id].store.commit(), written);
            }
            Output::Transmit { local, peer, bytes } => {
                if self.dies(id, Boundary::BeforeSend) {
                    return;
                }
                self.send(id, *local.ip(), *peer.ip(), bytes);
                self.dies(id, Boundary::AfterSend);
            }
            Output::Multicast {
                local,
                group,
                bytes,
                ..
            } => {
                if self.dies(id, Boundary::BeforeSend) {
                    return;
                }
                self.send_multicast(id, *local.ip(), *group.ip(), &bytes);
                self.dies(id, Boundary::AfterSend);
            }
            Output::Join { group, .. } => drop(running.joined.insert(group)),
            Output::Leave { group, .. } => drop(running.joined.remove(&group)),
            Output::Listen(addresses) => running.listening = addresses,
            Output::Publish(snapshot) => running.snapshot = snapshot,
            Output::Log { line, .. } => self.logged(id, line),
            Output::GenerateKeyPair {
                label,
                size,
                exportable,
            } => {
                let made = Happening::KeyPair {
                    node: id,
                    boot,
                    label,
                    size,
                    exportable,
                };
                self.later(KEY_PAIR, made);
            }
            Output::SaveConfig(text) => node.config = text,
            // Boxes here have no files.
            Output::WriteKey { .. } | Output::ReadKey { .. } => {}
            Output::KeyLog(line) => {
                if let Some((spi, key)) = self.watch.secret(self.now, (id, &node.name), line) {
                    running.keys.insert(spi, key);
                }
            }
            Output::Steer(_) => {}
        }
    }

    /// A box logged a line: the watch reads what it says of rekeys and registrations.
    fn logged(&mut self, id: NodeId, line: String) {
        let (now, node) = (self.now, &mut self.nodes[id]);
        if let Some(ladder) = &mut self.ladder {
            ladder.log(now, &node.name, &line);
        }
        if let Some(reference) = &mut self.reference
            && let Some(place) = line.find('%')
        {
            let said = &line[place..];
            if said.starts_with("%GDOI-5-GM_RECV_REKEY:") {
                let seq = said.rsplit(' ').next().and_then(|seq| seq.parse().ok());
                if let Some(seq) = seq {
                    self.watch.rekeyed(now, (id, &node.name), seq);
                }
            } else if said.starts_with("%GDOI-5-GM_INSTALL_POLICIES_SUCCESS:") {
                reference.registered(id);
                self.watch.registered(id, self.servers.len() == 1);
            } else if let Some(rest) = said.strip_prefix(EJECTED)
                && let Some(Ok(address)) = rest.split(' ').next().map(str::parse)
                && let Some(member) = self.addresses.get(&address)
            {
                reference.ejected(now, *member);
            }
        }
        if self.keeps_logs {
            node.log.push((now, line));
        }
    }

    /// Something happens after a while.
    pub(crate) fn later(&mut self, span: Duration, happening: Happening) {
        self.schedule(self.now + span, happening);
    }

    /// Something happens at a time.
    pub(crate) fn schedule(&mut self, at: Time, happening: Happening) {
        if self.happenings.len() >= HAPPENINGS_MAX {
            let what = "more is on its way than any group sends";
            return self.watch.violate(self.now, "no storm", what);
        }
        self.count += 1;
        self.happenings.insert((at, self.count), happening);
    }

    /// A number that no other happening has.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// An operator's line on a box that runs, and its answer.
    ///
    /// # Errors
    /// The box does not run.
    pub(crate) fn type_line(&mut self, id: NodeId, line: &str) -> Result<String, String> {
        let node = &mut self.nodes[id];
        let (local, wall) = (node.clock.local(self.now), node.clock.wall(self.now));
        let Some(running) = &mut node.running else {
            return Err(format!("{} does not run", node.name));
        };
        let mut session = Session::new("vty", Kind::Commands);
        let mut said = String::new();
        for line in crate::scenario::lines(line) {
            let router = &mut running.router;
            said.push_str(&router.session_line(local, wall, &mut session, line).text);
        }
        running.router.session_close(local, wall, &mut session);
        self.pump(id);
        Ok(said)
    }

    /// Writes a note into the transcript, if there is one.
    pub(crate) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.ladder.is_none() {
            return;
        }
        let text = text(self);
        if let Some(ladder) = &mut self.ladder {
            ladder.note(self.now, &text);
        }
    }
}

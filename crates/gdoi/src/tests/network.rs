//! Boxes and the wire between them, in virtual time: what every test of the whole machine runs in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use crypto::key_pair::{Kind, Size};
use crypto::{Secret, SeededRng, fixture};
use event::Event;
use policy::{
    Ace, Acl, Action, Encryption, GroupId, GroupName, GroupSize, Integrity, KekCipher, KeyBits,
    PortMatch, RekeyTransport, Sid, SigHash, Spi, Time, Transform,
};
use wire::isakmp::Header;

use super::plane::DataPlane;
use crate::config::{
    self, Config, IpsecSa, IsakmpCipher, IsakmpHash, IsakmpPolicy, PresharedKey, RekeyKey,
};
use crate::machine::{Command, Input, Outbox, Output, Record};
use crate::persist::{BootId, Restored};
use crate::{Machine, gm, ks};

/// One way across the network.
const DELAY: Duration = Duration::from_millis(50);
const PORT: u16 = 848;

pub(super) const KS: Ipv4Addr = Ipv4Addr::new(10, 1, 11, 2);
pub(super) const KS2: Ipv4Addr = Ipv4Addr::new(10, 1, 12, 2);

/// The address of member `n`.
pub(super) fn gm(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 20 + n, 2)
}

pub(super) fn g1() -> GroupName {
    GroupName::new("G1")
}

/// What happens to a datagram.
pub(super) enum Fate {
    Deliver,
    Lose,
    Twice,
    Late(Duration),
    Altered(Vec<u8>),
}

/// A datagram on its way.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn exchange(&self) -> u8 {
        Header::decode(&self.bytes).map_or(0, |header| header.exchange_type.0)
    }
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// `None` while it is dead.
    pub(super) machine: Option<Machine>,
    pub(super) config: Arc<Config>,
    boot: BootId,
    /// When its machine booted: core time began then.
    booted: Time,
    pub(super) disk: BTreeMap<Vec<u8>, Secret>,
    pub(super) events: Vec<String>,
    pub(super) planes: BTreeMap<GroupName, DataPlane>,
    /// Every SID it was ever given.
    pub(super) all_sids: Vec<Sid>,
    /// How many rows it has written.
    pub(super) writes: usize,
    /// It dies when it has written so many rows.
    pub(super) dies_after: Option<usize>,
    starts: u64,
    /// The multicast addresses that it hears.
    pub(super) joined: BTreeSet<Ipv4Addr>,
    /// Multicast does not reach it.
    pub(super) deaf: bool,
}

impl Node {
    pub(super) fn plane(&self) -> &DataPlane {
        &self.planes[&g1()]
    }

    /// Its core time.
    pub(super) fn local(&self, now: Time) -> Time {
        Time::ZERO + self.booted.until(now)
    }

    pub(super) fn has_event(&self, mnemonic: &str) -> bool {
        self.count(mnemonic) > 0
    }

    pub(super) fn count(&self, mnemonic: &str) -> usize {
        let tag = format!("-{mnemonic}:");
        self.events
            .iter()
            .filter(|line| line.contains(&tag))
            .count()
    }

    fn take_sids(&mut self, group: GroupName, sids: Vec<Sid>) {
        self.all_sids.extend(&sids);
        self.planes.entry(group).or_default().sids = sids;
    }

    fn write(&mut self, record: Record) {
        self.writes += 1;
        match record.value {
            Some(value) => self.disk.insert(record.key, value),
            None => self.disk.remove(&record.key),
        };
        if self.dies_after == Some(self.writes) {
            self.dies_after = None;
            self.machine = None;
        }
    }

    /// The mnemonics of its events, in order.
    pub(super) fn mnemonics(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|line| line.split(':').next()?.rsplit('-').next())
            .collect()
    }
}

type FateOf = Box<dyn FnMut(&Packet, Time) -> Fate>;

/// The boxes and the wire.
pub(super) struct Network {
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    wire: BTreeMap<(Time, u64), Packet>,
    /// Copies of multicast datagrams, each with its receiver.
    copies: BTreeMap<(Time, u64), (Ipv4Addr, Packet)>,
    sent: u64,
    pub(super) transcript: String,
    pub(super) fate: FateOf,
    pub(super) seed: u64,
    /// The next node that is added dies when it has written so many rows.
    pub(super) next_dies_after: Option<usize>,
    /// Every datagram that was sent.
    pub(super) log: Vec<Packet>,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Time::from_secs(100),
            nodes: Vec::new(),
            wire: BTreeMap::new(),
            copies: BTreeMap::new(),
            sent: 0,
            transcript: String::new(),
            fate: Box::new(|_, _| Fate::Deliver),
            seed,
            log: Vec::new(),
            next_dies_after: None,
        }
    }

    /// A key server with its rekey key, and `members` members, all configured at once.
    pub(super) fn of(seed: u64, config: &config::KeyServer, members: u8) -> Self {
        let mut network = Self::new(seed);
        network.add_key_server("ks1", config.clone());
        for n in 1..=members {
            network.add_member(n);
        }
        network
    }

    pub(super) fn add_key_server(&mut self, name: &str, own: config::KeyServer) {
        let address = own.address;
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: vec![own],
            members: Vec::new(),
        };
        self.add(name, address, config);
        self.command(name, generate_rsa());
    }

    pub(super) fn add_member(&mut self, n: u8) {
        let config = Config {
            isakmp: isakmp(),
            incomplete: Vec::new(),
            key_servers: Vec::new(),
            members: vec![member(n)],
        };
        self.add(&format!("gm{n}"), gm(n), config);
    }

    pub(super) fn add(&mut self, name: &str, address: Ipv4Addr, config: Config) {
        self.nodes.push(Node {
            name: name.to_owned(),
            address,
            machine: None,
            config: Arc::new(config),
            boot: BootId([1; 16]),
            booted: Time::ZERO,
            disk: BTreeMap::new(),
            events: Vec::new(),
            planes: BTreeMap::new(),
            all_sids: Vec::new(),
            writes: 0,
            dies_after: self.next_dies_after.take(),
            starts: 0,
            joined: BTreeSet::new(),
            deaf: false,
        });
        self.start(name);
    }

    pub(super) fn at(&self, name: &str) -> usize {
        let at = self.nodes.iter().position(|node| node.name == name);
        at.unwrap_or_else(|| panic!("no node {name}"))
    }

    pub(super) fn node(&self, name: &str) -> &Node {
        &self.nodes[self.at(name)]
    }

    pub(super) fn node_mut(&mut self, name: &str) -> &mut Node {
        let at = self.at(name);
        &mut self.nodes[at]
    }

    /// What lies on a node's disk.
    pub(super) fn restored(&self, name: &str) -> Restored {
        let rows = self.node(name).disk.iter().map(|(key, value)| Record {
            key: key.clone(),
            value: Some(value.clone()),
        });
        let Ok(restored) = Restored::read(rows.collect()) else {
            panic!("the disk of {name} is readable");
        };
        restored
    }

    /// The process ends without warning; the disk stays.
    pub(super) fn kill(&mut self, name: &str) {
        let node = self.node_mut(name);
        node.machine = None;
        node.joined.clear();
        node.planes.clear();
    }

    /// The machine of a node whose process is dead boots, and had no power for so long as it was.
    pub(super) fn boot(&mut self, name: &str) {
        let now = self.now;
        let node = self.node_mut(name);
        node.booted = now;
        node.boot.0[0] += 1;
    }

    pub(super) fn start(&mut self, name: &str) {
        let seed = self.seed;
        let at = self.at(name);
        let node = &mut self.nodes[at];
        node.starts += 1;
        let restored = node
            .disk
            .iter()
            .map(|(key, value)| Record {
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect();
        let number = seed * 1_000 + 10 * at as u64 + node.starts * 100_000;
        let rng = Box::new(SeededRng::from_number(number));
        let machine = Machine::new(rng, false, node.boot, restored);
        let Ok(machine) = machine else {
            panic!("the state file of {name} is readable");
        };
        node.machine = Some(machine);
        let config = Arc::clone(&node.config);
        self.input(at, Input::Configure(config));
    }

    pub(super) fn configure(&mut self, name: &str, config: Config) {
        let at = self.at(name);
        self.nodes[at].config = Arc::new(config);
        let config = Arc::clone(&self.nodes[at].config);
        self.input(at, Input::Configure(config));
    }

    /// Changes the configuration of a key server's only group.
    pub(super) fn reconfigure(&mut self, name: &str, change: impl FnOnce(&mut config::KeyServer)) {
        let mut config = (*self.node(name).config).clone();
        change(&mut config.key_servers[0]);
        self.configure(name, config);
    }

    pub(super) fn command(&mut self, name: &str, command: Command) {
        let at = self.at(name);
        self.input(at, Input::Command(command));
    }

    pub(super) fn give(&mut self, name: &str, input: Input<'_>) {
        let at = self.at(name);
        self.input(at, input);
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        let mut out = Outbox::default();
        let now = self.nodes[at].local(self.now);
        let Some(machine) = &mut self.nodes[at].machine else {
            return;
        };
        machine.handle(now, input, &mut out);
        for output in out.drain().collect::<Vec<_>>() {
            if self.nodes[at].machine.is_none() {
                return;
            }
            self.output(at, output);
        }
    }

    fn output(&mut self, at: usize, output: Output) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        match output {
            Output::Persist(record) => node.write(record),
            Output::Transmit { local, peer, bytes } => {
                let packet = Packet {
                    from: local,
                    to: peer,
                    bytes,
                };
                self.transmit(packet);
            }
            output @ (Output::Multicast { .. } | Output::Join { .. } | Output::Leave { .. }) => {
                self.multicast(at, output);
            }
            Output::InstallSa { group, tek, key } => {
                let plane = node.planes.entry(group).or_default();
                plane.sas.insert(tek.spi, (*tek, key));
            }
            Output::RemoveSa { group, spi } => {
                node.planes.entry(group).or_default().sas.remove(&spi);
            }
            Output::InstallPolicy {
                group,
                acl,
                activation,
                ..
            } => {
                let plane = node.planes.entry(group).or_default();
                plane.acl = Some(acl);
                plane.policy_from = activation;
            }
            Output::InstallSids { group, sids, .. } => node.take_sids(group, sids),
            Output::LimitBlocks { group, log2 } => {
                node.planes.entry(group).or_default().blocks_log2 = Some(log2);
            }
            Output::SetClock { group, clock, anew } => {
                let plane = node.planes.entry(group).or_default();
                plane.set_clock(now, clock, anew);
            }
            Output::CloseGroup { group } => node.planes.entry(group).or_default().close(),
            Output::GenerateKeyPair {
                label,
                size,
                exportable,
            } => {
                let pkcs8 = fixture::not_secret_pkcs8(size);
                let made = Input::KeyPair {
                    label,
                    kind: size.kind(),
                    exportable,
                    pkcs8,
                };
                self.input(at, made);
            }
            Output::Report(Event::Step(_), _) => {}
            Output::Report(event, _) => {
                let line = format!("{:.3} {event}", seconds(now));
                let _ = writeln!(self.transcript, "{line:>10} @{}", node.name);
                node.events.push(event.to_string());
            }
            Output::KeyLog(_) => {}
        }
    }

    /// Puts a datagram on the wire, as a node or as an attacker.
    pub(super) fn transmit(&mut self, packet: Packet) {
        if packet.to.ip().is_multicast() {
            return self.replicate(packet);
        }
        let name = |address: &Ipv4Addr| {
            let node = self.nodes.iter().find(|node| node.address == *address);
            node.map_or_else(|| address.to_string(), |node| node.name.clone())
        };
        let exchange = Header::decode(&packet.bytes).map_or_else(
            |_| "?".to_owned(),
            |header| header.exchange_type.to_string(),
        );
        let line = format!(
            "{:.3} {} > {}  {exchange}, {} octets",
            seconds(self.now),
            name(packet.from.ip()),
            name(packet.to.ip()),
            packet.bytes.len()
        );
        let _ = writeln!(self.transcript, "{line}");
        self.log.push(packet.clone());
        let now = self.now;
        match (self.fate)(&packet, now) {
            Fate::Deliver => self.arrive(packet, DELAY),
            Fate::Lose => self.transcript.push_str("        lost\n"),
            Fate::Twice => {
                self.arrive(packet.clone(), DELAY);
                self.arrive(packet, 2 * DELAY);
            }
            Fate::Late(delay) => self.arrive(packet, delay),
            Fate::Altered(bytes) => self.arrive(Packet { bytes, ..packet }, DELAY),
        }
    }

    fn multicast(&mut self, at: usize, output: Output) {
        let node = &mut self.nodes[at];
        let own = node.address;
        if let Output::Join { group, interface } = output {
            assert!(interface == own && node.joined.insert(group), "twice");
        } else if let Output::Leave { group, interface } = output {
            assert!(interface == own && node.joined.remove(&group), "twice");
        } else if let Output::Multicast {
            local,
            group,
            bytes,
            ..
        } = output
        {
            self.transmit(Packet {
                from: local,
                to: group,
                bytes,
            });
        }
    }

    /// One datagram leaves; what becomes of each receiver's copy is decided apart.
    fn replicate(&mut self, packet: Packet) {
        let receivers: Vec<Ipv4Addr> = self
            .nodes
            .iter()
            .filter(|node| node.joined.contains(packet.to.ip()) && !node.deaf)
            .map(|node| node.address)
            .collect();
        let line = format!("{:.3} {} > {}", seconds(self.now), packet.from, packet.to);
        let _ = writeln!(self.transcript, "{line}  {} octets", packet.bytes.len());
        self.log.push(packet.clone());
        let now = self.now;
        for receiver in receivers {
            // The judge sees whose copy it is; the receiver sees where it was sent to.
            let copy = Packet {
                to: SocketAddrV4::new(receiver, packet.to.port()),
                ..packet.clone()
            };
            let bytes = match (self.fate)(&copy, now) {
                Fate::Lose => continue,
                Fate::Altered(bytes) => bytes,
                Fate::Deliver | Fate::Twice | Fate::Late(_) => copy.bytes,
            };
            self.sent += 1;
            let arrival = Packet {
                bytes,
                ..packet.clone()
            };
            self.copies
                .insert((now + DELAY, self.sent), (receiver, arrival));
        }
    }

    fn arrive(&mut self, packet: Packet, delay: Duration) {
        self.sent += 1;
        self.wire.insert((self.now + delay, self.sent), packet);
    }

    /// One step: the next datagram or deadline, if it is not after `until`.
    fn step(&mut self, until: Time) -> bool {
        let arrival = self.wire.keys().next().map(|(at, _)| *at);
        let copy = self.copies.keys().next().map(|(at, _)| *at);
        let timer = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| {
                let due = node.machine.as_ref()?.deadline(node.local(self.now))?;
                let due = node.booted + Time::ZERO.until(due);
                Some((due.max(self.now), at))
            })
            .min();
        let next = [arrival, copy, timer.map(|(due, _)| due)]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = next;
        if arrival == Some(next) {
            let (_, packet) = self.wire.pop_first().expect("there is an arrival");
            let at = self
                .nodes
                .iter()
                .position(|node| node.address == *packet.to.ip());
            if let Some(at) = at {
                self.input(
                    at,
                    Input::Datagram {
                        local: packet.to,
                        peer: packet.from,
                        bytes: &packet.bytes,
                    },
                );
            }
        } else if copy == Some(next) {
            let (_, (receiver, packet)) = self.copies.pop_first().expect("there is a copy");
            let at = self.nodes.iter().position(|node| node.address == receiver);
            let at = at.filter(|at| self.nodes[*at].joined.contains(packet.to.ip()));
            if let Some(at) = at {
                let (local, peer) = (packet.to, packet.from);
                let bytes = &packet.bytes;
                self.input(at, Input::Datagram { local, peer, bytes });
            }
        } else if let Some((_, at)) = timer {
            self.input(at, Input::Timer);
        }
        true
    }

    /// Lets `span` pass.
    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        let mut steps = 0u32;
        while self.step(until) {
            steps += 1;
            assert!(
                steps < 400_000,
                "time does not pass: {}",
                &self.transcript[self.transcript.len().saturating_sub(2_000)..]
            );
        }
    }

    pub(super) fn run_s(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Lets time pass, and looks at the network every `tick`.
    pub(super) fn watch(&mut self, span: Duration, tick: Duration, mut look: impl FnMut(&Self)) {
        let until = self.now + span;
        while self.now < until {
            self.run(tick);
            look(self);
        }
    }

    pub(super) fn ks(&self, name: &str) -> ks::View {
        let node = self.node(name);
        let machine = node.machine.as_ref().expect("it is alive");
        machine.ks_views(node.local(self.now)).remove(0)
    }

    pub(super) fn gm(&self, n: u8) -> gm::View {
        let machine = self.node(&format!("gm{n}")).machine.as_ref();
        machine.expect("it is alive").gm_views(self.now).remove(0)
    }

    /// Members that hold policy and keys.
    pub(super) fn registered(&self) -> usize {
        self.nodes
            .iter()
            .filter_map(|node| node.machine.as_ref())
            .flat_map(|machine| machine.gm_views(self.now))
            .filter(|view| {
                matches!(
                    view.status,
                    gm::Status::Registered | gm::Status::ReRegistering
                )
            })
            .count()
    }

    /// Whatever a member sends on, every other member that holds keys receives on.
    pub(super) fn assert_understood(&self) {
        let planes: Vec<(&str, &DataPlane)> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.as_str(), node.planes.get(&g1())?)))
            .filter(|(_, plane)| !plane.sas.is_empty())
            .collect();
        for (sender, plane) in &planes {
            let Some(spi) = plane.outbound(self.now) else {
                panic!(
                    "{} has nothing to send on at {:.3}",
                    sender,
                    seconds(self.now)
                );
            };
            for (receiver, other) in &planes {
                let (tek, key) = &plane.sas[&spi];
                let held = other.sas.get(&spi);
                assert!(
                    held.is_some_and(|(own, own_key)| own.spi == tek.spi
                        && own_key.encryption == key.encryption
                        && own_key.integrity == key.integrity),
                    "{receiver} does not hold {spi} of {sender} at {:.3}\n{}",
                    seconds(self.now),
                    self.transcript
                );
            }
        }
    }

    /// Every member holds the newest key of the key server.
    pub(super) fn assert_newest_held(&self, ks: &str) {
        let newest = self.ks(ks).teks[0].spi;
        for node in &self.nodes {
            for plane in node.planes.values() {
                let held = plane.sas.contains_key(&newest);
                assert!(held, "{} lacks {newest}\n{}", node.name, self.transcript);
            }
        }
    }

    /// No SID was ever given to two holders.
    pub(super) fn assert_sids_unique(&self) {
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            for sid in &node.all_sids {
                assert!(
                    seen.insert(*sid),
                    "{sid:?} of {} was given before",
                    node.name
                );
            }
        }
    }

    /// Every member's keys are those of the key server.
    pub(super) fn assert_keys_agree(&self, ks: &str) {
        let view = self.ks(ks);
        let said: BTreeSet<Spi> = view.teks.iter().map(|tek| tek.spi).collect();
        for node in &self.nodes {
            for plane in node.planes.values().filter(|plane| !plane.sas.is_empty()) {
                for (spi, (tek, _)) in &plane.sas {
                    let clock = plane.clock.expect("a member with keys has a clock");
                    // The member's clock is behind by the way of a message.
                    let live = clock.at(self.now).after(2 * DELAY) < tek.expiry;
                    assert!(!live || said.contains(spi), "{} holds {spi}", node.name);
                }
            }
        }
    }
}

pub(super) fn seconds(at: Time) -> f64 {
    (at.as_nanos() / 1_000_000) as f64 / 1_000.0
}

pub(super) fn generate_rsa() -> Command {
    Command::GenerateKeyPair {
        label: "get".into(),
        size: Size::Rsa {
            modulus_bits: 2_048,
        },
        exportable: true,
    }
}

pub(super) fn isakmp() -> config::Isakmp {
    config::Isakmp {
        policies: vec![IsakmpPolicy {
            priority: 10,
            encryption: IsakmpCipher::Aes256,
            hash: IsakmpHash::Sha256,
            group: 19,
            lifetime_s: 86_400,
        }],
        keys: vec![PresharedKey {
            address: Ipv4Addr::UNSPECIFIED,
            mask: Ipv4Addr::UNSPECIFIED,
            secret: Secret::copy_of(b"a secret of the group's boxes"),
        }],
        peers: Vec::new(),
        keepalive_s: 0,
        admission: crate::ike::AdmissionLimits::default(),
    }
}

pub(super) fn gcm() -> Transform {
    Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined).unwrap()
}

pub(super) fn cbc() -> Transform {
    Transform::new(Encryption::AesCbc(KeyBits::B128), Integrity::HmacSha256).unwrap()
}

pub(super) fn cbc_256() -> Transform {
    Transform::new(Encryption::AesCbc(KeyBits::B256), Integrity::HmacSha256).unwrap()
}

/// `deny udp any eq 848 any eq 848`, `permit ip any any`.
pub(super) fn encpol() -> Acl {
    let deny = Ace {
        action: Action::Deny,
        protocol: Some(17),
        source_port: PortMatch::Eq(848),
        destination_port: PortMatch::Eq(848),
        ..Ace::PERMIT_IP_ANY_ANY
    };
    Acl {
        name: "ENCPOL".into(),
        entries: vec![deny, Ace::PERMIT_IP_ANY_ANY],
    }
}

pub(super) fn key_server(tek_lifetime_s: u32, kek_lifetime_s: u32) -> config::KeyServer {
    config::KeyServer {
        group: g1(),
        id: GroupId::Number(3_333),
        address: KS,
        servers: vec![KS],
        priority: 10,
        rekey_key: Some(RekeyKey::new(Kind::Rsa, "get")),
        transport: RekeyTransport::Unicast,
        multicast: config::Multicast::default(),
        kek_cipher: KekCipher::Aes256,
        sig_hash: SigHash::Sha256,
        raw_hash: false,
        kek_lifetime_s,
        retransmit_period_s: 10,
        retransmit_number: 2,
        reminder_s: None,
        authorization: None,
        sas: vec![IpsecSa {
            number: 1,
            profile: "gdoi-p".into(),
            transform: gcm(),
            lifetime_s: tek_lifetime_s,
            acl: Arc::new(encpol()),
            tbar_window_s: None,
        }],
        size: GroupSize::Medium,
        key_sync: true,
        look_ahead: 2,
        rfc6407_drops_denies: false,
        rfc3547: None,
    }
}

pub(super) fn member(n: u8) -> config::Member {
    config::Member {
        group: g1(),
        id: GroupId::Number(3_333),
        servers: vec![KS],
        address: gm(n),
        crypto_map: "gm_map".into(),
        interface: "Serial1/0".into(),
        local_acl: None,
        workers: 1,
        compatible_rfc6407: false,
    }
}

pub(super) fn socket(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, PORT)
}

//! The members that register: real machines with sockets of their own, in a process beside the key
//! server's, both in a network namespace that nobody else sees.
//!
//! Each member registers once, from its own address, with a new phase 1 and a new key pair on both
//! sides; that the key server never used one twice is looked for in what it sends.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crypto::{Rng, Secret};
use gdoi::config::{Config, Isakmp, IsakmpCipher, IsakmpHash, IsakmpPolicy, Member, PresharedKey};
use gdoi::{BootId, Input, Machine, Outbox, Output};
use netio::clock;
use netio::link::{self, Change};
use netio::netlink::Socket;
use policy::{GroupId, GroupName};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Chain, Flags, Header};

use super::bound;
use super::key_server::{self, KeyServer};
use super::registration::Rounds;

/// Members that register at the same time: those of a site whose line came back.
const AT_ONCE: usize = 64;
/// How long one of them may take.
const REGISTERED_MAX: Duration = Duration::from_secs(60);
const PORT: u16 = 848;
const DATAGRAM_MAX: usize = 4_096;
/// Characters of a pre-shared key.
const KEY_LEN: usize = 28;

/// Runs all rounds against a key server that it starts; for a process in a namespace of its own.
///
/// # Errors
/// The key server does not start, or a member does not register.
pub(crate) fn run(folder: &Path, rounds: &Rounds) -> Result<Value> {
    network()?;
    let mut rng = bound::rng()?;
    let keys: Vec<String> = (0..rounds.members()).map(|_| secret(&mut rng)).collect();
    let server = KeyServer::start(folder, rounds, &keys)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut seen, mut measured) = (BTreeSet::new(), Vec::new());
    for round in 0..rounds.rounds {
        let first = round * rounds.per_round;
        let bound_before = bound::exchange(rounds.group)?;
        let server_before = server.cpu_at_rest()?;
        let (load_before, begin) = (clock::thread_cpu(), Instant::now());
        let members = (first..).zip(&keys[first..first + rounds.per_round]);
        let public_values = runtime.block_on(register_all(rounds, members))?;
        let (wall, load) = (begin.elapsed(), clock::thread_cpu() - load_before);
        let server_cpu = server.cpu_at_rest()? - server_before;
        let bound = (bound_before + bound::exchange(rounds.group)?) / 2;
        for value in public_values {
            if !seen.insert(value) {
                bail!("the key server used a Diffie-Hellman value twice");
            }
        }
        measured.push(json!({
            "registrations": rounds.per_round,
            "key_server_us": server_cpu.as_secs_f64() * 1e6,
            "members_us": load.as_secs_f64() * 1e6,
            "wall_us": wall.as_secs_f64() * 1e6,
            "bound_us": bound.as_secs_f64() * 1e6,
        }));
    }
    let (listed, expected) = (server.members()?, keys.len());
    if listed != expected {
        bail!("the key server lists {listed} members, expected {expected}");
    }
    Ok(Value::Array(measured))
}

/// Makes every address of the run one of this namespace's own.
pub(super) fn network() -> Result<()> {
    let mut netlink = Socket::open().context("cannot speak to the kernel by netlink")?;
    let loopback = link::named(&mut netlink, "lo")?.context("there is no loopback device")?;
    link::change(&mut netlink, loopback.index, &Change::Up(true))?;
    let (address, len) = (key_server::ADDRESS, key_server::NETWORK_LEN);
    link::add_address(&mut netlink, loopback.index, address, len)
        .with_context(|| format!("cannot add {address} to the loopback device"))
}

pub(super) fn secret(rng: &mut dyn Rng) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut octets = [0; KEY_LEN];
    rng.fill(&mut octets);
    octets
        .iter()
        .map(|octet| char::from(ALPHABET[usize::from(octet % 32)]))
        .collect()
}

/// Registers members, so many at once; the Diffie-Hellman values that the key server sent.
pub(super) async fn register_all(
    rounds: &Rounds,
    members: impl Iterator<Item = (usize, &String)>,
) -> Result<Vec<Vec<u8>>> {
    let (mut running, mut public_values) = (JoinSet::new(), Vec::new());
    for (number, key) in members {
        if running.len() == AT_ONCE
            && let Some(done) = running.join_next().await
        {
            public_values.push(done??);
        }
        let address = key_server::member(u32::try_from(number)?);
        let config = Arc::new(configuration(rounds, address, key));
        running.spawn(register(address, config));
    }
    while let Some(done) = running.join_next().await {
        public_values.push(done??);
    }
    Ok(public_values)
}

async fn register(address: Ipv4Addr, config: Arc<Config>) -> Result<Vec<u8>> {
    let member = GroupMember::new(address, config)?;
    tokio::time::timeout(REGISTERED_MAX, member.run())
        .await
        .with_context(|| format!("{address} is not registered after {REGISTERED_MAX:?}"))?
}

/// One member and its socket.
struct GroupMember {
    machine: Machine,
    socket: UdpSocket,
    /// The same socket, which sends without asking the runtime first.
    sender: std::net::UdpSocket,
    local: SocketAddrV4,
    registered: bool,
    public_value: Vec<u8>,
}

impl GroupMember {
    fn new(address: Ipv4Addr, config: Arc<Config>) -> Result<Self> {
        let local = SocketAddrV4::new(address, PORT);
        let sender = netio::udp::bind(local).with_context(|| format!("cannot bind {local}"))?;
        let machine = Machine::new(bound::boxed_rng()?, false, BootId::default(), Vec::new())?;
        let mut member = Self {
            machine,
            socket: UdpSocket::from_std(sender.try_clone()?)?,
            sender,
            local,
            registered: false,
            public_value: Vec::new(),
        };
        member.handle(Input::Configure(config));
        Ok(member)
    }

    /// Until it holds policy and keys.
    async fn run(mut self) -> Result<Vec<u8>> {
        let mut buffer = [0; DATAGRAM_MAX];
        while !self.registered {
            let now = clock::now();
            let deadline = self.machine.deadline(now);
            let wait = deadline.map_or(REGISTERED_MAX, |deadline| now.until(deadline));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (len, peer) = received?;
                    let std::net::SocketAddr::V4(peer) = peer else { continue };
                    self.note_public_value(&buffer[..len]);
                    let local = self.local;
                    self.handle(Input::Datagram { local, peer, bytes: &buffer[..len] });
                }
                () = tokio::time::sleep(wait) => self.handle(Input::Timer),
            }
        }
        Ok(self.public_value)
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.machine.handle(clock::now(), input, &mut out);
        for output in out.drain() {
            match output {
                Output::Transmit { peer, bytes, .. } => {
                    // Lost, as any datagram may be: it is repeated.
                    let _ = self.sender.send_to(&bytes, peer);
                }
                Output::InstallSa { .. } => self.registered = true,
                // A member without a data plane: nothing of this costs the key server anything.
                Output::Persist(_)
                | Output::Multicast { .. }
                | Output::Join { .. }
                | Output::Leave { .. }
                | Output::RemoveSa { .. }
                | Output::InstallPolicy { .. }
                | Output::InstallSids { .. }
                | Output::LimitBlocks { .. }
                | Output::SetClock { .. }
                | Output::CloseGroup { .. }
                | Output::GenerateKeyPair { .. }
                | Output::Report(..)
                | Output::KeyLog(_) => {}
            }
        }
    }

    /// Message 4 of main mode goes in clear: what it agrees with is there to see.
    fn note_public_value(&mut self, datagram: &[u8]) {
        let Ok((header, body)) = Header::split(datagram) else {
            return;
        };
        if header.exchange_type != ExchangeType::IDENTITY_PROTECTION
            || header.flags.contains(Flags::ENCRYPTION)
        {
            return;
        }
        let chain = Chain::decode(header.next_payload, body);
        if let Ok(Some(ke)) = chain.as_ref().map(|chain| chain.find(PayloadType::KE)) {
            self.public_value = ke.body.to_vec();
        }
    }
}

fn configuration(rounds: &Rounds, address: Ipv4Addr, key: &str) -> Config {
    Config {
        isakmp: Isakmp {
            policies: vec![IsakmpPolicy {
                priority: 10,
                encryption: IsakmpCipher::Aes256,
                hash: IsakmpHash::Sha256,
                group: rounds.group.number(),
                lifetime_s: 86_400,
            }],
            keys: vec![PresharedKey {
                address: key_server::ADDRESS,
                mask: Ipv4Addr::BROADCAST,
                secret: Secret::copy_of(key.as_bytes()),
            }],
            ..Isakmp::default()
        },
        incomplete: Vec::new(),
        key_servers: Vec::new(),
        members: vec![Member {
            group: GroupName::new("BENCH"),
            id: GroupId::Number(key_server::GROUP),
            servers: vec![key_server::ADDRESS],
            address,
            crypto_map: "BENCH".to_owned(),
            interface: "lo".to_owned(),
            local_acl: None,
            workers: 1,
            compatible_rfc6407: false,
        }],
    }
}

//! Two engines and the wire between them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use crypto::{Secret, SeededRng};
use event::Event;
use policy::Time;
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Built, Chain, Flags, Header, Id, Nonce};

use crate::config::{self, IsakmpCipher, IsakmpHash, IsakmpPolicy, PresharedKey};
use crate::ike::{Connection, Expect, Isakmp, SaId, Upcall};
use crate::machine::{KeyLogLine, Outbox, Output};

pub(super) const KS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 11, 2), 848);
pub(super) const GM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 20, 2), 848);
const DELAY: Duration = Duration::from_millis(50);

pub(super) fn policy(encryption: IsakmpCipher, hash: IsakmpHash, group: u16) -> IsakmpPolicy {
    IsakmpPolicy {
        priority: 10,
        encryption,
        hash,
        group,
        lifetime_s: 86_400,
    }
}

pub(super) fn config(key: &str, peer: SocketAddrV4) -> config::Isakmp {
    config::Isakmp {
        policies: vec![policy(IsakmpCipher::Aes256, IsakmpHash::Sha256, 19)],
        keys: vec![PresharedKey {
            address: *peer.ip(),
            mask: Ipv4Addr::BROADCAST,
            secret: Secret::copy_of(key.as_bytes()),
        }],
        peers: Vec::new(),
        keepalive_s: 0,
        admission: crate::ike::AdmissionLimits::default(),
    }
}

/// A box with its engine.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) address: SocketAddrV4,
    pub(super) engine: Isakmp,
    pub(super) rng: SeededRng,
    pub(super) upcalls: Vec<Upcall>,
    pub(super) events: Vec<Event>,
    pub(super) cipher_keys: Vec<Secret>,
}

impl Node {
    fn new(name: &'static str, address: SocketAddrV4, seed: u64, config: config::Isakmp) -> Self {
        let mut engine = Isakmp::new(true);
        engine.configure(Arc::new(config));
        Self {
            name,
            address,
            engine,
            rng: SeededRng::from_number(seed),
            upcalls: Vec::new(),
            events: Vec::new(),
            cipher_keys: Vec::new(),
        }
    }

    pub(super) fn established(&self) -> Vec<SaId> {
        self.upcalls
            .iter()
            .filter_map(|upcall| match upcall {
                Upcall::Established(sa) => Some(*sa),
                Upcall::Failed { .. }
                | Upcall::Exchange { .. }
                | Upcall::Plain { .. }
                | Upcall::Timeout { .. }
                | Upcall::Notify { .. }
                | Upcall::Deleted(_)
                | Upcall::Dead(_) => None,
            })
            .collect()
    }
}

/// What the wire does to a datagram.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver,
    Lose,
    Duplicate,
}

pub(super) struct Datagram {
    pub(super) at: Time,
    pub(super) to: usize,
    pub(super) from: SocketAddrV4,
    pub(super) bytes: Vec<u8>,
}

/// Decides over the n-th datagram, from 0.
pub(super) type Wire = Box<dyn FnMut(usize, &[u8]) -> Fate>;

/// Node 0 is gm1, node 1 is ks1.
pub(super) struct Network {
    pub(super) now: Time,
    pub(super) nodes: [Node; 2],
    pub(super) flight: VecDeque<Datagram>,
    pub(super) fate: Wire,
    pub(super) sent: Vec<(usize, Vec<u8>)>,
    pub(super) transcript: String,
    /// Which node began the SA with this initiator's cookie.
    initiators: BTreeMap<[u8; 8], usize>,
}

impl Network {
    pub(super) fn new(gm: config::Isakmp, ks: config::Isakmp) -> Self {
        Self {
            now: Time::ZERO,
            nodes: [Node::new("gm1", GM, 1, gm), Node::new("ks1", KS, 2, ks)],
            flight: VecDeque::new(),
            fate: Box::new(|_, _| Fate::Deliver),
            sent: Vec::new(),
            transcript: String::new(),
            initiators: BTreeMap::new(),
        }
    }

    /// Two that fit.
    pub(super) fn fitting() -> Self {
        Self::new(config("secret", KS), config("secret", GM))
    }

    pub(super) fn connect(&mut self, from: usize) -> Connection {
        let to = self.nodes[1 - from].address;
        let mut out = Outbox::default();
        let node = &mut self.nodes[from];
        let (now, local) = (self.now, node.address);
        let connection = node.engine.connect(now, local, to, &mut node.rng, &mut out);
        self.obey(from, out);
        connection
    }

    /// Calls an engine and does what it says.
    pub(super) fn with<T>(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut Isakmp, Time, &mut SeededRng, &mut Outbox) -> T,
    ) -> T {
        let mut out = Outbox::default();
        let node = &mut self.nodes[at];
        let result = call(&mut node.engine, self.now, &mut node.rng, &mut out);
        self.obey(at, out);
        result
    }

    fn obey(&mut self, from: usize, mut out: Outbox) {
        for output in out.drain() {
            match output {
                Output::Transmit { bytes, local, .. } => {
                    let fate = (self.fate)(self.sent.len(), &bytes);
                    self.log(from, &bytes, fate);
                    let copies = match fate {
                        Fate::Deliver => 1,
                        Fate::Lose => 0,
                        Fate::Duplicate => 2,
                    };
                    for _ in 0..copies {
                        self.flight.push_back(Datagram {
                            at: self.now + DELAY,
                            to: 1 - from,
                            from: local,
                            bytes: bytes.clone(),
                        });
                    }
                    self.sent.push((from, bytes));
                }
                Output::Report(Event::Step(_), _) => {}
                Output::Report(event, _) => {
                    let _ = writeln!(
                        self.transcript,
                        "{} {}         {event}",
                        stamp(self.now),
                        self.nodes[from].name
                    );
                    self.nodes[from].events.push(event);
                }
                Output::KeyLog(KeyLogLine::Isakmp { key, .. }) => {
                    self.nodes[from].cipher_keys.push(key);
                }
                Output::KeyLog(KeyLogLine::Esp { .. })
                | Output::Persist(_)
                | Output::InstallSa { .. }
                | Output::RemoveSa { .. }
                | Output::InstallPolicy { .. }
                | Output::InstallSids { .. }
                | Output::LimitBlocks { .. }
                | Output::SetClock { .. }
                | Output::CloseGroup { .. }
                | Output::Multicast { .. }
                | Output::Join { .. }
                | Output::Leave { .. }
                | Output::GenerateKeyPair { .. } => panic!("phase 1 asks for something of a group"),
            }
        }
        let node = &mut self.nodes[from];
        while let Some(upcall) = node.engine.upcall() {
            let _ = writeln!(
                self.transcript,
                "{} {}         {}",
                stamp(self.now),
                node.name,
                describe(&upcall)
            );
            node.upcalls.push(upcall);
        }
    }

    fn log(&mut self, from: usize, bytes: &[u8], fate: Fate) {
        let fate = match fate {
            Fate::Deliver => "",
            Fate::Lose => "  (lost)",
            Fate::Duplicate => "  (twice)",
        };
        let cookie = *bytes.first_chunk::<8>().expect("we send headers");
        let is_initiator = *self.initiators.entry(cookie).or_insert(from) == from;
        let _ = writeln!(
            self.transcript,
            "{} {} > {}  {}{fate}",
            stamp(self.now),
            self.nodes[from].name,
            self.nodes[1 - from].name,
            ladder_line(bytes, is_initiator)
        );
    }

    /// Delivers what is in flight and lets timers run until `end`, or until nothing happens.
    pub(super) fn run_until(&mut self, end: Time) {
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    /// The next thing that happens before `end`; false if there is none.
    pub(super) fn step(&mut self, end: Time) -> bool {
        let wire = self.flight.front().map(|datagram| datagram.at);
        let timers = self.nodes.iter().filter_map(|node| node.engine.deadline());
        let Some(next) = wire
            .into_iter()
            .chain(timers)
            .min()
            .filter(|next| *next <= end)
        else {
            return false;
        };
        self.now = self.now.max(next);
        if wire.is_some_and(|at| at <= self.now)
            && let Some(Datagram {
                to, from, bytes, ..
            }) = self.flight.pop_front()
        {
            self.deliver(to, from, &bytes);
            return true;
        }
        for at in 0..2 {
            self.with(at, |engine, now, rng, out| {
                if engine.deadline().is_some_and(|deadline| deadline <= now) {
                    engine.timer(now, rng, out);
                }
            });
        }
        true
    }

    pub(super) fn deliver(&mut self, to: usize, from: SocketAddrV4, bytes: &[u8]) {
        let local = self.nodes[to].address;
        self.with(to, |engine, now, rng, out| {
            engine.datagram(now, local, from, bytes, rng, out);
        });
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        self.run_until(end);
    }

    /// Both have one SA, and it is the same.
    pub(super) fn assert_one_sa(&self) -> (SaId, SaId) {
        let [gm, ks] = &self.nodes;
        let (gm_sas, ks_sas) = (gm.established(), ks.established());
        assert_eq!((gm_sas.len(), ks_sas.len()), (1, 1), "{}", self.transcript);
        let at_gm = gm.engine.sa(gm_sas[0]).expect("established");
        let at_ks = ks.engine.sa(ks_sas[0]).expect("established");
        assert_eq!(at_gm.initiator_cookie(), at_ks.initiator_cookie());
        assert_eq!(at_gm.responder_cookie(), at_ks.responder_cookie());
        assert!(at_gm.prf_d(&[b"x"]) == at_ks.prf_d(&[b"x"]));
        assert!(at_gm.prf_a(&[b"x"]) == at_ks.prf_a(&[b"x"]));
        (gm_sas[0], ks_sas[0])
    }
}

fn stamp(now: Time) -> String {
    let millis = now.as_nanos() / 1_000_000;
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

fn describe(upcall: &Upcall) -> String {
    match upcall {
        Upcall::Established(_) => "established".to_owned(),
        Upcall::Failed { reason, .. } => format!("failed: {reason}"),
        Upcall::Exchange {
            exchange,
            step,
            payloads,
            ..
        } => {
            format!(
                "exchange {exchange} message {step}, {} octets",
                payloads.len()
            )
        }
        Upcall::Plain { exchange, .. } => format!("plain {exchange}"),
        Upcall::Timeout { .. } => "timeout".to_owned(),
        Upcall::Notify { notify, .. } => format!("notify {notify}"),
        Upcall::Deleted(_) => "deleted".to_owned(),
        Upcall::Dead(_) => "dead".to_owned(),
    }
}

/// `MAIN MODE 1  HDR, SA, VENDOR_ID`.
fn ladder_line(bytes: &[u8], from_initiator: bool) -> String {
    let (header, body) = Header::split(bytes).expect("we send well-formed headers");
    let star = if header.flags.contains(Flags::ENCRYPTION) {
        "*"
    } else {
        ""
    };
    let what = match Chain::decode(header.next_payload, body) {
        Ok(chain) if star.is_empty() && !chain.payloads.is_empty() => {
            let types: Vec<_> = chain.types().map(|ty| ty.to_string()).collect();
            types.join(", ")
        }
        Ok(_) | Err(_) => format!("{} octets", body.len()),
    };
    let name = if header.exchange_type == ExchangeType::IDENTITY_PROTECTION {
        let pair = match (star, what.split(',').next()) {
            ("", Some("SA")) => 1,
            ("", _) => 3,
            _ => 5,
        };
        format!("MAIN MODE {}", if from_initiator { pair } else { pair + 1 })
    } else if header.exchange_type == ExchangeType::GETVPN_PART {
        "PART".to_owned()
    } else if header.exchange_type == ExchangeType::INFORMATIONAL {
        "INFORMATIONAL".to_owned()
    } else {
        header.exchange_type.to_string()
    };
    format!("{name}  HDR{star}, {what}")
}

/// A payload chain of a nonce and something.
pub(super) fn pull_1() -> Built {
    let mut builder = Builder::new();
    builder.push(&Nonce { data: &[1; 32] });
    builder.push(&Id::group_number(3333));
    builder.finish().expect("fits")
}

/// A nonce and an SA payload of that many octets; nobody reads it here.
pub(super) fn pull_2(octets: usize) -> Built {
    let mut builder = Builder::new();
    builder.push(&Nonce { data: &[2; 32] });
    builder.push_raw(PayloadType::SA, &vec![3; octets]);
    builder.finish().expect("fits")
}

/// A KD payload of that many octets.
pub(super) fn pull_4(octets: usize) -> Built {
    let mut builder = Builder::new();
    builder.push_raw(PayloadType::KD, &vec![4; octets]);
    builder.finish().expect("fits")
}

impl Network {
    /// The four messages of a PULL between the two, as soon as gm1's SA is there; whoever waits for
    /// a message answers it at once.
    pub(super) fn pull(&mut self, end: Time, octets: usize) -> bool {
        let sa = self.nodes[0].established()[0];
        let opened = self.with(0, |engine, now, rng, out| {
            let id = engine
                .open(now, sa, ExchangeType::GROUPKEY_PULL, rng)
                .expect("opens");
            let built = pull_1();
            engine
                .send(
                    now,
                    sa,
                    id,
                    (built.first(), built.payloads()),
                    Expect::Reply,
                    out,
                )
                .expect("legal");
            id
        });
        let mut answered = [0, 0];
        loop {
            for at in 0..2 {
                self.answer(at, &mut answered, octets);
            }
            let done = self.nodes[0].upcalls.iter().any(|upcall| match upcall {
                Upcall::Exchange {
                    step, message_id, ..
                } => (*step, *message_id) == (4, opened),
                Upcall::Established(_)
                | Upcall::Failed { .. }
                | Upcall::Plain { .. }
                | Upcall::Timeout { .. }
                | Upcall::Notify { .. }
                | Upcall::Deleted(_)
                | Upcall::Dead(_) => false,
            });
            if done {
                self.with(0, |engine, _, _, _| engine.finish(sa, opened));
                return true;
            }
            if !self.step(end) {
                return false;
            }
        }
    }

    fn answer(&mut self, at: usize, answered: &mut [usize; 2], octets: usize) {
        while let Some(upcall) = self.nodes[at].upcalls.get(answered[at]) {
            answered[at] += 1;
            let Upcall::Exchange {
                sa,
                message_id,
                step,
                ..
            } = upcall
            else {
                continue;
            };
            let (sa, message_id, step) = (*sa, *message_id, *step);
            let (built, expect) = match step {
                1 => (pull_2(octets), Expect::Final),
                2 => (Builder::new().finish().expect("empty"), Expect::Reply),
                3 => (pull_4(octets), Expect::Final),
                _ => continue,
            };
            self.with(at, |engine, now, _, out| {
                let payloads = (built.first(), built.payloads());
                engine
                    .send(now, sa, message_id, payloads, expect, out)
                    .expect("legal");
            });
        }
    }
}

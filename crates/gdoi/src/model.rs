//! The group's machines as a model checker drives them: the product's key server and member, without
//! IKE and without a network.
//!
//! Everything is a value that can be copied, goes on from any copy, and has a fingerprint of what
//! decides how it goes on. What key servers tell each other are values, what members get are the
//! product's own datagrams. Only with the feature `model`, which nothing in the workspace has on.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crypto::key_pair::Kind;
use crypto::{Rng, Secret, SeededRng};
use event::Event;
use policy::{Generation, KekSpi, KsIndex, Spi, Time};

use crate::config::{self, RekeyKey};
use crate::context::Context;
use crate::ike::Isakmp;
use crate::key_pairs::{KeyPair, KeyPairs};
use crate::ks::KeyServer;
use crate::machine::{Outbox, Output, Record};
use crate::persist::{BootId, Restored};
use crate::{ack, gm};

pub use crate::ks::{Decoded, Role, Spoken};

/// What happened in one step of a box, in the order in which it must happen.
pub enum Effect {
    /// A row is on disk before anything that follows.
    Write(Record),
    /// Something for another key server.
    Decoded(Decoded),
    /// A datagram between a key server and a member.
    Datagram {
        /// Where it comes from.
        from: Ipv4Addr,
        /// Where it goes to.
        to: Ipv4Addr,
        /// Its payload.
        bytes: Arc<[u8]>,
    },
    /// The name of a message to the operator.
    Report(&'static str),
}

/// The rows that a key server wrote.
#[derive(Clone, Default)]
pub struct Disk(BTreeMap<Vec<u8>, Option<Arc<Secret>>>);

impl Disk {
    /// A row is written.
    pub fn write(&mut self, record: Record) {
        self.0.insert(record.key, record.value.map(Arc::new));
    }

    /// Hashes its octets.
    pub fn fingerprint(&self, h: &mut impl Hasher) {
        for (key, value) in &self.0 {
            let octets = value.as_ref().map(|value| value.expose());
            (key, octets).hash(h);
        }
    }

    fn read(&self) -> Vec<Record> {
        let rows = self.0.iter();
        rows.map(|(key, value)| Record {
            key: key.clone(),
            value: value.as_deref().cloned(),
        })
        .collect()
    }
}

/// A running key server.
pub struct Server {
    ks: KeyServer,
    index: KsIndex,
    runs: u8,
}

impl Clone for Server {
    fn clone(&self) -> Self {
        Self {
            ks: self.ks.fork(),
            index: self.index,
            runs: self.runs,
        }
    }
}

impl Server {
    /// A key server starts, for the `runs`th time, with what is on its disk.
    ///
    /// # Panics
    /// When its rows cannot be read: then the model is wrong.
    pub fn start(
        now: Time,
        config: config::KeyServer,
        runs: u8,
        disk: &Disk,
        out: &mut Vec<Effect>,
    ) -> Self {
        let restored = Restored::read(disk.read()).unwrap_or_else(|_| panic!("a row is corrupt"));
        let index = KsIndex::rank_of(config.address, &config.servers).unwrap_or_default();
        let boot = BootId([1; 16]);
        let group = config.group.clone();
        let (mut groups, mut coops) = (restored.groups, restored.coop);
        let (rows, coop) = (groups.remove(&group), coops.remove(&group));
        let ks = step(now, seed(index.get(), runs, now), out, |cx| {
            KeyServer::new(cx, config, 1, boot, rows, coop)
        });
        Self { ks, index, runs }
    }

    fn step<R>(
        &mut self,
        now: Time,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut KeyServer, &mut Context<'_>) -> R,
    ) -> R {
        let seed = seed(self.index.get(), self.runs, now);
        step(now, seed, out, |cx| act(&mut self.ks, cx))
    }

    /// When `timer` has something to do.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let own = self.ks.deadline(now);
        own.into_iter().chain(self.ks.give_up_at()).min()
    }

    /// The deadline has passed. Returns SAs that it gave up.
    pub fn timer(&mut self, now: Time, out: &mut Vec<Effect>) -> Vec<u64> {
        self.step(now, out, |ks, cx| {
            let gone = ks.give_up_decoded(cx);
            if ks.deadline(now).is_some_and(|due| due <= now) {
                ks.timer(cx);
            }
            gone
        })
    }

    /// A message of another key server.
    pub fn hear(&mut self, now: Time, from: KsIndex, said: &Spoken, out: &mut Vec<Effect>) {
        self.step(now, out, |ks, cx| ks.hear_decoded(cx, from, said));
    }

    /// There is an SA with that peer.
    pub fn reached(&mut self, now: Time, peer: KsIndex, sa: u64, out: &mut Vec<Effect>) {
        self.step(now, out, |ks, cx| ks.reached_decoded(cx, peer, sa));
    }

    /// No SA with that peer came about.
    pub fn unreached(&mut self, now: Time, peer: KsIndex, out: &mut Vec<Effect>) {
        self.step(now, out, |ks, cx| ks.unreached_decoded(cx, peer));
    }

    /// A peer gave an SA up and said so.
    pub fn deleted(&mut self, now: Time, sa: u64, out: &mut Vec<Effect>) {
        self.step(now, out, |ks, cx| ks.deleted_decoded(cx, sa));
    }

    /// `crypto gdoi ks rekey`.
    pub fn order_rekey(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.step(now, out, KeyServer::order_rekey);
    }

    /// `clear crypto gdoi ks members`.
    pub fn clear_members(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.step(now, out, |ks, cx| ks.clear_members(cx, None, false));
    }

    /// The group's generation as it knows it.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.ks.generation_decoded()
    }

    /// An acknowledgement came.
    pub fn acknowledged(&mut self, now: Time, from: Ipv4Addr, bytes: &[u8], out: &mut Vec<Effect>) {
        if let Some(ack) = ack::open(bytes) {
            self.step(now, out, |ks, cx| ks.acknowledge(cx, from, &ack));
        }
    }

    /// A member registers. Says whether it could.
    pub fn admit(&mut self, now: Time, member: &mut Member, out: &mut Vec<Effect>) -> bool {
        let address = member.address();
        let admitted = self.step(now, out, |ks, cx| {
            ks.admit_decoded(cx, address, |offer| member.0.would_take(offer, now))
        });
        let Some(admitted) = admitted else {
            return false;
        };
        let index = usize::from(self.index.get());
        step(now, seed(200, 0, now), out, |cx| {
            member.0.register_decoded(cx, admitted, index);
        });
        true
    }

    /// Its role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.ks.role_decoded()
    }

    /// The Rekey SA and the number of a rekey that left lately.
    #[must_use]
    pub fn number_of(&self, bytes: &[u8]) -> Option<(KekSpi, u32)> {
        self.ks.number_of(bytes)
    }

    /// Whether it tells members keys that the group's generation has made dead.
    #[must_use]
    pub fn hands_out_dead_keys(&self, now: Time) -> bool {
        self.ks.hands_out_dead_keys(now)
    }

    /// Hashes what decides how it goes on; `peers` are the others, to compare logs with.
    pub fn fingerprint<'a>(
        &self,
        now: Time,
        peers: impl Iterator<Item = &'a Self>,
        h: &mut impl Hasher,
    ) {
        self.runs.hash(h);
        self.ks.fingerprint(now, h);
        for peer in peers {
            self.ks.received_from(&peer.ks).hash(h);
        }
    }

    /// Hashes a message that it sent to `receiver`.
    pub fn fingerprint_of(&self, said: &Spoken, receiver: &Self, h: &mut impl Hasher) {
        said.fingerprint(h, [&self.ks, &receiver.ks]);
    }
}

/// A member.
pub struct Member(gm::Member);

impl Clone for Member {
    fn clone(&self) -> Self {
        Self(self.0.fork())
    }
}

impl Member {
    /// A member that registers at once.
    #[must_use]
    pub fn new(now: Time, config: config::Member) -> Self {
        Self(gm::Member::decoded(config, now))
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.0.address()
    }

    /// When `timer` has something to do, or a registration is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.0.deadline()
    }

    /// The deadline has passed.
    pub fn timer(&mut self, now: Time, out: &mut Vec<Effect>) {
        step(now, seed(201, 0, now), out, |cx| self.0.timer_decoded(cx));
    }

    /// The place of the key server to ask first, when a registration is due.
    #[must_use]
    pub fn wants_to_register(&self, now: Time) -> Option<usize> {
        self.0.wants_to_register(now)
    }

    /// No key server answered.
    pub fn not_registered(&mut self, now: Time) {
        self.0.not_registered(now);
    }

    /// A rekey came.
    pub fn push(&mut self, now: Time, from: Ipv4Addr, bytes: &[u8], out: &mut Vec<Effect>) {
        let ends = [self.address(), from].map(|address| SocketAddrV4::new(address, gm::PORT));
        step(now, seed(202, 0, now), out, |cx| {
            self.0.push(cx, ends[0], ends[1], bytes);
        });
    }

    /// Whether it holds keys.
    #[must_use]
    pub const fn is_registered(&self) -> bool {
        self.0.is_registered()
    }

    /// The key that it sends on, by the product's own order (PROTOCOL P11).
    #[must_use]
    pub fn sends_on(&self, now: Time) -> Option<Spi> {
        self.0.sends_on(now)
    }

    /// Whether it receives on a key.
    #[must_use]
    pub fn accepts(&self, spi: Spi) -> bool {
        self.0.accepts(spi)
    }

    /// The last sequence number that it took under each Rekey SA.
    #[must_use]
    pub fn sequences(&self) -> BTreeMap<KekSpi, u32> {
        self.0.sequences()
    }

    /// How many rekeys it took.
    #[must_use]
    pub const fn rekeys_taken(&self) -> u64 {
        self.0.rekeys_taken()
    }

    /// Hashes what decides how it goes on.
    pub fn fingerprint(&self, now: Time, h: &mut impl Hasher) {
        self.0.fingerprint(now, h);
    }
}

/// The Rekey SA and the sequence number of an acknowledgement.
#[must_use]
pub fn acknowledged(bytes: &[u8]) -> Option<(KekSpi, u32)> {
    ack::open(bytes).map(|ack| (ack.spi, ack.seq))
}

/// What a box draws at one moment: the same on every path that comes there.
const fn seed(box_number: u8, runs: u8, now: Time) -> u64 {
    now.as_nanos() ^ ((box_number as u64) << 56) ^ ((runs as u64) << 48)
}

const LABEL: &str = "get";

/// The rekey key that every box has.
#[must_use]
pub fn rekey_key() -> RekeyKey {
    RekeyKey::new(Kind::Rsa, LABEL)
}

thread_local! {
    static PAIRS: KeyPairs = {
        let mut keys = KeyPairs::default();
        let pkcs8 = Secret::copy_of(crypto::fixture::NOT_SECRET_RSA_2048_PKCS8);
        if let Ok(key) = KeyPair::new(Kind::Rsa, pkcs8, true) {
            keys.insert(LABEL.to_owned(), key);
        }
        keys
    };
}

fn step<R>(
    now: Time,
    seed: u64,
    out: &mut Vec<Effect>,
    act: impl FnOnce(&mut Context<'_>) -> R,
) -> R {
    let (mut isakmp, mut outbox) = (Isakmp::new(false), Outbox::default());
    let mut rng = Lazy(seed, None);
    let result = PAIRS.with(|key_pairs| {
        let mut cx = Context {
            now,
            isakmp: &mut isakmp,
            rng: &mut rng,
            key_pairs,
            keylog: false,
            decoded: true,
            out: &mut outbox,
        };
        act(&mut cx)
    });
    out.extend(outbox.drain().filter_map(effect));
    result
}

/// Most steps draw nothing.
struct Lazy(u64, Option<SeededRng>);

impl Rng for Lazy {
    fn fill(&mut self, octets: &mut [u8]) {
        let Self(seed, rng) = self;
        rng.get_or_insert_with(|| SeededRng::from_number(*seed))
            .fill(octets);
    }
}

fn effect(output: Output) -> Option<Effect> {
    match output {
        Output::Persist(record) => Some(Effect::Write(record)),
        Output::Decoded(decoded) => Some(Effect::Decoded(*decoded)),
        Output::Transmit { local, peer, bytes } => Some(Effect::Datagram {
            from: *local.ip(),
            to: *peer.ip(),
            bytes: bytes.into(),
        }),
        Output::Report(Event::Gdoi(report), _) => Some(Effect::Report(report.entry().mnemonic)),
        // The model's group rekeys by unicast.
        Output::Multicast { .. }
        | Output::Join { .. }
        | Output::Leave { .. }
        | Output::Report(..)
        | Output::InstallSa { .. }
        | Output::RemoveSa { .. }
        | Output::InstallPolicy { .. }
        | Output::InstallSids { .. }
        | Output::LimitBlocks { .. }
        | Output::SetClock { .. }
        | Output::CloseGroup { .. }
        | Output::GenerateKeyPair { .. }
        | Output::KeyLog(_) => None,
    }
}

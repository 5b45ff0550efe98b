//! The box under test with its clock: datagrams go in and come out.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use crypto::key_pair::Kind;
use crypto::{Secret, SeededRng, fixture};
use gdoi::config::{Isakmp, IsakmpCipher, IsakmpHash, IsakmpPolicy, PresharedKey};
use gdoi::machine::Record;
use gdoi::{BootId, Config, Corrupt, Input, Machine, Outbox, Output};
use policy::Time;

/// The key server.
pub(super) const KS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 11, 2), 848);
/// The member.
pub(super) const GM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 1, 20, 2), 848);
/// What both know.
pub(super) const PRESHARED_KEY: &[u8] = b"a key that the fuzzer knows too";
/// The label of the rekey key.
pub(super) const RSA_LABEL: &str = "rekey";
/// More effects of one input than this are a loop.
const EFFECTS_MAX: usize = 10_000;
/// More timers at one time than this are a loop.
const TIMERS_MAX: usize = 1_000;
/// Moments at which timers fire while the peer waits; then it does something, or waits again.
const MOMENTS_MAX: usize = 48;

/// A box, and what it is asked from.
pub(super) struct World {
    machine: Machine,
    now: Time,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    /// What the box sent to the peer, oldest first, until it is taken.
    pub(super) sent: Vec<Vec<u8>>,
    /// What the box wants on disk: rows by their names.
    pub(super) disk: BTreeMap<Vec<u8>, Secret>,
    /// Messages that came with encryption and a right hash around them.
    pub(super) sealed: u64,
    /// Those that the box did not refuse, neither for their hash nor for anything else.
    pub(super) believed: u64,
}

impl World {
    /// A box at `local` whose only peer is `peer`.
    pub(super) fn new(local: SocketAddrV4, peer: SocketAddrV4) -> Self {
        Self::restored(local, peer, BootId([1; 16]), Vec::new()).expect("nothing is restored")
    }

    /// The same with what an earlier run left on disk.
    pub(super) fn restored(
        local: SocketAddrV4,
        peer: SocketAddrV4,
        boot: BootId,
        rows: Vec<Record>,
    ) -> Result<Self, Corrupt> {
        let rng = Box::new(SeededRng::from_number(1));
        Ok(Self {
            machine: Machine::new(rng, false, boot, rows)?,
            now: Time::from_secs(1_000),
            local,
            peer,
            sent: Vec::new(),
            disk: BTreeMap::new(),
            sealed: 0,
            believed: 0,
        })
    }

    /// Configures the box; phase 1 is that of both sides.
    pub(super) fn configure(&mut self, config: Config) {
        let isakmp = Isakmp {
            policies: vec![IsakmpPolicy {
                priority: 10,
                encryption: IsakmpCipher::Aes128,
                hash: IsakmpHash::Sha256,
                group: 19,
                lifetime_s: 86_400,
            }],
            keys: vec![PresharedKey {
                address: *self.peer.ip(),
                mask: Ipv4Addr::BROADCAST,
                secret: Secret::copy_of(PRESHARED_KEY),
            }],
            ..config.isakmp
        };
        let config = Config { isakmp, ..config };
        self.give(Input::Configure(Arc::new(config)));
    }

    /// Gives the box the rekey key that everybody knows.
    pub(super) fn give_key_pair(&mut self) {
        self.give(Input::KeyPair {
            label: RSA_LABEL.to_owned(),
            kind: Kind::Rsa,
            exportable: false,
            pkcs8: Secret::copy_of(fixture::NOT_SECRET_RSA_2048_PKCS8),
        });
    }

    /// Something happens to the box.
    pub(super) fn give(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        self.machine.handle(self.now, input, &mut out);
        let mut effects = 0;
        for output in out.drain() {
            effects += 1;
            match output {
                Output::Transmit { peer, bytes, .. } if peer == self.peer => self.sent.push(bytes),
                Output::Persist(Record {
                    key,
                    value: Some(value),
                }) => drop(self.disk.insert(key, value)),
                Output::Persist(Record { key, value: None }) => drop(self.disk.remove(&key)),
                Output::Transmit { .. }
                | Output::Multicast { .. }
                | Output::Join { .. }
                | Output::Leave { .. }
                | Output::InstallSa { .. }
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
        assert!(effects < EFFECTS_MAX, "{effects} effects of one input");
    }

    /// A datagram of the peer's arrives.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        let (local, peer) = (self.local, self.peer);
        self.give(Input::Datagram { local, peer, bytes });
    }

    /// A message of the peer's under phase 1 arrives, with a right hash around it.
    pub(super) fn arrive_sealed(&mut self, bytes: &[u8]) {
        let before = self.refused();
        self.arrive(bytes);
        self.sealed += 1;
        self.believed += u64::from(self.refused() == before);
    }

    /// Messages that phase 1 refused, whyever.
    fn refused(&self) -> u64 {
        let counters = self.machine.isakmp_view().counters;
        counters.refusals().map(|(_, times)| times).sum()
    }

    /// The box's timers up to a span from now, or only the first of them if there are many: a
    /// member that nobody answers asks every few seconds, and there is nothing new in that.
    pub(super) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        let (mut at_once, mut moments) = (0, 0);
        while let Some(due) = self.machine.deadline(self.now).filter(|due| *due <= end) {
            if due > self.now {
                moments += 1;
                if moments > MOMENTS_MAX {
                    return;
                }
                at_once = 0;
                self.now = due;
            }
            at_once += 1;
            assert!(at_once < TIMERS_MAX, "the box does not come to rest");
            self.give(Input::Timer);
        }
        self.now = end;
    }

    /// Waits until the box has sent something, in steps of its own timers; says whether it has.
    pub(super) fn wait_for_datagram(&mut self, most: Duration) -> bool {
        let end = self.now + most;
        while self.sent.is_empty() {
            match self.machine.deadline(self.now) {
                Some(due) if due <= end => {
                    self.now = self.now.max(due);
                    self.give(Input::Timer);
                }
                _ => return false,
            }
        }
        true
    }

    /// Whether the box will do something of itself. One that will not has been put to sleep.
    pub(super) fn has_plans(&self) -> bool {
        self.machine.deadline(self.now).is_some()
    }

    /// Takes what was sent.
    pub(super) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    /// The box itself, to be looked at.
    pub(super) const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What time it is.
    pub(super) const fn now(&self) -> Time {
        self.now
    }
}

//! Two members of a group without a network: what the tests of the packet path have in common.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses a part of this"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use crypto::{Secret, SeededRng};
use dataplane::{
    Control, FrameBuf, InterfaceFacts, InterfaceId, Sink, Snapshot, TekKey, Totals, Update, Worker,
};
use event::DropReason;
use policy::tbar::PseudoClock;
use policy::{
    Ace, Acl, Action, AddressMatch, Encryption, Generation, GroupName, GroupSize, Integrity,
    KeyBits, KsIndex, PortMatch, PseudoTime, Sid, Spi, Tek, Time, Transform,
};
use wire::ip::{Ipv4Header, Protocol};

pub const WAN: &str = "Serial1/0";
pub const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
pub const H1: [u8; 4] = [192, 168, 20, 10];
pub const H2: [u8; 4] = [192, 168, 21, 10];

/// What came out of a worker.
#[derive(Default)]
pub struct Port {
    pub wan: Vec<Vec<u8>>,
    pub lan: Vec<Vec<u8>>,
}

impl Sink for Port {
    fn transmit(&mut self, frame: &[u8]) {
        self.wan.push(frame.to_vec());
    }
    fn deliver(&mut self, frame: &[u8]) {
        self.lan.push(frame.to_vec());
    }
}

/// A member: the router's end, workers, and what they did.
pub struct Member {
    pub control: Control,
    pub workers: Vec<Worker>,
    pub port: Port,
    pub now: Time,
    pub id: InterfaceId,
}

pub fn group() -> GroupName {
    "G1".into()
}

impl Member {
    /// A member with a crypto map of group G1 on its WAN, not registered.
    pub fn unregistered(seed: u64, workers: usize) -> Self {
        let mut control = Control::new(workers);
        let facts = InterfaceFacts {
            name: WAN.into(),
            groups: vec![group()],
            mtu: 1_500,
        };
        control.apply(Time::ZERO, Update::Attach(facts)).unwrap();
        let id = control.snapshot().interface_id(WAN).unwrap();
        let mut rng = SeededRng::from_number(seed);
        Self {
            control,
            workers: (0..workers)
                .map(|index| Worker::new(index, &mut rng))
                .collect(),
            port: Port::default(),
            now: Time::ZERO,
            id,
        }
    }

    /// A registered member: `permit ip 192.168.0.0/16 192.168.0.0/16`, one key, SIDs from `seed` on.
    pub fn registered(seed: u64, transform: Transform) -> Self {
        let mut member = Self::unregistered(seed, 1);
        member.clock(0);
        member.policy(&[permit_lans()]);
        member.sids(&[u32::try_from(seed).unwrap()]);
        member.key(tek(0x1000, transform, 0, 3_600));
        member
    }

    pub fn apply(&mut self, update: Update) -> bool {
        self.control.apply(self.now, update).unwrap()
    }

    pub fn clock(&mut self, pseudotime_s: u64) {
        self.set_clock(pseudotime_s, false);
    }

    /// A key server has lost the group's clock.
    pub fn new_clock(&mut self, pseudotime_s: u64) {
        self.set_clock(pseudotime_s, true);
    }

    fn set_clock(&mut self, pseudotime_s: u64, anew: bool) {
        let clock = PseudoClock::reading(PseudoTime::from_secs(pseudotime_s), self.now);
        self.apply(Update::SetClock {
            group: group(),
            clock,
            anew,
        });
    }

    pub fn policy(&mut self, entries: &[Ace]) {
        self.policy_from(entries, None);
    }

    pub fn policy_from(&mut self, entries: &[Ace], activation: Option<PseudoTime>) {
        let acl = acl(entries);
        let group = group();
        self.apply(Update::InstallPolicy {
            group,
            acl,
            tbar_window_s: None,
            activation,
        });
    }

    pub fn sids(&mut self, sids: &[u32]) {
        let sids = sids.iter().copied().map(Sid).collect();
        self.apply(Update::InstallSids {
            group: group(),
            size: GroupSize::Medium,
            sids,
        });
    }

    pub fn key(&mut self, tek: Tek) {
        let key = key_of(&tek);
        self.apply(Update::InstallSa {
            group: group(),
            tek: Box::new(tek),
            key,
        });
    }

    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.control.snapshot()
    }

    /// Sends frames toward the WAN through worker 0 and takes what came out there.
    pub fn send(&mut self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.send_by(0, frames)
    }

    pub fn send_by(&mut self, worker: usize, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let snapshot = self.control.snapshot();
        let mut frames = loaded(frames);
        let worker = &mut self.workers[worker];
        worker.outbound(&snapshot, self.id, self.now, &mut frames, &mut self.port);
        std::mem::take(&mut self.port.wan)
    }

    /// Receives frames from the WAN through worker 0 and takes what came out at the LAN.
    pub fn receive(&mut self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let snapshot = self.control.snapshot();
        let mut frames = loaded(frames);
        let worker = &mut self.workers[0];
        worker.inbound(&snapshot, self.id, self.now, &mut frames, &mut self.port);
        std::mem::take(&mut self.port.lan)
    }

    pub fn totals(&self) -> Totals {
        self.control.interface_totals(self.id)
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.totals().drops.of(reason)
    }
}

pub fn loaded(frames: &[Vec<u8>]) -> Vec<FrameBuf> {
    frames
        .iter()
        .map(|octets| {
            let mut frame = FrameBuf::with_capacity(octets.len());
            assert!(frame.load(octets));
            frame
        })
        .collect()
}

pub fn acl(entries: &[Ace]) -> Arc<Acl> {
    Arc::new(Acl {
        name: "ENCPOL".into(),
        entries: entries.to_vec(),
    })
}

pub fn permit_lans() -> Ace {
    let lans = AddressMatch::v4([192, 168, 0, 0].into(), [0, 0, 255, 255].into());
    Ace {
        source: lans,
        destination: lans,
        ..Ace::PERMIT_IP_ANY_ANY
    }
}

pub fn deny_port(protocol: u8, port: u16) -> Ace {
    Ace {
        action: Action::Deny,
        protocol: Some(protocol),
        destination_port: PortMatch::Eq(port),
        ..Ace::PERMIT_IP_ANY_ANY
    }
}

pub fn gcm() -> Transform {
    Transform::new(Encryption::AesGcm(KeyBits::B256), Integrity::Combined).unwrap()
}

pub fn cbc() -> Transform {
    Transform::new(Encryption::AesCbc(KeyBits::B128), Integrity::HmacSha1).unwrap()
}

/// Every transform that exists.
pub fn transforms() -> Vec<Transform> {
    let sizes = [KeyBits::B128, KeyBits::B192, KeyBits::B256];
    let hmacs = [
        Integrity::HmacSha1,
        Integrity::HmacSha256,
        Integrity::HmacSha384,
        Integrity::HmacSha512,
    ];
    let combined = sizes
        .into_iter()
        .flat_map(|bits| [Encryption::AesGcm(bits), Encryption::AesGmac(bits)])
        .map(|encryption| (encryption, Integrity::Combined));
    let ciphers = [Encryption::Null, Encryption::TripleDes]
        .into_iter()
        .chain(sizes.map(Encryption::AesCbc));
    combined
        .chain(ciphers.flat_map(|encryption| hmacs.map(|hmac| (encryption, hmac))))
        .map(|(encryption, integrity)| Transform::new(encryption, integrity).unwrap())
        .collect()
}

/// A record with that SPI, active from and until those seconds of pseudotime.
pub fn tek(spi: u32, transform: Transform, from_s: u64, until_s: u64) -> Tek {
    Tek {
        spi: Spi(spi),
        transform,
        activation: PseudoTime::from_secs(from_s),
        expiry: PseudoTime::from_secs(until_s),
        generation: Generation::default(),
        ks_list_hash: [0; 8],
        minted_by: KsIndex::default(),
        orig_lifetime_s: 3_600,
    }
}

/// Keys that its SPI determines.
pub fn key_of(tek: &Tek) -> TekKey {
    let octets = |salt: u32, len: usize| {
        let step = |i: usize| {
            (tek.spi.0 ^ salt)
                .wrapping_mul(2_654_435_761)
                .rotate_left(i as u32)
        };
        Secret::new((0..len).map(|i| (step(i) >> 3) as u8 ^ i as u8).collect())
    };
    TekKey {
        encryption: octets(1, tek.transform.key_len()),
        integrity: octets(2, tek.transform.integrity_key_len()),
    }
}

/// A UDP packet of `len` octets between two hosts, in a frame.
pub fn udp(source: [u8; 4], destination: [u8; 4], len: usize) -> Vec<u8> {
    let header = Ipv4Header {
        tos: 0x88,
        identification: 0x1234,
        ttl: 63,
        ..Ipv4Header::new(source.into(), destination.into(), Protocol::UDP, 0)
    };
    let mut payload = vec![0x13, 0x88, 0x13, 0x89, 0, 0, 0, 0];
    payload.extend((0..len).map(|i| (i % 251) as u8));
    payload.truncate(len - 20);
    in_frame(&header.packet(&payload))
}

pub fn in_frame(packet: &[u8]) -> Vec<u8> {
    [&LINK[..], packet].concat()
}

/// The SPI and the explicit IV of a counter-mode ESP packet in a frame.
pub fn spi_and_iv(frame: &[u8]) -> (u32, u64) {
    let esp = &frame[34..];
    let spi = u32::from_be_bytes(esp[..4].try_into().unwrap());
    (spi, u64::from_be_bytes(esp[8..16].try_into().unwrap()))
}

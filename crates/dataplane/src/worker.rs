//! One forwarding thread's state, and what both directions share.
//!
//! Decides nothing itself: it holds the caches, windows and notices, and counts.

use crypto::{Rng, cbc};
use event::DropReason;
use policy::{Spi, Time};

use crate::engine::{AwsLc, Job};
use crate::esp::{IV_MAX, Iv};
use crate::flow::{FlowCache, Way};
use crate::frame::FrameBuf;
use crate::limits::BATCH_MAX;
use crate::notice::{Happening, Kind, Notice, Notices};
use crate::packet::{Flow, Ip, Ipv4};
use crate::pmtu::IcmpRate;
use crate::replay::Windows;
use crate::sadb::Sa;
use crate::snapshot::{Group, Inbound, Interface, Judge, Outbound, Phase, Snapshot};
use crate::{InterfaceId, inbound, outbound};

/// The longest IP packet.
const PACKET_MAX: usize = 65_535;
/// Room for an Ethernet header with two VLAN tags.
const LINK_HEADER_MAX: usize = 22;

/// The state of one forwarding thread. It is the only one to use it.
pub struct Worker<E = AwsLc> {
    pub(crate) index: usize,
    pub(crate) engine: E,
    pub(crate) ivs: IvSource,
    pub(crate) cache: FlowCache,
    pub(crate) windows: Windows,
    pub(crate) notices: Notices,
    pub(crate) icmp_rate: IcmpRate,
    /// One for each group of the snapshot, for the running batch.
    pub(crate) phases: Vec<Phase>,
    pub(crate) jobs: Vec<Job>,
    /// One for each job of an outbound batch.
    pub(crate) sealings: Vec<outbound::Sealing>,
    /// The packets of an outbound batch that are too long.
    pub(crate) cuts: Vec<outbound::Sealing>,
    pub(crate) outbound_steps: Vec<outbound::Step>,
    /// One for each job of an inbound batch.
    pub(crate) openings: Vec<inbound::Opening>,
    pub(crate) inbound_steps: Vec<inbound::Step>,
    /// Where fragments and ICMP messages are built.
    pub(crate) scratch: FrameBuf,
    /// The identification of the next fragment's ESP packet.
    pub(crate) next_id: u16,
    snapshot_seen: u64,
}

impl Worker {
    /// The worker number `index`, which must be below the number that [`crate::Control`] was made
    /// for. What it draws from `rng` keys its CBC IVs.
    #[must_use]
    pub fn new(index: usize, rng: &mut dyn Rng) -> Self {
        Self::with_engine(index, rng, AwsLc)
    }
}

impl<E> Worker<E> {
    /// A worker whose cipher work `engine` does.
    #[must_use]
    pub fn with_engine(index: usize, rng: &mut dyn Rng, engine: E) -> Self {
        let mut id = [0; 2];
        rng.fill(&mut id);
        Self {
            index,
            engine,
            ivs: IvSource::new(index, rng),
            cache: FlowCache::new(),
            windows: Windows::new(),
            notices: Notices::new(),
            icmp_rate: IcmpRate::new(),
            phases: Vec::new(),
            jobs: Vec::with_capacity(BATCH_MAX),
            sealings: Vec::with_capacity(BATCH_MAX),
            cuts: Vec::with_capacity(BATCH_MAX),
            outbound_steps: Vec::with_capacity(BATCH_MAX),
            openings: Vec::with_capacity(BATCH_MAX),
            inbound_steps: Vec::with_capacity(BATCH_MAX),
            scratch: FrameBuf::with_capacity(LINK_HEADER_MAX + PACKET_MAX),
            next_id: u16::from_be_bytes(id),
            snapshot_seen: 0,
        }
    }

    /// Draws anew what keys its CBC IVs: a copy of this memory would go on with the same.
    //= getvpn P21
    pub fn reseed(&mut self, rng: &mut dyn Rng) {
        self.ivs = IvSource::new(self.index, rng);
    }

    /// What the operator should know since the last call, oldest first.
    pub fn take_notices(&mut self) -> impl Iterator<Item = Notice> + '_ {
        self.notices.drain()
    }

    /// Counts a frame that [`crate::Sink`] could not pass on ([`DropReason::DeviceFull`]).
    pub fn count_device_full(&self, snapshot: &Snapshot, interface: InterfaceId) {
        if let Some(own) = snapshot.interface(interface) {
            own.traffic.of(self.index).dropped(DropReason::DeviceFull);
        }
    }

    /// Counts a frame that was not looked at because nothing may pass for now
    /// ([`DropReason::FailClose`]).
    pub fn count_fail_close(&self, snapshot: &Snapshot, interface: InterfaceId) {
        if let Some(own) = snapshot.interface(interface) {
            own.traffic.of(self.index).dropped(DropReason::FailClose);
        }
    }

    /// Brings caches and phases to this snapshot and this moment: once a batch.
    pub(crate) fn turn_to(&mut self, snapshot: &Snapshot, now: Time) {
        self.phases.clear();
        let mut digest = 0_u64;
        for group in &snapshot.groups {
            let phase = group.phase(&snapshot.sas, now);
            let policy = phase.policy.map_or(0, |place| place as u64 + 1);
            let state = u64::from(phase.accepted) | policy << 8;
            digest = (digest.rotate_left(16) ^ state).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.phases.push(phase);
        }
        self.cache.turn_to((snapshot.number, digest));
        if self.snapshot_seen != snapshot.number {
            self.snapshot_seen = snapshot.number;
            self.windows.expire(now, |sa| snapshot.received_until(sa));
        }
    }

    #[inline]
    pub(crate) fn judge_outbound(&mut self, view: &View<'_>, ip: &Ip) -> Outbound {
        let judge = view.judge(&self.phases);
        match ip {
            Ip::V4(ip) => {
                let judged = |flow: &Flow| judge.outbound(flow).pack();
                Outbound::unpack(self.cache.verdict(view.id, Way::Outbound, ip, judged))
            }
            Ip::V6(flow) => judge.outbound(flow),
        }
    }

    #[inline]
    pub(crate) fn judge_inbound(&mut self, view: &View<'_>, ip: &Ip) -> Inbound {
        match ip {
            Ip::V4(ip) => self.judge_inbound_v4(view, ip),
            Ip::V6(flow) => view.judge(&self.phases).inbound(flow),
        }
    }

    #[inline]
    pub(crate) fn judge_inbound_v4(&mut self, view: &View<'_>, ip: &Ipv4) -> Inbound {
        let judge = view.judge(&self.phases);
        let judged = |flow: &Flow| judge.inbound(flow).pack();
        Inbound::unpack(self.cache.verdict(view.id, Way::Inbound, ip, judged))
    }

    /// Counts a dropped packet where it belongs, and tells of it now and then.
    #[cold]
    pub(crate) fn drop_packet(&mut self, view: &View<'_>, reason: DropReason, about: &About<'_>) {
        view.interface.traffic.of(self.index).dropped(reason);
        if let Some(group) = about.group {
            group.traffic.of(self.index).dropped(reason);
        }
        if let Some(sa) = about.sa {
            sa.traffic.of(self.index).dropped(reason);
        }
        self.notices
            .tell(view.now, Kind::Dropped(reason), || Happening::Dropped {
                reason,
                interface: view.id,
                group: about.group.map(|group| std::sync::Arc::clone(&group.name)),
                spi: about.spi.or_else(|| about.sa.map(|sa| sa.tek.spi)),
                source: about.flow.map(|flow| flow.key.source),
                destination: about.flow.map(|flow| flow.key.destination),
                protocol: about.flow.map_or(0, |flow| flow.key.protocol),
            });
    }
}

/// Where and when a batch is processed.
#[derive(Copy, Clone)]
pub(crate) struct View<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) interface: &'s Interface,
    pub(crate) id: InterfaceId,
    pub(crate) now: Time,
}

impl<'s> View<'s> {
    /// None for an interface that this snapshot does not know.
    pub(crate) fn new(snapshot: &'s Snapshot, id: InterfaceId, now: Time) -> Option<Self> {
        let interface = snapshot.interface(id)?;
        Some(Self {
            snapshot,
            interface,
            id,
            now,
        })
    }

    #[inline]
    pub(crate) fn group(&self, order: usize) -> &'s Group {
        &self.snapshot.groups[self.interface.groups[order]]
    }

    fn judge(&self, phases: &'s [Phase]) -> Judge<'s> {
        Judge {
            snapshot: self.snapshot,
            interface: self.interface,
            phases,
        }
    }
}

/// What is known of a packet that is dropped.
#[derive(Copy, Clone, Default)]
pub(crate) struct About<'a> {
    pub(crate) flow: Option<Flow>,
    pub(crate) group: Option<&'a Group>,
    pub(crate) sa: Option<&'a Sa>,
    pub(crate) spi: Option<Spi>,
}

/// IVs for CBC: AES-256 of a counter, under a key that this worker drew and that nobody else has.
///
/// So an IV is unpredictable to whoever does not hold that key, and none of AES comes twice from
/// one worker. 3DES takes the first half.
//= RFC 3602 3
//# The IV MUST be chosen at random, and MUST be
//# unpredictable.
pub(crate) struct IvSource {
    cipher: cbc::Cipher,
    counter: u64,
    worker: u64,
}

impl IvSource {
    fn new(worker: usize, rng: &mut dyn Rng) -> Self {
        let algorithm = cbc::Algorithm::Aes256;
        let mut key = vec![0; algorithm.key_len()];
        rng.fill(&mut key);
        let key = crypto::Secret::new(key);
        let cipher = cbc::Cipher::new(algorithm, key.expose()).expect("the key has its length");
        Self {
            cipher,
            counter: 0,
            worker: worker as u64,
        }
    }

    pub(crate) fn next(&mut self) -> Iv {
        let mut block = [0; IV_MAX];
        block[..8].copy_from_slice(&self.worker.to_be_bytes());
        block[8..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        self.cipher
            .encrypt(&[0; IV_MAX], &mut block)
            .expect("one block under a zero IV");
        Iv::block(block)
    }
}

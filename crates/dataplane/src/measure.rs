//! What the packet path costs beside its cipher: the numbers of `getvpn bench`.
//!
//! Decides only what is measured: whole batches through [`Worker::outbound`] and
//! [`Worker::inbound`] (parse, policy, headers, padding, IV, cipher, checks, window, counters), and
//! the same packets through the engine alone. No packet I/O. The clock is the caller's.

use std::sync::Arc;
use std::time::Duration;

use crypto::{Rng, Secret};
use policy::{
    Ace, Acl, Generation, GroupName, GroupSize, KsIndex, PseudoTime, Sid, Spi, Tek, Time, Transform,
};
use wire::ip::{Ipv4Header, Protocol};

use crate::engine::{AwsLc, Engine, Job};
use crate::frame::FrameBuf;
use crate::packet::IPV4_HEADER;
use crate::{
    Control, InterfaceFacts, InterfaceId, Refusal, Sink, Snapshot, TekKey, Update, Worker,
};

/// Nanoseconds per packet, medians over the batches.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Cost {
    /// From a clear frame to an ESP frame.
    pub seal_ns: f64,
    /// From an ESP frame to a clear frame.
    pub open_ns: f64,
    /// The cipher and integrity alone, on the same octets.
    pub cipher_seal_ns: f64,
    /// The same for opening.
    pub cipher_open_ns: f64,
}

/// Octets of the smallest packet that can be measured: an IPv4 and a UDP header.
pub const LEN_MIN: usize = 28;

/// Packets that come and go together, as from one read of a ring.
pub const BATCH: usize = 64;

const INTERFACE: &str = "bench";
const LINK_HEADER: usize = 14;

struct Nowhere;

impl Sink for Nowhere {
    fn transmit(&mut self, frame: &[u8]) {
        std::hint::black_box(frame);
    }
    fn deliver(&mut self, frame: &[u8]) {
        std::hint::black_box(frame);
    }
}

/// Measures packets of `len` octets (inner IPv4 packet, at least [`LEN_MIN`]) in `rounds` batches of
/// [`BATCH`] under a key drawn from `rng`. `clock` reads any clock that never goes back.
///
/// # Errors
/// When no SA can be made of this transform.
pub fn measure(
    transform: Transform,
    len: usize,
    rounds: usize,
    rng: &mut dyn Rng,
    mut clock: impl FnMut() -> Duration,
) -> Result<Cost, Refusal> {
    let mut control = member(transform, rng)?;
    let snapshot = control.snapshot();
    let (mut sender, mut receiver) = (Worker::new(0, rng), Worker::new(0, rng));
    let mut frames = frames(len.clamp(LEN_MIN, 9_000));
    let mut times = Times::default();
    for _ in 0..rounds.max(1) {
        // Each packet is opened where it was sealed, so that the next round finds it as it was.
        let begin = clock();
        sender.outbound(
            &snapshot,
            InterfaceId::FIRST,
            Time::ZERO,
            &mut frames,
            &mut Nowhere,
        );
        let sealed = clock();
        times.cipher(&snapshot, &mut frames, &mut clock);
        let begin_open = clock();
        receiver.inbound(
            &snapshot,
            InterfaceId::FIRST,
            Time::ZERO,
            &mut frames,
            &mut Nowhere,
        );
        times.open.push(clock().saturating_sub(begin_open));
        times.seal.push(sealed.saturating_sub(begin));
    }
    Ok(Cost {
        seal_ns: per_packet(times.seal),
        open_ns: per_packet(times.open),
        cipher_seal_ns: per_packet(times.cipher_seal),
        cipher_open_ns: per_packet(times.cipher_open),
    })
}

#[derive(Default)]
struct Times {
    seal: Vec<Duration>,
    open: Vec<Duration>,
    cipher_seal: Vec<Duration>,
    cipher_open: Vec<Duration>,
}

impl Times {
    /// Opens and seals again what was sealed, with the engine alone: the same octets come out.
    fn cipher(
        &mut self,
        snapshot: &Snapshot,
        frames: &mut [FrameBuf],
        clock: &mut impl FnMut() -> Duration,
    ) {
        let esp = LINK_HEADER + IPV4_HEADER;
        let job = |frame| Job {
            frame,
            sa: 0,
            esp,
            done: false,
        };
        let mut jobs: [Job; BATCH] = std::array::from_fn(job);
        let begin = clock();
        AwsLc.open_batch(&snapshot.sas, frames, &mut jobs);
        let opened = clock();
        AwsLc.seal_batch(&snapshot.sas, frames, &mut jobs);
        self.cipher_seal.push(clock().saturating_sub(opened));
        self.cipher_open.push(opened.saturating_sub(begin));
    }
}

fn per_packet(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    median.as_secs_f64() * 1e9 / BATCH as f64
}

/// A registered member whose policy encrypts everything.
fn member(transform: Transform, rng: &mut dyn Rng) -> Result<Control, Refusal> {
    let mut draw = |len| {
        let mut octets = vec![0; len];
        rng.fill(&mut octets);
        Secret::new(octets)
    };
    let key = TekKey {
        encryption: draw(transform.key_len()),
        integrity: draw(transform.integrity_key_len()),
    };
    let tek = Tek {
        spi: Spi(0x1000),
        transform,
        activation: PseudoTime::ZERO,
        expiry: PseudoTime::from_secs(3_600),
        generation: Generation::default(),
        ks_list_hash: [0; 8],
        minted_by: KsIndex::default(),
        orig_lifetime_s: 3_600,
    };
    let group = || GroupName::from(INTERFACE);
    let facts = InterfaceFacts {
        name: INTERFACE.into(),
        groups: vec![group()],
        mtu: u16::MAX,
    };
    let acl = Acl {
        name: INTERFACE.into(),
        entries: vec![Ace::PERMIT_IP_ANY_ANY],
    };
    let mut control = Control::new(1);
    for update in [
        Update::Attach(facts),
        Update::InstallPolicy {
            group: group(),
            acl: Arc::new(acl),
            tbar_window_s: None,
            activation: None,
        },
        Update::InstallSids {
            group: group(),
            size: GroupSize::Medium,
            sids: vec![Sid(1)],
        },
        Update::InstallSa {
            group: group(),
            tek: Box::new(tek),
            key,
        },
    ] {
        control.apply(Time::ZERO, update)?;
    }
    Ok(control)
}

/// A batch of UDP packets of some flows.
fn frames(len: usize) -> Vec<FrameBuf> {
    let frame = |host: u8| {
        let header = Ipv4Header::new(
            [192, 168, 20, host].into(),
            [192, 168, 21, host].into(),
            Protocol::UDP,
            0,
        );
        let packet = header.packet(&vec![host; len - IPV4_HEADER]);
        let link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        let mut frame = FrameBuf::with_capacity(LINK_HEADER + len);
        let fits = frame.load(&[&link[..], &packet].concat());
        debug_assert!(fits, "its room was made for it");
        frame
    };
    (0..BATCH).map(|place| frame(place as u8 % 8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;
    use policy::{Encryption, Integrity, KeyBits};

    #[test]
    fn every_packet_that_is_measured_is_sealed_and_opened() {
        let cbc = Transform::new(Encryption::AesCbc(KeyBits::B256), Integrity::HmacSha256);
        let gcm = Transform::new(Encryption::AesGcm(KeyBits::B128), Integrity::Combined);
        for transform in [cbc.unwrap(), gcm.unwrap()] {
            let mut rng = SeededRng::from_number(1);
            let mut control = member(transform, &mut rng).unwrap();
            let snapshot = control.snapshot();
            let mut worker = Worker::new(0, &mut rng);
            let mut batch = frames(200);
            let before: Vec<_> = batch.iter().map(|frame| frame.octets().to_vec()).collect();
            worker.outbound(
                &snapshot,
                InterfaceId::FIRST,
                Time::ZERO,
                &mut batch,
                &mut Nowhere,
            );
            let mut times = Times::default();
            let sealed: Vec<_> = batch.iter().map(|frame| frame.octets().to_vec()).collect();
            times.cipher(&snapshot, &mut batch, &mut Duration::default);
            assert!(
                batch
                    .iter()
                    .map(FrameBuf::octets)
                    .eq(sealed.iter().map(|s| &s[..]))
            );
            worker.inbound(
                &snapshot,
                InterfaceId::FIRST,
                Time::ZERO,
                &mut batch,
                &mut Nowhere,
            );
            assert!(
                batch
                    .iter()
                    .map(FrameBuf::octets)
                    .eq(before.iter().map(|s| &s[..]))
            );
            let totals = control.interface_totals(InterfaceId::FIRST);
            assert_eq!((totals.encaps_packets, totals.decaps_packets), (64, 64));
        }
    }

    #[test]
    fn the_median_is_that_of_the_clock_that_was_given() {
        let mut now = Duration::ZERO;
        let clock = || {
            now += Duration::from_nanos(6_400);
            now
        };
        let gcm = Transform::new(Encryption::AesGcm(KeyBits::B128), Integrity::Combined).unwrap();
        let mut rng = SeededRng::from_number(1);
        let cost = measure(gcm, 64, 3, &mut rng, clock).unwrap();
        assert!((cost.seal_ns - 100.0).abs() < 0.01 && (cost.open_ns - 100.0).abs() < 0.01);
    }
}

//! What must never happen, watched all the time: each invariant is one function with its name.
//!
//! Decides what a violation is from what can be seen outside of the boxes: datagrams, packets, log
//! lines, the key log and the views. It knows nothing of the machines' inner state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use crypto::hash::Hash;
use gdoi::machine::KeyLogLine;
use policy::{PseudoTime, Tek, Time};

use crate::node::NodeId;
use crate::outsider::{Leak, Outsiders};
use crate::tap::{Heard, Keys, Print, Spi, Tap, print};

/// Violations that are told of one world; the first ones say it all.
const TOLD_MAX: usize = 50;
/// PUSHes and processed rekeys that are remembered.
const REMEMBERED_MAX: usize = 16_384;
/// Rows of a state file beside one for each member.
const ROWS_MAX: usize = 64;
/// Phase-1 SAs of a box with one peer (`gdoi::limits`), those being negotiated included.
const SAS_PER_PEER_MAX: usize = gdoi::limits::SAS_PER_PEER_MAX + 4;

/// The watch over one world.
#[derive(Default)]
pub(crate) struct Watch {
    violations: Vec<String>,
    /// What an insider knows, which is what the watch reads rekeys with.
    pub(crate) tap: Tap,
    /// What removed members can read.
    pub(crate) outsiders: Outsiders,
    ivs: BTreeMap<u64, Ivs>,
    spis: BTreeMap<u32, (u64, PseudoTime)>,
    epoch: u32,
    pushes: BTreeMap<(Spi, u32), [u8; 32]>,
    pushes_order: VecDeque<(Spi, u32)>,
    last_push: (Vec<u8>, [u8; 32]),
    accepted: BTreeMap<(NodeId, Spi), u32>,
    /// What the last registration said to a member whose message 4 left.
    granted: BTreeMap<NodeId, (Spi, u32)>,
    processed: BTreeSet<(NodeId, u32)>,
    delivering: Option<Delivered>,
    /// Rekeys that were read on their way, for the figures of a run.
    pub(crate) rekeys_read: u64,
}

struct Ivs {
    seen: BTreeMap<[u8; 8], Time>,
    last: Time,
}

/// The PUSH that a box is just working on.
struct Delivered {
    spi: Spi,
    seq: Option<u32>,
    genuine: bool,
}

impl Watch {
    /// What happened that never must.
    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Something happened that never must.
    pub(crate) fn violate(&mut self, now: Time, invariant: &str, what: &str) {
        if self.violations.len() < TOLD_MAX {
            let millis = now.as_nanos() / 1_000_000;
            let (s, ms) = (millis / 1_000, millis % 1_000);
            self.violations
                .push(format!("{s}.{ms:03} {invariant}: {what}"));
        }
    }

    /// All keys begin anew: a key server lost everything it knew.
    pub(crate) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.spis.clear();
    }

    /// A process is gone, and with it what it had accepted.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.accepted.retain(|(own, _), _| *own != node);
        self.processed.retain(|(own, _)| *own != node);
    }

    // ------------------------------------------------------------ packets

    /// Nothing that the policy encrypts leaves in clear.
    pub(crate) fn nothing_leaves_in_clear(
        &mut self,
        now: Time,
        from: &str,
        (source, destination): (Ipv4Addr, Ipv4Addr),
    ) {
        let what = format!("{from}: a packet from {source} to {destination} left in clear");
        self.violate(now, "nothing in clear", &what);
    }

    /// Nothing that the policy encrypts is accepted in clear.
    pub(crate) fn nothing_is_accepted_in_clear(&mut self, now: Time, to: &str) {
        let what = format!("{to}: a packet that came in clear was delivered");
        self.violate(now, "nothing in clear", &what);
    }

    /// No IV comes twice under one key, whoever sends.
    pub(crate) fn no_iv_twice(&mut self, now: Time, from: &str, key: u64, spi: u32, iv: [u8; 8]) {
        let ivs = self.ivs.entry(key).or_insert_with(|| Ivs {
            seen: BTreeMap::new(),
            last: now,
        });
        ivs.last = now;
        if let Some(first) = ivs.seen.insert(iv, now) {
            let first = first.as_secs();
            let what = format!("{from}: IV {iv:02x?} under SPI 0x{spi:08X} as at {first} s");
            self.violate(now, "no nonce twice", &what);
        }
    }

    /// Forgets IVs of keys that nobody has used for longer than a key lives.
    pub(crate) fn forget_idle_keys(&mut self, now: Time, life: Duration) {
        self.ivs.retain(|_, ivs| now.since(ivs.last) <= life);
    }

    // ------------------------------------------------------------ keys

    /// A box told its key log a secret. Returns SPI and fingerprint of a traffic key.
    pub(crate) fn secret(
        &mut self,
        now: Time,
        (id, node): (NodeId, &str),
        line: KeyLogLine,
    ) -> Option<(u32, Print)> {
        match line {
            KeyLogLine::Isakmp {
                initiator_cookie,
                key,
            } => {
                self.tap.learn(initiator_cookie, key);
                None
            }
            KeyLogLine::Esp { tek, key } => {
                let print = print(key.encryption.expose(), key.integrity.expose());
                self.one_spi_one_key(now, node, &tek, print);
                let leak = self.outsiders.install(id, print);
                self.no_leak(now, leak);
                Some((tek.spi.0, print))
            }
        }
    }

    /// While a key lives no other key has its SPI.
    fn one_spi_one_key(&mut self, now: Time, node: &str, tek: &Tek, print: u64) {
        // A plain member got no record: its times are of a clock of its own.
        if tek.ks_list_hash == [0; 8] {
            return;
        }
        let before = self.spis.insert(tek.spi.0, (print, tek.expiry));
        if let Some((other, expiry)) = before
            && other != print
            && tek.activation < expiry
        {
            let spi = tek.spi.0;
            let what = format!("{node}: SPI 0x{spi:08X} has two keys");
            self.violate(now, "one SPI, one key", &what);
        }
    }

    // ------------------------------------------------------------ rekeys

    /// A datagram leaves a box.
    pub(crate) fn leaves(
        &mut self,
        now: Time,
        (id, name): (NodeId, &str),
        to: Option<NodeId>,
        datagram: &[u8],
    ) {
        if self.last_push.0 == datagram {
            return; // The same octets go to all members.
        }
        match self.tap.overhear(datagram) {
            Some(Heard::Grant { spi, seq, keys }) => {
                if let Some(to) = to {
                    self.granted.insert(to, (spi, seq));
                    let from = (id, name);
                    let leak = self.outsiders.grant(from, to, &keys, &self.tap, now);
                    self.no_leak(now, leak);
                }
                self.no_dead_key_is_handed_out(now, (id, name), &keys);
            }
            Some(Heard::Push { spi, read }) => {
                let leak = self.outsiders.push((id, name), datagram, &self.tap, now);
                self.no_leak(now, leak);
                if let Some((seq, keys)) = read {
                    self.sequence_is_used_once(now, name, (spi, seq), datagram);
                    self.no_dead_key_is_handed_out(now, (id, name), &keys);
                }
            }
            Some(Heard::Ack { spi, seq }) => {
                self.no_acknowledgement_without_processing(now, (id, name), (spi, seq));
            }
            None => {}
        }
    }

    /// What a removed member could read or use is told under the invariant's name.
    fn no_leak(&mut self, now: Time, leak: Option<Leak>) {
        if let Some(leak) = leak {
            self.violate(now, leak.invariant, &leak.what);
        }
    }

    fn no_dead_key_is_handed_out(&mut self, now: Time, from: (NodeId, &str), keys: &Keys) {
        let leak = self.outsiders.hand_out(from, keys, now);
        self.no_leak(now, leak);
    }

    /// A key server removed a member; the keys that it can read end at `end`.
    pub(crate) fn removed(&mut self, name: &str, member: NodeId, by: NodeId, end: Time) {
        self.outsiders.remove((member, name), by, end, &self.tap);
    }

    /// Nobody sends on what a removed member can read, once that has ended.
    pub(crate) fn no_removed_member_reads(&mut self, now: Time, from: &str, key: Print) {
        if let Some(reader) = self.outsiders.reads(key, now) {
            let what = format!("{from} sends on {key:016x}, which {reader} knows");
            self.violate(now, "no removed member reads", &what);
        }
    }

    /// Nobody takes packets of a removed member, once all that it knows has ended.
    pub(crate) fn no_removed_member_is_heard(
        &mut self,
        now: Time,
        (from, name): (NodeId, &str),
        to: &str,
        delay: Duration,
    ) {
        if self.outsiders.is_silenced(from, now, delay) {
            let what = format!("{to}: a packet of {name} was delivered");
            self.violate(now, "no removed member is heard", &what);
        }
    }

    /// A sequence number is used for one content, by whichever key server and life.
    fn sequence_is_used_once(
        &mut self,
        now: Time,
        from: &str,
        (spi, seq): (Spi, u32),
        datagram: &[u8],
    ) {
        let digest = self.digest(datagram);
        if self.pushes.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.pushes_order.pop_front()
        {
            self.pushes.remove(&oldest);
        }
        match self.pushes.insert((spi, seq), digest) {
            None => {
                self.rekeys_read += 1;
                self.pushes_order.push_back((spi, seq));
            }
            Some(before) if before != digest => {
                let what = format!("{from}: number {seq} under {} twice", hex(&spi));
                self.violate(now, "a sequence number says one thing", &what);
            }
            Some(_) => {}
        }
    }

    /// The same octets go to all members, so most digests are the last one again.
    fn digest(&mut self, datagram: &[u8]) -> [u8; 32] {
        if self.last_push.0 != datagram {
            let digest = Hash::Sha256.digest(&[datagram]);
            let digest = digest.as_ref().first_chunk().copied().unwrap_or_default();
            self.last_push = (datagram.to_vec(), digest);
        }
        self.last_push.1
    }

    /// A datagram arrives at a box, which works on it until `worked`.
    pub(crate) fn arrives(&mut self, datagram: &[u8]) {
        // Read without the tap, so that what was forged teaches it nothing.
        let Ok((header, _)) = wire::isakmp::Header::split(datagram) else {
            return;
        };
        if header.exchange_type != wire::iana::ExchangeType::GROUPKEY_PUSH {
            return;
        }
        let spi = header.cookies();
        let digest = self.digest(datagram);
        let known = self
            .pushes
            .range((spi, 0)..=(spi, u32::MAX))
            .find(|(_, own)| **own == digest);
        self.delivering = Some(Delivered {
            spi,
            seq: known.map(|((_, seq), _)| *seq),
            genuine: known.is_some(),
        });
    }

    /// The box has done with the datagram.
    pub(crate) fn worked(&mut self) {
        self.delivering = None;
    }

    /// A member says that it took a rekey.
    pub(crate) fn rekeyed(&mut self, now: Time, (id, name): (NodeId, &str), seq: u32) {
        if self.processed.len() >= REMEMBERED_MAX {
            self.processed.clear();
        }
        self.processed.insert((id, seq));
        let Some(mut delivered) = self.delivering.take() else {
            return;
        };
        let spi = delivered.spi;
        let readable = self.pushes.range((spi, 0)..=(spi, u32::MAX)).next();
        if readable.is_some() && !delivered.genuine {
            self.no_forged_rekey_is_accepted(now, name, seq);
        } else if delivered.seq.take_if(|own| *own == seq).is_some() {
            // One that it kept until now may follow, under the Rekey SA that this one brought.
            self.sequence_never_goes_back(now, (id, name), delivered.spi, seq);
        }
        self.delivering = Some(delivered);
    }

    /// A member registered: what its key server said of the counter counts as taken. Of several
    /// that do not hear each other the one where it registers now may not know how far another one
    /// has counted under the same Rekey SA; its word counts, under a phase-1 SA of its own.
    pub(crate) fn registered(&mut self, id: NodeId, one_server: bool) {
        if let Some((spi, seq)) = self.granted.remove(&id) {
            let last = self.accepted.entry((id, spi)).or_default();
            *last = if one_server { seq.max(*last) } else { seq };
        }
    }

    fn no_forged_rekey_is_accepted(&mut self, now: Time, name: &str, seq: u32) {
        let what = format!("{name}: took a rekey with number {seq} that no key server sent");
        self.violate(now, "no forged rekey is accepted", &what);
    }

    fn sequence_never_goes_back(
        &mut self,
        now: Time,
        (id, name): (NodeId, &str),
        spi: Spi,
        seq: u32,
    ) {
        if let Some(last) = self.accepted.insert((id, spi), seq)
            && last >= seq
        {
            let what = format!("{name}: took number {seq} after {last} under {}", hex(&spi));
            self.violate(now, "a member's sequence number never goes back", &what);
        }
    }

    /// What is acknowledged was processed by that member, in this life.
    fn no_acknowledgement_without_processing(
        &mut self,
        now: Time,
        (id, name): (NodeId, &str),
        (spi, seq): (Spi, u32),
    ) {
        if !self.processed.contains(&(id, seq)) {
            let what = format!("{name}: acknowledged {seq} under {} unseen", hex(&spi));
            self.violate(now, "no acknowledgement without processing", &what);
        }
    }

    // ------------------------------------------------------------ boxes

    /// A deadline that has passed moves on once the box was called.
    pub(crate) fn deadlines_move(&mut self, now: Time, name: &str, deadline: Option<Time>) {
        let what = format!("{name}: its deadline {deadline:?} does not move");
        self.violate(now, "deadlines move", &what);
    }

    /// What a box keeps is bounded by the number of its peers.
    pub(crate) fn memory_is_bounded(&mut self, now: Time, name: &str, held: &Held) {
        let limits = [
            ("rows on disk", held.rows, ROWS_MAX + 2 * held.peers),
            (
                "phase-1 SAs",
                held.phase1,
                SAS_PER_PEER_MAX * held.peers.max(1),
            ),
            ("traffic keys", held.teks, gdoi::limits::TEKS_HELD_MAX),
            ("members", held.members, held.peers),
        ];
        for (what, count, most) in limits {
            if count > most {
                let what = format!("{name}: {count} {what}, at most {most} are needed");
                self.violate(now, "memory is bounded", &what);
            }
        }
    }

    /// Two members within the promise read the group's clock within half the window of each other.
    pub(crate) fn pseudotime_agrees(
        &mut self,
        now: Time,
        readings: &[(String, PseudoTime)],
        window: Duration,
    ) {
        let slowest = readings.iter().min_by_key(|(_, reading)| *reading);
        let fastest = readings.iter().max_by_key(|(_, reading)| *reading);
        if let (Some((slow, a)), Some((fast, b))) = (slowest, fastest)
            && b.since(*a) > window / 2
        {
            let what = format!("{slow} reads {a}, {fast} reads {b}, window {window:?}");
            self.violate(now, "pseudotime agrees", &what);
        }
    }
}

/// How much a box keeps.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Held {
    /// Boxes that it has to do with.
    pub(crate) peers: usize,
    /// Rows on disk.
    pub(crate) rows: usize,
    /// Phase-1 SAs.
    pub(crate) phase1: usize,
    /// Traffic keys.
    pub(crate) teks: usize,
    /// Members that it serves.
    pub(crate) members: usize,
}

fn hex(spi: &Spi) -> String {
    spi.iter()
        .take(4)
        .map(|octet| format!("{octet:02X}"))
        .collect()
}

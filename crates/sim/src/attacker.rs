//! Somebody on the path, and somebody inside: what they do to datagrams and packets.
//!
//! On the path: alters vendor ids, replays, truncates, injects in clear. Inside: holds a member's
//! KEK and forges with it (`tap`). Whatever they send comes beside what the boxes send, but for
//! vendor ids, which are altered in place.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crypto::{Rng, SeededRng};
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header};

use crate::carry::{Datagram, frame};
use crate::link::below;
use crate::node::NodeId;
use crate::probe::{CLEAR_FLOW, packet};
use crate::world::{Happening, VirtualWorld};

/// Datagrams and frames that are kept to be replayed.
const RECORDED_MAX: usize = 400;
/// Attacks come spread over so long.
const SPREAD_MS: u64 = 2_000;

/// What is sent beside the boxes' own messages.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Old datagrams and packets, as they were.
    Replay,
    /// Old datagrams, cut short or with a bit turned.
    Mangle,
    /// Packets of one LAN to another, in clear.
    Clear,
    /// Rekeys that an insider made.
    ForgedRekey,
    /// Acknowledgements that an insider made in others' names.
    ForgedAck,
    /// Parts and other exchanges under cookies that were seen.
    ForgedParts,
    /// ESP under SPIs that nobody holds, or with octets turned.
    ForgedEsp,
}

impl Attack {
    /// Every attack.
    pub(crate) const ALL: [Self; 7] = [
        Self::Replay,
        Self::Mangle,
        Self::Clear,
        Self::ForgedRekey,
        Self::ForgedAck,
        Self::ForgedParts,
        Self::ForgedEsp,
    ];
}

/// What the attacker saw and does.
#[derive(Default)]
pub(crate) struct Attacker {
    alters: BTreeSet<(NodeId, NodeId)>,
    datagrams: VecDeque<Datagram>,
    frames: VecDeque<(NodeId, Vec<u8>)>,
    records: bool,
}

impl Attacker {
    /// Begins to keep what it sees.
    pub(crate) const fn watch(&mut self) {
        self.records = true;
    }

    /// Alters vendor ids on this way, or no longer on any.
    pub(crate) fn alter(&mut self, way: Option<(NodeId, NodeId)>) {
        match way {
            Some(way) => drop(self.alters.insert(way)),
            None => self.alters.clear(),
        }
    }

    /// Whether it alters vendor ids between two boxes.
    pub(crate) fn is_between(&self, a: NodeId, b: NodeId) -> bool {
        self.alters.contains(&(a, b)) || self.alters.contains(&(b, a))
    }

    /// A datagram passes.
    pub(crate) fn record(&mut self, datagram: &Datagram) {
        if self.records {
            if self.datagrams.len() == RECORDED_MAX {
                self.datagrams.pop_front();
            }
            self.datagrams.push_back(datagram.clone());
        }
    }

    /// A frame passes.
    pub(crate) fn record_frame(&mut self, to: NodeId, frame: &[u8]) {
        if self.records {
            if self.frames.len() == RECORDED_MAX {
                self.frames.pop_front();
            }
            self.frames.push_back((to, frame.to_vec()));
        }
    }

    /// What a message of phase 1 in clear becomes: a vendor id less, altered, or more.
    pub(crate) fn tamper(
        &self,
        way: (NodeId, NodeId),
        bytes: &[u8],
        rng: &mut dyn Rng,
    ) -> Option<Vec<u8>> {
        if !self.alters.contains(&way) {
            return None;
        }
        let (header, body) = Header::split(bytes).ok()?;
        if header.exchange_type != ExchangeType::IDENTITY_PROTECTION
            || header.flags.contains(Flags::ENCRYPTION)
        {
            return None;
        }
        let chain = Chain::decode(header.next_payload, body).ok()?;
        let how = below(3, rng);
        let mut builder = Builder::new();
        let mut touched = false;
        for payload in &chain.payloads {
            let is_vendor = payload.ty == PayloadType::VENDOR_ID;
            let mut body = payload.body.to_vec();
            if is_vendor && how == 0 {
                touched = true;
                continue;
            }
            if is_vendor
                && how == 1
                && let Some(first) = body.first_mut()
            {
                *first ^= 0x80;
                touched = true;
            }
            builder.push_raw(payload.ty, &body);
        }
        if how == 2 && chain.find(PayloadType::VENDOR_ID).is_some() {
            builder.push_raw(PayloadType::VENDOR_ID, &[0x5A; 16]);
            touched = true;
        }
        touched
            .then(|| builder.finish().ok())
            .flatten()
            .map(|built| built.into_message(header))
    }
}

impl VirtualWorld {
    /// Makes some attempts of one kind, spread over a moment.
    pub(crate) fn attack(&mut self, attack: Attack, count: u64, dice: &mut SeededRng) {
        self.note(|_| format!("attack: {attack:?}"));
        for _ in 0..count {
            let span = Duration::from_millis(below(SPREAD_MS, dice));
            if let Some(happening) = self.attempt(attack, dice) {
                self.later(span, happening);
            }
        }
    }

    fn attempt(&mut self, attack: Attack, dice: &mut SeededRng) -> Option<Happening> {
        match attack {
            Attack::Replay if below(2, dice) == 0 => {
                let (to, frame) = any(&self.attacker.frames, dice)?.clone();
                Some(Happening::Frame { to, frame })
            }
            Attack::Replay => {
                let datagram = any(&self.attacker.datagrams, dice)?.clone();
                Some(Happening::Datagram(datagram))
            }
            Attack::Mangle => {
                let mut datagram = any(&self.attacker.datagrams, dice)?.clone();
                mangle(&mut datagram.bytes, dice);
                Some(Happening::Datagram(datagram))
            }
            Attack::Clear => {
                let (from, to) = self.two_members(dice)?;
                let (source, target) = (self.host_behind(from)?, self.host_behind(to)?);
                let frame = frame(&packet(CLEAR_FLOW, 0, source, target));
                Some(Happening::Frame { to, frame })
            }
            Attack::ForgedRekey => {
                let mut datagram = self.to_member(dice)?;
                let ahead = 1 + u32::try_from(below(3, dice)).unwrap_or(0) * 1_000;
                datagram.bytes = self.watch.tap.forge_push(ahead, dice)?;
                Some(Happening::Datagram(datagram))
            }
            Attack::ForgedAck => {
                let datagram = self.to_member(dice)?;
                let (member, server) = (datagram.local, datagram.peer);
                let bytes = self.watch.tap.forge_ack(member)?;
                let forged = Datagram {
                    to: *self.addresses.get(&server)?,
                    local: server,
                    peer: member,
                    bytes,
                };
                Some(Happening::Datagram(forged))
            }
            Attack::ForgedParts => {
                let mut datagram = any(&self.attacker.datagrams, dice)?.clone();
                let kind = 239 + u8::try_from(below(5, dice)).unwrap_or(0);
                *datagram.bytes.get_mut(18)? = kind;
                if below(2, dice) == 0 {
                    mangle(&mut datagram.bytes, dice);
                }
                Some(Happening::Datagram(datagram))
            }
            Attack::ForgedEsp => {
                let (to, mut frame) = any(&self.attacker.frames, dice)?.clone();
                // Ethernet and IPv4 headers come before the SPI.
                let first = 34 + usize::try_from(below(12, dice)).unwrap_or(0);
                *frame.get_mut(first)? ^= 1 << below(8, dice);
                Some(Happening::Frame { to, frame })
            }
        }
    }

    /// An old datagram from a key server to a member, to be filled with something else.
    fn to_member(&self, dice: &mut SeededRng) -> Option<Datagram> {
        let (from, to) = self.two_members(dice)?;
        let of = |node: NodeId| self.nodes[node].addresses().collect::<Vec<_>>();
        let own = of(to);
        let sent = self.attacker.datagrams.iter().rev();
        let mut found = sent
            .filter(|old| own.contains(&old.local) && !of(from).contains(&old.peer))
            .cloned();
        found.next()
    }

    /// Two boxes that have a LAN.
    pub(crate) fn two_members(&self, dice: &mut SeededRng) -> Option<(NodeId, NodeId)> {
        let count = self.lans.len() as u64;
        if count < 2 {
            return None;
        }
        let a = below(count, dice);
        let b = (a + 1 + below(count - 1, dice)) % count;
        let member = |place: u64| self.lans.get(usize::try_from(place).ok()?).map(|lan| lan.2);
        Some((member(a)?, member(b)?))
    }
}

fn any<'a, T>(kept: &'a VecDeque<T>, dice: &mut SeededRng) -> Option<&'a T> {
    let count = kept.len() as u64;
    if count == 0 {
        return None;
    }
    kept.get(usize::try_from(below(count, dice)).ok()?)
}

/// Cuts octets off the end, or turns one.
fn mangle(bytes: &mut Vec<u8>, dice: &mut SeededRng) {
    let place = usize::try_from(below(bytes.len().max(1) as u64, dice)).unwrap_or(0);
    if below(2, dice) == 0 {
        bytes.truncate(place);
    } else if let Some(octet) = bytes.get_mut(place) {
        *octet ^= 1 << below(8, dice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide;
    use crate::scenario::World as _;

    /// The alteration is met at the first registration, which it spoils, and ends a minute later.
    fn comes_back(way: (&str, &str)) {
        let mut world = guide::world(11, &crate::link::Link::default()).unwrap();
        guide::boot(&mut world).unwrap();
        // The other key server would register it.
        world.kill("ks2").unwrap();
        world.run_until(world.now() + Duration::from_secs(30));
        let way = (world.id(way.0).unwrap(), world.id(way.1).unwrap());
        world.attacker.alter(Some(way));
        world.kill("gm1").unwrap();
        world.start("gm1").unwrap();
        world.run_until(world.now() + Duration::from_secs(60));
        let registered = |world: &mut VirtualWorld| {
            let shown = world.exec("gm1", "show crypto gdoi | include Registration status");
            shown.is_ok_and(|text| text.contains(": Registered"))
        };
        let downgrade = |world: &VirtualWorld| {
            let logs = ["gm1", "ks1"].map(|name| &world.node(name).unwrap().log);
            let mut lines = logs.into_iter().flatten();
            lines.any(|(_, line)| line.contains("GDOI_DOWNGRADE"))
        };
        assert!(!registered(&mut world) && downgrade(&world));
        world.attacker.alter(None);
        world.run_until(world.now() + Duration::from_secs(150));
        assert!(registered(&mut world));
    }

    #[test]
    fn a_member_whose_vendor_ids_were_altered_registers_once_they_are_not() {
        comes_back(("gm1", "ks1"));
    }

    #[test]
    fn a_member_whose_key_servers_vendor_ids_were_altered_registers_once_they_are_not() {
        comes_back(("ks1", "gm1"));
    }
}

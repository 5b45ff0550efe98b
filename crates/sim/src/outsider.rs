//! Removed members: what each can still read off the wire, and whether the group gives it away.
//!
//! A removed member keeps everything that it was ever given and records all that passes (PROTOCOL
//! P16). It opens what its Rekey SAs open, and nothing else. Which key servers have heard of its
//! removal is not asked of them: word goes from one to another wherever messages pass in both
//! directions for long enough.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use policy::Time;

use crate::node::NodeId;
use crate::tap::{KekSecret, Keys, Print, Spi, Tap};

/// Two key servers that hear each other for so long know the same removals.
const WORD: Duration = Duration::from_secs(45);
/// Keys of one member that are remembered; a day does not need so many.
const GIVEN_MAX: usize = 65_536;

/// The invariant of all of this.
const LEARNS: &str = "a removed member learns no key";

/// One removed member.
struct Outsider {
    member: NodeId,
    name: String,
    keks: BTreeMap<Spi, KekSecret>,
    /// The traffic keys that it knows, and from when on nobody sends on them.
    teks: BTreeMap<Print, Time>,
    /// Key servers that know of the removal.
    told: BTreeSet<NodeId>,
    /// Others that hear one of those, since when.
    hear: BTreeMap<NodeId, Time>,
    /// Since when all know it.
    sealed: Option<Time>,
}

/// A fault of the group that a removed member profits from.
pub(crate) struct Leak {
    /// The invariant.
    pub(crate) invariant: &'static str,
    /// What happened.
    pub(crate) what: String,
}

/// All removed members, and what everybody was given.
#[derive(Default)]
pub(crate) struct Outsiders {
    given: BTreeMap<NodeId, Keys>,
    removed: Vec<Outsider>,
    /// PUSHes that removed members tried to open, for the figures of a run.
    pub(crate) tried: u64,
}

impl Outsiders {
    /// A member is given keys by its own registration.
    pub(crate) fn give(&mut self, member: NodeId, keys: &Keys) {
        let given = self.given.entry(member).or_default();
        if given.teks.len() + given.keks.len() >= GIVEN_MAX {
            *given = Keys::default();
        }
        given.keks.extend(&keys.keks);
        given.teks.extend(&keys.teks);
    }

    /// A key server removed a member: what that knows ends at `end`.
    pub(crate) fn remove(
        &mut self,
        (member, name): (NodeId, &str),
        by: NodeId,
        end: Time,
        tap: &Tap,
    ) {
        let given = self.given.get(&member).cloned().unwrap_or_default();
        let (keks, teks) = tap.opened_by(&given);
        self.removed.push(Outsider {
            member,
            name: name.to_owned(),
            keks,
            teks: teks.into_iter().map(|tek| (tek, end)).collect(),
            told: BTreeSet::from([by]),
            hear: BTreeMap::new(),
            sealed: None,
        });
    }

    /// A member may register again.
    pub(crate) fn readmit(&mut self, member: NodeId) {
        self.removed.retain(|own| own.member != member);
    }

    /// No key server remembers who was removed.
    pub(crate) fn forget(&mut self) -> Vec<NodeId> {
        let removed = std::mem::take(&mut self.removed);
        removed.into_iter().map(|own| own.member).collect()
    }

    /// Whether nobody is removed.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty()
    }

    /// Whether a member is removed.
    pub(crate) fn contains(&self, member: NodeId) -> bool {
        self.removed.iter().any(|own| own.member == member)
    }

    /// Whom the operators removed.
    pub(crate) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.removed.iter().map(|own| own.member)
    }

    /// Removed members that a key server must know of.
    pub(crate) fn known_to(&self, server: NodeId) -> impl Iterator<Item = NodeId> {
        let known = self
            .removed
            .iter()
            .filter(move |own| own.told.contains(&server));
        known.map(|own| own.member)
    }

    /// Time passes among the key servers that run. Keys that a removed member got from one that had
    /// not heard of its removal end `recovery` after the last one has.
    pub(crate) fn word_spreads(
        &mut self,
        now: Time,
        running: &[NodeId],
        all: usize,
        joined: impl Fn(NodeId, NodeId) -> bool,
        recovery: Duration,
    ) {
        for own in self.removed.iter_mut().filter(|own| own.sealed.is_none()) {
            for server in running.iter().filter(|id| !own.told.contains(id)) {
                let knows = |id: &&NodeId| own.told.contains(id) && joined(**id, *server);
                if running.iter().any(|id| knows(&id)) {
                    own.hear.entry(*server).or_insert(now);
                } else {
                    own.hear.remove(server);
                }
            }
            own.hear.retain(|server, since| {
                let heard = now.since(*since) >= WORD;
                if heard {
                    own.told.insert(*server);
                }
                !heard && running.contains(server)
            });
            if own.told.len() == all {
                own.sealed = Some(now);
                let late = own.teks.values_mut().filter(|end| **end == Time::MAX);
                late.for_each(|end| *end = now + recovery);
            }
        }
    }

    /// A PUSH leaves a key server: every removed member tries every Rekey SA on it.
    pub(crate) fn push(
        &mut self,
        from: (NodeId, &str),
        datagram: &[u8],
        tap: &Tap,
        now: Time,
    ) -> Option<Leak> {
        let mut leak = None;
        for own in &mut self.removed {
            self.tried += 1;
            let keks = own.keks.values();
            let opened: Vec<Keys> = keks.filter_map(|kek| kek.open(datagram)).collect();
            for keys in opened {
                let found = own.learn(from, &keys, tap, now);
                leak = leak.or(found);
            }
        }
        leak
    }

    /// A registration gives keys to a member.
    pub(crate) fn grant(
        &mut self,
        from: (NodeId, &str),
        to: NodeId,
        keys: &Keys,
        tap: &Tap,
        now: Time,
    ) -> Option<Leak> {
        self.give(to, keys);
        let own = self.removed.iter_mut().find(|own| own.member == to)?;
        own.learn(from, keys, tap, now)
    }

    /// A member takes a traffic key into use.
    pub(crate) fn install(&self, member: NodeId, key: Print) -> Option<Leak> {
        let own = self.removed.iter().find(|own| own.member == member)?;
        let new = own.sealed.is_some() && !own.teks.contains_key(&key);
        new.then(|| Leak {
            invariant: LEARNS,
            what: format!("{} installs the traffic key {key:016x}", own.name),
        })
    }

    /// Keys leave a key server, for whomever.
    pub(crate) fn hand_out(
        &self,
        (server, name): (NodeId, &str),
        keys: &Keys,
        now: Time,
    ) -> Option<Leak> {
        self.removed.iter().find_map(|own| {
            let dead = |tek: &&Print| own.teks.get(*tek).is_some_and(|end| *end < now);
            let dead = keys.teks.iter().find(dead)?;
            own.told.contains(&server).then(|| Leak {
                invariant: "no dead key is handed out",
                what: format!("{name} hands out {dead:016x}, which {} knows", own.name),
            })
        })
    }

    /// The removed member that knows a key on which nobody may send any more.
    pub(crate) fn reads(&self, key: Print, now: Time) -> Option<&str> {
        let mut readers = self.removed.iter();
        let reader = readers.find(|own| own.teks.get(&key).is_some_and(|end| *end < now));
        reader.map(|own| own.name.as_str())
    }

    /// Whether nobody may believe packets of a member: it is removed, and every key that it knows
    /// ended `delay` ago.
    pub(crate) fn is_silenced(&self, member: NodeId, now: Time, delay: Duration) -> bool {
        let own = self.removed.iter().find(|own| own.member == member);
        own.is_some_and(|own| {
            own.teks
                .values()
                .all(|end| *end < now && now.since(*end) > delay)
        })
    }
}

impl Outsider {
    /// It can read these keys, and whatever has come under them. From a key server that knows of the
    /// removal it must learn none.
    fn learn(
        &mut self,
        (server, name): (NodeId, &str),
        keys: &Keys,
        tap: &Tap,
        now: Time,
    ) -> Option<Leak> {
        let (keks, teks) = tap.opened_by(keys);
        let new_kek = keks.keys().any(|kek| !self.keks.contains_key(kek));
        let new_tek = teks.iter().find(|tek| !self.teks.contains_key(*tek));
        let what = match (new_kek, new_tek) {
            (false, None) => return None,
            (true, _) => "a Rekey SA".to_owned(),
            (false, Some(tek)) => format!("the traffic key {tek:016x}"),
        };
        let end = if self.sealed.is_some() {
            now
        } else {
            Time::MAX
        };
        for tek in teks {
            self.teks.entry(tek).or_insert(end);
        }
        self.keks.extend(keks);
        self.told.contains(&server).then(|| Leak {
            invariant: LEARNS,
            what: format!("{} learns {what} from {name}", self.name),
        })
    }
}

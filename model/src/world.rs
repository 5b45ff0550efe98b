//! The world around the machines: links, disks, time, and what goes wrong with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gdoi::model::{self, Decoded, Disk, Effect, Member, Role, Server, Spoken};
use policy::{KekSpi, KsIndex, Time};

use crate::bounds::{Bounds, LATE, ORDER_SPREADS, SETTLED};

mod judge;

/// What must never be seen. Each is a bit of [`World::broken`].
pub const BROKEN: [&str; 7] = [
    "one primary in each connected part after it settles",
    "no sequence number twice under one Rekey SA for different contents",
    "no sequence number goes back at a member",
    "no packet between two members is lost",
    "no dead key is handed out",
    "what is acknowledged was processed",
    "one generation in each connected part after it settles",
];

/// What must be seen somewhere. Each is a bit of [`World::seen`].
pub const SEEN: [&str; 5] = [
    "keys of two sides are merged",
    "another key server takes over",
    "a rekey under a new primary is taken",
    "a key server comes back from its disk",
    "two lead at a time, and one steps down",
];

/// Of [`SEEN`], what only those see that let key servers stop.
pub const COMES_BACK: usize = 3;

/// What is on its way.
#[derive(Clone)]
enum Packet {
    Spoken(u8, Arc<Spoken>),
    Datagram(Ipv4Addr, Ipv4Addr, Arc<[u8]>),
}

/// A link that does not work, since when.
type Cut = (u8, u8, Time);

/// What can happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The oldest message arrives; without one, time goes on to the next deadline.
    Run,
    /// The link between two key servers fails.
    Cut(u8, u8),
    /// It comes back.
    Heal(u8, u8),
    /// The link between a key server and a member fails.
    CutMember(u8, u8),
    /// It comes back.
    HealMember(u8, u8),
    /// A key server stops at once.
    Crash(u8),
    /// A key server stops after its next write, before anything that follows it.
    DieWriting(u8),
    /// A key server starts with what is on its disk.
    Restart(u8),
    /// The oldest message is lost.
    Lose,
    /// The second message overtakes the first.
    Overtake,
    /// Time goes on while messages are on their way.
    Delay,
    /// An operator orders a rekey at a key server.
    Order(u8),
    /// An operator lets every member register again, under new keys.
    Clear(u8),
    /// A member starts anew, with nothing.
    RestartMember(u8),
}

/// How often each fault may still happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
struct Left {
    faults: u8,
    cuts: u8,
    member_cuts: u8,
    crashes: u8,
    losses: u8,
    overtakings: u8,
    delays: u8,
    orders: u8,
    clears: u8,
    restarts: u8,
}

/// All boxes and everything between them.
#[derive(Clone)]
pub struct World {
    bounds: Arc<Bounds>,
    now: Time,
    servers: Vec<Option<Arc<Server>>>,
    runs: Vec<u8>,
    down_since: Vec<Time>,
    doomed: Vec<bool>,
    disks: Vec<Arc<Disk>>,
    members: Vec<Arc<Member>>,
    net: VecDeque<Packet>,
    cuts: Vec<Cut>,
    member_cuts: Vec<Cut>,
    /// The phase-1 SA of each pair of key servers, by both places; 0 for none.
    sas: BTreeMap<(u8, u8), u64>,
    next_sa: u64,
    left: Left,
    calm_since: Time,
    ordered: Option<Time>,
    last_primary: u8,
    changed_primary: bool,
    used: Arc<BTreeMap<(KekSpi, u32), u64>>,
    used_hash: u64,
    took: Vec<Arc<BTreeSet<(KekSpi, u32)>>>,
    /// Bits of [`BROKEN`].
    pub broken: u8,
    /// Bits of [`SEEN`].
    pub seen: u8,
}

impl World {
    /// A group after its quiet beginning.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let now = Time::from_secs(1);
        let servers = usize::from(bounds.servers);
        let members = (0..usize::from(bounds.members))
            .map(|place| Arc::new(Member::new(now, bounds.member_config(place))))
            .collect::<Vec<_>>();
        let mut world = Self {
            now,
            servers: vec![None; servers],
            runs: vec![0; servers],
            down_since: vec![now; servers],
            doomed: vec![false; servers],
            disks: vec![Arc::default(); servers],
            took: vec![Arc::default(); members.len()],
            members,
            net: VecDeque::new(),
            cuts: Vec::new(),
            member_cuts: Vec::new(),
            sas: BTreeMap::new(),
            next_sa: 1,
            left: Left {
                faults: bounds.faults,
                cuts: bounds.cuts,
                member_cuts: bounds.member_cuts,
                crashes: bounds.crashes,
                losses: bounds.losses,
                overtakings: bounds.overtakings,
                delays: bounds.delays,
                orders: bounds.orders,
                clears: bounds.clears,
                restarts: bounds.restarts,
            },
            calm_since: now,
            ordered: None,
            last_primary: 0,
            changed_primary: false,
            used: Arc::default(),
            used_hash: 0,
            broken: 0,
            seen: 0,
            bounds: Arc::new(bounds.clone()),
        };
        for place in 0..bounds.servers {
            world.start(place);
        }
        while world.now < Time::ZERO + bounds.quiet || !world.net.is_empty() {
            world.run();
        }
        assert!(
            world.members.iter().all(|member| member.is_registered()),
            "the quiet time is too short: {world:?}"
        );
        (world.broken, world.seen) = (0, 0);
        world
    }

    // ---------------------------------------------------------------- what can happen next

    /// What can happen.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        if self.now >= self.bounds.end() || self.broken != 0 {
            return;
        }
        if let Some(due) = self.must_return() {
            return actions.push(due);
        }
        actions.push(Action::Run);
        self.returns(actions);
        if self.left.faults == 0 {
            return;
        }
        if self.left.restarts > 0 && self.is_calm() {
            actions.extend((0..self.bounds.members).map(Action::RestartMember));
        }
        if self.now >= self.bounds.faults_until() {
            return;
        }
        self.link_faults(actions);
        let up = |place: &u8| self.servers[usize::from(*place)].is_some();
        for place in (0..self.bounds.servers).filter(up) {
            if self.left.crashes > 0 {
                actions.push(Action::Crash(place));
                if !self.doomed[usize::from(place)] {
                    actions.push(Action::DieWriting(place));
                }
            }
            let parted = self.bounds.sided && !self.cuts.is_empty();
            let all_hear = self.member_cuts.is_empty() && !parted;
            if self.left.orders > 0 && all_hear && self.role(place) == Some(Role::Primary) {
                actions.push(Action::Order(place));
            }
            if self.left.clears > 0 && self.role(place) == Some(Role::Primary) {
                actions.push(Action::Clear(place));
            }
        }
        if self.left.losses > 0 && !self.net.is_empty() {
            actions.push(Action::Lose);
        }
        if self.left.overtakings > 0 && self.net.len() > 1 {
            actions.push(Action::Overtake);
        }
        if self.left.delays > 0 && !self.net.is_empty() {
            actions.push(Action::Delay);
        }
    }

    /// Nothing is cut, somebody leads, and what was ordered is with everybody: a member that starts
    /// anew then must understand all others.
    fn is_calm(&self) -> bool {
        let linked = self.cuts.is_empty() && self.member_cuts.is_empty();
        linked && self.leaders() == 1 && self.now.since(self.calm_since) >= ORDER_SPREADS
    }

    fn link_faults(&self, actions: &mut Vec<Action>) {
        let servers = self.bounds.servers;
        // Whoever is not reached by an ordered rekey while that is on its way cannot know it.
        let spreads = self
            .ordered
            .is_some_and(|at| self.now.since(at) < ORDER_SPREADS);
        if self.left.cuts > 0 && !(self.bounds.sided && spreads) {
            for a in 0..servers {
                for b in (a + 1)..servers {
                    if !self.is_cut(a, b) {
                        actions.push(Action::Cut(a, b));
                    }
                }
            }
        }
        if self.left.member_cuts > 0 && !spreads {
            for server in 0..servers {
                for member in 0..self.bounds.members {
                    // Nobody promises packets to a member that no key server reaches.
                    let mut others = (0..servers).filter(|other| *other != server);
                    let reached = others.any(|other| !self.is_member_cut(other, member));
                    if reached && !self.is_member_cut(server, member) {
                        actions.push(Action::CutMember(server, member));
                    }
                }
            }
        }
    }

    /// What is broken can be repaired at any time ...
    fn returns(&self, actions: &mut Vec<Action>) {
        actions.extend(self.cuts.iter().map(|(a, b, _)| Action::Heal(*a, *b)));
        let members = self.member_cuts.iter();
        actions.extend(members.map(|(a, b, _)| Action::HealMember(*a, *b)));
        for place in 0..self.bounds.servers {
            if self.servers[usize::from(place)].is_none() {
                actions.push(Action::Restart(place));
            }
        }
    }

    /// ... and at the end of its longest time it is.
    fn must_return(&self) -> Option<Action> {
        let over = |since: Time, longest: Duration| self.now.since(since) >= longest;
        let cut = self
            .cuts
            .iter()
            .find(|(_, _, at)| over(*at, self.bounds.longest));
        if let Some((a, b, _)) = cut {
            return Some(Action::Heal(*a, *b));
        }
        let longest = self.bounds.longest_member;
        let cut = self
            .member_cuts
            .iter()
            .find(|(_, _, at)| over(*at, longest));
        if let Some((a, b, _)) = cut {
            return Some(Action::HealMember(*a, *b));
        }
        (0..self.bounds.servers).find_map(|place| {
            let at = usize::from(place);
            let down = self.servers[at].is_none();
            (down && over(self.down_since[at], self.bounds.longest))
                .then_some(Action::Restart(place))
        })
    }

    /// It happens.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Run => return self.run(),
            Action::Heal(a, b) => self.cuts.retain(|(x, y, _)| (*x, *y) != (a, b)),
            Action::HealMember(a, b) => self.member_cuts.retain(|(x, y, _)| (*x, *y) != (a, b)),
            Action::Restart(place) => self.start(place),
            Action::Cut(a, b) => {
                self.left.cuts -= 1;
                self.cuts.push((a, b, self.now));
            }
            Action::CutMember(a, b) => {
                self.left.member_cuts -= 1;
                self.member_cuts.push((a, b, self.now));
            }
            Action::Crash(place) => {
                self.left.crashes -= 1;
                self.stop(place);
            }
            Action::DieWriting(place) => {
                self.left.crashes -= 1;
                self.doomed[usize::from(place)] = true;
            }
            Action::Lose => {
                self.left.losses -= 1;
                self.net.pop_front();
            }
            Action::Overtake => {
                self.left.overtakings -= 1;
                self.net.swap(0, 1);
                self.run();
            }
            Action::Delay => {
                self.left.delays -= 1;
                self.advance(Some(self.now + LATE));
            }
            Action::Order(place) => {
                self.left.orders -= 1;
                self.ordered = Some(self.now);
                self.at_server(place, |server, now, out| server.order_rekey(now, out));
            }
            Action::Clear(place) => {
                self.left.clears -= 1;
                self.at_server(place, |server, now, out| server.clear_members(now, out));
            }
            Action::RestartMember(member) => {
                self.left.restarts -= 1;
                let at = usize::from(member);
                let config = self.bounds.member_config(at);
                self.members[at] = Arc::new(Member::new(self.now, config));
                self.register(at, 0);
            }
        }
        let fault = !matches!(
            action,
            Action::Run | Action::Heal(..) | Action::HealMember(..) | Action::Restart(_)
        );
        self.left.faults -= u8::from(fault);
        self.calm_since = self.now;
        self.judge();
    }

    fn run(&mut self) {
        match self.net.pop_front() {
            Some(packet) => self.deliver(&packet),
            None => self.advance(None),
        }
        self.judge();
    }

    /// Time goes on to the next deadline, or to `most`.
    fn advance(&mut self, most: Option<Time>) {
        for _ in 0..50 {
            let Some(next) = self.deadline() else { return };
            self.now = self.now.max(most.map_or(next, |most| next.min(most)));
            if Some(self.now) == most {
                return self.fire();
            }
            self.fire();
            if !self.net.is_empty() || self.deadline().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("time stands still: {self:?}");
    }

    fn deadline(&self) -> Option<Time> {
        let servers = self.servers.iter().flatten();
        let servers = servers.filter_map(|server| server.deadline(self.now));
        let members = self.members.iter().filter_map(|member| member.deadline());
        let end = |since: Time, longest: Duration| since + longest;
        let cuts = self.cuts.iter().map(|cut| end(cut.2, self.bounds.longest));
        let longest = self.bounds.longest_member;
        let member_cuts = self.member_cuts.iter().map(|cut| end(cut.2, longest));
        let down = (0..self.servers.len())
            .filter(|place| self.servers[*place].is_none())
            .map(|place| end(self.down_since[place], self.bounds.longest));
        let outside = cuts.chain(member_cuts).chain(down);
        servers
            .chain(members)
            .chain(outside.filter(|at| *at > self.now))
            .chain(
                [self.bounds.end()]
                    .into_iter()
                    .filter(|end| *end > self.now),
            )
            .min()
    }

    fn fire(&mut self) {
        for place in 0..self.bounds.servers {
            let server = self.servers[usize::from(place)].as_ref();
            let due = server.and_then(|server| server.deadline(self.now));
            if due.is_some_and(|due| due <= self.now) {
                let gone = self.at_server(place, |server, now, out| server.timer(now, out));
                gone.into_iter()
                    .flatten()
                    .for_each(|sa| self.forget(place, sa));
            }
        }
        for place in 0..self.members.len() {
            if self.members[place]
                .deadline()
                .is_none_or(|due| due > self.now)
            {
                continue;
            }
            self.at_member(place, |member, now, out| member.timer(now, out));
            if let Some(first) = self.members[place].wants_to_register(self.now) {
                self.register(place, first);
            }
        }
    }

    fn register(&mut self, place: usize, first: usize) {
        let count = usize::from(self.bounds.servers);
        for offset in 0..count {
            let server = u8::try_from((first + place + offset) % count).unwrap_or(0);
            let member = u8::try_from(place).unwrap_or(0);
            if self.is_member_cut(server, member) {
                continue;
            }
            let mut copy = self.members[place].as_ref().clone();
            let done = self.at_server(server, |ks, now, out| ks.admit(now, &mut copy, out));
            if done == Some(true) {
                self.members[place] = Arc::new(copy);
                return;
            }
        }
        Arc::make_mut(&mut self.members[place]).not_registered(self.now);
    }

    // ---------------------------------------------------------------- boxes and their effects

    fn start(&mut self, place: u8) {
        let at = usize::from(place);
        self.runs[at] += 1;
        if self.runs[at] > 1 {
            self.seen |= 1 << COMES_BACK;
        }
        let (config, mut out) = (self.bounds.server_config(at), Vec::new());
        let disk = Arc::clone(&self.disks[at]);
        let server = Server::start(self.now, config, self.runs[at], &disk, &mut out);
        self.servers[at] = Some(Arc::new(server));
        self.obey(place, out);
    }

    fn stop(&mut self, place: u8) {
        let at = usize::from(place);
        self.servers[at] = None;
        self.doomed[at] = false;
        self.down_since[at] = self.now;
        self.calm_since = self.now;
        self.sas.retain(|(a, b), _| *a != place && *b != place);
    }

    fn at_server<R>(
        &mut self,
        place: u8,
        act: impl FnOnce(&mut Server, Time, &mut Vec<Effect>) -> R,
    ) -> Option<R> {
        let mut out = Vec::new();
        let now = self.now;
        let server = self.servers[usize::from(place)].as_mut()?;
        let result = act(Arc::make_mut(server), now, &mut out);
        self.obey(place, out);
        Some(result)
    }

    fn at_member(&mut self, place: usize, act: impl FnOnce(&mut Member, Time, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        let before = self.members[place].sequences();
        let taken = self.members[place].rekeys_taken();
        let member = Arc::make_mut(&mut self.members[place]);
        act(member, self.now, &mut out);
        let after = self.members[place].sequences();
        for (spi, seq) in &after {
            let had = before.get(spi).copied();
            if had.is_some_and(|had| had > *seq) {
                self.broken |= 1 << 2;
            }
            if had.is_some_and(|had| had < *seq) && self.members[place].rekeys_taken() > taken {
                Arc::make_mut(&mut self.took[place]).insert((*spi, *seq));
            }
        }
        let took_one = self.members[place].rekeys_taken() > taken;
        if took_one && self.changed_primary {
            self.seen |= 1 << 2;
        }
        // A rekey that ends its own Rekey SA leaves no number behind.
        let ended = |spi: &KekSpi| took_one && before.contains_key(spi) && !after.contains_key(spi);
        for effect in out {
            if let Effect::Datagram { from, to, bytes } = effect {
                let acked = model::acknowledged(&bytes);
                let known = |ack: &(KekSpi, u32)| self.took[place].contains(ack) || ended(&ack.0);
                if acked.is_some_and(|ack| !known(&ack)) {
                    self.broken |= 1 << 5;
                }
                self.net.push_back(Packet::Datagram(from, to, bytes));
            }
        }
    }

    /// What a key server wants is done, in its order; one that is doomed stops after a write.
    fn obey(&mut self, place: u8, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Write(record) => {
                    let at = usize::from(place);
                    Arc::make_mut(&mut self.disks[at]).write(record);
                    if self.doomed[at] {
                        return self.stop(place);
                    }
                }
                Effect::Decoded(Decoded::Connect(peer)) => self.connect(place, peer),
                Effect::Decoded(Decoded::Spoken(said)) => {
                    self.net.push_back(Packet::Spoken(place, Arc::new(said)));
                }
                Effect::Datagram { from, to, bytes } => {
                    self.count(place, &bytes);
                    self.net.push_back(Packet::Datagram(from, to, bytes));
                }
                Effect::Report("COOP_MERGE") => self.seen |= 1,
                Effect::Report("COOP_KS_TRANS_TO_PRI") => {
                    if place != self.last_primary {
                        self.seen |= 1 << 1;
                        self.changed_primary = true;
                    }
                    self.last_primary = place;
                }
                Effect::Report("COOP_KS_TRANS_TO_SEC") if self.leaders() > 0 => {
                    self.seen |= u8::from(self.changed_primary) << 4;
                }
                Effect::Report(_) => {}
            }
        }
    }

    fn leaders(&self) -> usize {
        let servers = self.servers.iter().flatten();
        servers
            .filter(|server| server.role() == Role::Primary)
            .count()
    }

    /// A rekey leaves: under its number nothing else may ever have left.
    fn count(&mut self, place: u8, bytes: &Arc<[u8]>) {
        let Some(server) = &self.servers[usize::from(place)] else {
            return;
        };
        let Some(name) = server.number_of(bytes) else {
            return;
        };
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let content = hasher.finish();
        match self.used.get(&name) {
            Some(held) if *held == content => {}
            Some(_) => self.broken |= 1 << 1,
            None => {
                Arc::make_mut(&mut self.used).insert(name, content);
                (name.0.0, name.1).hash(&mut hasher);
                self.used_hash ^= hasher.finish();
            }
        }
    }

    // ---------------------------------------------------------------- the network

    fn pair(a: u8, b: u8) -> (u8, u8) {
        (a.min(b), a.max(b))
    }

    fn is_cut(&self, a: u8, b: u8) -> bool {
        let (a, b) = Self::pair(a, b);
        self.cuts.iter().any(|(x, y, _)| (*x, *y) == (a, b))
    }

    fn is_member_cut(&self, server: u8, member: u8) -> bool {
        // The members are on the side of the first key server.
        let apart = self.bounds.sided && server > 0 && self.is_cut(0, server);
        let mut cuts = self.member_cuts.iter();
        apart || cuts.any(|(x, y, _)| (*x, *y) == (server, member))
    }

    /// A key server asks for an SA with another one: it is there at once, or not to be had.
    fn connect(&mut self, place: u8, peer: KsIndex) {
        let other = peer.get();
        let up = self.servers[usize::from(other)].is_some();
        if !up || self.is_cut(place, other) {
            self.at_server(place, |ks, now, out| ks.unreached(now, peer, out));
            return;
        }
        let next = self.next_sa;
        let sa = *self.sas.entry(Self::pair(place, other)).or_insert(next);
        self.next_sa += u64::from(sa == next);
        let own = KsIndex::new(place).unwrap_or_default();
        self.at_server(place, |ks, now, out| ks.reached(now, peer, sa, out));
        self.at_server(other, |ks, now, out| ks.reached(now, own, sa, out));
    }

    /// A key server has given an SA up; it tells the other one, if it can.
    fn forget(&mut self, place: u8, sa: u64) {
        let pair = self.sas.iter().find(|(_, held)| **held == sa);
        let Some(pair) = pair.map(|(pair, _)| *pair) else {
            return;
        };
        self.sas.remove(&pair);
        let other = if pair.0 == place { pair.1 } else { pair.0 };
        if !self.is_cut(pair.0, pair.1) {
            self.at_server(other, |ks, now, out| ks.deleted(now, sa, out));
        }
    }

    fn deliver(&mut self, packet: &Packet) {
        match packet {
            Packet::Spoken(from, said) => {
                let to = said.to.get();
                let known = self.sas.get(&Self::pair(*from, to)) == Some(&said.sa);
                if known && !self.is_cut(*from, to) {
                    let from = KsIndex::new(*from).unwrap_or_default();
                    self.at_server(to, |ks, now, out| ks.hear(now, from, said, out));
                }
            }
            Packet::Datagram(from, to, bytes) => {
                let servers = usize::from(self.bounds.servers);
                let server =
                    (0..servers).find(|place| [*from, *to].contains(&Bounds::server(*place)));
                let member = (0..self.members.len())
                    .find(|place| [*from, *to].contains(&Bounds::member(*place)));
                let (Some(server), Some(member)) = (server, member) else {
                    return;
                };
                let ends = (server as u8, member as u8);
                if self.is_member_cut(ends.0, ends.1) {
                    return;
                }
                if *to == Bounds::member(member) {
                    let (from, bytes) = (*from, Arc::clone(bytes));
                    self.at_member(member, |gm, now, out| gm.push(now, from, &bytes, out));
                } else {
                    let (from, bytes) = (*from, Arc::clone(bytes));
                    self.at_server(ends.0, |ks, now, out| {
                        ks.acknowledged(now, from, &bytes, out);
                    });
                }
            }
        }
    }

    fn role(&self, place: u8) -> Option<Role> {
        self.servers[usize::from(place)]
            .as_ref()
            .map(|ks| ks.role())
    }

    fn fingerprint(&self, h: &mut impl Hasher) {
        (self.now, self.left, self.broken, self.seen).hash(h);
        (&self.cuts, &self.member_cuts, &self.runs, &self.doomed).hash(h);
        (self.used_hash, self.last_primary, self.changed_primary).hash(h);
        self.now.since(self.calm_since).min(SETTLED).hash(h);
        let ordered = self.ordered.map(|at| self.now.since(at));
        ordered.map(|ago| ago.min(ORDER_SPREADS)).hash(h);
        (&self.sas, self.net.len()).hash(h);
        let crashes = self.left.crashes > 0 && self.left.faults > 0;
        for (place, server) in self.servers.iter().enumerate() {
            match server {
                Some(server) => {
                    let others = self.servers.iter().enumerate();
                    let others = others.filter(|(other, _)| *other != place);
                    let others = others.filter_map(|(_, other)| other.as_deref());
                    server.fingerprint(self.now, others, h);
                }
                None => self.down_since[place].hash(h),
            }
            if crashes || self.doomed[place] || server.is_none() {
                self.disks[place].fingerprint(h);
            }
        }
        for member in &self.members {
            member.fingerprint(self.now, h);
        }
        for packet in &self.net {
            match packet {
                Packet::Spoken(from, said) => {
                    let ends = [usize::from(*from), usize::from(said.to.get())];
                    let [from, to] = ends.map(|place| self.servers[place].as_deref());
                    if let (Some(from), Some(to)) = (from, to) {
                        (ends, 0).hash(h);
                        from.fingerprint_of(said, to, h);
                    }
                }
                Packet::Datagram(from, to, bytes) => (from, to, bytes).hash(h),
            }
        }
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.fingerprint(h);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let of = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        of(self) == of(other)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s ", self.now.as_nanos() as f64 / 1e9)?;
        for place in 0..self.bounds.servers {
            let role = match self.role(place) {
                Some(Role::Primary) => "primary",
                Some(Role::Secondary) => "secondary",
                Some(Role::Electing) => "electing",
                None => "down",
            };
            write!(f, " ks{}={role}", place + 1)?;
        }
        for (place, member) in self.members.iter().enumerate() {
            let spi = member.sends_on(self.now).map_or(0, |spi| spi.0);
            write!(f, " gm{}->{spi:08x}", place + 1)?;
        }
        for (a, b, _) in &self.cuts {
            write!(f, " cut ks{}-ks{}", a + 1, b + 1)?;
        }
        for (a, b, _) in &self.member_cuts {
            write!(f, " cut ks{}-gm{}", a + 1, b + 1)?;
        }
        write!(f, " on the way {}", self.net.len())
    }
}

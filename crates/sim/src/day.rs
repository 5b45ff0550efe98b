//! One seed: a random group and a random day of faults, watched all the time.

use std::time::Duration;

use crypto::SeededRng;
use policy::Time;

use crate::fault::Sort;
use crate::founding::Founding;
use crate::guide::interfaces;
use crate::link::{Link, below};
use crate::node::Node;
use crate::reference::{Reference, Times};
use crate::topology::{self, Bounds, Group};
use crate::world::{Happening, VirtualWorld};

/// A pair of members sends a packet so often.
const PAIR: Duration = Duration::from_secs(10);
/// How often two members are drawn that were not removed, before any two will do.
const TRIES: u32 = 4;
/// Packets around an event.
const BURST: u64 = 20;
/// The packets of a burst are spread over so long.
const BURST_MS: u64 = 4_000;
/// Every box is looked into so often.
const LOOK: Duration = Duration::from_secs(600);
/// One boot of so many is one of all key servers at once.
const POWER_CUTS: u64 = 4;
/// Of so many changes one is of the transform set, where operators change the rest, too.
const TRANSFORMS: u64 = 3;
/// Of so many of the others one is of what signs and encrypts rekeys.
const SIGNINGS: u64 = 4;
/// The calm at the end of a day.
const TAIL: Duration = Duration::from_secs(900);
/// One group of so many with several key servers is founded in parts.
const APART: u64 = 4;
/// Parts live without each other so long at most.
const APART_MAX_S: u64 = 1_800;
/// How long a group may take until every member is registered for the first time.
const BOOT: Duration = Duration::from_secs(180);

/// What became of a seed.
pub(crate) struct Report {
    /// What must not have happened.
    pub(crate) failures: Vec<String>,
    /// The ladder, if it was asked for.
    pub(crate) transcript: String,
    /// The group, in a line.
    pub(crate) summary: String,
    /// Figures.
    pub(crate) figures: Figures,
}

/// What a run did, so that "no violation" can be weighed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Packets between members.
    pub(crate) packets: u64,
    /// Those that had to arrive.
    pub(crate) demanded: u64,
    /// Those that arrived.
    pub(crate) delivered: u64,
    /// Rekeys that the watch could read.
    pub(crate) rekeys: u64,
    /// Faults and orders.
    pub(crate) faults: u64,
    /// Rekeys that removed members tried to read.
    pub(crate) tried: u64,
}

impl Figures {
    /// The figures of both.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.demanded += other.demanded;
        self.delivered += other.delivered;
        self.rekeys += other.rekeys;
        self.faults += other.faults;
        self.tried += other.tried;
    }
}

struct Day {
    world: VirtualWorld,
    group: Group,
    dice: SeededRng,
    looked: Time,
    paired: Time,
    faults: u64,
    calm_s: u64,
    /// Drawn apart, so that the other days stay as they are.
    power: SeededRng,
    /// The same for what has to do with the form of rekeys ...
    forms: SeededRng,
    /// ... and with their keys.
    keys: SeededRng,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, hours: u32, bounds: &Bounds, explain: bool) -> Report {
    let mut dice = SeededRng::from_number(!seed);
    let mut forms = SeededRng::from_number(seed.rotate_left(16) ^ !seed);
    let group = topology::draw(bounds, &mut dice, &mut forms);
    let summary = group.summary.clone();
    let mut failures = Vec::new();
    let mut transcript = String::new();
    let mut figures = Figures::default();
    match build(seed, &group, &mut dice) {
        Err(error) => failures.push(error),
        Ok(mut world) => {
            if explain {
                world.explain();
            }
            let mut keys = SeededRng::from_number(seed.rotate_left(48) ^ !seed);
            world.rekey_keys = group.form.rekey_keys(&mut keys);
            let mut day = Day {
                world,
                group,
                dice,
                looked: Time::ZERO,
                paired: Time::ZERO,
                faults: 0,
                calm_s: bounds.calm_s,
                power: SeededRng::from_number(seed.rotate_left(32) ^ !seed),
                forms,
                keys,
            };
            day.boot();
            day.run(Time::from_secs(u64::from(hours) * 3_600));
            failures.extend(day.world.violations().iter().cloned());
            transcript = day.world.transcript();
            figures = Figures {
                packets: day.world.probes.len() as u64,
                demanded: day.world.probes.demanded,
                delivered: day.world.probes.delivered,
                rekeys: day.world.watch.rekeys_read,
                faults: day.faults,
                tried: day.world.watch.outsiders.tried,
            };
        }
    }
    Report {
        failures,
        transcript,
        summary,
        figures,
    }
}

/// The boxes, their links and clocks; nothing runs yet.
fn build(seed: u64, group: &Group, dice: &mut SeededRng) -> Result<VirtualWorld, String> {
    let mut world = VirtualWorld::new(seed);
    let mut ppm = |most: u64| u32::try_from(below(most, dice)).unwrap_or(0);
    let link = Link {
        delay: Duration::from_millis(u64::from(1 + ppm(40))),
        loss: ppm(10_000),
        duplication: ppm(10_000),
        reordering: ppm(10_000),
        jitter: Duration::from_millis(u64::from(ppm(20))),
        ..Link::default()
    };
    for spec in group.key_servers.iter().chain(&group.members) {
        let interfaces = interfaces(&spec.name, &spec.config)?;
        let mut node = Node::new(spec.config.clone(), interfaces);
        if spec.host.is_none() && group.key_servers.len() > 1 {
            node.store.remember();
        }
        let ppm = i32::try_from(below(401, dice)).unwrap_or(0) - 200;
        node.clock.drift(Time::ZERO, ppm);
        world.add_node(&spec.name, node, link.clone());
    }
    let (servers, all) = (
        group.key_servers.len(),
        group.key_servers.len() + group.members.len(),
    );
    world.servers = (0..servers).collect();
    world.members = (servers..all).collect();
    world.tells_copies = group.counter_mode;
    world.is_blind = group.form.is_blind();
    world.lifetimes = group.lifetimes;
    let of = |schedule| Times::of(schedule, (servers, all - servers), group.look_ahead);
    if let Some(times) = group.schedules.iter().map(of).reduce(Times::with) {
        world.judge_by(Reference::new(times, all));
    }
    world.attacker.watch();
    Ok(world)
}

impl Day {
    /// Key servers first, then the members within seconds. Some groups are founded in parts.
    fn boot(&mut self) {
        let servers = self.world.servers.clone();
        let apart = servers.len() > 1 && below(APART, &mut self.dice) == 0;
        let founding = apart.then(|| Founding::draw(&servers, &mut self.dice));
        if let Some(founding) = &founding {
            self.world.keep_apart(founding);
        }
        for id in servers {
            self.start(id);
        }
        let line = self.group.form.key.generate();
        match &founding {
            Some(founding) => self.world.make_rekey_keys(founding, &line),
            None => self.world.make_rekey_key(&line),
        }
        for id in self.world.members.clone() {
            let span = Duration::from_millis(below(5_000, &mut self.dice));
            self.world.later(span, Happening::Restart { node: id });
        }
        self.world.run_until(self.world.now + BOOT);
        self.world.members_are_registered(BOOT);
        if let Some(founding) = founding {
            self.unite(founding);
        }
    }

    /// The parts of a group that was founded apart meet.
    fn unite(&mut self, mut founding: Founding) {
        let recovery = self.world.recovery();
        while founding.count() > 1 && self.world.violations().is_empty() {
            let span = Duration::from_secs(below(APART_MAX_S, &mut self.dice));
            self.pass(span);
            self.world.meet(&mut founding, &mut self.dice);
            self.faults += 1;
            self.burst();
            // Sometimes the next one comes while these two have not settled.
            if founding.count() == 1 || below(2, &mut self.dice) == 0 {
                self.pass(recovery);
                self.world.one_primary_per_component();
            }
        }
        self.world.members_are_registered(recovery);
    }

    fn start(&mut self, id: usize) {
        if let Err(error) = self.world.start_node(id) {
            self.world
                .watch
                .violate(self.world.now, "a box starts", &error);
        }
    }

    fn run(&mut self, end: Time) {
        let last_fault = Time::ZERO + Time::ZERO.until(end).saturating_sub(TAIL);
        let sorts = Sort::of_group(self.group.key_servers.len());
        while self.world.now < last_fault && self.world.violations().is_empty() {
            let calm = 20 + below(self.calm_s, &mut self.dice);
            self.pass(Duration::from_secs(calm));
            let place = usize::try_from(below(sorts.len() as u64, &mut self.dice)).unwrap_or(0);
            let sort = self.with_power_cuts(sorts[place]);
            let sort = self.with_policies(sort);
            self.episode(sort);
        }
        if self.world.violations().is_empty() {
            self.pass(TAIL);
            self.world.members_are_registered(TAIL);
            self.world.one_clock(TAIL);
            self.world.one_access_list(TAIL);
            self.world.removed_members_are_out();
            self.world.one_primary_per_component();
            self.everybody_talks();
        }
    }

    fn with_power_cuts(&mut self, sort: Sort) -> Sort {
        if sort == Sort::Reboot && below(POWER_CUTS, &mut self.power) == 0 {
            Sort::PowerCut
        } else {
            sort
        }
    }

    fn with_policies(&mut self, sort: Sort) -> Sort {
        let changes = self.group.form.changes && sort == Sort::Transform;
        if !changes || below(TRANSFORMS, &mut self.forms) == 0 {
            sort
        } else if below(SIGNINGS, &mut self.keys) == 0 {
            Sort::Signing
        } else {
            Sort::Policy
        }
    }

    /// One fault from its beginning until the group has to be well again.
    fn episode(&mut self, sort: Sort) {
        self.faults += 1;
        self.burst();
        let life = self.group.tek_lifetime_s;
        let at = VirtualWorld::clock_text(self.world.now);
        self.world.note(|_| format!("{at} {sort:?}"));
        let course = self.world.begin_fault(sort, life, &mut self.dice);
        self.pass(course.lasts);
        self.world.end_fault();
        self.burst();
        // Where there are others, the key is theirs to give.
        if sort == Sort::DiskLoss && self.world.servers.len() == 1 {
            self.pass(Duration::from_secs(1));
            for key in self.world.rekey_keys.clone() {
                self.world.make_rekey_key(&key.generate());
            }
        }
        self.pass(course.settles);
        self.world.members_are_registered(course.settles);
        self.world.one_clock(course.settles);
        self.world.one_access_list(course.settles);
        self.world.removed_members_are_out();
        self.world.one_primary_per_component();
    }

    /// Two members, seldom one that was removed: those have nothing to lose.
    fn two_members(&mut self) -> Option<(usize, usize)> {
        for _ in 0..TRIES {
            let (from, to) = self.world.two_members(&mut self.dice)?;
            let outsiders = &self.world.watch.outsiders;
            if !outsiders.contains(from) && !outsiders.contains(to) {
                return Some((from, to));
            }
        }
        self.world.two_members(&mut self.dice)
    }

    /// Packets between random members, spread over some seconds from now on.
    fn burst(&mut self) {
        for _ in 0..BURST {
            if let Some((from, to)) = self.two_members() {
                let span = Duration::from_millis(below(BURST_MS, &mut self.dice));
                self.world.later(span, Happening::Probe { from, to });
            }
        }
    }

    /// Time passes, with a packet every ten seconds, until it is over or something is wrong.
    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end && self.world.violations().is_empty() {
            let next = (self.paired + PAIR).max(self.world.now);
            self.world.run_until(next.min(end));
            if self.world.now >= next {
                self.paired = self.world.now;
                if let Some((from, to)) = self.two_members() {
                    self.world.probe(from, to);
                }
            }
            if self.world.is_blind {
                self.world.survey();
            }
            self.world.judge();
            self.world.word_spreads();
            if self.world.now.since(self.looked) >= LOOK {
                self.looked = self.world.now;
                self.world.look(self.group.tbar_window_s);
                self.world.forget_old(self.group.tek_lifetime_s);
            }
        }
    }

    /// After the calm at the end every member sends to its neighbour, and every packet arrives.
    fn everybody_talks(&mut self) {
        let members = self.world.members.clone();
        for (place, from) in members.iter().enumerate() {
            let to = members[(place + 1) % members.len()];
            if *from != to {
                self.world.probe(*from, to);
            }
        }
        self.pass(Duration::from_secs(5));
    }
}

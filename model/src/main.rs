//! `cargo xtask model`: every way in which a group can go wrong within bounds, with the product's own
//! key servers and members, and what must hold on all of them.

mod bounds;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use bounds::Bounds;
use world::{Action, BROKEN, COMES_BACK, SEEN, World};

struct Group {
    bounds: Bounds,
    /// When the search ends, finished or not.
    until: Instant,
    /// 0: it goes on, 1: it was out of time, 2: what was found is told.
    phase: Arc<AtomicU8>,
}

impl Model for Group {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let late = Instant::now() >= self.until;
        if late && self.phase.load(Ordering::Relaxed) < 2 {
            return self.phase.store(1, Ordering::Relaxed);
        }
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        world.act(action);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(BROKEN[0], |_, world| world.broken & 1 == 0),
            Property::<Self>::always(BROKEN[1], |_, world| world.broken & 2 == 0),
            Property::<Self>::always(BROKEN[2], |_, world| world.broken & 4 == 0),
            Property::<Self>::always(BROKEN[3], |_, world| world.broken & 8 == 0),
            Property::<Self>::always(BROKEN[4], |_, world| world.broken & 16 == 0),
            Property::<Self>::always(BROKEN[5], |_, world| world.broken & 32 == 0),
            Property::<Self>::always(BROKEN[6], |_, world| world.broken & 64 == 0),
            Property::<Self>::sometimes(SEEN[0], |_, world| world.seen & 1 != 0),
            Property::<Self>::sometimes(SEEN[1], |_, world| world.seen & 2 != 0),
            Property::<Self>::sometimes(SEEN[2], |_, world| world.seen & 4 != 0),
            Property::<Self>::sometimes(SEEN[3], |_, world| world.seen & 8 != 0),
            Property::<Self>::sometimes(SEEN[4], |_, world| world.seen & 16 != 0),
        ]
    }
}

const USAGE: &str = "usage: getvpn-model [small | full | sided | anew] [NAME=NUMBER...]
names: servers members tek quiet faulty after faults cuts member-cuts crashes losses overtakings
delays orders clears restarts sided longest longest-member seconds (how long at most)";

fn main() -> ExitCode {
    let (mut bounds, mut most) = (Bounds::small(), 86_400);
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "small" => bounds = Bounds::small(),
            "full" => bounds = Bounds::full(),
            "sided" => bounds = Bounds::sided(),
            "anew" => bounds = Bounds::anew(),
            other => {
                if !set(&mut bounds, &mut most, other) {
                    println!("{other}?\n{USAGE}");
                    return ExitCode::from(2);
                }
            }
        }
    }
    println!("{bounds:?}");
    if check(bounds, most) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn set(bounds: &mut Bounds, most: &mut u64, word: &str) -> bool {
    let Some((name, value)) = word.split_once('=') else {
        return false;
    };
    let Ok(value) = value.parse::<u32>() else {
        return false;
    };
    let small = u8::try_from(value).unwrap_or(u8::MAX);
    let seconds = Duration::from_secs(value.into());
    match name {
        "servers" => bounds.servers = small,
        "members" => bounds.members = small,
        "tek" => bounds.tek_s = value,
        "quiet" => bounds.quiet = seconds,
        "faulty" => bounds.faulty = seconds,
        "after" => bounds.after = seconds,
        "faults" => bounds.faults = small,
        "cuts" => bounds.cuts = small,
        "member-cuts" => bounds.member_cuts = small,
        "crashes" => bounds.crashes = small,
        "losses" => bounds.losses = small,
        "overtakings" => bounds.overtakings = small,
        "delays" => bounds.delays = small,
        "orders" => bounds.orders = small,
        "clears" => bounds.clears = small,
        "restarts" => bounds.restarts = small,
        "sided" => bounds.sided = value > 0,
        "longest" => bounds.longest = seconds,
        "longest-member" => bounds.longest_member = seconds,
        "seconds" => *most = value.into(),
        _ => return false,
    }
    true
}

/// Checks everything within the bounds; says whether all held.
fn check(bounds: Bounds, most: u64) -> bool {
    let began = Instant::now();
    let phase = Arc::new(AtomicU8::new(0));
    let crashes = bounds.crashes > 0;
    let group = Group {
        bounds,
        until: began + Duration::from_secs(most),
        phase: Arc::clone(&phase),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let builder = group
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures);
    let mut checker = builder.spawn_dfs();
    for handle in checker.handles() {
        // A thread that panicked has said so.
        let _ = handle.join();
    }
    let took = began.elapsed();
    let whole = phase.swap(2, Ordering::Relaxed) == 0;
    let found = checker.discoveries();
    let mut failed = 0;
    for name in BROKEN {
        let path = found.get(name);
        println!(
            "{} {name}",
            if path.is_some() {
                "VIOLATED"
            } else {
                "holds   "
            }
        );
        if let Some(path) = path {
            failed += 1;
            for (world, action) in path.clone().into_vec() {
                let action = action.map_or_else(String::new, |action| format!("{action:?}"));
                println!("    {world:?}   {action}");
            }
        }
    }
    let violated = failed;
    for (place, name) in SEEN.into_iter().enumerate() {
        if place == COMES_BACK && !crashes {
            continue;
        }
        let seen = found.contains_key(name);
        failed += usize::from(!seen);
        println!("{} {name}", if seen { "seen    " } else { "NEVER   " });
    }
    println!(
        "{} states, {} unique, depth {}, {:.1} s, {} MiB at most, {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        took.as_secs_f64(),
        peak_mib(),
        if whole && violated > 0 {
            "up to the first violation"
        } else if whole {
            "everything within the bounds"
        } else {
            "NOT everything: out of time"
        },
    );
    let properties = BROKEN.len() + SEEN.len() - usize::from(!crashes);
    println!("{} passed, {failed} failed", properties - failed);
    failed == 0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

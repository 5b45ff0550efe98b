//! `getvpn sim`: scenarios and seeds from the command line.

use std::io::Write;
use std::time::Duration;

use policy::Time;

use crate::guide;
use crate::link::{Link, below};
use crate::scenario::{self, Measure, World};
use crate::world::VirtualWorld;
use crypto::SeededRng;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// `--scenario FILE`: its text, with the seed; the transcript too if `explain`.
    Scenario {
        /// The scenario.
        text: String,
        /// The seed.
        seed: u64,
        /// Print the ladder.
        explain: bool,
    },
    /// `--seeds N --hours H`: random faults under random seeds.
    Seeds {
        /// The first seed.
        first: u64,
        /// How many at most.
        count: u64,
        /// Virtual hours of each.
        hours: u32,
        /// No further seed is begun after this time.
        time: Option<Duration>,
    },
    /// `--seed S --explain`: one of them with its ladder.
    Explain {
        /// The seed.
        seed: u64,
        /// Virtual hours.
        hours: u32,
    },
}

/// How a run ended, for the exit status.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All green.
    Green,
    /// A check failed.
    Failed,
    /// It could not run.
    CouldNotRun,
}

/// Runs what is asked for and writes what happened. `elapsed` says how much time of the real world
/// has passed, which only the last line's rate needs.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(
    work: &Work,
    out: &mut dyn Write,
    elapsed: &mut dyn FnMut() -> Duration,
) -> std::io::Result<Outcome> {
    match work {
        Work::Scenario {
            text,
            seed,
            explain,
        } => run_scenario(text, *seed, *explain, out),
        Work::Seeds {
            first,
            count,
            hours,
            time,
        } => {
            let mut violations = 0_usize;
            let mut seeds: u64 = 0;
            while seeds < *count && time.is_none_or(|time| elapsed() < time) {
                let seed = first.saturating_add(seeds);
                let failed = run_seed(seed, *hours, None);
                seeds += 1;
                violations += failed.len();
                for failure in &failed {
                    writeln!(out, "seed {seed}: {failure}")?;
                }
                if !failed.is_empty() {
                    writeln!(
                        out,
                        "replay: getvpn sim --seed {seed} --hours {hours} --explain"
                    )?;
                }
            }
            let minutes = elapsed().as_secs_f64() / 60.0;
            let rate = if minutes > 0.0 {
                seeds as f64 / minutes
            } else {
                0.0
            };
            let total = u64::from(*hours) * seeds;
            writeln!(
                out,
                "seeds {seeds}  virtual hours {total}  violations {violations}  {rate:.1} seeds/core-minute"
            )?;
            Ok(if violations == 0 {
                Outcome::Green
            } else {
                Outcome::Failed
            })
        }
        Work::Explain { seed, hours } => {
            let mut transcript = String::new();
            let failed = run_seed(*seed, *hours, Some(&mut transcript));
            write!(out, "{transcript}")?;
            for failure in &failed {
                writeln!(out, "seed {seed}: {failure}")?;
            }
            Ok(if failed.is_empty() {
                Outcome::Green
            } else {
                Outcome::Failed
            })
        }
    }
}

fn run_scenario(
    text: &str,
    seed: u64,
    explain: bool,
    out: &mut dyn Write,
) -> std::io::Result<Outcome> {
    let scenario = match scenario::parse(text) {
        Ok(scenario) => scenario,
        Err(errors) => {
            for error in errors {
                writeln!(out, "{error}")?;
            }
            return Ok(Outcome::CouldNotRun);
        }
    };
    let mut world = match guide::world(seed, &Link::default()) {
        Ok(world) => world,
        Err(error) => {
            writeln!(out, "{error}")?;
            return Ok(Outcome::CouldNotRun);
        }
    };
    if explain {
        world.explain();
    }
    let mut failures = match guide::boot(&mut world) {
        Ok(()) => scenario::run(&scenario, &mut world),
        Err(error) => vec![error],
    };
    failures.extend(world.violations().iter().cloned());
    write!(out, "{}", world.transcript())?;
    for failure in &failures {
        writeln!(out, "{failure}")?;
    }
    writeln!(
        out,
        "scenario: {} steps, {} failed",
        scenario.steps.len(),
        failures.len()
    )?;
    Ok(if failures.is_empty() {
        Outcome::Green
    } else {
        Outcome::Failed
    })
}

/// The guide's network for some hours, with lossy links, rekeys that operators order, and key
/// servers and members that die and come back. Returns what must not have happened.
fn run_seed(seed: u64, hours: u32, transcript: Option<&mut String>) -> Vec<String> {
    let mut dice = SeededRng::from_number(!seed);
    let link = Link {
        loss: u32::try_from(below(50_000, &mut dice)).unwrap_or(0),
        duplication: u32::try_from(below(50_000, &mut dice)).unwrap_or(0),
        reordering: u32::try_from(below(50_000, &mut dice)).unwrap_or(0),
        jitter: Duration::from_millis(below(20, &mut dice)),
        ..Link::default()
    };
    let mut world = match guide::world(seed, &link) {
        Ok(world) => world,
        Err(error) => return vec![error],
    };
    if transcript.is_some() {
        world.explain();
    }
    let mut failures: Vec<String> = guide::boot(&mut world).err().into_iter().collect();
    let end = Time::from_secs(u64::from(hours) * 3_600);
    while world.now() < end && failures.is_empty() {
        let pause = Duration::from_secs(30 + below(1_800, &mut dice));
        world.run_until((world.now() + pause).min(end));
        let fault = disturb(&mut world, &mut dice);
        failures.extend(fault.err());
        failures.extend(members_hold_the_group(&mut world));
        failures.extend(world.violations().iter().cloned());
    }
    if let Some(transcript) = transcript {
        *transcript = world.transcript();
    }
    failures
}

/// One fault or order, and the time that the box needs to come over it.
fn disturb(world: &mut VirtualWorld, dice: &mut SeededRng) -> Result<(), String> {
    let settle = Duration::from_secs(60);
    match below(4, dice) {
        0 => {
            world.exec("ks1", "crypto gdoi ks rekey")?;
        }
        1 => {
            world.kill("ks1")?;
            world.run_until(world.now() + Duration::from_millis(below(120_000, dice)));
            world.start("ks1")?;
        }
        2 => {
            let name = if below(2, dice) == 0 { "gm1" } else { "gm2" };
            world.kill(name)?;
            world.run_until(world.now() + Duration::from_millis(below(60_000, dice)));
            world.start(name)?;
        }
        _ => traffic(world, dice)?,
    }
    world.run_until(world.now() + settle);
    Ok(())
}

/// Hosts talk over links that lose nothing, half of the time through an ordered rekey: no packet may
/// be lost, doubled or reordered.
fn traffic(world: &mut VirtualWorld, dice: &mut SeededRng) -> Result<(), String> {
    let mut held = Vec::new();
    for name in ["gm1", "gm2"] {
        if let Some(link) = world.link_mut(name) {
            held.push((name, std::mem::take(link)));
        }
    }
    world.act(&scenario::Action::Traffic {
        from: "h1".into(),
        to: "h2".into(),
        pps: 10,
        octets: 64,
    })?;
    world.run_until(world.now() + Duration::from_secs(2));
    if below(2, dice) == 0 {
        world.exec("ks1", "crypto gdoi ks rekey")?;
    }
    world.run_until(world.now() + Duration::from_secs(40));
    let mut suffered = Vec::new();
    for measure in [Measure::Lost, Measure::Reordered, Measure::Duplicated] {
        match world.measured(measure) {
            0 => {}
            n => suffered.push(format!("{n} {measure}")),
        }
    }
    world.forget_traffic();
    for (name, link) in held {
        if let Some(own) = world.link_mut(name) {
            *own = link;
        }
    }
    if suffered.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{:?} packets between the hosts: {}",
            world.now(),
            suffered.join(", ")
        ))
    }
}

/// Once things have settled, every member is registered.
fn members_hold_the_group(world: &mut VirtualWorld) -> Option<String> {
    for name in ["gm1", "gm2"] {
        let shown = world.exec(name, "show crypto gdoi | include Registration status");
        match shown {
            Ok(text) if text.contains("Registered") && !text.contains("Not Registered") => {}
            Ok(text) => {
                return Some(format!(
                    "{:?} {name} is not registered: {text}",
                    world.now()
                ));
            }
            Err(error) => return Some(error),
        }
    }
    None
}

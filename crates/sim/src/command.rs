//! `getvpn sim`: scenarios and seeds from the command line.

use std::io::Write;
use std::time::Duration;

use crate::day::{self, Figures};
use crate::guide;
use crate::link::Link;
use crate::scenario;
use crate::topology::Bounds;

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
    /// `--seeds N --hours H`: random groups and faults under random seeds.
    Seeds {
        /// The first seed.
        first: u64,
        /// How many.
        count: u64,
        /// Virtual hours of each.
        hours: u32,
        /// Up to where their days go.
        bounds: Bounds,
    },
    /// `--seed S --explain`: one of them with its ladder.
    Explain {
        /// The seed.
        seed: u64,
        /// Virtual hours.
        hours: u32,
        /// Up to where its day goes.
        bounds: Bounds,
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

/// A seed that was run.
pub struct Ran {
    seed: u64,
    report: day::Report,
}

/// Runs a seed: so many virtual hours of a group within these bounds.
#[must_use]
pub fn run_seed(seed: u64, hours: u32, bounds: &Bounds) -> Ran {
    let report = day::run(seed, hours, bounds, false);
    Ran { seed, report }
}

/// Runs what is asked for and writes what happened.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(work: &Work, out: &mut dyn Write) -> std::io::Result<Outcome> {
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
            bounds,
        } => {
            let seeds = *first..first.saturating_add(*count);
            let ran = seeds.map(|seed| run_seed(seed, *hours, bounds));
            // Nobody asked for a rate, and a core has no clock.
            tell_seeds(ran, *hours, bounds, out, &|| Duration::ZERO)
        }
        Work::Explain {
            seed,
            hours,
            bounds,
        } => {
            let report = day::run(*seed, *hours, bounds, true);
            writeln!(out, "seed {seed}: {}", report.summary)?;
            write!(out, "{}", report.transcript)?;
            for failure in &report.failures {
                writeln!(out, "seed {seed}: {failure}")?;
            }
            writeln!(out, "{}", figures(&report.figures))?;
            Ok(if report.failures.is_empty() {
                Outcome::Green
            } else {
                Outcome::Failed
            })
        }
    }
}

/// Writes what happened in seeds as they end. `cores` says how much time of a core all of them took,
/// which only the last line's rate needs.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell_seeds(
    ran: impl Iterator<Item = Ran>,
    hours: u32,
    bounds: &Bounds,
    out: &mut dyn Write,
    cores: &dyn Fn() -> Duration,
) -> std::io::Result<Outcome> {
    let mut violations = 0_usize;
    let mut seeds: u64 = 0;
    let mut total = Figures::default();
    for Ran { seed, report } in ran {
        seeds += 1;
        violations += report.failures.len();
        total.add(&report.figures);
        if report.failures.is_empty() {
            continue;
        }
        writeln!(out, "seed {seed}: {}", report.summary)?;
        for failure in &report.failures {
            writeln!(out, "seed {seed}: {failure}")?;
        }
        let (servers, members) = (&bounds.key_servers, &bounds.members);
        writeln!(
            out,
            "replay: getvpn sim --seed {seed} --hours {hours} --key-servers {}..{} \
             --members {}..{} --calm {} --rekeys {} --explain",
            servers.start(),
            servers.end(),
            members.start(),
            members.end(),
            bounds.calm_s,
            bounds.rekeys.word()
        )?;
    }
    let minutes = cores().as_secs_f64() / 60.0;
    let rate = if minutes > 0.0 {
        format!("  {:.1} seeds/core-minute", seeds as f64 / minutes)
    } else {
        String::new()
    };
    let hours = u64::from(hours) * seeds;
    writeln!(out, "{}", figures(&total))?;
    writeln!(
        out,
        "seeds {seeds}  virtual hours {hours}  violations {violations}{rate}"
    )?;
    Ok(if violations == 0 {
        Outcome::Green
    } else {
        Outcome::Failed
    })
}

/// What was done, so that "no violation" can be weighed.
fn figures(figures: &Figures) -> String {
    let Figures {
        packets,
        demanded,
        delivered,
        rekeys,
        faults,
        tried,
    } = figures;
    format!(
        "packets {packets}  had to arrive {demanded}  arrived {delivered}  rekeys read {rekeys}  \
         tried by removed members {tried}  faults {faults}"
    )
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

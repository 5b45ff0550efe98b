//! `getvpn sim`: the command line of the simulator. What a world is and what must never happen in it
//! is decided in `sim`.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sim::command::{Outcome, Work};
use sim::form::Rekeys;
use sim::topology::{Bounds, CALM_S};

use crate::{CANNOT, ERRORS};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A scenario file, as the lab runs it too, instead of random faults
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "seconds"])]
    scenario: Option<PathBuf>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Virtual hours of each seed
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// As many seeds as fit into this time
    #[arg(long, conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Seeds that run at a time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Key servers of a random group, for example 1 or 2..8
    #[arg(long, value_name = "N[..M]", default_value = "2..8", value_parser = range)]
    key_servers: RangeInclusive<u16>,
    /// Members of a random group, for example 2 or 2..64
    #[arg(long, value_name = "N[..M]", default_value = "2..64", value_parser = range)]
    members: RangeInclusive<u16>,
    /// The longest calm between two faults, seconds
    #[arg(long, value_name = "S", default_value_t = CALM_S, value_parser = clap::value_parser!(u64).range(1..))]
    calm: u64,
    /// How random groups are rekeyed: any, multicast, mixed (with plain members) or unicast
    #[arg(long, value_name = "FORM", default_value = "any", value_parser = rekeys)]
    rekeys: Rekeys,
    /// Print who said what to whom
    #[arg(long)]
    explain: bool,
}

/// `N` or `N..M`, both included.
fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    let range = number(low)?..=number(high)?;
    if *range.start() == 0 || range.is_empty() {
        return Err("expected N or N..M with 1 <= N <= M".into());
    }
    Ok(range)
}

fn rekeys(word: &str) -> Result<Rekeys, String> {
    Rekeys::of_word(word).ok_or_else(|| "expected any, multicast, mixed or unicast".into())
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let (seed, hours) = (arguments.seed, arguments.hours);
    let bounds = Bounds {
        key_servers: arguments.key_servers.clone(),
        members: arguments.members.clone(),
        calm_s: arguments.calm,
        rekeys: arguments.rekeys,
    };
    let work = if let Some(file) = &arguments.scenario {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        Work::Scenario {
            text,
            seed,
            explain: arguments.explain,
        }
    } else if arguments.explain {
        Work::Explain {
            seed,
            hours,
            bounds,
        }
    } else {
        return Ok(exit_status(run_seeds(arguments, &bounds)?));
    };
    let outcome = sim::command::run(&work, &mut std::io::stdout().lock())?;
    Ok(exit_status(outcome))
}

/// Runs seeds side by side; each is a world of its own.
fn run_seeds(arguments: &Arguments, bounds: &Bounds) -> Result<Outcome> {
    let jobs = arguments
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get);
    let time = arguments.seconds.map(Duration::from_secs);
    let count = time.map_or(arguments.seeds, |_| u64::MAX);
    let end = arguments.seed.saturating_add(count);
    let began = Instant::now();
    let next = AtomicU64::new(arguments.seed);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                while time.is_none_or(|time| began.elapsed() < time) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end
                        || tell
                            .send(sim::command::run_seed(seed, arguments.hours, bounds))
                            .is_err()
                    {
                        break;
                    }
                }
            });
        }
        drop(tell);
        let cores = || began.elapsed() * u32::try_from(jobs).unwrap_or(1);
        let out = &mut std::io::stdout().lock();
        let hours = arguments.hours;
        Ok(sim::command::tell_seeds(
            told.into_iter(),
            hours,
            bounds,
            out,
            &cores,
        )?)
    })
}

fn exit_status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Green => 0,
        Outcome::Failed => ERRORS,
        Outcome::CouldNotRun => CANNOT,
    }
}

//! `getvpn sim`: the command line of the simulator. What a world is and what must never happen in it
//! is decided in `sim`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sim::command::{Outcome, Work};

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
    /// Print who said what to whom
    #[arg(long)]
    explain: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let (seed, hours) = (arguments.seed, arguments.hours);
    let work = if let Some(file) = &arguments.scenario {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        Work::Scenario {
            text,
            seed,
            explain: arguments.explain,
        }
    } else if arguments.explain {
        Work::Explain { seed, hours }
    } else {
        let time = arguments.seconds.map(Duration::from_secs);
        let count = if time.is_some() {
            u64::MAX
        } else {
            arguments.seeds
        };
        Work::Seeds {
            first: seed,
            count,
            hours,
            time,
        }
    };
    let began = Instant::now();
    let mut out = std::io::stdout().lock();
    Ok(
        match sim::command::run(&work, &mut out, &mut || began.elapsed())? {
            Outcome::Green => 0,
            Outcome::Failed => ERRORS,
            Outcome::CouldNotRun => CANNOT,
        },
    )
}

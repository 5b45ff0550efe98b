//! Random seeds without the rest of the program: what the mutation check and long runs build.
//!
//! `seeds FIRST COUNT HOURS KEY_SERVERS MEMBERS [CALM] [any|multicast|mixed|unicast] [explain]`; numbers of boxes are
//! `LOW..HIGH`, the longest calm between two faults is in seconds.

use std::process::ExitCode;

use sim::command::{Outcome, Work, run};
use sim::form::Rekeys;
use sim::topology::{Bounds, CALM_S};

/// A seed makes and drops millions of small messages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(work) = work(&words) else {
        return ExitCode::from(2);
    };
    let outcome = run(&work, &mut std::io::stdout().lock());
    match outcome {
        Ok(Outcome::Green) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::CouldNotRun) | Err(_) => ExitCode::from(2),
    }
}

fn work(words: &[String]) -> Option<Work> {
    let [first, count, hours, servers, members, rest @ ..] = words else {
        return None;
    };
    let range = |text: &str| {
        let (low, high) = text.split_once("..")?;
        Some(low.parse().ok()?..=high.parse().ok()?)
    };
    let bounds = Bounds {
        key_servers: range(servers)?,
        members: range(members)?,
        calm_s: rest
            .iter()
            .find_map(|word| word.parse().ok())
            .unwrap_or(CALM_S),
        rekeys: rest
            .iter()
            .find_map(|word| Rekeys::of_word(word))
            .unwrap_or_default(),
    };
    let (first, hours) = (first.parse().ok()?, hours.parse().ok()?);
    Some(if rest.iter().any(|word| word == "explain") {
        Work::Explain {
            seed: first,
            hours,
            bounds,
        }
    } else {
        Work::Seeds {
            first,
            count: count.parse().ok()?,
            hours,
            bounds,
        }
    })
}

//! `getvpn bench`: what this machine gets out of this program, beside what bounds it.
//!
//! Three parts are each a ratio of two figures of one run: registrations of a key server against its
//! Diffie-Hellman, ESP against its bare cipher, hosts behind members against the same network
//! without the group. A fourth counts what key servers say to each other. Decides what is run and how often; changes nothing on the machine.

mod bound;
mod coop;
mod esp;
mod key_server;
mod load;
mod machine;
mod registration;
mod statistics;
mod throughput;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use machine::Machine;
use registration::Rounds;

/// Measure registrations, ESP and throughput on this machine, beside what bounds them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// These parts only
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Take each figure once and from little: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Where the key server's state file stands while it is measured
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    state: PathBuf,
    #[command(subcommand)]
    inner: Option<Inner>,
}

/// One thing that is measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Registrations of a key server
    Registrations,
    /// ESP without packet I/O
    Esp,
    /// Hosts behind members of the lab
    Throughput,
    /// What cooperating key servers say to each other
    Coop,
}

impl Part {
    const ALL: [Self; 4] = [Self::Registrations, Self::Esp, Self::Throughput, Self::Coop];
}

#[derive(Debug, Subcommand)]
enum Inner {
    /// The members that register, and the key server, inside namespaces of their own
    #[command(hide = true)]
    Load {
        /// The folder of the run
        folder: PathBuf,
        /// Number of the Diffie-Hellman group
        group: u16,
        /// How often ...
        rounds: usize,
        /// ... how many members register
        per_round: usize,
    },
    /// Two key servers and their members, inside namespaces of their own
    #[command(hide = true)]
    Cooperate {
        /// The folder of the run
        folder: PathBuf,
        /// How many members there are
        members: usize,
    },
}

/// How often things are measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Effort {
    /// Until the median says something.
    Full,
    /// Once.
    Quick,
}

/// What a part found out, or why it could not.
enum Found {
    Measured { text: String, json: Value },
    Skipped(String),
}

/// Runs the benchmark. The exit status: 0 when everything was measured, 1 when a part was skipped.
///
/// # Errors
/// Nothing could be measured, or nobody can read the result.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if let Some(inner) = &args.inner {
        let measured = match inner {
            Inner::Load {
                folder,
                group,
                rounds,
                per_round,
            } => load::run(folder, &Rounds::new(*group, *rounds, *per_round)?)?,
            Inner::Cooperate { folder, members } => coop::run(folder, *members)?,
        };
        say(&measured.to_string())?;
        return Ok(0);
    }
    let effort = if args.quick {
        Effort::Quick
    } else {
        Effort::Full
    };
    netio::testbed::note_interrupts();
    let machine = Machine::look();
    if !args.json {
        say(&format!("getvpn bench {machine}"))?;
    }
    let mut all = json!({ "machine": machine.to_json() });
    let mut status = 0;
    for part in Part::ALL {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        let (name, found) = match part {
            Part::Registrations => ("registrations", registration::measure(&args.state, effort)),
            Part::Esp => ("esp", esp::measure(effort)),
            Part::Throughput => ("throughput", throughput::measure(effort)),
            Part::Coop => ("coop", coop::measure(&args.state, effort)),
        };
        let found = found.unwrap_or_else(|error| Found::Skipped(format!("{error:#}")));
        if netio::testbed::interrupted() {
            anyhow::bail!("interrupted");
        }
        let (text, value) = match found {
            Found::Measured { text, json } => (text, json),
            Found::Skipped(why) => {
                status = 1;
                (format!("{name}: skipped: {why}"), json!({ "skipped": why }))
            }
        };
        if !args.json {
            say(&format!("\n{text}"))?;
        }
        if let Some(object) = all.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    }
    if args.json {
        say(&serde_json::to_string_pretty(&all)?)?;
    }
    Ok(status)
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

//! The getvpn program: verbs, exit status, wiring. Decides nothing that a box decides.

mod bench;
mod client;
mod control;
mod datagrams;
mod event_loop;
mod forward;
mod journal;
mod key_files;
mod key_pairs;
mod keylog;
mod limits;
mod logging;
mod ports;
mod resumption;
mod seal;
mod service;
mod simulate;
mod steering;
mod storage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use router::config::{self, Diagnostic, Severity};

use event_loop::{BadConfig, Setup};

/// Exit status when a configuration has errors, or a box refused.
const ERRORS: u8 = 1;
/// Exit status when something could not be done at all.
const CANNOT: u8 = 2;
/// Exit status of `check` when there are warnings only.
const WARNINGS: u8 = 3;

const SOCKET: &str = "/run/getvpn/getvpn.sock";
const STATE: &str = "/var/lib/getvpn";

/// GETVPN for Linux: group key server and group member.
#[derive(Debug, Parser)]
#[command(name = "getvpn", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a key server or group member
    Run {
        /// The configuration, IOS text
        #[arg(long)]
        config: PathBuf,
        /// The folder for what survives a restart
        #[arg(long, default_value = STATE)]
        state: PathBuf,
        /// The control socket
        #[arg(long, default_value = SOCKET)]
        socket: PathBuf,
        /// Seal the state file with the key in this file, at least 32 random octets; by default with
        /// the credential getvpn.seal of the service manager, if there is one
        #[arg(long, value_name = "FILE")]
        seal_key: Option<PathBuf>,
        /// Write session keys to a folder that Wireshark reads; for tests only
        #[arg(long)]
        keylog: Option<PathBuf>,
    },
    /// Check a configuration; exit status 0 clean, 1 errors, 3 warnings only
    Check {
        /// The configuration, IOS text
        file: PathBuf,
    },
    /// Give a running box a command; exit status 1 if it refuses
    Exec {
        /// The control socket
        #[arg(long, default_value = SOCKET)]
        socket: PathBuf,
        /// The command, for example "show crypto gdoi"
        command: String,
    },
    /// Open the command line of a running box
    Cli {
        /// The control socket
        #[arg(long, default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Close the ports with a crypto map, before there is anybody to forward for them; exit status
    /// 1 if one is not there
    Close {
        /// The configuration, IOS text
        #[arg(long)]
        config: PathBuf,
        /// Wait that long for devices that are not there yet
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Take the steering away from the ports with a crypto map: they forward in clear
    Release {
        /// The configuration, IOS text
        #[arg(long)]
        config: PathBuf,
    },
    /// Measure registrations, ESP and throughput on this machine, beside what bounds them
    Bench(bench::Args),
    /// Build networks of namespaces with the real program in the routers
    Lab(lab::Args),
    /// Let the guide's network live in virtual time, under random faults or a scenario
    Sim(simulate::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Run {
            config,
            state,
            socket,
            seal_key,
            keylog,
        } => {
            let setup = Setup {
                config,
                state,
                socket,
                seal_key: seal_key.or_else(seal::credential),
                keylog,
            };
            event_loop::run(&setup).map(|()| 0)
        }
        Verb::Check { file } => check(&file),
        Verb::Exec { socket, command } => client::exec(&socket, &command),
        Verb::Cli { socket } => client::cli(&socket),
        Verb::Close { config, wait } => steering::close(&config, Duration::from_secs(wait)),
        Verb::Release { config } => steering::release(&config),
        Verb::Sim(arguments) => simulate::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Lab(arguments) => {
            let status = lab::main(arguments);
            return ExitCode::from(u8::try_from(status).unwrap_or(CANNOT));
        }
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(&format!("getvpn: {error:#}"));
            let status = if error.is::<BadConfig>() {
                ERRORS
            } else {
                CANNOT
            };
            ExitCode::from(status)
        }
    }
}

fn check(file: &Path) -> Result<u8> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let (found, errors) = match config::parse(&name, &text) {
        Ok(parsed) => (parsed.warnings, false),
        Err(found) => (found, true),
    };
    write_diagnostics(&found);
    Ok(
        if errors || found.iter().any(|one| one.severity == Severity::Error) {
            ERRORS
        } else if found.is_empty() {
            0
        } else {
            WARNINGS
        },
    )
}

/// Writes each on a line of its own: `FILE:LINE: text`.
pub(crate) fn write_diagnostics(found: &[Diagnostic]) {
    for one in found {
        say(&one.to_string());
    }
}

/// A line on standard error.
fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

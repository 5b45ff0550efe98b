//! `show version`: what runs here, and since when.

use std::fmt;

use serde::Serialize;

use super::clock::civil_text;
use super::{Context, Page, Show};
use crate::cli::grammar::Syntax;
use policy::WallClock;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show version",
        help: &[
            ("show", "Show running system information"),
            ("version", "Software version and uptime"),
        ],
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The host name.
    pub hostname: String,
    /// The program's version.
    pub version: String,
    /// How long the program has been running, seconds.
    pub uptime_s: u64,
    /// When it started, by today's wall clock.
    pub started: String,
    /// The kernel's interfaces.
    pub interfaces: Vec<String>,
}

/// The program.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let uptime = context.now.since(context.started);
    let uptime_ms = i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX);
    let started = WallClock {
        unix_ms: context.wall.unix_ms.saturating_sub(uptime_ms),
        ..context.wall
    };
    View {
        hostname: context.config.host().to_owned(),
        version: context.version.to_owned(),
        uptime_s: uptime.as_secs(),
        started: civil_text(started),
        interfaces: context
            .interfaces
            .iter()
            .map(|own| own.shown().to_owned())
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "getvpn Software, Version {}", self.version)?;
        writeln!(f, "GETVPN key server and group member (GDOI, RFC 6407)\n")?;
        writeln!(
            f,
            "{} uptime is {}",
            self.hostname,
            uptime_text(self.uptime_s)
        )?;
        writeln!(f, "System started at {}\n", self.started)?;
        writeln!(f, "Network interfaces: {}", self.interfaces.join(", "))
    }
}

/// `1 day, 2 hours, 3 minutes`; seconds only while there is no minute.
fn uptime_text(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (if seconds < 60 { seconds } else { 0 }, "second"),
    ];
    let words: Vec<_> = parts
        .into_iter()
        .filter(|(n, unit)| *n > 0 || (*unit == "second" && seconds == 0))
        .map(|(n, unit)| format!("{n} {unit}{}", if n == 1 { "" } else { "s" }))
        .collect();
    words.join(", ")
}

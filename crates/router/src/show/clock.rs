//! `show clock [detail]`: the wall clock, and whether the kernel says that it is synchronised
//! (mission row 14). Nothing but stamps depends on it.

use std::fmt;

use policy::WallClock;
use serde::Serialize;

use super::{Context, Page, Show};
use crate::cli::grammar::Syntax;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show clock [ detail ]",
        help: &[
            ("show", "Show running system information"),
            ("clock", "Display the system clock"),
            ("detail", "Display detailed information"),
        ],
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// `*21:06:26.469 UTC Wed Nov 13 2013`, the star while it is not synchronised.
    pub time: String,
    /// Since 1970-01-01 00:00 UTC, milliseconds.
    pub unix_ms: i64,
    /// `NTP` or `hardware calendar`.
    pub source: &'static str,
    /// Whether the kernel says that the clock is synchronised.
    pub is_synchronised: bool,
}

/// The clock.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let wall = context.wall;
    View {
        time: civil_text(wall),
        unix_ms: wall.unix_ms,
        source: if wall.synchronised {
            "NTP"
        } else {
            "hardware calendar"
        },
        is_synchronised: wall.synchronised,
    }
}

/// A point in time as IOS's clock shows it.
pub(crate) fn civil_text(wall: WallClock) -> String {
    let civil = wall.civil();
    format!(
        "{}{:02}:{:02}:{:02}.{:03} UTC {} {} {} {}",
        if wall.synchronised { "" } else { "*" },
        civil.hour,
        civil.minute,
        civil.second,
        civil.millisecond,
        civil.weekday_name(),
        civil.month_name(),
        civil.day,
        civil.year
    )
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.is_synchronised { "" } else { "not " };
        writeln!(f, "{}", self.time)?;
        writeln!(f, "Time source is {}", self.source)?;
        writeln!(f, "Clock is {not}synchronised")
    }
}

//! `service timestamps {debug | log} [datetime [msec] [localtime] [show-timezone] [year] | uptime]`.
//!
//! Stamps of this box always have milliseconds; the lines are kept and compared with what they ask
//! for, so that a configuration reads back as it was written (mission row 14).

use std::fmt;

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// Both stamps.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// Of debug lines.
    pub debug: Option<Stamp>,
    /// Of log lines.
    pub log: Option<Stamp>,
}

/// How lines are stamped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `uptime`.
    Uptime,
    /// `datetime` with its options.
    DateTime {
        /// `msec`.
        msec: bool,
        /// `localtime`.
        localtime: bool,
        /// `show-timezone`.
        show_timezone: bool,
        /// `year`.
        year: bool,
    },
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uptime => f.write_str("uptime"),
            Self::DateTime {
                msec,
                localtime,
                show_timezone,
                year,
            } => {
                f.write_str("datetime")?;
                for (is_set, word) in [
                    (msec, " msec"),
                    (localtime, " localtime"),
                    (show_timezone, " show-timezone"),
                    (year, " year"),
                ] {
                    if *is_set {
                        f.write_str(word)?;
                    }
                }
                Ok(())
            }
        }
    }
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "service timestamps ( debug | log ) / [ uptime | datetime [ msec ] [ localtime ] \
                  [ show-timezone ] [ year ] ]",
        help: &[
            ("service", "Modify use of network based services"),
            ("timestamps", "Timestamp debug/log messages"),
            ("debug", "Timestamp debug messages"),
            ("log", "Timestamp log messages"),
            ("datetime", "Timestamp with date and time"),
            ("uptime", "Timestamp with system uptime"),
            ("msec", "Include milliseconds in timestamp"),
            ("localtime", "Use local time zone for timestamps"),
            ("show-timezone", "Add time zone information to timestamp"),
            ("year", "Include year in timestamp"),
        ],
    },
    apply,
    examples: &[
        "service timestamps debug datetime msec",
        "service timestamp log datetime msec",
        "service timestamps log uptime",
        "service timestamps log datetime msec localtime show-timezone year",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let stamp = if line.removes() {
        None
    } else if line.has("datetime") {
        Some(Stamp::DateTime {
            msec: line.has("msec"),
            localtime: line.has("localtime"),
            show_timezone: line.has("show-timezone"),
            year: line.has("year"),
        })
    } else {
        Some(Stamp::Uptime)
    };
    if line.has("debug") {
        editor.config.timestamps.debug = stamp;
    } else {
        editor.config.timestamps.log = stamp;
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (word, stamp) in [
        ("debug", config.timestamps.debug),
        ("log", config.timestamps.log),
    ] {
        if let Some(stamp) = stamp {
            text.line(format_args!("service timestamps {word} {stamp}"));
        }
    }
}

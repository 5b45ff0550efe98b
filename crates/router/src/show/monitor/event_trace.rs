//! `show monitor event-trace gdoi ...`: the history of registrations, rekeys and COOP that every box
//! keeps (mission rows 51-55).
//!
//! `detail` adds the traceback of exits: the place in the program that reported it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use event::format::{Text, Traced};
use event::trace::Buffer;
use policy::WallClock;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::event_trace::{Entry, Selection};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show monitor event-trace gdoi ( [ merged ] @trace-selection \
                  | ( coop | exit | infra | registration | rekey ) \
                  ( @trace-selection | parameters ) )",
        help: &[
            ("show", "Show running system information"),
            ("monitor", "Monitoring different system events"),
            ("event-trace", "Trace of system events"),
            ("gdoi", "GDOI event traces"),
            ("all", "Show all the traces in current buffer"),
            ("back", "Show trace from this far back in the past"),
            ("clock", "Show trace from a specific clock time/date"),
            ("coop", "GDOI COOP Event Traces"),
            ("exit", "GDOI Exit Traces"),
            (
                "from-boot",
                "Show trace from this many seconds after booting",
            ),
            ("infra", "GDOI INFRA Event Traces"),
            ("latest", "Show latest trace events since last display"),
            ("merged", "Show entries in all event traces sorted by time"),
            ("registration", "GDOI Registration event Traces"),
            ("rekey", "GDOI Rekey event Traces"),
            ("parameters", "Parameters of the trace"),
            ("detail", "Show trace with detail"),
            ("<minutes>", "Start from this many minutes in the past"),
            (
                "<hours>",
                "Start from this many hours and minutes in the past, hhh:mm",
            ),
            ("<seconds>", "Seconds after booting"),
            ("<time>", "Start from this time, hh:mm"),
            ("<day>", "Day of the month"),
            ("<month>", "Month of the year"),
        ],
    },
    is_privileged: true,
    run: |context, line| {
        if line.has("parameters") {
            return Page::of(&parameters(context, line));
        }
        let view = view(context, line)?;
        let seen = view.seen();
        Page::of(&view).map(|page| Page { seen, ..page })
    },
};

/// How far a trace was displayed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The trace.
    pub buffer: Buffer,
    /// The number of its last entry on the page.
    pub number: u64,
}

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The traces that were asked for; one, `merged`, if they are merged.
    pub traces: Vec<Trace>,
    /// Whether the text has tracebacks, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Its keyword.
    pub kind: &'static str,
    /// The entries, oldest first.
    pub entries: Vec<Traceline>,
    #[serde(skip)]
    title: Option<&'static str>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traceline {
    /// Counts up over all traces of this box, from 1 at its start.
    pub number: u64,
    /// `*Nov  6 15:55:16.117`.
    pub time: String,
    /// Since 1970-01-01 00:00 UTC, milliseconds.
    pub unix_ms: i64,
    /// Since the start of the program, milliseconds.
    pub uptime_ms: u64,
    /// The mnemonic of the message or step.
    pub name: &'static str,
    /// What happened.
    pub text: String,
    /// The values in it by their names.
    pub fields: BTreeMap<&'static str, String>,
    /// The place in the program that reported it, if it is an exit.
    pub traceback: Option<String>,
    /// How often it came in a row.
    pub times: u64,
    #[serde(skip)]
    line: String,
    #[serde(skip)]
    buffers: Vec<Buffer>,
}

/// The entries that the line asks for.
///
/// # Errors
/// When it names a time that is none.
pub fn view(context: &Context<'_>, line: &Match) -> Result<View, Refusal> {
    let selection = selection(context, line)?;
    let named = Buffer::ALL.into_iter().find(|own| line.has(own.word()));
    let lines = |buffer: Buffer| {
        let entries = context.traces.entries(buffer, selection);
        entries.map(move |entry| Traceline::of(entry, buffer))
    };
    let traces = if line.has("merged") {
        vec![merged(Buffer::ALL.into_iter().flat_map(lines))]
    } else {
        let asked = Buffer::ALL.into_iter();
        let asked = asked.filter(|own| named.is_none_or(|named| named == *own));
        let trace = |buffer: Buffer| Trace {
            kind: buffer.word(),
            entries: lines(buffer).collect(),
            title: named.is_none().then(|| buffer.title()),
        };
        asked.map(trace).collect()
    };
    Ok(View {
        traces,
        is_detailed: line.has("detail"),
    })
}

/// All entries by their number; what is in two traces stands there once, with its traceback.
fn merged(lines: impl Iterator<Item = Traceline>) -> Trace {
    let mut by_number: BTreeMap<u64, Traceline> = BTreeMap::new();
    for line in lines {
        let buffers = line.buffers.clone();
        let of_an_exit = line.traceback.clone();
        let (own, times) = (buffers.first().copied(), line.times);
        let held = by_number.entry(line.number).or_insert_with(|| line.clone());
        if own.is_some_and(|own| !held.buffers.contains(&own)) {
            held.buffers.extend(buffers);
            held.traceback = held.traceback.take().or(of_an_exit);
            held.times = held.times.max(times);
            if own != Some(Buffer::Exit) {
                held.line = line.line;
            }
        }
    }
    Trace {
        kind: "merged",
        entries: by_number.into_values().collect(),
        title: None,
    }
}

impl Traceline {
    fn of(entry: &Entry, buffer: Buffer) -> Self {
        let mut fields = BTreeMap::new();
        let event = &entry.event;
        event.fields(&mut |name, text| {
            fields.insert(name, text);
        });
        let at = entry.at;
        let is_exit = buffer == Buffer::Exit;
        Self {
            number: entry.number,
            time: at.to_string(),
            unix_ms: at.unix_ms,
            uptime_ms: crate::show::crypto::milliseconds(entry.uptime),
            name: event.entry().mnemonic,
            text: Text(event).to_string(),
            fields,
            traceback: is_exit.then(|| entry.place.to_string()),
            times: entry.times,
            line: Traced { at, buffer, event }.to_string(),
            buffers: vec![buffer],
        }
    }
}

impl View {
    fn seen(&self) -> Vec<Seen> {
        let entries = self.traces.iter().flat_map(|trace| &trace.entries);
        let marks = entries.flat_map(|entry| {
            let number = entry.number;
            let buffers = entry.buffers.iter();
            buffers.map(move |buffer| Seen {
                buffer: *buffer,
                number,
            })
        });
        marks.collect()
    }
}

fn selection(context: &Context<'_>, line: &Match) -> Result<Selection, Refusal> {
    if line.has("back") {
        let minutes = match line.number::<u64>("minutes") {
            Ok(minutes) => minutes,
            Err(_) => hours_and_minutes(line.word("hours")?, u64::MAX)
                .ok_or_else(|| Refusal::new("% A time back is MINUTES or HOURS:MINUTES"))?,
        };
        let back = Duration::from_secs(minutes.saturating_mul(60));
        let uptime = context.now.since(context.started);
        return Ok(Selection::FromBoot(uptime.saturating_sub(back)));
    }
    if line.has("clock") {
        return clock(context.wall, line).map(Selection::Clock);
    }
    if line.has("from-boot") {
        let seconds = line.number("seconds").unwrap_or(0);
        return Ok(Selection::FromBoot(Duration::from_secs(seconds)));
    }
    Ok(if line.has("latest") {
        Selection::Latest
    } else {
        Selection::All
    })
}

/// Minutes of `hh:mm`.
fn hours_and_minutes(text: &str, hours_max: u64) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > hours_max || minutes > 59 {
        return None;
    }
    hours.checked_mul(60)?.checked_add(minutes)
}

const DAY_MS: i64 = 86_400_000;

/// `clock hh:mm [day month]`: the newest such time that is not in the future, UTC.
fn clock(wall: WallClock, line: &Match) -> Result<i64, Refusal> {
    let minutes = hours_and_minutes(line.word("time")?, 23)
        .and_then(|minutes| i64::try_from(minutes).ok())
        .ok_or_else(|| Refusal::new("% A time of the clock is HH:MM"))?;
    let today = wall.unix_ms - wall.unix_ms.rem_euclid(DAY_MS);
    let Ok(day) = line.number::<u8>("day") else {
        let at = today + minutes * 60_000;
        return Ok(if at > wall.unix_ms { at - DAY_MS } else { at });
    };
    let month = line.word("month")?;
    let is_it = |unix_ms: i64| {
        let civil = WallClock { unix_ms, ..wall }.civil();
        let names = civil.month_name().to_ascii_lowercase();
        let asked = month.to_ascii_lowercase();
        civil.day == day && asked.len() >= 3 && asked.starts_with(&names)
    };
    // A day and month name a day of the last year, or, 29 February, of the last eight.
    let days = (0..8 * 366).map(|back| today - back * DAY_MS);
    let mut starts = days.filter(|start| start + minutes * 60_000 <= wall.unix_ms);
    starts
        .find(|start| is_it(*start))
        .map(|start| start + minutes * 60_000)
        .ok_or_else(|| Refusal::new(format!("% There is no day {day} {month}")))
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, trace) in self.traces.iter().enumerate() {
            if let Some(title) = trace.title {
                let before = if place > 0 { "\n" } else { "" };
                writeln!(f, "{before}{title}:")?;
            }
            for entry in &trace.entries {
                f.write_str(&entry.line)?;
                if entry.times > 1 {
                    write!(f, ", {} times", entry.times)?;
                }
                writeln!(f)?;
                if let Some(traceback) = entry.traceback.as_ref().filter(|_| self.is_detailed) {
                    writeln!(f, "-Traceback= {traceback}")?;
                }
            }
        }
        Ok(())
    }
}

/// What `parameters` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// The trace's keyword.
    pub kind: &'static str,
    /// How many entries it holds at most.
    pub entries_max: usize,
    /// Whether its entries have a traceback.
    pub has_stacktrace: bool,
}

/// The parameters of the trace that the line names.
fn parameters(context: &Context<'_>, line: &Match) -> Parameters {
    let named = Buffer::ALL.into_iter().find(|own| line.has(own.word()));
    let buffer = named.unwrap_or(Buffer::Infra);
    Parameters {
        kind: buffer.word(),
        entries_max: context.traces.entries_max(buffer),
        has_stacktrace: buffer == Buffer::Exit,
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abled = if self.has_stacktrace {
            "enabled"
        } else {
            "disabled"
        };
        writeln!(f, "Trace has {} entries", self.entries_max)?;
        writeln!(f, "Stacktrace is {abled} by default")
    }
}

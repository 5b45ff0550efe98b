//! `logging {buffered [SIZE] | console | monitor} [LEVEL]`, each with `no`.

use super::edit::{Editor, Line, Refusal, Verb};
use super::render::Text;
use super::{Command, Config};
use crate::cli::grammar::{Incomplete, Syntax};
use crate::cli::mode::Mode;
use crate::logging::{BUFFER_BYTES, BUFFER_LEVEL};

/// Words of the severities, the most urgent first.
pub const LEVELS: [&str; 8] = [
    "emergencies",
    "alerts",
    "critical",
    "errors",
    "warnings",
    "notifications",
    "informational",
    "debugging",
];

/// Where log lines go.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// To the buffer of `show logging`.
    pub buffered: Sink<Buffered>,
    /// To the console, with the most severity number that passes.
    pub console: Sink<Option<u8>>,
    /// To terminals that asked for it.
    pub monitor: Sink<Option<u8>>,
}

impl Logging {
    /// The buffer's size in bytes, 0 with `no logging buffered`, and the largest severity number
    /// that it keeps.
    #[must_use]
    pub fn buffer(&self) -> (usize, u8) {
        match self.buffered {
            Sink::Default => (BUFFER_BYTES, BUFFER_LEVEL),
            Sink::Off => (0, BUFFER_LEVEL),
            Sink::On(Buffered { size, level }) => {
                let size = size.and_then(|size| usize::try_from(size).ok());
                (size.unwrap_or(BUFFER_BYTES), level.unwrap_or(BUFFER_LEVEL))
            }
        }
    }
}

/// What the configuration says of a sink.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Sink<T> {
    /// Nothing: the box decides.
    #[default]
    Default,
    /// `no logging ...`.
    Off,
    /// `logging ...`.
    On(T),
}

/// `logging buffered`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    /// Bytes, if the line says how many.
    pub size: Option<u32>,
    /// The largest severity number that is kept, if the line says which.
    pub level: Option<u8>,
}

const HELP: &[(&str, &str)] = &[
    ("logging", "Modify message logging facilities"),
    ("buffered", "Set buffered logging parameters"),
    ("console", "Set console logging parameters"),
    ("monitor", "Set terminal line (monitor) logging parameters"),
    ("<size>", "Logging buffer size, bytes"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "logging buffered [ @level | <size:4096-2147483647> [ @level ] ]",
            help: HELP,
        },
        apply: buffered,
        examples: &[
            "logging buffered",
            "logging buffered 16777216 debugging",
            "logging buffered 10000000",
            "logging buffered errors",
            "logging buffered 6",
        ],
    },
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "logging ( console | monitor ) [ @level ]",
            help: HELP,
        },
        apply: sink,
        examples: &[
            "logging console",
            "logging console warnings",
            "logging monitor 7",
        ],
    },
];

fn level(line: &Line) -> Option<u8> {
    let word = LEVELS
        .iter()
        .position(|word| line.has(word))
        .and_then(|n| u8::try_from(n).ok());
    word.or_else(|| line.number("level").ok())
}

fn setting<T>(line: &Line, on: impl FnOnce() -> T) -> Sink<T> {
    match line.verb {
        Verb::Set => Sink::On(on()),
        Verb::No => Sink::Off,
        Verb::Default => Sink::Default,
    }
}

fn buffered(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let size: Result<u32, Incomplete> = line.number("size");
    editor.config.logging.buffered = setting(line, || Buffered {
        size: size.ok(),
        level: level(line),
    });
    Ok(())
}

fn sink(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let logging = &mut editor.config.logging;
    let sink = if line.has("console") {
        &mut logging.console
    } else {
        &mut logging.monitor
    };
    *sink = setting(line, || level(line));
    Ok(())
}

pub(super) fn render(config: &Config, text: &mut Text) {
    let word = |level: Option<u8>| {
        level
            .and_then(|level| LEVELS.get(usize::from(level)))
            .map_or_else(String::new, |word| format!(" {word}"))
    };
    match config.logging.buffered {
        Sink::Default => {}
        Sink::Off => text.line(format_args!("no logging buffered")),
        Sink::On(Buffered { size, level }) => {
            let size = size.map_or_else(String::new, |size| format!(" {size}"));
            text.line(format_args!("logging buffered{size}{}", word(level)));
        }
    }
    for (name, sink) in [
        ("console", config.logging.console),
        ("monitor", config.logging.monitor),
    ] {
        match sink {
            Sink::Default => {}
            Sink::Off => text.line(format_args!("no logging {name}")),
            Sink::On(level) => text.line(format_args!("logging {name}{}", word(level))),
        }
    }
    text.separate();
}

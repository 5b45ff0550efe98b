//! `show logging`: the buffered log, its size, and what it has lost (mission row 12).

use std::fmt;

use serde::Serialize;

use super::{Context, Page, Show};
use crate::cli::grammar::Syntax;
use crate::config::logging::{LEVELS, Sink};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show logging",
        help: &[
            ("show", "Show running system information"),
            ("logging", "Show the contents of logging buffers"),
        ],
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// What goes to the console: a level, or `disabled`.
    pub console: String,
    /// What goes to terminals that asked for it.
    pub monitor: String,
    /// Octets that the buffer may hold.
    pub buffer_size_octets: usize,
    /// The level up to which the buffer keeps lines.
    pub buffer_level: String,
    /// Lines kept since the start.
    pub messages_logged: u64,
    /// Lines of those that later ones have pushed out.
    pub messages_overwritten: u64,
    /// When the oldest line that is still there was written.
    pub first: Option<String>,
    /// When the newest was.
    pub last: Option<String>,
    /// The lines, oldest first.
    pub lines: Vec<String>,
}

fn level(level: u8) -> String {
    let word = LEVELS
        .get(usize::from(level))
        .copied()
        .unwrap_or("debugging");
    format!("level {word}")
}

/// Where the log goes unless the configuration says otherwise: the daemon's standard error.
fn sink(sink: Sink<Option<u8>>, default: &str) -> String {
    match sink {
        Sink::Default => default.to_owned(),
        Sink::Off => "disabled".to_owned(),
        Sink::On(most) => level(most.unwrap_or(7)),
    }
}

/// The log of the box.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let status = context.logging.status();
    let config = context.config.logging;
    View {
        console: sink(config.console, "level debugging"),
        monitor: sink(config.monitor, "level debugging"),
        buffer_size_octets: status.bytes_max,
        buffer_level: level(status.level),
        messages_logged: status.logged,
        messages_overwritten: status.overwritten,
        first: status.first.map(|at| at.to_string()),
        last: status.last.map(|at| at.to_string()),
        lines: context.logging.lines().map(str::to_owned).collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (logged, lost) = (self.messages_logged, self.messages_overwritten);
        let buffer = &self.buffer_level;
        writeln!(f, "Syslog logging: enabled\n")?;
        writeln!(f, "    Console logging: {}", self.console)?;
        writeln!(f, "    Monitor logging: {}", self.monitor)?;
        writeln!(
            f,
            "    Buffer logging:  {buffer}, {logged} messages logged, {lost} overwritten"
        )?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            writeln!(f, "    First message kept: {first}, last: {last}")?;
        }
        writeln!(f, "\nLog Buffer ({} bytes):\n", self.buffer_size_octets)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

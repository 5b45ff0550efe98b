//! The log that stays in the box: `logging buffered`, read by `show logging`.
//!
//! Decides what is kept, not what is sent elsewhere: sinks are the daemon's.

use std::collections::VecDeque;

use event::Event;
use event::format::Syslog;
use policy::WallClock;

/// Bytes of the buffer unless `logging buffered` says otherwise.
pub const BUFFER_BYTES: usize = 65_536;
/// Severity that the buffer keeps unless `logging buffered` says otherwise: everything.
pub const BUFFER_LEVEL: u8 = 7;

/// The buffered log.
pub struct Logging {
    lines: VecDeque<Line>,
    bytes: usize,
    bytes_max: usize,
    level: u8,
    logged: u64,
    overwritten: u64,
}

struct Line {
    at: WallClock,
    text: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            bytes_max: BUFFER_BYTES,
            level: BUFFER_LEVEL,
            logged: 0,
            overwritten: 0,
        }
    }
}

/// What `show logging` says of the buffer beside its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes that the buffer may hold.
    pub bytes_max: usize,
    /// The severity up to which it keeps lines.
    pub level: u8,
    /// Lines kept since the start.
    pub logged: u64,
    /// Lines of those that later ones have pushed out.
    pub overwritten: u64,
    /// When the oldest line that is still there was written.
    pub first: Option<WallClock>,
    /// When the newest was.
    pub last: Option<WallClock>,
}

impl Logging {
    /// `logging buffered SIZE LEVEL`: what is held stays as far as it fits (mission row 10).
    pub fn resize(&mut self, bytes_max: usize, level: u8) {
        self.bytes_max = bytes_max;
        self.level = level;
        self.trim();
    }

    /// Writes an event down and returns its line.
    pub fn record(&mut self, at: WallClock, event: &Event) -> String {
        let text = Syslog { at, event }.to_string();
        if event.entry().severity <= self.level {
            self.bytes += text.len();
            self.logged += 1;
            self.lines.push_back(Line {
                at,
                text: text.clone(),
            });
            self.trim();
        }
        text
    }

    /// `clear logging`.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }

    /// The lines that are held, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
    }

    /// Size, level and counters.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            bytes_max: self.bytes_max,
            level: self.level,
            logged: self.logged,
            overwritten: self.overwritten,
            first: self.lines.front().map(|line| line.at),
            last: self.lines.back().map(|line| line.at),
        }
    }

    fn trim(&mut self) {
        while self.bytes > self.bytes_max {
            let Some(line) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= line.text.len();
            self.overwritten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Gdoi;

    #[test]
    fn the_newest_lines_stay_and_the_lost_ones_are_counted() {
        let mut log = Logging::default();
        let event = Event::from(Gdoi::SA_TEK_UPDATED {});
        let line = log.record(WallClock::default(), &event);
        log.resize(line.len() * 3, 5);
        for _ in 0..4 {
            log.record(WallClock::default(), &event);
        }
        assert_eq!(log.lines().count(), 3);
        assert_eq!((log.status().logged, log.status().overwritten), (5, 2));
        log.resize(1 << 24, 4);
        log.record(WallClock::default(), &event);
        assert_eq!(log.lines().count(), 3, "severity 5 is above level 4");
    }
}

//! The forms in which an event is written.

use std::fmt;

use policy::WallClock;

use crate::catalogue::Event;

/// `*Nov  6 15:55:16.117: %GDOI-5-SA_KEK_UPDATED: SA KEK was updated`.
#[derive(Copy, Clone, Debug)]
pub struct Syslog<'a> {
    /// When it happened, by the wall clock.
    pub at: WallClock,
    /// What happened.
    pub event: &'a Event,
}

impl fmt::Display for Syslog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.event)
    }
}

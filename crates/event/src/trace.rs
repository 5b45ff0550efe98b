//! The event-trace buffers of `show monitor event-trace gdoi` (mission rows 51-55), and what is
//! written down with an event.

use std::panic::Location;

/// Which buffer an event enters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// `coop`.
    Coop,
    /// `exit`: what also went wrong, with the place in the program that says so.
    Exit,
    /// `infra`.
    Infra,
    /// `registration`.
    Registration,
    /// `rekey`.
    Rekey,
}

impl Buffer {
    /// Every buffer.
    pub const ALL: [Self; 5] = [
        Self::Coop,
        Self::Exit,
        Self::Infra,
        Self::Registration,
        Self::Rekey,
    ];

    /// Its keyword.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Coop => "coop",
            Self::Exit => "exit",
            Self::Infra => "infra",
            Self::Registration => "registration",
            Self::Rekey => "rekey",
        }
    }

    /// What it holds, as `?` and the heads of pages say it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Coop => "GDOI COOP Event Traces",
            Self::Exit => "GDOI Exit Traces",
            Self::Infra => "GDOI INFRA Event Traces",
            Self::Registration => "GDOI Registration event Traces",
            Self::Rekey => "GDOI Rekey event Traces",
        }
    }
}

/// The largest severity number of what enters [`Buffer::Exit`], too: warnings and worse.
pub const EXIT_SEVERITY_MAX: u8 = 4;

/// The place in the program that reported an event. It is what a traceback decodes to, costs
/// nothing, and is the same on every box of a version.
pub type Place = &'static Location<'static>;

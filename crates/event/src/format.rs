//! The forms in which an event is written.

use std::fmt;

use policy::WallClock;

use crate::catalogue::{Event, Gdoi};
use crate::trace::Buffer;

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

/// `*Nov  6 15:55:16.117: GDOI_REKEY_EVENT: ACK_SENT: From 10.1.12.2 to ...`, the form of the event
/// traces; in the exit traces `*Nov  6 15:15:25.611: NAME:text`.
#[derive(Copy, Clone, Debug)]
pub struct Traced<'a> {
    /// When it happened, by the wall clock.
    pub at: WallClock,
    /// The buffer whose words are used.
    pub buffer: Buffer,
    /// What happened.
    pub event: &'a Event,
}

impl fmt::Display for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.event.entry().mnemonic;
        write!(f, "{}: ", self.at)?;
        let kind = match self.buffer {
            Buffer::Exit => return write!(f, "{name}:{}", Text(self.event)),
            Buffer::Coop => "COOP",
            Buffer::Infra => "INFRA",
            Buffer::Registration => "REGISTRATION",
            Buffer::Rekey => "REKEY",
        };
        // Operators look for the guide's words, and these differ from those of the log.
        if let Event::Gdoi(Gdoi::GM_RECV_REKEY {
            group,
            from,
            to,
            seq,
        }) = self.event
        {
            return write!(
                f,
                "GDOI_{kind}_EVENT: REKEY_RCVD: From {from} to {to} with seq no {seq} for the \
                 group {group}"
            );
        }
        write!(f, "GDOI_{kind}_EVENT: {name}: {}", Text(self.event))
    }
}

/// The text of an event alone.
#[derive(Copy, Clone, Debug)]
pub struct Text<'a>(pub &'a Event);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Gdoi(event) => event.fmt(f),
            Event::Crypto(event) => event.fmt(f),
            Event::Sys(event) => event.fmt(f),
            Event::Step(event) => event.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;

    #[test]
    fn the_guides_trace_lines_are_reproduced() {
        let at = WallClock {
            unix_ms: 1_383_753_316_117,
            synchronised: false,
        };
        let (from, to) = ([10, 1, 12, 2].into(), [10, 1, 13, 2].into());
        let (group, seq) = ("G1".into(), 1);
        let acknowledged = Event::from(Step::ACK_SENT {
            from,
            to,
            seq,
            group,
        });
        let group = "G1".into();
        let received = Event::from(Gdoi::GM_RECV_REKEY {
            group,
            from,
            to,
            seq,
        });
        for (event, name) in [(&acknowledged, "ACK_SENT"), (&received, "REKEY_RCVD")] {
            let traced = Traced {
                at,
                buffer: event.entry().trace,
                event,
            };
            assert_eq!(
                traced.to_string(),
                format!(
                    "*Nov  6 15:55:16.117: GDOI_REKEY_EVENT: {name}: From 10.1.12.2 to 10.1.13.2 \
                     with seq no 1 for the group G1"
                )
            );
        }
    }
}

//! `show crypto ...`, and the words that these commands share.

use std::fmt;
use std::time::Duration;

use policy::{KekSpi, Spi, Transform};

pub mod call;
pub mod gdoi;
pub mod ipsec;
pub mod isakmp;
pub mod key;
pub mod map;

/// `0x8BF147EF(2347845615)`, as the commands about SAs print an SPI.
pub(crate) fn spi_text(spi: Spi) -> String {
    format!("{spi}({})", spi.0)
}

/// Four octets of each cookie of a Rekey SA, the member's first.
pub(crate) fn cookies(spi: KekSpi) -> [String; 2] {
    [spi.initiator_cookie(), spi.responder_cookie()].map(|cookie| {
        cookie
            .iter()
            .take(4)
            .map(|octet| format!("{octet:02X}"))
            .collect()
    })
}

/// `00:05:20`; hours go on beyond a day.
pub(crate) fn hours(span: Duration) -> String {
    let s = span.as_secs();
    format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// A span in whole seconds, begun ones included: what has not happened yet is never 0 away.
pub(crate) fn seconds_until(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// A span in whole milliseconds.
pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A name in the characters that names of interfaces have on IOS: `wan.100` is `wan_100`.
pub(crate) fn interface_word(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '/' || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// A DER structure in words of four octets, eight to a line.
pub(crate) fn key_data(der: &[u8]) -> Vec<String> {
    let line = |octets: &[u8]| {
        let words: Vec<String> = octets
            .chunks(4)
            .map(|word| word.iter().map(|octet| format!("{octet:02X}")).collect())
            .collect();
        words.join(" ")
    };
    der.chunks(32).map(line).collect()
}

/// How a KEK asks for acknowledgements; 129 is getvpn's own form (PROTOCOL P8), the others are
/// RFC 8263's.
pub(crate) const fn acknowledgement_word(value: Option<u16>) -> &'static str {
    match value {
        None | Some(0) => "None",
        Some(129) => "getvpn",
        Some(_) => "RFC8263",
    }
}

/// How copies of packets are told.
#[derive(Copy, Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Replay {
    /// By the pseudotime in each packet (TBAR).
    Time {
        /// The window, seconds.
        window_s: u32,
    },
    /// By the counter of each sender.
    Counter {
        /// The window, packets.
        window_packets: u64,
    },
    /// Senders share one key and number nothing, so that copies cannot be told.
    None,
}

impl Replay {
    /// The method of a transform in a group with this TBAR window.
    #[must_use]
    pub const fn of(transform: Transform, tbar_window_s: Option<u32>) -> Self {
        match tbar_window_s {
            Some(window_s) => Self::Time { window_s },
            None if transform.is_counter_mode() => Self::Counter {
                window_packets: dataplane::limits::REPLAY_WINDOW,
            },
            None => Self::None,
        }
    }

    /// The window as one number: seconds or packets, 0 without one.
    #[must_use]
    pub const fn window(self) -> u64 {
        match self {
            Self::Time { window_s } => window_s as u64,
            Self::Counter { window_packets } => window_packets,
            Self::None => 0,
        }
    }
}

/// The line of a member's SA: `Anti-Replay(Time Based) : 4 sec interval`.
impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { window_s } => {
                write!(f, "Anti-Replay(Time Based) : {window_s} sec interval")
            }
            Self::Counter { window_packets } => {
                write!(f, "Anti-Replay(Counter Based) : {window_packets}")
            }
            Self::None => f.write_str("Anti-Replay : Disabled"),
        }
    }
}

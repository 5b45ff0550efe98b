//! The transcript of a world: who said what to whom, as the RFCs draw it.

use std::fmt::Write as _;

use policy::Time;
use wire::iana::ExchangeType;
use wire::isakmp::payload::Chain;
use wire::isakmp::{Flags, Header};

/// Lines such as `0.105 gm1 > ks1  MAIN MODE  HDR, SA, VID`.
#[derive(Default)]
pub struct Ladder {
    lines: Vec<String>,
}

impl Ladder {
    /// A datagram left.
    pub fn datagram(&mut self, now: Time, from: &str, to: &str, bytes: &[u8]) {
        self.push(now, &format!("{from} > {to}  {}", message(bytes)));
    }

    /// A box logged a line; its stamp is cut off, the ladder has its own.
    pub fn log(&mut self, now: Time, node: &str, line: &str) {
        let text = line.find('%').map_or(line, |place| &line[place..]);
        self.push(now, &format!("{node}  {text}"));
    }

    /// Something else happened.
    pub fn note(&mut self, now: Time, text: &str) {
        self.push(now, &format!("-- {text}"));
    }

    fn push(&mut self, now: Time, text: &str) {
        let millis = now.as_nanos() / 1_000_000;
        self.lines.push(format!(
            "{:>4}.{:03} {text}",
            millis / 1_000,
            millis % 1_000
        ));
    }

    /// The whole transcript.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}

/// A message in the notation of the RFCs: `HDR*` when encrypted, else its payloads.
fn message(bytes: &[u8]) -> String {
    let Ok((header, body)) = Header::split(bytes) else {
        return format!("{} octets that are no ISAKMP message", bytes.len());
    };
    let mut text = exchange(header.exchange_type);
    if header.flags.contains(Flags::ENCRYPTION) {
        let _ = write!(text, "  HDR*");
        return text;
    }
    let _ = write!(text, "  HDR");
    if let Ok(chain) = Chain::decode(header.next_payload, body) {
        for payload in chain.types() {
            let _ = write!(text, ", {payload:?}");
        }
    }
    text
}

fn exchange(exchange: ExchangeType) -> String {
    format!("{exchange:?}").replace('_', " ")
}

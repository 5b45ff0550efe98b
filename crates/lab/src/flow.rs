//! What a receiver makes of a numbered stream: lost, reordered, duplicated, and where the holes
//! are. Pure; decides what each of these words means.

use std::fmt;

use crate::limits::HOLES_KEPT;

/// Octets of the header that every datagram of a stream begins with.
pub(crate) const HEADER_LEN: usize = 24;
/// The first octets of every datagram of ours.
const MAGIC: u32 = 0x6774_6c62;

/// The header of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which stream.
    pub(crate) stream: u32,
    /// Its number in the stream, from 0.
    pub(crate) sequence: u64,
    /// When it was sent, in nanoseconds of the sender's clock.
    pub(crate) sent_ns: u64,
}

impl Header {
    /// Fills a datagram: this header, then octets that depend on the number and the place.
    pub(crate) fn fill(self, datagram: &mut [u8]) {
        datagram[..4].copy_from_slice(&MAGIC.to_be_bytes());
        datagram[4..8].copy_from_slice(&self.stream.to_be_bytes());
        datagram[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        datagram[16..24].copy_from_slice(&self.sent_ns.to_be_bytes());
        for (place, octet) in datagram[HEADER_LEN..].iter_mut().enumerate() {
            *octet = self.filler(place);
        }
    }

    fn filler(self, place: usize) -> u8 {
        (self.sequence as u8).wrapping_mul(31) ^ place as u8
    }

    /// Reads a datagram; `None` if it is none of ours or one octet is not as it was filled.
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let (header, rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let found = Self {
            stream: word(4),
            sequence: long(8),
            sent_ns: long(16),
        };
        let whole = rest
            .iter()
            .enumerate()
            .all(|(place, octet)| *octet == found.filler(place));
        (word(0) == MAGIC && whole).then_some(found)
    }
}

/// Consecutive numbers that never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The first of them.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
}

/// What arrived of one stream.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// One bit per number.
    seen: Vec<u64>,
    /// Different numbers that arrived.
    pub(crate) received: u64,
    /// Numbers below one that had arrived before.
    pub(crate) reordered: u64,
    /// Numbers that had arrived already.
    pub(crate) duplicated: u64,
    /// Datagrams that are none of the stream's, or damaged.
    pub(crate) corrupted: u64,
    /// The highest number that arrived, plus one.
    above: u64,
    /// The longest way of a datagram, in nanoseconds.
    pub(crate) delay_ns_max: u64,
    /// The shortest.
    pub(crate) delay_ns_min: Option<u64>,
    /// All of them together.
    delay_ns_sum: u64,
}

impl Arrivals {
    /// Takes a datagram that arrived at `now_ns`; false if it is none of the stream's.
    pub(crate) fn take(&mut self, stream: u32, sent: u64, now_ns: u64, datagram: &[u8]) -> bool {
        let header = Header::read(datagram);
        let Some(header) = header.filter(|header| header.stream == stream) else {
            self.corrupted += 1;
            return false;
        };
        // A number far beyond what can have been sent is damage, not a reason to grow.
        if header.sequence >= sent {
            self.corrupted += 1;
            return false;
        }
        let (word, bit) = ((header.sequence / 64) as usize, 1 << (header.sequence % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return true;
        }
        self.seen[word] |= bit;
        self.received += 1;
        if header.sequence < self.above {
            self.reordered += 1;
        }
        self.above = self.above.max(header.sequence + 1);
        let delay_ns = now_ns.saturating_sub(header.sent_ns);
        self.delay_ns_max = self.delay_ns_max.max(delay_ns);
        self.delay_ns_min = Some(self.delay_ns_min.map_or(delay_ns, |min| min.min(delay_ns)));
        self.delay_ns_sum = self.delay_ns_sum.saturating_add(delay_ns);
        true
    }

    /// The mean way of a datagram, in nanoseconds.
    pub(crate) fn delay_ns_mean(&self) -> u64 {
        self.delay_ns_sum / self.received.max(1)
    }

    /// The first holes among the numbers below `sent`.
    pub(crate) fn holes(&self, sent: u64) -> Vec<Hole> {
        let mut holes: Vec<Hole> = Vec::new();
        for number in 0..sent {
            let word = self.seen.get((number / 64) as usize).copied().unwrap_or(0);
            if word & (1 << (number % 64)) != 0 {
                continue;
            }
            let full = holes.len() == HOLES_KEPT;
            match holes.last_mut() {
                Some(hole) if hole.first + hole.count == number => hole.count += 1,
                _ if full => break,
                _ => holes.push(Hole {
                    first: number,
                    count: 1,
                }),
            }
        }
        holes
    }
}

/// The account of one stream.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The sending host.
    pub from: String,
    /// The receiving host.
    pub to: String,
    /// Datagrams that the sender's kernel took.
    pub sent: u64,
    /// Calls of the sender that its kernel refused; the datagrams were sent again.
    pub refused: u64,
    /// Different datagrams that arrived.
    pub received: u64,
    /// `sent` less `received`.
    pub lost: u64,
    /// Datagrams that arrived after one with a higher number.
    pub reordered: u64,
    /// Datagrams that arrived again.
    pub duplicated: u64,
    /// Datagrams that are not what was sent.
    pub corrupted: u64,
    /// Datagrams that reached the receiving host and found its socket full.
    pub socket_full: u64,
    /// The longest way of a datagram, in microseconds.
    pub delay_us_max: u64,
    /// The shortest.
    pub delay_us_min: u64,
    /// The mean.
    pub delay_us_mean: u64,
    /// The longest pause between two calls of the sender, in microseconds.
    pub sender_pause_us_max: u64,
    /// First number and length of the first holes.
    pub holes: Vec<(u64, u64)>,
    /// Datagrams per second that were asked for.
    pub pps: u32,
}

impl Report {
    /// Everything sent arrived once, in order, unchanged.
    pub fn is_clean(&self) -> bool {
        self.sent > 0
            && self.lost == 0
            && self.reordered == 0
            && self.duplicated == 0
            && self.corrupted == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {}  sent {}  received {}  lost {}  reordered {}  duplicated {}  corrupted {}  \
             longest way {}.{:03} ms",
            self.from,
            self.to,
            self.sent,
            self.received,
            self.lost,
            self.reordered,
            self.duplicated,
            self.corrupted,
            self.delay_us_max / 1000,
            self.delay_us_max % 1000,
        )?;
        if self.refused > 0 {
            write!(f, "  sender's queue full {}", self.refused)?;
        }
        if self.socket_full > 0 {
            write!(f, "  receiver's socket full {}", self.socket_full)?;
        }
        for (first, count) in &self.holes {
            let at_ms = first * 1000 / u64::from(self.pps.max(1));
            let (s, ms) = (at_ms / 1000, at_ms % 1000);
            write!(
                f,
                "\n    hole of {count} at number {first} (about {s}.{ms:03} s)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(sequence: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        Header {
            stream: 5,
            sequence,
            sent_ns: 1_000,
        }
        .fill(&mut bytes);
        bytes
    }

    fn arrivals(numbers: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for number in numbers {
            arrivals.take(5, 1_000, 3_500, &datagram(*number));
        }
        arrivals
    }

    #[test]
    fn all_in_order_is_neither_lost_nor_reordered() {
        let found = arrivals(&[0, 1, 2, 3]);
        assert_eq!(
            (found.received, found.reordered, found.duplicated),
            (4, 0, 0)
        );
        assert_eq!(found.delay_ns_max, 2_500);
        assert_eq!(
            (found.delay_ns_min, found.delay_ns_mean()),
            (Some(2_500), 2_500)
        );
        assert!(found.holes(4).is_empty());
    }

    #[test]
    fn a_late_one_is_reordered_and_a_second_one_duplicated() {
        let found = arrivals(&[0, 2, 1, 2, 3]);
        assert_eq!(
            (found.received, found.reordered, found.duplicated),
            (4, 1, 1)
        );
    }

    #[test]
    fn holes_are_named_with_their_length_also_at_the_end() {
        let found = arrivals(&[1, 2, 5]);
        let holes: Vec<_> = found
            .holes(8)
            .iter()
            .map(|hole| (hole.first, hole.count))
            .collect();
        assert_eq!(holes, [(0, 1), (3, 2), (6, 2)]);
    }

    #[test]
    fn damage_a_foreign_stream_and_an_impossible_number_are_corrupted() {
        let mut found = Arrivals::default();
        let mut damaged = datagram(1);
        damaged[40] ^= 1;
        assert!(!found.take(5, 1_000, 0, &damaged));
        assert!(!found.take(6, 1_000, 0, &datagram(1)));
        assert!(!found.take(5, 1_000, 0, &datagram(1_000)));
        assert!(!found.take(5, 1_000, 0, &[0; 8]));
        assert_eq!((found.corrupted, found.received), (4, 0));
    }
}

//! The event traces: always on, bounded, one ring per kind (mission rows 51-55).
//!
//! Decides what is kept and what is read. What happened comes as the events of the log and, beside
//! them, the steps that are too frequent for it. Packets that the packet path drops are counted and
//! logged and do not come here: a flood of them would wash away the history that traces are for.
//! Events hold no secrets, so traces do not either.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use event::Event;
use event::trace::{Buffer, EXIT_SEVERITY_MAX, Place};
use policy::WallClock;

use crate::limits::TRACE_ENTRIES_DEFAULT;

/// One event as it was traced.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts up over all rings, from 1.
    pub number: u64,
    /// When, by the wall clock.
    pub at: WallClock,
    /// When, since the program started.
    pub uptime: Duration,
    /// What.
    pub event: Event,
    /// The place in the program that reported it.
    pub place: Place,
    /// How often the same came in a row; only exits are counted together, so that a flood of one
    /// refusal does not wash the others away.
    pub times: u64,
}

/// Which entries are asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that are held.
    All,
    /// Those since the start plus this.
    FromBoot(Duration),
    /// Those at and after a time of the wall clock, milliseconds since 1970-01-01 00:00 UTC.
    Clock(i64),
    /// Those that were not displayed yet.
    Latest,
}

/// The traces of a box.
pub struct EventTraces {
    rings: [Ring; Buffer::ALL.len()],
    last_number: u64,
}

struct Ring {
    entries: VecDeque<Arc<Entry>>,
    entries_max: usize,
    displayed: u64,
}

impl Default for EventTraces {
    fn default() -> Self {
        Self {
            rings: Buffer::ALL.map(|_| Ring {
                entries: VecDeque::new(),
                entries_max: TRACE_ENTRIES_DEFAULT,
                displayed: 0,
            }),
            last_number: 0,
        }
    }
}

impl EventTraces {
    /// `monitor event-trace gdoi KIND size N`: what is held stays as far as it fits.
    pub fn resize(&mut self, buffer: Buffer, entries_max: usize) {
        let ring = &mut self.rings[place(buffer)];
        ring.entries_max = entries_max;
        ring.trim();
        ring.entries.shrink_to(entries_max);
    }

    /// Writes an event down: into its own ring, and into that of the exits if it is one.
    pub fn record(&mut self, at: WallClock, uptime: Duration, event: Event, reported: Place) {
        let row = event.entry();
        self.last_number += 1;
        let entry = Arc::new(Entry {
            number: self.last_number,
            at,
            uptime,
            event,
            place: reported,
            times: 1,
        });
        if row.severity <= EXIT_SEVERITY_MAX || row.trace == Buffer::Exit {
            self.rings[place(Buffer::Exit)].push_repeated(Arc::clone(&entry));
        }
        if row.trace != Buffer::Exit {
            self.rings[place(row.trace)].push(entry);
        }
    }

    /// How many entries a ring holds at most.
    #[must_use]
    pub fn entries_max(&self, buffer: Buffer) -> usize {
        self.rings[place(buffer)].entries_max
    }

    /// The entries of a ring, oldest first.
    pub fn entries(&self, buffer: Buffer, selection: Selection) -> impl Iterator<Item = &Entry> {
        let ring = &self.rings[place(buffer)];
        let displayed = ring.displayed;
        let is_asked = move |entry: &&Entry| match selection {
            Selection::All => true,
            Selection::FromBoot(uptime) => entry.uptime >= uptime,
            Selection::Clock(unix_ms) => entry.at.unix_ms >= unix_ms,
            Selection::Latest => entry.number > displayed,
        };
        ring.entries.iter().map(Arc::as_ref).filter(is_asked)
    }

    /// An operator has seen the ring's entries up to that number.
    pub fn displayed(&mut self, buffer: Buffer, number: u64) {
        let ring = &mut self.rings[place(buffer)];
        ring.displayed = ring.displayed.max(number);
    }
}

impl Ring {
    fn push(&mut self, entry: Arc<Entry>) {
        self.entries.push_back(entry);
        self.trim();
    }

    /// The newest of equal entries in a row stays, with their number.
    fn push_repeated(&mut self, mut entry: Arc<Entry>) {
        let again = |last: &mut Arc<Entry>| last.place == entry.place && last.event == entry.event;
        if let Some(last) = self.entries.pop_back_if(again) {
            Arc::make_mut(&mut entry).times = last.times + 1;
        }
        self.push(entry);
    }

    fn trim(&mut self) {
        let over = self.entries.len().saturating_sub(self.entries_max);
        self.entries.drain(..over);
    }
}

/// The ring's place in the table.
fn place(buffer: Buffer) -> usize {
    let place = Buffer::ALL.iter().position(|own| *own == buffer);
    place.expect("every buffer is in the list of all")
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;
    use event::{Gdoi, Step};

    fn numbers(traces: &EventTraces, buffer: Buffer, selection: Selection) -> Vec<u64> {
        let entries = traces.entries(buffer, selection);
        entries.map(|entry| entry.number).collect()
    }

    fn record(traces: &mut EventTraces, at_s: u64, event: impl Into<Event>) {
        let at = WallClock {
            unix_ms: i64::try_from(at_s * 1_000).unwrap() + 1_384_376_786_469,
            synchronised: true,
        };
        let uptime = Duration::from_secs(at_s);
        traces.record(at, uptime, event.into(), Location::caller());
    }

    #[test]
    fn a_ring_wraps_at_512_and_at_any_size_it_is_given() {
        let mut traces = EventTraces::default();
        for at_s in 0..600 {
            record(&mut traces, at_s, Gdoi::SA_TEK_UPDATED {});
        }
        let held = numbers(&traces, Buffer::Rekey, Selection::All);
        assert_eq!((held.len(), held[0], held[511]), (512, 89, 600));
        traces.resize(Buffer::Rekey, 1);
        assert_eq!(numbers(&traces, Buffer::Rekey, Selection::All), [600]);
        traces.resize(Buffer::Rekey, 1_000_000);
        record(&mut traces, 600, Gdoi::SA_TEK_UPDATED {});
        assert_eq!(numbers(&traces, Buffer::Rekey, Selection::All), [600, 601]);
        assert_eq!(
            traces.entries_max(Buffer::Coop),
            512,
            "the others keep theirs"
        );
    }

    #[test]
    fn warnings_are_exits_and_stay_in_their_own_ring() {
        let mut traces = EventTraces::default();
        let group = || "G1".into();
        record(&mut traces, 1, Gdoi::GM_RE_REGISTER { group: group() });
        record(&mut traces, 2, Gdoi::SA_KEK_UPDATED {});
        let what = "rekey signature";
        record(
            &mut traces,
            3,
            Step::GM_REFUSED {
                group: group(),
                what,
            },
        );
        let all = |buffer| numbers(&traces, buffer, Selection::All);
        assert_eq!(all(Buffer::Registration), [1]);
        assert_eq!(all(Buffer::Rekey), [2]);
        assert_eq!(all(Buffer::Exit), [1, 3]);
    }

    #[test]
    fn a_flood_of_one_refusal_takes_one_entry_among_the_exits() {
        let mut traces = EventTraces::default();
        record(&mut traces, 1, Gdoi::GM_RE_REGISTER { group: "G1".into() });
        for at_s in 2..1_000 {
            let (group, what) = ("G1".into(), "rekey unreadable");
            record(&mut traces, at_s, Step::GM_REFUSED { group, what });
        }
        let entries = traces.entries(Buffer::Exit, Selection::All);
        let held: Vec<_> = entries.map(|one| (one.number, one.times)).collect();
        assert_eq!(held, [(1, 1), (999, 998)]);
    }

    #[test]
    fn back_clock_and_latest_select_by_their_own_clocks() {
        let mut traces = EventTraces::default();
        for at_s in [10, 20, 30] {
            record(&mut traces, at_s, Gdoi::SA_TEK_UPDATED {});
        }
        let from = |s| Selection::FromBoot(Duration::from_secs(s));
        assert_eq!(numbers(&traces, Buffer::Rekey, from(20)), [2, 3]);
        let clock = Selection::Clock(1_384_376_786_469 + 25_000);
        assert_eq!(numbers(&traces, Buffer::Rekey, clock), [3]);
        assert_eq!(
            numbers(&traces, Buffer::Rekey, Selection::Latest),
            [1, 2, 3]
        );
        traces.displayed(Buffer::Rekey, 3);
        assert!(numbers(&traces, Buffer::Rekey, Selection::Latest).is_empty());
        record(&mut traces, 40, Gdoi::SA_TEK_UPDATED {});
        assert_eq!(numbers(&traces, Buffer::Rekey, Selection::Latest), [4]);
    }
}

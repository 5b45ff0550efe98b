//! The disk of a box: rows, how long a commit takes, and the older states that a restore brings
//! back.

use std::collections::BTreeMap;
use std::time::Duration;

use crypto::Secret;
use gdoi::machine::Record;
use policy::Time;

/// How long a commit takes on a healthy disk.
pub(crate) const COMMIT: Duration = Duration::from_micros(200);

type Rows = BTreeMap<Vec<u8>, Secret>;

/// How old the rows are that somebody restores.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// About a minute.
    Minute,
    /// About an hour.
    Hour,
}

/// A disk. Copies of older states are only kept when somebody may want them back.
#[derive(Default)]
pub(crate) struct Store {
    rows: Rows,
    slow: Option<Duration>,
    history: Option<[Kept; 2]>,
}

/// An older state: `past` was current at least one span ago.
#[derive(Default)]
struct Kept {
    past: Rows,
    recent: Rows,
    taken: Time,
}

const SPANS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3_600)];

impl Store {
    /// Keeps older states from now on.
    pub(crate) fn remember(&mut self) {
        self.history = Some(<[Kept; 2]>::default());
    }

    /// How long a commit takes from now on; `None` for a healthy disk.
    pub(crate) const fn set_slow(&mut self, commit: Option<Duration>) {
        self.slow = commit;
    }

    /// How long a commit takes.
    pub(crate) fn commit(&self) -> Duration {
        self.slow.unwrap_or(COMMIT)
    }

    /// Writes rows as one transaction.
    pub(crate) fn write(&mut self, now: Time, records: Vec<Record>) {
        if let Some(history) = &mut self.history {
            for (kept, span) in history.iter_mut().zip(SPANS) {
                if now.since(kept.taken) >= span {
                    kept.past = std::mem::replace(&mut kept.recent, self.rows.clone());
                    kept.taken = now;
                }
            }
        }
        for record in records {
            match record.value {
                Some(value) => drop(self.rows.insert(record.key, value)),
                None => drop(self.rows.remove(&record.key)),
            }
        }
    }

    /// The disk is replaced by an empty one.
    pub(crate) fn lose(&mut self) {
        self.rows.clear();
    }

    /// The rows as they were; says whether there is a state that old.
    pub(crate) fn roll_back(&mut self, age: Age) -> bool {
        let Some([minute, hour]) = &self.history else {
            return false;
        };
        let kept = match age {
            Age::Minute => minute,
            Age::Hour => hour,
        };
        if kept.past.is_empty() {
            return false;
        }
        self.rows = kept.past.clone();
        true
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What a start reads.
    pub(crate) fn rows(&self) -> Vec<Record> {
        let record = |(key, value): (&Vec<u8>, &Secret)| Record {
            key: key.clone(),
            value: Some(value.clone()),
        };
        self.rows.iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: u8) -> Vec<Record> {
        vec![Record {
            key: b"a".to_vec(),
            value: Some(Secret::new(vec![value])),
        }]
    }

    fn value(store: &Store) -> Option<u8> {
        Some(store.rows().first()?.value.as_ref()?.expose()[0])
    }

    #[test]
    fn a_restore_brings_back_what_was_there_a_span_ago() {
        let mut store = Store::default();
        store.remember();
        assert!(!store.roll_back(Age::Minute));
        for minute in 0..5 {
            store.write(Time::from_secs(60 * minute), row(minute as u8));
        }
        assert!(store.roll_back(Age::Minute));
        let restored = value(&store).expect("there was a row");
        assert!((1..=3).contains(&restored), "{restored}");
        assert!(!store.roll_back(Age::Hour));
        store.lose();
        assert_eq!((store.len(), value(&store)), (0, None));
    }
}

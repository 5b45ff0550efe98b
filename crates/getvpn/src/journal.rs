//! The journal beside the state file: rows are on disk after one write of a few sectors, and go
//! into the state file many at a time.
//!
//! A file of fixed length that holds entries, one for each batch of rows, each at a sector's
//! beginning with its place in the order and a digest. Decides what is a whole entry; when entries
//! are taken over is `storage`'s to say, which numbers the epochs of the journal: with each epoch
//! it is written anew from its beginning, and entries of other epochs are remains.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crypto::Secret;
use crypto::hash::Hash;
use gdoi::machine::Record;

use crate::limits::JOURNAL_LEN;

const MAGIC: [u8; 4] = *b"GVJ1";
/// Magic, length of the rows, epoch, index, digest.
const HEADER_LEN: usize = 4 + 4 + 8 + 8 + DIGEST_LEN;
const DIGEST_LEN: usize = 16;
/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// The open journal.
pub(crate) struct Journal {
    file: File,
    epoch: u64,
    /// The index of the next entry in this epoch.
    index: u64,
    /// Where the next entry goes.
    at: usize,
}

/// An entry that was on disk is no longer whole, although later ones are.
#[derive(Debug)]
pub(crate) struct Damaged;

impl Journal {
    /// Opens the file, or makes it; as long as it will ever be, so that no later write changes
    /// more than sectors of it.
    ///
    /// # Errors
    /// The file cannot be made, read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if file.metadata()?.len() < JOURNAL_LEN as u64 {
            file.write_all_at(&vec![0; JOURNAL_LEN], 0)?;
            file.sync_all()?;
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(Self {
            file,
            epoch: 0,
            index: 0,
            at: 0,
        })
    }

    /// The rows of an epoch, oldest first. An entry at the end that is not whole was never said to
    /// be on disk.
    ///
    /// # Errors
    /// [`Damaged`], or the file cannot be read.
    pub(crate) fn read(&self, epoch: u64) -> io::Result<Result<Vec<Record>, Damaged>> {
        let mut all = vec![0; JOURNAL_LEN];
        self.file.read_exact_at(&mut all, 0)?;
        let all = Secret::new(all);
        let all = all.expose();
        let (mut records, mut index, mut at) = (Vec::new(), 0, 0);
        while let Some((found, octets)) = all.get(at..).and_then(|rest| entry(rest, epoch))
            && found == index
            && let Some(rows) = decode(octets)
        {
            records.extend(rows);
            index += 1;
            at += (HEADER_LEN + octets.len()).next_multiple_of(SECTOR);
        }
        let mut later = (at..JOURNAL_LEN)
            .step_by(SECTOR)
            .filter_map(|at| entry(&all[at..], epoch));
        if later.any(|(found, _)| found >= index) {
            return Ok(Err(Damaged));
        }
        Ok(Ok(records))
    }

    /// Overwrites everything: what the journal holds is in the state file, and nobody is to find it here.
    ///
    /// # Errors
    /// Nothing can be written.
    pub(crate) fn wipe(&mut self) -> io::Result<()> {
        self.file.write_all_at(&vec![0; JOURNAL_LEN], 0)?;
        self.file.sync_all()
    }

    /// Begins an epoch: what the journal holds is in the state file.
    pub(crate) const fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.index = 0;
        self.at = 0;
    }

    /// Writes an entry and waits until it is on disk. `false` if there is no room for it.
    ///
    /// # Errors
    /// Nothing can be written.
    pub(crate) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record> + Clone,
    ) -> io::Result<bool> {
        let len: usize = records.clone().map(encoded_len).sum();
        let padded = (HEADER_LEN + len).next_multiple_of(SECTOR);
        if self.at + padded > JOURNAL_LEN {
            return Ok(false);
        }
        // As long as it will be: a vector that grows leaves its octets behind.
        let mut entry = Vec::with_capacity(padded);
        entry.extend_from_slice(&[0; HEADER_LEN]);
        records.for_each(|record| encode(record, &mut entry));
        let header = header((narrow(len), self.epoch, self.index), &entry[HEADER_LEN..]);
        entry[..HEADER_LEN].copy_from_slice(&header);
        entry.resize(padded, 0);
        let entry = Secret::new(entry);
        self.file.write_all_at(entry.expose(), self.at as u64)?;
        self.file.sync_data()?;
        self.at += padded;
        self.index += 1;
        Ok(true)
    }
}

fn header((len, epoch, index): (u32, u64, u64), rows: &[u8]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&len.to_be_bytes());
    header[8..16].copy_from_slice(&epoch.to_be_bytes());
    header[16..24].copy_from_slice(&index.to_be_bytes());
    let digest = Hash::Sha256.digest(&[&header[..24], rows]);
    header[24..].copy_from_slice(&digest.as_ref()[..DIGEST_LEN]);
    header
}

/// The entry at the beginning of `octets`, if it is whole and of that epoch: its index and rows.
fn entry(octets: &[u8], epoch: u64) -> Option<(u64, &[u8])> {
    let (stored, rest) = octets.split_first_chunk::<HEADER_LEN>()?;
    let len = u32::from_be_bytes(*stored[4..].first_chunk()?);
    let index = u64::from_be_bytes(*stored[16..].first_chunk()?);
    if stored[..4] != MAGIC || stored[8..16] != epoch.to_be_bytes() {
        return None;
    }
    let rows = rest.get(..usize::try_from(len).ok()?)?;
    (*stored == header((len, epoch, index), rows)).then_some((index, rows))
}

/// The length of what stands in the journal, which is shorter than 32 bits can say.
fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("no row is longer than the journal")
}

/// Octets of the two lengths before a row.
const LENGTHS_LEN: usize = 8;

fn encoded_len(record: &Record) -> usize {
    LENGTHS_LEN + record.key.len() + record.value.as_ref().map_or(0, Secret::len)
}

/// Appends a row: the lengths of its name and its value, and both. The value of a row that is
/// removed has the greatest length.
fn encode(record: &Record, entry: &mut Vec<u8>) {
    let value = record.value.as_ref();
    let value_len = value.map_or(u32::MAX, |value| narrow(value.len()));
    entry.extend_from_slice(&narrow(record.key.len()).to_be_bytes());
    entry.extend_from_slice(&value_len.to_be_bytes());
    entry.extend_from_slice(&record.key);
    entry.extend_from_slice(value.map_or(&[][..], Secret::expose));
}

fn decode(rows: &[u8]) -> Option<Vec<Record>> {
    let (mut rest, mut records) = (rows, Vec::new());
    while !rest.is_empty() {
        let name = u32::from_be_bytes(*rest.first_chunk()?);
        let value = u32::from_be_bytes(*rest.get(4..)?.first_chunk()?);
        let rows = rest.get(LENGTHS_LEN..)?;
        let (key, rows) = rows.split_at_checked(usize::try_from(name).ok()?)?;
        let (value, rows) = match value {
            u32::MAX => (None, rows),
            len => {
                let (value, rows) = rows.split_at_checked(usize::try_from(len).ok()?)?;
                (Some(Secret::copy_of(value)), rows)
            }
        };
        let key = key.to_vec();
        records.push(Record { key, value });
        rest = rows;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("getvpn-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn row(number: u8, len: usize) -> Record {
        Record {
            key: vec![number],
            value: (len > 0).then(|| Secret::new(vec![number; len])),
        }
    }

    fn names(journal: &Journal, epoch: u64) -> Option<Vec<(u8, usize)>> {
        let rows = journal.read(epoch).unwrap().ok()?;
        let len = |row: &Record| row.value.as_ref().map_or(0, Secret::len);
        Some(rows.iter().map(|row| (row.key[0], len(row))).collect())
    }

    #[test]
    fn an_epoch_holds_its_own_rows_and_none_of_before() {
        let path = path("journal-epoch");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(names(&journal, 0), Some(vec![]));
        for number in 1..=3 {
            let rows = [row(number, 700), row(number + 10, 0)];
            assert!(journal.append(rows.iter()).unwrap());
        }
        let journal = Journal::open(&path).unwrap();
        let all = vec![(1, 700), (11, 0), (2, 700), (12, 0), (3, 700), (13, 0)];
        assert_eq!(names(&journal, 0), Some(all));
        assert_eq!(names(&journal, 1), Some(vec![]));
        let mut journal = journal;
        journal.begin(1);
        assert!(journal.append([row(9, 5)].iter()).unwrap());
        assert_eq!(names(&journal, 1), Some(vec![(9, 5)]));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_entry_that_is_not_whole_ends_it_and_one_in_the_middle_is_damage() {
        let path = path("journal-torn");
        let mut journal = Journal::open(&path).unwrap();
        for number in 1..=3 {
            assert!(journal.append([row(number, 600)].iter()).unwrap());
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // Entries of two sectors each: the last octet of the third, then one of the second.
        file.write_all_at(b"?", 2 * 1_024 + 600).unwrap();
        assert_eq!(names(&journal, 0), Some(vec![(1, 600), (2, 600)]));
        file.write_all_at(&[3], 2 * 1_024 + 600).unwrap();
        assert_eq!(names(&journal, 0).unwrap().len(), 3);
        file.write_all_at(b"?", 1_024 + 600).unwrap();
        assert_eq!(names(&journal, 0), None);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_journal_takes_nothing_more_and_keeps_what_it_has() {
        let path = path("journal-full");
        let mut journal = Journal::open(&path).unwrap();
        let mut count = 0;
        while journal.append([row(1, 100_000)].iter()).unwrap() {
            count += 1;
        }
        assert_eq!(count, JOURNAL_LEN / 100_352);
        assert_eq!(names(&journal, 0).unwrap().len(), count);
        assert!(!journal.append([row(1, JOURNAL_LEN)].iter()).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}

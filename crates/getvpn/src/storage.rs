//! The state file: rows that survive a restart, in one transactional file behind a journal.
//!
//! Decides nothing about the rows' content. One writer thread makes one entry of the journal of
//! everything that waits; what may only happen once rows are on disk waits in the box until their
//! number comes back. A transaction of the state file costs several times what an entry costs, so
//! the journal is put into it when it is full, at the end, and at the next start after a crash.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use crypto::Secret;
use gdoi::machine::Record;
use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::mpsc as channel;

use crate::journal::{Damaged, Journal};
use crate::seal::Sealer;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// What stands before the rows: under which epoch entries of the journal are not yet among them.
const EPOCH: TableDefinition<'_, (), u64> = TableDefinition::new("epoch");
/// A value that only the right key opens, if the rows are sealed.
const SEAL: TableDefinition<'_, (), &[u8]> = TableDefinition::new("seal");
/// What it is, and under which name: no row has it.
const SEALED: (&[u8], &[u8]) = (b"", b"sealed");
const FILE: &str = "state.redb";
/// A state file in the making.
const NEW_FILE: &str = "state.redb.new";
const JOURNAL: &str = "state.journal";
const LOCK: &str = "lock";

/// The state folder is in use by another process.
#[derive(Debug)]
pub(crate) struct InUse {
    folder: PathBuf,
    pid: String,
}

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (folder, pid) = (self.folder.display(), &self.pid);
        write!(f, "{folder} is in use by getvpn process {pid}")
    }
}

impl std::error::Error for InUse {}

/// The locked state folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as the process lives; the kernel lets go of it whatever ends the process.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// [`InUse`], or the folder cannot be made or written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the state folder {}", path.display()))?;
        let context = || format!("cannot write to the state folder {}", path.display());
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(context)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .with_context(context)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Without the number the message still says what is wrong.
                let _ = lock.read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                let folder = path.to_owned();
                return Err(InUse { folder, pid }.into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        lock.set_len(0).with_context(context)?;
        writeln!(lock, "{}", std::process::id()).with_context(context)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Opens the state file and reads what is in it. With a sealer its rows are sealed, those of before
    /// too.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is sealed otherwise; the message says what to do.
    pub(crate) fn load(&self, sealer: Option<Sealer>) -> Result<(Store, Vec<Record>)> {
        let path = self.path.join(FILE);
        let _ = std::fs::remove_file(self.path.join(NEW_FILE));
        let database = self.database(FILE)?;
        let journal_path = self.path.join(JOURNAL);
        let journal = Journal::open(&journal_path)
            .with_context(|| format!("cannot open {}", journal_path.display()))?;
        let mut store =
            Store::open(database, journal).map_err(|error| self.explain(&journal_path, &error))?;
        let mark = mark(&store.database).map_err(|error| self.explain(&path, &error))?;
        match (&sealer, &mark) {
            (Some(sealer), Some(mark)) if sealer.open(SEALED.0, mark).is_err() => bail!(
                "the state file {} is sealed with another key than {}",
                path.display(),
                sealer.file.display()
            ),
            (None, Some(_)) => bail!(
                "the state file {} is sealed: name the file of its key with --seal-key",
                path.display()
            ),
            (Some(_), None | Some(_)) | (None, None) => {}
        }
        let mut rows = read(&store.database).map_err(|error| self.explain(&path, &error))?;
        if let Some(sealer) = sealer {
            if mark.is_none() {
                store = self.sealed(store, sealer, &rows)?;
            } else {
                open_all(&sealer, &mut rows).map_err(|error| self.explain(&path, &error))?;
                store.sealer = Some(sealer);
            }
        }
        Ok((store, rows))
    }

    fn database(&self, name: &str) -> Result<Database> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        FileBackend::new(file)
            .and_then(|backend| redb::Builder::new().create_with_backend(backend))
            .map_err(|error| self.explain(&path, &error.into()))
    }

    /// The rows in a new file, sealed: the pages of the one before may hold them in clear for ever.
    fn sealed(&self, mut store: Store, sealer: Sealer, rows: &[Record]) -> Result<Store> {
        let path = self.path.join(NEW_FILE);
        store.journal.wipe()?;
        let Store { journal, epoch, .. } = store;
        let mut sealed = Store {
            database: self.database(NEW_FILE)?,
            journal,
            epoch,
            journalled: BTreeMap::new(),
            sealer: Some(sealer),
        };
        sealed.seal()?;
        sealed.transfer(rows.to_vec())?;
        std::fs::rename(&path, self.path.join(FILE))
            .and_then(|()| File::open(&self.path)?.sync_all())
            .with_context(|| format!("cannot put {} in its place", path.display()))?;
        Ok(sealed)
    }

    fn explain(&self, path: &Path, error: &anyhow::Error) -> anyhow::Error {
        let path = path.display();
        anyhow!(
            "the state file {path} cannot be used: {error}. If it is damaged, move the folder's files \
             away and start again: a member registers anew; a key server takes its marks back from \
             its peers, or, alone, founds the group anew with other keys"
        )
    }
}

fn read(database: &Database) -> Result<Vec<Record>> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(ROWS)?;
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push(Record {
            key: key.value().to_vec(),
            value: Some(Secret::copy_of(value.value())),
        });
    }
    Ok(rows)
}

fn open_all(sealer: &Sealer, rows: &mut [Record]) -> Result<()> {
    for row in rows {
        let sealed = row.value.take().unwrap_or_default();
        let value = sealer.open(&row.key, sealed.expose());
        let value = value.map_err(|_| anyhow!("a row was not sealed by it, or was changed"))?;
        row.value = Some(value);
    }
    Ok(())
}

/// What says that the rows are sealed.
fn mark(database: &Database) -> Result<Option<Vec<u8>>> {
    let table = database.begin_read()?.open_table(SEAL)?;
    Ok(table.get(())?.map(|mark| mark.value().to_vec()))
}

/// The open state file, and the journal in front of it.
pub(crate) struct Store {
    database: Database,
    journal: Journal,
    epoch: u64,
    /// What is in the journal and not yet in the state file.
    journalled: BTreeMap<Vec<u8>, Option<Secret>>,
    sealer: Option<Sealer>,
}

impl Store {
    /// Takes over what an earlier run left in the journal.
    fn open(database: Database, journal: Journal) -> Result<Self> {
        let epoch = epoch(&database)?;
        let mut store = Self {
            database,
            journal,
            epoch,
            journalled: BTreeMap::new(),
            sealer: None,
        };
        match store.journal.read(epoch)? {
            // They are sealed already if the others are.
            Ok(records) => store.transfer_as_they_are(records)?,
            Err(Damaged) => bail!("it is damaged: an entry is not whole, but later ones are"),
        }
        Ok(store)
    }

    /// Says in the state file that its rows are sealed, and with which key.
    fn seal(&mut self) -> Result<()> {
        let Some(sealer) = &mut self.sealer else {
            return Ok(());
        };
        let mark = sealer.seal(SEALED.0, &Secret::copy_of(SEALED.1))?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(SEAL)?.insert((), mark.expose())?;
        transaction.commit()?;
        Ok(())
    }

    /// Writes rows; when it returns they are on disk.
    fn write(&mut self, records: Vec<Record>) -> Result<()> {
        let records = self.as_they_are_kept(records)?;
        if !self.journal.append(records.iter())? {
            return self.transfer_as_they_are(records);
        }
        let rows = records.into_iter().map(|record| (record.key, record.value));
        self.journalled.extend(rows);
        Ok(())
    }

    fn as_they_are_kept(&mut self, mut records: Vec<Record>) -> Result<Vec<Record>> {
        if let Some(sealer) = &mut self.sealer {
            for record in &mut records {
                if let Some(value) = &mut record.value {
                    *value = sealer.seal(&record.key, value)?;
                }
            }
        }
        Ok(records)
    }

    fn transfer(&mut self, records: Vec<Record>) -> Result<()> {
        let records = self.as_they_are_kept(records)?;
        self.transfer_as_they_are(records)
    }

    /// Puts what is in the journal, and these rows after it, into the state file. The journal begins
    /// anew in the same transaction.
    fn transfer_as_they_are(&mut self, records: Vec<Record>) -> Result<()> {
        let later = records.into_iter().map(|record| (record.key, record.value));
        self.journalled.extend(later);
        let epoch = self.epoch + 1;
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, value) in &self.journalled {
                match value {
                    Some(value) => drop(table.insert(key.as_slice(), value.expose())?),
                    None => drop(table.remove(key.as_slice())?),
                }
            }
            transaction.open_table(EPOCH)?.insert((), epoch)?;
        }
        transaction.commit()?;
        self.epoch = epoch;
        self.journal.begin(epoch);
        self.journalled.clear();
        Ok(())
    }
}

/// The epoch of the journal.
fn epoch(database: &Database) -> Result<u64> {
    // The first start makes the tables.
    let transaction = database.begin_write()?;
    transaction.open_table(ROWS)?;
    transaction.open_table(EPOCH)?;
    transaction.open_table(SEAL)?;
    transaction.commit()?;
    let table = database.begin_read()?.open_table(EPOCH)?;
    Ok(table.get(())?.map_or(0, |epoch| epoch.value()))
}

/// Rows that are to be written together, and the number that says so to the box.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) records: Vec<Record>,
}

/// What the writer says: the number of a batch that is on disk, or that nothing can be written.
pub(crate) type Done = Result<u64>;

/// The thread that writes.
pub(crate) struct Writer {
    batches: Option<mpsc::Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; it says in `done` what is on disk.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(store: Store, done: channel::UnboundedSender<Done>) -> Result<Self> {
        let (sender, batches) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("storage".into())
            .spawn(move || run(store, &batches, &done))?;
        Ok(Self {
            batches: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands rows to the thread.
    pub(crate) fn write(&self, batch: Batch) {
        // A thread that is gone has said why.
        let _ = self.batches.as_ref().map(|batches| batches.send(batch));
    }
}

impl Drop for Writer {
    /// Waits until everything that was handed over is on disk.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut store: Store, batches: &mpsc::Receiver<Batch>, done: &channel::UnboundedSender<Done>) {
    while let Ok(first) = batches.recv() {
        let (mut numbers, mut records) = (vec![first.number], first.records);
        for batch in batches.try_iter() {
            numbers.push(batch.number);
            records.extend(batch.records);
        }
        if let Err(error) = store.write(records) {
            let _ = done.send(Err(error.context("cannot write the state file")));
            return;
        }
        for number in numbers {
            let _ = done.send(Ok(number));
        }
    }
    // So that the state file has everything when the program has ended; the journal has it if not.
    let _ = store.transfer(Vec::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("getvpn-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    fn row(key: u8, value: Option<&[u8]>) -> Record {
        Record {
            key: vec![key],
            value: value.map(Secret::copy_of),
        }
    }

    fn seen(rows: Vec<Record>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let value = |row: &Record| row.value.as_ref().unwrap().expose().to_vec();
        rows.iter()
            .map(|row| (row.key.clone(), value(row)))
            .collect()
    }

    #[test]
    fn rows_are_there_after_a_restart_and_their_numbers_come_back_in_order() {
        let path = folder("storage");
        let (sender, mut done) = channel::unbounded_channel();
        {
            let folder = Folder::open(&path).unwrap();
            let (store, rows) = folder.load(None).unwrap();
            assert!(rows.is_empty());
            let writer = Writer::start(store, sender).unwrap();
            for number in 1..=50_u8 {
                writer.write(Batch {
                    number: number.into(),
                    records: vec![row(1, Some(&[number])), row(number, Some(b"x"))],
                });
            }
            writer.write(Batch {
                number: 51,
                records: vec![row(7, None), row(1, Some(b"last"))],
            });
        }
        for number in 1..=51 {
            assert_eq!(done.blocking_recv().unwrap().unwrap(), number);
        }
        let folder = Folder::open(&path).unwrap();
        let rows = seen(folder.load(None).unwrap().1);
        assert_eq!(rows.len(), 49);
        assert_eq!(rows[0], (vec![1], b"last".to_vec()));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(FILE)), 0o600);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn what_only_the_journal_has_is_there_after_a_crash() {
        let path = folder("crash");
        let written = |numbers: std::ops::Range<u8>| {
            let folder = Folder::open(&path).unwrap();
            let mut store = folder.load(None).unwrap().0;
            for number in numbers {
                store.write(vec![row(number, Some(b"new"))]).unwrap();
            }
            store.write(vec![row(1, None)]).unwrap();
            // Nothing is put into the state file any more, as if the process had been killed.
            drop(store);
        };
        written(0..10);
        written(5..40);
        let folder = Folder::open(&path).unwrap();
        let rows = seen(folder.load(None).unwrap().1);
        let numbers: Vec<u8> = rows.iter().map(|(key, _)| key[0]).collect();
        assert_eq!(numbers, (0..40).filter(|n| *n != 1).collect::<Vec<u8>>());
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn more_than_the_journal_holds_goes_into_the_state_file() {
        let path = folder("full");
        let value = [7; 60_000];
        {
            let folder = Folder::open(&path).unwrap();
            let mut store = folder.load(None).unwrap().0;
            for number in 0..100 {
                store.write(vec![row(number, Some(&value))]).unwrap();
            }
            let huge = vec![9; 2 * crate::limits::JOURNAL_LEN];
            store.write(vec![row(200, Some(&huge))]).unwrap();
            store.write(vec![row(0, Some(b"last"))]).unwrap();
        }
        let folder = Folder::open(&path).unwrap();
        let rows = seen(folder.load(None).unwrap().1);
        assert_eq!(rows.len(), 101);
        assert_eq!(rows[0].1, b"last");
        assert_eq!(rows[100].1.len(), 2 * crate::limits::JOURNAL_LEN);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_second_process_is_told_who_has_the_folder() {
        let path = folder("lock");
        let held = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err();
        assert!(error.is::<InUse>());
        let pid = std::process::id();
        assert!(
            error.to_string().ends_with(&format!("process {pid}")),
            "{error}"
        );
        drop(held);
        Folder::open(&path).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_named_with_what_to_do() {
        let path = folder("damaged");
        let folder = Folder::open(&path).unwrap();
        std::fs::write(path.join(FILE), [0x55; 8_192]).unwrap();
        let error = folder.load(None).err().unwrap().to_string();
        assert!(
            error.contains("state.redb") && error.contains("move the folder's files away"),
            "{error}"
        );
        std::fs::remove_dir_all(&path).unwrap();
    }

    fn files(path: &Path) -> Vec<u8> {
        [FILE, JOURNAL]
            .iter()
            .flat_map(|name| std::fs::read(path.join(name)).unwrap())
            .collect()
    }

    fn holds(octets: &[u8], words: &[u8]) -> bool {
        octets.windows(words.len()).any(|seen| seen == words)
    }

    #[test]
    fn what_was_there_in_clear_is_sealed_and_nothing_of_it_is_left() {
        let path = folder("seal");
        let key = crate::seal::tests::key_file("seal-key", &[3; 32]);
        let secret = b"a secret of the group";
        let load = |sealer: Option<Sealer>| Folder::open(&path).unwrap().load(sealer);
        {
            let mut store = load(None).unwrap().0;
            store.write(vec![row(1, Some(secret))]).unwrap();
            assert!(holds(&files(&path), secret), "else this proves nothing");
        }
        for number in 2..5 {
            let (mut store, rows) = load(Some(Sealer::read(&key).unwrap())).unwrap();
            let rows = seen(rows);
            assert_eq!(rows.len(), usize::from(number) - 1);
            assert!(rows.iter().all(|(_, value)| value == secret));
            store.write(vec![row(number, Some(secret))]).unwrap();
            drop(store);
            assert!(!holds(&files(&path), secret));
        }
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_file(&key).unwrap();
    }

    #[test]
    fn a_sealed_file_is_refused_without_its_key_and_with_another() {
        let path = folder("sealed");
        let [key, other] = [[3; 32], [4; 32]].map(|octets: [u8; 32]| {
            crate::seal::tests::key_file(&format!("sealed-key-{}", octets[0]), &octets)
        });
        let load = |sealer: Option<Sealer>| Folder::open(&path).unwrap().load(sealer);
        drop(load(Some(Sealer::read(&key).unwrap())).unwrap());
        let error = load(None).err().unwrap().to_string();
        assert!(error.contains("--seal-key"), "{error}");
        let error = load(Some(Sealer::read(&other).unwrap())).err().unwrap();
        assert!(error.to_string().contains("another key than"), "{error}");
        load(Some(Sealer::read(&key).unwrap())).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        for file in [key, other] {
            std::fs::remove_file(file).unwrap();
        }
    }
}

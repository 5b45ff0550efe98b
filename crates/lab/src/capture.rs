//! Watching a port of a node: a thread in its namespace reads the packet ring, and every frame goes
//! to a file, to a tally, or both. Decides when a watch starts and ends.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netio::ring::{Frame, Ring};
use netio::testbed;
use wire::pcap::{self, FileHeader, LinkType};

use crate::limits::BLOCKS_AT_ONCE;
use crate::netns;
use crate::sight::Sight;

/// How long a reader waits for frames before it looks whether it is to end; longer than the kernel
/// keeps a block that is not full.
const LOOK: Duration = Duration::from_millis(50);

/// What was captured on one port.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// Frames read.
    pub(crate) frames: u64,
    /// Frames that the kernel had no room for: with any of these the capture proves nothing.
    pub(crate) dropped: u64,
    /// What the frames were, for a watch with a tally.
    pub(crate) sight: Sight,
}

/// A capture file and how much it keeps of a packet.
pub(crate) struct Record {
    file: BufWriter<File>,
    snaplen: usize,
}

impl Record {
    /// Makes the file and writes its header.
    pub(crate) fn create(path: &std::path::Path, snaplen: u32) -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        // Whoever captures with a key log beside it captures secrets.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let file = file.with_context(|| path.display().to_string())?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let header = FileHeader {
            snap_len: snaplen,
            link_type: LinkType::ETHERNET,
        };
        file.write_all(&header.encode())?;
        Ok(Self {
            file,
            snaplen: snaplen as usize,
        })
    }
}

impl Record {
    fn write(&mut self, frame: &Frame<'_>) -> std::io::Result<()> {
        let record = pcap::Record {
            time_ns: u64::try_from(frame.at.as_nanos()).unwrap_or(u64::MAX),
            original_len: frame.wire_len,
            data: &frame.bytes[..frame.bytes.len().min(self.snaplen)],
        };
        self.file.write_all(&record.header())?;
        self.file.write_all(record.data)
    }
}

/// A running watch of one port.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    captured: Arc<Mutex<Captured>>,
    reader: JoinHandle<Result<()>>,
}

impl Watch {
    /// Starts to tally what arrives on the port; returns once the ring is open.
    pub(crate) fn start(
        namespace: &File,
        device: &str,
        sight: Sight,
        record: Option<Record>,
    ) -> Result<Self> {
        let ring = open(namespace, device, true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let captured = Arc::new(Mutex::new(Captured {
            sight,
            ..Captured::default()
        }));
        let (ended, tally) = (Arc::clone(&stop), Arc::clone(&captured));
        let reader =
            std::thread::spawn(move || run(ring, record, &tally, || ended.load(Ordering::Relaxed)));
        Ok(Self {
            stop,
            captured,
            reader,
        })
    }

    /// Looks at what was seen so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Captured) -> T) -> T {
        look(&lock(&self.captured))
    }

    /// Ends the watch and says what it saw.
    pub(crate) fn finish(self) -> Result<Captured> {
        self.stop.store(true, Ordering::Relaxed);
        netns::join(self.reader)?;
        Ok(std::mem::take(&mut *lock(&self.captured)))
    }
}

/// A tally is whole after every frame, also when its reader panicked.
fn lock(captured: &Mutex<Captured>) -> MutexGuard<'_, Captured> {
    captured.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what passes the port, both ways, to a file until the time is over or a signal comes.
pub(crate) fn record(
    namespace: &File,
    device: &str,
    record: Record,
    time: Option<Duration>,
) -> Result<Captured> {
    let ring = open(namespace, device, false)?;
    let until = time.map(|time| Instant::now() + time);
    let captured = Mutex::default();
    run(ring, Some(record), &captured, || {
        testbed::interrupted() || until.is_some_and(|until| Instant::now() >= until)
    })?;
    Ok(std::mem::take(&mut *lock(&captured)))
}

fn open(namespace: &File, device: &str, arriving_only: bool) -> Result<Ring> {
    netns::inside(namespace, || {
        Ring::open(device, arriving_only).with_context(|| format!("capture on {device}"))
    })
}

fn run(
    mut ring: Ring,
    mut record: Option<Record>,
    captured: &Mutex<Captured>,
    end: impl Fn() -> bool,
) -> Result<()> {
    let mut fault = None;
    loop {
        // Asked before the read: what arrived until then is still read, the ring's fill at most.
        let last = end();
        for _ in 0..BLOCKS_AT_ONCE {
            let more = ring.read(LOOK, |frame| {
                let mut captured = lock(captured);
                captured.frames += 1;
                captured.sight.see(frame.bytes, frame.wire_len);
                if let Some(record) = &mut record {
                    let written = record.write(&frame);
                    fault = fault.take().or_else(|| written.err());
                }
            })?;
            if !more || (!last && end()) {
                break;
            }
        }
        if let Some(fault) = fault {
            return Err(fault).context("write the capture");
        }
        if last {
            break;
        }
    }
    lock(captured).dropped = ring.dropped()?;
    if let Some(mut record) = record {
        record.file.flush().context("write the capture")?;
    }
    Ok(())
}

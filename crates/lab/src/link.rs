//! A link that delays, loses, doubles and reorders, in user space: a process that reads what leaves
//! and what arrives by one port of a plain node, and lets it go on when its time has come. What
//! happens to a packet is `sim::link`'s to say, the same as in virtual time; here frames wait for it.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netio::backend::{ClearTx, FrameRx, Offload, Received, WireTx};
use netio::netlink::Socket;
use netio::packet::PacketTx;
use netio::tap::{Tap, TapWriter};
use netio::{Wait, clock, testbed};
use policy::Time;
use policy::steer::Reentry;
use serde::{Deserialize, Serialize};
use sim::link::Way;

use crate::impair::Impairment;
use crate::limits::{LINK_BATCH, LINK_FRAME_LEN, LINK_QUEUE};

/// How long the process sleeps at most before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// The figures are written this often while something passes.
const WRITE: Duration = Duration::from_millis(200);
/// What a frame's source begins with after its time on the link: the port's filter lets it pass.
pub(crate) const PASSED: [u8; 4] = [0x02, b'g', b'v', b'l'];

/// What the process is told.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    /// The port of this namespace.
    pub(crate) device: String,
    /// Which of the lab's impaired links this is: it names the devices.
    pub(crate) number: u16,
    /// What happens to frames, each way.
    pub(crate) impairment: Impairment,
    /// Where the figures go.
    pub(crate) figures: PathBuf,
}

/// The device that brings what arrived by the port; written to, it arrives there.
pub(crate) fn arriving(number: u16) -> String {
    netio::tap::name(&format!("i{number}"))
}

/// The device that brings what is to leave by the port.
pub(crate) fn leaving(number: u16) -> String {
    netio::tap::name(&format!("o{number}"))
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// Frames that came.
    pub(crate) taken: u64,
    /// Frames that went on, second copies included.
    pub(crate) passed: u64,
    /// Frames that the dice lost.
    pub(crate) lost: u64,
    /// Frames that were sent on twice.
    pub(crate) doubled: u64,
    /// Frames that went on after one that came later.
    pub(crate) overtaken: u64,
    /// Frames for which the queue had no room.
    pub(crate) overflowed: u64,
    /// Frames that the kernel would not take, or dropped before they were read.
    pub(crate) refused: u64,
    /// Frames that wait.
    pub(crate) waiting: usize,
}

/// Frames on their way in one direction.
struct Waiting {
    way: Way,
    /// By the time when they go on, then in the order of their coming.
    frames: BTreeMap<(Time, u64), Vec<u8>>,
    next: u64,
    /// One above the highest number that went on.
    above: u64,
    figures: Figures,
}

impl Waiting {
    fn new(way: Way) -> Self {
        Self {
            way,
            frames: BTreeMap::new(),
            next: 0,
            above: 0,
            figures: Figures::default(),
        }
    }

    /// A frame comes.
    fn take(&mut self, now: Time, frame: &[u8]) {
        self.figures.taken += 1;
        let mut times = 0;
        for at in self.way.offer(now) {
            times += 1;
            if self.frames.len() >= LINK_QUEUE {
                self.figures.overflowed += 1;
                continue;
            }
            self.frames.insert((at, self.next), frame.to_vec());
            self.next += 1;
        }
        self.figures.lost += u64::from(times == 0);
        self.figures.doubled += u64::from(times > 1);
    }

    /// The frames whose time has come, in the order in which they go on.
    fn due(&mut self, now: Time) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        while let Some(entry) = self.frames.first_entry() {
            let (at, number) = *entry.key();
            if at > now {
                break;
            }
            due.push(entry.remove());
            self.figures.overtaken += u64::from(number < self.above);
            self.above = self.above.max(number + 1);
        }
        self.figures.passed += due.len() as u64;
        due
    }

    fn deadline(&self) -> Option<Time> {
        self.frames.first_key_value().map(|((at, _), _)| *at)
    }
}

/// The two directions and their ends.
struct Carrier {
    inward: Tap,
    inward_end: TapWriter,
    outward: Tap,
    outward_end: PacketTx,
    arriving: Waiting,
    leaving: Waiting,
    spaces: Vec<Vec<u8>>,
}

impl Carrier {
    fn open(order: &Order) -> Result<Self> {
        let mut netlink = Socket::open()?;
        let port = netio::link::named(&mut netlink, &order.device)?
            .with_context(|| format!("no device {}", order.device))?;
        let mac = port.mac;
        let [high, low] = order.number.to_be_bytes();
        let [a, b, c, d] = PASSED;
        let source = [a, b, c, d, high, low];
        // The outward device never sends: its own address only must not be that of the port.
        let nobody = [a, b, c, 0, high, low];
        let inward = Tap::create(
            &format!("i{}", order.number),
            port.mtu,
            Reentry {
                source,
                destination: mac,
            },
        )?;
        let outward = Tap::create(
            &format!("o{}", order.number),
            port.mtu,
            Reentry {
                source,
                destination: nobody,
            },
        )?;
        let link = order.impairment.link();
        let seed = order.impairment.seed.wrapping_mul(2);
        Ok(Self {
            inward_end: inward.writer()?,
            inward,
            outward,
            outward_end: PacketTx::open(port.index)?,
            arriving: Waiting::new(Way::new(link.clone(), seed)),
            leaving: Waiting::new(Way::new(link, seed.wrapping_add(1))),
            spaces: vec![vec![0; LINK_FRAME_LEN]; LINK_BATCH],
        })
    }

    /// Waits for frames or for a frame's time, and serves both.
    fn turn(&mut self) -> Result<()> {
        let deadlines = [self.arriving.deadline(), self.leaving.deadline()];
        let due = deadlines.into_iter().flatten().min();
        let wait = due.map_or(LOOK, |due| clock::now().until(due).min(LOOK));
        let mut waits = [
            Wait::for_input(self.inward.readable()),
            Wait::for_input(self.outward.readable()),
        ];
        netio::poll(&mut waits, Some(wait))?;
        let now = clock::now();
        read(&mut self.inward, &mut self.arriving, &mut self.spaces, now)?;
        read(&mut self.outward, &mut self.leaving, &mut self.spaces, now)?;
        for frame in self.arriving.due(now) {
            if self.inward_end.send(&frame, &Offload::NONE).is_err() {
                self.arriving.figures.refused += 1;
            }
        }
        let frames = self.leaving.due(now);
        let frames: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        self.leaving.figures.refused += self.outward_end.send(&frames) as u64;
        Ok(())
    }

    /// What became of the frames: those that arrived by the port, those that left by it.
    fn figures(&mut self) -> [Figures; 2] {
        let ends = [
            (&self.arriving, self.inward.lost()),
            (&self.leaving, self.outward.lost()),
        ];
        ends.map(|(waiting, lost)| Figures {
            refused: waiting.figures.refused + lost,
            waiting: waiting.frames.len(),
            ..waiting.figures
        })
    }
}

fn read(tap: &mut Tap, to: &mut Waiting, spaces: &mut [Vec<u8>], now: Time) -> Result<()> {
    loop {
        let mut received = [Received::default(); LINK_BATCH];
        let mut slices: Vec<_> = spaces.iter_mut().map(|one| IoSliceMut::new(one)).collect();
        let count = tap.receive(&mut slices, &mut received)?;
        for (space, received) in spaces.iter().zip(&received[..count]) {
            to.take(now, &space[..received.len]);
        }
        if count < LINK_BATCH {
            return Ok(());
        }
    }
}

/// The life of the process: open the devices, say so, carry frames until a signal comes.
pub(crate) fn carry(order: &Order, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    testbed::note_interrupts();
    let mut carrier = Carrier::open(order)?;
    let mut told = carrier.figures();
    write(&order.figures, &told)?;
    ready()?;
    let mut written = Instant::now();
    while !testbed::interrupted() {
        carrier.turn()?;
        if written.elapsed() >= WRITE {
            written = Instant::now();
            let figures = carrier.figures();
            if figures != told {
                write(&order.figures, &figures)?;
                told = figures;
            }
        }
    }
    write(&order.figures, &carrier.figures())
}

fn write(path: &Path, figures: &[Figures; 2]) -> Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, serde_json::to_vec(figures)?)
        .and_then(|()| std::fs::rename(&next, path))
        .with_context(|| path.display().to_string())
}

/// The figures that a process wrote last.
pub(crate) fn figures(path: &Path) -> Result<[Figures; 2]> {
    let octets = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&octets)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::link::Link;

    fn waiting(link: Link) -> Waiting {
        Waiting::new(Way::new(link, 1))
    }

    #[test]
    fn a_frame_goes_on_when_its_time_has_come_and_not_before() {
        let mut own = waiting(Link {
            delay: Duration::from_millis(20),
            ..Link::default()
        });
        own.take(Time::ZERO, b"one");
        own.take(Time::ZERO + Duration::from_millis(5), b"two");
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        assert!(own.due(at(19)).is_empty());
        assert_eq!(own.deadline(), Some(at(20)));
        assert_eq!(own.due(at(20)), [b"one".to_vec()]);
        assert_eq!(own.due(at(60)), [b"two".to_vec()]);
        assert_eq!(own.deadline(), None);
        let figures = own.figures;
        assert_eq!((figures.taken, figures.passed, figures.lost), (2, 2, 0));
    }

    #[test]
    fn every_frame_is_lost_passed_waiting_or_too_much_for_the_queue() {
        let mut own = waiting(Link {
            loss: 100_000,
            duplication: 50_000,
            reordering: 20_000,
            ..Link::default()
        });
        let (mut now, total) = (Time::ZERO, LINK_QUEUE as u64 * 2);
        for number in 0..total {
            now += Duration::from_micros(50);
            own.take(now, &number.to_be_bytes());
            // For half of the time nobody fetches what is due.
            if number > total / 2 {
                own.due(now);
            }
        }
        let own_figures = own.figures;
        let waiting = own.frames.len() as u64;
        assert_eq!(
            own_figures.taken - own_figures.lost + own_figures.doubled,
            own_figures.passed + waiting + own_figures.overflowed
        );
        assert!(own_figures.lost > 0 && own_figures.doubled > 0 && own_figures.overtaken > 0);
    }

    #[test]
    fn the_queue_is_bounded_and_what_it_has_no_room_for_is_counted() {
        let mut own = waiting(Link {
            delay: Duration::from_secs(1),
            ..Link::default()
        });
        for _ in 0..LINK_QUEUE + 7 {
            own.take(Time::ZERO, b"frame");
        }
        assert_eq!((own.frames.len(), own.figures.overflowed), (LINK_QUEUE, 7));
    }
}

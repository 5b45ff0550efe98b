//! The forwarding thread: moves frames between the devices and the packet pipeline.
//!
//! Decides nothing about a packet: `dataplane::Worker` does, under the snapshot that the box
//! published last. A thread of its own, without the async runtime, so that control work never
//! delays a packet.

use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arc_swap::{ArcSwapOption, Cache};
use crypto::SeededRng;
use dataplane::{FrameBuf, InterfaceId, Notice, Sink, Snapshot, Worker};
use netio::backend::{ClearTx, FrameRx, Offload, Received, WireTx};
use netio::limits::FRAME_MAX;
use netio::{Wait, clock};
use policy::Time;
use tokio::sync::mpsc as channel;

use crate::limits::{FRAMES, LOSSES_PERIOD, ORDER_WAIT};
use crate::resumption::Resumption;

/// What the box published last.
pub(crate) type Published = Arc<ArcSwapOption<Snapshot>>;

/// The four ends of one steered WAN port.
pub(crate) struct Port {
    /// The Linux device.
    pub(crate) device: String,
    /// The name by which snapshots know it.
    pub(crate) interface: String,
    /// What the stack sends.
    pub(crate) from_stack: Box<dyn FrameRx>,
    /// What the stack receives.
    pub(crate) to_stack: Box<dyn ClearTx>,
    /// What arrives.
    pub(crate) from_wire: Box<dyn FrameRx>,
    /// What leaves.
    pub(crate) to_wire: Box<dyn WireTx>,
}

/// What a forwarding thread says.
pub(crate) enum Report {
    /// What its worker noticed.
    Notices(Vec<Notice>),
    /// It cannot go on; the steering is closed then.
    Fault(anyhow::Error),
}

enum Order {
    Take(Box<Port>),
    Leave {
        device: String,
        done: mpsc::SyncSender<()>,
    },
    Stop,
}

/// The running thread.
pub(crate) struct Forwarder {
    orders: mpsc::Sender<Order>,
    waker: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts the thread without any port.
    ///
    /// # Errors
    /// No thread or pipe can be made.
    pub(crate) fn start(
        published: &Published,
        resumption: &Arc<Resumption>,
        seed: [u8; 32],
        reports: channel::Sender<Report>,
    ) -> Result<Self> {
        let (waked, waker) = io::pipe().context("cannot make a pipe")?;
        let (sender, orders) = mpsc::channel();
        let mut lane = Lane {
            worker: Worker::new(0, &mut SeededRng::from_seed(seed)),
            published: Cache::new(Arc::clone(published)),
            answers: resumption.answers(),
            resumption: Arc::clone(resumption),
            ports: Vec::new(),
            frames: (0..FRAMES)
                .map(|_| FrameBuf::with_capacity(FRAME_MAX))
                .collect(),
            received: [Received::default(); FRAMES],
            leaving: Leaving::default(),
            orders,
            waked,
            reports,
            losses_due: Time::ZERO,
        };
        let thread = std::thread::Builder::new()
            .name("forward".into())
            .spawn(move || {
                if let Err(error) = lane.run() {
                    // A full queue means that the box does not listen any more.
                    let _ = lane.reports.blocking_send(Report::Fault(error));
                }
            })
            .context("cannot start the forwarding thread")?;
        Ok(Self {
            orders: sender,
            waker,
            thread: Some(thread),
        })
    }

    /// Hands a port over; frames flow from now on.
    pub(crate) fn take(&mut self, port: Port) {
        self.order(Order::Take(Box::new(port)));
    }

    /// Lets go of a port and waits until its devices are closed.
    ///
    /// # Errors
    /// The thread does not answer.
    pub(crate) fn leave(&mut self, device: &str) -> Result<()> {
        let (done, left) = mpsc::sync_channel(1);
        self.order(Order::Leave {
            device: device.to_owned(),
            done,
        });
        left.recv_timeout(ORDER_WAIT)
            .map_err(|_| anyhow!("the forwarding thread does not let go of {device}"))
    }

    fn order(&mut self, order: Order) {
        // A thread that is gone has reported why.
        let _ = self.orders.send(order);
        let _ = self.waker.write(&[1]);
    }
}

impl Drop for Forwarder {
    /// Stops the thread and waits for it; the ports close, and with them the steering.
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Lane {
    worker: Worker,
    published: Cache<Published, Option<Arc<Snapshot>>>,
    resumption: Arc<Resumption>,
    /// How many resumptions this thread has seen answered.
    answers: u64,
    ports: Vec<Lost>,
    frames: Vec<FrameBuf>,
    received: [Received; FRAMES],
    leaving: Leaving,
    orders: mpsc::Receiver<Order>,
    waked: PipeReader,
    reports: channel::Sender<Report>,
    losses_due: Time,
}

/// A port with the losses that were counted so far.
struct Lost {
    port: Port,
    lost: u64,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Way {
    Outbound,
    Inbound,
}

impl Lane {
    fn run(&mut self) -> Result<()> {
        loop {
            let (orders, ready) = self.wait()?;
            if orders && !self.obey()? {
                return Ok(());
            }
            if orders {
                // The list of ports may have changed: ask again who is ready.
                continue;
            }
            for (place, (outbound, inbound)) in ready.into_iter().enumerate() {
                if outbound {
                    self.forward(place, Way::Outbound)?;
                }
                if inbound {
                    self.forward(place, Way::Inbound)?;
                }
            }
            self.report();
        }
    }

    /// Waits for an order or a frame: whether there are orders, and which ends of which port.
    fn wait(&mut self) -> Result<(bool, Vec<(bool, bool)>)> {
        let mut waits = Vec::with_capacity(1 + 2 * self.ports.len());
        waits.push(Wait::for_input(self.waked.as_fd()));
        for Lost { port, .. } in &self.ports {
            waits.push(Wait::for_input(port.from_stack.readable()));
            waits.push(Wait::for_input(port.from_wire.readable()));
        }
        netio::poll(&mut waits, Some(self.patience())).context("cannot wait for frames")?;
        let is_ready = |wait: &Wait<'_>| wait.ready.readable || wait.ready.closed;
        let orders = is_ready(&waits[0]);
        let ready = waits[1..]
            .chunks_exact(2)
            .map(|pair| (is_ready(&pair[0]), is_ready(&pair[1])))
            .collect();
        Ok((orders, ready))
    }

    fn patience(&self) -> Duration {
        let until = clock::now().until(self.losses_due);
        until.clamp(Duration::from_millis(1), LOSSES_PERIOD)
    }

    /// False when the thread is to end.
    fn obey(&mut self) -> Result<bool> {
        let _ = self.waked.read(&mut [0; 64])?;
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Take(port) => self.ports.push(Lost {
                    port: *port,
                    lost: 0,
                }),
                Order::Leave { device, done } => {
                    self.ports.retain(|own| own.port.device != device);
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                }
                Order::Stop => return Ok(false),
            }
        }
        Ok(true)
    }

    /// One batch of a port in one direction.
    fn forward(&mut self, place: usize, way: Way) -> Result<()> {
        let port = &mut self.ports[place].port;
        let from = match way {
            Way::Outbound => &mut port.from_stack,
            Way::Inbound => &mut port.from_wire,
        };
        let mut frames = self.frames.iter_mut();
        let mut spaces: [IoSliceMut<'_>; FRAMES] = std::array::from_fn(|_| {
            let frame = frames.next().expect("there are as many frames as spaces");
            IoSliceMut::new(frame.space())
        });
        let count = match from.receive(&mut spaces, &mut self.received) {
            Ok(count) => count,
            // The port is down for now.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => 0,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read from {}", port.device));
            }
        };
        for (frame, received) in self.frames.iter_mut().zip(&self.received[..count]) {
            frame.set_len(received.len);
        }
        // Asked before the snapshot is loaded: what is loaded after an answer is without old keys.
        let is_pending = self.resumption.pending().is_some();
        let answers = self.resumption.answers();
        if !is_pending && answers != self.answers {
            self.worker
                .reseed(&mut SeededRng::from_seed(crate::event_loop::seed()?));
            self.answers = answers;
        }
        let Some(snapshot) = self.published.load() else {
            return Ok(());
        };
        let Some(interface) = snapshot.interface_id(&port.interface) else {
            return Ok(());
        };
        if is_pending {
            for _ in 0..count {
                self.worker.count_fail_close(snapshot, interface);
            }
            return Ok(());
        }
        let mut batch = Batch {
            worker: &mut self.worker,
            snapshot,
            interface,
            now: clock::now(),
            way,
            ends: Ends {
                leaving: &mut self.leaving,
                to_stack: &mut *port.to_stack,
                to_wire: &mut *port.to_wire,
                as_received: (0, Offload::NONE),
                refused: 0,
            },
        };
        batch.process(&mut self.frames[..count], &self.received[..count]);
        Ok(())
    }

    /// Tells the box what the worker noticed, and counts what the kernel lost on the way to us.
    fn report(&mut self) {
        let notices: Vec<Notice> = self.worker.take_notices().collect();
        if !notices.is_empty() {
            // The box is behind: the counters say what is not told.
            let _ = self.reports.try_send(Report::Notices(notices));
        }
        let now = clock::now();
        if now < self.losses_due {
            return;
        }
        self.losses_due = now + LOSSES_PERIOD;
        let Some(snapshot) = self.published.load() else {
            return;
        };
        for own in &mut self.ports {
            let lost = own.port.from_stack.lost() + own.port.from_wire.lost();
            if let Some(interface) = snapshot.interface_id(&own.port.interface) {
                for _ in own.lost..lost {
                    self.worker.count_device_full(snapshot, interface);
                }
                own.lost = lost;
            }
        }
    }
}

/// Frames of one port in one direction, at one moment.
struct Batch<'a> {
    worker: &'a mut Worker,
    snapshot: &'a Snapshot,
    interface: InterfaceId,
    now: Time,
    way: Way,
    ends: Ends<'a>,
}

impl Batch<'_> {
    /// Frames in which the kernel left something undone go one by one, so that it is known which
    /// of them comes out; they are in clear and few.
    fn process(&mut self, mut frames: &mut [FrameBuf], mut received: &[Received]) {
        let special = |one: &Received| one.offload != Offload::NONE;
        while let Some(first) = received.first() {
            let count = if special(first) {
                1
            } else {
                received.iter().position(special).unwrap_or(received.len())
            };
            self.ends.as_received = (first.len, first.offload);
            let (now, left) = frames.split_at_mut(count);
            self.pass(now);
            frames = left;
            received = &received[count..];
        }
        self.ends.flush();
        for _ in 0..self.ends.refused {
            self.worker.count_device_full(self.snapshot, self.interface);
        }
    }

    fn pass(&mut self, frames: &mut [FrameBuf]) {
        let (worker, snapshot) = (&mut *self.worker, self.snapshot);
        let (interface, now) = (self.interface, self.now);
        match self.way {
            Way::Outbound => worker.outbound(snapshot, interface, now, frames, &mut self.ends),
            Way::Inbound => worker.inbound(snapshot, interface, now, frames, &mut self.ends),
        }
    }
}

/// Frames that are to leave together.
#[derive(Default)]
struct Leaving {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

/// Where the worker's frames go.
struct Ends<'a> {
    leaving: &'a mut Leaving,
    to_stack: &'a mut dyn ClearTx,
    to_wire: &'a mut dyn WireTx,
    /// Length and offload of the frame that is processed, if it is processed alone.
    as_received: (usize, Offload),
    refused: usize,
}

impl Ends<'_> {
    fn flush(&mut self) {
        let Leaving { octets, ends } = &mut *self.leaving;
        if ends.is_empty() {
            return;
        }
        let mut start = 0;
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(ends.len());
        for end in ends.iter() {
            slices.push(IoSlice::new(&octets[start..*end]));
            start = *end;
        }
        self.refused += self.to_wire.send(&slices);
        octets.clear();
        ends.clear();
    }
}

impl Sink for Ends<'_> {
    fn transmit(&mut self, frame: &[u8]) {
        self.leaving.octets.extend_from_slice(frame);
        self.leaving.ends.push(self.leaving.octets.len());
        if self.leaving.ends.len() >= FRAMES {
            self.flush();
        }
    }

    fn deliver(&mut self, frame: &[u8]) {
        // What comes out as long as it came in is the frame itself, in clear.
        let (len, offload) = self.as_received;
        let offload = if len == frame.len() {
            offload
        } else {
            Offload::NONE
        };
        if self.to_stack.send(frame, &offload).is_err() {
            self.refused += 1;
        }
    }
}

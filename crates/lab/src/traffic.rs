//! The traffic engine: constant-rate UDP between hosts, both ways, each end a thread in its host.
//! Decides pacing and when a stream is over; what the numbers mean is [`crate::flow`]'s.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::flow::{Arrivals, Header, Report};
use crate::limits::{
    TRAFFIC_BATCH, TRAFFIC_BUFFER_LEN, TRAFFIC_DRAIN, TRAFFIC_PPS_MAX, TRAFFIC_SIZE,
};
use crate::netns;
use crate::probe::Host;

/// A sender wakes up this often.
const TICK: Duration = Duration::from_millis(1);
/// A receiver looks this often whether its sender is done.
const RECEIVE_TIMEOUT_MS: u32 = 50;

/// The shape of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Datagrams per second.
    pub(crate) pps: u32,
    /// Octets of UDP payload.
    pub(crate) size: usize,
}

impl Shape {
    /// Says what cannot be sent.
    pub(crate) fn check(self) -> Result<()> {
        if !(1..=TRAFFIC_PPS_MAX).contains(&self.pps) {
            bail!("{} packets/s: expected 1 to {TRAFFIC_PPS_MAX}", self.pps);
        }
        if !TRAFFIC_SIZE.contains(&self.size) {
            let (least, most) = (TRAFFIC_SIZE.start(), TRAFFIC_SIZE.end());
            bail!("{} octets: expected {least} to {most}", self.size);
        }
        Ok(())
    }
}

/// What the two ends of a stream know of each other.
#[derive(Debug, Default)]
struct Shared {
    /// The sender is to stop.
    stop: AtomicBool,
    /// Datagrams that were handed to the kernel, counted before they are.
    sent: AtomicU64,
    /// The sender has ended.
    done: AtomicBool,
}

/// What a sender tells at its end.
struct Sent {
    sent: u64,
    refused: u64,
    pause_us_max: u64,
}

struct Stream {
    from: String,
    to: String,
    shared: Arc<Shared>,
    sender: JoinHandle<Result<Sent>>,
    receiver: JoinHandle<Result<(Arrivals, u64)>>,
}

/// Running streams.
pub(crate) struct Traffic {
    shape: Shape,
    streams: Vec<Stream>,
}

impl Traffic {
    /// Starts streams between each pair, both ways. All sockets are open when this returns.
    pub(crate) fn start(pairs: &[(&Host, &Host)], shape: Shape) -> Result<Self> {
        shape.check()?;
        let epoch = Instant::now();
        let mut streams = Vec::new();
        for (a, b) in pairs {
            for (from, to) in [(a, b), (b, a)] {
                let number = streams.len() as u32;
                streams.push(stream(from, to, shape, number, epoch)?);
            }
        }
        Ok(Self { shape, streams })
    }

    /// Stops the senders, waits for what is under way, and reports stream by stream.
    pub(crate) fn finish(self) -> Result<Vec<Report>> {
        for stream in &self.streams {
            stream.shared.stop.store(true, Ordering::Relaxed);
        }
        let shape = self.shape;
        self.streams
            .into_iter()
            .map(|stream| stream.report(shape))
            .collect()
    }
}

impl Stream {
    fn report(self, shape: Shape) -> Result<Report> {
        let sent = netns::join(self.sender);
        // Set also when the sender failed, or its receiver would wait for good.
        self.shared.done.store(true, Ordering::Release);
        let (arrivals, socket_full) = netns::join(self.receiver)?;
        let sent = sent?;
        let lost = sent.sent - arrivals.received;
        let holes = if lost == 0 {
            Vec::new()
        } else {
            arrivals.holes(sent.sent)
        };
        Ok(Report {
            from: self.from,
            to: self.to,
            sent: sent.sent,
            refused: sent.refused,
            received: arrivals.received,
            lost,
            reordered: arrivals.reordered,
            duplicated: arrivals.duplicated,
            corrupted: arrivals.corrupted,
            socket_full,
            delay_us_max: arrivals.delay_ns_max / 1000,
            delay_us_min: arrivals.delay_ns_min.unwrap_or(0) / 1000,
            delay_us_mean: arrivals.delay_ns_mean() / 1000,
            sender_pause_us_max: sent.pause_us_max,
            holes: holes.iter().map(|hole| (hole.first, hole.count)).collect(),
            pps: shape.pps,
        })
    }
}

fn stream(from: &Host, to: &Host, shape: Shape, number: u32, epoch: Instant) -> Result<Stream> {
    let open = |host: &Host| {
        let at = (host.address, 0);
        netns::inside(&host.namespace, || {
            let socket = UdpSocket::bind(at).with_context(|| format!("UDP socket {at:?}"))?;
            testbed::set_buffers(&socket, TRAFFIC_BUFFER_LEN)?;
            Ok(socket)
        })
    };
    let (sending, receiving) = (open(from)?, open(to)?);
    sending
        .connect(receiving.local_addr()?)
        .context("connect")?;
    receiving
        .connect(sending.local_addr()?)
        .context("connect")?;
    testbed::set_receive_timeout(&receiving, RECEIVE_TIMEOUT_MS)?;
    let shared = Arc::new(Shared::default());
    let seen = Arc::clone(&shared);
    let receiver = netns::spawn(&to.namespace, move || {
        receive(&receiving, shape, number, epoch, &seen)
    })?;
    let seen = Arc::clone(&shared);
    let sender = netns::spawn(&from.namespace, move || {
        let sent = send(&sending, shape, number, epoch, &seen);
        seen.done.store(true, Ordering::Release);
        sent
    })?;
    Ok(Stream {
        from: from.name.clone(),
        to: to.name.clone(),
        shared,
        sender,
        receiver,
    })
}

fn nanoseconds(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn send(
    socket: &UdpSocket,
    shape: Shape,
    stream: u32,
    epoch: Instant,
    shared: &Shared,
) -> Result<Sent> {
    let mut batch = testbed::Batch::new(TRAFFIC_BATCH, shape.size);
    let begin = Instant::now();
    let mut last = begin;
    let mut told = Sent {
        sent: 0,
        refused: 0,
        pause_us_max: 0,
    };
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let pause = now.duration_since(last).as_micros();
        told.pause_us_max = told
            .pause_us_max
            .max(u64::try_from(pause).unwrap_or(u64::MAX));
        last = now;
        let elapsed_us = u64::try_from(now.duration_since(begin).as_micros())?;
        let due = elapsed_us * u64::from(shape.pps) / 1_000_000;
        while told.sent < due {
            let count = (due - told.sent).min(TRAFFIC_BATCH as u64);
            let sent_ns = nanoseconds(epoch);
            for index in 0..count {
                let header = Header {
                    stream,
                    sequence: told.sent + index,
                    sent_ns,
                };
                header.fill(batch.datagram(index as usize));
            }
            shared.sent.store(told.sent + count, Ordering::Release);
            match batch.send(socket, count as usize) {
                Ok(taken) => told.sent += taken as u64,
                // A full queue is no loss yet: the same numbers are offered again.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    told.refused += 1;
                    break;
                }
                // What an ICMP error of the way said; the datagram itself was not sent.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {
                    told.refused += 1;
                    break;
                }
                Err(error) => return Err(error).context("send"),
            }
        }
        std::thread::sleep(TICK);
    }
    shared.sent.store(told.sent, Ordering::Release);
    Ok(told)
}

fn receive(
    socket: &UdpSocket,
    shape: Shape,
    stream: u32,
    epoch: Instant,
    shared: &Shared,
) -> Result<(Arrivals, u64)> {
    let mut batch = testbed::Batch::new(TRAFFIC_BATCH, shape.size);
    let mut lengths = Vec::with_capacity(TRAFFIC_BATCH);
    let mut arrivals = Arrivals::default();
    let mut last_arrival = Instant::now();
    loop {
        batch.receive(socket, &mut lengths).context("receive")?;
        let now_ns = nanoseconds(epoch);
        let sent = shared.sent.load(Ordering::Acquire);
        for (index, len) in lengths.iter().enumerate() {
            let datagram = &batch.datagram(index)[..*len];
            let whole = if datagram.len() == shape.size {
                datagram
            } else {
                &[]
            };
            arrivals.take(stream, sent, now_ns, whole);
        }
        if !lengths.is_empty() {
            last_arrival = Instant::now();
        }
        if shared.done.load(Ordering::Acquire) {
            let all = arrivals.received == shared.sent.load(Ordering::Acquire);
            // A moment longer even when all are there: a duplicate comes after its original.
            let wait = if all {
                TRAFFIC_DRAIN / 10
            } else {
                TRAFFIC_DRAIN
            };
            if last_arrival.elapsed() > wait {
                return Ok((arrivals, socket_drops(socket)));
            }
        }
    }
}

/// Datagrams that the kernel dropped at this socket because its buffer was full.
fn socket_drops(socket: &UdpSocket) -> u64 {
    testbed::receive_drops(socket.as_raw_fd()).unwrap_or(0)
}

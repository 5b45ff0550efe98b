//! The packet path of a group member: clear packets in, ESP out, and back.
//!
//! Sans-I/O: frames, time and randomness are handed in. [`Control`] is the router's end: it takes
//! [`Update`]s and makes immutable [`Snapshot`]s. A [`Worker`] belongs to one forwarding thread and
//! processes batches of frames in place under a snapshot; what becomes of them goes to a [`Sink`].
//! No lock is taken and nothing is allocated for a packet, but for the first that is heard of a
//! sender and for notices, which are limited in rate.
//!
//! Deliberately not here: where frames come from and go to (netio), threads and the swap of
//! snapshots (getvpn), what an update is due to (gdoi, router).
//!
//! ```
//! use dataplane::{Control, FrameBuf, InterfaceFacts, Sink, Update, Worker};
//! use policy::Time;
//!
//! #[derive(Default)]
//! struct Port { wan: Vec<Vec<u8>>, lan: Vec<Vec<u8>> }
//! impl Sink for Port {
//!     fn transmit(&mut self, frame: &[u8]) { self.wan.push(frame.to_vec()); }
//!     fn deliver(&mut self, frame: &[u8]) { self.lan.push(frame.to_vec()); }
//! }
//!
//! // The router: a crypto map on an interface. Outputs of the group machine follow as updates.
//! let mut control = Control::new(1);
//! let facts = InterfaceFacts { name: "Serial1/0".into(), groups: vec!["G1".into()], mtu: 1500 };
//! control.apply(Time::ZERO, Update::Attach(facts))?;
//! let snapshot = control.snapshot();
//! let wan = snapshot.interface_id("Serial1/0").expect("it was just attached");
//!
//! // The forwarding thread: read a frame, process, write what comes out.
//! let mut worker = Worker::new(0, &mut crypto::SeededRng::from_number(1));
//! let mut frames = [FrameBuf::with_capacity(1_518)];
//! let mut port = Port::default();
//! let ping = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\
//!     \x45\0\0\x14\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02";
//! assert!(frames[0].load(ping));
//! worker.outbound(&snapshot, wan, Time::ZERO, &mut frames, &mut port);
//!
//! // No policy has come yet: nothing leaves, and the counter says why.
//! assert!(port.wan.is_empty() && port.lan.is_empty());
//! let totals = control.interface_totals(wan);
//! assert_eq!(totals.drops.of(event::DropReason::FailClose), 1);
//! # Ok::<(), dataplane::Refusal>(())
//! ```

#![forbid(unsafe_code)]

mod acl;
mod control;
mod counters;
mod engine;
mod esp;
mod fail_close;
mod flow;
mod fragment;
mod frame;
#[cfg(test)]
mod golden;
mod group;
mod inbound;
pub mod limits;
pub mod measure;
mod notice;
mod outbound;
mod packet;
mod pmtu;
mod replay;
mod sadb;
mod snapshot;
mod worker;

pub use control::{Control, InterfaceFacts, Refusal, Update};
pub use counters::{Drops, Hits, Totals};
pub use engine::{AwsLc, Engine, Job};
pub use frame::FrameBuf;
pub use notice::{Happening, Notice};
pub use sadb::{Sa, TekKey};
pub use snapshot::Snapshot;
pub use worker::Worker;

/// A protected interface, by the number that [`Snapshot::interface_id`] gives.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(u16);

impl InterfaceId {
    /// The interface that was attached first.
    pub const FIRST: Self = Self(0);
}

/// Where frames go. What cannot be passed on is the sink's to count
/// ([`Worker::count_device_full`]).
pub trait Sink {
    /// The frame leaves through the WAN port, past the steering.
    fn transmit(&mut self, frame: &[u8]);
    /// The frame enters the kernel as if it had arrived at the WAN port.
    fn deliver(&mut self, frame: &[u8]);
}

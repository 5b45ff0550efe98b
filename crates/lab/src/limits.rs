//! Every limit of the lab on one screen.

use std::time::Duration;

/// Nodes of one topology.
pub(crate) const NODES_MAX: usize = 256;
/// Links of one topology.
pub(crate) const LINKS_MAX: usize = 1024;
/// Octets of a Linux device name (IFNAMSIZ less its NUL).
pub(crate) const DEVICE_NAME_MAX: usize = 15;
/// Octets of a lab's or a node's name: both stand in the name of a namespace.
pub(crate) const NAME_MAX: usize = 24;

/// A router answers on its socket within this time after its start.
pub(crate) const ROUTER_UP_MAX: Duration = Duration::from_secs(5);
/// A command of a router is answered within this time (an RSA key of 4096 bits is made in it).
pub(crate) const COMMAND_MAX: Duration = Duration::from_secs(30);
/// A key server serves its groups within this time after its key pair was ordered.
pub(crate) const KEY_MADE_MAX: Duration = Duration::from_secs(15);
/// A process that was asked to stop is killed after this time.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(2);
/// All members are registered within this time after the key server got its rekey key.
pub(crate) const REGISTERED_MAX: Duration = Duration::from_secs(10);
/// Members send on the new key within this time after `crypto gdoi ks rekey`.
pub(crate) const NEW_KEY_MAX: Duration = Duration::from_secs(12);
/// A member that was killed passes traffic again within this time after its start.
pub(crate) const BACK_MAX: Duration = Duration::from_secs(3);
/// A dead primary is replaced within this time, with keepalives between key servers.
pub(crate) const TAKE_OVER_MAX: Duration = Duration::from_secs(5);
/// After a split has healed one key server leads within this time.
pub(crate) const MERGE_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks at something that is awaited.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Frames that wait on one direction of an impaired cable.
pub(crate) const LINK_QUEUE: usize = 10_000;
/// Frames that are read from one direction of it at once.
pub(crate) const LINK_BATCH: usize = 32;
/// Octets of the longest frame that an impaired cable carries.
pub(crate) const LINK_FRAME_LEN: usize = 9_216;
/// The longest time that a frame can be delayed, or be held up by jitter.
pub(crate) const LINK_DELAY_MAX: Duration = Duration::from_secs(60);

/// Octets kept of a packet unless another number is asked for.
pub(crate) const SNAPLEN: u32 = 65_535;

/// Blocks of a capture that are read between two looks whether it is to end.
pub(crate) const BLOCKS_AT_ONCE: usize = 32;
/// Messages of one sendmmsg or recvmmsg.
pub(crate) const TRAFFIC_BATCH: usize = 64;
/// Octets of a traffic socket's buffers.
pub(crate) const TRAFFIC_BUFFER_LEN: i32 = 4 << 20;
/// Smallest and largest UDP payload of the traffic engine.
pub(crate) const TRAFFIC_SIZE: std::ops::RangeInclusive<usize> = 32..=1400;
/// Highest rate of one flow, in packets per second.
pub(crate) const TRAFFIC_PPS_MAX: u32 = 1_000_000;
/// Packets that arrive later than this after the last one was sent are lost.
pub(crate) const TRAFFIC_DRAIN: Duration = Duration::from_millis(1_000);
/// Holes of a flow's sequence that a report names.
pub(crate) const HOLES_KEPT: usize = 16;
/// Offending packets of a capture that a report quotes.
pub(crate) const OFFENDERS_KEPT: usize = 8;

/// An answer of a host is awaited this long.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(2);
/// A probe that is repeated until it gets through waits this long for each answer.
pub(crate) const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// A stray packet that has not arrived after this time does not arrive.
pub(crate) const STRAY_MAX: Duration = Duration::from_millis(400);
/// A frame is in the tally of a watch this long after it passed, at most.
pub(crate) const WATCH_DELAY_MAX: Duration = Duration::from_millis(300);

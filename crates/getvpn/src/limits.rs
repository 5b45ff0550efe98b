//! The limits of the program around the box, on one screen.

use std::ops::RangeInclusive;
use std::time::Duration;

use netio::limits::BATCH_MAX;

/// Forwarding threads. One until the TAP device has a queue for each.
pub(crate) const WORKERS: u16 = 1;

/// The longest line on the control socket.
pub(crate) const CONTROL_LINE_MAX: usize = 64 * 1024;

/// Clients of the control socket at a time.
pub(crate) const CONTROL_CLIENTS_MAX: usize = 32;

/// How long a client waits for an answer.
pub(crate) const CONTROL_ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Commands of all clients that wait for the box.
pub(crate) const CONTROL_QUEUE: usize = 32;

/// When so many datagrams came at once, many members speak at the same time, and this box is faster
/// than they are ...
pub(crate) const GATHERED: RangeInclusive<usize> = 2..=BATCH_MAX - 1;

/// ... so it lets more of them come before it looks again: each look at the sockets, each write to
/// the disk, each wake-up then serves more of them. With as many as one look can bring it is the
/// slower one, and goes on; a datagram that comes alone never waits.
///
/// Measured in alternation, 64 members at a time (`docs/results/bench.md`): without the pause each
/// registration costs a sixth more processor time and none is done sooner; with twice the pause it
/// costs no less, and with four times it takes longer.
pub(crate) const GATHER: Duration = Duration::from_micros(500);

/// Octets of the journal: some thousand members' rows, which then go into the state file at once.
pub(crate) const JOURNAL_LEN: usize = 1 << 20;

/// Reports of the forwarders that wait for the box; further ones are dropped.
pub(crate) const REPORT_QUEUE: usize = 256;

/// Frames that the forwarders process at once.
pub(crate) const FRAMES: usize = 64;

/// How often the forwarders look at the kernel's counters of lost frames.
pub(crate) const LOSSES_PERIOD: Duration = Duration::from_secs(1);

/// The longest time between two looks at the clock: a timer that slept through a suspend is late
/// by no more.
pub(crate) const WAKE_MAX: Duration = Duration::from_secs(1);

/// The shortest suspend that counts as one: far above what two clocks can be read apart, far below
/// what suspending a machine takes.
pub(crate) const SUSPEND_LEAST: Duration = Duration::from_millis(20);

/// How long after a change of an interface its neighbours' changes are awaited.
pub(crate) const INTERFACES_SETTLE: Duration = Duration::from_millis(20);

/// How long a forwarder may take to let go of a port.
pub(crate) const ORDER_WAIT: Duration = Duration::from_secs(5);

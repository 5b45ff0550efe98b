//! Every table, queue and rate of the packet path, on one screen.

use std::time::Duration;

/// Octets that a frame must have free before it: outer IPv6 header, ESP header, the longest IV, an
/// eight-octet pseudotime header, rounded up to two cache lines.
pub const HEADROOM: usize = 128;

/// Octets that a frame must have free after it: padding to a block of 16, pad length and next
/// header, the longest ICV.
pub const TAILROOM: usize = 64;

/// Frames that are sealed or opened together; longer batches are cut.
pub const BATCH_MAX: usize = 64;

/// Groups of one crypto map: the inbound verdict keeps one bit for each.
pub const GROUPS_PER_INTERFACE_MAX: usize = 32;

/// Traffic keys that one group holds at a time: the running one, the look-ahead of eight periods
/// (PROTOCOL P12) and as many that still drain.
pub const SAS_PER_GROUP_MAX: usize = 32;

/// Blocks of 64 bits that may be encrypted with one key by all who send with it (PROTOCOL P23); what
/// a key server says of its group is less.
pub const BLOCKS_MAX_LOG2: u8 = 30;

/// Policies of one group that may be in force at a time around their switches.
pub const POLICIES_PER_GROUP_MAX: usize = 4;

/// SIDs that one registration may bring (PROTOCOL P20).
pub const SIDS_PER_PULL_MAX: usize = 64;

/// SIDs of one group whose counters are remembered, the current ones included. A SID comes back
/// only after every key that its holder was given has expired (PROTOCOL P20), so that what falls
/// out of this memory meets other keys when it returns.
pub const SIDS_REMEMBERED_MAX: usize = 1_024;

/// An access list shorter than this is searched entry by entry, a longer one by tuples.
pub const LINEAR_ENTRIES_MAX: usize = 150;

/// Sets of the flow cache of a worker; a power of two.
pub const FLOW_SETS: usize = 2_048;

/// Entries of a set.
pub const FLOW_WAYS: usize = 4;

/// Packets behind the newest of a sender that are still told from copies (PROTOCOL P28).
pub const REPLAY_WINDOW: u64 = 16_384;

/// Replay windows of a worker, some 2 KiB each, one per (SA, SID) heard.
pub const REPLAY_WINDOWS_MAX: usize = 8_192;

/// The time window that counts where a group has no TBAR: windows idle for twice this may go.
pub const REPLAY_IDLE_DEFAULT: Duration = Duration::from_secs(100);

/// How long a packet may be on its way: what is sent on a key or under a policy may arrive this
/// much later (PROTOCOL P6, P11).
pub const DELIVERY_DELAY: Duration = Duration::from_secs(5);

/// Notices that wait to be read; further ones are counted and dropped.
pub const NOTICES_MAX: usize = 64;

/// The shortest time between two notices of one kind.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// The same for unknown SPIs: three within two seconds start a recovery (PROTOCOL P18), and those
/// of others must not hide them.
pub const NOTICE_INTERVAL_INVALID_SPI: Duration = Duration::from_millis(100);

/// ICMP "fragmentation needed" to one host within one second.
pub const ICMP_PER_SECOND: u32 = 10;

/// Hosts whose rate of ICMP is kept apart; a power of two.
pub const ICMP_HOSTS: usize = 256;

/// The smallest MTU of a protected interface: what every IPv4 host must take (RFC 791).
pub const MTU_MIN: u16 = 576;

//! Every limit of the control plane, with its reason.

use std::time::Duration;

/// Members of one group on one key server.
pub const MEMBERS_MAX: usize = 100_000;
/// Traffic key records that a key server may give a member at once: the running ones, the next
/// period's, and room for a merge of partitions.
pub const TEKS_MAX: usize = 16;
/// SIDs of one PULL (PROTOCOL P20).
pub const SIDS_PER_PULL_MAX: u16 = 64;
/// SIDs that one write to disk covers (PROTOCOL P20).
pub const SID_BLOCK: u64 = 1_024;
/// PULLs that wait for message 3, over all groups of a key server.
pub const PULLS_PENDING_MAX: usize = 1_024;
/// How long a PULL may wait for message 3.
pub const PULL_PENDING: Duration = Duration::from_secs(30);
/// Longest lifetime of a KEK or TEK that a member believes: 30 days and a day of overlap.
pub const LIFETIME_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Traffic key records that a member holds at once, whatever a key server says.
pub const TEKS_HELD_MAX: usize = 32;
/// Octets of a PUSH as UDP payload (PROTOCOL P4).
pub const PUSH_LEN_MAX: usize = 1_280;
/// Members that get a unicast PUSH in one batch ...
pub const PUSH_BATCH: usize = 100;
/// ... and the pause between two batches.
pub const PUSH_BATCH_PAUSE: Duration = Duration::from_millis(100);
/// How long copies of a PUSH stay bit-identical (PROTOCOL P8).
pub const PUSH_IDENTICAL: Duration = Duration::from_secs(60);
/// How long the second of two PUSHes to one member waits for the first's acknowledgement (P8).
pub const PUSH_ORDER_WAIT: Duration = Duration::from_secs(1);
/// PUSHes that wait behind one another in a group.
pub const PUSHES_QUEUED_MAX: usize = 16;
/// PUSHes with an unknown KEK SPI that a member keeps ...
pub const UNKNOWN_KEK_MAX: usize = 4;
/// ... and for how long (PROTOCOL P8).
pub const UNKNOWN_KEK_KEEP: Duration = Duration::from_secs(2);
/// Hashes of processed PUSHes that a member remembers to drop copies and repeat ACKs (P7, P8).
pub const PUSH_HASHES: usize = 32;
/// An ACK is repeated at most this often (PROTOCOL P8).
pub const ACK_REPEAT: Duration = Duration::from_secs(1);
/// How long a replaced KEK is kept to check late ACKs (RFC 8263 section 6).
pub const KEK_ACK_KEEP: Duration = Duration::from_secs(60);
/// First pause of a member after a round over all key servers without success.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(2);
/// Longest such pause.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// First pause after a policy that cannot be installed.
pub const REJECT_BACK_OFF_MIN: Duration = Duration::from_secs(30);
/// Longest such pause.
pub const REJECT_BACK_OFF_MAX: Duration = Duration::from_secs(600);
/// How long a member waits for a PULL's next message before it takes the next server.
pub const PULL_WAIT: Duration = Duration::from_secs(20);
/// A fetch of a new policy starts within this span (PROTOCOL P5).
pub const FETCH_JITTER: Duration = Duration::from_secs(1);
/// Recovery from unknown SPIs: this many ...
pub const UNKNOWN_SPI_COUNT: u32 = 3;
/// ... within this span ...
pub const UNKNOWN_SPI_WINDOW: Duration = Duration::from_secs(2);
/// ... and at most once in this one (PROTOCOL P18).
pub const RECOVERY_PAUSE: Duration = Duration::from_secs(60);
/// Time for a packet to cross the network: how long a record is received on after its expiry.
pub const DELIVERY_DELAY: Duration = Duration::from_secs(5);
/// Added to the persisted pseudotime after a boot of the machine, for the time it was off.
pub const REBOOT_MARGIN: Duration = Duration::from_secs(300);
/// The same refusal of the same peer is reported once in this time; it is always counted.
pub const REFUSAL_REPORT_PAUSE: Duration = Duration::from_secs(1);
/// (peer, refusal) pairs remembered for that.
pub const REFUSALS_REMEMBERED: usize = 256;

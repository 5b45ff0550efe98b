//! Every limit of ISAKMP on one screen: queues, tables, retries, waits.
//!
//! A number here bounds what a peer, or a stranger, can make this process hold or do.

use std::time::Duration;

// ---------------------------------------------------------------- ISAKMP: repeating messages

/// The wait after the first sending of a message that needs an answer; it doubles each time.
pub const RETRANSMIT_FIRST: Duration = Duration::from_millis(500);
/// How often such a message leaves at most: at 0, 0.5, 1.5, 3.5 and 7.5 s; given up at 15.5 s.
pub const RETRANSMIT_SENDINGS_MAX: u32 = 5;
/// How often an answer is repeated because the peer repeated its question.
pub const REPEATS_MAX: u32 = 10;

// ---------------------------------------------------------------- ISAKMP: negotiations

/// Negotiations that peers began and that are not done, in total.
pub const HALF_OPEN_MAX: usize = 8_192;
/// Those of one address that wait for message 3. A new one then takes a random older one's place:
/// messages 1 under a forged address cannot keep the address's owner out.
pub const HALF_OPEN_PER_SOURCE_MAX: usize = 256;
/// Those of one address that wait for message 5, each of which has cost a Diffie-Hellman exchange.
pub const KEYED_PER_SOURCE_MAX: usize = 8;
/// Diffie-Hellman secrets that are computed in one negotiation: one, and some for forged values.
pub const COMPUTATIONS_MAX: u8 = 4;
/// How long a responder waits for message 3: longer than an initiator repeats message 1.
pub const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(16);
/// How long a responder waits for message 5 after message 3.
pub const KEYED_LIFETIME: Duration = Duration::from_secs(24);
/// Octets that an answer before message 3 may have, as a fraction of those of the question: nobody
/// gains by forging a source address.
pub const AMPLIFICATION_MAX: (usize, usize) = (3, 2);
/// Negotiations that this box has begun and that are not done.
pub const INITIATED_MAX: usize = 1_024;
/// Transforms of a proposal that are read; a real peer offers a handful.
pub const TRANSFORMS_MAX: usize = 256;
/// Vendor ids that are kept of one peer.
pub const VENDOR_IDS_MAX: usize = 32;
/// Octets of the vendor ids that are kept of one peer, all together.
pub const VENDOR_ID_OCTETS_MAX: usize = 2_048;
/// Octets of our own phase-1 nonce.
pub const PHASE1_NONCE_OCTETS_SENT: usize = 32;

// ---------------------------------------------------------------- ISAKMP: established SAs

/// Established SAs in total.
pub const SAS_MAX: usize = 65_536;
/// Established SAs with one peer; a further one ends the oldest.
pub const SAS_PER_PEER_MAX: usize = 4;
/// Exchanges that an SA holds at a time, those that only wait for a repeat included.
pub const EXCHANGES_PER_SA_MAX: usize = 16;
/// How long an exchange stays after its last message, to answer repeats.
pub const EXCHANGE_LINGER: Duration = Duration::from_secs(30);
/// Message ids that each side may use in an SA. All are remembered, so no message of an exchange
/// that is done can begin it anew; a side that needs more negotiates a new SA.
pub const MESSAGE_IDS_MAX: usize = 8_192;
/// An SA with less life than this is not used for something new.
pub const SA_REMAINING_MIN: Duration = Duration::from_secs(30);
/// The shortest lifetime that is agreed to, whatever a peer asks for.
pub const SA_LIFETIME_MIN_S: u32 = 60;
/// Messages of an exchange that are never longer, all parts together.
pub const MESSAGE_OCTETS_MAX: usize = 65_507;

// ---------------------------------------------------------------- ISAKMP: dead peers

/// The wait between two R-U-THERE of which the first was not answered.
pub const DPD_RETRY: Duration = Duration::from_secs(2);
/// R-U-THERE without an answer after which the peer is dead.
pub const DPD_SENDINGS_MAX: u32 = 5;
/// R-U-THERE of one SA that are answered in a second.
pub const DPD_ANSWERS_PER_S_MAX: u32 = 4;

// ---------------------------------------------------------------- ISAKMP: parts (PROTOCOL P4)

/// A protected message between proven kin that is longer leaves in parts.
pub const PART_THRESHOLD_OCTETS: usize = 1_200;
/// Octets of a message in one part.
pub const PART_BODY_OCTETS: usize = 1_120;
/// Parts of a message.
pub const PARTS_MAX: u8 = 64;
/// Messages in assembly per SA.
pub const ASSEMBLIES_PER_SA_MAX: usize = 4;
/// How long a message may take to arrive.
pub const ASSEMBLY_LIFETIME: Duration = Duration::from_secs(5);

// ---------------------------------------------------------------- ISAKMP: what is said to strangers

/// Notifications in clear that leave in a second, to all together.
pub const CLEAR_NOTIFIES_PER_S_MAX: u32 = 10;
/// The same refusal of the same peer is reported once in this time; it is always counted.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// (peer, refusal) pairs that are remembered for that.
pub const REPORTS_REMEMBERED_MAX: usize = 256;
/// Ended negotiations that `show crypto isakmp sa detail` remembers.
pub const FAILURES_REMEMBERED_MAX: usize = 32;

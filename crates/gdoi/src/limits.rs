//! Every limit of the control plane, with its reason.

use std::time::Duration;

use policy::PseudoTime;

/// Members of one group on one key server.
pub const MEMBERS_MAX: usize = 100_000;
/// Traffic key records that a key server may give a member at once: the running ones, the next
/// period's, and room for a merge of partitions.
pub const TEKS_MAX: usize = 16;
/// SIDs of one PULL (PROTOCOL P20).
pub const SIDS_PER_PULL_MAX: u16 = 64;
/// Octets of a member's record for SIDs that are or may be in use: of 290 registrations with eight
/// each within the life of a key. Five sides of a split may join theirs in one record.
pub const LEASE_OCTETS_MAX: usize = 12_288;
/// SIDs that one write to disk covers (PROTOCOL P20).
pub const SID_BLOCK: u64 = 1_024;
/// PULLs that wait for message 3, over all groups of a key server.
pub const PULLS_PENDING_MAX: usize = 1_024;
/// How long a PULL may wait for message 3.
pub const PULL_PENDING: Duration = Duration::from_secs(30);
/// Longest lifetime of a KEK or TEK that a member believes: a KEK lives twice as long as a TEK of 30
/// days, and a day of overlap each.
pub const LIFETIME_MAX: Duration = Duration::from_secs(62 * 86_400);
/// Traffic key records that a member holds at once, whatever a key server says.
pub const TEKS_HELD_MAX: usize = 32;
/// Octets of a PUSH as UDP payload (PROTOCOL P4).
pub const PUSH_LEN_MAX: usize = 1_280;
/// Members that get a unicast PUSH in one batch ...
pub const PUSH_BATCH: usize = 100;
/// ... and the pause between two batches.
pub const PUSH_BATCH_PAUSE: Duration = Duration::from_millis(100);
/// Octets of a PUSH that is handed to other key servers: those of plain members may be longer than
/// [`PUSH_LEN_MAX`] (`docs/decisions/0012`, 12).
pub const HANDED_OCTETS_MAX: usize = 8_192;
/// How long before it is sent on a plain member is told a key: its delay is 16 bits of seconds
/// (PROTOCOL P10).
pub const PLAIN_AHEAD_MAX: Duration = Duration::from_secs(18 * 3_600);
/// How long copies of a PUSH stay bit-identical (PROTOCOL P8).
pub const PUSH_IDENTICAL: Duration = Duration::from_secs(60);
/// How long the second of two PUSHes to one member waits for the first's acknowledgement (P8).
pub const PUSH_ORDER_WAIT: Duration = Duration::from_secs(1);
/// PUSHes of a group that are on their way, those for single members included.
pub const PUSHES_QUEUED_MAX: usize = 1_024;
/// An operator's rekey waits while so many are on their way.
pub const ORDERED_REKEYS_MAX: usize = 4;
/// A Rekey SA is replaced when its counter, which has 16 bits (PROTOCOL P17), comes near its end.
pub const SEQ_COUNT_MAX: u32 = 0xFF00;
/// The counter's bits of a sequence number.
pub const SEQ_COUNT_MASK: u32 = 0xFFFF;
/// How many they are; above them are the key server's index and the term.
pub const SEQ_COUNT_BITS: u32 = 16;
/// Where the term stands in a sequence number.
pub const TERM_SHIFT: u32 = 20;
/// The term's bits of a sequence number: so many key servers can lead in turn under one Rekey SA.
pub const TERM_MAX: u32 = 0x0FFF;
/// PUSHes with an unknown KEK SPI that a member keeps ...
pub const UNKNOWN_KEK_MAX: usize = 4;
/// ... and for how long (PROTOCOL P8).
pub const UNKNOWN_KEK_KEEP: Duration = Duration::from_secs(2);
/// Rekey SAs that a member holds besides the last three: those of other parts of a split.
pub const KEKS_BESIDES_MAX: usize = 4;
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
/// Longest pause while every key server of a round refuses the member.
pub const REFUSED_BACK_OFF_MAX: Duration = Duration::from_secs(300);
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
/// A member spreads its acknowledgement of a multicast rekey over this span (RFC 8263 section 6).
pub const MULTICAST_ACK_JITTER: Duration = Duration::from_secs(5);
/// A key server waits so long for acknowledgements after the last copy of a multicast rekey.
pub const MULTICAST_ACK_WAIT: Duration = Duration::from_secs(10);
/// Acknowledgements of multicast rekeys that wait for their moment.
pub const MULTICAST_ACKS_MAX: usize = 8;
// ------------------------------------------------------------ COOP (PROTOCOL section D)

/// From one announcement to the next.
pub const ANNOUNCE_PERIOD: Duration = Duration::from_secs(20);
/// A key server that was not heard for so long is unreachable, whatever else is known.
pub const PEER_SILENCE_MAX: Duration = Duration::from_secs(45);
/// A primary that another key server has heard within this time lives (PROTOCOL P25).
pub const PRIMARY_REPORTED: Duration = Duration::from_secs(30);
/// How long a key server that starts waits for those that it does not hear.
pub const COOP_START_WAIT: Duration = Duration::from_secs(10);
/// How long an election waits for the others' announcements.
pub const ELECTION_WAIT: Duration = Duration::from_secs(2);
/// For the messages of a takeover themselves.
pub const TAKEOVER_MARGIN: Duration = Duration::from_secs(1);
/// From the death of a primary until another key server leads, without keepalives.
pub const TAKEOVER_MAX: Duration = PEER_SILENCE_MAX
    .saturating_add(ELECTION_WAIT)
    .saturating_add(TAKEOVER_MARGIN);
/// Pause before a peer is tried again that did not answer.
pub const PEER_RETRY: Duration = Duration::from_secs(5);
/// The one of two with the higher index waits so long for the other's phase 1 to begin.
pub const PEER_YIELD: Duration = Duration::from_millis(500);
/// A key server that has not acknowledged after this time lags (PROTOCOL P13).
pub const REPLICATION_WAIT_MAX: Duration = Duration::from_secs(10);
/// Flaps of a peer ...
pub const FLAPS_MAX: usize = 3;
/// ... within this time ...
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);
/// ... after which the next election waits (PROTOCOL P25).
pub const FLAP_WAIT: Duration = Duration::from_secs(300);
/// Octets of the records of one announcement.
pub const ANNOUNCEMENT_OCTETS_MAX: usize = 48_000;
/// Octets of a piece of a policy blob.
pub const POLICY_PIECE_OCTETS: usize = 16_384;
/// Sequence numbers of announcements that one write to disk covers.
pub const COOP_SEQUENCE_BLOCK: u64 = 1_024;
/// From a merge until members send on the other side's keys (PROTOCOL P15).
pub const MERGE_SEND_WAIT: Duration = Duration::from_secs(30);
/// A plain member sends so much earlier on a new key than others at most (PROTOCOL P10).
pub const PLAIN_EARLY_MAX: Duration = Duration::from_secs(5);
/// How fast a secondary's clock follows the primary's, millionths (PROTOCOL P27).
pub const CLOCK_SLEW_PPM: u64 = 500;
/// A difference of clocks that no drift explains: a secondary's clock is set to the primary's.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(1);
/// Key pairs of a box up to which those that other key servers tell are kept beside its own.
pub const KEY_PAIRS_TOLD_MAX: usize = 64;
/// Copies of an unreachable key server's marks are kept; removed members are remembered so many.
pub const TOMBSTONES_MAX: usize = 10_000;
/// At most so many SPIs of keys that ended with their generation are remembered.
pub(crate) const RETIRED_MAX: usize = 256;

/// The group's clock is written down so often: by so much, and by the time that the machine is off,
/// it is behind after all key servers have lost it.
pub(crate) const CLOCK_MARK: Duration = Duration::from_secs(120);
/// The latest pseudotime that a state file may name, 292 years: a clock near its last nanosecond
/// would stand still, and every key of the group would be due without end.
pub const PSEUDOTIME_MAX: PseudoTime = PseudoTime::from_nanos(u64::MAX / 2);
/// The same refusal of the same peer is reported once in this time; it is always counted.
pub const REFUSAL_REPORT_PAUSE: Duration = Duration::from_secs(1);
/// (peer, refusal) pairs remembered for that.
pub const REFUSALS_REMEMBERED: usize = 256;

// ------------------------------------------------------------ ISAKMP: repeating messages

/// The wait after the first sending of a message that needs an answer; it doubles each time.
pub const RETRANSMIT_FIRST: Duration = Duration::from_millis(500);
/// How often such a message leaves at most: at 0, 0.5, 1.5 and 3.5 s; given up at 7.5 s, when a
/// member has another key server to try.
pub const RETRANSMIT_SENDINGS_MAX: u32 = 4;
/// How often an answer is repeated because the peer repeated its question.
pub const REPEATS_MAX: u32 = 10;

// ------------------------------------------------------------ ISAKMP: negotiations

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

// ------------------------------------------------------------ ISAKMP: established SAs

/// Established SAs in total.
pub const SAS_MAX: usize = 65_536;
/// Established SAs with one peer; a further one ends the oldest.
pub const SAS_PER_PEER_MAX: usize = 4;
/// Exchanges that an SA holds at a time, those that only wait for a repeat included.
pub const EXCHANGES_PER_SA_MAX: usize = 16;
/// Announcements of several groups that wait for one peer's answer at a time: there is room for as
/// many of the peer's.
pub const ANNOUNCEMENTS_PER_SA_MAX: usize = EXCHANGES_PER_SA_MAX / 2;
/// Pause before an announcement for which the SA had no room.
pub const ANNOUNCEMENT_RETRY: Duration = Duration::from_millis(200);
/// How long an exchange stays after its last message, to answer repeats.
pub const EXCHANGE_LINGER: Duration = Duration::from_secs(30);
/// Message ids that each side may use in an SA. All are remembered, so no message of an exchange
/// that is done can begin it anew; a side that needs more negotiates a new SA.
pub const MESSAGE_IDS_MAX: usize = 8_192;
/// As many of them are kept for keepalives: with one every 1.5 seconds, ten minutes in which another
/// SA takes the place of this one.
pub const MESSAGE_IDS_RESERVE: usize = 512;
/// An SA with less life than this is not used for something new.
pub const SA_REMAINING_MIN: Duration = Duration::from_secs(30);
/// The shortest lifetime that is agreed to, whatever a peer asks for.
pub const SA_LIFETIME_MIN_S: u32 = 60;
/// Messages of an exchange that are never longer, all parts together.
pub const MESSAGE_OCTETS_MAX: usize = 65_507;

// ------------------------------------------------------------ ISAKMP: dead peers

/// The wait between two R-U-THERE of which the first was not answered.
pub const DPD_RETRY: Duration = Duration::from_secs(2);
/// R-U-THERE without an answer after which the peer is dead.
pub const DPD_SENDINGS_MAX: u32 = 5;
/// A key server's silence after which another one asks ...
pub const WATCHED_SILENCE: Duration = Duration::from_millis(1_500);
/// ... and asks again ...
pub const WATCHED_RETRY: Duration = Duration::from_millis(500);
/// ... until it is dead after so many: three seconds after it was heard.
pub const WATCHED_SENDINGS_MAX: u32 = 3;
/// R-U-THERE of one SA that are answered in a second.
pub const DPD_ANSWERS_PER_S_MAX: u32 = 4;

// ------------------------------------------------------------ ISAKMP: parts (PROTOCOL P4)

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

// ------------------------------------------------------------ ISAKMP: what is said to strangers

/// Notifications in clear that leave in a second, to all together.
pub const CLEAR_NOTIFIES_PER_S_MAX: u32 = 10;
/// The same refusal of the same peer is reported once in this time; it is always counted.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// (peer, refusal) pairs that are remembered for that.
pub const REPORTS_REMEMBERED_MAX: usize = 256;
/// Ended negotiations that `show crypto isakmp sa detail` remembers.
pub const FAILURES_REMEMBERED_MAX: usize = 32;

/// 64-bit blocks that all senders together may encrypt with one key, as a power of two (P23).
pub(crate) const BLOCKS_LOG2_MAX: u8 = 30;

/// Senders that a group is counted as having at least, since members join while a key is used.
pub(crate) const SENDERS_MIN: usize = 16;

// ------------------------------------------------------------ removal (PROTOCOL P16)

/// Rises of the generation that are announced and still to come.
pub(crate) const RAISES_MAX: usize = 64;
/// From the last member's registration until the keys of before are sent on no more ...
pub(crate) const REMOVAL_MARGIN: Duration = Duration::from_secs(10);
/// ... and the least time from the order of a removal until then.
pub(crate) const REMOVAL_DELAY_MIN: Duration = Duration::from_secs(15);
/// Registrations in a second that a key server is believed to do before it has done more.
pub(crate) const REGISTRATIONS_PER_S_MIN: u32 = 50;
/// The longest span over which a member is told to spread its registration.
pub(crate) const REGISTER_SPREAD_MAX: Duration = Duration::from_secs(3_600);
/// From the last copy of a call to register again that nobody acknowledges to the next call.
pub(crate) const CALL_AGAIN: Duration = Duration::from_secs(30);
/// PUSHes that are handed to other key servers at a time, and that are repeated for them.
pub(crate) const HANDED_MAX: usize = 16_384;
/// Members of one batch whose PUSH every key server repeats; of more, each has one that does.
pub(crate) const HANDED_WIDELY_MAX: usize = 16;
/// Rekeys in a row that a member has not acknowledged: it is stale ...
pub(crate) const MISSED_STALE: u8 = 2;
/// ... and its registration ends (PROTOCOL P9).
pub(crate) const MISSED_EJECTED: u8 = 3;

//! Every limit that a decoder sets beyond those of the fields themselves.

/// Payloads in one message: four times what main mode with a dozen vendor ids needs.
pub const PAYLOADS_MAX: usize = 64;
/// Attributes in one list: four times what the richest transform has.
pub const ATTRIBUTES_MAX: usize = 64;
/// Proposals in one phase-1 SA payload.
pub const PROPOSALS_MAX: usize = 16;
/// SA TEK payloads in one GDOI SA payload: one per access list entry for plain members.
pub const SATS_MAX: usize = 1_500;
/// Key packets in one Key Download payload.
pub const KEY_PACKETS_MAX: usize = 1_500;
/// SIDs in one SID packet; a PULL carries 64 at most (PROTOCOL P20), other key servers may send
/// more.
pub const SIDS_MAX: usize = 1_024;
/// Keys in one LKH array: the depth of a binary tree over 2^32 members, and some.
pub const LKH_KEYS_MAX: usize = 64;
/// SPIs in one Delete payload.
pub const DELETE_SPIS_MAX: usize = 1_024;
/// SIDs that a member tells a key server: as many as one PULL gives (PROTOCOL P20).
pub const SIDS_HELD_MAX: usize = 64;
/// Octets of a policy blob: some 40,000 access list entries.
pub const POLICY_OCTETS_MAX: u32 = 1 << 20;
/// Chunk hashes that stand in a policy name itself.
pub const CHUNKS_INLINE_MAX: usize = 64;
/// Key servers that an announcement speaks of: as many as a group can have (PROTOCOL P19).
pub const COOP_HEARD_MAX: usize = 16;
/// Records in one announcement, which parts limit to some 60,000 octets.
pub const COOP_RECORDS_MAX: usize = 4_096;

//! Every bound of the box on one screen.

/// Shortest lifetime of a TEK, seconds.
pub const TEK_LIFETIME_S_MIN: u32 = 60;
/// Shortest lifetime of a TEK with `service internal`, seconds.
pub const TEK_LIFETIME_S_MIN_INTERNAL: u32 = 10;
/// Shortest lifetime of a KEK, seconds.
pub const KEK_LIFETIME_S_MIN: u32 = 120;
/// Shortest lifetime of a KEK with `service internal`, seconds.
pub const KEK_LIFETIME_S_MIN_INTERNAL: u32 = 20;
/// Lifetime of a TEK below which the operator is warned, seconds.
pub const TEK_LIFETIME_S_ADVISED: u32 = 120;
/// Lifetime of a TEK unless the profile says otherwise, seconds.
pub const TEK_LIFETIME_S_DEFAULT: u32 = 3_600;
/// Lifetime of a KEK unless the group says otherwise, seconds.
pub const KEK_LIFETIME_S_DEFAULT: u32 = 86_400;
/// Lifetime of a phase-1 SA unless the policy says otherwise, seconds.
pub const ISAKMP_LIFETIME_S_DEFAULT: u32 = 86_400;
/// Longest line that is read, octets.
pub const LINE_LEN_MAX: usize = 4_096;
/// Most lines of a configuration file.
pub const CONFIG_LINES_MAX: usize = 200_000;
/// Entropy that a pre-shared key should have, bits (PROTOCOL P26).
pub const PSK_BITS_ADVISED: u32 = 128;
/// Most entries of an access list.
pub const ACCESS_LIST_ENTRIES_MAX: usize = 65_536;
/// Most errors that one reading of a file reports.
pub const CONFIG_ERRORS_MAX: usize = 1_000;
/// Most words that an error names as expected.
pub const EXPECTED_WORDS_MAX: usize = 12;
/// Periods that keys are made ahead unless `key look-ahead` says otherwise (PROTOCOL P12).
pub const KEY_LOOK_AHEAD_DEFAULT: u8 = 2;
/// Seconds between copies of a rekey unless `rekey retransmit` says otherwise.
pub const REKEY_RETRANSMIT_PERIOD_S_DEFAULT: u16 = 10;
/// Copies of a rekey at most unless `rekey retransmit` says otherwise.
pub const REKEY_RETRANSMIT_NUMBER_DEFAULT: u16 = 2;
/// Entries of each event trace unless `monitor event-trace gdoi` says otherwise.
pub const TRACE_ENTRIES_DEFAULT: usize = 512;
/// Most modifiers of one line.
pub const PIPES_MAX: usize = 8;
/// Most memory that a compiled pattern takes, octets.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

//! The event-trace buffers of `show monitor event-trace gdoi` (mission rows 51-55).

/// Which buffer an event enters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// `registration`.
    Registration,
    /// `rekey`.
    Rekey,
    /// `coop`.
    Coop,
    /// `infra`.
    Infra,
}

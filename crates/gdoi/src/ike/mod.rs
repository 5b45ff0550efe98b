//! ISAKMP: phase-1 SAs by main mode with pre-shared keys, and everything that runs under them.
//!
//! Sans-I/O: datagrams and time come in, datagrams and reports leave through the `Outbox`, and what
//! concerns GDOI is handed up as an `Upcall`. It decides who may negotiate, which SA a message
//! belongs to, what is repeated, what is refused and what is said about it. What a PULL or a policy
//! fetch means it does not know; PUSH and its ACK, which are not under a phase-1 SA, it only tells
//! apart.
//!
//! Aggressive mode, quick mode of the IPsec DOI, certificates and NAT traversal are not here.

mod admission;
mod api;
mod dpd;
mod engine;
mod exchanges;
mod half_open;
mod informational;
mod keys;
mod main_mode;
mod message_ids;
mod negotiate;
mod parts;
mod preshared;
mod proposal;
mod refusal;
mod report;
mod retransmit;
mod sa;
mod vendor;
mod view;

#[cfg(test)]
mod tests;

pub use admission::{AdmissionCounts, AdmissionLimits, AdmissionView};
pub use api::{Connection, Expect, SaId, SendError, Upcall};
pub use engine::Isakmp;
pub use proposal::{Agreed, Mismatch};
pub use refusal::{Answer, Failure, Refusal, RefusalCounter, Row as RefusalRow};
pub use report::{Counters, Ended};
pub use sa::Sa;
pub use vendor::Version;
pub use view::{Row, SaState, View};

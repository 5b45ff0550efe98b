//! The machines of the control plane: ISAKMP, GROUPKEY-PULL, GROUPKEY-PUSH, key server, member.
//!
//! Sans-I/O: time, datagrams and randomness come in as arguments, everything that must happen in
//! the world leaves through one ordered `Outbox`. There is no clock, socket, thread or unordered
//! map in here. What a state *looks like* to an operator is decided in `router`.

#![forbid(unsafe_code)]

mod ack;
pub mod config;
mod context;
pub mod exchange;
pub mod gm;
mod group_sa;
pub mod ike;
pub mod key_pairs;
pub mod kin;
pub mod ks;
pub mod limits;
pub mod machine;
#[cfg(feature = "model")]
pub mod model;
pub mod node;
mod persist;
mod policy_blob;
mod private;
mod pull;
mod push;
mod refusal;
mod rekey_sa;
#[cfg(test)]
mod tests;
mod transform;

pub use config::Config;
pub use machine::{Input, Outbox, Output};
pub use node::{ExportRefusal, KeyPairView, Machine};
pub use persist::{BootId, Corrupt};

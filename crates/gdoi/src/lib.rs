//! The machines of the control plane: ISAKMP, GROUPKEY-PULL, GROUPKEY-PUSH, key server, member.
//!
//! Sans-I/O: time, datagrams and randomness come in as arguments, everything that must happen in
//! the world leaves through one ordered `Outbox`. There is no clock, socket, thread or unordered
//! map in here. What a state *looks like* to an operator is decided in `router`.

#![forbid(unsafe_code)]

pub mod config;
pub mod exchange;
pub mod gm;
pub mod ike;
pub mod kin;
pub mod ks;
pub mod machine;

pub use config::Config;
pub use machine::{Input, Outbox, Output};

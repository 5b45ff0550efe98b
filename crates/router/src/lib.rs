//! One box: configuration, command line and shows around the machines and the packet pipeline.
//!
//! Pure composition. The [`Router`] that the simulator runs is the one that ships: time, datagrams
//! and operators' lines come in, effects leave in order. It takes no protocol decision; the test
//! is "would a member without a command line need this?".

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod event_trace;
pub mod interface;
pub mod key_pairs;
pub mod limits;
pub mod logging;
mod notices;
pub mod outbox;
mod preview;
mod router;
pub mod show;
mod steering;
#[cfg(test)]
mod tests;

pub use cli::session::{Kind, Reply, Session, Status};
pub use interface::Interface;
pub use outbox::{Outbox, Output};
pub use router::{Boot, BootError, Input, Router};

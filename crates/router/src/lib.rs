//! One box: configuration, command line and shows around the machines and the packet pipeline.
//!
//! Pure composition. The [`Router`] that the simulator runs is the one that ships: time, datagrams
//! and operators' lines come in, effects leave in order. It takes no protocol decision; the test
//! is "would a member without a command line need this?".

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod interface;
pub mod limits;
pub mod logging;
pub mod show;

pub use interface::Interface;

//! Many boxes and a network in virtual time, reproducible from one number.
//!
//! Runs the same `router::Router` that ships; only the world around it is made here. Decides nothing
//! about protocols. The lab runs the same scenario files and the same link impairments on real
//! packets.

#![forbid(unsafe_code)]

pub mod command;
pub mod guide;
pub mod ladder;
pub mod link;
pub mod node;
pub mod scenario;
pub mod traffic;
pub mod world;

pub use world::VirtualWorld;

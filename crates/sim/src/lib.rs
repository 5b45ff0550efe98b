//! Many boxes and a network in virtual time, reproducible from one number.
//!
//! Runs the same `router::Router` that ships; only the world around it is made here. Decides nothing
//! about protocols. The lab runs the same scenario files and the same link impairments on real
//! packets.

#![forbid(unsafe_code)]

mod attacker;
mod carry;
mod checks;
mod clock;
pub mod command;
mod coop;
mod day;
mod fault;
pub mod form;
mod founding;
pub mod guide;
pub mod ladder;
pub mod link;
mod network;
pub mod node;
mod outsider;
mod play;
mod probe;
mod reference;
mod removal;
pub mod scenario;
mod signing;
mod store;
mod tap;
pub mod topology;
pub mod traffic;
mod transform;
mod watch;
pub mod world;

pub use world::VirtualWorld;

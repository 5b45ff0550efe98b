//! `getvpn lab`: a network of namespaces on one machine, with the real program in its routers.
//!
//! A *topology* ([`topology`]) says which nodes and links there are. `build` makes them, `routers`
//! starts the program in them, `guide` tells the whole story once and judges it, and the verbs
//! look at a lab that is up and break it: kill and start routers, cut and heal ways, capture, send
//! traffic. As root the namespaces are the machine's and have names (`gv-ks1`); an ordinary user's
//! lab lives in namespaces that a holder process keeps.
//!
//! The lab decides nothing about the protocol. Whatever it claims, it has seen on the core's ports,
//! at a host's socket, or in what a router answered.

#![forbid(unsafe_code)]

mod addresses;
mod build;
mod builtin;
mod capture;
mod control;
mod cut;
mod flow;
mod guide;
mod holder;
mod impair;
mod limits;
mod link;
mod matrix;
mod mroute;
mod netns;
mod nonces;
mod place;
mod plan;
mod play;
mod probe;
mod process;
mod routers;
mod screen;
mod shows;
mod sight;
mod state;
mod stray;
pub mod topology;
mod traffic;
mod verbs;
mod watch;

pub use flow::Report;
pub use verbs::{Args, main};

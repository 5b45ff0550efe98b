//! Cooperation of the key servers of a group (PROTOCOL section D).

mod view;

pub use view::{CoopView, Difference, PeerCounters, PeerView, Role};

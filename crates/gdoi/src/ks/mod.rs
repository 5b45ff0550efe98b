//! The key server's side of a group.

mod view;

pub use view::{KekView, MemberView, SaView, Serving, SidView, TekView, View};

//! The member's side of a group.

mod view;

pub use view::{KekView, Keks, Status, TekView, View};

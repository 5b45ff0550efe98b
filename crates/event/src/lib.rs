//! Every message an operator can see, each defined once.
//!
//! From one `catalogue!` entry come the typed event (the only way to log from a core), its syslog
//! text, its fields for JSON, the trace buffer it enters and its row of the documentation.
//! Declarations only: what happens to an event is decided in `router`.

#![forbid(unsafe_code)]

#[macro_use]
mod macros;
pub mod catalogue;
pub mod drop;
pub mod format;
pub mod trace;

pub use catalogue::{Crypto, Event, Gdoi, Step, Sys};
pub use drop::DropReason;

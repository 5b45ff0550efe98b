//! `show monitor ...`.

pub mod event_trace;

//! `service ...`.

pub mod internal;
pub mod timestamps;

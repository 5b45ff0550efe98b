//! `service ...`.

pub mod timestamps;

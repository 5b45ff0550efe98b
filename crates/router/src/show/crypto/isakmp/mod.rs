//! `show crypto isakmp ...`.

pub mod sa;

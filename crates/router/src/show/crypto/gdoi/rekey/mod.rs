//! `show crypto gdoi rekey ...`.

pub mod sa;

//! `show crypto call ...`.

pub mod admission;

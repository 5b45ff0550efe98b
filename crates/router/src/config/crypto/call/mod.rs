//! `crypto call ...`.

pub mod admission;

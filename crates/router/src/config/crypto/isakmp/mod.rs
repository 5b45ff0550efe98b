//! `crypto isakmp ...`: phase 1.

pub mod keepalive;
pub mod key;
pub mod peer;
pub mod policy;

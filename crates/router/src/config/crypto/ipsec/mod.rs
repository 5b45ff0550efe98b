//! `crypto ipsec ...`: what ESP does.

pub mod profile;
pub mod transform_set;

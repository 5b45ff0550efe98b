//! `crypto ...`.

pub mod call;
pub mod gdoi;
pub mod ipsec;
pub mod isakmp;
pub mod map;

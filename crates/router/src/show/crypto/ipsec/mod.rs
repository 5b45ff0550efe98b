//! `show crypto ipsec ...`.

pub mod sa;

//! `show crypto gdoi ipsec ...`.

pub mod sa;

//! `crypto gdoi group`, which `crypto gkm group` names as well.

pub mod group;
pub mod identifier;
pub mod redundancy;
pub mod rekey;
pub mod sa_ipsec;
pub mod server_local;

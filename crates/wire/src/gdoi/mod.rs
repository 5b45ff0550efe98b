//! GDOI (RFC 6407, RFC 8263): the payloads of PULL, PUSH and PUSH-ACK.
//!
//! What a key server may say in which message, and to whom, is decided by `gdoi`; attributes that
//! this crate has no name for are kept, so that it can refuse them. Our own attributes are in
//! [`crate::private`] and stand among those.

pub mod ack;
pub mod gap;
pub mod identity;
pub mod kd;
pub mod lkh;
pub mod sa;
pub mod sak;
pub mod sat;
pub mod seq;

pub use ack::Ack;
pub use gap::Gap;
pub use identity::Identity;
pub use kd::{Kd, KekKeys, KeyPacket, LkhKeys, Sids, TekKeys};
pub use sa::Sa;
pub use sak::Sak;
pub use sat::{EspSat, Sat};
pub use seq::Seq;

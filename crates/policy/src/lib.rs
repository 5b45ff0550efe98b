//! The nouns of a group: what a policy says, plain data and arithmetic.
//!
//! Decides nothing and does nothing: every function here is pure. Types that only one other crate
//! uses live in that crate. Sources: RFC 6407, RFC 6054, mission rows 4-9, PROTOCOL rules by number.

#![forbid(unsafe_code)]

pub mod acl;
pub mod group;
pub mod kek;
pub mod lifetime;
pub mod sid;
pub mod spi;
pub mod steer;
pub mod tbar;
pub mod tek;
pub mod time;
pub mod transform_set;

pub use acl::{Ace, Acl, Action, AddressMatch, FlowKey, PortMatch};
pub use group::{Generation, GroupId, GroupName, KsIndex, PeerKind, RekeyTransport};
pub use kek::{KekCipher, KekSpi, SigHash, Signature};
pub use sid::{GroupSize, Sid, SidSpace};
pub use tbar::{ClockGeneration, PseudoTime};
pub use tek::{Spi, Tek};
pub use time::{Time, WallClock};
pub use transform_set::{Encryption, Integrity, KeyBits, Transform};

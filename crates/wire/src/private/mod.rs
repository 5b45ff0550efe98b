//! What getvpn says to its own kind: private attributes, payloads and exchanges.
//!
//! The layouts are written down in `docs/private-attributes.md` and `docs/coop-wire.md`. Nothing
//! here may be sent to a peer that has not proven in its nonces that it is a getvpn (PROTOCOL P2);
//! that proof, the hashes and the MACs are made by `gdoi`. Values are plain integers and addresses,
//! because this crate does not know `policy`.

pub mod ack;
pub mod coop;
pub mod fetch;
pub mod name;
pub mod nonce;
pub mod part;
pub mod policy;
pub mod record;

pub use ack::{AckFlags, AckStatus};
pub use coop::{Announcement, CoopFlags, CoopGroup, CoopMarks, CoopRecord, CoopRole, Heard};
pub use fetch::{ChunkKind, PolicyChunk, PolicyRequest};
pub use name::{ChunkList, PolicyName};
pub use nonce::KinNonce;
pub use part::Part;
pub use policy::{Action, AddressRule, PolicyAce, PolicyBlob, PolicySa, PortRule};
pub use record::{GroupStamp, KeyRecord, SidsHeld};

/// How the vendor id of getvpn begins: the first 13 octets of SHA-256("getvpn"). Three octets of
/// version follow. A hint only: what proves kin is the nonce.
pub const VENDOR_ID_PREFIX: [u8; 13] = [
    0x31, 0x7f, 0x5e, 0x98, 0xb9, 0x85, 0x02, 0xfa, 0x40, 0x87, 0xfd, 0x57, 0x7e,
];

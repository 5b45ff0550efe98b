//! ISAKMP (RFC 2408): header, payload chain, and the payloads of phase 1 and informational
//! exchanges.
//!
//! What stands in a payload, never whether it may stand there: the legality of an exchange is a
//! table of `gdoi`. The GDOI payloads are in [`crate::gdoi`]; both share the chain of
//! [`payload`].

pub mod attribute;
pub mod cert;
pub mod delete;
pub mod hash;
pub mod header;
pub mod id;
pub mod ke;
pub mod nonce;
pub mod notify;
pub mod payload;
pub mod sa;
pub mod sig;
pub mod vendor_id;

pub use attribute::{Attribute, Value};
pub use cert::{Cert, CertRequest};
pub use delete::Delete;
pub use hash::Hash;
pub use header::{Flags, Header};
pub use id::Id;
pub use ke::Ke;
pub use nonce::Nonce;
pub use notify::Notify;
pub use payload::{Builder, Built, Chain, Payload, Raw};
pub use sa::{Proposal, Sa, Transform};
pub use sig::Sig;
pub use vendor_id::VendorId;

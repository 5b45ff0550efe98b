//! The control plane of a box against a peer that knows the keys.
//!
//! What an outsider can send dies at the first hash. So these targets play the *authenticated*
//! peer: it negotiates phase 1 as it should, and then puts correct hashes, encryption and
//! signatures around payloads that the input bends or makes up. What gets in is counted.

mod peer;
mod script;
mod signer;
mod world;

pub mod gm;
pub mod ks;
pub mod state;

use std::sync::atomic::{AtomicU64, Ordering};

/// Messages that were sent with a hash, encryption or signature around them.
static SENT: AtomicU64 = AtomicU64::new(0);
/// Those of which the machine believed the hash or signature; at least: what it refused for
/// something that it looks at later is not counted.
static PASSED: AtomicU64 = AtomicU64::new(0);

fn count(sent: u64, passed: u64) {
    SENT.fetch_add(sent, Ordering::Relaxed);
    PASSED.fetch_add(passed, Ordering::Relaxed);
}

/// Messages sent by the machine targets of this process, and those whose hash was accepted.
#[must_use]
pub fn counts() -> (u64, u64) {
    (SENT.load(Ordering::Relaxed), PASSED.load(Ordering::Relaxed))
}

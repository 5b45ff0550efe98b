//! Keys and primitives, without a word of any protocol.
//!
//! Every secret is zeroised when dropped and has no Debug. Randomness comes from the injected
//! [`Rng`] only, never from a library's own generator, so that a seed replays.

mod rng;
mod secret;

pub use rng::{Rng, SeededRng};
pub use secret::Secret;

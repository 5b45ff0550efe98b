//! What every decision may use: the time, phase 1, randomness, the rekey keys, the outbox.

use crypto::Rng;
use policy::Time;

use crate::ike::Isakmp;
use crate::key_pairs::KeyPairs;
use crate::machine::Outbox;

/// One call's surroundings.
pub(crate) struct Context<'a> {
    /// Now.
    pub(crate) now: Time,
    /// Phase 1.
    pub(crate) isakmp: &'a mut Isakmp,
    /// Randomness.
    pub(crate) rng: &'a mut dyn Rng,
    /// The key pairs of this box.
    pub(crate) key_pairs: &'a KeyPairs,
    /// Whether session keys are told to the key log.
    pub(crate) keylog: bool,
    /// Whether what goes to key servers leaves as values (`crate::model`).
    #[cfg(feature = "model")]
    pub(crate) decoded: bool,
    /// Effects.
    pub(crate) out: &'a mut Outbox,
}

//! Injected randomness.

use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A source of unpredictable octets, given to a machine when it is made.
pub trait Rng {
    /// Fills `octets`.
    fn fill(&mut self, octets: &mut [u8]);
}

/// A reproducible source: ChaCha20 from a seed. In the daemon the seed comes from the kernel.
pub struct SeededRng(rand_chacha::ChaCha20Rng);

impl SeededRng {
    /// The source that 32 octets of seed determine.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(rand_chacha::ChaCha20Rng::from_seed(seed))
    }

    /// The source that a number determines, for simulations.
    #[must_use]
    pub fn from_number(seed: u64) -> Self {
        Self(rand_chacha::ChaCha20Rng::seed_from_u64(seed))
    }
}

impl Rng for SeededRng {
    fn fill(&mut self, octets: &mut [u8]) {
        self.0.fill_bytes(octets);
    }
}

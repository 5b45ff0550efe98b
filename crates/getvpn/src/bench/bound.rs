//! What no key server with this library can go below: a fresh key pair and one agreement.

use std::time::Duration;

use anyhow::Result;
use crypto::dh::{Group, KeyPair};
use crypto::{Rng, SeededRng};
use netio::clock;

/// Processor time that one measurement takes at least.
const SPAN: Duration = Duration::from_millis(100);

/// Processor time of one exchange: generate and agree, the pair used once.
///
/// # Errors
/// The library has no memory.
pub(crate) fn exchange(group: Group) -> Result<Duration> {
    let mut rng = rng()?;
    let peer = KeyPair::generate(group, &mut rng)?;
    let (begin, mut exchanges) = (clock::thread_cpu(), 0);
    loop {
        let own = KeyPair::generate(group, &mut rng)?;
        std::hint::black_box(own.agree(peer.public_value())?);
        exchanges += 1;
        let used = clock::thread_cpu() - begin;
        if used >= SPAN {
            return Ok(used / exchanges);
        }
    }
}

/// A source seeded by the kernel, as the daemon's.
pub(crate) fn rng() -> Result<SeededRng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(SeededRng::from_seed(seed))
}

/// A seed for a machine's own source.
pub(crate) fn boxed_rng() -> Result<Box<dyn Rng + Send>> {
    Ok(Box::new(rng()?))
}

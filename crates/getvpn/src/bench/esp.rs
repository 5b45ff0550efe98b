//! What a packet costs between two frame buffers, beside what its cipher alone costs.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use dataplane::measure::{self, Cost};
use policy::KeyBits::{B128, B192, B256};
use policy::{Encryption, Integrity, Transform};
use serde_json::{Value, json};

use super::registration::verdict;
use super::statistics::Spread;
use super::{Effort, Found, bound};

/// Octets of the inner packets.
const LENGTHS: [usize; 3] = [64, 512, 1_400];
/// The length for which there is a goal, and the greatest ratio to the cipher there.
const GOAL: (usize, f64) = (1_400, 1.5);
/// Measurements of each suite and length ...
const SAMPLES: usize = 5;
/// ... of which each is the median of so many batches.
const BATCHES: usize = 200;

const SUITES: [(Encryption, Integrity); 13] = [
    (Encryption::AesGcm(B128), Integrity::Combined),
    (Encryption::AesGcm(B192), Integrity::Combined),
    (Encryption::AesGcm(B256), Integrity::Combined),
    (Encryption::AesGmac(B128), Integrity::Combined),
    (Encryption::AesGmac(B192), Integrity::Combined),
    (Encryption::AesGmac(B256), Integrity::Combined),
    (Encryption::AesCbc(B128), Integrity::HmacSha1),
    (Encryption::AesCbc(B192), Integrity::HmacSha1),
    (Encryption::AesCbc(B256), Integrity::HmacSha256),
    (Encryption::AesCbc(B256), Integrity::HmacSha384),
    (Encryption::AesCbc(B256), Integrity::HmacSha512),
    (Encryption::TripleDes, Integrity::HmacSha1),
    (Encryption::Null, Integrity::HmacSha256),
];

/// Medians of several measurements of one suite and length.
struct Row {
    seal: Spread,
    cipher_seal: Spread,
    seal_ratio: Spread,
    open: Spread,
    cipher_open: Spread,
    open_ratio: Spread,
}

impl Row {
    fn of(costs: &[Cost]) -> Self {
        let spread = |figure: &dyn Fn(&Cost) -> f64| Spread::of(costs.iter().map(figure));
        Self {
            seal: spread(&|cost| cost.seal_ns),
            cipher_seal: spread(&|cost| cost.cipher_seal_ns),
            seal_ratio: spread(&|cost| cost.seal_ns / cost.cipher_seal_ns),
            open: spread(&|cost| cost.open_ns),
            cipher_open: spread(&|cost| cost.cipher_open_ns),
            open_ratio: spread(&|cost| cost.open_ns / cost.cipher_open_ns),
        }
    }
}

/// Measures every suite.
///
/// # Errors
/// No SA can be made of a suite.
pub(super) fn measure(effort: Effort) -> Result<Found> {
    let mut text = format!(
        "ESP, ns per packet of one core, without packet I/O; cipher = the same octets through the \
         bare cipher\n{:<28} {:>6} {:>7} {:>7} {:>18} {:>7} {:>7} {:>18}  goal\n",
        "suite", "octets", "seal", "cipher", "ratio", "open", "cipher", "ratio"
    );
    let mut rows = Vec::new();
    let mut rng = bound::rng()?;
    let (samples, batches) = match effort {
        Effort::Full => (SAMPLES, BATCHES),
        Effort::Quick => (1, 20),
    };
    let begin = Instant::now();
    for (encryption, integrity) in SUITES {
        let transform = Transform::new(encryption, integrity)
            .map_err(|error| anyhow::anyhow!("{encryption:?} with {integrity:?}: {error}"))?;
        for len in LENGTHS {
            let mut costs = Vec::new();
            for _ in 0..samples {
                let cost = measure::measure(transform, len, batches, &mut rng, || begin.elapsed())?;
                costs.push(cost);
            }
            let row = Row::of(&costs);
            let has_goal = len == GOAL.0 && is_fast(encryption);
            let worst = row.seal_ratio.median.max(row.open_ratio.median);
            let goal = if has_goal {
                verdict(worst <= GOAL.1, "<= 1.5")
            } else {
                String::new()
            };
            let name = transform.show();
            writeln!(
                text,
                "{name:<28} {len:>6} {:>7.0} {:>7.0} {:>18.2} {:>7.0} {:>7.0} {:>18.2}  {goal}",
                row.seal.median,
                row.cipher_seal.median,
                row.seal_ratio,
                row.open.median,
                row.cipher_open.median,
                row.open_ratio,
            )?;
            rows.push(to_json(&name, len, &row, has_goal));
        }
    }
    let json = Value::Array(rows);
    Ok(Found::Measured { text, json })
}

/// Whether the cipher is so fast that what surrounds it counts.
const fn is_fast(encryption: Encryption) -> bool {
    match encryption {
        Encryption::AesGcm(_) | Encryption::AesGmac(_) => true,
        Encryption::AesCbc(_) | Encryption::TripleDes | Encryption::Null => false,
    }
}

fn to_json(suite: &str, octets: usize, row: &Row, has_goal: bool) -> Value {
    json!({
        "suite": suite,
        "octets": octets,
        "seal_ns": row.seal.to_json(),
        "cipher_seal_ns": row.cipher_seal.to_json(),
        "seal_ratio": row.seal_ratio.to_json(),
        "open_ns": row.open.to_json(),
        "cipher_open_ns": row.cipher_open.to_json(),
        "open_ratio": row.open_ratio.to_json(),
        "goal": has_goal.then_some(GOAL.1),
    })
}

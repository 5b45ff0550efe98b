//! Security associations with their prepared keys, and the counters that must never repeat.
//!
//! Decides how a traffic key record becomes something to seal and open with. Which record is used
//! when is the snapshot's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crypto::aead::{Gcm, Gmac};
use crypto::hash::Hash;
use crypto::{Secret, cbc, hmac};
use policy::{Encryption, GroupName, GroupSize, Integrity, KeyBits, PseudoTime, Sid, Tek, sid};

use crate::Refusal;
use crate::counters::{Count, PerWorker, Traffic};
use crate::esp::Layout;

/// Octets of the salt that follows a counter-mode key.
const SALT: usize = 4;

/// The keys of one traffic key record, as TEK_ALGORITHM_KEY and TEK_INTEGRITY_KEY carry them.
#[derive(Clone)]
pub struct TekKey {
    /// Cipher key, with the salt for counter modes; empty for ESP-NULL.
    pub encryption: Secret,
    /// Integrity key; empty for GCM and GMAC.
    pub integrity: Secret,
}

/// The ciphers of an SA with their key schedules.
#[derive(Clone)]
pub(crate) enum Suite {
    Gcm {
        key: Arc<Gcm>,
        salt: [u8; SALT],
    },
    Gmac {
        key: Arc<Gmac>,
        salt: [u8; SALT],
    },
    CbcHmac {
        cipher: Arc<cbc::Cipher>,
        mac: Arc<hmac::Key>,
    },
    NullHmac {
        mac: Arc<hmac::Key>,
    },
}

impl Suite {
    fn new(tek: &Tek, key: &TekKey) -> Result<Self, Refusal> {
        let transform = tek.transform;
        let check = |what, expected: usize, found: usize| {
            if expected == found {
                Ok(())
            } else {
                Err(Refusal::KeyLength {
                    spi: tek.spi,
                    what,
                    expected,
                    found,
                })
            }
        };
        check("cipher key", transform.key_len(), key.encryption.len())?;
        check(
            "integrity key",
            transform.integrity_key_len(),
            key.integrity.len(),
        )?;
        let refused = |reason| Refusal::Key {
            spi: tek.spi,
            reason,
        };
        let encryption = key.encryption.expose();
        let mac = || {
            Arc::new(hmac::Key::new(
                hash_of(transform.integrity()),
                key.integrity.expose(),
            ))
        };
        let cipher = |algorithm| cbc::Cipher::new(algorithm, encryption).map(Arc::new);
        Ok(match transform.encryption() {
            Encryption::Null => Self::NullHmac { mac: mac() },
            Encryption::TripleDes => Self::CbcHmac {
                cipher: cipher(cbc::Algorithm::TripleDes).map_err(refused)?,
                mac: mac(),
            },
            Encryption::AesCbc(bits) => Self::CbcHmac {
                cipher: cipher(cbc_algorithm(bits)).map_err(refused)?,
                mac: mac(),
            },
            Encryption::AesGcm(_) => {
                let (key, salt) = split_salt(encryption);
                Self::Gcm {
                    key: Arc::new(Gcm::new(key).map_err(refused)?),
                    salt,
                }
            }
            Encryption::AesGmac(_) => {
                let (key, salt) = split_salt(encryption);
                Self::Gmac {
                    key: Arc::new(Gmac::new(key).map_err(refused)?),
                    salt,
                }
            }
        })
    }
}

/// The salt is the last four octets of the keying material.
//= RFC 4106 8.1
//# The KEYMAT requested
//# for each AES-GCM key is 20 octets.  The first 16 octets are the
//# 128-bit AES key, and the remaining four octets are used as the
//# salt value in the nonce.
fn split_salt(keymat: &[u8]) -> (&[u8], [u8; SALT]) {
    let (key, salt) = keymat.split_last_chunk().expect("the length was checked");
    (key, *salt)
}

const fn cbc_algorithm(bits: KeyBits) -> cbc::Algorithm {
    match bits {
        KeyBits::B128 => cbc::Algorithm::Aes128,
        KeyBits::B192 => cbc::Algorithm::Aes192,
        KeyBits::B256 => cbc::Algorithm::Aes256,
    }
}

/// The hash of an HMAC; what brings its own integrity has none, and no suite asks for it.
const fn hash_of(integrity: Integrity) -> Hash {
    match integrity {
        Integrity::HmacSha1 => Hash::Sha1,
        Integrity::Combined | Integrity::HmacSha256 => Hash::Sha256,
        Integrity::HmacSha384 => Hash::Sha384,
        Integrity::HmacSha512 => Hash::Sha512,
    }
}

/// An SA: an immutable record with its keys, and what is counted on it.
///
/// One object serves every worker and every snapshot from installation to removal.
pub struct Sa {
    pub(crate) tek: Tek,
    pub(crate) group: Arc<GroupName>,
    pub(crate) suite: Suite,
    pub(crate) layout: Layout,
    /// Names the key: equal for the same key installed again, and only then.
    pub(crate) fingerprint: u64,
    pub(crate) traffic: Arc<PerWorker<Traffic>>,
    /// Blocks that each worker has encrypted; counted where the cipher's blocks are of 64 bits.
    blocks: Arc<PerWorker<Count>>,
    sequence: Arc<PerWorker<AtomicU32>>,
}

impl Sa {
    pub(crate) fn new(
        group: Arc<GroupName>,
        tek: Tek,
        key: &TekKey,
        workers: usize,
    ) -> Result<Self, Refusal> {
        let suite = Suite::new(&tek, key)?;
        Ok(Self {
            fingerprint: fingerprint(&tek, key),
            layout: Layout::of(tek.transform),
            suite,
            tek,
            group,
            traffic: Arc::new(PerWorker::new(workers, Traffic::default)),
            blocks: Arc::new(PerWorker::new(workers, Count::default)),
            sequence: Arc::new(PerWorker::new(workers, AtomicU32::default)),
        })
    }

    /// The same SA under a refreshed record, with its counters.
    pub(crate) fn with_record(&self, tek: Tek, key: &TekKey) -> Result<Self, Refusal> {
        Ok(Self {
            suite: Suite::new(&tek, key)?,
            layout: Layout::of(tek.transform),
            tek,
            group: Arc::clone(&self.group),
            fingerprint: self.fingerprint,
            traffic: Arc::clone(&self.traffic),
            blocks: Arc::clone(&self.blocks),
            sequence: Arc::clone(&self.sequence),
        })
    }

    /// The same SA with other times, with its counters.
    pub(crate) fn with_times(&self, (activation, expiry): (PseudoTime, PseudoTime)) -> Self {
        Self {
            tek: Tek {
                activation,
                expiry,
                ..self.tek.clone()
            },
            suite: self.suite.clone(),
            layout: self.layout,
            group: Arc::clone(&self.group),
            fingerprint: self.fingerprint,
            traffic: Arc::clone(&self.traffic),
            blocks: Arc::clone(&self.blocks),
            sequence: Arc::clone(&self.sequence),
        }
    }

    /// The record.
    #[must_use]
    pub const fn tek(&self) -> &Tek {
        &self.tek
    }

    /// Whether `key` is this SA's.
    pub(crate) fn has_key(&self, tek: &Tek, key: &TekKey) -> bool {
        self.fingerprint == fingerprint(tek, key)
    }

    /// Counts the blocks of a packet that a worker is to encrypt with this key, if it may.
    //= getvpn P23
    pub(crate) fn spend(&self, worker: usize, blocks: u64, limit: u64) -> Spent {
        let count = self.blocks.of(worker);
        let before = count.read();
        if before + blocks > limit {
            return Spent::Refused;
        }
        count.add(blocks);
        let near = limit / 4 * 3;
        if before < near && before + blocks >= near {
            Spent::Nearly
        } else {
            Spent::Fine
        }
    }

    /// The next sequence number of a worker: from 1, and around. Many workers of many members send
    /// on the SA, so no receiver can check it (RFC 4303 section 2.2) and no order lies in it.
    //= RFC 4303 3.3.3
    //# If anti-replay is disabled (as noted above), the sender does
    //# not need to monitor or reset the counter.
    #[inline]
    pub(crate) fn next_sequence(&self, worker: usize) -> u32 {
        let counter = self.sequence.of(worker);
        let next = counter.load(Ordering::Relaxed).wrapping_add(1);
        counter.store(next, Ordering::Relaxed);
        next
    }
}

/// What became of the blocks of a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// There are enough left.
    Fine,
    /// With this packet three quarters are used.
    Nearly,
    /// They would be more than this worker may encrypt; the packet is not counted.
    Refused,
}

fn fingerprint(tek: &Tek, key: &TekKey) -> u64 {
    let mac = hmac::Key::new(Hash::Sha256, b"getvpn sa fingerprint");
    let spi = tek.spi.0.to_be_bytes();
    let digest = mac.sign(&[&spi, key.encryption.expose(), key.integrity.expose()]);
    digest
        .as_ref()
        .first_chunk()
        .map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// A SID and the counter of everything that this member ever sent with it.
///
/// The counter is one for all SAs and all workers, and atomic: whatever the threads do, no value is
/// given out twice. It lives as long as the group is configured and is met again when the same SID
/// is installed again.
//= getvpn P21
pub(crate) struct SidCounter {
    pub(crate) sid: Sid,
    pub(crate) size: GroupSize,
    next: AtomicU64,
}

/// What a SID gives to a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) iv: [u8; 8],
    /// With this packet three quarters of the counter are used.
    pub(crate) nearly_used: bool,
}

impl SidCounter {
    pub(crate) const fn new(sid: Sid, size: GroupSize) -> Self {
        Self {
            sid,
            size,
            next: AtomicU64::new(0),
        }
    }

    const fn end(&self) -> u64 {
        1 << (64 - self.size.bits() as u32)
    }

    /// An IV that was never given before; none when the counter is used up.
    #[inline]
    pub(crate) fn draw(&self) -> Option<Drawn> {
        // Asked first, so that a member that goes on sending never turns the counter around.
        if self.next.load(Ordering::Relaxed) >= self.end() {
            return None;
        }
        let ssiv = self.next.fetch_add(1, Ordering::Relaxed);
        sid::iv(self.size, self.sid, ssiv).map(|iv| Drawn {
            iv,
            nearly_used: ssiv == self.end() / 4 * 3,
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.end())
    }

    #[cfg(test)]
    pub(crate) fn set(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_warns_once_at_three_quarters_of_its_blocks_and_is_never_used_for_more() {
        let transform = policy::Transform::new(Encryption::TripleDes, Integrity::HmacSha1).unwrap();
        let tek = Tek {
            spi: policy::Spi(0x1000),
            transform,
            activation: PseudoTime::ZERO,
            expiry: PseudoTime::from_secs(60),
            generation: policy::Generation::default(),
            ks_list_hash: [0; 8],
            minted_by: policy::KsIndex::default(),
            orig_lifetime_s: 60,
        };
        let key = TekKey {
            encryption: Secret::new((0..24).collect()),
            integrity: Secret::new(vec![1; 20]),
        };
        let sa = Sa::new(Arc::new(GroupName::from("G1")), tek, &key, 2).unwrap();
        let spent: Vec<Spent> = (0..6).map(|_| sa.spend(0, 20, 100)).collect();
        let (fine, nearly, refused) = (Spent::Fine, Spent::Nearly, Spent::Refused);
        assert_eq!(spent, [fine, fine, fine, nearly, fine, refused]);
        assert_eq!(
            sa.spend(1, 20, 100),
            Spent::Fine,
            "each worker has its share"
        );
        assert_eq!(sa.spend(0, 1, 101), Spent::Fine);
    }

    #[test]
    fn a_counter_warns_once_at_three_quarters_and_stops_at_its_end() {
        let counter = SidCounter::new(Sid(7), GroupSize::Large);
        assert_eq!(counter.draw().map(|d| d.iv), Some([0, 0, 0, 7, 0, 0, 0, 0]));
        counter.set((3 << 30) - 1);
        let near: Vec<_> = (0..3)
            .filter_map(|_| counter.draw())
            .map(|d| d.nearly_used)
            .collect();
        assert_eq!(near, [false, true, false]);
        counter.set((1 << 32) - 1);
        assert_eq!(
            counter.draw().map(|d| d.iv),
            Some([0, 0, 0, 7, 255, 255, 255, 255])
        );
        for _ in 0..3 {
            assert_eq!(counter.draw(), None);
        }
        assert_eq!(counter.used(), 1 << 32);
    }
}

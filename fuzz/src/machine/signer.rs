//! An RSA key that signs in microseconds, so that a script may hold as many rekeys as it likes.
//!
//! Its modulus has 2048 bits, as a member demands, and is the product of 64 primes of 32 bits:
//! the private operation is done modulo each of them and put together (RFC 8017 section 3.2 allows
//! more than two factors). It protects nothing, and needs not to. What the member does with the
//! public key and with a signature is what it does with any other.

use std::sync::OnceLock;

use crypto::hash::Hash;
use crypto::rsa::PublicKey;

/// 32-bit words of the modulus, and its prime factors.
const WORDS: usize = 64;
/// Octets of a signature.
pub(super) const SIGNATURE_LEN: usize = WORDS * 4;
const EXPONENT: u64 = 65_537;
/// What precedes a SHA-256 digest in a DigestInfo (RFC 8017 section 9.2, note 1).
const SHA256_HEAD: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// One prime of the modulus, just below 2^32.
struct Factor {
    prime: u64,
    /// The private exponent modulo `prime - 1`.
    exponent: u64,
    /// The inverse modulo `prime` of the product of all factors before this one.
    inverse: u64,
}

/// The key.
pub(super) struct Signer {
    factors: Vec<Factor>,
    public: PublicKey,
}

impl Factor {
    /// A number below 2^64 modulo the prime, without a division and without a branch on data: the
    /// fuzzer would take each way through it for something new.
    const fn reduce(&self, number: u64) -> u64 {
        // 2^32 = short modulo the prime, and short has fewer than 13 bits.
        let short = (1 << 32) - self.prime;
        let once = (number >> 32) * short + (number & 0xFFFF_FFFF);
        let twice = (once >> 32) * short + (once & 0xFFFF_FFFF);
        let less = twice.wrapping_sub(self.prime);
        let below = (less >> 63).wrapping_neg();
        less.wrapping_add(self.prime & below)
    }

    const fn times(&self, a: u64, b: u64) -> u64 {
        self.reduce(a * b)
    }

    /// `base` to the power of `exponent`: as many steps for each.
    fn pow(&self, base: u64, exponent: u64) -> u64 {
        (0..32).rev().fold(1, |power, bit| {
            let square = self.times(power, power);
            let set = (exponent >> bit & 1).wrapping_neg();
            self.times(square, base & set | 1 & !set)
        })
    }

    /// A number of several words, least first, modulo the prime.
    fn residue(&self, words: &[u32]) -> u64 {
        let short = (1 << 32) - self.prime;
        words
            .iter()
            .rev()
            .fold(0, |rest, word| self.reduce(rest * short + u64::from(*word)))
    }
}

/// Whether an odd number has no odd divisor up to its root.
fn is_prime(number: u64) -> bool {
    (3..1 << 16)
        .step_by(2)
        .all(|divisor| !number.is_multiple_of(divisor))
}

/// `words` times `factor` plus `more`.
fn multiply_add(words: &mut [u32; WORDS], factor: u64, more: u64) {
    let mut carry = more;
    for word in words.iter_mut() {
        carry += u64::from(*word) * factor;
        *word = (carry & 0xFFFF_FFFF) as u32;
        carry >>= 32;
    }
    assert_eq!(carry, 0, "smaller than the modulus, which fits");
}

fn octets(words: &[u32; WORDS]) -> Vec<u8> {
    words
        .iter()
        .rev()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

impl Signer {
    /// The one key, made when it is first asked for.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Signer> = OnceLock::new();
        SHARED.get_or_init(Self::make)
    }

    fn make() -> Self {
        let mut factors: Vec<Factor> = Vec::with_capacity(WORDS);
        let mut modulus = [0; WORDS];
        modulus[0] = 1;
        let primes = (1 << 31..1 << 32)
            .rev()
            .step_by(2)
            .filter(|prime| is_prime(*prime));
        // The exponent has an inverse modulo prime - 1 unless it divides that.
        for prime in primes.filter(|prime| prime % EXPONENT != 1).take(WORDS) {
            let mut factor = Factor {
                prime,
                exponent: 0,
                inverse: 1,
            };
            // 1 + k (prime - 1) is a multiple of the exponent for one k below it.
            factor.exponent = (1..EXPONENT)
                .map(|k| 1 + k * (prime - 1))
                .find(|multiple| multiple.is_multiple_of(EXPONENT))
                .expect("they have no common divisor")
                / EXPONENT;
            let before = factor.residue(&modulus);
            factor.inverse = factor.pow(before, prime - 2);
            factors.push(factor);
            multiply_add(&mut modulus, prime, 0);
        }
        let numbers = [
            &[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00][..],
            &octets(&modulus),
            &[0x02, 0x03, 0x01, 0x00, 0x01],
        ];
        let public = PublicKey::from_der(&numbers.concat()).expect("a modulus of 2048 bits");
        Self { factors, public }
    }

    /// Its public half, as a key server gives it out.
    pub(super) fn spki(&self) -> &[u8] {
        self.public.to_spki_der()
    }

    /// A signature with SHA-256 over the message that the parts are (RFC 8017 section 8.2.1).
    pub(super) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let digest = Hash::Sha256.digest(parts);
        let mut block = [0xFF; SIGNATURE_LEN];
        let filled = SIGNATURE_LEN - SHA256_HEAD.len() - digest.as_ref().len();
        (block[0], block[1], block[filled - 1]) = (0, 1, 0);
        block[filled..][..SHA256_HEAD.len()].copy_from_slice(&SHA256_HEAD);
        block[filled + SHA256_HEAD.len()..].copy_from_slice(digest.as_ref());
        self.private(&block)
    }

    /// The private operation.
    fn private(&self, block: &[u8; SIGNATURE_LEN]) -> Vec<u8> {
        let mut words = [0; WORDS];
        for (word, four) in words.iter_mut().rev().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(four.try_into().expect("four of them"));
        }
        // Garner: digits of the result in the mixed base that the factors are.
        let mut digits: Vec<u64> = Vec::with_capacity(WORDS);
        for factor in &self.factors {
            let wanted = factor.pow(factor.residue(&words), factor.exponent);
            let so_far = digits
                .iter()
                .zip(&self.factors)
                .rev()
                .fold(0, |sum, (digit, base)| {
                    factor.reduce(sum * base.prime + digit)
                });
            let missing = wanted + factor.prime - so_far;
            digits.push(factor.times(factor.reduce(missing), factor.inverse));
        }
        let mut result = [0; WORDS];
        for (digit, base) in digits.iter().zip(&self.factors).rev() {
            multiply_add(&mut result, base.prime, *digit);
        }
        octets(&result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_signs_is_what_the_public_key_verifies() {
        let signer = Signer::shared();
        assert_eq!(signer.public.modulus_bits(), 2_048);
        for message in [&b""[..], b"rekey", &[0x5A; 300]] {
            let signature = signer.sign(&[message]);
            assert!(
                signer
                    .public
                    .verify(Hash::Sha256, &[message], &signature)
                    .is_ok()
            );
            assert!(
                signer
                    .public
                    .verify(Hash::Sha256, &[b"x", message], &signature)
                    .is_err()
            );
        }
    }
}

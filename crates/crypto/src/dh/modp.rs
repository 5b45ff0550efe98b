//! The MODP groups: a prime p = 2q + 1 with q prime, and the generator 2, which generates the
//! subgroup of order q.
//!
//! Exponents are short, as RFC 3526 section 8 (strength estimate 2) sizes them: twice the bits of
//! the group's strength, beyond which a longer exponent costs time and adds nothing. That is
//! safe here because p is a safe prime: the only small subgroup is {1, p-1}, and neither value
//! is accepted from a peer.

use std::sync::OnceLock;

use super::{Group, numbers};
use crate::aws_lc::Modulus;
use crate::{Error, Rng, Secret};

/// A prime with the length of exponents that suits it.
pub(super) struct Field {
    prime: &'static [u8],
    exponent_bits: usize,
    modulus: OnceLock<Option<Modulus>>,
}

/// RFC 3526 gives no exponent for this prime. The 240 bits of the next larger one are three
/// times its strength of some 80 bits (RFC 3766), so the exponent is never its weak part.
pub(super) static MODP_1024: Field = Field::new(&numbers::MODP_1024, 240);
pub(super) static MODP_1536: Field = Field::new(&numbers::MODP_1536, 240);
pub(super) static MODP_2048: Field = Field::new(&numbers::MODP_2048, 320);
pub(super) static MODP_3072: Field = Field::new(&numbers::MODP_3072, 420);
pub(super) static MODP_4096: Field = Field::new(&numbers::MODP_4096, 480);

impl Field {
    const fn new(prime: &'static [u8], exponent_bits: usize) -> Self {
        Self {
            prime,
            exponent_bits,
            modulus: OnceLock::new(),
        }
    }

    /// An exponent of exactly the field's length: its highest bit is set, the others are drawn.
    pub(super) fn draw_exponent(&self, rng: &mut dyn Rng) -> Secret {
        let mut octets = vec![0; self.exponent_bits.div_ceil(8)];
        rng.fill(&mut octets);
        let highest = 1 << ((self.exponent_bits - 1) % 8);
        octets[0] = (octets[0] & (highest - 1)) | highest;
        Secret::new(octets)
    }

    pub(super) fn public_value(&self, exponent: &Secret) -> Result<Vec<u8>, Error> {
        //= RFC 2409 5
        //# The Diffie-Hellman public value passed in a KE payload, in either a
        //# phase 1 or phase 2 exchange, MUST be the length of the negotiated
        //# Diffie-Hellman group enforced, if necessary, by pre-pending the value
        //# with zeros.
        self.pow(&[2], exponent)
    }

    pub(super) fn agree(
        &self,
        group: Group,
        exponent: &Secret,
        peer: &[u8],
    ) -> Result<Secret, Error> {
        self.check(peer).map_err(|why| group.refuse(why))?;
        self.pow(peer, exponent).map(Secret::new)
    }

    /// `peer`, as long as the prime, must lie in [2, p-2].
    fn check(&self, peer: &[u8]) -> Result<(), &'static str> {
        let Some((lowest, rest)) = peer.split_last() else {
            return Err("empty");
        };
        if *lowest <= 1 && rest.iter().all(|octet| *octet == 0) {
            return Err(if *lowest == 0 { "0" } else { "1" });
        }
        // p is odd, so that p-1 differs from it in the lowest octet only.
        let (p_lowest, p_rest) = self.prime.split_last().expect("a prime has octets");
        match rest.cmp(p_rest).then((lowest | 1).cmp(p_lowest)) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal if lowest != p_lowest => Err("p-1"),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Err("p or above"),
        }
    }

    fn pow(&self, base: &[u8], exponent: &Secret) -> Result<Vec<u8>, Error> {
        self.modulus
            .get_or_init(|| Modulus::new(self.prime))
            .as_ref()
            .and_then(|modulus| modulus.pow(base, exponent.expose()))
            .ok_or(Error::Library {
                what: "modular exponentiation",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&Field, u32); 5] = [
        (&MODP_1024, 129_093),
        (&MODP_1536, 741_804),
        (&MODP_2048, 124_476),
        (&MODP_3072, 1_690_314),
        (&MODP_4096, 240_904),
    ];

    /// A fixed-point number below 16: the first limb before the point, the others after it.
    type Fixed = Vec<u32>;

    fn divide(number: &mut Fixed, divisor: u32) {
        let mut rest = 0;
        for limb in number {
            let part = (rest << 32) | u64::from(*limb);
            *limb = u32::try_from(part / u64::from(divisor)).unwrap();
            rest = part % u64::from(divisor);
        }
    }

    fn add(number: &mut Fixed, other: &Fixed, sign: i64) {
        let mut carry = 0;
        for (limb, addend) in number.iter_mut().zip(other).rev() {
            let sum = i64::from(*limb) + sign * i64::from(*addend) + carry;
            *limb = u32::try_from(sum.rem_euclid(1 << 32)).unwrap();
            carry = sum.div_euclid(1 << 32);
        }
        assert_eq!(carry, 0);
    }

    /// `factor` times the arc tangent of 1 / `x`, by its series.
    fn arc_cotangent(factor: u32, x: u32, limbs: usize) -> Fixed {
        let mut power = vec![0; limbs];
        power[0] = factor;
        divide(&mut power, x);
        let mut sum = power.clone();
        let (mut odd, mut sign) = (3, -1);
        while power.iter().any(|limb| *limb != 0) {
            divide(&mut power, x * x);
            let mut term = power.clone();
            divide(&mut term, odd);
            add(&mut sum, &term, sign);
            (odd, sign) = (odd + 2, -sign);
        }
        sum
    }

    /// The first `bits` bits of pi (a multiple of 32, less 2), as whole limbs: Machin's formula.
    fn pi_bits(bits: usize) -> Vec<u32> {
        let limbs = bits / 32 + 4;
        let mut pi = arc_cotangent(16, 5, limbs);
        add(&mut pi, &arc_cotangent(4, 239, limbs), -1);
        // The first limb holds the two bits of 3: shift them next to the fraction.
        let shifted = pi.windows(2).map(|pair| (pair[0] << 30) | (pair[1] >> 2));
        shifted.take(bits / 32).collect()
    }

    #[test]
    fn primes_are_those_of_the_formula() {
        // p = 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c)
        for (field, c) in FIELDS {
            let bits = field.prime.len() * 8;
            let mut middle = pi_bits(bits - 128);
            let mut constant = vec![0; middle.len()];
            // The lone -1 borrows from the middle and leaves 64 ones below it.
            *constant.last_mut().unwrap() = c - 1;
            add(&mut middle, &constant, 1);
            let middle: Vec<u8> = middle.iter().flat_map(|limb| limb.to_be_bytes()).collect();
            let expected = [&[0xff; 8], &middle[..], &[0xff; 8]].concat();
            assert_eq!(field.prime, expected, "{bits} bits");
        }
    }

    #[test]
    fn the_generator_has_the_order_of_half_the_prime() {
        for (field, _) in FIELDS {
            // q = (p - 1) / 2
            let mut carry = 0;
            let q = field.prime.iter().map(|octet| {
                let half = (carry << 7) | (octet >> 1);
                carry = octet & 1;
                half
            });
            let power = field.pow(&[2], &Secret::new(q.collect())).unwrap();
            assert_eq!(power.last(), Some(&1));
            assert!(power[..power.len() - 1].iter().all(|octet| *octet == 0));
        }
    }

    #[test]
    fn exponents_have_exactly_their_length() {
        let mut ones = Constant(0xff);
        let mut zeros = Constant(0);
        for (field, _) in FIELDS {
            for rng in [&mut ones, &mut zeros] {
                let exponent = field.draw_exponent(rng);
                let first = exponent.expose()[0];
                let bits = exponent.len() * 8 - first.leading_zeros() as usize;
                assert_eq!(bits, field.exponent_bits);
            }
        }
    }

    struct Constant(u8);

    impl Rng for Constant {
        fn fill(&mut self, octets: &mut [u8]) {
            octets.fill(self.0);
        }
    }
}

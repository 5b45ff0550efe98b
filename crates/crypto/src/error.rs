//! What was wrong, and with what.

use std::fmt;

use crate::dh::Group;

/// Why a primitive refused its input. It names no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `what` has `found` octets where `expected` are right.
    Length {
        /// The input that is too long or too short.
        what: &'static str,
        /// Octets it must have.
        expected: usize,
        /// Octets it has.
        found: usize,
    },
    /// A text for a block cipher is not a whole number of blocks.
    Blocks {
        /// Octets of the text.
        octets: usize,
        /// Octets of a block.
        block: usize,
    },
    /// A 3DES key that is no better than a DES key (RFC 2451 section 2.3).
    WeakKey,
    /// The peer's Diffie-Hellman value is not one that the group allows.
    PublicValue {
        /// The group.
        group: Group,
        /// What the value is instead.
        why: &'static str,
    },
    /// `what` is not encoded as it must be.
    Encoding {
        /// The encoding that was expected.
        what: &'static str,
    },
    /// An RSA modulus outside the accepted sizes.
    ModulusSize {
        /// Bits of the modulus.
        bits: usize,
    },
    /// An RSA public exponent below 65537.
    PublicExponent,
    /// Data to be signed that does not fit into the modulus with its padding.
    TooLongToSign {
        /// Octets given.
        octets: usize,
        /// Octets that fit.
        limit: usize,
    },
    /// The library refused or had no memory; `what` is the operation.
    Library {
        /// The operation.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                what,
                expected,
                found,
            } => {
                write!(f, "{what}: {found} octets where {expected} are expected")
            }
            Self::Blocks { octets, block } => {
                write!(
                    f,
                    "{octets} octets are not a whole number of blocks of {block}"
                )
            }
            Self::WeakKey => {
                f.write_str("3DES key: two thirds are equal, or one is a weak DES key")
            }
            Self::PublicValue { group, why } => {
                write!(
                    f,
                    "public value for Diffie-Hellman group {}: {why}",
                    group.number()
                )
            }
            Self::Encoding { what } => write!(f, "not a well-formed {what}"),
            Self::ModulusSize { bits } => write!(
                f,
                "RSA modulus of {bits} bits, expected {} to {}",
                crate::rsa::MODULUS_BITS_MIN,
                crate::rsa::MODULUS_BITS_MAX
            ),
            Self::PublicExponent => f.write_str("RSA public exponent below 65537"),
            Self::TooLongToSign { octets, limit } => {
                write!(f, "{octets} octets to sign where at most {limit} fit")
            }
            Self::Library { what } => write!(f, "{what} failed in the library"),
        }
    }
}

impl std::error::Error for Error {}

/// The tag does not belong to these octets under this key. Deliberately says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTag;

impl fmt::Display for BadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication tag does not match")
    }
}

impl std::error::Error for BadTag {}

/// The signature does not belong to these octets under this key. Deliberately says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signature does not match")
    }
}

impl std::error::Error for BadSignature {}

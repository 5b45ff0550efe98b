//! Keys and primitives, without a word of any protocol.
//!
//! Every secret is zeroised when dropped and has no Debug; tags and secrets are compared in
//! constant time. Keys and exponents come from the injected [`Rng`] only, never from a library's
//! own generator, so that a seed replays. The two places where the library draws for itself are
//! named where they are: the nonce of an ECDSA signature ([`ecdsa`]), which makes signing
//! unrepeatable, and the blinding of an RSA private operation ([`rsa`]), which nobody can see.
//!
//! The mathematics is AWS-LC's. What its safe Rust interface lacks (finite-field Diffie-Hellman,
//! RSA without a DigestInfo) is wrapped in the one file of this crate that may hold `unsafe`.
//!
//! This crate deliberately knows no IKE, no ESP and no GDOI: which primitive is used where, over
//! which octets and with which lengths, is decided by its callers.

pub mod aead;
mod aws_lc;
pub mod cbc;
pub mod dh;
pub mod ecdsa;
mod error;
pub mod fixture;
pub mod hash;
pub mod hmac;
pub mod key_pair;
pub mod pem;
mod rng;
pub mod rsa;
mod secret;

pub use error::{BadSignature, BadTag, Error};
pub use rng::{Rng, SeededRng};
pub use secret::Secret;

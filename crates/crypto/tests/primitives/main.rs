//! The primitives against the vectors of the RFCs, of NIST and of Wycheproof, and against what
//! an attacker would send.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aead;
mod cbc;
mod dh;
mod ecdsa;
mod hash;
mod hmac;
mod hostile;
mod rsa;
mod secrets;

/// The lines of a vector file: words, without comments.
fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_ascii_whitespace().collect())
}

fn octets(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap()
}

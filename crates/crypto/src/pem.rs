//! Key pairs as text that other programs read and write: PEM (RFC 7468).
//!
//! A private key leaves encrypted only: PKCS#8 with PBES2 (RFC 8018), the key from PBKDF2 over
//! HMAC-SHA-256. What is read may be of any form that the library knows and that is encrypted:
//! PKCS#8, or the older form with `Proc-Type: 4,ENCRYPTED` that routers write. A key in clear is
//! refused: it was seen by whoever carried it.

use std::fmt;

use zeroize::Zeroizing;

use crate::aws_lc;
use crate::cbc::{Algorithm, Cipher};
use crate::key_pair::{Kind, PrivateKey, PublicKey};
use crate::{Error, Rng, Secret};

/// Characters of the longest text that is read.
pub const LEN_MAX: usize = 32_768;
/// Octets of the longest passphrase.
pub const PASSPHRASE_LEN_MAX: usize = 1_000;

/// Rounds of PBKDF2: what one guess at a passphrase costs.
const ROUNDS: u32 = 100_000;
const SALT_LEN: usize = 16;
/// Octets of base64 that one line stands for.
const LINE_OCTETS: usize = 48;

/// What a private key is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// DES-EDE3-CBC.
    TripleDes,
    /// AES-256-CBC.
    Aes256,
}

impl Protection {
    const fn algorithm(self) -> Algorithm {
        match self {
            Self::TripleDes => Algorithm::TripleDes,
            Self::Aes256 => Algorithm::Aes256,
        }
    }

    /// The object identifier, DER.
    const fn oid(self) -> &'static [u8] {
        match self {
            // 1.2.840.113549.3.7 and 2.16.840.1.101.3.4.1.42.
            Self::TripleDes => &[0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7],
            Self::Aes256 => &[0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 1, 0x2a],
        }
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No block between `BEGIN` and `END` lines is a private key.
    NoKey,
    /// It is too long.
    TooLong,
    /// The private key is not encrypted.
    Clear,
    /// The passphrase is wrong, or the block is damaged; from outside they look the same.
    Passphrase,
    /// The key is not of this kind.
    OtherKind(Kind),
    /// The key is of the kind, and unfit.
    Unfit(Error),
    /// The public key beside it is of another private key, or none.
    OtherPublicKey,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("the text holds no PEM private key"),
            Self::TooLong => write!(f, "the text is longer than {LEN_MAX} characters"),
            Self::Clear => f.write_str("the private key is not encrypted"),
            Self::Passphrase => f.write_str("wrong passphrase, or the key is damaged"),
            Self::OtherKind(kind) => write!(f, "not {} key", kind.with_article()),
            Self::Unfit(error) => write!(f, "{error}"),
            Self::OtherPublicKey => {
                f.write_str("the public key does not belong to the private key")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The public half: `BEGIN PUBLIC KEY`.
#[must_use]
pub fn public(key: &PublicKey) -> String {
    armour("PUBLIC KEY", key.to_spki_der())
}

/// A private key, PKCS#8 DER, under a passphrase: `BEGIN ENCRYPTED PRIVATE KEY`.
///
/// # Errors
/// [`Error::Library`] if the library has no memory.
pub fn seal(
    pkcs8: &Secret,
    passphrase: &Secret,
    protection: Protection,
    rng: &mut dyn Rng,
) -> Result<String, Error> {
    let algorithm = protection.algorithm();
    let block = algorithm.block_len();
    let (mut salt, mut iv) = ([0; SALT_LEN], vec![0; block]);
    let (cipher, salt) = loop {
        rng.fill(&mut salt);
        let mut key = Zeroizing::new(vec![0; algorithm.key_len()]);
        if !aws_lc::pbkdf2_sha256(passphrase.expose(), &salt, ROUNDS, &mut key) {
            return Err(Error::Library { what: "PBKDF2" });
        }
        match Cipher::new(algorithm, &key) {
            Ok(cipher) => break (cipher, salt),
            // One salt in 2^52 gives 3DES a key that is none.
            Err(Error::WeakKey) => {}
            Err(error) => return Err(error),
        }
    };
    rng.fill(&mut iv);
    // Room for the padding, so that no copy of the key is left behind.
    let pad = block - pkcs8.len() % block;
    let mut data = Zeroizing::new(Vec::with_capacity(pkcs8.len() + pad));
    data.extend_from_slice(pkcs8.expose());
    data.resize(pkcs8.len() + pad, u8::try_from(pad).unwrap_or(0));
    cipher.encrypt(&iv, &mut data)?;
    let der = encrypted_private_key_info(protection, &salt, &iv, &data);
    Ok(armour("ENCRYPTED PRIVATE KEY", &der))
}

/// The private key of a kind in `text`, PKCS#8 DER; with a public key in the same text it must be its half.
///
/// # Errors
/// See [`Refusal`].
pub fn open(kind: Kind, text: &str, passphrase: &Secret) -> Result<Secret, Refusal> {
    if text.len() > LEN_MAX {
        return Err(Refusal::TooLong);
    }
    let found = blocks(text);
    let (label, block) = found
        .iter()
        .find(|(label, _)| label.ends_with("PRIVATE KEY"))
        .ok_or(Refusal::NoKey)?;
    let is_encrypted = label.starts_with("ENCRYPTED") || block.contains("Proc-Type: 4,ENCRYPTED");
    if !is_encrypted {
        return Err(Refusal::Clear);
    }
    let mut phrase = Zeroizing::new(Vec::with_capacity(passphrase.len() + 1));
    phrase.extend_from_slice(passphrase.expose());
    phrase.push(0);
    if phrase.len() > PASSPHRASE_LEN_MAX || phrase[..passphrase.len()].contains(&0) {
        return Err(Refusal::Passphrase);
    }
    let read = aws_lc::private_key_of_pem(kind, block.as_bytes(), &phrase);
    let pkcs8 = read
        .ok_or(Refusal::Passphrase)?
        .ok_or(Refusal::OtherKind(kind))?;
    let pkcs8 = Secret::new(pkcs8);
    let key = PrivateKey::from_pkcs8(kind, pkcs8.expose()).map_err(Refusal::Unfit)?;
    let beside = found.iter().find(|(label, _)| label == "PUBLIC KEY");
    if let Some((_, public)) = beside {
        let der = body(public).ok_or(Refusal::OtherPublicKey)?;
        if der != key.public_key().to_spki_der() {
            return Err(Refusal::OtherPublicKey);
        }
    }
    Ok(pkcs8)
}

/// The blocks of a text with their labels; each line ends in a line feed.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        let marked = |word: &str| {
            let rest = line.strip_prefix("-----")?.strip_prefix(word)?;
            rest.strip_suffix("-----")
        };
        if let Some(label) = marked("BEGIN ") {
            open = Some((label.to_owned(), String::new()));
        }
        if let Some((label, block)) = &mut open {
            block.push_str(line);
            block.push('\n');
            if marked("END ") == Some(label) {
                found.extend(open.take());
            }
        }
    }
    found
}

/// The octets of a block without headers.
fn body(block: &str) -> Option<Vec<u8>> {
    let lines = block.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    let digits = text.trim_end_matches('=');
    let mut octets = Vec::with_capacity(digits.len());
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = BASE64.iter().position(|own| *own == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(octets)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn armour(label: &str, octets: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in octets.chunks(LINE_OCTETS) {
        for three in line.chunks(3) {
            let bits = three
                .iter()
                .fold(0, |bits, octet| bits << 8 | usize::from(*octet));
            let bits = bits << (8 * (3 - three.len()));
            for place in 0..4 {
                text.push(if place <= three.len() {
                    char::from(BASE64[bits >> (18 - 6 * place) & 63])
                } else {
                    '='
                });
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const INTEGER: u8 = 0x02;
/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// hmacWithSHA256, 1.2.840.113549.2.9, with its NULL parameter.
const HMAC_SHA256: &[u8] = &[
    SEQUENCE, 12, 6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9, 5, 0,
];

/// EncryptedPrivateKeyInfo (RFC 5208 section 6) with the parameters of RFC 8018 appendix A.4.
fn encrypted_private_key_info(
    protection: Protection,
    salt: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let rounds = ROUNDS.to_be_bytes();
    let derivation = der(
        SEQUENCE,
        &[
            &der(OCTET_STRING, &[salt]),
            // Its first octet is 0, so that it is positive.
            &der(INTEGER, &[&rounds[1..]]),
            HMAC_SHA256,
        ],
    );
    let derivation = der(SEQUENCE, &[PBKDF2, &derivation]);
    let scheme = der(SEQUENCE, &[protection.oid(), &der(OCTET_STRING, &[iv])]);
    let parameters = der(SEQUENCE, &[&derivation, &scheme]);
    let algorithm = der(SEQUENCE, &[PBES2, &parameters]);
    der(SEQUENCE, &[&algorithm, &der(OCTET_STRING, &[data])])
}

/// One value of DER: tag, length, content.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let octets = len.to_be_bytes();
    let from = octets.iter().position(|octet| *octet != 0);
    let octets = &octets[from.unwrap_or(octets.len() - 1)..];
    let mut value = vec![tag];
    match *octets {
        [short] if short < 0x80 => value.push(short),
        _ => {
            value.push(0x80 | u8::try_from(octets.len()).unwrap_or(0));
            value.extend_from_slice(octets);
        }
    }
    value.extend(parts.concat());
    value
}

#[cfg(test)]
mod tests;

//! RSA signatures with the padding of PKCS#1 v1.5 (EMSA-PKCS1-v1_5, RFC 8017 section 9.2), with
//! the DigestInfo and without it.
//!
//! A signature is verified by building the one block that it must decrypt to and comparing the
//! whole: nothing in it is parsed, so that nothing can be read leniently. Keys outside 2048 to
//! 8192 bits or with a public exponent below 65537 are refused when they are read.
//!
//! Keys are not generated here, because the library would draw them from its own generator. It
//! also draws the blinding of the private operation from there; the signature is the same
//! whatever is drawn.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::aws_lc::Rsa;
use crate::hash::{Digest, Hash};
use crate::{BadSignature, Error};

/// The smallest modulus accepted, in bits.
pub const MODULUS_BITS_MIN: usize = 2048;
/// The largest modulus accepted, in bits: it bounds the work that a peer's key can cause.
pub const MODULUS_BITS_MAX: usize = 8192;
/// The smallest public exponent accepted (FIPS 186-5 section 5.4).
const EXPONENT_MIN: u64 = 65_537;
/// Octets around the data in a padded block: 00 01, at least eight ff, 00.
const PADDING_LEN_MIN: usize = 11;

/// A private key with its public half.
#[derive(Clone)]
pub struct PrivateKey {
    key: Arc<Rsa>,
    public: PublicKey,
}

impl PrivateKey {
    /// The key in PKCS#8 (RFC 5208), its parts checked against each other.
    ///
    /// # Errors
    /// [`Error::Encoding`], [`Error::ModulusSize`], [`Error::PublicExponent`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let key = Rsa::from_pkcs8(der).ok_or(Error::Encoding {
            what: "RSA key (PKCS#8)",
        })?;
        let key = Arc::new(key);
        Ok(Self {
            public: PublicKey::of(Arc::clone(&key))?,
            key,
        })
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Bits of the modulus.
    #[must_use]
    pub fn modulus_bits(&self) -> usize {
        self.public.modulus_bits()
    }

    /// Signs the message that the parts are: hashed, in a DigestInfo, padded.
    ///
    /// # Errors
    /// [`Error::Library`] if the library has no memory or the result does not verify.
    pub fn sign(&self, hash: Hash, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        self.sign_digest_info(hash, hash.digest(parts).as_ref())
    }

    /// Signs `digest`, an output of `hash`: in a DigestInfo, padded.
    ///
    /// # Errors
    /// [`Error::Length`] if the digest is not as long as an output of the hash; else as for
    /// [`Self::sign`].
    pub fn sign_digest_info(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let (expected, found) = (hash.output_len(), digest.len());
        if expected != found {
            return Err(Error::Length {
                what: "digest to sign",
                expected,
                found,
            });
        }
        self.sign_parts(&[digest_info_head(hash), digest])
    }

    /// Signs `data` as it stands: padded, without a DigestInfo (RFC 2409 section 5.1).
    ///
    /// # Errors
    /// [`Error::TooLongToSign`] if the data and eleven octets of padding are longer than the
    /// modulus; else as for [`Self::sign`].
    pub fn sign_raw(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        //= RFC 2409 5.1
        //# Therefore, RSA signatures MUST be encoded as a private
        //# key encryption in PKCS #1 format and not as a signature in PKCS #1
        //# format (which includes the OID of the hash algorithm).
        self.sign_parts(&[data])
    }

    fn sign_parts(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let len = self.public.modulus_len();
        let octets = parts.iter().map(|part| part.len()).sum();
        let limit = len - PADDING_LEN_MIN;
        let block = padded(parts, len).ok_or(Error::TooLongToSign { octets, limit })?;
        self.key.private(&block).ok_or(Error::Library {
            what: "RSA signing",
        })
    }
}

/// A public key of an accepted size.
#[derive(Clone)]
pub struct PublicKey {
    key: Arc<Rsa>,
    spki: Vec<u8>,
}

impl PublicKey {
    /// The key in SubjectPublicKeyInfo (RFC 5280), or as the bare RSAPublicKey of PKCS#1
    /// (RFC 8017 A.1.1); in DER to the letter and without trailing octets.
    ///
    /// # Errors
    /// [`Error::Encoding`], [`Error::ModulusSize`], [`Error::PublicExponent`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let wrong = Error::Encoding {
            what: "RSA public key (SubjectPublicKeyInfo, RSAPublicKey)",
        };
        let around = spki(der);
        let bare = || Rsa::from_spki(&around).map(|key| (key, &around[..]));
        let (key, read) = Rsa::from_spki(der)
            .map(|key| (key, der))
            .or_else(bare)
            .ok_or(wrong)?;
        let key = Self::of(Arc::new(key))?;
        // The library takes other parameters than NULL, which the writer of DER cannot mean.
        if key.spki == read {
            Ok(key)
        } else {
            Err(wrong)
        }
    }

    fn of(key: Arc<Rsa>) -> Result<Self, Error> {
        let bits = key.bits();
        if !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits) {
            return Err(Error::ModulusSize { bits });
        }
        if key
            .exponent()
            .is_some_and(|exponent| exponent < EXPONENT_MIN)
        {
            return Err(Error::PublicExponent);
        }
        let bare = key.to_pkcs1().ok_or(Error::Library {
            what: "encoding of an RSA key",
        })?;
        Ok(Self {
            key,
            spki: spki(&bare),
        })
    }

    /// Bits of the modulus.
    #[must_use]
    pub fn modulus_bits(&self) -> usize {
        self.key.bits()
    }

    /// Octets of the modulus, and so of a signature.
    #[must_use]
    pub fn modulus_len(&self) -> usize {
        self.key.bits().div_ceil(8)
    }

    /// The key in SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the key in SubjectPublicKeyInfo: what people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Hash::Sha256.digest(&[&self.spki])
    }

    /// Checks that `signature` is over the message that the parts are, with a DigestInfo.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not.
    pub fn verify(
        &self,
        hash: Hash,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        self.verify_digest_info(hash, hash.digest(parts).as_ref(), signature)
    }

    /// Checks that `signature` is over `digest`, an output of `hash`, with a DigestInfo.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not, or if the digest is not as long as an output of the hash.
    pub fn verify_digest_info(
        &self,
        hash: Hash,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if digest.len() != hash.output_len() {
            return Err(BadSignature);
        }
        self.verify_parts(&[digest_info_head(hash), digest], signature)
    }

    /// Checks that `signature` is over `data` as it stands, without a DigestInfo.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not, or if there is no data.
    pub fn verify_raw(&self, data: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if data.is_empty() {
            return Err(BadSignature);
        }
        self.verify_parts(&[data], signature)
    }

    fn verify_parts(&self, parts: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let expected = padded(parts, self.modulus_len()).ok_or(BadSignature)?;
        let block = self.key.public(signature).ok_or(BadSignature)?;
        if block.ct_eq(&expected).into() {
            Ok(())
        } else {
            Err(BadSignature)
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

/// The size and the fingerprint.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSA-{} {:?}", self.modulus_bits(), self.fingerprint())
    }
}

/// EMSA-PKCS1-v1_5 around the parts: 00 01 ff..ff 00 parts, `len` octets; `None` if they do not
/// fit.
fn padded(parts: &[&[u8]], len: usize) -> Option<Vec<u8>> {
    let octets: usize = parts.iter().map(|part| part.len()).sum();
    let filling = len
        .checked_sub(octets + 3)
        .filter(|filling| *filling >= 8)?;
    let mut block = vec![0, 1];
    block.resize(2 + filling, 0xff);
    block.push(0);
    for part in parts {
        block.extend_from_slice(part);
    }
    Some(block)
}

/// What precedes the digest in a DigestInfo (RFC 8017 section 9.2, note 1).
const fn digest_info_head(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        Hash::Sha256 => {
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
        }
        Hash::Sha384 => {
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        Hash::Sha512 => {
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
    }
}

/// SubjectPublicKeyInfo around an RSAPublicKey: the algorithm rsaEncryption with its NULL, and
/// a bit string.
fn spki(bare: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let bits = der(0x03, &[&[0], bare]);
    der(0x30, &[RSA_ENCRYPTION, &bits])
}

/// One DER value. Of more than 65535 octets, which no accepted key comes near, it makes a length
/// that no parser takes.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let octets: usize = parts.iter().map(|part| part.len()).sum();
    let [.., high, low] = octets.to_be_bytes();
    let mut value = vec![tag];
    match octets {
        0..0x80 => value.push(low),
        0x80..0x100 => value.extend([0x81, low]),
        _ => value.extend([0x82, high, low]),
    }
    for part in parts {
        value.extend_from_slice(part);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, SeededRng, fixture};

    /// What a forger with the private key could make: a signature of any block.
    fn forged(key: &PrivateKey, block: &[u8]) -> Vec<u8> {
        key.key
            .private(block)
            .expect("the block is below the modulus")
    }

    fn right_block(key: &PrivateKey) -> Vec<u8> {
        let digest = Hash::Sha256.digest(&[b"the message"]);
        let parts = [digest_info_head(Hash::Sha256), digest.as_ref()];
        padded(&parts, key.public.modulus_len()).unwrap()
    }

    fn verifies(key: &PrivateKey, block: &[u8]) -> bool {
        let signature = forged(key, block);
        key.public
            .verify(Hash::Sha256, &[b"the message"], &signature)
            .is_ok()
    }

    #[test]
    fn a_block_with_any_bit_flipped_does_not_verify() {
        let key = fixture::not_secret_rsa_2048();
        let block = right_block(&key);
        assert!(verifies(&key, &block));
        // The first octet cannot change without exceeding the modulus.
        for bit in 8..block.len() * 8 {
            let mut mutated = block.clone();
            mutated[bit / 8] ^= 1 << (bit % 8);
            assert!(!verifies(&key, &mutated), "bit {bit}");
        }
    }

    /// The forms that lenient verifiers have been caught accepting.
    #[test]
    fn a_block_of_another_form_does_not_verify() {
        let key = fixture::not_secret_rsa_2048();
        let len = key.public.modulus_len();
        let digest = Hash::Sha256.digest(&[b"the message"]);
        let digest = digest.as_ref();
        let whole = [digest_info_head(Hash::Sha256), digest].concat();
        let framed = |head: &[u8], filling: usize, rest: &[u8]| {
            let mut block = head.to_vec();
            block.resize(head.len() + filling, 0xff);
            block.extend_from_slice(rest);
            block.resize(len, 0);
            block
        };
        let fill = len - 3 - whole.len();
        let behind_zero = [&[0], &whole[..]].concat();
        assert_eq!(framed(&[0, 1], fill, &behind_zero), right_block(&key));
        let long_form = [b"\x30\x81\x31", &whole[2..]].concat();
        let indefinite = [b"\x30\x80", &whole[2..], b"\0\0"].concat();
        let no_null = [b"\x30\x2f\x30\x0b", &whole[4..15], b"\x04\x20", digest].concat();
        let trailing_inside = [b"\x30\x33", &whole[2..], b"\x05\x00"].concat();
        let wrong_hash = [digest_info_head(Hash::Sha512), digest, digest].concat();
        for info in [
            long_form,
            indefinite,
            no_null,
            trailing_inside,
            wrong_hash,
            digest.to_vec(),
        ] {
            let fill = len - 3 - info.len();
            let block = framed(&[0, 1], fill, &[&[0], &info[..]].concat());
            assert!(!verifies(&key, &block), "{info:x?}");
        }
        for fewer in 1..=fill {
            // Short filling with garbage (zeros) behind the digest.
            assert!(
                !verifies(&key, &framed(&[0, 1], fill - fewer, &behind_zero)),
                "{fewer}"
            );
        }
        assert!(!verifies(&key, &framed(&[0, 2], fill, &behind_zero)));
        assert!(!verifies(&key, &framed(&[0, 0], fill, &behind_zero)));
        assert!(!verifies(&key, &framed(&[1], fill + 1, &behind_zero)));
    }

    fn mutated_blocks(count: usize, seed: u64) {
        let key = fixture::not_secret_rsa_2048();
        let block = right_block(&key);
        let info = block.len() - 51;
        let mut rng = SeededRng::from_number(seed);
        for round in 0..count {
            let mut draws = [0; 17];
            rng.fill(&mut draws);
            let mut mutated = block.clone();
            for pair in draws[1..=2 * (1 + usize::from(draws[0] % 8))].chunks_exact(2) {
                // Two in three changes fall on the DigestInfo, the others anywhere.
                let anywhere = 1 + usize::from(pair[0]) % (block.len() - 1);
                let inside = info + usize::from(pair[0]) % 51;
                let at = if pair[1].is_multiple_of(3) {
                    anywhere
                } else {
                    inside
                };
                mutated[at] = mutated[at].wrapping_add(pair[1]);
            }
            assert_eq!(verifies(&key, &mutated), mutated == block, "round {round}");
        }
    }

    #[test]
    fn randomly_mutated_digest_infos_do_not_verify() {
        mutated_blocks(1_000, 1);
    }

    #[test]
    #[ignore = "takes some ten minutes"]
    fn a_million_mutated_digest_infos_do_not_verify() {
        mutated_blocks(1_000_000, 2);
    }
}

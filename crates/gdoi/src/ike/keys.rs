//! The keys of a phase-1 SA: SKEYID and its children, HASH_I and HASH_R, the cipher key, the IVs.
//!
//! RFC 2409 section 5 and appendix B as functions of octets. The prf is always the HMAC of the
//! negotiated hash, whose output is as long as its key should be, so the expansion of appendix B
//! is only ever needed for the cipher key. When to derive and what to compare is decided elsewhere.

use crypto::Secret;
use crypto::cbc::{Algorithm, Cipher};
use crypto::hash::{Digest, Hash};
use crypto::hmac;

use crate::config::{IsakmpCipher, IsakmpHash};

/// A cookie: one half of the name of an ISAKMP SA.
pub(super) type Cookie = [u8; 8];

/// The hash function that the configuration's word names.
pub(super) const fn hash_of(hash: IsakmpHash) -> Hash {
    match hash {
        IsakmpHash::Sha1 => Hash::Sha1,
        IsakmpHash::Sha256 => Hash::Sha256,
        IsakmpHash::Sha384 => Hash::Sha384,
        IsakmpHash::Sha512 => Hash::Sha512,
    }
}

/// The cipher that the configuration's word names.
pub(super) const fn cipher_of(cipher: IsakmpCipher) -> Algorithm {
    match cipher {
        IsakmpCipher::TripleDes => Algorithm::TripleDes,
        IsakmpCipher::Aes128 => Algorithm::Aes128,
        IsakmpCipher::Aes192 => Algorithm::Aes192,
        IsakmpCipher::Aes256 => Algorithm::Aes256,
    }
}

/// What both sides have seen of main mode messages 3 and 4.
pub(super) struct Exchanged<'a> {
    /// The body of the initiator's nonce.
    pub(super) initiator_nonce: &'a [u8],
    /// The body of the responder's nonce.
    pub(super) responder_nonce: &'a [u8],
    /// The initiator's cookie.
    pub(super) initiator_cookie: &'a Cookie,
    /// The responder's cookie.
    pub(super) responder_cookie: &'a Cookie,
    /// The secret of the Diffie-Hellman exchange.
    pub(super) shared: &'a Secret,
}

/// The keys of one phase-1 SA.
pub(super) struct Keys {
    hash: Hash,
    skeyid: hmac::Key,
    skeyid_d: hmac::Key,
    skeyid_a: hmac::Key,
    cipher: Cipher,
}

/// Keys as they are derived, and the cipher key for a key log.
pub(super) struct Derived {
    /// The keys.
    pub(super) keys: Keys,
    /// The key of the cipher.
    pub(super) cipher_key: Secret,
}

/// Derives everything from a pre-shared key.
///
/// # Errors
/// Only for a 3DES key that is no more than DES, one in 2^56.
pub(super) fn derive(
    hash: Hash,
    cipher: Algorithm,
    preshared_key: &Secret,
    exchanged: &Exchanged<'_>,
) -> Result<Derived, crypto::Error> {
    let Exchanged {
        initiator_cookie,
        responder_cookie,
        shared,
        ..
    } = exchanged;
    let nonces = [exchanged.initiator_nonce, exchanged.responder_nonce];
    //= RFC 2409 5
    //# For pre-shared keys:       SKEYID = prf(pre-shared-key, Ni_b |
    //# Nr_b)
    let skeyid = hmac::prf(hash, preshared_key.expose(), &nonces);
    let skeyid_key = hmac::Key::new(hash, skeyid.expose());
    let child = |before: &[u8], number: u8| {
        let parts: [&[u8]; 5] = [
            before,
            shared.expose(),
            *initiator_cookie,
            *responder_cookie,
            &[number],
        ];
        skeyid_key.prf(&parts)
    };
    let skeyid_d = child(&[], 0);
    let skeyid_a = child(skeyid_d.expose(), 1);
    let skeyid_e = child(skeyid_a.expose(), 2);
    let cipher_key = stretch(hash, &skeyid_e, cipher.key_len());
    Ok(Derived {
        keys: Keys {
            hash,
            skeyid: skeyid_key,
            skeyid_d: hmac::Key::new(hash, skeyid_d.expose()),
            skeyid_a: hmac::Key::new(hash, skeyid_a.expose()),
            cipher: Cipher::new(cipher, cipher_key.expose())?,
        },
        cipher_key,
    })
}

/// The first `len` octets of SKEYID_e, or of its expansion when it is too short.
fn stretch(hash: Hash, skeyid_e: &Secret, len: usize) -> Secret {
    if skeyid_e.len() >= len {
        return Secret::copy_of(&skeyid_e.expose()[..len]);
    }
    //= RFC 2409 B
    //# Ka = K1 | K2 | K3
    let mut block = hmac::prf(hash, skeyid_e.expose(), &[&[0]]);
    let mut expanded = zeroize::Zeroizing::new(Vec::with_capacity(len + block.len()));
    expanded.extend_from_slice(block.expose());
    while expanded.len() < len {
        block = hmac::prf(hash, skeyid_e.expose(), &[block.expose()]);
        expanded.extend_from_slice(block.expose());
    }
    Secret::copy_of(&expanded[..len])
}

/// Whose HASH it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// HASH_I.
    Initiator,
    /// HASH_R.
    Responder,
}

/// What HASH_I and HASH_R cover beside the identity.
pub(super) struct Transcript<'a> {
    /// The initiator's Diffie-Hellman value.
    pub(super) initiator_ke: &'a [u8],
    /// The responder's.
    pub(super) responder_ke: &'a [u8],
    /// The initiator's cookie.
    pub(super) initiator_cookie: &'a Cookie,
    /// The responder's cookie.
    pub(super) responder_cookie: &'a Cookie,
    /// The body of the SA payload of message 1, as it was sent.
    pub(super) sa: &'a [u8],
}

impl Keys {
    /// HASH_I or HASH_R over the body of that side's ID payload.
    pub(super) fn authentication(
        &self,
        side: Side,
        transcript: &Transcript<'_>,
        identity: &[u8],
    ) -> Digest {
        let Transcript {
            initiator_ke,
            responder_ke,
            initiator_cookie,
            responder_cookie,
            sa,
        } = transcript;
        //= RFC 2409 5
        //# HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b )
        //# HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b )
        match side {
            Side::Initiator => self.skeyid.sign(&[
                initiator_ke,
                responder_ke,
                *initiator_cookie,
                *responder_cookie,
                sa,
                identity,
            ]),
            Side::Responder => self.skeyid.sign(&[
                responder_ke,
                initiator_ke,
                *responder_cookie,
                *initiator_cookie,
                sa,
                identity,
            ]),
        }
    }

    /// The IV of main mode message 5.
    pub(super) fn first_iv(&self, initiator_ke: &[u8], responder_ke: &[u8]) -> Vec<u8> {
        self.iv_of(&[initiator_ke, responder_ke])
    }

    /// The IV of the first message of an exchange under the SA, from the last block of phase 1.
    pub(super) fn exchange_iv(&self, last_block: &[u8], message_id: u32) -> Vec<u8> {
        self.iv_of(&[last_block, &message_id.to_be_bytes()])
    }

    fn iv_of(&self, parts: &[&[u8]]) -> Vec<u8> {
        self.hash.digest(parts).as_ref()[..self.block_len()].to_vec()
    }

    /// prf(SKEYID_a, parts): the HASH of every message under the SA.
    pub(super) fn prf_a(&self, parts: &[&[u8]]) -> Digest {
        self.skeyid_a.sign(parts)
    }

    /// prf(SKEYID_d, parts): keys for other purposes.
    pub(super) fn prf_d(&self, parts: &[&[u8]]) -> Secret {
        self.skeyid_d.prf(parts)
    }

    /// Octets of a block of the cipher.
    pub(super) const fn block_len(&self) -> usize {
        self.cipher.algorithm().block_len()
    }

    /// Octets of a HASH.
    pub(super) const fn hash_len(&self) -> usize {
        self.hash.output_len()
    }

    /// Encrypts whole blocks in place and returns the IV of the next message.
    pub(super) fn seal(&self, iv: &[u8], clear: &mut [u8]) -> Vec<u8> {
        self.cipher
            .encrypt(iv, clear)
            .expect("an IV of one block and whole blocks are always taken")
            .as_ref()
            .to_vec()
    }

    /// Decrypts in place and returns the IV of the next message; `None` if `sealed` is empty or no
    /// whole number of blocks.
    pub(super) fn open(&self, iv: &[u8], sealed: &mut [u8]) -> Option<Vec<u8>> {
        if sealed.is_empty() {
            return None;
        }
        Some(self.cipher.decrypt(iv, sealed).ok()?.as_ref().to_vec())
    }
}

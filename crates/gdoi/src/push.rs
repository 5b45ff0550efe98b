//! The GROUPKEY-PUSH message (RFC 6407 section 4): sealing it and opening it.
//!
//! Decides how the octets are hashed, signed and encrypted. What a rekey says is `group_sa`, when
//! one is sent `ks::rekey`, and whether one is believed `gm::rekey`.

use std::fmt;

use crypto::hash::Hash;
use crypto::key_pair::{PrivateKey, PublicKey};
use policy::{KekSpi, Signature};
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header};
use zeroize::Zeroizing;

use crate::exchange::{Illegal, message_at};
use crate::key_pairs::algorithm;
use crate::rekey_sa::{RekeySa, hash};

/// What stands before the header in the hash under the signature.
//= RFC 6407 4
//# The SIG payload includes a signature of a hash of the entire
//# GROUPKEY-PUSH message (excepting the SIG payload octets) before it
//# has been encrypted.  The HASH is taken over the string 'rekey', the
//# GROUPKEY-PUSH HDR, followed by all payloads preceding the SIG
//# payload.
const PREFIX: &[u8] = b"rekey";

/// How the hash becomes a signature.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Encoding {
    /// RSA: EMSA-PKCS1-v1_5 with its DigestInfo, as RFC 6407 section 5.3.6.1 says.
    DigestInfo,
    /// RSA: the bare hash, as the reference implementation of 2011 does.
    RawHash,
    /// ECDSA: r and s, each as long as the curve (RFC 4754 section 7).
    Concatenated,
}

impl Encoding {
    /// Ours; `raw_hash` is for RSA to heed.
    pub(crate) const fn of(signature: Signature, raw_hash: bool) -> Self {
        match signature {
            Signature::Rsa(_) if raw_hash => Self::RawHash,
            Signature::Rsa(_) => Self::DigestInfo,
            Signature::Ecdsa256 | Signature::Ecdsa384 | Signature::Ecdsa521 => Self::Concatenated,
        }
    }

    /// Signs what the parts are; `None` with a key of the other kind.
    fn sign(
        self,
        key: &PrivateKey,
        hash: Hash,
        parts: &[&[u8]],
    ) -> Option<Result<Vec<u8>, crypto::Error>> {
        match (self, key) {
            (Self::DigestInfo, PrivateKey::Rsa(key)) => Some(key.sign(hash, parts)),
            (Self::RawHash, PrivateKey::Rsa(key)) => {
                Some(key.sign_raw(hash.digest(parts).as_ref()))
            }
            (Self::Concatenated, PrivateKey::Ecdsa(key)) => Some(key.sign(parts)),
            (Self::DigestInfo | Self::RawHash, PrivateKey::Ecdsa(_))
            | (Self::Concatenated, PrivateKey::Rsa(_)) => None,
        }
    }

    /// Whether a signature is over what the parts are.
    fn verifies(self, key: &PublicKey, hash: Hash, parts: &[&[u8]], signature: &[u8]) -> bool {
        match (self, key) {
            (Self::DigestInfo, PublicKey::Rsa(key)) => key.verify(hash, parts, signature).is_ok(),
            (Self::RawHash, PublicKey::Rsa(key)) => key
                .verify_raw(hash.digest(parts).as_ref(), signature)
                .is_ok(),
            (Self::Concatenated, PublicKey::Ecdsa(key)) => key.verify(parts, signature).is_ok(),
            (Self::DigestInfo | Self::RawHash, PublicKey::Ecdsa(_))
            | (Self::Concatenated, PublicKey::Rsa(_)) => false,
        }
    }
}

/// Which of the forms that are seen in the field a signature matched.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SignatureForm {
    encoding: Encoding,
    /// Whether the hashed header's Length counts the padding of the encryption.
    length_padded: bool,
}

impl SignatureForm {
    /// Every form, ours first.
    pub(crate) const ALL: [Self; 6] = [
        Self::new(Encoding::DigestInfo, false),
        Self::new(Encoding::DigestInfo, true),
        Self::new(Encoding::RawHash, false),
        Self::new(Encoding::RawHash, true),
        Self::new(Encoding::Concatenated, false),
        Self::new(Encoding::Concatenated, true),
    ];

    const fn new(encoding: Encoding, length_padded: bool) -> Self {
        Self {
            encoding,
            length_padded,
        }
    }

    /// Its name in counters.
    pub(crate) const fn name(self) -> &'static str {
        match (self.encoding, self.length_padded) {
            (Encoding::DigestInfo, false) => "DigestInfo, length before padding",
            (Encoding::DigestInfo, true) => "DigestInfo, length on the wire",
            (Encoding::RawHash, false) => "raw hash, length before padding",
            (Encoding::RawHash, true) => "raw hash, length on the wire",
            (Encoding::Concatenated, false) => "ECDSA, length before padding",
            (Encoding::Concatenated, true) => "ECDSA, length on the wire",
        }
    }
}

/// Signs and encrypts a PUSH: `payloads` are SEQ, Deletes, SA and KD, without SIG.
///
/// # Errors
/// When a payload does not fit its fields or the library refuses to sign.
pub(crate) fn seal(
    sa: &RekeySa,
    key: &PrivateKey,
    encoding: Encoding,
    mut payloads: Builder,
) -> Result<Vec<u8>, SealError> {
    let len = key.public_key().signature_len();
    let sig = payloads.push_raw(PayloadType::SIG, &vec![0; len]);
    let mut built = payloads.finish().map_err(SealError::TooLong)?;
    let header = built.header(Header::new(
        sa.spi.initiator_cookie(),
        sa.spi.responder_cookie(),
        ExchangeType::GROUPKEY_PUSH,
        Flags::ENCRYPTION,
        0,
    ));
    let signed = [PREFIX, &header.encode(), built.before(sig)];
    let signature = encoding
        .sign(key, hash(sa.signature.hash()), &signed)
        .ok_or(SealError::OtherKey)?
        .map_err(SealError::Crypto)?;
    built.body_mut(sig).copy_from_slice(&signature);
    let mut message = built.into_padded_message(header, sa.cipher.block_len());
    let cipher = sa.cbc().expect("a minted key fits its cipher");
    cipher
        .encrypt(sa.iv.expose(), &mut message[Header::LEN..])
        .map_err(SealError::Crypto)?;
    Ok(message)
}

/// Why a PUSH could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// A payload does not fit its fields.
    TooLong(wire::Error),
    /// The key is not of the kind that the Rekey SA is signed with.
    OtherKey,
    /// The library refused.
    Crypto(crypto::Error),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(error) => error.fmt(f),
            Self::OtherKey => f.write_str("the key is of another kind than the Rekey SA names"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

/// The Rekey SA that a PUSH or its acknowledgement names.
pub(crate) fn kek_spi(header: &Header) -> KekSpi {
    let mut spi = KekSpi::default();
    spi.0[..8].copy_from_slice(&header.initiator_cookie);
    spi.0[8..].copy_from_slice(&header.responder_cookie);
    spi
}

/// A PUSH that was decrypted and has the form of one; nobody has proven yet who made it.
pub(crate) struct Opened {
    header: Header,
    plain: Zeroizing<Vec<u8>>,
    used: usize,
    /// Its sequence number.
    pub(crate) seq: u32,
}

/// Why octets are no PUSH under this Rekey SA. Outside nobody sees which of these it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Not whole blocks, or not encrypted.
    NotEncrypted,
    /// What was decrypted is no chain of payloads.
    Malformed(wire::Error),
    /// A payload stands where it may not, or is missing.
    Illegal(Illegal),
    /// SEQ has not four octets, or the padding is longer than a block.
    Length,
}

/// Decrypts a PUSH and checks its form (PROTOCOL P7: cookies and the hash cache come before,
/// sequence number and signature after).
///
/// # Errors
/// When it is not a PUSH under this Rekey SA.
pub(crate) fn open(sa: &RekeySa, datagram: &[u8]) -> Result<Opened, OpenError> {
    let (header, encrypted) = Header::split(datagram).map_err(OpenError::Malformed)?;
    //= RFC 6407 4.2
    //# Flags MUST have the Encryption bit set according to Section 3.1 of
    //# [RFC2408].  All other bits MUST be set to zero.
    if header.flags != Flags::ENCRYPTION || header.message_id != 0 {
        return Err(OpenError::NotEncrypted);
    }
    let mut plain = Zeroizing::new(encrypted.to_vec());
    let cipher = sa.cbc().ok_or(OpenError::NotEncrypted)?;
    cipher
        .decrypt(sa.iv.expose(), &mut plain)
        .map_err(|_| OpenError::NotEncrypted)?;
    let chain = Chain::decode(header.next_payload, &plain).map_err(OpenError::Malformed)?;
    if chain.padding.len() >= sa.cipher.block_len() {
        return Err(OpenError::Length);
    }
    check_order(&chain)?;
    let seq = <[u8; 4]>::try_from(chain.payloads[0].body).map_err(|_| OpenError::Length)?;
    let used = chain.used;
    Ok(Opened {
        header,
        used,
        seq: u32::from_be_bytes(seq),
        plain,
    })
}

/// Legal payloads in their places; and keys come with their policy or not at all: a pure delete has
/// neither SA nor KD (RFC 6407 sections 4 and 5.9), and our own "register again" has a GAP only.
fn check_order(chain: &Chain<'_>) -> Result<(), OpenError> {
    let types: Vec<_> = chain.types().collect();
    let place = message_at(ExchangeType::GROUPKEY_PUSH, 1).map_err(OpenError::Illegal)?;
    place.check(&types).map_err(OpenError::Illegal)?;
    let has = |ty| types.contains(&ty);
    let missing = |payload| Err(OpenError::Illegal(place.missing(payload)));
    match (has(PayloadType::SA), has(PayloadType::KD)) {
        (true, false) => missing(PayloadType::KD),
        (false, true) => missing(PayloadType::SA),
        (false, false) if !has(PayloadType::DELETE) && !has(PayloadType::GAP) => {
            missing(PayloadType::SA)
        }
        (true, true) | (false, false) => Ok(()),
    }
}

impl Opened {
    /// The payloads, SEQ first and SIG last.
    pub(crate) fn chain(&self) -> Chain<'_> {
        Chain::decode(self.header.next_payload, &self.plain)
            .expect("the chain was decoded when the message was opened")
    }

    /// Checks the signature, which must be of the algorithm that the Rekey SA names; says which
    /// form matched.
    pub(crate) fn verify(&self, sa: &RekeySa, key: &PublicKey) -> Option<SignatureForm> {
        let chain = self.chain();
        let sig = chain.find(PayloadType::SIG)?;
        let covered = &self.plain[..self.used - sig.whole.len()];
        let hash = hash(sa.signature.hash());
        let fits = key.algorithm() == algorithm(sa.signature);
        SignatureForm::ALL.into_iter().find(|form| {
            let mut header = self.header;
            if !form.length_padded {
                header.length = u32::try_from(Header::LEN + self.used).unwrap_or(u32::MAX);
            }
            let parts = [PREFIX, &header.encode(), covered];
            fits && form.encoding.verifies(key, hash, &parts, sig.body)
        })
    }
}

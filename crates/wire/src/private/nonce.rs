//! The nonces of a PULL between two of ours.

use crate::codec::{Error, Reader};

/// A nonce that proves kinship (PROTOCOL P2): a random nonce to everyone else.
///
/// ```text
/// +------------------+---------------+---------------+
/// |   random (32)    | kin tag (12)  | vid tag (12)  |
/// +------------------+---------------+---------------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct KinNonce {
    /// What makes it a nonce.
    pub random: [u8; 32],
    /// Proof that the sender is a getvpn and holds the phase-1 keys.
    pub kin: [u8; 12],
    /// Proof of the vendor ids that the sender received.
    pub vid: [u8; 12],
}

impl KinNonce {
    /// Octets of the nonce.
    pub const LEN: usize = 56;

    /// The three parts of a nonce's data; whether the tags are right is not decided here.
    ///
    /// # Errors
    /// Another length than 56: the peer is plain.
    pub fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("kin nonce", data);
        let nonce = Self {
            random: r.array()?,
            kin: r.array()?,
            vid: r.array()?,
        };
        r.end()?;
        Ok(nonce)
    }

    /// The nonce's data.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..32].copy_from_slice(&self.random);
        out[32..44].copy_from_slice(&self.kin);
        out[44..].copy_from_slice(&self.vid);
        out
    }
}

//! `crypto key`: the key pairs of this box by label, and what each signs rekeys with.
//!
//! A label names one pair, of whichever kind. Which messages an operator reads of a pair is decided
//! here, once for both kinds; when keys come and go, in `node`.

use std::collections::BTreeMap;

use crypto::Secret;
use crypto::ecdsa::Curve;
use crypto::key_pair::{Algorithm, Kind, PrivateKey, PublicKey};
use event::Gdoi;
use policy::{GroupName, SigHash, Signature};
use wire::codec::{Error as Malformed, Reader, Writer};

use crate::config::RekeyKey;
use crate::persist;

/// The key pairs of this box by label.
#[derive(Default)]
pub(crate) struct KeyPairs {
    by_label: BTreeMap<String, KeyPair>,
}

/// One key pair.
#[derive(Clone)]
pub(crate) struct KeyPair {
    /// Whether it may be exported.
    pub(crate) exportable: bool,
    /// PKCS#8 DER.
    pub(crate) pkcs8: Secret,
    private: PrivateKey,
    public: PublicKey,
}

impl KeyPair {
    /// The key pair of PKCS#8 octets, which must be of this kind.
    ///
    /// # Errors
    /// When they are none, or too small.
    pub(crate) fn new(kind: Kind, pkcs8: Secret, exportable: bool) -> Result<Self, crypto::Error> {
        let private = PrivateKey::from_pkcs8(kind, pkcs8.expose())?;
        Ok(Self {
            public: private.public_key(),
            private,
            exportable,
            pkcs8,
        })
    }

    /// What of it goes into the state file; its kind is in the row's name.
    pub(crate) fn write_row(&self, w: &mut Writer) {
        w.u8(u8::from(self.exportable));
        persist::write_secret(&self.pkcs8, w);
    }

    /// Reads what `write_row` wrote.
    ///
    /// # Errors
    /// When it is no key pair of this kind.
    pub(crate) fn read_row(kind: Kind, r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let exportable = r.u8()? == 1;
        let pkcs8 = persist::read_secret(r)?;
        let octets = pkcs8.len() as u64;
        let expected = match kind {
            Kind::Rsa => "an RSA key in PKCS#8",
            Kind::Ec => "an EC key in PKCS#8",
        };
        Self::new(kind, pkcs8, exportable).map_err(|_| r.bad("octets", octets, expected))
    }

    /// Its kind.
    pub(crate) const fn kind(&self) -> Kind {
        self.public.kind()
    }

    /// The private half.
    pub(crate) const fn private_key(&self) -> &PrivateKey {
        &self.private
    }

    /// The public half.
    pub(crate) const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as members get it: DER SubjectPublicKeyInfo.
    pub(crate) fn public_der(&self) -> &[u8] {
        self.public.to_spki_der()
    }
}

impl KeyPairs {
    /// Puts a key pair in place of what its label had before.
    pub(crate) fn insert(&mut self, label: String, pair: KeyPair) {
        self.by_label.insert(label, pair);
    }

    /// Removes the key pair of a label, and says which kind it was of.
    pub(crate) fn remove(&mut self, label: &str) -> Option<Kind> {
        self.by_label.remove(label).map(|pair| pair.kind())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_label.len()
    }

    /// The key pair of a label.
    pub(crate) fn labelled(&self, label: &str) -> Option<&KeyPair> {
        self.by_label.get(label)
    }

    /// The key pair that a configuration names: of this label and this kind.
    pub(crate) fn named(&self, key: &RekeyKey) -> Option<&KeyPair> {
        let pair = self.labelled(&key.label);
        pair.filter(|pair| pair.kind() == key.kind)
    }

    /// The key pair of a label that signs so.
    pub(crate) fn signer(&self, label: &str, signature: Signature) -> Option<&KeyPair> {
        let pair = self.labelled(label);
        pair.filter(|pair| pair.public.algorithm() == algorithm(signature))
    }

    /// How rekeys are signed with the key that a configuration names, with `sig_hash` if the key
    /// leaves the choice; the curve of an EC key is known when the key is there.
    pub(crate) fn signature(&self, key: &RekeyKey, sig_hash: SigHash) -> Option<Signature> {
        match key.kind {
            Kind::Rsa => Some(Signature::Rsa(sig_hash)),
            Kind::Ec => match self.named(key)?.public.algorithm() {
                Algorithm::Rsa => None,
                Algorithm::Ecdsa(curve) => Some(match curve {
                    Curve::P256 => Signature::Ecdsa256,
                    Curve::P384 => Signature::Ecdsa384,
                    Curve::P521 => Signature::Ecdsa521,
                }),
            },
        }
    }

    /// All key pairs by label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &KeyPair)> {
        self.by_label.iter()
    }
}

/// What a key must be of to sign so.
pub(crate) const fn algorithm(signature: Signature) -> Algorithm {
    match signature {
        Signature::Rsa(_) => Algorithm::Rsa,
        Signature::Ecdsa256 => Algorithm::Ecdsa(Curve::P256),
        Signature::Ecdsa384 => Algorithm::Ecdsa(Curve::P384),
        Signature::Ecdsa521 => Algorithm::Ecdsa(Curve::P521),
    }
}

/// A group's rekey key is not there.
pub(crate) fn missing(key: &RekeyKey, group: GroupName) -> Gdoi {
    let label = key.label.clone();
    match key.kind {
        Kind::Rsa => Gdoi::KS_NO_RSA_KEYS { label, group },
        Kind::Ec => Gdoi::KS_NO_EC_KEYS { label, group },
    }
}

/// The key that signs a group's rekeys was replaced.
pub(crate) const fn changed(kind: Kind, group: GroupName) -> Gdoi {
    match kind {
        Kind::Rsa => Gdoi::RSA_KEY_CHANGED { group },
        Kind::Ec => Gdoi::EC_KEY_CHANGED { group },
    }
}

/// A key pair was removed.
pub(crate) const fn zeroized(kind: Kind, label: String) -> Gdoi {
    match kind {
        Kind::Rsa => Gdoi::RSA_KEY_ZEROIZED { label },
        Kind::Ec => Gdoi::EC_KEY_ZEROIZED { label },
    }
}

/// A key pair cannot be used, and why.
#[must_use]
pub const fn refused(kind: Kind, label: String, reason: String) -> Gdoi {
    match kind {
        Kind::Rsa => Gdoi::RSA_KEY_REFUSED { label, reason },
        Kind::Ec => Gdoi::EC_KEY_REFUSED { label, reason },
    }
}

/// A key pair left this box, and who asked.
#[must_use]
pub const fn exported(kind: Kind, label: String, by: String) -> Gdoi {
    match kind {
        Kind::Rsa => Gdoi::RSA_KEY_EXPORTED { label, by },
        Kind::Ec => Gdoi::EC_KEY_EXPORTED { label, by },
    }
}

/// A key pair was taken into this box, and who asked.
#[must_use]
pub const fn imported(kind: Kind, label: String, by: String) -> Gdoi {
    match kind {
        Kind::Rsa => Gdoi::RSA_KEY_IMPORTED { label, by },
        Kind::Ec => Gdoi::EC_KEY_IMPORTED { label, by },
    }
}

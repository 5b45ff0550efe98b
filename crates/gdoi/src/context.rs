//! What every decision may use: the time, phase 1, randomness, the rekey keys, the outbox.

use std::collections::BTreeMap;

use crypto::rsa::{PrivateKey, PublicKey};
use crypto::{Rng, Secret};
use policy::Time;

use crate::ike::Isakmp;
use crate::machine::Outbox;

/// One call's surroundings.
pub(crate) struct Context<'a> {
    /// Now.
    pub(crate) now: Time,
    /// Phase 1.
    pub(crate) isakmp: &'a mut Isakmp,
    /// Randomness.
    pub(crate) rng: &'a mut dyn Rng,
    /// The rekey keys of this box.
    pub(crate) key_pairs: &'a KeyPairs,
    /// Whether session keys are told to the key log.
    pub(crate) keylog: bool,
    /// Whether what goes to key servers leaves as values (`crate::model`).
    #[cfg(feature = "model")]
    pub(crate) decoded: bool,
    /// Effects.
    pub(crate) out: &'a mut Outbox,
}

/// `crypto key generate rsa`: the keys of this box by label.
#[derive(Default)]
pub(crate) struct KeyPairs {
    by_label: BTreeMap<String, KeyPair>,
}

/// One RSA key.
pub(crate) struct KeyPair {
    /// Whether it may be exported.
    pub(crate) exportable: bool,
    /// PKCS#8 DER.
    pub(crate) pkcs8: Secret,
    key: PrivateKey,
}

impl KeyPair {
    /// The key of PKCS#8 octets.
    ///
    /// # Errors
    /// When they are none, or too small.
    pub(crate) fn new(pkcs8: Secret, exportable: bool) -> Result<Self, crypto::Error> {
        Ok(Self {
            key: PrivateKey::from_pkcs8(pkcs8.expose())?,
            exportable,
            pkcs8,
        })
    }

    /// Bits of the modulus.
    pub(crate) fn modulus_bits(&self) -> usize {
        self.key.modulus_bits()
    }

    /// The public half.
    pub(crate) fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// The public half, DER.
    pub(crate) fn public_der(&self) -> &[u8] {
        self.key.public_key().to_spki_der()
    }
}

impl KeyPairs {
    /// Puts a key in place of what its label had before.
    pub(crate) fn insert(&mut self, label: String, key: KeyPair) {
        self.by_label.insert(label, key);
    }

    /// Removes the key of a label; says whether there was one.
    pub(crate) fn remove(&mut self, label: &str) -> bool {
        self.by_label.remove(label).is_some()
    }

    /// The key of a label.
    pub(crate) fn key(&self, label: &str) -> Option<&KeyPair> {
        self.by_label.get(label)
    }

    /// The private key of a label.
    pub(crate) fn private_key(&self, label: &str) -> Option<&PrivateKey> {
        self.by_label.get(label).map(|key| &key.key)
    }

    /// The public key of a label as members get it: DER SubjectPublicKeyInfo.
    pub(crate) fn public_key_der(&self, label: &str) -> Option<Vec<u8>> {
        self.by_label
            .get(label)
            .map(|key| key.public_der().to_vec())
    }

    /// All keys by label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &KeyPair)> {
        self.by_label.iter()
    }
}

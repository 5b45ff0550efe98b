//! Keys of this box that leave it, or go for good, because an operator said so.

use std::fmt;

use crypto::key_pair::PublicKey;
use crypto::pem::{self, Protection};
use crypto::{Error, Secret};
use event::Gdoi;
use policy::Time;

use super::Machine;
use crate::machine::{Outbox, Output};
use crate::persist;

/// Why a key does not leave the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportRefusal {
    /// There is none of that label.
    NotFound,
    /// It was made or imported without `exportable`.
    NotExportable,
    /// It cannot be encrypted.
    Library(Error),
}

impl fmt::Display for ExportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no RSA key of this label"),
            Self::NotExportable => f.write_str("the key is not exportable"),
            Self::Library(error) => write!(f, "{error}"),
        }
    }
}

impl Machine {
    /// `crypto key export rsa`: the public key, then the private key under a passphrase; PEM.
    ///
    /// # Errors
    /// See [`ExportRefusal`].
    pub fn export_key_pair(
        &mut self,
        label: &str,
        passphrase: &Secret,
        protection: Protection,
    ) -> Result<String, ExportRefusal> {
        let key = self.key_pairs.key(label).ok_or(ExportRefusal::NotFound)?;
        if !key.exportable {
            return Err(ExportRefusal::NotExportable);
        }
        let private = pem::seal(&key.pkcs8, passphrase, protection, self.rng.as_mut())
            .map_err(ExportRefusal::Library)?;
        Ok(pem::public(&PublicKey::Rsa(key.public_key().clone())) + &private)
    }

    /// `crypto key zeroize rsa`: groups that sign with it are not served until it is there again.
    pub(super) fn zeroize_key_pair(&mut self, now: Time, label: &str, out: &mut Outbox) {
        if self.key_pairs.remove(label) {
            out.push(Output::Persist(persist::no_key_pair_record(label)));
            let label = label.to_owned();
            out.report(Gdoi::RSA_KEY_ZEROIZED { label });
            self.configure_servers(now, out);
        }
    }
}

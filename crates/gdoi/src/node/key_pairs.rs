//! Key pairs of this box that come and go, because an operator or a primary key server said so.

use std::fmt;

use crypto::key_pair::Kind;
use crypto::pem::{self, Protection};
use crypto::{Error, Secret};
use policy::Time;

use super::Machine;
use crate::key_pairs::{self, KeyPair};
use crate::ks::KeyServer;
use crate::machine::{Outbox, Output};
use crate::persist;

/// Why a key does not leave the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportRefusal {
    /// There is none of that label.
    NotFound(Kind),
    /// The label is that of a key of this kind, which was not asked for.
    OtherKind(Kind),
    /// It was made or imported without `exportable`.
    NotExportable,
    /// It cannot be encrypted.
    Library(Error),
}

impl fmt::Display for ExportRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(kind) => write!(f, "there is no {kind} key of this label"),
            Self::OtherKind(other) => write!(f, "it is {} key", other.with_article()),
            Self::NotExportable => f.write_str("the key is not exportable"),
            Self::Library(error) => write!(f, "{error}"),
        }
    }
}

impl Machine {
    /// `crypto key export`: the public key, then the private key under a passphrase; PEM.
    ///
    /// # Errors
    /// See [`ExportRefusal`].
    pub fn export_key_pair(
        &mut self,
        kind: Kind,
        label: &str,
        passphrase: &Secret,
        protection: Protection,
    ) -> Result<String, ExportRefusal> {
        let key = self.key_pairs.labelled(label);
        let key = key.ok_or(ExportRefusal::NotFound(kind))?;
        if key.kind() != kind {
            return Err(ExportRefusal::OtherKind(key.kind()));
        }
        if !key.exportable {
            return Err(ExportRefusal::NotExportable);
        }
        let private = pem::seal(&key.pkcs8, passphrase, protection, self.rng.as_mut())
            .map_err(ExportRefusal::Library)?;
        Ok(pem::public(key.public_key()) + &private)
    }

    /// A key pair that an operator ordered is there. One that the primary of a group signs with
    /// stays, and so does one of the other kind: a label names one pair.
    pub(super) fn made_key_pair(
        &mut self,
        now: Time,
        label: String,
        kind: Kind,
        made: Result<KeyPair, Error>,
        out: &mut Outbox,
    ) {
        let mut servers = self.servers.values();
        let old = self.key_pairs.labelled(&label);
        let refusal = if servers.any(|group| group.keeps_rekey_key(&label)) {
            Some("the primary key server's key of this name is in use".to_owned())
        } else {
            let other = old.map(KeyPair::kind).filter(|other| *other != kind);
            other.map(|other| format!("it is the name of {} key", other.with_article()))
        };
        let pair = match refusal.map_or_else(|| made.map_err(|error| error.to_string()), Err) {
            Ok(pair) => pair,
            Err(reason) => return out.report(key_pairs::refused(kind, label, reason)),
        };
        let changes = old.is_some_and(|old| old.public_key() != pair.public_key());
        self.keep_key_pair(now, label.clone(), pair, out);
        if !changes {
            return;
        }
        let signs = |config: &&crate::config::KeyServer| {
            let key = config.rekey_key.as_ref();
            key.is_some_and(|key| key.label == label)
        };
        let affected = self.config.key_servers.iter().filter(signs);
        for group in affected.map(|config| config.group.clone()) {
            out.report(key_pairs::changed(kind, group));
        }
    }

    fn keep_key_pair(&mut self, now: Time, label: String, pair: KeyPair, out: &mut Outbox) {
        out.push(Output::Persist(persist::key_pair_record(&label, &pair)));
        self.key_pairs.insert(label, pair);
        self.configure_servers(now, out);
    }

    /// Rekey keys that other key servers sent are this box's from now on (PROTOCOL P26).
    pub(super) fn adopt_rekey_keys(&mut self, now: Time, out: &mut Outbox) {
        let servers = self.servers.values_mut();
        let adopted: Vec<_> = servers.flat_map(KeyServer::take_adopted_keys).collect();
        for key in adopted {
            self.keep_key_pair(now, key.label, key.pair, out);
        }
    }

    /// `crypto key zeroize`: groups that sign with it are not served until it is there again.
    pub(super) fn zeroize_key_pair(&mut self, now: Time, label: &str, out: &mut Outbox) {
        if let Some(kind) = self.key_pairs.remove(label) {
            out.push(Output::Persist(persist::no_key_pair_record(kind, label)));
            out.report(key_pairs::zeroized(kind, label.to_owned()));
            self.configure_servers(now, out);
        }
    }
}

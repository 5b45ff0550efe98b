//! Key pairs that come and go as text: `crypto key export` and `import`.
//!
//! Decides what is said and logged. Which key may go, and what a text holds, is decided below.

use crypto::Secret;
use crypto::key_pair::Kind;
use crypto::pem::{self, Protection};
use gdoi::{key_pairs, machine};

use crate::config::Refusal;
use crate::outbox::Output;
use crate::router::Router;

/// Characters of the shortest passphrase that a key is exported under.
pub const PASSPHRASE_LEN_MIN: usize = 8;

/// Where an exported key goes, and how.
pub struct KeyExport {
    /// The key's kind.
    pub kind: Kind,
    /// Its label.
    pub label: String,
    /// What it is encrypted with.
    pub protection: Protection,
    /// The passphrase.
    pub passphrase: Secret,
    /// The file's name; to the operator's terminal without one.
    pub file: Option<String>,
    /// Who asks.
    pub by: String,
}

/// A key that is about to be imported.
pub struct KeyImport {
    /// The key's kind.
    pub kind: Kind,
    /// Its label.
    pub label: String,
    /// Whether it may be exported again.
    pub exportable: bool,
    /// The passphrase that it is encrypted under.
    pub passphrase: Secret,
    /// Who asks.
    pub by: String,
}

impl Router {
    /// The text for the operator.
    pub(crate) fn export_key(&mut self, export: &KeyExport) -> Result<String, Refusal> {
        let KeyExport {
            kind,
            label,
            protection,
            passphrase,
            file,
            by,
        } = export;
        if passphrase.len() < PASSPHRASE_LEN_MIN {
            return Err(Refusal::new(format!(
                "% The passphrase must have at least {PASSPHRASE_LEN_MIN} characters"
            )));
        }
        if let Some(file) = file {
            check_name(file)?;
        }
        let pem = self
            .machine
            .export_key_pair(*kind, label, passphrase, *protection)
            .map_err(|refusal| Refusal::new(format!("% {kind} key {label}: {refusal}")))?;
        self.report(key_pairs::exported(*kind, label.clone(), by.clone()));
        let head = format!("% Key name: {label}\n   Usage: General Purpose Key\n");
        Ok(match file {
            None => format!("{head}   Key data:\n{pem}"),
            Some(file) => {
                let said = format!("{head}% Writing to {KEY_FOLDER}/{file} in the state folder\n");
                let name = file.clone();
                self.outbox_push(Output::WriteKey { name, pem });
                said
            }
        })
    }

    /// Asks the world for the file; what becomes of it is logged.
    pub(crate) fn import_key_file(
        &mut self,
        name: String,
        import: KeyImport,
    ) -> Result<String, Refusal> {
        check_name(&name)?;
        self.check_label(&import.label)?;
        let said = format!("% Reading {KEY_FOLDER}/{name} in the state folder\n");
        let import = Box::new(import);
        self.outbox_push(Output::ReadKey { name, import });
        Ok(said)
    }

    /// The file is here, or there is none.
    pub(crate) fn key_file(&mut self, import: &KeyImport, text: Result<String, String>) {
        let imported = match text {
            Ok(text) => self.import_key(import, &text),
            Err(reason) => Err(Refusal::new(reason)),
        };
        if let Err(refusal) = imported {
            let label = import.label.clone();
            let reason = refusal.0.trim_start_matches("% ").to_owned();
            self.report(key_pairs::refused(import.kind, label, reason));
        }
    }

    /// Takes the key in a text into this box.
    pub(crate) fn import_key(&mut self, import: &KeyImport, text: &str) -> Result<(), Refusal> {
        let label = &import.label;
        self.check_label(label)?;
        let pkcs8 = pem::open(import.kind, text, &import.passphrase)
            .map_err(|refusal| Refusal::new(format!("% Key pair import failed: {refusal}")))?;
        self.drive(machine::Input::KeyPair {
            label: label.clone(),
            kind: import.kind,
            exportable: import.exportable,
            pkcs8,
        });
        if self.kind_of_key(label) == Some(import.kind) {
            let by = import.by.clone();
            self.report(key_pairs::imported(import.kind, label.clone(), by));
            Ok(())
        } else {
            Err(Refusal::new("% Key pair import failed: the log says why"))
        }
    }

    /// A label that is free.
    pub(crate) fn check_label(&self, label: &str) -> Result<(), Refusal> {
        match self.kind_of_key(label) {
            None => Ok(()),
            Some(kind) => {
                let a_key = match kind {
                    Kind::Rsa => "An RSA",
                    Kind::Ec => "An EC",
                };
                Err(Refusal::new(format!(
                    "% {a_key} key {label} exists already: choose another label, or zeroize it first"
                )))
            }
        }
    }

    /// The kind of the key pair of a label.
    pub(crate) fn kind_of_key(&self, label: &str) -> Option<Kind> {
        let pairs = self.machine.key_pairs();
        let found = pairs.iter().find(|pair| pair.label == label);
        found.map(|pair| pair.kind)
    }
}

/// The folder of key files in the state folder.
pub const KEY_FOLDER: &str = "keys";

/// A file's name alone: where files of keys are is not for the command to say.
fn check_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() <= 64 && !name.starts_with('.') && name.chars().all(is_plain) {
        Ok(())
    } else {
        Err(Refusal::new(format!(
            "% A file of a key is a plain name, letters, digits, `.`, `_` and `-`; it lies in \
             {KEY_FOLDER}/ of the state folder"
        )))
    }
}

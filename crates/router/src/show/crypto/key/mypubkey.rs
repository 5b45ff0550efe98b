//! `show crypto key mypubkey`: the public halves of this box's key pairs.

use std::fmt;

use gdoi::KeyPairView;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::show::crypto::key_data;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto key mypubkey ( rsa | ec | all )",
        help: &[
            ("show", "Show running system information"),
            ("key", "Show long term public keys"),
            ("mypubkey", "Show public keys of this box"),
            ("rsa", "Show RSA public keys"),
            ("ec", "Show EC public keys"),
            ("all", "Show public keys of both kinds"),
        ],
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The keys in the order of their labels.
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its label.
    pub label: String,
    /// `RSA` or `EC`.
    pub key_type: String,
    /// Bits of the modulus or the curve.
    pub key_bits: usize,
    /// Whether it may be exported.
    pub is_exportable: bool,
    /// SubjectPublicKeyInfo, DER, hexadecimal in words of four octets, eight to a line.
    pub key_data: Vec<String>,
}

/// The keys of the box, of one kind or both.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let wanted = |key: &KeyPairView| line.has("all") || line.has(key.kind.word());
    let keys = context.machines.key_pairs().into_iter().filter(wanted);
    let keys = keys.map(|key| Key {
        key_data: key_data(&key.public_key),
        label: key.label,
        key_type: key.kind.to_string(),
        key_bits: key.bits,
        is_exportable: key.exportable,
    });
    View {
        keys: keys.collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.keys {
            let not = if key.is_exportable { "" } else { "not " };
            writeln!(f, "% Key pair was generated at: unknown")?;
            writeln!(f, "Key name: {}", key.label)?;
            writeln!(f, "Key type: {} KEYS {} bits", key.key_type, key.key_bits)?;
            writeln!(f, " Storage Device: state directory")?;
            writeln!(f, " Usage: General Purpose Key")?;
            writeln!(f, " Key is {not}exportable.")?;
            writeln!(f, " Key Data:")?;
            for line in &key.key_data {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

//! `crypto key export`, `import` and `zeroize`.

use crypto::key_pair::Kind;
use crypto::pem::Protection;
use gdoi::ks::Role;
use gdoi::machine::Command;

use super::super::{Call, Exec, Order, Outcome};
use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::key_pairs::{KeyExport, KeyImport};
use crate::show::Page;

const HELP: &[(&str, &str)] = &[
    ("key", "Long term key operations"),
    ("export", "Export keys"),
    ("import", "Import keys"),
    ("zeroize", "Remove keys"),
    ("rsa", "RSA keys"),
    ("ec", "EC keys"),
    ("pem", "PEM-formatted keys"),
    ("terminal", "Cut & paste through the terminal"),
    ("url", "A file in the folder of keys"),
    ("3des", "Encrypt the private key with 3DES"),
    ("aes", "Encrypt the private key with AES-256"),
    ("exportable", "Allow the key to be exported again"),
    ("general-purpose", "A general purpose key pair"),
    ("<label>", "Keypair label"),
    ("<file>", "Name of the file"),
    (
        "<passphrase>",
        "Passphrase that protects the private key, at least 8 characters",
    ),
];

pub(crate) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "crypto key export ( rsa | ec ) <label:WORD> pem ( terminal | url <file:WORD> ) \
                      ( 3des | aes ) <passphrase:SECRET>",
            help: HELP,
        },
        is_privileged: true,
        run: export,
    },
    Exec {
        syntax: Syntax {
            grammar: "crypto key import ( rsa | ec ) <label:WORD> [ exportable ] pem [ general-purpose ] \
                      ( terminal | url <file:WORD> ) [ exportable ] <passphrase:SECRET>",
            help: HELP,
        },
        is_privileged: true,
        run: import,
    },
    Exec {
        syntax: Syntax {
            grammar: "crypto key zeroize ( rsa | ec ) <label:WORD>",
            help: HELP,
        },
        is_privileged: true,
        run: zeroize,
    },
];

/// The kind of key that the line names.
fn kind(line: &Match) -> Kind {
    if line.has("ec") { Kind::Ec } else { Kind::Rsa }
}

fn export(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let line = call.line;
    let text = call.host.export_key(&KeyExport {
        kind: kind(line),
        label: line.word("label")?.to_owned(),
        protection: if line.has("3des") {
            Protection::TripleDes
        } else {
            Protection::Aes256
        },
        passphrase: line.secret("passphrase")?.clone(),
        file: line.word("file").ok().map(str::to_owned),
        by: call.by.to_owned(),
    })?;
    Ok(Outcome::Print(Page::text(text)))
}

fn import(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let line = call.line;
    let import = KeyImport {
        kind: kind(line),
        label: line.word("label")?.to_owned(),
        exportable: line.has("exportable"),
        passphrase: line.secret("passphrase")?.clone(),
        by: call.by.to_owned(),
    };
    if let Ok(file) = line.word("file") {
        let text = call.host.import_key_file(file.to_owned(), import)?;
        return Ok(Outcome::Print(Page::text(text)));
    }
    call.host.check_label(&import.label)?;
    Ok(Outcome::Paste(import))
}

/// The key that a leading key server signs with stays: its members believe no other.
fn zeroize(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let (kind, label) = (kind(call.line), call.line.word("label")?.to_owned());
    let context = call.host.context();
    let machines = context.machines;
    let pairs = machines.key_pairs();
    let found = pairs.iter().find(|key| key.label == label);
    match found.map(|key| key.kind) {
        Some(found) if found == kind => {}
        Some(other) => {
            let is = other.with_article();
            return Err(Refusal::new(format!("% Key {label} is {is} key.")));
        }
        None => return Err(Refusal::new(format!("% There is no {kind} key {label}."))),
    }
    let signs = |group: &str| {
        let group = context.config.groups.get(group);
        let local = group.and_then(|group| group.local.as_ref());
        let key = local.and_then(|local| local.rekey.authentication.as_ref());
        key.is_some_and(|key| key.label == label && key.kind == kind)
    };
    let mut warning = String::new();
    for view in machines.key_servers() {
        let group = view.group.as_str();
        if !signs(group) {
            continue;
        }
        let leads = view.coop.is_none_or(|coop| coop.role == Role::Primary);
        if leads {
            return Err(Refusal::new(format!(
                "% {kind} key {label} signs the rekeys of group {group}: name another key in its \
                 `rekey authentication` first"
            )));
        }
        warning += &format!("% Group {group} is not served here until the key is there again.\n");
    }
    Ok(Outcome::Ask {
        question: format!(
            "% Keys to be removed are named '{label}'.\n{warning}\
             Do you really want to remove these keys? [yes/no]: "
        ),
        order: Order::Machine(Command::ZeroizeKeyPair { label }),
    })
}

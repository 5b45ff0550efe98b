//! `crypto isakmp policy N`: what phase 1 may agree on.

use gdoi::config::{IsakmpCipher, IsakmpHash};

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// One policy; what it leaves open is the box's default.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `encryption`; AES-256 if there is none.
    pub encryption: Option<IsakmpCipher>,
    /// `hash`; SHA-256 if there is none.
    pub hash: Option<IsakmpHash>,
    /// `authentication pre-share`. IOS takes RSA signatures if there is none.
    pub pre_share: bool,
    /// `group`; 19 if there is none.
    pub group: Option<u16>,
    /// `lifetime`, seconds; 86400 if there is none.
    pub lifetime_s: Option<u32>,
}

/// Diffie-Hellman groups that can be named.
const GROUPS: [u16; 8] = [2, 5, 14, 15, 16, 19, 20, 21];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto isakmp policy <priority:1-10000>",
            help: &[
                ("policy", "Set policy for an ISAKMP protection suite"),
                ("<priority>", "Priority of protection suite"),
            ],
        },
        apply: enter,
        examples: &["crypto isakmp policy 10"],
    },
    Command {
        mode: Mode::IsakmpPolicy,
        syntax: Syntax {
            grammar: "encryption / ( 3des | aes [ 128 | 192 | 256 ] )",
            help: &[
                (
                    "encryption",
                    "Set encryption algorithm for protection suite",
                ),
                ("3des", "Three key triple DES"),
            ],
        },
        apply: encryption,
        examples: &[
            "encr aes 256",
            "encryption aes",
            "encr aes 192",
            "encr 3des",
        ],
    },
    Command {
        mode: Mode::IsakmpPolicy,
        syntax: Syntax {
            grammar: "hash / ( sha | sha256 | sha384 | sha512 )",
            help: &[
                ("hash", "Set hash algorithm for protection suite"),
                ("sha", "Secure Hash Standard"),
                ("sha256", "Secure Hash Standard 2 (256 bit)"),
                ("sha384", "Secure Hash Standard 2 (384 bit)"),
                ("sha512", "Secure Hash Standard 2 (512 bit)"),
            ],
        },
        apply: hash,
        examples: &["hash sha256", "hash sha", "hash sha384", "hash sha512"],
    },
    Command {
        mode: Mode::IsakmpPolicy,
        syntax: Syntax {
            grammar: "authentication / ( pre-share | rsa-sig )",
            help: &[
                (
                    "authentication",
                    "Set authentication method for protection suite",
                ),
                ("pre-share", "Pre-Shared Key"),
                (
                    "rsa-sig",
                    "Rivest-Shamir-Adleman Signature (not available yet)",
                ),
            ],
        },
        apply: authentication,
        examples: &["authentication pre-share"],
    },
    Command {
        mode: Mode::IsakmpPolicy,
        syntax: Syntax {
            grammar: "group / ( 2 | 5 | 14 | 15 | 16 | 19 | 20 | 21 )",
            help: &[
                ("group", "Set the Diffie-Hellman group"),
                ("2", "Diffie-Hellman group 2 (1024 bit)"),
                ("5", "Diffie-Hellman group 5 (1536 bit)"),
                ("14", "Diffie-Hellman group 14 (2048 bit)"),
                ("15", "Diffie-Hellman group 15 (3072 bit)"),
                ("16", "Diffie-Hellman group 16 (4096 bit)"),
                ("19", "Diffie-Hellman group 19 (256 bit ecp)"),
                ("20", "Diffie-Hellman group 20 (384 bit ecp)"),
                ("21", "Diffie-Hellman group 21 (521 bit ecp)"),
            ],
        },
        apply: group,
        examples: &["group 19", "group 14", "group 2"],
    },
    Command {
        mode: Mode::IsakmpPolicy,
        syntax: Syntax {
            grammar: "lifetime / <seconds:60-86400>",
            help: &[
                ("lifetime", "Set lifetime for ISAKMP security association"),
                ("<seconds>", "Lifetime in seconds"),
            ],
        },
        apply: lifetime,
        examples: &["lifetime 86400", "lifetime 60"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let priority = line.number("priority")?;
    if line.removes() {
        editor.config.isakmp_policies.remove(&priority);
    } else {
        editor.config.isakmp_policies.entry(priority).or_default();
        editor.enter(Place::IsakmpPolicy(priority));
    }
    Ok(())
}

fn policy<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Policy, Refusal> {
    let Place::IsakmpPolicy(priority) = *editor.place(0)? else {
        return Err(gone());
    };
    editor
        .config
        .isakmp_policies
        .get_mut(&priority)
        .ok_or_else(gone)
}

fn encryption(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let cipher = if line.has("3des") {
        IsakmpCipher::TripleDes
    } else if line.has("256") {
        IsakmpCipher::Aes256
    } else if line.has("192") {
        IsakmpCipher::Aes192
    } else {
        IsakmpCipher::Aes128
    };
    policy(editor)?.encryption = (!line.removes()).then_some(cipher);
    Ok(())
}

fn hash(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let hash = if line.has("sha256") {
        IsakmpHash::Sha256
    } else if line.has("sha384") {
        IsakmpHash::Sha384
    } else if line.has("sha512") {
        IsakmpHash::Sha512
    } else {
        IsakmpHash::Sha1
    };
    policy(editor)?.hash = (!line.removes()).then_some(hash);
    Ok(())
}

fn authentication(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if !line.removes() && line.has("rsa-sig") {
        return Err(Refusal::new(
            "% authentication rsa-sig is not available yet: use authentication pre-share",
        ));
    }
    policy(editor)?.pre_share = !line.removes();
    Ok(())
}

fn group(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let number = GROUPS
        .into_iter()
        .find(|number| line.has(&number.to_string()));
    policy(editor)?.group = number.filter(|_| !line.removes());
    Ok(())
}

fn lifetime(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let seconds = if line.removes() {
        None
    } else {
        Some(line.number("seconds")?)
    };
    policy(editor)?.lifetime_s = seconds;
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (priority, policy) in &config.isakmp_policies {
        text.line(format_args!("{}", Place::IsakmpPolicy(*priority)));
        text.block(|text| {
            if let Some(cipher) = policy.encryption {
                text.line(format_args!("encr {}", cipher_words(cipher)));
            }
            if let Some(hash) = policy.hash {
                text.line(format_args!("hash {}", hash_word(hash)));
            }
            if policy.pre_share {
                text.line(format_args!("authentication pre-share"));
            }
            if let Some(group) = policy.group {
                text.line(format_args!("group {group}"));
            }
            if let Some(seconds) = policy.lifetime_s {
                text.line(format_args!("lifetime {seconds}"));
            }
        });
    }
}

const fn cipher_words(cipher: IsakmpCipher) -> &'static str {
    match cipher {
        IsakmpCipher::TripleDes => "3des",
        IsakmpCipher::Aes128 => "aes",
        IsakmpCipher::Aes192 => "aes 192",
        IsakmpCipher::Aes256 => "aes 256",
    }
}

const fn hash_word(hash: IsakmpHash) -> &'static str {
    match hash {
        IsakmpHash::Sha1 => "sha",
        IsakmpHash::Sha256 => "sha256",
        IsakmpHash::Sha384 => "sha384",
        IsakmpHash::Sha512 => "sha512",
    }
}

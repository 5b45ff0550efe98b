//! `crypto ipsec transform-set T ...`: cipher and integrity of ESP.

use policy::{Encryption, Integrity, KeyBits, Transform};

use crate::cli::grammar::{Item, Syntax};
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};

const HELP: &[(&str, &str)] = &[
    ("transform-set", "Define transform and settings"),
    ("<set>", "Transform set tag"),
    (
        "esp-3des",
        "ESP transform using 3DES(EDE) cipher (168 bits)",
    ),
    ("esp-aes", "ESP transform using AES cipher"),
    ("esp-gcm", "ESP transform using GCM cipher"),
    ("esp-gmac", "ESP transform using GMAC cipher"),
    ("esp-null", "ESP transform w/o cipher"),
    ("esp-sha-hmac", "ESP transform using HMAC-SHA auth"),
    ("esp-sha256-hmac", "ESP transform using HMAC-SHA256 auth"),
    ("esp-sha384-hmac", "ESP transform using HMAC-SHA384 auth"),
    ("esp-sha512-hmac", "ESP transform using HMAC-SHA512 auth"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto ipsec transform-set <set:WORD> / @transform [ @transform ]",
            help: HELP,
        },
        apply: enter,
        examples: &[
            "crypto ipsec transform-set T1 esp-gcm 256",
            "crypto ipsec transform-set T1 esp-gmac 192",
            "crypto ipsec transform-set T1 esp-aes esp-sha256-hmac",
            "crypto ipsec transform-set T1 esp-sha512-hmac esp-aes 256",
            "crypto ipsec transform-set T1 esp-3des esp-sha-hmac",
            "crypto ipsec transform-set T1 esp-null esp-sha384-hmac",
        ],
    },
    Command {
        mode: Mode::TransformSet,
        syntax: Syntax {
            grammar: "mode / ( tunnel | transport )",
            help: &[
                ("mode", "Encapsulation mode (transport/tunnel)"),
                (
                    "tunnel",
                    "Tunnel mode, with the addresses of the packet kept",
                ),
                (
                    "transport",
                    "Transport mode (not available: group members keep headers)",
                ),
            ],
        },
        apply: mode,
        examples: &["mode tunnel"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let set = line.word("set")?.to_owned();
    if line.removes() {
        editor.config.transform_sets.remove(&set);
        return Ok(());
    }
    let transform = transform(line)?;
    editor.config.transform_sets.insert(set.clone(), transform);
    editor.enter(Place::TransformSet(set));
    Ok(())
}

fn transform(line: &Line) -> Result<Transform, Refusal> {
    let mut encryption = None;
    let mut integrity = None;
    for (place, item) in line.items.iter().enumerate() {
        let Item::Keyword(word) = item else { continue };
        let size = match line.items.get(place + 1) {
            Some(Item::Keyword("256")) => KeyBits::B256,
            Some(Item::Keyword("192")) => KeyBits::B192,
            Some(Item::Keyword(_) | Item::Argument(..)) | None => KeyBits::B128,
        };
        let (cipher, hmac) = match *word {
            "esp-3des" => (Some(Encryption::TripleDes), None),
            "esp-null" => (Some(Encryption::Null), None),
            "esp-aes" => (Some(Encryption::AesCbc(size)), None),
            "esp-gcm" => (Some(Encryption::AesGcm(size)), None),
            "esp-gmac" => (Some(Encryption::AesGmac(size)), None),
            "esp-sha-hmac" => (None, Some(Integrity::HmacSha1)),
            "esp-sha256-hmac" => (None, Some(Integrity::HmacSha256)),
            "esp-sha384-hmac" => (None, Some(Integrity::HmacSha384)),
            "esp-sha512-hmac" => (None, Some(Integrity::HmacSha512)),
            _ => continue,
        };
        let twice =
            (cipher.is_some() && encryption.is_some()) || (hmac.is_some() && integrity.is_some());
        if twice {
            return Err(Refusal::new(
                "% A transform set has one cipher and one integrity word",
            ));
        }
        encryption = encryption.or(cipher);
        integrity = integrity.or(hmac);
    }
    let Some(encryption) = encryption else {
        return Err(Refusal::new(
            "% A transform set needs a cipher: esp-gcm, esp-gmac, esp-aes, esp-3des or esp-null",
        ));
    };
    Transform::new(encryption, integrity.unwrap_or(Integrity::Combined))
        .map_err(|error| Refusal::new(format!("% {error}")))
}

fn mode(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let Place::TransformSet(_) = editor.place(0)? else {
        return Err(gone());
    };
    if line.has("transport") && !line.removes() {
        return Err(Refusal::new(
            "% Transport mode is not available: a group's ESP is tunnel mode with kept addresses",
        ));
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (name, transform) in &config.transform_sets {
        text.line(format_args!(
            "{} {transform}",
            Place::TransformSet(name.clone())
        ));
    }
    text.separate();
}

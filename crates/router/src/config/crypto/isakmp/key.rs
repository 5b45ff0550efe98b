//! `crypto isakmp key [0] SECRET address A [MASK]`.

use std::fmt;
use std::net::Ipv4Addr;

use ::crypto::Secret;

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::ip::route::is_mask;
use crate::config::render::Text;
use crate::config::{Command, Config};

/// A pre-shared key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's octets, printable UTF-8 without blanks.
    pub secret: Secret,
}

/// Never shows the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "crypto isakmp key [ 0 | 6 ] <key:SECRET> address <address:A.B.C.D> \
                  [ <mask:A.B.C.D> ]",
        help: &[
            ("key", "Set pre-shared key for remote peer"),
            ("0", "Specifies an UNENCRYPTED password will follow"),
            (
                "6",
                "Specifies an ENCRYPTED password will follow (not available yet)",
            ),
            ("address", "Define shared key with IP address"),
            ("<key>", "The UNENCRYPTED (cleartext) user password"),
            ("<address>", "Peer IP address"),
            ("<mask>", "Peer IP subnet mask"),
        ],
    },
    apply,
    examples: &[
        "crypto isakmp key Zm9vYmFyYmF6cXV4MDEyMzQ1Njc address 10.1.20.2",
        "crypto isakmp key 0 Zm9vYmFyYmF6cXV4MDEyMzQ1Njc address 10.1.20.2 255.255.255.255",
        "crypto isakmp key Zm9vYmFyYmF6cXV4MDEyMzQ1Njc address 10.1.20.0 255.255.255.0",
        "crypto isakmp key 0 address 10.1.20.2",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let address = line.address("address")?;
    let mask = line
        .address("mask")
        .unwrap_or_else(|_| default_mask(address));
    if !is_mask(mask) || address.to_bits() & !mask.to_bits() != 0 {
        return Err(Refusal::new("%Inconsistent address and mask"));
    }
    if line.removes() {
        editor.config.isakmp_keys.remove(&(address, mask));
        return Ok(());
    }
    if line.has("6") {
        return Err(Refusal::new(
            "% Encrypted keys (type 6) are not available yet: give the key itself",
        ));
    }
    let secret = line.secret("key")?.clone();
    editor
        .config
        .isakmp_keys
        .insert((address, mask), Key { secret });
    Ok(())
}

/// One peer, or with 0.0.0.0 any peer, as IOS reads an address without a mask.
fn default_mask(address: Ipv4Addr) -> Ipv4Addr {
    if address.is_unspecified() {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::BROADCAST
    }
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for ((address, mask), key) in &config.isakmp_keys {
        let secret = String::from_utf8_lossy(key.secret.expose());
        // `0` and `6` are read as types: a key of that name needs its type before it.
        let typed = if matches!(&*secret, "0" | "6") {
            "0 "
        } else {
            ""
        };
        if *mask == default_mask(*address) {
            text.line(format_args!(
                "crypto isakmp key {typed}{secret} address {address}"
            ));
        } else {
            text.line(format_args!(
                "crypto isakmp key {typed}{secret} address {address} {mask}"
            ));
        }
    }
    text.separate();
}

//! `show crypto gdoi gm pubkey`: the key that rekeys must verify with.

use std::fmt;
use std::net::Ipv4Addr;

use crypto::key_pair::Kind;
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::crypto::{cookies, key_data};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) gm pubkey",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups that have a key.
    pub groups: Vec<Group>,
}

/// The key of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// The key server.
    pub server: Ipv4Addr,
    /// The number of the Rekey SA.
    pub conn_id: u32,
    /// Four octets of the SPI's first half.
    pub my_cookie: String,
    /// Four octets of its second half.
    pub his_cookie: String,
    /// `RSA` or `EC`.
    pub key_type: String,
    /// Bits of the modulus or the curve.
    pub key_bits: usize,
    /// SubjectPublicKeyInfo, DER, hexadecimal in words of four octets, eight to a line.
    pub key_data: Vec<String>,
}

impl Group {
    fn of(gm: &gdoi::gm::View) -> Option<Self> {
        let kek = gm.keks.current.as_ref()?;
        let key = gm.public_key.as_ref()?;
        let [my_cookie, his_cookie] = cookies(kek.spi);
        Some(Self {
            group: gm.group.to_string(),
            server: kek.source,
            conn_id: kek.conn_id,
            my_cookie,
            his_cookie,
            key_type: key.kind.to_string(),
            key_bits: key.bits,
            key_data: key_data(&key.der),
        })
    }
}

/// The keys of every group.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    View {
        groups: context
            .machines
            .members()
            .iter()
            .filter_map(Group::of)
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            let (conn_id, mine, his) = (group.conn_id, &group.my_cookie, &group.his_cookie);
            writeln!(f, "GDOI Group: {}", group.group)?;
            writeln!(f, "  KS IP Address: {}", group.server)?;
            writeln!(
                f,
                "  conn-id: {conn_id}    my-cookie:{mine}    his-cookie:{his}"
            )?;
            if group.key_type != Kind::Rsa.to_string() {
                let (kind, bits) = (&group.key_type, group.key_bits);
                writeln!(f, "  Key Type: {kind} KEYS {bits} bits")?;
            }
            writeln!(f, "  Key Data:")?;
            for line in &group.key_data {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

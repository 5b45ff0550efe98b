//! `show crypto gdoi rekey sa [detail]`: the Rekey SAs that a member holds; there must always be
//! one, or no rekey is understood (mission row 63).

use std::fmt;
use std::net::Ipv4Addr;

use policy::RekeyTransport;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::show::crypto::gdoi::{HELP, sig_algorithm_line};
use crate::show::crypto::{acknowledgement_word, interface_word};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) rekey sa [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The SAs: of each group the new one, the current one, the replaced one.
    pub sas: Vec<Sa>,
    /// Whether the text has everything.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// A Rekey SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sa {
    /// The group.
    pub group: String,
    /// The interface of the member's crypto map.
    pub interface: String,
    /// How rekeys travel.
    pub transport: String,
    /// The member, or the multicast address.
    pub destination: Ipv4Addr,
    /// The member's UDP port.
    pub destination_port: u16,
    /// The key server.
    pub source: Ipv4Addr,
    /// The key server's UDP port.
    pub source_port: u16,
    /// Its number.
    pub conn_id: u32,
    /// `new`, `current` or `previous`.
    pub phase: &'static str,
    /// Its SPI.
    pub spi: String,
    /// Its cipher.
    pub encryption: String,
    /// Octets of the IV.
    pub iv_size_octets: usize,
    /// Octets of the key.
    pub key_size_octets: usize,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// What it is signed with, as RFC 6407 names it.
    pub sig_algorithm: String,
    /// The hash under its signatures.
    pub sig_hash: String,
    /// Octets of the public key, DER.
    pub sig_key_size_octets: usize,
    /// Octets of a signature.
    pub sig_size_octets: usize,
    /// How acknowledgements are asked for.
    pub acknowledgement: String,
    /// The highest sequence number accepted.
    pub seq: u32,
    /// The one accepted before.
    pub previous_seq: u32,
}

fn sas_of(gm: &gdoi::gm::View) -> impl Iterator<Item = Sa> {
    let keks = [
        ("new", &gm.keks.new),
        ("current", &gm.keks.current),
        ("previous", &gm.keks.previous),
    ];
    keks.into_iter().filter_map(|(phase, kek)| {
        let kek = kek.as_ref()?;
        Some(Sa {
            group: gm.group.to_string(),
            interface: gm.interface.clone(),
            transport: transport_of(kek.destination).to_string(),
            destination: kek.destination,
            destination_port: gm.local.port(),
            source: kek.source,
            source_port: gm.server.as_ref().unwrap_or(&gm.local).port(),
            conn_id: kek.conn_id,
            phase,
            spi: kek.spi.to_string(),
            encryption: kek.cipher.to_string(),
            iv_size_octets: kek.cipher.block_len(),
            key_size_octets: kek.cipher.key_len(),
            remaining_lifetime_s: kek.remaining.as_secs(),
            sig_algorithm: kek.signature.to_string(),
            sig_hash: kek.signature.hash().to_string(),
            sig_key_size_octets: gm.public_key.as_ref().map_or(0, |key| key.der.len()),
            sig_size_octets: kek.sig_size,
            acknowledgement: acknowledgement_word(kek.acknowledgement).to_owned(),
            seq: kek.seq,
            previous_seq: kek.previous_seq,
        })
    })
}

/// Each Rekey SA has a transport of its own.
pub(crate) fn transport_of(destination: Ipv4Addr) -> RekeyTransport {
    if destination.is_multicast() {
        RekeyTransport::Multicast
    } else {
        RekeyTransport::Unicast
    }
}

/// The Rekey SAs of every group.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let members = context.machines.members();
    View {
        sas: members.iter().flat_map(sas_of).collect(),
        is_detailed: line.has("detail"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_detailed {
            return self.write_detail(f);
        }
        writeln!(f, "GETVPN REKEY SA")?;
        writeln!(f, "dst             src             conn-id         status")?;
        for sa in &self.sas {
            let (dst, src) = (sa.destination, sa.source);
            let status = if sa.phase == "previous" {
                "REPLACED"
            } else {
                "ACTIVE"
            };
            writeln!(f, "{dst:<16}{src:<16}{:<16}{status}", sa.conn_id)?;
        }
        Ok(())
    }
}

impl View {
    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.sas.iter().filter(|sa| sa.phase != "previous").count();
        // Of SAs only those that are held are known: the ones freed before are not counted.
        writeln!(f, "KEK SA DB STATS:")?;
        writeln!(f, "    num_active = {active}")?;
        writeln!(f, "    num_malloc = {}", self.sas.len())?;
        writeln!(f, "    num_free = 0")?;
        for sa in &self.sas {
            writeln!(f)?;
            sa.write(f)?;
        }
        Ok(())
    }
}

impl Sa {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (iv, key) = (self.iv_size_octets, self.key_size_octets);
        writeln!(f, "KEK POLICY (transport type : {})", self.transport)?;
        writeln!(
            f,
            "  Local addr/port : {}/{}",
            self.destination, self.destination_port
        )?;
        writeln!(
            f,
            "  Remote addr/port : {}/{}",
            self.source, self.source_port
        )?;
        writeln!(f, "    spi : {}", self.spi)?;
        let encryption = &self.encryption;
        writeln!(
            f,
            "    management alg     : disabled    encrypt alg       : {encryption}"
        )?;
        writeln!(
            f,
            "    crypto iv length   : {iv:<12}key size          : {key}"
        )?;
        // A member is told what is left, not what the lifetime once was.
        let remaining = self.remaining_lifetime_s;
        writeln!(
            f,
            "    orig life(sec)     : 0           remaining life(sec): {remaining}"
        )?;
        let length = self.sig_key_size_octets;
        writeln!(
            f,
            "    sig hash algorithm : enabled     sig key length    : {length}"
        )?;
        writeln!(f, "    sig size           : {}", self.sig_size_octets)?;
        sig_algorithm_line(f, "    sig algorithm      : ", &self.sig_algorithm)?;
        writeln!(f, "    acknowledgement    : {}", self.acknowledgement)?;
        writeln!(f, "    conn_id (IKEv1)    : {}", self.conn_id)?;
        let (seq, previous) = (self.seq, self.previous_seq);
        writeln!(
            f,
            "    seq num            : {seq:<12}prev seq num      : {previous}"
        )?;
        writeln!(f, "    handle             : {}", self.conn_id)?;
        writeln!(
            f,
            "    Interface          : {}",
            interface_word(&self.interface)
        )?;
        writeln!(f, "    Group Name         : {}", self.group)
    }
}

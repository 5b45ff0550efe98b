//! `show crypto gdoi ks policy`: the keys that a key server holds, without the keys.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use policy::RekeyTransport;
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::rekey::sa::transport_of;
use crate::show::crypto::gdoi::server::not_serving;
use crate::show::crypto::gdoi::{HELP, addresses, sig_algorithm_line};
use crate::show::crypto::{Replay, acknowledgement_word, seconds_until};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks policy",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
}

/// The policy of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its handle.
    pub handle: u32,
    /// This key server.
    pub server: Ipv4Addr,
    /// This key server's handle.
    pub server_handle: u32,
    /// Why there is no policy.
    pub not_serving_because: Option<String>,
    /// How rekeys travel, as it is configured.
    pub transport: String,
    /// Sequence number of the last PUSH.
    pub seq: u32,
    /// Rekey SAs, one for each kind of member.
    pub keks: Vec<Kek>,
    /// Traffic keys, the newest first.
    pub teks: Vec<Tek>,
    /// The group's clock, seconds.
    pub replay_value_s: f64,
    /// Which clock that is: a new one each time the key servers have lost it.
    pub replay_clock_generation: u32,
    /// Until the keys of before a removal are sent on no more, seconds.
    pub old_keys_end_in_s: Option<u64>,
    /// Configured key servers that do not know of a removal yet.
    pub removal_unknown_to: Vec<Ipv4Addr>,
}

/// A Rekey SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kek {
    /// The kind of member it is for.
    pub members: String,
    /// How its rekeys travel.
    pub transport: String,
    /// Its SPI.
    pub spi: String,
    /// Its cipher.
    pub encryption: String,
    /// Octets of the IV.
    pub iv_size_octets: usize,
    /// Octets of the key.
    pub key_size_octets: usize,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// When its successor is sent, seconds from now.
    pub time_to_rekey_s: Option<u64>,
    /// What it is signed with, as RFC 6407 names it.
    pub sig_algorithm: String,
    /// The hash under its signatures.
    pub sig_hash: String,
    /// Octets of the public key, DER.
    pub sig_key_size_octets: usize,
    /// Octets of a signature.
    pub sig_size_octets: usize,
    /// The label of the rekey key.
    pub sig_key_name: String,
    /// How acknowledgements are asked for.
    pub acknowledgement: String,
    /// Sequence number of its last PUSH.
    pub seq: u32,
}

/// A traffic key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tek {
    /// The number of its `sa ipsec`.
    pub sa: u16,
    /// Its SPI.
    pub spi: String,
    /// The access list that it protects.
    pub acl: String,
    /// What ESP does.
    pub transform: String,
    /// Octets of the cipher key, without the salt.
    pub alg_key_size_octets: usize,
    /// Octets of the integrity key.
    pub sig_key_size_octets: usize,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// From minting to expiry, seconds: what remains and what has elapsed.
    pub lifetime_s: u64,
    /// Since minting, seconds.
    pub elapsed_s: u64,
    /// Until members send on it, seconds.
    pub activates_in_s: u64,
    /// When its successor is sent, seconds from now.
    pub time_to_rekey_s: Option<u64>,
    /// How members tell copies.
    pub replay: Replay,
}

impl Kek {
    fn of(kek: &gdoi::ks::KekView) -> Self {
        let transport = kek
            .destination
            .map_or(RekeyTransport::Unicast, transport_of);
        Self {
            members: kek.kind.to_string(),
            transport: transport.to_string(),
            spi: kek.spi.to_string(),
            encryption: kek.cipher.to_string(),
            iv_size_octets: kek.cipher.block_len(),
            key_size_octets: kek.cipher.key_len(),
            orig_lifetime_s: kek.orig_lifetime_s,
            remaining_lifetime_s: kek.remaining.as_secs(),
            time_to_rekey_s: kek.time_to_rekey.as_ref().map(Duration::as_secs),
            sig_algorithm: kek.signature.to_string(),
            sig_hash: kek.signature.hash().to_string(),
            sig_key_size_octets: kek.sig_key_len,
            sig_size_octets: kek.sig_size,
            sig_key_name: kek.sig_key_name.clone(),
            acknowledgement: acknowledgement_word(Some(kek.acknowledgement)).to_owned(),
            seq: kek.seq,
        }
    }
}

impl Tek {
    fn of(tek: &gdoi::ks::TekView) -> Self {
        let transform = tek.transform;
        let salt = if transform.is_counter_mode() { 4 } else { 0 };
        // Whole seconds that still add up.
        let lifetime_s = (tek.remaining + tek.elapsed).as_secs();
        let remaining_lifetime_s = tek.remaining.as_secs();
        Self {
            sa: tek.sa,
            spi: tek.spi.to_string(),
            acl: tek.acl.clone(),
            transform: transform.show(),
            alg_key_size_octets: transform.key_len() - salt,
            sig_key_size_octets: transform.integrity_key_len(),
            orig_lifetime_s: tek.orig_lifetime_s,
            remaining_lifetime_s,
            lifetime_s,
            elapsed_s: lifetime_s - remaining_lifetime_s,
            activates_in_s: seconds_until(tek.activates_in),
            time_to_rekey_s: tek.time_to_rekey.as_ref().map(Duration::as_secs),
            replay: Replay::of(transform, tek.tbar_window_s),
        }
    }
}

impl Group {
    fn of(ks: &gdoi::ks::View) -> Self {
        Self {
            group: ks.group.to_string(),
            handle: ks.handle,
            server: ks.address,
            server_handle: ks.server_handle,
            not_serving_because: not_serving(&ks.serving),
            transport: ks.transport.to_string(),
            seq: ks.seq,
            keks: ks.keks.iter().map(Kek::of).collect(),
            teks: ks.teks.iter().map(Tek::of).collect(),
            replay_value_s: Duration::from_nanos(ks.pseudotime.as_nanos()).as_secs_f64(),
            replay_clock_generation: ks.clock_generation.0,
            old_keys_end_in_s: ks.removal.keys_end_in.map(seconds_until),
            removal_unknown_to: ks.removal.lacking.clone(),
        }
    }
}

/// The policies of the box.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    View {
        groups: context
            .machines
            .key_servers()
            .iter()
            .map(Group::of)
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return Ok(());
        }
        f.write_str("Key Server Policy:\n")?;
        for (place, group) in self.groups.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            group.write(f)?;
        }
        Ok(())
    }
}

fn rekey_time(span: Option<u64>) -> String {
    span.map_or_else(|| "n/a".to_owned(), |s| s.to_string())
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (handle, server) = (self.handle, self.server);
        writeln!(
            f,
            "For group {} (handle: {handle}) server {server} (handle: {}):\n",
            self.group, self.server_handle
        )?;
        writeln!(
            f,
            "  # of teks : {}  Seq num : {}",
            self.teks.len(),
            self.seq
        )?;
        if let Some(reason) = &self.not_serving_because {
            writeln!(f, "  Members are not served: {reason}")?;
        }
        if let Some(seconds) = self.old_keys_end_in_s {
            writeln!(f, "  Old keys end in (sec): {seconds}")?;
        }
        if !self.removal_unknown_to.is_empty() {
            let servers = addresses(&self.removal_unknown_to);
            writeln!(f, "  Removal: partial, not yet known to KS {servers}")?;
        }
        for (place, kek) in self.keks.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            self.write_kek(f, kek)?;
        }
        for tek in &self.teks {
            writeln!(f)?;
            tek.write(f)?;
        }
        writeln!(f, "\n  Replay Value {:.2} secs", self.replay_value_s)?;
        // The group's first clock needs no name.
        match self.replay_clock_generation {
            0 => Ok(()),
            lost => writeln!(f, "  Replay Clock Generation : {lost}"),
        }
    }

    fn write_kek(&self, f: &mut fmt::Formatter<'_>, kek: &Kek) -> fmt::Result {
        let (iv, key) = (kek.iv_size_octets, kek.key_size_octets);
        let (orig, remaining) = (kek.orig_lifetime_s, kek.remaining_lifetime_s);
        writeln!(f, "  KEK POLICY (transport type : {})", kek.transport)?;
        writeln!(f, "    spi : {}", kek.spi)?;
        let encryption = &kek.encryption;
        writeln!(
            f,
            "    management alg     : disabled    encrypt alg       : {encryption}"
        )?;
        writeln!(
            f,
            "    crypto iv length   : {iv:<12}key size          : {key}"
        )?;
        writeln!(
            f,
            "    orig life(sec)     : {orig:<12}remaining life(sec): {remaining}"
        )?;
        writeln!(
            f,
            "    time to rekey (sec): {}",
            rekey_time(kek.time_to_rekey_s)
        )?;
        let length = kek.sig_key_size_octets;
        writeln!(
            f,
            "    sig hash algorithm : enabled     sig key length    : {length}"
        )?;
        writeln!(f, "    sig size           : {}", kek.sig_size_octets)?;
        sig_algorithm_line(f, "    sig algorithm      : ", &kek.sig_algorithm)?;
        writeln!(f, "    sig key name       : {}", kek.sig_key_name)?;
        writeln!(f, "    acknowledgement    : {}", kek.acknowledgement)?;
        // IOS has one for all members: whose it is needs a line only if others have another.
        let is_shared = self.keks.iter().all(|other| other.members == kek.members);
        if is_shared {
            return Ok(());
        }
        writeln!(f, "    for members        : {}", kek.members)
    }
}

impl Tek {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alg, sig) = (self.alg_key_size_octets, self.sig_key_size_octets);
        let (orig, remaining) = (self.orig_lifetime_s, self.remaining_lifetime_s);
        let (life, elapsed) = (self.lifetime_s, self.elapsed_s);
        let window = self.replay.window();
        writeln!(f, "  TEK POLICY (encaps : ENCAPS_TUNNEL)")?;
        writeln!(f, "    spi                : {}", self.spi)?;
        writeln!(f, "    access-list        : {}", self.acl)?;
        writeln!(f, "    transform          : {}", self.transform)?;
        writeln!(
            f,
            "    alg key size       : {alg:<14}sig key size          : {sig}"
        )?;
        writeln!(
            f,
            "    orig life(sec)     : {orig:<14}remaining life(sec)   : {remaining}"
        )?;
        writeln!(
            f,
            "    tek life(sec)      : {life:<14}elapsed time(sec)     : {elapsed}"
        )?;
        writeln!(
            f,
            "    override life (sec): 0             antireplay window size: {window}"
        )?;
        if self.activates_in_s > 0 {
            writeln!(f, "    sent on in (sec)   : {}", self.activates_in_s)?;
        }
        writeln!(
            f,
            "    time to rekey (sec): {}",
            rekey_time(self.time_to_rekey_s)
        )
    }
}

//! A member's part of `show crypto gdoi`; its middle is `show crypto gdoi gm`.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use gdoi::gm::Status;
use policy::PeerKind;
use serde::Serialize;

use crate::show::crypto::gdoi::sig_algorithm_line;
use crate::show::crypto::{Replay, acknowledgement_word, hours, seconds_until, spi_text};

/// A group that this box is a member of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// The group.
    pub group: String,
    /// Its identity.
    pub identity: String,
    /// Its key servers in the order in which they are tried.
    pub servers: Vec<Ipv4Addr>,
    /// The interface that carries the crypto map.
    pub interface: String,
    /// The member's address.
    pub address: Ipv4Addr,
    /// The member's UDP port.
    pub port: u16,
    /// The key server where it is registered, or is trying.
    pub server: Option<Ipv4Addr>,
    /// That key server's UDP port.
    pub server_port: Option<u16>,
    /// What that key server proved to be.
    pub server_kind: Option<String>,
    /// This program's version.
    pub version: String,
    /// Whether policy and keys are in force.
    pub is_registered: bool,
    /// How far the registration is.
    pub status: String,
    /// Until it registers again of itself, seconds.
    pub reregisters_in_s: Option<u64>,
    /// Registrations that succeeded.
    pub registrations_succeeded: u64,
    /// Registrations that were started.
    pub registrations_attempted: u64,
    /// How often keys were dropped because the machine was suspended or resumed from an image.
    pub resumptions: u64,
    /// Why the last one failed.
    pub last_failure: Option<String>,
    /// Where the last rekey came from.
    pub last_rekey_from: Option<Ipv4Addr>,
    /// Its sequence number.
    pub last_rekey_seq: u32,
    /// How long ago it came, seconds.
    pub last_rekey_ago_s: Option<u64>,
    /// How rekeys travel.
    pub transport: String,
    /// Rekeys accepted since the group was configured.
    pub rekeys_received: u64,
    /// Rekeys accepted since the last registration.
    pub rekeys_since_registration: u64,
    /// Acknowledgements sent.
    pub acks_sent: u64,
    /// Copies of rekeys that had come before.
    pub rekey_copies: u64,
    /// Rekeys refused, by reason.
    pub refusals: Vec<Count>,
    /// Which forms of signature the rekeys had.
    pub signature_forms: Vec<Count>,
    /// The key server's list.
    pub downloaded_acl: Option<Vec<String>>,
    /// The name of the policy in force.
    pub policy: Option<String>,
    /// Whether a newer policy is named and not here yet.
    pub is_policy_stale: bool,
    /// The Rekey SA in use.
    pub kek: Option<Kek>,
    /// Traffic keys, the one that is sent on first.
    pub teks: Vec<Tek>,
    /// How many traffic keys may be sent on now.
    pub active_teks: usize,
    /// Whether it registers again when packets come under SPIs of the group that it does not hold:
    /// plain key servers give nothing to tell those by.
    pub recovers_from_unknown_spis: bool,
    /// Its sender identifiers.
    pub sids: Vec<String>,
    /// Bits of a sender identifier.
    pub sid_bits: Option<u8>,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The name.
    pub name: String,
    /// The number.
    pub count: u64,
}

impl Count {
    /// The names that were counted at all.
    #[must_use]
    pub fn all(counts: &[(&'static str, u64)]) -> Vec<Self> {
        let seen = counts.iter().filter(|(_, count)| *count > 0);
        seen.map(|(name, count)| Self {
            name: (*name).to_owned(),
            count: *count,
        })
        .collect()
    }
}

/// The Rekey SA in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kek {
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// Its cipher.
    pub encryption: String,
    /// Bits of its key.
    pub key_size_bits: usize,
    /// What it is signed with, as RFC 6407 names it.
    pub sig_algorithm: String,
    /// The hash under its signatures.
    pub sig_hash: String,
    /// Bits of the modulus or the curve of the rekey key.
    pub sig_key_bits: u16,
    /// How acknowledgements are asked for.
    pub acknowledgement: String,
}

/// A traffic key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tek {
    /// Its SPI, `0x8BF147EF(2347845615)`.
    pub spi: String,
    /// What ESP does.
    pub transform: String,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// Until it may be sent on, seconds.
    pub activates_in_s: u64,
    /// Whether it is sent on now.
    pub is_outbound: bool,
    /// How copies are told.
    pub replay: Replay,
    /// Octets of the cipher key, without the salt.
    pub alg_key_size_octets: usize,
    /// Octets of the integrity key.
    pub sig_key_size_octets: usize,
}

impl Tek {
    fn of(tek: &gdoi::gm::TekView, tbar_window_s: Option<u32>) -> Self {
        let transform = tek.transform;
        let salt = if transform.is_counter_mode() { 4 } else { 0 };
        Self {
            spi: spi_text(tek.spi),
            transform: transform.show(),
            remaining_lifetime_s: tek.remaining.as_secs(),
            activates_in_s: seconds_until(tek.activates_in),
            is_outbound: tek.outbound,
            replay: Replay::of(transform, tbar_window_s),
            alg_key_size_octets: transform.key_len() - salt,
            sig_key_size_octets: transform.integrity_key_len(),
        }
    }
}

impl Member {
    /// What a member shows.
    #[must_use]
    pub fn of(gm: &gdoi::gm::View, version: &str) -> Self {
        let active = |tek: &&gdoi::gm::TekView| tek.activates_in == Duration::ZERO;
        Self {
            group: gm.group.to_string(),
            identity: gm.id.to_string(),
            servers: gm.servers.clone(),
            interface: gm.interface.clone(),
            address: *gm.local.ip(),
            port: gm.local.port(),
            server: gm.server.map(|server| *server.ip()),
            server_port: gm.server.map(|server| server.port()),
            server_kind: gm.server_kind.map(|kind| kind.to_string()),
            version: version.to_owned(),
            is_registered: matches!(gm.status, Status::Registered | Status::ReRegistering),
            status: gm.status.to_string(),
            reregisters_in_s: gm.reregisters_in.map(|span| span.as_secs()),
            registrations_succeeded: gm.registrations_succeeded,
            registrations_attempted: gm.registrations_attempted,
            resumptions: gm.resumptions,
            last_failure: gm.last_failure.clone(),
            last_rekey_from: gm.last_rekey_from,
            last_rekey_seq: gm.last_rekey_seq,
            last_rekey_ago_s: gm.last_rekey_ago.map(|span| span.as_secs()),
            transport: gm.transport.to_string(),
            rekeys_received: gm.rekeys_received,
            rekeys_since_registration: gm.rekeys_since_registration,
            acks_sent: gm.acks_sent,
            rekey_copies: gm.rekey_copies,
            refusals: Count::all(&gm.refusals),
            signature_forms: Count::all(&gm.signature_forms),
            downloaded_acl: gm
                .downloaded_acl
                .as_ref()
                .map(|acl| acl.entries.iter().map(policy::Ace::show_member).collect()),
            policy: gm.policy_name.clone(),
            is_policy_stale: gm.policy_stale,
            kek: gm.keks.current.as_ref().map(|kek| Kek {
                remaining_lifetime_s: kek.remaining.as_secs(),
                encryption: kek.cipher.to_string(),
                key_size_bits: kek.cipher.key_len() * 8,
                sig_algorithm: kek.signature.to_string(),
                sig_hash: kek.signature.hash().to_string(),
                sig_key_bits: kek.sig_key_bits,
                acknowledgement: acknowledgement_word(kek.acknowledgement).to_owned(),
            }),
            teks: gm
                .teks
                .iter()
                .map(|tek| Tek::of(tek, gm.tbar_window_s))
                .collect(),
            active_teks: gm.teks.iter().filter(active).count(),
            recovers_from_unknown_spis: gm.server_kind == Some(PeerKind::Ours),
            sids: gm.sids.iter().map(|sid| format!("0x{:X}", sid.0)).collect(),
            sid_bits: gm.sid_size.map(policy::GroupSize::bits),
        }
    }

    /// The member's part.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        writeln!(f, "    Group Name               : {}", self.group)?;
        writeln!(f, "    Group Identity           : {}", self.identity)?;
        writeln!(f, "    Group Type               : GDOI (ISAKMP)")?;
        writeln!(f, "    Crypto Path              : ipv4")?;
        writeln!(f, "    Key Management Path      : ipv4")?;
        writeln!(f, "    Rekeys received          : {}", self.rekeys_received)?;
        writeln!(f, "    IPSec SA Direction       : Both\n")?;
        for (place, server) in self.servers.iter().enumerate() {
            let label = if place == 0 {
                "     Group Server list       : "
            } else {
                ""
            };
            writeln!(f, "{label:<31}{server}")?;
        }
        writeln!(f)?;
        self.write_member(f)?;
        writeln!(f, "\n    Rekeys cumulative")?;
        writeln!(f, "       Total received        : {}", self.rekeys_received)?;
        writeln!(
            f,
            "       After latest register : {}",
            self.rekeys_since_registration
        )?;
        writeln!(f, "       Rekey Acks sents      : {}", self.acks_sent)?;
        if is_detailed {
            self.write_detail(f)?;
        }
        self.write_acl(f)?;
        self.write_keks(f)?;
        self.write_teks(f)?;
        for policy in ["KGS POLICY:", "P2P POLICY:"] {
            writeln!(f, "\n{policy}\n  REG_GM: local_addr {}", self.address)?;
        }
        Ok(())
    }

    /// `show crypto gdoi gm`.
    pub(super) fn write_member(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Group Member Information For Group {}:", self.group)?;
        writeln!(f, "    IPSec SA Direction       : Both")?;
        writeln!(
            f,
            "    ACL Received From KS     : {}\n",
            self.downloaded_acl_name()
        )?;
        writeln!(
            f,
            "    Group member             : {:<16}vrf: None",
            self.address
        )?;
        writeln!(
            f,
            "       Local addr/port       : {}/{}",
            self.address, self.port
        )?;
        match (self.server, self.server_port) {
            (Some(server), Some(port)) => {
                writeln!(f, "       Remote addr/port      : {server}/{port}")?;
            }
            (_, _) => writeln!(f, "       Remote addr/port      : 0.0.0.0/{}", self.port)?,
        }
        writeln!(f, "       fvrf/ivrf             : None/None")?;
        writeln!(f, "       Version               : {}", self.version)?;
        self.write_registration(f)?;
        match self.last_rekey_from {
            Some(from) => writeln!(f, "       Last rekey from       : {from}")?,
            None => writeln!(f, "       Last rekey from       : UNKNOWN")?,
        }
        writeln!(f, "       Last rekey seq num    : {}", self.last_rekey_seq)?;
        writeln!(
            f,
            "       {:<22}: {}",
            self.transport.clone() + " rekey received",
            self.rekeys_received
        )?;
        writeln!(f, "       Rekey ACKs sent       : {}", self.acks_sent)?;
        let ago = self.last_rekey_ago_s.map(Duration::from_secs);
        let ago = ago.map_or_else(|| "never".to_owned(), hours);
        writeln!(f, "       Rekey Rcvd(hh:mm:ss)  : {ago}")?;
        writeln!(f, "       PFS Rekey received    : 0")?;
        let monitoring = if self.recovers_from_unknown_spis {
            "ON"
        } else {
            "OFF"
        };
        writeln!(f, "       DP Error Monitoring   : {monitoring}")?;
        writeln!(f, "       IPSEC init reg executed    : 0")?;
        writeln!(f, "       IPSEC init reg postponed   : 0")?;
        writeln!(f, "       Active TEK Number     : {}", self.active_teks)?;
        writeln!(f, "       SA Track (OID/status) : disabled")?;
        // `no fail-close` ends with the first policy: whoever loses its keys passes nothing in clear.
        writeln!(f, "       Fail-Close Revert : Enabled\n")?;
        writeln!(f, "       allowable rekey cipher: any")?;
        writeln!(f, "       allowable rekey hash  : any")?;
        writeln!(f, "       allowable transformtag: any ESP")
    }

    fn write_registration(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_running = self.status == Status::ReRegistering.to_string();
        let status = if is_running {
            "Registered"
        } else {
            &self.status
        };
        writeln!(f, "       Registration status   : {status}")?;
        let server = self.server.unwrap_or(Ipv4Addr::UNSPECIFIED);
        if self.is_registered {
            writeln!(f, "       Registered with       : {server}")?;
        } else {
            writeln!(f, "       Registering to        : {server}")?;
        }
        match self.reregisters_in_s {
            _ if is_running => writeln!(f, "       Re-registers in       : 0 sec")?,
            Some(span) => writeln!(f, "       Re-registers in       : {span} sec")?,
            None => writeln!(f, "       Re-registers in       : n/a")?,
        }
        writeln!(
            f,
            "       Succeeded registration: {}",
            self.registrations_succeeded
        )?;
        writeln!(
            f,
            "       Attempted registration: {}",
            self.registrations_attempted
        )?;
        if self.resumptions > 0 {
            let times = self.resumptions;
            writeln!(f, "       Resumed from suspend  : {times}")?;
        }
        match &self.last_failure {
            Some(reason) => writeln!(f, "       Last failure          : {reason}"),
            None => Ok(()),
        }
    }

    /// The list that the key server gave has no name of its own on the wire.
    pub(crate) fn downloaded_acl_name(&self) -> String {
        match self.downloaded_acl {
            Some(_) => acl_name(&self.group),
            None => "None".to_owned(),
        }
    }

    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = || "none".to_owned();
        let named = |counts: &[Count]| {
            let all: Vec<_> = counts
                .iter()
                .map(|c| format!("{} {}", c.name, c.count))
                .collect();
            if all.is_empty() {
                none()
            } else {
                all.join(", ")
            }
        };
        let state = if self.is_policy_stale {
            " (a newer one is being fetched)"
        } else {
            ""
        };
        let policy = self.policy.clone().unwrap_or_else(none);
        let kind = self
            .server_kind
            .clone()
            .unwrap_or_else(|| "unknown".to_owned());
        let sids = if self.sids.is_empty() {
            none()
        } else {
            self.sids.join(" ")
        };
        let bits = self
            .sid_bits
            .map_or_else(String::new, |bits| format!(" ({bits} bits)"));
        writeln!(f, "\n    Particulars")?;
        writeln!(f, "       Key server is         : {kind}")?;
        writeln!(f, "       Policy in force       : {policy}{state}")?;
        writeln!(f, "       Sender identifiers    : {sids}{bits}")?;
        writeln!(
            f,
            "       Rekeys refused        : {}",
            named(&self.refusals)
        )?;
        writeln!(f, "       Copies of rekeys      : {}", self.rekey_copies)?;
        writeln!(
            f,
            "       Signature forms       : {}",
            named(&self.signature_forms)
        )
    }

    fn write_acl(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(acl), Some(from)) = (&self.downloaded_acl, self.last_rekey_from.or(self.server))
        else {
            return Ok(());
        };
        writeln!(f, "\n ACL Downloaded From KS {from}:")?;
        acl.iter()
            .try_for_each(|entry| writeln!(f, "   access-list   {entry}"))
    }

    fn write_keks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kek) = &self.kek else { return Ok(()) };
        writeln!(f, "\nKEK POLICY:")?;
        writeln!(f, "    Rekey Transport Type     : {}", self.transport)?;
        writeln!(
            f,
            "    Lifetime (secs)          : {}",
            kek.remaining_lifetime_s
        )?;
        writeln!(f, "    Encrypt Algorithm        : {}", kek.encryption)?;
        writeln!(f, "    Key Size                 : {}", kek.key_size_bits)?;
        sig_algorithm_line(f, "    Sig Algorithm            : ", &kek.sig_algorithm)?;
        writeln!(f, "    Sig Hash Algorithm       : {}", kek.sig_hash)?;
        writeln!(f, "    Sig Key Length (bits)    : {}", kek.sig_key_bits)
    }

    fn write_teks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.teks.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nTEK POLICY for the current KS-Policy ACEs Downloaded:")?;
        writeln!(f, "  {}:", self.interface)?;
        for (place, tek) in self.teks.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            writeln!(f, "    IPsec SA:")?;
            writeln!(f, "        spi: {}", tek.spi)?;
            writeln!(f, "        transform: {}", tek.transform)?;
            let remaining = tek.remaining_lifetime_s;
            writeln!(
                f,
                "        sa timing:remaining key lifetime (sec): ({remaining})"
            )?;
            writeln!(f, "        {}", tek.replay)?;
            writeln!(f, "        tag method : disabled")?;
            writeln!(
                f,
                "        alg key size: {} (bytes)",
                tek.alg_key_size_octets
            )?;
            writeln!(
                f,
                "        sig key size: {} (bytes)",
                tek.sig_key_size_octets
            )?;
            writeln!(f, "        encaps: ENCAPS_TUNNEL")?;
        }
        Ok(())
    }
}

/// What the list that a group's key server gave is called, as on IOS.
pub(crate) fn acl_name(group: &str) -> String {
    format!("gdoi_group_{group}_temp_acl")
}

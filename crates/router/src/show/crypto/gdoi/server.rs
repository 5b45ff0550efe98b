//! A key server's part of `show crypto gdoi`.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use crypto::key_pair::Kind;
use gdoi::config::RekeyKey;
use gdoi::ks::Serving;
use serde::Serialize;

use super::ks::coop::{coop_version, role_word};
use super::member::Count;
use crate::show::crypto::{Replay, acknowledgement_word};

/// A group that this box serves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// The group.
    pub group: String,
    /// Its identity.
    pub identity: String,
    /// How rekeys travel.
    pub transport: String,
    /// Whether members are served.
    pub is_serving: bool,
    /// Why they are not.
    pub not_serving_because: Option<String>,
    /// How many members are registered.
    pub members: usize,
    /// Every key server of the group.
    pub servers: Vec<Ipv4Addr>,
    /// This key server's address.
    pub local_address: Ipv4Addr,
    /// `local priority`.
    pub local_priority: u8,
    /// This key server's role; nothing when the group has no other.
    pub local_role: Option<&'static str>,
    /// This program's version.
    pub version: String,
    /// The version of what it says to other key servers; nothing when the group has no other.
    pub coop_version: Option<String>,
    /// `rekey lifetime`, seconds.
    pub kek_lifetime_s: u32,
    /// How long the KEK lives on, seconds.
    pub kek_remaining_lifetime_s: Option<u64>,
    /// When its successor is sent, seconds from now.
    pub kek_time_to_rekey_s: Option<u64>,
    /// How acknowledgements are asked for.
    pub acknowledgement: String,
    /// Period of copies in force, seconds.
    pub retransmit_period_s: u64,
    /// Most copies of a rekey.
    pub retransmit_number: u16,
    /// `sa ipsec N`.
    pub sas: Vec<ServerSa>,
    /// The name of the policy in force.
    pub policy: String,
    /// Bits of a sender identifier.
    pub sid_bits: u8,
    /// Sender identifiers that were ever handed out in this epoch.
    pub sids_allocated: u64,
    /// How many this key server may hand out.
    pub sids_capacity: u64,
    /// Refusals, by reason.
    pub refusals: Vec<Count>,
    /// Acknowledgements that were dropped: forged, late or unasked.
    pub unsolicited_acks: u64,
    /// Copies of acknowledgements that had come before.
    pub repeated_acks: u64,
}

/// One `sa ipsec N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerSa {
    /// N.
    pub number: u16,
    /// The profile.
    pub profile: String,
    /// What ESP does, once there is a key.
    pub transform: Option<String>,
    /// The configured lifetime, seconds.
    pub lifetime_s: u32,
    /// How long the newest key lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// When its successor is sent, seconds from now.
    pub time_to_rekey_s: Option<u64>,
    /// How members tell copies, once there is a key.
    pub replay: Option<Replay>,
    /// The access list.
    pub acl: String,
}

/// Why a group is not served, in words.
pub(crate) fn not_serving(serving: &Serving) -> Option<String> {
    match serving {
        Serving::Yes => None,
        Serving::NoRekeyKey { key, other: None } => {
            let RekeyKey { kind, label } = key;
            let how = match kind {
                Kind::Rsa => "rsa",
                Kind::Ec => "ec keysize 256",
            };
            Some(format!(
                "{kind} key {label} not found: crypto key generate {how} label {label}"
            ))
        }
        Serving::NoRekeyKey {
            key,
            other: Some(other),
        } => Some(format!(
            "key {} is {} key, not {} key: rekey authentication mypubkey {} {}",
            key.label,
            other.with_article(),
            key.kind.with_article(),
            other.word(),
            key.label
        )),
        Serving::Incomplete(reason) => Some(reason.clone()),
    }
}

impl Server {
    /// What a key server shows.
    #[must_use]
    pub fn of(ks: &gdoi::ks::View, version: &str) -> Self {
        let kek = ks.keks.first();
        Self {
            group: ks.group.to_string(),
            identity: ks.id.to_string(),
            transport: ks.transport.to_string(),
            is_serving: ks.serving == Serving::Yes,
            not_serving_because: not_serving(&ks.serving),
            members: ks.members.len(),
            servers: ks.servers.iter().map(|(address, _)| *address).collect(),
            local_address: ks.address,
            local_priority: ks.priority,
            local_role: ks.coop.as_ref().map(|coop| role_word(Some(coop.role))),
            version: version.to_owned(),
            coop_version: ks.coop.as_ref().map(|_| coop_version()),
            kek_lifetime_s: ks.kek_lifetime_s,
            kek_remaining_lifetime_s: kek.map(|kek| kek.remaining.as_secs()),
            kek_time_to_rekey_s: kek
                .and_then(|kek| kek.time_to_rekey)
                .map(|span| span.as_secs()),
            acknowledgement: acknowledgement_word(kek.map(|kek| kek.acknowledgement)).to_owned(),
            retransmit_period_s: ks.retransmit_period.as_secs(),
            retransmit_number: ks.retransmit_number,
            sas: ks.sas.iter().map(|sa| ServerSa::of(ks, sa)).collect(),
            policy: ks.policy_name.clone(),
            sid_bits: ks.sids.size.bits(),
            sids_allocated: ks.sids.allocated,
            sids_capacity: ks.sids.capacity,
            refusals: Count::all(&ks.refusals),
            unsolicited_acks: ks.unsolicited_acks,
            repeated_acks: ks.repeated_acks,
        }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        writeln!(
            f,
            "    Group Name               : {} ({})",
            self.group, self.transport
        )?;
        writeln!(f, "    Re-auth on new CRL       : Disabled")?;
        writeln!(f, "    Group Identity           : {}", self.identity)?;
        writeln!(f, "    Group Type               : GDOI (ISAKMP)")?;
        writeln!(f, "    Crypto Path              : ipv4")?;
        writeln!(f, "    Key Management Path      : ipv4")?;
        writeln!(f, "    Group Members            : {}", self.members)?;
        if let Some(reason) = &self.not_serving_because {
            writeln!(f, "    Members are not served   : {reason}")?;
        }
        writeln!(f, "    IPSec SA Direction       : Both")?;
        writeln!(f, "    IP D3P Window            : Disabled")?;
        writeln!(f, "    Split Resiliency Factor  : 0")?;
        writeln!(f, "    CKM status               : Disabled")?;
        self.write_redundancy(f)?;
        self.write_rekey(f)?;
        self.sas.iter().try_for_each(|sa| sa.write(f))?;
        if is_detailed {
            self.write_detail(f)?;
        }
        writeln!(f, "\n     Group Server list       : Local")
    }

    pub(super) fn write_redundancy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redundancy = if self.servers.len() > 1 {
            "Configured"
        } else {
            "None"
        };
        writeln!(f, "    Redundancy               : {redundancy}")?;
        writeln!(f, "        Local Address        : {}", self.local_address)?;
        writeln!(f, "        Local Priority       : {}", self.local_priority)?;
        if let Some(role) = self.local_role {
            writeln!(f, "        Local KS Status      : Alive")?;
            writeln!(f, "        Local KS Role        : {role}")?;
        }
        writeln!(f, "        Local KS Version     : {}", self.version)?;
        if let Some(version) = &self.coop_version {
            writeln!(f, "        Local COOP Version   : {version}")?;
        }
        Ok(())
    }

    fn write_rekey(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "    Group Rekey Lifetime     : {} secs",
            self.kek_lifetime_s
        )?;
        writeln!(f, "    Group Rekey")?;
        let remaining = seconds(self.kek_remaining_lifetime_s);
        writeln!(f, "        Remaining Lifetime   : {remaining}")?;
        writeln!(
            f,
            "        Time to Rekey        : {}",
            seconds(self.kek_time_to_rekey_s)
        )?;
        writeln!(f, "        Acknowledgement Cfg  : {}", self.acknowledgement)?;
        writeln!(
            f,
            "    Rekey Retransmit Period  : {} secs",
            self.retransmit_period_s
        )?;
        writeln!(
            f,
            "    Rekey Retransmit Attempts: {}",
            self.retransmit_number
        )
    }

    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusals: Vec<_> = self
            .refusals
            .iter()
            .map(|c| format!("{} {}", c.name, c.count))
            .collect();
        let refusals = if refusals.is_empty() {
            "none".to_owned()
        } else {
            refusals.join(", ")
        };
        let (allocated, capacity) = (self.sids_allocated, self.sids_capacity);
        writeln!(f, "\n    Particulars")?;
        writeln!(f, "        Policy in force      : {}", self.policy)?;
        writeln!(
            f,
            "        Sender identifiers   : {allocated} of {capacity} ({} bits)",
            self.sid_bits
        )?;
        writeln!(f, "        Refusals             : {refusals}")?;
        writeln!(
            f,
            "        Unsolicited ACKs     : {}",
            self.unsolicited_acks
        )?;
        writeln!(f, "        Repeated ACKs        : {}", self.repeated_acks)
    }
}

fn seconds(span: Option<u64>) -> String {
    span.map_or_else(|| "n/a".to_owned(), |s| format!("{s} secs"))
}

impl ServerSa {
    fn of(ks: &gdoi::ks::View, sa: &gdoi::ks::SaView) -> Self {
        // The newest key is the one whose successor is still to come.
        let tek = ks.teks.iter().find(|tek| tek.sa == sa.number);
        Self {
            number: sa.number,
            profile: sa.profile.clone(),
            transform: tek.map(|tek| tek.transform.show()),
            lifetime_s: sa.lifetime_s,
            remaining_lifetime_s: sa.remaining.as_secs(),
            time_to_rekey_s: tek
                .and_then(|tek| tek.time_to_rekey)
                .as_ref()
                .map(Duration::as_secs),
            replay: tek.map(|tek| Replay::of(tek.transform, sa.tbar_window_s)),
            acl: sa.acl.name.clone(),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, window) = match self.replay {
            Some(Replay::Time { window_s }) => ("Time Based", format!("{window_s} secs")),
            Some(Replay::Counter { window_packets }) => ("Count Based", window_packets.to_string()),
            Some(Replay::None) => ("Disabled", "0".to_owned()),
            None => ("n/a", "n/a".to_owned()),
        };
        writeln!(f, "\n      IPSec SA Number        : {}", self.number)?;
        writeln!(f, "      IPSec SA Rekey Lifetime: {} secs", self.lifetime_s)?;
        writeln!(f, "      Profile Name           : {}", self.profile)?;
        writeln!(f, "      Replay method          : {method}")?;
        writeln!(f, "      Replay Window Size     : {window}")?;
        writeln!(f, "      Tagging method         : Disabled")?;
        writeln!(f, "      SA Rekey")?;
        writeln!(
            f,
            "         Remaining Lifetime  : {} secs",
            self.remaining_lifetime_s
        )?;
        writeln!(
            f,
            "         Time to Rekey       : {}",
            seconds(self.time_to_rekey_s)
        )?;
        writeln!(f, "      ACL Configured         : access-list {}", self.acl)
    }
}

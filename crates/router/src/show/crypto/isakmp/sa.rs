//! `show crypto isakmp sa [detail]`: phase-1 SAs, and the Rekey SAs that came out of them.

use std::fmt;
use std::net::Ipv4Addr;

use gdoi::config::{IsakmpCipher, IsakmpHash};
use gdoi::ike::Row;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::show::crypto::hours;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto isakmp sa [ detail ]",
        help: &[
            ("show", "Show running system information"),
            ("isakmp", "Show ISAKMP"),
            ("sa", "Show ISAKMP security associations"),
            ("detail", "Show in detail"),
        ],
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Rekey SAs of this box's memberships first, then phase 1, newest first.
    pub sas: Vec<Sa>,
    /// Negotiations that peers began and that are not done.
    pub half_open: usize,
    /// SAs established since the start.
    pub established: u64,
    /// Negotiations of ours that failed since the start.
    pub failed: u64,
    /// Messages that left again because no answer came.
    pub retransmitted: u64,
    /// Datagrams that came to port 848.
    pub received: u64,
    /// Copies of messages that had been processed.
    pub duplicates: u64,
    /// Parts of messages whose other parts had not come.
    pub parts: u64,
    /// Informational messages in clear, which change nothing.
    pub clear_notifies: u64,
    /// Why messages were refused since the start, those reasons that happened.
    pub refusals: Vec<Refused>,
    /// The last negotiations of ours that failed, oldest first.
    pub failures: Vec<Failed>,
    /// Whether the text has everything.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// One SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sa {
    /// The responder; of a Rekey SA the member.
    pub destination: Ipv4Addr,
    /// The initiator; of a Rekey SA the key server.
    pub source: Ipv4Addr,
    /// This box's address.
    pub local: Ipv4Addr,
    /// The other end's.
    pub remote: Ipv4Addr,
    /// In the words of IOS.
    pub state: String,
    /// Its number; 0 before it is established.
    pub conn_id: u32,
    /// What was negotiated, once it was.
    pub agreed: Option<Agreed>,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: Option<u64>,
    /// The version that the peer claims.
    pub peer_version: Option<String>,
    /// Whether the peer proved to be a getvpn.
    pub is_kin: bool,
    /// Whether dead peers are looked for.
    pub has_dpd: bool,
}

/// What was negotiated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreed {
    /// The cipher.
    pub encryption: &'static str,
    /// The hash.
    pub hash: &'static str,
    /// The Diffie-Hellman group.
    pub dh_group: u16,
    /// The lifetime, seconds.
    pub lifetime_s: u32,
}

/// A reason and how often it led to a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The reason.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// A negotiation of ours that ended without an SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// With whom.
    pub peer: Ipv4Addr,
    /// How long ago, seconds.
    pub ago_s: u64,
    /// Why.
    pub reason: String,
}

const fn cipher(cipher: IsakmpCipher) -> &'static str {
    match cipher {
        IsakmpCipher::TripleDes => "3des",
        IsakmpCipher::Aes128 => "aes128",
        IsakmpCipher::Aes192 => "aes192",
        IsakmpCipher::Aes256 => "aes256",
    }
}

const fn hash(hash: IsakmpHash) -> &'static str {
    match hash {
        IsakmpHash::Sha1 => "sha",
        IsakmpHash::Sha256 => "sha256",
        IsakmpHash::Sha384 => "sha384",
        IsakmpHash::Sha512 => "sha512",
    }
}

impl Sa {
    fn of(context: &Context<'_>, row: &Row) -> Self {
        let local = if row.peer == row.destination {
            row.source
        } else {
            row.destination
        };
        Self {
            destination: row.destination,
            source: row.source,
            local,
            remote: row.peer,
            state: row.state.name().to_owned(),
            conn_id: row.conn_id,
            agreed: row.agreed.as_ref().map(|agreed| Agreed {
                encryption: cipher(agreed.encryption),
                hash: hash(agreed.hash),
                dh_group: agreed.group,
                lifetime_s: agreed.lifetime_s,
            }),
            remaining_lifetime_s: row.expires.map(|at| context.now.until(at).as_secs()),
            peer_version: row.peer_version.map(|version| version.to_string()),
            is_kin: row.kin,
            has_dpd: context.target.gdoi.isakmp.keepalive_s > 0,
        }
    }

    fn of_kek(kek: &gdoi::gm::KekView, is_kin: bool) -> Self {
        Self {
            destination: kek.destination,
            source: kek.source,
            local: kek.destination,
            remote: kek.source,
            state: "GDOI_REKEY".to_owned(),
            conn_id: kek.conn_id,
            agreed: None,
            remaining_lifetime_s: Some(kek.remaining.as_secs()),
            peer_version: None,
            is_kin,
            has_dpd: false,
        }
    }
}

/// The SAs of the box.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let phase_1 = context.machines.isakmp();
    let members = context.machines.members();
    let rekey = members.iter().flat_map(|gm| {
        let is_kin = gm.server_kind == Some(policy::PeerKind::Ours);
        let held = [&gm.keks.new, &gm.keks.current];
        held.into_iter()
            .flatten()
            .map(move |kek| Sa::of_kek(kek, is_kin))
    });
    let counters = &phase_1.counters;
    let strays = phase_1.strays.iter().copied();
    let refused = counters.refusals().chain(strays);
    let refused = refused.filter(|(_, count)| *count > 0);
    View {
        sas: rekey
            .chain(phase_1.rows.iter().map(|row| Sa::of(context, row)))
            .collect(),
        half_open: phase_1.half_open,
        established: counters.established,
        failed: counters.failed,
        retransmitted: counters.retransmitted,
        received: counters.received,
        duplicates: counters.duplicates,
        parts: counters.parts,
        clear_notifies: counters.clear_notifies,
        refusals: refused
            .map(|(reason, count)| Refused { reason, count })
            .collect(),
        failures: phase_1
            .ended
            .iter()
            .map(|ended| Failed {
                peer: ended.peer,
                ago_s: context.now.since(ended.at).as_secs(),
                reason: ended.reason.to_string(),
            })
            .collect(),
        is_detailed: line.has("detail"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_detailed {
            return self.write_detail(f);
        }
        writeln!(f, "IPv4 Crypto ISAKMP SA")?;
        writeln!(
            f,
            "dst             src             state          conn-id status"
        )?;
        for sa in &self.sas {
            let (dst, src, state) = (sa.destination, sa.source, &sa.state);
            writeln!(f, "{dst:<16}{src:<16}{state:<15}{:>7} ACTIVE", sa.conn_id)?;
        }
        writeln!(f, "\nIPv6 Crypto ISAKMP SA")
    }
}

impl View {
    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "Codes: C - IKE configuration mode, D - Dead Peer Detection\n       \
             K - Keepalives, N - NAT-traversal\n       \
             T - cTCP encapsulation, X - IKE Extended Authentication\n       \
             psk - Preshared key, rsig - RSA signature\n       \
             renc - RSA encryption\n\
             IPv4 Crypto ISAKMP SA\n\n\
             C-id  Local           Remote          I-VRF  Status Encr   Hash   Auth DH Lifetime \
             Cap.\n\n",
        )?;
        for sa in self.sas.iter().filter(|sa| sa.state != "GDOI_REKEY") {
            sa.write_detail(f)?;
        }
        writeln!(f, "IPv6 Crypto ISAKMP SA")?;
        writeln!(f, "\nHalf-open negotiations: {}", self.half_open)?;
        writeln!(
            f,
            "Established: {}, failed: {}",
            self.established, self.failed
        )?;
        writeln!(f, "Messages sent again: {}", self.retransmitted)?;
        writeln!(
            f,
            "Datagrams received: {}, copies: {}, parts that wait: {}, informational in clear: {}",
            self.received, self.duplicates, self.parts, self.clear_notifies
        )?;
        for refused in &self.refusals {
            writeln!(f, "Refused ({}): {}", refused.reason, refused.count)?;
        }
        for failed in &self.failures {
            let (peer, ago, reason) = (failed.peer, failed.ago_s, &failed.reason);
            writeln!(f, "Failed with {peer}, {ago} s ago: {reason}")?;
        }
        Ok(())
    }
}

impl Sa {
    fn write_detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (encryption, hash, group) = self.agreed.as_ref().map_or(("-", "-", 0), |agreed| {
            (agreed.encryption, agreed.hash, agreed.dh_group)
        });
        let lifetime = self.remaining_lifetime_s.map_or_else(
            || "-".to_owned(),
            |s| hours(std::time::Duration::from_secs(s)),
        );
        let capabilities = if self.has_dpd { "D" } else { "-" };
        writeln!(
            f,
            "{:<5} {:<15} {:<15} {:<6} ACTIVE {encryption:<6} {hash:<6} psk  {group:<2} \
             {lifetime:<8} {capabilities}",
            self.conn_id, self.local, self.remote, "",
        )?;
        writeln!(f, "       Engine-id:Conn-id =  SW:{}\n", self.conn_id)
    }
}

//! `show crypto gdoi ks rekey`: were rekeys sent, and were copies needed (mission rows 76, 77).

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use policy::PeerKind;
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks rekey",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
}

/// The rekeys of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// How rekeys travel.
    pub transport: String,
    /// The multicast address that rekeys go to.
    pub multicast_address: Option<Ipv4Addr>,
    /// Members that were asked to acknowledge the last multicast rekey and have not (yet).
    pub unacknowledged: Vec<Ipv4Addr>,
    /// Rekeys sent since the group began.
    pub rekeys_sent: u64,
    /// Copies sent since the group began.
    pub rekeys_retransmitted: u64,
    /// How long ago the last rekey left, seconds.
    pub last_rekey_ago_s: Option<u64>,
    /// `rekey lifetime`, seconds.
    pub kek_lifetime_s: u32,
    /// How long the KEK lives on, seconds.
    pub kek_remaining_lifetime_s: u64,
    /// When its successor is sent, seconds from now.
    pub kek_time_to_rekey_s: Option<u64>,
    /// Period of copies as configured, seconds.
    pub retransmit_period_s: u16,
    /// Period of copies in force, shorter for short lifetimes.
    pub retransmit_period_in_force_ms: u64,
    /// Most copies of a rekey.
    pub retransmit_number: u16,
    /// `sa ipsec N`.
    pub sas: Vec<Sa>,
}

/// One `sa ipsec N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sa {
    /// N.
    pub number: u16,
    /// The configured lifetime, seconds.
    pub lifetime_s: u32,
    /// How long the newest key lives on, seconds.
    pub remaining_lifetime_s: u64,
}

impl Group {
    fn of(ks: &gdoi::ks::View) -> Self {
        let kek = ks.keks.first();
        Self {
            group: ks.group.to_string(),
            transport: ks.transport.to_string(),
            multicast_address: kek.and_then(|kek| kek.destination),
            unacknowledged: unacknowledged(ks),
            rekeys_sent: ks.rekeys_sent,
            rekeys_retransmitted: ks.rekeys_retransmitted,
            last_rekey_ago_s: ks.last_rekey_ago.as_ref().map(Duration::as_secs),
            kek_lifetime_s: ks.kek_lifetime_s,
            kek_remaining_lifetime_s: kek.map_or(0, |kek| kek.remaining.as_secs()),
            kek_time_to_rekey_s: kek
                .and_then(|kek| kek.time_to_rekey)
                .map(|span| span.as_secs()),
            retransmit_period_s: ks.retransmit_period_s,
            retransmit_period_in_force_ms: crate::show::crypto::milliseconds(ks.retransmit_period),
            retransmit_number: ks.retransmit_number,
            sas: ks
                .sas
                .iter()
                .map(|sa| Sa {
                    number: sa.number,
                    lifetime_s: sa.lifetime_s,
                    remaining_lifetime_s: sa.remaining.as_secs(),
                })
                .collect(),
        }
    }
}

/// The members that a multicast rekey may not have reached.
fn unacknowledged(ks: &gdoi::ks::View) -> Vec<Ipv4Addr> {
    let asked = |kind: PeerKind| {
        let kek = ks.keks.iter().find(|kek| kek.kind == kind);
        kek.is_some_and(|kek| kek.destination.is_some() && kek.acknowledgement != 0)
    };
    let behind = ks.members.iter().filter(|member| {
        asked(member.kind) && !member.received_seqs.contains(&member.sent_seqs[0])
    });
    behind.map(|member| member.address).collect()
}

/// The rekeys of every group.
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
        for (place, group) in self.groups.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            group.write(f)?;
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Group {} ({})", self.group, self.transport)?;
        writeln!(
            f,
            "    Number of Rekeys sent               : {}",
            self.rekeys_sent
        )?;
        writeln!(
            f,
            "    Number of Rekeys retransmitted      : {}",
            self.rekeys_retransmitted
        )?;
        writeln!(
            f,
            "    KEK rekey lifetime (sec)            : {}",
            self.kek_lifetime_s
        )?;
        let remaining = self.kek_remaining_lifetime_s;
        writeln!(f, "        Remaining lifetime (sec)        : {remaining}")?;
        writeln!(
            f,
            "    Retransmit period                   : {}",
            self.retransmit_period_s
        )?;
        writeln!(
            f,
            "    Number of retransmissions           : {}",
            self.retransmit_number
        )?;
        if let Some(address) = self.multicast_address {
            writeln!(f, "    Multicast destination address       : {address}")?;
            let members: Vec<_> = self
                .unacknowledged
                .iter()
                .map(Ipv4Addr::to_string)
                .collect();
            let members = if members.is_empty() {
                "none".to_owned()
            } else {
                members.join(", ")
            };
            writeln!(f, "    Members without acknowledgement     : {members}")?;
        }
        for sa in &self.sas {
            let label = format!("IPSec SA {}  lifetime (sec)", sa.number);
            writeln!(f, "    {label:<36}: {}", sa.lifetime_s)?;
            writeln!(
                f,
                "        Remaining lifetime (sec)        : {}",
                sa.remaining_lifetime_s
            )?;
        }
        Ok(())
    }
}

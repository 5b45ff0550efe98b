//! `show crypto gdoi ks members [A.B.C.D | summary]`: the first place to look when rekeys fail
//! (mission row 78).

use std::fmt;
use std::net::Ipv4Addr;

use gdoi::ks::MemberState;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::show::crypto::gdoi::{HELP, addresses};
use crate::show::crypto::{milliseconds, seconds_until};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks members [ <member:A.B.C.D> | summary ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| {
        let view = view(context, line);
        match line.address("member") {
            Ok(member) if view.groups.iter().all(|group| group.members.is_empty()) => {
                Err(Refusal::new(format!("% {member} is not registered here")))
            }
            Ok(_) | Err(_) => Page::of(&view),
        }
    },
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
    /// Whether the text has one line per member.
    #[serde(skip)]
    pub is_summary: bool,
}

/// The members of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its identity.
    pub identity: String,
    /// This key server.
    pub server: Ipv4Addr,
    /// Rekeys sent since the group began.
    pub rekeys_sent: u64,
    /// Copies in the last rekey.
    pub last_rekey_retransmits: u32,
    /// From the first copy of the last rekey to the last acknowledgement, or to giving up.
    pub last_rekey_duration_ms: u64,
    /// The members in order of address.
    pub members: Vec<Member>,
    /// Members that were removed by name: every key server refuses them.
    pub removed: Vec<Removed>,
    /// Configured key servers that are not known to have written the removal down: it is partial.
    pub removal_unknown_to: Vec<Ipv4Addr>,
    /// Until the keys of before a removal are sent on no more, seconds.
    pub old_keys_end_in_s: Option<u64>,
}

/// A member that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Its address.
    pub address: Ipv4Addr,
    /// How long ago, seconds.
    pub removed_ago_s: u64,
}

/// A registered member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its address.
    pub address: Ipv4Addr,
    /// What it proved to be.
    pub kind: String,
    /// Its version, unless it said none.
    pub version: Option<String>,
    /// The key server where it registered.
    pub key_server: Ipv4Addr,
    /// How long ago it registered last, seconds; nothing if that was before the program started.
    pub registered_ago_s: Option<u64>,
    /// Rekeys sent to it, copies not counted.
    pub rekeys_sent: u64,
    /// Copies sent to it.
    pub rekeys_retries: u64,
    /// Acknowledgements received from it.
    pub acks_received: u64,
    /// Rekeys that it never acknowledged.
    pub acks_missed: u64,
    /// Sequence numbers of the last four rekeys, newest first.
    pub sent_seqs: [u32; 4],
    /// Sequence numbers of its last four acknowledgements, newest first.
    pub received_seqs: [u32; 4],
    /// Whether it said that it does not hold the policy in force yet.
    pub is_policy_behind: bool,
    /// How many sender identifiers it holds.
    pub sids: usize,
    /// How it stands: `Registered`, `Reregistering` after a removal, or `Stale`.
    pub state: &'static str,
}

impl Member {
    fn of(member: &gdoi::ks::MemberView) -> Self {
        Self {
            address: member.address,
            kind: member.kind.to_string(),
            version: member.version.clone(),
            key_server: member.key_server,
            registered_ago_s: member.registered_ago.map(|span| span.as_secs()),
            rekeys_sent: member.rekeys_sent,
            rekeys_retries: member.rekeys_retries,
            acks_received: member.acks_received,
            acks_missed: member.acks_missed,
            sent_seqs: member.sent_seqs,
            received_seqs: member.received_seqs,
            is_policy_behind: member.policy_behind,
            sids: member.sids,
            state: state_word(member.state),
        }
    }

    /// Parsers take digits and dots only: a member that said no version has 0.0.0.
    fn version_text(&self) -> &str {
        self.version.as_deref().unwrap_or("0.0.0")
    }
}

/// How a member stands, in the one word that parsers of the text expect.
const fn state_word(state: MemberState) -> &'static str {
    match state {
        MemberState::Registered => "Registered",
        MemberState::ToRegisterAgain => "Reregistering",
        MemberState::Stale(_) => "Stale",
    }
}

impl Group {
    fn of(ks: &gdoi::ks::View, asked: Option<Ipv4Addr>) -> Self {
        let is_asked = |address| asked.is_none_or(|asked| asked == address);
        Self {
            group: ks.group.to_string(),
            identity: ks.id.to_string(),
            server: ks.address,
            rekeys_sent: ks.rekeys_sent,
            last_rekey_retransmits: ks.last_rekey_retransmits,
            last_rekey_duration_ms: milliseconds(ks.last_rekey_duration),
            removed: ks
                .removal
                .removed
                .iter()
                .map(|(address, ago)| Removed {
                    address: *address,
                    removed_ago_s: ago.as_secs(),
                })
                .collect(),
            removal_unknown_to: ks.removal.lacking.clone(),
            old_keys_end_in_s: ks.removal.keys_end_in.map(seconds_until),
            members: ks
                .members
                .iter()
                .filter(|member| is_asked(member.address))
                .map(Member::of)
                .collect(),
        }
    }
}

/// The members of every group, or the one that the line names.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let asked = line.address("member").ok();
    let servers = context.machines.key_servers();
    let groups = servers.iter().map(|ks| Group::of(ks, asked));
    View {
        groups: groups.collect(),
        is_summary: line.has("summary"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return Ok(());
        }
        writeln!(f, "Group Member Information :")?;
        for group in &self.groups {
            writeln!(f)?;
            if self.is_summary {
                group.write_summary(f)?;
            } else {
                group.write(f)?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.group;
        writeln!(
            f,
            "Number of rekeys sent for group {name} : {}",
            self.rekeys_sent
        )?;
        let retransmits = self.last_rekey_retransmits;
        writeln!(
            f,
            "Number of retransmits during the last rekey for group {name} : {retransmits}"
        )?;
        let duration = self.last_rekey_duration_ms;
        writeln!(
            f,
            "Duration of the last rekey for group {name} : {duration} msec"
        )?;
        for member in &self.members {
            writeln!(f)?;
            self.write_member(f, member)?;
        }
        self.write_removal(f)
    }

    fn write_removal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seconds) = self.old_keys_end_in_s {
            let name = &self.group;
            writeln!(f, "\nOld keys of group {name} end in : {seconds} sec")?;
        }
        if !self.removed.is_empty() {
            writeln!(f, "\nRemoved members of group {} :", self.group)?;
        }
        for removed in &self.removed {
            let (address, ago) = (removed.address, removed.removed_ago_s);
            writeln!(f, "  {address:<17}removed {ago} sec ago")?;
        }
        if !self.removal_unknown_to.is_empty() {
            let servers = addresses(&self.removal_unknown_to);
            writeln!(f, "  Removal is partial: not yet known to KS {servers}")?;
        }
        Ok(())
    }

    fn write_member(&self, f: &mut fmt::Formatter<'_>, member: &Member) -> fmt::Result {
        let version = member.version_text();
        writeln!(
            f,
            "Group Member ID    : {}  GM Version: {version}",
            member.address
        )?;
        writeln!(f, " Group ID          : {}", self.identity)?;
        writeln!(f, " Group Name        : {}", self.group)?;
        writeln!(f, " Group Type        : GDOI (ISAKMP)")?;
        writeln!(f, " GM State          : {}", member.state)?;
        writeln!(f, " Key Server ID     : {}", member.key_server)?;
        writeln!(f, " Rekeys sent       : {}", member.rekeys_sent)?;
        writeln!(f, " Rekeys retries    : {}", member.rekeys_retries)?;
        writeln!(f, " Rekey Acks Rcvd   : {}", member.acks_received)?;
        writeln!(f, " Rekey Acks missed : {}", member.acks_missed)?;
        if member.is_policy_behind {
            writeln!(f, " Policy            : not the one in force yet")?;
        }
        writeln!(f)?;
        for (what, seqs) in [("Sent", member.sent_seqs), ("Rcvd", member.received_seqs)] {
            let [a, b, c, d] = seqs;
            writeln!(f, " {what} seq num : {a:<6}{b:<6}{c:<6}{d}")?;
        }
        Ok(())
    }

    fn write_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, id, count) = (&self.group, &self.identity, self.members.len());
        writeln!(f, "Group Name: {name}, ID: {id}, Group Members: {count}")?;
        let mut servers: Vec<_> = self
            .members
            .iter()
            .map(|member| member.key_server)
            .collect();
        servers.push(self.server);
        servers.sort_unstable();
        servers.dedup();
        for server in servers {
            let state = if server == self.server {
                "LOCAL"
            } else {
                "REDUNDANT"
            };
            let of_server = self
                .members
                .iter()
                .filter(|member| member.key_server == server);
            let count = of_server.clone().count();
            writeln!(
                f,
                "  Key Server ID: {server}, GMDB state: {state}, Group Members: {count}"
            )?;
            writeln!(
                f,
                "  Member ID        Version      Rekey sent      Rekey Ack missed"
            )?;
            for member in of_server {
                let version = member.version_text();
                let (sent, missed) = (member.rekeys_sent, member.acks_missed);
                writeln!(f, "  {:<17}{version:<15}{sent:<16}{missed}", member.address)?;
            }
        }
        Ok(())
    }
}

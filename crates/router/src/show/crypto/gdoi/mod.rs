//! `show crypto gdoi [group G] [detail]`: everything about the groups of this box.
//!
//! A member's part comes first, then a key server's. `detail` adds what IOS does not know: the
//! policy's name, refusals, sender identifiers.

use std::fmt;
use std::net::Ipv4Addr;

use policy::{SigHash, Signature};
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::show::{Context, Page, Show};

pub mod feature;
pub mod gm;
pub mod ipsec;
pub mod ks;
mod member;
pub mod rekey;
mod server;

pub(crate) use member::acl_name;
pub use member::{Count, Kek, Member, Tek};
pub use server::{Server, ServerSa};

/// The line that names what rekeys are signed with. IOS has none, since it knows RSA alone: there is
/// one for anything else only.
fn sig_algorithm_line(f: &mut fmt::Formatter<'_>, label: &str, algorithm: &str) -> fmt::Result {
    let rsa = Signature::Rsa(SigHash::default()).to_string();
    if algorithm == rsa {
        return Ok(());
    }
    writeln!(f, "{label}{algorithm}")
}

pub(crate) const HELP: &[(&str, &str)] = &[
    ("show", "Show running system information"),
    ("gdoi", "Show GDOI group information"),
    ("gkm", "Show GDOI group information"),
    ("group", "Show one group"),
    ("detail", "Show in detail"),
    ("gm", "Show the group member's side"),
    ("ks", "Show the key server's side"),
    ("acl", "Show the access lists of the policy"),
    ("download", "Show the list that the key server gave"),
    ("local", "Show the list that is configured here"),
    ("pubkey", "Show the public key that rekeys verify with"),
    ("dataplane", "Show the packet path"),
    ("counter", "Show counters"),
    ("rekey", "Show rekeys"),
    ("sa", "Show security associations"),
    ("ipsec", "Show IPsec SAs"),
    ("policy", "Show the policy and its keys"),
    ("members", "Show registered members"),
    ("summary", "Show one line per member"),
    ("coop", "Show the cooperative key servers"),
    ("version", "Show the versions of key servers"),
    ("identifier", "Show sender identifiers"),
    (
        "config-diff",
        "Show what key servers have configured differently",
    ),
    ("feature", "Show which devices of a group have a feature"),
    ("ckm", "CKM"),
    ("crl-check", "Certificate Revocation List Checking"),
    ("cts-sgt", "Cisco Trusted Security SGT Inline Tagging"),
    (
        "dp-recovery",
        "Recovery of Group Members from data plane errors",
    ),
    ("gdoi-interop-ack", "Rekey acknowledgement of RFC 8263"),
    ("gdoi-mib", "CISCO-GDOI-MIB"),
    ("gikev2", "G-IKEv2"),
    ("gm-removal", "Removal of Group Members"),
    ("ip-d3p", "IP Delivery Delay Detection Protocol"),
    ("long-sa-lifetime", "Lifetimes of more than a day"),
    ("pfs", "Perfect Forward Secrecy"),
    ("policy-replace", "Replacement of the policy"),
    ("suite-b", "Suite-B: GCM and GMAC with sender identifiers"),
    ("<member>", "Address of a member"),
    ("<group>", "Group name"),
];

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) [ group <group:WORD> ] [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| {
        let view = view(context, line);
        if let Ok(group) = line.word("group")
            && view.members.is_empty()
            && view.key_servers.is_empty()
        {
            return Err(unknown(context, group));
        }
        Page::of(&view)
    },
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Groups that this box is a member of.
    pub members: Vec<Member>,
    /// Groups that this box serves.
    pub key_servers: Vec<Server>,
    /// Configured groups that it is no member of and does not serve. The text names them, and what
    /// they lack, when there is nothing else to show.
    pub unused_groups: Vec<String>,
    /// Whether the text has the details, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// The groups of the box, or the one that the line names.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let asked = line.word("group").ok();
    let is_asked = |group: &str| asked.is_none_or(|asked| asked == group);
    let members = context.machines.members();
    let servers = context.machines.key_servers();
    let is_used = |group: &str| {
        members.iter().any(|gm| gm.group.as_str() == group)
            || servers.iter().any(|ks| ks.group.as_str() == group)
    };
    let configured = context.config.groups.keys();
    View {
        members: members
            .iter()
            .filter(|gm| is_asked(gm.group.as_str()))
            .map(|gm| Member::of(gm, context.version))
            .collect(),
        key_servers: servers
            .iter()
            .filter(|ks| is_asked(ks.group.as_str()))
            .map(|ks| Server::of(ks, context.version))
            .collect(),
        unused_groups: configured
            .filter(|group| is_asked(group) && !is_used(group))
            .cloned()
            .collect(),
        is_detailed: line.has("detail"),
    }
}

/// Addresses in a line.
pub(crate) fn addresses(addresses: &[Ipv4Addr]) -> String {
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// A named group that has nothing to show.
pub(crate) fn unknown(context: &Context<'_>, group: &str) -> Refusal {
    if context.config.groups.contains_key(group) {
        Refusal::new(unused(group))
    } else {
        Refusal::new(format!("% group {group} doesn't yet exist."))
    }
}

/// What a configured group lacks.
fn unused(group: &str) -> String {
    format!(
        "% group {group} is configured, but not in use: a member needs it in the crypto map of an \
         interface, a key server needs a complete `server local`"
    )
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.members.is_empty() && self.key_servers.is_empty() {
            let mut groups = self.unused_groups.iter();
            return groups.try_for_each(|group| writeln!(f, "{}", unused(group)));
        }
        f.write_str("GROUP INFORMATION\n")?;
        for member in &self.members {
            f.write_str("\n")?;
            member.write(f, self.is_detailed)?;
        }
        for server in &self.key_servers {
            f.write_str("\n")?;
            server.write(f, self.is_detailed)?;
        }
        Ok(())
    }
}

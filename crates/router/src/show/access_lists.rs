//! `show access-lists [N]`: the lists of the configuration and those that key servers gave, with
//! how often their lines decided.
//!
//! Only lists that the packet path searches have matches: a member's own and a downloaded one.

use std::fmt;

use policy::{Ace, Action, AddressMatch};
use serde::Serialize;

use super::crypto::gdoi::acl_name;
use super::{Context, Page, Show};
use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::config::ip::access_list::Kind;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show access-lists [ <list:WORD> ]",
        help: &[
            ("show", "Show running system information"),
            ("access-lists", "List access lists"),
            ("<list>", "Access list name or number"),
        ],
    },
    is_privileged: false,
    run: |context, line| {
        let view = view(context, line);
        match line.word("list") {
            Ok(list) if view.access_lists.is_empty() => {
                Err(Refusal::new(format!("% There is no access list {list}")))
            }
            Ok(_) | Err(_) => Page::of(&view),
        }
    },
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The lists.
    pub access_lists: Vec<List>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// Its name or number.
    pub access_list: String,
    /// `standard` or `extended`.
    pub kind: &'static str,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its sequence number.
    pub sequence: u32,
    /// The entry as it is configured.
    pub entry: String,
    /// Packets that it decided about, in both directions.
    pub matches: u64,
}

/// The lists of the box, or the one that the line names.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let asked = line.word("list").ok();
    let hits = policies(context);
    let configured = context.config.access_lists.iter().map(|(name, list)| {
        let local = hits.iter().find(|own| own.local.as_deref() == Some(name));
        List {
            access_list: name.clone(),
            kind: match list.kind {
                Kind::Standard => "standard",
                Kind::Extended => "extended",
            },
            entries: list
                .aces()
                .enumerate()
                .map(|(place, (sequence, ace))| Entry {
                    sequence,
                    entry: match list.kind {
                        Kind::Standard => standard(ace),
                        Kind::Extended => ace.to_string(),
                    },
                    matches: local.map_or(0, |own| own.matches(place)),
                })
                .collect(),
        }
    });
    let downloaded = hits.iter().map(Policy::list);
    View {
        access_lists: configured
            .chain(downloaded)
            .filter(|list| asked.is_none_or(|asked| asked == list.access_list))
            .collect(),
    }
}

/// A group's policy in force: the member's own lines, then the key server's.
struct Policy {
    group: String,
    local: Option<String>,
    local_len: usize,
    entries: Vec<Ace>,
    matches: Vec<u64>,
}

fn policies(context: &Context<'_>) -> Vec<Policy> {
    let members = context.machines.members();
    let known = members.iter().filter_map(|gm| {
        let merged = gm.merged_acl.as_ref()?;
        let downloaded = gm.downloaded_acl.as_ref()?;
        let lines = context.machines.traffic(&gm.interface, &gm.group).lines;
        Some(Policy {
            group: gm.group.to_string(),
            local: gm.local_acl.as_ref().map(|acl| acl.name.clone()),
            local_len: merged
                .entries
                .len()
                .saturating_sub(downloaded.entries.len()),
            entries: downloaded.entries.clone(),
            matches: lines
                .iter()
                .map(|hits| hits.outbound + hits.inbound)
                .collect(),
        })
    });
    known.collect()
}

impl Policy {
    fn matches(&self, place: usize) -> u64 {
        self.matches.get(place).copied().unwrap_or(0)
    }

    fn list(&self) -> List {
        let numbered = (1..).zip(&self.entries).enumerate();
        List {
            access_list: acl_name(&self.group),
            kind: "extended",
            entries: numbered
                .map(|(place, (number, ace))| Entry {
                    sequence: number * 10,
                    entry: ace.to_string(),
                    matches: self.matches(self.local_len + place),
                })
                .collect(),
        }
    }
}

/// `permit 10.1.20.2`, `deny   10.1.0.0, wildcard bits 0.0.255.255`.
fn standard(ace: &Ace) -> String {
    let action = match ace.action {
        Action::Permit => "permit",
        Action::Deny => "deny  ",
    };
    match &ace.source {
        AddressMatch::V4 { address, wildcard } if wildcard.is_unspecified() => {
            format!("{action} {address}")
        }
        AddressMatch::V4 { address, wildcard } => {
            format!("{action} {address}, wildcard bits {wildcard}")
        }
        other @ (AddressMatch::Any | AddressMatch::V6 { .. }) => format!("{action} {other}"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for list in &self.access_lists {
            let kind = if list.kind == "standard" {
                "Standard"
            } else {
                "Extended"
            };
            writeln!(f, "{kind} IP access list {}", list.access_list)?;
            for Entry {
                sequence,
                entry,
                matches,
            } in &list.entries
            {
                match matches {
                    0 => writeln!(f, "    {sequence} {entry}")?,
                    1 => writeln!(f, "    {sequence} {entry} (1 match)")?,
                    n => writeln!(f, "    {sequence} {entry} ({n} matches)")?,
                }
            }
        }
        Ok(())
    }
}

//! `show crypto gdoi ks acl`: what the policy encrypts, as members get it.

use std::fmt;

use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks acl",
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

/// The lists of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// The lists in the order of their `sa ipsec`.
    pub acls: Vec<List>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// The number of its `sa ipsec`.
    pub sa: u16,
    /// Its name.
    pub acl: String,
    /// Its entries.
    pub entries: Vec<String>,
}

/// The lists of every group.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let servers = context.machines.key_servers();
    let groups = servers.iter().map(|ks| Group {
        group: ks.group.to_string(),
        acls: ks
            .sas
            .iter()
            .map(|sa| List {
                sa: sa.number,
                acl: sa.acl.name.clone(),
                entries: sa
                    .acl
                    .entries
                    .iter()
                    .map(policy::Ace::show_member)
                    .collect(),
            })
            .collect(),
    });
    View {
        groups: groups.collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            writeln!(f, "Group Name: {}", group.group)?;
            writeln!(f, " Configured ACL:")?;
            for list in &group.acls {
                for entry in &list.entries {
                    writeln!(f, "   access-list {}  {entry}", list.acl)?;
                }
            }
        }
        Ok(())
    }
}

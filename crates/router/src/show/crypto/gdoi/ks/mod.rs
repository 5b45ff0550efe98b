//! `show crypto gdoi ks`: the groups that this box serves, in short.

use std::fmt;

use serde::Serialize;

use super::{HELP, Server};
use crate::cli::grammar::Syntax;
use crate::show::{Context, Page, Show};

pub mod acl;
pub mod members;
pub mod policy;
pub mod rekey;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Members of all groups.
    pub members: usize,
    /// The groups.
    pub groups: Vec<Server>,
}

/// The groups that the box serves.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let servers = context.machines.key_servers();
    View {
        members: servers.iter().map(|ks| ks.members.len()).sum(),
        groups: servers
            .iter()
            .map(|ks| Server::of(ks, context.version))
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "Total group members registered to this box: {}",
            self.members
        )?;
        for group in &self.groups {
            writeln!(f, "\nKey Server Information For Group {}:", group.group)?;
            writeln!(f, "    Group Name               : {}", group.group)?;
            writeln!(f, "    Re-auth on new CRL       : Disabled")?;
            writeln!(f, "    Group Identity           : {}", group.identity)?;
            writeln!(f, "    Group Type               : GDOI (ISAKMP)")?;
            writeln!(f, "    Group Members            : {}", group.members)?;
            if let Some(reason) = &group.not_serving_because {
                writeln!(f, "    Members are not served   : {reason}")?;
            }
            writeln!(
                f,
                "    Rekey Acknowledgement Cfg: {}",
                group.acknowledgement
            )?;
            writeln!(f, "    IPSec SA Direction       : Both")?;
            writeln!(f, "    IP D3P Window            : Disabled")?;
            writeln!(f, "    Split Resiliency Factor  : 0")?;
            writeln!(f, "    CKM status               : Disabled")?;
            writeln!(f, "    ACL Configured:")?;
            for sa in &group.sas {
                writeln!(f, "        access-list {}", sa.acl)?;
            }
        }
        Ok(())
    }
}

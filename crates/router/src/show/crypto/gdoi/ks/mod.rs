//! `show crypto gdoi ks [detail]`: the groups that this box serves, in short.

use std::fmt;

use serde::Serialize;

use super::{HELP, Server};
use crate::cli::grammar::Syntax;
use crate::show::{Context, Page, Show};

pub mod acl;
pub mod coop;
pub mod members;
pub mod policy;
pub mod rekey;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line.has("detail"))),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// Members of all groups that registered with this box.
    pub members: usize,
    /// The groups.
    pub groups: Vec<Server>,
    /// Whether the text has the roles of cooperating key servers, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// The groups that the box serves.
#[must_use]
pub fn view(context: &Context<'_>, is_detailed: bool) -> View {
    let servers = context.machines.key_servers();
    let registered_here = |ks: &gdoi::ks::View| {
        let members = ks.members.iter();
        members.filter(|own| own.key_server == ks.address).count()
    };
    View {
        members: servers.iter().map(registered_here).sum(),
        is_detailed,
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
            if self.is_detailed {
                group.write_redundancy(f)?;
            }
        }
        Ok(())
    }
}

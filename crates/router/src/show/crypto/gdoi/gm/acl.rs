//! `show crypto gdoi gm acl [download | local]`: the key server's list and the member's own.

use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) gm acl [ download | local ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
    /// Which of the two lists the text has.
    #[serde(skip)]
    pub lists: Lists,
}

/// Which lists.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Both.
    All,
    /// The key server's.
    Download,
    /// The member's own.
    Local,
}

/// The lists of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Where the list in force came from.
    pub server: Option<Ipv4Addr>,
    /// The key server's list.
    pub downloaded: Option<Vec<String>>,
    /// The crypto map.
    pub crypto_map: String,
    /// The name of the member's own list.
    pub local_acl: Option<String>,
    /// The member's own list, which is searched first.
    pub local: Vec<String>,
}

impl Group {
    fn of(gm: &gdoi::gm::View) -> Self {
        let entries =
            |acl: &policy::Acl| acl.entries.iter().map(policy::Ace::show_member).collect();
        let server = gm.server.map(|server| *server.ip());
        Self {
            group: gm.group.to_string(),
            server: gm.last_rekey_from.or(server),
            downloaded: gm.downloaded_acl.as_deref().map(entries),
            crypto_map: gm.crypto_map.clone(),
            local_acl: gm.local_acl.as_ref().map(|acl| acl.name.clone()),
            local: gm.local_acl.as_deref().map(entries).unwrap_or_default(),
        }
    }
}

/// The lists of every group.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    View {
        groups: context.machines.members().iter().map(Group::of).collect(),
        lists: match (line.has("download"), line.has("local")) {
            (true, _) => Lists::Download,
            (_, true) => Lists::Local,
            (false, false) => Lists::All,
        },
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            writeln!(f, "Group Name: {}", group.group)?;
            if self.lists != Lists::Local {
                match group.server {
                    Some(server) => writeln!(f, " ACL Downloaded From KS {server}:")?,
                    None => writeln!(f, " ACL Downloaded From KS UNKNOWN:")?,
                }
                for entry in group.downloaded.iter().flatten() {
                    writeln!(f, "   access-list   {entry}")?;
                }
            }
            if self.lists != Lists::Download {
                writeln!(f, " ACL Configured Locally:")?;
                if let Some(name) = &group.local_acl {
                    writeln!(f, "   Map Name: {}, access list {name}", group.crypto_map)?;
                }
                for entry in &group.local {
                    writeln!(f, "   access-list   {entry}")?;
                }
            }
        }
        Ok(())
    }
}

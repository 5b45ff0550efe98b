//! `show crypto gdoi ks coop config-diff`: what two key servers have configured differently
//! (mission rows 57 and 58).

use std::fmt;
use std::net::Ipv4Addr;

use gdoi::ks::PeerView;
use serde::Serialize;

use super::NO_REDUNDANCY;
use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks coop config-diff",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups that this box serves.
    pub groups: Vec<Group>,
}

/// A group that this box serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// This key server.
    pub local_address: Ipv4Addr,
    /// Whose configuration is in force.
    pub primary: Option<Ipv4Addr>,
    /// The other key servers; nothing when there are none.
    pub peers: Option<Vec<Peer>>,
}

/// Another key server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it was heard: only then there is something to compare.
    pub is_known: bool,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// A field that two key servers have set differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field, in the words of the configuration.
    pub field: &'static str,
    /// Its value here.
    pub own: String,
    /// Its value there.
    pub theirs: String,
}

impl Peer {
    fn of(peer: &PeerView) -> Self {
        let differences = peer.differences.iter().map(|difference| Difference {
            field: difference.field,
            own: difference.own.clone(),
            theirs: difference.theirs.clone(),
        });
        Self {
            address: peer.address,
            is_known: peer.version.is_some(),
            differences: differences.collect(),
        }
    }
}

/// The groups that the box serves.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let servers = context.machines.key_servers();
    let groups = servers.iter().map(|ks| {
        let coop = ks.coop.as_ref();
        Group {
            group: ks.group.to_string(),
            local_address: ks.address,
            primary: coop.and_then(|coop| coop.primary),
            peers: coop.map(|coop| coop.peers.iter().map(Peer::of).collect()),
        }
    });
    View {
        groups: groups.collect(),
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
        writeln!(f, "Group Name: {}", self.group)?;
        let Some(peers) = &self.peers else {
            return writeln!(f, "  {NO_REDUNDANCY}");
        };
        match self.primary {
            Some(primary) if primary == self.local_address => {
                writeln!(f, "  This key server's configuration is in force (Primary)")?;
            }
            Some(primary) => writeln!(f, "  The configuration of {primary} is in force (Primary)")?,
            None => writeln!(f, "  No primary is known")?,
        }
        peers
            .iter()
            .try_for_each(|peer| peer.write(f, self.local_address))
    }
}

impl Peer {
    fn write(&self, f: &mut fmt::Formatter<'_>, local: Ipv4Addr) -> fmt::Result {
        write!(f, "\n  Peer Key Server {}: ", self.address)?;
        if !self.is_known {
            return writeln!(f, "not heard yet");
        }
        if self.differences.is_empty() {
            return writeln!(f, "no differences");
        }
        writeln!(f, "differs")?;
        let head = [
            "Field".to_owned(),
            local.to_string(),
            self.address.to_string(),
        ];
        let rows: Vec<_> = std::iter::once(head)
            .chain(self.differences.iter().map(|difference| {
                [
                    difference.field.to_owned(),
                    difference.own.clone(),
                    difference.theirs.clone(),
                ]
            }))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let (field_width, own_width) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        rows.iter().try_for_each(|[field, own, theirs]| {
            writeln!(f, "    {field:<field_width$}  {own:<own_width$}  {theirs}")
        })
    }
}

//! `show crypto gdoi gm`: the registration of every group that this box is a member of.

use std::fmt;

use serde::Serialize;

use super::{HELP, Member};
use crate::cli::grammar::Syntax;
use crate::show::{Context, Page, Show};

pub mod acl;
pub mod dataplane;
pub mod pubkey;
pub mod rekey;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) gm",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The groups.
    pub members: Vec<Member>,
}

/// The memberships of the box.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let members = context.machines.members();
    View {
        members: members
            .iter()
            .map(|gm| Member::of(gm, context.version))
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.members.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            member.write_member(f)?;
        }
        Ok(())
    }
}

//! `show crypto gdoi ipsec sa`: which flows the group's SAs cover.

use std::fmt;

use policy::{Ace, Action, AddressMatch, PortMatch};
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::crypto::{Replay, interface_word};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ipsec sa",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups that hold SAs.
    pub groups: Vec<Group>,
}

/// The flows of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// The interface.
    pub interface: String,
    /// How copies are told.
    pub replay: Replay,
    /// The permit entries.
    pub flows: Vec<Flow>,
}

/// One permit entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The entry in full.
    pub entry: String,
    /// `ip`, a protocol's word, or its number.
    pub protocol: String,
    /// Source: `ANY`, an address, or an address with its prefix length or mask.
    pub local_ident: String,
    /// Source port; 0 when it is not one port.
    pub local_port: u16,
    /// Destination.
    pub remote_ident: String,
    /// Destination port; 0 when it is not one port.
    pub remote_port: u16,
}

impl Flow {
    fn of(entry: &Ace) -> Self {
        let protocol = entry.protocol.map_or_else(
            || "ip".to_owned(),
            |number| {
                policy::acl::protocol_word(number).map_or_else(|| number.to_string(), str::to_owned)
            },
        );
        Self {
            entry: entry.show_member(),
            protocol,
            local_ident: ident(&entry.source),
            local_port: one_port(entry.source_port),
            remote_ident: ident(&entry.destination),
            remote_port: one_port(entry.destination_port),
        }
    }
}

/// The one port that a match names, 0 when it names none or many.
pub(crate) const fn one_port(port: PortMatch) -> u16 {
    match port {
        PortMatch::Eq(port) => port,
        PortMatch::Any
        | PortMatch::Neq(_)
        | PortMatch::Lt(_)
        | PortMatch::Gt(_)
        | PortMatch::Range(..) => 0,
    }
}

fn ident(address: &AddressMatch) -> String {
    match address {
        AddressMatch::Any => "ANY".to_owned(),
        AddressMatch::V4 { address, wildcard } => {
            let mask = !wildcard.to_bits();
            if wildcard.is_unspecified() {
                address.to_string()
            } else if mask.leading_ones() == mask.count_ones() {
                format!("{address}/{}", mask.leading_ones())
            } else {
                format!("{address}/{}", std::net::Ipv4Addr::from_bits(mask))
            }
        }
        AddressMatch::V6 { prefix, length } => format!("{prefix}/{length}"),
    }
}

/// The flows of every group that holds an SA.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let members = context.machines.members();
    let groups = members.iter().filter_map(|gm| {
        let acl = gm.merged_acl.as_ref()?;
        let tek = gm.teks.first()?;
        let permits = acl
            .entries
            .iter()
            .filter(|entry| entry.action == Action::Permit);
        Some(Group {
            group: gm.group.to_string(),
            interface: gm.interface.clone(),
            replay: Replay::of(tek.transform, gm.tbar_window_s),
            flows: permits.map(Flow::of).collect(),
        })
    });
    View {
        groups: groups.collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            let method = match group.replay {
                Replay::Time { .. } => "Time",
                Replay::Counter { .. } => "Counter",
                Replay::None => "Disabled",
            };
            writeln!(f, "SA created for group {}:", group.group)?;
            writeln!(f, "  {}:", interface_word(&group.interface))?;
            for flow in &group.flows {
                let (local, from) = (&flow.local_ident, flow.local_port);
                let (remote, to) = (&flow.remote_ident, flow.remote_port);
                let window = group.replay.window();
                writeln!(f, "    protocol = {}", flow.protocol)?;
                writeln!(f, "      local ident  = {local}, port = {from}")?;
                writeln!(f, "      remote ident = {remote}, port = {to}")?;
                writeln!(
                    f,
                    "      direction: Both, replay(method/window): {method}/{window}"
                )?;
            }
        }
        Ok(())
    }
}

//! `show crypto map`: which groups stand in which map, and where the maps are applied.

use std::fmt;
use std::net::Ipv4Addr;

use policy::GroupId;
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto map",
        help: &[
            ("show", "Show running system information"),
            ("map", "Show crypto maps"),
        ],
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The maps.
    pub maps: Vec<Map>,
}

/// A crypto map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Its name.
    pub crypto_map: String,
    /// Its entries by sequence number.
    pub entries: Vec<Entry>,
    /// The interfaces that carry it.
    pub interfaces: Vec<String>,
}

/// An entry of a crypto map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its sequence number.
    pub sequence: u16,
    /// The group, if the entry names one.
    pub group: Option<String>,
    /// The group's identity, `number 3333`.
    pub identity: Option<String>,
    /// The group's key servers.
    pub servers: Vec<Ipv4Addr>,
    /// The member's own list of denies.
    pub access_list: Option<String>,
}

/// The maps of the configuration.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let config = context.config;
    let maps = config.crypto_maps.iter().map(|(name, entries)| Map {
        crypto_map: name.clone(),
        entries: entries
            .iter()
            .map(|(sequence, entry)| {
                let group = entry
                    .group
                    .as_ref()
                    .and_then(|group| config.groups.get(group));
                Entry {
                    sequence: *sequence,
                    group: entry.group.clone(),
                    identity: group.and_then(|group| group.id).map(identity_text),
                    servers: group.map(|group| group.servers.clone()).unwrap_or_default(),
                    access_list: entry.acl.clone(),
                }
            })
            .collect(),
        interfaces: config
            .interfaces
            .iter()
            .filter(|(_, interface)| interface.crypto_map.as_ref() == Some(name))
            .map(|(interface, _)| interface.clone())
            .collect(),
    });
    View {
        maps: maps.collect(),
    }
}

/// As the configuration says it.
fn identity_text(id: GroupId) -> String {
    match id {
        GroupId::Number(number) => format!("number {number}"),
        GroupId::Address(address) => format!("address ipv4 {address}"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for map in &self.maps {
            for entry in &map.entries {
                let Entry {
                    sequence,
                    group,
                    identity,
                    servers,
                    access_list,
                } = entry;
                writeln!(f, "Crypto Map IPv4 \"{}\" {sequence} gdoi", map.crypto_map)?;
                writeln!(
                    f,
                    "        Group Name: {}",
                    group.as_deref().unwrap_or("none")
                )?;
                if let Some(identity) = identity {
                    writeln!(f, "        identity {identity}")?;
                }
                for server in servers {
                    writeln!(f, "        server address ipv4 {server}")?;
                }
                if let Some(list) = access_list {
                    writeln!(f, "        Extended IP access list {list}")?;
                }
            }
            writeln!(f, "        Interfaces using crypto map {}:", map.crypto_map)?;
            for interface in &map.interfaces {
                writeln!(f, "                {interface}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

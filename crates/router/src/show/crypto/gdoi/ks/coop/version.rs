//! `show crypto gdoi ks coop version`: what key servers say to each other, and who says which.

use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::coop_version;
use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks coop version",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The version of announcements.
    pub infra_version: String,
    /// What is kept equal between key servers, by the names of IOS.
    pub clients: Vec<Client>,
    /// The groups with several key servers.
    pub groups: Vec<Group>,
}

/// Something that is kept equal between key servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The name.
    pub name: &'static str,
    /// Its version. An announcement and its records are one layout, so it is that of all.
    pub version: String,
}

/// A group with several key servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its key servers, this one first.
    pub key_servers: Vec<KeyServer>,
}

/// A key server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyServer {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its program's version, once heard.
    pub version: Option<String>,
}

const CLIENTS: [&str; 3] = ["KS_POLICY_CLIENT", "GROUP_MEMBER_CLIENT", "SID_CLIENT"];

/// The versions of this box and of the key servers that it knows.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let group = |ks: &gdoi::ks::View| {
        let mut key_servers = vec![KeyServer {
            address: ks.address,
            version: Some(context.version.to_owned()),
        }];
        key_servers.extend(ks.coop.as_ref()?.peers.iter().map(|peer| KeyServer {
            address: peer.address,
            version: peer.version.clone(),
        }));
        Some(Group {
            group: ks.group.to_string(),
            key_servers,
        })
    };
    let clients = CLIENTS.map(|name| Client {
        name,
        version: coop_version(),
    });
    View {
        infra_version: coop_version(),
        clients: clients.to_vec(),
        groups: context
            .machines
            .key_servers()
            .iter()
            .filter_map(group)
            .collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Cooperative key server infra Version : {}",
            self.infra_version
        )?;
        for Client { name, version } in &self.clients {
            writeln!(f, "Client : {name:<23} Version : {version}")?;
        }
        for Group { group, key_servers } in &self.groups {
            writeln!(f, "\nGroup {group}:")?;
            writeln!(f, "  Key Server ID    Version")?;
            for KeyServer { address, version } in key_servers {
                let version = version.as_deref().unwrap_or("not heard yet");
                let address = address.to_string();
                writeln!(f, "  {address:<17}{version}")?;
            }
        }
        Ok(())
    }
}

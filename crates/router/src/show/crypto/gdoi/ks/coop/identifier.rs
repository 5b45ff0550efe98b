//! `show crypto gdoi ks coop identifier [detail]`: which sender identifiers each key server hands
//! out in a counter-mode group (PROTOCOL P20).
//!
//! IOS calls the part of an identifier that names the key server KSSID; here it is the KS index.

use std::fmt;
use std::net::Ipv4Addr;

use gdoi::ks::PeerView;
use policy::{GroupSize, KsIndex};
use serde::Serialize;

use super::{NO_REDUNDANCY, role_word, status_word};
use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) ks coop identifier [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line.has("detail"))),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups that this box serves.
    pub groups: Vec<Group>,
    /// Whether the text has the other key servers, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// A group that this box serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Its key servers, this one first; nothing when there is this one only.
    pub key_servers: Option<Vec<KeyServer>>,
}

/// What a key server hands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyServer {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its role.
    pub role: &'static str,
    /// Whether it is reachable.
    pub status: &'static str,
    /// Whether it holds the marks of all others, and so hands identifiers out.
    pub is_synchronised: bool,
    /// Whether another key server has its index.
    pub is_overlapping: bool,
    /// Bits of an identifier as configured; nothing if it has not said so.
    pub size_configured: Option<String>,
    /// Bits of an identifier in force.
    pub size_used: Option<String>,
    /// Its index; nothing in a group without counter mode.
    pub index: Option<u8>,
    /// Whether it has handed identifiers of this index out.
    pub is_index_used: bool,
    /// Other indexes under which it handed some out before.
    pub former_indexes: Vec<u8>,
}

/// `24 bits (MEDIUM)`.
fn size_words(size: GroupSize) -> String {
    let word = match size {
        GroupSize::Small8 => "SMALL_8",
        GroupSize::Small12 => "SMALL_12",
        GroupSize::Small16 => "SMALL_16",
        GroupSize::Medium => "MEDIUM",
        GroupSize::Large => "LARGE",
    };
    format!("{} bits ({word})", size.bits())
}

impl KeyServer {
    fn local(ks: &gdoi::ks::View, coop: &gdoi::ks::CoopView, configured: GroupSize) -> Self {
        let numbers = |indexes: &[KsIndex]| indexes.iter().map(|index| index.get()).collect();
        Self {
            address: ks.address,
            role: role_word(Some(coop.role)),
            status: "Alive",
            is_synchronised: coop.complete,
            is_overlapping: coop.peers.iter().any(|peer| peer.index == coop.index),
            size_configured: Some(size_words(configured)),
            size_used: Some(size_words(ks.sids.size)),
            index: is_counter_mode(ks).then(|| coop.index.get()),
            is_index_used: ks.sids.allocated > 0,
            former_indexes: numbers(&ks.sids.former),
        }
    }

    fn peer(ks: &gdoi::ks::View, coop: &gdoi::ks::CoopView, peer: &PeerView) -> Self {
        let has_index = |other: &&PeerView| other.index == peer.index;
        let taken = coop.peers.iter().filter(has_index).count() > 1 || peer.index == coop.index;
        // Two key servers that differ in the size say so; all that is not said to differ is equal.
        let differing = peer.differences.iter().find(|d| d.field == "group size");
        let size = match (differing, &peer.version) {
            (Some(difference), _) => Some(difference.theirs.clone()),
            (None, Some(_)) => Some(size_words(ks.sids.size)),
            (None, None) => None,
        };
        Self {
            address: peer.address,
            role: role_word(peer.role),
            status: status_word(peer),
            is_synchronised: peer.alive && !peer.lagging,
            is_overlapping: taken,
            size_configured: size.clone(),
            size_used: size,
            index: is_counter_mode(ks).then(|| peer.index.get()),
            is_index_used: ks
                .members
                .iter()
                .any(|member| member.key_server == peer.address && member.sids > 0),
            former_indexes: Vec::new(),
        }
    }
}

/// Whether senders need identifiers of their own.
fn is_counter_mode(ks: &gdoi::ks::View) -> bool {
    ks.teks.iter().any(|tek| tek.transform.is_counter_mode())
}

/// The groups that the box serves.
#[must_use]
pub fn view(context: &Context<'_>, is_detailed: bool) -> View {
    let group = |ks: &gdoi::ks::View| {
        let configured = context
            .config
            .groups
            .get(ks.group.as_str())
            .and_then(|group| group.local.as_ref()?.size);
        let key_servers = ks.coop.as_ref().map(|coop| {
            let local = KeyServer::local(ks, coop, configured.unwrap_or_default());
            let peers = coop
                .peers
                .iter()
                .map(|peer| KeyServer::peer(ks, coop, peer));
            std::iter::once(local).chain(peers).collect()
        });
        Group {
            group: ks.group.to_string(),
            key_servers,
        }
    };
    View {
        groups: context.machines.key_servers().iter().map(group).collect(),
        is_detailed,
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.groups.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            group.write(f, self.is_detailed)?;
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        writeln!(
            f,
            "COOP-KS Sender ID (SID) Information for Group {}:",
            self.group
        )?;
        let Some(key_servers) = &self.key_servers else {
            return writeln!(f, "    {NO_REDUNDANCY}");
        };
        let shown = if is_detailed { key_servers.len() } else { 1 };
        for (place, key_server) in key_servers.iter().take(shown).enumerate() {
            let KeyServer { role, status, .. } = key_server;
            let which = if place == 0 {
                writeln!(
                    f,
                    "\n    Local KS Role: {role:<10}, Local KS Status: {status}"
                )?;
                "Local"
            } else {
                // Parsers take one blank before this comma, whatever the role.
                writeln!(f, "\n    Peer KS Role:  {role} , Peer KS Status:  {status}")?;
                "Peer"
            };
            key_server.write(f, which)?;
        }
        Ok(())
    }
}

impl KeyServer {
    fn write(&self, f: &mut fmt::Formatter<'_>, which: &str) -> fmt::Result {
        let none = || "none".to_owned();
        let index = self.index.map_or_else(none, |index| index.to_string());
        let used = self
            .index
            .filter(|_| self.is_index_used)
            .map_or_else(none, |index| index.to_string());
        let former: Vec<_> = self.former_indexes.iter().map(u8::to_string).collect();
        let former = if former.is_empty() {
            none()
        } else {
            former.join(", ")
        };
        let size = |size: &Option<String>| size.clone().unwrap_or_else(|| "unknown".to_owned());
        let operation = if self.is_synchronised {
            "NOTIFY"
        } else {
            "QUERY"
        };
        let overlap = if self.is_overlapping { "Yes" } else { "No" };
        for (what, value) in [
            (format!("{which} Address"), self.address.to_string()),
            ("Next SID Client Operation".to_owned(), operation.to_owned()),
            // Identifiers are never started over in a running group.
            ("Re-initializing".to_owned(), "No".to_owned()),
            ("KSSID Overlap".to_owned(), overlap.to_owned()),
            (
                "SID Length (Group Size) Cfg".to_owned(),
                size(&self.size_configured),
            ),
            (
                "SID Length (Group Size) Used".to_owned(),
                size(&self.size_used),
            ),
            ("Current KSSID In-Use".to_owned(), index.clone()),
            ("KSSID(s) Assigned".to_owned(), index),
            ("KSSID(s) Used".to_owned(), used),
            ("Old KSSID(s) Used".to_owned(), former),
        ] {
            writeln!(f, "        {what:<29}: {value}")?;
        }
        Ok(())
    }
}

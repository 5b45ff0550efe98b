//! `show crypto gdoi feature [NAME]`: which key servers and members of a group can do what, by the
//! version that each of them proved to run.
//!
//! A key server lists every key server and member that it knows, so that `| include No` names who
//! must be upgraded before a feature is used; a member lists its own key server and itself. Who is
//! not known to have a feature counts as one that has not. A plain RFC 6407 peer says no
//! version and has none of the private features; what it showed to be able to do counts.

use std::fmt;
use std::net::Ipv4Addr;

use policy::PeerKind;
use serde::Serialize;

use super::HELP;
use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) feature [ ckm | crl-check | cts-sgt | dp-recovery \
                  | gdoi-interop-ack | gdoi-mib | gikev2 | gm-removal | ip-d3p | long-sa-lifetime \
                  | pfs | policy-replace | suite-b ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| {
        let view = view(context, line);
        if view
            .features
            .iter()
            .all(|feature| feature.groups.is_empty())
        {
            return Err(Refusal::new("% No group is in use."));
        }
        Page::of(&view)
    },
};

/// A feature and the first version of this program that has it.
struct Feature {
    name: &'static str,
    since: Option<Version>,
}

/// Major, minor and patch.
type Version = [u32; 3];

const FIRST: Option<Version> = Some([0, 1, 0]);

/// In the order of the vendor's help.
const FEATURES: [Feature; 13] = [
    feature("ckm", None),
    feature("crl-check", None),
    feature("cts-sgt", None),
    feature("dp-recovery", FIRST),
    feature(INTEROP_ACK, FIRST),
    feature("gdoi-mib", None),
    feature("gikev2", None),
    feature("gm-removal", FIRST),
    feature("ip-d3p", None),
    feature("long-sa-lifetime", FIRST),
    feature("pfs", None),
    feature("policy-replace", FIRST),
    feature("suite-b", FIRST),
];

/// The acknowledgement of RFC 8263: a plain member that has sent one has it.
const INTEROP_ACK: &str = "gdoi-interop-ack";

const fn feature(name: &'static str, since: Option<Version>) -> Feature {
    Feature { name, since }
}

impl Feature {
    /// Whether that version of this program has it.
    fn is_in(&self, version: &str) -> bool {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let version = [(); 3].map(|()| parts.next().flatten());
        match (self.since, version) {
            (Some(since), [Some(major), Some(minor), Some(patch)]) => {
                [major, minor, patch] >= since
            }
            (Some(_), _) | (None, _) => false,
        }
    }
}

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The features that were asked for.
    pub features: Vec<Supported>,
}

/// Who has a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Supported {
    /// The feature.
    pub feature: &'static str,
    /// The groups of this box.
    pub groups: Vec<Group>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Its key servers, this one first; on a member, the one where it is registered.
    pub key_servers: Vec<Peer>,
    /// Its members; on a member, itself.
    pub members: Vec<Peer>,
}

/// A key server or member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its version, if it said one.
    pub version: Option<String>,
    /// Whether it is known to have the feature.
    pub is_supported: bool,
}

/// The features of the groups of this box.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let asked = FEATURES.iter().find(|feature| line.has(feature.name));
    let servers = context.machines.key_servers();
    let members = context.machines.members();
    let isakmp = context.machines.isakmp();
    let supported = |feature: &Feature| {
        let served = servers
            .iter()
            .map(|ks| Group::served(ks, feature, context.version));
        let joined = members
            .iter()
            .map(|gm| Group::joined(gm, &isakmp, feature, context.version));
        Supported {
            feature: feature.name,
            groups: served.chain(joined).collect(),
        }
    };
    View {
        features: FEATURES
            .iter()
            .filter(|feature| asked.is_none_or(|asked| asked.name == feature.name))
            .map(supported)
            .collect(),
    }
}

impl Group {
    fn served(ks: &gdoi::ks::View, feature: &Feature, version: &str) -> Self {
        let own = Peer::of(ks.address, Some(version), feature);
        let peers = ks.coop.iter().flat_map(|coop| &coop.peers);
        let peers = peers.map(|peer| Peer::of(peer.address, peer.version.as_deref(), feature));
        let member = |member: &gdoi::ks::MemberView| match member.kind {
            PeerKind::Ours => Peer::of(member.address, member.version.as_deref(), feature),
            PeerKind::Rfc6407 | PeerKind::Rfc3547 => Peer {
                address: member.address,
                version: None,
                is_supported: feature.name == INTEROP_ACK && member.acks_received > 0,
            },
        };
        Self {
            group: ks.group.to_string(),
            key_servers: std::iter::once(own).chain(peers).collect(),
            members: ks.members.iter().map(member).collect(),
        }
    }

    fn joined(
        gm: &gdoi::gm::View,
        isakmp: &gdoi::ike::View,
        feature: &Feature,
        version: &str,
    ) -> Self {
        let server = gm.server.map(|server| {
            let mut rows = isakmp.rows.iter();
            let proven = rows.find(|row| row.kin && row.peer == *server.ip());
            let version = proven.and_then(|row| row.peer_version);
            let version = version.map(|version| version.to_string());
            Peer::of(*server.ip(), version.as_deref(), feature)
        });
        Self {
            group: gm.group.to_string(),
            key_servers: server.into_iter().collect(),
            members: vec![Peer::of(*gm.local.ip(), Some(version), feature)],
        }
    }
}

impl Peer {
    fn of(address: Ipv4Addr, version: Option<&str>, feature: &Feature) -> Self {
        Self {
            address,
            version: version.map(str::to_owned),
            is_supported: version.is_some_and(|version| feature.is_in(version)),
        }
    }

    fn answer(&self) -> &'static str {
        if self.is_supported { "Yes" } else { "No" }
    }

    /// Parsers take digits and dots only: who said no version has 0.0.0.
    fn version_text(&self) -> &str {
        self.version.as_deref().unwrap_or("0.0.0")
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, version) = (self.address.to_string(), self.version_text());
        let answer = self.answer();
        writeln!(f, "        {address:<20}{version:<15}{answer}")
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_list = self.features.len() > 1;
        for (place, supported) in self.features.iter().enumerate() {
            if is_list {
                let before = if place > 0 { "\n" } else { "" };
                writeln!(f, "{before}Feature: {}", supported.feature)?;
            }
            for group in &supported.groups {
                group.write(f)?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nGroup Name: {}", self.group)?;
        writeln!(f, "    Key Server ID       Version   Feature Supported")?;
        for peer in &self.key_servers {
            peer.write(f)?;
        }
        writeln!(f, "\n    Group Member ID     Version   Feature Supported")?;
        for peer in &self.members {
            peer.write(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_in_every_version_since_its_first_and_in_none_that_is_no_version() {
        let new = feature("x", Some([1, 0, 2]));
        for (version, is_in) in [
            ("1.0.2", true),
            ("1.0.10", true),
            ("1.1.0", true),
            ("2.0.0", true),
            ("1.0.1", false),
            ("0.9.9", false),
            ("1.0", false),
            ("one", false),
            ("", false),
        ] {
            assert_eq!(new.is_in(version), is_in, "{version}");
        }
        assert!(!feature("y", None).is_in("9.9.9"));
    }
}

//! `crypto gdoi group [ipv6] G`: who the group is and where its key servers are.

use std::net::Ipv4Addr;

use policy::GroupId;
use policy::group::KS_MAX;

use super::server_local::{self, ServerLocal};
use crate::cli::grammar::{Incomplete, Syntax};
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, Verb, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// A group, as a member (`servers`) or a key server (`local`) knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `crypto gdoi group ipv6`: the group protects IPv6.
    pub is_ipv6: bool,
    /// `identity`.
    pub id: Option<GroupId>,
    /// `server address ipv4`, in the order in which they are tried.
    pub servers: Vec<Ipv4Addr>,
    /// `server local`.
    pub local: Option<ServerLocal>,
    /// `client compatibility rfc6407`: a member that speaks RFC 6407 only (PROTOCOL P2).
    pub compatible_rfc6407: bool,
    /// `[no] fail-close`: whether nothing passes before registration.
    pub fail_close: bool,
    /// Lines of features that are not here.
    pub inert: Vec<String>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            is_ipv6: false,
            id: None,
            servers: Vec::new(),
            local: None,
            compatible_rfc6407: false,
            fail_close: true,
            inert: Vec::new(),
        }
    }
}

const HELP: &[(&str, &str)] = &[
    ("group", "Configure a GDOI group"),
    ("ipv6", "Configure an IPv6 group"),
    ("identity", "Set the identity of the group"),
    ("number", "Set the identity as a number"),
    ("address", "Set an IP address"),
    ("<number>", "Group number"),
    ("server", "Set the group server"),
    ("client", "Set what this member says of itself"),
    ("compatibility", "Register as members of other makes do"),
    ("rfc6407", "Say nothing that RFC 6407 does not know"),
    (
        "fail-close",
        "Let nothing pass in clear before registration (default)",
    ),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto ( gdoi | gkm ) group [ ipv6 ] <group:WORD>",
            help: HELP,
        },
        apply: enter,
        examples: &[
            "crypto gdoi group G1",
            "crypto gkm group G1",
            "crypto gdoi group ipv6 G6",
        ],
    },
    Command {
        mode: Mode::Group,
        syntax: Syntax {
            grammar: "identity / ( number <number:0-4294967295> | address ipv4 <address:A.B.C.D> )",
            help: HELP,
        },
        apply: identity,
        examples: &["identity number 3333", "identity address ipv4 239.1.1.1"],
    },
    Command {
        mode: Mode::Group,
        syntax: Syntax {
            grammar: "server address ipv4 <address:A.B.C.D>",
            help: HELP,
        },
        apply: server,
        examples: &["server address ipv4 10.1.11.2"],
    },
    Command {
        mode: Mode::Group,
        syntax: Syntax {
            grammar: "client compatibility rfc6407",
            help: HELP,
        },
        apply: compatibility,
        examples: &["client compatibility rfc6407"],
    },
    Command {
        mode: Mode::Group,
        syntax: Syntax {
            grammar: "fail-close",
            help: HELP,
        },
        apply: fail_close,
        examples: &["no fail-close"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = line.word("group")?.to_owned();
    let is_ipv6 = line.has("ipv6");
    if !is_ipv6 && name == "ipv6" {
        // The family without a name, not a name.
        return Err(Incomplete.into());
    }
    let other = editor
        .config
        .groups
        .get(&name)
        .is_some_and(|group| group.is_ipv6 != is_ipv6);
    if line.removes() {
        editor.config.groups.remove(&name);
    } else if other {
        let family = if is_ipv6 { "an IPv4" } else { "an IPv6" };
        return Err(Refusal::new(format!(
            "% Group {name} exists already as {family} group."
        )));
    } else {
        let new = || Group {
            is_ipv6,
            ..Group::default()
        };
        editor.config.groups.entry(name.clone()).or_insert_with(new);
        if is_ipv6 {
            editor.warn(format!(
                "group {name}: IPv6 groups carry no traffic here yet"
            ));
        }
        editor.enter(Place::Group(name));
    }
    Ok(())
}

fn identity(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let id = match line.verb {
        Verb::No | Verb::Default => None,
        Verb::Set if line.has("number") => Some(GroupId::Number(line.number("number")?)),
        Verb::Set => Some(GroupId::Address(line.address("address")?)),
    };
    editor.group()?.id = id;
    Ok(())
}

fn server(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let address = line.address("address")?;
    let group = editor.group()?;
    if line.removes() {
        group.servers.retain(|server| *server != address);
        return Ok(());
    }
    if !is_host(address) {
        return Err(Refusal::new(format!(
            "% {address} is no address of a key server"
        )));
    }
    if group.local.is_some() {
        return Err(Refusal::new(
            "% This group has server local: a key server names its peers under redundancy",
        ));
    }
    if !group.servers.contains(&address) {
        if group.servers.len() == KS_MAX {
            return Err(Refusal::new(format!(
                "% A group has at most {KS_MAX} key servers"
            )));
        }
        group.servers.push(address);
    }
    Ok(())
}

fn compatibility(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let group = editor.group()?;
    if group.local.is_some() && !line.removes() {
        return Err(Refusal::new(
            "% This group has server local: what its members may be is said there",
        ));
    }
    group.compatible_rfc6407 = !line.removes();
    Ok(())
}

/// Whether a box can have this address.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}

fn fail_close(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let Place::Group(name) = editor.place(0)?.clone() else {
        return Err(gone());
    };
    let closes = line.verb != Verb::No;
    if !closes {
        editor.warn(format!(
            "group {name}: without fail-close, traffic passes in clear until registration"
        ));
    }
    editor.group()?.fail_close = closes;
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (name, group) in &config.groups {
        let family = if group.is_ipv6 { "ipv6 " } else { "" };
        text.line(format_args!("crypto gdoi group {family}{name}"));
        text.block(|text| {
            match group.id {
                Some(GroupId::Number(number)) => {
                    text.line(format_args!("identity number {number}"))
                }
                Some(GroupId::Address(address)) => {
                    text.line(format_args!("identity address ipv4 {address}"));
                }
                None => {}
            }
            for server in &group.servers {
                text.line(format_args!("server address ipv4 {server}"));
            }
            if group.compatible_rfc6407 {
                text.line(format_args!("client compatibility rfc6407"));
            }
            if !group.fail_close {
                text.line(format_args!("no fail-close"));
            }
            for line in &group.inert {
                text.line(format_args!("{line}"));
            }
            if let Some(local) = &group.local {
                server_local::render(local, text);
            }
        });
        text.separate();
    }
}

//! `server local`: this box is a key server of the group.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy::GroupSize;

use super::group::is_host;
use super::identifier::Identifier;
use super::redundancy::Redundancy;
use super::rekey::Rekey;
use super::sa_ipsec::Sa;
use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::Command;
use crate::config::edit::{Editor, Line, Place, Refusal};
use crate::config::render::Text;

/// What a key server is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerLocal {
    /// `rekey ...`.
    pub rekey: Rekey,
    /// `authorization address ipv4`, the access list's name.
    pub authorization: Option<String>,
    /// `group size`; medium if there is none.
    pub size: Option<GroupSize>,
    /// `client compatibility rfc6407` (PROTOCOL P10).
    pub compatible_rfc6407: bool,
    /// `client compatibility rfc3547 address ipv4`, the access list's name (PROTOCOL P2).
    pub compatible_rfc3547: Option<String>,
    /// `key look-ahead`; 2 if there is none.
    pub look_ahead: Option<u8>,
    /// `identifier`.
    pub identifier: Option<Identifier>,
    /// `sa ipsec`, by number.
    pub sas: BTreeMap<u16, Sa>,
    /// `address ipv4`.
    pub address: Option<Ipv4Addr>,
    /// `redundancy`.
    pub redundancy: Option<Redundancy>,
    /// Lines of features that are not here.
    pub inert: Vec<String>,
}

const HELP: &[(&str, &str)] = &[
    ("server", "Set the group server"),
    ("local", "Configure the local key server"),
    ("address", "Set an IP address"),
    ("authorization", "Who may register"),
    ("group", "Configure group parameters"),
    (
        "size",
        "How many members counter-mode policies are made for",
    ),
    ("small", "8, 12 or 16 bits name the sender"),
    ("8", "Few members"),
    ("12", "Up to some hundred members"),
    ("16", "Up to some thousand members"),
    ("medium", "24 bits name the sender (default)"),
    ("large", "32 bits name the sender"),
    ("client", "What is done for members"),
    ("compatibility", "Members of other makes"),
    (
        "rfc6407",
        "Drop deny entries for members that speak RFC 6407 only",
    ),
    ("rfc3547", "Which members speak RFC 3547 only"),
    ("ipv4", "IPv4 addresses"),
    ("key", "Keys of the group"),
    ("look-ahead", "How many periods keys are made ahead"),
    ("<periods>", "Number of periods"),
    ("<list>", "Access list name or number"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Group,
        syntax: Syntax {
            grammar: "server local",
            help: HELP,
        },
        apply: enter,
        examples: &["server local"],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "address ipv4 / <address:A.B.C.D>",
            help: HELP,
        },
        apply: address,
        examples: &["address ipv4 10.1.11.2"],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "authorization address ipv4 / <list:WORD>",
            help: HELP,
        },
        apply: authorization,
        examples: &[
            "authorization address ipv4 MEMBERS",
            "authorization address ipv4 10",
        ],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "group size / ( small ( 8 | 12 | 16 ) | medium | large )",
            help: HELP,
        },
        apply: size,
        examples: &[
            "group size small 8",
            "group size small 12",
            "group size small 16",
            "group size medium",
            "group size large",
        ],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "client compatibility rfc6407",
            help: HELP,
        },
        apply: compatibility,
        examples: &["client compatibility rfc6407"],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "client compatibility rfc3547 address ipv4 / <list:WORD>",
            help: HELP,
        },
        apply: compatibility_rfc3547,
        examples: &["client compatibility rfc3547 address ipv4 OLD"],
    },
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "key look-ahead / <periods:0-8>",
            help: HELP,
        },
        apply: look_ahead,
        examples: &["key look-ahead 0", "key look-ahead 3"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let group = editor.group()?;
    if line.removes() {
        group.local = None;
        return Ok(());
    }
    if !group.servers.is_empty() {
        return Err(Refusal::new(
            "% This group has server address: a box is member or key server of a group, not both",
        ));
    }
    if group.compatible_rfc6407 {
        return Err(Refusal::new(
            "% This group has client compatibility: that is a member's line, under server local a key server's",
        ));
    }
    group.local.get_or_insert_with(ServerLocal::default);
    editor.enter(Place::ServerLocal);
    Ok(())
}

fn address(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let address = if line.removes() {
        None
    } else {
        Some(line.address("address")?)
    };
    if let Some(address) = address
        && !is_host(address)
    {
        return Err(Refusal::new(format!(
            "% {address} is no address of a key server"
        )));
    }
    editor.server_local()?.address = address;
    Ok(())
}

fn authorization(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let list = if line.removes() {
        None
    } else {
        Some(line.word("list")?.to_owned())
    };
    editor.server_local()?.authorization = list;
    Ok(())
}

fn size(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let size = if line.has("large") {
        GroupSize::Large
    } else if line.has("medium") {
        GroupSize::Medium
    } else if line.has("16") {
        GroupSize::Small16
    } else if line.has("12") {
        GroupSize::Small12
    } else {
        GroupSize::Small8
    };
    editor.server_local()?.size = (!line.removes()).then_some(size);
    Ok(())
}

fn compatibility(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    editor.server_local()?.compatible_rfc6407 = !line.removes();
    Ok(())
}

fn compatibility_rfc3547(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let list = if line.removes() {
        None
    } else {
        Some(line.word("list")?.to_owned())
    };
    editor.server_local()?.compatible_rfc3547 = list;
    Ok(())
}

fn look_ahead(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let periods = if line.removes() {
        None
    } else {
        Some(line.number("periods")?)
    };
    editor.server_local()?.look_ahead = periods;
    Ok(())
}

pub(super) fn render(local: &ServerLocal, text: &mut Text) {
    text.line(format_args!("server local"));
    text.block(|text| {
        super::rekey::render(&local.rekey, text);
        if let Some(list) = &local.authorization {
            text.line(format_args!("authorization address ipv4 {list}"));
        }
        if let Some(size) = local.size {
            text.line(format_args!("group size {}", size_words(size)));
        }
        if local.compatible_rfc6407 {
            text.line(format_args!("client compatibility rfc6407"));
        }
        if let Some(list) = &local.compatible_rfc3547 {
            text.line(format_args!(
                "client compatibility rfc3547 address ipv4 {list}"
            ));
        }
        if let Some(periods) = local.look_ahead {
            text.line(format_args!("key look-ahead {periods}"));
        }
        for line in &local.inert {
            text.line(format_args!("{line}"));
        }
        if let Some(identifier) = &local.identifier {
            super::identifier::render(identifier, text);
        }
        for (number, sa) in &local.sas {
            super::sa_ipsec::render(*number, sa, text);
        }
        if let Some(address) = local.address {
            text.line(format_args!("address ipv4 {address}"));
        }
        if let Some(redundancy) = &local.redundancy {
            super::redundancy::render(redundancy, text);
        }
    });
}

const fn size_words(size: GroupSize) -> &'static str {
    match size {
        GroupSize::Small8 => "small 8",
        GroupSize::Small12 => "small 12",
        GroupSize::Small16 => "small 16",
        GroupSize::Medium => "medium",
        GroupSize::Large => "large",
    }
}

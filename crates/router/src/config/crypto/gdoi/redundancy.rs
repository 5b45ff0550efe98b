//! `redundancy` of a key server: its cooperative peers.

use std::net::Ipv4Addr;

use policy::group::KS_MAX;

use super::group::is_host;
use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::Command;
use crate::config::edit::{Editor, Line, Place, Refusal, Verb, gone};
use crate::config::render::Text;

/// The block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redundancy {
    /// `local priority`; 1 if there is none.
    pub priority: Option<u8>,
    /// `peer address ipv4`, as given.
    pub peers: Vec<Ipv4Addr>,
    /// `protocol version optimize`.
    pub optimize: bool,
    /// `[no] key sync`: whether the rekey key travels between key servers (PROTOCOL P26).
    pub key_sync: bool,
}

impl Default for Redundancy {
    fn default() -> Self {
        Self {
            priority: None,
            peers: Vec::new(),
            optimize: false,
            key_sync: true,
        }
    }
}

const HELP: &[(&str, &str)] = &[
    ("redundancy", "Configure the cooperative key servers"),
    ("local", "Configure the local key server"),
    ("priority", "Set the priority in the election"),
    ("peer", "Configure a peer key server"),
    ("address", "Set an IP address"),
    ("protocol", "Configure the protocol between key servers"),
    ("version", "Set the protocol's version"),
    ("optimize", "Announce changes only"),
    ("key", "Keys of the group"),
    (
        "sync",
        "Take the rekey key of the serving primary, and give it to peers (default)",
    ),
    ("<priority>", "Priority, the highest wins"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "redundancy",
            help: HELP,
        },
        apply: enter,
        examples: &["redundancy"],
    },
    Command {
        mode: Mode::Redundancy,
        syntax: Syntax {
            grammar: "local priority / <priority:1-255>",
            help: HELP,
        },
        apply: priority,
        examples: &["local priority 10"],
    },
    Command {
        mode: Mode::Redundancy,
        syntax: Syntax {
            grammar: "peer address ipv4 <address:A.B.C.D>",
            help: HELP,
        },
        apply: peer,
        examples: &["peer address ipv4 10.1.12.2"],
    },
    Command {
        mode: Mode::Redundancy,
        syntax: Syntax {
            grammar: "protocol version optimize",
            help: HELP,
        },
        apply: protocol,
        examples: &["protocol version optimize"],
    },
    Command {
        mode: Mode::Redundancy,
        syntax: Syntax {
            grammar: "key sync",
            help: HELP,
        },
        apply: key_sync,
        examples: &["no key sync"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let local = editor.server_local()?;
    if line.removes() {
        local.redundancy = None;
    } else {
        local.redundancy.get_or_insert_with(Redundancy::default);
        editor.enter(Place::Redundancy);
    }
    Ok(())
}

fn redundancy<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Redundancy, Refusal> {
    editor.server_local()?.redundancy.as_mut().ok_or_else(gone)
}

fn priority(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let priority = if line.removes() {
        None
    } else {
        Some(line.number("priority")?)
    };
    redundancy(editor)?.priority = priority;
    Ok(())
}

fn peer(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let address = line.address("address")?;
    let peers = &mut redundancy(editor)?.peers;
    if line.removes() {
        peers.retain(|peer| *peer != address);
    } else if !is_host(address) {
        return Err(Refusal::new(format!(
            "% {address} is no address of a key server"
        )));
    } else if !peers.contains(&address) {
        if peers.len() + 1 >= KS_MAX {
            return Err(Refusal::new(format!(
                "% A group has at most {KS_MAX} key servers"
            )));
        }
        peers.push(address);
    }
    Ok(())
}

fn protocol(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    redundancy(editor)?.optimize = !line.removes();
    Ok(())
}

fn key_sync(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let is_on = line.verb != Verb::No;
    redundancy(editor)?.key_sync = is_on;
    if !is_on {
        editor.warn(
            "without key sync, every key server of the group needs the same rekey key by hand",
        );
    }
    Ok(())
}

pub(super) fn render(redundancy: &Redundancy, text: &mut Text) {
    text.line(format_args!("redundancy"));
    text.block(|text| {
        if let Some(priority) = redundancy.priority {
            text.line(format_args!("local priority {priority}"));
        }
        for peer in &redundancy.peers {
            text.line(format_args!("peer address ipv4 {peer}"));
        }
        if redundancy.optimize {
            text.line(format_args!("protocol version optimize"));
        }
        if !redundancy.key_sync {
            text.line(format_args!("no key sync"));
        }
    });
}

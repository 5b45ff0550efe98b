//! `crypto map M N gdoi`: which group protects the interface that carries the map.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// One entry of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `crypto map ipv6`.
    pub is_ipv6: bool,
    /// `description`.
    pub description: Option<String>,
    /// `set group`.
    pub group: Option<String>,
    /// `match address`: the access list of the member's own denies.
    pub acl: Option<String>,
}

const HELP: &[(&str, &str)] = &[
    ("map", "Enter a crypto map"),
    ("ipv6", "Crypto map for IPv6"),
    ("set", "Set values for encryption/decryption"),
    ("match", "Match values"),
    ("address", "Match address of packets that stay clear"),
    ("group", "Group that protects the interface"),
    (
        "description",
        "Description of the crypto map statement policy",
    ),
    ("<map>", "Crypto map tag"),
    ("<sequence>", "Sequence to insert into crypto map entry"),
    ("<list>", "Access list name or number"),
    ("<text>", "Text of the description"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto map [ ipv6 ] <map:WORD> / <sequence:1-65535> gdoi",
            help: HELP,
        },
        apply: enter,
        examples: &["crypto map gm_map 10 gdoi", "crypto map gm_map 10  gdoi"],
    },
    Command {
        mode: Mode::CryptoMap,
        syntax: Syntax {
            grammar: "set group / <group:WORD>",
            help: HELP,
        },
        apply: group,
        examples: &["set group G1"],
    },
    Command {
        mode: Mode::CryptoMap,
        syntax: Syntax {
            grammar: "match address / <list:WORD>",
            help: HELP,
        },
        apply: acl,
        examples: &["match address LOCAL_DENY"],
    },
    Command {
        mode: Mode::CryptoMap,
        syntax: Syntax {
            grammar: "description / <text:LINE>",
            help: HELP,
        },
        apply: description,
        examples: &["description any to any"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = line.word("map")?.to_owned();
    let sequence = line.number::<u16>("sequence").ok();
    let is_ipv6 = line.has("ipv6");
    if line.removes() {
        return remove(editor, &name, sequence);
    }
    let sequence = sequence.ok_or(crate::cli::grammar::Incomplete)?;
    let entries = editor.config.crypto_maps.entry(name.clone()).or_default();
    if entries.values().any(|entry| entry.is_ipv6 != is_ipv6) {
        return Err(Refusal::new(format!(
            "% Crypto-map {name} exists for the other family"
        )));
    }
    let is_new = !entries.contains_key(&sequence);
    entries.entry(sequence).or_default().is_ipv6 = is_ipv6;
    if is_new && editor.is_live() {
        editor.warn(
            "% NOTE: This new crypto map will remain disabled until a valid group has been \
             configured.",
        );
    }
    editor.enter(Place::CryptoMap(name, sequence));
    Ok(())
}

fn remove(editor: &mut Editor<'_>, name: &str, sequence: Option<u16>) -> Result<(), Refusal> {
    let Some(entries) = editor.config.crypto_maps.get_mut(name) else {
        return Ok(());
    };
    let empties = sequence.is_none_or(|n| entries.len() == 1 && entries.contains_key(&n));
    if empties {
        let users = editor.config.interfaces.iter();
        let users: Vec<_> = users
            .filter(|(_, interface)| interface.crypto_map.as_deref() == Some(name))
            .map(|(interface, _)| interface.as_str())
            .collect();
        if !users.is_empty() {
            let users = users.join(" ");
            return Err(Refusal::new(format!(
                "% Crypto-map {name} is in use by interface(s): {users}"
            )));
        }
        editor.config.crypto_maps.remove(name);
    } else if let Some(sequence) = sequence {
        entries.remove(&sequence);
    }
    Ok(())
}

fn entry<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Entry, Refusal> {
    let Place::CryptoMap(name, sequence) = editor.place(0)?.clone() else {
        return Err(gone());
    };
    let entries = editor.config.crypto_maps.get_mut(&name).ok_or_else(gone)?;
    entries.get_mut(&sequence).ok_or_else(gone)
}

fn group(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if line.removes() {
        entry(editor)?.group = None;
        return Ok(());
    }
    let name = line.word("group")?.to_owned();
    let is_ipv6 = entry(editor)?.is_ipv6;
    match editor.config.groups.get(&name) {
        None if editor.is_live() => {
            return Err(Refusal::new(format!("% group {name} doesn't yet exist.")));
        }
        // The guide's text has no blank after the full stop.
        Some(group) if group.is_ipv6 && !is_ipv6 => {
            return Err(Refusal::new(format!(
                "Group {name} is an IPv6 group and Crypto map is for IPv4.Please set an IPv4 group."
            )));
        }
        Some(group) if !group.is_ipv6 && is_ipv6 => {
            return Err(Refusal::new(format!(
                "Group {name} is an IPv4 group and Crypto map is for IPv6.Please set an IPv6 group."
            )));
        }
        None | Some(_) => {}
    }
    entry(editor)?.group = Some(name);
    Ok(())
}

fn acl(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let list = if line.removes() {
        None
    } else {
        Some(line.word("list")?.to_owned())
    };
    entry(editor)?.acl = list;
    Ok(())
}

fn description(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let description = if line.removes() {
        None
    } else {
        Some(line.word("text")?.to_owned())
    };
    entry(editor)?.description = description;
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (name, entries) in &config.crypto_maps {
        for (sequence, entry) in entries {
            let family = if entry.is_ipv6 { "ipv6 " } else { "" };
            text.line(format_args!("crypto map {family}{name} {sequence} gdoi"));
            text.block(|text| {
                if let Some(description) = &entry.description {
                    text.line(format_args!("description {description}"));
                }
                if let Some(group) = &entry.group {
                    text.line(format_args!("set group {group}"));
                }
                if let Some(list) = &entry.acl {
                    text.line(format_args!("match address {list}"));
                }
            });
        }
        text.separate();
    }
}

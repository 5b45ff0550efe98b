//! `ip access-list {extended | standard} NAME` and `access-list N ...`.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Ace, Acl, Action, AddressMatch, PortMatch, acl::protocol_number};

use crate::cli::grammar::{Item, Syntax, Value};
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};
use crate::limits::ACCESS_LIST_ENTRIES_MAX;

/// A list; its entries are tried in the order of their sequence numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessList {
    /// Which grammar its entries have.
    pub kind: Kind,
    entries: BTreeMap<u32, Entry>,
    /// The same without their numbers, to find a copy at once.
    known: BTreeSet<Entry>,
}

/// The two grammars.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Source addresses only.
    Standard,
    /// Protocol, both addresses, ports.
    Extended,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// `permit` or `deny`.
    Ace(Ace),
    /// `remark`.
    Remark(String),
}

/// Distance of the sequence numbers that entries get by themselves.
const STEP: u32 = 10;

impl AccessList {
    /// An empty list.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            entries: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    /// The entries by sequence number.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<u32, Entry> {
        &self.entries
    }

    /// The entries with their sequence numbers, remarks left out.
    pub fn aces(&self) -> impl Iterator<Item = (u32, &Ace)> {
        self.entries
            .iter()
            .filter_map(|(sequence, entry)| match entry {
                Entry::Ace(ace) => Some((*sequence, ace)),
                Entry::Remark(_) => None,
            })
    }

    /// The list as the machines know it.
    #[must_use]
    pub fn to_acl(&self, name: &str) -> Acl {
        Acl {
            name: name.to_owned(),
            entries: self.aces().map(|(_, ace)| *ace).collect(),
        }
    }

    fn is_numbered_by_default(&self) -> bool {
        let mut next = 0;
        self.entries.keys().all(|sequence| {
            next += STEP;
            *sequence == next
        })
    }

    fn add(&mut self, sequence: Option<u32>, entry: Entry) -> Result<(), Refusal> {
        if sequence.is_none() && self.known.contains(&entry) {
            // IOS takes an entry that is there already for said.
            return Ok(());
        }
        if self.entries.len() >= ACCESS_LIST_ENTRIES_MAX {
            return Err(Refusal::new(format!(
                "% An access list has at most {ACCESS_LIST_ENTRIES_MAX} entries"
            )));
        }
        let last = self
            .entries
            .last_key_value()
            .map_or(0, |(sequence, _)| *sequence);
        let sequence = match sequence {
            Some(sequence) => sequence,
            None => last.checked_add(STEP).ok_or_else(|| {
                Refusal::new("% Sequence numbers are used up: resequence the list")
            })?,
        };
        match self.entries.get(&sequence) {
            Some(own) if *own != entry => Err(Refusal::new(format!(
                "% Duplicate sequence number {sequence}"
            ))),
            Some(_) => Ok(()),
            None => {
                self.known.insert(entry.clone());
                self.entries.insert(sequence, entry);
                Ok(())
            }
        }
    }

    fn remove(&mut self, entry: &Entry) {
        if self.known.remove(entry) {
            self.entries.retain(|_, own| own != entry);
        }
    }

    fn remove_sequence(&mut self, sequence: u32) {
        // A copy under another number keeps the entry known.
        if let Some(entry) = self.entries.remove(&sequence)
            && !self.entries.values().any(|own| *own == entry)
        {
            self.known.remove(&entry);
        }
    }
}

const HELP: &[(&str, &str)] = &[
    ("access-list", "Add an access list entry"),
    ("standard", "Standard access list"),
    ("remark", "Access list entry comment"),
    ("tcp", "Transmission Control Protocol"),
    ("udp", "User Datagram Protocol"),
    ("icmp", "Internet Control Message Protocol"),
    ("igmp", "Internet Gateway Message Protocol"),
    ("ipinip", "IP in IP tunneling"),
    ("gre", "GRE tunneling"),
    ("esp", "Encapsulation Security Payload"),
    ("ahp", "Authentication Header Protocol"),
    ("eigrp", "EIGRP routing protocol"),
    ("ospf", "OSPF routing protocol"),
    ("pim", "Protocol Independent Multicast"),
    ("pcp", "Payload Compression Protocol"),
    ("ip", "Any Internet Protocol"),
    ("<protocol>", "An IP protocol number"),
    ("<sequence>", "Sequence number"),
    ("<list>", "Access list number"),
    ("<name>", "Access list name or number"),
    ("<text>", "Comment up to 100 characters"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "ip access-list ( extended | standard ) <name:WORD>",
            help: HELP,
        },
        apply: enter,
        examples: &[
            "ip access-list extended ENCPOL",
            "ip access-list standard MEMBERS",
        ],
    },
    Command {
        mode: Mode::ExtendedAccessList,
        syntax: Syntax {
            grammar: "( @ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: entry,
        examples: &[
            "permit ip 192.168.0.0 0.0.255.255 192.168.0.0 0.0.255.255",
            "deny udp any eq 848 any eq isakmp",
            "permit tcp host 10.1.1.1 range 1000 2000 10.0.0.0 0.0.0.255 neq www",
            "deny udp any lt 10 any gt ntp",
            "permit 89 any any",
            "deny esp any any",
            "remark  what is  said here",
        ],
    },
    Command {
        mode: Mode::ExtendedAccessList,
        syntax: Syntax {
            grammar: "<sequence:1-2147483647> / ( @ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: entry,
        examples: &["15 permit ip any any", "20 remark last"],
    },
    Command {
        mode: Mode::StandardAccessList,
        syntax: Syntax {
            grammar: "( @standard-ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: entry,
        examples: &[
            "permit 10.1.20.2",
            "deny 10.1.0.0 0.0.255.255",
            "permit host 10.1.1.1",
        ],
    },
    Command {
        mode: Mode::StandardAccessList,
        syntax: Syntax {
            grammar: "<sequence:1-2147483647> / ( @standard-ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: entry,
        examples: &["15 permit any"],
    },
];

/// `access-list N ...`.
pub(crate) const NUMBERED: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "access-list ( <list:100-199> | <list:2000-2699> ) / \
                      ( @ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: numbered_extended,
        examples: &["access-list 150 permit ip host 172.16.1.2 host 172.16.254.2"],
    },
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "access-list ( <list:1-99> | <list:1300-1999> ) / \
                      ( @standard-ace | remark <text:LINE> )",
            help: HELP,
        },
        apply: numbered_standard,
        examples: &[
            "access-list 10 permit 10.1.20.2",
            "access-list 1301 remark members",
        ],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = line.word("name")?.to_owned();
    let kind = if line.has("extended") {
        Kind::Extended
    } else {
        Kind::Standard
    };
    if line.removes() {
        editor.config.access_lists.remove(&name);
        return Ok(());
    }
    if let Ok(number) = name.parse::<u32>()
        && kind_of_number(number) != Some(kind)
    {
        return Err(Refusal::new(format!(
            "% {name} is no number of such an access list"
        )));
    }
    list(editor.config, &name, kind)?;
    editor.enter(match kind {
        Kind::Extended => Place::ExtendedAccessList(name),
        Kind::Standard => Place::StandardAccessList(name),
    });
    Ok(())
}

fn kind_of_number(number: u32) -> Option<Kind> {
    match number {
        1..=99 | 1300..=1999 => Some(Kind::Standard),
        100..=199 | 2000..=2699 => Some(Kind::Extended),
        _ => None,
    }
}

fn list<'a>(config: &'a mut Config, name: &str, kind: Kind) -> Result<&'a mut AccessList, Refusal> {
    let lists = &mut config.access_lists;
    if lists.get(name).is_some_and(|list| list.kind != kind) {
        return Err(Refusal::new(format!(
            "% A named list of another kind is called {name}"
        )));
    }
    Ok(lists
        .entry(name.to_owned())
        .or_insert_with(|| AccessList::new(kind)))
}

fn entry(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let (Place::ExtendedAccessList(name) | Place::StandardAccessList(name)) =
        editor.place(0)?.clone()
    else {
        return Err(gone());
    };
    let sequence = line.number("sequence").ok();
    let list = editor.config.access_lists.get_mut(&name).ok_or_else(gone)?;
    match (read(line, list.kind)?, sequence, line.removes()) {
        (Some(entry), sequence, false) => list.add(sequence, entry)?,
        (_, Some(sequence), true) => {
            list.remove_sequence(sequence);
        }
        (Some(entry), None, true) => list.remove(&entry),
        (None, _, _) => return Err(crate::cli::grammar::Incomplete.into()),
    }
    Ok(())
}

fn numbered_extended(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    numbered(editor, line, Kind::Extended)
}

fn numbered_standard(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    numbered(editor, line, Kind::Standard)
}

fn numbered(editor: &mut Editor<'_>, line: &Line, kind: Kind) -> Result<(), Refusal> {
    let name = line.number::<u32>("list")?.to_string();
    match (read(line, kind)?, line.removes()) {
        (Some(entry), false) => list(editor.config, &name, kind)?.add(None, entry)?,
        (Some(entry), true) => {
            if let Some(list) = editor.config.access_lists.get_mut(&name) {
                list.remove(&entry);
            }
        }
        (None, true) => {
            editor.config.access_lists.remove(&name);
        }
        (None, false) => return Err(crate::cli::grammar::Incomplete.into()),
    }
    Ok(())
}

/// The entry that a line spells, if it spells one.
fn read(line: &Line, kind: Kind) -> Result<Option<Entry>, Refusal> {
    if line.has("remark") {
        return Ok(Some(Entry::Remark(line.word("text")?.to_owned())));
    }
    let action = match (line.has("permit"), line.has("deny")) {
        (true, _) => Action::Permit,
        (_, true) => Action::Deny,
        (false, false) => return Ok(None),
    };
    let at = line
        .items
        .iter()
        .position(|item| matches!(item, Item::Keyword("permit" | "deny")));
    let mut reader = Reader {
        items: line.items.get(at.map_or(0, |at| at + 1)..).unwrap_or(&[]),
    };
    let ace = match kind {
        Kind::Standard => Ace {
            action,
            source: reader.address(true)?,
            ..Ace::PERMIT_IP_ANY_ANY
        },
        Kind::Extended => {
            let protocol = reader.protocol()?;
            Ace {
                action,
                protocol,
                source: reader.address(false)?,
                source_port: reader.port(protocol)?,
                destination: reader.address(false)?,
                destination_port: reader.port(protocol)?,
            }
        }
    };
    Ok(Some(Entry::Ace(ace)))
}

/// The words of an entry, taken from the front.
struct Reader<'a> {
    items: &'a [Item],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Item> {
        let (first, rest) = self.items.split_first()?;
        self.items = rest;
        Some(first)
    }

    fn protocol(&mut self) -> Result<Option<u8>, Refusal> {
        match self.next() {
            Some(Item::Keyword("ip")) => Ok(None),
            Some(Item::Keyword(word)) => Ok(protocol_number(word)),
            Some(Item::Argument(_, Value::Number(number))) => Ok(u8::try_from(*number).ok()),
            Some(Item::Argument(..)) | None => Err(crate::cli::grammar::Incomplete.into()),
        }
    }

    fn address(&mut self, host_without_wildcard: bool) -> Result<AddressMatch, Refusal> {
        match self.next() {
            Some(Item::Keyword("any")) => Ok(AddressMatch::Any),
            Some(Item::Keyword("host")) => match self.next() {
                Some(Item::Argument(_, Value::Address(address))) => {
                    Ok(AddressMatch::host(*address))
                }
                _ => Err(crate::cli::grammar::Incomplete.into()),
            },
            Some(Item::Argument(_, Value::Address(address))) => match self.items.first() {
                Some(Item::Argument(_, Value::Address(wildcard))) => {
                    self.next();
                    Ok(AddressMatch::v4(*address, *wildcard))
                }
                _ if host_without_wildcard => Ok(AddressMatch::host(*address)),
                _ => Err(crate::cli::grammar::Incomplete.into()),
            },
            _ => Err(crate::cli::grammar::Incomplete.into()),
        }
    }

    fn port(&mut self, protocol: Option<u8>) -> Result<PortMatch, Refusal> {
        let Some(Item::Keyword(operator @ ("eq" | "neq" | "lt" | "gt" | "range"))) =
            self.items.first()
        else {
            return Ok(PortMatch::Any);
        };
        if !matches!(protocol, Some(6 | 17)) {
            return Err(Refusal::new("% Only tcp and udp entries name ports"));
        }
        self.next();
        let first = self.service()?;
        Ok(match *operator {
            "eq" => PortMatch::Eq(first),
            "neq" => PortMatch::Neq(first),
            "lt" => PortMatch::Lt(first),
            "gt" => PortMatch::Gt(first),
            _ => {
                let last = self.service()?;
                if first > last {
                    return Err(Refusal::new(
                        "% A range goes from the lower to the higher port",
                    ));
                }
                PortMatch::Range(first, last)
            }
        })
    }

    fn service(&mut self) -> Result<u16, Refusal> {
        match self.next() {
            Some(Item::Argument(_, Value::Number(number))) => {
                u16::try_from(*number).map_err(|_| Refusal::new("% A port is 0 to 65535"))
            }
            Some(Item::Argument(_, Value::Word(word))) => {
                let known = SERVICES
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(word));
                known.map(|(_, port)| *port).ok_or_else(|| {
                    Refusal::new(format!(
                        "% \"{word}\" is no port: expected 0 to 65535 or a name"
                    ))
                })
            }
            _ => Err(crate::cli::grammar::Incomplete.into()),
        }
    }
}

/// Port names of IOS.
const SERVICES: &[(&str, u16)] = &[
    ("bgp", 179),
    ("bootpc", 68),
    ("bootps", 67),
    ("cmd", 514),
    ("discard", 9),
    ("domain", 53),
    ("echo", 7),
    ("exec", 512),
    ("finger", 79),
    ("ftp", 21),
    ("ftp-data", 20),
    ("hostname", 101),
    ("ident", 113),
    ("isakmp", 500),
    ("kerberos", 88),
    ("ldp", 646),
    ("login", 513),
    ("nameserver", 42),
    ("netbios-dgm", 138),
    ("netbios-ns", 137),
    ("netbios-ss", 139),
    ("nntp", 119),
    ("non500-isakmp", 4500),
    ("ntp", 123),
    ("pim-auto-rp", 496),
    ("pop3", 110),
    ("rip", 520),
    ("smtp", 25),
    ("snmp", 161),
    ("snmptrap", 162),
    ("ssh", 22),
    ("sunrpc", 111),
    ("syslog", 514),
    ("tacacs", 49),
    ("telnet", 23),
    ("tftp", 69),
    ("time", 37),
    ("whois", 43),
    ("www", 80),
];

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (name, list) in &config.access_lists {
        let is_number = name.parse::<u32>().is_ok();
        let by_default = list.is_numbered_by_default();
        if is_number && by_default && !list.entries.is_empty() {
            for entry in list.entries.values() {
                text.line(format_args!(
                    "access-list {name} {}",
                    words(entry, list.kind)
                ));
            }
            text.separate();
            continue;
        }
        text.line(format_args!(
            "{}",
            match list.kind {
                Kind::Extended => Place::ExtendedAccessList(name.clone()),
                Kind::Standard => Place::StandardAccessList(name.clone()),
            }
        ));
        text.block(|text| {
            for (sequence, entry) in &list.entries {
                let words = words(entry, list.kind);
                if by_default {
                    text.line(format_args!("{words}"));
                } else {
                    text.line(format_args!("{sequence} {words}"));
                }
            }
        });
        text.separate();
    }
}

fn words(entry: &Entry, kind: Kind) -> String {
    match (entry, kind) {
        (Entry::Remark(text), _) => format!("remark {text}"),
        (Entry::Ace(ace), Kind::Extended) => ace.to_string(),
        (Entry::Ace(ace), Kind::Standard) => format!("{} {}", ace.action, ace.source),
    }
}

//! `sa ipsec N` of a key server: a policy that members install.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::Command;
use crate::config::edit::{Editor, Line, Place, Refusal, Verb, gone};
use crate::config::render::Text;

/// One policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sa {
    /// `profile`.
    pub profile: Option<String>,
    /// `match address ipv4`, the access list's name.
    pub acl: Option<String>,
    /// `match address ipv6`.
    pub acl_ipv6: Option<String>,
    /// `replay`.
    pub replay: Replay,
    /// Lines of features that are not here.
    pub inert: Vec<String>,
}

/// What the policy says of replay.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// Nothing: no TBAR; counter modes still have their window per sender (PROTOCOL P28).
    #[default]
    Default,
    /// `no replay`: the same, said.
    Off,
    /// `replay time window-size`: TBAR with this window, seconds.
    Time(u32),
}

const HELP: &[(&str, &str)] = &[
    ("sa", "Configure security associations"),
    ("ipsec", "Configure an IPsec SA"),
    ("profile", "Specify the IPsec profile"),
    ("match", "Match characteristics of packets to encrypt"),
    ("address", "Match address of packets to encrypt"),
    ("replay", "Set the anti-replay method"),
    ("time", "Time-based anti-replay (TBAR)"),
    ("window-size", "Set the size of the window"),
    ("<number>", "Sequence number of the SA"),
    ("<profile>", "IPsec profile name"),
    ("<list>", "Access list name or number"),
    ("<window>", "Window in seconds"),
];

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar: "sa ipsec <number:1-65535>",
            help: HELP,
        },
        apply: enter,
        examples: &["sa ipsec 1"],
    },
    Command {
        mode: Mode::SaIpsec,
        syntax: Syntax {
            grammar: "profile / <profile:WORD>",
            help: HELP,
        },
        apply: profile,
        examples: &["profile gdoi-p"],
    },
    Command {
        mode: Mode::SaIpsec,
        syntax: Syntax {
            grammar: "match address ( ipv4 | ipv6 ) / <list:WORD>",
            help: HELP,
        },
        apply: acl,
        examples: &["match address ipv4 ENCPOL", "match address ipv4 150"],
    },
    Command {
        mode: Mode::SaIpsec,
        syntax: Syntax {
            grammar: "replay / time window-size <window:1-100>",
            help: HELP,
        },
        apply: replay,
        examples: &["replay time window-size 5", "no replay"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let number = line.number("number")?;
    let local = editor.server_local()?;
    if line.removes() {
        local.sas.remove(&number);
    } else {
        local.sas.entry(number).or_default();
        editor.enter(Place::SaIpsec(number));
    }
    Ok(())
}

pub(crate) fn sa<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Sa, Refusal> {
    let Place::SaIpsec(number) = *editor.place(0)? else {
        return Err(gone());
    };
    editor.server_local()?.sas.get_mut(&number).ok_or_else(gone)
}

fn profile(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = if line.removes() {
        None
    } else {
        Some(line.word("profile")?.to_owned())
    };
    sa(editor)?.profile = name;
    Ok(())
}

fn acl(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let list = if line.removes() {
        None
    } else {
        Some(line.word("list")?.to_owned())
    };
    let wants_ipv6 = line.has("ipv6");
    if list.is_some() && editor.group()?.is_ipv6 != wants_ipv6 {
        return Err(Refusal::new(if wants_ipv6 {
            "% An IPv4 group matches `match address ipv4`"
        } else {
            "% An IPv6 group matches `match address ipv6`"
        }));
    }
    let sa = sa(editor)?;
    if wants_ipv6 {
        sa.acl_ipv6 = list
    } else {
        sa.acl = list
    }
    Ok(())
}

fn replay(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let replay = match line.verb {
        Verb::Set => Replay::Time(line.number("window")?),
        Verb::No if line.has("time") => Replay::Default,
        Verb::No => Replay::Off,
        Verb::Default => Replay::Default,
    };
    sa(editor)?.replay = replay;
    Ok(())
}

pub(super) fn render(number: u16, sa: &Sa, text: &mut Text) {
    text.line(format_args!("sa ipsec {number}"));
    text.block(|text| {
        if let Some(profile) = &sa.profile {
            text.line(format_args!("profile {profile}"));
        }
        if let Some(list) = &sa.acl {
            text.line(format_args!("match address ipv4 {list}"));
        }
        if let Some(list) = &sa.acl_ipv6 {
            text.line(format_args!("match address ipv6 {list}"));
        }
        match sa.replay {
            Replay::Default => {}
            Replay::Off => text.line(format_args!("no replay")),
            Replay::Time(seconds) => text.line(format_args!("replay time window-size {seconds}")),
        }
        for line in &sa.inert {
            text.line(format_args!("{line}"));
        }
    });
}

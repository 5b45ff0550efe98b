//! Lines of IOS whose features are not here.
//!
//! They are taken with a warning, have no effect, and stay in the running configuration, so that a
//! router's file loads as it is. What would weaken security if it were silently without effect is
//! not in these tables: it is an error until it works.

use super::edit::{Editor, Line, Place, Refusal, gone};
use super::render::Text;
use super::{Apply, Command, Config};
use crate::cli::grammar::{Item, Syntax};
use crate::cli::mode::Mode;

/// A line, with the lines below it if it is a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line.
    pub text: String,
    /// The lines below it with their depth, 1 or more.
    pub lines: Vec<(u8, String)>,
}

const HELP: &[(&str, &str)] = &[("<rest>", "Kept, without effect here")];

const fn of(mode: Mode, grammar: &'static str, apply: Apply) -> Command {
    Command {
        mode,
        syntax: Syntax {
            grammar,
            help: HELP,
        },
        apply,
        examples: &[],
    }
}

pub(crate) const COMMANDS: &[Command] = &[
    of(
        Mode::Global,
        "( buffers | platform | license | ntp | clock | snmp-server ) / <rest:LINE>",
        keep,
    ),
    of(
        Mode::Global,
        "( version | boot-start-marker | boot-end-marker ) [ <rest:LINE> ]",
        keep_quietly,
    ),
    of(Mode::Global, "aaa new-model", keep),
    of(
        Mode::Global,
        "service ( pad | password-encryption | tcp-keepalives-in | tcp-keepalives-out | config \
         | dhcp | sequence-numbers )",
        keep,
    ),
    of(
        Mode::Global,
        "ip ( cef | multicast-routing | flow-export | flow-cache | flow-top-talkers | pim \
         | forward-protocol | http | domain | domain-name | domain-lookup | name-server | ssh \
         | source-route | finger | bootp | gratuitous-arps | subnet-zero | classless ) \
         [ <rest:LINE> ]",
        keep,
    ),
    of(
        Mode::Global,
        "ipv6 ( unicast-routing | cef ) [ <rest:LINE> ]",
        keep,
    ),
    of(
        Mode::Global,
        "logging ( host | trap | source-interface | facility | rate-limit | on ) [ <rest:LINE> ]",
        keep,
    ),
    of(
        Mode::Global,
        "monitor event-trace ( timestamps | stacktrace | dump-file | dump | sequence-number \
         | crypto | dmvpn | cef | adjacency ) / <rest:LINE>",
        keep,
    ),
    of(
        Mode::Global,
        "crypto call admission limit ( ike percent | ipsec | load ) / <rest:LINE>",
        keep,
    ),
    of(
        Mode::Global,
        "crypto isakmp ( invalid-spi-recovery | identity address | enable )",
        keep,
    ),
    of(
        Mode::Global,
        "crypto ipsec ( security-association | df-bit | fragmentation ) / <rest:LINE>",
        keep,
    ),
    of(
        Mode::Global,
        "event manager ( environment | session ) / <rest:LINE>",
        keep,
    ),
    of(Mode::Global, "event manager applet <rest:LINE>", applet),
    of(Mode::Global, "class-map <rest:LINE>", class_map),
    of(Mode::Global, "policy-map <rest:LINE>", policy_map),
    of(Mode::Global, "route-map <rest:LINE>", route_map),
    of(
        Mode::ClassMap,
        "( match | description ) / <rest:LINE>",
        child,
    ),
    of(
        Mode::PolicyMap,
        "( class | description ) / <rest:LINE>",
        child,
    ),
    of(
        Mode::PolicyMap,
        "( set | police | bandwidth | priority | shape | queue-limit | fair-queue | random-detect \
         | service-policy ) [ <rest:LINE> ]",
        grandchild,
    ),
    of(
        Mode::RouteMap,
        "( match | set | description | continue ) [ <rest:LINE> ]",
        child,
    ),
    of(
        Mode::Applet,
        "( event | action | description | trigger ) / <rest:LINE>",
        child,
    ),
    of(
        Mode::Interface,
        "ip ( flow | pim | accounting | policy | access-group | virtual-reassembly | nat | ospf \
         | nbar | igmp | redirects | unreachables | proxy-arp | route-cache | load-sharing \
         | verify | tcp ) [ <rest:LINE> ]",
        keep,
    ),
    of(
        Mode::Interface,
        "( service-policy | duplex | speed | encapsulation | serial | clock | load-interval \
         | bandwidth | delay | negotiation | keepalive | cdp | media-type | mtu | arp | ipv6 \
         | carrier-delay | hold-queue | tx-ring-limit | fair-queue ) [ <rest:LINE> ]",
        keep,
    ),
    of(
        Mode::Interface,
        "crypto ipsec df-bit / ( clear | set | copy )",
        keep,
    ),
    of(
        Mode::Group,
        "client ( registration interface | rekey | transform-sets ) / <rest:LINE>",
        keep,
    ),
    of(
        Mode::Group,
        "client ( protocol gikev2 | status | recovery-check ) / <rest:LINE>",
        keep,
    ),
    of(Mode::Group, "client ( pfs | bypass-policy )", keep),
    of(Mode::ServerLocal, "pfs", keep),
    of(Mode::ServerLocal, "gikev2 / <rest:WORD>", keep),
    of(
        Mode::ServerLocal,
        "rekey acknowledgement / ( cisco | interoperable | any )",
        keep,
    ),
    of(Mode::SaIpsec, "tag / cts sgt", keep),
    of(
        Mode::SaIpsec,
        "replay counter / window-size <window:1-1024>",
        keep,
    ),
];

/// The words before the first argument: what the warning names.
fn keywords(line: &Line) -> String {
    let words = line.items.iter().map_while(|item| match item {
        Item::Keyword(word) => Some(*word),
        Item::Argument(..) => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn keep(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if !line.removes() {
        editor.warn(format!(
            "`{}` is kept and has no effect here",
            keywords(line)
        ));
    }
    keep_quietly(editor, line)
}

fn keep_quietly(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let text = line.canonical();
    let lines = match editor.path().last() {
        None => {
            let blocks = &mut editor.config.inert;
            if line.removes() {
                blocks.retain(|block| !starts(&block.text, &text));
            } else if !blocks.iter().any(|block| block.text == text) {
                blocks.push(Block {
                    text,
                    lines: Vec::new(),
                });
            }
            return Ok(());
        }
        Some(Place::Interface(_)) => &mut super::interface::interface(editor)?.inert,
        Some(Place::Group(_)) if editor.path().len() == 1 => &mut editor.group()?.inert,
        Some(Place::ServerLocal) => &mut editor.server_local()?.inert,
        Some(Place::SaIpsec(_)) => &mut super::crypto::gdoi::sa_ipsec::sa(editor)?.inert,
        Some(_) => return Err(gone()),
    };
    if line.removes() {
        lines.retain(|own| !starts(own, &text));
    } else if !lines.contains(&text) {
        lines.push(text);
    }
    Ok(())
}

/// Whether the words of `line` start with those of `start`.
fn starts(line: &str, start: &str) -> bool {
    line.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn applet(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    block(editor, line, Mode::Applet)
}

fn class_map(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    block(editor, line, Mode::ClassMap)
}

fn policy_map(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    block(editor, line, Mode::PolicyMap)
}

fn route_map(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    block(editor, line, Mode::RouteMap)
}

fn block(editor: &mut Editor<'_>, line: &Line, mode: Mode) -> Result<(), Refusal> {
    keep(editor, line)?;
    if !line.removes() {
        editor.enter(Place::Inert(mode, line.canonical()));
    }
    Ok(())
}

fn child(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    below(editor, line, 1)
}

fn grandchild(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    below(editor, line, 2)
}

fn below(editor: &mut Editor<'_>, line: &Line, depth: u8) -> Result<(), Refusal> {
    let Place::Inert(_, opener) = editor.place(0)?.clone() else {
        return Err(gone());
    };
    let text = line.canonical();
    let blocks = &mut editor.config.inert;
    let block = blocks
        .iter_mut()
        .find(|block| block.text == opener)
        .ok_or_else(gone)?;
    if line.removes() {
        block.lines.retain(|(_, own)| !starts(own, &text));
    } else {
        block.lines.push((depth, text));
    }
    Ok(())
}

pub(super) fn render(config: &Config, text: &mut Text) {
    for block in &config.inert {
        text.line(format_args!("{}", block.text));
        for (depth, line) in &block.lines {
            let depth = usize::from(*depth);
            text.line(format_args!("{:depth$}{line}", ""));
        }
        if !block.lines.is_empty() {
            text.separate();
        }
    }
    text.separate();
}

//! `crypto isakmp peer address A`: knobs of one peer.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// The knobs.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// `isakmp doi ipsec` (PROTOCOL P1).
    pub doi_ipsec: bool,
}

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto isakmp peer address <address:A.B.C.D>",
            help: &[
                ("peer", "Set peer policy"),
                ("address", "Policy for a peer with an IP address"),
                ("<address>", "Peer IP address"),
            ],
        },
        apply: enter,
        examples: &["crypto isakmp peer address 10.1.20.2"],
    },
    Command {
        mode: Mode::IsakmpPeer,
        syntax: Syntax {
            grammar: "isakmp doi ipsec",
            help: &[
                ("doi", "Domain of interpretation of phase 1"),
                ("ipsec", "Send the IPsec DOI instead of the GDOI one"),
            ],
        },
        apply: doi,
        examples: &["isakmp doi ipsec"],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let address = line.address("address")?;
    if line.removes() {
        editor.config.isakmp_peers.remove(&address);
    } else {
        editor.config.isakmp_peers.entry(address).or_default();
        editor.enter(Place::IsakmpPeer(address));
    }
    Ok(())
}

fn doi(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let Place::IsakmpPeer(address) = *editor.place(0)? else {
        return Err(gone());
    };
    let peer = editor
        .config
        .isakmp_peers
        .get_mut(&address)
        .ok_or_else(gone)?;
    peer.doi_ipsec = !line.removes();
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (address, peer) in &config.isakmp_peers {
        text.line(format_args!("{}", Place::IsakmpPeer(*address)));
        text.block(|text| {
            if peer.doi_ipsec {
                text.line(format_args!("isakmp doi ipsec"));
            }
        });
    }
    text.separate();
}

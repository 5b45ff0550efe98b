//! `ip route NETWORK MASK {GATEWAY | INTERFACE [GATEWAY]} [DISTANCE]`.
//!
//! The box never sets routes; it keeps the lines, and the lab applies them.

use std::net::Ipv4Addr;

use crate::cli::grammar::{Incomplete, Syntax};
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::interface::{full_name, mask};
use crate::config::render::Text;
use crate::config::{Command, Config};

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The network.
    pub network: Ipv4Addr,
    /// Its length 0..=32.
    pub length: u8,
    /// The interface, if the line names one.
    pub interface: Option<String>,
    /// The next hop, if the line names one.
    pub gateway: Option<Ipv4Addr>,
    /// The administrative distance, if the line says one.
    pub distance: Option<u8>,
}

/// Whether the ones of `mask` all stand before its zeros.
#[must_use]
pub fn is_mask(mask: Ipv4Addr) -> bool {
    mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() >= 32
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "ip route <network:A.B.C.D> <mask:A.B.C.D> / ( <gateway:A.B.C.D> | \
                  <interface:WORD> [ <gateway:A.B.C.D> ] ) [ <distance:1-255> ]",
        help: &[
            ("ip", "Global IP configuration subcommands"),
            ("route", "Establish static routes"),
            ("<network>", "Destination prefix"),
            ("<mask>", "Destination prefix mask"),
            ("<gateway>", "Forwarding router's address"),
            ("<interface>", "Interface"),
            ("<distance>", "Distance metric for this route"),
        ],
    },
    apply,
    examples: &[
        "ip route 0.0.0.0 0.0.0.0 10.1.11.1",
        "ip route 10.0.0.0 255.0.0.0 Serial1/0",
        "ip route 10.0.0.0 255.0.0.0 Serial1/0 10.1.11.1 200",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let network = line.address("network")?;
    let bits = line.address("mask")?;
    if !is_mask(bits) || network.to_bits() & !bits.to_bits() != 0 {
        return Err(Refusal::new("%Inconsistent address and mask"));
    }
    let length = u8::try_from(bits.to_bits().leading_ones()).unwrap_or(32);
    let distance: Result<u8, Incomplete> = line.number("distance");
    let route = Route {
        network,
        length,
        interface: line.word("interface").ok().map(|name| full_name(name, "")),
        gateway: line.address("gateway").ok(),
        distance: distance.ok(),
    };
    let routes = &mut editor.config.routes;
    // A second line to the same next hop changes its distance, a `no` needs no distance.
    let same_hop = |own: &Route| {
        own.network == network
            && own.length == length
            && own.interface == route.interface
            && own.gateway == route.gateway
    };
    let all = route.interface.is_none() && route.gateway.is_none();
    if line.removes() && all {
        routes.retain(|own| own.network != network || own.length != length);
    } else {
        routes.retain(|own| !same_hop(own));
    }
    if !line.removes() {
        routes.insert(route);
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for route in &config.routes {
        let words = [
            route.interface.clone(),
            route.gateway.map(|gateway| gateway.to_string()),
            route.distance.map(|distance| distance.to_string()),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        let (network, words) = (route.network, words.join(" "));
        text.line(format_args!(
            "ip route {network} {} {words}",
            mask(route.length)
        ));
    }
    text.separate();
}

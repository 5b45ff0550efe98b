//! `interface X`: what the configuration says of a network interface.
//!
//! The box never sets addresses or link state; it compares them with the kernel's.

use std::net::Ipv4Addr;

use super::edit::{Editor, Line, Place, Refusal, gone};
use super::ip::route::is_mask;
use super::render::Text;
use super::{Command, Config};
use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `description`.
    pub description: Option<String>,
    /// `ip address A M`, with the length of the mask.
    pub address: Option<(Ipv4Addr, u8)>,
    /// `ip address A M secondary`.
    pub secondary: Vec<(Ipv4Addr, u8)>,
    /// `ip mtu`, octets.
    pub ip_mtu: Option<u16>,
    /// `shutdown`.
    pub shutdown: bool,
    /// `crypto map`.
    pub crypto_map: Option<String>,
    /// Lines of features that are not here.
    pub inert: Vec<String>,
}

/// Types of IOS interfaces, as their names begin.
const TYPES: [&str; 12] = [
    "Serial",
    "Ethernet",
    "FastEthernet",
    "GigabitEthernet",
    "TenGigabitEthernet",
    "HundredGigE",
    "Loopback",
    "Tunnel",
    "Vlan",
    "Port-channel",
    "Dialer",
    "BVI",
];

const HELP: &[(&str, &str)] = &[
    ("interface", "Select an interface to configure"),
    ("description", "Interface specific description"),
    ("address", "Set the IP address of an interface"),
    ("secondary", "Make this IP address a secondary address"),
    ("ip", "Interface Internet Protocol config commands"),
    ("mtu", "Set IP Maximum Transmission Unit"),
    ("shutdown", "Shutdown the selected interface"),
    ("map", "Assign a crypto map"),
    ("<name>", "Device, its alias, or the alias's abbreviation"),
    ("<unit>", "Interface number"),
    ("<mask>", "IP subnet mask"),
    ("<map>", "Crypto map tag"),
    ("<mtu>", "MTU (bytes)"),
    ("<text>", "Up to 240 characters describing this interface"),
];

const fn command(
    grammar: &'static str,
    apply: super::Apply,
    examples: &'static [&'static str],
) -> Command {
    Command {
        mode: Mode::Interface,
        syntax: Syntax {
            grammar,
            help: HELP,
        },
        apply,
        examples,
    }
}

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "interface <name:WORD> [ <unit:WORD> ]",
            help: HELP,
        },
        apply: enter,
        examples: &[
            "interface Serial1/0",
            "interface serial 1/0",
            "interface wan",
        ],
    },
    command(
        "description / <text:LINE>",
        description,
        &["description WAN  interface"],
    ),
    command(
        "ip address / <address:A.B.C.D> <mask:A.B.C.D> [ secondary ]",
        address,
        &[
            "ip address 10.1.11.2 255.255.255.0",
            "ip address 10.1.11.3 255.255.255.0 secondary",
        ],
    ),
    command("ip mtu / <mtu:68-65535>", mtu, &["ip mtu 1400"]),
    command("shutdown", shutdown, &["shutdown", "no shutdown"]),
    command(
        "crypto map / <map:WORD>",
        crypto_map,
        &["crypto map gm_map"],
    ),
];

/// The name in full: `se1/0` and `serial 1/0` are `Serial1/0`.
///
/// A name with a slash is never a device of Linux, so it can only be IOS's; every other name stays
/// as it is.
#[must_use]
pub fn full_name(name: &str, unit: &str) -> String {
    let joined = format!("{name}{unit}");
    let letters = joined.find(|c: char| !c.is_ascii_alphabetic() && c != '-');
    let Some((kind, number)) = letters.map(|place| joined.split_at(place)) else {
        return joined;
    };
    let is_ios = joined.contains('/') || !unit.is_empty();
    if kind.len() < 2 || !is_ios {
        return joined;
    }
    let full = TYPES.into_iter().find(|full| {
        full.get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
    });
    full.map_or_else(|| joined.clone(), |full| format!("{full}{number}"))
}

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = full_name(line.word("name")?, line.word("unit").unwrap_or(""));
    if line.removes() {
        editor.config.interfaces.remove(&name);
    } else {
        editor.config.interfaces.entry(name.clone()).or_default();
        editor.enter(Place::Interface(name));
    }
    Ok(())
}

pub(crate) fn interface<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Interface, Refusal> {
    let Place::Interface(name) = editor.place(0)?.clone() else {
        return Err(gone());
    };
    editor.config.interfaces.get_mut(&name).ok_or_else(gone)
}

fn description(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let text = if line.removes() {
        None
    } else {
        Some(line.word("text")?.to_owned())
    };
    interface(editor)?.description = text;
    Ok(())
}

fn address(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let Ok(address) = line.address("address") else {
        let interface = interface(editor)?;
        interface.address = None;
        interface.secondary.clear();
        return Ok(());
    };
    let mask = line.address("mask");
    let is_secondary = line.has("secondary");
    if line.removes() {
        let interface = interface(editor)?;
        interface.secondary.retain(|(own, _)| *own != address);
        interface.address = interface.address.filter(|(own, _)| *own != address);
        return Ok(());
    }
    let mask = mask?;
    if !is_mask(mask) || mask.is_unspecified() {
        return Err(Refusal::new(format!(
            "Bad mask {mask} for address {address}"
        )));
    }
    let length = u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32);
    let host = address.to_bits() & !mask.to_bits();
    if length < 31 && (host == 0 || host == !mask.to_bits()) {
        return Err(Refusal::new(format!(
            "Bad mask /{length} for address {address}"
        )));
    }
    let interface = interface(editor)?;
    if !is_secondary {
        interface.address = Some((address, length));
    } else if !interface.secondary.contains(&(address, length)) {
        interface.secondary.push((address, length));
    }
    Ok(())
}

fn mtu(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let mtu = if line.removes() {
        None
    } else {
        Some(line.number("mtu")?)
    };
    if mtu.is_some() {
        editor.warn("`ip mtu` has no effect here: set the MTU of the Linux device");
    }
    interface(editor)?.ip_mtu = mtu;
    Ok(())
}

fn shutdown(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if !line.removes() {
        editor.warn("`shutdown` has no effect here: set the Linux device down");
    }
    interface(editor)?.shutdown = !line.removes();
    Ok(())
}

fn crypto_map(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let map = if line.removes() {
        None
    } else {
        Some(line.word("map")?.to_owned())
    };
    if let Some(map) = &map
        && editor.is_live()
        && !editor.config.crypto_maps.contains_key(map)
    {
        return Err(Refusal::new(format!(
            "ERROR: Crypto Map with tag \"{map}\" does not exist."
        )));
    }
    interface(editor)?.crypto_map = map;
    Ok(())
}

/// The mask of that length.
pub(crate) fn mask(length: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(
        u32::MAX
            .checked_shl(32 - u32::from(length.min(32)))
            .unwrap_or(0),
    )
}

pub(super) fn render(config: &Config, text: &mut Text) {
    for (name, interface) in &config.interfaces {
        text.line(format_args!("{}", Place::Interface(name.clone())));
        text.block(|text| {
            if let Some(description) = &interface.description {
                text.line(format_args!("description {description}"));
            }
            for (address, length) in &interface.secondary {
                text.line(format_args!(
                    "ip address {address} {} secondary",
                    mask(*length)
                ));
            }
            if let Some((address, length)) = interface.address {
                text.line(format_args!("ip address {address} {}", mask(length)));
            }
            if let Some(mtu) = interface.ip_mtu {
                text.line(format_args!("ip mtu {mtu}"));
            }
            for line in &interface.inert {
                text.line(format_args!("{line}"));
            }
            if interface.shutdown {
                text.line(format_args!("shutdown"));
            }
            if let Some(map) = &interface.crypto_map {
                text.line(format_args!("crypto map {map}"));
            }
        });
        text.separate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ios_are_written_in_full_and_names_of_linux_are_left_alone() {
        assert_eq!(full_name("se1/0", ""), "Serial1/0");
        assert_eq!(full_name("serial", "1/0"), "Serial1/0");
        assert_eq!(full_name("Gi0/0/1", ""), "GigabitEthernet0/0/1");
        assert_eq!(full_name("loopback", "0"), "Loopback0");
        for linux in ["eth0", "wan", "se1", "eth0.100", "tun-x"] {
            assert_eq!(full_name(linux, ""), linux);
        }
    }

    #[test]
    fn masks_have_every_length() {
        assert_eq!(mask(0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(mask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(mask(32), Ipv4Addr::BROADCAST);
    }
}

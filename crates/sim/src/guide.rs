//! The guide's network in virtual time: key servers, members, a host behind each member.

use std::net::Ipv4Addr;

use router::Interface;
use router::config::{self, Config};

use crate::link::Link;
use crate::node::{Node, WAN};
use crate::scenario::World as _;
use crate::world::VirtualWorld;

/// The guide's boxes with their configurations, as the lab has them.
pub const BOXES: [(&str, &str); 4] = [
    ("ks1", include_str!("../../../topologies/guide/ks1.cfg")),
    ("ks2", include_str!("../../../topologies/guide/ks2.cfg")),
    ("gm1", include_str!("../../../topologies/guide/gm1.cfg")),
    ("gm2", include_str!("../../../topologies/guide/gm2.cfg")),
];

/// The guide's hosts.
pub const HOSTS: [(&str, Ipv4Addr); 2] = [
    ("h1", Ipv4Addr::new(192, 168, 20, 10)),
    ("h2", Ipv4Addr::new(192, 168, 21, 10)),
];

/// The guide's network, everything switched off.
///
/// # Errors
/// A configuration that cannot be read, with its lines.
pub fn world(seed: u64, link: &Link) -> Result<VirtualWorld, String> {
    let mut world = VirtualWorld::new(seed);
    for (name, text) in BOXES {
        world.add_node(
            name,
            Node::new(text.into(), interfaces(name, text)?),
            link.clone(),
        );
    }
    for (name, address) in HOSTS {
        world.add_host(name, address);
    }
    Ok(world)
}

/// The interfaces that a kernel would have for a configuration: the one with the crypto map, or the
/// only one, leads to the core.
pub(crate) fn interfaces(name: &str, text: &str) -> Result<Vec<Interface>, String> {
    let parsed = config::parse(name, text).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let wan = wan(&parsed.config);
    let mut found = Vec::new();
    for (place, (alias, interface)) in parsed.config.interfaces.iter().enumerate() {
        let index = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(2);
        let device = if Some(alias) == wan {
            WAN.to_owned()
        } else {
            format!("lan{place}")
        };
        found.push(Interface {
            name: device,
            alias: Some(alias.clone()),
            index,
            mac: [2, 0, 0, 0, 0, u8::try_from(index).unwrap_or(u8::MAX)],
            mtu: 1_500,
            addresses: interface
                .address
                .iter()
                .chain(&interface.secondary)
                .copied()
                .collect(),
        });
    }
    Ok(found)
}

fn wan(config: &Config) -> Option<&String> {
    let mapped = config
        .interfaces
        .iter()
        .find(|(_, one)| one.crypto_map.is_some());
    mapped
        .or_else(|| config.interfaces.iter().next())
        .map(|(name, _)| name)
}

/// How long the guide's boxes may take until both members are registered.
const BOOT: std::time::Duration = std::time::Duration::from_secs(120);

/// Starts every box, makes the rekey key, and waits until both members are registered.
///
/// # Errors
/// A box that does not start, or a member that does not register.
pub fn boot(world: &mut VirtualWorld) -> Result<(), String> {
    for (name, _) in BOXES {
        world.start(name)?;
    }
    world.exec("ks1", "crypto key generate rsa label get modulus 2048")?;
    let end = world.now() + BOOT;
    while world.now() < end {
        world.run_until(world.now() + std::time::Duration::from_millis(100));
        let registered = ["gm1", "gm2"].iter().all(|name| {
            world.node(name).is_some_and(|node| {
                node.log
                    .iter()
                    .any(|(_, line)| line.contains("GM_INSTALL_POLICIES_SUCCESS"))
            })
        });
        if registered {
            return Ok(());
        }
    }
    Err(format!("the members did not register within {BOOT:?}"))
}

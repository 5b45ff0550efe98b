//! From topology to the lines that iproute2's batch mode reads. Pure: decides what is made, in
//! which order and with which settings; [`crate::build`] runs it.

use std::fmt::Write;

use crate::addresses::Addressing;
use crate::place::Place;
use crate::topology::{Kind, Node, Topology};

/// The name that a configuration gives to a router's device.
fn ios_name(device: &str) -> Option<&'static str> {
    match device {
        "wan" => Some("Serial1/0"),
        "lan" => Some("Ethernet0/0"),
        _ => None,
    }
}

/// Lines that make all namespaces.
pub(crate) fn namespaces(place: &Place, topology: &Topology) -> String {
    let mut lines = String::new();
    for node in &topology.nodes {
        writeln!(lines, "netns add {}", place.namespace(&node.name)).expect("a string takes all");
    }
    lines
}

/// Lines that remove the namespaces of these nodes.
pub(crate) fn remove<'a>(place: &Place, nodes: impl Iterator<Item = &'a str>) -> String {
    let mut lines = String::new();
    for node in nodes {
        writeln!(lines, "netns delete {}", place.namespace(node)).expect("a string takes all");
    }
    lines
}

/// Lines that lay all cables, each end in its namespace and not up yet.
pub(crate) fn cables(place: &Place, topology: &Topology) -> String {
    let mut lines = String::new();
    for [a, b] in &topology.links {
        writeln!(
            lines,
            "link add name {} netns {} type veth peer name {} netns {}",
            a.device,
            place.namespace(&a.node),
            b.device,
            place.namespace(&b.node),
        )
        .expect("a string takes all");
    }
    lines
}

/// Lines for one node's namespace: aliases, addresses and routes of its configuration.
pub(crate) fn node(topology: &Topology, node: &Node, addressing: &Addressing) -> String {
    let mut lines = String::from("link set dev lo up\n");
    for device in topology.devices(&node.name) {
        let alias = ios_name(device).filter(|_| node.kind == Kind::Getvpn);
        if let Some(alias) = alias {
            writeln!(lines, "link set dev {device} alias {alias}").expect("a string takes all");
        }
        lines += &addressing.device_lines(device, alias);
    }
    lines + &addressing.route_lines()
}

/// Settings of a node's namespace below `/proc/sys/net`, written before its ports exist.
///
/// Routers route IPv6 too: that none of it passes a member is the member's doing.
pub(crate) fn settings(topology: &Topology, node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        // No second of waiting for the check that an IPv6 address is nobody else's.
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        // A port that loses its address keeps the others' routes; strict as a careful router is.
        ("ipv4/conf/all/rp_filter", "1"),
    ];
    if !topology.is_host(node) {
        settings.push(("ipv4/ip_forward", "1"));
        settings.push(("ipv6/conf/all/forwarding", "1"));
        settings.push(("ipv6/conf/default/forwarding", "1"));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    fn guide() -> (Place, Topology) {
        let place = Place {
            name: "gv".to_owned(),
            dir: "/nowhere".into(),
            as_root: true,
        };
        (place, topology::load("guide").unwrap())
    }

    #[test]
    fn every_cable_has_its_ends_in_the_namespaces_of_its_nodes() {
        let (place, topology) = guide();
        let lines = cables(&place, &topology);
        let first = "link add name wan netns gv-ks1 type veth peer name to-ks1 netns gv-core";
        assert_eq!(lines.lines().next(), Some(first));
        assert_eq!(lines.lines().count(), topology.links.len());
    }

    #[test]
    fn a_router_gets_aliases_then_addresses_then_links_up_then_routes() {
        let (_, topology) = guide();
        let gm1 = topology.node("gm1").unwrap();
        let config = gm1.startup_config.as_deref().unwrap();
        let lines = node(&topology, gm1, &Addressing::of("gm1.cfg", config).unwrap());
        assert_eq!(
            lines,
            "link set dev lo up\n\
             link set dev wan alias Serial1/0\n\
             address add 10.1.20.2/24 dev wan\n\
             link set dev wan up\n\
             link set dev lan alias Ethernet0/0\n\
             address add 192.168.20.1/24 dev lan\n\
             link set dev lan up\n\
             route add 0.0.0.0/0 via 10.1.20.1 metric 0\n"
        );
    }

    #[test]
    fn a_host_does_not_forward_and_a_router_does() {
        let (_, topology) = guide();
        let has = |name: &str, setting: &str| {
            let found = settings(&topology, topology.node(name).unwrap());
            found.contains(&(setting, "1"))
        };
        let (v4, v6) = ("ipv4/ip_forward", "ipv6/conf/all/forwarding");
        assert!(has("gm1", v4) && has("core", v4) && !has("h1", v4));
        assert!(has("gm1", v6) && has("core", v6) && !has("h1", v6));
    }
}

//! Cutting and healing the way between two nodes, silently: no port goes down, packets vanish, as
//! when a cable breaks behind a switch. Decides where the filters sit and what they match.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::build;
use crate::netns;
use crate::place::Place;
use crate::state::{Cut, Lab};
use crate::topology::{Endpoint, Kind};

/// Preference of the first cut's filters; every further one takes the next.
const FIRST_PREF: u16 = 1;
/// Offsets in an Ethernet frame: type, IPv4 source and destination.
const TYPE_AT: usize = 12;
const SOURCE_AT: usize = 26;
const DESTINATION_AT: usize = 30;
/// Verdicts of a filter in direct-action mode: drop, or let the next one decide.
const DROP: i32 = 2;
const GO_ON: i32 = -1;

/// Cuts the way between `a` and `b`: their cable if they share one, else what passes the neighbour
/// of `a` from or to the addresses of `b`.
pub(crate) fn cut(place: &Place, lab: &mut Lab, a: &str, b: &str) -> Result<()> {
    lab.node(a)?;
    lab.node(b)?;
    if find(lab, a, b).is_some() {
        bail!("{a} and {b} are cut already");
    }
    let (port, ingress, egress) = match shared_cable(lab, a, b) {
        Some(port) => (port, everything(), everything()),
        None => {
            let port = neighbour_port(lab, a)?;
            let (from, to) = (addresses(place, a)?, addresses(place, b)?);
            (port, between(&from, &to), between(&to, &from))
        }
    };
    let used = lab
        .cuts
        .iter()
        .filter(|cut| cut.port == port)
        .map(|cut| cut.pref)
        .max();
    let pref = used.map_or(FIRST_PREF, |pref| pref + 1);
    let device = &port.device;
    let filter = |hook: &str, code: &str| {
        format!("filter add dev {device} {hook} pref {pref} bpf bytecode '{code}' da\n")
    };
    let namespace = place.namespace(&port.node);
    if used.is_none() {
        // It may be there from an earlier cut, or be the router's own.
        let _ = build::tc_batch(&namespace, &format!("qdisc add dev {device} clsact\n"));
    }
    let lines = filter("ingress", &ingress) + &filter("egress", &egress);
    build::tc_batch(&namespace, &lines).context("cutting needs the kernel's cls_bpf")?;
    lab.cuts.push(Cut {
        a: a.to_owned(),
        b: b.to_owned(),
        port,
        pref,
    });
    Ok(())
}

/// Heals a cut.
pub(crate) fn heal(place: &Place, lab: &mut Lab, a: &str, b: &str) -> Result<()> {
    lab.node(a)?;
    lab.node(b)?;
    let Some(index) = find(lab, a, b) else {
        bail!("{a} and {b} are not cut")
    };
    let cut = &lab.cuts[index];
    let line = |hook: &str| {
        format!(
            "filter delete dev {} {hook} pref {}\n",
            cut.port.device, cut.pref
        )
    };
    let lines = line("ingress") + &line("egress");
    build::tc_batch(&place.namespace(&cut.port.node), &lines)?;
    lab.cuts.remove(index);
    Ok(())
}

fn find(lab: &Lab, a: &str, b: &str) -> Option<usize> {
    lab.cuts
        .iter()
        .position(|cut| (cut.a == a && cut.b == b) || (cut.a == b && cut.b == a))
}

/// The end of the cable between two nodes, best one where no router has filters of its own.
fn shared_cable(lab: &Lab, a: &str, b: &str) -> Option<Endpoint> {
    let link = lab
        .links
        .iter()
        .find(|[x, y]| (x.node == a && y.node == b) || (x.node == b && y.node == a))?;
    let plain = |end: &&Endpoint| {
        lab.node(&end.node)
            .is_ok_and(|node| node.kind == Kind::Linux)
    };
    link.iter().find(plain).or_else(|| link.first()).cloned()
}

/// The port of a plain neighbour that faces the node.
fn neighbour_port(lab: &Lab, node: &str) -> Result<Endpoint> {
    let facing = lab.links.iter().filter_map(|[x, y]| match node {
        name if x.node == name => Some(y),
        name if y.node == name => Some(x),
        _ => None,
    });
    let mut plain = facing.filter(|end| {
        lab.node(&end.node)
            .is_ok_and(|other| other.kind == Kind::Linux && !other.host)
    });
    let port = plain.next().cloned();
    port.with_context(|| {
        format!("{node} shares no cable with the other and has no plain neighbour")
    })
}

fn addresses(place: &Place, node: &str) -> Result<Vec<Ipv4Addr>> {
    let found = netns::inside(&place.open_namespace(node)?, || Ok(testbed::addresses()?))?;
    let found: Vec<_> = found
        .iter()
        .filter_map(|at| match at.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect();
    if found.is_empty() {
        bail!("{node} has no IPv4 address to cut by");
    }
    Ok(found)
}

/// A program in tc's notation that drops every frame.
fn everything() -> String {
    format!("1,6 0 0 {DROP}")
}

/// A program that drops IPv4 packets from one of `from` to one of `to`.
fn between(from: &[Ipv4Addr], to: &[Ipv4Addr]) -> String {
    // Loads, comparisons in order, then the two verdicts: `go on` before `drop`.
    let go_on = 4 + from.len() + to.len();
    let mut program = vec![format!("40 0 0 {TYPE_AT}")];
    program.push(format!("21 0 {} {}", go_on - 2, 0x0800));
    program.push(format!("32 0 0 {SOURCE_AT}"));
    for (index, address) in from.iter().enumerate() {
        let here = program.len();
        // A hit jumps over the other sources; a miss of the last one goes to the verdict.
        let hit = from.len() - 1 - index;
        let miss = if hit == 0 { go_on - here - 1 } else { 0 };
        program.push(format!("21 {hit} {miss} {}", u32::from(*address)));
    }
    program.push(format!("32 0 0 {DESTINATION_AT}"));
    for (index, address) in to.iter().enumerate() {
        let here = program.len();
        let hit = go_on - here;
        let miss = if index + 1 == to.len() { hit - 1 } else { 0 };
        program.push(format!("21 {hit} {miss} {}", u32::from(*address)));
    }
    program.push(format!("6 0 0 {}", GO_ON as u32));
    program.push(format!("6 0 0 {DROP}"));
    format!("{},{}", program.len(), program.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program of the five instructions used here on a frame.
    fn run(program: &str, frame: &[u8]) -> u32 {
        let mut parts = program.split(',');
        let count: usize = parts.next().unwrap().parse().unwrap();
        let code: Vec<Vec<u64>> = parts
            .map(|part| part.split(' ').map(|word| word.parse().unwrap()).collect())
            .collect();
        assert_eq!(code.len(), count);
        let load = |at: u64, len: usize| {
            frame[at as usize..][..len]
                .iter()
                .fold(0, |sum, octet| sum << 8 | u64::from(*octet))
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let [op, yes, no, k] = code[at][..] else {
                panic!("four words")
            };
            at += 1;
            match op {
                40 => value = load(k, 2),
                32 => value = load(k, 4),
                21 => at += if value == k { yes } else { no } as usize,
                6 => return k as u32,
                _ => panic!("instruction {op}"),
            }
        }
    }

    #[test]
    fn exactly_the_packets_between_the_two_sets_are_dropped() {
        let address = |last: u8| Ipv4Addr::new(10, 0, 0, last);
        for (sources, destinations) in [(1, 1), (1, 3), (3, 1), (2, 3)] {
            let from: Vec<_> = (0..sources).map(address).collect();
            let to: Vec<_> = (100..100 + destinations).map(address).collect();
            let program = between(&from, &to);
            for source in [0, 1, 2, 9, 100, 101] {
                for destination in [0, 9, 100, 101, 102, 103] {
                    for kind in [0x0800_u16, 0x86dd] {
                        let mut frame = vec![0; 60];
                        frame[12..14].copy_from_slice(&kind.to_be_bytes());
                        frame[26..30].copy_from_slice(&address(source).octets());
                        frame[30..34].copy_from_slice(&address(destination).octets());
                        let meant = kind == 0x0800
                            && from.contains(&address(source))
                            && to.contains(&address(destination));
                        let verdict = if meant { DROP } else { GO_ON };
                        assert_eq!(run(&program, &frame), verdict as u32, "{program}");
                    }
                }
            }
        }
        assert_eq!(run(&everything(), &[0; 60]), DROP as u32);
    }
}

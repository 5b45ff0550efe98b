//! Making a lab and taking it away: namespaces, cables, addresses, routers. Decides the order, and
//! that whatever was begun is removed again when a step fails.

use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::addresses::Addressing;
use crate::place::Place;
use crate::process::{self, Process};
use crate::state::{Folder, Lab};
use crate::topology::{Kind, Node, Topology};
use crate::{holder, impair, netns, plan, routers};

/// How a lab is to be built.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Start no router: the same network forwards in plain.
    pub(crate) plain: bool,
    /// Let the routers write a key log.
    pub(crate) keylog: bool,
}

/// Builds the network of a lab; its routers are not started yet.
pub(crate) fn network(place: &Place, topology: &Topology, wishes: Wishes) -> Result<(Folder, Lab)> {
    need_iproute2()?;
    let folder = Folder::create(place)?;
    let mut lab = Lab::of(topology, wishes.plain, wishes.keylog);
    let built = hold(place, &mut lab)
        .and_then(|()| folder.save(&lab))
        .and_then(|()| lay(place, topology, &mut lab))
        .and_then(|()| impair_cables(place, topology, &mut lab))
        .and_then(|()| folder.save(&lab));
    match built {
        Ok(()) => Ok((folder, lab)),
        Err(error) => {
            // The first fault is the one to report.
            let _ = remove(place, folder, Some(lab));
            Err(error)
        }
    }
}

/// Without root: starts the holder and moves into its namespaces.
fn hold(place: &Place, lab: &mut Lab) -> Result<()> {
    if place.as_root {
        return Ok(());
    }
    use std::os::unix::fs::MetadataExt;
    let holder = holder::start(&place.dir)?;
    lab.holder = Some(holder);
    let user = format!("/proc/{}/ns/user", holder.pid);
    lab.user_namespace = Some(fs::metadata(&user).context(user)?.ino());
    holder::enter(holder)
}

/// Lays namespaces, settings, cables, addresses; runs the nodes' own commands.
fn lay(place: &Place, topology: &Topology, lab: &mut Lab) -> Result<()> {
    ip_batch(None, &plan::namespaces(place, topology))?;
    for node in &topology.nodes {
        let namespace = place.open_namespace(&node.name)?;
        let settings = plan::settings(topology, node);
        netns::inside(&namespace, || {
            settings
                .iter()
                .try_for_each(|(name, value)| write_setting(name, value))
        })?;
    }
    ip_batch(None, &plan::cables(place, topology))?;
    for node in &topology.nodes {
        let config = node.startup_config.as_deref().unwrap_or_default();
        let file = format!("startup-config of {}", node.name);
        let addressing = Addressing::of(&file, config)?;
        let lines = plan::node(topology, node, &addressing);
        ip_batch(Some(&place.namespace(&node.name)), &lines)
            .with_context(|| format!("node {}", node.name))?;
        exec(place, node)?;
        if node.kind == Kind::Getvpn {
            routers::prepare(place, node)?;
            lab.router_mut(&node.name)?.rekey_keys = addressing.rekey_keys;
        }
        if testbed::interrupted() {
            bail!("interrupted");
        }
    }
    Ok(())
}

/// Impairs the cables that the topology wants impaired.
fn impair_cables(place: &Place, topology: &Topology, lab: &mut Lab) -> Result<()> {
    for worse in &topology.impaired {
        let [a, b] = &worse.link;
        impair::impair(place, lab, &a.node, &b.node, worse.impairment)?;
    }
    Ok(())
}

fn write_setting(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    match fs::write(&path, value) {
        // A kernel without IPv6 has no such setting, and no IPv6 to set.
        Err(error) if error.kind() == ErrorKind::NotFound && name.starts_with("ipv6/") => Ok(()),
        other => other.context(path),
    }
}

/// Runs the node's commands in order; neighbouring `ip` commands in one go.
fn exec(place: &Place, node: &Node) -> Result<()> {
    let namespace = place.namespace(&node.name);
    let mut batch = String::new();
    let flush = |batch: &mut String| {
        let lines = std::mem::take(batch);
        ip_batch(Some(&namespace), &lines).with_context(|| format!("exec of {}", node.name))
    };
    for line in &node.exec {
        if let Some(rest) = line
            .strip_prefix("ip ")
            .filter(|rest| !rest.starts_with('-'))
        {
            batch.push_str(rest);
            batch.push('\n');
            continue;
        }
        flush(&mut batch)?;
        let open = place.open_namespace(&node.name)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).stdin(Stdio::null());
        testbed::start_in(&mut command, &open, false);
        let status = command
            .status()
            .with_context(|| format!("exec of {}: {line}", node.name))?;
        if !status.success() {
            bail!("exec of {}: `{line}` failed: {status}", node.name);
        }
    }
    flush(&mut batch)
}

/// Fails with the name of the package when `ip` is not there.
pub(crate) fn need_iproute2() -> Result<()> {
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
    match found {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("the command `ip` is missing: install the package iproute2")
        }
        Err(error) => Err(error).context("ip -V"),
    }
}

/// Fails where a router could not make its TAP device: an ordinary user must be allowed to open the
/// character device, which udev allows and a machine without udev does not.
pub(crate) fn need_tap(place: &Place, topology: &Topology) -> Result<()> {
    const TUN: &str = "/dev/net/tun";
    let routers = topology.nodes.iter().any(|node| node.kind == Kind::Getvpn);
    if !routers || place.as_root {
        return Ok(());
    }
    let opened = fs::File::options().read(true).write(true).open(TUN);
    opened.map(drop).with_context(|| {
        format!("routers need {TUN}: run as root, or let users open it (`chmod 0666 {TUN}`)")
    })
}

/// Runs lines of iproute2's batch mode, in a named namespace if one is given.
pub(crate) fn ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    run_batch(command.args(["-batch", "-"]), lines)
}

/// Runs lines of `tc`'s batch mode in a named namespace.
pub(crate) fn tc_batch(namespace: &str, lines: &str) -> Result<()> {
    run_batch(
        Command::new("tc").args(["-n", namespace, "-batch", "-"]),
        lines,
    )
}

fn run_batch(command: &mut Command, lines: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{program}` (package iproute2)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A reader that stops early says why on its standard error.
        let _ = stdin.write_all(lines.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = said
        .lines()
        .find_map(|line| line.strip_prefix("Command failed -:"));
    let number = failed.and_then(|number| number.trim().parse::<usize>().ok());
    let line = number.and_then(|number| lines.lines().nth(number.checked_sub(1)?));
    let reason = said.lines().next().unwrap_or_default();
    bail!("{program} {}: {reason}", line.unwrap_or("-batch"))
}

/// Ends the lab's processes, removes its namespaces and its folder.
pub(crate) fn remove(place: &Place, folder: Folder, lab: Option<Lab>) -> Result<()> {
    if place.as_root {
        let names = namespaces_of(place);
        process::stop_all(&processes_in(&names));
        let nodes: Vec<_> = names
            .iter()
            .filter_map(|name| name.strip_prefix(&place.name)?.strip_prefix('-'))
            .collect();
        ip_batch(None, &plan::remove(place, nodes.into_iter()))?;
    } else if let Some(lab) = lab {
        let mut left = lab
            .user_namespace
            .map_or_else(Vec::new, |user| process::in_namespaces("user", &[user]));
        left.extend(lab.routers().filter_map(|node| node.router));
        left.retain(|process| Some(*process) != lab.holder);
        process::stop_all(&left);
        process::stop_all(lab.holder.as_slice());
    }
    folder.remove()
}

/// The named namespaces of this lab that exist, whatever its record says.
fn namespaces_of(place: &Place) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    let prefix = format!("{}-", place.name);
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

/// The processes that live in these named namespaces.
fn processes_in(names: &[String]) -> Vec<Process> {
    use std::os::unix::fs::MetadataExt;
    let found = names
        .iter()
        .filter_map(|name| fs::metadata(format!("/run/netns/{name}")).ok());
    let inodes: Vec<u64> = found.map(|found| found.ino()).collect();
    if inodes.is_empty() {
        Vec::new()
    } else {
        process::in_namespaces("net", &inodes)
    }
}

//! `getvpn close` and `getvpn release`: the steering of the ports with a crypto map, without a box.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use netio::Wait;
use netio::link::Monitor;
use netio::netlink::Socket;
use netio::steer;
use policy::steer::{Peers, Plan, Protected};
use router::{Interface, config};

use crate::event_loop::{BadConfig, interfaces};
use crate::{ports, write_diagnostics};

/// Exit status when a port with a crypto map is not there.
const MISSING: u8 = 1;

/// `getvpn close`: the exit status. Waits that long for devices that are not there yet.
///
/// # Errors
/// The configuration cannot be used, or the kernel refuses.
pub(crate) fn close(config: &Path, wait: Duration) -> Result<u8> {
    each(config, wait, |netlink, name, device| {
        let closed = ports::close(netlink, device.index, &closed_plan(name, device))
            .with_context(|| format!("cannot close {}", device.name))?;
        Ok(if closed { "closed" } else { "steered already" })
    })
}

/// `getvpn release`: the exit status.
///
/// # Errors
/// The configuration cannot be used, or the kernel refuses.
pub(crate) fn release(config: &Path) -> Result<u8> {
    each(config, Duration::ZERO, |netlink, _, device| {
        let released = steer::release(netlink, device.index)
            .with_context(|| format!("cannot release {}", device.name))?;
        Ok(if released {
            "released: it forwards in clear"
        } else {
            "was not steered"
        })
    })
}

/// Nobody forwards and nobody speaks GDOI yet: only the port's own link control passes.
fn closed_plan(name: &str, device: &Interface) -> Plan {
    Plan {
        device: device.name.clone(),
        interface: name.to_owned(),
        own: device.addresses.iter().map(|(own, _)| *own).collect(),
        peers: Peers::Servers(Vec::new()),
        protected: Protected::ALL,
    }
}

/// Does something to each port with a crypto map as soon as it is there, and says what.
fn each(
    config: &Path,
    wait: Duration,
    act: impl Fn(&mut Socket, &str, &Interface) -> Result<&'static str>,
) -> Result<u8> {
    let mut left = mapped(config)?;
    let mut netlink = Socket::open().context("cannot speak to the kernel by netlink")?;
    // Before the list: what changes after it is heard.
    let mut monitor = Monitor::open().context("cannot hear of changed interfaces")?;
    let mut out = std::io::stdout().lock();
    let end = Instant::now() + wait;
    loop {
        let devices = interfaces(&mut netlink)?;
        let mut missing = Vec::new();
        for name in left {
            match devices.iter().find(|device| device.is_named(&name)) {
                Some(device) => {
                    let did = act(&mut netlink, &name, device)?;
                    writeln!(out, "{name} ({}): {did}", device.name)?;
                }
                None => missing.push(name),
            }
        }
        left = missing;
        let time = end.saturating_duration_since(Instant::now());
        if left.is_empty() {
            return Ok(0);
        }
        if time.is_zero() {
            break;
        }
        netio::poll(&mut [Wait::for_input(monitor.as_fd())], Some(time))?;
        monitor.changed()?;
    }
    let have: Vec<String> = interfaces(&mut netlink)?
        .into_iter()
        .map(|one| one.name)
        .collect();
    for name in left {
        let have = have.join(", ");
        writeln!(
            out,
            "{name}: no device is named or aliased like that (have: {have})"
        )?;
    }
    Ok(MISSING)
}

/// The interfaces with a crypto map, as the configuration names them.
fn mapped(config: &Path) -> Result<Vec<String>> {
    let name = config.display().to_string();
    let text = std::fs::read_to_string(config).with_context(|| format!("cannot read {name}"))?;
    let parsed = config::parse(&name, &text).map_err(|found| {
        write_diagnostics(&found);
        BadConfig
    })?;
    let interfaces = parsed.config.interfaces.into_iter();
    Ok(interfaces
        .filter(|(_, interface)| interface.crypto_map.is_some())
        .map(|(name, _)| name)
        .collect())
}

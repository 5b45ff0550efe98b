//! Multicast routing in a plain node that forwards: the core of the guide's network carries rekeys to
//! the members that have joined, and to nobody else. Decides which ports a group's packets leave by;
//! the kernel carries them (IP_MROUTE).

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use netio::Wait;
use netio::mroute::{Heard, MulticastRouter};
use netio::testbed;

use crate::netns;
use crate::place::Place;
use crate::state::Lab;
use crate::topology::Kind;

/// How long the end of a lab waits for a router to notice it.
const LOOK: Duration = Duration::from_millis(50);

/// What the multicast routers of a lab are to do.
#[derive(Default)]
struct Orders {
    ends: AtomicBool,
    /// They hear who joins, and carry nothing.
    rests: AtomicBool,
}

/// The multicast routers of a lab; they end when this is dropped.
pub(crate) struct Routing {
    orders: Arc<Orders>,
    workers: Vec<JoinHandle<Result<()>>>,
}

impl Drop for Routing {
    fn drop(&mut self) {
        self.orders.ends.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // What it could not do shows as rekeys that do not arrive.
            let _ = netns::join(worker);
        }
    }
}

impl Routing {
    /// Whether they carry what is sent, from now on; it takes them a moment.
    pub(crate) fn pass(&self, passes: bool) {
        self.orders.rests.store(!passes, Ordering::Relaxed);
    }
}

/// Routes multicast in every plain node that forwards.
pub(crate) fn start(place: &Place, lab: &Lab) -> Result<Routing> {
    let orders = Arc::new(Orders::default());
    let mut routing = Routing {
        orders: Arc::clone(&orders),
        workers: Vec::new(),
    };
    let plain = lab.nodes.iter();
    for node in plain.filter(|node| node.kind == Kind::Linux && !node.host) {
        let namespace = place.open_namespace(&node.name)?;
        let router = netns::inside(&namespace, Router::start)
            .with_context(|| format!("multicast routing in {}", node.name))?;
        let orders = Arc::clone(&orders);
        let worker = netns::spawn(&namespace, move || router.run(&orders))?;
        routing.workers.push(worker);
    }
    Ok(routing)
}

/// A port that takes part.
struct Port {
    number: u16,
    address: Ipv4Addr,
    prefix_len: u32,
}

struct Router {
    kernel: MulticastRouter,
    ports: Vec<Port>,
    /// Hosts that hear a group, each behind its port.
    joined: BTreeMap<Ipv4Addr, BTreeSet<(u16, Ipv4Addr)>>,
    /// Sources that have sent to a group: by which port they come.
    sources: BTreeMap<(Ipv4Addr, Ipv4Addr), u16>,
    rests: bool,
}

impl Router {
    fn start() -> Result<Self> {
        let mut kernel = MulticastRouter::start()?;
        let mut ports = Vec::new();
        for at in testbed::addresses()? {
            let IpAddr::V4(address) = at.address else {
                continue;
            };
            let number = kernel.add_port(address, at.index)?;
            ports.push(Port {
                number,
                address,
                prefix_len: at.prefix_len,
            });
        }
        Ok(Self {
            kernel,
            ports,
            joined: BTreeMap::new(),
            sources: BTreeMap::new(),
            rests: false,
        })
    }

    fn run(mut self, orders: &Orders) -> Result<()> {
        while !orders.ends.load(Ordering::Relaxed) {
            let rests = orders.rests.load(Ordering::Relaxed);
            if self.rests != rests {
                self.rests = rests;
                let groups: BTreeSet<_> = self.sources.keys().map(|(group, _)| *group).collect();
                groups.into_iter().try_for_each(|group| self.route(group))?;
            }
            netio::poll(&mut [Wait::for_input(self.kernel_fd())], Some(LOOK))?;
            loop {
                match self.kernel.hear() {
                    Ok(heard) => heard.into_iter().try_for_each(|one| self.obey(one))?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn kernel_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.kernel)
    }

    fn obey(&mut self, heard: Heard) -> Result<()> {
        let group = match heard {
            Heard::Unrouted {
                port,
                source,
                group,
            } => {
                self.sources.insert((group, source), port);
                group
            }
            Heard::Report {
                host,
                group,
                joined,
            } => {
                let Some(port) = self.port_of(host) else {
                    return Ok(());
                };
                let hosts = self.joined.entry(group).or_default();
                if joined {
                    hosts.insert((port, host));
                } else {
                    hosts.remove(&(port, host));
                }
                group
            }
        };
        self.route(group)
    }

    /// The port whose network a host is in.
    fn port_of(&self, host: Ipv4Addr) -> Option<u16> {
        let shares = |port: &&Port| {
            let bits = u32::MAX.checked_shl(32 - port.prefix_len).unwrap_or(0);
            (port.address.to_bits() ^ host.to_bits()) & bits == 0
        };
        self.ports.iter().find(shares).map(|port| port.number)
    }

    /// Routes what every known source sends to a group; while it rests, to nobody.
    fn route(&self, group: Ipv4Addr) -> Result<()> {
        let hosts = self.joined.get(&group).filter(|_| !self.rests);
        let sources = self.sources.iter().filter(|((own, _), _)| *own == group);
        for ((_, source), from) in sources {
            let behind = hosts.into_iter().flatten().map(|(port, _)| *port);
            let to: Vec<u16> = behind.filter(|port| port != from).collect();
            self.kernel.route(*source, group, *from, &to)?;
        }
        Ok(())
    }
}

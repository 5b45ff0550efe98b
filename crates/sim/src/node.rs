//! One box of the simulation: what survives a crash, and what does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Snapshot, Worker};
use gdoi::BootId;
use policy::Time;
use router::{Interface, Router};

use crate::clock::NodeClock;
use crate::store::Store;

/// The place of a box in its world.
pub type NodeId = usize;

/// A box.
pub struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its configuration, IOS text.
    pub config: String,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// The process, if it runs.
    pub running: Option<Running>,
    /// How often it was started.
    pub boots: u32,
    /// Its log lines since the beginning of the world, if the world keeps them.
    pub log: Vec<(Time, String)>,
    /// What is on disk.
    pub(crate) store: Store,
    /// Its clocks.
    pub(crate) clock: NodeClock,
    /// The boot of the machine.
    pub(crate) boot: BootId,
    /// Where it dies next.
    pub(crate) trap: Option<Trap>,
    /// When it wants to be called, in the world's time.
    pub(crate) due: Option<Time>,
}

/// A process: gone when it is killed.
pub struct Running {
    /// The box itself.
    pub router: Router,
    /// The forwarder.
    pub worker: Worker,
    /// What the forwarder works by.
    pub snapshot: Arc<Snapshot>,
    /// Where it listens.
    pub listening: Vec<Ipv4Addr>,
    /// The multicast addresses that it hears.
    pub(crate) joined: BTreeSet<Ipv4Addr>,
    /// The traffic keys that it told the key log: SPI and the key's fingerprint.
    pub(crate) keys: BTreeMap<u32, u64>,
}

/// A boundary at which a process dies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// It asked for a commit, and nothing is written.
    BeforeCommit,
    /// The commit is on disk, and nobody was told.
    AfterCommit,
    /// It was told, and did nothing of what waited for it.
    AfterTold,
    /// A datagram would leave now.
    BeforeSend,
    /// A datagram has just left.
    AfterSend,
}

impl Boundary {
    /// Every boundary.
    pub(crate) const ALL: [Self; 5] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterTold,
        Self::BeforeSend,
        Self::AfterSend,
    ];
}

/// A process dies at the boundary after it has passed `skip` of its kind, and comes back later.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Trap {
    /// Where.
    pub(crate) boundary: Boundary,
    /// How many times it passes before.
    pub(crate) skip: u32,
    /// When it comes back.
    pub(crate) down: Duration,
}

impl Node {
    /// A box that was never started.
    #[must_use]
    pub fn new(config: String, interfaces: Vec<Interface>) -> Self {
        Self {
            name: String::new(),
            config,
            interfaces,
            running: None,
            boots: 0,
            log: Vec::new(),
            store: Store::default(),
            clock: NodeClock::default(),
            boot: BootId(*b"a virtual world."),
            trap: None,
            due: None,
        }
    }

    /// Whether it dies at this boundary, and for how long.
    pub(crate) fn springs(&mut self, boundary: Boundary) -> Option<Duration> {
        let trap = self
            .trap
            .as_mut()
            .filter(|trap| trap.boundary == boundary)?;
        if trap.skip > 0 {
            trap.skip -= 1;
            return None;
        }
        let down = trap.down;
        self.trap = None;
        Some(down)
    }

    /// Its own addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.interfaces
            .iter()
            .flat_map(|one| one.addresses.iter().map(|(own, _)| *own))
    }

    /// The networks of its LANs: address and prefix length.
    pub(crate) fn lans(&self) -> impl Iterator<Item = (Ipv4Addr, u8)> + '_ {
        self.interfaces
            .iter()
            .filter(|one| one.name != WAN)
            .flat_map(|one| one.addresses.iter().copied())
    }
}

/// The device that leads to the core.
pub const WAN: &str = "wan";

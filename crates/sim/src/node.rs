//! One box of the simulation: what survives a crash, and what does not.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crypto::Secret;
use dataplane::{Snapshot, Worker};
use gdoi::machine::Record;
use policy::Time;
use router::{Interface, Router};

/// A box.
pub struct Node {
    /// Its configuration, IOS text.
    pub config: String,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// What is on disk.
    pub disk: BTreeMap<Vec<u8>, Secret>,
    /// The process, if it runs.
    pub running: Option<Running>,
    /// How often it was started.
    pub boots: u32,
    /// Its log lines since the beginning of the world.
    pub log: Vec<(Time, String)>,
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
}

impl Node {
    /// A box that was never started.
    #[must_use]
    pub const fn new(config: String, interfaces: Vec<Interface>) -> Self {
        Self {
            config,
            interfaces,
            disk: BTreeMap::new(),
            running: None,
            boots: 0,
            log: Vec::new(),
        }
    }

    /// Writes rows as one transaction.
    pub fn write(&mut self, records: Vec<Record>) {
        for record in records {
            match record.value {
                Some(value) => drop(self.disk.insert(record.key, value)),
                None => drop(self.disk.remove(&record.key)),
            }
        }
    }

    /// What a start reads from the disk.
    #[must_use]
    pub fn rows(&self) -> Vec<Record> {
        self.disk
            .iter()
            .map(|(key, value)| Record {
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect()
    }

    /// Whether an address is this box's own.
    #[must_use]
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.interfaces
            .iter()
            .any(|one| one.addresses.iter().any(|(own, _)| *own == address))
    }

    /// Whether an address lies in a network that this box is connected to by its LAN.
    #[must_use]
    pub fn is_lan(&self, address: Ipv4Addr) -> bool {
        self.interfaces
            .iter()
            .filter(|one| one.name != WAN)
            .any(|one| {
                one.addresses.iter().any(|(own, length)| {
                    let shift = 32 - u32::from(*length);
                    (own.to_bits() ^ address.to_bits())
                        .checked_shr(shift)
                        .unwrap_or(0)
                        == 0
                })
            })
    }
}

/// The device that leads to the core.
pub const WAN: &str = "wan";

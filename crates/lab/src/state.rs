//! What is known of a lab between two verbs: the folder, its lock, and `lab.json` in it. Decides
//! how a lab is recorded and that one verb at a time changes it.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use netio::testbed;
use serde::{Deserialize, Serialize};

use crate::impair::Impairment;
use crate::place::Place;
use crate::process::Process;
use crate::topology::{Endpoint, Kind, Link, Topology};

/// One node as it stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NodeState {
    /// Its name.
    pub(crate) name: String,
    /// What it runs.
    pub(crate) kind: Kind,
    /// It is a host: the ends of traffic and of the matrix.
    pub(crate) host: bool,
    /// Its router process, as last started; `None` when it never was.
    pub(crate) router: Option<Process>,
    /// The program that it was last started with, where that was not this one.
    #[serde(default)]
    pub(crate) program: Option<PathBuf>,
    /// Kind and label of the key pairs that its configuration signs rekeys with.
    pub(crate) rekey_keys: Vec<String>,
}

/// A cut between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Cut {
    /// One side.
    pub(crate) a: String,
    /// The other.
    pub(crate) b: String,
    /// Port where the filters sit.
    pub(crate) port: Endpoint,
    /// Preference of the two filters.
    pub(crate) pref: u16,
}

/// A cable whose frames a process of its own carries.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Impaired {
    /// One side.
    pub(crate) a: String,
    /// The other.
    pub(crate) b: String,
    /// Port where frames are taken.
    pub(crate) port: Endpoint,
    /// Which of the lab's impaired cables it is.
    pub(crate) number: u16,
    /// What happens to frames.
    pub(crate) impairment: Impairment,
    /// The process.
    pub(crate) carrier: Process,
}

/// One lab.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Lab {
    /// The topology's name.
    pub(crate) topology: String,
    /// No router runs: the same network forwards in plain.
    pub(crate) plain: bool,
    /// Routers write a key log.
    pub(crate) keylog: bool,
    /// The nodes, in the order of the topology.
    pub(crate) nodes: Vec<NodeState>,
    /// The links.
    pub(crate) links: Vec<Link>,
    /// Cuts that are not healed.
    pub(crate) cuts: Vec<Cut>,
    /// Cables that are impaired.
    #[serde(default)]
    pub(crate) impaired: Vec<Impaired>,
    /// Keeper of the namespaces when the lab is an ordinary user's.
    pub(crate) holder: Option<Process>,
    /// Inode number of the holder's user namespace.
    pub(crate) user_namespace: Option<u64>,
}

impl Lab {
    /// A lab of which nothing runs yet.
    pub(crate) fn of(topology: &Topology, plain: bool, keylog: bool) -> Self {
        let nodes = topology.nodes.iter().map(|node| NodeState {
            name: node.name.clone(),
            kind: node.kind,
            host: topology.is_host(node),
            router: None,
            program: None,
            rekey_keys: Vec::new(),
        });
        Self {
            topology: topology.name.clone(),
            plain,
            keylog,
            nodes: nodes.collect(),
            links: topology.links.clone(),
            cuts: Vec::new(),
            impaired: Vec::new(),
            holder: None,
            user_namespace: None,
        }
    }

    /// The node of that name.
    pub(crate) fn node(&self, name: &str) -> Result<&NodeState> {
        self.nodes
            .iter()
            .find(|node| node.name == name)
            .with_context(|| {
                let known: Vec<_> = self.nodes.iter().map(|node| node.name.as_str()).collect();
                format!("no node {name} (have: {})", known.join(", "))
            })
    }

    /// The router of that name, to change it.
    pub(crate) fn router_mut(&mut self, name: &str) -> Result<&mut NodeState> {
        self.node(name)?;
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        match node {
            Some(node) if node.kind == Kind::Getvpn => Ok(node),
            _ => bail!("node {name} is no router"),
        }
    }

    /// The hosts, in order.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().filter(|node| node.host)
    }

    /// The routers, in order.
    pub(crate) fn routers(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().filter(|node| node.kind == Kind::Getvpn)
    }

    /// Ports of a node, in the order of the links.
    pub(crate) fn ports(&self, node: &str) -> Vec<&str> {
        let ends = self.links.iter().flatten().filter(|end| end.node == node);
        ends.map(|end| end.device.as_str()).collect()
    }
}

/// The state folder, locked by this process.
pub(crate) struct Folder {
    place: Place,
    /// The folder around it, reachable through this descriptor from any mount namespace.
    base: File,
    _lock: File,
}

impl Folder {
    /// Makes the folder of a new lab; refuses when one of this name is there.
    pub(crate) fn create(place: &Place) -> Result<Self> {
        let base = open_base(place)?;
        match DirBuilder::new().mode(0o700).create(&place.dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "a lab named {} is there already: `getvpn lab down --name {}` removes it, \
                 --name NAME makes another",
                place.name,
                place.name
            ),
            Err(error) => return Err(error).with_context(|| place.dir.display().to_string()),
        }
        Self::lock(place, base)
    }

    /// Locks the folder of a lab that is up.
    pub(crate) fn open(place: &Place) -> Result<Self> {
        if !place.dir.is_dir() {
            bail!(
                "no lab named {} is up (`getvpn lab up` builds one)",
                place.name
            );
        }
        let base = open_base(place)?;
        Self::lock(place, base)
    }

    fn lock(place: &Place, base: File) -> Result<Self> {
        let path = place.dir.join("lock");
        let lock = File::create(&path).with_context(|| path.display().to_string())?;
        lock.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self {
            place: place.clone(),
            base,
            _lock: lock,
        })
    }

    /// What is recorded of the lab; `None` if its building was broken off.
    pub(crate) fn load(&self) -> Result<Option<Lab>> {
        let path = self.place.dir.join("lab.json");
        match fs::read(&path) {
            Ok(text) => {
                let lab = serde_json::from_slice(&text);
                lab.map(Some).with_context(|| path.display().to_string())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Records the lab.
    pub(crate) fn save(&self, lab: &Lab) -> Result<()> {
        let path = self.place.dir.join("lab.json");
        let next = self.place.dir.join("lab.json.next");
        fs::write(&next, serde_json::to_vec_pretty(lab)?)
            .and_then(|()| fs::rename(&next, &path))
            .with_context(|| path.display().to_string())
    }

    /// Removes the folder and all that is in it.
    pub(crate) fn remove(self) -> Result<()> {
        let outside = format!("/proc/self/fd/{}", self.base.as_raw_fd());
        let dir = PathBuf::from(outside).join(&self.place.name);
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", self.place.dir.display()))?;
        // The folder around it goes with the last lab in it.
        if let Some(base) = self.place.dir.parent() {
            let _ = fs::remove_dir(base);
        }
        Ok(())
    }
}

/// The folder around the labs of this user: made if missing, refused if it is another user's.
fn open_base(place: &Place) -> Result<File> {
    let base = place
        .dir
        .parent()
        .context("the state folder has a parent")?;
    match DirBuilder::new().mode(0o700).create(base) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| base.display().to_string()),
    }
    let found = fs::symlink_metadata(base)?;
    if !found.is_dir() || found.uid() != testbed::effective_user() {
        bail!("{} is not a folder of this user", base.display());
    }
    File::open(base).with_context(|| base.display().to_string())
}

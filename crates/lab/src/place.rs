//! Where a lab lives: the names of its namespaces and the folder of its state, as root and without.
//! Decides names and paths only; making and removing is [`crate::holder`]'s and [`crate::build`]'s.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::topology;

/// Namespaces that have names are found here, as iproute2 keeps them.
const NAMED_NAMESPACES: &str = "/run/netns";
/// CAP_NET_ADMIN and CAP_SYS_ADMIN as bits of a capability set.
const NEEDED_CAPABILITIES: u64 = 1 << 12 | 1 << 21;

/// The names and the folder of one lab.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The lab's name.
    pub(crate) name: String,
    /// Its state folder.
    pub(crate) dir: PathBuf,
    /// It lives in the machine's own user namespace; otherwise a holder process keeps it.
    pub(crate) as_root: bool,
}

impl Place {
    /// The place of the lab called `name`, for the user who asks.
    pub(crate) fn new(name: &str) -> Result<Self> {
        if !topology::is_name(name) {
            bail!("lab name `{name}`: expected letters, digits or dashes");
        }
        let as_root = may_make_namespaces();
        let base = if as_root {
            PathBuf::from("/run/getvpn-lab")
        } else {
            match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
                Some(dir) if dir.is_absolute() && dir.is_dir() => dir.join("getvpn-lab"),
                _ => std::env::temp_dir().join(format!("getvpn-lab-{}", testbed::effective_user())),
            }
        };
        Ok(Self {
            name: name.to_owned(),
            dir: base.join(name),
            as_root,
        })
    }

    /// The namespace of a node, as `ip netns` shows it.
    pub(crate) fn namespace(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    /// The open namespace of a node.
    pub(crate) fn open_namespace(&self, node: &str) -> Result<File> {
        let path = Path::new(NAMED_NAMESPACES).join(self.namespace(node));
        File::open(&path).with_context(|| format!("namespace {}", path.display()))
    }

    /// The folder of a router: its configuration, state, log and socket.
    pub(crate) fn node_dir(&self, node: &str) -> PathBuf {
        self.dir.join(node)
    }

    /// The figures of an impaired cable.
    pub(crate) fn link_file(&self, number: u16) -> PathBuf {
        self.dir.join(format!("link-{number}.json"))
    }

    /// The control socket of a router.
    pub(crate) fn socket(&self, node: &str) -> PathBuf {
        self.node_dir(node).join("getvpn.sock")
    }
}

/// This process may make and name network namespaces of the machine.
fn may_make_namespaces() -> bool {
    if testbed::effective_user() != 0 {
        return false;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0);
    bits & NEEDED_CAPABILITIES == NEEDED_CAPABILITIES
}

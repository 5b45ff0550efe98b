//! Topology files: which nodes and links a lab has, in containerlab's words. Decides what a valid
//! topology is and names the line of what is not; it builds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::builtin;
use crate::impair::Impairment;
use crate::limits::{DEVICE_NAME_MAX, LINKS_MAX, NAME_MAX, NODES_MAX};

/// What a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A router: forwards, and runs `getvpn run` with its startup-config.
    Getvpn,
    /// A plain Linux network stack; one with several ports forwards.
    Linux,
}

/// One node of a valid topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, as in the file.
    pub name: String,
    /// What it runs.
    pub kind: Kind,
    /// The text of the router's startup-config (only with [`Kind::Getvpn`]).
    pub startup_config: Option<String>,
    /// Commands run in the node, in order, once its ports are up.
    pub exec: Vec<String>,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Endpoint {
    /// The node's name.
    pub node: String,
    /// The Linux device in it.
    pub device: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.device)
    }
}

/// A cable between two nodes.
pub type Link = [Endpoint; 2];

/// A cable that is impaired from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worse {
    /// Which.
    pub link: Link,
    /// What happens to frames on it.
    pub impairment: Impairment,
}

/// A valid topology: names are unique and usable, every link's ends exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Its name.
    pub name: String,
    /// The nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// The links, in the order of the file.
    pub links: Vec<Link>,
    /// Those of them that are impaired from the beginning.
    pub impaired: Vec<Worse>,
}

/// What is wrong with a topology file, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

//------------ The file as it is written --------------------------------------------------------

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    topology: Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    nodes: BTreeMap<String, Spanned<NodeEntry>>,
    #[serde(default)]
    links: Vec<Spanned<LinkEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct NodeEntry {
    kind: Kind,
    startup_config: Option<Spanned<String>>,
    #[serde(default)]
    exec: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkEntry {
    endpoints: [String; 2],
    impair: Option<Impairment>,
}

//------------ Reading --------------------------------------------------------------------------

/// Where the files that a topology names come from.
trait Shelf {
    fn read(&self, name: &str) -> Result<String, String>;
}

struct Builtin;

impl Shelf for Builtin {
    fn read(&self, name: &str) -> Result<String, String> {
        builtin::config(name)
            .map(str::to_owned)
            .ok_or_else(|| format!("the program carries no file {name}"))
    }
}

struct Folder(PathBuf);

impl Shelf for Folder {
    fn read(&self, name: &str) -> Result<String, String> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Reads the topology called `what`: the built-in `guide`, or a file whose startup-configs are
/// named relative to it.
///
/// # Errors
/// Says the file, the line, what was found and what was expected.
pub fn load(what: &str) -> Result<Topology, Invalid> {
    if let Some(text) = builtin::topology(what) {
        return parse(&format!("{what}.yaml"), text, &Builtin);
    }
    let path = Path::new(what);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let known = builtin::TOPOLOGIES.join(", ");
        Invalid(format!(
            "{what}: {error} (expected a file or a built-in topology: {known})"
        ))
    })?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    parse(what, &text, &Folder(folder))
}

fn parse(file: &str, text: &str, shelf: &dyn Shelf) -> Result<Topology, Invalid> {
    let written: File = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |at| at.line());
        let what = error.without_snippet().to_string();
        Invalid(format!("{file}:{line}: {what}"))
    })?;
    Reader { file, shelf }.check(written)
}

struct Reader<'a> {
    file: &'a str,
    shelf: &'a dyn Shelf,
}

impl Reader<'_> {
    fn invalid(&self, line: u64, what: impl fmt::Display) -> Invalid {
        Invalid(format!("{}:{line}: {what}", self.file))
    }

    fn check(&self, written: File) -> Result<Topology, Invalid> {
        let line = written.name.referenced.line();
        self.usable_name("topology", &written.name.value, line)?;
        let mut entries: Vec<_> = written.topology.nodes.into_iter().collect();
        entries.sort_by_key(|(_, node)| node.referenced.line());
        if entries.is_empty() || entries.len() > NODES_MAX {
            let what = format!("{} nodes, expected 1 to {NODES_MAX}", entries.len());
            return Err(self.invalid(line, what));
        }
        let nodes = entries
            .into_iter()
            .map(|(name, entry)| self.node(name, entry))
            .collect::<Result<Vec<_>, _>>()?;
        let (links, impaired) = self.links(&nodes, written.topology.links)?;
        Ok(Topology {
            name: written.name.value,
            nodes,
            links,
            impaired,
        })
    }

    fn usable_name(&self, what: &str, name: &str, line: u64) -> Result<(), Invalid> {
        if is_name(name) {
            return Ok(());
        }
        let text = format!(
            "{what} name `{name}`: expected 1 to {NAME_MAX} letters, digits or dashes, \
             a letter or digit first"
        );
        Err(self.invalid(line, text))
    }

    fn node(&self, name: String, entry: Spanned<NodeEntry>) -> Result<Node, Invalid> {
        let line = entry.referenced.line();
        self.usable_name("node", &name, line)?;
        let NodeEntry {
            kind,
            startup_config,
            exec,
        } = entry.value;
        let startup_config = match (kind, startup_config) {
            (Kind::Getvpn, None) => {
                return Err(self.invalid(
                    line,
                    format!("node {name}: kind getvpn needs a startup-config"),
                ));
            }
            (Kind::Linux, Some(file)) => {
                let what = format!("node {name}: a startup-config needs kind getvpn");
                return Err(self.invalid(file.referenced.line(), what));
            }
            (Kind::Linux, None) => None,
            (Kind::Getvpn, Some(file)) => {
                let at = file.referenced.line();
                let text = self.shelf.read(&file.value).map_err(|what| {
                    self.invalid(at, format!("node {name}: startup-config: {what}"))
                })?;
                Some(text)
            }
        };
        Ok(Node {
            name,
            kind,
            startup_config,
            exec,
        })
    }

    fn links(
        &self,
        nodes: &[Node],
        entries: Vec<Spanned<LinkEntry>>,
    ) -> Result<(Vec<Link>, Vec<Worse>), Invalid> {
        if entries.len() > LINKS_MAX {
            let line = entries[LINKS_MAX].referenced.line();
            return Err(self.invalid(line, format!("more than {LINKS_MAX} links")));
        }
        let mut used = BTreeSet::new();
        let (mut links, mut impaired) = (Vec::new(), Vec::new());
        for entry in entries {
            let line = entry.referenced.line();
            let LinkEntry { endpoints, impair } = entry.value;
            let [a, b] = endpoints;
            let link = [
                self.endpoint(nodes, &a, line)?,
                self.endpoint(nodes, &b, line)?,
            ];
            for end in &link {
                if !used.insert(end.clone()) {
                    return Err(self.invalid(line, format!("port {end} has two links")));
                }
            }
            if let Some(impairment) = impair {
                let link = link.clone();
                impaired.push(Worse { link, impairment });
            }
            links.push(link);
        }
        Ok((links, impaired))
    }

    fn endpoint(&self, nodes: &[Node], text: &str, line: u64) -> Result<Endpoint, Invalid> {
        let Some((node, device)) = text.split_once(':') else {
            return Err(self.invalid(line, format!("endpoint `{text}`: expected NODE:DEVICE")));
        };
        if !nodes.iter().any(|known| known.name == node) {
            let known: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
            let what = format!(
                "endpoint `{text}`: no node {node} (have: {})",
                known.join(", ")
            );
            return Err(self.invalid(line, what));
        }
        let fits = (1..=DEVICE_NAME_MAX).contains(&device.len());
        let plain = device
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        if !fits || !plain || device == "lo" || device.starts_with('.') {
            let what = format!(
                "endpoint `{text}`: device `{device}`: expected 1 to {DEVICE_NAME_MAX} letters, \
                 digits, dashes, underscores or dots"
            );
            return Err(self.invalid(line, what));
        }
        Ok(Endpoint {
            node: node.to_owned(),
            device: device.to_owned(),
        })
    }
}

/// The name can stand in the name of a namespace and of a folder.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

impl Topology {
    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The devices of a node, in the order of the links.
    pub fn devices(&self, node: &str) -> Vec<&str> {
        let ends = self.links.iter().flatten();
        ends.filter(|end| end.node == node)
            .map(|end| end.device.as_str())
            .collect()
    }

    /// The node is a host: plain Linux with one port.
    pub fn is_host(&self, node: &Node) -> bool {
        node.kind == Kind::Linux && self.devices(&node.name).len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Empty;

    impl Shelf for Empty {
        fn read(&self, name: &str) -> Result<String, String> {
            if name == "missing.cfg" {
                Err("no such file".to_owned())
            } else {
                Ok(String::new())
            }
        }
    }

    fn fault(text: &str) -> String {
        parse("t.yaml", text, &Empty).unwrap_err().to_string()
    }

    #[test]
    fn the_guide_is_valid_and_in_the_order_of_its_file() {
        let guide = load("guide").unwrap();
        let names: Vec<_> = guide.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["ks1", "ks2", "gm1", "gm2", "core", "h1", "h2"]);
        assert_eq!(guide.links.len(), 6);
        assert_eq!(
            guide.devices("core"),
            ["to-ks1", "to-ks2", "to-gm1", "to-gm2"]
        );
        assert!(guide.is_host(guide.node("h1").unwrap()));
        assert!(!guide.is_host(guide.node("core").unwrap()));
        for router in ["ks1", "ks2", "gm1", "gm2"] {
            let config = guide
                .node(router)
                .unwrap()
                .startup_config
                .as_deref()
                .unwrap();
            assert!(config.contains("hostname"), "{router}");
        }
    }

    #[test]
    fn an_unknown_word_is_named_with_its_line() {
        let text = "name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n      image: y\n";
        let said = fault(text);
        assert!(said.starts_with("t.yaml:6: "), "{said}");
        assert!(
            said.contains("image") && said.contains("startup-config"),
            "{said}"
        );
    }

    #[test]
    fn an_unknown_kind_is_named_with_its_line() {
        let said = fault("name: x\ntopology:\n  nodes:\n    a:\n      kind: ceos\n");
        assert!(said.starts_with("t.yaml:5: "), "{said}");
        assert!(said.contains("ceos") && said.contains("getvpn"), "{said}");
    }

    #[test]
    fn a_router_without_startup_config_and_a_host_with_one_are_refused() {
        let said = fault("name: x\ntopology:\n  nodes:\n    a:\n      kind: getvpn\n");
        assert!(
            said.contains("node a: kind getvpn needs a startup-config"),
            "{said}"
        );
        let text = "name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n      \
                    startup-config: a.cfg\n";
        let said = fault(text);
        assert_eq!(said, "t.yaml:6: node a: a startup-config needs kind getvpn");
    }

    #[test]
    fn a_startup_config_that_cannot_be_read_is_named() {
        let text = "name: x\ntopology:\n  nodes:\n    a:\n      kind: getvpn\n      \
                    startup-config: missing.cfg\n";
        assert_eq!(
            fault(text),
            "t.yaml:6: node a: startup-config: no such file"
        );
    }

    #[test]
    fn links_to_nothing_and_twice_to_one_port_are_refused() {
        let nodes = "name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n    b:\n      \
                     kind: linux\n  links:\n";
        let link = |ends: &str| format!("    - endpoints: [{ends}]\n");
        let said = fault(&format!("{nodes}{}", link("\"a:e\", \"c:e\"")));
        assert_eq!(said, "t.yaml:9: endpoint `c:e`: no node c (have: a, b)");
        let said = fault(&format!("{nodes}{}", link("\"a:e\", \"b\"")));
        assert_eq!(said, "t.yaml:9: endpoint `b`: expected NODE:DEVICE");
        let twice = format!(
            "{nodes}{}{}",
            link("\"a:e\", \"b:e\""),
            link("\"a:e\", \"b:f\"")
        );
        assert_eq!(fault(&twice), "t.yaml:10: port a:e has two links");
        let said = fault(&format!("{nodes}{}", link("\"a:Serial1/0\", \"b:e\"")));
        assert!(
            said.starts_with("t.yaml:9: endpoint `a:Serial1/0`: device `Serial1/0`"),
            "{said}"
        );
    }

    #[test]
    fn a_cable_is_impaired_as_its_block_says_and_a_word_that_is_none_is_named() {
        let text = |block: &str| {
            format!(
                "name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n    b:\n      \
                 kind: linux\n  links:\n    - endpoints: [\"a:e\", \"b:e\"]\n      \
                 impair: {block}\n"
            )
        };
        let file = text("{loss: 1%, delay: 20ms, seed: 7}");
        let found = parse("t.yaml", &file, &Builtin).unwrap();
        let impairment = Impairment {
            loss: 10_000,
            delay: std::time::Duration::from_millis(20),
            seed: 7,
            ..Impairment::default()
        };
        let link = found.links[0].clone();
        assert_eq!(found.impaired, [Worse { link, impairment }]);
        let said = fault(&text("{loss: lots}"));
        assert!(said.contains("`lots`: expected 0% to 100%"), "{said}");
        let said = fault(&text("{lossy: 1%}"));
        assert!(said.contains("lossy"), "{said}");
    }

    #[test]
    fn names_that_cannot_be_namespaces_are_refused() {
        let said = fault("name: x\ntopology:\n  nodes:\n    a/b:\n      kind: linux\n");
        assert!(said.contains("node name `a/b`"), "{said}");
    }

    #[test]
    fn a_file_that_is_not_there_names_the_built_in_topologies() {
        let said = load("/nowhere/x.yaml").unwrap_err().to_string();
        assert!(
            said.contains("/nowhere/x.yaml") && said.contains("guide"),
            "{said}"
        );
    }
}

//! The dependency graph between rooms: one way, and no arrow that is not in this table.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Who may know whom. Leaves first; ARCHITECTURE.md draws the same picture.
const ARROWS: [(&str, &[&str]); 12] = [
    ("wire", &[]),
    ("crypto", &[]),
    ("policy", &[]),
    ("event", &["policy"]),
    ("gdoi", &["wire", "crypto", "policy", "event"]),
    ("dataplane", &["wire", "crypto", "policy", "event"]),
    (
        "router",
        &["gdoi", "dataplane", "wire", "crypto", "policy", "event"],
    ),
    ("netio", &["policy"]),
    (
        "sim",
        &[
            "router",
            "gdoi",
            "dataplane",
            "wire",
            "crypto",
            "policy",
            "event",
        ],
    ),
    ("lab", &["sim", "netio", "router", "wire", "policy"]),
    (
        "getvpn",
        &[
            "router",
            "netio",
            "lab",
            "sim",
            "gdoi",
            "dataplane",
            "wire",
            "crypto",
            "policy",
            "event",
        ],
    ),
    (
        "fuzz",
        &[
            "router",
            "gdoi",
            "dataplane",
            "wire",
            "crypto",
            "policy",
            "event",
        ],
    ),
];

/// Crates whose code must compile without `unsafe`: all but these two.
const UNSAFE_ROOMS: [&str; 2] = ["netio", "crypto"];

/// Every arrow that the table does not have, and every core that does not forbid unsafe code.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (room, allowed) in ARROWS {
        let folder = if room == "fuzz" {
            root.join(room)
        } else {
            root.join("crates").join(room)
        };
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
        for dependency in dependencies(&text) {
            let ours = ARROWS.iter().any(|(other, _)| *other == dependency);
            if ours && !allowed.contains(&dependency) {
                findings.push(format!(
                    "crates/{room}/Cargo.toml: arrow {room} -> {dependency} is not in the graph"
                ));
            }
        }
        let library = folder.join("src/lib.rs");
        if let Ok(text) = fs::read_to_string(&library)
            && !UNSAFE_ROOMS.contains(&room)
            && !text.contains("#![forbid(unsafe_code)]")
        {
            findings.push(format!(
                "crates/{room}/src/lib.rs: does not forbid unsafe code"
            ));
        }
    }
    Ok(findings)
}

/// Names in `[dependencies]`; tests may use what they like.
fn dependencies(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dependencies_of_the_product_count() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nwire = { workspace = true }\n\
                        crypto.workspace = true\n\n[dev-dependencies]\nsim = \"1\"\n";
        assert_eq!(dependencies(manifest), ["wire", "crypto"]);
    }
}

//! Rules about rooms: core lints, banned words, and show files whose path is their command.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tree::Source;

/// Rooms that may not touch the world.
const CORES: [&str; 8] = [
    "wire",
    "crypto",
    "policy",
    "event",
    "gdoi",
    "dataplane",
    "router",
    "sim",
];

/// Words that hide an unfinished part.
const UNFINISHED: [&str; 6] = [
    "todo!(",
    "unimplemented!(",
    "FIXME",
    "XXX",
    "// TODO",
    "allow(dead_code",
];

/// Module names that become drawers for everything.
const DRAWERS: [&str; 5] = ["utils", "util", "common", "helpers", "manager"];

/// Findings of all rules.
pub fn check(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = core_lints(root)?;
    for source in sources {
        if source.path.starts_with("xtask/") {
            continue;
        }
        let stem = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if DRAWERS.contains(&stem) {
            findings.push(format!(
                "{}: a room needs a name that says what it decides",
                source.path
            ));
        }
        for (number, line) in source.text.lines().enumerate() {
            for word in UNFINISHED {
                if line.contains(word) {
                    findings.push(format!("{}:{}: {word}", source.path, number + 1));
                }
            }
        }
        if !source.text.starts_with("//!") && !source.path.contains("/tests/") {
            findings.push(format!(
                "{}: does not say what it decides (//!)",
                source.path
            ));
        }
        findings.extend(show_path(source));
    }
    Ok(findings)
}

/// The cores have one and the same clippy.toml, since a crate's file replaces the workspace's.
fn core_lints(root: &Path) -> Result<Vec<String>> {
    let read = |room: &str| {
        let path = root.join("crates").join(room).join("clippy.toml");
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let model = read(CORES[0])?;
    let mut findings = Vec::new();
    for room in CORES {
        if read(room)? != model {
            findings.push(format!(
                "crates/{room}/clippy.toml: differs from crates/wire's"
            ));
        }
    }
    Ok(findings)
}

/// The path of a show file is the command that it answers, up to the first argument.
fn show_path(source: &Source) -> Option<String> {
    let path = source
        .path
        .strip_prefix("crates/router/src/")?
        .strip_suffix(".rs")?;
    if !path.starts_with("show/") || path == "show/mod" {
        return None;
    }
    let words = path
        .trim_end_matches("/mod")
        .replace('/', " ")
        .replace('_', "-");
    let command = source
        .text
        .split_once("GRAMMAR: &str = \"")?
        .1
        .split('"')
        .next()?;
    let spoken = command.replace('_', "-");
    (!(spoken == words || spoken.starts_with(&format!("{words} ")))).then(|| {
        format!(
            "{}: answers `{command}`, but its path says `{words}`",
            source.path
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_show_file_in_the_wrong_place_is_found() {
        let source = |path: &str| Source {
            path: path.into(),
            text: "pub const GRAMMAR: &str = \"show crypto gdoi ks members [A.B.C.D]\";".into(),
        };
        assert!(show_path(&source("crates/router/src/show/crypto/gdoi/ks/members.rs")).is_none());
        assert!(show_path(&source("crates/router/src/show/crypto/gdoi/ks/policy.rs")).is_some());
    }
}

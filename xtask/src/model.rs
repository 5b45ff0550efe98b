//! `cargo xtask model`: the model check, and whether it notices what holds the design together.
//!
//! `model` runs the checker over the product's own key servers and members; it is a program of its
//! own outside the workspace. `model ablations` takes one part of the design out of a copy of the
//! tree at a time, `mutants/model/NAME.patch`, and requires a counterexample. The text before a diff
//! says what is taken out, and may hold a line `run: WORDS` with the bounds that must find it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::mutants::{Copy, Mutant, read};

/// The bounds of an ablation that names none.
const RUN: &str = "small servers=2 faults=2 seconds=60";

/// Runs the checker with these words. Says whether everything held.
pub(crate) fn run(root: &Path, words: &[String]) -> Result<bool> {
    let status = cargo(root, root)
        .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(root.join("model/Cargo.toml"))
        .arg("--")
        .args(words)
        .status()
        .context("cargo run")?;
    Ok(status.success())
}

/// Takes out each part, or those of these names. Says whether each was missed.
pub(crate) fn ablations(root: &Path, names: &[String]) -> Result<bool> {
    let ablations = read(&root.join("mutants/model"), names)?;
    let copy = Copy::make(root)?;
    println!("{:<40} {:>7}  found", "without", "seconds");
    let mut unnoticed = 0;
    for ablation in &ablations {
        let began = Instant::now();
        let found = try_out(&copy, ablation);
        let found = found.unwrap_or_else(|error| {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or("").to_owned();
            (false, format!("could not run: {line}"))
        });
        unnoticed += usize::from(!found.0);
        let seconds = began.elapsed().as_secs();
        println!("{:<40} {seconds:>7}  {}", ablation.name, found.1);
    }
    let noticed = ablations.len() - unnoticed;
    println!("ablations: {noticed} passed, {unnoticed} failed");
    Ok(unnoticed == 0)
}

fn try_out(copy: &Copy, ablation: &Mutant) -> Result<(bool, String)> {
    copy.apply(&ablation.patch)?;
    let output = check(copy, ablation.run.as_deref().unwrap_or(RUN));
    copy.restore()?;
    let output = output?;
    let text = String::from_utf8_lossy(&output.stdout);
    let violated: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("VIOLATED "))
        .collect();
    let figures = text.lines().find(|line| line.contains(" unique, "));
    let figures = figures.unwrap_or("the checker stopped");
    Ok(if violated.is_empty() {
        (false, format!("NOTHING ({figures})"))
    } else {
        (true, format!("{} ({figures})", violated.join("; ")))
    })
}

fn check(copy: &Copy, words: &str) -> Result<Output> {
    let built = cargo(&copy.tree, &copy.target)
        .args(["build", "--quiet", "--release", "--locked"])
        .output()?;
    if !built.status.success() {
        bail!("{}", String::from_utf8_lossy(&built.stderr).trim());
    }
    let program = copy.target.join("release/getvpn-model");
    let run = Command::new(program)
        .args(words.split_whitespace())
        .output();
    run.context("getvpn-model")
}

fn cargo(tree: &Path, target: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(tree.join("model"));
    if tree != target {
        cargo.env("CARGO_TARGET_DIR", target);
    } else if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        cargo.env("CARGO_TARGET_DIR", OsStr::new("../target"));
    }
    cargo
}

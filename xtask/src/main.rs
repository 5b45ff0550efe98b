//! `cargo xtask`: checks of the house that neither the compiler nor clippy makes.

mod graph;
mod lengths;
mod model;
mod mutants;
mod rfc;
mod rooms;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "usage: cargo xtask tidy | rfc [--texts DIR] | mutants [NAME...] |
       model [small | full | sided | anew] [NAME=NUMBER...] | model ablations [NAME...]

tidy     dependency graph, file, function and line length, core lints, banned words, show paths
rfc      the matrix of quoted rules; with --texts DIR each quotation is looked up in DIR/rfcNNNN.txt
mutants  breaks the product by each mutants/*.patch, and asks the simulator whether it notices
model    every way in which a group can go wrong within bounds, with the product's own machines;
         ablations: without each part of the design there must be a counterexample";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let root = root()?;
    match arguments.next().as_deref() {
        Some("tidy") => tidy(&root),
        Some("rfc") => {
            let texts = match (arguments.next().as_deref(), arguments.next()) {
                (Some("--texts"), Some(folder)) => Some(PathBuf::from(folder)),
                (None, _) => None,
                (Some(other), _) => bail!("unknown word {other}\n{USAGE}"),
            };
            rfc::report(&root, texts.as_deref())
        }
        Some("model") => {
            let words: Vec<String> = arguments.collect();
            match words.split_first() {
                Some((first, names)) if first == "ablations" => model::ablations(&root, names),
                _ => model::run(&root, &words),
            }
        }
        Some("mutants") => mutants::run(&root, &arguments.collect::<Vec<_>>()),
        _ => bail!("{USAGE}"),
    }
}

fn root() -> Result<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .map(PathBuf::from)
        .context("xtask lies in the workspace")
}

fn tidy(root: &std::path::Path) -> Result<bool> {
    let sources = tree::rust_files(root)?;
    let mut findings = graph::check(root)?;
    findings.extend(lengths::check(&sources));
    findings.extend(rooms::check(root, &sources)?);
    findings.extend(rfc::malformed(&sources));
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    Ok(findings.is_empty())
}

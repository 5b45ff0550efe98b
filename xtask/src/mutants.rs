//! `cargo xtask mutants`: does the simulator find what we break on purpose?
//!
//! Each file `mutants/NAME.patch` is one fault in the product. It is applied to a copy of the tree,
//! the simulator is built and runs seeds until one of them is violated, which the same seed without the
//! fault must not be; a mutant that survives is a hole in the invariants. The text before the diff says what is broken, and may hold a line
//! `run: FIRST COUNT HOURS KEY_SERVERS MEMBERS [CALM] [any|multicast|mixed|unicast]` with the seeds that must
//! find it. Not part of CI.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// The seeds of a mutant that names none.
const RUN: &str = "1 40 24 1..1 2..16";
/// The seeds that an unbroken tree must pass before anything is broken.
const BASELINE: &str = "1 6 24 1..1 2..16";

/// A patch that breaks the product.
pub(crate) struct Mutant {
    /// Its name.
    pub(crate) name: String,
    /// Its file.
    pub(crate) patch: PathBuf,
    /// What its line `run:` says.
    pub(crate) run: Option<String>,
}

/// Runs the mutants of these names, or all. Says whether each was found.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<bool> {
    let mutants = read(&root.join("mutants"), names)?;
    let copy = Copy::make(root)?;
    if let Some((_, found)) = copy.seeds(BASELINE)? {
        bail!("the unbroken tree fails: {found}");
    }
    fs::copy(copy.program(), copy.unbroken())?;
    println!("{:<44} {:>7}  found by", "mutant", "seconds");
    let mut survivors = 0;
    for mutant in &mutants {
        let began = Instant::now();
        let found = copy.try_out(mutant);
        let seconds = began.elapsed().as_secs();
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                survivors += 1;
                "NOTHING: it survives".to_owned()
            }
            Err(error) => {
                survivors += 1;
                let error = error.to_string();
                format!("could not run: {}", error.lines().next().unwrap_or(""))
            }
        };
        println!("{:<44} {seconds:>7}  {found}", mutant.name);
    }
    println!("mutants: {}, {survivors} not found", mutants.len());
    Ok(survivors == 0)
}

/// The patches of a folder with these names, or all.
pub(crate) fn read(folder: &Path, names: &[String]) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let patch = entry?.path();
        let Some(name) = patch.file_stem().and_then(OsStr::to_str) else {
            continue;
        };
        let asked = names.is_empty() || names.iter().any(|own| own == name);
        if !asked || patch.extension() != Some(OsStr::new("patch")) {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let head = text.lines().take_while(|line| !line.starts_with("diff "));
        let run = head
            .filter_map(|line| line.strip_prefix("run: "))
            .next()
            .map(str::to_owned);
        let name = name.to_owned();
        mutants.push(Mutant { name, patch, run });
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    if mutants.is_empty() {
        bail!("no such mutant under {}", folder.display());
    }
    Ok(mutants)
}

/// A copy of what is committed; gone when dropped. What was built of it stays, for the next time.
pub(crate) struct Copy {
    root: PathBuf,
    /// The tree.
    pub(crate) tree: PathBuf,
    /// What is built of it.
    pub(crate) target: PathBuf,
}

impl Copy {
    /// Makes one.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), PathBuf::from)
            .join("mutants");
        let copy = Self {
            root: root.to_owned(),
            tree: target.join("tree"),
            target,
        };
        copy.remove();
        fs::create_dir_all(&copy.target)?;
        let tree = copy.tree.as_os_str();
        let add = ["worktree", "add", "--detach", "--force"].map(OsStr::new);
        git(root, add.into_iter().chain([tree, OsStr::new("HEAD")]))?;
        Ok(copy)
    }

    fn remove(&self) {
        let remove = ["worktree", "remove", "--force"].map(OsStr::new);
        // There is none most of the time.
        let _ = git(
            &self.root,
            remove.into_iter().chain([self.tree.as_os_str()]),
        );
    }

    /// What finds the mutant, if anything does.
    fn try_out(&self, mutant: &Mutant) -> Result<Option<String>> {
        let run = mutant.run.as_deref().unwrap_or(RUN);
        self.apply(&mutant.patch)?;
        let found = self.seeds(run);
        self.restore()?;
        let Some((seed, found)) = found? else {
            return Ok(None);
        };
        let (_, _, bounds) = words(run)?;
        match play(&self.unbroken(), seed, &bounds)? {
            None => Ok(Some(found)),
            Some(told) => bail!("seed {seed} fails without the fault, too: {told}"),
        }
    }

    /// What the last build made.
    fn program(&self) -> PathBuf {
        self.target.join("release/examples/seeds")
    }

    /// What was built before anything was broken.
    fn unbroken(&self) -> PathBuf {
        self.target.join("unbroken")
    }

    /// Applies a patch.
    pub(crate) fn apply(&self, patch: &Path) -> Result<()> {
        git(&self.tree, [OsStr::new("apply"), patch.as_os_str()])
    }

    /// Takes every patch back.
    pub(crate) fn restore(&self) -> Result<()> {
        git(&self.tree, ["checkout", "--", "."].map(OsStr::new))
    }

    /// Builds the simulator and runs seeds, one after the other, until one is violated.
    fn seeds(&self, run: &str) -> Result<Option<(u64, String)>> {
        let built = self
            .cargo()
            .args(["build", "--release", "--locked", "--quiet"])
            .args(["--package", "getvpn-sim", "--example", "seeds"])
            .output()?;
        succeeded(&built)?;
        let (first, count, bounds) = words(run)?;
        for seed in first..first + count {
            if let Some(told) = play(&self.program(), seed, &bounds)? {
                return Ok(Some((seed, told)));
            }
        }
        Ok(None)
    }

    /// Most of the work is in crypto, which is compiled once; ours is compiled again for each.
    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "64");
        cargo
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The first seed, how many, and the words behind them.
fn words(run: &str) -> Result<(u64, u64, Vec<&str>)> {
    let words: Vec<&str> = run.split_whitespace().collect();
    let [first, count, ref bounds @ ..] = words[..] else {
        bail!("run: {run} is not FIRST COUNT HOURS KEY_SERVERS MEMBERS [CALM] [REKEYS]");
    };
    Ok((first.parse()?, count.parse()?, bounds.to_vec()))
}

/// Plays one seed, and says what was violated.
fn play(program: &Path, seed: u64, bounds: &[&str]) -> Result<Option<String>> {
    let seed = seed.to_string();
    let output = Command::new(program)
        .args([seed.as_str(), "1"])
        .args(bounds)
        .output()?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Some(violation(&text, &output)))
}

/// The first violation that a run tells of: its second line, since the first describes the group.
fn violation(text: &str, output: &Output) -> String {
    let mut lines = text.lines().filter(|line| line.starts_with("seed "));
    let told = lines.nth(1).map(str::to_owned);
    let told = told.unwrap_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!(
            "the simulator stopped: {}",
            error.lines().next().unwrap_or("")
        )
    });
    told.chars().take(120).collect()
}

fn git<'a>(folder: &Path, words: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(words)
        .output()?;
    succeeded(&output)
}

fn succeeded(output: &Output) -> Result<()> {
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

//! Registrations per second of a key server's processor time, beside what its Diffie-Hellman alone
//! would allow. Decides how many, and what is divided by what.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use crypto::dh::Group;
use netio::namespace;
use serde_json::{Value, json};

use super::statistics::Spread;
use super::{Effort, Found, machine};

/// The groups that are measured, with their name and the algorithm of `openssl speed`.
const GROUPS: [(Group, &str, &str); 2] = [
    (Group::Ecp256, "ECP-256", "ecdhp256"),
    (Group::Modp2048, "MODP-2048", "ffdh2048"),
];

/// What is aimed at, of the bound.
const GOAL: f64 = 0.60;

/// How often how many members register.
pub(crate) struct Rounds {
    pub(crate) group: Group,
    pub(crate) rounds: usize,
    pub(crate) per_round: usize,
}

impl Rounds {
    /// So many rounds with the Diffie-Hellman group of that number.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn new(group: u16, rounds: usize, per_round: usize) -> Result<Self> {
        let group = Group::from_number(group)
            .with_context(|| format!("there is no Diffie-Hellman group {group}"))?;
        Ok(Self {
            group,
            rounds,
            per_round,
        })
    }

    /// Short rounds, between two measurements of the bound each: the clock of the machine and what
    /// else it does change from second to second, and must weigh on both. Or a few registrations.
    fn of(group: Group, effort: Effort) -> Self {
        let (rounds, per_round) = match (effort, group) {
            (Effort::Quick, _) => (1, 50),
            (Effort::Full, Group::Ecp256) => (25, 280),
            (Effort::Full, _) => (15, 140),
        };
        Self {
            group,
            rounds,
            per_round,
        }
    }

    /// Members in all rounds.
    pub(crate) const fn members(&self) -> usize {
        self.rounds * self.per_round
    }
}

/// A folder that goes when the run ends.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// A folder for this run in `parent`.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(parent: &Path, what: &str) -> Result<Self> {
        let name = format!("getvpn-bench-{}-{what}", std::process::id());
        let path = parent.join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path.canonicalize()?))
    }

    /// Runs an inner command of `getvpn bench` on this folder, in namespaces of its own; what it says.
    ///
    /// # Errors
    /// No namespace can be made, or the command fails.
    pub(super) fn run(&self, inner: &str, numbers: &[usize]) -> Result<Value> {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["bench", inner])
            .arg(&self.0)
            .args(numbers.iter().map(ToString::to_string))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        namespace::isolate(&mut command);
        let output = command.output().context(
            "cannot make namespaces (the kernel must allow unprivileged user namespaces; or run \
             as root)",
        )?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now was removed by somebody else.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Figures of one group.
struct Row {
    per_second: Spread,
    each_us: Spread,
    bound_us: Spread,
    ratio: Spread,
}

/// Measures every group.
///
/// # Errors
/// No namespace can be made, or somebody did not register.
pub(super) fn measure(state: &Path, effort: Effort) -> Result<Found> {
    let mut text = format!(
        "Registrations of a key server: PSK, SHA-256, AES-256, a fresh key pair each, state file on \
         disk,\nper second of its process's CPU time; the bound is 1 / (generate + agree) with the \
         same library\n\
         {:<10} {:>28} {:>24} {:>22} {:>26}  {:<9} {:>16}\n",
        "group",
        "registrations/s",
        "us each",
        "generate + agree, us",
        "% of the bound",
        "goal",
        "openssl derive/s"
    );
    let mut rows = Vec::new();
    for (group, name, openssl_name) in GROUPS {
        let row = measure_group(state, &Rounds::of(group, effort))?;
        let openssl = machine::openssl(openssl_name);
        let percent = Spread {
            median: row.ratio.median * 100.0,
            min: row.ratio.min * 100.0,
            max: row.ratio.max * 100.0,
        };
        let derive = openssl
            .as_ref()
            .map_or_else(|why| format!("({why})"), |figure| format!("{figure:.0}"));
        let goal = verdict(row.ratio.median >= GOAL, ">= 60 %");
        writeln!(
            text,
            "{name:<10} {:>28.0} {:>24.1} {:>22.1} {percent:>26.1}  {goal:<9} {derive:>16}",
            row.per_second, row.each_us, row.bound_us,
        )?;
        rows.push(json!({
            "group": name,
            "registrations_per_cpu_second": row.per_second.to_json(),
            "cpu_us_each": row.each_us.to_json(),
            "generate_and_agree_us": row.bound_us.to_json(),
            "ratio_to_bound": row.ratio.to_json(),
            "goal": GOAL,
            "openssl_derive_per_second": openssl.ok(),
        }));
    }
    let json = Value::Array(rows);
    Ok(Found::Measured { text, json })
}

/// The goal, and whether it was met.
pub(super) fn verdict(met: bool, goal: &str) -> String {
    format!("{goal} {}", if met { "yes" } else { "NO" })
}

fn measure_group(state: &Path, rounds: &Rounds) -> Result<Row> {
    let folder = Folder::make(state, &rounds.group.number().to_string())?;
    let numbers = [
        usize::from(rounds.group.number()),
        rounds.rounds,
        rounds.per_round,
    ];
    let measured = folder.run("load", &numbers)?;
    let rounds = measured.as_array().context("the load measured nothing")?;
    let figure = |round: &Value, name: &str| round[name].as_f64().unwrap_or(f64::NAN);
    let each = |round: &Value| figure(round, "key_server_us") / figure(round, "registrations");
    Ok(Row {
        per_second: Spread::of(rounds.iter().map(|round| 1e6 / each(round))),
        each_us: Spread::of(rounds.iter().map(each)),
        bound_us: Spread::of(rounds.iter().map(|round| figure(round, "bound_us"))),
        ratio: Spread::of(
            rounds
                .iter()
                .map(|round| figure(round, "bound_us") / each(round)),
        ),
    })
}

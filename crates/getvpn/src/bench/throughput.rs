//! TCP between the hosts of the lab, beside the same lab with the group removed.
//!
//! Two labs stand side by side; rounds alternate between them, and what counts is the ratio within
//! a round, so that whatever else the machine does weighs on both.

use std::fmt::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::statistics::Spread;
use super::{Effort, Found};

const ROUNDS: usize = 3;
const SECONDS: u32 = 3;
/// TCP segments that fit into one packet of the WAN with ESP around them.
const SEGMENT: u32 = 1_340;
/// How long the members may take to register.
const REGISTERED_MAX: Duration = Duration::from_secs(30);
/// How long iperf3 may take until it listens, and between two looks at anything.
const LISTENING_MAX: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The receiver: h2.
const SERVER: &str = "192.168.21.10";
const ROUTERS: [&str; 2] = ["gm1", "gm2"];

/// How the WAN ports treat large packets.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Wan {
    /// As virtual links come: super-packets of up to 64 KiB cross the WAN whole.
    AsItComes,
    /// As on a line between two network cards: what crosses the WAN has the size of its packets.
    Wire,
}

impl Wan {
    const fn name(self) -> &'static str {
        match self {
            Self::AsItComes => "as virtual links come",
            Self::Wire => "wire-sized packets on the WAN",
        }
    }
}

/// A lab that is taken down when the run ends.
struct Lab {
    name: String,
}

impl Lab {
    fn up(kind: &str, options: &[&str]) -> Result<Self> {
        let name = format!("bench{}-{kind}", std::process::id());
        let lab = Self { name };
        let output = lab.verb(&["up"]).args(options).output()?;
        lab.check(&output, "lab up")?;
        Ok(lab)
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.args(["lab", "--name", &self.name]).args(words);
        command.stdin(Stdio::null());
        command
    }

    fn inside(&self, node: &str, words: &[&str]) -> Command {
        let mut command = self.verb(&["exec", node, "--"]);
        command.args(words);
        command
    }

    fn check(&self, output: &Output, what: &str) -> Result<()> {
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{what} ({}): {}", self.name, said.trim());
        }
        Ok(())
    }

    /// Waits until both members are registered.
    fn registered(&self) -> Result<()> {
        let end = Instant::now() + REGISTERED_MAX;
        for router in ROUTERS {
            loop {
                let output = self
                    .verb(&["cli", router, "show crypto gdoi gm"])
                    .output()?;
                let text = String::from_utf8_lossy(&output.stdout);
                let is_registered = |line: &str| {
                    line.contains("Registration status") && line.trim_end().ends_with(" Registered")
                };
                if text.lines().any(is_registered) {
                    break;
                }
                if Instant::now() > end {
                    bail!("{router} of the lab does not register");
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    fn set(&self, wan: Wan) -> Result<()> {
        let (segmentation, merging) = match wan {
            Wan::AsItComes => ("on", "off"),
            Wan::Wire => ("off", "on"),
        };
        for router in ROUTERS {
            let output = self
                .inside(router, &["ethtool", "-K", "wan"])
                .args(["tso", segmentation, "gso", segmentation])
                .args(["tx-udp-segmentation", segmentation, "gro", merging])
                .output()?;
            self.check(&output, "ethtool -K wan")?;
        }
        Ok(())
    }

    /// Gbit/s that arrive.
    fn transfer(&self, seconds: u32) -> Result<f64> {
        let mut server = Server(
            self.inside("h2", &["iperf3", "--server", "--one-off"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let end = Instant::now() + LISTENING_MAX;
        loop {
            let (time, segment) = (seconds.to_string(), SEGMENT.to_string());
            let output = self
                .inside("h1", &["iperf3", "--json", "--client", SERVER])
                .args(["--time", &time, "--set-mss", &segment])
                .output()?;
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let bits = answer["end"]["sum_received"]["bits_per_second"].as_f64();
            if let Some(bits) = bits.filter(|_| output.status.success()) {
                // It ends by itself after one client.
                let _ = server.0.wait();
                return Ok(bits / 1e9);
            }
            if Instant::now() > end {
                let why = answer["error"].as_str().unwrap_or("no answer").to_owned();
                bail!("iperf3 in {}: {why}", self.name);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A lab that was not built has nothing to take down.
        let _ = self.verb(&["down"]).output();
    }
}

/// A process that ends with the run.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn need(program: &str, package: &str) -> Result<()> {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(drop)
        .with_context(|| {
            format!("the command `{program}` is missing: install the package {package}")
        })
}

/// Measures both ways of the WAN.
///
/// # Errors
/// A program is missing, or no lab can be built.
pub(super) fn measure(effort: Effort) -> Result<Found> {
    need("iperf3", "iperf3")?;
    need("ethtool", "ethtool")?;
    let (rounds, seconds) = match effort {
        Effort::Full => (ROUNDS, SECONDS),
        Effort::Quick => (1, 1),
    };
    let group = Lab::up("group", &[])?;
    let plain = Lab::up("plain", &["--plain"])?;
    group.registered()?;
    let mut text = format!(
        "Host to host through the lab: one TCP stream (iperf3, {seconds} s, segments of {SEGMENT}), \
         both hosts and both members on this machine\n{:<32} {:>22} {:>22} {:>20}\n",
        "WAN", "group, Gbit/s", "plain, Gbit/s", "group / plain"
    );
    let mut rows = Vec::new();
    for wan in [Wan::Wire, Wan::AsItComes] {
        let (mut groups, mut plains) = (Vec::new(), Vec::new());
        for lab in [&group, &plain] {
            lab.set(wan)?;
        }
        for _ in 0..rounds {
            groups.push(group.transfer(seconds)?);
            plains.push(plain.transfer(seconds)?);
        }
        let ratio = Spread::of(
            groups
                .iter()
                .zip(&plains)
                .map(|(group, plain)| group / plain),
        );
        let (groups, plains) = (Spread::of(groups), Spread::of(plains));
        let name = wan.name();
        writeln!(
            text,
            "{name:<32} {groups:>22.2} {plains:>22.2} {ratio:>20.2}"
        )?;
        rows.push(json!({
            "wan": name,
            "group_gbit_per_s": groups.to_json(),
            "plain_gbit_per_s": plains.to_json(),
            "ratio": ratio.to_json(),
        }));
    }
    let json = Value::Array(rows);
    Ok(Found::Measured { text, json })
}

//! The machine that was measured, and what else ran on it.

use std::fmt;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// What a reader of the figures must know of the machine.
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            processor: model.map_or_else(
                || std::env::consts::ARCH.to_owned(),
                |(_, name)| name.trim().to_owned(),
            ),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .unwrap_or("unknown")
                .to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": self.processor,
            "cores": self.cores,
            "kernel": self.kernel,
            "load_before": self.load,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            kernel,
            load,
        } = self;
        let version = env!("CARGO_PKG_VERSION");
        write!(
            f,
            "{version}: {processor}, {cores} cores, Linux {kernel}, load {load} at the start"
        )
    }
}

/// Derivations per second that `openssl speed` reaches, or why that is not known.
pub(crate) fn openssl(algorithm: &str) -> Result<f64, String> {
    let output = Command::new("openssl")
        .args(["speed", "-mr", "-seconds", "1", algorithm])
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    derivations(&text).ok_or_else(|| format!("`openssl speed {algorithm}` says no figure"))
}

/// `+F5:3:256:12445.4:0.000080` for a curve, `+F8:0:2048:2269.2:0.000441` for a prime field: place
/// in its list, bits, operations per second, seconds for each.
fn derivations(text: &str) -> Option<f64> {
    let is_figure = |line: &&str| line.starts_with("+F5:") || line.starts_with("+F8:");
    let line = text.lines().find(is_figure)?;
    line.split(':').nth(3)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_of_openssl_is_the_one_per_second() {
        let text = "+DTP:256:ECDH:nistp256:1\n+F5:3:256:12445.454545:0.000080\n";
        assert_eq!(derivations(text), Some(12_445.454_545));
        let text = "+F8:0:2048:2269.230769:0.000441\n";
        assert_eq!(derivations(text), Some(2_269.230_769));
        assert_eq!(derivations("+R1:1:rsa\n"), None);
    }
}

//! The lab's verbs on a network that forwards in plain: built, used, broken, and gone without trace.
//! Needs namespaces: the machine's as root, a user namespace otherwise; says so where neither is
//! to be had.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A lab of its own name that is removed when the test ends, however it ends.
struct Lab {
    name: String,
}

impl Lab {
    /// Builds the guide's network without routers; `None` where namespaces are forbidden.
    fn up(name: &str) -> Option<Self> {
        let lab = Self {
            name: format!("{name}{}", std::process::id()),
        };
        let output = lab.verb(&["up", "--plain"]);
        if output.status.code() == Some(2) {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.trim();
            let line = format!("skipped: this machine gives no namespaces: {reason}\n");
            // The harness hides what a passing test prints, not what goes to the descriptor itself.
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        }
        assert!(output.status.success(), "{output:?}");
        Some(lab)
    }

    fn verb(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_getvpn"))
            .args(["lab", "--name", &self.name])
            .args(words)
            .output()
            .unwrap()
    }

    /// The exit status and the standard output of a verb.
    fn says(&self, words: &[&str]) -> (i32, String) {
        let output = self.verb(words);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// The folder of the lab's state.
    fn folder(&self) -> PathBuf {
        let (_, text) = self.says(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let node = status["nodes"][0]["folder"].as_str().unwrap();
        PathBuf::from(node).parent().unwrap().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.verb(&["down"]);
    }
}

#[test]
fn a_lab_is_built_used_and_gone_without_trace() {
    let Some(lab) = Lab::up("a") else { return };
    let folder = lab.folder();
    let (status, text) = lab.says(&["matrix"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
    assert_eq!(lab.says(&["exec", "h1", "--", "sh", "-c", "exit 7"]).0, 7);
    assert_eq!(lab.says(&["up", "--plain"]).0, 2);
    assert_eq!(lab.says(&["down"]).0, 0);
    assert!(!folder.exists());
    assert_eq!(lab.says(&["down"]).0, 2);
    let named = std::fs::read_dir("/run/netns").into_iter().flatten();
    let left = named.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(&lab.name)
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_cut_loses_everything_and_healing_it_loses_nothing() {
    let Some(lab) = Lab::up("b") else { return };
    let traffic = [
        "traffic",
        "h1",
        "h2",
        "--seconds",
        "1",
        "--pps",
        "200",
        "--json",
    ];
    let lost = |text: &str| {
        let reports: serde_json::Value = serde_json::from_str(text).unwrap();
        let reports = reports.as_array().unwrap().clone();
        assert_eq!(reports.len(), 2);
        let sum = |word: &str| {
            reports
                .iter()
                .map(|r| r[word].as_u64().unwrap())
                .sum::<u64>()
        };
        (sum("sent"), sum("lost"))
    };
    assert_eq!(lab.says(&["cut", "gm1", "core"]).0, 0);
    let (status, text) = lab.says(&traffic);
    let (sent, gone) = lost(&text);
    assert!(status == 1 && sent > 0 && gone == sent, "{text}");
    assert_eq!(lab.says(&["heal", "core", "gm1"]).0, 0);
    // Neighbours that were given up during the cut are asked for again first, when the kernel says so.
    let mut said = String::new();
    let whole = (0..10).any(|_| {
        let (status, text) = lab.says(&traffic);
        said = text;
        status == 0 && lost(&said).1 == 0
    });
    assert!(whole, "{said}");
}

#[test]
fn a_capture_on_a_port_of_the_core_holds_every_packet_of_both_directions() {
    let Some(lab) = Lab::up("c") else { return };
    let file = std::env::temp_dir().join(format!("getvpn-{}.pcap", lab.name));
    let path = file.to_str().unwrap().to_owned();
    let capture = std::thread::scope(|scope| {
        let capture = scope.spawn(|| {
            lab.says(&[
                "capture",
                "core",
                "to-gm1",
                &path,
                "--seconds",
                "2",
                "--snaplen",
                "64",
            ])
        });
        let sent = scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(500));
            lab.says(&[
                "traffic",
                "h1",
                "h2",
                "--seconds",
                "1",
                "--pps",
                "100",
                "--json",
            ])
            .1
        });
        let reports: serde_json::Value = serde_json::from_str(&sent.join().unwrap()).unwrap();
        let sent: u64 = (0..2).map(|i| reports[i]["sent"].as_u64().unwrap()).sum();
        (capture.join().unwrap(), sent)
    });
    let ((status, text), sent) = capture;
    assert!(status == 0 && text.contains(", 0 dropped"), "{text}");
    let octets = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let records = wire::pcap::Capture::parse(&octets)
        .unwrap()
        .map(Result::unwrap);
    // UDP payload of 200 octets under Ethernet, IP and UDP headers.
    let ours = records.filter(|record| record.original_len == 14 + 20 + 8 + 200);
    assert_eq!(ours.count() as u64, sent);
}

#[test]
fn a_topology_with_a_wrong_word_is_refused_by_its_line() {
    let file = std::env::temp_dir().join(format!("getvpn-{}.yaml", std::process::id()));
    std::fs::write(
        &file,
        "name: x\ntopology:\n  nodes:\n    a:\n      kid: linux\n",
    )
    .unwrap();
    let lab = Lab {
        name: format!("d{}", std::process::id()),
    };
    let output = lab.verb(&["up", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(".yaml:5: ") && said.contains("kid"), "{said}");
}

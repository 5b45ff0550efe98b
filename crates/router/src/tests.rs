//! A whole box, without a network.

use gdoi::BootId;
use policy::{Time, WallClock};

use crate::{Boot, Reply, Router};

const KS1: &str = include_str!("../../../topologies/guide/ks1.cfg");

fn wall(at: Time) -> WallClock {
    WallClock {
        unix_ms: 1_384_376_786_469 + i64::try_from(at.as_secs()).unwrap() * 1_000,
        synchronised: true,
    }
}

/// The guide's first key server.
fn ks1() -> Router {
    let now = Time::from_secs(1_000);
    let booted = Router::new(Boot {
        config: KS1.to_owned(),
        config_name: "ks1.cfg".to_owned(),
        seed: [7; 32],
        keylog: None,
        boot: BootId([1; 16]),
        restored: Vec::new(),
        interfaces: Vec::new(),
        workers: 1,
        version: "1.0.0",
        now,
        wall: wall(now),
    });
    booted.unwrap_or_else(|error| panic!("{error}"))
}

fn exec(router: &mut Router, at_s: u64, line: &str) -> Reply {
    let now = Time::from_secs(at_s);
    router.exec(now, wall(now), line)
}

/// The names of the entries that a command shows.
fn names(router: &mut Router, at_s: u64, selection: &str) -> Vec<String> {
    let line = format!("show monitor event-trace gdoi {selection}");
    let json = exec(router, at_s, &line).json.expect("a view has JSON");
    let traces = json["traces"].as_array().expect("traces").iter();
    let entries = traces.flat_map(|trace| trace["entries"].as_array().expect("entries"));
    let name = |entry: &serde_json::Value| entry["name"].as_str().expect("a name").to_owned();
    entries.map(name).collect()
}

#[test]
fn traces_are_there_from_boot_and_their_size_changes_at_run_time() {
    let mut ks = ks1();
    let infra = names(&mut ks, 1_000, "infra from-boot");
    assert_eq!(infra[0], "RESTART");
    // The key that the group needs is not there: an error, with the place that says so.
    let shown = exec(
        &mut ks,
        1_000,
        "show monitor event-trace gdoi exit all detail",
    )
    .text;
    assert!(shown.contains("KS_NO_RSA_KEYS:RSA Key - "), "{shown}");
    assert!(shown.contains("\n-Traceback= crates/gdoi/src/"), "{shown}");
    let mut session = crate::Session::new("console", crate::Kind::Interactive);
    let now = Time::from_secs(1_060);
    for line in [
        "configure terminal",
        "monitor event-trace gdoi infra size 2",
        "hostname A",
        "end",
    ] {
        let reply = ks.session_line(now, wall(now), &mut session, line);
        assert_eq!(reply.status, crate::Status::Done, "{}", reply.text);
    }
    let parameters = exec(
        &mut ks,
        1_060,
        "show monitor event-trace gdoi infra parameters",
    );
    assert_eq!(
        parameters.text,
        "Trace has 2 entries\nStacktrace is disabled by default\n"
    );
    assert!(names(&mut ks, 1_060, "infra all").len() <= 2);
    assert_eq!(
        names(&mut ks, 1_061, "infra back 1").last().unwrap(),
        "CONFIG_I"
    );
    let running = exec(&mut ks, 1_061, "show running-config | include event-trace").text;
    assert_eq!(running, "monitor event-trace gdoi infra size 2\n");
}

#[test]
fn latest_shows_each_entry_once_whoever_asks() {
    let mut ks = ks1();
    let all = names(&mut ks, 1_000, "infra latest");
    assert!(!all.is_empty());
    assert!(names(&mut ks, 1_001, "infra latest").is_empty());
    assert_eq!(names(&mut ks, 1_001, "infra all"), all);
}

//! What two key servers say to each other: how much in a period for how many changed members, and
//! how long one takes that knows nothing until it holds the whole state.
//!
//! Both are `getvpn run` of this very program with a state file each. What they say is what they
//! count (`show crypto gdoi ks coop`). Decides how many members change, and what is waited for.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::key_server::{ADDRESS, KeyServer, PEER, Seat};
use super::load::{network, register_all, secret};
use super::registration::{Folder, Rounds, verdict};
use super::{Effort, Found, bound};

/// From one announcement to the next.
const PERIOD: Duration = gdoi::limits::ANNOUNCE_PERIOD;
/// Members that change in a period.
const CHANGED: [usize; 4] = [0, 10, 100, 1_000];
/// Number of the Diffie-Hellman group of the members' phase 1: the quickest.
const GROUP: u16 = 19;
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a key server may take to hold everything.
const COMPLETE_MAX: Duration = Duration::from_secs(60);
/// What is aimed at for the whole state of 10,000 members, milliseconds.
const GOAL_MS: f64 = 1_000.0;

/// Measures two key servers.
///
/// # Errors
/// No namespace can be made, or they do not agree.
pub(super) fn measure(state: &Path, effort: Effort) -> Result<Found> {
    let members = match effort {
        Effort::Full => 10_000,
        Effort::Quick => 200,
    };
    let folder = Folder::make(state, "coop")?;
    let json = folder.run("cooperate", &[members])?;
    let mut text = format!(
        "Two key servers, {members} members: octets of COOP payloads that the primary sends\n\
         {:<32} {:>16} {:>24}\n",
        "members that changed", "octets a period", "octets a changed member"
    );
    let periods = json["periods"].as_array().cloned().unwrap_or_default();
    let idle = periods.first().map_or(0.0, |row| number(row, "octets"));
    for row in &periods {
        let (changed, octets) = (number(row, "changed"), number(row, "octets"));
        let each = if changed > 0.0 {
            format!("{:.0}", (octets - idle) / changed)
        } else {
            "-".to_owned()
        };
        writeln!(text, "{changed:<32.0} {octets:>16.0} {each:>24}")?;
    }
    let (octets, ms) = (number(&json, "full_octets"), number(&json, "full_ms"));
    let goal = verdict(ms < GOAL_MS, "< 1000 ms");
    writeln!(
        text,
        "the whole state to a key server that knows nothing: {octets:.0} octets, {ms:.0} ms after its \
         process began  {goal}"
    )?;
    Ok(Found::Measured { text, json })
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}

/// Runs it; for a process in a namespace of its own.
///
/// # Errors
/// A key server does not start, a member does not register, or the two do not agree.
pub(super) fn run(folder: &Path, members: usize) -> Result<Value> {
    network()?;
    let mut rng = bound::rng()?;
    let rounds = Rounds::new(GROUP, 1, members)?;
    let keys: Vec<String> = (0..members).map(|_| secret(&mut rng)).collect();
    let between = secret(&mut rng);
    let launch = |name: &str, address, peer| -> Result<KeyServer> {
        let own = folder.join(name);
        DirBuilder::new().mode(0o700).create(&own)?;
        let peer = Some((peer, between.clone()));
        KeyServer::launch(&own, &rounds, &keys, &Seat { address, peer })
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let register = |count: usize| {
        let members = keys.iter().take(count).enumerate();
        runtime.block_on(register_all(&rounds, members)).map(drop)
    };
    let mut first = launch("ks1", ADDRESS, PEER)?;
    first.serve()?;
    register(members)?;
    let before = sent(&first)?;
    let began = Instant::now();
    let second = launch("ks2", PEER, ADDRESS)?;
    let full = synchronise(&second, began, members)?;
    let full_octets = sent(&first)? - before;
    std::thread::sleep(PERIOD);
    let mut periods = Vec::new();
    for changed in CHANGED.into_iter().filter(|changed| *changed <= members) {
        let before = sent(&first)?;
        let begin = Instant::now();
        register(changed)?;
        std::thread::sleep(PERIOD.saturating_sub(begin.elapsed()));
        if backlog(&first)? > 0 {
            bail!("{changed} changed members are not acknowledged after a period");
        }
        periods.push(json!({ "changed": changed, "octets": sent(&first)? - before }));
    }
    Ok(json!({
        "members": members,
        "full_octets": full_octets,
        "full_ms": full.as_secs_f64() * 1e3,
        "periods": periods,
    }))
}

/// How long a key server takes from the start of its process until it holds everything.
fn synchronise(server: &KeyServer, began: Instant, members: usize) -> Result<Duration> {
    while began.elapsed() < COMPLETE_MAX {
        if cooperation(server).is_ok_and(|coop| coop["is_complete"] == true) {
            let span = began.elapsed();
            let known = server.members()?;
            if known != members {
                bail!("the second key server is complete with {known} of {members} members");
            }
            return Ok(span);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    bail!("the second key server is not complete after {COMPLETE_MAX:?}")
}

fn cooperation(server: &KeyServer) -> Result<Value> {
    let text = server.ask("show crypto gdoi ks coop | json")?;
    let shown: Value = serde_json::from_str(&text)?;
    Ok(shown["groups"][0]["coop"].clone())
}

fn session(server: &KeyServer, field: impl Fn(&Value) -> Option<u64>) -> Result<u64> {
    let coop = cooperation(server)?;
    field(&coop["sessions"][0]).context("the key server shows no other one")
}

/// Octets that it sent so far.
fn sent(server: &KeyServer) -> Result<u64> {
    session(server, |own| own["counters"]["octets_sent"].as_u64())
}

/// Changes that the other one has not acknowledged.
fn backlog(server: &KeyServer) -> Result<u64> {
    session(server, |own| own["backlog"].as_u64())
}

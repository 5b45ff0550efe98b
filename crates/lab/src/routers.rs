//! The routers of a lab: the program itself, started in a node's namespace with the node's
//! configuration. Decides its arguments, when it counts as up, and how it is killed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::limits::{KEY_MADE_MAX, LOOK_AGAIN, ROUTER_UP_MAX};
use crate::place::Place;
use crate::process::Process;
use crate::state::{Lab, NodeState};
use crate::topology::Node;
use crate::{control, shows};

/// Makes the folder of a router and writes its configuration there.
pub(crate) fn prepare(place: &Place, node: &Node) -> Result<()> {
    let dir = place.node_dir(&node.name);
    let state = dir.join("state");
    fs::create_dir_all(&state)?;
    fs::set_permissions(&state, PermissionsExt::from_mode(0o700))?;
    let config = node.startup_config.as_deref().unwrap_or_default();
    let path = dir.join("startup-config");
    fs::write(&path, config).with_context(|| path.display().to_string())
}

/// Starts the router of a node, from this program or another build of it; it runs on when this
/// process ends.
pub(crate) fn start(
    place: &Place,
    lab: &mut Lab,
    name: &str,
    program: Option<&Path>,
) -> Result<()> {
    let keylog = lab.keylog;
    let node = lab.router_mut(name)?;
    if let Some(router) = node.router.filter(|router| router.is_alive()) {
        bail!("the router of {name} runs already (process {})", router.pid);
    }
    let dir = place.node_dir(name);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))?;
    let own = Path::new("/proc/self/exe");
    let mut command = Command::new(program.unwrap_or(own));
    command
        .arg("run")
        .arg("--config")
        .arg(dir.join("startup-config"));
    command
        .arg("--state")
        .arg(dir.join("state"))
        .arg("--socket")
        .arg(place.socket(name));
    if keylog {
        command.arg("--keylog").arg(dir.join("keylog"));
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/");
    let namespace = place.open_namespace(name)?;
    testbed::start_in(&mut command, &namespace, true);
    let child = command
        .spawn()
        .with_context(|| format!("start the router of {name}"))?;
    node.router = Process::of(child.id());
    node.program = program.map(Path::to_path_buf);
    Ok(())
}

/// Waits until the router of a node answers on its socket.
pub(crate) fn wait_up(place: &Place, lab: &Lab, name: &str) -> Result<()> {
    let router = lab
        .node(name)?
        .router
        .context("the router was never started")?;
    let until = Instant::now() + ROUTER_UP_MAX;
    loop {
        let Err(fault) = control::exec(&place.socket(name), "show version") else {
            return Ok(());
        };
        if !router.is_alive() {
            bail!(
                "the router of {name} ended at its start:\n{}",
                last_words(place, name)
            );
        }
        if testbed::interrupted() {
            bail!("interrupted");
        }
        if Instant::now() > until {
            let log = last_words(place, name);
            return Err(fault.context(format!("the router of {name} does not answer:\n{log}")));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Gives a router the key pairs that its configuration names, and waits until it has them.
pub(crate) fn provide_keys(place: &Place, node: &NodeState) -> Result<()> {
    for key in &node.rekey_keys {
        let command = match key.split_once(' ') {
            Some(("ec", label)) => format!("crypto key generate ec keysize 256 label {label}"),
            Some((_, label)) => format!("crypto key generate rsa label {label} modulus 2048"),
            None => bail!("no key pair: {key}"),
        };
        ask(place, &node.name, &command)?;
    }
    let until = Instant::now() + KEY_MADE_MAX;
    // A key is made beside the router's work. Whether its groups are served then is the election's.
    while !node.rekey_keys.is_empty() {
        let keys = ask(place, &node.name, "show crypto key mypubkey all")?;
        if node
            .rekey_keys
            .iter()
            .filter_map(|key| key.split_once(' '))
            .all(|(_, label)| shows::has_key(&keys, label))
        {
            break;
        }
        if Instant::now() > until || testbed::interrupted() {
            bail!(
                "{} has no key pair {} s after it was ordered:\n{}",
                node.name,
                KEY_MADE_MAX.as_secs(),
                last_words(place, &node.name)
            );
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// What a router says to a command; a refusal is a fault.
pub(crate) fn ask(place: &Place, router: &str, command: &str) -> Result<String> {
    let answer = control::exec(&place.socket(router), command)?;
    if !answer.accepted {
        bail!("{router}: `{command}`: {}", answer.text.trim());
    }
    Ok(answer.text)
}

/// Kills the router of a node on the spot (SIGKILL).
pub(crate) fn kill(lab: &mut Lab, name: &str) -> Result<()> {
    let node = lab.router_mut(name)?;
    let Some(router) = node.router.filter(|router| router.is_alive()) else {
        bail!("the router of {name} does not run");
    };
    router.signal(libc::SIGKILL);
    if !router.wait_end() {
        bail!("process {} of {name} outlives SIGKILL", router.pid);
    }
    Ok(())
}

/// The end of a router's log.
pub(crate) fn last_words(place: &Place, name: &str) -> String {
    const LINES: usize = 12;
    let path = place.node_dir(name).join("log");
    let text = File::open(&path)
        .and_then(std::io::read_to_string)
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(LINES);
    lines[last..]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect()
}

//! The lab of an ordinary user: a process that holds a user, a mount and a network namespace in
//! which everything else of the lab lives. Decides how they are made and entered.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::process::Process;

/// What the holder says once its namespaces stand.
const READY: &str = "ready";

/// Starts the holder of the lab whose state is in `dir`, from this very program.
pub(crate) fn start(dir: &Path) -> Result<Process> {
    let mut child = Command::new("/proc/self/exe")
        .args(["lab", "hold"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start the holder of the namespaces")?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    if said.trim() != READY {
        let output = child.wait_with_output()?;
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!(
            "cannot make namespaces without root: {reason} \
             (the kernel must allow unprivileged user namespaces; or run as root)"
        );
    }
    Process::of(child.id()).context("the holder ended at once")
}

/// The life of the holder: make the namespaces, say so, and wait for the end.
pub(crate) fn hold(dir: &Path) -> Result<()> {
    let (user, group) = (testbed::effective_user(), testbed::effective_group());
    testbed::new_session().context("setsid")?;
    testbed::leave_all().context("unshare user, mount and network namespaces")?;
    fs::write("/proc/self/setgroups", "deny").context("setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).context("uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).context("gid_map")?;
    testbed::mounts_private().context("make the mounts private")?;
    cover_run(dir)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{READY}")?;
    stdout.flush()?;
    testbed::sleep_for_good()
}

/// Puts an empty /run over the machine's, for `ip netns`, and keeps `dir` visible where it was.
fn cover_run(dir: &Path) -> Result<()> {
    let keep = File::open(dir).with_context(|| format!("{}", dir.display()))?;
    testbed::mount_tmpfs("/run").context("mount a tmpfs on /run")?;
    fs::create_dir_all("/run/netns")?;
    if dir.starts_with("/run") {
        use std::os::fd::AsRawFd;
        fs::create_dir_all(dir)?;
        let source = format!("/proc/self/fd/{}", keep.as_raw_fd());
        testbed::mount_bind(&source, &dir.to_string_lossy()).context("keep the state folder")?;
    }
    Ok(())
}

/// Moves this process, which has one thread, into the holder's namespaces, and stays in the
/// working folder if it exists there.
pub(crate) fn enter(holder: Process) -> Result<()> {
    if !holder.is_alive() {
        bail!("the holder of this lab has died: `getvpn lab down` clears what is left");
    }
    let folder = std::env::current_dir();
    let open = |kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", holder.pid);
        File::open(&path).with_context(|| path)
    };
    let (user, mount, net) = (open("user")?, open("mnt")?, open("net")?);
    testbed::enter_user(&user).context("enter the user namespace of the lab")?;
    testbed::enter_mount(&mount).context("enter the mount namespace of the lab")?;
    testbed::enter_net(&net).context("enter the network namespace of the lab")?;
    if let Ok(folder) = folder {
        // A folder under /run is hidden in the lab: then the process stays at the root.
        let _ = std::env::set_current_dir(folder);
    }
    Ok(())
}

//! Network namespaces: for the lab, and for tests that need a network of their own.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::Command;

use crate::sys;

/// The calling thread gets an empty network namespace.
///
/// # Errors
/// Needs CAP_SYS_ADMIN in the user namespace.
pub fn enter_new() -> io::Result<()> {
    sys::unshare(libc::CLONE_NEWNET)
}

/// The calling thread's network namespace.
///
/// # Errors
/// There is no /proc.
pub fn current() -> io::Result<File> {
    File::open(format!("/proc/self/task/{}/ns/net", sys::thread_id()))
}

/// The calling thread enters a network namespace.
///
/// # Errors
/// Needs CAP_SYS_ADMIN in both user namespaces.
pub fn enter(namespace: impl AsFd) -> io::Result<()> {
    sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)
}

/// The command will run as root of user, mount and network namespaces of its own, which need no
/// privilege; `spawn` fails where the system forbids them.
pub fn isolate(command: &mut Command) {
    let (user, group) = sys::effective_ids();
    let user_map = format!("0 {user} 1");
    let group_map = format!("0 {group} 1");
    sys::before_exec(command, move || {
        sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS)?;
        const SETGROUPS: &CStr = c"/proc/self/setgroups";
        sys::write_file(SETGROUPS, b"deny")?;
        sys::write_file(c"/proc/self/gid_map", group_map.as_bytes())?;
        sys::write_file(c"/proc/self/uid_map", user_map.as_bytes())
    });
}

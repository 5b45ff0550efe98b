//! Processes of the lab known by number *and* start time, so that a number used again by a
//! stranger is never signalled. Decides who is alive and how one is ended.

use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use netio::testbed;

use crate::limits::{LOOK_AGAIN, STOP_MAX};

/// One process, told apart from any other that gets its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Clock ticks between the start of the machine and its own.
    started: u64,
}

/// State letter and start time out of `/proc/PID/stat`, whose second field may hold anything.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, started) = state_and_start(&stat)?;
        Some(Self { pid, started })
    }

    /// It runs: it exists, is the one meant, and is not merely waiting to be collected.
    pub(crate) fn is_alive(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        matches!(state_and_start(&stat),
            Some((state, started)) if started == self.started && state != 'Z' && state != 'X')
    }

    /// Sends the signal if the process is still the one meant.
    pub(crate) fn signal(self, number: i32) {
        if self.is_alive() {
            // It may end between the look and the signal; then there is nothing left to do.
            let _ = testbed::signal(self.pid, number);
        }
    }

    /// Waits until it has ended; false when it has not after `STOP_MAX`.
    pub(crate) fn wait_end(self) -> bool {
        let until = Instant::now() + STOP_MAX;
        while self.is_alive() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

/// Asks all to stop, waits together for them, and kills those that do not.
pub(crate) fn stop_all(processes: &[Process]) {
    for process in processes {
        process.signal(libc::SIGTERM);
    }
    for process in processes {
        if !process.wait_end() {
            process.signal(libc::SIGKILL);
            process.wait_end();
        }
    }
}

/// All processes for which `/proc/PID/ns/KIND` is one of the namespaces with these inode numbers.
pub(crate) fn in_namespaces(kind: &str, inodes: &[u64]) -> Vec<Process> {
    use std::os::unix::fs::MetadataExt;
    let me = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != me)
        .filter(|pid| {
            let found = fs::metadata(format!("/proc/{pid}/ns/{kind}"));
            found.is_ok_and(|found| inodes.contains(&found.ino()))
        })
        .filter_map(Process::of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_shift_the_fields() {
        let fields = (4..=30)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(
            state_and_start(&format!("7 (a ) S b) R {fields}")),
            Some(('R', 22))
        );
    }

    #[test]
    fn a_process_is_alive_until_it_is_stopped() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_alive());
        stop_all(&[process]);
        assert!(!process.is_alive());
        child.wait().unwrap();
        assert!(Process::of(child.id()).is_none());
    }

    #[test]
    fn a_number_used_by_another_process_is_not_the_one_meant() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(
            !Process {
                started: me.started + 1,
                ..me
            }
            .is_alive()
        );
    }
}

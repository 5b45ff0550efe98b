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

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    threads: u64,
    started: u64,
}

impl Stat {
    /// Reads the line; its second field, the name, may hold anything.
    fn of(line: &str) -> Option<Self> {
        let (_, after_name) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split(' ').collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            threads: fields.get(17)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Its first thread waits to be collected and no other one runs: then its files are closed too.
    fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = Stat::of(&stat)?.started;
        Some(Self { pid, started })
    }

    /// It runs: it exists, is the one meant, and is not merely waiting to be collected.
    pub(crate) fn is_alive(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        Stat::of(&stat).is_some_and(|stat| stat.started == self.started && !stat.has_ended())
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
        let found = Stat {
            state: 'R',
            threads: 20,
            started: 22,
        };
        assert_eq!(Stat::of(&format!("7 (a ) S b) R {fields}")), Some(found));
    }

    #[test]
    fn a_process_whose_other_threads_still_run_has_not_ended() {
        let stat = |state, threads| Stat {
            state,
            threads,
            started: 1,
        };
        assert!(stat('Z', 1).has_ended());
        assert!(!stat('Z', 2).has_ended() && !stat('S', 1).has_ended());
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

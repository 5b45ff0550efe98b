//! The clocks that are handed to the cores, and those that say what something cost.

use std::io;
use std::time::Duration;

use policy::{Time, WallClock};

/// How long the answer is believed whether the wall clock is synchronised.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// CLOCK_BOOTTIME: it counts through suspend, and does not jump.
#[must_use]
pub fn now() -> Time {
    let nanos = crate::sys::clock_nanos(libc::CLOCK_BOOTTIME);
    Time::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// How long the machine has been suspended since it booted: what CLOCK_BOOTTIME counted and
/// CLOCK_MONOTONIC did not. Grows by a suspend and by nothing else, but is read to within
/// [`READ_SPAN`] only.
#[must_use]
pub fn suspended() -> Duration {
    let monotonic = || crate::sys::clock_nanos(libc::CLOCK_MONOTONIC);
    let read = || {
        let begin = monotonic();
        let boot = crate::sys::clock_nanos(libc::CLOCK_BOOTTIME);
        (monotonic() - begin, boot - begin)
    };
    // A thread that lost its processor between two clocks asks again; only a suspend in between
    // could make it ask for long, and that shows in the difference of the next reading.
    let mut best = read();
    for _ in 0..READS_MAX {
        if best.0 <= i128::from(READ_SPAN.as_nanos() as u64) {
            break;
        }
        best = best.min(read());
    }
    Duration::from_nanos(u64::try_from(best.1).unwrap_or(0))
}

/// How far apart two clocks may be read that are compared.
pub const READ_SPAN: Duration = Duration::from_millis(1);
/// How often they are read again when that fails.
const READS_MAX: u32 = 16;

/// The wall clock, and whether the kernel says that it is synchronised.
#[must_use]
pub fn wall() -> WallClock {
    let nanos = crate::sys::clock_nanos(libc::CLOCK_REALTIME);
    WallClock {
        unix_ms: i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(0),
        synchronised: crate::sys::clock_is_synchronised(),
    }
}

/// Both clocks for who reads them with every datagram: the kernel is asked whether the wall clock
/// is synchronised, which costs a system call, once a second.
#[derive(Debug)]
pub struct Clocks {
    synchronised: bool,
    asked: Time,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            synchronised: crate::sys::clock_is_synchronised(),
            asked: now(),
        }
    }
}

impl Clocks {
    /// As [`now`] and [`wall`] read.
    pub fn read(&mut self) -> (Time, WallClock) {
        let now = now();
        if now.since(self.asked) >= ASKED_AGAIN {
            self.asked = now;
            self.synchronised = crate::sys::clock_is_synchronised();
        }
        let nanos = crate::sys::clock_nanos(libc::CLOCK_REALTIME);
        let wall = WallClock {
            unix_ms: i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(0),
            synchronised: self.synchronised,
        };
        (now, wall)
    }
}

/// The kernel's number for this boot of the machine: [`now`] goes on as long as it stays.
///
/// # Errors
/// There is no /proc.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    let nanos = crate::sys::clock_nanos(libc::CLOCK_THREAD_CPUTIME_ID);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Processor time that a process has used, in user and kernel mode, in all its threads.
///
/// # Errors
/// There is no such process.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    crate::sys::clock_if_there(crate::sys::cpu_clock(pid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_work_and_not_of_the_wait() {
        let process = || process_cpu(std::process::id()).unwrap();
        let (thread_before, process_before) = (thread_cpu(), process());
        let mut octets = vec![1_u8; 1 << 16];
        while thread_cpu() - thread_before < Duration::from_millis(5) {
            octets.sort_unstable();
            std::hint::black_box(&mut octets);
        }
        let worked = thread_cpu();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_cpu() - worked < Duration::from_millis(25));
        assert!(process() - process_before >= Duration::from_millis(5));
        assert!(process_cpu(u32::MAX).is_err());
        assert!(process_cpu(u32::MAX / 2).is_err());
        assert!(process_cpu(0).is_err());
    }

    #[test]
    fn the_clocks_run_forward_and_agree_with_std() {
        let (first, second) = (now(), now());
        assert!(first <= second && first > Time::ZERO);
        let unix = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let difference = i128::from(wall().unix_ms) - i128::try_from(unix.as_millis()).unwrap();
        assert!(difference.abs() < 60_000, "{difference} ms");
        let mut clocks = Clocks::default();
        let (then, wall_then) = clocks.read();
        assert!(second <= then && then <= now());
        assert_eq!(wall_then.synchronised, wall().synchronised);
        assert!((wall().unix_ms - wall_then.unix_ms).abs() < 60_000);
    }

    #[test]
    fn time_in_suspend_stands_still_while_the_machine_runs() {
        let first = suspended();
        std::thread::sleep(Duration::from_millis(20));
        assert!(suspended().abs_diff(first) <= 2 * READ_SPAN);
    }

    #[test]
    fn the_boot_has_a_number_that_stays() {
        let id = boot_id().unwrap();
        assert_ne!(id, [0; 16]);
        assert_eq!(id, boot_id().unwrap());
    }
}

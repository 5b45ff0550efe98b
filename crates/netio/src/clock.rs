//! The clocks that are handed to the cores.

use std::io;

use policy::{Time, WallClock};

/// CLOCK_BOOTTIME: it counts through suspend, and does not jump.
#[must_use]
pub fn now() -> Time {
    let nanos = crate::sys::clock_nanos(libc::CLOCK_BOOTTIME);
    Time::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The wall clock, and whether the kernel says that it is synchronised.
#[must_use]
pub fn wall() -> WallClock {
    let nanos = crate::sys::clock_nanos(libc::CLOCK_REALTIME);
    WallClock {
        unix_ms: i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(0),
        synchronised: crate::sys::clock_is_synchronised(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_run_forward_and_agree_with_std() {
        let (first, second) = (now(), now());
        assert!(first <= second && first > Time::ZERO);
        let unix = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let difference = i128::from(wall().unix_ms) - i128::try_from(unix.as_millis()).unwrap();
        assert!(difference.abs() < 60_000, "{difference} ms");
    }

    #[test]
    fn the_boot_has_a_number_that_stays() {
        let id = boot_id().unwrap();
        assert_ne!(id, [0; 16]);
        assert_eq!(id, boot_id().unwrap());
    }
}

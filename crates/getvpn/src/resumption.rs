//! Whether this memory may have been resumed twice (PROTOCOL P21).
//!
//! The clocks tell of a suspend: CLOCK_BOOTTIME counts through it and CLOCK_MONOTONIC does not. The
//! kernel tells of a restored virtual machine. Until the box has answered by dropping its keys, no
//! forwarding thread may send: each asks here before every batch, and does not wait for the box to
//! notice. What the box does is decided in `gdoi`.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use netio::{Wait, clock, vm_generation};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::limits::SUSPEND_LEAST;

/// What happened, and what of it the box has answered. Shared by the box and the threads.
#[derive(Default)]
pub(crate) struct Resumption {
    /// Time spent suspended that is answered, nanoseconds.
    slept: AtomicU64,
    /// Images that the kernel told of.
    images: AtomicU64,
    /// Of which so many are answered.
    images_answered: AtomicU64,
    /// Answers so far.
    answers: AtomicU64,
}

/// What is to be answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    slept: u64,
    images: u64,
}

impl Resumption {
    /// Suspends until now are none of ours: whatever is held was made after them.
    pub(crate) fn now() -> Arc<Self> {
        let resumption = Self::default();
        let slept = nanos(clock::suspended());
        resumption.slept.store(slept, Ordering::Release);
        Arc::new(resumption)
    }

    /// What happened and was not answered yet. Until it is, nothing may be sent.
    pub(crate) fn pending(&self) -> Option<Pending> {
        self.pending_at(clock::suspended())
    }

    fn pending_at(&self, suspended: Duration) -> Option<Pending> {
        let (slept, images) = (nanos(suspended), self.images.load(Ordering::Acquire));
        let answered = self.slept.load(Ordering::Acquire);
        let has_slept = slept.saturating_sub(answered) >= nanos(SUSPEND_LEAST);
        let is_image = images != self.images_answered.load(Ordering::Acquire);
        (has_slept || is_image).then_some(Pending { slept, images })
    }

    /// The kernel told of an image.
    fn image(&self) {
        self.images.fetch_add(1, Ordering::AcqRel);
    }

    /// The box has dropped what it held, and the threads have been given what is left.
    pub(crate) fn answered(&self, pending: Pending) {
        self.answers.fetch_add(1, Ordering::AcqRel);
        self.slept.fetch_max(pending.slept, Ordering::AcqRel);
        self.images_answered
            .store(pending.images, Ordering::Release);
    }

    /// How often it was answered: a thread that sees another number draws its randomness anew.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Notes new generations of the virtual machine, and says that there was one.
///
/// # Errors
/// The kernel gives no uevents, or no thread can be made: only the clocks tell then.
pub(crate) fn watch(resumption: &Arc<Resumption>) -> Result<mpsc::Receiver<()>> {
    let mut monitor =
        vm_generation::Monitor::open().context("cannot hear of new VM generations")?;
    let (told, images) = mpsc::channel(1);
    let resumption = Arc::clone(resumption);
    let watch = move || {
        while netio::poll(&mut [Wait::for_input(monitor.as_fd())], None).is_ok() {
            match monitor.is_new() {
                Ok(true) => resumption.image(),
                Ok(false) => continue,
                Err(_) => return,
            }
            if let Err(TrySendError::Closed(())) = told.try_send(()) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("generation".into())
        .spawn(watch)
        .context("cannot start a thread")?;
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspend_is_pending_until_it_is_answered_and_never_again() {
        let resumption = Resumption::default();
        assert_eq!(resumption.pending_at(Duration::ZERO), None);
        assert_eq!(resumption.pending_at(SUSPEND_LEAST / 2), None);
        let night = Duration::from_secs(8 * 3_600);
        let pending = resumption.pending_at(night).unwrap();
        assert_eq!(resumption.pending_at(night), Some(pending));
        resumption.answered(pending);
        assert_eq!(resumption.answers(), 1);
        assert_eq!(resumption.pending_at(night + SUSPEND_LEAST / 2), None);
        assert!(resumption.pending_at(night * 2).is_some());
    }

    #[test]
    fn an_image_that_comes_while_one_is_answered_is_answered_too() {
        let resumption = Resumption::default();
        resumption.image();
        let first = resumption.pending_at(Duration::ZERO).unwrap();
        resumption.image();
        resumption.answered(first);
        let second = resumption.pending_at(Duration::ZERO).unwrap();
        resumption.answered(second);
        assert_eq!(resumption.pending_at(Duration::ZERO), None);
        assert_eq!(resumption.answers(), 2);
    }

    #[test]
    fn a_machine_that_just_runs_is_never_pending() {
        let resumption = Resumption::now();
        for _ in 0..10_000 {
            assert_eq!(resumption.pending(), None);
        }
    }
}

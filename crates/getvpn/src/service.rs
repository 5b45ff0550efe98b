//! The service manager: readiness, the watchdog, and the end (sd_notify).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// What the service manager expects, if there is one.
pub(crate) struct Service {
    /// Half of the watchdog's period.
    period: Option<Duration>,
    told: Instant,
    ready: bool,
}

impl Service {
    /// Reads what the service manager says in the environment.
    pub(crate) fn find() -> Self {
        Self {
            period: sd_notify::watchdog_enabled().map(|period| period / 2),
            told: Instant::now(),
            ready: false,
        }
    }

    /// The box is up: its sockets listen and its ports are steered.
    pub(crate) fn ready(&mut self) {
        self.ready = true;
        notify(&[NotifyState::Ready]);
    }

    /// Whether [`Self::ready`] was said.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// The loop turns: said at half of the watchdog's period.
    pub(crate) fn alive(&mut self) {
        if self
            .period
            .is_some_and(|period| self.told.elapsed() >= period)
        {
            self.told = Instant::now();
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// How long the loop may sleep.
    pub(crate) fn patience(&self) -> Duration {
        let left = |period: Duration| period.saturating_sub(self.told.elapsed());
        self.period.map_or(Duration::MAX, left)
    }

    /// The box ends.
    pub(crate) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without a service manager nobody listens.
    let _ = sd_notify::notify(state);
}

//! The text of a group with several key servers.

use std::fmt;

use super::{Coop, Counters, Session};
use crate::show::crypto::gdoi::addresses;

impl Coop {
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        writeln!(f, "\n        Local Address: {}", self.local_address)?;
        writeln!(f, "        Local Priority: {}", self.local_priority)?;
        writeln!(
            f,
            "        Local KS Role: {:<10}, Local KS Status: Alive",
            self.local_role
        )?;
        writeln!(f, "        Local KS version: {}", self.local_version)?;
        if is_detailed {
            writeln!(f, "        Local COOP version: {}", self.local_coop_version)?;
        }
        self.write_timers(f, is_detailed)?;
        if is_detailed {
            self.write_agreement(f)?;
        }
        writeln!(f, "\n        Peer Sessions:")?;
        for (session, number) in self.sessions.iter().zip(1..) {
            session.write(f, number, is_detailed)?;
        }
        Ok(())
    }

    fn write_timers(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        if self.local_role == "Primary" {
            writeln!(f, "        Primary Timers:")?;
            writeln!(
                f,
                "                Primary Refresh Policy Time: {}",
                self.refresh_s
            )?;
            writeln!(
                f,
                "                Remaining Time: {}",
                self.next_announcement_s
            )?;
        } else {
            writeln!(f, "        Secondary Timers:")?;
            writeln!(
                f,
                "                Sec Primary Periodic Time: {}",
                self.primary_timeout_s
            )?;
            writeln!(
                f,
                "                Remaining Time: {}, Retries: {}",
                self.primary_silence_remaining_s, self.primary_silences
            )?;
            writeln!(
                f,
                "                Invalid ANN PST recvd: {}",
                self.invalid_pseudotimes
            )?;
            writeln!(
                f,
                "                New GM Temporary Blocking Enforced?: {}",
                yes(self.is_blocking)
            )?;
        }
        if is_detailed {
            // Members are not authenticated anew one by one, so there is no timer for it.
            writeln!(f, "                Per-user timer remaining time: 0")?;
        }
        writeln!(
            f,
            "                Antireplay Sequence Number: {}",
            self.sequence
        )
    }

    /// What IOS does not know.
    fn write_agreement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let primary = self
            .primary
            .map_or_else(|| "none".to_owned(), |primary| primary.to_string());
        let generation: Vec<_> = self.generation.iter().map(u32::to_string).collect();
        let state = if self.is_complete {
            "complete"
        } else {
            "incomplete"
        };
        writeln!(f, "        Agreement:")?;
        writeln!(f, "                Primary: {primary}")?;
        writeln!(
            f,
            "                KS index: {} of {}",
            self.index, self.servers
        )?;
        writeln!(f, "                Term: {}", self.term)?;
        writeln!(f, "                Generation: {}", generation.join("."))?;
        writeln!(f, "                State: {state}")?;
        writeln!(f, "                Key look-ahead: {}", self.look_ahead)?;
        writeln!(
            f,
            "                Periods acknowledged by all: {}",
            self.acknowledged_periods
        )?;
        writeln!(
            f,
            "                Horizon acknowledged by all: {} secs",
            self.horizon_s
        )?;
        if self.removed_members > 0 {
            let count = self.removed_members;
            writeln!(f, "                Removed members: {count}")?;
        }
        if !self.removal_unknown_to.is_empty() {
            let servers = addresses(&self.removal_unknown_to);
            writeln!(
                f,
                "                Removal: partial, not yet known to KS {servers}"
            )?;
        }
        Ok(())
    }
}

impl Session {
    fn write(&self, f: &mut fmt::Formatter<'_>, number: u32, is_detailed: bool) -> fmt::Result {
        writeln!(f, "        Session {number}:")?;
        writeln!(f, "                Server handle: {}", self.handle)?;
        writeln!(f, "                Peer Address: {}", self.address)?;
        if let Some(version) = &self.version {
            writeln!(f, "                Peer Version: {version}")?;
        }
        if let Some(version) = self.coop_version.as_ref().filter(|_| is_detailed) {
            writeln!(f, "                Peer COOP version: {version}")?;
            writeln!(f, "                COOP Protocol: getvpn")?;
        }
        if let Some(priority) = self.priority {
            writeln!(f, "                Peer Priority: {priority}")?;
        }
        writeln!(
            f,
            "                Peer KS Role: {:<10}, Peer KS Status: {}",
            self.role, self.status
        )?;
        writeln!(
            f,
            "                Antireplay Sequence Number: {}",
            self.sequence
        )?;
        let ike = if self.is_ike_established {
            "Established"
        } else {
            "Down"
        };
        writeln!(f, "\n                IKE status: {ike}")?;
        self.counters.write(f)?;
        if is_detailed {
            self.write_link(f)?;
        }
        Ok(())
    }

    fn write_link(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heard = self
            .heard_ago_s
            .map_or_else(|| "never".to_owned(), |s| format!("{s} secs ago"));
        let differences = if self.differing_fields.is_empty() {
            "none".to_owned()
        } else {
            self.differing_fields.join(", ")
        };
        writeln!(f, "                KS index: {}", self.index)?;
        writeln!(f, "                Two-way link: {}", yes(self.is_two_way))?;
        writeln!(f, "                Heard: {heard}")?;
        writeln!(f, "                Lagging: {}", yes(self.is_lagging))?;
        writeln!(
            f,
            "                Changes not acknowledged: {}",
            self.backlog
        )?;
        writeln!(
            f,
            "                Configuration differences: {differences}"
        )
    }
}

impl Counters {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "                Counters:")?;
        for (what, count) in [
            ("Ann msgs sent", self.announcements_sent),
            ("Ann msgs sent with reply request", self.reply_requests_sent),
            ("Ann msgs recv", self.announcements_received),
            (
                "Ann msgs recv with reply request",
                self.reply_requests_received,
            ),
            ("Packet sent drops", self.sent_drops),
            ("Packet Recv drops", self.received_drops),
            ("Total bytes sent", self.octets_sent),
            ("Total bytes recv", self.octets_received),
        ] {
            writeln!(f, "                    {what}: {count}")?;
        }
        Ok(())
    }
}

const fn yes(is_so: bool) -> &'static str {
    if is_so { "Yes" } else { "No" }
}

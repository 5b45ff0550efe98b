//! Counting and reporting refusals: every one is counted, and the log is never flooded.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use policy::Time;
use wire::iana::NotifyType;

use super::admission::AdmissionCounts;
use super::refusal::{Answer, Failure, Refusal, RefusalCounter};
use crate::limits::{
    CLEAR_NOTIFIES_PER_S_MAX, FAILURES_REMEMBERED_MAX, REPORT_INTERVAL, REPORTS_REMEMBERED_MAX,
};
use crate::machine::Outbox;

/// What ISAKMP has done since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that came in.
    pub received: u64,
    /// Datagrams that left, repeats included.
    pub sent: u64,
    /// Messages that left again because no answer came.
    pub retransmitted: u64,
    /// Copies of messages that had been processed.
    pub duplicates: u64,
    /// Phase-1 SAs that were established.
    pub established: u64,
    /// Negotiations of ours that failed.
    pub failed: u64,
    /// Half-open negotiations that gave their place to another or ran out of time.
    pub half_open_dropped: u64,
    /// Informational messages in clear; none of them changed anything.
    pub clear_notifies: u64,
    /// Parts of messages whose other parts had not come.
    pub parts: u64,
    /// Negotiations that were asked for and begun.
    pub admission: AdmissionCounts,
    /// Refusals by their counter.
    refusals: BTreeMap<RefusalCounter, u64>,
}

impl Counters {
    /// How often a message was refused for this reason.
    #[must_use]
    pub fn refused(&self, counter: RefusalCounter) -> u64 {
        self.refusals.get(&counter).copied().unwrap_or(0)
    }

    /// Every refusal's name and count, those that never happened included.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        RefusalCounter::ALL
            .into_iter()
            .map(|counter| (counter.name(), self.refused(counter)))
    }
}

/// A negotiation of ours that ended without an SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// With whom.
    pub peer: Ipv4Addr,
    /// Why.
    pub reason: Failure,
}

/// What a report is about, for saying it once.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Refusal(RefusalCounter),
    Notify(NotifyType),
}

/// The memory behind the reports.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) counters: Counters,
    recent: BTreeMap<(Ipv4Addr, Subject), Time>,
    /// The second in which old entries were last looked for: a flood pays for that once.
    pruned_s: u64,
    notifies: (u64, u32),
    pub(super) ended: VecDeque<Ended>,
}

impl Reports {
    /// A message was refused: counts it, and reports it unless that was done a moment ago.
    #[track_caller]
    pub(super) fn refused(
        &mut self,
        now: Time,
        peer: Ipv4Addr,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let counter = refusal.row().counter;
        *self.counters.refusals.entry(counter).or_default() += 1;
        if self.is_news(now, peer, Subject::Refusal(counter)) {
            out.report(refusal.event(peer));
        }
    }

    /// A notification came that nothing authenticates: whether to report it.
    pub(super) fn notified(&mut self, now: Time, peer: Ipv4Addr, notify: NotifyType) -> bool {
        self.is_news(now, peer, Subject::Notify(notify))
    }

    /// As `notified`, for a notification that the SA authenticates.
    pub(super) fn notified_under_sa(
        &mut self,
        now: Time,
        peer: Ipv4Addr,
        notify: NotifyType,
    ) -> bool {
        self.is_news(now, peer, Subject::Notify(notify))
    }

    fn is_news(&mut self, now: Time, peer: Ipv4Addr, subject: Subject) -> bool {
        let key = (peer, subject);
        if self
            .recent
            .get(&key)
            .is_some_and(|at| now < *at + REPORT_INTERVAL)
        {
            return false;
        }
        if self.recent.len() >= REPORTS_REMEMBERED_MAX && self.pruned_s != now.as_secs() {
            self.pruned_s = now.as_secs();
            self.recent.retain(|_, at| now < *at + REPORT_INTERVAL);
        }
        if self.recent.len() >= REPORTS_REMEMBERED_MAX {
            // So many peers misbehave at once that the counters must do.
            return false;
        }
        self.recent.insert(key, now);
        true
    }

    /// A negotiation of ours ended.
    pub(super) fn failed(&mut self, at: Time, peer: Ipv4Addr, reason: Failure) {
        self.counters.failed += 1;
        if self.ended.len() >= FAILURES_REMEMBERED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { at, peer, reason });
    }

    /// Whether the sender of this may be told in clear, now.
    pub(super) fn may_answer(&mut self, now: Time, refusal: &Refusal) -> bool {
        if refusal.row().answer == Answer::Silence {
            return false;
        }
        let second = now.as_secs();
        let sent = if self.notifies.0 == second {
            self.notifies.1
        } else {
            0
        };
        self.notifies = (second, sent + 1);
        sent < CLEAR_NOTIFIES_PER_S_MAX
    }
}

//! Registrations that do not come about.
//!
//! Decides when the next attempt is made and with which key server.

use std::time::Duration;

use event::Gdoi;

use super::{Attempt, Run};
use crate::context::Context;
use crate::gm::Member;
use crate::gm::back_off;
use crate::gm::policy::Purpose;
use crate::group_sa::Unacceptable;
use crate::limits::{
    BACK_OFF_MAX, BACK_OFF_MIN, REFUSED_BACK_OFF_MAX, REJECT_BACK_OFF_MAX, REJECT_BACK_OFF_MIN,
};

impl Member {
    /// A registration did not come about, for another reason than a refusal.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, reason: &str, dead: bool) {
        self.plan.refusals = 0;
        self.fail_as(cx, reason, dead);
    }

    /// A key server said, under an SA that is no use any more, that this member may not join.
    pub(super) fn refused(&mut self, cx: &mut Context<'_>, reason: &str) {
        self.plan.refusals = self.plan.refusals.saturating_add(1);
        self.fail_as(cx, reason, true);
    }

    /// A registration did not come about: the next server is tried, after a round with a back-off,
    /// which grows longer while all servers of every round say that this member may not join.
    /// What is held is kept. `dead` says that the phase-1 SA is no use any more.
    fn fail_as(&mut self, cx: &mut Context<'_>, reason: &str, dead: bool) {
        let sa = self.attempt.sa();
        if let Some((sa, message_id)) = self.attempt.exchange() {
            cx.isakmp.finish(sa, message_id);
        }
        self.attempt = Attempt::Idle;
        if self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.is_for(Purpose::Registration))
        {
            self.fetch = None;
        }
        if let Some(sa) = sa.filter(|_| dead) {
            cx.isakmp.delete(cx.now, sa, cx.rng, cx.out);
        }
        self.last_failure = Some(reason.to_owned());
        self.plan.failures = self.plan.failures.saturating_add(1);
        self.plan.next_server = true;
        let servers = u32::try_from(self.config.servers.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let rounds = self.plan.failures / servers;
        let pause = if self.plan.failures.is_multiple_of(servers) {
            let refused = self.plan.refusals >= servers;
            let most = if refused {
                REFUSED_BACK_OFF_MAX
            } else {
                BACK_OFF_MAX
            };
            back_off(cx, BACK_OFF_MIN, most, rounds)
        } else {
            Duration::ZERO
        };
        self.plan.at = Some(cx.now + pause);
    }

    /// The key server has not heard of a removal that this member knows of: it is not joined, so that
    /// it goes on taking the member for one that holds what it holds.
    //= getvpn P14
    pub(super) fn outdated(&mut self, cx: &mut Context<'_>, run: Run) {
        let (ks, group) = (*run.server.ip(), self.config.group.clone());
        cx.out.report(Gdoi::GM_KS_BEHIND { ks, group });
        self.refuse(cx, "key server behind a removal");
        cx.isakmp.delete(cx.now, run.sa, cx.rng, cx.out);
        self.fail(cx, "the key server has not heard of a removal", true);
    }

    /// The key server's word cannot be followed: said by name, and tried again much later.
    pub(super) fn reject(&mut self, cx: &mut Context<'_>, run: Run, reason: &Unacceptable) {
        cx.out.report(Gdoi::GM_REJECTING_SA_PAYLOAD {
            ks: *run.server.ip(),
            group: self.config.group.clone(),
            reason: reason.to_string(),
        });
        self.refuse(cx, "policy rejected");
        //= RFC 6407 3.3
        //# Otherwise, the GM
        //# SHOULD tear down the Phase 1 session after notifying the GCKS with an
        //# ISAKMP Informational Exchange containing a Delete payload.
        cx.isakmp.delete(cx.now, run.sa, cx.rng, cx.out);
        self.attempt = Attempt::Idle;
        self.last_failure = Some(reason.to_string());
        self.plan.failures = self.plan.failures.saturating_add(1);
        (self.plan.next_server, self.plan.rejected) = (true, true);
        self.plan.refusals = 0;
        let rounds = self.plan.failures;
        let pause = back_off(cx, REJECT_BACK_OFF_MIN, REJECT_BACK_OFF_MAX, rounds);
        self.plan.at = Some(cx.now + pause);
    }
}

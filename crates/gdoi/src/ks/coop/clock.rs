//! Whose clock is the group's: that of who leads, and how the others follow it (PROTOCOL P27).
//!
//! A clock has a generation, and members follow the newest one that they hear of. So whoever leads
//! names a newer one for its own clock when another key server has named one for another clock.

use std::time::Duration;

use ::policy::{ClockGeneration, KsIndex, PseudoTime, Time};
use event::Gdoi;
use wire::private::Announcement;

use super::Peer;
use super::view::Role;
use crate::context::Context;
use crate::ks::{KeyServer, Order, RESYNCS, Untimed};
use crate::limits::{CLOCK_SLEW_PPM, CLOCK_STEP_MIN};

/// An answer is seldom under way for longer; what was may have been lost once and asked for again.
const GUESS_MAX: Duration = Duration::from_millis(100);

/// Between which two a peer's clock reads now.
struct Reading {
    least: PseudoTime,
    most: PseudoTime,
}

impl Reading {
    /// Half of the time that question and answer were under way.
    fn half(&self) -> Duration {
        self.most.since(self.least) / 2
    }

    /// What it likely reads, the middle. Where that is far, a guess that is ahead is worse than one
    /// that is behind: members believe the latest of all stamps.
    fn guess(&self) -> PseudoTime {
        self.least.after(self.half().min(GUESS_MAX))
    }

    /// By how much the middle is ahead of that guess.
    fn unsure(&self) -> Duration {
        self.half().saturating_sub(GUESS_MAX)
    }

    /// How far a clock is behind it and ahead of it.
    fn off(&self, own: PseudoTime) -> (Duration, Duration) {
        (self.least.since(own), own.since(self.most))
    }

    /// Whether no drift explains the difference to a clock.
    fn differs(&self, own: PseudoTime) -> bool {
        let (behind, ahead) = self.off(own);
        behind.max(ahead) > CLOCK_STEP_MIN
    }
}

impl KeyServer {
    /// The group's clock is the primary's: the answer was stamped between `asked` and now.
    //= getvpn P27
    pub(super) fn follow_clock(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
        asked: Time,
    ) {
        if !said.flags.founded {
            return;
        }
        let generation = ClockGeneration(said.clock_generation);
        // It was stamped at some time between: any of these is what it may read now.
        let least = PseudoTime::from_nanos(said.pseudotime_ns);
        let theirs = Reading {
            least,
            most: least.after(cx.now.since(asked)),
        };
        let primary = self.coop.peers.get(&index).and_then(Peer::role) == Some(Role::Primary);
        if self.coop.leads() {
            // Of two that lead one gives way first.
            if !primary {
                self.keep_clock(cx, index, generation, &theirs);
            }
            return;
        }
        let first = self.coop.synchronised.is_none();
        if !primary && !(first && (said.flags.complete || !self.is_founded())) {
            return;
        }
        let known = self.clock.generation();
        // Whoever leads names a newer one for its clock as soon as it hears of this one.
        if generation < known && !self.clock.is_lost() {
            return;
        }
        // Whoever lost it made other keys in place of those told ahead: they come after this.
        if self.is_founded() && (generation != known || self.clock.is_lost()) {
            self.ordered = Some(Order::Instead);
        }
        let own = self.clock.at(cx.now);
        // Nothing was stamped in this run yet: the clock is simply the group's.
        let begins = first && !self.coop.complete;
        let read = if begins || generation != known || theirs.differs(own) {
            // One of the two clocks was lost, and the primary's counts.
            if !begins && theirs.differs(own) {
                self.clock_differs(cx, index);
            }
            self.coop.unsure = theirs.unsure();
            theirs.guess()
        } else {
            let since = self.coop.synchronised.map_or(Time::ZERO, |at| at);
            let most = cx.now.since(since) * u32::try_from(CLOCK_SLEW_PPM).unwrap_or(0) / 1_000_000;
            let (behind, ahead) = theirs.off(own);
            let unsure = self.coop.unsure;
            self.coop.unsure = unsure.min(theirs.unsure());
            own.after(behind.min(most.max(unsure)))
                .before(ahead.min(most))
        };
        self.clock.set(read, cx.now);
        self.coop.synchronised = Some(cx.now);
        if generation != known {
            let named = if generation > known {
                generation
            } else {
                // Members may hold the one that this key server opened before it lost its clock.
                known.next(self.coop.own)
            };
            self.name_clock(cx, named);
        }
    }

    /// All that the key server of that index knows is here. If it leads, what it made in place of
    /// keys in doubt is, too. Says whether something was in doubt.
    //= getvpn P27
    pub(super) fn trust_keys(&mut self, index: KsIndex) -> bool {
        let primary = self.coop.peers.get(&index).and_then(Peer::role) == Some(Role::Primary);
        let trusts = primary && !self.coop.leads() && self.doubts_keys();
        if trusts {
            self.ordered = None;
        }
        trusts
    }

    /// Whoever leads keeps its clock, under a generation that no member has left behind.
    fn keep_clock(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        generation: ClockGeneration,
        theirs: &Reading,
    ) {
        if generation <= self.clock.generation() {
            return;
        }
        if theirs.differs(self.clock.at(cx.now)) {
            self.clock_differs(cx, index);
            self.name_clock(cx, generation.next(self.coop.own));
            self.ordered = self.ordered.max(Some(Order::Rekey));
        } else {
            self.name_clock(cx, generation);
        }
    }

    /// Whoever leads, and whom nobody told what the group's clock reads after its machine was off,
    /// opens the next generation. It makes new keys at once, also in place of those that are not sent
    /// on yet: whether they have ended is known to their holders only.
    //= getvpn P27
    pub(in crate::ks) fn open_lost_clock(&mut self, cx: &mut Context<'_>) {
        if !self.clock.is_lost() || !self.coop.leads() {
            return;
        }
        let opened = self.clock.generation().next(self.coop.own);
        cx.out.report(Gdoi::KS_CLOCK_LOST {
            group: self.config.group.clone(),
            pseudotime_s: self.clock.at(cx.now).as_secs(),
            generation: opened.0,
        });
        self.ordered = self.is_founded().then_some(Order::Instead);
        self.name_clock(cx, opened);
    }

    /// It is on disk before anybody hears of it.
    fn name_clock(&mut self, cx: &mut Context<'_>, generation: ClockGeneration) {
        self.clock.name(generation);
        self.last_sync = self.clock.at(cx.now);
        self.resyncs = RESYNCS;
        let members = self.members.iter().map(|(address, _)| address);
        self.untimed = Untimed::of(cx.now, members);
        self.doubt_plain(cx);
        self.persist_group(cx);
        self.coop.hasten(cx.now);
    }

    fn clock_differs(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.counters.invalid_pseudotimes += 1;
            cx.out.report(Gdoi::COOP_KS_RECVD_ANN_INVALID_PST {
                ks: peer.address,
                group: self.config.group.clone(),
            });
        }
    }
}

//! Taking members out: the generation rises, new keys are minted, everybody else comes for them.
//!
//! Decides when the keys of before end and who is told to register again. What is remembered of it
//! is `removals`; that nothing secret goes under a Rekey SA of before is seen to in `rekey`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use ::policy::{Generation, KekSpi, PeerKind, PseudoTime, Time};
use event::Gdoi;
use wire::isakmp::{Builder, Delete};

use super::coop::Key;
use super::keys::{GroupKeys, KINDS, Kek, TekRecord};
use super::outstanding::Content;
use super::removals::{Cleared, Raise, Removals, Standing};
use super::{KeyServer, Member, Serving};
use crate::context::Context;
use crate::group_sa::Offer;
use crate::limits::{
    CALL_AGAIN, RAISES_MAX, REGISTER_SPREAD_MAX, REGISTRATIONS_PER_S_MIN, REMOVAL_DELAY_MIN,
    REMOVAL_MARGIN,
};
use crate::machine::Output;
use crate::persist;
use crate::private::{GroupStamp, RegisterAgain};

/// Members that were told to register again, since the generation rose last.
#[derive(Clone, Default)]
pub(in crate::ks) struct Summoned {
    generation: Generation,
    members: BTreeSet<Ipv4Addr>,
    /// Those of them that may not have heard it, and when they are asked once more.
    unheard: BTreeSet<Ipv4Addr>,
    again: Option<Time>,
}

/// How many registrations a key server has done in one second.
#[derive(Clone, Default)]
pub(super) struct Rate {
    second: u64,
    count: u32,
    most: u32,
}

impl Rate {
    /// A registration is done.
    fn count(&mut self, now: Time) {
        let second = now.as_nanos() / 1_000_000_000;
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.most = self.most.max(self.count);
    }

    /// Registrations in a second that it can be asked for: what it has done, and at least a few.
    const fn per_second(&self) -> u32 {
        if self.most > REGISTRATIONS_PER_S_MIN {
            self.most
        } else {
            REGISTRATIONS_PER_S_MIN
        }
    }
}

impl KeyServer {
    /// `clear crypto gdoi ks members [A.B.C.D] [now]`.
    //= getvpn P16
    pub(crate) fn clear_members(
        &mut self,
        cx: &mut Context<'_>,
        member: Option<Ipv4Addr>,
        at_once: bool,
    ) {
        if !self.coop.leads() || self.serving != Serving::Yes {
            return;
        }
        let now = self.clock.at(cx.now);
        let at = if at_once {
            now
        } else {
            now.after(self.removal_delay(cx))
        };
        match member {
            // The order may be given again: the generation rises once more.
            Some(address) if self.keys.removals.refuses(address) => {}
            Some(address) => {
                let said = self.keys.removals.say(address, Standing::Removed, now);
                if said.is_none() {
                    let what = format!("{address} cannot be removed, too many are remembered");
                    return cx.out.report(Gdoi::KS_CLEAR_REGISTER {
                        group: self.config.group.clone(),
                        what,
                    });
                }
            }
            None => {
                let forget_at = now.after(self.removal_delay(cx) + self.in_flight());
                let made = now;
                self.keys.removals.cleared = Cleared { made, forget_at };
            }
        }
        cx.out.report(Gdoi::KS_CLEAR_REGISTER {
            group: self.config.group.clone(),
            what: member.map_or_else(
                || "every member is to register again".to_owned(),
                |member| format!("{member} is removed, every other member is to register again"),
            ),
        });
        self.raise(cx, at, now);
    }

    /// `crypto gdoi ks rekey replace-now`.
    //= getvpn P14
    pub(crate) fn replace_now(&mut self, cx: &mut Context<'_>) {
        if self.coop.leads() && self.serving == Serving::Yes {
            let now = self.clock.at(cx.now);
            self.raise(cx, now, now);
        }
    }

    /// `crypto gdoi ks readmit A.B.C.D`.
    pub(crate) fn readmit(&mut self, cx: &mut Context<'_>, member: Ipv4Addr) {
        let now = self.clock.at(cx.now);
        if self.coop.leads() && self.keys.removals.refuses(member) {
            self.keys.removals.say(member, Standing::Readmitted, now);
            self.persist_removals(cx);
            self.persist_group(cx);
        }
    }

    /// The generation rises at `at`: no key of now is sent on after that. It is on disk, and the keys
    /// that follow are minted, before anybody is told.
    pub(super) fn raise(&mut self, cx: &mut Context<'_>, at: PseudoTime, now: PseudoTime) {
        let index = self.sids.space().index;
        let counter = self.keys.generation_ahead().0[usize::from(index.get())].saturating_add(1);
        let raise = Raise { index, counter, at };
        let at_once = at <= now || self.keys.removals.raises.len() >= RAISES_MAX;
        if at_once {
            self.keys.generation = raise.applied_to(self.keys.generation);
            let generation = self.keys.generation;
            let raises = &mut self.keys.removals.raises;
            raises.retain(|raise| raise.kills(&generation));
        } else {
            self.keys.removals.raises.push(raise);
            self.keys.removals.raises.sort_unstable();
        }
        // What is on its way are keys of before.
        self.rekeying.clear();
        self.coop.withdraw_rekeys();
        self.ordered = None;
        self.pulls.clear();
        // Who was removed is on disk only together with what ends its keys: a rise that is to come
        // lies in the same row, one that has happened is written first.
        if at_once {
            self.persist_group(cx);
        }
        self.persist_removals(cx);
        self.persist_group(cx);
        self.tick(cx);
    }

    /// From the order of a removal until the keys of before end: the message that asks members to come
    /// has left and a copy of it, from another key server if this one dies meanwhile, all have come, and
    /// a margin.
    pub(super) fn removal_delay(&self, cx: &Context<'_>) -> Duration {
        let delay = self.register_spread() + REMOVAL_MARGIN;
        // The margin holds a copy that comes as soon as usual.
        let copy = self.plan.as_ref().map_or(Duration::ZERO, |plan| {
            plan.wanted.schedule.retransmit_period()
        });
        let later = copy.saturating_sub(REMOVAL_MARGIN);
        self.replication_wait() + self.takeover_span(cx) + delay.max(REMOVAL_DELAY_MIN) + later
    }

    /// Over which span members spread their registrations, so that this key server can do them all.
    fn register_spread(&self) -> Duration {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let spread = Duration::from_secs(1) * members / self.rate.per_second();
        spread.min(REGISTER_SPREAD_MAX)
    }

    /// How long what was sent under a key may be on its way after the key has ended.
    fn in_flight(&self) -> Duration {
        let plan = self.plan.as_ref();
        plan.map_or(Duration::ZERO, |plan| plan.wanted.schedule.delivery_delay())
    }

    /// A member is no more; its identifiers are free when its keys have ended.
    //= getvpn P20
    fn take_out(&mut self, cx: &mut Context<'_>, address: Ipv4Addr, until: PseudoTime) {
        let Some(mut member) = self.members.remove(address) else {
            return;
        };
        let now = self.clock.at(cx.now);
        member.end_lease(until, now);
        let leases = &mut self.keys.removals.leases;
        leases.retain(|lease| lease.until.is_some_and(|until| now <= until));
        leases.append(&mut member.leases);
        leases.truncate(usize::from(u16::MAX));
        self.rekeying.forget(address);
        self.summoned.members.remove(&address);
        self.coop.gone(&Key::Member(address));
        let group = self.config.group.clone();
        let record = persist::no_member(&group, address);
        cx.out.push(Output::Persist(record));
        cx.out.report(Gdoi::GM_DELETE { gm: address, group });
    }

    /// Time has passed, or another key server said something: a generation is there, members that
    /// have not come back are forgotten.
    pub(super) fn advance_removal(&mut self, cx: &mut Context<'_>, now: PseudoTime) {
        let ended = self.keys.removals.raises.iter().map(|raise| raise.at);
        if let Some(ended) = ended.filter(|at| *at <= now).max() {
            let ago = now.as_nanos() - ended.as_nanos();
            let ended = Time::from_nanos(cx.now.as_nanos().saturating_sub(ago));
            self.rekeying.outdate(ended);
        }
        let raised = self.keys.raise_due(now, self.in_flight());
        let until = self.last_end(now);
        let void: Vec<Ipv4Addr> = self
            .members
            .iter()
            .filter(|(address, member)| self.keys.removals.voids(*address, member.joined, now))
            .map(|(address, _)| address)
            .collect();
        for address in &void {
            self.take_out(cx, *address, until);
        }
        if raised || !void.is_empty() {
            self.persist_removals(cx);
            self.persist_group(cx);
        }
    }

    /// When the last key that a member can hold ends.
    fn last_end(&self, now: PseudoTime) -> PseudoTime {
        let ends = self.keys.teks.iter().map(|record| self.keys.end(record));
        ends.max().unwrap_or(now)
    }

    /// When `advance_removal` has something to do.
    pub(super) fn removal_due(&self, now: PseudoTime) -> Option<PseudoTime> {
        let removals = &self.keys.removals;
        let delay = self.in_flight();
        let raises = removals.raises.iter();
        let raises = raises.flat_map(|raise| [raise.at, raise.at.after(delay)]);
        let forget = Some(removals.cleared.forget_at);
        raises.chain(forget).filter(|at| *at > now).min()
    }

    /// Whether keys are about to end because somebody was taken out.
    pub(super) fn is_removing(&self) -> bool {
        !self.keys.removals.raises.is_empty()
    }

    /// What must be with the other key servers before a removal goes on.
    pub(super) fn removal_keys(&self) -> impl Iterator<Item = Key> {
        let tombstones = self.keys.removals.tombstones.keys();
        let tombstones = tombstones.copied().map(Key::Tombstone);
        std::iter::once(Key::Removals).chain(tombstones)
    }

    /// Whether a member holds a Rekey SA that a removed one may hold, too.
    pub(super) fn holds_compromised(&self, member: &Member) -> bool {
        let kek = self.keys.kek_by_spi(&member.certain_kek());
        kek.is_some_and(|kek| self.keys.is_compromised(kek))
    }

    /// Whether a member got such a one last, though it may hold another by now.
    fn got_compromised(&self, member: &Member) -> bool {
        let kek = self.keys.kek_by_spi(&member.kek);
        kek.is_some_and(|kek| self.keys.is_compromised(kek))
    }

    /// Members that hold no Rekey SA of now, or perhaps none, are asked to register again, once.
    //= getvpn P16
    pub(super) fn summon(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let generation = self.keys.generation_ahead();
        if self.summoned.again.is_some_and(|at| at <= cx.now) {
            self.summoned.again = None;
            for member in std::mem::take(&mut self.summoned.unheard) {
                self.summoned.members.remove(&member);
            }
        }
        if self.summoned.generation != generation {
            self.summoned = Summoned {
                generation,
                ..Summoned::default()
            };
        }
        let keys_are_there = self
            .keys
            .usable(now)
            .any(|record| record.tek.generation.is_alive_in(&generation));
        if !keys_are_there {
            return;
        }
        for kind in KINDS {
            if self.keys.kek(kind).is_none() || self.keys.compromised_kek(kind, now).is_none() {
                continue;
            }
            let lost: Vec<Ipv4Addr> = self
                .members
                .iter()
                .filter(|(address, member)| {
                    member.kind == kind
                        && (self.is_left_behind(member, now) || self.got_compromised(member))
                        && !self.summoned.members.contains(address)
                })
                .map(|(address, _)| address)
                .collect();
            if !lost.is_empty() {
                self.summoned.members.extend(&lost);
                self.begin(cx);
                self.send(cx, kind, &Content::Register, lost.clone());
                self.call_blind(cx, kind, &lost);
            }
        }
    }

    /// Where nobody says which Rekey SA a member has, it is called under every one that it may hold:
    /// on the other side of a split it may have been told another one.
    //= getvpn P16
    fn call_blind(&mut self, cx: &mut Context<'_>, kind: PeerKind, lost: &[Ipv4Addr]) {
        let now = self.clock.at(cx.now);
        let held = |kek: &&Kek| {
            let told = kek.kind == kind && kek.is_blind() && kek.announced;
            told && now < kek.expiry && self.keys.is_compromised(kek)
        };
        let held = self.keys.keks.iter().filter(held);
        let held: Vec<_> = held.map(|kek| (kek.sa.spi, kek.destination)).collect();
        for (under, destination) in held {
            let others = lost.iter().copied().filter(|member| {
                self.kek_for(kind, &Content::Register, *member, now) != Some(under)
            });
            let others: Vec<Ipv4Addr> = others.collect();
            if !others.is_empty() {
                self.send_under(cx, under, &Content::Register, destination, others);
            }
        }
    }

    /// Whether a member holds no Rekey SA of now: which one it holds is known, or it has not
    /// registered since the first of them was made.
    pub(super) fn is_left_behind(&self, member: &Member, now: PseudoTime) -> bool {
        if self.keys.compromised_kek(member.kind, now).is_none() {
            return false;
        }
        if self.keys.kek_by_spi(&member.certain_kek()).is_some() {
            return self.holds_compromised(member);
        }
        let keks = self.keys.keks.iter();
        let good = keks.filter(|kek| kek.kind == member.kind && !self.keys.is_compromised(kek));
        let first = good.map(|kek| kek.minted).min();
        first.is_some_and(|first| member.joined < first)
    }

    /// A member has registered.
    pub(super) fn came_back(&mut self, now: Time, member: Ipv4Addr) {
        self.rate.count(now);
        self.summoned.members.remove(&member);
    }

    /// Members registered at another key server while a removal or its merge goes on: that one may
    /// have given them what it knew before the last key was announced, which they were not sent
    /// either, since they held nothing to read it with.
    pub(super) fn tell_returned(&mut self, cx: &mut Context<'_>, members: &[Ipv4Addr]) {
        let now = self.clock.at(cx.now);
        let newest = self.keys.usable(now).last().map(|record| record.tek.spi);
        let Some(newest) = newest.filter(|_| !members.is_empty()) else {
            return;
        };
        for kind in KINDS {
            if self.keys.compromised_kek(kind, now).is_none() {
                continue;
            }
            let of_kind = |address: &&Ipv4Addr| {
                let member = self.members.find(**address);
                member.is_some_and(|member| member.kind == kind)
            };
            let returned: Vec<Ipv4Addr> = members.iter().filter(of_kind).copied().collect();
            self.send(cx, kind, &Content::Teks(newest), returned);
        }
    }

    /// A member did not hear that it is to register again, or was on the other side of a split: it
    /// is asked once more.
    pub(super) fn summon_again(&mut self, member: Ipv4Addr) {
        self.summoned.members.remove(&member);
    }

    /// A call by multicast is over, and nobody said that these have heard it: those of them that have
    /// not come are asked once more.
    pub(super) fn not_heard(&mut self, now: Time, members: impl IntoIterator<Item = Ipv4Addr>) {
        self.summoned.unheard.extend(members);
        self.summoned.again.get_or_insert(now + CALL_AGAIN);
    }

    /// When whoever has not come is asked once more.
    pub(super) const fn next_call(&self) -> Option<Time> {
        self.summoned.again
    }

    /// Whether a member was asked to register again and has not come yet.
    pub(super) fn is_summoned(&self, member: Ipv4Addr) -> bool {
        self.summoned.members.contains(&member)
    }

    /// The Rekey SA under which a member is asked to register again: one that counts no more.
    pub(super) fn summoning_kek(
        &self,
        kind: PeerKind,
        got: Option<&Kek>,
        now: PseudoTime,
    ) -> Option<KekSpi> {
        let fits =
            |kek: &&Kek| kek.kind == kind && now < kek.expiry && self.keys.is_compromised(kek);
        let usual = || self.keys.compromised_kek(kind, now);
        got.filter(fits).or_else(usual).map(|kek| kek.sa.spi)
    }

    /// A PUSH without any key: "register again". Plain members have their keys deleted: the Rekey SA,
    /// so that they ask for the next one, and the traffic keys too when they end at once.
    //= getvpn P16
    pub(super) fn compose_summons(
        &self,
        under: &Kek,
        now: PseudoTime,
        builder: &mut Builder,
    ) -> Result<(), wire::Error> {
        let at_once = !under.generation.is_alive_in(&self.keys.generation);
        if under.kind != PeerKind::Ours {
            // What all others never send on, a plain member would.
            let doomed = |record: &&TekRecord| {
                record.announced && record.tek.activation >= self.keys.end(record)
            };
            let doomed = self.keys.teks.iter().filter(doomed);
            let doomed: Vec<u32> = doomed.map(|record| record.tek.spi.0).collect();
            if at_once {
                builder.push(&Delete::esp(&[0]));
            } else if !doomed.is_empty() {
                builder.push(&Delete::esp(&doomed));
            }
            builder.push(&Delete::kek(under.sa.spi.0));
            return Ok(());
        }
        let spread = self.register_spread().as_millis();
        let offer = Offer {
            stamp: Some(GroupStamp {
                pseudotime: now,
                clock_generation: self.clock.generation(),
                stamped_by: self.sids.space().index,
                generation: self.keys.generation,
            }),
            register_again: Some(RegisterAgain {
                spread_ms: u32::try_from(spread).unwrap_or(u32::MAX),
                at_once,
            }),
            ..Offer::default()
        };
        builder.push(&offer.to_wire(under.kind)?.gap.unwrap_or_default());
        Ok(())
    }

    /// Writes down who was taken out; whatever leaves after this, leaves when it is written.
    pub(super) fn persist_removals(&self, cx: &mut Context<'_>) {
        let removals = &self.keys.removals;
        let record = persist::removals_record(&self.config.group, removals);
        cx.out.push(Output::Persist(record));
    }

    /// The keys for their row; the removals have one of their own.
    pub(super) fn keys_without_removals(&mut self) -> GroupKeys {
        let removals: Removals = std::mem::take(&mut self.keys.removals);
        let keys = self.keys.clone();
        self.keys.removals = removals;
        keys
    }
}

impl GroupKeys {
    /// Keys that came from another key server wait for the members of this one, but not until those
    /// that these send on have ended with their generation.
    //= getvpn P15, P16
    pub(crate) fn send_in_time(&mut self) {
        let raises = &self.removals.raises;
        for record in &mut self.teks {
            let outlived = raises
                .iter()
                .filter(|raise| !raise.kills(&record.tek.generation));
            let end = outlived.map(|raise| raise.at).min();
            record.send_from = match (record.send_from, end) {
                (Some(from), Some(end)) => Some(from.min(end)),
                (from, _) => from,
            };
        }
    }
}

#[cfg(feature = "model")]
impl KeyServer {
    /// Hashes who was asked to come.
    pub(super) fn hash_summoned(&self, h: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        self.summoned.generation.0.hash(h);
        self.summoned.members.hash(h);
        self.summoned.unheard.hash(h);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_server_is_asked_for_what_it_has_done() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(), REGISTRATIONS_PER_S_MIN);
        for n in 0..400 {
            rate.count(Time::from_millis(10_000 + n * 2));
        }
        assert_eq!(rate.per_second(), 400);
        rate.count(Time::from_secs(60));
        assert_eq!(
            rate.per_second(),
            400,
            "an idle minute is no slower key server"
        );
    }
}

//! What members of RFC 6407 and 3547 need beside what ours do: they read no record of a key, so each
//! key that is to be sent on later goes to them in a PUSH of its own, and keys that have ended before
//! their time are deleted at them.
//!
//! Decides who is told what of that, and when. How it is said is `ks::compose`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ::policy::{KekSpi, PeerKind, PseudoTime, Spi};
use event::Gdoi;

use super::KeyServer;
use super::keys::{TekRecord, kinds};
use super::members::Member;
use super::outstanding::Content;
use crate::context::Context;
use crate::limits::{PLAIN_AHEAD_MAX, PUSH_LEN_MAX};

impl KeyServer {
    /// A plain member has registered, and its PULL gave it these keys, but none that is sent on later.
    //= getvpn P10
    pub(super) fn tell_plain_joiner(
        &mut self,
        cx: &mut Context<'_>,
        kind: PeerKind,
        member: Ipv4Addr,
        told: &[Spi],
    ) {
        let now = self.clock.at(cx.now);
        let newest = self.keys.usable(now).last().map(|record| record.tek.spi);
        let untold =
            |record: &TekRecord| !told.contains(&record.tek.spi) && now < record.told_activation();
        let any = self.keys.usable(now).any(untold);
        if let Some(newest) = newest.filter(|_| any) {
            self.send_apart(cx, kind, &Content::Teks(newest), member);
        }
        if !self.keys.removals.spis.is_empty() {
            self.send_apart(cx, kind, &Content::Retired, member);
        }
    }

    /// A PUSH for each key that plain members are to be told: what is sent on soonest leaves first. Most
    /// are on their way already. Says whether there is one.
    //= getvpn P10
    pub(super) fn send_plain_under(
        &mut self,
        cx: &mut Context<'_>,
        (kind, under): (PeerKind, KekSpi),
        content: &Content,
        destination: Option<Ipv4Addr>,
        members: Vec<Ipv4Addr>,
    ) -> bool {
        let now = self.clock.at(cx.now);
        let mut contents = vec![content.clone()];
        let mut earlier = self.record_before(content, now);
        let all = cx.now < self.unsure_until;
        while let Some(spi) = earlier.filter(|spi| all || self.is_untold(kind, *spi, now)) {
            let content = Content::Teks(spi);
            earlier = self.record_before(&content, now);
            contents.push(content);
        }
        contents.retain(|content| !self.is_far(content, now));
        let mut sent = false;
        for content in contents.iter().rev() {
            // Which keys are to be deleted is another thing now.
            let joins = matches!(content, Content::Teks(_) | Content::Kek(_));
            let what = (&under, content, destination);
            sent |= (joins && self.rekeying.join(cx.now, what, &members))
                || self
                    .push_under(cx, under, content, destination, members.clone())
                    .is_some();
        }
        sent
    }

    /// Whether a PUSH is about a key whose delay is more than plain members can be told.
    //= getvpn P10
    fn is_far(&self, content: &Content, now: PseudoTime) -> bool {
        let Content::Teks(newest) = content else {
            return false;
        };
        let record = self.keys.tek_by_spi(*newest);
        record.is_some_and(|record| now.after(PLAIN_AHEAD_MAX) < record.told_activation())
    }

    /// Plain members are told keys that were announced long before, when the delay can be said.
    //= getvpn P10
    pub(super) fn tell_plain_what_is_near(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let reach = now.after(PLAIN_AHEAD_MAX);
        let before = std::mem::replace(&mut self.plain_reach, reach);
        // Whoever led before told what was near then.
        if before == PseudoTime::default() {
            return;
        }
        let near = |record: &&TekRecord| {
            before < record.told_activation() && record.told_activation() <= reach
        };
        let near: Vec<Spi> = self
            .keys
            .usable(now)
            .filter(near)
            .map(|record| record.tek.spi)
            .collect();
        for spi in near {
            for kind in kinds(&self.config).filter(|kind| *kind != PeerKind::Ours) {
                let members: Vec<Ipv4Addr> = self.members.of_kind(kind).collect();
                self.send(cx, kind, &Content::Teks(spi), members);
            }
        }
    }

    /// When the next key is near enough for plain members.
    pub(super) fn plain_due(&self, now: PseudoTime) -> Option<PseudoTime> {
        let activations = self.keys.usable(now).map(TekRecord::told_activation);
        let far = activations.filter(|at| self.plain_reach < *at).min()?;
        Some(far.before(PLAIN_AHEAD_MAX))
    }

    /// Plain members are told every line of the policy in one SA payload, since nothing says how they
    /// would join two: a rekey that is longer than a packet is said to be, once for a policy.
    //= getvpn P4
    pub(super) fn report_fragments(&mut self, cx: &mut Context<'_>, kind: PeerKind, octets: usize) {
        if kind != PeerKind::Ours && octets > self.fragmented.max(PUSH_LEN_MAX) {
            self.fragmented = octets;
            cx.out.report(Gdoi::KS_REKEY_FRAGMENTED {
                group: self.config.group.clone(),
                octets: octets as u64,
            });
        }
    }

    /// The traffic key before the one that a PUSH is about.
    fn record_before(&self, content: &Content, now: PseudoTime) -> Option<Spi> {
        let Content::Teks(newest) = content else {
            return None;
        };
        let spis = self.keys.usable(now).map(|record| record.tek.spi);
        spis.take_while(|spi| spi != newest).last()
    }

    /// Members have registered at other key servers, which send no rekeys: the plain ones are told
    /// what their PULL did not say.
    //= getvpn P10
    pub(super) fn tell_plain_elsewhere(&mut self, cx: &mut Context<'_>, members: &[Ipv4Addr]) {
        for address in members {
            let kind = self.members.find(*address).map(|member| member.kind);
            if let Some(kind) = kind.filter(|kind| *kind != PeerKind::Ours) {
                self.tell_plain_joiner(cx, kind, *address, &[]);
            }
        }
    }

    /// This key server leads from now on: whoever led before may not have come to tell those that
    /// registered just before.
    //= getvpn P10
    pub(super) fn tell_plain_newcomers(&mut self, cx: &mut Context<'_>) {
        let (now, span) = (self.clock.at(cx.now), self.delivery_span(cx));
        let new = |member: &Member| now.since(member.joined) <= span;
        let newcomers = self.members.iter().filter(|(_, member)| new(member));
        let newcomers: Vec<Ipv4Addr> = newcomers.map(|(address, _)| address).collect();
        self.tell_plain_elsewhere(cx, &newcomers);
    }

    /// Plain members may hold keys that this key server does not know to be told, or by another clock:
    /// what goes to them next is every key, and which have ended.
    //= getvpn P10
    pub(super) fn doubt_plain(&mut self, cx: &Context<'_>) {
        self.unsure_until = cx.now + self.delivery_span(cx);
        self.buried.clear();
    }

    /// Plain members read no generation: keys that have ended with theirs are deleted at them, by
    /// whoever leads and once by everyone who does.
    //= getvpn P14
    pub(super) fn bury_retired(&mut self, cx: &mut Context<'_>) {
        let retired = self.keys.removals.spis.iter().map(|(spi, _)| *spi);
        let retired: BTreeSet<Spi> = retired.collect();
        if retired == self.buried {
            return;
        }
        let any = !retired.is_subset(&self.buried);
        self.buried = retired;
        for kind in kinds(&self.config).filter(|kind| any && *kind != PeerKind::Ours) {
            let members: Vec<Ipv4Addr> = self.members.of_kind(kind).collect();
            self.send(cx, kind, &Content::Retired, members);
        }
    }
}

//! Members that do not acknowledge rekeys: stale first, then their registration ends.
//!
//! Decides when (PROTOCOL P9). Such a member keeps its keys, gets no more rekeys, and registers again
//! when its own timer says so.

use std::net::Ipv4Addr;

use ::policy::KekSpi;
use event::Gdoi;

use super::coop::Handed;
use super::due::Departure;
use super::outstanding::Answer;
use super::rekey::ack_type;
use super::removals::Standing;
use super::{KeyServer, Member};
use crate::ack::Ack;
use crate::context::Context;
use crate::limits::{MISSED_EJECTED, MISSED_STALE};

impl Member {
    /// Whether it has missed so many rekeys in a row that its registration may end soon.
    pub(super) const fn is_stale(&self) -> bool {
        self.acks_received > 0 && self.missed_in_row >= MISSED_STALE
    }
}

impl KeyServer {
    /// A member has acknowledged no copy of a rekey under that Rekey SA, nor, unless it is the first,
    /// under others.
    pub(super) fn missed(
        &mut self,
        cx: &mut Context<'_>,
        address: Ipv4Addr,
        kek: &KekSpi,
        first: bool,
    ) {
        // Who is not asked has missed nothing.
        let asked = |member: &&mut Member| ack_type(member.kind).is_some();
        // Whoever is on the other side of a split has missed nothing that it could have heard.
        let counts = first && self.coop.all_are_alive();
        let Some(member) = self.members.find_mut(address).filter(asked) else {
            return;
        };
        member.acks_missed += 1;
        member.missed_in_row = member.missed_in_row.saturating_add(counts.into());
        // Perhaps it does not hold that Rekey SA any more; which one it got on the other side of a
        // split is known since from there.
        member.is_kek_doubted |= member.kek == *kek;
        let stale = member.is_stale() && member.missed_in_row == MISSED_STALE;
        let now = self.clock.at(cx.now);
        let member = self.members.find(address);
        if member.is_some_and(|member| self.is_left_behind(member, now)) {
            self.summon_again(address);
        }
        if counts && stale {
            cx.out.report(Gdoi::KS_GM_STALE {
                gm: address,
                group: self.config.group.clone(),
                missed: MISSED_STALE,
            });
        }
    }

    /// Of these members, those that are to get a rekey; the registration of one that has missed too
    /// many ends now. Nobody is ejected while the fault may be a key server's.
    //= getvpn P9
    pub(super) fn eject(
        &mut self,
        cx: &mut Context<'_>,
        mut members: Vec<Ipv4Addr>,
    ) -> Vec<Ipv4Addr> {
        let all_are_heard = self.coop.all_are_alive();
        let alone = self.coop.is_alone();
        let over = |member: &Member| {
            let repeated = alone || member.handed_over;
            member.is_stale() && member.missed_in_row >= MISSED_EJECTED && repeated
        };
        let gone: Vec<Ipv4Addr> = members
            .iter()
            .copied()
            .filter(|address| all_are_heard && self.members.find(*address).is_some_and(over))
            .collect();
        if gone.is_empty() {
            return members;
        }
        members.retain(|member| !gone.contains(member));
        let now = self.clock.at(cx.now);
        for address in gone {
            let missed = self
                .members
                .find(address)
                .map_or(0, |member| member.missed_in_row);
            self.keys.removals.say(address, Standing::Ejected, now);
            cx.out.report(Gdoi::KS_NACK_GM_EJECT {
                gm: address,
                group: self.config.group.clone(),
                missed,
            });
        }
        // Its keys are good: what it held is free when they have ended.
        self.persist_removals(cx);
        self.advance_removal(cx, now);
        members
    }

    /// Two tries were in vain: other key servers repeat the PUSH. Nobody knows whether a member is
    /// gone, or only the way to it or back from it.
    //= getvpn P24
    pub(super) fn hand_to_others(
        &mut self,
        cx: &Context<'_>,
        departure: Departure,
        kek: KekSpi,
        many: bool,
    ) {
        let member = departure.member;
        let Some(silent) = self.members.find(member) else {
            return;
        };
        let to = self.repeaters(silent, departure.seq, many);
        let handed = Handed {
            member,
            kek,
            seq: departure.seq,
            bytes: departure.bytes,
            old_policy: false,
        };
        self.hand_over(cx, &to, &handed);
        if let Some(member) = self.members.find_mut(member) {
            member.handed_over |= !to.is_empty();
        }
    }

    /// An acknowledgement of a PUSH that another key server sent. Says whether it is one that was
    /// handed to us.
    pub(super) fn returned(
        &mut self,
        cx: &Context<'_>,
        ack: &Ack,
        member: Ipv4Addr,
        old_policy: bool,
    ) -> bool {
        let handed = Handed {
            member,
            kek: ack.spi,
            seq: ack.seq,
            bytes: Vec::new(),
            old_policy,
        };
        self.return_ack(cx, handed)
    }

    /// An acknowledgement came back over another key server, which has verified it.
    pub(super) fn handed_ack(&mut self, cx: &mut Context<'_>, handed: &Handed) {
        let name = (&handed.kek, handed.seq);
        let answer = self.rekeying.acknowledged(name.0, name.1, handed.member);
        if answer == Answer::First {
            self.acknowledged(cx, name, handed.member, handed.old_policy);
        }
    }
}

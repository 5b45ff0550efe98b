//! Who leads now: elections are held, won, lost (PROTOCOL P25).
//!
//! Decides when; who wins is `election`'s.

use std::net::Ipv4Addr;
use std::time::Duration;

use ::policy::{KsIndex, Time};
use event::Gdoi;

use super::announce::role_of;
use super::election::{Candidate, elect};
use super::log::Key;
use super::peer::Link;
use super::view::Role;
use crate::context::Context;
use crate::ks::keys::{Kek, NextSeq, kinds};
use crate::ks::removal::Summoned;
use crate::ks::{KeyServer, Serving};
use crate::limits::{
    ELECTION_WAIT, FLAP_WAIT, PEER_SILENCE_MAX, PRIMARY_REPORTED, TAKEOVER_MARGIN,
};

impl KeyServer {
    /// Looks whether this key server's role still fits what it hears.
    pub(super) fn evaluate(&mut self, cx: &mut Context<'_>) {
        if self.coop.is_alone() {
            return;
        }
        match self.coop.role {
            Role::Primary => self.as_primary(cx),
            Role::Secondary => {
                if self.primary().is_none() {
                    self.begin_election(cx);
                    self.decide(cx);
                }
            }
            Role::Electing => self.decide(cx),
        }
    }

    /// The primary that this key server hears, or that one which it hears reports to be alive.
    //= getvpn P25
    pub(super) fn primary(&self) -> Option<KsIndex> {
        if self.coop.role == Role::Primary {
            return Some(self.coop.own);
        }
        let primaries: Vec<Candidate> = self
            .coop
            .peers
            .values()
            .filter_map(|peer| peer.candidate())
            .filter(|candidate| candidate.role == Role::Primary)
            .collect();
        elect(&primaries).or_else(|| self.reported_primary())
    }

    fn reported_primary(&self) -> Option<KsIndex> {
        let alive = self.coop.peers.values().filter(|peer| peer.alive);
        let reports = alive
            .filter_map(|peer| peer.said.as_ref())
            .flat_map(|said| &said.heard);
        let recent = |age_ms: u32| u128::from(age_ms) < PRIMARY_REPORTED.as_millis();
        reports
            .filter(|heard| heard.both_ways && recent(heard.age_ms))
            .filter(|heard| role_of(heard.role) == Role::Primary)
            .filter_map(|heard| KsIndex::new(heard.index))
            .find(|index| *index != self.coop.own)
    }

    /// The address of the primary.
    pub(super) fn primary_address(&self) -> Option<Ipv4Addr> {
        let index = self.primary()?;
        if index == self.coop.own {
            return Some(self.config.address);
        }
        self.coop.peers.get(&index).map(|peer| peer.address)
    }

    /// This key server as a candidate.
    fn own_candidate(&self) -> Candidate {
        Candidate {
            index: self.coop.own,
            address: self.config.address,
            priority: self.config.priority,
            role: self.coop.role,
            complete: self.coop.complete,
            founded: self.is_founded(),
            generation: self.keys.generation,
            lagging: false,
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let peers = self.coop.peers.values().filter_map(|peer| peer.candidate());
        let own = Some(self.own_candidate()).filter(|_| self.serving == Serving::Yes);
        own.into_iter().chain(peers).collect()
    }

    fn as_primary(&mut self, cx: &mut Context<'_>) {
        let candidates = self.candidates();
        let others = |candidate: &&Candidate| {
            candidate.role == Role::Primary && candidate.index != self.coop.own
        };
        if candidates.iter().find(others).is_none() {
            // Without a rekey key, or with half a configuration, it leads to nothing.
            if self.serving != Serving::Yes && !candidates.is_empty() {
                return self.give_up_the_role(cx);
            }
            return self.after_a_rival(cx);
        }
        match elect(&candidates) {
            Some(winner) if winner != self.coop.own => self.step_down(cx, winner),
            // The other one steps down. Its members may have seen its term: ours goes above it.
            Some(_) | None if self.coop.row.tenure <= self.highest_term() => {
                self.coop.rivalled = true;
                self.open_term(cx, 0);
                self.outnumber_own();
            }
            Some(_) | None => self.coop.rivalled = true,
        }
    }

    /// The other primary has stepped down: its members may never have been told what this one
    /// announced meanwhile, and nothing that comes from the other one would bring it to them.
    //= getvpn P15
    fn after_a_rival(&mut self, cx: &mut Context<'_>) {
        if !self.coop.rivalled {
            return;
        }
        self.coop.rivalled = false;
        if self.serving == Serving::Yes && !self.is_removing() {
            self.keys
                .teks
                .iter_mut()
                .for_each(|record| record.delivered = false);
            self.begin(cx);
            self.send_teks(cx);
        }
    }

    /// The highest term that another key server led in.
    fn highest_term(&self) -> u32 {
        let own = usize::from(self.coop.own.get());
        let marks = self.coop.row.marks.iter().enumerate();
        let others = marks.filter(|(index, _)| *index != own);
        others.map(|(_, marks)| marks.term).max().unwrap_or(0)
    }

    /// Opens the term after the highest that is known, and after `seen`; it is on disk before
    /// anything is sent in it.
    //= getvpn P17
    pub(in crate::ks) fn open_term(&mut self, cx: &mut Context<'_>, seen: u32) {
        let row = &mut self.coop.row;
        row.term = row.term.max(seen).saturating_add(1);
        row.tenure = row.term;
        let tenure = row.tenure;
        self.coop.marks_mut(self.coop.own).term = tenure;
        self.keys.tenure = tenure;
        self.persist_coop(cx);
    }

    /// Members that heard the other key server take no number of the term before: what is on its way
    /// goes to them anew. Of the Rekey SAs it need not have said how far it counted.
    //= getvpn P8, P17
    fn outnumber_own(&mut self) {
        let next = |kek: &Kek| match self.keys.next_seq(kek, self.coop.own) {
            NextSeq::Seq(seq) => Some((kek.sa.spi, seq)),
            NextSeq::NeedsTerm | NextSeq::UsedUp => None,
        };
        let firsts: Vec<_> = self.keys.keks.iter().filter_map(next).collect();
        for (kek, seq) in firsts {
            self.rekeying.outnumber(&kek, seq);
        }
    }

    fn begin_election(&mut self, cx: &mut Context<'_>) {
        let previous = self.coop.previous_primary;
        self.coop.role = Role::Electing;
        self.coop.stop_waiting();
        self.coop.decide_at = Some(cx.now + self.election_wait(cx.now));
        cx.out.report(Gdoi::COOP_KS_ELECTION {
            group: self.config.group.clone(),
            previous: name(previous),
        });
        self.ask_all(cx.now);
    }

    /// An election waits for the others; a link that comes and goes makes it wait longer, but never
    /// so long that the keys that all hold could end before.
    fn election_wait(&self, now: Time) -> Duration {
        if !self.coop.peers.values().any(|peer| peer.flaps_often(now)) {
            return ELECTION_WAIT;
        }
        let pseudo = self.clock.at(now);
        let last = self
            .keys
            .alive(pseudo)
            .map(|record| record.tek.activation)
            .max();
        let left = last.map_or(ELECTION_WAIT, |last| last.since(pseudo) / 2);
        FLAP_WAIT.min(left).max(ELECTION_WAIT)
    }

    /// How long after the death of a primary another one leads at the latest.
    pub(in crate::ks) fn takeover_span(&self, cx: &Context<'_>) -> Duration {
        if self.coop.is_alone() {
            return Duration::ZERO;
        }
        let silence = cx.isakmp.watched_silence_max().unwrap_or(PEER_SILENCE_MAX);
        // One that is left alone waits for nobody.
        let election = if self.coop.peers.len() > 1 {
            ELECTION_WAIT
        } else {
            Duration::ZERO
        };
        silence + election + TAKEOVER_MARGIN
    }

    fn ask_all(&mut self, now: Time) {
        for peer in self.coop.peers.values_mut() {
            peer.asks_reply = true;
        }
        self.coop.hasten(now);
    }

    /// Every peer is heard or was tried in vain, and nobody who is heard believes in a primary that
    /// this key server does not know.
    fn all_are_known(&self) -> bool {
        self.coop.peers.values().all(|peer| {
            let connected = matches!(peer.link, Link::Up(_)) && peer.outstanding.is_some();
            if peer.alive {
                peer.role() != Some(Role::Secondary)
            } else {
                peer.tried && !connected
            }
        })
    }

    fn decide(&mut self, cx: &mut Context<'_>) {
        let candidates = self.candidates();
        let incumbent = candidates.iter().find(|one| one.role == Role::Primary);
        if let Some(incumbent) = incumbent {
            let winner = elect(&candidates).unwrap_or(incumbent.index);
            return self.follow_primary(cx, winner);
        }
        if let Some(reported) = self.reported_primary() {
            return self.follow_primary(cx, reported);
        }
        let over = self.coop.decide_at.is_none_or(|at| at <= cx.now);
        if !over && !self.all_are_known() {
            return;
        }
        if elect(&candidates) == Some(self.coop.own) {
            self.lead(cx);
        } else if over {
            // The winner has not said yet that it leads.
            self.coop.decide_at = Some(cx.now + ELECTION_WAIT);
            self.ask_all(cx.now);
        }
    }

    fn follow_primary(&mut self, cx: &mut Context<'_>, primary: KsIndex) {
        self.coop.role = Role::Secondary;
        self.coop.decide_at = None;
        self.coop.stop_waiting();
        if self.keys.follow_others() {
            self.persist_group(cx);
        }
        self.coop.previous_primary = self.coop.peers.get(&primary).map(|peer| peer.address);
        if let Some(primary) = self.coop.previous_primary {
            cx.out.report(Gdoi::COOP_KS_TRANS_TO_SEC {
                ks: self.config.address,
                group: self.config.group.clone(),
                primary,
            });
        }
        self.recall_rekey_keys(cx);
        self.ask_all(cx.now);
    }

    fn step_down(&mut self, cx: &mut Context<'_>, winner: KsIndex) {
        self.coop.rivalled = false;
        self.rekeying.clear();
        self.follow_primary(cx, winner);
    }

    /// This key server leads from now on. The keys stay as they are: a change of the primary alone
    /// sends nothing to members but what was not over.
    fn lead(&mut self, cx: &mut Context<'_>) {
        let founded = self.is_founded();
        self.coop.role = Role::Primary;
        self.coop.decide_at = None;
        self.coop.complete = true;
        self.coop.waiting_since = None;
        self.open_lost_clock(cx);
        if founded {
            self.open_term(cx, 0);
        }
        cx.out.report(Gdoi::COOP_KS_TRANS_TO_PRI {
            ks: self.config.address,
            group: self.config.group.clone(),
            previous: name(self.coop.previous_primary),
        });
        self.coop.previous_primary = Some(self.config.address);
        self.coop.rekey_key_term = self.coop.row.term;
        self.coop.log.changed(Key::Signing);
        self.coop.own_key = self.rekey_key_fingerprint(cx);
        self.note_changes(cx.now);
        let now = self.clock.at(cx.now);
        if founded && self.keys.running(now).is_some() {
            self.resume(cx);
            self.tell_plain_newcomers(cx);
            // A Rekey SA under which nobody here can sign gets a successor.
            if kinds(&self.config).any(|kind| self.signs_for(cx, kind).is_err()) {
                self.follow(cx);
            }
        } else {
            self.follow(cx);
        }
        // What another key server asked of members may not have reached them.
        self.summoned = Summoned::default();
        self.persist_group(cx);
        self.coop.hasten(cx.now);
        self.tick(cx);
    }

    /// `clear crypto gdoi ks coop role`: the primary gives up its role, and all elect anew.
    pub(crate) fn clear_coop_role(&mut self, cx: &mut Context<'_>) {
        if self.coop.is_alone() {
            return;
        }
        self.give_up_the_role(cx);
        self.coop_tick(cx);
    }

    fn give_up_the_role(&mut self, cx: &mut Context<'_>) {
        self.rekeying.clear();
        self.begin_election(cx);
    }

    /// `clear crypto gdoi ks coop counters`.
    pub(crate) fn clear_coop_counters(&mut self) {
        for peer in self.coop.peers.values_mut() {
            peer.counters = super::PeerCounters::default();
        }
    }
}

fn name(address: Option<Ipv4Addr>) -> String {
    address.map_or_else(|| "None".to_owned(), |address| address.to_string())
}

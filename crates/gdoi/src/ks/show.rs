//! What a key server shows: its state as the plain values of `view`.

use std::sync::Arc;
use std::time::Duration;

use ::policy::{KsIndex, PseudoTime, Time};

use super::keys::{KINDS, Kek, TekRecord, Wanted};
use super::policy::Plan;
use super::removals::Standing;
use super::{KekView, KeyServer, MemberView, SaView, Serving, SidView, TekView, View};
use super::{MemberState, RemovalView};
use crate::key_pairs::{KeyPair, KeyPairs};

impl KeyServer {
    /// The group as it is at `at`.
    pub(crate) fn view(&self, at: Time, key_pairs: &KeyPairs, server_handles: u32) -> View {
        let now = self.clock.at(at);
        let config = &self.config;
        let handles = (server_handles..).step_by(1);
        let servers: Vec<_> = config.servers.iter().copied().zip(handles).collect();
        let own = servers
            .iter()
            .find(|(address, _)| *address == config.address);
        let plan = self
            .plan
            .as_deref()
            .filter(|_| self.serving == Serving::Yes);
        let keks = self.kek_views(now, plan, key_pairs);
        let coop = self.coop_view(at, &servers);
        View {
            group: config.group.clone(),
            id: config.id,
            handle: self.handle,
            address: config.address,
            server_handle: own.map_or(server_handles, |(_, handle)| *handle),
            servers,
            priority: config.priority,
            transport: config.transport,
            serving: self.serving.clone(),
            rekeys_sent: self.rekeys_sent,
            rekeys_retransmitted: self.rekeying.retransmitted,
            last_rekey_retransmits: self.rekeying.last.retransmits,
            last_rekey_duration: self.rekeying.last.duration,
            last_rekey_ago: self.rekeying.last.began.map(|began| at.since(began)),
            retransmit_period: plan.map_or_else(
                || Duration::from_secs(config.retransmit_period_s.into()),
                |plan| plan.wanted.schedule.retransmit_period(),
            ),
            retransmit_period_s: config.retransmit_period_s,
            retransmit_number: config.retransmit_number,
            kek_lifetime_s: config.kek_lifetime_s,
            seq: keks.first().map_or(0, |kek| kek.seq),
            keks,
            teks: self.tek_views(now, plan),
            sas: self.sa_views(now),
            pseudotime: now,
            clock_generation: self.clock.generation(),
            members: self.member_views(at),
            sids: SidView {
                size: self.sids.space().size,
                allocated: self.sids.allocated(),
                mark: self.sids.mark(),
                capacity: self.sids.space().count(),
                former: self.former_indexes(),
            },
            coop,
            refusals: self.refusals.counts(),
            unsolicited_acks: self.unsolicited_acks,
            repeated_acks: self.repeated_acks,
            policy_name: self
                .policy
                .as_ref()
                .map(|blob| blob.short_name())
                .unwrap_or_default(),
            removal: self.removal_view(now),
        }
    }

    fn removal_view(&self, now: PseudoTime) -> RemovalView {
        let removals = &self.keys.removals;
        let keys: Vec<_> = self.removal_keys().collect();
        let removed = removals.tombstones.iter();
        let removed = removed.filter(|(_, word)| word.standing == Standing::Removed);
        let ends = removals.raises.iter().map(|raise| raise.at);
        RemovalView {
            removed: removed
                .map(|(member, word)| (*member, now.since(word.made)))
                .collect(),
            lacking: self.coop.lacking(&keys),
            keys_end_in: ends.filter(|at| *at > now).max().map(|at| at.since(now)),
        }
    }

    fn former_indexes(&self) -> Vec<KsIndex> {
        let used = self.sid_marks.iter().filter(|mark| mark.mark > 0);
        let former = used.filter(|mark| !mark.is_for(&self.sids.space()));
        former.map(|mark| mark.space.index).collect()
    }

    /// Rekey SAs in use: that of getvpn members always, that of plain members when there are any.
    fn kek_views(
        &self,
        now: PseudoTime,
        plan: Option<&Plan>,
        key_pairs: &KeyPairs,
    ) -> Vec<KekView> {
        let shown =
            |kek: &&Kek| kek.kind == KINDS[0] || self.members.of_kind(kek.kind).next().is_some();
        KINDS
            .into_iter()
            .filter_map(|kind| self.keys.kek(kind))
            .filter(shown)
            .map(|kek| {
                let pair = key_pairs.signer(&kek.label, kek.sa.signature);
                let key = pair.map(KeyPair::public_key);
                let ahead = self.keys.kek_ahead(kek.kind);
                let due = plan
                    .filter(|_| ahead.is_none())
                    .and_then(|plan| self.keys.kek_due(kek.kind, &plan.wanted));
                KekView {
                    kind: kek.kind,
                    spi: kek.sa.spi,
                    cipher: kek.sa.cipher,
                    signature: kek.sa.signature,
                    sig_key_len: key.map_or(0, |key| key.to_spki_der().len()),
                    sig_size: key.map_or(0, |key| key.signature_len()),
                    sig_key_name: kek.label.clone(),
                    orig_lifetime_s: kek.orig_lifetime_s,
                    remaining: kek.expiry.since(now),
                    time_to_rekey: due.map(|due| due.since(now)),
                    seq: kek.seq,
                    acknowledgement: kek.ack_type().map_or(0, |ty| ty.0),
                    destination: kek.destination,
                }
            })
            .collect()
    }

    fn tek_views(&self, now: PseudoTime, plan: Option<&Plan>) -> Vec<TekView> {
        let newest = self.keys.usable(now).last().map(|record| record.tek.spi);
        let due = plan.and_then(|plan| self.next_announcement(&plan.wanted, now));
        let view = |record: &TekRecord| TekView {
            sa: self.config.sas.first().map_or(1, |sa| sa.number),
            spi: record.tek.spi,
            acl: self
                .plan
                .as_ref()
                .map(|plan| plan.acl.name.clone())
                .unwrap_or_default(),
            transform: record.tek.transform,
            orig_lifetime_s: record.tek.orig_lifetime_s,
            remaining: record.tek.expiry.since(now),
            life: record.tek.expiry.since(record.minted),
            elapsed: now.since(record.minted),
            activates_in: record.tek.activation.since(now),
            time_to_rekey: due
                .filter(|_| Some(record.tek.spi) == newest)
                .map(|due| due.since(now)),
            tbar_window_s: self.policy.as_ref().and_then(|blob| blob.tbar_window_s),
        };
        let mut views: Vec<TekView> = self.keys.usable(now).map(view).collect();
        views.reverse();
        views
    }

    /// When members are next told a traffic key.
    fn next_announcement(&self, wanted: &Wanted, now: PseudoTime) -> Option<PseudoTime> {
        let ahead = self.keys.alive(now).find(|record| !record.announced);
        match ahead {
            Some(record) => Some(record.hand_from(self.overlap())),
            None => self.mint_due(wanted, now),
        }
    }

    fn sa_views(&self, now: PseudoTime) -> Vec<SaView> {
        let told = self.keys.usable(now).last();
        let remaining = told.map_or(Duration::ZERO, |record| record.tek.expiry.since(now));
        self.config
            .sas
            .iter()
            .map(|sa| SaView {
                number: sa.number,
                profile: sa.profile.clone(),
                lifetime_s: sa.lifetime_s,
                remaining,
                acl: Arc::clone(&sa.acl),
                tbar_window_s: sa.tbar_window_s,
            })
            .collect()
    }

    fn member_views(&self, at: Time) -> Vec<MemberView> {
        self.members
            .iter()
            .map(|(address, member)| MemberView {
                address,
                kind: member.kind,
                version: member.version.clone(),
                key_server: member.server,
                registered_ago: member.registered.map(|registered| at.since(registered)),
                rekeys_sent: member.rekeys_sent,
                rekeys_retries: member.retries,
                acks_received: member.acks_received,
                acks_missed: member.acks_missed,
                sent_seqs: member.sent_seqs,
                received_seqs: member.received_seqs,
                policy_behind: member.policy_behind,
                sids: member.sids(),
                state: if self.is_summoned(address) {
                    MemberState::ToRegisterAgain
                } else if member.is_stale() {
                    MemberState::Stale(member.missed_in_row)
                } else {
                    MemberState::Registered
                },
            })
            .collect()
    }
}

//! The key server's side of a group.
//!
//! Owns the group's policy, keys, members and rekeys, and follows its configuration. Who is
//! admitted is `registration`, what is sent when `rekey`, what survives a restart `persist`.

mod clock;
mod compose;
mod coop;
mod due;
mod ejection;
mod keys;
mod members;
mod multicast;
mod outstanding;
mod plain;
mod policy;
pub mod preview;
mod registration;
mod rekey;
mod removal;
mod removals;
mod rollback;
mod show;
mod sid;
pub(crate) mod spis;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::policy::lifetime::TEK_LIFETIME_WARN_S;
use ::policy::{Ace, PseudoTime, SidSpace, Spi, Tek, Time};
use event::Gdoi;

use crate::config;
use crate::context::Context;
use crate::ike::SaId;
use crate::key_pairs::{self, KeyPair};
use crate::limits::ORDERED_REKEYS_MAX;
use crate::machine::Output;
use crate::persist::{self, BootId, CoopRow, GroupRow, SidMark};
use crate::policy_blob::PolicyBlob;
use crate::refusal::Refusals;
use wire::private::PolicyRequest;

pub(crate) use clock::{GroupClock, Untimed};
#[cfg(feature = "model")]
pub(crate) use coop::Admitted;
pub(crate) use coop::group_of;
pub use coop::{CoopView, Difference, PeerCounters, PeerView, Role};
#[cfg(feature = "model")]
pub use coop::{Decoded, Spoken};
pub(crate) use keys::{GroupKeys, Kek, TekRecord};
pub(crate) use members::{Member, Members};
use registration::Pull;
pub(crate) use registration::PullMessage;
pub(crate) use removals::Removals;
pub(crate) use sid::{SidAllocator, SidLease};
pub use view::{
    KekView, MemberState, MemberView, RemovalView, SaView, Serving, SidView, TekView, View,
};

use coop::Coop;
use keys::{Activation, kinds};
use outstanding::Rekeying;
use policy::Plan;
use removal::{Rate, Summoned};

/// A group that this box serves.
pub(crate) struct KeyServer {
    config: config::KeyServer,
    plan: Option<Arc<Plan>>,
    serving: Serving,
    handle: u32,
    boot: BootId,
    clock: GroupClock,
    keys: GroupKeys,
    sids: SidAllocator,
    /// Marks of other sizes and indexes that were in force before.
    sid_marks: Vec<SidMark>,
    policy: Option<PolicyBlob>,
    /// Announced, and in force from its activation.
    next_policy: Option<PolicyBlob>,
    members: Members,
    rekeying: Rekeying,
    coop: Coop,
    pulls: BTreeMap<(SaId, u32), Pull>,
    refusals: Refusals,
    rekeys_sent: u64,
    unsolicited_acks: u64,
    repeated_acks: u64,
    last_sync: PseudoTime,
    /// Stamps that are still to be sent soon, since the clock is another one.
    resyncs: u8,
    untimed: Untimed,
    /// Keys that ended with their generation, and of which plain members were told that.
    buried: BTreeSet<Spi>,
    /// Until when plain members are told every key: which they hold, and until when, is not known.
    unsure_until: Time,
    /// Keys that are sent on until then were near enough to tell plain members.
    plain_reach: PseudoTime,
    /// Octets of the longest rekey that was said to be longer than a packet, of the policy in force.
    fragmented: usize,
    /// An operator's rekey waits until those on their way are fewer.
    ordered: Option<Order>,
    /// The key for which a member's word that it is nearly used up has already been heard.
    spent: Option<::policy::Spi>,
    /// Members that were told to register again.
    summoned: Summoned,
    /// The newest traffic key that this run has not minted itself.
    keys_until: Option<PseudoTime>,
    /// Registrations that this key server does in a second.
    rate: Rate,
}

/// The longest time between two stamps of the group's clock (PROTOCOL P27).
const SYNC_MAX: Duration = Duration::from_secs(7_200);
/// New keys that are to be made at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Order {
    /// One that is sent on as soon as every member can have it.
    Rekey,
    /// And others in place of all that are not sent on yet.
    Instead,
}

/// Members that follow another clock know it by one stamp only, which may be that of a copy: so many
/// more are sent, so long after one another.
const RESYNCS: u8 = 3;
const RESYNC: Duration = Duration::from_secs(60);
/// Two clocks that drift apart by 200 millionths each.
const DRIFT_PPM: u64 = 400;

impl KeyServer {
    /// A group as it is configured, with what an earlier run left of it.
    pub(crate) fn new(
        cx: &mut Context<'_>,
        config: config::KeyServer,
        handle: u32,
        boot: BootId,
        restored: Option<(GroupRow, Members)>,
        coop: Option<CoopRow>,
    ) -> Self {
        let space = SidSpace {
            size: config.size,
            index: ::policy::KsIndex::default(),
        };
        let mut group = Self {
            plan: None,
            serving: Serving::Incomplete("not configured yet".to_owned()),
            handle,
            boot,
            clock: GroupClock::beginning(cx.now),
            keys: GroupKeys::new(cx.rng),
            sids: SidAllocator::restored(space, 0),
            sid_marks: Vec::new(),
            policy: None,
            next_policy: None,
            members: Members::default(),
            rekeying: Rekeying::default(),
            coop: Coop::new(cx.rng, cx.now, coop),
            pulls: BTreeMap::new(),
            refusals: Refusals::default(),
            rekeys_sent: 0,
            unsolicited_acks: 0,
            repeated_acks: 0,
            last_sync: PseudoTime::ZERO,
            resyncs: 0,
            untimed: Untimed::default(),
            buried: BTreeSet::new(),
            unsure_until: Time::ZERO,
            plain_reach: PseudoTime::default(),
            fragmented: 0,
            ordered: None,
            spent: None,
            summoned: Summoned::default(),
            keys_until: None,
            rate: Rate::default(),
            config: config.clone(),
        };
        if let Some((row, members)) = restored {
            group.restore(row, members);
        }
        group.configure(cx, config);
        if group.serving == Serving::Yes && group.coop.leads() {
            group.resume(cx);
        }
        group
    }

    fn restore(&mut self, row: GroupRow, members: Members) {
        self.clock = row.clock(self.boot);
        self.keys = row.keys;
        self.sid_marks = row.sid_marks;
        self.policy = row.policy;
        self.next_policy = row.next_policy;
        self.rekeys_sent = row.rekeys_sent;
        self.members = members;
        self.keys.tenure = self.coop.row().tenure;
        self.keys_until = self.keys.teks.iter().map(|record| record.minted).max();
    }

    /// Follows a configuration: what differs from what is in force is minted and sent.
    pub(crate) fn configure(&mut self, cx: &mut Context<'_>, config: config::KeyServer) {
        let before = self.plan.take();
        self.config = config;
        let plan = match Plan::of(&self.config) {
            Ok(plan) => Arc::new(plan),
            Err(reason) => return self.stop(cx, Serving::Incomplete(reason)),
        };
        self.coop.configure(cx.now, plan.wanted.index, &self.config);
        self.note_members();
        self.compare_configs(cx);
        if cx.key_pairs.named(&plan.key).is_none() {
            let key = plan.key.clone();
            let other = cx.key_pairs.labelled(&key.label).map(KeyPair::kind);
            // The primary may send it: what else the plan says is needed to talk to it.
            self.plan = Some(plan);
            self.stop(cx, Serving::NoRekeyKey { key, other });
            return self.recall_rekey_keys(cx);
        }
        self.use_sid_space(SidSpace {
            size: self.config.size,
            index: plan.wanted.index,
        });
        if before.as_ref() != Some(&plan) {
            self.warn(cx, &plan);
            self.fragmented = 0;
        }
        let lifetimes = |plan: &Plan| (plan.wanted.tek_lifetime_s, plan.wanted.kek_lifetime_s);
        let lifetime_only = before.is_some_and(|before| lifetimes(&before) != lifetimes(&plan));
        self.plan = Some(plan);
        self.serving = Serving::Yes;
        self.open_lost_clock(cx);
        self.tell_rekey_key(cx);
        let follows = self.coop.leads() && self.follow(cx);
        if !follows && lifetime_only {
            cx.out.report(Gdoi::POLICY_CHANGE {
                group: self.config.group.clone(),
            });
        }
        self.persist_group(cx);
        self.coop_tick(cx);
        self.tick(cx);
    }

    /// Something that the group needs is no longer configured: it stands still until it is, and
    /// forgets nothing.
    pub(crate) fn suspend(&mut self, cx: &mut Context<'_>, reason: &str) {
        self.plan = None;
        self.stop(cx, Serving::Incomplete(reason.to_owned()));
    }

    fn stop(&mut self, cx: &mut Context<'_>, serving: Serving) {
        if self.serving != serving {
            match &serving {
                Serving::NoRekeyKey { key, .. } => {
                    cx.out
                        .report(key_pairs::missing(key, self.config.group.clone()));
                }
                Serving::Incomplete(reason) => cx.out.report(Gdoi::KS_INCOMPLETE_CFG {
                    group: self.config.group.clone(),
                    reason: reason.clone(),
                }),
                Serving::Yes => {}
            }
        }
        self.serving = serving;
    }

    fn warn(&self, cx: &mut Context<'_>, plan: &Plan) {
        let lifetime_s = plan.wanted.tek_lifetime_s;
        if lifetime_s < TEK_LIFETIME_WARN_S {
            cx.out.report(Gdoi::SHORT_LIFETIME {
                group: self.config.group.clone(),
                lifetime_s,
            });
        }
        //= getvpn P23
        if plan.wanted.transform.encryption() == ::policy::Encryption::TripleDes {
            cx.out.report(Gdoi::SMALL_BLOCK_CIPHER {
                group: self.config.group.clone(),
            });
        }
    }

    /// The allocator of a space; marks of spaces that were used before are kept, so that a change
    /// and its undoing repeat no identifier.
    fn use_sid_space(&mut self, space: SidSpace) {
        let current = SidMark::of(&self.sids);
        if current.mark > 0 {
            self.sid_marks.retain(|mark| !mark.is_for(&current.space));
            self.sid_marks.push(current);
        }
        if self.sids.space() == space && self.sids.mark() > 0 {
            return;
        }
        let mark = self.sid_marks.iter().find(|mark| mark.is_for(&space));
        self.sids = SidAllocator::restored(space, mark.map_or(0, |mark| mark.mark));
    }

    /// Mints and sends what differs between the plan and what is in force. Says whether it did.
    fn follow(&mut self, cx: &mut Context<'_>) -> bool {
        let plan = self.plan.clone().expect("it was set by the caller");
        let now = self.clock.at(cx.now);
        self.switch_policy(now);
        self.keys.expire(now);
        let first = self.keys.alive(now).next().is_none();
        let signature = cx.key_pairs.signature(&plan.key, plan.sig_hash);
        for kind in kinds(&self.config) {
            let newest = self.keys.kek_ahead(kind).or_else(|| self.keys.kek(kind));
            let fits = newest.is_some_and(|kek| {
                now < kek.expiry
                    && kek.label == plan.key.label
                    && (kek.sa.cipher, Some(kek.sa.signature))
                        == (plan.wanted.kek_cipher, signature)
                    && (kek.destination, kek.acknowledged) == plan.wanted.delivery(kind)
            });
            if !fits {
                self.mint_kek(cx, kind);
            }
        }
        let policy_fits = self
            .announced_policy()
            .is_some_and(|blob| (&blob.acl, blob.tbar_window_s) == (&plan.acl, plan.tbar_window_s));
        let tek_fits = self.keys.newest().is_some_and(|record| {
            record.tek.transform == plan.wanted.transform
                && record.tek.ks_list_hash == plan.wanted.ks_list_hash
        });
        if !first && policy_fits && tek_fits {
            self.announce_due(cx);
            return false;
        }
        let spi = self.mint_instead(cx, |tek| tek.transform != plan.wanted.transform);
        let minted = spi.and_then(|spi| self.keys.tek_by_spi(spi));
        let activation = minted.map_or(now, |record| record.tek.activation);
        if !policy_fits {
            self.set_policy(cx, activation, now);
        }
        self.mint_ahead(cx, &plan);
        self.announce_due(cx);
        !first
    }

    /// Mints a traffic key to be sent on as soon as every member can have it, and others in place of
    /// those that are not sent on yet.
    fn mint_instead(&mut self, cx: &mut Context<'_>, of: impl Fn(&Tek) -> bool) -> Option<Spi> {
        let mut held = self.keys.withdraw(self.clock.at(cx.now), of).held;
        held.sort_unstable();
        // One is enough for several of one time, that took each other's place.
        held.dedup_by(|next, at| {
            let same = next.since(*at) < Duration::from_secs(1);
            *at = if same { *next } else { *at };
            same
        });
        let spi = self.mint_tek(cx, Activation::Soonest);
        for at in held {
            // Members hold a key that would be sent on then: a new one outranks it.
            let at = at.after(Duration::from_nanos(1));
            self.mint_tek(cx, Activation::NotBefore(at));
        }
        spi
    }

    //= getvpn P6
    fn set_policy(&mut self, cx: &mut Context<'_>, activation: PseudoTime, now: PseudoTime) {
        self.coop.next_policy_version();
        match PolicyBlob::new(&self.config.sas, activation) {
            Ok(blob) if activation <= now || self.policy.is_none() => {
                self.policy = Some(blob);
                self.next_policy = None;
            }
            Ok(blob) => {
                self.next_policy = Some(blob);
                for member in self.members.iter_mut() {
                    member.policy_behind = true;
                }
            }
            Err(error) => self.stop(cx, Serving::Incomplete(error.to_string())),
        }
    }

    /// The policy that members are to hold: the next one as soon as there is one.
    fn announced_policy(&self) -> Option<&PolicyBlob> {
        self.next_policy.as_ref().or(self.policy.as_ref())
    }

    /// The next policy comes into force. Says whether it did.
    fn switch_policy(&mut self, now: PseudoTime) -> bool {
        let due = self
            .next_policy
            .as_ref()
            .is_some_and(|blob| blob.activation <= now);
        if due {
            self.policy = self.next_policy.take();
        }
        due
    }

    /// The lines that SATs can say, of the policy that is in force then.
    //= getvpn P6
    fn plain_lines(&self, then: PseudoTime) -> Vec<Ace> {
        let next = self.next_policy.as_ref();
        let next = next.filter(|blob| blob.activation <= then);
        let blob = next.or(self.policy.as_ref());
        let entries = blob.into_iter().flat_map(|blob| &blob.acl.entries);
        entries
            .filter(|ace| crate::transform::not_sayable(ace).is_none())
            .copied()
            .collect()
    }

    /// Whether a stamp of the group's clock is due although no key is.
    //= getvpn P27
    fn sync_due(&self, now: PseudoTime) -> bool {
        self.next_sync().is_some_and(|due| due <= now) && self.members.len() > 0
    }

    fn next_sync(&self) -> Option<PseudoTime> {
        let window_s = u64::from(self.plan.as_ref()?.tbar_window_s?);
        let drift = Duration::from_secs(window_s * 1_000_000 / DRIFT_PPM);
        let span = if self.resyncs > 0 { RESYNC } else { drift };
        Some(self.last_sync.after(span.min(SYNC_MAX)))
    }

    /// `crypto gdoi ks rekey`: a new traffic key, sent on as soon as every member can have it.
    pub(crate) fn order_rekey(&mut self, cx: &mut Context<'_>) {
        let order = self.coop.leads().then_some(Order::Rekey);
        self.ordered = self.ordered.max(order);
        self.tick(cx);
    }

    /// The deadline has passed.
    pub(crate) fn timer(&mut self, cx: &mut Context<'_>) {
        self.expire_pulls(cx.now);
        self.coop_tick(cx);
        self.tick(cx);
        if self.mark_due().is_some_and(|due| due <= cx.now) {
            self.persist_group(cx);
        }
    }

    /// Whether keys told ahead may have ended at the members while the clock was lost, and nobody has
    /// made others in their place, as far as this key server knows.
    //= getvpn P27
    fn doubts_keys(&self) -> bool {
        self.ordered == Some(Order::Instead)
    }

    //= getvpn P27
    fn mark_due(&self) -> Option<Time> {
        self.is_founded().then(|| self.clock.mark_due())
    }

    /// When `timer` has something to do.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        let coop = self
            .coop_deadline()
            .into_iter()
            .chain(self.mark_due())
            .min();
        let plan = self.plan.as_ref().filter(|_| self.serving == Serving::Yes);
        let Some(plan) = plan else {
            return coop;
        };
        let pulls = self.pulls.values().map(Pull::deadline).min();
        let policy = self.next_policy.as_ref().map(|blob| blob.activation);
        let passive = self.keys.next_expiry().into_iter().chain(policy);
        let passive = passive.chain(self.removal_due(self.clock.at(now)));
        let led = self
            .coop
            .leads()
            .then(|| self.led_deadline(&plan.wanted, now));
        let (pseudo, exact) = led.unwrap_or_default();
        let pseudo = passive
            .chain(pseudo)
            .min()
            .map(|due| self.clock.time_of(due));
        [pseudo, pulls, exact, coop].into_iter().flatten().min()
    }

    /// What whoever leads has to do: when in the group's time, and when in core time.
    fn led_deadline(&self, wanted: &keys::Wanted, now: Time) -> (Option<PseudoTime>, Option<Time>) {
        let keks = kinds(&self.config)
            .filter(|kind| self.keys.kek_ahead(*kind).is_none())
            .filter_map(|kind| self.keys.kek_due(kind, wanted));
        let sync = self.next_sync().filter(|_| self.members.len() > 0);
        let overlap = self.overlap();
        let pseudo_now = self.clock.at(now);
        // Keys that wait for other key servers are looked at when those answer.
        let announced = self
            .keys
            .alive(pseudo_now)
            .filter(|record| !record.announced)
            .map(|record| record.hand_from(overlap))
            .filter(|at| *at > pseudo_now);
        let pseudo = keks
            .chain(self.mint_due(wanted, pseudo_now))
            .chain(announced)
            .chain(sync)
            .chain(self.plain_due(pseudo_now))
            .min();
        let ordered = self.ordered.is_some() && self.rekeying.len() < ORDERED_REKEYS_MAX;
        let exact = [
            self.rekeying.deadline(now),
            ordered.then_some(now),
            self.next_reminder(pseudo_now).map(|(due, _)| due),
            self.next_call(),
        ];
        (pseudo, exact.into_iter().flatten().min())
    }

    /// A piece of the policy that a member fetches; `None` for a policy that is not in force.
    //= getvpn P5
    pub(crate) fn policy_piece(&self, request: &PolicyRequest) -> Option<Vec<u8>> {
        [&self.policy, &self.next_policy]
            .into_iter()
            .flatten()
            .find(|blob| blob.sha256 == request.sha256)?
            .piece(request.kind, request.number)
    }

    /// Whether a rekey key of that label may not be replaced by an operator's.
    pub(crate) fn keeps_rekey_key(&self, label: &str) -> bool {
        let named = self.config.rekey_key.as_ref();
        named.is_some_and(|key| key.label == label) && self.coop.keeps_rekey_key()
    }

    /// Rekey keys that came from other key servers.
    pub(crate) fn take_adopted_keys(&mut self) -> Vec<coop::AdoptedKey> {
        self.coop.take_adopted()
    }

    /// What is configured.
    pub(crate) const fn config(&self) -> &config::KeyServer {
        &self.config
    }

    /// Writes what the group must remember; whatever leaves after this, leaves when it is written.
    fn persist_group(&mut self, cx: &mut Context<'_>) {
        self.note_changes(cx.now);
        self.clock.mark(cx.now);
        let mut sid_marks = self.sid_marks.clone();
        sid_marks.retain(|mark| !mark.is_for(&self.sids.space()));
        sid_marks.push(SidMark::of(&self.sids));
        let row = GroupRow {
            boot: self.boot,
            written: cx.now,
            pseudotime: self.clock.at(cx.now),
            clock_generation: self.clock.generation(),
            clock_lost: self.clock.is_lost() || self.doubts_keys(),
            keys: self.keys_without_removals(),
            sid_marks,
            policy: self.policy.clone(),
            next_policy: self.next_policy.clone(),
            rekeys_sent: self.rekeys_sent,
        };
        cx.out.push(Output::Persist(persist::group_record(
            &self.config.group,
            &row,
        )));
    }

    fn persist_members(&self, cx: &mut Context<'_>) {
        for (address, member) in self.members.iter() {
            let record = persist::member_record(&self.config.group, address, member);
            cx.out.push(Output::Persist(record));
        }
    }

    /// The records that forget this group.
    pub(crate) fn forget(&self, cx: &mut Context<'_>) {
        let group = &self.config.group;
        cx.out.push(Output::Persist(persist::no_group(group)));
        cx.out.push(Output::Persist(persist::no_coop(group)));
        if !self.keys.removals.is_empty() {
            cx.out.push(Output::Persist(persist::no_removals(group)));
        }
        for (address, _) in self.members.iter() {
            let record = persist::no_member(group, address);
            cx.out.push(Output::Persist(record));
        }
    }
}

//! The member's side of a group.
//!
//! Owns what the member holds and when it asks for more. How a registration runs is `registration`,
//! what a rekey is believed `rekey`, what is held `held`, how a policy is fetched `policy`, when all
//! of it is lost `fail_close`.

mod fail_close;
mod held;
mod multicast;
mod plain;
mod policy;
mod pseudotime;
mod registration;
mod rekey;
mod show;
mod view;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{KekSpi, PeerKind, Spi, Time};
use crypto::Secret;
use event::{Gdoi, Step};

use crate::config;
use crate::context::Context;
use crate::ike::SaId;
use crate::ks::spis::tagged;
use crate::limits::{RECOVERY_PAUSE, UNKNOWN_SPI_COUNT, UNKNOWN_SPI_WINDOW};
use crate::machine::Output;
use crate::rekey_sa::random_below;

use held::Held;
use pseudotime::PseudoTimeFilter;
use registration::{Attempt, Plan};
use rekey::Pushes;

pub use view::{KekView, Keks, PublicKeyView, Status, TekView, View};

/// The port of GDOI (RFC 6407 section 2.2).
pub(super) const PORT: u16 = 848;

/// A group that this box is a member of.
pub(crate) struct Member {
    config: config::Member,
    attempt: Attempt,
    plan: Plan,
    held: Option<Held>,
    clock: PseudoTimeFilter,
    pushes: Pushes,
    fetch: Option<policy::Fetch>,
    counters: Counters,
    last_failure: Option<String>,
    unknown: UnknownSpis,
    ended: fail_close::Ended,
    /// New sender identifiers are needed, and only a registration brings them.
    wants_sids: bool,
    /// A key of which the key server is told that it is nearly used up.
    spent: Option<Spi>,
    /// The key server asked for a registration, whose time stays (PROTOCOL P16).
    summoned: bool,
    next_conn_id: u32,
    registered: Option<Time>,
}

/// What a member counts.
#[derive(Clone, Default)]
struct Counters {
    succeeded: u64,
    attempted: u64,
    resumptions: u64,
    rekeys: u64,
    rekeys_since_registration: u64,
    acks: u64,
    /// Copies of rekeys that had come before.
    copies: u64,
    refusals: BTreeMap<&'static str, u64>,
    signature_forms: BTreeMap<&'static str, u64>,
}

/// SPIs of this group that the data plane met and that are not held (PROTOCOL P18).
#[derive(Clone, Default)]
struct UnknownSpis {
    first: Option<Time>,
    count: u32,
    recovered: Option<Time>,
}

impl Member {
    /// A member that registers at once.
    pub(crate) fn new(cx: &mut Context<'_>, config: config::Member) -> Self {
        cx.out.report(Gdoi::GM_CM_ATTACH {
            group: config.group.clone(),
        });
        let mut member = Self {
            attempt: Attempt::Idle,
            plan: Plan::at(cx.now),
            held: None,
            clock: PseudoTimeFilter::default(),
            pushes: Pushes::default(),
            fetch: None,
            counters: Counters::default(),
            last_failure: None,
            unknown: UnknownSpis::default(),
            ended: fail_close::Ended::default(),
            wants_sids: false,
            spent: None,
            summoned: false,
            next_conn_id: 1,
            registered: None,
            config,
        };
        member.timer(cx);
        member
    }

    /// Follows a configuration: what makes it another member starts over.
    pub(crate) fn configure(&mut self, cx: &mut Context<'_>, config: config::Member) {
        let who = |own: &config::Member| (own.id, own.address, own.compatible_rfc6407);
        let other = who(&self.config) != who(&config);
        let acl_changed = self.config.local_acl != config.local_acl;
        let more_workers = self.config.workers != config.workers;
        self.config = config;
        if other {
            self.forget(cx);
            self.plan = Plan::at(cx.now);
        } else {
            if acl_changed {
                self.install_policy(cx);
            }
            if more_workers {
                self.plan.at = Some(cx.now);
            }
        }
        self.timer(cx);
    }

    /// The group is no longer configured.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) {
        cx.out.report(Gdoi::GM_CM_DETACH {
            group: self.config.group.clone(),
        });
        self.forget(cx);
    }

    /// `clear crypto gdoi`: policy and keys go, and the member registers again.
    pub(crate) fn clear(&mut self, cx: &mut Context<'_>) {
        cx.out.report(Gdoi::GM_CLEAR_REGISTER {
            group: self.config.group.clone(),
        });
        self.forget(cx);
        self.counters = Counters::default();
        self.plan = Plan::at(cx.now);
        self.timer(cx);
    }

    /// This memory may have been resumed twice: nothing that it holds is sent on any more. What the
    /// member registers for comes with sender identifiers that no copy has.
    //= getvpn P21
    pub(crate) fn resumed(&mut self, cx: &mut Context<'_>) {
        self.forget(cx);
        self.unknown = UnknownSpis::default();
        self.wants_sids = false;
        self.spent = None;
        self.registered = None;
        self.counters.resumptions += 1;
        cx.out.report(Gdoi::GM_RESUMED {
            group: self.config.group.clone(),
        });
        self.plan = Plan::at(cx.now);
        self.timer(cx);
    }

    /// The data plane has used three quarters of a sender identifier.
    //= getvpn P21
    pub(crate) fn sids_low(&mut self, cx: &mut Context<'_>) {
        if !self.wants_sids {
            self.wants_sids = true;
            self.plan.at = Some(cx.now);
            self.timer(cx);
        }
    }

    /// The data plane has nearly used up a key whose cipher has 64-bit blocks. Only a key server of
    /// ours can be told, and only in a registration.
    //= getvpn P23
    pub(crate) fn key_spent(&mut self, cx: &mut Context<'_>, spi: Spi) {
        let holds = self
            .held
            .as_ref()
            .is_some_and(|held| held.kind == PeerKind::Ours && held.teks.contains_key(&spi));
        if holds && self.spent != Some(spi) {
            self.spent = Some(spi);
            self.plan.at = Some(cx.now);
            self.timer(cx);
        }
    }

    /// The key that a registration names as nearly used up, while it is held: a key server that had
    /// not written the first word down hears it again.
    fn spent(&self) -> Option<Spi> {
        let held = self.held.as_ref()?;
        self.spent.filter(|spi| held.teks.contains_key(spi))
    }

    /// The data plane met an SPI that is not held.
    //= getvpn P18
    pub(crate) fn unknown_spi(&mut self, cx: &mut Context<'_>, spi: Spi) {
        let Some(held) = &self.held else { return };
        let of_this_group = held.spi_key.as_ref().is_some_and(|key| is_tagged(key, spi));
        if !of_this_group || held.was_held(spi) {
            return;
        }
        let unknown = &mut self.unknown;
        if unknown
            .first
            .is_none_or(|first| cx.now.since(first) > UNKNOWN_SPI_WINDOW)
        {
            (unknown.first, unknown.count) = (Some(cx.now), 0);
        }
        unknown.count += 1;
        let paused = unknown
            .recovered
            .is_some_and(|last| cx.now.since(last) < RECOVERY_PAUSE);
        if unknown.count >= UNKNOWN_SPI_COUNT && !paused && self.attempt.is_idle() {
            unknown.recovered = Some(cx.now);
            let jitter = random_below(cx.rng, 1_000);
            let delay = Duration::from_millis(jitter);
            cx.out.report(Gdoi::GM_RECOVERY_REGISTRATION {
                group: self.config.group.clone(),
                delay_ms: jitter,
            });
            (self.plan.at, self.plan.next_server) = (Some(cx.now + delay), true);
        }
    }

    /// The deadline has passed.
    pub(crate) fn timer(&mut self, cx: &mut Context<'_>) {
        self.expire(cx);
        self.pushes.expire(cx.now);
        self.send_acks(cx);
        self.advance_registration(cx);
        self.advance_fetch(cx);
    }

    /// When `timer` has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [
            self.attempt.deadline(),
            self.attempt.is_idle().then_some(self.plan.at).flatten(),
            self.held.as_ref().and_then(Held::deadline),
            self.pushes.deadline(),
            self.fetch.as_ref().and_then(policy::Fetch::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The address that registers.
    pub(crate) const fn address(&self) -> Ipv4Addr {
        self.config.address
    }

    /// Whether a Rekey SA is one of this member's.
    pub(crate) fn holds_kek(&self, spi: &KekSpi) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.kek(spi).is_some())
    }

    /// Whether an exchange under a phase-1 SA is one that this member began.
    pub(crate) fn waits_for(&self, sa: SaId, message_id: u32) -> bool {
        self.attempt.is_exchange(sa, message_id)
            || self
                .fetch
                .as_ref()
                .is_some_and(|fetch| fetch.is_exchange(sa, message_id))
    }

    /// Forgets everything that a key server gave.
    fn forget(&mut self, cx: &mut Context<'_>) {
        self.abandon(cx);
        self.fetch = None;
        self.pushes = Pushes::default();
        self.clock = PseudoTimeFilter::default();
        if self.held.take().is_some() {
            cx.out.push(Output::CloseGroup {
                group: self.config.group.clone(),
            });
        }
    }

    #[track_caller]
    fn refuse(&mut self, cx: &mut Context<'_>, name: &'static str) {
        *self.counters.refusals.entry(name).or_default() += 1;
        let (group, what) = (self.config.group.clone(), name);
        cx.out.report(Step::GM_REFUSED { group, what });
    }

    const fn local(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.config.address, PORT)
    }

    fn kind(&self) -> Option<PeerKind> {
        self.held.as_ref().map(|held| held.kind)
    }
}

fn is_tagged(key: &Secret, spi: Spi) -> bool {
    tagged(key, ::policy::spi::SpiHead::of(spi)) == spi
}

/// Doubles with every round, and is spread over its last half.
fn back_off(cx: &mut Context<'_>, least: Duration, most: Duration, rounds: u32) -> Duration {
    let full = least.saturating_mul(1 << rounds.min(16)).min(most);
    let half_ms = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half_ms + random_below(cx.rng, half_ms + 1))
}

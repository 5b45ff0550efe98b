//! Why a key server refuses a registration, and what follows from it, in one table.
//!
//! Each variant has exactly one Notify type, one counter and one event. None changes a state. What
//! phase 1 refuses is in `ike`; what a member refuses is `gm::refusal`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use event::{Event, Gdoi};
use policy::{GroupName, Time};
use wire::iana::NotifyType;

use crate::config::RekeyKey;
use crate::key_pairs;
use crate::limits::{REFUSAL_REPORT_PAUSE, REFUSALS_REMEMBERED};

/// Why a registration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No group of that identity is served here.
    UnknownGroup(String),
    /// The address is not in `authorization address ipv4`.
    Unauthorized,
    /// The member was removed from the group by name.
    Removed,
    /// The peer is a getvpn, and its vendor ids were altered on the way.
    Downgraded,
    /// There is no key to sign rekeys with.
    NoRekeyKey(RekeyKey),
    /// The configuration lacks something.
    Incomplete(String),
    /// The policy cannot be said to a plain peer; names the line.
    Unsayable(String),
    /// No sender identifier is free.
    SidsExhausted,
    /// As many members as a group may have.
    GroupFull,
    /// Too many PULLs wait for message 3.
    TooManyPulls,
    /// Octets of another form.
    Malformed(wire::Error),
    /// A message 3 that nobody asked for, or too late.
    NoPull,
    /// COOP from a peer that did not prove to be a getvpn.
    NotKin,
    /// COOP from an address that is no `peer address ipv4` of the group.
    UnknownKeyServer,
    /// An announcement that is not newer than the last one.
    CoopSequence {
        /// Its number.
        seq: u64,
        /// The last one's.
        last: u64,
    },
}

/// The figures of one refusal.
pub(crate) struct Row {
    /// What the peer is told, under its phase-1 SA.
    pub(crate) notify: NotifyType,
    /// The name of its counter.
    pub(crate) name: &'static str,
}

impl Refusal {
    /// The table.
    pub(crate) const fn row(&self) -> Row {
        let (notify, name) = match self {
            Self::UnknownGroup(_) => (NotifyType::INVALID_ID_INFORMATION, "unknown group"),
            Self::Unauthorized => (NotifyType::AUTHENTICATION_FAILED, "unauthorized address"),
            Self::Removed => (NotifyType::AUTHENTICATION_FAILED, "removed member"),
            Self::Downgraded => (NotifyType::AUTHENTICATION_FAILED, "vendor ids altered"),
            Self::NoRekeyKey(_) => (NotifyType::NO_PROPOSAL_CHOSEN, "no rekey key"),
            Self::Incomplete(_) => (NotifyType::NO_PROPOSAL_CHOSEN, "incomplete configuration"),
            Self::Unsayable(_) => (NotifyType::NO_PROPOSAL_CHOSEN, "policy not supported"),
            Self::SidsExhausted => (NotifyType::NO_PROPOSAL_CHOSEN, "no sender identifier free"),
            Self::GroupFull => (NotifyType::NO_PROPOSAL_CHOSEN, "group full"),
            Self::TooManyPulls => (NotifyType::NO_PROPOSAL_CHOSEN, "too many registrations"),
            Self::Malformed(_) => (NotifyType::PAYLOAD_MALFORMED, "malformed"),
            Self::NoPull => (NotifyType::INVALID_MESSAGE_ID, "registration not open"),
            Self::NotKin => (NotifyType::AUTHENTICATION_FAILED, "COOP peer is no getvpn"),
            Self::UnknownKeyServer => (NotifyType::INVALID_ID_INFORMATION, "unknown key server"),
            Self::CoopSequence { .. } => (NotifyType::INVALID_MESSAGE_ID, "old announcement"),
        };
        Row { notify, name }
    }

    /// What the operator is told of a message between key servers.
    pub(crate) fn coop_event(&self, ks: Ipv4Addr, local: Ipv4Addr, group: &GroupName) -> Event {
        let group = group.clone();
        if let Self::CoopSequence { seq, last } = *self {
            return Gdoi::COOP_ANN_SEQ_FAILURE { group, seq, last }.into();
        }
        if matches!(self, Self::UnknownKeyServer | Self::NotKin) {
            return Gdoi::COOP_KS_UNAUTH { ks, group, local }.into();
        }
        self.event(ks, &group)
    }

    /// What the operator is told.
    pub(crate) fn event(&self, peer: Ipv4Addr, group: &GroupName) -> Event {
        let group = group.clone();
        match self {
            Self::UnknownGroup(id) => Gdoi::KS_UNAUTHORIZED {
                peer,
                group: id.clone(),
            },
            Self::Unauthorized => Gdoi::UNAUTHORIZED_IPADDR { group, peer },
            Self::Removed => Gdoi::KS_GM_REVOKED { peer, group },
            Self::Downgraded => Gdoi::GDOI_DOWNGRADE { peer, group },
            Self::NoRekeyKey(key) => key_pairs::missing(key, group),
            Self::Unsayable(reason) => Gdoi::KS_POLICY_NOT_SUPPORTED {
                peer,
                group,
                reason: reason.clone(),
            },
            Self::Incomplete(_)
            | Self::SidsExhausted
            | Self::GroupFull
            | Self::TooManyPulls
            | Self::Malformed(_)
            | Self::NoPull
            | Self::NotKin
            | Self::UnknownKeyServer
            | Self::CoopSequence { .. } => Gdoi::KS_REGISTRATION_REFUSED {
                peer,
                group,
                reason: self.to_string(),
            },
        }
        .into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(id) => write!(f, "no group {id} is served here"),
            Self::Unauthorized => f.write_str("the address is not authorized"),
            Self::Removed => f.write_str("the member was removed from the group"),
            Self::Downgraded => f.write_str("vendor ids were altered on the way"),
            Self::NoRekeyKey(key) => write!(f, "{} key {} is missing", key.kind, key.label),
            Self::Incomplete(what) | Self::Unsayable(what) => f.write_str(what),
            Self::SidsExhausted => f.write_str("no sender identifier is free: raise `group size`"),
            Self::GroupFull => f.write_str("the group has as many members as it may have"),
            Self::TooManyPulls => {
                f.write_str("too many registrations wait for their third message")
            }
            Self::Malformed(error) => error.fmt(f),
            Self::NoPull => f.write_str("message 3 of a registration that is not open"),
            Self::NotKin => f.write_str("the peer did not prove to be a getvpn"),
            Self::UnknownKeyServer => {
                f.write_str("no `peer address ipv4` of the group has this address")
            }
            Self::CoopSequence { seq, last } => {
                write!(f, "announcement {seq} is not above {last}")
            }
        }
    }
}

/// Counts refusals, and reports the same one of the same peer not more than once in a while.
#[derive(Clone, Default)]
pub(crate) struct Refusals {
    counts: BTreeMap<&'static str, u64>,
    reported: BTreeMap<(Ipv4Addr, &'static str), Time>,
}

impl Refusals {
    /// Counts; says whether to report.
    pub(crate) fn count(&mut self, now: Time, peer: Ipv4Addr, name: &'static str) -> bool {
        *self.counts.entry(name).or_default() += 1;
        let pause: Duration = REFUSAL_REPORT_PAUSE;
        self.reported.retain(|_, at| now.since(*at) < pause);
        if self.reported.contains_key(&(peer, name)) || self.reported.len() >= REFUSALS_REMEMBERED {
            return false;
        }
        self.reported.insert((peer, name), now);
        true
    }

    /// Every count by its name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }
}

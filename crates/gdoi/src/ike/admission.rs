//! `crypto call admission limit ike`: how many peers a box serves, and how many it begins to serve
//! at once.
//!
//! Decides whether one more may begin; how many strangers may wait is `half_open`'s. A negotiation
//! counts from message 3 on, when its address is real and a Diffie-Hellman exchange is due: messages
//! 1 under forged addresses use up no limit and lock nobody out. Whoever is refused repeats its
//! message, and finds a place when another is done, or goes on to its next key server. Key servers of
//! the same group are always admitted: members must not keep them apart.

use std::net::Ipv4Addr;

use super::engine::Isakmp;
use super::refusal::Refusal;

/// What the operator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// `ike sa N`: established SAs.
    pub sas: Option<u32>,
    /// `ike in-negotiation-sa N`: negotiations that peers began and that have come to message 3.
    pub negotiations: Option<u32>,
    /// Peers that are never refused.
    pub always: Vec<Ipv4Addr>,
}

/// What was asked and granted since the start; copies of a message are no request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// Negotiations that peers asked for.
    pub incoming: u64,
    /// Those of them that began.
    pub incoming_accepted: u64,
    /// Negotiations that this box wanted.
    pub outgoing: u64,
    /// Those of them that began.
    pub outgoing_accepted: u64,
}

/// `show crypto call admission statistics`, as far as phase 1 goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionView {
    /// The limits.
    pub limits: AdmissionLimits,
    /// SAs that are established.
    pub active: usize,
    /// Negotiations of both sides that are not done.
    pub negotiating: usize,
    /// What was asked and granted.
    pub counts: AdmissionCounts,
}

fn is_reached(limit: Option<u32>, count: usize) -> bool {
    limit.is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| count >= limit))
}

impl Isakmp {
    /// Whether a peer may begin a negotiation.
    pub(super) fn admits(&self, peer: Ipv4Addr) -> Result<(), Refusal> {
        let limits = &self.config.admission;
        // Whoever has an SA gets a new one in its place.
        let is_new = self.established_with(peer).is_empty();
        let others = self.established_len() + self.half_open.keyed_len();
        if is_new && is_reached(limits.sas, others) && !limits.always.contains(&peer) {
            return Err(Refusal::SaLimit);
        }
        self.admits_key(peer)
    }

    /// Whether one more negotiation may cost a Diffie-Hellman exchange.
    pub(super) fn admits_key(&self, peer: Ipv4Addr) -> Result<(), Refusal> {
        let limits = &self.config.admission;
        let full = is_reached(limits.negotiations, self.half_open.keyed_len());
        if full && !limits.always.contains(&peer) {
            return Err(Refusal::NegotiationLimit);
        }
        Ok(())
    }

    fn established_len(&self) -> usize {
        let negotiating = self.half_open.len() + self.initiated;
        self.entries.len().saturating_sub(negotiating)
    }

    /// Limits, and how far they are used.
    #[must_use]
    pub fn admission(&self) -> AdmissionView {
        AdmissionView {
            limits: self.config.admission.clone(),
            active: self.established_len(),
            negotiating: self.half_open.len() + self.initiated,
            counts: self.reports.counters.admission.clone(),
        }
    }
}

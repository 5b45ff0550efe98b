//! The message ids that were used under an SA.
//!
//! Both sides choose theirs at random, and no id may serve twice under an SA, whoever chose it: the
//! IV of an exchange comes of it (RFC 2409 appendix B). So one set holds both sides', and beside it
//! stands how many each used, which is bounded for each alone.

use std::collections::BTreeSet;

use crate::limits::{MESSAGE_IDS_MAX, MESSAGE_IDS_RESERVE};

/// The message ids that were used under an SA.
#[derive(Default)]
pub(super) struct MessageIds {
    used: BTreeSet<u32>,
    own: usize,
    peer: usize,
}

impl MessageIds {
    /// Whether a message had it, ours or the peer's.
    pub(super) fn is_used(&self, id: u32) -> bool {
        self.used.contains(&id)
    }

    /// Whether we may not begin anything more.
    pub(super) const fn is_own_spent(&self) -> bool {
        self.own >= MESSAGE_IDS_MAX
    }

    /// Whether what is left is for keepalives, answers to them and a Delete: another SA is to be used.
    pub(super) const fn is_own_nearly_spent(&self) -> bool {
        self.own >= MESSAGE_IDS_MAX - MESSAGE_IDS_RESERVE
    }

    /// Whether the peer may not begin anything more.
    pub(super) const fn is_peer_spent(&self) -> bool {
        self.peer >= MESSAGE_IDS_MAX
    }

    /// Marks one of ours; false when it was used before, or is that of phase 1.
    pub(super) fn take(&mut self, id: u32) -> bool {
        let fresh = id != 0 && self.used.insert(id);
        self.own += usize::from(fresh);
        fresh
    }

    /// Marks one of the peer's, whose message was verified.
    pub(super) fn heard(&mut self, id: u32) {
        self.peer += usize::from(self.used.insert(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_serves_once_whoever_chose_it() {
        let mut ids = MessageIds::default();
        assert!(ids.take(7));
        assert!(!ids.take(7));
        ids.heard(8);
        assert!(!ids.take(8));
        assert!(ids.is_used(7) && ids.is_used(8) && !ids.is_used(9));
    }

    #[test]
    fn that_of_phase_1_serves_nothing() {
        assert!(!MessageIds::default().take(0));
    }

    #[test]
    fn each_side_has_its_own_bound() {
        let mut ids = MessageIds::default();
        for id in 1..=MESSAGE_IDS_MAX as u32 {
            assert!(!ids.is_peer_spent());
            ids.heard(id);
            ids.heard(id);
        }
        assert!(ids.is_peer_spent());
        assert!(!ids.is_own_spent());
    }
}

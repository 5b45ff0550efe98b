//! What changed, in order: every change of a record gets the next number, so that a peer can be
//! sent what came after the last one that it has on disk.
//!
//! Decides order only; a record's octets are made when it is sent.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy::{KekSpi, KsIndex, Spi};

use crate::policy_blob::Sha256;

/// The name of a record that key servers share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A piece of a policy blob.
    Piece(Sha256, u16),
    /// What all share besides keys: SPI key, policy.
    Group,
    /// This key server's own configuration, to be compared.
    Config,
    /// The key pair that signs rekeys.
    Signing,
    /// A key pair that signs under a Rekey SA that is held, by its label.
    Signed(String),
    /// A Rekey SA.
    Kek(KekSpi),
    /// A traffic key.
    Tek(Spi),
    /// Rises of the generation that are to come, and the last clearing of the whole group.
    Removals,
    /// What was said last of a member that was taken out.
    Tombstone(Ipv4Addr),
    /// A PUSH or an acknowledgement that is handed to one key server, by number.
    Handed(KsIndex, u64),
    /// A member.
    Member(Ipv4Addr),
}

/// The log of one run of the program.
#[derive(Clone, Default)]
pub(crate) struct Log {
    last: u64,
    entries: BTreeMap<Key, Entry>,
    order: BTreeMap<u64, Key>,
    /// The peer whose records are taken over now.
    source: Option<KsIndex>,
}

/// The last change of a record.
#[derive(Copy, Clone)]
struct Entry {
    stamp: u64,
    shape: u64,
    /// The peer that it came from, which need not be told.
    source: Option<KsIndex>,
}

impl Log {
    /// The number of the last change.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Changes from now on come from that peer, or from here.
    pub(crate) fn comes_from(&mut self, source: Option<KsIndex>) {
        self.source = source;
    }

    /// Where changes come from now.
    pub(crate) const fn source(&self) -> Option<KsIndex> {
        self.source
    }

    /// A record changed.
    pub(crate) fn changed(&mut self, key: Key) {
        self.set(key, 0);
    }

    /// A record is of this shape now. Says whether that is a change.
    pub(crate) fn note(&mut self, key: Key, shape: u64) -> bool {
        let same = self.entries.get(&key).is_some_and(|was| was.shape == shape);
        if !same {
            self.set(key, shape);
        }
        !same
    }

    fn set(&mut self, key: Key, shape: u64) {
        self.last += 1;
        let entry = Entry {
            stamp: self.last,
            shape,
            source: self.source,
        };
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.order.remove(&before.stamp);
        }
        self.order.insert(self.last, key);
    }

    /// A record is no more: nobody needs to hear of it.
    pub(crate) fn gone(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.stamp);
        }
    }

    /// Forgets the records that are no more; members are not asked about.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Key) -> bool) {
        let members = Key::Member(Ipv4Addr::UNSPECIFIED);
        let others = self.entries.range(..members).map(|(key, _)| key);
        let gone: Vec<Key> = others.filter(|key| !keep(key)).cloned().collect();
        gone.iter().for_each(|key| self.gone(key));
    }

    /// A peer began anew: what came from it before, it may have lost.
    pub(crate) fn tell_again(&mut self, peer: KsIndex) {
        for entry in self.entries.values_mut() {
            if entry.source == Some(peer) {
                entry.source = None;
            }
        }
    }

    /// The number of a record's last change.
    pub(crate) fn stamp(&self, key: &Key) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.stamp)
    }

    /// Whether a record is none of a peer's business.
    pub(crate) fn is_for_another(key: &Key, peer: KsIndex) -> bool {
        matches!(key, Key::Handed(to, _) if *to != peer)
    }

    /// Whether a record came as it is from that peer.
    pub(crate) fn is_from(&self, key: &Key, peer: KsIndex) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| entry.source == Some(peer))
    }

    /// The peer that a record came from as it is.
    #[cfg(feature = "model")]
    pub(super) fn source_of(&self, key: &Key) -> Option<KsIndex> {
        self.entries.get(key)?.source
    }

    /// Changes after `stamp`, oldest first.
    pub(crate) fn after(&self, stamp: u64) -> impl Iterator<Item = (u64, &Key)> {
        let after = (std::ops::Bound::Excluded(stamp), std::ops::Bound::Unbounded);
        self.order.range(after).map(|(stamp, key)| (*stamp, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stands_where_it_changed_last() {
        let mut log = Log::default();
        log.changed(Key::Group);
        log.changed(Key::Config);
        log.changed(Key::Group);
        let after = |stamp| -> Vec<u64> { log.after(stamp).map(|(stamp, _)| stamp).collect() };
        assert_eq!(after(0), [2, 3]);
        assert_eq!(after(2), [3]);
        assert_eq!(log.stamp(&Key::Group), Some(3));
    }

    #[test]
    fn the_same_shape_again_is_no_change() {
        let mut log = Log::default();
        assert!(log.note(Key::Tek(Spi(300)), 7));
        assert!(!log.note(Key::Tek(Spi(300)), 7));
        assert!(log.note(Key::Tek(Spi(300)), 8));
        log.retain(|key| *key != Key::Tek(Spi(300)));
        assert_eq!(log.after(0).count(), 0);
        assert_eq!(log.last(), 2);
    }

    #[test]
    fn who_told_a_change_is_known_until_it_changes_here() {
        let mut log = Log::default();
        let peer = KsIndex::new(3).unwrap();
        log.comes_from(Some(peer));
        log.note(Key::Group, 1);
        assert!(log.is_from(&Key::Group, peer));
        log.comes_from(None);
        log.note(Key::Group, 2);
        assert!(!log.is_from(&Key::Group, peer));
    }

    #[test]
    fn a_peer_that_began_anew_is_told_what_came_from_it() {
        let mut log = Log::default();
        let [gone, other] = [2, 3].map(|n| KsIndex::new(n).unwrap());
        for (peer, key) in [(gone, Key::Group), (other, Key::Config)] {
            log.comes_from(Some(peer));
            log.note(key, 1);
        }
        log.tell_again(gone);
        assert!(!log.is_from(&Key::Group, gone));
        assert!(log.is_from(&Key::Config, other));
    }
}

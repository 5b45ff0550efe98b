//! A group's names, identities and counters.

use std::fmt;
use std::net::Ipv4Addr;

/// Most key servers that a group can have: the KS index has four bits (PROTOCOL P17, P19).
pub const KS_MAX: usize = 16;

/// The configured name of a group, as `crypto gdoi group NAME` gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// A group name; empty names and names with blanks never come from the configuration parser.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for GroupName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The identity that members and key servers know the group by on the wire (RFC 6407 section 5.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupId {
    /// `identity number N`: ID_KEY_ID with four octets.
    Number(u32),
    /// `identity address ipv4 A`: ID_IPV4_ADDR.
    Address(Ipv4Addr),
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Rank of a key server's address in the sorted list of the group's key servers (PROTOCOL P19).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KsIndex(u8);

impl KsIndex {
    /// An index 0..=15; `None` above.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < 16 { Some(Self(index)) } else { None }
    }

    /// The rank of `own` in `list`, which need not be sorted; `None` if it is not there or too far.
    #[must_use]
    pub fn rank_of(own: Ipv4Addr, list: &[Ipv4Addr]) -> Option<Self> {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let rank = sorted.iter().position(|&address| address == own)?;
        Self::new(u8::try_from(rank).ok()?)
    }

    /// The index as a number 0..=15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The group's generation: one counter per KS index, joined component-wise (PROTOCOL P14).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub [u32; KS_MAX]);

impl Generation {
    /// Whether a key of this generation is alive in a group of generation `group`.
    //= getvpn P14
    #[must_use]
    pub fn is_alive_in(&self, group: &Self) -> bool {
        self.0
            .iter()
            .zip(&group.0)
            .all(|(own, needed)| own >= needed)
    }

    /// Whether it is at least the other in every counter, and not the same: every key of that one is
    /// dead in it.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        self != other && self.is_alive_in(other)
    }

    /// The smallest generation that is at least both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].max(other.0[i])))
    }

    /// The generation after this one, raised by the key server of that index.
    #[must_use]
    pub fn raised_by(mut self, index: KsIndex) -> Self {
        let counter = &mut self.0[usize::from(index.get())];
        *counter = counter.saturating_add(1);
        self
    }
}

/// What a peer has proven to be (PROTOCOL P2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKind {
    /// A getvpn that proved it in the GDOI nonces.
    Ours,
    /// A plain speaker of RFC 6407.
    Rfc6407,
    /// A plain speaker of RFC 3547: no GAP, no SID, no Delete in a PUSH.
    Rfc3547,
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "getvpn",
            Self::Rfc6407 => "rfc6407",
            Self::Rfc3547 => "rfc3547",
        })
    }
}

/// How rekeys travel.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RekeyTransport {
    /// `rekey transport unicast`: one PUSH per member, acknowledged.
    #[default]
    Unicast,
    /// To a multicast address, blindly repeated.
    Multicast,
}

impl fmt::Display for RekeyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unicast => "Unicast",
            Self::Multicast => "Multicast",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_dead_once_any_component_is_behind() {
        let index = KsIndex::new(3).unwrap();
        let old = Generation::default();
        let new = old.raised_by(index);
        assert!(new.is_alive_in(&old) && new.is_alive_in(&new));
        assert!(!old.is_alive_in(&new));
        assert_eq!(old.join(&new), new);
        assert!(new.is_after(&old) && !old.is_after(&new) && !new.is_after(&new));
        let other = old.raised_by(KsIndex::new(4).unwrap());
        assert!(!new.is_after(&other) && !other.is_after(&new));
    }

    #[test]
    fn rank_does_not_depend_on_order_or_repetition() {
        let a = Ipv4Addr::new(10, 1, 11, 2);
        let b = Ipv4Addr::new(10, 1, 12, 2);
        assert_eq!(KsIndex::rank_of(b, &[b, a, a]), KsIndex::new(1));
        assert_eq!(KsIndex::rank_of(b, &[a]), None);
    }
}

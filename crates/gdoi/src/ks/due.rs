//! What of the rekeys on their way became due: datagrams that leave, and what their end says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy::{KekSpi, PeerKind};

use super::outstanding::{Content, Push, Target};

/// A datagram that is to leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// To whom: a member, or a multicast address.
    pub(crate) member: Ipv4Addr,
    /// The members behind the multicast address.
    pub(crate) audience: Vec<Ipv4Addr>,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// Whether it was sent before.
    pub(crate) copy: bool,
    /// The datagram.
    pub(crate) bytes: Vec<u8>,
}

/// A new Rekey SA that was told, and nobody says who has it.
pub(crate) struct Told {
    /// Under which other one.
    pub(crate) under: KekSpi,
    /// Which.
    pub(crate) new: KekSpi,
    /// To whom.
    pub(crate) members: Vec<Ipv4Addr>,
}

/// What is to be told in a new PUSH, because members do not take the one before any more (PROTOCOL P8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anew {
    /// The kind of the members.
    pub(crate) kind: PeerKind,
    /// Where nobody says who holds which Rekey SA: under which one it was, for those that hold it.
    pub(crate) under: Option<KekSpi>,
    /// What it is about.
    pub(crate) content: Content,
}

/// What became due.
#[derive(Default)]
pub(crate) struct Due {
    /// Datagrams that leave.
    pub(crate) departures: Vec<Departure>,
    /// Members that did not acknowledge any copy, and the Rekey SA that it was under.
    pub(crate) missed: Vec<(Ipv4Addr, KekSpi)>,
    /// Members that did not acknowledge a multicast rekey, of which they perhaps saw no copy, and
    /// the Rekey SA that it was under.
    pub(crate) silent: Vec<(Ipv4Addr, KekSpi)>,
    /// New Rekey SAs that were told to members which are not asked whether they have them.
    pub(crate) told: Vec<Told>,
    /// Members that were called by multicast to register again, and are not asked whether they
    /// heard it.
    pub(crate) called: Vec<Ipv4Addr>,
    /// New PUSHes, and for whom.
    pub(crate) again: Vec<(Anew, Vec<Ipv4Addr>)>,
    /// What was tried before of some of those, which counts on.
    pub(crate) tried: BTreeMap<(Ipv4Addr, Anew), Target>,
    /// Datagrams that are also repeated by other key servers.
    pub(crate) handed: Vec<(Departure, KekSpi)>,
    /// Rekeys that are over, and the kind of their members.
    pub(crate) over: Vec<(PeerKind, Content)>,
}

impl Due {
    /// A member needs what that PUSH is about in a new one.
    pub(super) fn anew(&mut self, push: &Push, member: Ipv4Addr) {
        let anew = push.anew();
        match self.again.iter_mut().find(|(own, _)| *own == anew) {
            Some((_, members)) => members.push(member),
            None => self.again.push((anew, vec![member])),
        }
    }
}

//! The ways to the peers: phase 1, what is due, what never came.
//!
//! Decides when a peer is tried, reached and lost.

use std::net::SocketAddrV4;

use ::policy::{KsIndex, Time};
use event::Gdoi;

use super::peer::Link;
use super::view::Role;
use crate::context::Context;
use crate::ike::{Connection, SaId};
use crate::ks::KeyServer;
use crate::limits::{ANNOUNCE_PERIOD, PEER_RETRY};

impl KeyServer {
    fn coop_local(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.config.address, 848)
    }

    /// Time has passed: ways are tried, announcements leave, who is silent is lost.
    pub(in crate::ks) fn coop_tick(&mut self, cx: &mut Context<'_>) {
        if self.coop.is_alone() || !super::takes_part(&self.serving) {
            return;
        }
        if self.coop.next_announcement <= cx.now {
            self.coop.next_announcement = cx.now + ANNOUNCE_PERIOD;
            self.coop.hasten(cx.now);
        }
        let indexes: Vec<KsIndex> = self.coop.peers.keys().copied().collect();
        for index in indexes {
            let Some(peer) = self.coop.peers.get(&index) else {
                continue;
            };
            if peer.silent_at().is_some_and(|at| at <= cx.now) {
                self.lose(cx, index);
            }
            self.connect_peer(cx, index);
            self.announce(cx, index);
        }
        self.evaluate(cx);
    }

    /// When `coop_tick` has something to do.
    pub(in crate::ks) fn coop_deadline(&self) -> Option<Time> {
        if self.coop.is_alone() || !super::takes_part(&self.serving) {
            return None;
        }
        let peers = self.coop.peers.values().flat_map(|peer| {
            let link = match peer.link {
                Link::Down { retry } => Some(retry),
                Link::Connecting(_) => None,
                Link::Up(_) if peer.outstanding.is_some() => None,
                Link::Up(_) => Some(peer.due),
            };
            [link, peer.silent_at()].into_iter().flatten()
        });
        let waiting = self
            .coop
            .waiting_since
            .map(|at| at + self.replication_wait());
        peers
            .chain([self.coop.next_announcement])
            .chain(self.coop.decide_at)
            .chain(waiting)
            .min()
    }

    fn connect_peer(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        let local = self.coop_local();
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        let due = matches!(peer.link, Link::Down { retry } if retry <= cx.now);
        if !due {
            return;
        }
        #[cfg(feature = "model")]
        if cx.decoded {
            return super::model::connect(cx, peer);
        }
        match cx
            .isakmp
            .connect(cx.now, local, peer.socket(), cx.rng, cx.out)
        {
            Connection::Established(sa) => {
                peer.link = Link::Up(sa);
                peer.due = cx.now;
                cx.isakmp.watch(sa);
            }
            Connection::Pending(sa) => peer.link = Link::Connecting(sa),
            Connection::Refused(_) => self.unreached(cx, index),
        }
    }

    /// A phase-1 SA was established; it may be with a peer, whoever began it.
    pub(crate) fn coop_established(&mut self, cx: &mut Context<'_>, sa: SaId) {
        let Some(ends) = cx
            .isakmp
            .sa(sa)
            .map(|sa| (*sa.peer().ip(), *sa.local().ip()))
        else {
            return;
        };
        if ends.1 != self.config.address {
            return;
        }
        let Some(peer) = self.coop.peer_at(ends.0) else {
            return;
        };
        if peer.sa().is_none() {
            peer.link = Link::Up(sa);
            peer.due = cx.now;
            cx.isakmp.watch(sa);
            self.coop_tick(cx);
        }
    }

    /// A negotiation ended without an SA.
    pub(crate) fn coop_failed(&mut self, cx: &mut Context<'_>, sa: SaId) {
        let own = |link: Link| link == Link::Connecting(sa);
        let peer = self.coop.peers.values().find(|peer| own(peer.link));
        if let Some(index) = peer.map(|peer| peer.index) {
            self.unreached(cx, index);
            self.coop_tick(cx);
        }
    }

    /// The way to a peer was tried in vain.
    pub(super) fn unreached(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.link = Link::Down {
                retry: cx.now + PEER_RETRY,
            };
            peer.tried = true;
        }
        self.lose(cx, index);
    }

    /// An SA is gone. With `dead` the peer answered no more.
    pub(crate) fn coop_deleted(&mut self, cx: &mut Context<'_>, sa: SaId, dead: bool) {
        let held = self.coop.peers.values().find(|peer| peer.sa() == Some(sa));
        let Some(index) = held.map(|peer| peer.index) else {
            return;
        };
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.link = Link::Down { retry: cx.now };
            peer.outstanding = None;
        }
        if dead {
            self.lose(cx, index);
        }
        self.coop_tick(cx);
    }

    /// An announcement was never answered: most likely the peer has restarted and does not know the
    /// SA. A new one is negotiated.
    pub(crate) fn coop_timeout(&mut self, cx: &mut Context<'_>, sa: SaId, message_id: u32) {
        let exchange = (sa, message_id);
        let waits = |peer: &&super::Peer| {
            peer.outstanding
                .is_some_and(|outstanding| outstanding.exchange == exchange)
        };
        let Some(index) = self.coop.peers.values().find(waits).map(|peer| peer.index) else {
            return;
        };
        cx.isakmp.delete(cx.now, sa, cx.rng, cx.out);
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.counters.sent_drops += 1;
            peer.outstanding = None;
            peer.link = Link::Down { retry: cx.now };
        }
        self.coop_tick(cx);
    }

    /// A peer is no longer reachable.
    pub(super) fn lose(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        let was_primary = peer.role() == Some(Role::Primary);
        let was_alive = std::mem::take(&mut peer.alive);
        peer.lagging = false;
        peer.both_ways = None;
        // Who was heard a moment ago need not be waited for.
        peer.tried |= was_alive;
        if was_alive {
            peer.flapped(cx.now);
        }
        if was_alive || !peer.lost {
            peer.lost = true;
            cx.out.report(Gdoi::COOP_KS_UNREACH {
                ks: peer.address,
                group: self.config.group.clone(),
            });
        }
        if was_alive {
            // The others learn at once that this one does not hear it any more.
            self.coop.hasten(cx.now);
        }
        if was_primary {
            self.evaluate(cx);
        }
    }
}

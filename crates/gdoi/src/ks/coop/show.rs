//! Cooperation as plain values.

use std::time::Duration;

use ::policy::Time;

use super::peer::Link;
use super::view::{CoopView, PeerView};
use super::{Key, Peer};
use crate::ks::KeyServer;
use crate::limits::{ANNOUNCE_PERIOD, PRIMARY_REPORTED};

impl KeyServer {
    /// Cooperation as it is at `at`; `None` when the group has this key server only. `handles` are
    /// those of the key servers, in the order in which they are configured.
    pub(in crate::ks) fn coop_view(
        &self,
        at: Time,
        handles: &[(std::net::Ipv4Addr, u32)],
    ) -> Option<CoopView> {
        let coop = &self.coop;
        if coop.is_alone() {
            return None;
        }
        let now = self.clock.at(at);
        let ahead = self
            .keys
            .alive(now)
            .filter(|record| record.tek.activation > now);
        let acknowledged: Vec<_> = ahead
            .take_while(|record| coop.is_replicated(&Key::Tek(record.tek.spi)))
            .collect();
        let running = self.keys.running(now).map(|record| record.tek.expiry);
        let last = acknowledged.last().map(|record| record.tek.expiry);
        Some(CoopView {
            role: coop.role,
            index: coop.own,
            term: coop.row.term,
            generation: self.keys.generation,
            primary: self.primary_address(),
            complete: coop.complete,
            refresh: ANNOUNCE_PERIOD,
            remaining: at.until(coop.next_announcement),
            primary_timeout: PRIMARY_REPORTED,
            sequence: coop.sequence,
            blocking: self.waits(at).is_some(),
            look_ahead: self.config.look_ahead,
            acknowledged_periods: acknowledged.len(),
            horizon: last.or(running).map_or(Duration::ZERO, |at| at.since(now)),
            peers: coop
                .peers
                .values()
                .map(|peer| {
                    let handle = handles.iter().find(|(address, _)| *address == peer.address);
                    self.peer_view(at, peer, handle.map_or(0, |(_, handle)| *handle))
                })
                .collect(),
        })
    }

    fn peer_view(&self, at: Time, peer: &Peer, handle: u32) -> PeerView {
        let said = peer.said.as_ref();
        let unknown = |key: &&Key| !self.coop.log.is_from(key, peer.index);
        let changes = self.coop.log.after(peer.acked).map(|(_, key)| key);
        PeerView {
            handle,
            address: peer.address,
            index: peer.index,
            version: said.map(|said| said.version.to_string()),
            priority: said.map(|said| said.priority),
            role: said.map(|said| said.role),
            alive: peer.alive,
            lagging: peer.lagging,
            heard_ago: peer.heard.map(|heard| at.since(heard)),
            sequence: peer.sequence,
            ike_established: matches!(peer.link, Link::Up(_)),
            backlog: changes.filter(unknown).count(),
            counters: peer.counters,
            differences: peer.differences.clone(),
        }
    }
}

//! Rekeys by multicast: which addresses a member hears, and when it acknowledges.
//!
//! Decides nothing about what is believed of a rekey; it is the same whatever way it came.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{KekSpi, RekeyTransport, Time};
use event::{Gdoi, Step};

use super::Member;
use super::held::Held;
use crate::context::Context;
use crate::limits::{MULTICAST_ACK_JITTER, MULTICAST_ACKS_MAX};
use crate::machine::Output;
use crate::rekey_sa::random_below;

/// An acknowledgement as it leaves, perhaps several times.
#[derive(Clone)]
pub(super) struct Acknowledgement {
    /// The Rekey SA.
    pub(super) kek: KekSpi,
    /// The number of the rekey.
    pub(super) seq: u32,
    pub(super) bytes: Vec<u8>,
}

/// An acknowledgement that waits for its moment.
#[derive(Clone)]
pub(super) struct DelayedAck {
    leaves: Time,
    peer: SocketAddrV4,
    ack: Acknowledgement,
}

impl DelayedAck {
    /// When it leaves.
    pub(super) const fn leaves(&self) -> Time {
        self.leaves
    }
}

impl Member {
    /// The multicast addresses that rekeys of this group may come to.
    pub(crate) fn rekey_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.held.iter().flat_map(|held| held.keks.destinations())
    }

    /// Whether rekeys of this group may come to a local address.
    pub(crate) fn hears(&self, local: Ipv4Addr) -> bool {
        self.config.address == local || self.rekey_addresses().any(|own| own == local)
    }

    /// How the next rekey comes.
    pub(super) fn transport(&self) -> RekeyTransport {
        let next = self.held.as_ref().and_then(|held| held.keks.next());
        match next.and_then(|kek| kek.destination) {
            None => RekeyTransport::Unicast,
            Some(_) => RekeyTransport::Multicast,
        }
    }

    /// Says how rekeys come from now on, if that is news. Call it before the Rekey SA is held.
    pub(super) fn report_transport(&self, cx: &mut Context<'_>, destination: Option<Ipv4Addr>) {
        let next = self.held.as_ref().and_then(|held| held.keks.next());
        let before = next.map(|kek| kek.destination.is_some());
        if before == Some(destination.is_some()) {
            return;
        }
        let group = self.config.group.clone();
        match destination {
            None => cx.out.report(Gdoi::GM_REKEY_TRANS_2_UNI { group }),
            Some(_) => cx.out.report(Gdoi::GM_REKEY_TRANS_2_MULTI { group }),
        }
    }

    /// Acknowledges a rekey that came to `local`: at once, or, when every member got it at the same
    /// moment, at a random one. Says when.
    //= RFC 8263 6
    //# A GM MUST NOT delay
    //# sending an Acknowledgement Message for more than 5 seconds.
    pub(super) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        ack: Acknowledgement,
    ) -> Time {
        if !local.ip().is_multicast() {
            self.send_ack(cx, local, peer, ack);
            return cx.now;
        }
        let schedule = self.held.as_ref().map(Held::schedule);
        let span = schedule.map_or(MULTICAST_ACK_JITTER, |schedule| {
            schedule.scaled(MULTICAST_ACK_JITTER)
        });
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let leaves = cx.now + Duration::from_millis(random_below(cx.rng, span_ms));
        if self.pushes.acks.len() == MULTICAST_ACKS_MAX {
            self.pushes.acks.pop_front();
        }
        self.pushes.acks.push_back(DelayedAck { leaves, peer, ack });
        leaves
    }

    /// Sends the acknowledgements whose moment has come.
    pub(super) fn send_acks(&mut self, cx: &mut Context<'_>) {
        let local = self.local();
        let waiting = std::mem::take(&mut self.pushes.acks);
        for delayed in waiting {
            if delayed.leaves > cx.now {
                self.pushes.acks.push_back(delayed);
                continue;
            }
            self.send_ack(cx, local, delayed.peer, delayed.ack);
        }
    }

    fn send_ack(
        &mut self,
        cx: &mut Context<'_>,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        ack: Acknowledgement,
    ) {
        let Acknowledgement { seq, bytes, .. } = ack;
        self.counters.acks += 1;
        cx.out.push(Output::Transmit { local, peer, bytes });
        // The addresses are the rekey's, as the guide's lines have them.
        cx.out.report(Step::ACK_SENT {
            from: *peer.ip(),
            to: *local.ip(),
            seq,
            group: self.config.group.clone(),
        });
    }
}

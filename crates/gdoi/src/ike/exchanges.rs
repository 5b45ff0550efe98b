//! What those above do with SAs: begin exchanges, answer, end them.

use std::time::Duration;

use crypto::Rng;
use policy::Time;
use wire::iana::{ExchangeType, NotifyType, PayloadType};

use super::api::{Expect, SaId, SendError, Upcall};
use super::engine::{Entry, Isakmp};
use super::informational;
use super::refusal::Failure;
use crate::limits::{WATCHED_RETRY, WATCHED_SENDINGS_MAX, WATCHED_SILENCE};
use crate::machine::Outbox;

impl Isakmp {
    /// Begins an exchange under an established SA: the message id for `send`.
    ///
    /// # Errors
    /// No such SA, or no room in it.
    pub fn open(
        &mut self,
        now: Time,
        sa: SaId,
        exchange: ExchangeType,
        rng: &mut dyn Rng,
    ) -> Result<u32, SendError> {
        let message_id = self
            .sa_mut(sa)
            .ok_or(SendError::NoSa)?
            .open_exchange(now, exchange, rng)?;
        self.reschedule(sa);
        Ok(message_id)
    }

    /// Sends the next message of an exchange: `payloads`, the first of which is a `first`, without
    /// HASH, which is computed and put before them.
    ///
    /// # Errors
    /// No such SA or exchange, payloads that are not legal there, or too many octets.
    pub fn send(
        &mut self,
        now: Time,
        sa: SaId,
        message_id: u32,
        (first, payloads): (PayloadType, &[u8]),
        expect: Expect,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let entry = self.sa_mut(sa).ok_or(SendError::NoSa)?;
        let datagrams = entry.send(now, message_id, (first, payloads), expect)?;
        let (local, peer) = (entry.local, entry.peer);
        self.transmit(local, peer, datagrams, out);
        self.reschedule(sa);
        Ok(())
    }

    /// Those above are done with an exchange: it waits for nothing any more, and only answers
    /// repeats for a while.
    pub fn finish(&mut self, sa: SaId, message_id: u32) {
        if let Some(entry) = self.sa_mut(sa) {
            entry.finish(message_id);
            self.reschedule(sa);
        }
    }

    /// The peer proved to be a getvpn (PROTOCOL P2): long messages to it leave in parts.
    pub fn mark_kin(&mut self, sa: SaId) {
        if let Some(entry) = self.sa_mut(sa) {
            entry.kin = true;
        }
    }

    /// How long a watched peer may be silent before it is dead; `None` without keepalives.
    #[must_use]
    pub fn watched_silence_max(&self) -> Option<Duration> {
        let keepalive = Duration::from_secs(self.config.keepalive_s.into());
        let asked = WATCHED_RETRY * WATCHED_SENDINGS_MAX;
        (!keepalive.is_zero()).then(|| keepalive.min(WATCHED_SILENCE) + asked)
    }

    /// The peer is another key server: with `crypto isakmp keepalive` its death is noticed within
    /// seconds.
    pub fn watch(&mut self, sa: SaId) {
        if let Some(entry) = self.sa_mut(sa) {
            entry.dpd.watch();
            self.reschedule(sa);
        }
    }

    /// Notifies the peer under the SA; nothing answers that.
    ///
    /// # Errors
    /// No such SA, or its message ids are used up.
    pub fn notify(
        &mut self,
        sa: SaId,
        notify: NotifyType,
        data: &[u8],
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let entry = self.sa_mut(sa).ok_or(SendError::NoSa)?;
        let bytes = informational::notify(entry, notify, data, rng)?;
        let (local, peer) = (entry.local, entry.peer);
        self.transmit(local, peer, [bytes], out);
        Ok(())
    }

    /// Ends an SA from here and tells the peer; a negotiation just ends. Groups share an SA: all of
    /// them hear of it by an upcall.
    pub fn delete(&mut self, now: Time, sa: SaId, rng: &mut dyn Rng, out: &mut Outbox) {
        match self.entries.get_mut(&sa) {
            Some(Entry::Established(entry)) => {
                let (local, peer) = (entry.local, entry.peer);
                if let Ok(bytes) = informational::delete(entry, rng) {
                    self.transmit(local, peer, [bytes], out);
                }
                self.raise(Upcall::Deleted(sa));
            }
            Some(Entry::Negotiation(negotiation)) => {
                let peer = *negotiation.common.peer.ip();
                let reason = Failure::Cancelled;
                if negotiation.state.is_initiator() {
                    self.reports.failed(now, peer, reason);
                }
                self.raise(Upcall::Failed { sa, reason });
            }
            None => {}
        }
        self.remove(sa);
    }
}

//! Negotiations in the table of SAs: begun, moved on, established, given up.
//!
//! Decides who may begin one and when it becomes an SA; what its messages say is `main_mode`'s.

use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::Rng;
use event::Crypto;
use policy::Time;
use wire::iana::NotifyType;
use wire::isakmp::Flags;

use super::api::{Connection, SaId, Upcall};
use super::engine::{CONN_ID_FIRST, Entry, Isakmp};
use super::half_open::Place;
use super::informational;
use super::main_mode::{self, Context, Message, Proven, Step};
use super::refusal::{Failure, Refusal};
use super::sa::Sa;
use crate::limits::{INITIATED_MAX, SAS_MAX, SAS_PER_PEER_MAX};
use crate::machine::Outbox;

impl Isakmp {
    /// Message 1 of main mode.
    pub(super) fn first_message(
        &mut self,
        now: Time,
        (local, peer): (SocketAddrV4, SocketAddrV4),
        message: Message<'_>,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let key = (peer, message.header.initiator_cookie);
        if message.header.initiator_cookie == [0; 8] {
            return Err(Refusal::NoSa);
        }
        if message.header.message_id != 0 {
            return Err(Refusal::MessageId(message.header.message_id));
        }
        if let Some(id) = self.by_message_1.get(&key).copied() {
            return self.negotiate(now, id, message, rng, out);
        }
        self.reports.counters.admission.incoming += 1;
        if self.entries.len() >= SAS_MAX {
            return Err(Refusal::HalfOpenFull);
        }
        self.admits(*peer.ip())?;
        let mut random = [0; 4];
        rng.fill(&mut random);
        let id = SaId(self.next_id);
        let mut ctx = Context {
            now,
            config: &self.config,
            preshared: &self.preshared,
            rng,
            keylog: self.keylog,
            out: &mut *out,
        };
        let (negotiation, bytes) = main_mode::answer(&mut ctx, id, local, peer, message)?;
        match self.half_open.place(*peer.ip(), u32::from_be_bytes(random)) {
            Place::Free => {}
            Place::Of(victim) => {
                self.reports.counters.half_open_dropped += 1;
                self.remove(victim);
            }
            Place::None => return Err(Refusal::HalfOpenFull),
        }
        self.next_id += 1;
        self.reports.counters.admission.incoming_accepted += 1;
        self.half_open.waits(*peer.ip(), id);
        self.by_message_1.insert(key, id);
        self.by_cookie
            .insert(negotiation.common.responder_cookie, id);
        self.entries
            .insert(id, Entry::Negotiation(Box::new(negotiation)));
        self.reschedule(id);
        self.transmit(local, peer, [bytes], out);
        Ok(())
    }

    /// A message of main mode for a negotiation.
    pub(super) fn negotiate(
        &mut self,
        now: Time,
        id: SaId,
        message: Message<'_>,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let Some(Entry::Negotiation(negotiation)) = self.entries.get(&id) else {
            return self.message_1_again(id, message, out);
        };
        let (local, peer) = (negotiation.common.local, negotiation.common.peer);
        let awaits = negotiation.state.awaits();
        if awaits == 3 && message.header.responder_cookie != [0; 8] {
            if !self.half_open.may_key(*peer.ip()) {
                return Err(Refusal::HalfOpenFull);
            }
            self.admits_key(*peer.ip())?;
        }
        let Some(Entry::Negotiation(negotiation)) = self.entries.remove(&id) else {
            return Err(Refusal::NoSa);
        };
        let mut ctx = Context {
            now,
            config: &self.config,
            preshared: &self.preshared,
            rng,
            keylog: self.keylog,
            out: &mut *out,
        };
        match negotiation.handle(&mut ctx, message) {
            Step::Stay(negotiation, refusal) => {
                self.entries.insert(id, Entry::Negotiation(negotiation));
                Err(refusal)
            }
            Step::Repeat(negotiation, datagrams) => {
                self.entries.insert(id, Entry::Negotiation(negotiation));
                self.reports.counters.duplicates += 1;
                self.transmit(local, peer, datagrams, out);
                Ok(())
            }
            Step::Next(negotiation, bytes) => {
                if awaits == 3 {
                    self.half_open.keyed(*peer.ip(), id);
                }
                self.entries.insert(id, Entry::Negotiation(negotiation));
                self.transmit(local, peer, [bytes], out);
                Ok(())
            }
            Step::Done(proven, bytes) => {
                self.transmit(local, peer, bytes, out);
                self.establish(now, *proven, rng, out);
                Ok(())
            }
        }
    }

    /// Message 1 of an SA that is established already: a late copy.
    fn message_1_again(
        &mut self,
        id: SaId,
        message: Message<'_>,
        _: &mut Outbox,
    ) -> Result<(), Refusal> {
        if self.entries.contains_key(&id) {
            self.reports.counters.duplicates += 1;
            return Ok(());
        }
        Err(Refusal::MessageId(message.header.message_id))
    }

    fn establish(&mut self, now: Time, proven: Proven, rng: &mut dyn Rng, out: &mut Outbox) {
        let (id, peer) = (proven.common.id, *proven.common.peer.ip());
        let (began, initial_contact) = (proven.common.began, proven.initial_contact);
        if proven.initiator {
            self.initiated -= 1;
        } else {
            self.half_open.ends(peer, id);
            self.by_peer.entry(peer).or_default().push(id);
        }
        let sa = Sa::new(now, self.next_conn_id, proven);
        self.next_conn_id = self.next_conn_id.checked_add(1).unwrap_or(CONN_ID_FIRST);
        self.entries.insert(id, Entry::Established(Box::new(sa)));
        self.reports.counters.established += 1;
        out.report(event::Step::IKE_SA_UP { peer });
        let others = self
            .established_with(peer)
            .into_iter()
            .filter(|other| *other != id);
        let mut others: Vec<SaId> = others.collect();
        if initial_contact {
            // Those of before this negotiation: what the peer began meanwhile, it still has.
            let is_older = |other: &SaId| self.sa(*other).is_some_and(|sa| sa.established < began);
            let (gone, kept) = others.into_iter().partition(is_older);
            others = kept;
            self.drop_all(gone);
        }
        while others.len() >= SAS_PER_PEER_MAX {
            let oldest = others.remove(0);
            self.delete(now, oldest, rng, out);
        }
        self.upcalls.push_back(Upcall::Established(id));
        self.reschedule(id);
    }

    /// The peer says that it holds no SA with us but this one, and those it made after it.
    pub(super) fn drop_older_than(&mut self, id: SaId) {
        let Some((peer, established)) = self.sa(id).map(|sa| (*sa.peer.ip(), sa.established))
        else {
            return;
        };
        let is_older = |other: &SaId| {
            self.sa(*other)
                .is_some_and(|sa| sa.established < established)
        };
        let gone = self
            .established_with(peer)
            .into_iter()
            .filter(is_older)
            .collect();
        self.drop_all(gone);
    }

    pub(super) fn raise(&mut self, upcall: Upcall) {
        self.upcalls.push_back(upcall);
    }

    pub(super) fn drop_all(&mut self, ids: Vec<SaId>) {
        for id in ids {
            self.remove(id);
            self.upcalls.push_back(Upcall::Deleted(id));
        }
    }

    pub(super) fn established_with(&self, peer: Ipv4Addr) -> Vec<SaId> {
        let ids = self.by_peer.get(&peer).map_or(&[][..], Vec::as_slice);
        ids.iter()
            .copied()
            .filter(|id| self.sa(*id).is_some())
            .collect()
    }

    /// Finds the SA with a peer, or begins to negotiate one.
    pub fn connect(
        &mut self,
        now: Time,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Connection {
        let ids = self.by_peer.get(peer.ip()).map_or(&[][..], Vec::as_slice);
        let mut pending = None;
        for id in ids.iter().rev() {
            match self.entries.get(id) {
                Some(Entry::Established(sa))
                    if sa.local == local && sa.peer == peer && sa.is_usable(now) =>
                {
                    return Connection::Established(*id);
                }
                Some(Entry::Negotiation(negotiation))
                    if negotiation.common.local == local && negotiation.common.peer == peer =>
                {
                    pending = Some(*id);
                }
                Some(Entry::Established(_) | Entry::Negotiation(_)) | None => {}
            }
        }
        if let Some(id) = pending {
            return Connection::Pending(id);
        }
        match self.begin(now, local, peer, rng, out) {
            Ok(id) => Connection::Pending(id),
            Err(failure) => {
                self.report_failure(now, *peer.ip(), failure, out);
                Connection::Refused(failure)
            }
        }
    }

    fn begin(
        &mut self,
        now: Time,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<SaId, Failure> {
        self.reports.counters.admission.outgoing += 1;
        if self.initiated >= INITIATED_MAX || self.entries.len() >= SAS_MAX {
            return Err(Failure::TooMany);
        }
        let id = SaId(self.next_id);
        let first_contact = self.established_with(*peer.ip()).is_empty();
        let mut ctx = Context {
            now,
            config: &self.config,
            preshared: &self.preshared,
            rng,
            keylog: self.keylog,
            out: &mut *out,
        };
        let (negotiation, bytes) = main_mode::begin(&mut ctx, id, local, peer, first_contact)?;
        self.next_id += 1;
        self.initiated += 1;
        self.reports.counters.admission.outgoing_accepted += 1;
        self.by_cookie
            .insert(negotiation.common.initiator_cookie, id);
        self.by_peer.entry(*peer.ip()).or_default().push(id);
        self.entries
            .insert(id, Entry::Negotiation(Box::new(negotiation)));
        self.reschedule(id);
        self.transmit(local, peer, [bytes], out);
        Ok(id)
    }

    #[track_caller]
    pub(super) fn report_failure(
        &mut self,
        now: Time,
        peer: Ipv4Addr,
        failure: Failure,
        out: &mut Outbox,
    ) {
        self.reports.failed(now, peer, failure);
        out.report(match failure {
            Failure::NoPresharedKey => Crypto::IKMP_NO_PRESHARED_KEY { peer: peer.into() },
            Failure::NoPolicy
            | Failure::TooMany
            | Failure::NoAnswer { .. }
            | Failure::Cancelled => Crypto::IKMP_NO_ANSWER {
                peer: peer.into(),
                reason: failure.to_string(),
            },
        });
        out.report(Crypto::IKMP_MODE_FAILURE {
            mode: "Main".to_owned(),
            peer: peer.into(),
        });
    }

    /// Somebody notifies in clear: perhaps the peer, perhaps not, so it is only remembered, or makes
    /// us wait less for who does not answer anyway.
    pub(super) fn clear_informational(
        &mut self,
        now: Time,
        id: SaId,
        message: Message<'_>,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let encrypted = message.header.flags.contains(Flags::ENCRYPTION);
        let Some(entry) = self.entries.get_mut(&id) else {
            return Err(Refusal::NoSa);
        };
        if encrypted {
            // Under keys that nothing has proven yet: a peer with another pre-shared key.
            return Err(Refusal::Undecryptable { first: true });
        }
        let notifies = informational::clear_notifies(message)?;
        self.reports.counters.clear_notifies += 1;
        let peer = match entry {
            Entry::Negotiation(negotiation) => {
                let common = &mut negotiation.common;
                let error = notifies.iter().copied().find(|notify| notify.is_error());
                common.hint = error.or(common.hint);
                *common.peer.ip()
            }
            Entry::Established(sa) => {
                if notifies.contains(&NotifyType::INVALID_COOKIE) {
                    sa.hasten(now);
                }
                *sa.peer.ip()
            }
        };
        for notify in notifies {
            if self.reports.notified(now, peer, notify) {
                out.report(Crypto::IKMP_PEER_NOTIFY {
                    peer: peer.into(),
                    notify: notify.to_string(),
                    protection: "in clear, not believed".to_owned(),
                });
            }
        }
        Ok(())
    }
}

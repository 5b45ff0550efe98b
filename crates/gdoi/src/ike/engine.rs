//! The table of SAs: which one a datagram belongs to, what it leads to, what time leads to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crypto::Rng;
use event::Crypto;
use policy::Time;
use wire::iana::ExchangeType;
use wire::isakmp::{Flags, Header};

use super::api::{SaId, Upcall};
use super::half_open::HalfOpen;
use super::informational;
use super::keys::Cookie;
use super::main_mode::{Message, Negotiation, State};
use super::preshared::PresharedKeys;
use super::refusal::{Failure, Refusal};
use super::report::{Counters, Reports};
use super::retransmit::Due;
use super::sa::{Received, Sa};
use super::view::{Row, SaState, View};
use crate::config;
use crate::exchange::message_at;
use crate::machine::{Outbox, Output};

/// The first conn-id, as IOS numbers them.
pub(super) const CONN_ID_FIRST: u32 = 1_001;

/// One SA, established or not.
pub(super) enum Entry {
    Negotiation(Box<Negotiation>),
    Established(Box<Sa>),
}

/// The ISAKMP engine of one box.
pub struct Isakmp {
    pub(super) config: Arc<config::Isakmp>,
    pub(super) preshared: PresharedKeys,
    pub(super) keylog: bool,
    pub(super) entries: BTreeMap<SaId, Entry>,
    /// By the cookie that is ours, which we chose to be unique.
    pub(super) by_cookie: BTreeMap<Cookie, SaId>,
    /// Negotiations that peers began, by peer and its cookie.
    pub(super) by_message_1: BTreeMap<(SocketAddrV4, Cookie), SaId>,
    /// Established SAs and negotiations of ours, oldest first.
    pub(super) by_peer: BTreeMap<Ipv4Addr, Vec<SaId>>,
    pub(super) half_open: HalfOpen,
    pub(super) initiated: usize,
    schedule: Schedule,
    pub(super) upcalls: VecDeque<Upcall>,
    pub(super) reports: Reports,
    pub(super) next_id: u64,
    pub(super) next_conn_id: u32,
}

/// When each SA needs attention.
#[derive(Default)]
struct Schedule {
    by_time: BTreeSet<(Time, SaId)>,
    of: BTreeMap<SaId, Time>,
}

impl Schedule {
    fn set(&mut self, id: SaId, at: Option<Time>) {
        let before = match at {
            Some(at) => self.of.insert(id, at),
            None => self.of.remove(&id),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, id));
        }
        if let Some(at) = at {
            self.by_time.insert((at, id));
        }
    }

    fn first(&self) -> Option<(Time, SaId)> {
        self.by_time.first().copied()
    }
}

impl Isakmp {
    /// An engine without configuration, which refuses everybody. With `keylog` it tells cipher
    /// keys to the outbox.
    #[must_use]
    pub fn new(keylog: bool) -> Self {
        Self {
            config: Arc::default(),
            preshared: PresharedKeys::default(),
            keylog,
            entries: BTreeMap::new(),
            by_cookie: BTreeMap::new(),
            by_message_1: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            half_open: HalfOpen::default(),
            initiated: 0,
            schedule: Schedule::default(),
            upcalls: VecDeque::new(),
            reports: Reports::default(),
            next_id: 1,
            next_conn_id: CONN_ID_FIRST,
        }
    }

    /// Uses another configuration from now on; SAs stay as they are.
    pub fn configure(&mut self, config: Arc<config::Isakmp>) {
        self.preshared = PresharedKeys::new(&config.keys);
        self.config = config;
        let ids: Vec<SaId> = self.entries.keys().copied().collect();
        for id in ids {
            self.reschedule(id);
        }
    }

    /// What happened that those above must know, oldest first. To be asked until there is nothing
    /// after every call that takes an outbox.
    pub fn upcall(&mut self) -> Option<Upcall> {
        self.upcalls.pop_front()
    }

    /// An established SA.
    #[must_use]
    pub fn sa(&self, id: SaId) -> Option<&Sa> {
        match self.entries.get(&id)? {
            Entry::Established(sa) => Some(sa),
            Entry::Negotiation(_) => None,
        }
    }

    pub(super) fn sa_mut(&mut self, id: SaId) -> Option<&mut Sa> {
        match self.entries.get_mut(&id)? {
            Entry::Established(sa) => Some(sa),
            Entry::Negotiation(_) => None,
        }
    }

    /// When `timer` has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.schedule.first().map(|(at, _)| at)
    }

    /// What was done and refused since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.reports.counters
    }

    /// What `show crypto isakmp sa` is made of.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            rows: self.entries.values().rev().map(row).collect(),
            half_open: self.half_open.len(),
            admission: self.admission(),
            counters: self.reports.counters.clone(),
            strays: Vec::new(),
            ended: self.reports.ended.iter().cloned().collect(),
        }
    }

    // ---------------------------------------------------------------- what comes in

    /// A datagram came to port 848.
    pub fn datagram(
        &mut self,
        now: Time,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        bytes: &[u8],
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) {
        self.reports.counters.received += 1;
        if let Err(refusal) = self.take(now, (local, peer), bytes, rng, out) {
            self.reports.refused(now, *peer.ip(), &refusal, out);
            // A notification that answers a notification could be answered again.
            if let Ok((header, _)) = Header::split(bytes)
                && header.exchange_type != ExchangeType::INFORMATIONAL
                && self.preshared.find(*peer.ip()).is_some()
                && self.reports.may_answer(now, &refusal)
            {
                let bytes = informational::clear_notify(&header, refusal.row().notify);
                self.transmit(local, peer, [bytes], out);
            }
        }
    }

    fn take(
        &mut self,
        now: Time,
        (local, peer): (SocketAddrV4, SocketAddrV4),
        bytes: &[u8],
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let (header, body) = Header::split(bytes).map_err(Refusal::Malformed)?;
        if header.major_version() != 1 {
            return Err(Refusal::Version(header.version));
        }
        let message = Message {
            header,
            body,
            datagram: bytes,
        };
        match header.exchange_type {
            exchange @ (ExchangeType::GROUPKEY_PUSH | ExchangeType::GROUPKEY_PUSH_ACK) => {
                let bytes = bytes.to_vec();
                self.upcalls.push_back(Upcall::Plain {
                    local,
                    peer,
                    exchange,
                    bytes,
                });
                Ok(())
            }
            ExchangeType::AGGRESSIVE => Err(Refusal::AggressiveMode),
            ExchangeType::IDENTITY_PROTECTION if header.responder_cookie == [0; 8] => {
                self.first_message(now, (local, peer), message, rng, out)
            }
            exchange => {
                let id = self.find(&header, (local, peer)).ok_or_else(|| {
                    if is_known(exchange) {
                        Refusal::NoSa
                    } else {
                        unknown(exchange)
                    }
                })?;
                let result = self.message_of(now, id, message, rng, out);
                self.reschedule(id);
                result
            }
        }
    }

    /// The SA whose cookies these are, if it is with that peer.
    fn find(&self, header: &Header, ends: (SocketAddrV4, SocketAddrV4)) -> Option<SaId> {
        // Who has most SAs is a key server, whose own cookie is the responder's.
        [&header.responder_cookie, &header.initiator_cookie]
            .into_iter()
            .filter_map(|cookie| self.by_cookie.get(cookie))
            .find(|id| self.fits(**id, header, ends))
            .copied()
    }

    fn fits(&self, id: SaId, header: &Header, (local, peer): (SocketAddrV4, SocketAddrV4)) -> bool {
        match self.entries.get(&id) {
            None => false,
            Some(Entry::Established(sa)) => {
                sa.peer == peer
                    && sa.local == local
                    && sa.initiator_cookie == header.initiator_cookie
                    && sa.responder_cookie == header.responder_cookie
            }
            Some(Entry::Negotiation(negotiation)) => {
                let common = &negotiation.common;
                // Message 2, and a notification in its place, bring the responder's cookie.
                let responder_fits = common.responder_cookie == header.responder_cookie
                    || matches!(negotiation.state, State::SaSent(_));
                common.peer == peer
                    && common.local == local
                    && common.initiator_cookie == header.initiator_cookie
                    && responder_fits
            }
        }
    }

    /// A message with the cookies of an SA.
    fn message_of(
        &mut self,
        now: Time,
        id: SaId,
        message: Message<'_>,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let exchange = message.header.exchange_type;
        match self.entries.get_mut(&id) {
            None => Err(Refusal::NoSa),
            Some(Entry::Negotiation(_)) => match exchange {
                ExchangeType::IDENTITY_PROTECTION => self.negotiate(now, id, message, rng, out),
                ExchangeType::INFORMATIONAL => self.clear_informational(now, id, message, out),
                _ if is_known(exchange) => Err(Refusal::TooEarly(exchange)),
                _ => Err(unknown(exchange)),
            },
            Some(Entry::Established(sa)) => match exchange {
                ExchangeType::IDENTITY_PROTECTION => {
                    let again = sa.main_mode_again(message)?;
                    let (local, peer) = (sa.local, sa.peer);
                    self.reports.counters.duplicates += 1;
                    self.transmit(local, peer, again, out);
                    Ok(())
                }
                ExchangeType::INFORMATIONAL
                    if !message.header.flags.contains(Flags::ENCRYPTION) =>
                {
                    self.clear_informational(now, id, message, out)
                }
                _ if !is_known(exchange) => Err(unknown(exchange)),
                _ if exchange == ExchangeType::GETVPN_PART => {
                    match sa.receive_part(now, message)? {
                        None => {
                            self.reports.counters.parts += 1;
                            Ok(())
                        }
                        Some(whole) => self.assembled(now, id, message, &whole, rng, out),
                    }
                }
                _ => self.protected(now, id, message, rng, out),
            },
        }
    }

    /// A message that came in parts must be one of the same SA and exchange as its parts.
    fn assembled(
        &mut self,
        now: Time,
        id: SaId,
        part: Message<'_>,
        whole: &[u8],
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let (header, body) = Header::split(whole).map_err(Refusal::Malformed)?;
        if header.cookies() != part.header.cookies()
            || header.message_id != part.header.message_id
            || !is_known(header.exchange_type)
            || header.exchange_type == ExchangeType::GETVPN_PART
        {
            return Err(Refusal::BadPart(
                "the message in it is not one of its exchange",
            ));
        }
        self.protected(
            now,
            id,
            Message {
                header,
                body,
                datagram: whole,
            },
            rng,
            out,
        )
    }

    /// An encrypted message under an established SA.
    fn protected(
        &mut self,
        now: Time,
        id: SaId,
        message: Message<'_>,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        if !message.header.flags.contains(Flags::ENCRYPTION) {
            return Err(Refusal::NotEncrypted);
        }
        let Some(sa) = self.sa_mut(id) else {
            return Err(Refusal::NoSa);
        };
        let exchange = message.header.exchange_type;
        if exchange == ExchangeType::INFORMATIONAL {
            let (first, payloads) = sa.receive_once(message)?;
            let result = self.informational(now, id, (first, &payloads), rng, out);
            if let Some(sa) = self.sa_mut(id) {
                sa.dpd.heard(now);
            }
            return result;
        }
        let (local, peer) = (sa.local, sa.peer);
        match sa.receive(now, message)? {
            Received::Repeat(datagrams) => {
                self.reports.counters.duplicates += 1;
                self.transmit(local, peer, datagrams, out);
            }
            Received::Payloads {
                step,
                first,
                payloads,
            } => {
                let message_id = message.header.message_id;
                let sa = id;
                self.upcalls.push_back(Upcall::Exchange {
                    sa,
                    exchange,
                    message_id,
                    step,
                    first,
                    payloads,
                });
            }
        }
        Ok(())
    }

    // ---------------------------------------------------------------- time

    /// The deadline has passed.
    pub fn timer(&mut self, now: Time, rng: &mut dyn Rng, out: &mut Outbox) {
        while let Some((at, id)) = self.schedule.first()
            && at <= now
        {
            match self.entries.get(&id) {
                Some(Entry::Negotiation(_)) => self.negotiation_timer(now, id, out),
                Some(Entry::Established(_)) => self.sa_timer(now, id, rng, out),
                None => self.schedule.set(id, None),
            }
            self.reschedule(id);
        }
    }

    fn negotiation_timer(&mut self, now: Time, id: SaId, out: &mut Outbox) {
        let Some(Entry::Negotiation(negotiation)) = self.entries.get_mut(&id) else {
            return;
        };
        let (local, peer) = (negotiation.common.local, negotiation.common.peer);
        let message = negotiation.state.awaits() - 1;
        let hint = negotiation.common.hint;
        let Some(pending) = negotiation.state.pending() else {
            if negotiation.common.expires <= now {
                self.reports.counters.half_open_dropped += 1;
                self.remove(id);
            }
            return;
        };
        match pending.due(now) {
            Due::Wait => {}
            Due::Send(datagrams) => {
                let datagrams = datagrams.to_vec();
                self.reports.counters.retransmitted += 1;
                self.transmit(local, peer, datagrams, out);
            }
            Due::GiveUp => {
                let reason = Failure::NoAnswer { message, hint };
                self.remove(id);
                self.report_failure(now, *peer.ip(), reason, out);
                self.upcalls.push_back(Upcall::Failed { sa: id, reason });
            }
        }
    }

    fn sa_timer(&mut self, now: Time, id: SaId, rng: &mut dyn Rng, out: &mut Outbox) {
        let keepalive_s = self.config.keepalive_s;
        let Some(sa) = self.sa_mut(id) else { return };
        let (local, peer) = (sa.local, sa.peer);
        if sa.expires <= now {
            self.delete(now, id, rng, out);
            return;
        }
        sa.assemblies.expire(now);
        let mut over = sa.expire_exchanges(now);
        let mut again = Vec::new();
        let mut unanswered = Vec::new();
        for (message_id, exchange) in &mut sa.exchanges {
            match exchange.pending.as_mut().map(|pending| pending.due(now)) {
                Some(Due::Send(datagrams)) => again.extend(datagrams.to_vec()),
                Some(Due::GiveUp) => unanswered.push(*message_id),
                Some(Due::Wait) | None => {}
            }
        }
        for message_id in &unanswered {
            sa.exchanges.remove(message_id);
        }
        over.extend(unanswered);
        let keepalive = informational::keepalive(sa, now, keepalive_s, rng);
        self.upcalls.extend(
            over.into_iter()
                .map(|message_id| Upcall::Timeout { sa: id, message_id }),
        );
        self.reports.counters.retransmitted += u64::from(!again.is_empty());
        self.transmit(local, peer, again, out);
        match keepalive {
            informational::Keepalive::Nothing => {}
            informational::Keepalive::Spent => {
                self.remove(id);
                self.upcalls.push_back(Upcall::Deleted(id));
            }
            informational::Keepalive::Ask(bytes) => self.transmit(local, peer, [bytes], out),
            informational::Keepalive::Dead { unanswered } => {
                out.report(Crypto::IKMP_PEER_DEAD {
                    peer: (*peer.ip()).into(),
                    unanswered,
                });
                self.remove(id);
                self.upcalls.push_back(Upcall::Dead(id));
            }
        }
    }

    // ---------------------------------------------------------------- the table

    pub(super) fn reschedule(&mut self, id: SaId) {
        let keepalive_s = self.config.keepalive_s;
        let at = self.entries.get_mut(&id).map(|entry| match entry {
            Entry::Established(sa) => sa.deadline(keepalive_s),
            Entry::Negotiation(negotiation) => {
                let expires = negotiation.common.expires;
                negotiation
                    .state
                    .pending()
                    .map_or(expires, |pending| pending.deadline())
            }
        });
        self.schedule.set(id, at);
    }

    /// Ends every SA and negotiation without a word to anybody, and says which they were.
    pub fn forget_all(&mut self) -> Vec<SaId> {
        let all: Vec<SaId> = self.entries.keys().copied().collect();
        for id in &all {
            self.remove(*id);
        }
        all
    }

    /// Takes an SA or a negotiation out of every table.
    pub(super) fn remove(&mut self, id: SaId) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.schedule.set(id, None);
        let (peer, initiator_cookie, responder_cookie, initiator) = match &entry {
            Entry::Established(sa) => (
                sa.peer,
                sa.initiator_cookie,
                sa.responder_cookie,
                sa.initiator,
            ),
            Entry::Negotiation(negotiation) => {
                let common = &negotiation.common;
                let initiator = negotiation.state.is_initiator();
                (
                    common.peer,
                    common.initiator_cookie,
                    common.responder_cookie,
                    initiator,
                )
            }
        };
        let is_negotiation = matches!(entry, Entry::Negotiation(_));
        self.by_cookie.remove(if initiator {
            &initiator_cookie
        } else {
            &responder_cookie
        });
        if initiator {
            self.initiated -= usize::from(is_negotiation);
        } else {
            self.by_message_1.remove(&(peer, initiator_cookie));
            if is_negotiation {
                self.half_open.ends(*peer.ip(), id);
            }
        }
        if let Some(ids) = self.by_peer.get_mut(peer.ip()) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_peer.remove(peer.ip());
            }
        }
    }

    pub(super) fn transmit(
        &mut self,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        datagrams: impl IntoIterator<Item = Vec<u8>>,
        out: &mut Outbox,
    ) {
        for bytes in datagrams {
            self.reports.counters.sent += 1;
            out.push(Output::Transmit { local, peer, bytes });
        }
    }
}

/// Whether this program has the exchange.
fn is_known(exchange: ExchangeType) -> bool {
    exchange == ExchangeType::GETVPN_PART || message_at(exchange, 1).is_ok()
}

const fn unknown(exchange: ExchangeType) -> Refusal {
    Refusal::UnknownExchange(exchange)
}

fn row(entry: &Entry) -> Row {
    match entry {
        Entry::Established(sa) => {
            let (local, peer) = (*sa.local.ip(), *sa.peer.ip());
            Row {
                destination: if sa.initiator { peer } else { local },
                source: if sa.initiator { local } else { peer },
                peer,
                state: SaState::GdoiIdle,
                conn_id: sa.conn_id,
                agreed: Some(sa.agreed),
                expires: Some(sa.expires),
                peer_version: sa.peer_version(),
                kin: sa.kin,
            }
        }
        Entry::Negotiation(negotiation) => {
            let common = &negotiation.common;
            let (local, peer) = (*common.local.ip(), *common.peer.ip());
            let initiator = negotiation.state.is_initiator();
            Row {
                destination: if initiator { peer } else { local },
                source: if initiator { local } else { peer },
                peer,
                state: match negotiation.state {
                    State::SaSent(_) => SaState::MmNoState,
                    State::KeSent(_) | State::SaAnswered(_) => SaState::MmSaSetup,
                    State::AuthSent(_) | State::KeAnswered(_) => SaState::MmKeyExch,
                },
                conn_id: 0,
                agreed: None,
                expires: None,
                peer_version: common.vendor_ids.version(),
                kin: false,
            }
        }
    }
}

//! An established phase-1 SA, and the exchanges that it protects.
//!
//! Every message under it is HASH first, encrypted, with an IV chain of its own exchange. Whatever
//! fails on the way in (blocks, decryption, chain, HASH) leaves the exchange as it was, so nobody
//! on the path can break one. What the payloads mean is for others.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use crypto::{Rng, Secret};
use policy::Time;
use subtle::ConstantTimeEq;
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header, Nonce};
use zeroize::Zeroizing;

use super::api::{Expect, SaId, SendError};
use super::dpd::Dpd;
use super::keys::{Cookie, Keys};
use super::main_mode::{Message, Proven};
use super::message_ids::MessageIds;
use super::parts::{self, Assemblies};
use super::proposal::{Agreed, Domain};
use super::refusal::Refusal;
use super::retransmit::{Answered, Fingerprint, Pending};
use super::vendor::{VendorIds, Version};
use crate::exchange::message_at;
use crate::limits::{
    ANNOUNCEMENTS_PER_SA_MAX, EXCHANGE_LINGER, EXCHANGES_PER_SA_MAX, MESSAGE_OCTETS_MAX,
    SA_REMAINING_MIN,
};

/// An established phase-1 SA.
pub struct Sa {
    pub(super) id: SaId,
    pub(super) conn_id: u32,
    pub(super) local: SocketAddrV4,
    pub(super) peer: SocketAddrV4,
    pub(super) initiator: bool,
    pub(super) initiator_cookie: Cookie,
    pub(super) responder_cookie: Cookie,
    pub(super) domain: Domain,
    pub(super) agreed: Agreed,
    pub(super) vendor_ids: VendorIds,
    pub(super) kin: bool,
    pub(super) established: Time,
    pub(super) expires: Time,
    /// Boxed, since a node of the map has room for eleven and an SA has mostly one.
    pub(super) exchanges: BTreeMap<u32, Box<Exchange>>,
    pub(super) dpd: Dpd,
    pub(super) assemblies: Assemblies,
    pub(super) disowned: bool,
    keys: Keys,
    last_block: Vec<u8>,
    /// Message 6 of main mode, until the peer shows that it has it.
    answered: Option<Answered>,
    /// The messages of main mode that came.
    seen: Vec<Fingerprint>,
    message_ids: MessageIds,
}

/// One exchange under the SA.
pub(super) struct Exchange {
    pub(super) kind: ExchangeType,
    ours: bool,
    /// How many of its messages have passed.
    step: u8,
    iv: Vec<u8>,
    /// The bodies of the nonces that have passed, one after the other.
    nonces: Vec<u8>,
    question: Option<Fingerprint>,
    answered: Option<Answered>,
    pub(super) pending: Option<Pending>,
    finished: bool,
    ends: Time,
}

impl Exchange {
    fn new(now: Time, kind: ExchangeType, ours: bool, iv: Vec<u8>) -> Self {
        Self {
            kind,
            ours,
            step: 0,
            iv,
            nonces: Vec::new(),
            question: None,
            answered: None,
            pending: None,
            finished: false,
            ends: now + EXCHANGE_LINGER,
        }
    }

    /// Whether the next message is the peer's.
    const fn peers_turn(&self) -> bool {
        self.ours == (self.step % 2 == 1)
    }

    /// Whether no message of it can follow.
    pub(super) fn is_done(&self) -> bool {
        self.finished || message_at(self.kind, self.step + 1).is_err()
    }

    /// When it needs attention.
    pub(super) fn deadline(&self) -> Time {
        self.pending.as_ref().map_or(self.ends, Pending::deadline)
    }

    /// Keeps the bodies of a message's nonces: the HASHes after it cover them.
    fn remember_nonces(&mut self, chain: &Chain<'_>) {
        for raw in chain.all(PayloadType::NONCE) {
            self.nonces.extend_from_slice(raw.body);
        }
    }
}

/// What a protected message was.
pub(super) enum Received {
    /// A copy: this is what it was answered with.
    Repeat(Vec<Vec<u8>>),
    /// A message of an exchange, for those above.
    Payloads {
        step: u8,
        first: PayloadType,
        payloads: Zeroizing<Vec<u8>>,
    },
}

/// A message after decryption, its HASH verified.
struct Opened {
    /// Everything that was decrypted.
    clear: Zeroizing<Vec<u8>>,
    /// Where the payloads after HASH begin and end in it.
    rest: std::ops::Range<usize>,
    /// The type of the first of them.
    first: PayloadType,
    /// Of the next message of the exchange.
    iv: Vec<u8>,
}

impl Opened {
    fn rest(&self) -> &[u8] {
        &self.clear[self.rest.clone()]
    }
}

impl Sa {
    pub(super) fn new(now: Time, conn_id: u32, proven: Proven) -> Self {
        let Proven {
            common,
            agreed,
            keys,
            initiator,
            last_block,
            answered,
            ..
        } = proven;
        Self {
            id: common.id,
            conn_id,
            local: common.local,
            peer: common.peer,
            initiator,
            initiator_cookie: common.initiator_cookie,
            responder_cookie: common.responder_cookie,
            domain: common.domain,
            agreed,
            dpd: Dpd::new(now, common.vendor_ids.dpd(), common.random),
            vendor_ids: common.vendor_ids,
            kin: false,
            established: now,
            expires: now + std::time::Duration::from_secs(agreed.lifetime_s.into()),
            exchanges: BTreeMap::new(),
            assemblies: Assemblies::default(),
            disowned: false,
            keys,
            last_block,
            answered,
            seen: common.seen,
            message_ids: MessageIds::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> SaId {
        self.id
    }

    /// Our address and port.
    #[must_use]
    pub const fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The peer's address and port; the address is what its pre-shared key proved.
    #[must_use]
    pub const fn peer(&self) -> SocketAddrV4 {
        self.peer
    }

    /// Whether somebody said in clear that the peer does not know this SA any more. A hint: nothing
    /// proves it.
    #[must_use]
    pub const fn is_disowned(&self) -> bool {
        self.disowned
    }

    /// Whether we began phase 1.
    #[must_use]
    pub const fn is_initiator(&self) -> bool {
        self.initiator
    }

    /// CKY-I.
    #[must_use]
    pub const fn initiator_cookie(&self) -> Cookie {
        self.initiator_cookie
    }

    /// CKY-R.
    #[must_use]
    pub const fn responder_cookie(&self) -> Cookie {
        self.responder_cookie
    }

    /// What was negotiated.
    #[must_use]
    pub const fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// When it was established.
    #[must_use]
    pub const fn established(&self) -> Time {
        self.established
    }

    /// When it ends.
    #[must_use]
    pub const fn expires(&self) -> Time {
        self.expires
    }

    /// prf(SKEYID_a, parts).
    #[must_use]
    pub fn prf_a(&self, parts: &[&[u8]]) -> Secret {
        Secret::copy_of(self.keys.prf_a(parts).as_ref())
    }

    /// prf(SKEYID_d, parts).
    #[must_use]
    pub fn prf_d(&self, parts: &[&[u8]]) -> Secret {
        self.keys.prf_d(parts)
    }

    /// Whether the peer proved to be a getvpn (PROTOCOL P2).
    #[must_use]
    pub const fn is_kin(&self) -> bool {
        self.kin
    }

    /// Every vendor id that the peer sent in phase 1, in the order of arrival.
    #[must_use]
    pub fn vendor_ids_received(&self) -> &[Vec<u8>] {
        &self.vendor_ids.received
    }

    /// Every vendor id that we sent in phase 1, in the order of sending.
    #[must_use]
    pub fn vendor_ids_sent(&self) -> &[Vec<u8>] {
        &self.vendor_ids.sent
    }

    /// The version that the peer's vendor id claims. A hint: nothing proves it (PROTOCOL P2).
    #[must_use]
    pub fn peer_version(&self) -> Option<Version> {
        self.vendor_ids.version()
    }

    /// Whether it has life and message ids left for something new.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        now + SA_REMAINING_MIN < self.expires && !self.message_ids.is_own_nearly_spent()
    }

    /// The cookies as the 16 octets of an ISAKMP SPI.
    pub(super) fn spi(&self) -> [u8; 16] {
        let mut spi = [0; 16];
        spi[..8].copy_from_slice(&self.initiator_cookie);
        spi[8..].copy_from_slice(&self.responder_cookie);
        spi
    }

    pub(super) const fn header(
        &self,
        exchange: ExchangeType,
        flags: Flags,
        message_id: u32,
    ) -> Header {
        Header::new(
            self.initiator_cookie,
            self.responder_cookie,
            exchange,
            flags,
            message_id,
        )
    }

    /// The key of the parts (PROTOCOL P4).
    fn parts_key(&self) -> Secret {
        self.keys.prf_d(&[b"getvpn parts"])
    }

    /// The datagrams of a message.
    fn cut(&self, datagram: Vec<u8>) -> Result<Vec<Vec<u8>>, SendError> {
        //= getvpn P4
        if !self.kin || !parts::is_long(&datagram) {
            return Ok(vec![datagram]);
        }
        parts::cut(&self.parts_key(), self.initiator, datagram).ok_or(SendError::TooLong)
    }

    /// A part of a message; the message when all of it is here. Parts of exchanges that are over
    /// are replays, which would take the places of messages that are on their way.
    pub(super) fn receive_part(
        &mut self,
        now: Time,
        message: Message<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let message_id = message.header.message_id;
        if !self.exchanges.contains_key(&message_id) && self.message_ids.is_used(message_id) {
            return Err(Refusal::Replayed(message_id));
        }
        let key = self.parts_key();
        self.assemblies.receive(now, &key, !self.initiator, message)
    }

    /// Begins an exchange of ours.
    pub(super) fn open_exchange(
        &mut self,
        now: Time,
        kind: ExchangeType,
        rng: &mut dyn Rng,
    ) -> Result<u32, SendError> {
        if kind == ExchangeType::GETVPN_COOP && self.unanswered(kind) >= ANNOUNCEMENTS_PER_SA_MAX {
            return Err(SendError::Busy);
        }
        self.make_room().map_err(|_| SendError::Busy)?;
        let message_id = self.new_message_id(rng).ok_or(SendError::Exhausted)?;
        let iv = self.keys.exchange_iv(&self.last_block, message_id);
        self.exchanges
            .insert(message_id, Box::new(Exchange::new(now, kind, true, iv)));
        Ok(message_id)
    }

    /// How many exchanges of that kind, begun here, wait for the peer.
    fn unanswered(&self, kind: ExchangeType) -> usize {
        let waits = |e: &Exchange| e.kind == kind && e.ours && !e.is_done();
        self.exchanges.values().filter(|e| waits(e)).count()
    }

    fn new_message_id(&mut self, rng: &mut dyn Rng) -> Option<u32> {
        if self.message_ids.is_own_spent() {
            return None;
        }
        loop {
            let mut octets = [0; 4];
            rng.fill(&mut octets);
            let id = u32::from_be_bytes(octets);
            if self.message_ids.take(id) {
                return Some(id);
            }
        }
    }

    /// Lets the oldest exchange that is done go when there are as many as may be.
    fn make_room(&mut self) -> Result<(), Refusal> {
        if self.exchanges.len() < EXCHANGES_PER_SA_MAX {
            return Ok(());
        }
        let done = self
            .exchanges
            .iter()
            .filter(|(_, e)| e.is_done() && e.pending.is_none());
        let oldest = done.min_by_key(|(_, e)| e.ends).map(|(id, _)| *id);
        self.exchanges
            .remove(&oldest.ok_or(Refusal::ExchangesFull)?);
        Ok(())
    }

    /// Protects the next message of an exchange; it then waits for the peer's answer or not.
    pub(super) fn send(
        &mut self,
        now: Time,
        message_id: u32,
        (first, payloads): (PayloadType, &[u8]),
        expect: Expect,
    ) -> Result<Vec<Vec<u8>>, SendError> {
        let exchange = self
            .exchanges
            .get(&message_id)
            .ok_or(SendError::NoExchange)?;
        let kind = exchange.kind;
        if exchange.peers_turn() {
            return Err(SendError::NotOurTurn);
        }
        let place = message_at(kind, exchange.step + 1).map_err(SendError::Illegal)?;
        let chain = Chain::decode_exact(first, payloads).map_err(SendError::Malformed)?;
        place
            .check(&behind_hash(&chain))
            .map_err(SendError::Illegal)?;
        let header = self.header(kind, Flags::ENCRYPTION, message_id);
        let (datagram, iv) = self.protect(header, &exchange.iv, &exchange.nonces, &chain)?;
        let datagrams = self.cut(datagram)?;
        let exchange = self
            .exchanges
            .get_mut(&message_id)
            .ok_or(SendError::NoExchange)?;
        exchange.step += 1;
        exchange.iv = iv;
        exchange.remember_nonces(&chain);
        exchange.ends = now + EXCHANGE_LINGER;
        if let Some(question) = exchange.question {
            exchange.answered = Some(Answered::new(question, datagrams.clone()));
        }
        exchange.pending = match expect {
            Expect::Reply => Some(Pending::sent(now, datagrams.clone())),
            Expect::Final => None,
        };
        Ok(datagrams)
    }

    /// A protected message of an exchange that has but one: informational.
    pub(super) fn send_once(
        &mut self,
        kind: ExchangeType,
        chain: &Chain<'_>,
        rng: &mut dyn Rng,
    ) -> Result<Vec<u8>, SendError> {
        let message_id = self.new_message_id(rng).ok_or(SendError::Exhausted)?;
        let iv = self.keys.exchange_iv(&self.last_block, message_id);
        let header = self.header(kind, Flags::ENCRYPTION, message_id);
        self.protect(header, &iv, &[], chain)
            .map(|(datagram, _)| datagram)
    }

    /// HASH, the payloads, padding, encryption.
    fn protect(
        &self,
        header: Header,
        iv: &[u8],
        nonces: &[u8],
        chain: &Chain<'_>,
    ) -> Result<(Vec<u8>, Vec<u8>), SendError> {
        let mut builder = Builder::new();
        let hash = builder.push_raw(PayloadType::HASH, &vec![0; self.keys.hash_len()]);
        for raw in &chain.payloads {
            builder.push_raw(raw.ty, raw.body);
        }
        let mut built = builder.finish().map_err(SendError::Malformed)?;
        //= RFC 6407 3.2
        //# HASH(1) = prf(SKEYID_a, M-ID | Ni | ID)
        //# HASH(2) = prf(SKEYID_a, M-ID | Ni_b | Nr | SA)
        // In words: the message id, the bodies of the nonces that have passed, and every octet
        // after the HASH payload.
        let message_id = header.message_id.to_be_bytes();
        let digest = self.keys.prf_a(&[&message_id, nonces, built.after(hash)]);
        built.body_mut(hash).copy_from_slice(digest.as_ref());
        let mut datagram = built.into_padded_message(header, self.keys.block_len());
        if datagram.len() > MESSAGE_OCTETS_MAX {
            return Err(SendError::TooLong);
        }
        let iv = self.keys.seal(iv, &mut datagram[Header::LEN..]);
        Ok((datagram, iv))
    }

    fn unprotect(&self, message: Message<'_>, iv: &[u8], nonces: &[u8]) -> Result<Opened, Refusal> {
        let undecryptable = Refusal::Undecryptable { first: false };
        let mut clear = Zeroizing::new(message.body.to_vec());
        let Some(iv) = self.keys.open(iv, &mut clear) else {
            return Err(undecryptable);
        };
        let Ok(chain) = Chain::decode(message.header.next_payload, &clear) else {
            return Err(undecryptable);
        };
        let Some(hash) = chain
            .payloads
            .first()
            .filter(|raw| raw.ty == PayloadType::HASH)
        else {
            return Err(undecryptable);
        };
        let rest = hash.whole.len()..chain.used;
        let message_id = message.header.message_id.to_be_bytes();
        let expected = self
            .keys
            .prf_a(&[&message_id, nonces, &clear[rest.clone()]]);
        if !bool::from(expected.as_ref().ct_eq(hash.body)) {
            return Err(Refusal::BadHash);
        }
        let first = chain
            .payloads
            .get(1)
            .map_or(PayloadType::NONE, |raw| raw.ty);
        Ok(Opened {
            rest,
            first,
            iv,
            clear,
        })
    }

    /// A message of main mode: a copy, which may be worth an answer, or no longer legal.
    pub(super) fn main_mode_again(
        &mut self,
        message: Message<'_>,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let fingerprint = message.fingerprint();
        match &mut self.answered {
            Some(answered) if answered.is_to(fingerprint) => Ok(answered.repeat().to_vec()),
            _ if self.seen.contains(&fingerprint) => Ok(Vec::new()),
            Some(_) | None => Err(Refusal::MessageId(message.header.message_id)),
        }
    }

    /// A message of an exchange that those above take part in.
    ///
    /// # Errors
    /// Why it is refused; the SA is as it was.
    pub(super) fn receive(&mut self, now: Time, message: Message<'_>) -> Result<Received, Refusal> {
        let message_id = message.header.message_id;
        let kind = message.header.exchange_type;
        let fingerprint = message.fingerprint();
        let Some(exchange) = self.exchanges.get_mut(&message_id) else {
            return self.receive_first(now, message, fingerprint);
        };
        if exchange.question == Some(fingerprint) {
            let answer = exchange
                .answered
                .as_mut()
                .map(|answered| answered.repeat().to_vec());
            return Ok(Received::Repeat(answer.unwrap_or_default()));
        }
        if exchange.kind != kind {
            return Err(Refusal::MessageId(message_id));
        }
        let step = exchange.step + 1;
        let place = message_at(kind, step).map_err(Refusal::Illegal)?;
        if !exchange.peers_turn() {
            return Err(Refusal::MessageId(message_id));
        }
        let exchange = &self.exchanges[&message_id];
        let opened = self.unprotect(message, &exchange.iv, &exchange.nonces)?;
        let received = legal(place, &opened, step)?;
        self.accept(now, message_id, fingerprint, opened);
        Ok(received)
    }

    /// The first message of an exchange of the peer's.
    fn receive_first(
        &mut self,
        now: Time,
        message: Message<'_>,
        fingerprint: Fingerprint,
    ) -> Result<Received, Refusal> {
        let message_id = message.header.message_id;
        let kind = message.header.exchange_type;
        let place = message_at(kind, 1).map_err(Refusal::Illegal)?;
        let opened = self.open_first(message)?;
        let received = legal(place, &opened, 1)?;
        self.make_room()?;
        self.message_ids.heard(message_id);
        let exchange = Box::new(Exchange::new(now, kind, false, Vec::new()));
        self.exchanges.insert(message_id, exchange);
        self.accept(now, message_id, fingerprint, opened);
        Ok(received)
    }

    /// A message of an exchange that has but one, informational: its payloads after HASH.
    ///
    /// # Errors
    /// Why it is refused; the SA is as it was.
    pub(super) fn receive_once(
        &mut self,
        message: Message<'_>,
    ) -> Result<(PayloadType, Zeroizing<Vec<u8>>), Refusal> {
        let place = message_at(message.header.exchange_type, 1).map_err(Refusal::Illegal)?;
        let opened = self.open_first(message)?;
        let received = legal(place, &opened, 1)?;
        self.message_ids.heard(message.header.message_id);
        match received {
            Received::Payloads {
                first, payloads, ..
            } => Ok((first, payloads)),
            Received::Repeat(_) => Err(Refusal::MessageId(message.header.message_id)),
        }
    }

    /// Decrypts what would begin an exchange, unless its message id has been used.
    fn open_first(&self, message: Message<'_>) -> Result<Opened, Refusal> {
        let message_id = message.header.message_id;
        if message_id == 0 {
            return Err(Refusal::MessageId(0));
        }
        if self.message_ids.is_used(message_id) {
            return Err(Refusal::Replayed(message_id));
        }
        if self.message_ids.is_peer_spent() {
            return Err(Refusal::ExchangesFull);
        }
        let iv = self.keys.exchange_iv(&self.last_block, message_id);
        self.unprotect(message, &iv, &[])
    }

    /// A message is verified: the exchange moves on.
    fn accept(&mut self, now: Time, message_id: u32, fingerprint: Fingerprint, opened: Opened) {
        // Whoever speaks under the SA has message 6.
        self.answered = None;
        self.dpd.heard(now);
        let Some(exchange) = self.exchanges.get_mut(&message_id) else {
            return;
        };
        if let Ok(chain) = Chain::decode(opened.first, opened.rest()) {
            exchange.remember_nonces(&chain);
        }
        exchange.step += 1;
        exchange.iv = opened.iv;
        exchange.question = Some(fingerprint);
        exchange.answered = None;
        exchange.pending = None;
        exchange.ends = now + EXCHANGE_LINGER;
    }

    /// The peer does not know this SA any more, or somebody says so.
    pub(super) fn hasten(&mut self, now: Time) {
        self.disowned = true;
        let waiting = self.exchanges.values_mut();
        for pending in waiting.filter_map(|exchange| exchange.pending.as_mut()) {
            pending.hasten(now);
        }
    }

    /// Those above are done with an exchange; it stays a while to answer repeats.
    pub(super) fn finish(&mut self, message_id: u32) {
        if let Some(exchange) = self.exchanges.get_mut(&message_id) {
            exchange.finished = true;
            exchange.pending = None;
        }
    }

    /// The exchanges whose time is over; those that were not done are returned.
    pub(super) fn expire_exchanges(&mut self, now: Time) -> Vec<u32> {
        let over = |e: &Exchange| e.pending.is_none() && e.ends <= now;
        let undone = self
            .exchanges
            .iter()
            .filter(|(_, e)| over(e) && !e.is_done());
        let undone = undone.map(|(id, _)| *id).collect();
        self.exchanges.retain(|_, e| !over(e));
        undone
    }

    /// When it needs attention next.
    pub(super) fn deadline(&self, keepalive_s: u16) -> Time {
        self.exchanges
            .values()
            .map(|exchange| exchange.deadline())
            .chain(self.dpd.deadline(keepalive_s))
            .chain(self.assemblies.deadline())
            .fold(self.expires, Time::min)
    }
}

/// The types of a protected message's payloads: a HASH, and those of `chain`.
fn behind_hash(chain: &Chain<'_>) -> Vec<PayloadType> {
    let mut all = Vec::with_capacity(1 + chain.payloads.len());
    all.push(PayloadType::HASH);
    all.extend(chain.types());
    all
}

/// Judges the payloads of a message against its place, and hands them out.
fn legal(place: &crate::exchange::Message, opened: &Opened, step: u8) -> Result<Received, Refusal> {
    let chain = Chain::decode(opened.first, opened.rest()).map_err(Refusal::Malformed)?;
    place
        .check(&behind_hash(&chain))
        .map_err(Refusal::Illegal)?;
    for raw in chain.all(PayloadType::NONCE) {
        Nonce::decode_pull(raw.body).map_err(|_| Refusal::NonceLength(raw.body.len()))?;
    }
    let payloads = Zeroizing::new(opened.rest().to_vec());
    Ok(Received::Payloads {
        step,
        first: opened.first,
        payloads,
    })
}

//! Main mode with pre-shared keys, both roles (RFC 2409 section 5.4).
//!
//! ```text
//!  Initiator                          Responder
//!  1  HDR, SA, VID            -->
//!                             <--    2  HDR, SA, VID
//!  3  HDR, KE, Ni             -->
//!                             <--    4  HDR, KE, Nr, VID
//!  5  HDR*, IDii, HASH_I, [N] -->
//!                             <--    6  HDR*, IDir, HASH_R
//! ```
//!
//! A state owns what only it needs. A message is first read, which may fail and changes nothing,
//! and then the state is consumed for the next one, which cannot fail. Retransmission, places for
//! half-open negotiations and the table of SAs are decided elsewhere.

mod auth;
mod initiator;
mod responder;

use std::net::SocketAddrV4;

use crypto::dh::{Group, KeyPair};
use crypto::{Rng, Secret};
use policy::Time;
use wire::iana::{ExchangeType, NotifyType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header, Ke, Nonce, Payload, VendorId};

use self::initiator::{AuthSent, KeSent, SaSent};
use self::responder::{KeAnswered, SaAnswered};
use crate::config;
use crate::exchange::message_at;
use crate::ike::api::SaId;
use crate::ike::keys::{self, Cookie, Exchanged, Keys, cipher_of, hash_of};
use crate::ike::preshared::PresharedKeys;
use crate::ike::proposal::{Agreed, Domain};
use crate::ike::refusal::{Refusal, missing};
use crate::ike::retransmit::{Answered, Fingerprint, Pending};
use crate::ike::vendor::VendorIds;
use crate::limits::{COMPUTATIONS_MAX, PHASE1_NONCE_OCTETS_SENT};
use crate::machine::{KeyLogLine, Outbox, Output};

pub(in crate::ike) use self::initiator::begin;
pub(in crate::ike) use self::responder::answer;

/// What every handler needs beside its state.
pub(in crate::ike) struct Context<'a> {
    pub(in crate::ike) now: Time,
    pub(in crate::ike) config: &'a config::Isakmp,
    pub(in crate::ike) preshared: &'a PresharedKeys,
    pub(in crate::ike) rng: &'a mut dyn Rng,
    pub(in crate::ike) keylog: bool,
    pub(in crate::ike) out: &'a mut Outbox,
}

/// A datagram whose header is well-formed.
#[derive(Copy, Clone)]
pub(in crate::ike) struct Message<'a> {
    pub(in crate::ike) header: Header,
    /// What follows the header.
    pub(in crate::ike) body: &'a [u8],
    /// All of it.
    pub(in crate::ike) datagram: &'a [u8],
}

impl Message<'_> {
    pub(in crate::ike) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.datagram)
    }
}

/// What a negotiation has from its first message to its last.
pub(in crate::ike) struct Common {
    pub(in crate::ike) id: SaId,
    pub(in crate::ike) local: SocketAddrV4,
    pub(in crate::ike) peer: SocketAddrV4,
    pub(in crate::ike) initiator_cookie: Cookie,
    /// Zero until message 2.
    pub(in crate::ike) responder_cookie: Cookie,
    pub(in crate::ike) domain: Domain,
    pub(in crate::ike) vendor_ids: VendorIds,
    /// When it ends if nothing comes; an initiator gives up by its retransmissions.
    pub(in crate::ike) expires: Time,
    /// When its first message left or came.
    pub(in crate::ike) began: Time,
    /// The messages that were accepted, to know their copies.
    pub(in crate::ike) seen: Vec<Fingerprint>,
    /// How often a message made us compute a Diffie-Hellman secret.
    computations: u8,
    /// Whether we have no other SA with the peer.
    first_contact: bool,
    /// Drawn for the first keepalive's number.
    pub(in crate::ike) random: u32,
    /// The last error that was notified in clear: shown, never obeyed.
    pub(in crate::ike) hint: Option<NotifyType>,
}

impl Common {
    /// Pays for one Diffie-Hellman secret; forged messages cannot ask for many.
    fn compute(&mut self) -> Result<(), Refusal> {
        if self.computations >= COMPUTATIONS_MAX {
            return Err(Refusal::Computations);
        }
        self.computations += 1;
        Ok(())
    }

    fn header(&self, flags: Flags) -> Header {
        Header::new(
            self.initiator_cookie,
            self.responder_cookie,
            ExchangeType::IDENTITY_PROTECTION,
            flags,
            0,
        )
    }
}

/// A negotiation under way.
pub(in crate::ike) struct Negotiation {
    pub(in crate::ike) common: Common,
    pub(in crate::ike) state: State,
}

/// How far it came, with what that needs.
pub(in crate::ike) enum State {
    /// Initiator: message 1 is out.
    SaSent(SaSent),
    /// Initiator: message 3 is out.
    KeSent(KeSent),
    /// Initiator: message 5 is out.
    AuthSent(AuthSent),
    /// Responder: message 2 is out.
    SaAnswered(SaAnswered),
    /// Responder: message 4 is out.
    KeAnswered(KeAnswered),
}

/// What an established SA is made of.
pub(in crate::ike) struct Proven {
    pub(in crate::ike) common: Common,
    pub(in crate::ike) agreed: Agreed,
    pub(in crate::ike) keys: Keys,
    pub(in crate::ike) initiator: bool,
    /// The last ciphertext block of message 6.
    pub(in crate::ike) last_block: Vec<u8>,
    /// Message 6, to be repeated if message 5 is.
    pub(in crate::ike) answered: Option<Answered>,
    /// The peer says that it holds no other SA with us.
    pub(in crate::ike) initial_contact: bool,
}

/// What a message led to.
pub(in crate::ike) enum Step {
    /// It was refused; nothing changed.
    Stay(Box<Negotiation>, Refusal),
    /// It is a copy; this is the answer that it got.
    Repeat(Box<Negotiation>, Vec<Vec<u8>>),
    /// The next state, and what to send.
    Next(Box<Negotiation>, Vec<u8>),
    /// Phase 1 is done.
    Done(Box<Proven>, Option<Vec<u8>>),
}

impl State {
    /// The number of the message that it waits for.
    pub(in crate::ike) const fn awaits(&self) -> u8 {
        match self {
            Self::SaSent(_) => 2,
            Self::SaAnswered(_) => 3,
            Self::KeSent(_) => 4,
            Self::KeAnswered(_) => 5,
            Self::AuthSent(_) => 6,
        }
    }

    /// Whether we began it.
    pub(in crate::ike) const fn is_initiator(&self) -> bool {
        match self {
            Self::SaSent(_) | Self::KeSent(_) | Self::AuthSent(_) => true,
            Self::SaAnswered(_) | Self::KeAnswered(_) => false,
        }
    }

    /// The message that waits for its answer.
    pub(in crate::ike) const fn pending(&mut self) -> Option<&mut Pending> {
        match self {
            Self::SaSent(state) => Some(&mut state.pending),
            Self::KeSent(state) => Some(&mut state.pending),
            Self::AuthSent(state) => Some(&mut state.pending),
            Self::SaAnswered(_) | Self::KeAnswered(_) => None,
        }
    }

    const fn answered(&mut self) -> Option<&mut Answered> {
        match self {
            Self::SaAnswered(state) => Some(&mut state.answered),
            Self::KeAnswered(state) => Some(&mut state.answered),
            Self::SaSent(_) | Self::KeSent(_) | Self::AuthSent(_) => None,
        }
    }
}

impl Negotiation {
    /// Takes a message of main mode that carries its cookies.
    pub(in crate::ike) fn handle(
        mut self: Box<Self>,
        ctx: &mut Context<'_>,
        message: Message<'_>,
    ) -> Step {
        let fingerprint = message.fingerprint();
        if self.common.seen.contains(&fingerprint) {
            // Only the last question is answered again: an older one was, or its answer came.
            let answered = self
                .state
                .answered()
                .filter(|answered| answered.is_to(fingerprint));
            let datagrams = answered.map(|answered| answered.repeat().to_vec());
            return Step::Repeat(self, datagrams.unwrap_or_default());
        }
        if message.header.message_id != 0 {
            return Step::Stay(self, Refusal::MessageId(message.header.message_id));
        }
        // Only a copy of message 1 comes without our cookie: who has not seen it is not answered.
        let knows = message.header.responder_cookie == self.common.responder_cookie;
        if !knows && !matches!(self.state, State::SaSent(_)) {
            return Step::Stay(self, Refusal::NoSa);
        }
        let Self { mut common, state } = *self;
        let stay = |common, state, refusal| Step::Stay(Box::new(Self { common, state }), refusal);
        let next = |common, state, bytes| Step::Next(Box::new(Self { common, state }), bytes);
        match state {
            State::SaSent(state) => match state.read(ctx, message) {
                Ok(read) => {
                    common.seen.push(fingerprint);
                    let (state, bytes) = state.send_ke(ctx, &mut common, message, read);
                    next(common, State::KeSent(state), bytes)
                }
                Err(refusal) => stay(common, State::SaSent(state), refusal),
            },
            State::KeSent(state) => match state.read(ctx, &mut common, message) {
                Ok(read) => {
                    common.seen.push(fingerprint);
                    let (state, bytes) = state.send_auth(ctx, &mut common, read);
                    next(common, State::AuthSent(state), bytes)
                }
                Err(refusal) => stay(common, State::KeSent(state), refusal),
            },
            State::AuthSent(state) => match state.keyed.read(&common, message, 6) {
                Ok(read) => {
                    common.seen.push(fingerprint);
                    Step::Done(Box::new(state.keyed.prove(common, read, None)), None)
                }
                Err(refusal) => stay(common, State::AuthSent(state), refusal),
            },
            State::SaAnswered(state) => match state.read(ctx, &mut common, message) {
                Ok(read) => {
                    common.seen.push(fingerprint);
                    let (state, bytes) = state.answer_ke(ctx, &mut common, fingerprint, read);
                    next(common, State::KeAnswered(state), bytes)
                }
                Err(refusal) => stay(common, State::SaAnswered(state), refusal),
            },
            State::KeAnswered(state) => match state.keyed.read(&common, message, 5) {
                Ok(read) => {
                    common.seen.push(fingerprint);
                    let (proven, bytes) = state.answer_auth(common, fingerprint, read);
                    Step::Done(Box::new(proven), Some(bytes))
                }
                Err(refusal) => stay(common, State::KeAnswered(state), refusal),
            },
        }
    }
}

fn cookie(rng: &mut dyn Rng) -> Cookie {
    let mut cookie = [0; 8];
    while cookie == [0; 8] {
        rng.fill(&mut cookie);
    }
    cookie
}

fn random(rng: &mut dyn Rng) -> u32 {
    let mut octets = [0; 4];
    rng.fill(&mut octets);
    u32::from_be_bytes(octets)
}

fn nonce(rng: &mut dyn Rng) -> Vec<u8> {
    let mut nonce = vec![0; PHASE1_NONCE_OCTETS_SENT];
    rng.fill(&mut nonce);
    nonce
}

fn generate(agreed: Agreed, rng: &mut dyn Rng) -> Result<KeyPair, Refusal> {
    let group = Group::from_number(agreed.group).ok_or(Refusal::BadProposal(
        "a Diffie-Hellman group that is not implemented",
    ))?;
    KeyPair::generate(group, rng).map_err(Refusal::KeyExchange)
}

fn derive(
    ctx: &Context<'_>,
    common: &Common,
    agreed: Agreed,
    (initiator_nonce, responder_nonce): (&[u8], &[u8]),
    key_pair: &KeyPair,
    peer_ke: &[u8],
) -> Result<(Keys, Option<Secret>), Refusal> {
    let preshared_key = ctx
        .preshared
        .find(*common.peer.ip())
        .ok_or(Refusal::NoPresharedKey)?;
    let shared = key_pair.agree(peer_ke).map_err(Refusal::KeyExchange)?;
    let exchanged = Exchanged {
        initiator_nonce,
        responder_nonce,
        initiator_cookie: &common.initiator_cookie,
        responder_cookie: &common.responder_cookie,
        shared: &shared,
    };
    let (hash, cipher) = (hash_of(agreed.hash), cipher_of(agreed.encryption));
    let derived =
        keys::derive(hash, cipher, preshared_key, &exchanged).map_err(Refusal::KeyExchange)?;
    Ok((derived.keys, ctx.keylog.then_some(derived.cipher_key)))
}

fn log_key(ctx: &mut Context<'_>, common: &Common, key: Option<Secret>) {
    if let Some(key) = key {
        let initiator_cookie = common.initiator_cookie;
        ctx.out.push(Output::KeyLog(KeyLogLine::Isakmp {
            initiator_cookie,
            key,
        }));
    }
}

fn push_vendor_ids(builder: &mut Builder, vendor_ids: &[Vec<u8>]) {
    for data in vendor_ids {
        builder.push(&VendorId { data });
    }
}

/// Message 3 or 4.
fn ke_message(common: &Common, key_pair: &KeyPair, nonce: &[u8], vendors: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.push(&Ke {
        data: key_pair.public_value(),
    });
    builder.push(&Nonce { data: nonce });
    push_vendor_ids(&mut builder, vendors);
    let built = builder
        .finish()
        .expect("a public value and a nonce fit a message");
    built.into_message(common.header(Flags::NONE))
}

/// The payloads of a message in clear, legal for its place.
fn clear_payloads(message: Message<'_>, step: u8) -> Result<Chain<'_>, Refusal> {
    if message.header.flags.contains(Flags::ENCRYPTION) {
        return Err(Refusal::EncryptedTooEarly);
    }
    let chain = Chain::decode_exact(message.header.next_payload, message.body)
        .map_err(Refusal::Malformed)?;
    message_at(ExchangeType::IDENTITY_PROTECTION, step)
        .and_then(|place| place.check(&types(&chain)))
        .map_err(Refusal::Illegal)?;
    Ok(chain)
}

/// The types of a chain's payloads.
pub(in crate::ike) fn types(chain: &Chain<'_>) -> Vec<PayloadType> {
    chain.types().collect()
}

fn payload<'a, P: Payload<'a>>(chain: &Chain<'a>, message: &'static str) -> Result<P, Refusal> {
    let raw = chain
        .find(P::TYPE)
        .ok_or_else(|| missing(message, P::TYPE))?;
    raw.decode().map_err(Refusal::Malformed)
}

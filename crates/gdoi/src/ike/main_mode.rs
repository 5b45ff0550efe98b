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

use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::dh::{Group, KeyPair};
use crypto::{Rng, Secret};
use policy::Time;
use wire::iana::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use wire::isakmp::{
    Builder, Chain, Flags, Hash, Header, Id, Ke, Nonce, Notify, Payload, Sa as SaPayload, VendorId,
};
use zeroize::Zeroizing;

use super::api::SaId;
use super::keys::{self, Cookie, Exchanged, Keys, Side, Transcript, cipher_of, hash_of};
use super::limits::PHASE1_NONCE_OCTETS_SENT;
use super::limits::{AMPLIFICATION_MAX, HALF_OPEN_LIFETIME, KEYED_LIFETIME};
use super::proposal::{self, Agreed, Domain};
use super::refusal::{Failure, Refusal, missing};
use super::retransmit::{Answered, Fingerprint, Pending};
use super::vendor::{self, VendorIds};
use crate::config;
use crate::exchange::message_at;
use crate::machine::{KeyLogLine, Outbox, Output};

/// What every handler needs beside its state.
pub(super) struct Context<'a> {
    pub(super) now: Time,
    pub(super) config: &'a config::Isakmp,
    pub(super) rng: &'a mut dyn Rng,
    pub(super) keylog: bool,
    pub(super) out: &'a mut Outbox,
}

/// A datagram whose header is well-formed.
#[derive(Copy, Clone)]
pub(super) struct Message<'a> {
    pub(super) header: Header,
    /// What follows the header.
    pub(super) body: &'a [u8],
    /// All of it.
    pub(super) datagram: &'a [u8],
}

impl Message<'_> {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.datagram)
    }
}

/// What a negotiation has from its first message to its last.
pub(super) struct Common {
    pub(super) id: SaId,
    pub(super) local: SocketAddrV4,
    pub(super) peer: SocketAddrV4,
    pub(super) initiator_cookie: Cookie,
    /// Zero until message 2.
    pub(super) responder_cookie: Cookie,
    pub(super) domain: Domain,
    pub(super) vendor_ids: VendorIds,
    /// When it ends if nothing comes; an initiator gives up by its retransmissions.
    pub(super) expires: Time,
    /// When its first message left or came.
    pub(super) began: Time,
    /// Whether we have no other SA with the peer.
    first_contact: bool,
    /// Drawn for the first keepalive's number.
    pub(super) random: u32,
    /// The last error that was notified in clear: shown, never obeyed.
    pub(super) hint: Option<NotifyType>,
}

impl Common {
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
pub(super) struct Negotiation {
    pub(super) common: Common,
    pub(super) state: State,
}

/// How far it came, with what that needs.
pub(super) enum State {
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

/// Initiator, message 1 is out.
pub(super) struct SaSent {
    offer: SaPayload,
    sa_body: Vec<u8>,
    pending: Pending,
}

/// Initiator, message 3 is out.
pub(super) struct KeSent {
    agreed: Agreed,
    sa_body: Vec<u8>,
    key_pair: KeyPair,
    nonce: Vec<u8>,
    pending: Pending,
}

/// Initiator, message 5 is out.
pub(super) struct AuthSent {
    keyed: Keyed,
    pending: Pending,
}

/// Responder, message 2 is out.
pub(super) struct SaAnswered {
    agreed: Agreed,
    sa_body: Vec<u8>,
    /// Vendor ids that did not fit into message 2.
    vendor_ids_left: Vec<Vec<u8>>,
    answered: Answered,
}

/// Responder, message 4 is out.
pub(super) struct KeAnswered {
    keyed: Keyed,
    answered: Answered,
}

/// What both roles have once there are keys.
pub(super) struct Keyed {
    agreed: Agreed,
    keys: Keys,
    sa_body: Vec<u8>,
    initiator_ke: Vec<u8>,
    responder_ke: Vec<u8>,
    /// Of the next encrypted message.
    iv: Vec<u8>,
}

/// What an established SA is made of.
pub(super) struct Proven {
    pub(super) common: Common,
    pub(super) agreed: Agreed,
    pub(super) keys: Keys,
    pub(super) initiator: bool,
    /// The last ciphertext block of message 6.
    pub(super) last_block: Vec<u8>,
    /// Message 6, to be repeated if message 5 is.
    pub(super) answered: Option<Answered>,
    /// The peer says that it holds no other SA with us.
    pub(super) initial_contact: bool,
}

/// What a message led to.
pub(super) enum Step {
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
    pub(super) const fn awaits(&self) -> u8 {
        match self {
            Self::SaSent(_) => 2,
            Self::SaAnswered(_) => 3,
            Self::KeSent(_) => 4,
            Self::KeAnswered(_) => 5,
            Self::AuthSent(_) => 6,
        }
    }

    /// Whether we began it.
    pub(super) const fn is_initiator(&self) -> bool {
        match self {
            Self::SaSent(_) | Self::KeSent(_) | Self::AuthSent(_) => true,
            Self::SaAnswered(_) | Self::KeAnswered(_) => false,
        }
    }

    /// The message that waits for its answer.
    pub(super) const fn pending(&mut self) -> Option<&mut Pending> {
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

/// Begins a negotiation: the state that waits for message 2, and message 1.
///
/// # Errors
/// When nothing is configured that could be offered.
pub(super) fn begin(
    ctx: &mut Context<'_>,
    id: SaId,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    first_contact: bool,
) -> Result<(Negotiation, Vec<u8>), Failure> {
    if preshared_key(ctx.config, *peer.ip()).is_none() {
        return Err(Failure::NoPresharedKey);
    }
    if ctx.config.policies.is_empty() {
        return Err(Failure::NoPolicy);
    }
    //= getvpn P1
    let of_peer = ctx
        .config
        .peers
        .iter()
        .find(|knobs| knobs.address == *peer.ip());
    let domain = if of_peer.is_some_and(|knobs| knobs.doi_ipsec) {
        Domain::IPSEC
    } else {
        Domain::GDOI
    };
    let offer = proposal::offer(&ctx.config.policies, domain);
    let vendor_ids = VendorIds {
        received: Vec::new(),
        sent: vendor::own(),
    };
    let common = Common {
        id,
        local,
        peer,
        initiator_cookie: cookie(ctx.rng),
        responder_cookie: [0; 8],
        domain,
        vendor_ids,
        expires: Time::MAX,
        began: ctx.now,
        first_contact,
        random: random(ctx.rng),
        hint: None,
    };
    let mut builder = Builder::new();
    let place = builder.push(&offer);
    push_vendor_ids(&mut builder, &common.vendor_ids.sent);
    let built = builder
        .finish()
        .expect("a few policies fit into an SA payload");
    let sa_body = built.body(place).to_vec();
    let bytes = built.into_message(common.header(Flags::NONE));
    let pending = Pending::sent(ctx.now, vec![bytes.clone()]);
    let state = State::SaSent(SaSent {
        offer,
        sa_body,
        pending,
    });
    Ok((Negotiation { common, state }, bytes))
}

/// Answers message 1: the state that waits for message 3, and message 2.
///
/// # Errors
/// Why there is no negotiation; nothing was kept.
pub(super) fn answer(
    ctx: &mut Context<'_>,
    id: SaId,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    message: Message<'_>,
) -> Result<(Negotiation, Vec<u8>), Refusal> {
    if preshared_key(ctx.config, *peer.ip()).is_none() {
        return Err(Refusal::NoPresharedKey);
    }
    let chain = clear_payloads(message, 1)?;
    let raw = chain
        .find(PayloadType::SA)
        .ok_or_else(|| missing("MAIN MODE 1", PayloadType::SA))?;
    let offer = raw.decode::<SaPayload>().map_err(Refusal::Malformed)?;
    let (agreed, answer) = proposal::choose(&ctx.config.policies, &offer)?;
    let mut vendor_ids = VendorIds::default();
    vendor_ids.receive(&chain);
    let mut common = Common {
        id,
        local,
        peer,
        initiator_cookie: message.header.initiator_cookie,
        responder_cookie: cookie(ctx.rng),
        domain: Domain::of(&offer)?,
        vendor_ids,
        expires: ctx.now + HALF_OPEN_LIFETIME,
        began: ctx.now,
        first_contact: false,
        random: random(ctx.rng),
        hint: None,
    };
    let mut builder = Builder::new();
    builder.push(&answer);
    // Whoever forged the source address must not gain by our answer; what does not fit goes into
    // message 4.
    let (by, of) = AMPLIFICATION_MAX;
    let mut room = message.datagram.len() * by / of;
    room = room.saturating_sub(Header::LEN + raw.whole.len());
    let mut left = Vec::new();
    for vendor_id in vendor::own() {
        let octets = vendor_id.len() + wire::isakmp::payload::GENERIC_HEADER_LEN;
        if left.is_empty() && octets <= room {
            room -= octets;
            builder.push(&VendorId { data: &vendor_id });
            common.vendor_ids.sent.push(vendor_id);
        } else {
            left.push(vendor_id);
        }
    }
    let built = builder.finish().map_err(Refusal::Malformed)?;
    let bytes = built.into_message(common.header(Flags::NONE));
    let state = State::SaAnswered(SaAnswered {
        agreed,
        sa_body: raw.body.to_vec(),
        vendor_ids_left: left,
        answered: Answered::new(message.fingerprint(), vec![bytes.clone()]),
    });
    Ok((Negotiation { common, state }, bytes))
}

impl Negotiation {
    /// Takes a message of main mode that carries its cookies.
    pub(super) fn handle(mut self: Box<Self>, ctx: &mut Context<'_>, message: Message<'_>) -> Step {
        if let Some(answered) = self.state.answered()
            && answered.is_to(message.fingerprint())
        {
            let datagrams = answered.repeat().to_vec();
            return Step::Repeat(self, datagrams);
        }
        if message.header.message_id != 0 {
            return Step::Stay(self, Refusal::MessageId(message.header.message_id));
        }
        let Self { mut common, state } = *self;
        let stay = |common, state, refusal| Step::Stay(Box::new(Self { common, state }), refusal);
        let next = |common, state, bytes| Step::Next(Box::new(Self { common, state }), bytes);
        match state {
            State::SaSent(state) => match state.read(ctx, message) {
                Ok(read) => {
                    let (state, bytes) = state.send_ke(ctx, &mut common, message, read);
                    next(common, State::KeSent(state), bytes)
                }
                Err(refusal) => stay(common, State::SaSent(state), refusal),
            },
            State::KeSent(state) => match state.read(ctx, &common, message) {
                Ok(read) => {
                    let (state, bytes) = state.send_auth(ctx, &mut common, read);
                    next(common, State::AuthSent(state), bytes)
                }
                Err(refusal) => stay(common, State::KeSent(state), refusal),
            },
            State::AuthSent(state) => match state.keyed.read(&common, message, 6) {
                Ok(read) => Step::Done(Box::new(state.keyed.prove(common, read, None)), None),
                Err(refusal) => stay(common, State::AuthSent(state), refusal),
            },
            State::SaAnswered(state) => match state.read(ctx, &common, message) {
                Ok(read) => {
                    let (state, bytes) = state.answer_ke(ctx, &mut common, message, read);
                    next(common, State::KeAnswered(state), bytes)
                }
                Err(refusal) => stay(common, State::SaAnswered(state), refusal),
            },
            State::KeAnswered(state) => match state.keyed.read(&common, message, 5) {
                Ok(read) => {
                    let (proven, bytes) = state.answer_auth(common, message, read);
                    Step::Done(Box::new(proven), Some(bytes))
                }
                Err(refusal) => stay(common, State::KeAnswered(state), refusal),
            },
        }
    }
}

/// What message 2 says.
struct ReadSa {
    agreed: Agreed,
    key_pair: KeyPair,
    vendor_ids: Vec<Vec<u8>>,
}

impl SaSent {
    fn read(&self, ctx: &mut Context<'_>, message: Message<'_>) -> Result<ReadSa, Refusal> {
        let chain = clear_payloads(message, 2)?;
        let answer = payload::<SaPayload>(&chain, "MAIN MODE 2")?;
        let agreed = proposal::confirm(&ctx.config.policies, &self.offer, &answer)?;
        let mut vendor_ids = VendorIds::default();
        vendor_ids.receive(&chain);
        Ok(ReadSa {
            agreed,
            key_pair: generate(agreed, ctx.rng)?,
            vendor_ids: vendor_ids.received,
        })
    }

    fn send_ke(
        self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        message: Message<'_>,
        read: ReadSa,
    ) -> (KeSent, Vec<u8>) {
        common.responder_cookie = message.header.responder_cookie;
        common.vendor_ids.received = read.vendor_ids;
        common.hint = None;
        let nonce = nonce(ctx.rng);
        let bytes = ke_message(common, &read.key_pair, &nonce, &[]);
        let pending = Pending::sent(ctx.now, vec![bytes.clone()]);
        let Self { sa_body, .. } = self;
        let ReadSa {
            agreed, key_pair, ..
        } = read;
        (
            KeSent {
                agreed,
                sa_body,
                key_pair,
                nonce,
                pending,
            },
            bytes,
        )
    }
}

/// What message 4 says.
struct ReadKe {
    keys: Keys,
    key_log: Option<Secret>,
    ke: Vec<u8>,
    vendor_ids: VendorIds,
}

impl KeSent {
    fn read(
        &self,
        ctx: &Context<'_>,
        common: &Common,
        message: Message<'_>,
    ) -> Result<ReadKe, Refusal> {
        let chain = clear_payloads(message, 4)?;
        let ke = payload::<Ke<'_>>(&chain, "MAIN MODE 4")?;
        let nonce = payload::<Nonce<'_>>(&chain, "MAIN MODE 4")?;
        let exchanged = (self.nonce.as_slice(), nonce.data);
        let (keys, key_log) = derive(ctx, common, self.agreed, exchanged, &self.key_pair, ke.data)?;
        let mut vendor_ids = common.vendor_ids.clone();
        vendor_ids.receive(&chain);
        Ok(ReadKe {
            keys,
            key_log,
            ke: ke.data.to_vec(),
            vendor_ids,
        })
    }

    fn send_auth(
        self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        read: ReadKe,
    ) -> (AuthSent, Vec<u8>) {
        common.vendor_ids = read.vendor_ids;
        common.hint = None;
        log_key(ctx, common, read.key_log);
        let Self {
            agreed,
            sa_body,
            key_pair,
            ..
        } = self;
        let initiator_ke = key_pair.public_value().to_vec();
        let iv = read.keys.first_iv(&initiator_ke, &read.ke);
        let mut keyed = Keyed {
            agreed,
            keys: read.keys,
            sa_body,
            initiator_ke,
            responder_ke: read.ke,
            iv,
        };
        let bytes = keyed.auth_message(common, Side::Initiator);
        let pending = Pending::sent(ctx.now, vec![bytes.clone()]);
        (AuthSent { keyed, pending }, bytes)
    }
}

/// What message 3 says, and what answers it.
struct ReadInitiatorKe {
    keys: Keys,
    key_log: Option<Secret>,
    key_pair: KeyPair,
    nonce: Vec<u8>,
    ke: Vec<u8>,
    vendor_ids: VendorIds,
}

impl SaAnswered {
    fn read(
        &self,
        ctx: &mut Context<'_>,
        common: &Common,
        message: Message<'_>,
    ) -> Result<ReadInitiatorKe, Refusal> {
        let chain = clear_payloads(message, 3)?;
        let ke = payload::<Ke<'_>>(&chain, "MAIN MODE 3")?;
        let initiator_nonce = payload::<Nonce<'_>>(&chain, "MAIN MODE 3")?;
        let key_pair = generate(self.agreed, ctx.rng)?;
        let nonce = nonce(ctx.rng);
        let exchanged = (initiator_nonce.data, nonce.as_slice());
        let (keys, key_log) = derive(ctx, common, self.agreed, exchanged, &key_pair, ke.data)?;
        let mut vendor_ids = common.vendor_ids.clone();
        vendor_ids.receive(&chain);
        let ke = ke.data.to_vec();
        Ok(ReadInitiatorKe {
            keys,
            key_log,
            key_pair,
            nonce,
            ke,
            vendor_ids,
        })
    }

    fn answer_ke(
        self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        message: Message<'_>,
        read: ReadInitiatorKe,
    ) -> (KeAnswered, Vec<u8>) {
        common.vendor_ids = read.vendor_ids;
        common.hint = None;
        common.expires = ctx.now + KEYED_LIFETIME;
        log_key(ctx, common, read.key_log);
        let bytes = ke_message(common, &read.key_pair, &read.nonce, &self.vendor_ids_left);
        common.vendor_ids.sent.extend(self.vendor_ids_left);
        let responder_ke = read.key_pair.public_value().to_vec();
        let keyed = Keyed {
            agreed: self.agreed,
            iv: read.keys.first_iv(&read.ke, &responder_ke),
            keys: read.keys,
            sa_body: self.sa_body,
            initiator_ke: read.ke,
            responder_ke,
        };
        let answered = Answered::new(message.fingerprint(), vec![bytes.clone()]);
        (KeAnswered { keyed, answered }, bytes)
    }
}

impl KeAnswered {
    fn answer_auth(
        self,
        mut common: Common,
        message: Message<'_>,
        read: ReadAuth,
    ) -> (Proven, Vec<u8>) {
        let Self { mut keyed, .. } = self;
        keyed.iv.clone_from(&read.iv);
        let bytes = keyed.auth_message(&mut common, Side::Responder);
        let answered = Answered::new(message.fingerprint(), vec![bytes.clone()]);
        let read = ReadAuth {
            iv: keyed.iv.clone(),
            ..read
        };
        (keyed.prove(common, read, Some(answered)), bytes)
    }
}

/// What message 5 or 6 says.
struct ReadAuth {
    /// Of the next message: the last block of this one.
    iv: Vec<u8>,
    initial_contact: bool,
    vendor_ids: VendorIds,
}

impl Keyed {
    const fn transcript<'a>(&'a self, common: &'a Common) -> Transcript<'a> {
        Transcript {
            initiator_ke: self.initiator_ke.as_slice(),
            responder_ke: self.responder_ke.as_slice(),
            initiator_cookie: &common.initiator_cookie,
            responder_cookie: &common.responder_cookie,
            sa: self.sa_body.as_slice(),
        }
    }

    /// Message 5 or 6 of ours; the IV moves on.
    fn auth_message(&mut self, common: &mut Common, side: Side) -> Vec<u8> {
        let mut builder = Builder::new();
        let identity = builder.push(&Id::of_address((*common.local.ip()).into()));
        let hash = builder.push_raw(PayloadType::HASH, &vec![0; self.keys.hash_len()]);
        if side == Side::Initiator && common.first_contact {
            //= RFC 2407 4.6.3
            //# Notification Status Messages MUST be sent under the protection of an
            //# ISAKMP SA: either as a payload in the last Main Mode exchange; in a
            //# separate Informational Exchange after Main Mode or Aggressive Mode
            //# processing is complete; or as a payload in any Quick Mode exchange.
            builder.push(&initial_contact(common));
        }
        let mut built = builder
            .finish()
            .expect("an address and a HASH fit a message");
        let digest = self
            .keys
            .authentication(side, &self.transcript(common), built.body(identity));
        built.body_mut(hash).copy_from_slice(digest.as_ref());
        let header = common.header(Flags::ENCRYPTION);
        let mut bytes = built.into_padded_message(header, self.keys.block_len());
        self.iv = self.keys.seal(&self.iv, &mut bytes[Header::LEN..]);
        bytes
    }

    /// Message 5 or 6 of the peer.
    fn read(&self, common: &Common, message: Message<'_>, step: u8) -> Result<ReadAuth, Refusal> {
        if !message.header.flags.contains(Flags::ENCRYPTION) {
            return Err(Refusal::NotEncrypted);
        }
        let undecryptable = Refusal::Undecryptable { first: true };
        let mut clear = Zeroizing::new(message.body.to_vec());
        let Some(iv) = self.keys.open(&self.iv, &mut clear) else {
            return Err(undecryptable);
        };
        let Ok(chain) = Chain::decode(message.header.next_payload, &clear) else {
            return Err(undecryptable);
        };
        let place =
            message_at(ExchangeType::IDENTITY_PROTECTION, step).map_err(Refusal::Illegal)?;
        place.check(&types(&chain)).map_err(Refusal::Illegal)?;
        let identity = chain
            .find(PayloadType::ID)
            .ok_or_else(|| missing(place.name, PayloadType::ID))?;
        let hash = payload::<Hash<'_>>(&chain, place.name)?;
        let side = if step == 5 {
            Side::Initiator
        } else {
            Side::Responder
        };
        let expected = self
            .keys
            .authentication(side, &self.transcript(common), identity.body);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_ref(), hash.data)) {
            return Err(Refusal::BadHash);
        }
        check_identity(
            &identity.decode().map_err(Refusal::Malformed)?,
            *common.peer.ip(),
        )?;
        let mut vendor_ids = common.vendor_ids.clone();
        vendor_ids.receive(&chain);
        let initial_contact = chain
            .all(PayloadType::NOTIFY)
            .filter_map(|raw| raw.decode::<Notify>().ok())
            .any(|notify| notify.ty == NotifyType::INITIAL_CONTACT);
        Ok(ReadAuth {
            iv,
            initial_contact,
            vendor_ids,
        })
    }

    fn prove(self, mut common: Common, read: ReadAuth, answered: Option<Answered>) -> Proven {
        common.vendor_ids = read.vendor_ids;
        Proven {
            common,
            agreed: self.agreed,
            keys: self.keys,
            initiator: answered.is_none(),
            last_block: read.iv,
            answered,
            initial_contact: read.initial_contact,
        }
    }
}

/// The pre-shared key for a peer: that of the longest mask.
pub(super) fn preshared_key(config: &config::Isakmp, peer: Ipv4Addr) -> Option<&Secret> {
    config
        .keys
        .iter()
        .filter(|key| (key.address.to_bits() ^ peer.to_bits()) & key.mask.to_bits() == 0)
        .max_by_key(|key| key.mask.to_bits())
        .map(|key| &key.secret)
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
    let preshared_key =
        preshared_key(ctx.config, *common.peer.ip()).ok_or(Refusal::NoPresharedKey)?;
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

fn initial_contact(common: &Common) -> Notify {
    let mut spi = common.initiator_cookie.to_vec();
    spi.extend(common.responder_cookie);
    Notify {
        doi: common.domain.doi,
        protocol: ProtocolId::ISAKMP,
        ty: NotifyType::INITIAL_CONTACT,
        spi,
        data: Vec::new(),
    }
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
pub(super) fn types(chain: &Chain<'_>) -> Vec<PayloadType> {
    chain.types().collect()
}

fn payload<'a, P: Payload<'a>>(chain: &Chain<'a>, message: &'static str) -> Result<P, Refusal> {
    let raw = chain
        .find(P::TYPE)
        .ok_or_else(|| missing(message, P::TYPE))?;
    raw.decode().map_err(Refusal::Malformed)
}

/// A pre-shared key is for an address, so whoever proves it must be that address.
fn check_identity(identity: &Id, expected: Ipv4Addr) -> Result<(), Refusal> {
    let refusal = |claimed| Err(Refusal::Identity { claimed, expected });
    if identity.address() != Some(expected.into()) {
        return refusal(match identity.address() {
            Some(address) => address.to_string(),
            None => format!("an identity of type {}", identity.ty),
        });
    }
    //= RFC 2407 4.6.2
    //# During Phase I negotiations, the ID port and protocol fields MUST be
    //# set to zero or to UDP port 500.
    // RFC 6407 moves phase 1 to port 848, and some peers say so here.
    match (identity.protocol, identity.port) {
        (0, 0) | (17, 0 | 500 | 848) => Ok(()),
        (protocol, port) => refusal(format!("protocol {protocol} port {port}")),
    }
}

//! The responder's half of main mode.

use std::net::SocketAddrV4;

use crypto::Secret;
use crypto::dh::KeyPair;
use wire::iana::PayloadType;
use wire::isakmp::{Builder, Flags, Header, Ke, Nonce, Sa as SaPayload, VendorId};

use super::auth::{Keyed, ReadAuth};
use super::{
    Common, Context, Message, Negotiation, Proven, State, clear_payloads, cookie, derive, generate,
    ke_message, log_key, nonce, payload, random,
};
use crate::ike::api::SaId;
use crate::ike::keys::{Keys, Side};
use crate::ike::proposal::{self, Agreed, Domain};
use crate::ike::refusal::{Refusal, missing};
use crate::ike::retransmit::{Answered, Fingerprint};
use crate::ike::vendor::{self, VendorIds};
use crate::limits::{AMPLIFICATION_MAX, HALF_OPEN_LIFETIME, KEYED_LIFETIME};

/// Responder, message 2 is out.
pub(in crate::ike) struct SaAnswered {
    pub(super) agreed: Agreed,
    pub(super) sa_body: Vec<u8>,
    /// Vendor ids that did not fit into message 2.
    vendor_ids_left: Vec<Vec<u8>>,
    pub(super) answered: Answered,
}

/// Responder, message 4 is out.
pub(in crate::ike) struct KeAnswered {
    pub(super) keyed: Keyed,
    pub(super) answered: Answered,
}

/// Answers message 1: the state that waits for message 3, and message 2.
///
/// # Errors
/// Why there is no negotiation; nothing was kept.
pub(in crate::ike) fn answer(
    ctx: &mut Context<'_>,
    id: SaId,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    message: Message<'_>,
) -> Result<(Negotiation, Vec<u8>), Refusal> {
    if ctx.preshared.find(*peer.ip()).is_none() {
        return Err(Refusal::NoPresharedKey);
    }
    let fingerprint = message.fingerprint();
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
        seen: vec![fingerprint],
        computations: 0,
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
        answered: Answered::new(fingerprint, vec![bytes.clone()]),
    });
    Ok((Negotiation { common, state }, bytes))
}

/// What message 3 says, and what answers it.
pub(super) struct ReadInitiatorKe {
    pub(super) keys: Keys,
    key_log: Option<Secret>,
    key_pair: KeyPair,
    nonce: Vec<u8>,
    ke: Vec<u8>,
    /// The vendor ids that it brings.
    pub(super) vendor_ids: Vec<Vec<u8>>,
}

impl SaAnswered {
    pub(super) fn read(
        &self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        message: Message<'_>,
    ) -> Result<ReadInitiatorKe, Refusal> {
        let chain = clear_payloads(message, 3)?;
        let ke = payload::<Ke<'_>>(&chain, "MAIN MODE 3")?;
        let initiator_nonce = payload::<Nonce<'_>>(&chain, "MAIN MODE 3")?;
        common.compute()?;
        let key_pair = generate(self.agreed, ctx.rng)?;
        let nonce = nonce(ctx.rng);
        let exchanged = (initiator_nonce.data, nonce.as_slice());
        let (keys, key_log) = derive(ctx, common, self.agreed, exchanged, &key_pair, ke.data)?;
        let vendor_ids = common.vendor_ids.read(&chain);
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

    pub(super) fn answer_ke(
        self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        question: Fingerprint,
        read: ReadInitiatorKe,
    ) -> (KeAnswered, Vec<u8>) {
        common.vendor_ids.received.extend(read.vendor_ids);
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
        let answered = Answered::new(question, vec![bytes.clone()]);
        (KeAnswered { keyed, answered }, bytes)
    }
}

impl KeAnswered {
    pub(super) fn answer_auth(
        self,
        mut common: Common,
        question: Fingerprint,
        read: ReadAuth,
    ) -> (Proven, Vec<u8>) {
        let Self { mut keyed, .. } = self;
        keyed.iv.clone_from(&read.iv);
        let bytes = keyed.auth_message(&mut common, Side::Responder);
        let answered = Answered::new(question, vec![bytes.clone()]);
        let read = ReadAuth {
            iv: keyed.iv.clone(),
            ..read
        };
        (keyed.prove(common, read, Some(answered)), bytes)
    }
}

//! The initiator's half of main mode.

use std::net::SocketAddrV4;

use crypto::dh::KeyPair;
use policy::Time;
use wire::isakmp::{Builder, Flags, Ke, Nonce, Sa as SaPayload};

use super::auth::Keyed;
use super::{
    Common, Context, Message, Negotiation, State, clear_payloads, cookie, derive, generate,
    ke_message, log_key, nonce, payload, push_vendor_ids, random,
};
use crate::config::IsakmpPolicy;
use crate::ike::api::SaId;
use crate::ike::keys::{Keys, Side};
use crate::ike::proposal::{self, Agreed, Domain};
use crate::ike::refusal::{Failure, Refusal};
use crate::ike::retransmit::Pending;
use crate::ike::vendor::{self, VendorIds};
use crypto::Secret;

/// Initiator, message 1 is out.
pub(in crate::ike) struct SaSent {
    policies: Vec<IsakmpPolicy>,
    offer: SaPayload,
    pub(super) sa_body: Vec<u8>,
    pub(super) pending: Pending,
}

/// Initiator, message 3 is out.
pub(in crate::ike) struct KeSent {
    pub(super) agreed: Agreed,
    pub(super) sa_body: Vec<u8>,
    key_pair: KeyPair,
    nonce: Vec<u8>,
    pub(super) pending: Pending,
}

/// Initiator, message 5 is out.
pub(in crate::ike) struct AuthSent {
    pub(super) keyed: Keyed,
    pub(super) pending: Pending,
}

/// Begins a negotiation: the state that waits for message 2, and message 1.
///
/// # Errors
/// When nothing is configured that could be offered.
pub(in crate::ike) fn begin(
    ctx: &mut Context<'_>,
    id: SaId,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    first_contact: bool,
) -> Result<(Negotiation, Vec<u8>), Failure> {
    if ctx.preshared.find(*peer.ip()).is_none() {
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
        seen: Vec::new(),
        computations: 0,
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
        policies: ctx.config.policies.clone(),
        offer,
        sa_body,
        pending,
    });
    Ok((Negotiation { common, state }, bytes))
}

/// What message 2 says.
pub(super) struct ReadSa {
    pub(super) agreed: Agreed,
    key_pair: KeyPair,
    pub(super) vendor_ids: Vec<Vec<u8>>,
}

impl SaSent {
    pub(super) fn read(
        &self,
        ctx: &mut Context<'_>,
        message: Message<'_>,
    ) -> Result<ReadSa, Refusal> {
        let chain = clear_payloads(message, 2)?;
        let answer = payload::<SaPayload>(&chain, "MAIN MODE 2")?;
        let agreed = proposal::confirm(&self.policies, &self.offer, &answer)?;
        let mut vendor_ids = VendorIds::default();
        vendor_ids.receive(&chain);
        Ok(ReadSa {
            agreed,
            key_pair: generate(agreed, ctx.rng)?,
            vendor_ids: vendor_ids.received,
        })
    }

    pub(super) fn send_ke(
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
pub(super) struct ReadKe {
    pub(super) keys: Keys,
    key_log: Option<Secret>,
    ke: Vec<u8>,
    /// The vendor ids that it brings.
    pub(super) vendor_ids: Vec<Vec<u8>>,
}

impl KeSent {
    pub(super) fn read(
        &self,
        ctx: &Context<'_>,
        common: &mut Common,
        message: Message<'_>,
    ) -> Result<ReadKe, Refusal> {
        let chain = clear_payloads(message, 4)?;
        let ke = payload::<Ke<'_>>(&chain, "MAIN MODE 4")?;
        let nonce = payload::<Nonce<'_>>(&chain, "MAIN MODE 4")?;
        common.compute()?;
        let exchanged = (self.nonce.as_slice(), nonce.data);
        let (keys, key_log) = derive(ctx, common, self.agreed, exchanged, &self.key_pair, ke.data)?;
        let vendor_ids = common.vendor_ids.read(&chain);
        Ok(ReadKe {
            keys,
            key_log,
            ke: ke.data.to_vec(),
            vendor_ids,
        })
    }

    pub(super) fn send_auth(
        self,
        ctx: &mut Context<'_>,
        common: &mut Common,
        read: ReadKe,
    ) -> (AuthSent, Vec<u8>) {
        common.vendor_ids.received.extend(read.vendor_ids);
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

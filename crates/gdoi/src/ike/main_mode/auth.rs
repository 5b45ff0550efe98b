//! Messages 5 and 6: who both are, proven by the pre-shared key.

use std::net::Ipv4Addr;

use wire::iana::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use wire::isakmp::{Builder, Chain, Flags, Hash, Header, Id, Notify};
use zeroize::Zeroizing;

use super::{Common, Message, Proven, payload, types};
use crate::exchange::message_at;
use crate::ike::keys::{Keys, Side, Transcript};
use crate::ike::proposal::Agreed;
use crate::ike::refusal::{Refusal, missing};
use crate::ike::retransmit::Answered;

/// What both roles have once there are keys.
pub(in crate::ike) struct Keyed {
    pub(super) agreed: Agreed,
    pub(super) keys: Keys,
    pub(super) sa_body: Vec<u8>,
    pub(super) initiator_ke: Vec<u8>,
    pub(super) responder_ke: Vec<u8>,
    /// Of the next encrypted message.
    pub(super) iv: Vec<u8>,
}

/// What message 5 or 6 says.
pub(in crate::ike) struct ReadAuth {
    /// Of the next message: the last block of this one.
    pub(super) iv: Vec<u8>,
    pub(super) initial_contact: bool,
    /// The vendor ids that it brings.
    pub(super) vendor_ids: Vec<Vec<u8>>,
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
    pub(super) fn auth_message(&mut self, common: &mut Common, side: Side) -> Vec<u8> {
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
    pub(super) fn read(
        &self,
        common: &Common,
        message: Message<'_>,
        step: u8,
    ) -> Result<ReadAuth, Refusal> {
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
        let vendor_ids = common.vendor_ids.read(&chain);
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

    pub(super) fn prove(
        self,
        mut common: Common,
        read: ReadAuth,
        answered: Option<Answered>,
    ) -> Proven {
        common.vendor_ids.received.extend(read.vendor_ids);
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

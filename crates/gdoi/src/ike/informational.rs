//! The informational exchange: notifications, deletes and keepalives (RFC 2409 section 5.7).
//!
//! Under an SA it is one message, HASH(1) first, believed and never answered but for R-U-THERE. In
//! clear anyone can have written it, so it changes nothing.

use std::net::Ipv4Addr;

use crypto::Rng;
use event::Crypto;
use policy::Time;
use wire::iana::{Doi, ExchangeType, NotifyType, PayloadType, ProtocolId};
use wire::isakmp::{Builder, Chain, Delete, Flags, Header, Notify, Payload};

use super::api::{SaId, SendError, Upcall};
use super::dpd::Due;
use super::engine::Isakmp;
use super::main_mode::Message;
use super::refusal::Refusal;
use super::retransmit::Fingerprint;
use super::sa::Sa;
use crate::machine::Outbox;

/// A notification in clear that answers a message which has no SA.
pub(super) fn clear_notify(to: &Header, ty: NotifyType) -> Vec<u8> {
    let mut builder = Builder::new();
    builder.push(&Notify {
        doi: Doi::ISAKMP,
        protocol: ProtocolId::ISAKMP,
        ty,
        spi: Vec::new(),
        data: Vec::new(),
    });
    let built = builder
        .finish()
        .expect("a notification without data fits a message");
    let message_id = Fingerprint::of(&to.encode()).message_id();
    built.into_message(Header::new(
        to.initiator_cookie,
        to.responder_cookie,
        ExchangeType::INFORMATIONAL,
        Flags::NONE,
        message_id,
    ))
}

/// What a message in clear notifies.
///
/// # Errors
/// When it is no chain of payloads, or one of its notifications is malformed.
pub(super) fn clear_notifies(message: Message<'_>) -> Result<Vec<NotifyType>, Refusal> {
    let chain = Chain::decode_exact(message.header.next_payload, message.body)
        .map_err(Refusal::Malformed)?;
    chain
        .all(PayloadType::NOTIFY)
        .map(|raw| {
            raw.decode::<Notify>()
                .map(|notify| notify.ty)
                .map_err(Refusal::Malformed)
        })
        .collect()
}

fn protect<'a, P: Payload<'a>>(
    sa: &mut Sa,
    payload: &P,
    rng: &mut dyn Rng,
) -> Result<Vec<u8>, SendError> {
    let mut builder = Builder::new();
    builder.push(payload);
    let built = builder.finish().map_err(SendError::Malformed)?;
    let chain =
        Chain::decode_exact(built.first(), built.payloads()).map_err(SendError::Malformed)?;
    sa.send_once(ExchangeType::INFORMATIONAL, &chain, rng)
}

/// A notification under an SA, about it.
pub(super) fn notify(
    sa: &mut Sa,
    ty: NotifyType,
    data: &[u8],
    rng: &mut dyn Rng,
) -> Result<Vec<u8>, SendError> {
    let notify = Notify {
        doi: sa.domain.doi,
        protocol: ProtocolId::ISAKMP,
        ty,
        spi: sa.spi().to_vec(),
        data: data.to_vec(),
    };
    protect(sa, &notify, rng)
}

/// The end of an SA, told to the peer.
pub(super) fn delete(sa: &mut Sa, rng: &mut dyn Rng) -> Result<Vec<u8>, SendError> {
    let delete = Delete::isakmp(sa.domain.doi, sa.spi());
    protect(sa, &delete, rng)
}

/// What an SA's keepalive asks for now.
pub(super) enum Keepalive {
    /// Nothing.
    Nothing,
    /// Send this R-U-THERE.
    Ask(Vec<u8>),
    /// No message id is left to ask with: the SA is of no more use, whatever the peer is.
    Spent,
    /// The peer is dead.
    Dead {
        /// Questions without an answer.
        unanswered: u32,
    },
}

/// Looks after the keepalive of an SA.
pub(super) fn keepalive(sa: &mut Sa, now: Time, keepalive_s: u16, rng: &mut dyn Rng) -> Keepalive {
    match sa.dpd.due(now, keepalive_s) {
        Due::Wait => Keepalive::Nothing,
        Due::Dead => Keepalive::Dead {
            unanswered: sa.dpd.sendings_max(),
        },
        Due::Ask(number) => {
            let data = number.to_be_bytes();
            match notify(sa, NotifyType::R_U_THERE, &data, rng) {
                Ok(bytes) => Keepalive::Ask(bytes),
                Err(_) => Keepalive::Spent,
            }
        }
    }
}

impl Isakmp {
    /// A verified informational message under an SA.
    pub(super) fn informational(
        &mut self,
        now: Time,
        id: SaId,
        (first, payloads): (PayloadType, &[u8]),
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let chain = Chain::decode_exact(first, payloads).map_err(Refusal::Malformed)?;
        for raw in chain.all(PayloadType::NOTIFY) {
            let notify = raw.decode::<Notify>().map_err(Refusal::Malformed)?;
            self.notified(now, id, &notify, rng, out)?;
        }
        for raw in chain.all(PayloadType::DELETE) {
            let delete = raw.decode::<Delete>().map_err(Refusal::Malformed)?;
            self.deleted(id, &delete);
        }
        Ok(())
    }

    fn notified(
        &mut self,
        now: Time,
        id: SaId,
        notify: &Notify,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        match notify.ty {
            NotifyType::R_U_THERE => return self.asked(now, id, notify, rng, out),
            NotifyType::R_U_THERE_ACK => {
                let number = dpd_number(notify)?;
                if let Some(sa) = self.sa_mut(id) {
                    sa.dpd.answer(now, number)?;
                }
                return Ok(());
            }
            NotifyType::INITIAL_CONTACT => {
                self.drop_older_than(id);
                return Ok(());
            }
            _ => {}
        }
        // RESPONDER-LIFETIME, CONNECTED and their like end nothing.
        if !notify.ty.is_error() {
            return Ok(());
        }
        if let Some(peer) = self.sa(id).map(|sa| *sa.peer().ip()) {
            self.report_notify(now, peer, notify.ty, out);
        }
        self.raise(Upcall::Notify {
            sa: id,
            notify: notify.ty,
            data: notify.data.clone(),
        });
        Ok(())
    }

    fn report_notify(&mut self, now: Time, peer: Ipv4Addr, ty: NotifyType, out: &mut Outbox) {
        if self.reports.notified_under_sa(now, peer, ty) {
            out.report(Crypto::IKMP_PEER_NOTIFY {
                peer: peer.into(),
                notify: ty.to_string(),
                protection: "authenticated".to_owned(),
            });
        }
    }

    /// R-U-THERE.
    fn asked(
        &mut self,
        now: Time,
        id: SaId,
        question: &Notify,
        rng: &mut dyn Rng,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let number = dpd_number(question)?;
        let Some(sa) = self.sa_mut(id) else {
            return Err(Refusal::NoSa);
        };
        if question.spi != sa.spi() {
            return Err(Refusal::BadKeepalive("its SPI is not the SA's cookies"));
        }
        sa.dpd.question(now, number)?;
        //= RFC 3706 6.1
        //# A responder to an R-U-THERE message MUST send an
        //# R-U-THERE-ACK with the same sequence number.
        let answer = notify(sa, NotifyType::R_U_THERE_ACK, &number.to_be_bytes(), rng);
        let (local, peer) = (sa.local, sa.peer);
        if let Ok(bytes) = answer {
            self.transmit(local, peer, [bytes], out);
        }
        Ok(())
    }

    /// The peer deletes SAs with us. Only its own: a Delete says nothing about other peers'.
    fn deleted(&mut self, id: SaId, delete: &Delete) {
        if delete.protocol != ProtocolId::ISAKMP.0 {
            return;
        }
        let Some(peer) = self.sa(id).map(|sa| *sa.peer().ip()) else {
            return;
        };
        let named = |sa: &Sa| delete.iter().any(|spi| spi == sa.spi());
        let ids = self.established_with(peer).into_iter();
        let gone = ids.filter(|id| self.sa(*id).is_some_and(named)).collect();
        self.drop_all(gone);
    }
}

fn dpd_number(notify: &Notify) -> Result<u32, Refusal> {
    //= RFC 3706 5.3
    //# Notification Data (4 octets) - MUST be set to the sequence number
    //# corresponding to this message
    let octets = <[u8; 4]>::try_from(notify.data.as_slice());
    octets
        .map(u32::from_be_bytes)
        .map_err(|_| Refusal::BadKeepalive("its number has not 4 octets"))
}

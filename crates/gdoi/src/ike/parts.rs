//! Messages that are larger than a datagram should be, in parts (PROTOCOL P4).
//!
//! Only under an established SA and, when sending, only to a peer that proved to be a getvpn; a
//! part that arrives proves that by its MAC. Each part stands alone, so no forged one can take a
//! place: the MAC covers cookies, exchange, message id, numbers, direction and octets. What was
//! assembled is an ordinary protected message and is judged as such.

use std::collections::BTreeMap;

use crypto::Secret;
use crypto::hash::Hash;
use crypto::hmac;
use policy::Time;
use wire::iana::ExchangeType;
use wire::isakmp::Header;
use wire::private::Part;

use super::main_mode::Message;
use super::refusal::Refusal;
use crate::limits::{
    ASSEMBLIES_PER_SA_MAX, ASSEMBLY_LIFETIME, PART_BODY_OCTETS, PART_THRESHOLD_OCTETS, PARTS_MAX,
};

/// The prf under which parts are authenticated, whatever the SA negotiated.
const MAC_HASH: Hash = Hash::Sha256;

/// Whether a message goes in parts.
pub(super) const fn is_long(datagram: &[u8]) -> bool {
    datagram.len() > PART_THRESHOLD_OCTETS
}

/// Cuts a message, if it is long, into parts under `key`.
///
/// `None` if it would need too many.
//= getvpn P4
pub(super) fn cut(key: &Secret, from_initiator: bool, datagram: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    if !is_long(&datagram) {
        return Some(vec![datagram]);
    }
    let header = Header::decode(&datagram).ok()?;
    let total = u8::try_from(datagram.len().div_ceil(PART_BODY_OCTETS)).ok()?;
    if total > PARTS_MAX {
        return None;
    }
    let digest = Hash::Sha256.digest(&[&datagram]);
    let serial = *digest.as_ref().first_chunk::<4>()?;
    let key = hmac::Key::new(MAC_HASH, key.expose());
    let parts = datagram
        .chunks(PART_BODY_OCTETS)
        .zip(1..=total)
        .map(|(body, number)| {
            let mut part = Part {
                exchange: header.exchange_type,
                number,
                total,
                serial: u32::from_be_bytes(serial),
                mac: [0; 16],
                body,
            };
            part.mac = mac(&key, &header, from_initiator, &part);
            part.encode(header)
        });
    Some(parts.collect())
}

fn mac(key: &hmac::Key, header: &Header, from_initiator: bool, part: &Part<'_>) -> [u8; 16] {
    let digest = key.sign(&[
        &[u8::from(from_initiator)],
        &header.initiator_cookie,
        &header.responder_cookie,
        &header.message_id.to_be_bytes(),
        &[part.exchange.0, part.number, part.total],
        &part.serial.to_be_bytes(),
        part.body,
    ]);
    let mut mac = [0; 16];
    mac.copy_from_slice(&digest.as_ref()[..16]);
    mac
}

/// A message of which parts have come.
struct Assembly {
    exchange: ExchangeType,
    serial: u32,
    parts: Vec<Option<Vec<u8>>>,
    ends: Time,
}

/// The messages in assembly under one SA, one per message id.
#[derive(Default)]
pub(super) struct Assemblies {
    by_message_id: BTreeMap<u32, Assembly>,
}

impl Assemblies {
    /// Takes a part; the message when it was the last one missing.
    ///
    /// # Errors
    /// A part of another form, with a wrong MAC, or that contradicts those before it.
    pub(super) fn receive(
        &mut self,
        now: Time,
        key: &Secret,
        from_initiator: bool,
        message: Message<'_>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let part = Part::decode(message.body).map_err(Refusal::Malformed)?;
        let key = hmac::Key::new(MAC_HASH, key.expose());
        let expected = mac(&key, &message.header, from_initiator, &part);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], &part.mac[..])) {
            return Err(Refusal::BadPart("its MAC does not verify"));
        }
        if part.total > PARTS_MAX || part.body.len() > PART_BODY_OCTETS {
            return Err(Refusal::BadPart(
                "more or longer parts than a message may have",
            ));
        }
        if part.exchange == ExchangeType::GETVPN_PART {
            return Err(Refusal::BadPart("a part within a part"));
        }
        let message_id = message.header.message_id;
        let is_same = |assembly: &Assembly| {
            assembly.serial == part.serial
                && assembly.exchange == part.exchange
                && assembly.parts.len() == usize::from(part.total)
        };
        if !self.by_message_id.get(&message_id).is_some_and(is_same) {
            self.begin(now, message_id, &part);
        }
        let Some(assembly) = self.by_message_id.get_mut(&message_id) else {
            return Ok(None);
        };
        let place = usize::from(part.number - 1);
        assembly.parts[place].get_or_insert_with(|| part.body.to_vec());
        if assembly.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let assembly = self.by_message_id.remove(&message_id);
        Ok(assembly.map(|assembly| assembly.parts.into_iter().flatten().flatten().collect()))
    }

    fn begin(&mut self, now: Time, message_id: u32, part: &Part<'_>) {
        if self.by_message_id.len() >= ASSEMBLIES_PER_SA_MAX
            && !self.by_message_id.contains_key(&message_id)
        {
            let oldest = self
                .by_message_id
                .iter()
                .min_by_key(|(_, assembly)| assembly.ends);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.by_message_id.remove(&oldest);
            }
        }
        let assembly = Assembly {
            exchange: part.exchange,
            serial: part.serial,
            parts: vec![None; usize::from(part.total)],
            ends: now + ASSEMBLY_LIFETIME,
        };
        self.by_message_id.insert(message_id, assembly);
    }

    /// Lets go of what did not arrive in time.
    pub(super) fn expire(&mut self, now: Time) {
        self.by_message_id.retain(|_, assembly| now < assembly.ends);
    }

    /// When the next one runs out of time.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.by_message_id
            .values()
            .map(|assembly| assembly.ends)
            .min()
    }
}

//! The messages of GROUPKEY-PULL (RFC 6407 section 3), both roles.
//!
//! ```text
//!  Initiator (member)                    Responder (key server)
//!  1  HDR*, HASH(1), Ni, ID          -->
//!                                    <-- 2  HDR*, HASH(2), Nr, SA
//!  3  HDR*, HASH(3) [, GAP]          -->
//!                                    <-- 4  HDR*, HASH(4), [SEQ,] KD
//! ```
//!
//! Encryption, HASH and repetition are `ike`'s. Decides which payloads say what; what a member or
//! key server makes of it is decided in `gm::registration` and `ks::registration`.

use policy::{GroupId, GroupSize, PeerKind, Sid, Spi};
use wire::gdoi::{Gap, Kd, Sa, Seq};
use wire::iana::{GapAttribute, PayloadType};
use wire::isakmp::{Attribute, Builder, Built, Chain, Id, Nonce, Value};
use wire::private::SidsHeld;

use crate::group_sa::{Grant, Offer, Received, Unacceptable};

/// The member's side of one PULL.
pub(crate) struct Initiator {
    nonce: Vec<u8>,
    peer_nonce: Vec<u8>,
}

/// What message 2 says.
pub(crate) struct Message2 {
    /// The responder's nonce.
    pub(crate) nonce: Vec<u8>,
    /// The SA payload.
    pub(crate) sa: Sa,
}

/// What message 4 says.
pub(crate) struct Message4 {
    /// The last sequence number that was used under the Rekey SA.
    pub(crate) seq: Option<u32>,
    /// The keys.
    pub(crate) received: Received,
}

impl Initiator {
    /// Message 1, and the state that waits for message 2.
    ///
    /// # Errors
    /// When the nonce does not fit its field.
    pub(crate) fn begin(group: GroupId, nonce: Vec<u8>) -> Result<(Self, Built), wire::Error> {
        let mut builder = Builder::new();
        builder.push(&Nonce { data: &nonce });
        builder.push(&match group {
            GroupId::Number(number) => Id::group_number(number),
            GroupId::Address(address) => Id::of_address(address.into()),
        });
        let state = Self {
            nonce,
            peer_nonce: Vec::new(),
        };
        Ok((state, builder.finish()?))
    }

    /// Reads message 2.
    ///
    /// # Errors
    /// What is malformed.
    pub(crate) fn read_2(
        &mut self,
        first: PayloadType,
        payloads: &[u8],
    ) -> Result<Message2, wire::Error> {
        let chain = Chain::decode(first, payloads)?;
        let nonce = Nonce::decode_pull(required(&chain, PayloadType::NONCE)?.body)?;
        let sa: Sa = required(&chain, PayloadType::SA)?.decode()?;
        self.peer_nonce = nonce.data.to_vec();
        Ok(Message2 {
            nonce: nonce.data.to_vec(),
            sa,
        })
    }

    /// Message 3: asks for sender identifiers when one is not enough (RFC 6407 section 3.5).
    ///
    /// # Errors
    /// When there are more identifiers than a payload holds.
    pub(crate) fn message_3(
        workers: u16,
        held: Option<(GroupSize, &[Sid])>,
        spent: Option<Spi>,
        kind: PeerKind,
    ) -> Result<Built, wire::Error> {
        let mut builder = Builder::new();
        let spent = spent.filter(|_| kind == PeerKind::Ours).map(key_spent);
        let sids_held = held
            .filter(|(_, sids)| kind == PeerKind::Ours && !sids.is_empty())
            .map(|(size, sids)| {
                let mut sids: Vec<u32> = sids.iter().map(|sid| sid.0).collect();
                sids.sort_unstable();
                SidsHeld {
                    bits: size.bits(),
                    sids,
                }
                .attribute()
            })
            .transpose()?;
        let gap = Gap {
            sender_id_request: (workers > 1).then_some(workers),
            other: sids_held.into_iter().chain(spent).collect(),
            ..Gap::default()
        };
        if gap != Gap::default() {
            builder.push(&gap);
        }
        builder.finish()
    }

    /// Reads message 4, the answer to an offer.
    ///
    /// # Errors
    /// What is malformed or cannot be followed.
    pub(crate) fn read_4(
        first: PayloadType,
        payloads: &[u8],
        offer: &Offer,
        kind: PeerKind,
    ) -> Result<Message4, Unacceptable> {
        let chain = Chain::decode(first, payloads)?;
        let seq = chain.find(PayloadType::SEQ);
        let seq: Option<Seq> = seq.map(wire::isakmp::Raw::decode).transpose()?;
        let kd: Kd<'_> = required(&chain, PayloadType::KD)?.decode()?;
        // A Rekey SA comes with its counter, and the counter with nothing else (RFC 6407 3.2).
        if seq.is_some() != offer.kek.is_some() {
            return Err(crate::group_sa::unsupported(
                "message 4 whose SEQ does not fit the SAK of message 2",
            ));
        }
        Ok(Message4 {
            seq: seq.map(|seq| seq.0),
            received: Received::from_wire(&kd, offer, kind)?,
        })
    }

    /// The bodies of both nonces, the member's first.
    pub(crate) fn nonces(&self) -> [&[u8]; 2] {
        [&self.nonce, &self.peer_nonce]
    }
}

/// The key server's side of one PULL.
pub(crate) struct Responder {
    nonce: Vec<u8>,
    peer_nonce: Vec<u8>,
}

/// What message 1 says.
pub(crate) struct Message1 {
    /// The member's nonce.
    pub(crate) nonce: Vec<u8>,
    /// The group; `None` for an identity that is none.
    pub(crate) group: Option<GroupId>,
    /// The identity as the member says it.
    pub(crate) id: Id,
}

/// What message 3 says.
pub(crate) struct Message3 {
    /// How many sender identifiers are asked for; one when it does not say.
    pub(crate) workers: u16,
    /// The key that the member has nearly used up.
    pub(crate) spent: Option<Spi>,
    /// The sender identifiers that it holds.
    pub(crate) held: Option<SidsHeld>,
}

impl Default for Message3 {
    fn default() -> Self {
        Self {
            workers: 1,
            spent: None,
            held: None,
        }
    }
}

impl Message1 {
    /// Reads message 1.
    ///
    /// # Errors
    /// What is malformed.
    pub(crate) fn read(first: PayloadType, payloads: &[u8]) -> Result<Self, wire::Error> {
        let chain = Chain::decode(first, payloads)?;
        let nonce = Nonce::decode_pull(required(&chain, PayloadType::NONCE)?.body)?;
        let id: Id = required(&chain, PayloadType::ID)?.decode()?;
        let group = id.as_group_number().map(GroupId::Number).or_else(|| {
            id.address().and_then(|address| match address {
                std::net::IpAddr::V4(address) => Some(GroupId::Address(address)),
                std::net::IpAddr::V6(_) => None,
            })
        });
        Ok(Self {
            nonce: nonce.data.to_vec(),
            group,
            id,
        })
    }
}

impl Responder {
    /// Message 2, and the state that waits for message 3.
    ///
    /// # Errors
    /// When the offer does not fit its fields.
    pub(crate) fn answer(
        message_1: &Message1,
        nonce: Vec<u8>,
        offer: &Offer,
        kind: PeerKind,
    ) -> Result<(Self, Built), wire::Error> {
        let mut builder = Builder::new();
        builder.push(&Nonce { data: &nonce });
        builder.push(&offer.to_wire(kind)?);
        let state = Self {
            nonce,
            peer_nonce: message_1.nonce.clone(),
        };
        Ok((state, builder.finish()?))
    }

    /// Reads message 3.
    ///
    /// # Errors
    /// What is malformed.
    pub(crate) fn read_3(first: PayloadType, payloads: &[u8]) -> Result<Message3, wire::Error> {
        let chain = Chain::decode(first, payloads)?;
        let gap = chain.find(PayloadType::GAP);
        let gap: Option<Gap> = gap.map(wire::isakmp::Raw::decode).transpose()?;
        let Some(gap) = gap else {
            return Ok(Message3::default());
        };
        let class = GapAttribute::GETVPN_KEY_SPENT.0;
        let spent = gap.other.iter().find(|own| own.class == class);
        let spi = spent.and_then(|own| match &own.value {
            Value::Variable(octets) => <[u8; 4]>::try_from(&octets[..]).ok(),
            Value::Basic(_) => None,
        });
        let spi = spi.map(|octets| Spi(u32::from_be_bytes(octets)));
        Ok(Message3 {
            workers: gap.sender_id_request.unwrap_or(1),
            spent: spi,
            held: SidsHeld::find(&gap.other)?,
        })
    }

    /// Message 4.
    ///
    /// # Errors
    /// When the keys do not fit their fields.
    pub(crate) fn message_4(
        seq: Option<u32>,
        grant: &Grant<'_>,
        kind: PeerKind,
    ) -> Result<Built, wire::Error> {
        let mut builder = Builder::new();
        if let Some(seq) = seq {
            builder.push(&Seq(seq));
        }
        grant.with_wire(kind, |kd| builder.push(kd))?;
        builder.finish()
    }

    /// The bodies of both nonces, the member's first.
    pub(crate) fn nonces(&self) -> [&[u8]; 2] {
        [&self.peer_nonce, &self.nonce]
    }
}

/// The attribute that names a key which a member has nearly used up.
//= getvpn P23
fn key_spent(spi: Spi) -> Attribute<'static> {
    Attribute {
        class: GapAttribute::GETVPN_KEY_SPENT.0,
        value: Value::Variable(spi.0.to_be_bytes().to_vec().into()),
    }
}

fn required<'c, 'a>(
    chain: &'c Chain<'a>,
    ty: PayloadType,
) -> Result<&'c wire::isakmp::Raw<'a>, wire::Error> {
    chain.find(ty).ok_or_else(|| wire::Error {
        what: "GROUPKEY-PULL message",
        kind: wire::Kind::Missing {
            part: ty.name().unwrap_or("a payload"),
        },
    })
}

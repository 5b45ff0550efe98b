//! The payloads of a GROUPKEY-PUSH ACK; how its hash is keyed is decided by `gdoi`.

use crate::codec::{Error, Kind};
use crate::gdoi::seq::Seq;
use crate::iana::PayloadType;
use crate::isakmp::hash::Hash;
use crate::isakmp::id::Id;
use crate::isakmp::notify::Notify;
use crate::isakmp::payload::{Chain, Payload};

const WHAT: &str = "GROUPKEY-PUSH ACK";

/// `HDR, HASH, SEQ, ID` (RFC 8263 section 3), in the clear; ours adds a Notification (PROTOCOL P8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// prf over `authenticated`.
    pub hash: &'a [u8],
    /// The octets that the hash covers: all payloads after it, generic headers included.
    pub authenticated: &'a [u8],
    /// Of the PUSH that is acknowledged.
    pub seq: Seq,
    /// The member's address.
    pub id: Id,
    /// What the member did with the PUSH; only ours send it.
    pub notify: Option<Notify>,
}

impl<'a> Ack<'a> {
    /// The payloads behind the header of an ACK.
    ///
    /// # Errors
    /// Anything but HASH, SEQ, ID and possibly N, in this order, or a malformed one of these.
    pub fn decode(first: PayloadType, bytes: &'a [u8]) -> Result<Self, Error> {
        let chain = Chain::decode_exact(first, bytes)?;
        let (known, notify) = match chain.payloads.as_slice() {
            [hash, seq, id] => ([hash, seq, id], None),
            [hash, seq, id, notify] if notify.ty == PayloadType::NOTIFY => {
                ([hash, seq, id], Some(notify))
            }
            _ => {
                return Err(Error {
                    what: WHAT,
                    kind: Kind::Value {
                        field: "number of payloads",
                        value: chain.payloads.len() as u64,
                        expected: "3 (HASH, SEQ, ID), or 4 with N",
                    },
                });
            }
        };
        let [hash, seq, id] = known;
        for (raw, ty, expected) in [
            (hash, PayloadType::HASH, "HASH (8) first"),
            (seq, PayloadType::SEQ, "SEQ (18) second"),
            (id, PayloadType::ID, "ID (5) third"),
        ] {
            if raw.ty != ty {
                return Err(Error {
                    what: WHAT,
                    kind: Kind::Value {
                        field: "payload type",
                        value: raw.ty.0.into(),
                        expected,
                    },
                });
            }
        }
        Ok(Self {
            hash: hash.decode::<Hash<'_>>()?.data,
            authenticated: &bytes[hash.whole.len()..],
            seq: Seq::decode(seq.body)?,
            id: Id::decode(id.body)?,
            notify: notify.map(|raw| Notify::decode(raw.body)).transpose()?,
        })
    }
}

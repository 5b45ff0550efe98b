//! The payload chain: generic headers, in both directions.
//!
//! Decides where each payload begins and ends, and keeps its octets as they stand, because hashes
//! and signatures go over those. Which payloads a message may have is not decided here.

use std::ops::Range;

use crate::codec::{Error, Kind, Reader, Writer, wipe};
use crate::iana::PayloadType;
use crate::isakmp::header::Header;
use crate::limits::PAYLOADS_MAX;

/// Octets of the generic payload header (RFC 2408 section 3.2).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
pub const GENERIC_HEADER_LEN: usize = 4;

/// What stands behind a generic header.
pub trait Payload<'a>: Sized {
    /// The number that the payload before it, or the header, names it with.
    const TYPE: PayloadType;

    /// Reads the body: everything behind the generic header.
    ///
    /// # Errors
    /// What is malformed, and how.
    fn decode(body: &'a [u8]) -> Result<Self, Error>;

    /// Writes the body; what does not fit a field is remembered by the writer.
    fn encode(&self, w: &mut Writer);
}

/// One payload as it stands in a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Its type, as the payload before it names it.
    pub ty: PayloadType,
    /// All its octets, generic header included: the `X` of the hash formulas.
    pub whole: &'a [u8],
    /// The octets behind the generic header: the `X_b` of the hash formulas.
    pub body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// The payload as a `P`; the caller has seen that the type fits.
    ///
    /// # Errors
    /// What is malformed, and how.
    pub fn decode<P: Payload<'a>>(&self) -> Result<P, Error> {
        P::decode(self.body)
    }
}

/// The payloads of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The payloads in their order.
    pub payloads: Vec<Raw<'a>>,
    /// How many octets they take; the rest is padding of the encryption.
    pub used: usize,
    /// What follows the last payload.
    pub padding: &'a [u8],
}

/// One link: the payload's octets and the type of the next.
pub(crate) fn link<'a>(
    r: &mut Reader<'a>,
    ty: PayloadType,
) -> Result<(Raw<'a>, PayloadType), Error> {
    let whole_rest = r.clone().rest();
    let next = PayloadType(r.u8()?);
    r.reserved()?;
    let length = usize::from(r.u16()?);
    let Some(body_len) = length.checked_sub(GENERIC_HEADER_LEN) else {
        return Err(r.bad("Payload Length", length as u64, "4 or more"));
    };
    let body = r.take(body_len)?;
    let raw = Raw {
        ty,
        whole: &whole_rest[..length],
        body,
    };
    Ok((raw, next))
}

impl<'a> Chain<'a> {
    /// The payloads of `bytes`, the first of which is a `first`.
    ///
    /// Octets after the last payload are accepted and reported as padding: RFC 2409 appendix B pads
    /// with zeros, some peers with other values, so their values are not looked at.
    ///
    /// # Errors
    /// A payload that is shorter than its header or longer than the message, a RESERVED octet that
    /// is not zero, too many payloads.
    pub fn decode(first: PayloadType, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("payload chain", bytes);
        let mut payloads = Vec::new();
        let mut ty = first;
        while ty != PayloadType::NONE {
            if payloads.len() == PAYLOADS_MAX {
                return Err(r.error(Kind::TooMany {
                    parts: "payloads",
                    max: PAYLOADS_MAX,
                }));
            }
            let (raw, next) = link(&mut r, ty)?;
            payloads.push(raw);
            ty = next;
        }
        Ok(Self {
            payloads,
            used: bytes.len() - r.left(),
            padding: r.rest(),
        })
    }

    /// The payloads of a message in the clear, which has no padding.
    ///
    /// # Errors
    /// As `decode`, and `Trailing` if octets follow the last payload.
    pub fn decode_exact(first: PayloadType, bytes: &'a [u8]) -> Result<Self, Error> {
        let chain = Self::decode(first, bytes)?;
        Reader::new("payload chain", chain.padding).end()?;
        Ok(chain)
    }

    /// The first payload of a type.
    #[must_use]
    pub fn find(&self, ty: PayloadType) -> Option<&Raw<'a>> {
        self.payloads.iter().find(|raw| raw.ty == ty)
    }

    /// Every payload of a type.
    pub fn all(&self, ty: PayloadType) -> impl Iterator<Item = &Raw<'a>> {
        self.payloads.iter().filter(move |raw| raw.ty == ty)
    }

    /// The types in their order.
    pub fn types(&self) -> impl Iterator<Item = PayloadType> + '_ {
        self.payloads.iter().map(|raw| raw.ty)
    }
}

/// Octets and payloads that most messages do not exceed: a chain that grows is moved, and what it was
/// is left behind.
const CHAIN_ROOM: usize = 384;
const PAYLOADS_ROOM: usize = 8;

/// Builds a chain of payloads, with room for the ISAKMP header in front.
///
/// Hashes and signatures over later or earlier payloads are put in afterwards: push the payload
/// with zeros of the right length, build, and overwrite its body (`Built::body_mut`).
pub struct Builder {
    w: Writer,
    first: PayloadType,
    /// Where the next-payload octet stands that names what is pushed next.
    next_at: Option<usize>,
    spans: Vec<Range<usize>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        let mut w = Writer::with_capacity(CHAIN_ROOM);
        w.bytes(&[0; Header::LEN]);
        Self {
            w,
            first: PayloadType::NONE,
            next_at: None,
            spans: Vec::with_capacity(PAYLOADS_ROOM),
        }
    }

    /// Appends a payload; its place in the chain is returned.
    pub fn push<'a, P: Payload<'a>>(&mut self, payload: &P) -> usize {
        self.push_with(P::TYPE, |w| payload.encode(w))
    }

    /// Appends a payload of which the body is at hand; its place in the chain is returned.
    pub fn push_raw(&mut self, ty: PayloadType, body: &[u8]) -> usize {
        self.push_with(ty, |w| w.bytes(body))
    }

    fn push_with(&mut self, ty: PayloadType, body: impl FnOnce(&mut Writer)) -> usize {
        match self.next_at {
            Some(at) => self.w.overwrite(at, &[ty.0]),
            None => self.first = ty,
        }
        let start = self.w.len();
        self.next_at = Some(start);
        generic(&mut self.w, PayloadType::NONE, body);
        self.spans.push(start..self.w.len());
        self.spans.len() - 1
    }

    /// The finished chain.
    ///
    /// # Errors
    /// The first value of a payload that did not fit its field.
    pub fn finish(self) -> Result<Built, Error> {
        Ok(Built {
            first: self.first,
            bytes: self.w.finish()?,
            spans: self.spans,
        })
    }
}

/// Writes a generic header and a body.
pub(crate) fn generic(w: &mut Writer, next: PayloadType, body: impl FnOnce(&mut Writer)) {
    let start = w.len();
    w.u8(next.0);
    w.u8(0);
    w.length_u16("payload", start, body);
}

/// A finished chain of payloads.
///
/// It may hold keys in the clear, so it has no Debug and is wiped when it is dropped. The memory
/// becomes the message itself: whoever encrypts that in place leaves nothing behind.
pub struct Built {
    first: PayloadType,
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl Built {
    /// The type of the first payload.
    #[must_use]
    pub const fn first(&self) -> PayloadType {
        self.first
    }

    /// All payloads.
    #[must_use]
    pub fn payloads(&self) -> &[u8] {
        &self.bytes[Header::LEN..]
    }

    /// The payload at a place, generic header included.
    ///
    /// # Panics
    /// When nothing was pushed at that place.
    #[must_use]
    pub fn whole(&self, place: usize) -> &[u8] {
        &self.bytes[self.spans[place].clone()]
    }

    /// The body of the payload at a place.
    ///
    /// # Panics
    /// When nothing was pushed at that place.
    #[must_use]
    pub fn body(&self, place: usize) -> &[u8] {
        &self.whole(place)[GENERIC_HEADER_LEN..]
    }

    /// The body of the payload at a place, to fill in a hash or signature.
    ///
    /// # Panics
    /// When nothing was pushed at that place.
    pub fn body_mut(&mut self, place: usize) -> &mut [u8] {
        &mut self.bytes[self.spans[place].clone()][GENERIC_HEADER_LEN..]
    }

    /// All payloads before a place: what a PUSH's signature covers, the header apart.
    ///
    /// # Panics
    /// When nothing was pushed at that place.
    #[must_use]
    pub fn before(&self, place: usize) -> &[u8] {
        &self.bytes[Header::LEN..self.spans[place].start]
    }

    /// All payloads after a place: what the hash of a PULL covers.
    ///
    /// # Panics
    /// When nothing was pushed at that place.
    #[must_use]
    pub fn after(&self, place: usize) -> &[u8] {
        &self.bytes[self.spans[place].end..]
    }

    /// `header` with the next payload and the length of this message before encryption.
    #[must_use]
    pub fn header(&self, header: Header) -> Header {
        Header {
            next_payload: self.first,
            length: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            ..header
        }
    }

    /// The message: header and payloads.
    #[must_use]
    pub fn into_message(self, header: Header) -> Vec<u8> {
        self.into_padded_message(header, 1)
    }

    /// The message with its payloads padded with zeros to whole blocks, ready to be encrypted in
    /// place behind the header (RFC 2409 appendix B). The header's length includes the padding.
    #[must_use]
    pub fn into_padded_message(mut self, header: Header, block_len: usize) -> Vec<u8> {
        let payloads = self.bytes.len() - Header::LEN;
        let padded = payloads.next_multiple_of(block_len.max(1));
        let mut w = Writer::from(std::mem::take(&mut self.bytes));
        for _ in payloads..padded {
            w.u8(0);
        }
        let header = Header {
            next_payload: self.first,
            length: u32::try_from(w.len()).unwrap_or(u32::MAX),
            ..header
        };
        w.overwrite(0, &header.encode());
        w.into_bytes()
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

//! The two payloads of a policy fetch.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::PayloadType;
use crate::isakmp::payload::Payload;
use crate::private::name::CHUNK_LEN;

/// Of what a chunk is fetched.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkKind {
    /// Of the blob.
    Blob,
    /// Of the list of the blob's chunk hashes.
    List,
}

impl ChunkKind {
    const fn octet(self) -> u8 {
        match self {
            Self::Blob => 1,
            Self::List => 2,
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.u8()? {
            1 => Ok(Self::Blob),
            2 => Ok(Self::List),
            other => Err(r.bad("kind", other, "1 (blob) or 2 (list)")),
        }
    }
}

/// GETVPN_POLICY_REQUEST: a member asks for a chunk of the policy (PROTOCOL P5).
///
/// ```text
/// +--------------+----------+--------------+------------+
/// | SHA-256 (32) | kind (1) | RESERVED (1) | number (2) |
/// +--------------+----------+--------------+------------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PolicyRequest {
    /// SHA-256 of the blob.
    pub sha256: [u8; 32],
    /// A chunk of the blob, or of its list.
    pub kind: ChunkKind,
    /// Which, from 0.
    pub number: u16,
}

impl Payload<'_> for PolicyRequest {
    const TYPE: PayloadType = PayloadType::GETVPN_POLICY_REQUEST;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("policy request", body);
        let sha256 = r.array()?;
        let kind = ChunkKind::decode(&mut r)?;
        r.reserved()?;
        let number = r.u16()?;
        r.end()?;
        Ok(Self {
            sha256,
            kind,
            number,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.sha256);
        w.u8(self.kind.octet());
        w.u8(0);
        w.u16(self.number);
    }
}

/// GETVPN_POLICY_CHUNK: the key server's answer.
///
/// ```text
/// +----------+------------+------------+------------------+
/// | kind (1) | status (1) | number (2) | chunk (0..1,024) |
/// +----------+------------+------------+------------------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PolicyChunk<'a> {
    /// As asked.
    pub kind: ChunkKind,
    /// As asked.
    pub number: u16,
    /// The chunk; `None` if this key server does not hold that policy.
    pub data: Option<&'a [u8]>,
}

impl<'a> Payload<'a> for PolicyChunk<'a> {
    const TYPE: PayloadType = PayloadType::GETVPN_POLICY_CHUNK;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("policy chunk", body);
        let kind = ChunkKind::decode(&mut r)?;
        let status = r.u8()?;
        let number = r.u16()?;
        let data = match status {
            0 if (1..=CHUNK_LEN).contains(&r.left()) => Some(r.rest()),
            0 => {
                let len = r.left() as u64;
                return Err(r.bad("octets of the chunk", len, "1 to 1024"));
            }
            1 => None,
            other => return Err(r.bad("status", other, "0 (here it is) or 1 (not held)")),
        };
        r.end()?;
        Ok(Self { kind, number, data })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.kind.octet());
        w.u8(self.data.is_none().into());
        w.u16(self.number);
        if let Some(data) = self.data {
            if !(1..=CHUNK_LEN).contains(&data.len()) {
                w.fail(
                    "policy chunk",
                    Kind::Value {
                        field: "octets of the chunk",
                        value: data.len() as u64,
                        expected: "1 to 1024",
                    },
                );
            }
            w.bytes(data);
        }
    }
}

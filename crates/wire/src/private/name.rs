//! How a PULL or PUSH names the policy.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::GapAttribute;
use crate::isakmp::attribute::Attribute;
use crate::limits::{CHUNKS_INLINE_MAX, POLICY_OCTETS_MAX};
use crate::private::record;

/// Octets of a chunk; the last one of a blob or list is shorter.
pub const CHUNK_LEN: usize = 1_024;

/// GETVPN_POLICY_NAME: which policy is meant, and the hashes to fetch it with (PROTOCOL P5).
///
/// ```text
/// +--------------+------------+----------+---------------------------+
/// | SHA-256 (32) | octets (4) | form (1) | chunk list, or its hash   |
/// +--------------+------------+----------+---------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    /// SHA-256 of the blob.
    pub sha256: [u8; 32],
    /// Octets of the blob.
    pub octets: u32,
    /// The hashes of its chunks.
    pub chunks: ChunkList,
}

/// The hashes of a blob's chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkList {
    /// The blob is one chunk: its hash is the blob's.
    Single,
    /// SHA-256 of each chunk.
    Inline(Vec<[u8; 32]>),
    /// SHA-256 over the list, which is fetched like the blob.
    Named([u8; 32]),
}

impl PolicyName {
    const WHAT: &'static str = "policy name";
    /// The class in a GAP.
    pub const CLASS: u16 = GapAttribute::GETVPN_POLICY_NAME.0;

    /// How many chunks the blob has.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        usize::try_from(self.octets)
            .unwrap_or(usize::MAX)
            .div_ceil(CHUNK_LEN)
    }

    /// The name among the attributes of a GAP, if there is one.
    ///
    /// # Errors
    /// It is there twice or malformed.
    pub fn find(attributes: &[Attribute<'_>]) -> Result<Option<Self>, Error> {
        record::find(attributes, Self::CLASS, Self::WHAT)?
            .map(Self::decode)
            .transpose()
    }

    /// The name in an attribute's value.
    ///
    /// # Errors
    /// A length that is 0 or too large, a form that does not fit the number of chunks.
    pub fn decode(value: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, value);
        let sha256 = r.array()?;
        let octets = r.u32()?;
        let mut name = Self {
            sha256,
            octets,
            chunks: ChunkList::Single,
        };
        let form = r.u8()?;
        name.chunks = match form {
            0 => ChunkList::Single,
            1 => {
                let mut hashes = Vec::new();
                while !r.is_empty() && hashes.len() <= CHUNKS_INLINE_MAX {
                    hashes.push(r.array()?);
                }
                ChunkList::Inline(hashes)
            }
            2 => ChunkList::Named(r.array()?),
            other => return Err(r.bad("form of the chunk list", other, "0, 1 or 2")),
        };
        r.end()?;
        name.check()?;
        Ok(name)
    }

    fn check(&self) -> Result<(), Error> {
        let bad = |field, value: u64, expected| {
            Err(Error {
                what: Self::WHAT,
                kind: Kind::Value {
                    field,
                    value,
                    expected,
                },
            })
        };
        if self.octets == 0 || self.octets > POLICY_OCTETS_MAX {
            return bad("octets", self.octets.into(), "1 to 1048576");
        }
        let count = self.chunk_count();
        match &self.chunks {
            ChunkList::Single if count != 1 => bad(
                "form of the chunk list",
                0,
                "1 or 2 for a blob of several chunks",
            ),
            ChunkList::Inline(hashes)
                if hashes.len() != count || !(2..=CHUNKS_INLINE_MAX).contains(&count) =>
            {
                bad(
                    "hashes in the chunk list",
                    hashes.len() as u64,
                    "one per chunk, 2 to 64",
                )
            }
            ChunkList::Named(_) if count < 2 => {
                bad("form of the chunk list", 2, "0 for a blob of one chunk")
            }
            ChunkList::Single | ChunkList::Inline(_) | ChunkList::Named(_) => Ok(()),
        }
    }

    /// The attribute, for a GAP to a peer of our kind.
    ///
    /// # Errors
    /// What `decode` would refuse.
    pub fn attribute(&self) -> Result<Attribute<'static>, Error> {
        self.check()?;
        record::attribute(Self::CLASS, |w| self.encode(w))
    }

    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.sha256);
        w.u32(self.octets);
        match &self.chunks {
            ChunkList::Single => w.u8(0),
            ChunkList::Inline(hashes) => {
                w.u8(1);
                hashes.iter().for_each(|hash| w.bytes(hash));
            }
            ChunkList::Named(hash) => {
                w.u8(2);
                w.bytes(hash);
            }
        }
    }
}

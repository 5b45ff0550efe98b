//! LKH arrays: the keys of a member's path in the key tree.
//!
//! The format gives the number of keys but not their lengths: these follow from the algorithm and,
//! for AES, from KEK_KEY_LENGTH of the SAK, which the caller must name.

use std::fmt;

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::KekAlgorithm;
use crate::limits::LKH_KEYS_MAX;

const WHAT: &str = "LKH array";
/// The only version there is.
const VERSION: u8 = 1;

/// One LKH key (RFC 6407 section 5.6.3.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !             LKH ID            !    Key Type   !    RESERVED   !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                        Key Creation Date                      !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                       Key Expiration Date                     !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                           Key Handle                          !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                                                               !
/// ~                            Key Data                           ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct LkhKey<'a> {
    /// The node of the tree.
    pub id: u16,
    /// Key Type: the KEK algorithm, in one octet.
    pub algorithm: KekAlgorithm,
    /// Seconds since 1970, 0 for no beginning.
    pub created_s: u32,
    /// Seconds since 1970, 0 for no end.
    pub expires_s: u32,
    /// Which key of that node.
    pub handle: u32,
    /// IV and key; encrypted in an update array.
    pub data: &'a [u8],
}

/// Without the key.
impl fmt::Debug for LkhKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LkhKey(id {}, handle {}, {:?})",
            self.id, self.handle, self.algorithm
        )
    }
}

impl<'a> LkhKey<'a> {
    fn decode(r: &mut Reader<'a>, aes_key_len: usize) -> Result<Self, Error> {
        let id = r.u16()?;
        let algorithm = KekAlgorithm(r.u8()?.into());
        r.reserved()?;
        let (created_s, expires_s, handle) = (r.u32()?, r.u32()?, r.u32()?);
        let data_len = match algorithm {
            KekAlgorithm::DES => 8 + 8,
            KekAlgorithm::TRIPLE_DES => 8 + 24,
            KekAlgorithm::AES => 16 + aes_key_len,
            other => return Err(r.bad("Key Type", other.0, "1 (DES), 2 (3DES) or 3 (AES)")),
        };
        Ok(Self {
            id,
            algorithm,
            created_s,
            expires_s,
            handle,
            data: r.take(data_len)?,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u16(self.id);
        match u8::try_from(self.algorithm.0) {
            Ok(algorithm) => w.u8(algorithm),
            Err(_) => w.fail(
                WHAT,
                Kind::Value {
                    field: "Key Type",
                    value: self.algorithm.0.into(),
                    expected: "one octet",
                },
            ),
        }
        w.u8(0);
        w.u32(self.created_s);
        w.u32(self.expires_s);
        w.u32(self.handle);
        w.bytes(self.data);
    }
}

fn header(r: &mut Reader<'_>) -> Result<usize, Error> {
    let version = r.u8()?;
    //= RFC 6407 5.6.3.1
    //# Version of the LKH data format.  Must be
    //# one.
    if version != VERSION {
        return Err(r.bad("LKH Version", version, "1"));
    }
    let count = usize::from(r.u16()?);
    r.reserved()?;
    if count == 0 {
        return Err(r.bad("# of LKH Keys", 0_u8, "1 or more"));
    }
    if count > LKH_KEYS_MAX {
        return Err(r.error(Kind::TooMany {
            parts: "LKH keys",
            max: LKH_KEYS_MAX,
        }));
    }
    Ok(count)
}

fn keys<'a>(
    r: &mut Reader<'a>,
    count: usize,
    aes_key_len: usize,
) -> Result<Vec<LkhKey<'a>>, Error> {
    let keys = (0..count)
        .map(|_| LkhKey::decode(r, aes_key_len))
        .collect::<Result<_, _>>()?;
    r.end()?;
    Ok(keys)
}

fn write_header(w: &mut Writer, count: usize) {
    w.u8(VERSION);
    w.count_u16(WHAT, "LKH keys", count);
    w.u8(0);
}

/// LKH_DOWNLOAD_ARRAY (RFC 6407 section 5.6.3.1): one member's path, leaf first, KEK last.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  LKH Version  !          # of LKH Keys        !  RESERVED     !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                             LKH Keys                          !
/// ~                                                               ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadArray<'a> {
    /// The keys, leaf first.
    pub keys: Vec<LkhKey<'a>>,
}

impl<'a> DownloadArray<'a> {
    /// The array in an attribute's value; AES keys have `aes_key_len` octets without their IV.
    ///
    /// # Errors
    /// A wrong version, an unknown key type, too many keys, a length that does not fit the keys.
    pub fn decode(value: &'a [u8], aes_key_len: usize) -> Result<Self, Error> {
        let mut r = Reader::new("LKH_DOWNLOAD_ARRAY", value);
        let count = header(&mut r)?;
        Ok(Self {
            keys: keys(&mut r, count, aes_key_len)?,
        })
    }

    /// Writes the array.
    pub fn encode(&self, w: &mut Writer) {
        write_header(w, self.keys.len());
        self.keys.iter().for_each(|key| key.encode(w));
    }
}

/// LKH_UPDATE_ARRAY (RFC 6407 section 5.6.3.2): new keys up a path, each under the one before.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  LKH Version  !          # of LKH Keys        !  RESERVED     !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !            LKH ID             !           RESERVED2           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                           Key Handle                          !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                            LKH Keys                           !
/// ~                                                               ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateArray<'a> {
    /// The node whose key encrypts the first key.
    pub id: u16,
    /// Which key of that node.
    pub handle: u32,
    /// The keys.
    pub keys: Vec<LkhKey<'a>>,
}

impl<'a> UpdateArray<'a> {
    /// The array in an attribute's value; AES keys have `aes_key_len` octets without their IV.
    ///
    /// # Errors
    /// A wrong version, an unknown key type, too many keys, a length that does not fit the keys.
    pub fn decode(value: &'a [u8], aes_key_len: usize) -> Result<Self, Error> {
        let mut r = Reader::new("LKH_UPDATE_ARRAY", value);
        let count = header(&mut r)?;
        let id = r.u16()?;
        r.reserved()?;
        r.reserved()?;
        let handle = r.u32()?;
        Ok(Self {
            id,
            handle,
            keys: keys(&mut r, count, aes_key_len)?,
        })
    }

    /// Writes the array.
    pub fn encode(&self, w: &mut Writer) {
        write_header(w, self.keys.len());
        w.u16(self.id);
        w.u16(0);
        w.u32(self.handle);
        self.keys.iter().for_each(|key| key.encode(w));
    }
}

//! Capture files in the classic pcap format: octets only, files are the caller's.

use crate::codec::{Error, Kind, Reader};
use crate::numbers::numbers;

numbers! {
    /// What the packets of a capture begin with.
    LinkType(u32) {
        ETHERNET = 1;
        /// IPv4 or IPv6 without link header.
        RAW = 101;
        LINUX_SLL = 113;
    }
}

/// Magic number of files with microseconds.
const MAGIC_MICROS: u32 = 0xA1B2_C3D4;
/// Magic number of files with nanoseconds.
const MAGIC_NANOS: u32 = 0xA1B2_3C4D;

/// The header of a capture file (draft-ietf-opsawg-pcap section 4).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          Magic Number                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         Major Version         |         Minor Version         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           Reserved1                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           Reserved2                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                            SnapLen                            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | FCS |f|0 0 0 0 0 0 0 0 0 0 0 0|         LinkType              |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Octets kept of each packet at most.
    pub snap_len: u32,
    /// What packets begin with.
    pub link_type: LinkType,
}

impl FileHeader {
    /// Octets of the header.
    pub const LEN: usize = 24;

    /// The octets: big endian, nanoseconds.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&MAGIC_NANOS.to_be_bytes());
        out[4..6].copy_from_slice(&2_u16.to_be_bytes());
        out[6..8].copy_from_slice(&4_u16.to_be_bytes());
        out[16..20].copy_from_slice(&self.snap_len.to_be_bytes());
        out[20..].copy_from_slice(&self.link_type.0.to_be_bytes());
        out
    }
}

/// The header of a packet's record (draft-ietf-opsawg-pcap section 5).
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      Timestamp (Seconds)                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |            Timestamp (Microseconds or nanoseconds)            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Captured Packet Length                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    Original Packet Length                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Octets that the packet had.
    pub original_len: u32,
    /// Octets that were kept.
    pub data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Octets of the record's header.
    pub const HEADER_LEN: usize = 16;

    /// The record of a packet, of which at most `snap_len` octets are kept.
    #[must_use]
    pub fn of(time_ns: u64, packet: &'a [u8], snap_len: u32) -> Self {
        let kept = packet
            .len()
            .min(usize::try_from(snap_len).unwrap_or(usize::MAX));
        Self {
            time_ns,
            original_len: u32::try_from(packet.len()).unwrap_or(u32::MAX),
            data: &packet[..kept],
        }
    }

    /// The record's header, big endian, nanoseconds; `data` follows it in the file.
    #[must_use]
    pub fn header(&self) -> [u8; 16] {
        let seconds = u32::try_from(self.time_ns / 1_000_000_000).unwrap_or(u32::MAX);
        let nanos = u32::try_from(self.time_ns % 1_000_000_000).unwrap_or(0);
        let kept = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        let mut out = [0; 16];
        out[..4].copy_from_slice(&seconds.to_be_bytes());
        out[4..8].copy_from_slice(&nanos.to_be_bytes());
        out[8..12].copy_from_slice(&kept.to_be_bytes());
        out[12..].copy_from_slice(&self.original_len.to_be_bytes());
        out
    }
}

/// Reads a capture of either byte order and resolution.
pub struct Capture<'a> {
    r: Reader<'a>,
    little_endian: bool,
    nanos_per_unit: u64,
    /// The file's header.
    pub header: FileHeader,
}

impl<'a> Capture<'a> {
    /// The capture in `bytes`; its records come from the iterator.
    ///
    /// # Errors
    /// Shorter than the file header, an unknown magic number or version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("pcap file header", bytes);
        let magic = r.u32()?;
        let (little_endian, nanos_per_unit) = match (magic, magic.swap_bytes()) {
            (MAGIC_MICROS, _) => (false, 1_000),
            (MAGIC_NANOS, _) => (false, 1),
            (_, MAGIC_MICROS) => (true, 1_000),
            (_, MAGIC_NANOS) => (true, 1),
            _ => return Err(r.bad("magic number", magic, "that of classic pcap")),
        };
        let order16 = |value: u16| {
            if little_endian {
                value.swap_bytes()
            } else {
                value
            }
        };
        let order32 = |value: u32| {
            if little_endian {
                value.swap_bytes()
            } else {
                value
            }
        };
        let major = order16(r.u16()?);
        if major != 2 {
            return Err(r.bad("major version", major, "2"));
        }
        r.take(10)?;
        let header = FileHeader {
            snap_len: order32(r.u32()?),
            link_type: LinkType(order32(r.u32()?) & 0xFFFF),
        };
        Ok(Self {
            r: Reader::new("pcap record", r.rest()),
            little_endian,
            nanos_per_unit,
            header,
        })
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let value = self.r.u32()?;
        Ok(if self.little_endian {
            value.swap_bytes()
        } else {
            value
        })
    }

    fn record(&mut self) -> Result<Record<'a>, Error> {
        let seconds = u64::from(self.u32()?);
        let fraction = u64::from(self.u32()?);
        let kept = self.u32()?;
        let original_len = self.u32()?;
        let Ok(length) = usize::try_from(kept) else {
            return Err(self.r.error(Kind::Value {
                field: "Captured Packet Length",
                value: kept.into(),
                expected: "what memory can hold",
            }));
        };
        Ok(Record {
            time_ns: seconds * 1_000_000_000 + fraction * self.nanos_per_unit,
            original_len,
            data: self.r.take(length)?,
        })
    }
}

/// Ends at the end of the file, or after the first record that is cut off.
impl<'a> Iterator for Capture<'a> {
    type Item = Result<Record<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.r.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.r.rest();
        }
        Some(record)
    }
}

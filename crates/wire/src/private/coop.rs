//! GETVPN_COOP: what key servers of a group tell each other (PROTOCOL section D).
//!
//! One payload for both messages of exchange 240: the announcement and its answer. The frame is read
//! here; the records that it carries are octets of `gdoi`, which writes the same ones to disk. Every
//! field is explained in `docs/coop-wire.md`.

use super::record::{Generation, read_generation, read_index, write_generation, write_index};
use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::PayloadType;
use crate::isakmp::Payload;
use crate::limits::{COOP_HEARD_MAX, COOP_RECORDS_MAX};

/// What a key server is in its group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CoopRole {
    /// It takes part in an election.
    Electing,
    /// It mints keys and sends rekeys.
    Primary,
    /// It serves registrations with the primary's keys.
    Secondary,
}

impl CoopRole {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.u8()? {
            0 => Ok(Self::Electing),
            1 => Ok(Self::Primary),
            2 => Ok(Self::Secondary),
            other => Err(r.bad("role", other, "0 electing, 1 primary, 2 secondary")),
        }
    }

    const fn octet(self) -> u8 {
        match self {
            Self::Electing => 0,
            Self::Primary => 1,
            Self::Secondary => 2,
        }
    }
}

/// Yes-or-no facts of an announcement.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CoopFlags {
    /// The sender wants to hear at once, in an announcement of the receiver's own.
    pub reply_requested: bool,
    /// The sender holds the whole state of the group, as far as it can know.
    pub complete: bool,
    /// The sender has keys of the group, and not only a configuration.
    pub founded: bool,
}

impl CoopFlags {
    const REPLY_REQUESTED: u8 = 1;
    const COMPLETE: u8 = 2;
    const FOUNDED: u8 = 4;

    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let octet = r.u8()?;
        if octet & !(Self::REPLY_REQUESTED | Self::COMPLETE | Self::FOUNDED) != 0 {
            return Err(r.bad("flags", octet, "0 to 7"));
        }
        Ok(Self {
            reply_requested: octet & Self::REPLY_REQUESTED != 0,
            complete: octet & Self::COMPLETE != 0,
            founded: octet & Self::FOUNDED != 0,
        })
    }

    fn octet(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.reply_requested, Self::REPLY_REQUESTED)
            | bit(self.complete, Self::COMPLETE)
            | bit(self.founded, Self::FOUNDED)
    }
}

/// The highest numbers that a key server has used, as itself or as a peer remembers it (P22).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CoopMarks {
    /// Sender identifiers that it may have handed out: below this number of its space.
    pub sid: u64,
    /// The highest term that it opened (PROTOCOL P17).
    pub term: u32,
    /// Its announcements: the highest sequence number.
    pub sequence: u64,
    /// Its own counter of the generation (PROTOCOL P14).
    pub generation: u32,
}

impl CoopMarks {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            sid: r.u64()?,
            term: r.u32()?,
            sequence: r.u64()?,
            generation: r.u32()?,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u64(self.sid);
        w.u32(self.term);
        w.u64(self.sequence);
        w.u32(self.generation);
    }
}

/// When the sender last heard another key server (PROTOCOL P24).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Index of the other key server.
    pub index: u8,
    /// The role that it announced.
    pub role: CoopRole,
    /// Whether the other one reported to have heard the sender: a two-way link.
    pub both_ways: bool,
    /// How long ago, milliseconds; `u32::MAX` for never in this run.
    pub age_ms: u32,
}

/// One record of the group's state. The octets are those that a key server writes to disk.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CoopRecord<'a> {
    /// What it is; a receiver passes over kinds that it does not know.
    pub kind: u8,
    /// Its octets, at most 65,535.
    pub octets: &'a [u8],
}

/// GETVPN_COOP: an announcement, or the answer to one.
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !  version = 1  !     role      !     flags     !     index     !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !   priority    !           software version                    !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !                    group identity (1 + 4)                     !
/// !             incarnation (16)  !  the receiver's (16)          !
/// !                       sequence number (8)                     !
/// !                       KS list hash (8)                        !
/// !  pseudotime (8)   !  pseudotime generation (4)  !  term (4)   !
/// !  generation (2 + 4n)  !  own marks (24)  !  1 + 24 or 0       !
/// !  received (8)  !  from (8)  !  to (8)  !  backlog (4)         !
/// !  number of heard (1), each: index, role, both ways (1), age (4)!
/// !  number of records (2), each: kind (1), length (2), octets    !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The sender's role.
    pub role: CoopRole,
    /// Yes-or-no facts.
    pub flags: CoopFlags,
    /// The sender's index in the group's list of key servers (PROTOCOL P19).
    pub index: u8,
    /// Its `local priority`.
    pub priority: u8,
    /// Its version: major, minor, patch.
    pub version: [u8; 3],
    /// The group.
    pub group: CoopGroup,
    /// This run of the sender's program (PROTOCOL P22).
    pub incarnation: [u8; 16],
    /// The receiver's run as the sender knows it; zeros before it does. What is said about the
    /// receiver's log below is about this run's.
    pub receiver: [u8; 16],
    /// Rises with every message of the sender to anybody, over its restarts too.
    pub sequence: u64,
    /// Hash of the sender's list of key servers (PROTOCOL P19).
    pub ks_list_hash: [u8; 8],
    /// The sender's pseudotime, nanoseconds.
    pub pseudotime_ns: u64,
    /// Its pseudotime generation (PROTOCOL P27).
    pub clock_generation: u32,
    /// The highest term that it knows of: rises with every primary (PROTOCOL P17).
    pub term: u32,
    /// The group's generation as it knows it (PROTOCOL P14).
    pub generation: Generation,
    /// Its own marks.
    pub marks: CoopMarks,
    /// What it remembers of the receiver's.
    pub yours: Option<CoopMarks>,
    /// All changes of the receiver up to this one are on the sender's disk.
    pub received: u64,
    /// The records are the sender's changes after this one ...
    pub from: u64,
    /// ... up to this one, which is not before it.
    pub to: u64,
    /// Changes that are still to come after these.
    pub backlog: u32,
    /// The other key servers, ascending by index.
    pub heard: Vec<Heard>,
    /// Changes.
    pub records: Vec<CoopRecord<'a>>,
}

/// The group's identity.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CoopGroup {
    /// `identity number`.
    Number(u32),
    /// `identity address ipv4`.
    Address([u8; 4]),
}

impl CoopGroup {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.u8()? {
            1 => Ok(Self::Number(r.u32()?)),
            2 => Ok(Self::Address(r.array()?)),
            other => Err(r.bad("kind of group identity", other, "1 number, 2 address")),
        }
    }

    fn encode(self, w: &mut Writer) {
        match self {
            Self::Number(number) => {
                w.u8(1);
                w.u32(number);
            }
            Self::Address(address) => {
                w.u8(2);
                w.bytes(&address);
            }
        }
    }
}

const INDEX: &str = "index of the sender";
const HEARD_INDEX: &str = "index of a key server";
const HEARD_EXPECTED: &str = "above the one before it";
const TO: &str = "last change";
const TO_EXPECTED: &str = "the first or above";
const HEARD: &str = "key servers";
const RECORDS: &str = "records";

impl Announcement<'_> {
    const WHAT: &'static str = "COOP announcement";
    /// The version of the layout.
    pub const VERSION: u8 = 1;
}

impl Heard {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let index = read_index(r, HEARD_INDEX)?;
        let role = CoopRole::decode(r)?;
        let both_ways = read_bool(r, "both ways")?;
        Ok(Self {
            index,
            role,
            both_ways,
            age_ms: r.u32()?,
        })
    }

    fn encode(&self, w: &mut Writer) {
        write_index(Announcement::WHAT, HEARD_INDEX, self.index, w);
        w.u8(self.role.octet());
        w.u8(self.both_ways.into());
        w.u32(self.age_ms);
    }
}

/// A field cannot be written with this value.
fn bad(w: &mut Writer, field: &'static str, value: impl Into<u64>, expected: &'static str) {
    w.fail(
        Announcement::WHAT,
        Kind::Value {
            field,
            value: value.into(),
            expected,
        },
    );
}

/// There is no room for so many of something.
fn at_most(max: usize, parts: &'static str, count: usize) -> Result<(), Kind> {
    if count > max {
        return Err(Kind::TooMany { parts, max });
    }
    Ok(())
}

fn read_bool(r: &mut Reader<'_>, field: &'static str) -> Result<bool, Error> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(r.bad(field, other, "0 or 1")),
    }
}

impl<'a> Payload<'a> for Announcement<'a> {
    const TYPE: PayloadType = PayloadType::GETVPN_COOP;

    fn decode(body: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, body);
        match r.u8()? {
            Self::VERSION => {}
            other => return Err(r.bad("version", other, "1")),
        }
        let role = CoopRole::decode(&mut r)?;
        let flags = CoopFlags::decode(&mut r)?;
        let index = read_index(&mut r, INDEX)?;
        let announcement = Self {
            role,
            flags,
            index,
            priority: r.u8()?,
            version: r.array()?,
            group: CoopGroup::decode(&mut r)?,
            incarnation: r.array()?,
            receiver: r.array()?,
            sequence: r.u64()?,
            ks_list_hash: r.array()?,
            pseudotime_ns: r.u64()?,
            clock_generation: r.u32()?,
            term: r.u32()?,
            generation: read_generation(&mut r)?,
            marks: CoopMarks::decode(&mut r)?,
            yours: match read_bool(&mut r, "marks of the receiver")? {
                true => Some(CoopMarks::decode(&mut r)?),
                false => None,
            },
            received: r.u64()?,
            from: r.u64()?,
            to: r.u64()?,
            backlog: r.u32()?,
            heard: Vec::new(),
            records: Vec::new(),
        };
        announcement.decode_lists(&mut r)
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(Self::VERSION);
        w.u8(self.role.octet());
        w.u8(self.flags.octet());
        write_index(Self::WHAT, INDEX, self.index, w);
        w.u8(self.priority);
        w.bytes(&self.version);
        self.group.encode(w);
        w.bytes(&self.incarnation);
        w.bytes(&self.receiver);
        w.u64(self.sequence);
        w.bytes(&self.ks_list_hash);
        w.u64(self.pseudotime_ns);
        w.u32(self.clock_generation);
        w.u32(self.term);
        write_generation(&self.generation, w);
        self.marks.encode(w);
        w.u8(self.yours.is_some().into());
        if let Some(yours) = &self.yours {
            yours.encode(w);
        }
        w.u64(self.received);
        w.u64(self.from);
        if self.to < self.from {
            bad(w, TO, self.to, TO_EXPECTED);
        }
        w.u64(self.to);
        w.u32(self.backlog);
        self.encode_lists(w);
    }
}

impl<'a> Announcement<'a> {
    fn decode_lists(mut self, r: &mut Reader<'a>) -> Result<Self, Error> {
        if self.to < self.from {
            return Err(r.bad(TO, self.to, TO_EXPECTED));
        }
        let count = r.u8()?;
        at_most(COOP_HEARD_MAX, HEARD, count.into()).map_err(|kind| r.error(kind))?;
        for _ in 0..count {
            let heard = Heard::decode(r)?;
            if self
                .heard
                .last()
                .is_some_and(|last| last.index >= heard.index)
            {
                return Err(r.bad(HEARD_INDEX, heard.index, HEARD_EXPECTED));
            }
            self.heard.push(heard);
        }
        let count = r.u16()?;
        at_most(COOP_RECORDS_MAX, RECORDS, count.into()).map_err(|kind| r.error(kind))?;
        for _ in 0..count {
            let kind = r.u8()?;
            let len = r.u16()?;
            let octets = r.take(usize::from(len))?;
            self.records.push(CoopRecord { kind, octets });
        }
        r.end()?;
        Ok(self)
    }

    fn encode_lists(&self, w: &mut Writer) {
        let fits = at_most(COOP_HEARD_MAX, HEARD, self.heard.len())
            .and_then(|()| at_most(COOP_RECORDS_MAX, RECORDS, self.records.len()));
        if let Err(kind) = fits {
            w.fail(Self::WHAT, kind);
        }
        w.count_u8(Self::WHAT, HEARD, self.heard.len());
        for (place, heard) in self.heard.iter().enumerate() {
            if self.heard[..place]
                .last()
                .is_some_and(|last| last.index >= heard.index)
            {
                bad(w, HEARD_INDEX, heard.index, HEARD_EXPECTED);
            }
            heard.encode(w);
        }
        w.count_u16(Self::WHAT, RECORDS, self.records.len());
        for record in &self.records {
            w.u8(record.kind);
            w.count_u16(Self::WHAT, "octets of a record", record.octets.len());
            w.bytes(record.octets);
        }
    }
}

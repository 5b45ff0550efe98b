//! The row of a group: its clock, keys, marks and policy.

use policy::tbar::PseudoClock;
use policy::{ClockGeneration, GroupName, GroupSize, PseudoTime, SidSpace, Time};
use wire::codec::{Error, Reader, Writer};

use super::{
    BootId, GROUP, SidMark, VERSION, read_generation, read_index, read_kek, read_secret, read_tek,
    record, version, write_generation, write_kek, write_secret, write_tek,
};
use crate::ks::{GroupClock, GroupKeys, Removals};
use crate::limits::PSEUDOTIME_MAX;
use crate::machine::Record;
use crate::policy_blob::PolicyBlob;

/// What a group must never forget.
pub(crate) struct GroupRow {
    /// The boot in which it was written.
    pub(crate) boot: BootId,
    /// When it was written, in that boot's time.
    pub(crate) written: Time,
    /// What the group's clock read then.
    pub(crate) pseudotime: PseudoTime,
    /// Which clock that was.
    pub(crate) clock_generation: ClockGeneration,
    /// Whether that clock was lost, and nobody had told the group's time since, or opened a new
    /// generation and made the keys that go with it.
    pub(crate) clock_lost: bool,
    /// Keys, sequence numbers, generation.
    pub(crate) keys: GroupKeys,
    /// Marks of sender identifiers.
    pub(crate) sid_marks: Vec<SidMark>,
    /// The policy in force.
    pub(crate) policy: Option<PolicyBlob>,
    /// The policy that is announced.
    pub(crate) next_policy: Option<PolicyBlob>,
    /// Rekeys sent.
    pub(crate) rekeys_sent: u64,
}

impl GroupRow {
    /// The group's clock. In the same boot it goes on as if nothing had been. After another boot it
    /// is lost, since nobody knows how long the machine was off: it goes on from the mark, so that
    /// nothing ends here that members still hold.
    //= getvpn P27
    pub(crate) fn clock(&self, boot: BootId) -> GroupClock {
        let marked = if boot == self.boot {
            self.written
        } else {
            Time::ZERO
        };
        let clock = PseudoClock::reading(self.pseudotime, marked);
        let is_lost = self.clock_lost || boot != self.boot;
        GroupClock::restored(clock, self.clock_generation, is_lost)
    }
}

/// The row of a group.
pub(crate) fn group_record(name: &GroupName, row: &GroupRow) -> Record {
    let mut w = Writer::new();
    w.u8(VERSION);
    w.bytes(&row.boot.0);
    w.u64(row.written.as_nanos());
    w.u64(row.pseudotime.as_nanos());
    w.u64(row.rekeys_sent);
    write_generation(&row.keys.generation, &mut w);
    write_secret(&row.keys.spi_key, &mut w);
    w.count_u16("group", "sender identifier marks", row.sid_marks.len());
    for mark in &row.sid_marks {
        w.u8(mark.space.size.bits());
        w.u8(mark.space.index.get());
        w.u64(mark.mark);
    }
    w.count_u16("group", "KEKs", row.keys.keks.len());
    row.keys.keks.iter().for_each(|kek| write_kek(kek, &mut w));
    w.count_u16("group", "TEKs", row.keys.teks.len());
    row.keys.teks.iter().for_each(|tek| write_tek(tek, &mut w));
    for blob in [&row.policy, &row.next_policy] {
        let octets = blob.as_ref().map_or(&[][..], |blob| &blob.octets);
        w.u32(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        w.bytes(octets);
    }
    // The first clock of a group, as long as it was never lost, has nothing to say of itself.
    if row.clock_generation != ClockGeneration::default() || row.clock_lost {
        w.u32(row.clock_generation.0);
        w.u8(u8::from(row.clock_lost));
    }
    record(format!("{GROUP}{name}"), w)
}

/// A group of its row's octets.
pub(super) fn read_group(octets: &[u8]) -> Result<GroupRow, Error> {
    let mut r = Reader::new("group", octets);
    version(&mut r)?;
    let boot = BootId(r.array()?);
    let written = Time::from_nanos(r.u64()?);
    let pseudotime = PseudoTime::from_nanos(r.u64()?);
    if pseudotime > PSEUDOTIME_MAX {
        return Err(r.bad("pseudotime", pseudotime.as_nanos(), "less than 2^63"));
    }
    let rekeys_sent = r.u64()?;
    let generation = read_generation(&mut r)?;
    let spi_key = read_secret(&mut r)?;
    let mut sid_marks = Vec::new();
    for _ in 0..r.u16()? {
        let bits = r.u8()?;
        let size = GroupSize::from_bits(bits)
            .ok_or_else(|| r.bad("bits of a SID", bits, "8, 12, 16, 24 or 32"))?;
        let space = SidSpace {
            size,
            index: read_index(&mut r)?,
        };
        let mark = r.u64()?;
        sid_marks.push(SidMark { space, mark });
    }
    let mut keks = Vec::new();
    for _ in 0..r.u16()? {
        keks.push(read_kek(&mut r)?);
    }
    let mut teks = Vec::new();
    for _ in 0..r.u16()? {
        teks.push(read_tek(&mut r)?);
    }
    let mut blobs = [None, None];
    for blob in &mut blobs {
        let len = usize::try_from(r.u32()?).unwrap_or(usize::MAX);
        let octets = r.take(len)?;
        if !octets.is_empty() {
            *blob = Some(PolicyBlob::decode(octets.to_vec())?);
        }
    }
    let (mut clock_generation, mut clock_lost) = (ClockGeneration::default(), false);
    if !r.is_empty() {
        clock_generation = ClockGeneration(r.u32()?);
        clock_lost = match r.u8()? {
            flag @ 0..=1 => flag == 1,
            other => return Err(r.bad("whether the clock was lost", other, "0 or 1")),
        };
    }
    r.end()?;
    let [policy, next_policy] = blobs;
    Ok(GroupRow {
        boot,
        written,
        pseudotime,
        clock_generation,
        clock_lost,
        keys: GroupKeys {
            keks,
            teks,
            spi_key,
            generation,
            tenure: 0,
            removals: Removals::default(),
        },
        sid_marks,
        policy,
        next_policy,
        rekeys_sent,
    })
}

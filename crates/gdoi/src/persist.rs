//! What of a key server survives the end of its process: rows of the state file, and back.
//!
//! One row holds what a group must never forget (keys, sequence numbers, marks), one row each
//! member, one row each rekey key. Each row begins with its version. Decides the octets; when they
//! are written is decided where the state changes, always before the effect.

mod group;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use crypto::Secret;
use crypto::key_pair::Kind;
use policy::group::KS_MAX;
use policy::{
    Encryption, Generation, GroupName, Integrity, KekCipher, KekSpi, KeyBits, KsIndex, PeerKind,
    PseudoTime, Sid, SidSpace, SigHash, Signature, Spi, Tek, Transform,
};
use wire::codec::{Error, Reader, Writer};
use wire::private::CoopMarks;

use crate::key_pairs::{KeyPair, KeyPairs};
use crate::ks::{Kek, Member, Members, Removals, SidAllocator, SidLease, TekRecord};
use crate::machine::{Record, TekKey};
use crate::rekey_sa::RekeySa;

use group::read_group;
pub(crate) use group::{GroupRow, group_record};

/// The version of every row.
const VERSION: u8 = 2;
const GROUP: &str = "group/";
const MEMBER: &str = "member/";
const COOP: &str = "coop/";
const REMOVALS: &str = "removals/";

/// One boot of the machine: core time goes on within it and begins anew with the next.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Its name.
    pub row: String,
    /// What is wrong with it.
    pub error: Error,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state file, row {}: {}", self.row, self.error)
    }
}

impl std::error::Error for Corrupt {}

/// The high-water mark of one space of sender identifiers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SidMark {
    /// The space.
    pub(crate) space: SidSpace,
    /// What was handed out is below this.
    pub(crate) mark: u64,
}

impl SidMark {
    /// The mark of an allocator.
    pub(crate) const fn of(sids: &SidAllocator) -> Self {
        Self {
            space: sids.space(),
            mark: sids.mark(),
        }
    }

    /// Whether it is that of a space.
    pub(crate) fn is_for(&self, space: &SidSpace) -> bool {
        self.space == *space
    }
}

/// Everything that an earlier run left.
#[derive(Default)]
pub(crate) struct Restored {
    /// Groups with their members.
    pub(crate) groups: BTreeMap<GroupName, (GroupRow, Members)>,
    /// What groups remember of their key servers.
    pub(crate) coop: BTreeMap<GroupName, CoopRow>,
    /// Rekey keys.
    pub(crate) key_pairs: KeyPairs,
}

impl Restored {
    /// Reads the rows of a state file.
    ///
    /// # Errors
    /// The first row that cannot be read: a key server that forgot something must not go on.
    pub(crate) fn read(records: Vec<Record>) -> Result<Self, Corrupt> {
        let mut restored = Self::default();
        let mut members: BTreeMap<GroupName, Members> = BTreeMap::new();
        let mut removals: BTreeMap<GroupName, Removals> = BTreeMap::new();
        for record in records {
            let Some(value) = record.value else {
                continue;
            };
            let row = String::from_utf8_lossy(&record.key).into_owned();
            let corrupt = |error| Corrupt {
                row: row.clone(),
                error,
            };
            if let Some(name) = row.strip_prefix(GROUP) {
                let group = read_group(value.expose()).map_err(corrupt)?;
                let entry = (group, Members::default());
                restored.groups.insert(GroupName::new(name), entry);
            } else if let Some(rest) = row.strip_prefix(MEMBER) {
                let (name, address) = member_key(rest).map_err(corrupt)?;
                let member = read_member(value.expose()).map_err(corrupt)?;
                members.entry(name).or_default().insert(address, member);
            } else if let Some(name) = row.strip_prefix(COOP) {
                let coop = CoopRow::read(value.expose()).map_err(corrupt)?;
                restored.coop.insert(GroupName::new(name), coop);
            } else if let Some(name) = row.strip_prefix(REMOVALS) {
                let removed = read_removals(value.expose()).map_err(corrupt)?;
                removals.insert(GroupName::new(name), removed);
            } else if let Some((kind, label)) = key_pair_key(&row) {
                let key = read_key_pair(kind, value.expose()).map_err(corrupt)?;
                restored.key_pairs.insert(label.to_owned(), key);
            }
        }
        for (name, members) in members {
            if let Some((_, own)) = restored.groups.get_mut(&name) {
                *own = members;
            }
        }
        for (name, removals) in removals {
            if let Some((group, _)) = restored.groups.get_mut(&name) {
                group.keys.removals = removals;
            }
        }
        Ok(restored)
    }
}

fn member_key(rest: &str) -> Result<(GroupName, Ipv4Addr), Error> {
    let parts = rest.rsplit_once('/');
    parts
        .and_then(|(name, address)| Some((GroupName::new(name), address.parse().ok()?)))
        .ok_or_else(|| {
            Reader::new("name of a member's row", rest.as_bytes()).bad(
                "length",
                rest.len() as u64,
                "GROUP/ADDRESS",
            )
        })
}

fn record(key: String, w: Writer) -> Record {
    let value = w.finish().expect("counts of a row are bounded by limits");
    Record {
        key: key.into_bytes(),
        value: Some(Secret::new(value)),
    }
}

const fn no_record(key: Vec<u8>) -> Record {
    Record { key, value: None }
}

/// What a group remembers of its key servers (PROTOCOL P17, P22).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoopRow {
    /// The highest term that is known.
    pub(crate) term: u32,
    /// The term that this key server opened last.
    pub(crate) tenure: u32,
    /// Sequence numbers of its messages lie below this.
    pub(crate) sequence_mark: u64,
    /// The version of the policy in force: the term of its primary, and its count.
    pub(crate) policy_version: (u32, u32),
    /// The marks of every key server, by index.
    pub(crate) marks: [CoopMarks; KS_MAX],
}

impl CoopRow {
    /// The row.
    pub(crate) fn record(&self, name: &GroupName) -> Record {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.u32(self.term);
        w.u32(self.tenure);
        w.u64(self.sequence_mark);
        w.u32(self.policy_version.0);
        w.u32(self.policy_version.1);
        for mark in &self.marks {
            w.u64(mark.sid);
            w.u32(mark.term);
            w.u64(mark.sequence);
            w.u32(mark.generation);
        }
        record(format!("{COOP}{name}"), w)
    }

    fn read(octets: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("key servers", octets);
        version(&mut r)?;
        let mut row = Self {
            term: r.u32()?,
            tenure: r.u32()?,
            sequence_mark: r.u64()?,
            policy_version: (r.u32()?, r.u32()?),
            marks: [CoopMarks::default(); KS_MAX],
        };
        for mark in &mut row.marks {
            *mark = CoopMarks {
                sid: r.u64()?,
                term: r.u32()?,
                sequence: r.u64()?,
                generation: r.u32()?,
            };
        }
        r.end()?;
        Ok(row)
    }
}

/// The row of a group whose key servers need not be remembered.
pub(crate) fn no_coop(name: &GroupName) -> Record {
    no_record(format!("{COOP}{name}").into_bytes())
}

/// The row of the members that were taken out of a group.
pub(crate) fn removals_record(name: &GroupName, removals: &Removals) -> Record {
    let mut w = Writer::new();
    w.u8(VERSION);
    removals.write_row(&mut w);
    record(format!("{REMOVALS}{name}"), w)
}

fn read_removals(octets: &[u8]) -> Result<Removals, Error> {
    let mut r = Reader::new("removals", octets);
    version(&mut r)?;
    let removals = Removals::read_row(&mut r)?;
    r.end()?;
    Ok(removals)
}

/// The row of a group from which nobody was removed.
pub(crate) fn no_removals(name: &GroupName) -> Record {
    no_record(format!("{REMOVALS}{name}").into_bytes())
}

/// The row of a group that is no longer served.
pub(crate) fn no_group(name: &GroupName) -> Record {
    no_record(format!("{GROUP}{name}").into_bytes())
}

pub(crate) fn write_kek(kek: &Kek, w: &mut Writer) {
    w.bytes(&kek.sa.spi.0);
    w.u8(match kek.sa.cipher {
        KekCipher::TripleDes => 0,
        KekCipher::Aes128 => 1,
        KekCipher::Aes192 => 2,
        KekCipher::Aes256 => 3,
    });
    write_secret(&kek.sa.key, w);
    write_secret(&kek.sa.iv, w);
    w.u8(match kek.sa.signature {
        Signature::Rsa(SigHash::Sha1) => 0,
        Signature::Rsa(SigHash::Sha256) => 1,
        Signature::Rsa(SigHash::Sha384) => 2,
        Signature::Rsa(SigHash::Sha512) => 3,
        Signature::Ecdsa256 => 4,
        Signature::Ecdsa384 => 5,
        Signature::Ecdsa521 => 6,
    });
    w.u8(kind_number(kek.kind));
    w.u64(kek.minted.as_nanos());
    w.u64(kek.expiry.as_nanos());
    w.u32(kek.orig_lifetime_s);
    write_generation(&kek.generation, w);
    w.bytes(&kek.ks_list_hash);
    w.u8(kek.minted_by.get());
    w.length_u8("label", |w| w.bytes(kek.label.as_bytes()));
    w.u32(kek.seq);
    let state = flags(kek.delivered, kek.announced, false);
    let destination = u8::from(kek.destination.is_some()) << 3;
    w.u8(state | destination | u8::from(!kek.acknowledged) << 4);
    w.u32(kek.tenure);
    if let Some(group) = kek.destination {
        w.bytes(&group.octets());
    }
}

fn read_destination(r: &mut Reader<'_>) -> Result<Ipv4Addr, Error> {
    let group = Ipv4Addr::from(r.array::<4>()?);
    if group.is_multicast() {
        Ok(group)
    } else {
        let first = group.octets()[0];
        Err(r.bad("destination of a KEK", first, "a multicast address"))
    }
}

pub(crate) fn read_kek(r: &mut Reader<'_>) -> Result<Kek, Error> {
    let spi = KekSpi(r.array()?);
    let cipher = match r.u8()? {
        0 => KekCipher::TripleDes,
        1 => KekCipher::Aes128,
        2 => KekCipher::Aes192,
        3 => KekCipher::Aes256,
        other => return Err(r.bad("cipher of a KEK", other, "0 to 3")),
    };
    let (key, iv) = (read_secret(r)?, read_secret(r)?);
    let signature = match r.u8()? {
        0 => Signature::Rsa(SigHash::Sha1),
        1 => Signature::Rsa(SigHash::Sha256),
        2 => Signature::Rsa(SigHash::Sha384),
        3 => Signature::Rsa(SigHash::Sha512),
        4 => Signature::Ecdsa256,
        5 => Signature::Ecdsa384,
        6 => Signature::Ecdsa521,
        other => return Err(r.bad("signature of a KEK", other, "0 to 6")),
    };
    let sa = RekeySa {
        spi,
        cipher,
        key,
        iv,
        signature,
    };
    if sa.iv.len() != cipher.block_len() || sa.cbc().is_none() {
        return Err(r.bad(
            "octets of a KEK",
            sa.key.len() as u64,
            "those of its cipher",
        ));
    }
    let kind = read_kind(r)?;
    let minted = PseudoTime::from_nanos(r.u64()?);
    let expiry = PseudoTime::from_nanos(r.u64()?);
    let orig_lifetime_s = r.u32()?;
    let generation = read_generation(r)?;
    let ks_list_hash = r.array()?;
    let minted_by = read_index(r)?;
    let label = read_text(r, "octets of a label that is text")?;
    let seq = r.u32()?;
    let flags = match r.u8()? {
        flags @ 0..=31 => flags,
        other => return Err(r.bad("flags of a KEK", other, "0 to 31")),
    };
    let (delivered, announced) = (flags & 1 != 0, flags & 2 != 0);
    let tenure = r.u32()?;
    let destination = (flags & 8 != 0).then(|| read_destination(r)).transpose()?;
    Ok(Kek {
        destination,
        acknowledged: flags & 16 == 0,
        sa,
        kind,
        minted,
        expiry,
        orig_lifetime_s,
        generation,
        ks_list_hash,
        minted_by,
        label,
        seq,
        tenure,
        announced,
        delivered,
    })
}

pub(crate) fn write_tek(record: &TekRecord, w: &mut Writer) {
    let tek = &record.tek;
    w.u32(tek.spi.0);
    write_transform(tek.transform, w);
    w.u64(tek.activation.as_nanos());
    w.u64(tek.expiry.as_nanos());
    write_generation(&tek.generation, w);
    w.bytes(&tek.ks_list_hash);
    w.u8(tek.minted_by.get());
    w.u32(tek.orig_lifetime_s);
    write_secret(&record.key.encryption, w);
    write_secret(&record.key.integrity, w);
    w.u64(record.minted.as_nanos());
    w.u8(flags(record.delivered, record.announced, record.withdrawn));
    w.u64(record.send_from.unwrap_or_default().as_nanos());
}

pub(crate) fn read_tek(r: &mut Reader<'_>) -> Result<TekRecord, Error> {
    let spi = Spi(r.u32()?);
    let transform = read_transform(r)?;
    let tek = Tek {
        spi,
        transform,
        activation: PseudoTime::from_nanos(r.u64()?),
        expiry: PseudoTime::from_nanos(r.u64()?),
        generation: read_generation(r)?,
        ks_list_hash: r.array()?,
        minted_by: read_index(r)?,
        orig_lifetime_s: r.u32()?,
    };
    let key = TekKey {
        encryption: read_secret(r)?,
        integrity: read_secret(r)?,
    };
    let lengths = (key.encryption.len(), key.integrity.len());
    if lengths != (transform.key_len(), transform.integrity_key_len()) {
        return Err(r.bad(
            "octets of a TEK",
            lengths.0 as u64,
            "those of its transform",
        ));
    }
    let minted = PseudoTime::from_nanos(r.u64()?);
    let (delivered, announced, withdrawn) = read_flags(r)?;
    let send_from = Some(PseudoTime::from_nanos(r.u64()?));
    Ok(TekRecord {
        tek,
        key,
        minted,
        announced,
        delivered,
        withdrawn,
        send_from: send_from.filter(|at| *at > PseudoTime::ZERO),
    })
}

fn flags(delivered: bool, announced: bool, withdrawn: bool) -> u8 {
    u8::from(delivered) | u8::from(announced) << 1 | u8::from(withdrawn) << 2
}

fn read_flags(r: &mut Reader<'_>) -> Result<(bool, bool, bool), Error> {
    match r.u8()? {
        flags @ 0..=7 => Ok((flags & 1 != 0, flags & 2 != 0, flags & 4 != 0)),
        other => Err(r.bad("flags of a key", other, "0 to 7")),
    }
}

fn write_transform(transform: Transform, w: &mut Writer) {
    let (cipher, bits) = match transform.encryption() {
        Encryption::Null => (0, 0),
        Encryption::TripleDes => (1, 0),
        Encryption::AesCbc(bits) => (2, bits.bits()),
        Encryption::AesGcm(bits) => (3, bits.bits()),
        Encryption::AesGmac(bits) => (4, bits.bits()),
    };
    w.u8(cipher);
    w.u16(bits);
    w.u8(match transform.integrity() {
        Integrity::Combined => 0,
        Integrity::HmacSha1 => 1,
        Integrity::HmacSha256 => 2,
        Integrity::HmacSha384 => 3,
        Integrity::HmacSha512 => 4,
    });
}

fn read_transform(r: &mut Reader<'_>) -> Result<Transform, Error> {
    let cipher = r.u8()?;
    let bits = r.u16()?;
    let aes = KeyBits::from_bits(bits)
        .ok_or_else(|| r.bad("bits of an AES key", bits, "128, 192 or 256"));
    let encryption = match cipher {
        0 => Encryption::Null,
        1 => Encryption::TripleDes,
        2 => Encryption::AesCbc(aes?),
        3 => Encryption::AesGcm(aes?),
        4 => Encryption::AesGmac(aes?),
        other => return Err(r.bad("cipher of a TEK", other, "0 to 4")),
    };
    let number = r.u8()?;
    let integrity = match number {
        0 => Integrity::Combined,
        1 => Integrity::HmacSha1,
        2 => Integrity::HmacSha256,
        3 => Integrity::HmacSha384,
        4 => Integrity::HmacSha512,
        other => return Err(r.bad("integrity of a TEK", other, "0 to 4")),
    };
    Transform::new(encryption, integrity)
        .map_err(|_| r.bad("integrity of a TEK", number, "one that fits its cipher"))
}

/// The row of a member.
pub(crate) fn member_record(group: &GroupName, address: Ipv4Addr, member: &Member) -> Record {
    let mut w = Writer::new();
    write_member(member, &mut w);
    record(format!("{MEMBER}{group}/{address}"), w)
}

/// The octets of a member's row.
pub(crate) fn write_member(member: &Member, w: &mut Writer) {
    w.u8(VERSION);
    for end in [member.peer, member.local] {
        w.bytes(&end.ip().octets());
        w.u16(end.port());
    }
    w.bytes(&member.server.octets());
    w.u64(member.joined.as_nanos());
    w.bytes(&member.kek.0);
    w.u8(kind_number(member.kind));
    let version = member.version.as_deref().unwrap_or_default();
    w.length_u8("version", |w| w.bytes(version.as_bytes()));
    write_secret(&member.ack_base, w);
    for counter in [
        member.rekeys_sent,
        member.retries,
        member.acks_received,
        member.acks_missed,
    ] {
        w.u64(counter);
    }
    for seq in member.sent_seqs.iter().chain(&member.received_seqs) {
        w.u32(*seq);
    }
    w.u8(u8::from(member.policy_behind));
    w.count_u16("member", "leases", member.leases.len());
    member.leases.iter().for_each(|lease| write_lease(lease, w));
}

pub(crate) fn write_lease(lease: &SidLease, w: &mut Writer) {
    w.u64(lease.until.map_or(u64::MAX, PseudoTime::as_nanos));
    w.count_u16("lease", "SIDs", lease.sids.len());
    lease.sids.iter().for_each(|sid| w.u32(sid.0));
}

pub(crate) fn read_lease(r: &mut Reader<'_>) -> Result<SidLease, Error> {
    let until = match r.u64()? {
        u64::MAX => None,
        nanos => Some(PseudoTime::from_nanos(nanos)),
    };
    let mut sids = Vec::new();
    for _ in 0..r.u16()? {
        sids.push(Sid(r.u32()?));
    }
    Ok(SidLease { sids, until })
}

/// The row of a member that is no longer there.
pub(crate) fn no_member(group: &GroupName, address: Ipv4Addr) -> Record {
    no_record(format!("{MEMBER}{group}/{address}").into_bytes())
}

/// A text with its length before it, as it was written: what is no text would become another one.
fn read_text(r: &mut Reader<'_>, field: &'static str) -> Result<String, Error> {
    let len = usize::from(r.u8()?);
    let text = std::str::from_utf8(r.take(len)?).ok();
    let text = text.filter(|text| !text.contains(char::is_control));
    let text = text.map(ToOwned::to_owned);
    text.ok_or_else(|| r.bad(field, len as u64, "UTF-8 without control characters"))
}

/// A member of its row's octets.
pub(crate) fn read_member(octets: &[u8]) -> Result<Member, Error> {
    let mut r = Reader::new("member", octets);
    version(&mut r)?;
    let mut end = || -> Result<SocketAddrV4, Error> {
        let address = Ipv4Addr::from(r.array::<4>()?);
        Ok(SocketAddrV4::new(address, r.u16()?))
    };
    let (peer, local) = (end()?, end()?);
    let server = Ipv4Addr::from(r.array::<4>()?);
    let joined = PseudoTime::from_nanos(r.u64()?);
    let kek = KekSpi(r.array()?);
    let kind = read_kind(&mut r)?;
    let version = read_text(&mut r, "octets of a version that is text")?;
    let ack_base = read_secret(&mut r)?;
    let [rekeys_sent, retries, acks_received, acks_missed] =
        [r.u64()?, r.u64()?, r.u64()?, r.u64()?];
    let mut seqs = [0; 8];
    for seq in &mut seqs {
        *seq = r.u32()?;
    }
    let policy_behind = r.u8()? == 1;
    let mut leases = Vec::new();
    for _ in 0..r.u16()? {
        leases.push(read_lease(&mut r)?);
    }
    r.end()?;
    let [a, b, c, d, e, f, g, h] = seqs;
    Ok(Member {
        peer,
        local,
        server,
        joined,
        kek,
        is_kek_doubted: false,
        kind,
        version: (!version.is_empty()).then_some(version),
        ack_base,
        leases,
        registered: None,
        rekeys_sent,
        retries,
        acks_received,
        acks_missed,
        sent_seqs: [a, b, c, d],
        received_seqs: [e, f, g, h],
        policy_behind,
        missed_in_row: 0,
        handed_over: false,
    })
}

/// The row of a rekey key.
pub(crate) fn key_pair_record(label: &str, key: &KeyPair) -> Record {
    let mut w = Writer::new();
    w.u8(VERSION);
    key.write_row(&mut w);
    record(format!("{}/{label}", key.kind().word()), w)
}

/// Removes the row of a rekey key.
pub(crate) fn no_key_pair_record(kind: Kind, label: &str) -> Record {
    no_record(format!("{}/{label}", kind.word()).into_bytes())
}

/// The kind and the label in the name of a rekey key's row.
fn key_pair_key(row: &str) -> Option<(Kind, &str)> {
    let (word, label) = row.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    Some((kind, label))
}

fn read_key_pair(kind: Kind, octets: &[u8]) -> Result<KeyPair, Error> {
    let mut r = Reader::new("rekey key", octets);
    version(&mut r)?;
    let key = KeyPair::read_row(kind, &mut r)?;
    r.end()?;
    Ok(key)
}

pub(crate) fn version(r: &mut Reader<'_>) -> Result<(), Error> {
    match r.u8()? {
        VERSION => Ok(()),
        other => Err(r.bad("version", other, "2")),
    }
}

pub(crate) fn write_secret(secret: &Secret, w: &mut Writer) {
    let start = w.len() + 2;
    w.length_u16("secret", start, |w| w.bytes(secret.expose()));
}

pub(crate) fn read_secret(r: &mut Reader<'_>) -> Result<Secret, Error> {
    let len = usize::from(r.u16()?);
    r.take(len).map(Secret::copy_of)
}

fn write_generation(generation: &Generation, w: &mut Writer) {
    generation.0.iter().for_each(|counter| w.u32(*counter));
}

fn read_generation(r: &mut Reader<'_>) -> Result<Generation, Error> {
    let mut counters = [0; KS_MAX];
    for counter in &mut counters {
        *counter = r.u32()?;
    }
    Ok(Generation(counters))
}

pub(crate) fn read_index(r: &mut Reader<'_>) -> Result<KsIndex, Error> {
    let index = r.u8()?;
    KsIndex::new(index).ok_or_else(|| r.bad("key server index", index, "0 to 15"))
}

const fn kind_number(kind: PeerKind) -> u8 {
    match kind {
        PeerKind::Ours => 0,
        PeerKind::Rfc6407 => 1,
        PeerKind::Rfc3547 => 2,
    }
}

fn read_kind(r: &mut Reader<'_>) -> Result<PeerKind, Error> {
    match r.u8()? {
        0 => Ok(PeerKind::Ours),
        1 => Ok(PeerKind::Rfc6407),
        2 => Ok(PeerKind::Rfc3547),
        other => Err(r.bad("kind of member", other, "0 to 2")),
    }
}

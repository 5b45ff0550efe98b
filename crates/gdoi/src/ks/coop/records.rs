//! The octets of the records that key servers share, and back (`docs/coop-wire.md`).
//!
//! Keys and members are the rows of the state file; the rest is laid out here. Decides nothing
//! about what a record does.

use crypto::Secret;
use crypto::hash::Hash;
use wire::codec::{Error, Reader, Writer};

use super::handover::Handed;
use crate::ks::removals::{Removals, Tombstone, read_tombstone, write_tombstone};
use crate::ks::{Kek, Member, TekRecord};
use crate::limits::POLICY_PIECE_OCTETS;
use crate::persist;
use crate::policy_blob::Sha256;

/// Kinds of records on the wire.
pub(crate) const TEK: u8 = 1;
pub(crate) const KEK: u8 = 2;
pub(crate) const MEMBER: u8 = 3;
pub(crate) const GROUP: u8 = 4;
pub(crate) const PIECE: u8 = 5;
pub(crate) const REKEY_KEY: u8 = 6;
pub(crate) const TOMBSTONE: u8 = 7;
pub(crate) const CONFIG: u8 = 8;
pub(crate) const REMOVALS: u8 = 9;
pub(crate) const HANDED_PUSH: u8 = 10;
pub(crate) const HANDED_ACK: u8 = 11;
pub(crate) const FORMER_KEY: u8 = 12;

/// A record that came.
pub(crate) enum Record {
    /// A traffic key.
    Tek(Box<TekRecord>),
    /// A Rekey SA.
    Kek(Box<Kek>),
    /// A member and its address.
    Member(std::net::Ipv4Addr, Box<Member>),
    /// What all share besides keys.
    Group(Group),
    /// A piece of a policy blob.
    Piece(Piece),
    /// The key pair that signs rekeys.
    RekeyKey(RekeyKey),
    /// A key pair that signs under a Rekey SA of before.
    FormerKey(RekeyKey),
    /// The sender's configuration: fields with their values.
    Config(Vec<(u8, String)>),
    /// What was said last of a member that was taken out.
    Tombstone(std::net::Ipv4Addr, Tombstone),
    /// Rises of the generation to come, and the last clearing of the whole group.
    Removals(Removals),
    /// A PUSH that is to be repeated here.
    HandedPush(Handed),
    /// The acknowledgement of one that was handed over.
    HandedAck(Handed),
    /// A kind that this program does not know.
    Unknown,
}

/// What all share besides keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// What the tags of SPIs are made with.
    pub(crate) spi_key: Secret,
    /// The version of the policy: the term of its primary, and its count.
    pub(crate) version: (u32, u32),
    /// The policy in force, and the one announced: hash and octets.
    pub(crate) policies: [Option<(Sha256, u32)>; 2],
}

/// A piece of a policy blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The blob.
    pub(crate) sha256: Sha256,
    /// Its place.
    pub(crate) number: u16,
    /// Its octets.
    pub(crate) octets: Vec<u8>,
}

/// A key pair that signs rekeys.
#[derive(Clone)]
pub(crate) struct RekeyKey {
    /// The term of the primary that signs with it; 0 for one that signs under Rekey SAs of before.
    pub(crate) term: u32,
    /// Its label.
    pub(crate) label: String,
    /// Whether it may be exported.
    pub(crate) exportable: bool,
    /// SHA-256 of the public half.
    pub(crate) fingerprint: Sha256,
    /// PKCS#8 DER; nothing if only the fingerprint is told (`no key sync`).
    pub(crate) pkcs8: Option<Secret>,
}

/// SHA-256 of a public key's DER.
pub(crate) fn fingerprint(public: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(Hash::Sha256.digest(&[public]).as_ref());
    hash
}

/// The octets of a traffic key.
pub(crate) fn tek(record: &TekRecord) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new();
    persist::write_tek(record, &mut w);
    w.finish()
}

/// The octets of a Rekey SA.
pub(crate) fn kek(kek: &Kek) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new();
    persist::write_kek(kek, &mut w);
    w.finish()
}

/// The octets of a member.
pub(crate) fn member(address: std::net::Ipv4Addr, member: &Member) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new();
    w.bytes(&address.octets());
    persist::write_member(member, &mut w);
    w.finish()
}

/// The octets of a tombstone.
pub(crate) fn tombstone(member: std::net::Ipv4Addr, word: &Tombstone) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new();
    write_tombstone(member, word, &mut w);
    w.finish()
}

impl Group {
    /// Of two the larger one counts: the version, then the name of what members are to hold. Whether
    /// that is in force already makes no difference.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let [policy, next] = self.policies;
        (self.version, next.or(policy))
    }

    /// Its octets.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut w = Writer::new();
        persist::write_secret(&self.spi_key, &mut w);
        w.u32(self.version.0);
        w.u32(self.version.1);
        for policy in &self.policies {
            let (sha256, octets) = policy.unwrap_or_default();
            w.bytes(&sha256);
            w.u32(octets);
        }
        w.finish()
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let spi_key = persist::read_secret(r)?;
        let version = (r.u32()?, r.u32()?);
        let mut policies = [None; 2];
        for policy in &mut policies {
            let (sha256, octets) = (r.array()?, r.u32()?);
            if octets > wire::limits::POLICY_OCTETS_MAX {
                return Err(r.bad("octets of a policy", octets, "at most 1048576"));
            }
            *policy = (octets > 0).then_some((sha256, octets));
        }
        Ok(Self {
            spi_key,
            version,
            policies,
        })
    }
}

impl Piece {
    /// The pieces of a blob.
    pub(crate) fn of(sha256: Sha256, blob: &[u8], number: u16) -> Option<Self> {
        let octets = blob.chunks(POLICY_PIECE_OCTETS).nth(number.into())?;
        Some(Self {
            sha256,
            number,
            octets: octets.to_vec(),
        })
    }

    /// Its octets.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut w = Writer::new();
        w.bytes(&self.sha256);
        w.u16(self.number);
        w.bytes(&self.octets);
        w.finish()
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let (sha256, number) = (r.array()?, r.u16()?);
        if usize::from(number) >= 1 << 20 >> 14 {
            return Err(r.bad("number of a piece", number, "0 to 63"));
        }
        let octets = r.rest().to_vec();
        if octets.is_empty() || octets.len() > POLICY_PIECE_OCTETS {
            return Err(r.bad("octets of a piece", octets.len() as u64, "1 to 16384"));
        }
        Ok(Self {
            sha256,
            number,
            octets,
        })
    }
}

impl RekeyKey {
    /// Its octets.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut w = Writer::new();
        w.u32(self.term);
        w.length_u8("label", |w| w.bytes(self.label.as_bytes()));
        w.u8(self.exportable.into());
        w.bytes(&self.fingerprint);
        let none = Secret::default();
        persist::write_secret(self.pkcs8.as_ref().unwrap_or(&none), &mut w);
        w.finish()
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let term = r.u32()?;
        let label = text(r)?;
        let exportable = r.u8()? == 1;
        let fingerprint = r.array()?;
        let pkcs8 = persist::read_secret(r)?;
        Ok(Self {
            term,
            label,
            exportable,
            fingerprint,
            pkcs8: (!pkcs8.is_empty()).then_some(pkcs8),
        })
    }
}

/// The octets of a configuration.
pub(crate) fn config(fields: &[(u8, String)]) -> Result<Vec<u8>, Error> {
    let mut w = Writer::new();
    w.count_u8("configuration", "fields", fields.len());
    for (field, value) in fields {
        w.u8(*field);
        w.length_u8("value", |w| w.bytes(value.as_bytes()));
    }
    w.finish()
}

fn read_config(r: &mut Reader<'_>) -> Result<Vec<(u8, String)>, Error> {
    let mut fields = Vec::new();
    for _ in 0..r.u8()? {
        fields.push((r.u8()?, text(r)?));
    }
    Ok(fields)
}

fn text(r: &mut Reader<'_>) -> Result<String, Error> {
    let len = usize::from(r.u8()?);
    let octets = r.take(len)?;
    let text = std::str::from_utf8(octets);
    text.map(str::to_owned)
        .map_err(|_| r.bad("text", len as u64, "UTF-8"))
}

impl Record {
    /// Its place among those that come together.
    pub(crate) const fn turn(&self) -> u8 {
        match self {
            Self::Tek(_)
            | Self::Kek(_)
            | Self::Group(_)
            | Self::Piece(_)
            | Self::RekeyKey(_)
            | Self::FormerKey(_)
            | Self::Config(_)
            | Self::Tombstone(..)
            | Self::Removals(_)
            | Self::Unknown => 0,
            Self::Member(..) => 1,
            Self::HandedPush(_) | Self::HandedAck(_) => 2,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// What is malformed.
    pub(crate) fn read(kind: u8, octets: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("COOP record", octets);
        let record = match kind {
            TEK => Self::Tek(Box::new(persist::read_tek(&mut r)?)),
            KEK => Self::Kek(Box::new(persist::read_kek(&mut r)?)),
            MEMBER => {
                let address = std::net::Ipv4Addr::from(r.array::<4>()?);
                let member = persist::read_member(r.rest())?;
                Self::Member(address, Box::new(member))
            }
            GROUP => Self::Group(Group::read(&mut r)?),
            PIECE => Self::Piece(Piece::read(&mut r)?),
            REKEY_KEY => Self::RekeyKey(RekeyKey::read(&mut r)?),
            FORMER_KEY => Self::FormerKey(RekeyKey::read(&mut r)?),
            CONFIG => Self::Config(read_config(&mut r)?),
            TOMBSTONE => {
                let (member, word) = read_tombstone(&mut r)?;
                Self::Tombstone(member, word)
            }
            HANDED_PUSH => Self::HandedPush(Handed::read(kind, &mut r)?),
            HANDED_ACK => Self::HandedAck(Handed::read(kind, &mut r)?),
            REMOVALS => Self::Removals(Removals::read(&mut r)?),
            _ => return Ok(Self::Unknown),
        };
        r.end()?;
        Ok(record)
    }
}

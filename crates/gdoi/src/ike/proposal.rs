//! What phase 1 is negotiated over: offers made of `crypto isakmp policy`, and the choice among
//! them.
//!
//! The responder takes the first of the initiator's transforms that equals one of its policies in
//! cipher, key length, hash, group and authentication; of the two lifetimes the shorter counts.
//! Transforms with anything unknown in them are passed over, since accepting them would agree to
//! it. Who may negotiate at all is not decided here.

use std::fmt;

use wire::iana::{
    Doi, IsakmpTransform, LifeType, OakleyAttribute, OakleyAuthentication, OakleyEncryption,
    OakleyHash, ProtocolId,
};
use wire::isakmp::sa::SIT_IDENTITY_ONLY;
use wire::isakmp::{Attribute, Proposal, Sa, Transform};

use super::refusal::Refusal;
use crate::config::{IsakmpCipher, IsakmpHash, IsakmpPolicy};
use crate::limits::{SA_LIFETIME_MIN_S, TRANSFORMS_MAX};

/// Most offers that a refusal names.
const NAMED_MAX: usize = 8;

/// What both sides agreed on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The cipher.
    pub encryption: IsakmpCipher,
    /// The hash, and so the prf.
    pub hash: IsakmpHash,
    /// The Diffie-Hellman group's number.
    pub group: u16,
    /// The lifetime of the SA, seconds.
    pub lifetime_s: u32,
}

/// What was offered and what would have been taken, in the words of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    offered: Vec<String>,
    configured: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.offered.join("; "))?;
        if self.configured.is_empty() {
            return f.write_str(" (here no `crypto isakmp policy` is configured)");
        }
        write!(f, " (here: {})", self.configured.join("; "))
    }
}

/// A situation and its DOI as PROTOCOL P1 allows them.
//= getvpn P1
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) doi: Doi,
    pub(super) situation: u32,
}

impl Domain {
    /// What we send.
    pub(super) const GDOI: Self = Self {
        doi: Doi::GDOI,
        situation: 0,
    };
    /// What we send to a peer with `isakmp doi ipsec`.
    pub(super) const IPSEC: Self = Self {
        doi: Doi::IPSEC,
        situation: SIT_IDENTITY_ONLY,
    };

    /// That of a received SA payload.
    pub(super) fn of(sa: &Sa) -> Result<Self, Refusal> {
        let domain = Self {
            doi: sa.doi,
            situation: sa.situation,
        };
        match (sa.doi, sa.situation) {
            (Doi::GDOI, 0 | SIT_IDENTITY_ONLY) | (Doi::IPSEC, SIT_IDENTITY_ONLY) => Ok(domain),
            (Doi::GDOI | Doi::IPSEC, situation) => Err(Refusal::Situation(situation)),
            (doi, _) => Err(Refusal::Doi(doi)),
        }
    }
}

/// The SA payload of message 1: one transform per policy, best first.
pub(super) fn offer(policies: &[IsakmpPolicy], domain: Domain) -> Sa {
    let transforms = policies
        .iter()
        .zip(1..=u8::MAX)
        .map(|(policy, number)| Transform {
            number,
            id: IsakmpTransform::KEY_IKE,
            attributes: attributes_of(policy),
        })
        .collect();
    //= RFC 2409 5
    //# for phase 1
    //# exchanges there MUST NOT be multiple Proposal Payloads for a single
    //# SA payload and there MUST NOT be multiple SA payloads.
    let proposal = Proposal {
        number: 1,
        protocol: ProtocolId::ISAKMP,
        spi: Vec::new(),
        transforms,
    };
    Sa {
        doi: domain.doi,
        situation: domain.situation,
        proposals: vec![proposal],
    }
}

fn attributes_of(policy: &IsakmpPolicy) -> Vec<Attribute<'static>> {
    let (encryption, key_bits) = numbers_of(policy.encryption);
    let mut attributes = vec![Attribute::basic(
        OakleyAttribute::ENCRYPTION_ALGORITHM.0,
        encryption.0,
    )];
    //= RFC 2409 A
    //# This attribute MUST NOT be used when the specified
    //# Encryption Algorithm uses a fixed length key.
    attributes.extend(key_bits.map(|bits| Attribute::basic(OakleyAttribute::KEY_LENGTH.0, bits)));
    attributes.extend([
        Attribute::basic(OakleyAttribute::HASH_ALGORITHM.0, number_of(policy.hash).0),
        Attribute::basic(OakleyAttribute::GROUP_DESCRIPTION.0, policy.group),
        Attribute::basic(
            OakleyAttribute::AUTHENTICATION_METHOD.0,
            OakleyAuthentication::PRE_SHARED_KEY.0,
        ),
        Attribute::basic(OakleyAttribute::LIFE_TYPE.0, LifeType::SECONDS.0),
        Attribute::long(OakleyAttribute::LIFE_DURATION.0, policy.lifetime_s),
    ]);
    attributes
}

const fn numbers_of(cipher: IsakmpCipher) -> (OakleyEncryption, Option<u16>) {
    match cipher {
        IsakmpCipher::TripleDes => (OakleyEncryption::TRIPLE_DES_CBC, None),
        IsakmpCipher::Aes128 => (OakleyEncryption::AES_CBC, Some(128)),
        IsakmpCipher::Aes192 => (OakleyEncryption::AES_CBC, Some(192)),
        IsakmpCipher::Aes256 => (OakleyEncryption::AES_CBC, Some(256)),
    }
}

const fn number_of(hash: IsakmpHash) -> OakleyHash {
    match hash {
        IsakmpHash::Sha1 => OakleyHash::SHA1,
        IsakmpHash::Sha256 => OakleyHash::SHA2_256,
        IsakmpHash::Sha384 => OakleyHash::SHA2_384,
        IsakmpHash::Sha512 => OakleyHash::SHA2_512,
    }
}

/// The responder's choice: what is agreed, and the SA payload that says so.
///
/// # Errors
/// A payload of another form than phase 1 has, an unknown DOI, or no common transform.
pub(super) fn choose(policies: &[IsakmpPolicy], sa: &Sa) -> Result<(Agreed, Sa), Refusal> {
    let domain = Domain::of(sa)?;
    let proposal = only_proposal(sa)?;
    //= RFC 2409 5
    //# conformant implementations MAY choose to limit the
    //# number of offers it will inspect for performance reasons.
    for transform in proposal.transforms.iter().take(TRANSFORMS_MAX) {
        let Ok(offered) = Offered::of(transform) else {
            continue;
        };
        let Some(policy) = policies.iter().find(|policy| offered.fits(policy)) else {
            continue;
        };
        //= RFC 2409 5
        //# Responders MUST
        //# NOT modify attributes of any offer, attribute encoding excepted (see
        //# Appendix A).
        let answer = Sa {
            doi: domain.doi,
            situation: domain.situation,
            proposals: vec![Proposal {
                number: proposal.number,
                protocol: proposal.protocol,
                spi: Vec::new(),
                transforms: vec![transform.clone()],
            }],
        };
        return Ok((agreed(policy, offered.lifetime_s), answer));
    }
    Err(Refusal::NoProposal(Box::new(mismatch(policies, proposal))))
}

/// The initiator's look at the responder's choice.
///
/// # Errors
/// When the answer is not exactly one of the transforms that were offered.
pub(super) fn confirm(
    policies: &[IsakmpPolicy],
    offer: &Sa,
    answer: &Sa,
) -> Result<Agreed, Refusal> {
    Domain::of(answer)?;
    let proposal = only_proposal(answer)?;
    //= RFC 2409 5
    //# If the initiator of an exchange notices that attribute
    //# values have changed or attributes have been added or deleted from an
    //# offer made, that response MUST be rejected.
    let not_offered = || Refusal::NotOffered(Box::new(mismatch(policies, proposal)));
    let [chosen] = proposal.transforms.as_slice() else {
        return Err(Refusal::BadProposal(
            "the answer must have exactly one transform",
        ));
    };
    let offered = offer
        .proposals
        .iter()
        .flat_map(|proposal| &proposal.transforms);
    let place = offered
        .enumerate()
        .find(|(_, offered)| offered.number == chosen.number && equal(offered, chosen))
        .map(|(place, _)| place)
        .ok_or_else(not_offered)?;
    let policy = policies.get(place).ok_or_else(not_offered)?;
    Ok(agreed(policy, Some(policy.lifetime_s)))
}

fn agreed(policy: &IsakmpPolicy, offered_s: Option<u32>) -> Agreed {
    let lifetime_s = offered_s.map_or(policy.lifetime_s, |offered| offered.min(policy.lifetime_s));
    Agreed {
        encryption: policy.encryption,
        hash: policy.hash,
        group: policy.group,
        lifetime_s: lifetime_s.max(SA_LIFETIME_MIN_S),
    }
}

fn only_proposal(sa: &Sa) -> Result<&Proposal, Refusal> {
    let [proposal] = sa.proposals.as_slice() else {
        return Err(Refusal::BadProposal("phase 1 has exactly one proposal"));
    };
    if proposal.protocol != ProtocolId::ISAKMP {
        return Err(Refusal::BadProposal(
            "the protocol of a phase-1 proposal must be ISAKMP",
        ));
    }
    Ok(proposal)
}

/// Whether two transforms say the same; a number may be encoded as basic or variable.
fn equal(one: &Transform, other: &Transform) -> bool {
    let sorted = |transform: &Transform| {
        let mut attributes: Vec<_> = transform
            .attributes
            .iter()
            .map(|a| (a.class, a.as_number()))
            .collect();
        attributes.sort_unstable();
        attributes
    };
    one.id == other.id && sorted(one) == sorted(other)
}

/// A transform that can be understood as a whole.
#[derive(Default)]
struct Offered {
    encryption: OakleyEncryption,
    key_bits: Option<u16>,
    hash: OakleyHash,
    group: u16,
    authentication: OakleyAuthentication,
    lifetime_s: Option<u32>,
}

impl Offered {
    /// The transform's attributes, in whatever order.
    ///
    /// # Errors
    /// The class of an attribute that is unknown, there twice, or no number.
    fn of(transform: &Transform) -> Result<Self, OakleyAttribute> {
        if transform.id != IsakmpTransform::KEY_IKE {
            return Err(OakleyAttribute::default());
        }
        let mut offered = Self::default();
        let mut seen = Vec::new();
        let mut life_type = None;
        for attribute in &transform.attributes {
            let class = OakleyAttribute(attribute.class);
            let is_life = matches!(
                class,
                OakleyAttribute::LIFE_TYPE | OakleyAttribute::LIFE_DURATION
            );
            if !is_life && seen.contains(&class) {
                return Err(class);
            }
            seen.push(class);
            let number = attribute.as_number().ok_or(class)?;
            if class == OakleyAttribute::LIFE_DURATION {
                // A lifetime in kilobytes is agreed to and never reached by a control channel.
                if life_type == Some(LifeType::SECONDS) {
                    offered.lifetime_s = Some(u32::try_from(number).unwrap_or(u32::MAX));
                }
                continue;
            }
            let short = u16::try_from(number).map_err(|_| class)?;
            match class {
                OakleyAttribute::ENCRYPTION_ALGORITHM => {
                    offered.encryption = OakleyEncryption(short);
                }
                OakleyAttribute::HASH_ALGORITHM => offered.hash = OakleyHash(short),
                OakleyAttribute::AUTHENTICATION_METHOD => {
                    offered.authentication = OakleyAuthentication(short);
                }
                OakleyAttribute::GROUP_DESCRIPTION => offered.group = short,
                OakleyAttribute::KEY_LENGTH => offered.key_bits = Some(short),
                OakleyAttribute::LIFE_TYPE => life_type = Some(LifeType(short)),
                unknown => return Err(unknown),
            }
        }
        Ok(offered)
    }

    fn fits(&self, policy: &IsakmpPolicy) -> bool {
        (self.encryption, self.key_bits) == numbers_of(policy.encryption)
            && self.hash == number_of(policy.hash)
            && self.group == policy.group
            && self.authentication == OakleyAuthentication::PRE_SHARED_KEY
    }
}

fn mismatch(policies: &[IsakmpPolicy], proposal: &Proposal) -> Mismatch {
    let transforms = proposal.transforms.iter();
    Mismatch {
        offered: named(transforms.map(describe)),
        configured: named(policies.iter().map(describe_policy)),
    }
}

/// The first few, each once.
fn named(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if names.contains(&name) {
            continue;
        }
        if names.len() == NAMED_MAX {
            names.push("and more".to_owned());
            break;
        }
        names.push(name);
    }
    names
}

fn describe(transform: &Transform) -> String {
    match Offered::of(transform) {
        Ok(offered) => words(
            &encryption_word(offered.encryption, offered.key_bits),
            &hash_word(offered.hash),
            offered.group,
            &authentication_word(offered.authentication),
        ),
        Err(class) => format!("transform {} with attribute {class}", transform.number),
    }
}

fn describe_policy(policy: &IsakmpPolicy) -> String {
    let (encryption, bits) = numbers_of(policy.encryption);
    let hash = hash_word(number_of(policy.hash));
    words(
        &encryption_word(encryption, bits),
        &hash,
        policy.group,
        "pre-share",
    )
}

/// A policy in the words of `crypto isakmp policy`.
fn words(encryption: &str, hash: &str, group: u16, authentication: &str) -> String {
    format!("encr {encryption} hash {hash} group {group} {authentication}")
}

fn encryption_word(encryption: OakleyEncryption, key_bits: Option<u16>) -> String {
    let word = match encryption {
        OakleyEncryption::DES_CBC => "des".to_owned(),
        OakleyEncryption::TRIPLE_DES_CBC => "3des".to_owned(),
        OakleyEncryption::AES_CBC => "aes".to_owned(),
        other => other.to_string(),
    };
    match key_bits {
        Some(bits) => format!("{word} {bits}"),
        None => word,
    }
}

fn hash_word(hash: OakleyHash) -> String {
    match hash {
        OakleyHash::MD5 => "md5".to_owned(),
        OakleyHash::SHA1 => "sha".to_owned(),
        OakleyHash::SHA2_256 => "sha256".to_owned(),
        OakleyHash::SHA2_384 => "sha384".to_owned(),
        OakleyHash::SHA2_512 => "sha512".to_owned(),
        other => other.to_string(),
    }
}

fn authentication_word(authentication: OakleyAuthentication) -> String {
    match authentication {
        OakleyAuthentication::PRE_SHARED_KEY => "pre-share".to_owned(),
        OakleyAuthentication::RSA_SIGNATURES => "rsa-sig".to_owned(),
        OakleyAuthentication::RSA_ENCRYPTION => "rsa-encr".to_owned(),
        other => other.to_string(),
    }
}

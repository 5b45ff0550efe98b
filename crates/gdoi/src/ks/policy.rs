//! What the configuration of a group asks for, and what of it a plain member can be told.
//!
//! Pure: configuration in, plan or reason out. Acting on the difference between two plans is
//! `ks::rekey`.

use std::net::{IpAddr, Ipv4Addr};

use crypto::hash::Hash;
use crypto::key_pair::Kind;
use policy::lifetime::Schedule;
use policy::{Ace, Acl, Action, Encryption, FlowKey, KsIndex, RekeyTransport, SigHash, Transform};

use super::keys::Wanted;
use crate::config::{self, RekeyKey};
use crate::limits::{BLOCKS_LOG2_MAX, SENDERS_MIN, TAKEOVER_MAX};
use crate::transform::not_sayable;

/// What a group is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What new keys are to be like.
    pub(crate) wanted: Wanted,
    /// The access lists of all `sa ipsec`, one after the other.
    pub(crate) acl: Acl,
    /// The TBAR window in seconds.
    pub(crate) tbar_window_s: Option<u32>,
    /// The rekey key.
    pub(crate) key: RekeyKey,
    /// The hash under its signatures, if it leaves the choice.
    pub(crate) sig_hash: SigHash,
}

impl Plan {
    /// The plan of a configuration.
    ///
    /// # Errors
    /// What is missing or cannot be, in the words of the configuration.
    pub(crate) fn of(config: &config::KeyServer) -> Result<Self, String> {
        let Some(first) = config.sas.first() else {
            return Err("no `sa ipsec` is configured".to_owned());
        };
        for other in &config.sas[1..] {
            // One key protects the whole group, so that a packet has one SA whatever line it fits.
            let same = (other.transform, other.lifetime_s, other.tbar_window_s)
                == (first.transform, first.lifetime_s, first.tbar_window_s);
            if !same {
                return Err(format!(
                    "sa ipsec {} differs from sa ipsec {} in transform, lifetime or replay: \
                     a group has one traffic key",
                    other.number, first.number
                ));
            }
        }
        let multicast = match config.transport {
            RekeyTransport::Unicast => None,
            RekeyTransport::Multicast if config.multicast.address.is_none() => {
                return Err(
                    "`rekey address ipv4 ACL` names no multicast address, and there is no \
                     `rekey transport unicast`"
                        .to_owned(),
                );
            }
            RekeyTransport::Multicast => Some(config.multicast),
        };
        let index = KsIndex::rank_of(config.address, &config.servers)
            .ok_or("the list of key servers lacks this one, or has more than 16")?;
        let key = config
            .rekey_key
            .clone()
            .ok_or("`rekey authentication mypubkey rsa LABEL` is missing")?;
        if config.kek_lifetime_s < first.lifetime_s.saturating_mul(2) {
            return Err(format!(
                "rekey lifetime {} is less than twice the lifetime of traffic keys, {}",
                config.kek_lifetime_s, first.lifetime_s
            ));
        }
        let mut names: Vec<&str> = config.sas.iter().map(|sa| sa.acl.name.as_str()).collect();
        names.dedup();
        let acl = Acl {
            name: names.join("+"),
            entries: config
                .sas
                .iter()
                .flat_map(|sa| sa.acl.entries.iter().copied())
                .collect(),
        };
        Ok(Self {
            wanted: Wanted {
                transform: first.transform,
                tek_lifetime_s: first.lifetime_s,
                kek_cipher: config.kek_cipher,
                kek_lifetime_s: config.kek_lifetime_s,
                index,
                ks_list_hash: ks_list_hash(&config.servers),
                schedule: schedule(config, first.lifetime_s),
                multicast,
            },
            acl,
            tbar_window_s: first.tbar_window_s,
            key,
            sig_hash: config.sig_hash,
        })
    }
}

fn schedule(config: &config::KeyServer, tek_lifetime_s: u32) -> Schedule {
    let (period_s, number) = (config.retransmit_period_s, config.retransmit_number);
    let schedule = Schedule::new(tek_lifetime_s, period_s, number);
    if config.servers.len() > 1 {
        schedule.with_takeover(TAKEOVER_MAX)
    } else {
        schedule
    }
}

/// SHA-256 over the sorted addresses, the first eight octets.
//= getvpn P19
fn ks_list_hash(servers: &[Ipv4Addr]) -> [u8; 8] {
    let mut sorted = servers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let octets: Vec<u8> = sorted.iter().flat_map(Ipv4Addr::octets).collect();
    let hash = Hash::Sha256.digest(&[&octets]);
    std::array::from_fn(|i| hash.as_ref()[i])
}

/// The lines that a plain member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainPolicy {
    /// The permits that a SAT can say.
    pub(crate) lines: Vec<Ace>,
    /// Denies that it is not told: what they name will not pass between it and members of ours.
    pub(crate) dropped: Vec<Ace>,
}

/// What a plain member is told.
///
/// # Errors
/// The line of the policy that cannot be said to it.
//= getvpn P10
pub(crate) fn plain_policy(
    plan: &Plan,
    config: &config::KeyServer,
    member: Ipv4Addr,
) -> Result<PlainPolicy, String> {
    if let Some(window_s) = plan.tbar_window_s {
        return Err(format!(
            "`replay time window-size {window_s}` cannot be told to an RFC 6407 member"
        ));
    }
    let mut plain = PlainPolicy {
        lines: Vec::new(),
        dropped: Vec::new(),
    };
    for (place, ace) in plan.acl.entries.iter().enumerate() {
        let drop = ace.action == Action::Deny && config.rfc6407_drops_denies;
        match not_sayable(ace) {
            None => plain.lines.push(*ace),
            Some(_) if drop => plain.dropped.push(*ace),
            Some(why) => {
                return Err(format!(
                    "access-list {} line {} `{ace}`: {why} cannot be told to an RFC 6407 member",
                    plan.acl.name,
                    place + 1
                ));
            }
        }
    }
    let permits = Acl {
        name: String::new(),
        entries: plain.lines.clone(),
    };
    for flow in control_flows(config.address, member) {
        if !plain.dropped.is_empty() && permits.permits(&flow) {
            return Err(format!(
                "`client compatibility rfc6407` would encrypt udp port {} of {member}: \
                 no line may permit it",
                flow.destination_port.unwrap_or_default()
            ));
        }
    }
    Ok(plain)
}

/// What a member of RFC 3547 cannot be told beside what no plain member can.
///
/// # Errors
/// The command of the policy that cannot be said to it.
//= getvpn P10
pub(crate) fn rfc3547_policy(plan: &Plan) -> Result<(), String> {
    let transform = plan.wanted.transform;
    if transform.is_counter_mode() {
        return Err(format!(
            "`crypto ipsec transform-set` {transform} needs sender identifiers, which cannot be \
             told to an RFC 3547 member"
        ));
    }
    let sig_hash = plan.sig_hash;
    match (plan.key.kind, sig_hash) {
        (Kind::Rsa, SigHash::Sha1) => Ok(()),
        (Kind::Rsa, SigHash::Sha256 | SigHash::Sha384 | SigHash::Sha512) => Err(format!(
            "`rekey sig-hash algorithm` other than sha cannot be told to an RFC 3547 member, and \
             this is {sig_hash}"
        )),
        (Kind::Ec, _) => Err(format!(
            "`rekey authentication mypubkey {}` cannot be told to an RFC 3547 member, which knows \
             RSA only",
            plan.key
        )),
    }
}

/// Whether a key is good for few blocks only.
pub(crate) const fn has_64_bit_blocks(transform: Transform) -> bool {
    matches!(transform.encryption(), Encryption::TripleDes)
}

/// How many 64-bit blocks each of a group's senders may encrypt with one key, as a power of two: the
/// bound for all over the senders, with room for as many again to join while the key is used.
//= getvpn P23
pub(crate) fn blocks_log2(transform: Transform, members: usize) -> Option<u8> {
    let senders = (members * 2).max(SENDERS_MIN).next_power_of_two();
    let share = u8::try_from(senders.ilog2()).unwrap_or(BLOCKS_LOG2_MAX);
    has_64_bit_blocks(transform).then(|| BLOCKS_LOG2_MAX.saturating_sub(share))
}

/// The flows that must stay clear between a key server and a member.
fn control_flows(server: Ipv4Addr, member: Ipv4Addr) -> impl Iterator<Item = FlowKey> {
    [500, 848, 4_500].into_iter().flat_map(move |port| {
        let flow = FlowKey {
            source: IpAddr::V4(member),
            destination: IpAddr::V4(server),
            protocol: 17,
            source_port: Some(port),
            destination_port: Some(port),
        };
        [flow, flow.reversed()]
    })
}

//! From the tree to what the machines are told, given the kernel's interfaces.
//!
//! Takes what is complete and says what it leaves out, so that a configuration that an operator is
//! in the middle of typing disturbs nothing that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use dataplane::InterfaceFacts;
use gdoi::config::{
    Config as Machines, IpsecSa, Isakmp, IsakmpCipher, IsakmpHash, IsakmpPeer, IsakmpPolicy,
    KeyServer, MULTICAST_TTL_DEFAULT, Member, Multicast, PresharedKey,
};
use gdoi::ike::AdmissionLimits;
use policy::{Acl, GroupName, RekeyTransport};

use super::crypto::gdoi::group::Group;
use super::crypto::gdoi::rekey::{Rekey, Retransmit, multicast_address};
use super::crypto::gdoi::sa_ipsec::{Replay, Sa};
use super::crypto::gdoi::server_local::ServerLocal;
use super::crypto::isakmp::policy::Policy;
use super::crypto::map::Entry;
use super::edit::Place;
use super::interface::{full_name, mask};
use super::origin::Origins;
use super::{Config, Diagnostic, Severity};
use crate::Interface;
use crate::limits::{
    ISAKMP_LIFETIME_S_DEFAULT, KEK_LIFETIME_S_DEFAULT, KEY_LOOK_AHEAD_DEFAULT,
    REKEY_RETRANSMIT_NUMBER_DEFAULT, REKEY_RETRANSMIT_PERIOD_S_DEFAULT, TEK_LIFETIME_S_DEFAULT,
};

/// What a configuration means on this box.
#[derive(Clone, Default)]
pub struct Target {
    /// What the machines are told.
    pub gdoi: Machines,
    /// Interfaces that carry a crypto map, in the order of their names.
    pub attachments: Vec<Attachment>,
    /// Groups with `no fail-close`.
    pub fail_open: BTreeSet<GroupName>,
    /// What is left out and why, and what differs from the kernel.
    pub warnings: Vec<Diagnostic>,
}

impl Target {
    /// Whether nothing of the group's passes in clear before registration.
    #[must_use]
    pub fn is_fail_close(&self, group: &GroupName) -> bool {
        !self.fail_open.contains(group)
    }
}

/// A crypto map on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface as the configuration names it.
    pub interface: String,
    /// The Linux device.
    pub device: String,
    /// The crypto map.
    pub crypto_map: String,
    /// The groups of the map's entries, in their order.
    pub groups: Vec<GroupName>,
    /// The device's MTU, octets of an IP packet.
    pub mtu: u16,
}

impl Attachment {
    /// Whether the map has one group, so that whatever becomes of the interface's packets is its.
    #[must_use]
    pub const fn is_of_one_group(&self) -> bool {
        self.groups.len() == 1
    }

    /// What the packet path is told of it.
    #[must_use]
    pub fn facts(&self) -> InterfaceFacts {
        InterfaceFacts {
            name: self.interface.clone(),
            groups: self.groups.clone(),
            mtu: self.mtu,
        }
    }
}

/// Makes the target. `workers` is the number of encryption engines that a member runs.
///
/// # Errors
/// When an interface that carries a crypto map is not there or cannot register; with the warnings.
pub fn to_gdoi(
    config: &Config,
    origins: &Origins,
    interfaces: &[Interface],
    workers: u16,
) -> Result<Target, Vec<Diagnostic>> {
    let mut making = Making {
        config,
        origins,
        interfaces,
        workers,
        target: Target::default(),
        said: Vec::new(),
    };
    making.target.gdoi.isakmp = isakmp(config);
    making.compare_addresses();
    for (name, group) in &config.groups {
        if !group.fail_close {
            making
                .target
                .fail_open
                .insert(GroupName::new(name.as_str()));
        }
        if let Some(local) = &group.local {
            match making.key_server(name, group, local) {
                Ok(server) => making.target.gdoi.key_servers.push(server),
                Err(reason) => {
                    let name_of = GroupName::new(name.as_str());
                    let lacks = (name_of, reason.to_owned());
                    making.target.gdoi.incomplete.push(lacks);
                    making.skip(name, reason);
                }
            }
        }
    }
    for (name, interface) in &config.interfaces {
        if let Some(map) = &interface.crypto_map {
            making.attach(name, map);
        }
    }
    let Making {
        mut target, said, ..
    } = making;
    if said.iter().any(|one| one.severity == Severity::Error) {
        return Err(said);
    }
    target.warnings = said;
    Ok(target)
}

struct Making<'a> {
    config: &'a Config,
    origins: &'a Origins,
    interfaces: &'a [Interface],
    workers: u16,
    target: Target,
    said: Vec<Diagnostic>,
}

fn isakmp(config: &Config) -> Isakmp {
    let mut policies: Vec<_> = config
        .isakmp_policies
        .iter()
        .map(|(priority, policy)| isakmp_policy(*priority, *policy))
        .collect();
    if policies.is_empty() {
        // IOS, too, has policies of its own behind every configured one.
        for (priority, group) in [(DEFAULT_PRIORITY, 19), (DEFAULT_PRIORITY + 1, 14)] {
            let policy = Policy {
                group: Some(group),
                ..Policy::default()
            };
            policies.push(isakmp_policy(priority, policy));
        }
    }
    let keys = config
        .isakmp_keys
        .iter()
        .map(|((address, mask), key)| PresharedKey {
            address: *address,
            mask: *mask,
            secret: key.secret.clone(),
        });
    let peers = config
        .isakmp_peers
        .iter()
        .map(|(address, peer)| IsakmpPeer {
            address: *address,
            doi_ipsec: peer.doi_ipsec,
        });
    Isakmp {
        policies,
        keys: keys.collect(),
        peers: peers.collect(),
        keepalive_s: config
            .isakmp_keepalive
            .map_or(0, |keepalive| keepalive.interval_s),
        admission: admission(config),
    }
}

/// Members may be refused; key servers of a group of this box never.
fn admission(config: &Config) -> AdmissionLimits {
    let local = config
        .groups
        .values()
        .filter_map(|group| group.local.as_ref());
    let redundancy = local.filter_map(|local| local.redundancy.as_ref());
    AdmissionLimits {
        sas: config.admission.sas,
        negotiations: config.admission.negotiations,
        always: redundancy
            .flat_map(|own| own.peers.iter().copied())
            .collect(),
    }
}

impl Making<'_> {
    fn error(&mut self, line: Option<usize>, text: impl Into<String>) {
        self.said
            .push(Diagnostic::error(line, text).in_file(self.origins.file()));
    }

    fn warn(&mut self, line: Option<usize>, text: impl Into<String>) {
        self.said
            .push(Diagnostic::warning(line, text).in_file(self.origins.file()));
    }

    fn skip(&mut self, group: &str, reason: &str) {
        let line = self
            .origins
            .block(&[Place::Group(group.to_owned()), Place::ServerLocal]);
        self.warn(line, format!("group {group} is not served: {reason}"));
    }

    /// `ip address` lines against the kernel's addresses.
    fn compare_addresses(&mut self) {
        for (name, interface) in &self.config.interfaces {
            let path = [Place::Interface(name.clone())];
            let line = self.origins.block(&path);
            let Some(device) = self.device(name) else {
                if interface.crypto_map.is_none() && interface.address.is_some() {
                    let have = self.have();
                    self.warn(
                        line,
                        format!("no device is named or aliased {name} ({have})"),
                    );
                }
                continue;
            };
            let has = device.addresses.clone();
            let own = interface.address.iter().chain(&interface.secondary);
            for (address, length) in own.filter(|own| !has.contains(own)) {
                let line = self
                    .origins
                    .line(&path, &format!("ip address {address}"))
                    .or(line);
                let have: Vec<_> = has
                    .iter()
                    .map(|(a, n)| format!("{a} {}", mask(*n)))
                    .collect();
                let have = if have.is_empty() {
                    "none".to_owned()
                } else {
                    have.join(", ")
                };
                let mask = mask(*length);
                self.warn(
                    line,
                    format!(
                        "interface {name} does not have the address {address} {mask}: the kernel \
                         has {have}"
                    ),
                );
            }
        }
    }

    fn key_server(
        &mut self,
        name: &str,
        group: &Group,
        local: &ServerLocal,
    ) -> Result<KeyServer, &'static str> {
        if group.is_ipv6 {
            return Err("IPv6 groups are not available yet");
        }
        let id = group.id.ok_or("it has no identity")?;
        let address = local.address.ok_or("it has no `address ipv4`")?;
        let rekey = &local.rekey;
        let rekey_key = rekey.authentication.clone();
        rekey_key
            .as_ref()
            .ok_or("it has no `rekey authentication mypubkey rsa LABEL`")?;
        let mut sas = Vec::new();
        for (number, sa) in &local.sas {
            let sa = self.sa(*number, sa);
            sas.push(sa.ok_or("an `sa ipsec` lacks its profile, transform set or access list")?);
        }
        let authorization = self
            .named_acl(local.authorization.as_ref())
            .ok_or("its authorization list does not exist")?;
        let rfc3547 = self
            .named_acl(local.compatible_rfc3547.as_ref())
            .ok_or("its list of RFC 3547 members does not exist")?;
        self.warn_of_foreign_address(name, address);
        let redundancy = local.redundancy.as_ref();
        let mut servers = vec![address];
        servers.extend(
            redundancy
                .iter()
                .flat_map(|redundancy| redundancy.peers.iter()),
        );
        let Retransmit { period_s, number } = rekey.retransmit.unwrap_or(Retransmit {
            period_s: REKEY_RETRANSMIT_PERIOD_S_DEFAULT,
            number: REKEY_RETRANSMIT_NUMBER_DEFAULT,
        });
        Ok(KeyServer {
            group: GroupName::new(name),
            id,
            address,
            servers,
            priority: redundancy
                .and_then(|redundancy| redundancy.priority)
                .unwrap_or(1),
            rekey_key,
            transport: transport(rekey),
            multicast: self.multicast(rekey, address),
            reminder_s: rekey.periodic_s,
            kek_cipher: rekey.algorithm.unwrap_or_default(),
            sig_hash: rekey.sig_hash.unwrap_or_default(),
            raw_hash: rekey.raw_hash,
            kek_lifetime_s: rekey.lifetime_s.unwrap_or(KEK_LIFETIME_S_DEFAULT),
            retransmit_period_s: period_s,
            retransmit_number: number,
            authorization,
            sas,
            size: local.size.unwrap_or_default(),
            look_ahead: local.look_ahead.unwrap_or(KEY_LOOK_AHEAD_DEFAULT),
            rfc6407_drops_denies: local.compatible_rfc6407,
            key_sync: redundancy.is_none_or(|redundancy| redundancy.key_sync),
            rfc3547,
        })
    }

    /// How rekeys travel by multicast; without a list that names an address there is none, and the
    /// machine says so when it needs one.
    fn multicast(&self, rekey: &Rekey, server: Ipv4Addr) -> Multicast {
        let list = rekey.address.as_ref();
        let list = list.and_then(|list| self.config.access_lists.get(list));
        Multicast {
            address: list.and_then(|list| multicast_address(list, server).ok()),
            ttl: rekey.ttl.unwrap_or(MULTICAST_TTL_DEFAULT),
            acknowledgement: rekey.acknowledgement.unwrap_or_default(),
            plain_by_unicast: rekey.plain_unicast,
        }
    }

    /// The list that a command names, if there is the command; `None` for a name without a list.
    fn named_acl(&self, name: Option<&String>) -> Option<Option<Arc<Acl>>> {
        match name {
            None => Some(None),
            Some(name) => self.acl(name).map(Some),
        }
    }

    fn warn_of_foreign_address(&mut self, group: &str, address: Ipv4Addr) {
        let has = |device: &Interface| device.addresses.iter().any(|(own, _)| *own == address);
        if !self.interfaces.iter().any(has) {
            let path = [Place::Group(group.to_owned()), Place::ServerLocal];
            let line = self.origins.line(&path, "address ipv4");
            self.warn(
                line,
                format!("no interface has the key server's address {address}"),
            );
        }
    }

    fn sa(&self, number: u16, sa: &Sa) -> Option<IpsecSa> {
        let name = sa.profile.clone()?;
        let profile = self.config.profiles.get(&name)?;
        Some(IpsecSa {
            number,
            transform: *self
                .config
                .transform_sets
                .get(profile.transform_set.as_ref()?)?,
            lifetime_s: profile.lifetime_s.unwrap_or(TEK_LIFETIME_S_DEFAULT),
            profile: name,
            acl: self.acl(sa.acl.as_ref()?)?,
            tbar_window_s: match sa.replay {
                Replay::Default | Replay::Off => None,
                Replay::Time(seconds) => Some(seconds),
            },
        })
    }

    fn acl(&self, name: &str) -> Option<Arc<Acl>> {
        Some(Arc::new(self.config.access_lists.get(name)?.to_acl(name)))
    }

    fn attach(&mut self, name: &str, map: &str) {
        let line = self.origins.block(&[Place::Interface(name.to_owned())]);
        let Some(device) = self.device(name) else {
            let have = self.have();
            self.error(
                line,
                format!("no device is named or aliased {name} ({have})"),
            );
            return;
        };
        let (device_name, mtu) = (device.name.clone(), device.mtu);
        if let Some(other) = self
            .target
            .attachments
            .iter()
            .find(|own| own.device == device_name)
        {
            let text = format!(
                "{name} and {} are the same device {device_name}",
                other.interface
            );
            self.error(line, text);
            return;
        }
        let address = self.address(name, device);
        let mut groups = Vec::new();
        for entry in self
            .config
            .crypto_maps
            .get(map)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            let Some(member) = self.member(name, map, entry) else {
                continue;
            };
            let Some(address) = address else {
                self.error(
                    line,
                    format!("interface {name} has no IPv4 address to register with"),
                );
                return;
            };
            let other = self
                .target
                .gdoi
                .members
                .iter()
                .find(|own| own.group == member.group);
            if let Some(other) = other {
                let text = format!(
                    "group {} is joined through {} already: one interface per group",
                    member.group, other.interface
                );
                self.error(line, text);
                return;
            }
            groups.push(member.group.clone());
            self.target.gdoi.members.push(Member { address, ..member });
        }
        self.target.attachments.push(Attachment {
            interface: name.to_owned(),
            device: device_name,
            crypto_map: map.to_owned(),
            groups,
            mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
        });
    }

    /// The member that a map's entry makes of this box, if the entry is complete; its address is
    /// still open.
    fn member(&self, interface: &str, map: &str, entry: &Entry) -> Option<Member> {
        let name = entry.group.as_ref()?;
        let group = self.config.groups.get(name)?;
        if group.local.is_some() || group.is_ipv6 || group.servers.is_empty() {
            return None;
        }
        let local_acl = match &entry.acl {
            None => None,
            // A list that does not exist could deny: without it nothing is decided.
            Some(list) => Some(self.acl(list)?),
        };
        Some(Member {
            group: GroupName::new(name.as_str()),
            id: group.id?,
            servers: group.servers.clone(),
            address: Ipv4Addr::UNSPECIFIED,
            crypto_map: map.to_owned(),
            interface: interface.to_owned(),
            local_acl,
            workers: self.workers,
            compatible_rfc6407: group.compatible_rfc6407,
        })
    }

    /// The address that registers: the configured one if the kernel has it, else the kernel's.
    fn address(&self, name: &str, device: &Interface) -> Option<Ipv4Addr> {
        let configured = self.config.interfaces.get(name).and_then(|own| own.address);
        let has = |address: Ipv4Addr| device.addresses.iter().any(|(own, _)| *own == address);
        configured
            .map(|(address, _)| address)
            .filter(|address| has(*address))
            .or_else(|| device.addresses.first().map(|(address, _)| *address))
    }

    /// The device of that name, else the one whose alias means the same.
    fn device(&self, name: &str) -> Option<&Interface> {
        let aliased = |device: &&Interface| {
            let alias = device.alias.as_deref();
            device.is_named(name) || alias.is_some_and(|alias| full_name(alias, "") == name)
        };
        let named = self.interfaces.iter().find(|device| device.name == name);
        named.or_else(|| self.interfaces.iter().find(aliased))
    }

    fn have(&self) -> String {
        let names: Vec<_> = self
            .interfaces
            .iter()
            .map(|device| match &device.alias {
                Some(alias) => format!("{} = {alias}", device.name),
                None => device.name.clone(),
            })
            .collect();
        format!("have: {}", names.join(", "))
    }
}

const fn transport(rekey: &Rekey) -> RekeyTransport {
    if rekey.unicast {
        RekeyTransport::Unicast
    } else {
        RekeyTransport::Multicast
    }
}

/// Where the box's own phase-1 policies stand: behind every number that can be configured.
const DEFAULT_PRIORITY: u16 = 65_507;

fn isakmp_policy(priority: u16, policy: Policy) -> IsakmpPolicy {
    IsakmpPolicy {
        priority,
        encryption: policy.encryption.unwrap_or(IsakmpCipher::Aes256),
        hash: policy.hash.unwrap_or(IsakmpHash::Sha256),
        group: policy.group.unwrap_or(19),
        lifetime_s: policy.lifetime_s.unwrap_or(ISAKMP_LIFETIME_S_DEFAULT),
    }
}

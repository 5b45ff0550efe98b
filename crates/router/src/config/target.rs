//! From the tree to what the machines are told, given the kernel's interfaces.
//!
//! Takes what is complete and says what it leaves out, so that a configuration that an operator is
//! in the middle of typing disturbs nothing that runs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use gdoi::config::{
    Config as Machines, IpsecSa, Isakmp, IsakmpCipher, IsakmpHash, IsakmpPeer, IsakmpPolicy,
    KeyServer, Member, PresharedKey,
};
use policy::{Acl, GroupName, RekeyTransport};

use super::crypto::gdoi::group::Group;
use super::crypto::gdoi::rekey::Retransmit;
use super::crypto::gdoi::sa_ipsec::{Replay, Sa};
use super::crypto::gdoi::server_local::ServerLocal;
use super::crypto::isakmp::policy::Policy;
use super::edit::Place;
use super::interface::mask;
use super::origin::Origins;
use super::{Config, Diagnostic};
use crate::Interface;
use crate::limits::{
    ISAKMP_LIFETIME_S_DEFAULT, KEK_LIFETIME_S_DEFAULT, KEY_LOOK_AHEAD_DEFAULT,
    REKEY_RETRANSMIT_NUMBER_DEFAULT, REKEY_RETRANSMIT_PERIOD_S_DEFAULT, TEK_LIFETIME_S_DEFAULT,
};

/// What a configuration means on this box.
#[derive(Clone, Default)]
pub struct Target {
    /// What the machines are told.
    pub machines: Machines,
    /// Interfaces that carry a crypto map with a group.
    pub attachments: Vec<Attachment>,
    /// What is left out and why, and what differs from the kernel.
    pub said: Vec<Diagnostic>,
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
}

/// Makes the target. `workers` is the number of encryption engines that a member runs.
#[must_use]
pub fn to_gdoi(
    config: &Config,
    origins: &Origins,
    interfaces: &[Interface],
    workers: u16,
) -> Target {
    let mut making = Making {
        config,
        origins,
        interfaces,
        target: Target::default(),
    };
    making.target.machines.isakmp = making.isakmp();
    making.compare_addresses();
    for (name, group) in &config.groups {
        if let Some(local) = &group.local {
            making.key_server(name, group, local);
        }
    }
    for (name, interface) in &config.interfaces {
        if let Some(map) = &interface.crypto_map {
            making.attach(name, map, workers);
        }
    }
    making.target
}

struct Making<'a> {
    config: &'a Config,
    origins: &'a Origins,
    interfaces: &'a [Interface],
    target: Target,
}

impl Making<'_> {
    fn isakmp(&self) -> Isakmp {
        let config = self.config;
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
        Isakmp {
            policies,
            keys: config
                .isakmp_keys
                .iter()
                .map(|((address, mask), key)| PresharedKey {
                    address: *address,
                    mask: *mask,
                    secret: key.secret.clone(),
                })
                .collect(),
            peers: config
                .isakmp_peers
                .iter()
                .map(|(address, peer)| IsakmpPeer {
                    address: *address,
                    doi_ipsec: peer.doi_ipsec,
                })
                .collect(),
            keepalive_s: config
                .isakmp_keepalive
                .map_or(0, |keepalive| keepalive.interval_s),
        }
    }

    /// `ip address` lines against the kernel's addresses.
    fn compare_addresses(&mut self) {
        for (name, interface) in &self.config.interfaces {
            let path = [Place::Interface(name.clone())];
            let line = self.origins.block(&path);
            let Some(device) = self.device(name) else {
                if interface.crypto_map.is_none() && interface.address.is_some() {
                    let have = self.have();
                    let text = format!("no device is named or aliased {name} ({have})");
                    self.target.said.push(Diagnostic::warning(line, text));
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
                self.target.said.push(Diagnostic::warning(
                    line,
                    format!(
                        "interface {name} does not have the address {address} {}: the kernel has \
                         {have}",
                        mask(*length)
                    ),
                ));
            }
        }
    }

    fn key_server(&mut self, name: &str, group: &Group, local: &ServerLocal) {
        let path = [Place::Group(name.to_owned()), Place::ServerLocal];
        let line = self.origins.block(&path);
        let skip =
            |text: &str| Diagnostic::warning(line, format!("group {name} is not served: {text}"));
        if group.is_ipv6 {
            self.target
                .said
                .push(skip("IPv6 groups are not available yet"));
            return;
        }
        let (Some(id), Some(address)) = (group.id, local.address) else {
            self.target
                .said
                .push(skip("it has no identity or no address ipv4"));
            return;
        };
        if local.rekey.authentication.is_none() {
            self.target
                .said
                .push(skip("it has no `rekey authentication mypubkey rsa LABEL`"));
            return;
        }
        let mut sas = Vec::new();
        for (number, sa) in &local.sas {
            match self.sa(*number, sa) {
                Some(sa) => sas.push(sa),
                None => {
                    let text = format!("sa ipsec {number} lacks profile, transform set or list");
                    self.target.said.push(skip(&text));
                    return;
                }
            }
        }
        if !self
            .interfaces
            .iter()
            .any(|own| own.addresses.iter().any(|(a, _)| *a == address))
        {
            let line = self.origins.line(&path, "address ipv4").or(line);
            let text = format!("no interface has the key server's address {address}");
            self.target.said.push(Diagnostic::warning(line, text));
        }
        let authorization = match &local.authorization {
            None => None,
            Some(list) => match self.acl(list) {
                Some(acl) => Some(acl),
                None => {
                    self.target
                        .said
                        .push(skip("its authorization list does not exist"));
                    return;
                }
            },
        };
        let redundancy = local.redundancy.as_ref();
        let mut servers = vec![address];
        servers.extend(
            redundancy
                .iter()
                .flat_map(|redundancy| redundancy.peers.iter()),
        );
        let rekey = &local.rekey;
        let retransmit = rekey.retransmit.unwrap_or(Retransmit {
            period_s: REKEY_RETRANSMIT_PERIOD_S_DEFAULT,
            number: REKEY_RETRANSMIT_NUMBER_DEFAULT,
        });
        self.target.machines.key_servers.push(KeyServer {
            group: GroupName::new(name),
            id,
            address,
            servers,
            priority: redundancy
                .and_then(|redundancy| redundancy.priority)
                .unwrap_or(1),
            rekey_key: rekey.authentication.clone(),
            transport: if rekey.unicast {
                RekeyTransport::Unicast
            } else {
                RekeyTransport::Multicast
            },
            kek_cipher: rekey.algorithm.unwrap_or_default(),
            sig_hash: rekey.sig_hash.unwrap_or_default(),
            raw_hash: rekey.raw_hash,
            kek_lifetime_s: rekey.lifetime_s.unwrap_or(KEK_LIFETIME_S_DEFAULT),
            retransmit_period_s: retransmit.period_s,
            retransmit_number: retransmit.number,
            authorization,
            sas,
            size: local.size.unwrap_or_default(),
            look_ahead: local.look_ahead.unwrap_or(KEY_LOOK_AHEAD_DEFAULT),
            rfc6407_drops_denies: local.compatible_rfc6407,
        });
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

    fn attach(&mut self, name: &str, map: &str, workers: u16) {
        let path = [Place::Interface(name.to_owned())];
        let line = self.origins.block(&path);
        let Some(device) = self.device(name) else {
            let have = self.have();
            let text = format!("no device is named or aliased {name} ({have})");
            self.target.said.push(Diagnostic::error(line, text));
            return;
        };
        let device_name = device.name.clone();
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
            self.target.said.push(Diagnostic::error(line, text));
            return;
        }
        let address = self.address(name, device);
        let config = self.config;
        let mut groups = Vec::new();
        for entry in config
            .crypto_maps
            .get(map)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            let Some(group_name) = &entry.group else {
                continue;
            };
            let Some(group) = config.groups.get(group_name) else {
                continue;
            };
            let (Some(id), None, false) = (group.id, &group.local, group.is_ipv6) else {
                continue;
            };
            if group.servers.is_empty() {
                continue;
            }
            let local_acl = match &entry.acl {
                None => None,
                Some(list) => match self.acl(list) {
                    Some(acl) => Some(acl),
                    None => continue,
                },
            };
            let Some(address) = address else {
                let text = format!("interface {name} has no IPv4 address to register with");
                self.target.said.push(Diagnostic::error(line, text));
                return;
            };
            groups.push(GroupName::new(group_name.as_str()));
            self.target.machines.members.push(Member {
                group: GroupName::new(group_name.as_str()),
                id,
                servers: group.servers.clone(),
                address,
                crypto_map: map.to_owned(),
                interface: name.to_owned(),
                local_acl,
                workers,
            });
        }
        self.target.attachments.push(Attachment {
            interface: name.to_owned(),
            device: device_name,
            crypto_map: map.to_owned(),
            groups,
        });
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

    fn device(&self, name: &str) -> Option<&Interface> {
        let named = self.interfaces.iter().find(|device| device.name == name);
        named.or_else(|| self.interfaces.iter().find(|device| device.is_named(name)))
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

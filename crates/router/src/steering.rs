//! Which WAN ports are steered, and how: from the configuration and the policy in force.

use policy::steer::{Peers, Plan, Protected};

use crate::config::Target;
use crate::interface::Interface;

/// One plan per interface with a crypto map, in the order of their names.
pub(crate) fn plans(
    target: &Target,
    interfaces: &[Interface],
    policy_of: &dyn Fn(&policy::GroupName) -> Option<std::sync::Arc<policy::Acl>>,
) -> Vec<Plan> {
    let mut plans = Vec::new();
    for attachment in &target.attachments {
        let Some(interface) = interfaces.iter().find(|one| one.name == attachment.device) else {
            continue;
        };
        let own = interface
            .addresses
            .iter()
            .map(|(address, _)| *address)
            .collect();
        let serves = target.gdoi.key_servers.iter().any(|server| {
            interface
                .addresses
                .iter()
                .any(|(own, _)| *own == server.address)
        });
        let members = target
            .gdoi
            .members
            .iter()
            .filter(|m| attachment.groups.contains(&m.group));
        let peers = if serves {
            Peers::Anyone
        } else {
            let mut servers: Vec<_> = members.clone().flat_map(|m| m.servers.clone()).collect();
            servers.sort_unstable();
            servers.dedup();
            Peers::Servers(servers)
        };
        let mut entries = Vec::new();
        let mut unknown = false;
        for member in members {
            match policy_of(&member.group) {
                Some(acl) => entries.extend(acl.entries.iter().copied()),
                None => unknown |= target.is_fail_close(&member.group),
            }
        }
        let protected = if unknown {
            Protected::ALL
        } else {
            Protected::of(&entries)
        };
        plans.push(Plan {
            device: interface.name.clone(),
            interface: attachment.interface.clone(),
            own,
            peers,
            protected,
        });
    }
    plans
}

//! Cooperating key servers: who the peers are, and what the way between them is worth.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use gdoi::config::{IsakmpCipher, IsakmpHash};

use super::Check;
use crate::config::crypto::gdoi::server_local::ServerLocal;
use crate::config::crypto::isakmp::policy::Policy;
use crate::config::edit::Place;

impl Check<'_> {
    pub(super) fn redundancy(&mut self, name: &str, local: &ServerLocal) {
        let Some(redundancy) = &local.redundancy else {
            return;
        };
        let path = [
            Place::Group(name.to_owned()),
            Place::ServerLocal,
            Place::Redundancy,
        ];
        for peer in &redundancy.peers {
            let line = self.line(&path, &format!("peer address ipv4 {peer}"));
            if local.address == Some(*peer) {
                self.error(
                    line,
                    format!("peer {peer} is this key server's own `address ipv4`"),
                );
            } else {
                self.peer_key(line, *peer);
            }
        }
    }

    /// A pre-shared key that others have, too, lets them play this key server.
    //= getvpn P26
    fn peer_key(&mut self, line: Option<usize>, peer: Ipv4Addr) {
        match self.pre_shared_key_for(peer) {
            None => self.warn(
                line,
                format!("no `crypto isakmp key` is for the key server {peer}"),
            ),
            Some(((_, mask), _)) if mask.is_broadcast() => {}
            Some(((address, mask), _)) => self.warn(
                line,
                format!(
                    "the key server {peer} has no key of its own: that for {address} {mask} is \
                     taken, and whoever has it can play key server"
                ),
            ),
        }
    }

    /// The key servers that this box cooperates with in any group.
    pub(super) fn cooperating_peers(&self) -> BTreeSet<Ipv4Addr> {
        let groups = self.config.groups.values();
        groups
            .filter_map(|group| group.local.as_ref()?.redundancy.as_ref())
            .flat_map(|redundancy| redundancy.peers.iter().copied())
            .collect()
    }

    /// Two key servers with the same policies agree on the first, so those behind one that
    /// suffices do no harm.
    //= getvpn P26
    pub(super) fn policies_between_key_servers(&mut self) {
        if self.cooperating_peers().is_empty() {
            return;
        }
        for (priority, policy) in &self.config.isakmp_policies {
            let weak = weaknesses(policy);
            if weak.is_empty() {
                return;
            }
            let line = self.origins.block(&[Place::IsakmpPolicy(*priority)]);
            self.warn(
                line,
                format!(
                    "crypto isakmp policy {priority} is too weak between key servers ({}): no keys \
                     are sent to a peer that agrees on it; expected encr aes 256, hash sha256 or \
                     better, group 14 or better",
                    weak.join(", ")
                ),
            );
        }
    }
}

/// What of a policy must not protect the group's keys.
fn weaknesses(policy: &Policy) -> Vec<String> {
    let mut weak = Vec::new();
    match policy.encryption {
        None | Some(IsakmpCipher::Aes256) => {}
        Some(IsakmpCipher::TripleDes) => weak.push("3des".to_owned()),
        Some(IsakmpCipher::Aes128) => weak.push("aes 128".to_owned()),
        Some(IsakmpCipher::Aes192) => weak.push("aes 192".to_owned()),
    }
    match policy.hash {
        None | Some(IsakmpHash::Sha256 | IsakmpHash::Sha384 | IsakmpHash::Sha512) => {}
        Some(IsakmpHash::Sha1) => weak.push("sha".to_owned()),
    }
    if let Some(group) = policy.group
        && group < DH_GROUP_MIN
    {
        weak.push(format!("group {group}"));
    }
    weak
}

/// The least Diffie-Hellman group that keys travel under between key servers (PROTOCOL P26).
const DH_GROUP_MIN: u16 = 14;

//! Groups: everything that a key server or a member needs is there and fits.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use policy::{Action, Encryption, GroupSize, KekCipher};

use super::{Check, names};
use crate::config::crypto::gdoi::group::Group;
use crate::config::crypto::gdoi::rekey::multicast_address;
use crate::config::crypto::gdoi::sa_ipsec::Sa;
use crate::config::crypto::gdoi::server_local::ServerLocal;
use crate::config::edit::Place;
use crate::config::ip::access_list::Kind;
use crate::limits::{KEK_LIFETIME_S_DEFAULT, TEK_LIFETIME_S_DEFAULT};

impl Check<'_> {
    pub(super) fn groups(&mut self) {
        let mut served = BTreeMap::new();
        for (name, group) in &self.config.groups {
            let path = [Place::Group(name.clone())];
            let at = self.origins.block(&path);
            let Some(id) = group.id else {
                self.lacks(at, format!("group {name}: expected `identity number N`"));
                continue;
            };
            if let Some(other) = served.insert((group.local.is_some(), id), name) {
                let line = self.line(&path, "identity");
                self.error(
                    line,
                    format!("group {name} has the identity of group {other}: {id}"),
                );
            }
            match &group.local {
                Some(local) => self.key_server(name, group, local),
                None => self.member(name, group),
            }
        }
    }

    fn member(&mut self, name: &str, group: &Group) {
        let path = [Place::Group(name.to_owned())];
        let at = self.origins.block(&path);
        if group.servers.is_empty() {
            self.lacks(
                at,
                format!("group {name}: expected `server address ipv4 A` or `server local`"),
            );
        }
        for server in &group.servers {
            if self.pre_shared_key_for(*server).is_none() {
                let line = self.line(&path, &format!("server address ipv4 {server}"));
                self.warn(
                    line,
                    format!("no `crypto isakmp key` is for the key server {server}"),
                );
            }
        }
        let mut entries = self.config.crypto_maps.values().flat_map(BTreeMap::values);
        if !entries.any(|entry| entry.group.as_deref() == Some(name)) {
            self.warn(
                at,
                format!("group {name} does nothing: no crypto map has `set group {name}`"),
            );
        }
    }

    fn key_server(&mut self, name: &str, group: &Group, local: &ServerLocal) {
        let path = [Place::Group(name.to_owned()), Place::ServerLocal];
        let at = self.origins.block(&path);
        if local.address.is_none() {
            self.lacks(
                at,
                format!("group {name}: expected `address ipv4 A` under server local"),
            );
        }
        self.rekey_address(name, local);
        if local.rekey.authentication.is_none() {
            self.warn(
                at,
                format!(
                    "group {name} is not served until it has a rekey key: \
                     `rekey authentication mypubkey rsa LABEL`"
                ),
            );
        }
        if local.rekey.algorithm == Some(KekCipher::TripleDes) {
            let line = self.line(&path, "rekey algorithm");
            self.warn(line, "3des has 64-bit blocks: use aes");
        }
        if let Some(list) = &local.authorization {
            let line = self.line(&path, "authorization address ipv4");
            self.access_list(line, list);
        }
        if let Some(list) = &local.compatible_rfc3547 {
            let line = self.line(&path, "client compatibility rfc3547");
            self.access_list(line, list);
        }
        self.redundancy(name, local);
        if local.sas.is_empty() {
            self.lacks(
                at,
                format!("group {name}: expected `sa ipsec N` under server local"),
            );
        }
        for (number, sa) in &local.sas {
            self.sa(name, group, local, *number, sa);
        }
    }

    /// Without `rekey transport unicast` the rekeys need a multicast address of their own.
    fn rekey_address(&mut self, name: &str, local: &ServerLocal) {
        let path = [Place::Group(name.to_owned()), Place::ServerLocal];
        let Some(list_name) = &local.rekey.address else {
            if !local.rekey.unicast {
                let at = self.origins.block(&path);
                self.lacks(
                    at,
                    format!(
                        "group {name}: expected `rekey transport unicast`, or `rekey address ipv4 \
                         ACL` for rekeys by multicast"
                    ),
                );
            }
            return;
        };
        let line = self.line(&path, "rekey address ipv4");
        let Some(list) = self.access_list(line, list_name) else {
            return;
        };
        let server = local.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        match multicast_address(list, server) {
            Ok(address) => {
                let other = self.other_with_rekey_address(name, address);
                if let Some(other) = other {
                    let text =
                        format!("group {name} has the rekey address of group {other}: {address}");
                    self.error(line, text);
                }
            }
            Err(why) => self.lacks(line, format!("access list {list_name} {why}")),
        }
    }

    /// A group before `name` whose rekeys go to the same multicast address.
    fn other_with_rekey_address(&self, name: &str, address: Ipv4Addr) -> Option<String> {
        let before = self
            .config
            .groups
            .iter()
            .take_while(|(own, _)| *own != name);
        let mut served = before.filter_map(|(own, group)| Some((own, group.local.as_ref()?)));
        let same = served.find(|(_, local)| {
            let list = local.rekey.address.as_ref();
            let list = list.and_then(|list| self.config.access_lists.get(list));
            let server = local.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let own = list.and_then(|list| multicast_address(list, server).ok());
            !local.rekey.unicast && own == Some(address)
        });
        same.map(|(own, _)| own.clone())
    }

    fn sa(&mut self, name: &str, group: &Group, local: &ServerLocal, number: u16, sa: &Sa) {
        let path = [
            Place::Group(name.to_owned()),
            Place::ServerLocal,
            Place::SaIpsec(number),
        ];
        let at = self.origins.block(&path);
        match (&sa.acl, group.is_ipv6) {
            (Some(list), _) => {
                let line = self.line(&path, "match address ipv4");
                self.policy_acl(line, list);
            }
            (None, true) => {}
            (None, false) => self.lacks(
                at,
                format!("group {name}, sa ipsec {number}: expected `match address ipv4 ACL`"),
            ),
        }
        let Some(profile_name) = &sa.profile else {
            self.lacks(
                at,
                format!("group {name}, sa ipsec {number}: expected `profile NAME`"),
            );
            return;
        };
        let Some(profile) = self.config.profiles.get(profile_name) else {
            let line = self.line(&path, "profile");
            let have = names(self.config.profiles.keys());
            self.lacks(
                line,
                format!("no IPsec profile is called {profile_name} ({have})"),
            );
            return;
        };
        self.lifetimes(name, local, profile_name);
        let set = profile.transform_set.as_ref();
        let transform = set.and_then(|set| self.config.transform_sets.get(set));
        if transform.is_some_and(|transform| transform.is_counter_mode()) {
            self.group_size(name, local);
        }
        let is_plain = transform.is_some_and(|t| matches!(t.encryption(), Encryption::Null));
        if is_plain {
            let line = self.line(&path, "profile");
            self.warn(
                line,
                format!("group {name}: its packets travel in clear (esp-null)"),
            );
        }
    }

    fn policy_acl(&mut self, line: Option<usize>, name: &str) {
        let Some(list) = self.access_list(line, name) else {
            return;
        };
        if list.kind != Kind::Extended {
            self.error(
                line,
                format!("access list {name} is a standard one: expected an extended"),
            );
            return;
        }
        let encrypts = list.aces().any(|(_, ace)| ace.action == Action::Permit);
        if !encrypts {
            self.lacks(
                line,
                format!("access list {name} permits nothing: nothing is encrypted"),
            );
        }
    }

    /// A KEK must outlive two TEKs, or rekeys of it would overtake each other.
    fn lifetimes(&mut self, name: &str, local: &ServerLocal, profile_name: &str) {
        let Some(profile) = self.config.profiles.get(profile_name) else {
            return;
        };
        let tek = profile.lifetime_s.unwrap_or(TEK_LIFETIME_S_DEFAULT);
        let kek = local.rekey.lifetime_s.unwrap_or(KEK_LIFETIME_S_DEFAULT);
        let least = tek.saturating_mul(2);
        if kek >= least {
            return;
        }
        let kek_line = self.line(
            &[Place::Group(name.to_owned()), Place::ServerLocal],
            "rekey lifetime",
        );
        let profile_path = [Place::IpsecProfile(profile_name.to_owned())];
        let tek_line = self.line(&profile_path, "set security-association lifetime");
        let tek_at = tek_line.map_or_else(String::new, |line| format!(" in line {line}"));
        self.error(
            kek_line,
            format!(
                "group {name}: rekey lifetime {kek} s is too short for the security-association \
                 lifetime {tek} s of profile {profile_name}{tek_at}: expected at least {least} s"
            ),
        );
    }

    /// The members that the configuration names must find sender ids.
    //= getvpn P20
    fn group_size(&mut self, name: &str, local: &ServerLocal) {
        let size = local.size.unwrap_or_default();
        if size == GroupSize::Large {
            return;
        }
        let peers = local.redundancy.as_ref().map_or(&[][..], |r| &r.peers);
        let keys = self.config.isakmp_keys.keys();
        let members =
            keys.filter(|(address, mask)| mask.is_broadcast() && !peers.contains(address));
        let needed = members.count() * SIDS_PER_MEMBER;
        let room = 1_usize << (size.bits() - KS_INDEX_BITS);
        if needed > room {
            let path = [Place::Group(name.to_owned()), Place::ServerLocal];
            let line = self.line(&path, "group size");
            self.error(
                line,
                format!(
                    "group {name}: `group size` of {} bits has room for {room} sender ids, the \
                     members with a `crypto isakmp key` need {needed}: choose a larger size",
                    size.bits()
                ),
            );
        }
    }
}

/// Sender ids that a member of one worker uses up over its registrations (PROTOCOL P20).
const SIDS_PER_MEMBER: usize = 4;
/// Bits of a sender id that name the key server (PROTOCOL P20).
const KS_INDEX_BITS: u8 = 4;

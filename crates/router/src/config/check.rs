//! What a tree must satisfy as a whole: names that exist, values that fit each other, keys that
//! are worth the name.
//!
//! Looks at the configuration alone; what needs the kernel's interfaces is in `target`.

mod groups;
mod redundancy;
mod secrets;

use super::edit::Place;
use super::ip::access_list::{AccessList, Kind};
use super::origin::Origins;
use super::{Config, Diagnostic};
use gdoi::config::IsakmpCipher;
use policy::{Action, Encryption};

/// Everything to say about `config`, in no order.
#[must_use]
pub fn check(config: &Config, origins: &Origins) -> Vec<Diagnostic> {
    let mut check = Check {
        config,
        origins,
        said: Vec::new(),
    };
    check.isakmp_policies();
    check.policies_between_key_servers();
    check.isakmp_keys();
    check.transform_sets();
    check.profiles();
    check.groups();
    check.crypto_maps();
    check.interfaces();
    check.said
}

struct Check<'a> {
    config: &'a Config,
    origins: &'a Origins,
    said: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn error(&mut self, line: Option<usize>, text: impl Into<String>) {
        self.said.push(Diagnostic::error(line, text));
    }

    fn lacks(&mut self, line: Option<usize>, text: impl Into<String>) {
        self.said.push(Diagnostic::incomplete(line, text));
    }

    fn warn(&mut self, line: Option<usize>, text: impl Into<String>) {
        self.said.push(Diagnostic::warning(line, text));
    }

    /// The line that starts so inside of a block, else the line that opened the block.
    fn line(&self, path: &[Place], start: &str) -> Option<usize> {
        self.origins
            .line(path, start)
            .or_else(|| self.origins.block(path))
    }

    fn isakmp_policies(&mut self) {
        for (priority, policy) in &self.config.isakmp_policies {
            let path = [Place::IsakmpPolicy(*priority)];
            if !policy.pre_share {
                let line = self.origins.block(&path);
                self.lacks(
                    line,
                    format!(
                        "crypto isakmp policy {priority}: expected `authentication pre-share`; \
                         without it IOS takes RSA signatures, which are not available yet"
                    ),
                );
            }
            if policy.encryption == Some(IsakmpCipher::TripleDes) {
                let line = self.line(&path, "encryption");
                self.warn(line, "3des has 64-bit blocks: use aes");
            }
            if let Some(group @ (2 | 5)) = policy.group {
                let line = self.line(&path, "group");
                self.warn(
                    line,
                    format!("Diffie-Hellman group {group} is weak: use 19 or 14"),
                );
            }
        }
    }

    //= getvpn P23
    fn transform_sets(&mut self) {
        for (name, transform) in &self.config.transform_sets {
            let path = [Place::TransformSet(name.clone())];
            match transform.encryption() {
                Encryption::TripleDes => {
                    let line = self.origins.block(&path);
                    self.warn(
                        line,
                        format!("transform set {name}: 3des has 64-bit blocks: use aes"),
                    );
                }
                Encryption::Null => {
                    let line = self.origins.block(&path);
                    self.warn(
                        line,
                        format!("transform set {name}: esp-null does not encrypt"),
                    );
                }
                Encryption::AesGmac(_) => {
                    let line = self.origins.block(&path);
                    self.warn(
                        line,
                        format!("transform set {name}: esp-gmac does not encrypt"),
                    );
                }
                Encryption::AesCbc(_) | Encryption::AesGcm(_) => {}
            }
        }
    }

    fn profiles(&mut self) {
        for (name, profile) in &self.config.profiles {
            let path = [Place::IpsecProfile(name.clone())];
            match &profile.transform_set {
                None => {
                    let line = self.origins.block(&path);
                    self.lacks(
                        line,
                        format!("crypto ipsec profile {name}: expected `set transform-set NAME`"),
                    );
                }
                Some(set) if !self.config.transform_sets.contains_key(set) => {
                    let line = self.line(&path, "set transform-set");
                    let have = names(self.config.transform_sets.keys());
                    self.lacks(line, format!("no transform set is called {set} ({have})"));
                }
                Some(_) => {}
            }
        }
    }

    fn crypto_maps(&mut self) {
        for (map, entries) in &self.config.crypto_maps {
            for (sequence, entry) in entries {
                let path = [Place::CryptoMap(map.clone(), *sequence)];
                let at = self.origins.block(&path);
                match entry
                    .group
                    .as_ref()
                    .map(|name| (name, self.config.groups.get(name)))
                {
                    None => self.warn(
                        at,
                        format!("crypto map {map} {sequence} does nothing: it has no `set group`"),
                    ),
                    Some((name, None)) => {
                        let line = self.line(&path, "set group");
                        let have = names(self.config.groups.keys());
                        self.lacks(line, format!("group {name} doesn't yet exist ({have})"));
                    }
                    Some((name, Some(group))) if group.local.is_some() => {
                        let line = self.line(&path, "set group");
                        self.error(
                            line,
                            format!("group {name} has `server local`: this box is no member of it"),
                        );
                    }
                    Some((name, Some(group))) if group.is_ipv6 != entry.is_ipv6 => {
                        let line = self.line(&path, "set group");
                        self.error(
                            line,
                            format!("group {name} and crypto map {map} are of different families"),
                        );
                    }
                    Some((_, Some(_))) => {}
                }
                if let Some(name) = &entry.acl {
                    let line = self.line(&path, "match address");
                    self.local_acl(line, name);
                }
            }
            let is_used = |map: &str| {
                let mut used = self.config.interfaces.values();
                used.any(|interface| interface.crypto_map.as_deref() == Some(map))
            };
            if !is_used(map)
                && let Some((sequence, _)) = entries.first_key_value()
            {
                let at = self
                    .origins
                    .block(&[Place::CryptoMap(map.clone(), *sequence)]);
                self.warn(
                    at,
                    format!("crypto map {map} does nothing: no interface carries it"),
                );
            }
        }
    }

    /// A member's own list may only keep traffic clear (mission.md 2.4).
    fn local_acl(&mut self, line: Option<usize>, name: &str) {
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
        let permit = list.aces().find(|(_, ace)| ace.action == Action::Permit);
        if let Some((sequence, ace)) = permit {
            let line = self
                .origins
                .line(&[Place::ExtendedAccessList(name.to_owned())], "permit")
                .or_else(|| {
                    self.origins
                        .line(&[], &format!("access-list {name} permit"))
                })
                .or(line);
            self.error(
                line,
                format!(
                    "access list {name} of a crypto map may only deny: entry {sequence} is `{ace}`"
                ),
            );
        }
    }

    /// The list of that name, or an error at `line`.
    fn access_list(&mut self, line: Option<usize>, name: &str) -> Option<&'a AccessList> {
        let config: &'a Config = self.config;
        let found = config.access_lists.get(name);
        if found.is_none() {
            let have = names(self.config.access_lists.keys());
            self.lacks(line, format!("no access list is called {name} ({have})"));
        }
        found
    }

    fn interfaces(&mut self) {
        for (name, interface) in &self.config.interfaces {
            let Some(map) = &interface.crypto_map else {
                continue;
            };
            if !self.config.crypto_maps.contains_key(map) {
                let line = self.line(&[Place::Interface(name.clone())], "crypto map");
                let have = names(self.config.crypto_maps.keys());
                self.lacks(line, format!("no crypto map is called {map} ({have})"));
            }
        }
    }
}

/// `have: A, B` for errors about names.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    if names.is_empty() {
        "have none".to_owned()
    } else {
        format!("have: {}", names.join(", "))
    }
}

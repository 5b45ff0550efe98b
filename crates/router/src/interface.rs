//! What the box knows of a network interface; the world tells it and tells it again on change.

use std::net::Ipv4Addr;

/// One network interface as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The device's name, for example `wan`.
    pub name: String,
    /// Its alias (`ip link set wan alias Serial1/0`), if it has one.
    pub alias: Option<String>,
    /// The kernel's index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its MTU, octets of an IP packet.
    pub mtu: u32,
    /// Its IPv4 addresses with prefix lengths 0..=32, the primary first.
    pub addresses: Vec<(Ipv4Addr, u8)>,
}

impl Interface {
    /// Whether `name` means this interface: the device, its alias, or the alias abbreviated as IOS
    /// does (`Se1/0` for `Serial1/0`): at least two letters, the same digits.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name
            || self.alias.as_deref().is_some_and(|alias| {
                let (letters, digits) = split(name);
                let (alias_letters, alias_digits) = split(alias);
                digits == alias_digits
                    && letters.len() >= 2
                    && alias_letters
                        .get(..letters.len())
                        .is_some_and(|head| head.eq_ignore_ascii_case(letters))
            })
    }

    /// The name that operators know: the alias, else the device.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// `Serial1/0` in letters and digits; a blank between the two is allowed.
fn split(name: &str) -> (&str, &str) {
    let place = name
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(name.len());
    let (letters, digits) = name.split_at(place);
    (letters, digits.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_may_be_abbreviated_and_a_device_may_not() {
        let wan = Interface {
            name: "wan".into(),
            alias: Some("Serial1/0".into()),
            index: 2,
            mac: [0; 6],
            mtu: 1500,
            addresses: Vec::new(),
        };
        for name in ["wan", "Serial1/0", "Se1/0", "ser 1/0", "s1/0"] {
            assert_eq!(wan.is_named(name), name != "s1/0", "{name}");
        }
        assert!(!wan.is_named("Serial1/1") && !wan.is_named("wa") && !wan.is_named("Serialx1/0"));
    }
}

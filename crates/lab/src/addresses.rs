//! What the lab takes from a router's startup-config: its addresses and static routes, which
//! `getvpn run` never sets itself, and the labels of the keys that it signs rekeys with.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};

/// The addresses, routes and key labels of one router's configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Addressing {
    /// Interface as the configuration names it, and `ADDRESS/LENGTH`.
    pub(crate) addresses: Vec<(String, String)>,
    /// `NETWORK/LENGTH` and gateway.
    pub(crate) routes: Vec<(String, Ipv4Addr)>,
    /// Labels after `rekey authentication mypubkey rsa`.
    pub(crate) rsa_labels: Vec<String>,
}

impl Addressing {
    /// Reads them out of a configuration.
    pub(crate) fn of(config: &str) -> Result<Self> {
        let mut found = Self::default();
        let mut interface = None;
        for (index, line) in config.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = || format!("line {}: {line}", index + 1);
            match words[..] {
                ["interface", name] => interface = Some(name.to_owned()),
                ["ip", "address", address, mask] => {
                    let Some(name) = interface.clone() else {
                        bail!("{}: outside of an interface", at());
                    };
                    let address: Ipv4Addr = address.parse().with_context(at)?;
                    let len = prefix_len(mask).with_context(at)?;
                    found.addresses.push((name, format!("{address}/{len}")));
                }
                ["ip", "route", network, mask, gateway, ..] => {
                    let network: Ipv4Addr = network.parse().with_context(at)?;
                    let len = prefix_len(mask).with_context(at)?;
                    let gateway = gateway.parse().with_context(at)?;
                    found.routes.push((format!("{network}/{len}"), gateway));
                }
                ["rekey", "authentication", "mypubkey", "rsa", label] => {
                    found.rsa_labels.push(label.to_owned());
                }
                _ if !line.starts_with(' ') && !words.is_empty() => interface = None,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Leading ones of a network mask.
fn prefix_len(mask: &str) -> Result<u32> {
    let bits = u32::from(mask.parse::<Ipv4Addr>()?);
    if bits.leading_ones() + bits.trailing_zeros() < u32::BITS {
        bail!("{mask} is no network mask");
    }
    Ok(bits.leading_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_routes_and_labels_are_taken() {
        let config = crate::builtin::config("guide/ks1.cfg").unwrap();
        let found = Addressing::of(config).unwrap();
        let gateway = Ipv4Addr::new(10, 1, 11, 1);
        assert_eq!(
            found.addresses,
            [("Serial1/0".to_owned(), "10.1.11.2/24".to_owned())]
        );
        assert_eq!(found.routes, [("0.0.0.0/0".to_owned(), gateway)]);
        assert_eq!(found.rsa_labels, ["get"]);
    }

    #[test]
    fn a_mask_with_holes_is_refused() {
        let said = Addressing::of("interface a\n ip address 10.0.0.1 255.0.255.0\n").unwrap_err();
        assert!(
            format!("{said:#}").contains("255.0.255.0 is no network mask"),
            "{said:#}"
        );
    }
}

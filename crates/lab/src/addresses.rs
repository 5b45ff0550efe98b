//! What the lab takes from a router's startup-config: its addresses and static routes, which
//! `getvpn run` never sets itself, and the labels of the keys that it signs rekeys with. Decides
//! what each means in iproute2's words; the configuration is read by the router's own parser.

use std::fmt::Write;

use anyhow::{Result, bail};
use router::config::{self, Config};

/// A router's configuration, as far as the lab obeys it.
#[derive(Debug, Default)]
pub(crate) struct Addressing {
    config: Config,
    /// Kind and label of the keys after `rekey authentication mypubkey`.
    pub(crate) rekey_keys: Vec<String>,
}

impl Addressing {
    /// Reads a configuration; errors call it `file` and name the line.
    pub(crate) fn of(file: &str, text: &str) -> Result<Self> {
        let config = match config::parse(file, text) {
            Ok(parsed) => parsed.config,
            Err(said) => {
                let said: Vec<_> = said.iter().map(ToString::to_string).collect();
                bail!("{}", said.join("\n"));
            }
        };
        let served = config
            .groups
            .values()
            .filter_map(|group| group.local.as_ref());
        let named = served.filter_map(|local| local.rekey.authentication.as_ref());
        let rekey_keys = named.map(ToString::to_string).collect();
        Ok(Self { config, rekey_keys })
    }

    /// Batch lines that give a device, known to the configuration as `alias` too, its addresses.
    pub(crate) fn device_lines(&self, device: &str, alias: Option<&str>) -> String {
        let named = router::Interface {
            name: device.to_owned(),
            alias: alias.map(str::to_owned),
            index: 0,
            mac: [0; 6],
            mtu: 0,
            addresses: Vec::new(),
        };
        let mut lines: Vec<String> = Vec::new();
        let meant = self
            .config
            .interfaces
            .iter()
            .filter(|(name, _)| named.is_named(name));
        for (_, interface) in meant {
            for (address, length) in interface.address.iter().chain(&interface.secondary) {
                lines.push(format!("address add {address}/{length} dev {device}"));
            }
            if let Some(mtu) = interface.ip_mtu {
                lines.push(format!("link set dev {device} mtu {mtu}"));
            }
            if interface.shutdown {
                continue;
            }
            lines.push(format!("link set dev {device} up"));
        }
        if lines.is_empty() {
            // A port that the configuration does not mention carries what `exec` says of it.
            lines.push(format!("link set dev {device} up"));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Batch lines for the static routes that name a gateway.
    pub(crate) fn route_lines(&self) -> String {
        let mut lines = String::new();
        for route in &self.config.routes {
            let Some(gateway) = route.gateway else {
                continue;
            };
            let metric = route.distance.map_or(0, u32::from);
            writeln!(
                lines,
                "route add {}/{} via {gateway} metric {metric}",
                route.network, route.length
            )
            .expect("a string takes all");
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_routes_and_labels_are_taken() {
        let text = crate::builtin::config("guide/ks1.cfg").expect("built in");
        let found = Addressing::of("ks1.cfg", text).unwrap();
        assert_eq!(
            found.device_lines("wan", Some("Serial1/0")),
            "address add 10.1.11.2/24 dev wan\nlink set dev wan up\n"
        );
        assert_eq!(found.device_lines("lan", None), "link set dev lan up\n");
        assert_eq!(
            found.route_lines(),
            "route add 0.0.0.0/0 via 10.1.11.1 metric 0\n"
        );
        assert_eq!(found.rekey_keys, ["rsa get"]);
    }

    #[test]
    fn an_abbreviated_interface_and_one_that_is_shut_down_are_understood() {
        let text = "interface Se1/0\n ip address 10.0.0.1 255.255.255.0\n shutdown\n";
        let found = Addressing::of("x.cfg", text).unwrap();
        let lines = found.device_lines("wan", Some("Serial1/0"));
        assert_eq!(lines, "address add 10.0.0.1/24 dev wan\n");
    }

    #[test]
    fn a_wrong_line_is_named() {
        let text = "interface Se1/0\n ip address 10.0.0.1 255.0.255.0\n";
        let said = Addressing::of("x.cfg", text).unwrap_err().to_string();
        assert!(said.starts_with("x.cfg:2: "), "{said}");
    }
}

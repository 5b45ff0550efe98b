//! What the lab reads out of the routers' show commands: members, keys, counters. Pure parsing of
//! the texts an operator sees.

/// The registered members that a key server lists, by address.
pub(crate) fn members(ks_members: &str) -> Vec<String> {
    let rows = ks_members
        .lines()
        .filter_map(|line| value(line, "Group Member ID"));
    rows.filter_map(|row| row.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// The state that a member gives its registration.
pub(crate) fn registration(gm: &str) -> Option<String> {
    gm.lines()
        .find_map(|line| value(line, "Registration status"))
        .map(str::to_owned)
}

/// Whether `show crypto key mypubkey all` lists a key of that name.
pub(crate) fn has_key(mypubkey: &str, label: &str) -> bool {
    let names = mypubkey.lines().filter_map(|line| value(line, "Key name"));
    names.into_iter().any(|name| name == label)
}

/// The role of a key server, in `show crypto gdoi ks coop`.
pub(crate) fn coop_role(coop: &str) -> Option<String> {
    let rest = coop.lines().find_map(|line| value(line, "Local KS Role"))?;
    rest.split([' ', ',']).next().map(str::to_owned)
}

/// The SPIs of the TEKs in `show crypto gdoi ks policy`, in its order.
pub(crate) fn tek_spis(ks_policy: &str) -> Vec<u32> {
    let mut in_tek = false;
    let mut spis = Vec::new();
    for line in ks_policy.lines() {
        if line.contains("POLICY (") {
            in_tek = line.contains("TEK POLICY");
        } else if in_tek {
            spis.extend(value(line, "spi").and_then(hex));
        }
    }
    spis
}

/// Packets encrypted and decrypted, in `show crypto ipsec sa`.
pub(crate) fn packets(ipsec_sa: &str) -> Option<(u64, u64)> {
    let count = |word: &str| {
        let mut found = None;
        for line in ipsec_sa.lines() {
            if let Some((_, after)) = line.split_once(word) {
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                found = Some(found.unwrap_or(0) + digits.parse::<u64>().ok()?);
            }
        }
        found
    };
    Some((count("#pkts encrypt: ")?, count("#pkts decrypt: ")?))
}

/// The SPI that a member sends on, in `show crypto ipsec sa`.
pub(crate) fn outbound_spi(ipsec_sa: &str) -> Option<u32> {
    ipsec_sa
        .lines()
        .find_map(|line| value(line, "current outbound spi"))
        .and_then(hex)
}

/// The text after `NAME :` if the line begins so.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(name)?.trim_start();
    rest.strip_prefix(':').map(str::trim)
}

/// A hexadecimal number, with whatever follows it.
fn hex(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x")?;
    let end = digits
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    u32::from_str_radix(&digits[..end], 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_from_the_line_that_also_has_the_status() {
        let line = "        Local KS Role: Primary   , Local KS Status: Alive";
        assert_eq!(coop_role(line).as_deref(), Some("Primary"));
        assert_eq!(coop_role("no cooperation"), None);
    }

    const POLICY: &str = "\
Key Server Policy:
  # of teks : 2  Seq num : 10
  KEK POLICY (transport type : Unicast)
    spi : 0x18864836BA888BCD1126671EEAFEB4C7
  TEK POLICY (encaps : ENCAPS_TUNNEL)
    spi                : 0x91E3985A
    access-list        : ENCPOL
  TEK POLICY (encaps : ENCAPS_TUNNEL)
    spi                : 0x3A14695B
";

    #[test]
    fn the_teks_are_found_and_the_kek_is_none_of_them() {
        assert_eq!(tek_spis(POLICY), [0x91E3_985A, 0x3A14_695B]);
    }

    #[test]
    fn members_states_and_counters_are_found() {
        let members_text = "Group Member ID    : 10.1.20.2  GM Version: 1.0.4\n Group ID : 3333\n\
                            Group Member ID    : 10.1.21.2  GM Version: 1.0.4\n";
        assert_eq!(members(members_text), ["10.1.20.2", "10.1.21.2"]);
        let gm = "       Registration status   : Registered\n";
        assert_eq!(registration(gm).as_deref(), Some("Registered"));
        let sa = "    #pkts encaps: 7, #pkts encrypt: 7, #pkts digest: 7\n    \
                  #pkts decaps: 5, #pkts decrypt: 5, #pkts verify: 5\n     \
                  current outbound spi: 0x8BF147EF(2347845615)\n    \
                  #pkts encaps: 1, #pkts encrypt: 1, #pkts digest: 1\n";
        assert_eq!(packets(sa), Some((8, 5)));
        assert_eq!(outbound_spi(sa), Some(0x8BF1_47EF));
        assert_eq!((packets(""), outbound_spi("")), (None, None));
    }
}

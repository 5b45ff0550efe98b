//! The modes of the command line and their prompts.
//!
//! Decides names only. Which commands a mode has is written beside the commands.

/// A configuration mode; each has a grammar of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// `configure terminal`.
    Global,
    /// `crypto isakmp policy N`.
    IsakmpPolicy,
    /// `crypto isakmp peer address A`.
    IsakmpPeer,
    /// `crypto ipsec transform-set T ...`.
    TransformSet,
    /// `crypto ipsec profile P`.
    IpsecProfile,
    /// `crypto gdoi group G`.
    Group,
    /// `server local` of a group.
    ServerLocal,
    /// `sa ipsec N` of a key server.
    SaIpsec,
    /// `redundancy` of a key server.
    Redundancy,
    /// `identifier` of a key server.
    Identifier,
    /// `crypto map M N gdoi`.
    CryptoMap,
    /// `interface X`.
    Interface,
    /// `ip access-list extended NAME`.
    ExtendedAccessList,
    /// `ip access-list standard NAME`.
    StandardAccessList,
    /// A block of a feature that is not here: its lines are kept and do nothing.
    ClassMap,
    /// The same, `policy-map`.
    PolicyMap,
    /// The same, `route-map`.
    RouteMap,
    /// The same, `event manager applet`.
    Applet,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 18] = [
        Self::Global,
        Self::IsakmpPolicy,
        Self::IsakmpPeer,
        Self::TransformSet,
        Self::IpsecProfile,
        Self::Group,
        Self::ServerLocal,
        Self::SaIpsec,
        Self::Redundancy,
        Self::Identifier,
        Self::CryptoMap,
        Self::Interface,
        Self::ExtendedAccessList,
        Self::StandardAccessList,
        Self::ClassMap,
        Self::PolicyMap,
        Self::RouteMap,
        Self::Applet,
    ];

    /// What stands in brackets in the prompt.
    #[must_use]
    pub const fn prompt(self) -> &'static str {
        match self {
            Self::Global => "config",
            Self::IsakmpPolicy => "config-isakmp",
            Self::IsakmpPeer => "config-isakmp-peer",
            Self::TransformSet => "cfg-crypto-trans",
            Self::IpsecProfile => "ipsec-profile",
            Self::Group => "config-gkm-group",
            Self::ServerLocal => "config-gkm-local-server",
            Self::SaIpsec => "config-gkm-sa-ipsec",
            Self::Redundancy => "config-gkm-coop-ks",
            Self::Identifier => "config-gkm-identifier",
            Self::CryptoMap => "config-crypto-map",
            Self::Interface => "config-if",
            Self::ExtendedAccessList => "config-ext-nacl",
            Self::StandardAccessList => "config-std-nacl",
            Self::ClassMap => "config-cmap",
            Self::PolicyMap => "config-pmap",
            Self::RouteMap => "config-route-map",
            Self::Applet => "config-applet",
        }
    }
}

/// How many characters of the host name a prompt shows; IOS shortens it in configuration modes,
/// and clients that learnt the prompt before look for its start only.
pub const PROMPT_HOST_MAX: usize = 20;

/// `KS1#`, `KS1(config-gkm-group)#`.
#[must_use]
pub fn prompt(host: &str, privileged: bool, mode: Option<Mode>) -> String {
    let host: String = host.chars().take(PROMPT_HOST_MAX).collect();
    match (mode, privileged) {
        (Some(mode), _) => format!("{host}({})#", mode.prompt()),
        (None, true) => format!("{host}#"),
        (None, false) => format!("{host}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_those_that_clients_look_for() {
        let inner = prompt("KS1", true, Some(Mode::ServerLocal));
        assert_eq!(inner, "KS1(config-gkm-local-server)#");
        assert_eq!(prompt("KS1", false, None), "KS1>");
        let long = prompt("a-name-of-more-than-twenty-letters", true, None);
        assert_eq!(long, "a-name-of-more-than-#");
        let client = regex::Regex::new(r"^[\w+\-.:/\[\]]+(?:\([^)]+\)){0,3}[>#] ?$").unwrap();
        for mode in Mode::ALL {
            assert!(
                client.is_match(&prompt("KS1", true, Some(mode))),
                "{mode:?}"
            );
        }
    }
}

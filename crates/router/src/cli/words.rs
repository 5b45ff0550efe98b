//! Words that many commands share: their help, and fragments of grammar.
//!
//! A command that means something else by a word gives its own help.

/// Grammar that several commands share, by name.
pub const FRAGMENTS: &[(&str, &str)] = &[
    (
        "address",
        "( any | host <address:A.B.C.D> | <address:A.B.C.D> <wildcard:A.B.C.D> )",
    ),
    (
        "port",
        "[ eq @service | neq @service | lt @service | gt @service | range @service @service ]",
    ),
    ("service", "( <port:0-65535> | <service:WORD> )"),
    (
        "ace",
        "( permit | deny ) ( ip | tcp | udp | icmp | igmp | ipinip | gre | esp | ahp | eigrp \
         | ospf | pim | pcp | <protocol:0-255> ) @address @port @address @port",
    ),
    (
        "standard-ace",
        "( permit | deny ) ( any | host <address:A.B.C.D> | <address:A.B.C.D> \
         [ <wildcard:A.B.C.D> ] )",
    ),
    (
        "key",
        "( label <label:WORD> | modulus <modulus:2048-4096> | exportable )",
    ),
    ("ec-key", "( label <label:WORD> | exportable )"),
    (
        "trace-selection",
        "( all | back ( <minutes:0-5256000> | <hours:WORD> ) \
         | clock <time:WORD> [ <day:1-31> <month:WORD> ] | from-boot [ <seconds:0-4294967295> ] \
         | latest ) [ detail ]",
    ),
    (
        "transform",
        "( esp-gcm [ 128 | 192 | 256 ] | esp-gmac [ 128 | 192 | 256 ] | esp-aes [ 128 | 192 | 256 ] \
         | esp-3des | esp-null | esp-sha-hmac | esp-sha256-hmac | esp-sha384-hmac \
         | esp-sha512-hmac )",
    ),
    (
        "level",
        "( <level:0-7> | emergencies | alerts | critical | errors | warnings | notifications \
         | informational | debugging )",
    ),
];

/// The fragment of that name.
///
/// # Panics
/// When there is none: grammars are constants, and tests compile each of them.
#[must_use]
pub fn fragment(name: &str) -> &'static str {
    let found = FRAGMENTS.iter().find(|(own, _)| *own == name);
    found.expect("a grammar names only fragments that exist").1
}

/// Help of words that mean the same wherever they stand.
pub const HELP: &[(&str, &str)] = &[
    ("128", "128 bit keys"),
    ("192", "192 bit keys"),
    ("256", "256 bit keys"),
    ("address", "Address"),
    ("aes", "AES - Advanced Encryption Standard"),
    ("alerts", "Immediate action needed (severity 1)"),
    ("any", "Any address"),
    ("critical", "Critical conditions (severity 2)"),
    ("crypto", "Encryption module"),
    ("debugging", "Debugging messages (severity 7)"),
    ("deny", "Specify packets to reject"),
    ("emergencies", "System is unusable (severity 0)"),
    ("eq", "Match only packets on a given port number"),
    ("errors", "Error conditions (severity 3)"),
    ("extended", "Extended access list"),
    ("gdoi", "Group key management (GDOI)"),
    ("gkm", "Group key management (GDOI)"),
    ("group", "A group of key servers and members"),
    ("gt", "Match only packets with a greater port number"),
    ("host", "A single host address"),
    ("informational", "Informational messages (severity 6)"),
    ("interface", "A network interface"),
    ("ip", "Internet Protocol"),
    ("ipsec", "IPsec policy"),
    ("ipv4", "IPv4 address"),
    ("ipv6", "IPv6"),
    ("isakmp", "ISAKMP, phase 1"),
    ("ks", "Key server"),
    ("gm", "Group member"),
    ("lt", "Match only packets with a lower port number"),
    ("neq", "Match only packets not on a given port number"),
    (
        "notifications",
        "Normal but significant conditions (severity 5)",
    ),
    ("permit", "Specify packets to forward"),
    ("range", "Match only packets in the range of port numbers"),
    ("rekey", "Rekey of the group"),
    ("rsa", "RSA key"),
    ("seconds", "Time in seconds"),
    ("show", "Show running system information"),
    ("warnings", "Warning conditions (severity 4)"),
    ("<address>", "IP address"),
    ("<group>", "Group name"),
    ("<level>", "Logging severity level"),
    ("<port>", "Port number"),
    ("<service>", "Port name"),
    ("<wildcard>", "Wildcard bits"),
];

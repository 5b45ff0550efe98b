//! `rekey ...` of a key server: how the Rekey SA is made and how its messages travel.

use std::net::{IpAddr, Ipv4Addr};

use crypto::key_pair::Kind;
use gdoi::config::{Acknowledgement, RekeyKey};
use policy::{Action, AddressMatch, KekCipher, PortMatch, SigHash};

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::Command;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::ip::access_list::AccessList;
use crate::config::render::Text;
use crate::config::service::internal::least_lifetime;
use crate::limits::{KEK_LIFETIME_S_MIN, KEK_LIFETIME_S_MIN_INTERNAL};

/// The rekey lines; what they leave open is the box's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekey {
    /// `rekey algorithm`; AES-256 if there is none.
    pub algorithm: Option<KekCipher>,
    /// `rekey sig-hash algorithm`; SHA-256 if there is none.
    pub sig_hash: Option<SigHash>,
    /// `... raw-hash`: sign the bare hash, as the 2011 reference does.
    pub raw_hash: bool,
    /// `rekey lifetime seconds`; 86400 if there is none.
    pub lifetime_s: Option<u32>,
    /// `rekey address ipv4`: the access list that names the multicast address.
    pub address: Option<String>,
    /// `rekey retransmit PERIOD number N`; 10 seconds, 2 copies if there is none.
    pub retransmit: Option<Retransmit>,
    /// `rekey retransmit N periodic`: seconds between reminders.
    pub periodic_s: Option<u16>,
    /// `rekey authentication mypubkey rsa|ec LABEL`.
    pub authentication: Option<RekeyKey>,
    /// `rekey transport unicast`; multicast if the line is not there, as on IOS.
    pub unicast: bool,
    /// `rekey transport unicast rfc6407`: plain members by unicast, those of our kind by multicast.
    pub plain_unicast: bool,
    /// `rekey acknowledgement`: who is asked to acknowledge a multicast rekey; members of our kind if
    /// there is none.
    pub acknowledgement: Option<Acknowledgement>,
    /// `rekey multicast ttl`; 64 if there is none.
    pub ttl: Option<u8>,
}

/// `rekey retransmit PERIOD number N`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// Seconds between copies.
    pub period_s: u16,
    /// Copies at most.
    pub number: u16,
}

const HELP: &[(&str, &str)] = &[
    ("algorithm", "Set the encryption algorithm"),
    (
        "3des-cbc",
        "cbc mode of the Triple DES encryption algorithm",
    ),
    ("sig-hash", "Set the hash of the signature"),
    ("sha", "SHA-1"),
    ("sha256", "SHA-256 (default)"),
    ("sha384", "SHA-384"),
    ("sha512", "SHA-512"),
    ("raw-hash", "Sign the bare hash, for members that expect it"),
    ("lifetime", "Define the rekey lifetime"),
    ("retransmit", "Define the rekey retransmission"),
    ("number", "How many copies are sent at most"),
    ("periodic", "Remind members all the time"),
    ("authentication", "Identify the rekey authentication key"),
    ("mypubkey", "My public key"),
    ("transport", "How rekeys travel"),
    ("unicast", "One message per member, acknowledged"),
    ("rfc6407", "Only for members that are no getvpn"),
    (
        "acknowledgement",
        "Who is asked to acknowledge a multicast rekey",
    ),
    ("getvpn", "Members that are a getvpn (default)"),
    ("any", "Every member that can"),
    ("none", "Nobody"),
    ("multicast", "How multicast rekeys travel"),
    ("ttl", "How many routers they may cross"),
    ("<hops>", "Time to live (default 64)"),
    ("address", "Set the multicast address of rekeys"),
    ("ipv4", "Of IPv4"),
    ("<seconds>", "Rekey lifetime in seconds"),
    ("<period>", "Seconds between copies"),
    ("<copies>", "Number of copies"),
    ("ec", "EC key"),
    ("<label>", "Label of the key pair"),
    ("<list>", "Access list that names the rekey address"),
];

const fn command(
    grammar: &'static str,
    apply: crate::config::Apply,
    examples: &'static [&'static str],
) -> Command {
    Command {
        mode: Mode::ServerLocal,
        syntax: Syntax {
            grammar,
            help: HELP,
        },
        apply,
        examples,
    }
}

pub(crate) const COMMANDS: &[Command] = &[
    command(
        "rekey algorithm / ( aes ( 128 | 192 | 256 ) | 3des-cbc )",
        algorithm,
        &[
            "rekey algorithm aes 256",
            "rekey algorithm aes 128",
            "rekey algorithm 3des-cbc",
        ],
    ),
    command(
        "rekey sig-hash algorithm / ( sha | sha256 | sha384 | sha512 ) [ raw-hash ]",
        sig_hash,
        &[
            "rekey sig-hash algorithm sha256",
            "rekey sig-hash algorithm sha raw-hash",
            "rekey sig-hash algorithm sha512",
        ],
    ),
    command(
        "rekey lifetime / seconds <seconds:20-2592000>",
        lifetime,
        &["rekey lifetime seconds 7200"],
    ),
    command(
        "rekey address ipv4 / <list:WORD>",
        address,
        &["rekey address ipv4 REKEY"],
    ),
    command(
        "rekey retransmit / <period:1-300> ( number <copies:0-60> | periodic )",
        retransmit,
        &[
            "rekey retransmit 10 number 2",
            "rekey retransmit 60 periodic",
        ],
    ),
    command(
        "rekey authentication mypubkey ( rsa | ec ) / <label:WORD>",
        authentication,
        &[
            "rekey authentication mypubkey rsa get",
            "rekey authentication mypubkey ec get",
        ],
    ),
    command(
        "rekey transport unicast [ rfc6407 ]",
        transport,
        &["rekey transport unicast", "rekey transport unicast rfc6407"],
    ),
    command(
        "rekey acknowledgement / ( getvpn | any | none )",
        acknowledgement,
        &[
            "rekey acknowledgement any",
            "rekey acknowledgement none",
            "rekey acknowledgement getvpn",
        ],
    ),
    command(
        "rekey multicast ttl / <hops:1-255>",
        ttl,
        &["rekey multicast ttl 16"],
    ),
];

fn rekey<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Rekey, Refusal> {
    Ok(&mut editor.server_local()?.rekey)
}

fn algorithm(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let cipher = if line.has("3des-cbc") {
        KekCipher::TripleDes
    } else if line.has("128") {
        KekCipher::Aes128
    } else if line.has("192") {
        KekCipher::Aes192
    } else {
        KekCipher::Aes256
    };
    rekey(editor)?.algorithm = (!line.removes()).then_some(cipher);
    Ok(())
}

fn sig_hash(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let hash = if line.has("sha256") {
        SigHash::Sha256
    } else if line.has("sha384") {
        SigHash::Sha384
    } else if line.has("sha512") {
        SigHash::Sha512
    } else {
        SigHash::Sha1
    };
    let rekey = rekey(editor)?;
    rekey.sig_hash = (!line.removes()).then_some(hash);
    rekey.raw_hash = !line.removes() && line.has("raw-hash");
    Ok(())
}

fn lifetime(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let seconds = if line.removes() {
        None
    } else {
        Some(line.number("seconds")?)
    };
    if let Some(seconds) = seconds {
        let (least, internal) = (KEK_LIFETIME_S_MIN, KEK_LIFETIME_S_MIN_INTERNAL);
        least_lifetime(editor.config, seconds, least, internal)?;
    }
    rekey(editor)?.lifetime_s = seconds;
    Ok(())
}

fn address(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let list = if line.removes() {
        None
    } else {
        Some(line.word("list")?.to_owned())
    };
    rekey(editor)?.address = list;
    Ok(())
}

fn retransmit(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    if line.removes() {
        let periodic = line.has("periodic");
        let rekey = rekey(editor)?;
        if periodic {
            rekey.periodic_s = None
        } else {
            rekey.retransmit = None
        }
        return Ok(());
    }
    let period_s = line.number("period")?;
    if line.has("periodic") {
        rekey(editor)?.periodic_s = Some(period_s);
    } else {
        rekey(editor)?.retransmit = Some(Retransmit {
            period_s,
            number: line.number("copies")?,
        });
    }
    Ok(())
}

fn authentication(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let kind = if line.has("ec") { Kind::Ec } else { Kind::Rsa };
    let key = if line.removes() {
        None
    } else {
        Some(RekeyKey::new(kind, line.word("label")?))
    };
    rekey(editor)?.authentication = key;
    Ok(())
}

fn transport(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let plain_only = line.has("rfc6407");
    let rekey = rekey(editor)?;
    rekey.unicast = !line.removes() && !plain_only;
    rekey.plain_unicast = !line.removes() && plain_only;
    Ok(())
}

fn acknowledgement(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let who = if line.has("any") {
        Acknowledgement::Any
    } else if line.has("none") {
        Acknowledgement::None
    } else {
        Acknowledgement::Ours
    };
    rekey(editor)?.acknowledgement = (!line.removes()).then_some(who);
    Ok(())
}

fn ttl(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let hops = if line.removes() {
        None
    } else {
        Some(line.number("hops")?)
    };
    rekey(editor)?.ttl = hops;
    Ok(())
}

/// The multicast address that an access list names for the rekeys of a key server: the destination
/// of its only permit, `permit udp host KS eq 848 host GROUP eq 848`. Source and ports may be `any`.
///
/// # Errors
/// Why it names none, in words that follow \"access list NAME\".
pub(crate) fn multicast_address(list: &AccessList, server: Ipv4Addr) -> Result<Ipv4Addr, String> {
    let mut permits = list.aces().filter(|(_, ace)| ace.action == Action::Permit);
    let Some((number, ace)) = permits.next() else {
        return Err("permits nothing".to_owned());
    };
    if let Some((other, _)) = permits.next() {
        return Err(format!(
            "permits in lines {number} and {other}: rekeys have one address"
        ));
    }
    let (destination, wildcard) = ace.destination.address_and_mask();
    let IpAddr::V4(group) = destination else {
        return Err(format!("line {number} is not for IPv4"));
    };
    if ace.destination != AddressMatch::host(group) || !group.is_multicast() {
        return Err(format!(
            "line {number} names no multicast address as its destination, but {destination} \
             {wildcard}"
        ));
    }
    if group.octets()[..3] == [224, 0, 0] {
        return Err(format!(
            "line {number}: no router passes on what is sent to {group}"
        ));
    }
    if !ace.source.matches(IpAddr::V4(server)) {
        return Err(format!(
            "line {number} does not permit the key server's address {server}"
        ));
    }
    let gdoi = |ports: &PortMatch| ports.matches(Some(848));
    let udp = ace.protocol.is_none_or(|protocol| protocol == 17);
    if !udp || !gdoi(&ace.source_port) || !gdoi(&ace.destination_port) {
        return Err(format!("line {number} does not permit UDP port 848"));
    }
    Ok(group)
}

pub(super) fn render(rekey: &Rekey, text: &mut Text) {
    if let Some(cipher) = rekey.algorithm {
        text.line(format_args!("rekey algorithm {}", cipher_words(cipher)));
    }
    if let Some(hash) = rekey.sig_hash {
        let raw = if rekey.raw_hash { " raw-hash" } else { "" };
        text.line(format_args!(
            "rekey sig-hash algorithm {}{raw}",
            hash_word(hash)
        ));
    }
    if let Some(seconds) = rekey.lifetime_s {
        text.line(format_args!("rekey lifetime seconds {seconds}"));
    }
    if let Some(list) = &rekey.address {
        text.line(format_args!("rekey address ipv4 {list}"));
    }
    if let Some(Retransmit { period_s, number }) = rekey.retransmit {
        text.line(format_args!("rekey retransmit {period_s} number {number}"));
    }
    if let Some(seconds) = rekey.periodic_s {
        text.line(format_args!("rekey retransmit {seconds} periodic"));
    }
    if let Some(key) = &rekey.authentication {
        text.line(format_args!("rekey authentication mypubkey {key}"));
    }
    if let Some(who) = rekey.acknowledgement {
        let word = match who {
            Acknowledgement::None => "none",
            Acknowledgement::Ours => "getvpn",
            Acknowledgement::Any => "any",
        };
        text.line(format_args!("rekey acknowledgement {word}"));
    }
    if let Some(hops) = rekey.ttl {
        text.line(format_args!("rekey multicast ttl {hops}"));
    }
    if rekey.unicast {
        text.line(format_args!("rekey transport unicast"));
    }
    if rekey.plain_unicast {
        text.line(format_args!("rekey transport unicast rfc6407"));
    }
}

const fn cipher_words(cipher: KekCipher) -> &'static str {
    match cipher {
        KekCipher::TripleDes => "3des-cbc",
        KekCipher::Aes128 => "aes 128",
        KekCipher::Aes192 => "aes 192",
        KekCipher::Aes256 => "aes 256",
    }
}

const fn hash_word(hash: SigHash) -> &'static str {
    match hash {
        SigHash::Sha1 => "sha",
        SigHash::Sha256 => "sha256",
        SigHash::Sha384 => "sha384",
        SigHash::Sha512 => "sha512",
    }
}

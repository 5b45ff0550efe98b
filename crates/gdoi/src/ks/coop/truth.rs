//! Configuration truth: every field that key servers of a group must have alike is compared, and a
//! difference has a name (mission rows 21, 57, 58).

use ::policy::{KsIndex, RekeyTransport};
use crypto::key_pair::Kind;
use event::Gdoi;
use wire::private::Announcement;

use super::view::Difference;
use crate::config::{self, Acknowledgement};
use crate::context::Context;
use crate::ks::KeyServer;

/// Numbers of the fields on the wire, with their names as messages say them.
const FIELDS: [(u8, &str); 18] = [
    (1, "rekey transport"),
    (2, "rekey algorithm"),
    (3, "rekey sig-hash"),
    (4, "rekey lifetime"),
    (5, "rekey retransmit"),
    (6, "transform set"),
    (7, "TEK lifetime"),
    (8, "access list"),
    (9, "replay method"),
    (10, "group size"),
    (11, "authorization"),
    (12, "key look-ahead"),
    (13, "rekey address"),
    (14, "rekey acknowledgement"),
    (15, "rekey multicast ttl"),
    (16, "rekey retransmit periodic"),
    (17, "client compatibility rfc6407"),
    (18, "client compatibility rfc3547"),
];

/// The list of key servers is compared by its hash, before anything else is believed.
const SERVERS: &str = "key server list";

impl KeyServer {
    /// This key server's fields.
    pub(super) fn config_fields(&self) -> Vec<(u8, String)> {
        let config = &self.config;
        FIELDS
            .iter()
            .map(|(number, _)| (*number, value(config, *number)))
            .collect()
    }

    /// Our configuration has changed: every peer's is compared again.
    pub(in crate::ks) fn compare_configs(&mut self, cx: &mut Context<'_>) {
        let indexes: Vec<KsIndex> = self.coop.peers.keys().copied().collect();
        for index in indexes {
            self.compare_config(cx, index);
        }
    }

    /// Compares a peer's fields with ours; each new difference is reported.
    pub(super) fn compare_config(&mut self, cx: &mut Context<'_>, index: KsIndex) {
        let mut differences = Vec::new();
        let theirs = self
            .coop
            .peers
            .get(&index)
            .map(|peer| peer.fields.as_slice());
        let theirs = theirs.unwrap_or_default();
        for (number, field) in FIELDS {
            let Some((_, theirs)) = theirs.iter().find(|(other, _)| *other == number) else {
                continue;
            };
            let own = value(&self.config, number);
            if own != *theirs {
                differences.push(Difference {
                    field,
                    own,
                    theirs: theirs.clone(),
                });
            }
        }
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        for difference in &differences {
            if !peer.differences.contains(difference) {
                cx.out.report(Gdoi::COOP_CONFIG_MISMATCH {
                    field: difference.field.to_owned(),
                });
            }
        }
        let servers = peer
            .differences
            .iter()
            .find(|one| one.field == SERVERS)
            .cloned();
        differences.extend(servers);
        peer.differences = differences;
    }

    /// Whether a peer has the same list of key servers.
    //= getvpn P19
    pub(super) fn compare_list(&mut self, cx: &mut Context<'_>, index: KsIndex, same: bool) {
        let own = self.config.servers.len();
        let Some(peer) = self.coop.peers.get_mut(&index) else {
            return;
        };
        let known = peer.differences.iter().any(|one| one.field == SERVERS);
        if same {
            peer.differences.retain(|one| one.field != SERVERS);
        } else if !known {
            peer.differences.push(Difference {
                field: SERVERS,
                own: format!("{own} key servers"),
                theirs: "another list".to_owned(),
            });
            cx.out.report(Gdoi::COOP_CONFIG_MISMATCH {
                field: SERVERS.to_owned(),
            });
        }
    }

    /// Takes what a peer remembers of this key server's marks, and remembers its own.
    //= getvpn P22
    pub(super) fn compare_marks(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
    ) {
        let theirs = self.coop.marks_mut(index);
        let before = *theirs;
        theirs.sid = theirs.sid.max(said.marks.sid);
        theirs.term = theirs.term.max(said.marks.term);
        theirs.sequence = theirs.sequence.max(said.marks.sequence);
        theirs.generation = theirs.generation.max(said.marks.generation);
        let lasting = |marks: &wire::private::CoopMarks| (marks.sid, marks.term, marks.generation);
        let news = lasting(&before) != lasting(theirs);
        let (mut lost, mut twice) = (Vec::new(), false);
        if let Some(yours) = &said.yours {
            if yours.sid > self.sids.mark() {
                lost.push(format!("sender identifiers below {}", yours.sid));
                self.sids.skip_to(yours.sid);
                twice = self.sids.has_allocated();
            }
            if yours.term > self.coop.row.tenure {
                lost.push(format!("term {}", yours.term));
                self.coop.row.term = self.coop.row.term.max(yours.term);
                self.coop.row.tenure = yours.term;
            }
            if yours.sequence >= self.coop.row.sequence_mark {
                lost.push(format!("announcement {}", yours.sequence));
                self.coop.sequence = yours.sequence;
                self.coop.row.sequence_mark = yours.sequence;
            }
        }
        if !lost.is_empty() {
            let ks = self.coop.peers.get(&index).map(|peer| peer.address);
            cx.out.report(Gdoi::KS_STATE_ROLLBACK {
                peer: ks.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
                group: self.config.group.clone(),
                what: format!("a higher {}", lost.join(", ")),
            });
            self.persist_group(cx);
        }
        if news || !lost.is_empty() {
            self.persist_coop(cx);
        }
        // What was handed out before that was heard, somebody else may hold, too.
        if twice {
            self.replace_doubtful_keys(cx);
        }
    }

    /// A member holds the identifier before that number of another key server's range.
    //= getvpn P22
    pub(in crate::ks) fn coop_remembers(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        number: u64,
    ) {
        let marks = self.coop.marks_mut(index);
        if marks.sid < number {
            marks.sid = number;
            self.persist_coop(cx);
        }
    }
}

/// A field's value, in the words of the configuration.
fn value(config: &config::KeyServer, number: u8) -> String {
    let sa = config.sas.first();
    match number {
        1 if config.multicast.plain_by_unicast => {
            format!("{}, rfc6407 by unicast", config.transport)
        }
        1 => config.transport.to_string(),
        2 => format!("{:?}", config.kek_cipher),
        // An EC key brings its hash; its curve is compared by the key's fingerprint.
        3 => match config.rekey_key.as_ref().map_or(Kind::Rsa, |key| key.kind) {
            Kind::Rsa => format!(
                "{}{}",
                config.sig_hash,
                if config.raw_hash { " raw" } else { "" }
            ),
            Kind::Ec => "that of an EC key".to_owned(),
        },
        4 => format!("{} s", config.kek_lifetime_s),
        5 => format!(
            "{} s, {} times",
            config.retransmit_period_s, config.retransmit_number
        ),
        6 => sa.map_or_else(String::new, |sa| sa.transform.to_string()),
        7 => sa.map_or_else(String::new, |sa| format!("{} s", sa.lifetime_s)),
        8 => lines(config.sas.iter().map(|sa| sa.acl.as_ref())),
        9 => sa.and_then(|sa| sa.tbar_window_s).map_or_else(
            || "no time-based replay".to_owned(),
            |window_s| format!("time window-size {window_s}"),
        ),
        10 => format!("{} bits", config.size.bits()),
        11 => list(config.authorization.as_deref()),
        13 => match (config.transport, config.multicast.address) {
            (RekeyTransport::Multicast, Some(group)) => group.to_string(),
            (RekeyTransport::Multicast | RekeyTransport::Unicast, _) => "none".to_owned(),
        },
        14 => match (config.multicast.acknowledgement, config.transport) {
            (_, RekeyTransport::Unicast) => "every member that can",
            (Acknowledgement::None, RekeyTransport::Multicast) => "none",
            (Acknowledgement::Ours, RekeyTransport::Multicast) => "getvpn",
            (Acknowledgement::Any, RekeyTransport::Multicast) => "any",
        }
        .to_owned(),
        15 => config.multicast.ttl.to_string(),
        16 => config
            .reminder_s
            .map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s")),
        17 => if config.rfc6407_drops_denies {
            "denies are dropped"
        } else {
            "none"
        }
        .to_owned(),
        18 => list(config.rfc3547.as_deref()),
        _ => config.look_ahead.to_string(),
    }
}

/// An access list that need not be there.
fn list(acl: Option<&::policy::Acl>) -> String {
    acl.map_or_else(|| "none".to_owned(), |acl| lines(std::iter::once(acl)))
}

/// Access lists by the number of their lines and a hash, as they may be long.
fn lines<'a>(acls: impl Iterator<Item = &'a ::policy::Acl>) -> String {
    let lines: Vec<String> = acls
        .flat_map(|acl| acl.entries.iter().map(ToString::to_string))
        .collect();
    let hash = crate::policy_blob::sha256(lines.join("\n").as_bytes());
    let short: String = hash[..4]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("{} lines, {short}", lines.len())
}

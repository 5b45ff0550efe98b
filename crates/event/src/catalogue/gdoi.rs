//! Facility GDOI. Texts are those of mission.md section 3; where the source is from memory the name
//! is kept and the text is ours.

use std::net::Ipv4Addr;

use policy::GroupName as Group;

catalogue! {
    /// The group: registration, rekey, COOP.
    Gdoi = "GDOI";

    /// An announcement of another key server carried a sequence number that is not above its last one: a replay, or a delayed copy.
    #[action = "None, if it is rare. If every announcement of that key server is refused, see that it kept its state folder."]
    3 COOP_ANN_SEQ_FAILURE in Coop { group: Group, seq: u64, last: u64 }
        "COOP Ann msg seq check failed for group {group}, ann seq# {seq}, sess seq# {last}";

    /// A field of the group's configuration is not the same on two of its key servers; the primary's counts.
    #[action = "Compare with `show crypto gdoi ks coop config-diff` and configure the same on both."]
    3 COOP_CONFIG_MISMATCH in Coop { field: String }
        "WARNNING {field} configuration between Primary KS and Secondary KS are mismatched";

    /// A cooperative key server was configured.
    #[action = "None. Configure this key server as a peer there too."]
    5 COOP_KS_ADD in Coop { ks: String, group: Group }
        "{ks} added as COOP Key Server in group {group}";

    /// This key server takes part in an election of the group's primary.
    #[action = "None. COOP_KS_TRANS_TO_PRI or COOP_KS_TRANS_TO_SEC ends it; if neither comes, see `show crypto gdoi ks coop`."]
    5 COOP_KS_ELECTION in Coop { group: Group, previous: String }
        "KS entering election mode in group {group} (Previous Primary = {previous})";

    /// A reachable key server did not put on disk in time what it was told; it is left out of the view until it holds the whole state.
    #[action = "Look at the disk and the load of that key server, and at loss on the path between the two."]
    4 COOP_KS_LAGGING in Coop { ks: Ipv4Addr, group: Group }
        "Cooperative KS {ks} lags behind in group {group}: it has not acknowledged the state in time";

    /// A cooperative key server is heard again, both ways.
    #[action = "None."]
    5 COOP_KS_REACH in Coop { ks: Ipv4Addr, group: Group }
        "Reachability restored with Cooperative KS {ks} in group {group}.";

    /// The pseudotime of another key server is ahead of this one's; this one follows.
    #[action = "None, unless it repeats: then a clock of one of the two runs too fast."]
    4 COOP_KS_RECVD_ANN_INVALID_PST in Coop { ks: Ipv4Addr, group: Group }
        "COOP_KS ANN received from KS {ks} in group {group} has PST bigger than myself. Adjusting PST";

    /// A cooperative key server was taken out of the configuration.
    #[action = "None. Take this key server out of the peers there too."]
    5 COOP_KS_REMOVE in Coop { ks: String, group: Group }
        "{ks} removed from COOP Key Server in group {group}";

    /// This key server became the primary: it mints keys and sends rekeys from now on.
    #[action = "If the previous primary was not taken down on purpose, find out why it is not reachable."]
    5 COOP_KS_TRANS_TO_PRI in Coop { ks: Ipv4Addr, group: Group, previous: String }
        "KS {ks} in group {group} transitioned to Primary (Previous Primary = {previous})";

    /// This key server became a secondary: it serves registrations with the primary's keys.
    #[action = "None."]
    5 COOP_KS_TRANS_TO_SEC in Coop { ks: Ipv4Addr, group: Group, primary: Ipv4Addr }
        "KS {ks} in group {group} transitioned to Secondary (Primary = {primary})";

    /// A key server that is not configured as a peer spoke to this one; this may be a hostile event.
    #[action = "If it belongs to the group, configure it with `peer address ipv4`, and this key server's address there."]
    3 COOP_KS_UNAUTH in Coop { ks: Ipv4Addr, group: Group, local: Ipv4Addr }
        "Contact from unauthorized KS {ks} in group {group} at local address {local} (Possible MISCONFIG of peer/local address)";

    /// A cooperative key server is not heard any more, or does not hear this one; this may be a hostile event.
    #[action = "Look at the path between the two on UDP 848, and at `show crypto isakmp sa` and `show crypto gdoi ks coop` on both."]
    3 COOP_KS_UNREACH in Coop { ks: Ipv4Addr, group: Group }
        "Cooperative KS {ks} Unreachable in group {group}";

    /// No announcement with a valid pseudotime came for a long time: new members would get a pseudotime that others refuse.
    #[action = "Restore the way to the primary; members that are registered are not touched."]
    5 COOP_KS_VALID_ANN_TIMER_EXPIRED in Coop { group: Group }
        "This sec-KS has NOT received an ANN with valid pseudotime for an extended period in group {group}. It will block new GMs registration temporarily until a valid ANN is received";

    /// Another key server speaks a COOP of another major version: nothing is exchanged with it.
    #[action = "Bring both key servers to the same major version, secondaries first."]
    2 COOP_MAJOR_VERSION_MISMATCH in Coop { ks: Ipv4Addr, group: Group, version: String }
        "COOP-KS {ks} in group {group} has incompatible major {version} ver. Please check 'show crypto gdoi ks coop ver'";

    /// Two parts of the group that had worked without each other were joined; the keys of both count.
    #[action = "None. Find out what had parted the key servers."]
    5 COOP_MERGE in Coop { group: Group, ks: Ipv4Addr, records: usize }
        "Group {group} merged with Cooperative KS {ks}: {records} records united";

    /// Another key server speaks a COOP of another minor version: what only one of the two knows is not exchanged.
    #[action = "Finish the upgrade: bring both key servers to the same version."]
    2 COOP_MINOR_VERSION_MISMATCH in Coop { ks: Ipv4Addr, group: Group, version: String }
        "COOP-KS {ks} in group {group} has different minor {version} ver. Please check 'show crypto gdoi ks coop ver'";

    /// An announcement is larger than what one exchange can carry.
    #[action = "See `show crypto gdoi ks members summary` for the size of the group; split the group if it is as large as intended."]
    3 COOP_PACKET_DROPPPED in Coop { octets: usize }
        "Announcement message dropped due to packet size {octets} bytes.";

    /// Phase 1 with this key server is too weak to carry the group's keys: none are sent to it, and it cannot stand in for the primary.
    #[action = "Give the two key servers AES-256, SHA-256, group 14 or better, and certificates or a key of 128 bits of their own."]
    3 COOP_PEER_WEAK in Coop { ks: Ipv4Addr, group: Group, reason: String }
        "Keys of group {group} are not sent to Cooperative KS {ks}: {reason}";

    /// The serving key server's rekey key replaced or filled this one's.
    #[action = "None. Compare the fingerprint with `show crypto key mypubkey all` on the other key server."]
    5 COOP_REKEY_KEY_ADOPTED in Coop {
        kind: String, label: String, group: Group, ks: Ipv4Addr, fingerprint: String,
    }
        "{kind} key {label} of group {group} adopted from Cooperative KS {ks}, fingerprint {fingerprint}";

    /// Two key servers of the group sign rekeys with different keys: members refuse the rekeys of one of them after a failover.
    #[action = "Configure `key sync` on both, or import the primary's key here: `show crypto key mypubkey all` shows both."]
    2 COOP_REKEY_KEY_MISMATCH in Coop { kind: String, label: String, group: Group, ks: Ipv4Addr }
        "{kind} key {label} of group {group} differs from that of Cooperative KS {ks}";

    /// The key that signs a group's rekeys was replaced: members that are registered do not know the new one.
    #[action = "`crypto gdoi ks rekey replace-now` on the primary. Members that do not believe it come when their own timers say so."]
    4 EC_KEY_CHANGED in Infra { group: Group }
        "EC key has changed and affect group {group}. \"crypto gdoi ks rekey replace-now\" must be executed on the primary KS";

    /// An EC key left this box, its private half under a passphrase.
    #[action = "None, if it was meant. Whoever holds the text and the passphrase can sign rekeys."]
    5 EC_KEY_EXPORTED in Infra { label: String, by: String }
        "EC key {label} was exported by {by}";

    /// An EC key was taken into this box.
    #[action = "None."]
    5 EC_KEY_IMPORTED in Infra { label: String, by: String }
        "EC key {label} was imported by {by}";

    /// An EC key cannot be used to sign rekeys; the reason says why.
    #[action = "Generate one with `crypto key generate ec keysize 256 label NAME`."]
    3 EC_KEY_REFUSED in Infra { label: String, reason: String }
        "EC key {label} cannot be used: {reason}";

    /// An EC key was removed from this box.
    #[action = "None, if it was meant: groups that sign with it are not served here until it is there again."]
    5 EC_KEY_ZEROIZED in Infra { label: String }
        "EC key {label} was removed";

    /// A peer proved to be a getvpn, but its vendor ids were changed on the way.
    #[action = "Look for a device on the path that changes UDP 848; the exchange was refused."]
    2 GDOI_DOWNGRADE in Infra { peer: Ipv4Addr, group: Group }
        "Vendor ids of {peer} were altered on the way, group {group}: exchange refused";

    /// A key server's rekey could not be processed; a line before this one says why.
    #[action = "Compare the policy and the rekey key of the key server with those of its peers."]
    3 GDOI_REKEY_FAILURE in Rekey { gm: Ipv4Addr, group: Group, ks: Ipv4Addr }
        "Processing of REKEY payloads failed on GM {gm} in the group {group}, with peer at {ks}";

    /// A rekey carried a sequence number that is not above the last one: a replay, or a key server that lost its state.
    #[action = "If no replay is suspected, see that the key server kept its state folder."]
    3 GDOI_REKEY_SEQ_FAILURE in Rekey { group: Group, seq: u32, last: u32 }
        "Failed to process rekey seq # {seq} in seq payload for group {group}, last seq # {last}";

    /// The operator cleared the group on this member.
    #[action = "None. The member registers again."]
    5 GM_CLEAR_REGISTER in Registration { group: Group }
        "Config: GM cleared gdoi configuration for the group {group}.";

    /// A crypto map with this group was attached to an interface.
    #[action = "None."]
    5 GM_CM_ATTACH in Infra { group: Group }
        "Crypto map attached for GM in group {group}.";

    /// A crypto map with this group was detached from its interface.
    #[action = "None. Traffic of that interface is no longer protected."]
    5 GM_CM_DETACH in Infra { group: Group }
        "Crypto map detached for GM in group {group}.";

    /// A member is no longer in the key server's database: it was removed, or did not come back.
    #[action = "None, if that was the intention. If it should be a member, see that it can reach a key server."]
    4 GM_DELETE in Registration { gm: Ipv4Addr, group: Group }
        "GM {gm} deleted from group {group}.";

    /// The member installed policy and keys.
    #[action = "None."]
    5 GM_INSTALL_POLICIES_SUCCESS in Registration { ks: Ipv4Addr, group: Group, gm: Ipv4Addr }
        "SUCCESS: Installation of Reg/Rekey policies from KS {ks} for group {group} & gm identity {gm}";

    /// A key server offers keys that ended with a removal of members: it has not heard of that, most
    /// likely because it is on the other side of a split. The member keeps what it holds.
    #[action = "Check that the key servers reach each other; the member tries the next one."]
    4 GM_KS_BEHIND in Registration { ks: Ipv4Addr, group: Group }
        "Registration: KS {ks} has not heard of a removal that this GM knows of in the group {group}; its keys are refused.";

    /// Traffic came under keys of this group that the member does not hold: it asks for them.
    #[action = "If it repeats, key servers do not see each other: compare `show crypto gdoi ks policy` on them."]
    4 GM_RECOVERY_REGISTRATION in Registration { group: Group, delay_ms: u64 }
        "GM recovery re-registration for group {group} will start in {delay_ms} msec";

    /// The key server asks every member to register again: the keys of now end soon.
    #[action = "None, unless it repeats: then the key server removes this member on purpose."]
    4 GM_RECV_DELETE in Rekey { group: Group }
        "GM received delete-msg from KS in group {group}. TEKs lifetime are reduced and re-registration will start before SA expiry";

    /// The key server ended every key at once; the member asks for new ones.
    #[action = "None. Traffic of the group stands still until the registration is done."]
    4 GM_RECV_DELETE_IMMEDIATE in Rekey { group: Group, within_s: u64 }
        "GM receive REMOVAL-NOW in group {group} to cleanup downloaded policy now. Re-registration will start in a randomly chosen period of {within_s} sec";

    /// A rekey arrived, was verified and installed.
    #[action = "None. The number is that of KS_SEND_UNICAST_REKEY on the key server."]
    5 GM_RECV_REKEY in Rekey { group: Group, from: Ipv4Addr, to: Ipv4Addr, seq: u32 }
        "Received Rekey for group {group} from {from} to {to} with seq # {seq}";

    /// The member registered.
    #[action = "None."]
    5 GM_REGS_COMPL in Registration { ks: Ipv4Addr, group: Group, gm: Ipv4Addr }
        "Registration to KS {ks} complete for group {group} using address {gm}";

    /// The group's policy cannot be installed here; the reason names the algorithm or attribute.
    #[action = "Change the policy on the key server, or this member's software; the member tries again after a back-off."]
    4 GM_REJECTING_SA_PAYLOAD in Registration { ks: Ipv4Addr, group: Group, reason: String }
        "Registration: Policy in SA payload sent by KS {ks} rejected by GM in the group {group}: {reason}";

    /// Rekeys come to the multicast address from now on.
    #[action = "None."]
    5 GM_REKEY_TRANS_2_MULTI in Rekey { group: Group }
        "Group {group} transitioned to Multicast Rekey.";

    /// Rekeys come by unicast from now on.
    #[action = "None."]
    5 GM_REKEY_TRANS_2_UNI in Rekey { group: Group }
        "Group {group} transitioned to Unicast Rekey.";

    /// The machine was suspended, or its memory was resumed from an image: the member's keys and
    /// counters may live on elsewhere, so it sends no more on them and registers again.
    #[action = "None. If the machine was not suspended, moved or restored, find out who copied its memory."]
    4 GM_RESUMED in Registration { group: Group }
        "The machine was suspended or resumed from an image. GM in group {group} drops its keys. Re-register to KS.";

    /// The keys are about to expire and no rekey came, or they were cleared: the member registers again.
    #[action = "If it repeats, find out where rekeys are lost: `show crypto gdoi ks rekey`, `show crypto gdoi gm rekey`."]
    4 GM_RE_REGISTER in Registration { group: Group }
        "The IPSec SA created for group {group} may have expired/been cleared, or didn't go through. Re-register to KS.";

    /// The operator made every member of the group register again, or all but one, which stays out.
    #[action = "None. `show crypto gdoi ks members` shows who has come back."]
    5 KS_CLEAR_REGISTER in Registration { group: Group, what: String }
        "Config: KS cleared registrations of group {group}: {what}.";

    /// A plain member was admitted although it is not told the policy's denies.
    #[action = "What the denies name will not pass between it and getvpn members: move those flows off the group, or refuse plain members."]
    4 KS_CLIENT_COMPATIBILITY in Registration { peer: Ipv4Addr, group: Group, denies: String }
        "RFC 6407 member {peer} of group {group} is not told of: {denies}";

    /// The machine of the key server that leads was off, and no other one told what the group's clock reads: it goes on from what was written down last, set on by a margin, as a new generation.
    #[action = "None. Members follow with the rekey that comes at once; those that do not hear it register again by their own timers. Key servers that do not share a power supply never lose the clock together."]
    4 KS_CLOCK_LOST in Coop { group: Group, pseudotime_s: u64, generation: u32 }
        "Pseudotime of group {group} was lost: it goes on at {pseudotime_s} sec as generation {generation}";

    /// A member that was removed from the group tried to join it; this may be a hostile event.
    #[action = "If it should be a member again: `crypto gdoi ks readmit A.B.C.D` on the primary."]
    5 KS_GM_REVOKED in Registration { peer: Ipv4Addr, group: Group }
        "Re-Key: Unauthorized {peer} tried to join group {group}";

    /// A member has not acknowledged several rekeys in a row.
    #[action = "Look at the path to the member on UDP 848; if it misses one more its registration ends."]
    4 KS_GM_STALE in Rekey { gm: Ipv4Addr, group: Group, missed: u8 }
        "GM {gm} of group {group} is stale: it has not acknowledged the last {missed} rekeys";

    /// The group's configuration lacks something: no member is served until it is there.
    #[action = "Configure what the reason names."]
    3 KS_INCOMPLETE_CFG in Infra { group: Group, reason: String }
        "Group {group} is not served: {reason}";

    /// A member has used three quarters of what one sender may encrypt with a key of 64-bit blocks: the
    /// next key is sent now.
    #[action = "None. If it repeats often, replace 3DES by AES: the group carries too much for it."]
    5 KS_KEY_SPENT in Rekey { group: Group, gm: Ipv4Addr, spi: policy::Spi }
        "Member {gm} of group {group} has nearly used up the key with SPI {spi}. Next key is sent now";

    /// The registration of a member that does not acknowledge rekeys ended: it gets no more of them.
    #[action = "None. The member registers again before its keys end."]
    5 KS_NACK_GM_EJECT in Rekey { gm: Ipv4Addr, group: Group, missed: u8 }
        "KS ejected GM {gm} of group {group}: {missed} rekeys in a row were not acknowledged";

    /// The rekey key is not there: no member is served until it is.
    #[action = "`crypto key generate ec keysize 256 label NAME`."]
    1 KS_NO_EC_KEYS in Infra { label: String, group: Group }
        "EC Key - {label} : Not found, Required for group {group}";

    /// The rekey key is not there: no member is served until it is.
    #[action = "`crypto key generate rsa label NAME modulus 2048`."]
    1 KS_NO_RSA_KEYS in Infra { label: String, group: Group }
        "RSA Key - {label} : Not found, Required for group {group}";

    /// The policy cannot be said to this kind of member; the line of the policy is named.
    #[action = "Change that line, or the member's software."]
    3 KS_POLICY_NOT_SUPPORTED in Registration { peer: Ipv4Addr, group: Group, reason: String }
        "Registration of {peer} to group {group} refused: {reason}";

    /// A registration was refused; the reason says why.
    #[action = "See the reason; `show crypto gdoi ks` counts refusals by name."]
    4 KS_REGISTRATION_REFUSED in Registration { peer: Ipv4Addr, group: Group, reason: String }
        "Registration of {peer} to group {group} refused: {reason}";

    /// A rekey for members of RFC 6407 or 3547, which says the policy line by line, is longer than a packet.
    #[action = "See that IP fragments of UDP 848 pass on the way to those members, or say the policy in fewer lines. Rekeys of getvpn members are not concerned."]
    4 KS_REKEY_FRAGMENTED in Rekey { group: Group, octets: u64 }
        "Rekey of {octets} octets for RFC 6407 members of group {group} leaves in IP fragments";

    /// Rekeys go to the multicast address from now on; members are told by a last one of the old way.
    #[action = "None. Members that multicast does not reach register again before their keys end: see `show crypto gdoi ks members`."]
    5 KS_REKEY_TRANS_2_MULTI in Rekey { group: Group }
        "Group {group} transitioned to Multicast Rekey.";

    /// Rekeys go by unicast from now on; members are told by a last one of the old way.
    #[action = "None."]
    5 KS_REKEY_TRANS_2_UNI in Rekey { group: Group }
        "Group {group} transitioned to Unicast Rekey.";

    /// A rekey leaves for the multicast address.
    #[action = "None. Compare the number with `show crypto gdoi gm rekey`."]
    5 KS_SEND_MCAST_REKEY in Rekey { group: Group, from: Ipv4Addr, to: Ipv4Addr, seq: u32 }
        "Sending Multicast Rekey for group {group} from address {from} to {to} with seq # {seq}";

    /// A rekey leaves for every registered member.
    #[action = "None. Compare the number with `show crypto gdoi gm rekey`."]
    5 KS_SEND_UNICAST_REKEY in Rekey { group: Group, from: Ipv4Addr, seq: u32 }
        "Sending Unicast Rekey for group {group} from address {from} with seq # {seq}";

    /// Another key server or a member remembers more than this key server's state folder: it was restored or rolled back.
    #[action = "None, if a folder was restored on purpose. Else see that no copy of this key server runs elsewhere."]
    1 KS_STATE_ROLLBACK in Coop { peer: Ipv4Addr, group: Group, what: String }
        "State of group {group} was rolled back: {peer} remembers {what}. Adopting it";

    /// An unauthorised member tried to join the group; this may be a hostile event.
    #[action = "If it should be a member, add it to the group's authorization."]
    3 KS_UNAUTHORIZED in Registration { peer: Ipv4Addr, group: String }
        "Registration: Unauthorized {peer} tried to join grp {group}.";

    /// An acknowledgement came for a rekey that was not sent to that member, or came too late.
    #[action = "See `show crypto gdoi ks members` for the member's acknowledgements."]
    4 KS_UNSOL_ACK in Rekey { gm: Ipv4Addr, group: Group }
        "KS received unsolicited ACK from GM {gm} in group {group}.";

    /// The policy of the group changed; members learn it with the next rekey.
    #[action = "`crypto gdoi ks rekey` sends one at once."]
    5 POLICY_CHANGE in Infra { group: Group }
        "GDOI group {group} policy has changed. Use 'crypto gdoi ks rekey' to send a rekey, or the changes will be send in the next scheduled rekey";

    /// A rekey named a policy that this member does not hold yet; it runs under the old one and fetches the new one.
    #[action = "None, unless it lasts: then registration traffic to the key server is lost."]
    4 POLICY_STALE in Rekey { group: Group }
        "Policy of group {group} is behind the key server's, fetching the new one";

    /// The group's clock was set by more than drift explains, since a key server lost it: the member follows.
    #[action = "Find out why the key servers lost the group's clock: KS_CLOCK_LOST on the one that leads, COOP_KS_RECVD_ANN_INVALID_PST on the others."]
    3 PSEUDO_TIME_LARGE in Rekey { ks_s: u64, gm_s: u64, group: Group }
        "Pseudotime difference between key server ({ks_s} sec) and GM ({gm_s} sec) is larger than expected in group {group}. Adjust to new PST";

    /// The key that signs a group's rekeys was replaced: members that are registered do not know the new one.
    #[action = "`crypto gdoi ks rekey replace-now` on the primary. Members that do not believe it come when their own timers say so."]
    4 RSA_KEY_CHANGED in Infra { group: Group }
        "RSA key has changed and affect group {group}. \"crypto gdoi ks rekey replace-now\" must be executed on the primary KS";

    /// An RSA key left this box, its private half under a passphrase.
    #[action = "None, if it was meant. Whoever holds the text and the passphrase can sign rekeys."]
    5 RSA_KEY_EXPORTED in Infra { label: String, by: String }
        "RSA key {label} was exported by {by}";

    /// An RSA key was taken into this box.
    #[action = "None."]
    5 RSA_KEY_IMPORTED in Infra { label: String, by: String }
        "RSA key {label} was imported by {by}";

    /// An RSA key cannot be used to sign rekeys; the reason says why.
    #[action = "Generate one with `crypto key generate rsa label NAME modulus 2048`."]
    3 RSA_KEY_REFUSED in Infra { label: String, reason: String }
        "RSA key {label} cannot be used: {reason}";

    /// An RSA key was removed from this box.
    #[action = "None, if it was meant: groups that sign with it are not served here until it is there again."]
    5 RSA_KEY_ZEROIZED in Infra { label: String }
        "RSA key {label} was removed";

    /// A new rekey key is in use.
    #[action = "None."]
    5 SA_KEK_UPDATED in Rekey {}
        "SA KEK was updated";

    /// A new traffic key is in use.
    #[action = "None."]
    5 SA_TEK_UPDATED in Rekey {}
        "SA TEK was updated";

    /// A lifetime below the recommended minimum is in force.
    #[action = "Raise the lifetime unless this is a test."]
    4 SHORT_LIFETIME in Infra { group: Group, lifetime_s: u32 }
        "TEK lifetime of {lifetime_s} seconds in group {group} is below 120: rekeys will be frequent";

    /// The traffic keys are for a cipher with blocks of 64 bits: what one key may protect is little.
    #[action = "Use AES; with 3DES keep the traffic key's lifetime short."]
    4 SMALL_BLOCK_CIPHER in Infra { group: Group }
        "Group {group} encrypts with a cipher of 64-bit blocks: replace it by AES";

    /// A registration was dropped because the address is not in `authorization address`.
    #[action = "If it should be a member, add it to the access list."]
    1 UNAUTHORIZED_IPADDR in Registration { group: Group, peer: Ipv4Addr }
        "Group {group} received registration from unauthorized ip address: {peer}";
}

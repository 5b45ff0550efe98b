//! Facility GDOI. Texts are those of mission.md section 3; where the source is from memory the name
//! is kept and the text is ours.

use std::net::Ipv4Addr;

use policy::GroupName as Group;

catalogue! {
    /// The group: registration, rekey, COOP.
    Gdoi = "GDOI";

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

    /// The member installed policy and keys.
    #[action = "None."]
    5 GM_INSTALL_POLICIES_SUCCESS in Registration { ks: Ipv4Addr, group: Group, gm: Ipv4Addr }
        "SUCCESS: Installation of Reg/Rekey policies from KS {ks} for group {group} & gm identity {gm}";

    /// Traffic came under keys of this group that the member does not hold: it asks for them.
    #[action = "If it repeats, key servers do not see each other: compare `show crypto gdoi ks policy` on them."]
    4 GM_RECOVERY_REGISTRATION in Registration { group: Group, delay_ms: u64 }
        "GM recovery re-registration for group {group} will start in {delay_ms} msec";

    /// The key server deleted keys; the member asks for new ones.
    #[action = "None, unless it repeats: then the key server removes this member on purpose."]
    4 GM_RECV_DELETE in Rekey { group: Group }
        "GM received delete-msg from KS in group {group}. Re-registration will start";

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

    /// A plain member was admitted although it is not told the policy's denies.
    #[action = "What the denies name will not pass between it and getvpn members: move those flows off the group, or refuse plain members."]
    4 KS_CLIENT_COMPATIBILITY in Registration { peer: Ipv4Addr, group: Group, denies: String }
        "RFC 6407 member {peer} of group {group} is not told of: {denies}";

    /// The group's configuration lacks something: no member is served until it is there.
    #[action = "Configure what the reason names."]
    3 KS_INCOMPLETE_CFG in Infra { group: Group, reason: String }
        "Group {group} is not served: {reason}";

    /// A member has used three quarters of what one sender may encrypt with a key of 64-bit blocks: the
    /// next key is sent now.
    #[action = "None. If it repeats often, replace 3DES by AES: the group carries too much for it."]
    5 KS_KEY_SPENT in Rekey { group: Group, gm: Ipv4Addr, spi: policy::Spi }
        "Member {gm} of group {group} has nearly used up the key with SPI {spi}. Next key is sent now";

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

    /// A rekey leaves for the multicast address.
    #[action = "None. Compare the number with `show crypto gdoi gm rekey`."]
    5 KS_SEND_MCAST_REKEY in Rekey { group: Group, from: Ipv4Addr, to: Ipv4Addr, seq: u32 }
        "Sending Multicast Rekey for group {group} from address {from} to {to} with seq # {seq}";

    /// A rekey leaves for every registered member.
    #[action = "None. Compare the number with `show crypto gdoi gm rekey`."]
    5 KS_SEND_UNICAST_REKEY in Rekey { group: Group, from: Ipv4Addr, seq: u32 }
        "Sending Unicast Rekey for group {group} from address {from} with seq # {seq}";

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

    /// An RSA key cannot be used to sign rekeys; the reason says why.
    #[action = "Generate one with `crypto key generate rsa label NAME modulus 2048`."]
    3 RSA_KEY_REFUSED in Infra { label: String, reason: String }
        "RSA key {label} cannot be used: {reason}";

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

#!/usr/bin/env python3
"""The unmodified Genie parsers read the pages of the router's snapshot tests, and read from them the
values that the tests put in. Needs no network and no privilege; the live pages are read by
genie_show.py."""

import importlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SNAPSHOTS = ROOT / "crates" / "router" / "src" / "show" / "tests" / "snapshots"
GDOI = "genie.libs.parser.iosxe.show_crypto_gdoi"
CRYPTO = "genie.libs.parser.iosxe.show_crypto"
ACL = "genie.libs.parser.iosxe.show_acl"

MEMBER = ("group_name", "G1", "group_information")
POLICY = ("key_server_policy", "group", "G1", "server", "10.1.11.2")
KEK = (*POLICY, "kek_policy", "spi", "0x18864836BA888BCD1126671EEAFEB4C7")
TEKS = (*POLICY, "tek_policy", "spi")
MEMBERS = ("groups", "G1")
COOP = ("crypto_gdoi_group_name", "G1")
SECONDARY = ("crypto_gdoi_group_name", "G2")
IDENT = ("interface", "Serial1/0", "ident", "1")
OTHER = ("interface", "wan2_100", "ident")
COUNTERS = ("data_plane_statistics", "group", "G1")

# Snapshot, module, parser, values by their path.
PAGES = [
    ("gdoi", GDOI, "ShowCryptoGdoi", {
        (*MEMBER, "group_identity"): "3333",
        (*MEMBER, "group_server_list"): "10.1.11.2",
        (*MEMBER, "group_member", "10.1.13.2", "registration"): "Registered",
        (*MEMBER, "group_member", "10.1.13.2", "server_ip"): "10.1.12.2",
        (*MEMBER, "group_member", "10.1.13.2", "re_register_time_sec"): 139,
        (*MEMBER, "group_member", "10.1.13.2", "last_rekey_server"): "10.1.11.2",
        (*MEMBER, "kek_policy", "lifetime"): 878,
        (*MEMBER, "kek_policy", "key_size"): 192,
        (*MEMBER, "tek_policy", "interfaces", "Serial1/0", "ipsec_sa", "spi",
         "0x8BF147EF(2347845615)", "sa_remaining_key_lifetime"): 200,
        (*MEMBER, "p2p_policy", "reg_gm", "local_addr"): "10.1.13.2",
        ("group_name", "G3", "group_information", "group_member", "10.1.13.2",
         "registration"): "Registered",
        ("group_name", "G3", "group_information", "tek_policy", "interfaces", "wan2.100",
         "ipsec_sa", "spi", "0x10000002(268435458)", "anti_replay_count"): 16384,
    }),
    ("gdoi_detail", GDOI, "ShowCryptoGdoiDetail", {
        (*MEMBER, "kek_policy", "sig_key_length"): 1024,
    }),
    ("gdoi_group_g1", GDOI, "ShowCryptoGkm", {(*MEMBER, "rekeys_received"): 1}),
    ("call_admission", CRYPTO, "ShowCryptoCallAdmissionStatistics", {
        ("crypto_call_admission_statistics", "max_ike_sa"): 2000,
        ("crypto_call_admission_statistics", "max_in_nego"): 40,
        ("crypto_call_admission_statistics", "total_ike_sa"): 1004,
        ("crypto_call_admission_statistics", "incoming_request_reject"): 1538,
        ("crypto_call_admission_statistics", "in_neg_salimit"): 0,
        ("crypto_call_admission_statistics", "total_ipsec_sa_active"): 6,
    }),
    ("gdoi_feature_gm_removal", GDOI, "ShowCryptoGdoiFeatureGmRemoval", {
        ("group", "G1", "key_server", 1, "key_server_id"): "10.1.11.2",
        ("group", "G1", "key_server", 1, "key_feature_supported"): "Yes",
        ("group", "G1", "group_member", 1, "group_member_version"): "1.0.4",
        ("group", "G2", "group_member", 2, "group_member_id"): "10.1.15.2",
        ("group", "G2", "group_member", 2, "group_feature_supported"): "No",
    }),
    ("gdoi_feature", GDOI, "ShowCryptoGdoiFeature", {
        ("group", "G1", "key_server", 1, "key_version"): "1.0.27",
    }),
    ("gdoi_gm", GDOI, "ShowCryptoGdoiGm", {
        ("group_member", "G1", "registered_ip"): "10.1.12.2",
        ("group_member", "G1", "active_tek_number"): 1,
        ("group_member", "G1", "rekey_recieved_time"): "00:05:20",
    }),
    ("gdoi_gm_acl_local", GDOI, "ShowCryptoGdoiGmAclLocal", {
        ("group_name", "G3", "configured_acl_locally"): ["access-list   deny ospf any any"],
    }),
    # The parser reads `internal err` into the places of `encrypt` and `decrypt`.
    ("gdoi_gm_dataplan_counter", GDOI, "ShowCryptoGdoiGmDataplanCounter", {
        (*COUNTERS, "pkts_verify_fail"): 0,
        ("data_plane_statistics", "group", "G3", "pkts_no_sa"): 3,
    }),
    ("gdoi_gm_pubkey", GDOI, "ShowCryptoGdoiGmPubkey", {
        ("gdoi_group", "G1", 0, "ks_ipaddress"): "10.1.11.2",
        ("gdoi_group", "G1", 0, "my_cookie"): "C5AC6039",
    }),
    ("gdoi_gm_rekey_detail", GDOI, "ShowCryptoGdoiGmRekeyDetail", {
        ("gdoi_group", "G3", "rekey_sa_information", "Current", "his_cookie"): "88AD3ACA",
        ("gdoi_group", "G3", "rekey_sa_information", "New", "conn_id"): "1114",
        ("gdoi_group", "G1", "rekey_sa_information", "Previous", "dst"): "---",
        ("gdoi_group", "G1", "rekey_acks_sent"): 1,
    }),
    ("gdoi_ipsec_sa", GDOI, "ShowCryptogdoiIpsecSa", {
        ("sa_created_for_group", "G1", "interface", "Serial1/0", "protocol", "ip", 1,
         "local_ident"): "ANY",
        ("sa_created_for_group", "G1", "interface", "Serial1/0", "protocol", "ip", 1, "replay",
         "method"): "Time",
        ("sa_created_for_group", "G3", "interface", "wan2_100", "protocol", "udp", 2,
         "remote_ident"): "192.168.0.0/16",
        ("sa_created_for_group", "G3", "interface", "wan2_100", "protocol", "udp", 2,
         "remote_port"): 123,
    }),
    ("gdoi_ks", GDOI, "ShowCryptoGdoiKs", {
        ("crypto_gdoi_ks", "total_group_members"): 2,
        ("crypto_gdoi_ks", "crypto_gdoi_ks_group", "acl_configured", "acl_name"): "ENCPOL",
    }),
    ("gdoi_ks_acl", GDOI, "ShowCryptoGdoiKsAcl", {
        ("group_name", "G1", "configured_acl", 5): "access-list ENCPOL  permit ip any any",
    }),
    ("gdoi_ks_coop_detail", GDOI, "ShowCryptoGdoiKsCoopDetail", {
        (*COOP, "group_handle"): 2147483650,
        (*COOP, "local_priority"): 200,
        (*COOP, "local_ks_role"): "Primary",
        (*COOP, "local_ks_status"): "Alive",
        (*COOP, "primary_timers", "primary_refresh_policy_time"): 20,
        (*COOP, "primary_timers", "remaining_time"): 10,
        (*COOP, "primary_timers", "antireplay_sequence_number"): 40,
        (*COOP, "1", "peer_address"): "10.1.12.2",
        (*COOP, "1", "peer_version"): "1.0.4",
        (*COOP, "1", "peer_priority"): 100,
        (*COOP, "1", "peer_ks_role"): "Secondary",
        (*COOP, "1", "ike_status"): "Established",
        (*COOP, "1", "counters", "ann_msgs_sent_with_reply_request"): 2,
        (*COOP, "1", "counters", "ann_msgs_recv"): 64,
        (*COOP, "1", "counters", "packet_sent_drops"): 7,
        (*COOP, "1", "counters", "total_bytes_recv"): 40244,
        (*SECONDARY, "secondary_timers", "sec_primary_periodic_time"): 30,
        (*SECONDARY, "secondary_timers", "remaining_time"): 21,
        (*SECONDARY, "secondary_timers", "retries"): 0,
        (*SECONDARY, "secondary_timers", "invalid_ann_pst_recvd"): 2,
        (*SECONDARY, "secondary_timers", "new_gm_temp_blk_enforced"): "No",
        (*SECONDARY, "secondary_timers", "antireplay_sequence_number"): 40,
        (*SECONDARY, "1", "peer_ks_role"): "Primary",
        (*SECONDARY, "2", "peer_ks_status"): "Unknown",
    }),
    ("gdoi_ks_coop_identifier", GDOI, "ShowCryptoGdoiKsCoopIdentifier", {
        ("group", "G1", "local", "ks_role"): "Primary",
        ("group", "G1", "local", "sid_length_used"): "24 bits (MEDIUM)",
        ("group", "G2", "local", "next_sid_client_operation"): "NOTIFY",
    }),
    # The parser keeps one peer, the last.
    ("gdoi_ks_coop_identifier_detail", GDOI, "ShowCryptoGdoiKsCoopIdentifierDetail", {
        ("group", "G1", "local", "address"): "10.1.11.2",
        ("group", "G1", "peer", "address"): "10.1.12.2",
        ("group", "G1", "peer", "ks_status"): "Alive",
        ("group", "G2", "peer", "address"): "10.1.16.2",
    }),
    ("gdoi_ks_coop_version", GDOI, "ShowCryptoGdoiKsCoopVersion", {
        ("coop_ver",): "1.0.0",
        ("gm_ver",): "1.0.0",
    }),
    ("gdoi_ks_detail", GDOI, "ShowCryptoGdoiKsDetail", {
        ("group_members_registered",): 2,
        ("G1", "redundancy", "redundancy_mode"): "Configured",
        ("G1", "redundancy", "local_priority"): 200,
        ("G1", "redundancy", "local_ks_role"): "Primary",
        ("G2", "redundancy", "local_ks_role"): "Secondary",
        ("G2", "redundancy", "local_ks_version"): "1.0.27",
    }),
    ("gdoi_ks_members", GDOI, "ShowCryptoGdoiKsMembers", {
        (*MEMBERS, "rekeys_sent"): 346,
        (*MEMBERS, "last_rekey_duration"): 12,
        (*MEMBERS, "group_members", "10.1.14.2", "gm_state"): "Registered",
        (*MEMBERS, "group_members", "10.1.14.2", "rcvd_seq_num", "seq1"): 2,
        ("groups", "G2", "group_members", "10.1.15.2", "gm_version"): "0.0.0",
    }),
    ("gdoi_ks_members_of_one_address", GDOI, "ShowCryptoGdoiKsMembersIp", {
        (*MEMBERS, "group_members", "10.1.14.2", "rekey_acks_rcvd"): 346,
    }),
    ("gdoi_ks_members_summary", GDOI, "ShowCryptoGdoiKsMembersSummary", {
        ("group_member_information", "groups", "G2", "key_server_ids", "10.1.12.2", "members",
         "10.1.15.2", "rekey_sent"): 346,
        ("group_member_information", "groups", "G2", "key_server_ids", "10.1.12.2",
         "gmdb_state"): "REDUNDANT",
    }),
    ("gdoi_ks_policy", GDOI, "ShowCryptoGdoiKsPolicy", {
        (*POLICY, "teks_num"): 2,
        (*POLICY, "seq_num"): 10,
        (*KEK, "remaining_life_secs"): 528,
        (*KEK, "time_to_rekey_sec"): "293",
        (*KEK, "acknowledgement"): "getvpn",
        (*TEKS, "0x91E3985A", "remaining_life_secs"): 796,
        (*TEKS, "0x91E3985A", "elapsed_time_sec"): 1407,
        (*TEKS, "0x91E3985A", "tek_life_sec"): 2203,
        (*TEKS, "0x3A14695B", "time_to_rekey_sec"): "n/a",
    }),
    ("gdoi_rekey_sa", GDOI, "ShowCryptoGdoiRekeySa", {
        ("getvpn_rekey", 1, "connection_id"): 1114,
        ("getvpn_rekey", 1, "rekey_status"): "ACTIVE",
    }),
    ("gdoi_rekey_sa_detail", GDOI, "ShowCryptoGdoiRekeySaDetail", {
        ("kek_sa_db_stats", "num_active"): 3,
        ("kek_sa_db_stats", "kek_policy", "remote_details", "sig_key_length"): 162,
        ("kek_sa_db_stats", "kek_policy", "remote_details", "seq_num"): 3,
    }),
    ("ipsec_sa", CRYPTO, "ShowCryptoIpsecSa", {
        (*IDENT, "pkts_encaps"): 100,
        (*IDENT, "pkts_decaps"): 98,
        (*IDENT, "recv_errors"): 2,
        (*IDENT, "plaintext_mtu"): 1446,
        (*IDENT, "current_outbound_spi"): "0x8BF147EF(2347845615)",
        (*IDENT, "inbound_esp_sas", "spi", "0x8BF147EF(2347845615)",
         "remaining_key_lifetime"): "(200)",
        (*OTHER, "2", "pkts_encaps"): 11,
        (*OTHER, "1", "inbound_esp_sas", "spi", "0x10000002(268435458)", "transform"):
            "esp-gcm 256",
    }),
    ("ipsec_sa_detail", CRYPTO, "ShowCryptoIpsecSaDetail", {
        (*IDENT, "pkts_replay_failed_rcv"): 2,
        (*IDENT, "outbound_esp_sas", "spi", "0x8BF147EF(2347845615)",
         "remaining_key_lifetime"): "(4294967295/200)",
    }),
    ("isakmp_sa", CRYPTO, "ShowCryptoIsakmpSa", {
        ("isakmp_stats", "IPv4", 1, "session_state"): "GDOI_REKEY",
        ("isakmp_stats", "IPv4", 4, "session_state"): "GDOI_IDLE",
        ("isakmp_stats", "IPv4", 4, "conn_id"): 1074,
    }),
    ("isakmp_sa_detail", CRYPTO, "ShowCryptoIsakmpSaDetail", {
        ("isakmp_stats", "IPv4", 1, "encr_algo"): "aes256",
        ("isakmp_stats", "IPv4", 1, "dh_group"): 19,
        ("isakmp_stats", "IPv4", 1, "lifetime"): "01:01:01",
        ("isakmp_stats", "IPv4", 1, "remote_ip"): "10.1.11.2",
    }),
    ("key_mypubkey_rsa", CRYPTO, "ShowCryptoKeyMypubkeyRsa", {
        ("keys", 1, "key_name"): "get",
    }),
    ("access_lists", ACL, "ShowAccessLists", {
        ("gdoi_group_G1_temp_acl", "aces", "60", "statistics", "matched_packets"): 201,
    }),
]


def page(name):
    """The text of a snapshot, without insta's head."""
    text = (SNAPSHOTS / f"router__show__tests__{name}.snap").read_text()
    return text.split("---\n", 2)[2]


def parse(module, name, text):
    """What the parser reads; its own schema refuses a result with a missing key."""
    from genie.conf.base import Device

    parser = getattr(importlib.import_module(module), name)
    device = Device("router", os="iosxe")
    device.custom.setdefault("abstraction", {})["order"] = ["os"]
    return parser(device=device).parse(output=text)


def at(tree, path):
    """The value at a path; keys may have been read as text or as numbers."""
    for key in path:
        if isinstance(tree, list):
            tree = tree[key]
            continue
        found = [value for own, value in tree.items() if str(own) == str(key)]
        if not found:
            return f"no {key} among {sorted(map(str, tree))}"
        tree = found[0]
    return tree


def main():
    from gv import Tally

    tally = Tally()
    for name, module, parser, values in PAGES:
        with tally.part(f"{parser} reads {name}"):
            parsed = parse(module, parser, page(name))
            wrong = [f"{'.'.join(map(str, path))}: {at(parsed, path)}, expected {value}"
                     for path, value in values.items() if at(parsed, path) != value]
            tally.check(not wrong, f"{parser} reads {name}: {len(values)} values",
                        "\n".join(wrong))
    tally.finish()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The unmodified Genie parsers read the live output of every show command for which they exist, and
what they read is alive: two reads five seconds apart differ as they must, and agree with a capture.
Commands without a parser are matched field by field with the published text."""

import importlib
import re
import struct
import time

from gv import Lab, Tally, frames

# Command, router that is asked, module and class of the parser.
GDOI = "genie.libs.parser.iosxe.show_crypto_gdoi"
CRYPTO = "genie.libs.parser.iosxe.show_crypto"
FEATURES = [
    ("ckm", "Ckm"), ("crl-check", "CrlCheck"), ("cts-sgt", "CtsSgt"), ("dp-recovery", "DpRecovery"),
    ("gdoi-interop-ack", "GdoiInteropAck"), ("gdoi-mib", "GdoiMib"), ("gikev2", "Gikev2"),
    ("gm-removal", "GmRemoval"), ("ip-d3p", "IpD3p"), ("long-sa-lifetime", "LongSaLifetime"),
    ("pfs", "Pfs"), ("policy-replace", "PolicyReplace"), ("suite-b", "SuiteB"),
]
PARSED = [
    ("show crypto gdoi", "gm1", GDOI, "ShowCryptoGdoi"),
    ("show crypto gdoi detail", "gm1", GDOI, "ShowCryptoGdoiDetail"),
    ("show crypto gdoi ks", "ks1", GDOI, "ShowCryptoGdoiKs"),
    ("show crypto gdoi ks detail", "ks1", GDOI, "ShowCryptoGdoiKsDetail"),
    # The parsers of `ks coop identifier` know no number, only `none`: not of a counter-mode group.
    ("show crypto gdoi ks coop detail", "ks1", GDOI, "ShowCryptoGdoiKsCoopDetail"),
    ("show crypto gdoi ks coop detail", "ks2", GDOI, "ShowCryptoGdoiKsCoopDetail"),
    ("show crypto gdoi ks coop version", "ks1", GDOI, "ShowCryptoGdoiKsCoopVersion"),
    ("show crypto gdoi ks policy", "ks1", GDOI, "ShowCryptoGdoiKsPolicy"),
    ("show crypto gdoi ks members", "ks1", GDOI, "ShowCryptoGdoiKsMembers"),
    ("show crypto gdoi ks members summary", "ks1", GDOI, "ShowCryptoGdoiKsMembersSummary"),
    ("show crypto gdoi ks acl", "ks1", GDOI, "ShowCryptoGdoiKsAcl"),
    ("show crypto gdoi feature", "ks1", GDOI, "ShowCryptoGdoiFeature"),
    *((f"show crypto gdoi feature {name}", "ks1", GDOI, f"ShowCryptoGdoiFeature{parser}")
      for name, parser in FEATURES),
    ("show crypto gdoi gm", "gm1", GDOI, "ShowCryptoGdoiGm"),
    ("show crypto gdoi gm rekey detail", "gm1", GDOI, "ShowCryptoGdoiGmRekeyDetail"),
    ("show crypto gdoi gm pubkey", "gm1", GDOI, "ShowCryptoGdoiGmPubkey"),
    ("show crypto gdoi rekey sa", "gm1", GDOI, "ShowCryptoGdoiRekeySa"),
    ("show crypto gdoi rekey sa detail", "gm1", GDOI, "ShowCryptoGdoiRekeySaDetail"),
    ("show crypto gdoi ipsec sa", "gm1", GDOI, "ShowCryptogdoiIpsecSa"),
    ("show crypto call admission statistics", "ks1", CRYPTO, "ShowCryptoCallAdmissionStatistics"),
    ("show crypto isakmp sa", "gm1", CRYPTO, "ShowCryptoIsakmpSa"),
    ("show crypto ipsec sa", "gm1", CRYPTO, "ShowCryptoIpsecSa"),
]

# Command, router, fields that the published text has.
FIELDS = [
    ("show crypto gdoi ks rekey", "ks1", [
        r"^Group G1 \(Unicast\)",
        r"^\s+Number of Rekeys sent\s+: \d+",
        r"^\s+Number of Rekeys retransmitted\s+: \d+",
        r"^\s+KEK rekey lifetime \(sec\)\s+: \d+",
        r"^\s+Remaining lifetime \(sec\)\s+: \d+",
        r"^\s+Retransmit period\s+: \d+",
        r"^\s+Number of retransmissions\s+: \d+",
        r"^\s+IPSec SA 1  lifetime \(sec\)\s+: \d+",
    ]),
    ("show crypto gdoi ks coop", "ks1", [
        r"^Crypto Gdoi Group Name :G1$",
        r"^\s+Group handle: \d+, Local Key Server handle: \d+$",
        r"^\s+Local Address: 10\.1\.11\.2$",
        r"^\s+Local Priority: 10$",
        r"^\s+Local KS Role: Primary   , Local KS Status: Alive$",
        r"^\s+Local KS version: \S+$",
        r"^\s+Primary Refresh Policy Time: \d+$",
        r"^\s+Remaining Time: \d+$",
        r"^\s+Antireplay Sequence Number: \d+$",
        r"^\s+Server handle: \d+$",
        r"^\s+Peer Address: 10\.1\.12\.2$",
        r"^\s+Peer Priority: 5$",
        r"^\s+Peer KS Role: Secondary , Peer KS Status: Alive$",
        r"^\s+IKE status: Established$",
        r"^\s+Ann msgs sent: \d+$",
        r"^\s+Ann msgs sent with reply request: \d+$",
        r"^\s+Ann msgs recv: \d+$",
        r"^\s+Ann msgs recv with reply request: \d+$",
        r"^\s+Packet sent drops: \d+$",
        r"^\s+Packet Recv drops: \d+$",
        r"^\s+Total bytes sent: \d+$",
        r"^\s+Total bytes recv: \d+$",
    ]),
    ("show crypto gdoi gm rekey", "gm1", [
        r"^Group G1 \(Unicast\)",
        r"^\s+Number of Rekeys received \(cumulative\)\s+: \d+",
        r"^\s+Number of Rekeys received after registration : \d+",
        r"^\s+Number of Rekey Acks sent\s+: \d+",
    ]),
    ("show crypto gdoi gm acl", "gm1", [
        r"^Group Name: G1",
        r"ACL Downloaded From KS 10\.1\.11\.2:",
        r"access-list\s+permit ip 192\.168\.0\.0 0\.0\.255\.255 192\.168\.0\.0 0\.0\.255\.255",
        r"ACL Configured Locally:",
    ]),
    ("show monitor event-trace gdoi rekey all", "gm1", [
        r"^\*?\w{3} [ \d]\d \d\d:\d\d:\d\d\.\d{3}: GDOI_REKEY_EVENT: ACK_SENT: "
        r"From 10\.1\.11\.2 to \S+ with seq no \d+ for the group G1$",
        r"^\*?\w{3} [ \d]\d \d\d:\d\d:\d\d\.\d{3}: GDOI_REKEY_EVENT: REKEY_RCVD: "
        r"From 10\.1\.11\.2 to \S+ with seq no \d+ for the group G1$",
    ]),
    ("show monitor event-trace gdoi rekey parameters", "gm1", [
        r"^Trace has 512 entries$",
        r"^Stacktrace is disabled by default$",
    ]),
]


def parse(module, name, text):
    """What the parser reads; its own schema refuses a result with a missing key."""
    from genie.conf.base import Device

    parser = getattr(importlib.import_module(module), name)
    device = Device("router", os="iosxe")
    device.custom.setdefault("abstraction", {})["order"] = ["os"]
    return parser(device=device).parse(output=text)


def leaves(tree, path=()):
    """Every leaf of a parsed tree with its path."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path, tree


def find(tree, word):
    """The numbers of all leaves of that name."""
    return [value for path, value in leaves(tree) if path[-1] == word]


def numbers(tree, word):
    """As `find`, for a value like `192` or `(192)`."""
    return [int(re.search(r"\d+", str(value)).group()) for value in find(tree, word)]


def parsers(tally, lab):
    for command, router, module, name in PARSED:
        what = f"{router}: {command}"
        if not hasattr(importlib.import_module(module), name):
            tally.skip(what, f"Genie has no parser {name}")
            continue
        with tally.part(what):
            text = lab.cli(router, command)
            try:
                parsed = parse(module, name, text)
            except Exception as error:  # noqa: BLE001 - every refusal of the parser counts
                tally.check(False, f"{what} is read by Genie", f"{error}\n{text}")
                continue
            count = sum(1 for _ in leaves(parsed))
            tally.check(count > 0, f"{what} is read by Genie: {count} values", text)


def fields(tally, lab):
    for command, router, patterns in FIELDS:
        with tally.part(command):
            text = lab.cli(router, command)
            missing = [p for p in patterns if not re.search(p, text, re.MULTILINE)]
            what = f"{router}: {command} has the {len(patterns)} fields of the published text"
            tally.check(not missing, what, f"missing {missing} in\n{text}")


def json_forms(tally, lab):
    for command, router, *_ in PARSED + FIELDS:
        with tally.part(f"{command} | json"):
            tally.check(lab.json(router, command), f"{router}: {command} | json")


def alive(tally, lab):
    """Two reads five seconds apart, with known traffic between them and a capture beside it."""
    def sa():
        return parse(CRYPTO, "ShowCryptoIpsecSa", lab.cli("gm1", "show crypto ipsec sa"))

    def policy():
        return parse(GDOI, "ShowCryptoGdoiKsPolicy", lab.cli("ks1", "show crypto gdoi ks policy"))

    capture = lab.work / "core.pcap"
    with lab.capture("core", "to-gm1", capture):
        begin = time.monotonic()
        first_sa, first_policy = sa(), policy()
        reports = lab.traffic(pps=100, seconds=2)
        time.sleep(max(0.0, 5.0 - (time.monotonic() - begin)))
        second_sa, second_policy = sa(), policy()
    sent = {report["from"]: report["sent"] for report in reports}

    def rise(word):
        return sum(find(second_sa, word)) - sum(find(first_sa, word))

    out, back = rise("pkts_encaps"), rise("pkts_decaps")
    tally.check(out == sent["h1"], f"encaps rise by what h1 sent: {out} of {sent['h1']}")
    tally.check(back == sent["h2"], f"decaps rise by what h2 sent: {back} of {sent['h2']}")
    for what, first, second, word in [
        ("ipsec sa", first_sa, second_sa, "remaining_key_lifetime"),
        ("ks policy", first_policy, second_policy, "remaining_life_secs"),
    ]:
        before, after = numbers(first, word), numbers(second, word)
        falls = [b - a for b, a in zip(before, after)]
        ok = falls and all(4 <= fall <= 6 for fall in falls)
        tally.check(ok, f"{what}: the remaining life falls by {falls} s",
                    f"{before} then {after}; have {sorted({p[-1] for p, _ in leaves(first)})}")
    on_core = esp_spis(capture)
    shown = {int(str(spi).split("(")[0], 16) for spi in find(second_sa, "current_outbound_spi")}
    tally.check(on_core and on_core == shown,
                f"the SPI shown is the capture's: {sorted(map(hex, on_core))}", f"shown {shown}")


def esp_spis(capture):
    """The SPIs of the ESP packets in a capture."""
    spis = set()
    for frame in frames(capture):
        if frame[12:14] == b"\x08\x00" and frame[23] == 50:
            spis.add(struct.unpack_from("!I", frame, 14 + (frame[14] & 15) * 4)[0])
    return spis


def main():
    tally = Tally()
    with Lab("genie", keylog=False) as lab:
        lab.wait_registered()
        lab.matrix()
        lab.cli("ks1", "crypto gdoi ks rekey")
        # The rekey has run its course: its acknowledgements are in, members send on the new key.
        time.sleep(3)
        parsers(tally, lab)
        fields(tally, lab)
        json_forms(tally, lab)
        with tally.part("two reads"):
            alive(tally, lab)
    tally.finish()


if __name__ == "__main__":
    main()

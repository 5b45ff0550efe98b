#!/usr/bin/env python3
"""tshark, given the key log, decrypts every ESP packet of a core capture, suite by suite, and the
whole registration in a run with phase-1 DOI 1 (`isakmp doi ipsec`)."""

import collections
import json
import os
import pathlib
import subprocess

from gv import SHORT, Lab, Tally

# Name, transform words, octets of ICV that tshark checks.
SUITES = [
    ("gcm-256", "esp-gcm 256"),
    ("gcm-128", "esp-gcm 128"),
    ("cbc-256-sha256", "esp-aes 256 esp-sha256-hmac"),
    ("cbc-128-sha1", "esp-aes esp-sha-hmac"),
    ("3des-sha1", "esp-3des esp-sha-hmac"),
    ("null-sha256", "esp-null esp-sha256-hmac"),
]
TRANSFORM = "esp-gcm 256"


def tshark(config, capture, display, *fields):
    """The fields of the packets that match, one row per packet."""
    words = ["tshark", "-n", "-r", str(capture), "-Y", display, "-T", "fields"]
    for field in fields:
        words += ["-e", field]
    environment = dict(os.environ, WIRESHARK_CONFIG_DIR=str(config))
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def tshark_json(config, capture, display):
    """The matching packets as tshark's JSON, repeated names kept."""
    words = ["tshark", "-n", "-r", str(capture), "-Y", display, "-T", "json", "--no-duplicate-keys"]
    environment = dict(os.environ, WIRESHARK_CONFIG_DIR=str(config))
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout)


def suite(tally, name, words):
    """One lab under one transform set: every ESP packet on the core must open."""
    with Lab("tshark", {"ks1": [(TRANSFORM, words), *SHORT]}) as lab:
        lab.wait_registered()
        capture = lab.work / "core.pcap"
        with lab.capture("core", "to-gm1", capture):
            tally.check(lab.matrix(), f"{name}: the matrix is green")
            lab.sent_on_next()
            lab.traffic(pps=200, seconds=4)
        config = lab.folder("gm1") / "keylog"
        everything = tshark(config, capture, "esp", "frame.number", "frame.protocols", "esp.spi")
        shut = [row for row in everything if "esp:ip" not in row[1] or "malformed" in row[1]]
        spis = collections.Counter(row[2] for row in everything)
        tally.check(
            everything and not shut,
            f"{name}: tshark opens {len(everything) - len(shut)} of {len(everything)} ESP packets",
            shut[:10],
        )
        tally.check(len(spis) >= 2, f"{name}: also after a rekey ({dict(spis)})")
        inner = collections.Counter(row[1].split("esp:")[1].split(":")[1] for row in everything
                                    if "esp:ip" in row[1])
        wanted = {"icmp", "tcp", "udp"}
        tally.check(wanted <= set(inner), f"{name}: inside are {dict(inner)}")
        same = tshark(config, capture, "esp", "ip.src", "ip.dst")
        differ = [row for row in same if len(set(row[0].split(","))) > 1
                  or len(set(row[1].split(","))) > 1]
        tally.check(not differ, f"{name}: outer addresses are the inner ones", differ[:10])


def names(tree, found):
    """All field names of a tree of tshark's JSON."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            found.add(key)
            names(value, found)
    elif isinstance(tree, list):
        for value in tree:
            names(value, found)
    return found


def whole_pull(tally):
    """Phase 1 with DOI 1: tshark follows phase 1 and all four messages of the registration."""
    knob = "crypto gdoi group G1\n"
    peer = "crypto isakmp peer address 10.1.11.2\n isakmp doi ipsec\n!\n"
    with Lab("tshark", {"gm1": [(knob, peer + knob)]}) as lab:
        lab.wait_registered()
        lab.lab("kill", "gm1")
        capture = lab.work / "pull.pcap"
        with lab.capture("core", "to-gm1", capture):
            lab.lab("start", "gm1")
            lab.wait_registered(["gm1"])
        config = lab.folder("gm1") / "keylog"
        phase_1 = tshark_json(config, capture, "isakmp.exchangetype == 2")
        tally.check(len(phase_1) >= 6, f"phase 1 is {len(phase_1)} messages on port 848")
        identity = [p for p in phase_1 if "isakmp.id.data.ipv4_addr" in names(p, set())
                    or any("isakmp.id.data" in n for n in names(p, set()))]
        tally.check(len(identity) >= 2, "tshark opens messages 5 and 6: the identities are read")
        pull = tshark_json(config, capture, "isakmp.exchangetype == 32")
        tally.check(len(pull) == 4, f"the registration is {len(pull)} messages")
        wanted = [("isakmp.hash", "isakmp.nonce", "isakmp.id.data"), ("isakmp.hash", "isakmp.nonce"),
                  ("isakmp.hash",), ("isakmp.hash",)]
        for number, (message, fields) in enumerate(zip(pull, wanted), 1):
            found = names(message, set())
            missing = [field for field in fields if not any(n.startswith(field) for n in found)]
            tally.check(not missing, f"tshark opens message {number} of the registration",
                        f"missing {missing}, have {sorted(found)}")


def main():
    tally = Tally()
    for name, words in SUITES:
        with tally.part(name):
            suite(tally, name, words)
    with tally.part("whole pull"):
        whole_pull(tally)
    tally.finish()


if __name__ == "__main__":
    assert pathlib.Path("/usr/bin/tshark").exists(), "tshark is missing: .ci/setup installs it"
    main()

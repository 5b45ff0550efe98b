#!/usr/bin/env python3
"""Constant two-way UDP through the lab over short-lived keys: nothing lost, reordered or duplicated
across rollovers and KEK changes, and no (key, IV) used twice. The same traffic without the group is
the control."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

from gv import GETVPN, SHORT, Lab, Tally  # noqa: E402 - the path comes first


def account(tally, what, reports, expected):
    """Every datagram arrived once and in order, and the rate was what was asked for."""
    for report in reports:
        way = f"{what}: {report['from']} > {report['to']}"
        words = ("lost", "reordered", "duplicated", "corrupted")
        figures = ", ".join(f"{report[word]} {word}" for word in words)
        clean = not any(report[word] for word in words)
        tally.check(clean, f"{way}: {report['sent']} sent, {figures}", json.dumps(report, indent=1))
        enough = report["sent"] >= 0.99 * expected
        tally.check(enough, f"{way}: {report['sent']} of {expected} datagrams were sent")
        print(f"      longest way {report['delay_us_max'] / 1000:.1f} ms, "
              f"longest pause of the sender {report['sender_pause_us_max'] / 1000:.1f} ms")


class Keys(threading.Thread):
    """Notes the KEK and TEK SPIs that the key server names, while traffic runs."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab = lab
        self.keks, self.teks = [], []
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(2):
            text = self.lab.lab("cli", "ks1", "show crypto gdoi ks policy", check=False)
            found = re.search(r"KEK POLICY.*?spi\s*:\s*0x(\w+)", text, re.DOTALL)
            if found and found.group(1) not in self.keks:
                self.keks.append(found.group(1))


def with_group(tally, arguments):
    with Lab("soak", {"ks1": SHORT}) as lab:
        lab.wait_registered()
        keys = Keys(lab)
        keys.start()
        capture = lab.work / "core.pcap"
        with lab.capture("core", "to-gm1", capture, snaplen=58):
            reports = lab.traffic(pps=arguments.pps, size=arguments.size, seconds=arguments.seconds)
        keys.over.set()
        keys.join()
        account(tally, "with the group", reports, arguments.pps * arguments.seconds)
        if any(report["lost"] for report in reports):
            counters(lab)
        rollovers(tally, lab, keys, capture, arguments.seconds)


def rollovers(tally, lab, keys, capture, seconds):
    """Keys changed as often as their lifetimes say, and no nonce was used twice."""
    logs = [str(lab.folder(member) / "keylog") for member in ("gm1", "gm2")]
    words = ["lab", "nonces", str(capture)]
    for log in logs:
        words += ["--keylog", log]
    done = subprocess.run([GETVPN, *words], capture_output=True, text=True)
    tally.check(done.returncode == 0, f"nonces: {done.stdout.strip()}", done.stderr)
    used = re.search(r"under (\d+) keys", done.stdout)
    changes = int(used.group(1)) - 1 if used else 0
    least = int(seconds / 60 * 0.8)
    tally.check(changes >= least, f"{changes} rollovers of the TEK, at least {least} expected")
    least = int(seconds / 120 * 0.8)
    kek_changes = len(keys.keks) - 1
    tally.check(kek_changes >= least, f"{kek_changes} changes of the KEK, at least {least} expected")


def counters(lab):
    """Where a lost packet may have gone: every counter of the members and of their ports."""
    for member in ("gm1", "gm2"):
        print(lab.lab("cli", member, "show crypto ipsec sa", check=False))
        print(lab.lab("cli", member, "show crypto gdoi gm dataplane counters", check=False))
    for node in ("gm1", "gm2", "core", "h1", "h2"):
        print(node, lab.run(node, ["ip", "-s", "-s", "link"]).stdout)


def without_group(tally, arguments, seconds):
    with Lab("soak", plain=True, keylog=False) as lab:
        reports = lab.traffic(pps=arguments.pps, size=arguments.size, seconds=seconds)
        account(tally, "without the group", reports, arguments.pps * seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--pps", type=int, default=20_000, help="packets per second, each way")
    parser.add_argument("--size", type=int, default=200, help="octets of UDP payload")
    parser.add_argument("--control-seconds", type=int, help="default: as --seconds")
    arguments = parser.parse_args()
    tally = Tally()
    begin = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{begin}: {arguments.pps} packets/s of {arguments.size} octets each way")
    with tally.part("without the group"):
        without_group(tally, arguments, arguments.control_seconds or arguments.seconds)
    with tally.part("with the group"):
        with_group(tally, arguments)
    tally.finish()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""No (key, IV) is used twice: over rekeys, deaths of members and of the key server, in every suite
with an IV. The judge is `getvpn lab nonces` over captures of the core and the key logs."""

import subprocess

from gv import GETVPN, SHORT, Lab, Tally

TRANSFORM = "esp-gcm 256"
SUITES = ["esp-gcm 256", "esp-gmac 128", "esp-aes 256 esp-sha256-hmac", "esp-3des esp-sha-hmac"]


def suite(tally, words):
    with Lab("nonces", {"ks1": [(TRANSFORM, words), *SHORT]}) as lab:
        lab.wait_registered()
        captures = [lab.work / f"{port}.pcap" for port in ("to-gm1", "to-gm2")]
        with lab.capture("core", "to-gm1", captures[0], 96), \
                lab.capture("core", "to-gm2", captures[1], 96):
            lab.traffic(pps=2000, seconds=1)
            for router in ("gm1", "gm2", "ks1"):
                lab.lab("kill", router)
                lab.lab("start", router)
                lab.wait_registered()
                lab.traffic(pps=2000, seconds=1)
            lab.sent_on_next()
            lab.traffic(pps=2000, seconds=2)
            lab.cli("gm1", "clear crypto gdoi")
            lab.wait_registered()
            lab.traffic(pps=2000, seconds=1)
        arguments = ["lab", "nonces", *map(str, captures)]
        for member in ("gm1", "gm2"):
            arguments += ["--keylog", str(lab.folder(member) / "keylog")]
        done = subprocess.run([GETVPN, *arguments], capture_output=True, text=True)
        what = f"{words}: {done.stdout.strip()}"
        tally.check(done.returncode == 0, what, done.stderr)


def main():
    tally = Tally()
    for words in SUITES:
        with tally.part(words):
            suite(tally, words)
    tally.finish()


if __name__ == "__main__":
    main()

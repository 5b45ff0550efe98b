#!/usr/bin/env python3
"""ike-scan, a prober of IKE: it gets a handshake from our key server with DOI IPSEC and GDOI, a
notification for what is not offered, and silence for aggressive mode."""

import shutil
import sys

from gv import Lab, Tally, need_root

KS1 = "10.1.11.2"
GOOD = "--trans=(1=7,14=256,2=4,3=1,4=19)"


def scan(lab, *words):
    base = ["ike-scan", "--sport=500", "--dport=848", "--retry=1", "--timeout=1000"]
    return lab.run("ks2", [*base, *words, KS1], timeout=30).stdout


def main():
    tally = Tally()
    need_root(tally)
    if not shutil.which("ike-scan"):
        tally.skip("everything", "needs ike-scan")
        print("0 passed, 0 failed")
        sys.exit(0)
    with tally.part("ike-scan"), Lab("scan", keylog=False) as lab:
        lab.lab("kill", "ks2")
        for doi in ([], ["--doi=2", "--situation=0"]):
            said = scan(lab, GOOD, *doi)
            ok = "Main Mode Handshake returned" in said and "Group=19" in said
            tally.check(ok, f"a handshake with {' '.join(doi) or 'DOI 1'}", said)
        said = scan(lab)
        tally.check("NO-PROPOSAL-CHOSEN" in said, "a notification for unknown proposals", said)
        said = scan(lab, "--aggressive", "--id=probe")
        silent = "0 returned handshake; 0 returned notify" in said
        tally.check(silent, "silence for aggressive mode", said)
        log = (lab.folder("ks1") / "log").read_text()
        tally.check("IKMP_AGGRESSIVE_MODE" in log, "which the key server reports", log)
    tally.finish()


if __name__ == "__main__":
    main()

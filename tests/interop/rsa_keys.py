#!/usr/bin/env python3
"""The rekey key is carried from the first key server to the second by hand, as where keys are not
synchronised: out under a passphrase, through OpenSSL in both directions, in again. When the first
key server is dead, members believe the rekeys of the second."""

import re
import shutil
import subprocess
import time

from gv import GETVPN, Lab, Tally, openssl, until

PASSPHRASE = "correct-horse-battery"
NO_SYNC = [("  redundancy\n", "  redundancy\n   no key sync\n")]


def console(lab, router, lines):
    """What a session of these lines says."""
    words = [GETVPN, "lab", "--name", lab.name, "cli", router]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def refusal(lab, router, command):
    """What a command is refused with."""
    words = [GETVPN, "lab", "--name", lab.name, "cli", router, command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode != 0 else ""


def keys(lab, router):
    """The public halves of a router's keys by label."""
    view = lab.json(router, "show crypto key mypubkey rsa")
    return {key["label"]: "".join("".join(key["key_data"]).split()) for key in view["keys"]}


def log(lab, router):
    return (lab.folder(router) / "log").read_text()


def export(tally, lab):
    """A new key leaves ks1; what cannot leave is refused by name. Returns the text."""
    words = refusal(lab, "ks1", f"crypto key export rsa get pem terminal aes {PASSPHRASE}")
    tally.check("not exportable" in words, "a key that is not exportable stays", words)
    lab.cli("ks1", "crypto key generate rsa label shared modulus 3072 exportable")
    tally.check(until(lambda: "shared" in keys(lab, "ks1"), 30), "an exportable key is made")
    texts = {}
    for cipher in ("3des", "aes"):
        text = lab.cli("ks1", f"crypto key export rsa shared pem terminal {cipher} {PASSPHRASE}")
        public = openssl("pkey", "-passin", f"pass:{PASSPHRASE}", "-pubout", data=text)
        der = openssl("pkey", "-pubin", "-text", "-noout", data=public)
        shown = keys(lab, "ks1")["shared"].lower()
        modulus = "".join(re.findall(r"^ {4}([0-9a-f:]+)$", der, re.MULTILINE)).replace(":", "")
        ok = len(modulus) > 700 and modulus.lstrip("0") in shown
        what = f"openssl reads the key under {cipher}: {len(modulus) * 4} bits"
        tally.check(ok, what, der or text)
        wrong = openssl("pkey", "-passin", "pass:another-horse", "-pubout", data=text)
        tally.check(not wrong, f"and not with another passphrase under {cipher}")
        texts[cipher] = text
    return texts["aes"]


def carry(tally, lab, text):
    """ks2 takes the key from a file that OpenSSL wrote as routers do, and by the console."""
    phrase = f"pass:{PASSPHRASE}"
    written = openssl("rsa", "-passin", phrase, "-des3", "-traditional", "-passout", phrase,
                      data=text)
    tally.check("Proc-Type: 4,ENCRYPTED" in written, "openssl writes the older form", written)
    folder = lab.folder("ks2") / "state"
    if not folder.is_dir():
        folder = lab.folder("ks2")
    (folder / "keys").mkdir(mode=0o700, exist_ok=True)
    (folder / "keys" / "older.pem").write_text(written)
    lab.cli("ks2", f"crypto key import rsa shared pem url older.pem {PASSPHRASE}")
    same = until(lambda: keys(lab, "ks2").get("shared") == keys(lab, "ks1")["shared"], 10)
    tally.check(same, "ks2 has the key of ks1, read from a file of openssl's", keys(lab, "ks2"))
    newer = openssl("pkcs8", "-topk8", "-passin", phrase, "-v2", "aes-256-cbc", "-passout", phrase,
                    data=text)
    said = console(lab, "ks2", [f"crypto key import rsa pasted pem terminal {PASSPHRASE}", "",
                                *newer.splitlines(), "quit", "exit"])
    tally.check("% Key pair import succeeded." in said, "a pasted key is taken", said)
    tally.check(keys(lab, "ks2").get("pasted") == keys(lab, "ks1")["shared"], "and is the same")
    said = console(lab, "ks2", ["crypto key import rsa other pem terminal wrong-horse-battery", "",
                                *newer.splitlines(), "quit", "exit"])
    tally.check("wrong passphrase" in said, "a wrong passphrase is named", said)
    said = console(lab, "ks2", ["crypto key zeroize rsa pasted", "yes", "exit"])
    tally.check("pasted" not in keys(lab, "ks2"), "a key that nobody signs with is zeroized", said)


def nothing_leaks(tally, lab, text):
    """Neither passphrase nor private key is in a log."""
    lines = [line for line in text.splitlines() if len(line) == 64][12:16]
    for router in ("ks1", "ks2"):
        said = log(lab, router) + lab.cli(router, "show logging")
        said += lab.cli(router, "show monitor event-trace gdoi merged all detail")
        said += lab.cli(router, "show running-config")
        found = [word for word in (PASSPHRASE, *lines) if word in said]
        tally.check(not found, f"{router}: no passphrase and no key in logs, traces, configuration")
        named = "RSA_KEY_EXPORTED" if router == "ks1" else "RSA_KEY_IMPORTED"
        tally.check(named in said, f"{router}: the log has {named}")


def failover(tally, lab):
    """Both sign with the carried key; then the primary dies."""
    for server in ("ks1", "ks2"):
        said = console(lab, server, ["configure terminal", "crypto gdoi group G1", "server local",
                                     "rekey authentication mypubkey rsa shared", "end", "exit"])
        ok = "% Nothing of the block" not in said
        tally.check(ok, f"{server} signs with the carried key", said)
    said = log(lab, "ks2")
    tally.check("COOP_REKEY_KEY_MISMATCH" in said, "before, the servers' keys were said to differ")
    time.sleep(3)
    lab.cli("ks1", "crypto gdoi ks rekey")
    time.sleep(3)
    before = received(lab)
    lab.lab("kill", "ks1")
    lab.rekey(seconds=120)
    more = until(lambda: all(now > was for now, was in zip(received(lab), before)), 20)
    tally.check(more, "both members took a rekey of the second key server", (before, received(lab)))
    refused = [gm for gm in ("gm1", "gm2") if "GDOI_REKEY_FAILURE" in log(lab, gm)]
    tally.check(not refused, "and refused none", refused)
    tally.check(lab.matrix(), "hosts reach each other")


def received(lab):
    views = [lab.json(gm, "show crypto gdoi gm") for gm in ("gm1", "gm2")]
    return [view["members"][0]["rekeys_received"] for view in views]


def main():
    tally = Tally()
    if shutil.which("openssl") is None:
        tally.skip("everything", "there is no openssl program")
        print("0 passed, 0 failed")
        return
    with Lab("rsakeys", edits={"ks1": NO_SYNC, "ks2": NO_SYNC}, keylog=False) as lab:
        lab.wait_registered()
        text = export(tally, lab)
        with tally.part("to ks2"):
            carry(tally, lab, text)
        with tally.part("leaks"):
            nothing_leaks(tally, lab, text)
        with tally.part("failover"):
            failover(tally, lab)
    tally.finish()


if __name__ == "__main__":
    main()

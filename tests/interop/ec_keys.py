#!/usr/bin/env python3
"""Rekeys that EC keys sign, in a live lab: from the start on P-256, then on each other curve and on
RSA while the group runs, and by the second key server when the first is dead. OpenSSL reads the
public key that members were given, and the private key that a key server exports."""

import shutil
import subprocess
import time

from gv import Lab, Tally, openssl, until

PASSPHRASE = "correct-horse-battery"
NAMED = [("rekey authentication mypubkey rsa get", "rekey authentication mypubkey ec get")]
MEMBERS = ("gm1", "gm2")


def configure(lab, router, *lines):
    """A session of configuration in the group."""
    words = "\n".join(["configure terminal", "crypto gdoi group G1", "server local", *lines,
                       "end", "exit", ""])
    return subprocess.run([*lab_cli(lab), router], input=words, capture_output=True, text=True,
                          timeout=60).stdout


def lab_cli(lab):
    return [lab.program, "lab", "--name", lab.name, "cli"]


def log(lab, router):
    return (lab.folder(router) / "log").read_text()


def member(lab, gm):
    return lab.json(gm, "show crypto gdoi detail")["members"][0]


def rekeyed(lab, seconds=20):
    """Orders a rekey; whether every member takes it."""
    before = {gm: member(lab, gm)["rekeys_received"] for gm in MEMBERS}
    lab.rekey(seconds=120)
    return until(lambda: all(member(lab, gm)["rekeys_received"] > was
                             for gm, was in before.items()), seconds)


def algorithm(lab, gm):
    return (member(lab, gm)["kek"] or {}).get("sig_algorithm")


def given(tally, lab, curve, bits):
    """The members' public key is one that OpenSSL knows to be of that curve."""
    for gm in MEMBERS:
        view = lab.json(gm, "show crypto gdoi gm pubkey")["groups"][0]
        der = bytes.fromhex("".join("".join(view["key_data"]).split()))
        text = openssl("pkey", "-pubin", "-inform", "DER", "-text", "-noout", data=der)
        ok = f"ASN1 OID: {curve}" in text and (view["key_type"], view["key_bits"]) == ("EC", bits)
        tally.check(ok, f"{gm} was given a key that openssl says is of {curve}", text or view)


def from_the_start(tally, lab):
    """Nothing but EC keys: the lab made one for each key server, and the primary's won."""
    def keys(router):
        return lab.json(router, "show crypto key mypubkey ec")["keys"]

    tally.check(until(lambda: keys("ks1") and keys("ks1") == keys("ks2"), 30),
                "both key servers have the primary's EC key", keys("ks2"))
    tally.check(rekeyed(lab), "both members take a rekey")
    names = {algorithm(lab, gm) for gm in MEMBERS}
    tally.check(names == {"SIG_ALG_ECDSA_256"}, "and name ECDSA on P-256", names)
    for server in ("ks1", "ks2"):
        text = lab.cli(server, "show crypto gdoi ks policy")
        tally.check("SIG_ALG_ECDSA_256" in text, f"{server} names it, too", text)
    given(tally, lab, "prime256v1", 256)
    tally.check(lab.matrix(), "hosts reach each other")


def while_it_runs(tally, lab):
    """Each other curve, then RSA, then P-256 again."""
    lab.cli("ks1", "crypto key generate ec keysize 384 label p384 exportable")
    lab.cli("ks1", "crypto key generate ec keysize 521 label p521 exportable")
    lab.cli("ks1", "crypto key generate rsa label rsa modulus 2048 exportable")
    made = lambda: len(lab.json("ks1", "show crypto key mypubkey all")["keys"]) == 4  # noqa: E731
    tally.check(until(made, 30), "keys of both kinds are made")
    for words, name, curve, bits in (
        ("ec p384", "SIG_ALG_ECDSA_384", "secp384r1", 384),
        ("ec p521", "SIG_ALG_ECDSA_521", "secp521r1", 521),
        ("rsa rsa", "SIG_ALG_RSA", None, None),
        ("ec get", "SIG_ALG_ECDSA_256", "prime256v1", 256),
    ):
        said = [configure(lab, server, f"rekey authentication mypubkey {words}")
                for server in ("ks1", "ks2")]
        changed = until(lambda: all(algorithm(lab, gm) == name for gm in MEMBERS), 3)
        if not changed:
            # Members name what the last rekey came under; one more comes under the new one.
            rekeyed(lab)
            changed = all(algorithm(lab, gm) == name for gm in MEMBERS)
        tally.check(changed, f"members are rekeyed with {name}", said)
        tally.check(rekeyed(lab), "and take the next one")
        if curve:
            given(tally, lab, curve, bits)
    for gm in MEMBERS:
        view = member(lab, gm)
        tally.check(not view["refusals"], f"{gm} refused no rekey", view["refusals"])
        once = view["registrations_succeeded"] == 1
        tally.check(once, f"{gm} registered once", view["registrations_succeeded"])


def carried(tally, lab):
    """What is exported is what openssl reads."""
    text = lab.cli("ks1", f"crypto key export ec p521 pem terminal aes {PASSPHRASE}")
    said = openssl("pkey", "-passin", f"pass:{PASSPHRASE}", "-text", "-noout", data=text)
    tally.check("ASN1 OID: secp521r1" in said, "openssl reads an exported EC key", said or text)
    keys = lab.json("ks2", "show crypto key mypubkey ec")["keys"]
    labels = {key["label"] for key in keys}
    tally.check({"get", "p384", "p521"} <= labels, "ks2 was given each key that the group used",
                labels)


def failover(tally, lab):
    """The first key server dies; the second signs with the key that it was given."""
    time.sleep(3)
    lab.lab("kill", "ks1")
    tally.check(rekeyed(lab), "members take a rekey of the second key server")
    refused = [gm for gm in MEMBERS if "GDOI_REKEY_FAILURE" in log(lab, gm)]
    tally.check(not refused, "and refused none", refused)
    names = {algorithm(lab, gm) for gm in MEMBERS}
    tally.check(names == {"SIG_ALG_ECDSA_256"}, "signed with ECDSA on P-256", names)
    tally.check(lab.matrix(), "hosts reach each other")


def main():
    tally = Tally()
    if shutil.which("openssl") is None:
        tally.skip("everything", "there is no openssl program")
        print("0 passed, 0 failed")
        return
    with Lab("eckeys", edits={"ks1": NAMED, "ks2": NAMED}, keylog=False) as lab:
        lab.wait_registered()
        for name, part in (("from the start", from_the_start), ("while it runs", while_it_runs),
                           ("carried", carried), ("failover", failover)):
            with tally.part(name):
                part(tally, lab)
    tally.finish()


if __name__ == "__main__":
    main()

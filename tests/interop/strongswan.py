#!/usr/bin/env python3
"""strongSwan, an independent IKEv1: as initiator against our key server and as responder to our
member, groups 14 and 19; another key, no common proposal and malformed payloads get their clear
message. It stands in the place of ks2.

strongSwan puts a marker before IKE when neither port is 500, so it keeps port 500 and its
namespace moves what is for 848 there."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys

from gv import Lab, Tally, inside, need_root, udp_socket, until

CHARON = pathlib.Path("/usr/lib/ipsec/charon")
KS1, SWAN, GM1 = "10.1.11.2", "10.1.12.2", "10.1.20.2"
GROUPS = {14: "modp2048", 19: "ecp256"}

CHARON_CONF = """
charon {
  port = 500
  port_nat_t = 4500
  load = aes des sha1 sha2 hmac gmp openssl random nonce kdf kernel-netlink socket-default vici
  install_routes = no
  retransmit_tries = 2
  filelog {
    stderr {
      default = 1
      flush_line = yes
    }
  }
  plugins {
    vici {
      socket = unix://WORK/vici
    }
  }
}
"""

SWANCTL_CONF = """
connections {
  gv {
    version = 1
    local_addrs = 10.1.12.2
    remote_addrs = PEER
    local_port = 500
    remote_port = 848
    proposals = aes256-sha256-DH
    local {
      auth = psk
      id = 10.1.12.2
    }
    remote {
      auth = psk
      id = PEER
    }
  }
}
secrets {
  ike-gv {
    id-1 = 10.1.12.2
    id-2 = PEER
    secret = "KEY"
  }
}
"""

REDIRECT = (
    "add table ip ike",
    "add chain ip ike in { type nat hook prerouting priority -100 ; }",
    "add rule ip ike in udp dport 848 redirect to :500",
)

# What the routers of the guide do not have: a second group.
SECOND_POLICY = (
    " lifetime 86400\n",
    " lifetime 86400\ncrypto isakmp policy 20\n encr aes 256\n hash sha256\n"
    " authentication pre-share\n group 14\n lifetime 3600\n",
)


class Charon:
    """strongSwan in the place of ks2, with its own configuration folder and /run."""

    def __init__(self, lab, peer, group, key):
        self.lab = lab
        self.work = lab.work / "charon"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        (self.work / "charon.conf").write_text(CHARON_CONF.replace("WORK", str(self.work)))
        text = SWANCTL_CONF.replace("PEER", peer).replace("DH", GROUPS[group])
        (self.work / "swanctl.conf").write_text(text.replace("KEY", key))
        self.process = None

    def __enter__(self):
        script = f"mount -t tmpfs tmpfs /run && exec {CHARON}"
        words = ["env", f"STRONGSWAN_CONF={self.work}/charon.conf", "unshare", "-m", "sh", "-c", script]
        self.log = open(self.work / "log", "w")
        self.process = self.lab.popen("ks2", words, stdout=self.log, stderr=self.log)
        if not until((self.work / "vici").exists, 10):
            raise RuntimeError(f"charon does not start\n{self.said()}")
        loaded = self.swanctl("--load-all", "--file", f"{self.work}/swanctl.conf")
        if loaded.returncode != 0:
            raise RuntimeError(loaded.stdout + loaded.stderr)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()
        self.log.close()

    def swanctl(self, *words):
        env = ["env", f"STRONGSWAN_CONF={self.work}/charon.conf", f"SWANCTL_DIR={self.work}"]
        uri = f"unix://{self.work}/vici"
        return self.lab.run("ks2", [*env, "swanctl", *words, "--uri", uri], timeout=60)

    def initiate(self):
        return self.swanctl("--initiate", "--ike", "gv", "--timeout", "5")

    def sas(self):
        return self.swanctl("--list-sas").stdout

    def established(self):
        return "ESTABLISHED, IKEv1" in self.sas()

    def said(self):
        return (self.work / "log").read_text()[-3000:]


def preshared_key(router, peer):
    """The key of the lab's configuration."""
    text = (pathlib.Path(__file__).parents[2] / "topologies/guide" / f"{router}.cfg").read_text()
    return re.search(rf"crypto isakmp key (\S+) address {re.escape(peer)}", text)[1]


def log(lab, router):
    return (lab.folder(router) / "log").read_text()


def said(lab, router, mnemonic):
    """The lines of a router's log with that mnemonic."""
    return [line for line in log(lab, router).splitlines() if mnemonic in line]


# The line that makes ks2 a cooperating key server.
PEER = ("   peer address ipv4 10.1.12.2\n", "")


@contextlib.contextmanager
def lab_for(router, edits=()):
    """A lab whose ks2 is strongSwan's place, and whose router offers both groups."""
    # A key server that looks for its peer would negotiate with strongSwan all the time.
    alone = [PEER] if router == "ks1" else []
    lab = Lab("swan", {router: [SECOND_POLICY, *alone, *edits]}, keylog=False)
    with lab:
        lab.lab("kill", "ks2")
        done = lab.run("ks2", ["nft", "; ".join(REDIRECT)])
        if done.returncode != 0:
            raise RuntimeError(f"nft: {done.stderr}")
        yield lab


def initiator(tally):
    key = preshared_key("ks1", SWAN)
    with lab_for("ks1") as lab:
        for group in GROUPS:
            with Charon(lab, KS1, group, key) as charon:
                begun = charon.initiate()
                tally.check(
                    charon.established(),
                    f"strongSwan as initiator, group {group}: ESTABLISHED",
                    begun.stdout + charon.said() + log(lab, "ks1"),
                )
                shown = lab.cli("ks1", "show crypto isakmp sa")
                row = rf"{re.escape(KS1)}\s+{re.escape(SWAN)}\s+GDOI_IDLE\s+\d+\s+ACTIVE"
                tally.check(re.search(row, shown), f"group {group}: the key server shows it", shown)
                charon.swanctl("--terminate", "--ike", "gv")
                gone = until(lambda: SWAN not in lab.cli("ks1", "show crypto isakmp sa"), 5)
                tally.check(gone, f"group {group}: strongSwan's Delete ends it")
        with Charon(lab, KS1, 19, "another key altogether") as charon:
            charon.initiate()
            lines = said(lab, "ks1", "IKMP_BAD_MESSAGE")
            ok = any(SWAN in line and "pre-shared keys differ" in line for line in lines)
            tally.check(ok, "another pre-shared key is named", log(lab, "ks1"))
            tally.check(not charon.established(), "and nothing is established")
        proposal(tally, lab, key)
        malformed(tally, lab)


def proposal(tally, lab, key):
    with Charon(lab, KS1, 19, key) as charon:
        path = charon.work / "swanctl.conf"
        path.write_text(path.read_text().replace("aes256-sha256-ecp256", "3des-sha1-modp1024"))
        charon.swanctl("--load-all", "--file", str(path))
        begun = charon.initiate()
        lines = said(lab, "ks1", "IKMP_NO_PROPOSAL_CHOSEN")
        ok = any(SWAN in line and "encr 3des hash sha group 2" in line for line in lines)
        tally.check(ok, "an unknown proposal is named with its algorithms", log(lab, "ks1"))
        told = "NO_PROPOSAL_CHOSEN" in begun.stdout + begun.stderr + charon.said()
        tally.check(told, "and strongSwan is told", begun.stdout)


def malformed(tally, lab):
    """A first message whose SA payload is cut short."""
    payload = struct.pack("!BBHII", 0, 0, 12, 2, 0)
    header = os.urandom(8) + bytes(8) + struct.pack("!BBBBII", 1, 0x10, 2, 0, 0, 28 + len(payload))
    with inside(lab, "ks2"):
        sender = udp_socket(SWAN, 500)
        sender.sendto(header + payload, (KS1, 848))
        sender.settimeout(0.5)
        try:
            answer = sender.recv(2048)
        except TimeoutError:
            answer = b""
        sender.close()
    lines = until(lambda: said(lab, "ks1", "SA payload"), 2)
    tally.check(lines, "a malformed SA payload is named", log(lab, "ks1"))
    tally.check(not answer, "and nothing is answered", answer.hex())


def responder(tally):
    key = preshared_key("gm1", SWAN)
    only = (f" server address ipv4 {KS1}\n", "")
    knob = ("crypto gdoi group G1", f"crypto isakmp peer address {SWAN}\n isakmp doi ipsec\n!\ncrypto gdoi group G1")
    for group in GROUPS:
        for doi, edits in (("GDOI", [only]), ("IPSEC", [only, knob])):
            with tally.part(f"responder, group {group}, DOI {doi}"):
                answer(tally, key, group, doi, edits)
    with lab_for("gm1", [only]) as lab, Charon(lab, GM1, 19, "another key altogether"):
        line = until(lambda: said(lab, "gm1", "most likely the pre-shared keys differ"), 40)
        tally.check(line, "our member names another pre-shared key", log(lab, "gm1"))


def answer(tally, key, group, doi, edits):
    with lab_for("gm1", edits) as lab, Charon(lab, GM1, group, key) as charon:
        up = until(charon.established, 40)
        tally.check(
            up,
            f"strongSwan as responder, group {group}, DOI {doi}: ESTABLISHED",
            charon.said() + log(lab, "gm1"),
        )


def main():
    tally = Tally()
    need_root(tally)
    if not CHARON.exists() or not shutil.which("swanctl"):
        tally.skip("everything", "needs strongswan-charon, strongswan-swanctl")
        print("0 passed, 0 failed")
        sys.exit(0)
    for part in (initiator, responder):
        with tally.part(part.__name__):
            part(tally)
    tally.finish()


if __name__ == "__main__":
    main()

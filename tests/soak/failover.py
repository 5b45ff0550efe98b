#!/usr/bin/env python3
"""The group under traffic while its key servers die, are split and rekey in every way: nothing is
lost. Keys live ten seconds. Each event has its own stretch of constant traffic both ways, with the
event at a random moment in it; what a run did is told by the last lines."""

import argparse
import contextlib
import pathlib
import random
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

from gv import (  # noqa: E402 - the path comes first
    GETVPN, Fault, Lab, Load, Tally, in_memory, until,
)

SERVERS = ("ks1", "ks2")
# Lives of ten seconds for traffic keys, which only tests may ask for.
LIVES = [
    ("!\nhostname KS", "!\nservice internal\nhostname KS"),
    ("set security-association lifetime seconds 3600",
     "set security-association lifetime seconds 10"),
    ("rekey lifetime seconds 7200", "rekey lifetime seconds 20"),
]
# Two periods of keys are made ahead: so long key servers may be apart without a loss.
LOOK_AHEAD = 2 * 10 - 2
# Where rekeys go while they are multicast.
GROUP = "239.10.1.1"
# A new primary is there within this time (with keepalives).
TAKEOVER_MAX = 5.0


class Run:
    """One lab, and what became of it."""

    def __init__(self, lab, tally, arguments):
        self.lab, self.tally, self.arguments = lab, tally, arguments
        self.dice = random.Random(arguments.seed)
        self.sent = 0
        self.wrong = {}
        self.takeovers = []

    def coop(self, server):
        """The cooperation as a key server shows it; nothing while it does not answer."""
        try:
            return self.lab.json(server, "show crypto gdoi ks coop")["groups"][0]["coop"]
        except (Fault, KeyError, IndexError, ValueError):
            return None

    def role(self, server):
        """Its role in a word."""
        coop = self.coop(server)
        return coop["local_role"] if coop else "Unknown"

    def primary(self):
        """The only primary, once there is one and the other follows it."""
        def found():
            roles = {server: self.role(server) for server in SERVERS}
            leads = [server for server, role in roles.items() if role == "Primary"]
            follows = [server for server, role in roles.items() if role == "Secondary"]
            return leads[0] if len(leads) == 1 and len(follows) == 1 else None
        leader = until(found, 30)
        if not leader:
            raise Fault("the key servers do not agree on a primary within 30 s")
        return leader

    def whole(self, server):
        """Whether a key server holds everything and its peer has acknowledged everything."""
        coop = self.coop(server)
        return bool(coop and coop["is_complete"] and coop["acknowledged_periods"] >= 2)

    def settle(self):
        """Both hold all keys ahead."""
        leader = self.primary()
        if not until(lambda: all(self.whole(server) for server in SERVERS), 30):
            raise Fault("the key servers do not hold two periods of keys ahead within 30 s")
        return leader

    def stretch(self, what, seconds, event):
        """An event under traffic; the traffic lasts `seconds`."""
        leader = self.settle()
        load = Load(self.lab, self.arguments.pps, seconds)
        load.start()
        time.sleep(0.5)
        began = time.monotonic()
        said = event(leader)
        took = time.monotonic() - began
        sent, wrong = load.judge()
        self.sent += sent
        for word, count in wrong.items():
            self.wrong[word] = self.wrong.get(word, 0) + count
        figures = ", ".join(f"{count} {word}" for word, count in wrong.items())
        ok = not any(wrong.values()) and sent > 0
        self.tally.check(ok, f"{what}: {said}, {took:.1f} s; {sent} sent, {figures}",
                         self.logs() if not ok else "")

    def logs(self):
        """The ends of all logs, for whoever looks for the reason."""
        ends = []
        for router in ("ks1", "ks2", "gm1", "gm2"):
            lines = (self.lab.folder(router) / "log").read_text().splitlines()[-10:]
            ends += [f"{router}: {line}" for line in lines]
        return "\n".join(ends)

    def nap(self, most):
        """A random moment."""
        time.sleep(self.dice.uniform(0, most))

    # ------------------------------------------------------------ events

    def kill(self, leader):
        """The primary dies, half of the time within a rekey; another one leads; it comes back."""
        other = next(server for server in SERVERS if server != leader)
        inside = self.dice.random() < 0.5
        self.nap(1.0)
        if inside:
            self.order(leader)
            self.nap(0.05)
        self.lab.lab("kill", leader)
        died = time.monotonic()
        leads = until(lambda: self.role(other) == "Primary", 10, every=0.02)
        took = time.monotonic() - died
        self.takeovers.append(took)
        self.tally.check(leads and took <= TAKEOVER_MAX, f"{other} leads {took:.2f} s after")
        self.nap(1.0)
        self.lab.lab("start", leader)
        return f"{leader} killed{' inside a rekey' if inside else ''}"

    def split(self, leader):
        """The key servers do not hear each other for a while."""
        span = self.dice.uniform(1, self.arguments.split_max)
        self.lab.lab("cut", *SERVERS)
        time.sleep(span)
        self.lab.lab("heal", *SERVERS)
        merged = until(lambda: sorted(map(self.role, SERVERS)) == ["Primary", "Secondary"], 10)
        self.tally.check(merged, f"one primary after a split of {span:.1f} s (before: {leader})")
        return f"split for {span:.1f} s"

    def order(self, leader):
        """`crypto gdoi ks rekey`."""
        self.lab.cli(leader, "crypto gdoi ks rekey")

    def by_command(self, leader):
        """An operator's rekey, and its key is sent on."""
        before = self.lab.tek_spis(leader)
        self.nap(1.0)
        self.order(leader)
        fresh = until(lambda: set(self.lab.tek_spis(leader)) - set(before), 5)
        self.tally.check(fresh, "an operator's rekey brings a new key")
        return "rekey by command"

    def by_schedule(self, leader):
        """Nobody does anything for longer than a key lives."""
        before = self.lab.tek_spis(leader)
        time.sleep(11)
        # A rekey before this one may have put the next period off by its own length.
        fresh = until(lambda: set(self.lab.tek_spis(leader)) - set(before), 5)
        self.tally.check(fresh, "a new key came by itself")
        return "scheduled rekey"

    def kek_spi(self):
        """The Rekey SA that the primary shows first."""
        text = self.lab.cli(self.primary(), "show crypto gdoi ks policy")
        return text.split("KEK POLICY")[1].split("0x")[1].split()[0]

    def kek(self, leader):
        """A whole life of a KEK: a new one comes by itself."""
        before = self.kek_spi()
        changed = until(lambda: self.kek_spi() != before, 21, every=0.5)
        self.tally.check(changed, "a new KEK came")
        return "KEK change"

    def configure(self, server, lines):
        """Lines of configuration, typed at a key server."""
        words = [GETVPN, "lab", "--name", self.lab.name, "cli", server]
        typed = "\n".join(["configure terminal", *lines, "end"]) + "\n"
        subprocess.run(words, input=typed, capture_output=True, text=True, timeout=20, check=True)

    def member(self, name):
        """What a member shows of its membership."""
        return self.lab.json(name, "show crypto gdoi")["members"][0]

    def by_multicast(self, leader):
        """Rekeys become multicast, one is ordered, and they become unicast again; the primary
        changes last."""
        servers = sorted(SERVERS, key=lambda server: server == leader)
        where = {"ks1": "10.1.11.2", "ks2": "10.1.12.2"}
        for server in servers:
            entry = f"permit udp host {where[server]} eq 848 host {GROUP} eq 848"
            self.configure(server, [f"access-list 150 {entry}", "crypto gdoi group G1",
                                    "server local", "rekey address ipv4 150",
                                    "no rekey transport unicast"])
        def all_are(word):
            return all(self.member(name)["transport"] == word for name in ("gm1", "gm2"))
        there = until(lambda: all_are("Multicast"), 5)
        def heard():
            return [(self.lab.folder(name) / "log").read_text().count(f"to {GROUP} with seq")
                    for name in ("gm1", "gm2")]
        before = heard()
        self.by_command(leader)
        came = until(lambda: all(new > old for new, old in zip(heard(), before)), 5)
        for server in servers:
            self.configure(server, ["crypto gdoi group G1", "server local",
                                    "rekey transport unicast"])
        back = until(lambda: all_are("Unicast"), 5)
        self.tally.check(there and came and back, "both members got a rekey by multicast",
                         f"{there} {came} {back}\n{self.logs()}")
        return "rekey by multicast"

    def policy(self, leader):
        """A line of the policy comes or goes on all key servers, the primary last."""
        servers = sorted(SERVERS, key=lambda server: server == leader)
        # Who was killed is back with its startup-config: what the primary runs decides.
        running = self.lab.cli(leader, "show running-config")
        wanted = "permit ip host 10.9.9.9" not in running
        word = "" if wanted else "no "
        lines = ["ip access-list extended ENCPOL",
                 f" {word}permit ip host 10.9.9.9 host 10.9.9.8"]
        for server in servers:
            self.configure(server, lines)
        def followed(member):
            text = self.lab.cli(member, "show crypto gdoi gm acl")
            return ("10.9.9.9" in text) == wanted
        known = until(lambda: all(map(followed, ("gm1", "gm2"))), 25)
        self.tally.check(known, "all members follow the new policy")
        return "policy change"

    def medley(self, leader):
        """One rekey of each kind: those that are ordered in any order, then what comes by itself."""
        kinds = [self.by_command, self.policy, self.by_multicast]
        self.dice.shuffle(kinds)
        said = []
        for kind in kinds:
            self.nap(1.0)
            said.append(kind(leader))
        # A change of the transport has brought a new KEK already.
        before = self.kek_spi()
        said.append(self.by_schedule(leader))
        changed = until(lambda: self.kek_spi() != before, 21, every=0.5)
        self.tally.check(changed, "a new KEK came")
        return ", ".join([*said, "KEK change"])


def beyond(run):
    """A split longer than the look-ahead: at most a second is lost for each pair, and it is said."""
    span = LOOK_AHEAD + 14
    run.settle()
    load = Load(run.lab, run.arguments.pps, span + 14)
    load.start()
    run.lab.lab("cut", *SERVERS)
    time.sleep(span)
    run.lab.lab("heal", *SERVERS)
    sent, wrong = load.judge()
    most = run.arguments.pps * 2
    run.tally.check(wrong["lost"] <= most,
                    f"a split of {span} s, longer than the look-ahead: {wrong['lost']} of {sent} "
                    f"lost, at most {most} (a second each way)", run.logs())
    said = (run.lab.folder("ks1") / "log").read_text() + (run.lab.folder("ks2") / "log").read_text()
    run.tally.check("COOP_MERGE" in said, "the merge is in the log")


@contextlib.contextmanager
def multicast_routing(lab):
    """The core routes multicast while the block runs."""
    words = [GETVPN, "lab", "--name", lab.name, "mroute"]
    router = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        if "is routed" not in router.stdout.readline():
            raise Fault("the core does not route multicast")
        yield
    finally:
        router.terminate()
        router.wait(10)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--rekeys", type=int, default=3, help="of each kind")
    parser.add_argument("--kek-changes", type=int, help="default: as --rekeys")
    parser.add_argument("--medleys", type=int, default=0, help="stretches with one of each kind")
    parser.add_argument("--pps", type=int, default=2_000, help="packets per second, each way")
    parser.add_argument("--split-max", type=float, default=8.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="failover")
    arguments = parser.parse_args()
    in_memory()
    keks = arguments.rekeys if arguments.kek_changes is None else arguments.kek_changes
    tally = Tally()
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {arguments.pps} packets/s each way")
    with Lab(arguments.name, {"ks1": LIVES, "ks2": LIVES}) as lab, multicast_routing(lab):
        lab.wait_registered()
        run = Run(lab, tally, arguments)
        plan = [("by command", 3, run.by_command)] * arguments.rekeys
        plan += [("by schedule", 12, run.by_schedule)] * arguments.rekeys
        plan += [("policy", 13, run.policy)] * arguments.rekeys
        plan += [("multicast", 7, run.by_multicast)] * arguments.rekeys
        plan += [("KEK", 22, run.kek)] * keks
        plan += [("medley", 36, run.medley)] * arguments.medleys
        plan += [("kill", 9, run.kill)] * arguments.kills
        plan += [("split", int(arguments.split_max) + 4, run.split)] * arguments.splits
        run.dice.shuffle(plan)
        for number, (what, seconds, event) in enumerate(plan, 1):
            with tally.part(f"{number} of {len(plan)}, {what}"):
                run.stretch(f"{number} of {len(plan)}, {what}", seconds, event)
        if arguments.splits > 2:
            with tally.part("beyond the look-ahead"):
                beyond(run)
    if run.takeovers:
        print(f"new primary after {statistics.median(run.takeovers):.2f} s "
              f"({min(run.takeovers):.2f}..{max(run.takeovers):.2f})")
    print(f"{run.sent} datagrams, {run.wrong}")
    tally.finish()


if __name__ == "__main__":
    main()

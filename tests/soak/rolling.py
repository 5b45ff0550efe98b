#!/usr/bin/env python3
"""The group under traffic while its routers go from one build of the program to another, in the
order in which IOS is upgraded: every secondary first, each until the election is over, then the
primary, then the members. Two builds are in the group all the while, and it is rekeyed between the
steps. Without another build the same one runs under a second path, which is said."""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from failover import LIVES, SERVERS, Run

from gv import GETVPN, ROOT, SHORT, Fault, Lab, Load, Tally, in_memory, need_root, until

MEMBERS = ("gm1", "gm2")
# A member that is started again passes traffic within this time; what it would have carried until
# then is lost, as with any restart.
BACK_MAX = 3


def build(commit, target, version):
    """The program as it was at a commit. It gets a version of its own, so that shows tell it from
    this one; nothing else of it is changed."""
    tree = pathlib.Path(tempfile.mkdtemp(prefix="getvpn-older-"))
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--force", str(tree), commit], check=True,
                   capture_output=True)
    try:
        manifest = tree / "Cargo.toml"
        text = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', manifest.read_text(), count=1)
        manifest.write_text(text)
        words = ["cargo", "build", "--release", "--offline", "-p", "getvpn", "--bin", "getvpn"]
        environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
        subprocess.run(words, cwd=tree, env=environment, check=True)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True)
    return pathlib.Path(target) / "release" / "getvpn"


class Rolling(Run):
    """One lab whose routers change their program."""

    def pid(self, router):
        nodes = json.loads(self.lab.lab("status", "--json"))["nodes"]
        node = next(node for node in nodes if node["name"] == router)
        return node["pid"] if node["alive"] else None

    def replace(self, router, program):
        """Stops a router as its service manager would, and starts it from another file."""
        begin = time.monotonic()
        os.kill(self.pid(router), signal.SIGTERM)
        if not until(lambda: self.pid(router) is None, 10):
            raise Fault(f"{router} does not end 10 s after SIGTERM")
        self.lab.lab("start", router, "--program", str(program))
        return time.monotonic() - begin

    def peer_version(self, server):
        """The version of the other key server, as this one shows it."""
        return self.coop(server)["sessions"][0]["version"]

    def own_version(self, router):
        text = self.lab.cli(router, "show version")
        return re.search(r"\d+\.\d+\.\d+", text).group(0)

    def rekey(self, what):
        """An operator's rekey by whoever leads brings a new key to both members."""
        leader = self.settle()
        before = set(self.lab.tek_spis(leader))
        self.order(leader)
        fresh = until(lambda: set(self.lab.tek_spis(leader)) - before, 5)
        def held(member):
            shown = self.lab.json(member, "show crypto gdoi")["members"][0]["teks"]
            return fresh & {int(tek["spi"].split("(")[0], 16) for tek in shown}
        known = fresh and until(lambda: all(map(held, MEMBERS)), 10)
        self.tally.check(known, f"{what}: a rekey reaches both members")

    def server(self, router, program):
        """One key server, with traffic all the while."""
        was_primary = self.role(router) == "Primary"
        load = Load(self.lab, self.arguments.pps, self.arguments.seconds)
        load.start()
        time.sleep(1)
        away = self.replace(router, program)
        leader = self.settle()
        self.rekey(f"{router} is replaced")
        versions = {server: (self.own_version(server), self.peer_version(server))
                    for server in SERVERS}
        one, other = versions.values()
        self.tally.check(one == other[::-1], f"each shows the other's version: {versions}")
        sent, wrong = load.judge()
        self.sent += sent
        figures = ", ".join(f"{count} {word}" for word, count in wrong.items())
        role = "the primary" if was_primary else "a secondary"
        self.tally.check(sent and not any(wrong.values()),
                         f"{router}, {role}, was away {away:.1f} s, {leader} leads: {sent} sent, "
                         f"{figures}", self.logs())

    def member(self, router, program):
        """One member: what it would have carried while it was away is lost, and no more."""
        load = Load(self.lab, self.arguments.pps, BACK_MAX + 6)
        load.start()
        time.sleep(1)
        away = self.replace(router, program)
        sent, wrong = load.judge()
        most = int((away + BACK_MAX) * self.arguments.pps * 2)
        others = sum(wrong.values()) - wrong["lost"]
        self.tally.check(sent and wrong["lost"] <= most and not others,
                         f"{router} was away {away:.1f} s: {wrong['lost']} of {sent} lost, "
                         f"at most {most}; {others} otherwise", self.logs())
        self.tally.check(self.lab.matrix(), f"{router} is replaced: all hosts answer each other")
        self.rekey(f"{router} is replaced")

    def go(self, program):
        """The order: secondaries, primary, members."""
        leader = self.settle()
        secondaries = [server for server in SERVERS if server != leader]
        for router in [*secondaries, leader]:
            self.server(router, program)
        for router in () if self.arguments.servers else MEMBERS:
            self.member(router, program)


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:12]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    older = parser.add_mutually_exclusive_group()
    older.add_argument("--old", type=pathlib.Path, help="the program of the other build")
    older.add_argument("--old-commit", help="the commit of the other build, which is built")
    parser.add_argument("--old-target", type=pathlib.Path, help="its target folder, kept")
    parser.add_argument("--old-version", default="0.0.9", help="the version that it is given")
    parser.add_argument("--tek-seconds", type=int, choices=(10, 60), default=10,
                        help="life of traffic keys; builds before 65c792a know none below 60")
    parser.add_argument("--servers", action="store_true", help="key servers only")
    parser.add_argument("--back", action="store_true", help="and the same way back")
    parser.add_argument("--pps", type=int, default=2_000, help="packets per second, each way")
    parser.add_argument("--seconds", type=int, default=9, help="of traffic for each key server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="rolling")
    arguments = parser.parse_args()
    in_memory()
    tally = Tally()
    need_root(tally)
    with tempfile.TemporaryDirectory(prefix="getvpn-rolling-") as folder:
        old = arguments.old
        if arguments.old_commit:
            target = arguments.old_target or pathlib.Path(folder) / "target"
            old = build(arguments.old_commit, target, arguments.old_version)
        if old is None:
            old = pathlib.Path(folder) / "getvpn"
            shutil.copy(GETVPN, old)
            tally.skip("two builds", "no --old or --old-commit: one build under two paths")
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: from {old} ({digest(old)}) "
              f"to {GETVPN} ({digest(GETVPN)})", flush=True)
        lives = LIVES if arguments.tek_seconds == 10 else SHORT
        with Lab(arguments.name, {"ks1": lives, "ks2": lives}, program=str(old)) as lab:
            lab.wait_registered()
            run = Rolling(lab, tally, arguments)
            with tally.part("to the new build"):
                run.go(GETVPN)
            if arguments.back:
                with tally.part("back to the old build"):
                    run.go(old)
            print(f"{run.sent} datagrams while key servers were replaced")
    tally.finish()


if __name__ == "__main__":
    main()

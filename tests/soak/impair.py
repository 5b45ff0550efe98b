#!/usr/bin/env python3
"""Cables that delay, lose, double and reorder: what was asked for is what the hosts measure and what
the cable counts, as root and without; a group registers and is rekeyed over cables that lose a tenth
of everything."""

import argparse
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

from gv import GETVPN, Lab, Tally, in_memory, until  # noqa: E402 - the path comes first

PPS, SECONDS = 4_000, 1


def about(count, of, share):
    """Whether as many happened as chance has it: five standard deviations."""
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share)) + 1


def counted(lab):
    """What the cable between gm1 and the core counts: of frames from gm1, and to it."""
    lines = lab.lab("impair", "gm1", "core").splitlines()[1:]
    found = []
    for line in lines:
        words = line.split(": ", 1)[1].replace("queue full", "overflowed").split()
        found.append({word: int(number) for word, number in zip(words[::2], words[1::2])})
    return found


def stream(lab, *options):
    """Traffic over a cable that was impaired that way: the two streams, and the cable's account."""
    lab.lab("impair", "gm1", "core", *options)
    reports = lab.traffic(pps=PPS, seconds=SECONDS)
    time.sleep(0.4)
    return reports, counted(lab)


def figures(tally, lab, who):
    """Each kind of impairment by itself."""
    reports, _ = stream(lab, "--delay", "20ms", "--jitter", "5ms")
    for report in reports:
        least, mean, most = (report[f"delay_us_{word}"] for word in ("min", "mean", "max"))
        # The longest way is the machine's affair.
        fits = 20_000 <= least < 25_000 and mean >= 22_000
        tally.check(fits and report["lost"] == 0,
                    f"{who}: 20 ms and up to 5 more, {report['from']} > {report['to']}: "
                    f"{least / 1000:.1f}, {mean / 1000:.1f}, {most / 1000:.1f} ms", str(report))
    reports, account = stream(lab, "--loss", "10%", "--duplicate", "5%", "--reorder", "2%")
    for report, way in zip(reports, account):
        sent, lost, doubled = (report[word] for word in ("sent", "lost", "duplicated"))
        tally.check(about(lost, sent, 0.1), f"{who}: 10 %: {lost} of {sent} lost", str(report))
        tally.check(about(doubled, sent - lost, 0.05), f"{who}: 5 %: {doubled} came twice")
        # Of one that comes twice the first counts: it is late only if both copies are.
        late = report["reordered"]
        tally.check(about(late, sent - lost, 0.02), f"{who}: 2 %: {late} came late")
        same = (lost, doubled) == (way["lost"], way["doubled"])
        tally.check(same and not way["overflowed"] + way["refused"],
                    f"{who}: the cable counts the same", f"{report} {way}")
    reports, _ = stream(lab, "--loss", "100%")
    passed = sum(report["received"] for report in reports)
    tally.check(passed == 0, f"{who}: 100 %: {passed} passed")


def good(tally, lab, who):
    """Off, and nothing is lost any more."""
    lab.lab("impair", "gm1", "core", "off")
    reports = lab.traffic(pps=PPS, seconds=1)
    tally.check(not any(report["lost"] for report in reports), f"{who}: off: nothing is lost")


def death(tally, lab):
    """A cable whose process has died is cut; it can be made good."""
    lab.lab("impair", "gm1", "core", "--delay", "1ms")
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text()
        except OSError:
            continue
        if "carry" in line and f"/{lab.name}/" in line:
            os.kill(int(process.name), signal.SIGKILL)
    time.sleep(0.2)
    passed = sum(report["received"] for report in lab.traffic(pps=100, seconds=1))
    tally.check(passed == 0, f"its process died: {passed} passed")


def group(tally, rekeys):
    """Registration and rekeys over cables that lose a tenth of everything, each way."""
    words = "loss: 10%, delay: 10ms, jitter: 5ms"
    impair = {node: f"{words}, seed: {seed}"
              for seed, node in enumerate(("ks1", "ks2", "gm1", "gm2"))}
    with Lab("impair", keylog=False, impair=impair) as lab:
        begin = time.monotonic()
        lab.wait_registered(seconds=40)
        tally.check(True, f"both members are registered after {time.monotonic() - begin:.1f} s")
        for number in range(rekeys):
            before = set(lab.tek_spis("ks1")) | set(lab.tek_spis("ks2"))
            begin = time.monotonic()
            leader = lab.rekey()
            fresh = until(lambda: set(lab.tek_spis(leader)) - before, 20)
            came = fresh and until(lambda: fresh <= known(lab), 60)
            took = time.monotonic() - begin
            tally.check(came, f"rekey {number + 1} is with both members after {took:.1f} s")
        for node in impair:
            lab.lab("impair", node, "core", "off")
        reports = lab.traffic(pps=PPS, seconds=1)
        tally.check(not any(report["lost"] for report in reports),
                    "on good cables nothing of the hosts' traffic is lost", str(reports))


def known(lab):
    """The keys that both members hold."""
    sets = []
    for member in ("gm1", "gm2"):
        shown = lab.json(member, "show crypto gdoi")["members"][0]["teks"]
        sets.append({int(tek["spi"].split("(")[0], 16) for tek in shown})
    return sets[0] & sets[1]


class UserLab(Lab):
    """A plain lab of an ordinary user; nobody stands for one."""

    def __init__(self, home):
        super().__init__("userimpair", keylog=False, plain=True)
        self.home = home
        shutil.copy(GETVPN, home / "getvpn")
        os.chmod(home / "getvpn", 0o755)

    def __enter__(self):
        self.lab("up", "guide", *self.flags)
        return self

    def __exit__(self, *_):
        self.lab("down", check=False)

    def lab(self, *words, check=True, timeout=60):
        user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "-i",
                f"PATH={os.environ['PATH']}", f"HOME={self.home}", f"TMPDIR={self.home}"]
        argv = [*user, str(self.home / "getvpn"), "lab", "--name", self.name, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise RuntimeError(f"lab {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout


def as_user(tally):
    with tempfile.TemporaryDirectory(prefix="getvpn-user-") as folder:
        home = pathlib.Path(folder)
        shutil.chown(home, "nobody", "nogroup")
        with UserLab(home) as lab:
            figures(tally, lab, "as a user")
            good(tally, lab, "as a user")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rekeys", type=int, default=1, help="over cables that lose a tenth")
    parser.add_argument("--long", action="store_true", help="all kinds as an ordinary user, too")
    parser.add_argument("--cables", action="store_true", help="the cables only, no group over them")
    arguments = parser.parse_args()
    in_memory()
    tally = Tally()
    print(time.strftime("%Y-%m-%d %H:%M:%S"))
    with tally.part("figures"):
        with Lab("impair", keylog=False, plain=True) as lab:
            figures(tally, lab, "as this user")
            death(tally, lab)
            good(tally, lab, "as this user")
    with tally.part("as a user"):
        if arguments.long and os.geteuid() == 0:
            as_user(tally)
        else:
            tally.skip("as an ordinary user", "only with --long, as root")
    if not arguments.cables:
        with tally.part("group"):
            group(tally, arguments.rekeys)
    tally.finish()


if __name__ == "__main__":
    main()

"""A lab for the tests against outside clients, and a tally of what they found.

Every command in this folder builds its own lab of namespaces with the real program in the routers,
lets an independent implementation judge it, and ends with one line `N passed, N failed`.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBC = ctypes.CDLL(None, use_errno=True)
GETVPN = os.environ.get("GETVPN", str(ROOT / "target" / "release" / "getvpn"))


# The shortest lives that a key server gives its keys: TEK 60 s, KEK 120 s. All times of a rekey
# shrink with them; members send on a new key some seven seconds after an operator's rekey.
SHORT = [
    ("set security-association lifetime seconds 3600",
     "set security-association lifetime seconds 60"),
    ("rekey lifetime seconds 7200", "rekey lifetime seconds 120"),
]


class Tally:
    """Counts checks; prints each one and, at the end, the sum."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, ok, what, detail=""):
        """Counts one check; `detail` is printed when it failed."""
        if ok:
            self.passed += 1
            print(f"ok    {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {what}", flush=True)
            for line in str(detail).splitlines()[:40]:
                print(f"      {line}", flush=True)
        return ok

    def skip(self, what, reason):
        """Names what was not checked, and why."""
        print(f"skipped: {what}: {reason}", flush=True)

    @contextlib.contextmanager
    def part(self, what):
        """A part of a test; an exception in it is one failure, and the next part goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            self.check(False, what, f"{type(error).__name__}: {error}")

    def finish(self):
        """Prints the sum and ends the program."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


class Fault(Exception):
    """The lab did not do what it was told."""


def openssl(*words, data):
    """What the openssl program makes of a key, text or octets; a refusal is an empty text."""
    octets = data.encode() if isinstance(data, str) else data
    done = subprocess.run(["openssl", *words], input=octets, capture_output=True)
    return done.stdout.decode() if done.returncode == 0 else ""


def until(done, seconds, every=0.05):
    """Asks `done` until it says something true or the time is over; returns what it said last."""
    end = time.monotonic() + seconds
    while True:
        answer = done()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(every)


class Lab:
    """The network of the guide, with edits of its routers' configurations.

    `edits` maps a router to pairs (old, new) replaced in its startup-config; each old text must be
    there. `program` is the build that its routers are started from at first;
    `impair` maps a node beside the core to what its cable does (`loss: 10%, delay: 20ms`).
    """

    def __init__(self, name, edits=None, keylog=True, plain=False, program=GETVPN,
                 impair=None):
        self.name, self.program = name, program
        self.edits, self.impair = edits or {}, impair or {}
        self.flags = (["--keylog"] if keylog else []) + (["--plain"] if plain else [])
        self.work = None

    def __enter__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix=f"getvpn-{self.name}-"))
        shutil.copy(ROOT / "topologies" / "guide.yaml", self.work)
        shutil.copytree(ROOT / "topologies" / "guide", self.work / "guide")
        try:
            for node, words in self.impair.items():
                self.worsen(node, words)
            for router, pairs in self.edits.items():
                self.edit(router, pairs)
            # The key servers of a group are configured alike.
            if "ks2" not in self.edits:
                self.edit("ks2", self.edits.get("ks1", ()), must=False)
            # What an earlier run that was killed left behind.
            subprocess.run([GETVPN, "lab", "--name", self.name, "down"], capture_output=True)
            words = [self.program, "lab", "--name", self.name, "up"]
            done = subprocess.run([*words, str(self.work / "guide.yaml"), *self.flags],
                                  capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                raise Fault(f"lab up: status {done.returncode}: {done.stdout}{done.stderr}")
        except BaseException:
            self.close()
            raise
        return self

    def worsen(self, node, words):
        path = self.work / "guide.yaml"
        cable = f'    - endpoints: ["{node}:wan", "core:to-{node}"]\n'
        text = path.read_text()
        if cable not in text:
            raise Fault(f"guide.yaml has no cable of {node}")
        path.write_text(text.replace(cable, f"{cable}      impair: {{{words}}}\n"))

    def edit(self, router, pairs, must=True):
        path = self.work / "guide" / f"{router}.cfg"
        text = path.read_text()
        for old, new in pairs:
            if must and old not in text:
                raise Fault(f"{router}.cfg has no text {old!r}")
            text = text.replace(old, new)
        path.write_text(text)

    def __exit__(self, *_):
        self.close()

    def close(self):
        subprocess.run([GETVPN, "lab", "--name", self.name, "down"], capture_output=True)
        shutil.rmtree(self.work, ignore_errors=True)

    def lab(self, *words, check=True, timeout=60):
        """Runs a verb of `getvpn lab`; returns its standard output."""
        done = subprocess.run(
            [GETVPN, "lab", "--name", self.name, *words],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise Fault(f"lab {' '.join(words)}: status {done.returncode}: {said}")
        return done.stdout

    def rekey(self, seconds=15):
        """Orders a rekey of the key server that leads, once one does; returns its name."""
        end = time.monotonic() + seconds
        while True:
            for server in ("ks1", "ks2"):
                words = ("cli", server, "crypto gdoi ks rekey")
                done = subprocess.run([GETVPN, "lab", "--name", self.name, *words],
                                      capture_output=True, text=True, timeout=60)
                if done.returncode == 0:
                    return server
            if time.monotonic() > end:
                raise Fault(f"no key server rekeys: {(done.stdout + done.stderr).strip()}")
            time.sleep(0.2)

    def cli(self, router, command):
        """What the router says to a command; a refusal is a fault."""
        return self.lab("cli", router, command)

    def json(self, router, command):
        """The JSON form of a show command."""
        return json.loads(self.cli(router, f"{command} | json"))

    def folder(self, node):
        """The folder of a router's log, state and key log."""
        status = json.loads(self.lab("status", "--json"))
        return next(pathlib.Path(n["folder"]) for n in status["nodes"] if n["name"] == node)

    def popen(self, node, argv, **more):
        """Starts a command in a node."""
        words = [GETVPN, "lab", "--name", self.name, "exec", node, "--", *argv]
        return subprocess.Popen(words, **more)

    def run(self, node, argv, **more):
        """Runs a command in a node."""
        words = [GETVPN, "lab", "--name", self.name, "exec", node, "--", *argv]
        return subprocess.run(words, capture_output=True, text=True, **more)

    @contextlib.contextmanager
    def capture(self, node, device, file, snaplen=65535):
        """Captures on a port while the block runs; fails if the kernel dropped a packet."""
        words = ["capture", node, device, str(file), "--snaplen", str(snaplen)]
        process = subprocess.Popen(
            [GETVPN, "lab", "--name", self.name, *words], stdout=subprocess.PIPE, text=True
        )
        until(lambda: pathlib.Path(file).exists() or process.poll() is not None, 5)
        time.sleep(0.2)
        try:
            yield
            time.sleep(0.2)
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
        if process.returncode != 0:
            raise Fault(f"capture {node} {device}: {said.strip()}")

    def registered(self, member):
        """The member says that it is registered."""
        text = self.lab("cli", member, "show crypto gdoi gm", check=False)
        return re.search(r"Registration status\s*:\s*Registered", text) is not None

    def wait_registered(self, members=("gm1", "gm2"), seconds=20):
        """Waits for the registration of the members."""
        for member in members:
            if not until(lambda: self.registered(member), seconds):
                log = (self.folder(member) / "log").read_text()[-2000:]
                raise Fault(f"{member} is not registered after {seconds} s\n{log}")

    def matrix(self):
        """Every host asks every other; true when all answer."""
        done = subprocess.run(
            [GETVPN, "lab", "--name", self.name, "matrix"], capture_output=True, text=True
        )
        return done.returncode == 0

    def traffic(self, a="h1", b="h2", pps=1000, size=200, seconds=2):
        """Numbered UDP both ways; the reports of both streams."""
        words = ["traffic", a, b, "--pps", pps, "--size", size, "--seconds", seconds, "--json"]
        out = self.lab(*map(str, words), check=False, timeout=seconds + 60)
        if not out.strip():
            raise Fault(f"lab {' '.join(map(str, words))} was cut off without a report")
        return json.loads(out)

    def teks(self, server="ks1"):
        """The TEKs that the key server names, in its order: SPI and whether members send on it."""
        text = self.cli(server, "show crypto gdoi ks policy")
        parts = re.split(r"(?=[KT]EK POLICY)", text)
        return [(int(spi, 16), "sent on in" not in part) for part in parts if part.startswith("TEK")
                for spi in re.findall(r"spi\s*:\s*0x(\w+)", part)]

    def tek_spis(self, server="ks1"):
        """The SPIs of the TEKs that the key server names, in its order."""
        return [spi for spi, _ in self.teks(server)]

    def sent_on_next(self, seconds=20):
        """Orders a rekey and waits until members send on what it brought: the key server shows the
        newest key first."""
        def running(server):
            return next((spi for spi, sent_on in self.teks(server) if sent_on), None)

        held = {running(server) for server in ("ks1", "ks2")}
        server = self.rekey()
        if not until(lambda: running(server) not in held, seconds, every=0.2):
            raise Fault(f"after {seconds} s members do not send on the key of a rekey of {server}")

    def sa_counters(self, member):
        """Packets encrypted and decrypted by a member."""
        text = self.cli(member, "show crypto ipsec sa")
        count = lambda word: sum(map(int, re.findall(rf"#pkts {word}: (\d+)", text)))  # noqa: E731
        return count("encrypt"), count("decrypt")


class Load(threading.Thread):
    """Numbered UDP both ways for some seconds."""

    def __init__(self, lab, pps, seconds):
        super().__init__(daemon=True)
        self.lab, self.pps, self.seconds = lab, pps, seconds
        self.reports, self.error = [], None

    def run(self):
        try:
            self.reports = self.lab.traffic(pps=self.pps, seconds=self.seconds)
        except Exception as error:  # noqa: BLE001 - told by `judge`
            self.error = error

    def judge(self):
        """Datagrams sent, and lost, reordered or doubled ones."""
        self.join()
        if self.error:
            raise self.error
        wrong = ("lost", "reordered", "duplicated", "corrupted")
        sent = sum(report["sent"] for report in self.reports)
        return sent, {word: sum(report[word] for report in self.reports) for word in wrong}


def enter(descriptor):
    """Moves this thread into a network namespace (os.setns came with Python 3.12)."""
    clone_newnet = 0x40000000
    if LIBC.setns(descriptor, clone_newnet) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def inside(lab, node):
    """The block runs in a node; sockets made in it stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with open(f"/run/netns/{lab.name}-{node}") as namespace:
        enter(namespace.fileno())
    try:
        yield
    finally:
        enter(home)
        os.close(home)


def in_memory():
    """Runs this program again with /run in memory, where root has it on a disk: how long a disk
    that others write to keeps a key server waiting is not what these tests judge."""
    found = subprocess.run(["stat", "-f", "-c", "%T", "/run"], capture_output=True, text=True)
    if os.geteuid() != 0 or found.stdout.strip() == "tmpfs":
        return
    print("/run is on a disk: this run has a tmpfs there", flush=True)
    # The names of namespaces live there, too, and go with the mounts of this run.
    script = 'mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/netns && exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, *sys.argv]
    os.execvp(argv[0], argv)


def need_root(tally):
    """Ends with a skip when this process cannot enter named namespaces."""
    if os.geteuid() != 0:
        tally.skip("everything", "needs root to enter the lab's namespaces")
        print("0 passed, 0 failed")
        sys.exit(0)


def udp_socket(address, port=0):
    """A bound UDP socket with a short time-out."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    s.settimeout(2)
    return s


def frames(capture):
    """Every frame of a pcap file, whatever its byte order."""
    octets = pathlib.Path(capture).read_bytes()
    order = "<" if octets[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(octets):
        length = struct.unpack_from(order + "I", octets, at + 8)[0]
        yield octets[at + 16 : at + 16 + length]
        at += 16 + length


def esp_keys(keylog):
    """The traffic keys of a key log: SPI to (cipher, its key, integrity, its key)."""
    keys = {}
    for line in (keylog / "esp_sa").read_text().splitlines():
        # tshark has no name for some ciphers: their rows are comments.
        words = re.findall(r'"([^"]*)"', line.lstrip("# "))
        if len(words) >= 8:
            octets = [bytes.fromhex(word.removeprefix("0x")) for word in (words[5], words[7])]
            keys[int(words[3], 16)] = (words[4], octets[0], words[6], octets[1])
    return keys

#!/usr/bin/env python3
"""Hostile datagrams against a live lab. What key servers and members of this very lab said to each
other (COOP, rekeys, acknowledgements) is recorded in the core, and forged, replayed, reordered,
truncated and bit-flipped forms of it are sent to all four routers under their peers' addresses.
Nothing changes its state, everything that arrives is counted under a reason, memory stays bounded,
and the hosts' traffic loses nothing."""

import argparse
import collections
import ctypes
import json
import pathlib
import random
import re
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "interop"))

from gv import (  # noqa: E402 - the path comes first
    Fault, Lab, Load, Tally, in_memory, inside, need_root, until,
)

ROUTERS = ("ks1", "ks2", "gm1", "gm2")
SERVERS, MEMBERS = ROUTERS[:2], ROUTERS[2:]
# What is sent here has a time to live of its own: so the core tells it from what routers sent.
TTL = 77
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
SO_ATTACH_FILTER, PACKET_OUTGOING = 26, 4
PORT = 848
HEADER = 28
# Exchanges.
INFORMATIONAL, PUSH, PUSH_ACK, COOP, PART = EXCHANGES = 5, 33, 35, 240, 241
# A rekey is over, and its key sent on, soon after it was ordered.
QUICK = [("rekey retransmit 10 number 2", "rekey retransmit 2 number 1")]
# With these lives of keys everything is twice as fast; a long attack needs the longer ones.
SHORTER = [("set security-association lifetime seconds 3600",
            "set security-association lifetime seconds 300")]
LONG = 100_000
# Resident memory of a router grows by less than this while it is attacked.
GROWTH_MAX_KIB = 8 * 1024
# A router writes no more lines than this, per second of an attack and once for each reason.
LINES_PER_S_MAX, LINES_MAX = 12, 120


def ipv4_filter():
    """BPF: UDP from or to port 848 that was not sent here; whole packets."""
    program = [
        (0x28, 0, 0, 12), (0x15, 0, 7, ETH_P_IP),  # IPv4
        (0x30, 0, 0, 23), (0x15, 0, 5, 17),  # UDP
        (0x30, 0, 0, 22), (0x15, 3, 0, TTL),  # not ours
        (0x28, 0, 0, 36), (0x15, 0, 1, PORT),  # to 848; the routers send no IPv4 options
        (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
    ]
    octets = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    return len(program), ctypes.create_string_buffer(octets)


Seen = collections.namedtuple("Seen", "source target payload")


class Sniffer(threading.Thread):
    """Everything that the routers say to each other on port 848, as the core's ports see it: each
    datagram once, where it enters the core."""

    def __init__(self, lab, addresses):
        super().__init__(daemon=True)
        self.names = {address: name for name, address in addresses.items()}
        self.seen, self.over = [], threading.Event()
        with inside(lab, "core"):
            self.sockets = [self.open(f"to-{name}") for name in ROUTERS]

    def open(self, device):
        sniffing = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        length, program = ipv4_filter()
        self.keep = program
        code = struct.pack("HL", length, ctypes.addressof(program))
        sniffing.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, code)
        sniffing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sniffing.bind((device, ETH_P_ALL))
        sniffing.setblocking(False)
        return sniffing

    def run(self):
        while not self.over.is_set():
            ready, _, _ = select.select(self.sockets, [], [], 0.1)
            for sniffing in ready:
                frame, (_, _, kind, _, _) = sniffing.recvfrom(65535)
                if kind == PACKET_OUTGOING:
                    continue
                length = struct.unpack_from("!H", frame, 38)[0]
                source, target = (self.names.get(socket.inet_ntoa(frame[at:at + 4]))
                                  for at in (26, 30))
                if source and target:
                    self.seen.append(Seen(source, target, frame[42:42 + length - 8]))

    def finish(self):
        self.over.set()
        self.join()
        for sniffing in self.sockets:
            sniffing.close()


class Injector:
    """Sends datagrams to routers out of the core's ports, from whatever address."""

    def __init__(self, lab, addresses):
        self.addresses = {name: socket.inet_aton(address) for name, address in addresses.items()}
        self.sockets, self.headers = {}, {}
        with inside(lab, "core"):
            for name in ROUTERS:
                sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sending.bind((f"to-{name}", ETH_P_IP))
                self.sockets[name] = sending
        for name in ROUTERS:
            ends = [json.loads(lab.run(node, ["ip", "-j", "link", "show", "dev", device]).stdout)
                    for node, device in ((name, "wan"), ("core", f"to-{name}"))]
            macs = [bytes.fromhex(end[0]["address"].replace(":", "")) for end in ends]
            for source in ROUTERS:
                self.headers[source, name] = self.header(macs, source, name)
        self.sent = collections.Counter()

    def header(self, macs, source, target):
        """Ethernet and the fixed part of IPv4, with the sum of that part."""
        ethernet = macs[0] + macs[1] + struct.pack("!H", ETH_P_IP)
        rest = self.addresses[source] + self.addresses[target]
        words = struct.unpack("!10H", struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, TTL, 17, 0) + rest)
        return ethernet, rest, sum(words)

    def send(self, source, target, payload):
        ethernet, rest, total = self.headers[source, target]
        length = 28 + len(payload)
        total += length
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        packet = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, TTL, 17, total) + rest
        udp = struct.pack("!HHHH", PORT, PORT, length - 20, 0)
        self.sockets[target].send(b"".join((ethernet, packet, udp, payload)))
        self.sent[target] += 1

    def close(self):
        for sending in self.sockets.values():
            sending.close()


class Forger:
    """Makes hostile forms of what was recorded."""

    def __init__(self, recorded, dice):
        self.dice = dice
        exchanges = sorted({seen.payload[18] for seen in recorded})
        self.exchanges = [[seen for seen in recorded if seen.payload[18] == exchange]
                          for exchange in exchanges]
        self.kinds = [self.replay, self.elsewhere, self.reflect, self.flip, self.flip, self.scatter,
                      self.truncate, self.extend, self.length, self.cookie, self.exchange,
                      self.message_id, self.header_octet, self.forge, self.splice, self.shuffle,
                      self.part]

    def one(self):
        """A kind, and source, target and payload of one of it."""
        kind = self.dice.choice(self.kinds)
        return kind.__name__, *kind(self.any())

    def any(self):
        """A recorded datagram; each exchange comes as often as any other."""
        return self.dice.choice(self.dice.choice(self.exchanges))

    def replay(self, seen):
        return seen

    def elsewhere(self, seen):
        source = self.dice.choice(ROUTERS)
        return source, self.dice.choice([name for name in ROUTERS if name != source]), seen.payload

    def reflect(self, seen):
        return seen.target, seen.source, seen.payload

    def flip(self, seen):
        octets = bytearray(seen.payload)
        bit = self.dice.randrange(len(octets) * 8)
        octets[bit >> 3] ^= 1 << (bit & 7)
        return seen.source, seen.target, bytes(octets)

    def scatter(self, seen):
        octets = bytearray(seen.payload)
        for _ in range(self.dice.randint(2, 16)):
            octets[self.dice.randrange(len(octets))] = self.dice.randrange(256)
        return seen.source, seen.target, bytes(octets)

    def truncate(self, seen):
        return seen.source, seen.target, seen.payload[:self.dice.randrange(len(seen.payload))]

    def extend(self, seen):
        more = self.dice.randbytes(self.dice.randint(1, 64))
        return seen.source, seen.target, seen.payload + more

    def patched(self, seen, at, octets):
        whole = seen.payload[:at] + octets + seen.payload[at + len(octets):]
        return seen.source, seen.target, whole

    def length(self, seen):
        said = self.dice.choice((0, HEADER, len(seen.payload) + 1, 0xFFFFFFFF,
                                 self.dice.randrange(1 << 32)))
        return self.patched(seen, 24, struct.pack("!I", said))

    def cookie(self, seen):
        which = self.dice.choice((0, 8))
        return self.patched(seen, which, self.dice.choice((bytes(8), self.dice.randbytes(8))))

    def exchange(self, seen):
        return self.patched(seen, 18, bytes([self.dice.randrange(256)]))

    def message_id(self, seen):
        return self.patched(seen, 20, self.dice.randbytes(4))

    def header_octet(self, seen):
        return self.patched(seen, self.dice.randrange(16, HEADER), self.dice.randbytes(1))

    def forge(self, seen):
        size = 16 * self.dice.randint(1, 70)
        head = seen.payload[:20] + self.dice.randbytes(4) + struct.pack("!I", HEADER + size)
        return seen.source, seen.target, head + self.dice.randbytes(size)

    def splice(self, seen):
        other = self.any().payload
        size = struct.pack("!I", len(other))
        return seen.source, seen.target, seen.payload[:24] + size + other[HEADER:]

    def shuffle(self, seen):
        body = seen.payload[HEADER:]
        blocks = [body[at:at + 16] for at in range(0, len(body), 16)]
        self.dice.shuffle(blocks)
        return seen.source, seen.target, seen.payload[:HEADER] + b"".join(blocks)

    def part(self, seen):
        body = seen.payload[HEADER:HEADER + 1000]
        head = struct.pack("!BBBBI", COOP, self.dice.randint(0, 4), self.dice.randint(0, 4), 0,
                           self.dice.randrange(1 << 32))
        body = head + self.dice.randbytes(16) + body
        octets = seen.payload[:18] + bytes([PART]) + seen.payload[19:24]
        return seen.source, seen.target, octets + struct.pack("!I", HEADER + len(body)) + body


# ------------------------------------------------------------ what routers show

# What time changes, and what counts messages: the routers' own go on all the while.
MOVES = re.compile(
    r"(.*_ago_s|.*remaining_lifetime_s|.*time_to_rekey_s|activates_in_s|elapsed_s|reregisters_in_s|"
    r"replay_value_s|horizon_s|next_announcement_s|primary_silence_remaining_s|sequence|counters|"
    r"received|duplicates|parts|clear_notifies|refusals|rekey_copies|repeated_acks|"
    r"unsolicited_acks|acks_sent)")
SHOWS = {
    "ks": ["show crypto gdoi ks policy", "show crypto gdoi ks members", "show crypto gdoi ks rekey",
           "show crypto gdoi ks coop", "show crypto gdoi ks acl", "show crypto gdoi",
           "show crypto isakmp sa"],
    "gm": ["show crypto gdoi gm rekey", "show crypto gdoi rekey sa", "show crypto gdoi gm acl",
           "show crypto gdoi gm", "show crypto gdoi", "show crypto isakmp sa"],
}


def still(value):
    """What a show says, without what moves."""
    if isinstance(value, dict):
        return {key: still(inner) for key, inner in value.items() if not MOVES.fullmatch(key)}
    if isinstance(value, list):
        return [still(inner) for inner in value]
    return value


def leaves(value, path=""):
    """Every value with its path."""
    if not isinstance(value, (dict, list)):
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = {}
    for key, inner in pairs:
        found.update(leaves(inner, f"{path}/{key}"))
    return found


def state(lab, router):
    """The state of a router as its shows have it."""
    return {command: leaves(still(lab.json(router, command))) for command in SHOWS[router[:2]]}


def changes(before, after):
    """What differs, a line each."""
    lines = []
    for command in before:
        paths = sorted(set(before[command]) | set(after[command]))
        for path in paths:
            old, new = before[command].get(path), after[command].get(path)
            if old != new:
                lines.append(f"{command}: {path}: {old!r} -> {new!r}")
    return lines


# Lines of a log that say that something was refused.
REFUSED = re.compile(r"IKMP_(?!PEER_DEAD)|KS_UNSOL_ACK|GDOI_REKEY_(SEQ_)?FAILURE")

Account = collections.namedtuple("Account", "received reasons kernel full resident lines")


def account(lab, router):
    """What a router counted, what its kernel gave it, and what that cost."""
    isakmp = lab.json(router, "show crypto isakmp sa")
    reasons = collections.Counter({one["reason"]: one["count"] for one in isakmp["refusals"]})
    for word in ("duplicates", "parts", "clear_notifies"):
        reasons[word] = isakmp[word]
    shown = lab.json(router, "show crypto gdoi")
    for role in ("key_servers", "members"):
        for figures in shown[role]:
            for one in figures["refusals"]:
                reasons[f"{role}: {one['name']}"] += one["count"]
            for word in ("rekey_copies", "repeated_acks"):
                reasons[word] += figures.get(word, 0)
    rows = [line.split() for line in lab.run(router, ["cat", "/proc/net/snmp"]).stdout.splitlines()
            if line.startswith("Udp:")]
    udp = dict(zip(rows[0][1:], map(int, rows[1][1:])))
    status = json.loads(lab.lab("status", "--json"))
    pid = next(node["pid"] for node in status["nodes"] if node["name"] == router)
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", text).group(1))
    lines = (lab.folder(router) / "log").read_bytes().count(b"\n")
    return Account(isakmp["received"], reasons, udp["InDatagrams"], udp["InErrors"], resident, lines)


class Attack:
    """One lab and the attacks on it."""

    def __init__(self, lab, tally, arguments):
        self.lab, self.tally, self.arguments = lab, tally, arguments
        self.dice = random.Random(arguments.seed)
        self.addresses = {}
        for name in ROUTERS:
            shown = lab.run(name, ["ip", "-j", "-4", "address", "show", "dev", "wan"]).stdout
            self.addresses[name] = json.loads(shown)[0]["addr_info"][0]["local"]
        self.injector = Injector(lab, self.addresses)

    def sniff(self):
        sniffer = Sniffer(self.lab, self.addresses)
        sniffer.start()
        return sniffer

    def settled(self):
        """Both key servers hold everything, no rekey is under way and no key waits for its moment
        but that of the next period: nothing is to change now."""
        def quiet(server):
            coop = self.lab.json(server, "show crypto gdoi ks coop")["groups"][0]["coop"]
            rekey = self.lab.json(server, "show crypto gdoi ks rekey")["groups"][0]
            teks = self.lab.json(server, "show crypto gdoi ks policy")["groups"][0]["teks"]
            waits = [tek["activates_in_s"] for tek in teks]
            done = not any(0 < wait < 120 for wait in waits) and not rekey["unacknowledged"]
            return done and coop["is_complete"] and coop["acknowledged_periods"] >= 1
        def holds(member):
            # Members are told of a moment of their own for a key that they learn late.
            teks = self.lab.json(member, "show crypto gdoi")["members"][0]["teks"]
            return not any(0 < tek["activates_in_s"] < 120 for tek in teks)
        if not until(lambda: all(map(quiet, SERVERS)) and all(map(holds, MEMBERS)), 60):
            raise Fault("the group is not quiet after 60 s")
        # What was retransmitted until then is over.
        time.sleep(2)

    def last_rekey(self, member):
        return self.lab.json(member, "show crypto gdoi")["members"][0]["last_rekey_seq"]

    def record(self, count):
        """What the routers say around a rekey by command. Its announcement is kept from the other
        key server for a moment, and the rekey from gm2: altered forms of both are refused, by hash
        and signature at the latest, and the true ones are taken afterwards."""
        self.settled()
        for server in SERVERS:
            self.lab.lab("cut", server, "gm2")
        sniffer = self.sniff()
        try:
            self.withhold_announcement(sniffer, min(count, 500))
            self.withhold_rekey(sniffer, count)
        finally:
            for server in SERVERS:
                self.lab.lab("heal", server, "gm2", check=False)
        self.settled()
        sniffer.finish()
        # Main mode, should an SA have been replaced, is not recorded: its first message proves
        # nothing, and each replay of it is a negotiation that is half open for a while.
        recorded = [seen for seen in sniffer.seen if seen.payload[18] in EXCHANGES]
        kinds = collections.Counter(seen.payload[18] for seen in recorded)
        said = ", ".join(f"{number} of exchange {kind}" for kind, number in sorted(kinds.items()))
        whole = all(kinds[kind] for kind in EXCHANGES if kind != PART)
        self.tally.check(whole, f"recorded {len(recorded)} datagrams: {said}")
        return recorded

    def withhold_announcement(self, sniffer, count):
        """The key servers are apart for less than it takes to believe the other dead."""
        counted = account(self.lab, "ks2")
        self.lab.lab("cut", *SERVERS)
        mark = len(sniffer.seen)
        try:
            self.lab.cli("ks1", "crypto gdoi ks rekey")
            fits = lambda seen: seen[:2] == SERVERS and seen.payload[18] == COOP  # noqa: E731
            held = until(lambda: [seen for seen in sniffer.seen[mark:] if fits(seen)], 1, 0.01)
            if held:
                self.alter(held[0], count)
        finally:
            self.lab.lab("heal", *SERVERS)
        if not self.tally.check(held, "an announcement was withheld from ks2"):
            return
        reasons = account(self.lab, "ks2").reasons - counted.reasons
        self.tally.check(reasons["bad hash"] > 0 and sum(reasons.values()) >= count * 0.99,
                         f"{count} altered forms of it are refused: {dict(reasons)}")

    def withhold_rekey(self, sniffer, count):
        """A rekey that gm2 has not got."""
        before, seq = state(self.lab, "gm2"), self.last_rekey("gm2")
        counted = account(self.lab, "gm2")
        fits = lambda seen: seen.payload[18] == PUSH and seen.target == "gm2"  # noqa: E731
        held = until(lambda: [seen for seen in sniffer.seen if fits(seen)], 8)
        if not self.tally.check(held, "a rekey was withheld from gm2"):
            return
        self.alter(held[0], count)
        lines = changes(before, state(self.lab, "gm2"))
        self.tally.check(not lines, f"{count} altered forms of it change nothing", "\n".join(lines))
        reasons = account(self.lab, "gm2").reasons - counted.reasons
        self.tally.check(sum(reasons.values()) == self.injector.sent["gm2"],
                         f"each is counted: {dict(reasons)}", f"{self.injector.sent}")
        self.tally.check(reasons["members: rekey signature"] > 0, "some by their signature only")
        for server in SERVERS:
            self.lab.lab("heal", server, "gm2")
        # Its acknowledgement must arrive, or it would in the middle of the attack.
        self.injector.send(*held[0])
        taken = until(lambda: self.last_rekey("gm2") > seq, 5)
        self.tally.check(taken, "the true one is taken")

    def alter(self, held, count):
        """Sends altered forms of a message."""
        self.injector.sent.clear()
        forger = Forger([held], self.dice)
        for number in range(count):
            # Bits of the first blocks only spoil the form; those at the end spoil the signature.
            make = (forger.flip, forger.scatter, forger.truncate, forger.extend)[number % 4]
            source, target, payload = make(held)
            if payload != held.payload:
                self.injector.send(source, target, payload)
            if number % 64 == 0:
                time.sleep(64 / self.arguments.pps)
        time.sleep(0.3)

    def counted(self):
        """Accounts of all routers between two of their own messages."""
        sniffer = self.sniff()
        while True:
            mark = len(sniffer.seen)
            accounts = {name: account(self.lab, name) for name in ROUTERS}
            if len(sniffer.seen) == mark:
                return accounts, sniffer, mark

    def flood(self, recorded, count):
        """The attack itself."""
        pps, load = self.arguments.pps, None
        forger = Forger(recorded, self.dice)
        accounts, sniffer, mark = self.counted()
        before = {name: state(self.lab, name) for name in ROUTERS}
        self.injector.sent.clear()
        kinds = collections.Counter()
        load = Load(self.lab, self.arguments.host_pps, int(count / pps * 1.3 + 3))
        load.start()
        time.sleep(0.5)
        begin = time.monotonic()
        for number in range(count):
            kind, source, target, payload = forger.one()
            self.injector.send(source, target, payload)
            kinds[kind] += 1
            if number % 32 == 0:
                ahead = begin + number / pps - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
        took = time.monotonic() - begin
        time.sleep(0.5)
        print(f"      {count} datagrams in {took:.1f} s, {count / took:.0f} a second, by kind: "
              f"{dict(sorted(kinds.items()))}", flush=True)
        self.judge_accounts(accounts, sniffer, mark, took, {seen.payload for seen in recorded})
        for name in ROUTERS:
            lines = changes(before[name], state(self.lab, name))
            same = self.tally.check(not lines, f"{name}: its state is what it was", "\n".join(lines))
            if not same:
                log = (self.lab.folder(name) / "log").read_text().splitlines()
                print("\n".join(f"      {line}" for line in log if not REFUSED.search(line)))
        sniffer.finish()
        self.judge_traffic(load)

    def judge_accounts(self, before, sniffer, mark, took, known):
        """Every datagram is counted under a reason, and nothing grew."""
        while True:
            upto = len(sniffer.seen)
            after = {name: account(self.lab, name) for name in ROUTERS}
            if len(sniffer.seen) == upto:
                break
        for name in ROUTERS:
            own = [seen for seen in sniffer.seen[mark:upto] if seen.target == name]
            old, new = before[name], after[name]
            sent, kernel = self.injector.sent[name], new.kernel - old.kernel
            full, received = new.full - old.full, new.received - old.received
            arrived = kernel == received and sent + len(own) == received + full
            self.tally.check(arrived, f"{name}: of {sent} sent and {len(own)} of its peers "
                             f"{received} came in, {full} found the socket full")
            reasons = new.reasons - old.reasons
            expected = sent - full + reasonable(own, set(known))
            self.tally.check(sum(reasons.values()) == expected,
                             f"{name}: {sum(reasons.values())} are counted under "
                             f"{len(reasons)} reasons, {expected} came that must be",
                             f"{[(seen.source, seen.payload[18]) for seen in own]}")
            print(f"      {dict(reasons.most_common())}", flush=True)
            grown, lines = new.resident - old.resident, new.lines - old.lines
            self.tally.check(grown <= GROWTH_MAX_KIB, f"{name}: memory grew by {grown} KiB")
            most = LINES_MAX + took * LINES_PER_S_MAX
            self.tally.check(lines <= most, f"{name}: {lines} lines of log, at most {most:.0f}")

    def judge_traffic(self, load):
        sent, wrong = load.judge()
        figures = ", ".join(f"{count} {word}" for word, count in wrong.items())
        ok = sent > 0 and not any(wrong.values())
        self.tally.check(ok, f"traffic of the hosts meanwhile: {sent} sent, {figures}")


def reasonable(own, known):
    """How many of its peers' own datagrams a router counts under a reason: what answers a forged
    message in clear, and copies of what it had already."""
    count = 0
    for seen in own:
        in_clear = seen.payload[18] == INFORMATIONAL and not seen.payload[19] & 1
        count += in_clear or seen.payload in known
        known.add(seen.payload)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="datagrams")
    parser.add_argument("--pps", type=int, default=6_000, help="datagrams per second, to all")
    parser.add_argument("--host-pps", type=int, default=1_000, help="packets/s of the hosts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="hostile")
    arguments = parser.parse_args()
    in_memory()
    tally = Tally()
    need_root(tally)
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {arguments.count} datagrams, "
          f"at most {arguments.pps} a second")
    lives = QUICK + (SHORTER if arguments.count < LONG else [])
    with Lab(arguments.name, {"ks1": lives}, keylog=False) as lab:
        lab.wait_registered()
        attack = Attack(lab, tally, arguments)
        with tally.part("attack"):
            # Members are away for as long as that takes: less than their keepalives allow.
            recorded = attack.record(min(20_000, max(200, arguments.count // 20)))
            attack.flood(recorded, arguments.count)
    tally.finish()


if __name__ == "__main__":
    main()

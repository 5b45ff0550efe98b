#!/usr/bin/env python3
"""kill -9 of routers while hosts talk: nothing in clear ever crosses the core, a member is back
within three seconds, a key server comes back with what it had and goes on from there."""

import argparse
import json
import re
import struct
import time

from gv import SHORT, Lab, Tally, frames, inside, need_root, udp_socket, until

HOSTS = ("192.168.20.10", "192.168.21.10")
BACK_S = 3.0


def packets(capture):
    """(source, destination, protocol, SPI) of every IPv4 packet, and every IPv6 one, of a file."""
    for frame in frames(capture):
        if frame[12:14] == b"\x08\x00":
            ip = frame[14:]
            source, destination = (".".join(map(str, ip[i : i + 4])) for i in (12, 16))
            spi = struct.unpack_from("!I", ip, (ip[0] & 15) * 4)[0] if ip[9] == 50 else None
            yield source, destination, ip[9], spi
        elif frame[12:14] == b"\x86\xdd":
            yield frame[22:38].hex(), frame[38:54].hex(), frame[20], None


def clear(capture):
    """Packets between the hosts' networks that are not ESP."""
    def of_hosts(address):
        return address.startswith(("192.168.", "fd00002"))
    return [p for p in packets(capture) if of_hosts(p[0]) and of_hosts(p[1]) and p[2] != 50]


def passes(lab):
    """One datagram from h1 reaches h2."""
    with inside(lab, "h2"):
        receiver = udp_socket(HOSTS[1])
    receiver.settimeout(0.05)
    with inside(lab, "h1"):
        sender = udp_socket(HOSTS[0])
    try:
        sender.sendto(b"are you there", receiver.getsockname())
        return receiver.recv(64) == b"are you there"
    except TimeoutError:
        return False
    finally:
        sender.close()
        receiver.close()


def member(tally, lab, name, number):
    """A member dies without warning while both hosts send."""
    before = lab.tek_spis()
    capture = lab.work / f"{name}-{number}.pcap"
    with lab.capture("core", f"to-{name}", capture, snaplen=96):
        lab.lab("kill", name)
        dead = lab.traffic(pps=500, seconds=1)
        begin = time.monotonic()
        lab.lab("start", name)
        back = until(lambda: passes(lab), BACK_S + 2, every=0.01)
        took = time.monotonic() - begin
        alive = lab.traffic(pps=500, seconds=1)
    arrived = sum(report["received"] for report in dead)
    tally.check(arrived == 0, f"{name} dead: {arrived} packets arrive")
    leaks = clear(capture)
    tally.check(not leaks, f"{name} dead and starting: {len(leaks)} clear packets on the core",
                leaks[:10])
    tally.check(back and took <= BACK_S, f"{name} is passing {took:.2f} s after its start")
    lost = sum(report["lost"] for report in alive)
    tally.check(lost == 0, f"{name} back: {lost} packets lost")
    spis = {p[3] for p in packets(capture) if p[2] == 50}
    named = set(before) | set(lab.tek_spis())
    tally.check(spis <= named, f"{name}: only the key server's SPIs on the core", (spis, named))


def state_of(lab):
    """What a key server must not forget: members, SEQ, KEK SPI, TEK SPIs, the mark of the SIDs."""
    policy = lab.cli("ks1", "show crypto gdoi ks policy")
    members = lab.cli("ks1", "show crypto gdoi ks members")
    return {
        "members": sorted(re.findall(r"Group Member ID\s*:\s*(\S+)", members)),
        "seq": int(re.search(r"Seq num\s*:\s*(\d+)", policy).group(1)),
        "kek": re.search(r"KEK POLICY.*?spi\s*:\s*(\w+)", policy, re.DOTALL).group(1),
        "teks": lab.tek_spis(),
    }


def sids(lab):
    """The sender identifiers that each member holds."""
    held = []
    for name in ("gm1", "gm2"):
        view = lab.json(name, "show crypto gdoi gm")
        held += re.findall(r'"sids?":\s*(\[[^\]]*\]|\d+)', json.dumps(view))
    return held


def key_server(tally, lab):
    """The key server dies; members go on; it comes back with what it had; a rekey follows."""
    lab.rekey()
    time.sleep(2)
    before, sids_before = state_of(lab), sids(lab)
    capture = lab.work / "ks.pcap"
    with lab.capture("core", "to-gm1", capture, snaplen=96):
        lab.lab("kill", "ks1")
        reports = lab.traffic(pps=1000, seconds=2)
        lab.lab("start", "ks1")
        after = state_of(lab)
        tally.check(all(r["lost"] == r["reordered"] == r["duplicated"] == 0 for r in reports),
                    f"key server dead: {sum(r['lost'] for r in reports)} packets lost", reports)
        for word in ("members", "kek", "teks", "seq"):
            tally.check(after[word] == before[word] and after[word],
                        f"key server back: {word} as before ({after[word]})", before[word])
        lab.rekey()
        accepted = until(lambda: all(
            any(f"{spi:08X}" in lab.cli(m, "show crypto ipsec sa").upper()
                for spi in set(lab.tek_spis()) - set(before["teks"]))
            for m in ("gm1", "gm2")), 8, every=0.2)
        time.sleep(1)
        rekeyed = state_of(lab)
        tally.check(rekeyed["seq"] > before["seq"],
                    f"the next rekey has a higher SEQ: {before['seq']} then {rekeyed['seq']}")
        tally.check(accepted, "both members accept it", rekeyed)
    tally.check(not clear(capture), "key server dead: nothing in clear on the core")
    for name in ("gm1", "gm2"):
        lab.cli(name, "clear crypto gdoi")
    lab.wait_registered()
    repeated = set(sids_before) & set(sids(lab))
    if sids_before:
        tally.check(not repeated, f"no sender identifier is given twice ({len(sids_before)} held)",
                    repeated)
    else:
        tally.skip("sender identifiers given twice", "no show command names them")


def unregistered(tally):
    """Hosts send while the way to the key servers is cut: members are closed."""
    with Lab("failclose", keylog=False) as lab:
        for server in ("ks1", "ks2"):
            lab.lab("cut", server, "core")
        for name in ("gm1", "gm2"):
            lab.lab("kill", name)
        capture = lab.work / "closed.pcap"
        with lab.capture("core", "to-gm1", capture, snaplen=96):
            for name in ("gm1", "gm2"):
                lab.lab("start", name)
            reports = lab.traffic(pps=500, seconds=2)
            arrived = sum(report["received"] for report in reports)
            tally.check(arrived == 0, f"never registered: {arrived} packets arrive")
        tally.check(not clear(capture), "never registered: nothing in clear on the core")
        for server in ("ks1", "ks2"):
            lab.lab("heal", server, "core")
        lab.wait_registered()
        tally.check(lab.matrix(), "registered in the end: the matrix is green")


def control(tally):
    """The same hosts in the same network without the group: this test sees clear packets."""
    with Lab("failclose", plain=True, keylog=False) as lab:
        capture = lab.work / "plain.pcap"
        with lab.capture("core", "to-gm1", capture, snaplen=96):
            reports = lab.traffic(pps=500, seconds=1)
        strays = lab.lab("strays", check=False).strip()
        whole = all(a == b for a, b in re.findall(r"(\d+) of (\d+)", strays))
        tally.check(whole, f"without the group stray packets pass: {strays}")
        sent = sum(report["sent"] for report in reports)
        seen = len(clear(capture))
        tally.check(sent and seen == sent,
                    f"without the group {seen} of {sent} packets are seen in clear")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=2, help="deaths of each member")
    rounds = arguments.parse_args().rounds
    tally = Tally()
    need_root(tally)
    with tally.part("control"):
        control(tally)
    with tally.part("never registered"):
        unregistered(tally)
    with tally.part("deaths"), Lab("failclose", {"ks1": SHORT}, keylog=False) as lab:
        lab.wait_registered()
        for number in range(rounds):
            for name in ("gm1", "gm2"):
                member(tally, lab, name, number)
        key_server(tally, lab)
    tally.finish()


if __name__ == "__main__":
    main()

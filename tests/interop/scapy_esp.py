#!/usr/bin/env python3
"""scapy opens our ESP and seals it again to the same octets; a member opens scapy's ESP and hands
the inner packet to its host. For each cipher, GMAC included."""

import os
import socket
import struct

from gv import Lab, Tally, esp_keys, inside, need_root, udp_socket, until

from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.packet import Raw, raw
from scapy.utils import PcapReader

conf.verb = 0

# Transform words; scapy's names of cipher and integrity; octets of IV.
SUITES = [
    ("esp-gcm 128", "AES-GCM", None, 8),
    ("esp-gcm 192", "AES-GCM", None, 8),
    ("esp-gcm 256", "AES-GCM", None, 8),
    ("esp-gmac 256", "AES-NULL-GMAC", None, 8),
    ("esp-aes 128 esp-sha-hmac", "AES-CBC", "HMAC-SHA1-96", 16),
    ("esp-aes 256 esp-sha256-hmac", "AES-CBC", "SHA2-256-128", 16),
    ("esp-aes 192 esp-sha384-hmac", "AES-CBC", "SHA2-384-192", 16),
    ("esp-aes 256 esp-sha512-hmac", "AES-CBC", "SHA2-512-256", 16),
    ("esp-3des esp-sha-hmac", "3DES", "HMAC-SHA1-96", 8),
    ("esp-null esp-sha256-hmac", "NULL", "SHA2-256-128", 0),
]
TRANSFORM = "esp-gcm 256"
HOSTS = ("192.168.20.10", "192.168.21.10")
PORT = 4711


def association(keys, spi, cipher, integrity):
    """scapy's SA under the key that the key log holds for the SPI."""
    _, key, _, integrity_key = keys[spi]
    return SecurityAssociation(
        ESP,
        spi=spi,
        crypt_algo=cipher,
        crypt_key=key or None,
        auth_algo=integrity,
        auth_key=integrity_key or None,
        tunnel_header=IP(src=HOSTS[0], dst=HOSTS[1]),
    )


def theirs(tally, words, capture, keys, cipher, integrity, iv_len):
    """scapy opens every captured packet and makes the same octets of it again."""
    opened = same = total = 0
    contents = set()
    fault = ""
    for frame in PcapReader(str(capture)):
        if ESP not in frame:
            continue
        total += 1
        outer = frame[IP]
        sealed = raw(outer)[outer.ihl * 4 : outer.len]
        spi, sequence = struct.unpack("!II", sealed[:8])
        try:
            sa = association(keys, spi, cipher, integrity)
            inner = sa.decrypt(IP(raw(outer)[: outer.len]))
            opened += 1
            if UDP in inner:
                contents.add(bytes(inner[UDP].payload))
            sa.seq_num = sequence
            again = sa.encrypt(inner, iv=sealed[8 : 8 + iv_len])
            again = raw(again)[again.ihl * 4 :]
            same += again == sealed
            if again != sealed and not fault:
                fault = f"ours  {sealed.hex()}\nscapy {again.hex()}"
        except Exception as error:  # noqa: BLE001 - any reason is a packet that did not open
            fault = fault or f"SPI 0x{spi:08X}: {type(error).__name__}: {error}"
    tally.check(total > 20 and opened == total, f"{words}: scapy opens {opened} of {total}", fault)
    exact = f"{words}: scapy seals {same} of {total} to the same octets"
    tally.check(total > 20 and same == total, exact, fault)
    return contents


def ours(tally, words, lab, keys, cipher, integrity, iv_len):
    """scapy's packets, put on the wire of the core, reach the host behind the member unchanged."""
    spi = lab.tek_spis()[0]
    sa = association(keys, spi, cipher, integrity)
    contents = [os.urandom(length) for length in (1, 8, 63, 64, 65, 512, 1300)]
    with inside(lab, "h2"):
        receiver = udp_socket(HOSTS[1], PORT)
    with inside(lab, "core"):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind(("to-gm2", 0x0800))
    near, far = macs(lab)
    for number, content in enumerate(contents, 1):
        inner = IP(src=HOSTS[0], dst=HOSTS[1], tos=0x48, id=number, flags="DF", ttl=61)
        inner = inner / UDP(sport=PORT, dport=PORT) / Raw(content)
        iv = fresh_iv(cipher, iv_len, number)
        sa.seq_num = number
        sa.tunnel_header = IP(src=HOSTS[0], dst=HOSTS[1], tos=0x48, flags="DF", ttl=60)
        packet = sa.encrypt(inner, iv=iv)
        sender.send(raw(Ether(src=near, dst=far, type=0x0800) / packet))
    arrived = []
    try:
        while len(arrived) < len(contents):
            arrived.append(receiver.recv(2048))
    except TimeoutError:
        pass
    sender.close()
    receiver.close()
    detail = "" if arrived == contents else lab.cli("gm2", "show crypto ipsec sa")
    tally.check(
        arrived == contents,
        f"{words}: gm2 opens scapy's packets, {len(arrived)} of {len(contents)} reach h2 unchanged",
        detail,
    )


def fresh_iv(cipher, iv_len, number):
    """For counter modes a sender identifier that no member has, so that no nonce is used twice."""
    if cipher in ("AES-GCM", "AES-NULL-GMAC"):
        return b"\xff\xff\xff" + number.to_bytes(iv_len - 3, "big")
    return os.urandom(iv_len)


def macs(lab):
    """The addresses of the core's port to gm2 and of gm2's WAN port."""
    def of(node, device):
        text = lab.run(node, ["ip", "-o", "link", "show", "dev", device]).stdout
        return text.split("link/ether ")[1].split()[0]
    return of("core", "to-gm2"), of("gm2", "wan")


def suite(tally, words, cipher, integrity, iv_len):
    with Lab("scapy", {"ks1": [(TRANSFORM, words)]}) as lab:
        lab.wait_registered()
        capture = lab.work / "core.pcap"
        with lab.capture("core", "to-gm1", capture):
            tally.check(lab.matrix(), f"{words}: the matrix is green")
            lab.traffic(pps=50, seconds=1)
        keylog = lab.folder("gm1") / "keylog"
        until(lambda: set(lab.tek_spis()) <= set(esp_keys(keylog)), 5)
        keys = esp_keys(keylog)
        theirs(tally, words, capture, keys, cipher, integrity, iv_len)
        ours(tally, words, lab, keys, cipher, integrity, iv_len)


def main():
    tally = Tally()
    need_root(tally)
    for words, cipher, integrity, iv_len in SUITES:
        with tally.part(words):
            suite(tally, words, cipher, integrity, iv_len)
    tally.finish()


if __name__ == "__main__":
    main()

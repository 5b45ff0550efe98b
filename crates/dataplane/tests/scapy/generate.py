"""Writes vectors.txt: ESP packets that scapy sealed, to be opened and reproduced by our own path.

Run with the Python environment of the tests: .venv/bin/python3 crates/dataplane/tests/scapy/generate.py
Each line: transform|spi|sequence|iv|cipher key|integrity key|inner packet|ESP packet, all but the
first in hex. Keys and payloads are fixed, so that the file is the same whenever it is written.
"""

import hashlib
import pathlib

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

COMBINED = [
    ("esp-gcm", "AES-GCM", 8),
    ("esp-gmac", "AES-NULL-GMAC", 8),
]
CIPHERS = [
    ("esp-null", "NULL", 0, 0),
    ("esp-3des", "3DES", 24, 8),
    ("esp-aes 128", "AES-CBC", 16, 16),
    ("esp-aes 192", "AES-CBC", 24, 16),
    ("esp-aes 256", "AES-CBC", 32, 16),
]
HMACS = [
    ("esp-sha-hmac", "HMAC-SHA1-96", 20),
    ("esp-sha256-hmac", "SHA2-256-128", 32),
    ("esp-sha384-hmac", "SHA2-384-192", 48),
    ("esp-sha512-hmac", "SHA2-512-256", 64),
]


def octets(label, length):
    """Octets that look random and are always the same."""
    return hashlib.shake_256(label.encode()).digest(length)


def inner(size):
    """An IPv4 packet of `size` octets; its protocol, ToS and TTL change with the size."""
    header = dict(src="192.168.20.10", dst="192.168.21.10", id=size, tos=size % 252 & 0xFC | 2,
                  ttl=32 + size % 64, flags="DF" if size % 2 else 0)
    upper = [UDP(sport=5000, dport=5001), TCP(sport=5000, dport=80), ICMP()][size % 3]
    length = size - 20 - len(bytes(upper))
    return IP(**header) / upper / Raw(octets(f"payload {size}", length))


def seal(words, size, crypt, auth):
    """One line of the file."""
    crypt_algo, crypt_key, iv = crypt
    auth_algo, auth_key = auth
    packet = IP(bytes(inner(size)))
    tunnel = IP(src=packet.src, dst=packet.dst, tos=packet.tos, id=packet.id, ttl=packet.ttl,
                flags=packet.flags)
    sa = SecurityAssociation(ESP, spi=0x8BF147EF, crypt_algo=crypt_algo,
                             crypt_key=crypt_key or None, auth_algo=auth_algo,
                             auth_key=auth_key or None, tunnel_header=tunnel)
    sealed = bytes(sa.encrypt(packet, seq_num=size, iv=iv or None))
    fields = [(0x8BF147EF).to_bytes(4, "big"), size.to_bytes(4, "big"), iv, crypt_key, auth_key,
              bytes(packet), sealed]
    return "|".join([words] + [field.hex() for field in fields])


def main():
    """Every transform at a few sizes, whose paddings differ."""
    lines = []
    for size in (48, 61, 100, 300):
        for word, algo, iv_len in COMBINED:
            for bits in (128, 192, 256):
                key = octets(f"{word} {bits}", bits // 8 + 4)
                iv = octets(f"iv {word} {bits} {size}", iv_len)
                lines.append(seal(f"{word} {bits}", size, (algo, key, iv), ("NULL", b"")))
        for word, algo, key_len, iv_len in CIPHERS:
            for hmac, auth_algo, auth_len in HMACS:
                key = octets(f"{word}", key_len)
                iv = octets(f"iv {word} {hmac} {size}", iv_len)
                auth = (auth_algo, octets(f"{hmac}", auth_len))
                lines.append(seal(f"{word} {hmac}", size, (algo, key, iv), auth))
    path = pathlib.Path(__file__).with_name("vectors.txt")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

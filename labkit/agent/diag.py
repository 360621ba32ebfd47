"""Questions to the kernel about the namespace that the thread is in: which sockets wait for
somebody (sock_diag(7)), which tables of rules there are (nfnetlink), is a connection tracked.

``ss`` and ``iptables-save`` know it too, at the price of a process in each namespace.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

SOCK_DIAG, NETFILTER = 4, 12  # netlink's families
REQUEST_DUMP = 0x301  # nlmsghdr's flags NLM_F_REQUEST | NLM_F_DUMP
ERROR, DONE = 2, 3
SOCK_DIAG_BY_FAMILY = 20
CLOSE, LISTEN = 1 << 7, 1 << 10  # tcp_states.h; an unconnected UDP socket is in CLOSE
SKV6ONLY = 11  # inet_diag.h
NEWTABLE, GETTABLE, TABLE_NAME = 0xA00, 0xA01, 1  # nf_tables.h, subsystem 10
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_…
DIAGNOSIS = struct.Struct("=4B2s2s16s16sI8s5I")  # struct inet_diag_msg; ports in network order
KINDS = [  # in the order of ss -lntu
    ("udp", socket.IPPROTO_UDP, CLOSE),
    ("tcp", socket.IPPROTO_TCP, LISTEN),
]


def tables() -> list[tuple[str, str]]:
    """Family and name of each nf_tables table; none where the kernel has no nf_tables."""
    try:
        return [
            (FAMILIES.get(body[0], str(body[0])), _attributes(body[4:])[TABLE_NAME][:-1].decode())
            for body in _dump(NETFILTER, GETTABLE, b"\0\0\0\0")
        ]
    except OSError:
        return []


def legacy_tables(family: str) -> bool:
    """Whether the older iptables, which knows no nf_tables, has a table of "ip" or "ip6"."""
    try:
        return bool(Path(f"/proc/thread-self/net/{family}_tables_names").read_bytes())
    except FileNotFoundError:  # its kernel module is not loaded
        return False


def tracks() -> bool:
    """Whether connection tracking has an entry here."""
    try:
        return Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text() != "0\n"
    except OSError:  # its kernel module is not loaded, or hides the number
        return True


def listening(names: dict[int, str]) -> list[dict] | None:
    """The sockets that ``ss -lntu`` lists, each with its inode; None where the kernel can't tell.

    Args:
        names: the interfaces' names by index, for sockets that are bound to one.
    """
    try:
        return [
            _socket(name, body, names)
            for name, protocol, states in KINDS
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in _dump(
                SOCK_DIAG,
                SOCK_DIAG_BY_FAMILY,
                struct.pack("=4BI48x", family, protocol, 0, 0, states),
            )
        ]
    except OSError:  # a kernel without CONFIG_INET_DIAG or CONFIG_INET_UDP_DIAG
        return None


def owners(root: Path) -> dict[int, tuple[int, str]]:
    """Which process holds a socket: its inode → the lowest pid that has it open, and its name."""
    found: dict[int, tuple[int, str]] = {}
    for pid in sorted(int(n) for n in os.listdir(root / "proc") if n.isdecimal()):
        process = root / "proc" / str(pid)
        with contextlib.suppress(OSError):  # it ended while we looked
            held = {os.readlink(file.path) for file in os.scandir(process / "fd")}
            sockets = [int(name[8:-1]) for name in held if name.startswith("socket:[")]
            name = (process / "comm").read_text().strip() if sockets else ""
            for inode in sockets:
                found.setdefault(inode, (pid, name))
    return found


def _socket(protocol: str, body: bytes, names: dict[int, str]) -> dict:
    family, *_, port, _, source, _, interface, _, _, _, _, _, inode = DIAGNOSIS.unpack_from(body)
    width = 4 if family == socket.AF_INET else 16
    address = socket.inet_ntop(family, source[:width])
    if address == "::" and _attributes(body[DIAGNOSIS.size :]).get(SKV6ONLY) == b"\0":
        address = "*"  # IPv4's too, as ss writes it
    if interface:
        address += f"%{names.get(interface, interface)}"
    number = int.from_bytes(port)
    return {"protocol": protocol, "address": address, "port": number, "inode": inode}


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[length + 3 & ~3 :]
    return found


def _dump(protocol: int, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of the kernel's answers; OSError if it refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as channel:
        channel.settimeout(10)
        channel.bind((0, 0))
        channel.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST_DUMP, 1, 0) + body)
        while True:
            data = channel.recv(1 << 16)
            while data:
                length, answer = struct.unpack_from("=IH", data)
                if answer == DONE:
                    return
                if answer == ERROR:
                    code = -struct.unpack_from("=i", data, 16)[0]
                    raise OSError(code, os.strerror(code))
                yield data[16:length]
                data = data[length + 3 & ~3 :]

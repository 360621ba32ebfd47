"""Questions to the kernel about the namespace that the thread is in: which sockets wait for
somebody (sock_diag(7)), which tables of rules there are, which connections are tracked (nfnetlink).

``ss``, ``iptables-save`` and ``conntrack`` know it too, at the price of a process each.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

from labkit.agent.netlink import NETFILTER, SOCK_DIAG, address, attributes, connect, dump

SOCK_DIAG_BY_FAMILY = 20
CLOSE, LISTEN = 1 << 7, 1 << 10  # tcp_states.h; an unconnected UDP socket is in CLOSE
SKV6ONLY = 11  # inet_diag.h
GETCONNTRACK, GETTABLE = 0x101, 0xA01  # nfnetlink_conntrack.h, nf_tables.h
SEEN_REPLY, ASSURED, SRC_NAT, DST_NAT = 2, 4, 16, 32  # nf_conntrack_common.h
TCP_STATES = [
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
    "TIME_WAIT", "CLOSE", "SYN_SENT2",
]  # fmt: skip
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_…
DIAGNOSIS = struct.Struct("=4B2s2s16s16sI8s5I")  # struct inet_diag_msg; ports in network order
KINDS = [  # in the order of ss -lntu
    ("udp", socket.IPPROTO_UDP, CLOSE),
    ("tcp", socket.IPPROTO_TCP, LISTEN),
]


def tables() -> list[tuple[str, str]]:
    """Family and name of each nf_tables table; none where the kernel has no nf_tables."""
    try:
        with connect(NETFILTER) as channel:
            return [
                (FAMILIES.get(body[0], str(body[0])), attributes(body, 4)[1][:-1].decode())
                for body in dump(channel, GETTABLE, bytes(4))  # NFTA_TABLE_NAME is 1
            ]
    except OSError:
        return []


def legacy_tables(family: str) -> list[str]:
    """The tables for "ip" or "ip6" of the older iptables, which knows no nf_tables."""
    try:
        return Path(f"/proc/thread-self/net/{family}_tables_names").read_text().split()
    except FileNotFoundError:  # its kernel module is not loaded
        return []


def connections() -> list[dict]:
    """What connection tracking knows of here: linux/netfilter/nfnetlink_conntrack.h."""
    try:  # the kernel walks one table for all namespaces, 5 ms each time
        if Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text() == "0\n":
            return []
    except OSError:
        pass  # its kernel module is not loaded, or hides the number
    with connect(NETFILTER) as channel:
        return [_connection(attributes(body, 4)) for body in dump(channel, GETCONNTRACK, bytes(4))]


def _connection(told: dict[int, bytes]) -> dict:
    original, reply = attributes(told[1]), attributes(told[2])  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
    protocol = attributes(original[2])[1][0]  # CTA_TUPLE_PROTO, CTA_PROTO_NUM
    tcp = attributes(attributes(told.get(4, b"")).get(1, b""))  # CTA_PROTOINFO, CTA_PROTOINFO_TCP
    status = int.from_bytes(told[3])  # CTA_STATUS
    return {
        "protocol": {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}.get(protocol, str(protocol)),
        "original": _tuple(original),
        "reply": _tuple(reply),
        "state": TCP_STATES[tcp[1][0]] if 1 in tcp else None,  # CTA_PROTOINFO_TCP_STATE
        "timeout": int.from_bytes(told.get(7, b"")),  # CTA_TIMEOUT
        "seen_reply": bool(status & SEEN_REPLY),
        "assured": bool(status & ASSURED),
        "snat": bool(status & SRC_NAT),
        "dnat": bool(status & DST_NAT),
    }


def _tuple(told: dict[int, bytes]) -> dict:
    addresses = attributes(told[1])  # CTA_TUPLE_IP: CTA_IP_V4_SRC, …V4_DST, …V6_SRC, …V6_DST
    protocol = attributes(told[2])  # CTA_TUPLE_PROTO: …, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT
    return {
        "source": address(addresses.get(1) or addresses[3]),
        "destination": address(addresses.get(2) or addresses[4]),
        "source_port": int.from_bytes(protocol[2]) if 2 in protocol else None,
        "destination_port": int.from_bytes(protocol[3]) if 3 in protocol else None,
    }


def listening(names: dict[int, str]) -> list[dict] | None:
    """The sockets that ``ss -lntu`` lists, each with its inode; None where the kernel can't tell.

    Args:
        names: the interfaces' names by index, for sockets that are bound to one.
    """
    try:
        with connect(SOCK_DIAG) as channel:
            return [
                _socket(name, body, names)
                for name, protocol, states in KINDS
                for family in (socket.AF_INET, socket.AF_INET6)
                for body in dump(
                    channel,
                    SOCK_DIAG_BY_FAMILY,
                    struct.pack("=4BI48x", family, protocol, 0, 0, states),
                )
            ]
    except OSError:  # a kernel without CONFIG_INET_DIAG or CONFIG_INET_UDP_DIAG
        return None


def owners(root: Path, wanted: set[int]) -> dict[int, tuple[int, str]]:
    """Which process holds a socket: its inode → the lowest pid that has it open, and its name."""
    found: dict[int, tuple[int, str]] = {}
    for pid in sorted(int(n) for n in os.listdir(root / "proc") if n.isdecimal()):
        if wanted <= found.keys():
            break
        process = root / "proc" / str(pid)
        with contextlib.suppress(OSError):  # it ended while we looked
            held = {os.readlink(file.path) for file in os.scandir(process / "fd")}
            inodes = {int(name[8:-1]) for name in held if name.startswith("socket:[")}
            for inode in inodes & wanted - found.keys():
                found[inode] = pid, (process / "comm").read_text().strip()
    return found


def _socket(protocol: str, body: bytes, names: dict[int, str]) -> dict:
    family, *_, port, _, source, _, interface, _, _, _, _, _, inode = DIAGNOSIS.unpack_from(body)
    width = 4 if family == socket.AF_INET else 16
    local = address(source[:width])
    if local == "::" and attributes(body, DIAGNOSIS.size).get(SKV6ONLY) == b"\0":
        local = "*"  # IPv4's too, as ss writes it
    if interface:
        local += f"%{names.get(interface, interface)}"
    number = int.from_bytes(port)
    return {"protocol": protocol, "address": local, "port": number, "inode": inode}

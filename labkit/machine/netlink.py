"""Asks this kernel about one network feature at a time, through netlink(7), with no tool installed.

Each question makes something in the network namespace that the caller is in, so ask in a new one.
"""

from __future__ import annotations

import os
import socket
import struct

ROUTE, NETFILTER, GENERIC = 0, 12, 16  # netlink's families
REQUEST, ACK, CREATE, EXCLUSIVE = 0x1, 0x4, 0x400, 0x200  # nlmsghdr's flags, netlink(7)
ERROR = 2  # NLMSG_ERROR: the kernel's acknowledgement

NEWLINK, NESTED = 16, 0x8000  # rtnetlink(7)
IFNAME, LINK, LINKINFO, INFO_KIND, INFO_DATA = 3, 5, 18, 1, 2
VXLAN_ID = 1

NFTABLES, COMPAT, CONNTRACK = 10, 11, 1  # subsystems, linux/netfilter/nfnetlink.h
BATCH_BEGIN, BATCH_END = 16, 17
NEWTABLE, NEWCHAIN = 0, 3
POSTROUTING, SOURCE_NAT = 4, 100

GENERIC_CONTROL, GET_FAMILY, FAMILY_NAME = 16, 3, 2  # linux/genetlink.h


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a C string."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute that is a 32-bit number in network order."""
    return attribute(kind, struct.pack(">i", value))


def message(kind: int, flags: int, body: bytes, sequence: int = 1) -> bytes:
    """One message: header and body."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags | REQUEST, sequence, 0) + body


def ask(protocol: int, *messages: bytes) -> None:
    """Send messages in one packet and read what the kernel says first; OSError if it refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as channel:
        channel.settimeout(10)
        channel.bind((0, 0))
        channel.send(b"".join(messages))
        answer = channel.recv(1 << 16)
    _, kind = struct.unpack_from("=IH", answer)
    code = struct.unpack_from("=i", answer, 16)[0] if kind == ERROR else 0
    if code:
        raise OSError(-code, os.strerror(-code))


def link(kind: str, name: str, parent: int = 0, data: bytes = b"") -> None:
    """Make a network interface, as ``ip link add NAME type KIND`` does.

    The kernel loads the module of that kind if it has one.
    """
    info = text(INFO_KIND, kind) + (attribute(INFO_DATA | NESTED, data) if data else b"")
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + text(IFNAME, name)
    if parent:
        body += attribute(LINK, struct.pack("=I", parent))
    body += attribute(LINKINFO | NESTED, info)
    ask(ROUTE, message(NEWLINK, CREATE | EXCLUSIVE | ACK, body))


def vxlan(name: str) -> None:
    """Make a VXLAN interface."""
    link("vxlan", name, data=attribute(VXLAN_ID, struct.pack("=I", 42)))


def _netfilter(subsystem: int, kind: int, flags: int, body: bytes, resource: int = 0) -> bytes:
    header = struct.pack(">BBH", socket.AF_INET, 0, resource)
    return message(subsystem << 8 | kind, flags, header + body)


def _batch(*messages: bytes) -> None:
    edge = struct.pack(">BBH", 0, 0, NFTABLES)
    ask(
        NETFILTER,
        message(BATCH_BEGIN, 0, edge),
        *messages,
        message(BATCH_END, 0, edge),
    )


def nf_tables() -> None:
    """Make an nftables table."""
    _batch(_netfilter(NFTABLES, NEWTABLE, CREATE | ACK, text(1, "probe")))


def nat() -> None:
    """Make an nftables chain for source NAT."""
    hook = number(1, POSTROUTING) + number(2, SOURCE_NAT)
    chain = text(1, "probe") + text(3, "nat") + attribute(4 | NESTED, hook) + text(7, "nat")
    _batch(
        _netfilter(NFTABLES, NEWTABLE, CREATE, text(1, "probe")),
        _netfilter(NFTABLES, NEWCHAIN, CREATE | ACK, chain),
    )


def iptables(extension: str, target: bool, revision: int = 0) -> None:
    """Ask for an iptables match or target, as iptables-nft does before it uses one."""
    body = text(1, extension) + number(2, revision) + number(3, int(target))
    ask(NETFILTER, _netfilter(COMPAT, 0, ACK, body))


def conntrack() -> None:
    """Ask for the connection tracking table's statistics."""
    ask(NETFILTER, _netfilter(CONNTRACK, 5, ACK, b""))


def generic(family: str) -> None:
    """Ask for a generic netlink family, such as IPVS."""
    body = struct.pack("=BBH", GET_FAMILY, 1, 0) + text(FAMILY_NAME, family)
    ask(GENERIC, message(GENERIC_CONTROL, ACK, body))

"""The few netlink messages of nf_tables that a trace needs: linux/netfilter/nf_tables.h.

The kernel reports what rules a packet meets once the packet is marked with ``nftrace``. The table
that marks is bound to the socket that made it: the kernel removes it when the socket closes,
however that comes about (NFT_TABLE_F_OWNER, Linux 5.12).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

TABLE = "labkit-journey"
NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
NFPROTO_INET = 1
NFTABLES, BATCH_BEGIN, BATCH_END = 10, 16, 17
NEW_TABLE, NEW_CHAIN, GET_CHAIN, NEW_RULE, GET_RULE = 0, 3, 4, 6, 7
TRACE_GROUP = 9
OWNER = 2
PREROUTING, OUTPUT = 0, 3
FIRST = -500  # before raw (-300), so that its rules are traced too
REGISTER, META_NFTRACE = 1, 12
REQUEST, ACK, DUMP, CREATE = 1, 4, 0x300, 0x400
ERROR, DONE = 2, 3
BUFFER = 1 << 16


def connect() -> socket.socket:
    """A netlink socket to nf_tables of the calling thread's namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)


def subscribe(netlink: socket.socket) -> None:
    """Have the reports of traced packets arrive at the socket."""
    netlink.bind((0, 0))  # an address; without one nothing is sent to it
    netlink.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, TRACE_GROUP)


def mark_all(netlink: socket.socket) -> None:
    """Mark every packet that arrives or sets out, until the socket closes.

    Raises:
        OSError: this kernel has no nf_tables, or no tables with an owner.
    """
    table = _text(1, TABLE)
    messages = [_message(BATCH_BEGIN, 0, 0, b"", NFTABLES)]
    messages.append(
        _message(_nft(NEW_TABLE), NFPROTO_INET, CREATE | ACK, table + _number(2, OWNER))
    )
    for name, hook in (("in", PREROUTING), ("out", OUTPUT)):
        at = _nested(4, _number(1, hook) + _number(2, FIRST))
        chain = table + _text(3, name) + at + _text(7, "filter")
        messages.append(_message(_nft(NEW_CHAIN), NFPROTO_INET, CREATE | ACK, chain))
        one = _nested(2, _attribute(1, b"\1"))
        load = _expression("immediate", _number(1, REGISTER) + one)
        mark = _expression("meta", _number(2, META_NFTRACE) + _number(3, REGISTER))
        rule = table + _text(2, name) + _nested(4, load + mark)
        messages.append(_message(_nft(NEW_RULE), NFPROTO_INET, CREATE | ACK, rule))
    messages.append(_message(BATCH_END, 0, 0, b"", NFTABLES))
    netlink.send(b"".join(messages))
    for _ in range(5):  # what was to be acknowledged
        _, body = next(_parts(netlink.recv(BUFFER)))
        if code := -struct.unpack_from("=i", body)[0]:
            raise OSError(code, f"no trace of nf_tables here: {os.strerror(code)}")


def dump(netlink: socket.socket) -> dict[str, list[str]]:
    """The messages that tell of all chains and all rules, in hexadecimal, headers left out."""
    return {"chains": _dump(netlink, GET_CHAIN), "rules": _dump(netlink, GET_RULE)}


def _dump(netlink: socket.socket, what: int) -> list[str]:
    netlink.send(_message(_nft(what), 0, DUMP, b""))
    found: list[str] = []
    while True:
        for kind, body in _parts(netlink.recv(BUFFER)):
            if kind in (ERROR, DONE):
                return found
            if TABLE.encode() not in body:
                found.append(body.hex())


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of a datagram: type and body."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def reports(data: bytes) -> list[str]:
    """The bodies of a datagram's messages, in hexadecimal, without those of our own table."""
    return [body.hex() for _, body in _parts(data) if TABLE.encode() not in body]


def _nft(message: int) -> int:
    return NFTABLES << 8 | message


def _message(kind: int, family: int, flags: int, body: bytes, resource: int = 0) -> bytes:
    head = struct.pack("=IHHII", 20 + len(body), kind, flags | REQUEST, 0, 0)
    return head + struct.pack("=BB", family, 0) + struct.pack(">H", resource) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | 0x8000, value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _expression(name: str, data: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, data))

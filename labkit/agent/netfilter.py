"""The few netlink messages of nf_tables that a trace needs: linux/netfilter/nf_tables.h.

The kernel reports what rules a packet meets once the packet is marked with ``nftrace``. The table
that marks is bound to the socket that made it: the kernel removes it when the socket closes,
however that comes about (NFT_TABLE_F_OWNER, Linux 5.12).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from labkit.agent import netlink
from labkit.agent.netlink import ACK, CREATE

TABLE = "labkit-journey"
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFPROTO_INET = 1
NFTABLES, BATCH_BEGIN, BATCH_END = 10, 16, 17
NEW_TABLE, NEW_CHAIN, GET_CHAIN, NEW_RULE, GET_RULE = 0, 3, 4, 6, 7
TRACE_GROUP = 9
OWNER = 2
PREROUTING, OUTPUT = 0, 3
FIRST = -500  # before raw (-300), so that its rules are traced too
REGISTER, META_NFTRACE = 1, 12


def subscribe(channel: socket.socket) -> None:
    """Have the reports of traced packets arrive at the socket."""
    channel.bind((0, 0))  # an address; without one nothing is sent to it
    channel.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, TRACE_GROUP)


def mark_all(channel: socket.socket) -> None:
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
    channel.send(b"".join(messages))
    for _ in range(5):  # what was to be acknowledged
        netlink.answer(channel)


def dump(channel: socket.socket) -> dict[str, list[str]]:
    """The messages that tell of all chains and all rules, in hexadecimal, headers left out."""
    return {"chains": _dump(channel, GET_CHAIN), "rules": _dump(channel, GET_RULE)}


def _dump(channel: socket.socket, what: int) -> list[str]:
    return _foreign(netlink.dump(channel, _nft(what), bytes(4)))


def reports(data: bytes) -> list[str]:
    """The bodies of a datagram's messages, in hexadecimal, without those of our own table."""
    return _foreign(body for _, body in netlink.parts(data))


def _foreign(bodies: Iterable[bytes]) -> list[str]:
    return [body.hex() for body in bodies if TABLE.encode() not in body]


def _nft(message: int) -> int:
    return NFTABLES << 8 | message


def _message(kind: int, family: int, flags: int, body: bytes, resource: int = 0) -> bytes:
    return netlink.message(kind, flags, struct.pack(">BxH", family, resource) + body)


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

"""Netlink, the kernel's own language for networking: netlink(7). Ask, and take answers apart.

A socket speaks of the network namespace in which it was made, whoever uses it later.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import overload

ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12  # rtnetlink(7), sock_diag(7), linux/netfilter/nfnetlink.h
REQUEST, ACK, DUMP, CREATE = 1, 4, 0x300, 0x400  # flags of a message
ERROR, DONE = 2, 3  # kinds of an answer
BUFFER = 1 << 16
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
HEADER, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")


def join(namespace: int) -> None:
    """Take the calling thread into the network namespace of that open file, for good: setns(2)."""
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot join a network namespace")


def connect(protocol: int) -> socket.socket:
    """A socket to a part of the kernel, in the calling thread's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)


def message(kind: int, flags: int, body: bytes) -> bytes:
    """A request."""
    return HEADER.pack(HEADER.size + len(body), kind, REQUEST | flags, 0, 0) + body


def parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of a datagram: kind and body."""
    at = 0
    while at < len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        yield kind, data[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def answer(channel: socket.socket) -> bytes:
    """The body of one answer; OSError if the kernel refuses."""
    return _checked(*next(parts(channel.recv(BUFFER))))


def dump(channel: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of all answers; OSError if the kernel refuses."""
    channel.send(message(kind, DUMP, body))
    while True:
        for what, data in parts(channel.recv(BUFFER)):
            if what == DONE:
                return
            yield _checked(what, data)


def _checked(kind: int, body: bytes) -> bytes:
    if kind == ERROR and (code := -struct.unpack_from("=i", body)[0]):
        raise OSError(code, os.strerror(code))
    return body


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """What a message, or an attribute that nests others, holds from there on."""
    found = {}
    while at < len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


@overload
def number(data: bytes) -> int: ...
@overload
def number(data: None) -> None: ...
def number(data: bytes | None) -> int | None:
    """An attribute that is an unsigned integer in the machine's own byte order."""
    return None if data is None else int.from_bytes(data, sys.byteorder)


@overload
def address(data: bytes) -> str: ...
@overload
def address(data: None) -> None: ...
def address(data: bytes | None) -> str | None:
    """An attribute that is an IPv4 or IPv6 address: its length tells."""
    if data is None:
        return None
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)

"""What nf_tables' netlink messages say: chains, rules with their counters, reports of a trace.

Attribute numbers are those of linux/netfilter/nf_tables.h. A message's body comes as
hexadecimal text, as ``labkit.agent`` sends it; SnapshotError where it is none of them.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from labkit.errors import SnapshotError

TRACING = ("inet", "labkit-journey")  # the table that stands while packets are traced
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
HOOKS = {0: "PREROUTING", 1: "INPUT", 2: "FORWARD", 3: "OUTPUT", 4: "POSTROUTING"}
NETDEV_HOOKS = {0: "INGRESS", 1: "EGRESS"}
POLICY, RETURN, RULE = 1, 2, 3  # types of a report
DROP, ACCEPT, CONTINUE, JUMP, GOTO, RETURNED = 0, 1, -1, -3, -4, -5  # verdicts

Key = tuple[str, str, str]  # family, table, chain


@dataclass(frozen=True)
class Rules:
    """The chains and rules of a namespace at one moment."""

    hooks: dict[Key, str]  # of the base chains
    handles: dict[Key, dict[int, int]]  # of each chain, in order: handle → packets counted

    def number(self, chain: Key, handle: int) -> int | None:
        """A rule's place in its chain, from 1, or None."""
        handles = list(self.handles.get(chain, ()))
        return handles.index(handle) + 1 if handle in handles else None


@dataclass(frozen=True)
class Report:
    """A packet met a rule, the end of a chain or a base chain's policy."""

    chain: Key
    kind: int
    verdict: int
    target: str | None = None  # the chain of a jump
    handle: int | None = None


@dataclass
class Run:
    """A packet's way through one base chain, and the headers with which it came there."""

    chain: Key
    link: bytes
    network: bytes
    transport: bytes
    iif: int | None
    oif: int | None
    arrived: int  # nanoseconds; when it was read, a little after it happened
    number: int  # in the order in which the runs began
    reports: list[Report] = field(default_factory=list)


def rules(dump: dict[str, list[str]]) -> Rules:
    """The chains and rules of the answers to NFT_MSG_GETCHAIN and NFT_MSG_GETRULE."""
    hooks: dict[Key, str] = {}
    handles: dict[Key, dict[int, int]] = {}
    for body in dump.get("chains", ()):
        with _told():
            family, found = _body(body)
            if hook := found.get(4):
                names = NETDEV_HOOKS if family == "netdev" else HOOKS
                number = _number(_attributes(hook)[1])
                hooks[family, _text(found[1]), _text(found[3])] = names.get(number, str(number))
    for body in dump.get("rules", ()):
        with _told():
            family, found = _body(body)
            chain = handles.setdefault((family, _text(found[1]), _text(found[2])), {})
            chain[struct.unpack(">Q", found[3])[0]] = _counter(found.get(4, b""))
    return Rules(hooks, handles)


def runs(reports: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, Run]]:
    """The ways through base chains, each with its namespace; reports are in order of arrival.

    A packet's headers are told once for each base chain, with the first report: there a new run
    begins. The packets that are under way at one time are told apart by the trace's id.
    """
    order: list[tuple[int, Run]] = []
    current: dict[tuple[int, int], Run] = {}
    for place, arrived, body in reports:
        with _told():
            family, found = _body(body)
            who = (place, _number(found[6]))
            chain = (family, _text(found[1]), _text(found[2]))
            if 8 in found:
                iif, oif = (_number(found[n]) if n in found else None for n in (10, 12))
                headers = (found.get(7, b""), found[8], found.get(9, b""))
                current[who] = Run(chain, *headers, iif, oif, arrived, len(order))
                order.append((place, current[who]))
            if who in current:
                current[who].reports.append(_report(chain, found))
    yield from order


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What a message lacks, or what stands in it and cannot be, is a SnapshotError."""
    try:
        yield
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise SnapshotError(f"what was heard is no message of nf_tables: {error!r}") from error


def _report(chain: Key, found: dict[int, bytes]) -> Report:
    kind = _number(found[4])
    if kind == POLICY:
        return Report(chain, kind, _number(found[16]))
    verdict = _attributes(found[5])
    handle = struct.unpack(">Q", found[3])[0] if 3 in found else None
    target = _text(verdict[2]) if 2 in verdict else None
    return Report(chain, kind, _number(verdict[1]), target, handle)


def _counter(expressions: bytes) -> int:
    """The packets that a rule's counter has, or 0 without one."""
    for _, expression in _each(expressions):
        found = _attributes(expression)
        if _text(found[1]) == "counter":
            return struct.unpack(">Q", _attributes(found[2])[2])[0]
    return 0


def _body(text: str) -> tuple[str, dict[int, bytes]]:
    """The family and the attributes of a message."""
    data = bytes.fromhex(text)
    return FAMILIES.get(data[0], str(data[0])), _attributes(data[4:])


def _attributes(data: bytes) -> dict[int, bytes]:
    return dict(_each(data))


def _each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Netlink attributes: netlink(7)."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            raise ValueError(f"an attribute of {length} bytes")
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def _number(value: bytes) -> int:
    return struct.unpack(">i", value)[0]


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()

"""Watch a command's packets on their way through the whole lab: captures and nf_tables' trace.

Raw facts only: frames as they were captured, the kernel's messages as they came. What they mean
is said in ``labkit.model.trace``. Everything hangs on sockets that are closed at the end, so
that nothing can be left behind in a namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from labkit.agent import engine, netfilter, netlink
from labkit.agent.network import Node
from labkit.agent.observe import Place, places
from labkit.agent.process import Children, execute
from labkit.agent.wire import Call

ETH_P_ALL, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 3, 35, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
SNAPLEN = 640  # bytes of a frame that are kept: a DNS answer, the head of an HTTP one
MOST = 8000  # frames, and as many reports
ROOM = 1 << 23  # bytes that a socket may hold before they are read
QUIET, PATIENCE = 0.08, 1.0  # seconds without a frame, and how long to wait for such a pause
BRIDGE_NF = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@dataclass
class Ear:
    """The sockets that listen in one namespace."""

    node: Node
    place: Place
    names: dict[int, str]
    bridge_nf: bool  # whether bridged frames meet iptables' rules (br_netfilter)
    frames: socket.socket
    trace: socket.socket | None = None  # None where the kernel has no trace
    marker: socket.socket | None = None
    before: dict = field(default_factory=dict)

    def close(self) -> None:
        """Stop listening; the kernel removes the marking table with its socket."""
        for part in (self.marker, self.trace, self.frames):
            if part:
                part.close()


async def journey(
    children: Children,
    call: Call,
    nodes: Iterable[Node],
    node: Node,
    script: str,
    timeout: float,
) -> dict:
    """Run a script on a node as ``execute`` does; what was seen of its packets in the lab.

    After ``timeout`` seconds it is interrupted; its status is then 124, as timeout(1) has it.
    """
    heard = Heard()
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as open_files:
        found = await _find(nodes, open_files)
        ears: list[Ear] = []
        open_files.callback(_close, ears)
        # A thread that joins other namespaces is good for nothing else afterwards.
        with ThreadPoolExecutor(max_workers=1) as own:
            await loop.run_in_executor(own, _open, found, ears)
        for number, ear in enumerate(ears):
            heard.listen(loop, number, ear)
        try:
            status = await execute(children, call, node.pid, script, raw=False, timeout=timeout)
            await heard.quiet()
            facts = [_facts(ear) for ear in ears]
            missed = sum(_missed(ear.frames) for ear in ears)
        finally:
            for ear in ears:
                heard.ignore(loop, ear)
    return {
        "status": status,
        "places": facts,
        "frames": heard.frames,
        "reports": heard.reports,
        "cut": heard.cut or missed > 0,
    }


class Heard:
    """What the ears have heard, in the order in which it came."""

    def __init__(self) -> None:
        self.frames: list[tuple] = []  # place, interface, packet type, nanoseconds, bytes
        self.reports: list[tuple] = []  # place, nanoseconds, body of the message
        self.cut = False
        self._last = time.monotonic()

    def listen(self, loop: asyncio.AbstractEventLoop, number: int, ear: Ear) -> None:
        """Take what arrives at an ear from now on."""
        loop.add_reader(ear.frames, self._frame, number, ear.frames)
        if ear.trace:
            loop.add_reader(ear.trace, self._report, number, ear.trace)

    def ignore(self, loop: asyncio.AbstractEventLoop, ear: Ear) -> None:
        """Take no more of it."""
        loop.remove_reader(ear.frames)
        if ear.trace:
            loop.remove_reader(ear.trace)

    async def quiet(self) -> None:
        """Wait until the packets under way have arrived."""
        end = time.monotonic() + PATIENCE
        self._last = time.monotonic()
        while (now := time.monotonic()) < min(end, self._last + QUIET):
            await asyncio.sleep(min(end, self._last + QUIET) - now)

    def _frame(self, number: int, source: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, extra, _, address = source.recvmsg(SNAPLEN, 64)
                self._last = time.monotonic()
                seconds, nanoseconds = struct.unpack("=qq", extra[0][2])
                when = seconds * 10**9 + nanoseconds
                if len(self.frames) < MOST:
                    self.frames.append((number, address[0], address[2], when, data.hex()))
                else:
                    self.cut = True

    def _report(self, number: int, source: socket.socket) -> None:
        try:
            while True:
                data, now = source.recv(netlink.BUFFER), time.time_ns()
                if len(self.reports) < MOST:
                    self.reports += ((number, now, body) for body in netfilter.reports(data))
                else:
                    self.cut = True
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: some did not fit
            self.cut = True


async def _find(
    nodes: Iterable[Node], open_files: contextlib.ExitStack
) -> list[tuple[Node, Place]]:
    """Every namespace of every node."""
    nodes = list(nodes)
    known = await asyncio.gather(*(asyncio.to_thread(engine.facts, node.root) for node in nodes))
    return [
        (node, place)
        for node, facts in zip(nodes, known, strict=True)
        for place in places(node, facts, open_files)
    ]


def _open(found: list[tuple[Node, Place]], ears: list[Ear]) -> None:
    """Open every namespace's sockets; a socket stays in the namespace in which it was made."""
    for node, place in found:
        netlink.join(place.file)
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        ear = Ear(node, place, dict(socket.if_nameindex()), _bridge_nf(), frames)
        ears.append(ear)
        frames.setblocking(False)
        _widen(frames)
        frames.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            ear.trace, ear.marker = (netlink.connect(netlink.NETFILTER) for _ in range(2))
            ear.before = netfilter.dump(ear.marker)
            ear.trace.setblocking(False)
            _widen(ear.trace)
            netfilter.subscribe(ear.trace)
            netfilter.mark_all(ear.marker)
        except OSError:
            for part in (ear.trace, ear.marker):
                if part:
                    part.close()
            ear.trace = ear.marker = None


def _close(ears: list[Ear]) -> None:
    """All at once: for each socket the kernel waits until no packet is on its way to it."""
    with ThreadPoolExecutor(max_workers=len(ears) or 1) as pool:
        list(pool.map(Ear.close, ears))


def _widen(listener: socket.socket) -> None:
    """Give it room for what arrives at once; beyond the system's limit only where root may."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    with contextlib.suppress(PermissionError):
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)


def _missed(frames: socket.socket) -> int:
    """How many frames found no room: packet(7)."""
    return struct.unpack("=II", frames.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


def _bridge_nf() -> bool:
    """Of the calling thread's namespace."""
    return BRIDGE_NF.exists() and BRIDGE_NF.read_text().strip() == "1"


def _facts(ear: Ear) -> dict:
    return {
        "node": ear.node.name,
        "kind": ear.place.kind,
        "name": ear.place.name,
        "id": ear.place.inode,
        "interfaces": ear.names,
        "bridge_nf": ear.bridge_nf,
        "traced": ear.trace is not None,
        "before": ear.before,
        "after": netfilter.dump(ear.marker) if ear.marker else {},
    }

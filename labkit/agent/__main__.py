"""Process 1 of the machine: answers the calls of the learner's side until that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import traceback

from labkit.agent import engine, network, one_id
from labkit.agent.cable import cable
from labkit.agent.events import events
from labkit.agent.journey import SO_TIMESTAMPNS, journey
from labkit.agent.observe import observe
from labkit.agent.process import Children, execute
from labkit.agent.wire import Call, Wire, copy, deliver, streams

PIPE = 1 << 20  # bytes of an answer that can be under way


class Agent:
    """The calls that the learner's side can make."""

    def __init__(self) -> None:
        self.children = Children()
        self.nodes: dict[str, network.Node] = {}
        self.tracing = asyncio.Lock()
        # The kernel notes when a frame passes only while somebody wants to know, and begins a
        # moment late (net_enable_timestamp): a journey's first frames would bear the time at
        # which they were read, not that of their way.
        self.clock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.clock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    async def build(self, call: Call, hosts: int, stations: int) -> list[dict]:
        """Make the lab that large, every engine ready: what there is now, and where."""
        wanted = network.plan(hosts, stations)
        self.nodes = await network.build(self.children, wanted, self.nodes)
        engines = [n for n in self.nodes.values() if n.kind == "host"]
        await asyncio.gather(*(engine.ready(n.name, n.root) for n in engines))
        return [{"name": n.name, "kind": n.kind, "address": n.address} for n in self.nodes.values()]

    async def execute(
        self, call: Call, node: str, script: str, raw: bool, timeout: float | None = None
    ) -> int:
        """Run a shell script on a node; its exit status."""
        return await execute(self.children, call, self.nodes[node].pid, script, raw, timeout)

    async def connect(self, call: Call, node: str, path: str) -> None:
        """Relay bytes to and from a UNIX socket of a node, until that end closes."""
        reader, writer = await asyncio.open_unix_connection(f"{self.nodes[node].root}{path}")
        forth = asyncio.ensure_future(_feed(call, writer))
        try:
            await copy(call, reader, 1)
        finally:
            forth.cancel()
            writer.close()

    async def observe(self, call: Call, node: str) -> dict:
        """The facts of a lab host's networking now."""
        return await observe(self.children, self.nodes[node])

    async def journey(self, call: Call, node: str, script: str, timeout: float) -> dict:
        """Run a shell script on a node; what was seen of its packets, everywhere in the lab."""
        async with self.tracing:
            nodes = self.nodes.values()
            return await journey(self.children, call, nodes, self.nodes[node], script, timeout)

    async def events(self, call: Call, node: str) -> None:
        """Tell when the networking of a lab host has changed, until the call is given up."""
        await events(call, self.nodes[node])

    async def cable(self, call: Call, node: str, interface: str) -> None:
        """Relay Ethernet frames to and from an interface of a node, until the call's end."""
        await cable(call, self.nodes[node], interface)


async def _feed(call: Call, writer: asyncio.StreamWriter) -> None:
    """Write what the call brings; its end closes this direction alone."""
    await deliver(call, writer)
    writer.write_eof()


async def main() -> None:
    """Serve until the other end of standard input is closed; then everything ends at once."""
    # What a shell in the background ignores, its children ignore: a machine's programs must not.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if one_id.is_alone():
        one_id.pretend()
    with contextlib.suppress(OSError):  # it is no pipe, or the user has too many: pipe(7)
        fcntl.fcntl(sys.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    agent = Agent()
    calls = ("build", "execute", "connect", "observe", "events", "journey", "cable")
    try:
        reader, writer = await streams(sys.stdin.buffer, sys.stdout.buffer)
        await Wire(reader, writer, {name: getattr(agent, name) for name in calls}).run()
    except Exception:
        traceback.print_exc()
    os._exit(0)  # no task is waited for: the kernel ends every process of the machine


if __name__ == "__main__":
    asyncio.run(main())

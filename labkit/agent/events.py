"""Tell that a lab host's networking has changed, as soon as the kernel or the engine tells.

The kernel tells by netlink multicast (netlink(7), rtnetlink(7)) of interfaces, addresses, routes,
neighbours and nf_tables rules, the engine by its events of containers and networks. Traffic
changes only counters and connection tracking, and of those nothing is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labkit.agent import netlink
from labkit.agent.engine import SOCKET
from labkit.agent.network import Node
from labkit.agent.wire import CHUNK, Call

# linux/netlink.h, linux/rtnetlink.h, linux/netfilter/nfnetlink.h
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_LISTEN_ALL_NSID = 270, 1, 8
GROUPS = {
    netlink.ROUTE: {
        "link": 1, "neighbour": 3, "IPv4 address": 5, "IPv4 route": 7, "IPv4 rule": 8,
        "IPv6 address": 9, "IPv6 route": 11, "IPv6 rule": 19,
    },
    netlink.NETFILTER: {"nf_tables": 7},
}  # fmt: skip
EVENTS = "/events?filters=" + '{"type":["container","network"]}'.replace('"', "%22")


async def events(call: Call, node: Node) -> None:
    """Write "kernel" or "engine" on a line for each change; "ready" before, once we listen.

    Changes that come while the reader is behind are told once. Ends when the call is given up.
    """
    changed: dict[str, None] = {}  # who has something to tell, in order
    wake = asyncio.Event()

    def tell(who: str) -> None:
        changed[who] = None
        wake.set()

    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(max_workers=1) as own:
        # A thread that joins another namespace is good for nothing else afterwards.
        for open_socket in await loop.run_in_executor(own, _listen, node.pid):
            stack.enter_context(open_socket)
            loop.add_reader(open_socket, _drain, open_socket, lambda: tell("kernel"))
            stack.callback(loop.remove_reader, open_socket)
        following = asyncio.ensure_future(_follow(node.root, lambda: tell("engine")))
        stack.callback(lambda: following.cancel())  # whichever it is by then
        tell("ready")
        while True:
            await wake.wait()
            wake.clear()
            # An engine that starts makes its rules, and that the kernel tells.
            if following.done():
                following = asyncio.ensure_future(_follow(node.root, lambda: tell("engine")))
            lines = "".join(f"{who}\n" for who in changed)
            changed.clear()
            await call.write(lines.encode(), 1)


def _listen(pid: int) -> list[socket.socket]:
    """Netlink sockets in the network namespace of that process: a socket stays where it was made.

    They hear of the namespaces too that this one has an id for, its containers': ip-netns(8).
    """
    with open(f"/proc/{pid}/ns/net") as file:
        netlink.join(file.fileno())
    made = []
    for protocol, groups in GROUPS.items():
        made.append(netlink.connect(protocol))
        made[-1].setblocking(False)
        made[-1].bind((0, 0))  # one with no address is taken for the kernel, and told nothing
        made[-1].setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        for group in groups.values():
            made[-1].setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    return made


def _drain(open_socket: socket.socket, tell: Callable[[], None]) -> None:
    """Read all there is: what it says, a snapshot will say better."""
    while True:
        try:
            open_socket.recv(CHUNK)
        except BlockingIOError:
            return tell()
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more was to tell than there was room for
                raise


async def _follow(root: Path, tell: Callable[[], None]) -> None:
    """Follow the engine's events (Engine API, GET /events) until it ends, which is one too."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(root / SOCKET))
    except OSError:
        return  # it does not run
    try:
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        while await reader.read(CHUNK):
            tell()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
    tell()

"""A cable that leads out of the machine: the frames of an interface, as bytes of a call.

Before each frame stands its length, four bytes, the highest first: as QEMU and passt write frames
to a stream. What they mean is the other end's affair.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from labkit.agent import netlink
from labkit.agent.network import Node
from labkit.agent.wire import Call

ETH_P_ALL, SOL_PACKET, PACKET_IGNORE_OUTGOING = 3, 263, 23
LONGEST = 1 << 16  # bytes of a frame


async def cable(call: Call, node: Node, interface: str) -> None:
    """Send what arrives at an interface of a node, and let what the call brings arrive there.

    The interface is one end of a veth pair: what is sent from it arrives at the other end.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as own:
        plug = await loop.run_in_executor(own, _plug, node.pid, interface)
    with plug:
        sending = asyncio.ensure_future(_send(call, plug))
        try:
            async for frame in _frames(call):
                try:
                    plug.send(frame)
                except OSError:  # as on any cable, what there is no room for is lost
                    continue
        finally:
            sending.cancel()


def _plug(pid: int, interface: str) -> socket.socket:
    """A packet socket (packet(7)) at an interface of that process's network namespace."""
    with open(f"/proc/{pid}/ns/net") as file:
        netlink.join(file.fileno())
    plug = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | os.O_NONBLOCK)
    plug.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    plug.bind((interface, ETH_P_ALL))
    return plug


async def _send(call: Call, plug: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        frame = await loop.sock_recv(plug, LONGEST)
        await call.write(len(frame).to_bytes(4) + frame, 1)


async def _frames(call: Call) -> AsyncIterator[bytes]:
    held = b""
    while (item := await call.read()) is not None and item[1]:
        held += item[1]
        while len(held) >= 4 and len(held) >= (end := 4 + int.from_bytes(held[:4])):
            yield held[4:end]
            held = held[end:]

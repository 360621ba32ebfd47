"""Calls and their byte streams over one pair of pipes: the same code at both ends of the channel.

A frame is a header (payload length, call number, kind) and a payload. A call is opened by one
side with a JSON request, carries numbered byte streams in both directions (0, 1, 2: as file
descriptors), and ends with a JSON result or an error. A stream's sender stops after ``WINDOW``
bytes that its reader has not consumed, so that one slow reader holds up no other call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Awaitable, Callable
from typing import IO

HEADER = struct.Struct(">IIB")
WINDOW = 1 << 18
CHUNK = 1 << 15
LONGEST = 1 << 28  # a snapshot of a very busy host is some 10 MB

GONE = "the other end is gone"

CALL, RESULT, ERROR, DATA, END, CREDIT, CANCEL = range(7)


class WireError(Exception):
    """The other end is gone, or what it sent is no frame."""


class CallFailed(Exception):
    """The other end answered a call with an error.

    Attributes:
        kind: the name of its class at the other end.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Call:
    """One end of a call: read what arrives, write streams, and wait for the result."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.wire, self.number = wire, number
        self.result: asyncio.Future = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task | None = None  # the handler, where the call is served
        self.answering: asyncio.Task | None = None
        self._arrived: asyncio.Queue = asyncio.Queue()
        self._credit = WINDOW
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def write(self, data: bytes, stream: int) -> None:
        """Send bytes on a stream; waits while the reader is ``WINDOW`` bytes behind."""
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            while self._credit <= 0:
                self._may_write.clear()
                await self._may_write.wait()
                if self.wire.lost:
                    raise WireError(self.wire.lost)
            self._credit -= len(chunk)
            await self.wire.send(self.number, DATA, bytes([stream]) + chunk)

    async def end(self, stream: int) -> None:
        """Say that a stream has ended."""
        await self.wire.send(self.number, END, bytes([stream]))

    async def read(self) -> tuple[int, bytes] | None:
        """The next (stream, bytes); empty bytes are that stream's end; None after the last."""
        item = await self._arrived.get()
        if item is None:
            self._arrived.put_nowait(None)
            return None
        stream, data = item
        if data:
            await self.wire.send(self.number, CREDIT, struct.pack(">I", len(data)))
        return stream, data

    async def cancel(self) -> None:
        """Ask the other end to give this call up; its result then comes soon."""
        await self.wire.send(self.number, CANCEL, b"")

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind == DATA:
            self._arrived.put_nowait((payload[0], payload[1:]))
        elif kind == END:
            self._arrived.put_nowait((payload[0], b""))
        elif kind == CREDIT:
            self._credit += struct.unpack(">I", payload)[0]
            self._may_write.set()
        elif kind == CANCEL and self.task is not None:
            self.task.cancel()
        elif kind in (RESULT, ERROR):
            answer = json.loads(payload)
            self._finish(answer if kind == RESULT else CallFailed(*answer))

    def _finish(self, outcome: object) -> None:
        if not self.result.done():
            if isinstance(outcome, Exception):
                self.result.set_exception(outcome)
                self.result.exception()  # seen: a caller that went away is no "never retrieved"
            else:
                self.result.set_result(outcome)
        self._arrived.put_nowait(None)
        self._may_write.set()


Handler = Callable[..., Awaitable[object]]


class Wire:
    """The multiplexer over a pair of pipes. ``run`` returns when the other end has gone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handlers: dict[str, Handler] | None = None,
    ) -> None:
        self.lost = ""  # why nothing more comes from the other end
        self._reader, self._writer = reader, writer
        self._handlers = handlers or {}
        self._calls: dict[int, Call] = {}
        self._number = 0

    async def call(self, name: str, **arguments: object) -> Call:
        """Open a call; only one side of a wire does."""
        self._number += 1
        call = self._calls[self._number] = Call(self, self._number)
        await self.send(call.number, CALL, json.dumps([name, arguments]).encode())
        return call

    async def send(self, number: int, kind: int, payload: bytes) -> None:
        """Send a frame; WireError when the other end has gone."""
        if self.lost or self._writer.is_closing():
            raise WireError(self.lost or GONE)
        try:
            self._writer.write(HEADER.pack(len(payload), number, kind) + payload)
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WireError(GONE) from error

    async def run(self) -> None:
        """Take frames until the other end closes; every open call then fails with WireError."""
        reason = GONE
        try:
            while True:
                length, number, kind = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                if length > LONGEST or kind > CANCEL:
                    reason = f"what arrived is no frame: {length=} {kind=}"
                    break
                self._dispatch(number, kind, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (ValueError, IndexError, TypeError, RecursionError, struct.error) as error:
            reason = f"what arrived is no frame: {error}"
        finally:
            self.lost = reason
            for call in list(self._calls.values()):
                call._finish(WireError(reason))
            self._calls.clear()

    def _dispatch(self, number: int, kind: int, payload: bytes) -> None:
        if kind == CALL:
            name, arguments = json.loads(payload)
            made = self._calls[number] = Call(self, number)
            made.task = asyncio.ensure_future(self._handle(made, name, arguments))
            made.answering = asyncio.ensure_future(self._answer(made, made.task))
        elif call := self._calls.get(number):
            call._receive(kind, payload)
            if kind in (RESULT, ERROR):
                del self._calls[number]

    async def _handle(self, call: Call, name: str, arguments: dict) -> object:
        return await self._handlers[name](call, **arguments)

    async def _answer(self, call: Call, task: asyncio.Task) -> None:
        try:
            kind, answer = RESULT, await task
        except asyncio.CancelledError:
            kind, answer = ERROR, ("Cancelled", "the call was given up")
        except WireError:
            return
        except Exception as error:  # whatever it is, it belongs to the caller at the other end
            kind, answer = ERROR, (type(error).__name__, str(error))
        self._calls.pop(call.number, None)
        with contextlib.suppress(WireError):  # the caller has gone
            await self.send(call.number, kind, json.dumps(answer).encode())


async def streams(
    read_file: IO[bytes], write_file: IO[bytes]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An asyncio reader and writer over two pipes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), read_file)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop), write_file
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def copy(call: Call, source: asyncio.StreamReader, stream: int) -> None:
    """Send what a reader yields on a stream of the call, then the stream's end."""
    while data := await source.read(CHUNK):
        await call.write(data, stream)
    await call.end(stream)


async def deliver(call: Call, target: asyncio.StreamWriter) -> None:
    """Write what arrives on the call's one stream, until that ends."""
    while (item := await call.read()) is not None and item[1]:
        target.write(item[1])
        await target.drain()

"""The learner's end of the channel: starts a machine, makes calls to its agent, relays sockets.

An asyncio loop in a thread of its own does the work, so that it goes on while a cell runs, and
beside the loop that Jupyter already has. Nothing here knows of hosts or notebooks, and nothing
depends on which machine it is.
"""

from __future__ import annotations

import asyncio
import atexit
import collections
import concurrent.futures
import contextlib
import json
import os
import queue
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import labkit.agent
from labkit.agent.wire import CallFailed, Wire, WireError, copy, deliver, streams
from labkit.errors import LabStopped, MachineError

Sink = Callable[[int, bytes], None]


def run_directory() -> Path:
    """Where one lab's sockets will be: a name that nobody has.

    In ``$XDG_RUNTIME_DIR`` where there is one, else in the directory for temporary files. The
    machine's command makes the directory: who makes it outlives us and removes it again.
    """
    parent = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(parent if os.path.isdir(parent) else tempfile.gettempdir())
    return folder.absolute() / f"labkit-{secrets.token_hex(4)}"


def agent_sources() -> bytes:
    """What goes down the channel first: the agent's files as JSON, its length before it."""
    folder = Path(labkit.agent.__file__).parent
    files = {f"labkit/agent/{p.name}": p.read_text() for p in folder.iterdir() if p.is_file()}
    text = json.dumps(files).encode()
    return b"%08d" % len(text) + text


class Channel:
    """A running machine and the calls to its agent.

    Args:
        command: given the run directory, the command whose standard input and output are the
            agent's; it makes that directory, which only its owner can enter, and removes it when
            the machine has gone.
    """

    def __init__(self, command: Callable[[Path], list[str]]) -> None:
        self.run = run_directory()
        self.closed = False
        self._process = subprocess.Popen(
            command(self.run),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._complaints: collections.deque[str] = collections.deque(maxlen=20)
        self._loop = asyncio.new_event_loop()
        self._threads = [
            threading.Thread(target=self._listen, name="labkit-complaints", daemon=True),
            threading.Thread(target=self._loop.run_forever, name="labkit-channel", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)
        self._result(self._submit(self._connect()))

    def call(self, name: str, sink: Sink | None = None, **arguments: object) -> Any:
        """Make a call and give its result; stream bytes go to ``sink(stream, data)`` as they come.

        The sink runs in the caller's thread. An interrupt (KeyboardInterrupt) gives the call up
        at the other end too, then goes on.
        """
        arrived: queue.SimpleQueue = queue.SimpleQueue()
        future = self.open(name, arrived.put, **arguments)
        future.add_done_callback(lambda _: arrived.put(None))
        try:
            while (item := arrived.get()) is not None:
                if sink and item[1]:
                    sink(*item)
        except BaseException:
            future.cancel()
            raise
        return self._result(future)

    def open(
        self, name: str, put: Callable[[tuple[int, bytes]], None], **arguments: object
    ) -> concurrent.futures.Future:
        """Make a call and come back at once; what arrives is put by the channel's own thread.

        The future holds the result; cancelling it gives the call up.
        """
        self.require()
        return self._submit(self._call(name, put, arguments))

    def listen(self, node: str, path: str, refusal: Callable[[str], bytes]) -> Path:
        """A UNIX socket here, mode 0600, whose connections reach a node's socket at ``path``.

        Where nobody listens there, a connection is answered with ``refusal(reason)``.
        """
        self.require()
        here = self.run / f"{node}.sock"
        self._result(self._submit(self._serve(here, node, path, refusal)))
        return here

    def join(
        self, connection: socket.socket, name: str, **arguments: object
    ) -> concurrent.futures.Future:
        """Make a call whose bytes are those of a connected socket; comes back at once.

        The future is done when one of the two ends has hung up. It is to be kept until then.
        """
        self.require()
        return self._submit(self._join(connection, name, arguments))

    def close(self) -> None:
        """End the machine and wait until it has gone. Does nothing the second time."""
        if self.closed:
            return
        atexit.unregister(self.close)
        with contextlib.suppress(MachineError):
            self._result(self._submit(self._disconnect()))
        self.closed = True
        self._process.wait()
        shutil.rmtree(self.run, ignore_errors=True)  # there only if what removes it was killed
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.close()

    def _listen(self) -> None:
        """Keep the machine's last complaints, for the error that tells why it went."""
        assert self._process.stderr
        with self._process.stderr as complaints:
            for line in complaints:
                self._complaints.append(line.decode(errors="replace").strip())

    def require(self) -> None:
        """Raise LabStopped when the machine has been ended, MachineError when it went away."""
        if self.closed:
            raise LabStopped("this lab is stopped; start one with Lab(hosts=1).start()")
        if self._process.poll() is not None:
            raise self._went("it ended")

    def _submit(self, work: Coroutine) -> concurrent.futures.Future:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # another thread has closed the channel since we looked
            work.close()
            self.require()
            raise

    def _result(self, future: concurrent.futures.Future) -> Any:
        try:
            return future.result()
        except WireError as error:
            raise self._went(str(error)) from error
        except CallFailed as error:
            raise MachineError(f"the lab's machine answers: {error}") from error

    def _went(self, reason: str) -> MachineError:
        """The error for a machine that went away, with its last complaints where it had any."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
            self._threads[0].join(timeout=2)
        reason = " / ".join(list(self._complaints)[-3:]) or reason
        return MachineError(
            f"the lab's machine went away ({reason}); start a new lab with Lab(hosts=1).start()"
        )

    async def _connect(self) -> None:
        assert self._process.stdout
        assert self._process.stdin
        reader, self._writer = await streams(self._process.stdout, self._process.stdin)
        self._writer.write(agent_sources())
        self._wire = Wire(reader, self._writer)
        self._running = asyncio.ensure_future(self._wire.run())

    async def _disconnect(self) -> None:
        self._writer.close()
        await self._running
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _call(self, name: str, put: Callable, arguments: dict) -> object:
        call = await self._wire.call(name, **arguments)
        try:
            while (item := await call.read()) is not None:
                put(item)
            return await call.result
        except asyncio.CancelledError:
            await call.cancel()
            raise

    async def _serve(self, here: Path, node: str, path: str, refusal: Callable) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._relay(reader, writer, "connect", {"node": node, "path": path})
            except CallFailed as error:
                writer.write(refusal(str(error)))
            finally:
                writer.close()

        await asyncio.start_unix_server(accept, here)
        here.chmod(0o600)

    async def _join(self, connection: socket.socket, name: str, arguments: dict) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await self._relay(reader, writer, name, arguments)
        finally:
            writer.close()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        name: str,
        arguments: dict,
    ) -> None:
        """Make a call and relay its bytes; comes back when one of the two ends hangs up."""
        there = None
        try:
            call = await self._wire.call(name, **arguments)
            there = asyncio.ensure_future(copy(call, reader, 0))
            await deliver(call, writer)
            await call.result
        except (ConnectionError, WireError):
            pass
        finally:
            if there:
                there.cancel()

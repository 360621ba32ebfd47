"""Processes on the nodes: start them in a node's namespaces, relay their streams, reap them all."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from typing import Any

from labkit.agent.wire import CHUNK, Call

COLUMNS, ROWS = 120, 50
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",  # a notebook's output area moves no cursor
    "NO_COLOR": "1",
    "DOCKER_BUILDKIT": "0",
    "COLUMNS": str(COLUMNS),
}


class Children:
    """The exit statuses of every child of process 1, adopted orphans included.

    Process 1 must reap them all (pid_namespaces(7)); one place does, and tells whoever waits.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(
        self, argv: list[str], **options: Any
    ) -> tuple[subprocess.Popen, asyncio.Future[int]]:
        """Start a process in a session of its own; the future holds its exit status."""
        options = {"start_new_session": True, "env": ENVIRONMENT, **options}
        process = subprocess.Popen(argv, **options)
        process.returncode = 0  # Popen itself must not wait for it: statuses are ours to collect
        status = self._waiting[process.pid] = asyncio.get_running_loop().create_future()
        return process, status

    async def output(self, argv: list[str], stdin: str = "") -> str:
        """What a short command prints; OSError with its complaint if it fails."""
        process, status = self.spawn(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(stdin)
        process.stdin.close()
        text = await asyncio.to_thread(process.stdout.read)
        process.stdout.close()
        if code := await status:
            raise OSError(f"{argv} ended with status {code}: {text.strip()}")
        return text

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            waiting = self._waiting.pop(pid, None)
            if waiting and not waiting.done():
                code = os.waitstatus_to_exitcode(status)
                waiting.set_result(128 - code if code < 0 else code)


def inside(pid: int) -> list[str]:
    """The words before a command that make it run in all namespaces of that process."""
    kinds = ("--mount", "--net", "--uts", "--ipc", "--pid")
    return ["nsenter", f"--target={pid}", *kinds, "--wdns=/root", "--"]


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal that passes text through unchanged: no echo, no carriage returns."""
    master, slave = pty.openpty()
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.OPOST
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    return master, slave


async def _drain(call: Call, file: int, stream: int, over: asyncio.Future) -> None:
    """Send what arrives at a file descriptor until its writers are gone.

    Once ``over`` is done, only until it is empty: something may hold it open for long.
    """
    loop = asyncio.get_running_loop()
    wake = asyncio.Event()
    over.add_done_callback(lambda _: wake.set())
    loop.add_reader(file, wake.set)
    try:
        while True:
            try:
                data = os.read(file, CHUNK)
            except BlockingIOError:
                if over.done():
                    return
                wake.clear()
                await wake.wait()
                if over.done():
                    await asyncio.sleep(0.01)  # a terminal's bytes arrive after its writer's end
                continue
            except OSError:  # EIO: the terminal's last writer has closed it
                return
            if not data:
                return
            await call.write(data, stream)
    finally:
        loop.remove_reader(file)


async def execute(
    children: Children, call: Call, pid: int, script: str, raw: bool, timeout: float | None = None
) -> int:
    """Run a shell script in a node; its streams go over the call. Gives its exit status.

    Standard input and output are a terminal, as when logged in, so that ``docker run -it`` works
    and programs write line by line; it is nobody's controlling terminal, so that processes left
    in the background outlive the script. ``raw`` gives the bytes of a pipe instead, and no input.
    A call given up interrupts the script as Ctrl-C does, and kills it two seconds later. So do
    ``timeout`` seconds; the status is then 124, as timeout(1) has it.
    """
    output, stdout = os.pipe() if raw else _terminal()
    errors, stderr = os.pipe()
    process, status = children.spawn(
        [*inside(pid), "bash", "-c", script],
        stdin=subprocess.DEVNULL if raw else stdout,
        stdout=stdout,
        stderr=stderr,
    )
    os.close(stdout)
    os.close(stderr)
    files = {1: output, 2: errors}
    for file in files.values():
        os.set_blocking(file, False)
    drains = [asyncio.ensure_future(_drain(call, file, n, status)) for n, file in files.items()]
    try:
        try:
            code = await asyncio.wait_for(asyncio.shield(status), timeout)
        except TimeoutError:
            await interrupt(process.pid, status)
            code = 124
        await asyncio.wait(drains)
        return code
    except asyncio.CancelledError:
        await interrupt(process.pid, status)
        raise
    finally:
        for drain in drains:
            drain.cancel()
        for file in files.values():
            _discard(file)


def _discard(file: int) -> None:
    """Keep reading for processes left in the background: a closed pipe would kill them."""
    loop = asyncio.get_running_loop()

    def more() -> None:
        try:
            ended = not os.read(file, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            loop.remove_reader(file)
            os.close(file)

    loop.add_reader(file, more)


async def interrupt(group: int, status: asyncio.Future[int]) -> None:
    """Interrupt a process group as Ctrl-C does; kill it if it is still there two seconds later."""
    for number, patience in ((signal.SIGINT, 2), (signal.SIGKILL, 2)):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
        done, _ = await asyncio.wait([status], timeout=patience)
        if done:
            return

"""A program between the learner and a machine: it passes all bytes on, and writes down the calls.

Arguments: FILE, to which a JSON line is added for each call that was answered, and the machine's
command. Neither end knows of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from labkit.agent.wire import CALL, CHUNK, DATA, ERROR, HEADER, RESULT
from labkit.replay import program
from labkit.replay.tape import request, request_length, text

VARIABLE = "LABKIT_RECORD"
UNRECORDED = ("events",)  # it has no end; a replay tells of its own changes


def around(command: list[str]) -> list[str]:
    """The machine's command, with the recorder before it where $LABKIT_RECORD names a file."""
    file = os.environ.get(VARIABLE)
    return [*program(__name__), file, *command] if file else command


class Frames:
    """Cuts the bytes of one direction into frames.

    Args:
        take: given each frame's call number, kind and payload.
        skip: whether the agent's sources, with their length before them, come first.
    """

    def __init__(self, take: Callable[[int, int, bytes], None], skip: bool) -> None:
        self._take, self._skip = take, skip
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self._data += data
        if self._skip:
            if len(self._data) < 8 or len(self._data) < (end := 8 + int(self._data[:8])):
                return
            del self._data[:end]
            self._skip = False
        while len(self._data) >= HEADER.size:
            length, number, kind = HEADER.unpack_from(self._data)
            if len(self._data) < HEADER.size + length:
                return
            payload = bytes(self._data[HEADER.size : HEADER.size + length])
            del self._data[: HEADER.size + length]
            self._take(number, kind, payload)


class Recorder:
    """Puts together calls and their answers.

    Args:
        keep: given each entry of the tape, when it is complete, with the nanoseconds ``at`` which
            it was asked and ``until`` which it was answered.
    """

    def __init__(self, keep: Callable[[dict], None]) -> None:
        self._keep = keep
        self._calls: dict[int, dict] = {}
        self._turns: dict[int, Turn] = {}
        self._lock = threading.Lock()  # each direction has a thread

    def asked(self, number: int, kind: int, payload: bytes) -> None:
        """A frame from the learner."""
        with self._lock:
            if kind == CALL:
                name, arguments = json.loads(payload)
                if name == "connect":
                    self._turns[number] = Turn(arguments["node"], self._keep)
                elif name not in UNRECORDED:
                    asked = {"at": time.monotonic_ns(), "call": name, "arguments": arguments}
                    self._calls[number] = {**asked, "output": []}
            elif kind == DATA and number in self._turns:
                self._turns[number].asked(payload[1:])

    def answered(self, number: int, kind: int, payload: bytes) -> None:
        """A frame from the agent."""
        with self._lock:
            if number in self._turns:
                if kind == DATA:
                    self._turns[number].answered(payload[1:])
                elif kind in (RESULT, ERROR):
                    self._turns.pop(number).end()
            elif call := self._calls.get(number):
                if kind == DATA:
                    _add(call["output"], payload[0], payload[1:])
                elif kind in (RESULT, ERROR):
                    del self._calls[number]
                    call["output"] = [[stream, text(data)] for stream, data in call["output"]]
                    call["result" if kind == RESULT else "error"] = json.loads(payload)
                    call["until"] = time.monotonic_ns()
                    self._keep(call)

    def end(self) -> None:
        """The machine has gone: what was answered on connections still open is kept too."""
        with self._lock:
            for turn in self._turns.values():
                turn.end()


def _add(output: list, stream: int, data: bytes) -> None:
    if output and output[-1][0] == stream:
        output[-1][1] += data
    else:
        output.append([stream, data])


class Turn:
    """One HTTP request of a connection to an engine and what came back before the next one."""

    def __init__(self, node: str, keep: Callable[[dict], None]) -> None:
        self._node, self._keep = node, keep
        self.sent, self.answer = b"", b""
        self.at = self.until = 0

    def asked(self, data: bytes) -> None:
        """Bytes from the learner: of this request, or the first of the next."""
        if self.answer:
            self.end()
        if not self.sent:
            self.at = time.monotonic_ns()
        self.sent += data

    def answered(self, data: bytes) -> None:
        """Bytes from the engine."""
        self.until = time.monotonic_ns()
        self.answer += data

    def end(self) -> None:
        """Keep it, if it was answered."""
        if self.answer and request_length(self.sent):
            times = {"at": self.at, "until": self.until}
            asked = request(self._node, self.sent)
            self._keep({**times, **asked, "response": text(self.answer)})
        self.sent, self.answer = b"", b""


def pump(source: int, target: int, frames: Frames) -> None:
    """Pass bytes on until there are no more; both ends see the other's."""
    try:
        while data := os.read(source, CHUNK):
            frames.feed(data)
            left = memoryview(data)
            while left:
                left = left[os.write(target, left) :]
    except BrokenPipeError:
        pass  # the reader has gone, and the other direction ends with it
    finally:
        os.close(target)


def main() -> int:
    """Run the machine from its start to its end; its exit status."""
    file, *command = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # only the end of the machine ends this program
    machine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert machine.stdin
    assert machine.stdout
    with open(file, "a", encoding="utf-8") as tape:
        recorder = Recorder(lambda entry: print(json.dumps(entry), file=tape, flush=True))
        there = os.dup(machine.stdin.fileno())
        machine.stdin.close()
        forth = (0, there, Frames(recorder.asked, skip=True))
        threading.Thread(target=pump, args=forth, daemon=True).start()
        pump(machine.stdout.fileno(), os.dup(1), Frames(recorder.answered, skip=False))
        status = machine.wait()
        recorder.end()
    return status


if __name__ == "__main__":
    sys.exit(main())

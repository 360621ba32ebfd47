"""The agent of a replay: it answers the learner's calls from a recording, and runs nothing.

Arguments: RECORDING; RUN, the directory of the lab's sockets; and MISSING, what it takes to have a
machine that boots.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from labkit.agent.wire import Call, Wire, streams
from labkit.replay import tape as tapes

LONGEST = 60  # characters of a command that an error repeats


class Unrecorded(Exception):
    """What was asked is not on the tape."""


class ReplayAgent:
    """The calls of labkit/agent/__main__.py, answered from a tape."""

    def __init__(self, tape: tapes.Tape, missing: str) -> None:
        self.tape, self.missing = tape, missing
        self._listening: set[asyncio.Event] = set()

    async def build(self, call: Call, **arguments: object) -> object:
        """The lab's nodes, as they were."""
        words = " and ".join(f"{count} {kind}" for kind, count in arguments.items())
        return await self._again(call, "build", arguments, f"a lab of {words}")

    async def execute(self, call: Call, **arguments: Any) -> object:
        """What a command wrote and its exit status."""
        return await self._again(call, "execute", arguments, quoted(**arguments))

    async def journey(self, call: Call, **arguments: Any) -> object:
        """What was seen of a command's packets."""
        return await self._again(call, "journey", arguments, f"a journey: {quoted(**arguments)}")

    async def observe(self, call: Call, node: str) -> object:
        """The facts of a node's networking, at this place of the tape."""
        return await self._again(call, "observe", {"node": node}, f"a snapshot of {node}")

    async def events(self, call: Call, node: str) -> None:
        """Tell when the tape has gone on: the picture of any host may be another then."""
        moved = asyncio.Event()
        self._listening.add(moved)
        try:
            await call.write(b"ready\n", 1)
            while await moved.wait():
                moved.clear()
                await call.write(b"kernel\n", 1)
        finally:
            self._listening.discard(moved)

    async def connect(self, call: Call, node: str, path: str) -> None:
        """The engine's answers, request by request."""
        sent = b""
        while (item := await call.read()) is not None and item[1]:
            sent += item[1]
            while length := tapes.request_length(sent):
                asked, sent = tapes.request(node, sent[:length]), sent[length:]
                entry = self._play(asked)
                line = asked["arguments"]["line"]
                response = tapes.data(entry["response"]) if entry else self._refusal(node, line)
                await call.write(response, 1)
        await call.end(1)

    async def _again(self, call: Call, name: str, arguments: dict, said: str) -> object:
        entry = self._play({"call": name, "arguments": arguments})
        if entry is None:
            raise Unrecorded(self._sentence(said))
        for stream, text in entry["output"]:
            await call.write(tapes.data(text), stream)
        if "error" in entry:
            kind, message = entry["error"]
            raise type(kind, (Exception,), {})(message)
        return entry["result"]

    def _play(self, asked: dict) -> dict | None:
        entry = self.tape.play(asked)
        if entry and tapes.acts(asked):
            for moved in self._listening:
                moved.set()
        return entry

    def _sentence(self, said: str) -> str:
        return f"this is a replay of a recorded lab, and {said} was not recorded; {self.missing}"

    def _refusal(self, node: str, line: str) -> bytes:
        """Status 501, with a message as the Engine API gives one."""
        body = json.dumps({"message": self._sentence(f"{line} at {node}'s engine")}).encode()
        head = "HTTP/1.1 501 Not Implemented\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def quoted(node: str, script: str, **_: object) -> str:
    """A command and where it was to run, on one short line."""
    line = " ".join(script.split())
    if len(line) > LONGEST:
        line = line[: LONGEST - 1] + "…"
    return f"`{line}` on {node}"


async def main() -> None:
    """Serve until the other end of standard input is closed."""
    recording, run, missing = sys.argv[1:]
    os.mkdir(run, 0o700)
    try:
        reader, writer = await streams(sys.stdin.buffer, sys.stdout.buffer)
        await reader.readexactly(int(await reader.readexactly(8)))  # the agent's sources
        agent = ReplayAgent(tapes.read(Path(recording)), missing)
        calls = ("build", "execute", "connect", "observe", "events", "journey")
        await Wire(reader, writer, {name: getattr(agent, name) for name in calls}).run()
    except tapes.BROKEN as error:
        print(f"the recording {recording} cannot be played: {error}", file=sys.stderr)
    finally:
        shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())

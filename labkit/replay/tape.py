"""The tape: every call that a notebook made to its lab's agent, with the answer, in order.

A recording is a file of JSON lines, compressed with xz: the first line tells what was recorded,
each other one is an entry of the tape. ``xz -dc 06-host.jsonl.xz | less`` shows one.
"""

from __future__ import annotations

import json
import lzma
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path

from labkit.errors import MachineError

BROKEN = (OSError, ValueError, EOFError, lzma.LZMAError)  # what a file that is no recording raises
ACTIONS = ("build", "execute", "journey")  # calls that change the lab, or may
READS = ("GET ", "HEAD ")  # requests to an engine that change nothing: RFC 9110, section 9.2.1


def text(data: bytes) -> str:
    """Bytes as a string for JSON; those that are no UTF-8 are kept (PEP 383)."""
    return data.decode("utf-8", "surrogateescape")


def data(string: str) -> bytes:
    """The bytes that ``text`` was given."""
    return string.encode("utf-8", "surrogateescape")


def request_length(begun: bytes) -> int | None:
    """How many of these bytes are one HTTP request: RFC 9112; None while it is not complete."""
    head, end, body = begun.partition(b"\r\n\r\n")
    if not end:
        return None
    headers = [line.lower().partition(b":") for line in head.split(b"\r\n")[1:]]
    fields = {name: value.strip() for name, _, value in headers}
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        last = body.find(b"0\r\n\r\n")
        return None if last < 0 else len(head) + 4 + last + 5
    length = int(fields.get(b"content-length", 0))
    return len(head) + 4 + length if len(body) >= length else None


def request(node: str, sent: bytes) -> dict:
    """What is asked of a node's engine, as a call with arguments: the headers do not matter."""
    head, _, body = sent.partition(b"\r\n\r\n")
    line = text(head.partition(b"\r\n")[0]).rpartition(" ")[0]
    return {"call": "request", "arguments": {"node": node, "line": line, "body": text(body)}}


def acts(asked: dict) -> bool:
    """Whether a call may change the lab."""
    if asked["call"] == "request":
        return not asked["arguments"]["line"].startswith(READS)
    return asked["call"] in ACTIONS


def key(asked: dict) -> str:
    """The same for two calls that ask the same."""
    return json.dumps([asked["call"], asked["arguments"]], sort_keys=True)


class Tape:
    """Recorded calls and how far they have been played.

    Args:
        entries: in order, each the ``call`` and ``arguments`` that were asked and what was
            answered; those that were made at once, in any order, have the same ``moment``.
    """

    def __init__(self, entries: Iterable[dict]) -> None:
        self.entries = list(entries)
        self.now = -1  # the moment of the last entry that was played
        self._played: set[int] = set()  # the places of those of this moment that were
        self._moments = [entry["moment"] for entry in self.entries]
        self._actions = [entry["moment"] for entry in self.entries if acts(entry)]
        self._places: dict[str, list[int]] = {}
        for place, entry in enumerate(self.entries):
            self._places.setdefault(key(entry), []).append(place)

    def play(self, asked: dict) -> dict | None:
        """The answer to a call; None when it was never made.

        An action goes on to where it was done next; where it was not done again, back to where it
        was done last, so that a cell can run twice. A reading stays between two actions: one that
        was not made there gets the answer from before.
        """
        places = self._places.get(key(asked))
        if not places:
            return None
        following = next((place for place in places if self._is_ahead(place)), None)
        earlier = max((place for place in places if self._moments[place] <= self.now), default=None)
        on = acts(asked) or (following is not None and not self._action_before(following))
        order = (following, earlier) if on else (earlier, following)
        place = next(place for place in order if place is not None)
        if on:
            self._go(place)
        return self.entries[place]

    def _is_ahead(self, place: int) -> bool:
        moment = self._moments[place]
        return moment > self.now or (moment == self.now and place not in self._played)

    def _action_before(self, place: int) -> bool:
        """Whether something is done after this moment and before that of the place."""
        moment = self._moments[place]
        return bisect_right(self._actions, self.now) < bisect_left(self._actions, moment)

    def _go(self, place: int) -> None:
        if self._moments[place] != self.now:
            self.now = self._moments[place]
            self._played.clear()
        self._played.add(place)


def write(path: Path, about: dict, entries: Iterable[dict]) -> None:
    """Save a recording."""
    lines = (json.dumps(line, separators=(",", ":")) + "\n" for line in (about, *entries))
    packed = lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(packed)
    new.replace(path)


def about(path: Path) -> dict:
    """The first line of a recording: notebook, ran, cells, date, engine."""
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            return json.loads(lines.readline())
    except BROKEN as error:
        raise MachineError(f"{path} cannot be read as a recording: {error}") from error


def read(path: Path) -> Tape:
    """The tape of a recording."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        next(lines)
        return Tape(map(json.loads, lines))

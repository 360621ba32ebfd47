"""A packet's way from top to bottom: places, interfaces, rules, and its headers at each.

What changed nothing is folded into one line; what was rewritten stands on a marked line.
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.model import way
from labkit.model.journey import Journey, Packet, Step
from labkit.model.way import Row
from labkit.model.words import count
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, text_width, wrapped
from labkit.plot.thing import Thing

EDGE, LINE = 8, 10.5
NUMBERS, TITLE = 36, 48  # right end of the steps' numbers, left end of what happens there
FROM, TO, TTL = 314, 452, 612  # left ends of the header's columns, right end of the last


def timeline(journey: Journey, packet: int = 1) -> Picture:
    """What one packet met on its way, in order, with its headers as they stood there.

    Args:
        journey: recorded by ``labkit.journey`` or loaded from a file.
        packet: the packet's number, from 1; ``ladder`` shows them all.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Raises:
        UsageError: the journey has no packet of that number.

    Example:
        >>> from labkit import Journey, timeline
        >>> timeline(Journey.load("tests/unit/journeys/drop.json"))
        <way of packet 1, TCP SYN: 6 steps at 2 places>
    """
    chosen = find(journey, packet)
    steps = journey.of(packet)
    visited = len(dict.fromkeys(map(way.place, steps)))
    picture = Picture(
        f"way of packet {packet}, {chosen.summary}: {count(len(steps), 'step')} "
        f"at {count(visited, 'place')}"
    )
    _Timeline(picture, journey, chosen).draw()
    return picture


def find(journey: Journey, packet: int) -> Packet:
    """The packet of that number; UsageError if there is none."""
    for known in journey.packets:
        if known.number == packet:
            return known
    if not journey.packets:
        raise UsageError("this journey has no packet: nothing was seen on its way")
    raise UsageError(
        f"this journey has no packet {packet}; its packets are 1 to {len(journey.packets)}"
    )


class _Timeline:
    """The drawing on its way from top to bottom; ``y`` is how far it has come."""

    def __init__(self, picture: Picture, journey: Journey, packet: Packet) -> None:
        self.picture, self.journey, self.packet = picture, journey, packet
        self.steps = journey.of(packet.number)
        self.y = 0.0

    def draw(self) -> None:
        picture, packet = self.picture, self.packet
        name = f"Packet {packet.number}: {packet.summary}"
        width = picture.write(EDGE, 14, name, style.TITLE, 300, bold=True)
        about = f"a {packet.direction}, of {count(len(self.journey.packets), 'packet')} · "
        about += self.journey.command
        picture.write(EDGE + width + 8, 15, about, room=WIDTH - width - 24, color=style.SOFT)
        for x, text in ((FROM, "source"), (TO, "destination"), (TTL - 12, "TTL")):
            picture.write(x, 33, text, style.SMALL, color=style.SOFT)
        self.y = 40
        here = None
        for row in way.folded(self.journey, packet.number):
            if row.place != here:
                here = row.place
                self.place(row)
            if row.changed or row.rewritten or row.by:
                self.rewriting(row)
            self.row(row)
        picture.grow(self.y + EDGE)

    def place(self, row: Row) -> None:
        """A bar with the name of the place in which the next steps are."""
        picture = self.picture
        self.y += 5
        picture.band(EDGE, self.y, WIDTH - 2 * EDGE, 16, style.FLAG)
        width = picture.write(
            EDGE + 8,
            self.y + 8,
            way.name(self.journey, row.place),
            style.NAME,
            220,
            bold=True,
            color=style.PAPER,
        )
        picture.write(
            EDGE + 16 + width, self.y + 8, row.place.about, style.SMALL, 200, color=style.PAPER
        )
        self.y += 18

    def rewriting(self, row: Row) -> None:
        """What was rewritten since the step before, and by what."""
        picture = self.picture
        text = " · ".join(row.rewritten) or " and ".join(row.changed) + " changed"
        lines = wrapped(text, style.PLAIN, FROM + 90)
        height = LINE * len(lines) + 5
        picture.band(TITLE - 6, self.y + 1, WIDTH - EDGE - TITLE + 6, height - 2, style.MARK)
        for number, line in enumerate(lines):
            y = self.y + height / 2 + LINE * (number - (len(lines) - 1) / 2)
            picture.write(TITLE, y, line, bold=True)
        if row.by:
            picture.write(
                WIDTH - EDGE - 6, self.y + height / 2, row.by, style.SMALL, 180, align="right"
            )
        self.y += height

    def row(self, row: Row) -> None:
        """A step: what it is, the headers there, the rule and what it means."""
        picture, top = self.picture, self.y
        self.y += 8
        picture.write(NUMBERS, self.y, row.numbers, style.SMALL, color=style.SOFT, align="right")
        room = WIDTH - EDGE - TITLE - 6
        if row.first != row.last:
            text = f"{row.title}: {row.words}"
            picture.write(TITLE, self.y, text, style.SMALL, room, color=style.SOFT)
            self.y += 8
        else:
            width = picture.write(TITLE, self.y, row.title, style.PLAIN, 175, bold=True)
            if row.verdict:
                self.verdict(TITLE + width + 8, row.verdict)
            self.headers(row)
            self.y += 8
            lines = [(t, True, style.INK) for t in wrapped(row.spec, style.SMALL, room, mono=True)]
            lines += [(t, False, style.SOFT) for t in wrapped(row.words, style.SMALL, room)]
            for text, mono, ink in lines if row.spec else ():
                picture.write(TITLE, self.y + LINE / 2, text, style.SMALL, mono=mono, color=ink)
                self.y += LINE
            self.y += 3 * bool(row.spec)
        self.thing(row, top)

    def thing(self, row: Row, top: float) -> None:
        """Let the row be picked: its details, and the command that shows where it is."""
        steps = self.steps[row.first - 1 : row.last]
        details = way.details(self.journey, self.packet.number, row.first)
        if len(steps) > 1:
            details = tuple((f"step {n}", _short(s)) for n, s in enumerate(steps, row.first))
        self.picture.things.append(
            Thing(
                box=(EDGE, top, WIDTH - 2 * EDGE, self.y - top),
                kind="step",
                name=row.numbers,
                details=details,
                commands=tuple(dict.fromkeys(way.command(self.journey, s) for s in steps)),
                host=row.place.node,
            )
        )

    def verdict(self, x: float, verdict: str) -> None:
        """The verdict in a small box: dark where the packet's way ends, or it is rewritten."""
        dark = verdict.split(" ")[0] in (*way.REFUSALS, *way.REWRITES)
        room = FROM - x - 16
        width = min(text_width(verdict, style.SMALL, bold=True), room) + 8
        face, ink = (style.FLAG, style.PAPER) if dark else (style.PAPER, style.INK)
        self.picture.box(x, self.y - 6, width, 12, face=face, edge=style.FLAG, layer=2)
        self.picture.write(x + 4, self.y, verdict, style.SMALL, room, bold=True, color=ink)

    def headers(self, row: Row) -> None:
        """Source, destination and TTL in their columns; the VXLAN packet around them below."""
        picture, changed = self.picture, row.changed
        source, destination = way.ends(row.headers)
        fields = (("source", FROM, source, TO), ("destination", TO, destination, TTL - 20))
        for name, x, text, end in fields:
            bold = any(c.startswith(name) for c in changed)
            picture.write(x, self.y, text, style.PLAIN, end - x - 6, bold=bold)
        if row.headers.ttl is not None:
            bold = "ttl" in changed
            picture.write(TTL, self.y, f"{row.headers.ttl}", bold=bold, align="right")
        if outer := row.headers.outer:
            picture.box(
                FROM - 6, self.y - 7, TTL - FROM + 12, 29, face=style.PAPER, edge=style.INK,
                layer=0.8,
            )  # fmt: skip
            text = f"inside VXLAN {row.headers.vni}: {' → '.join(way.ends(outer))}"
            self.y += 13
            picture.write(FROM, self.y, text, style.SMALL, TTL - FROM)
            self.y += 4


def _short(step: Step) -> str:
    """A dull step in one line."""
    at = f", rule {step.rule}: {step.spec}" if step.rule else ", policy"
    return f"{step.table} {step.chain}{at} → {step.verdict}"

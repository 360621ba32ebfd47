"""The ladder diagram of a journey: places as lanes, and a row of arrows for each packet."""

from __future__ import annotations

from labkit.model import way
from labkit.model.journey import Headers, Journey, Packet, Step
from labkit.model.way import Hop, Place
from labkit.model.words import count
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, shortened, text_width, wrapped
from labkit.plot.thing import Thing

EDGE, LINE = 8, 9.5
SUMMARY = 104  # width of the column that names the packets
TOP = 32  # where the lanes' heads begin
LOOP = 30  # how far the arrow of a packet that stays in its place reaches out


def ladder(journey: Journey) -> Picture:
    """All packets of a journey, from top to bottom, between the places that they passed.

    An address that is not the one of the arrow before it is marked; below a place is what
    rewrote it there, or ended the packet's way.

    Args:
        journey: recorded by ``labkit.journey`` or loaded from a file.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Example:
        >>> from labkit import Journey, ladder
        >>> ladder(Journey.load("tests/unit/journeys/nat.json"))
        <ladder of curl -s outside: 14 packets, 4 places>
    """
    places = way.places(journey)
    picture = Picture(
        f"ladder of {journey.command}: {count(len(journey.packets), 'packet')}, "
        f"{count(len(places), 'place')}"
    )
    _Ladder(picture, journey, places).draw()
    return picture


class _Ladder:
    """The drawing on its way from top to bottom; ``y`` is how far it has come."""

    def __init__(self, picture: Picture, journey: Journey, places: tuple[Place, ...]) -> None:
        self.picture, self.journey = picture, journey
        self.pitch = (WIDTH - EDGE - SUMMARY) / max(1, len(places))
        self.x = {p: SUMMARY + self.pitch * (n + 0.5) for n, p in enumerate(places)}
        # where the lanes begin, below their heads
        self.top = TOP + 12 + 11 * max((len(self.lines(p)) for p in places), default=0)
        self.y = 0.0

    def draw(self) -> None:
        picture, journey = self.picture, self.journey
        width = picture.write(EDGE, 14, "Ladder", style.TITLE, bold=True)
        about = f"{journey.command} · started in {journey.start}"
        picture.write(EDGE + width + 8, 15, about, room=WIDTH - width - 24, color=style.SOFT)
        for place, x in self.x.items():
            self.head(place, x)
        self.y = self.top + 8
        if not journey.packets:
            picture.write(EDGE, self.y + 8, "No packet was seen.")
            self.y += 20
        gaps: dict[Place, list[tuple[float, float]]] = {p: [] for p in self.x}
        for packet in journey.packets:
            top = self.y
            for place, low, high in self.packet(packet):
                gaps[place].append((low, high))
            self.picture.line([(EDGE, self.y), (WIDTH - EDGE, self.y)], style.FAINT, 0.6)
            self.thing(packet, top)
        for place, x in self.x.items():
            self.lane(x, gaps[place])
        picture.grow(self.y + EDGE)

    def lines(self, place: Place) -> list[tuple[str, float, bool]]:
        """What stands in the head of a lane: text, size, and whether it is bold."""
        room = self.pitch - 12
        title, *rest = wrapped(way.name(self.journey, place), style.NAME, room - 4)
        lines = [(title, style.NAME, True)]
        lines += [(t, style.SMALL, False) for t in (*rest, place.about) if t]
        return [(shortened(text, size, room, bold), size, bold) for text, size, bold in lines]

    def head(self, place: Place, x: float) -> None:
        """The name of a place, and which node it is on."""
        picture, width, lines = self.picture, self.pitch - 6, self.lines(place)
        height = self.top - TOP
        picture.box(x - width / 2, TOP, width, height, face=style.HOST, edge=style.SOFT)
        y = TOP + height / 2 - 5.5 * (len(lines) - 1)
        for number, (text, size, bold) in enumerate(lines):
            color = style.INK if bold else style.SOFT
            picture.write(x, y + 11 * number, text, size, bold=bold, color=color, align="center")

    def lane(self, x: float, gaps: list[tuple[float, float]]) -> None:
        """The line below a place, with room for what is written on it."""
        y: float = self.top
        for low, high in [*sorted(gaps), (self.y, self.y)]:
            if low > y:
                self.picture.line([(x, y), (x, low)], style.FAINT, 1.2)
            y = max(y, high)

    def packet(self, packet: Packet) -> list[tuple[Place, float, float]]:
        """A packet's arrows; the places where something is written on the lane, from y to y."""
        steps = self.journey.of(packet.number)
        hops = way.hops(steps)
        y = self.y + 15
        self.summary(packet, steps)
        lowest = y + 4.0
        before = [s.headers for s in steps[:1]] + [hop.met.headers for hop in hops[:-1]]
        for hop, headers in zip(hops, before, strict=False):  # steps need not go anywhere
            self.arrow(hop, y, packet)
            lowest = max(lowest, self.label(hop, y, headers))
        if not hops and steps:
            self.picture.dot(self.x[way.place(steps[0])], y, style.INK)
        notes = self.notes(steps)
        for place, text in notes:
            self.note(place, text, lowest + 7, bool(way.refused(steps)))
        if end := way.refused(steps):
            self.cross(self.x[way.place(end)], y)
        bottom = lowest + 14 * bool(notes) + 3
        self.y = max(bottom, self.y + 38)
        return [(place, lowest, lowest + 14) for place, _ in notes]

    def summary(self, packet: Packet, steps: tuple[Step, ...]) -> None:
        """Number, summary and time of a packet, left of its arrows."""
        picture, y = self.picture, self.y + 11
        width = picture.write(EDGE, y, f"{packet.number}", style.PLAIN, color=style.SOFT)
        x = EDGE + max(width, 11) + 4
        lines = wrapped(packet.summary, style.PLAIN, SUMMARY - x - 16)
        for number, line in enumerate(lines[:2]):
            more = f"{line} …" if number == 1 and len(lines) > 2 else line
            size, bold = style.PLAIN - number, not number
            picture.write(x, y + number * LINE, more, size, SUMMARY - x - 4, bold=bold)
        if steps:
            text = f"{1000 * steps[0].time:.2f} ms"
            y += LINE * min(2, len(lines)) + 0.5
            picture.write(x, y, text, style.SMALL, color=style.SOFT)

    def arrow(self, hop: Hop, y: float, packet: Packet) -> None:
        """From the one lane to the other; a packet in VXLAN runs in a tube."""
        picture, start, end = self.picture, self.x[hop.start], self.x[hop.end]
        color, pattern = (style.INK, "-") if packet.direction == "request" else style.NETWORKS[0]
        if hop.start == hop.end:
            points = [(start, y - 6), (start + LOOP, y - 6), (start + LOOP, y + 6), (start, y + 6)]
            picture.line(points, color, 1.6, pattern)
            picture.arrow(start + 3, y + 6, color, "<")
            return
        way_on = 1 if end > start else -1
        if hop.met.headers.vni is not None:
            picture.line([(start + 9 * way_on, y), (end - 11 * way_on, y)], style.FAINT, 9)
        picture.line([(start, y), (end - 4 * way_on, y)], color, 1.6, pattern)
        picture.arrow(end - 3 * way_on, y, color, "<" if way_on < 0 else ">")

    def label(self, hop: Hop, y: float, before: Headers) -> float:
        """Above an arrow the source, below it the destination; how far down it is written."""
        headers, left = hop.met.headers, min(self.x[hop.start], self.x[hop.end])
        across = abs(self.x[hop.end] - self.x[hop.start])
        room = (across or self.pitch / 2 - 6) - 12
        x, align = left + across / 2, "center"
        if not across:
            x, align, room = left + LOOP + 5, "left", max(self.pitch / 2 - LOOP - 4, 90)
        changed = way.changed(before, headers)
        texts = [("source", y - 8, way.ends(headers)[0])]
        texts.append(("destination", y + 9, "→ " + way.ends(headers)[1]))
        if headers.outer:
            texts += [
                ("outer", y + 9 + LINE, f"in VXLAN {headers.vni}:"),
                ("outer", y + 9 + 2 * LINE, f"{headers.outer.source}"),
                ("outer", y + 9 + 3 * LINE, f"→ {headers.outer.destination}"),
            ]
        for name, line, text in texts:
            new = any(c.startswith(name) for c in changed)
            text = shortened(text, style.SMALL, room, bold=new)
            if new:
                width = text_width(text, style.SMALL, bold=True) + 6
                low = x - 3 if align == "left" else x - width / 2
                self.picture.band(low, line - 5.5, width, 11, style.MARK)
            color = style.INK if new else style.SOFT
            self.picture.write(x, line, text, style.SMALL, bold=new, color=color, align=align)
        return texts[-1][1] + 5

    def notes(self, steps: tuple[Step, ...]) -> list[tuple[Place, str]]:
        """What rewrote the packet, or ended its way, at each place."""
        found: dict[Place, list[str]] = {}
        rows = way.rows(self.journey, steps[0].packet) if steps else ()
        for step, row in zip(steps, rows, strict=True):
            verdict = (step.verdict or "").split(" ")[0]
            if verdict in (*way.REWRITES, *way.REFUSALS):
                found.setdefault(row.place, []).append(verdict)
            elif row.by.startswith("connection tracking"):
                found.setdefault(row.place, []).append("connection tracking")
        return [(place, ", ".join(dict.fromkeys(texts))) for place, texts in found.items()]

    def note(self, place: Place, text: str, y: float, dark: bool) -> None:
        """A note below a place's lane, in a small box."""
        x = self.x[place]
        text = shortened(text, style.SMALL, self.pitch - 10, bold=True)
        width = text_width(text, style.SMALL, bold=True) + 8
        face, ink = (style.FLAG, style.PAPER) if dark else (style.PAPER, style.INK)
        self.picture.box(x - width / 2, y - 6, width, 12, face=face, edge=style.FLAG, layer=3)
        self.picture.write(x, y, text, style.SMALL, bold=True, color=ink, align="center")

    def cross(self, x: float, y: float) -> None:
        """Where a packet's way ends by a rule."""
        for sign in (1, -1):
            self.picture.line([(x - 5, y - 5 * sign), (x + 5, y + 5 * sign)], style.INK, 2.4)

    def thing(self, packet: Packet, top: float) -> None:
        """Let the packet's row be picked."""
        steps = self.journey.of(packet.number)
        details = [("direction", packet.direction), ("steps", f"{len(steps)}")]
        details += [
            (f"hop {n}", f"{' '.join(self.named(h))}") for n, h in enumerate(way.hops(steps), 1)
        ]
        self.picture.things.append(
            Thing(
                box=(EDGE - 4, top, WIDTH - 2 * EDGE + 8, self.y - top),
                kind="packet",
                name=f"{packet.number}",
                details=tuple(details),
            )
        )

    def named(self, hop: Hop) -> tuple[str, str, str]:
        """A hop as text, with the headers that it was met with."""
        start, end = (way.name(self.journey, p) for p in (hop.start, hop.end))
        source, destination = way.ends(hop.met.headers)
        return f"{start} → {end}:", f"{source} →", destination

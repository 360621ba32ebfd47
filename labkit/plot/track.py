"""A packet's way over the map: where each step is on it, and the line from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from labkit.errors import UsageError
from labkit.model import way
from labkit.model.journey import Journey
from labkit.plot import style
from labkit.plot.style import Picture, text_width
from labkit.plot.thing import Thing
from labkit.plot.timeline import find
from labkit.plot.topology import topology

Point = tuple[float, float]
Area = tuple[float, float, float, float]
NEAR = 3.5  # points; as far as a port's middle is from the end of its wire


@dataclass(frozen=True)
class Stop:
    """Where a step is on the map."""

    number: int
    point: Point
    path: tuple[Point, ...]  # from the stop before
    area: Area | None  # the box of the place


@dataclass(frozen=True)
class Badge:
    """The numbers of the steps at one point, in a small box."""

    text: str
    area: Area
    present: bool


def journey_map(journey: Journey, packet: int = 1, step: int | None = None) -> Picture:
    """The map of the nodes on a journey, with a packet's way over it.

    Args:
        journey: recorded by ``labkit.journey`` or loaded from a file.
        packet: the packet's number, from 1.
        step: the way ends at the step of that number, from 1; at the last one without.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Raises:
        UsageError: the journey has no packet or step of that number, or carries no snapshot.

    Example:
        >>> from labkit import Journey, journey_map
        >>> journey_map(Journey.load("tests/unit/journeys/drop.json"))
        <way of packet 1, TCP SYN, over the map of host1: 6 steps>
    """
    find(journey, packet)
    steps = len(journey.of(packet))
    last = steps if step is None else step
    if not 1 <= last <= steps:
        raise UsageError(f"packet {packet} has no step {last}; its steps are 1 to {steps}")
    picture = base_map(journey)
    summary = journey.packets[packet - 1].summary
    over = picture.summary.partition(":")[0]
    picture.summary = f"way of packet {packet}, {summary}, over the {over}: {last} steps"
    _draw(picture, stops(picture, journey, packet)[:last])
    return picture


def base_map(journey: Journey) -> Picture:
    """The map of the nodes on a journey, with no way on it."""
    if not journey.snapshots:
        raise UsageError("this journey carries no snapshot, so there is no map to draw it on")
    return topology(*journey.snapshots)


def stops(picture: Picture, journey: Journey, packet: int) -> tuple[Stop, ...]:
    """Where the steps of a packet are on that map; a step that is nowhere on it stays behind."""
    found: list[Stop] = []
    for number, step in enumerate(journey.of(packet), 1):
        place = way.name(journey, way.place(step))
        box = picture.find(place, step.node)
        before = found[-1].point if found else None
        path: tuple[Point, ...]
        port = picture.find(f"{step.interface} of {place}", step.node)
        if before and (step.kind != "capture" or not port):
            point, path = before, (before,)  # a hook has no place of its own on a map
        elif thing := port or box:
            point, path = _reached(picture.things, before, thing)
        else:
            continue
        found.append(Stop(number=number, point=point, path=path, area=box.box if box else None))
    return tuple(found)


def badges(visited: tuple[Stop, ...]) -> tuple[Badge, ...]:
    """The numbers beside the way, one badge for all the steps at one point."""
    at: dict[Point, list[int]] = {}
    for stop in visited:
        at.setdefault(stop.point, []).append(stop.number)
    found = []
    for (x, y), numbers in at.items():
        text = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        width = max(13, text_width(text, style.SMALL, bold=True) + 6)
        # It grows to the left: the interface's name is at the right.
        area = (max(1, x + 6.5 - width), y - 6.5, width, 13)
        found.append(Badge(text=text, area=area, present=visited[-1].number in numbers))
    return tuple(found)


def _draw(picture: Picture, visited: tuple[Stop, ...]) -> None:
    if not visited:
        return
    if area := visited[-1].area:
        picture.box(*area, face="none", edge=style.TRACK, line=3, layer=1.5)
    for stop in visited[1:]:
        if len(stop.path) > 1:
            picture.line(list(stop.path), style.TRACK, 8, layer=2)
    for badge in badges(visited):
        face, ink = (style.FLAG, style.PAPER) if badge.present else (style.PAPER, style.INK)
        x, y, width, height = badge.area
        picture.box(x, y, width, height, face=face, edge=style.INK, layer=4.5)
        picture.write(
            x + width / 2, y + height / 2, badge.text, style.SMALL, bold=True, color=ink,
            align="center",
        )  # fmt: skip


def _reached(
    things: list[Thing], before: Point | None, thing: Thing
) -> tuple[Point, tuple[Point, ...]]:
    """Where on a thing a way arrives, and the line to it from the stop before."""
    x, y, width, height = thing.box
    end = thing.path[0] if thing.path else (x + width / 2, y + height / 2)
    if before is None or before == end:
        return end, (end,)
    wires = [list(t.path) for t in things if len(t.path) > 1]
    wires += [w[::-1] for w in wires]
    outs = [out for w in wires if (out := _from(w, before))]
    if thing.kind == "bridge":  # the way goes over the bar where it meets it, not over its end
        for out in outs:
            if abs(out[-1][1] - end[1]) < NEAR:
                return out[-1], tuple(out)
        end = (before[0], end[1])
        return end, (before, end)
    for out in outs:
        if part := _from(out[::-1], end):
            return end, (before, *part[::-1][1:-1], end)
    backs = [back for w in wires if (back := _from(w, end))]
    for out in outs:  # over a bridge or the LAN: a level line on which wires end
        if abs(out[-1][1] - end[1]) < NEAR:
            return end, (*out, end)
        for back in backs:
            if abs(out[-1][1] - back[-1][1]) < NEAR:
                return end, (*out, *back[::-1])
    for wire in (t for t in things if thing.name in t.name.split(" ↔ ")):  # to a macvlan's parent
        if out := _from(list(wire.path), before):
            return end, (*out, (end[0], out[-1][1]), end)
    for back in backs:
        if abs(back[-1][1] - before[1]) < NEAR:
            return end, (before, *back[::-1])
    here = thing.name.partition(" of ")[2]
    bars = [t for t in things if t.kind == "bridge" and t.name.endswith(f" of {here}")]
    on_bar = any(t.path and t.path[0][1] == before[1] for t in bars)
    corner = (end[0], before[1]) if on_bar or before[1] < end[1] else (before[0], end[1])
    return end, (before, corner, end)


def _from(wire: list[Point], point: Point) -> list[Point]:
    """The rest of a wire from a point on it; nothing when the point is not on it."""
    for number, (a, b) in enumerate(pairwise(wire)):
        low_x, high_x = sorted((a[0], b[0]))
        low_y, high_y = sorted((a[1], b[1]))
        level = low_x - NEAR <= point[0] <= high_x + NEAR
        if level and low_y - NEAR <= point[1] <= high_y + NEAR:
            return [point, *wire[number + 1 :]]
    return []

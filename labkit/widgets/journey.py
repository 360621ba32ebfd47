"""A journey, step by step: its packets to choose from, the map with the way so far, the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape

import ipywidgets as widgets
from IPython.display import display

from labkit.errors import UsageError
from labkit.model import way
from labkit.model.journey import Journey
from labkit.plot import style
from labkit.plot.ladder import ladder
from labkit.plot.style import Picture
from labkit.plot.timeline import timeline
from labkit.plot.track import Stop, badges, base_map, stops
from labkit.widgets.parts import parts
from labkit.widgets.picture import PictureView

CELL = 'style="text-align: left; vertical-align: top; padding: 1px 10px 1px 0"'


class JourneyView(widgets.VBox):
    """A journey to step through, by buttons, by the slider's arrow keys, or by picking a step.

    It needs no lab: a saved journey will do. Where no widget can live (GitHub, a printed page) it
    shows as its ladder, and a table of every step.

    Args:
        journey: recorded by ``labkit.journey`` or loaded from a file.

    Raises:
        UsageError: the journey has no packet.

    Example:
        >>> from labkit import Journey, JourneyView
        >>> JourneyView(Journey.load("tests/unit/journeys/drop.json"))
        <journey of curl -s --max-time 0.5 203.0.113.10: packet 1, step 1 of 6>
    """

    def __init__(self, journey: Journey) -> None:
        if not journey.packets:
            raise UsageError("this journey has no packet: nothing was seen on its way")
        self.journey = journey
        self.packet = widgets.Dropdown(
            options=[(f"{p.number} {p.direction}: {p.summary}", p.number) for p in journey.packets],
            description="Packet:",
            layout=widgets.Layout(width="22em"),
        )
        self.back = _button("Previous", "arrow-left", "The step before; then the packet before")
        self.on = _button("Next", "arrow-right", "The next step; then the next packet")
        self.step = widgets.IntSlider(
            value=1, min=1, max=1, description="Step:", layout=widgets.Layout(width="24em")
        )
        self.told = widgets.HTML()
        self.map, self.steps, self.ladder = PictureView(), PictureView(), PictureView()
        self._drawn: dict[object, Picture] = {}
        self._stops: dict[int, tuple[Stop, ...]] = {}
        tabs = {"Map": self.map} if journey.snapshots else {}
        tabs |= {"Steps": self.steps, "Conversation": self.ladder}
        self.tabs = widgets.Tab(list(tabs.values()), titles=list(tabs))
        controls = widgets.HBox(
            [self.packet, self.back, self.on, self.step], layout=widgets.Layout(flex_flow="wrap")
        )
        super().__init__([controls, self.told, self.tabs])
        self._choose()
        self.packet.observe(lambda _: self._choose(), "value")
        self.step.observe(lambda _: self._look(), "value")
        self.back.on_click(lambda _: self.move(-1))
        self.on.on_click(lambda _: self.move(1))
        self.tabs.observe(lambda _: self._look(), "selected_index")
        self.steps.observe(lambda change: self._pick(self.step, change.new), "picked")
        self.ladder.observe(lambda change: self._pick(self.packet, change.new), "picked")

    def move(self, by: int) -> None:
        """Go one step on (1) or back (-1), into the next packet or the one before at its end."""
        if self.step.min <= self.step.value + by <= self.step.max:
            self.step.value += by
            return
        numbers = [p.number for p in self.journey.packets]
        other = numbers.index(self.packet.value) + by
        if 0 <= other < len(numbers):
            self.packet.value = numbers[other]
            self.step.value = 1 if by > 0 else self.step.max

    def close(self) -> None:
        """End the widget, and what is in it."""
        if self.comm is not None:
            for part in (*parts(self), *parts(self.map), self.map):  # the map may be in no tab
                part.close()
            super().close()

    def _choose(self) -> None:
        """Another packet: its first step."""
        self.step.value = 1
        self.step.max = max(1, len(self.journey.of(self.packet.value)))
        self._look()

    def _look(self) -> None:
        """Tell the step, and show it on the picture that is looked at."""
        packet, number = self.packet.value, self.step.value
        self.told.value = _told(self.journey, packet, number)
        first, last = self.journey.packets[0].number, self.journey.packets[-1].number
        self.back.disabled = packet == first and number == 1
        self.on.disabled = packet == last and number == self.step.max
        match self.tabs.titles[self.tabs.selected_index]:
            case "Map":
                picture = self._show(self.map, "map", partial(base_map, self.journey))
                if packet not in self._stops:
                    self._stops[packet] = stops(picture, self.journey, packet)
                so_far = [s for s in self._stops[packet] if s.number <= number]
                self.map.overlay = _overlay(tuple(so_far))
            case "Steps":
                draw = partial(timeline, self.journey, packet)
                picture = self._show(self.steps, ("steps", packet), draw)
                groups = (t.name for t in picture.things)
                self.steps.picked = "step " + next(g for g in groups if number in _numbers(g))
            case _:
                self._show(self.ladder, "ladder", partial(ladder, self.journey))
                self.ladder.picked = f"packet {packet}"

    def _show(self, view: PictureView, key: object, draw: Callable[[], Picture]) -> Picture:
        """Put a picture into a view, drawn when it is wanted for the first time."""
        if key not in self._drawn:
            picture = self._drawn[key] = draw()
            if view is not self.map:  # to pick a step is to go there: its details are above
                picture.things = [
                    replace(t, details=(), commands=(), host="") for t in picture.things
                ]
        if view.picture is not self._drawn[key]:
            view.show(self._drawn[key])
        return self._drawn[key]

    def _pick(self, control: widgets.Widget, label: str) -> None:
        """Go to what was picked; what was already there stays picked."""
        numbers = _numbers(label.rpartition(" ")[2]) if label else ()
        if numbers and control.value not in numbers:
            control.value = numbers[0]
        else:
            self._look()

    def __repr__(self) -> str:
        return (
            f"<journey of {self.journey.command}: packet {self.packet.value}, "
            f"step {self.step.value} of {self.step.max}>"
        )

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
        """For Jupyter: the widget, and the ladder for where no widget can live."""
        view = super()._repr_mimebundle_(**options)
        picture, metadata = ladder(self.journey)._repr_mimebundle_()
        return {**view, "image/png": picture["image/png"]}, metadata

    def _ipython_display_(self) -> None:
        """For Jupyter: the widget, then the table. Of one output only one form would be shown."""
        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        display(Steps(self.journey))


class Steps:
    """Every step of a journey in a table; shows itself folded, as HTML."""

    def __init__(self, journey: Journey) -> None:
        self.journey = journey

    def __repr__(self) -> str:
        return f"<table of the steps of {self.journey.command}>"

    def _repr_html_(self) -> str:
        rows = []
        for packet in self.journey.packets:
            title = f"Packet {packet.number}, {packet.direction}: {packet.summary}"
            rows.append(f'<tr><th colspan="6" {CELL}>{escape(title)}</th></tr>')
            for row in way.rows(self.journey, packet.number):
                place = f"{way.name(self.journey, row.place)} {row.place.about}".strip()
                source, destination = way.ends(row.headers)
                what = " ".join(t for t in (row.title, row.spec, row.verdict) if t)
                texts = (f"{row.first}", place, what, source, destination, f"{row.headers.ttl}")
                rows.append("<tr>" + "".join(f"<td {CELL}>{escape(t)}</td>" for t in texts))
                rows.append(f"<td {CELL}>{escape('; '.join(row.rewritten))}</td></tr>")
        names = ("Step", "Place", "What", "Source", "Destination", "TTL", "Rewritten")
        head = "".join(f"<th {CELL}>{name}</th>" for name in names)
        return (
            f"<details><summary>Every step of {escape(self.journey.command)}, as a table"
            f"</summary><table><tr>{head}</tr>{''.join(rows)}</table></details>"
        )


def _button(text: str, icon: str, tooltip: str) -> widgets.Button:
    layout = widgets.Layout(width="7.5em")
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=layout)


def _numbers(text: str) -> range:
    """The numbers that "4" or "5-9" names."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _told(journey: Journey, packet: int, number: int) -> str:
    """A step in words, its rule, its headers, and the command that shows it; as HTML."""
    step, row = journey.of(packet)[number - 1], way.rows(journey, packet)[number - 1]
    place = f"{way.name(journey, row.place)} {row.place.about}".strip()
    verdict = f" → {escape(row.verdict)}" if row.verdict else ""
    lines = [f"<b>{escape(place)}: {escape(row.title)}{verdict}</b>"]
    lines += [f"<code>{escape(row.spec)}</code>"] if row.spec else []
    lines += [escape(row.words)] if row.words else []
    if row.rewritten:
        by = f", by {escape(row.by)}" if row.by else ""
        lines.append(f"Since the step before: <mark>{escape('; '.join(row.rewritten))}</mark>{by}")
    cells = []
    for field, now, was in way.headers(journey, packet, number):
        value = escape(now or "none")
        if now != was:
            value = f"<s>{escape(was)}</s> <mark><b>{value}</b></mark>"
        cells.append(f'<tr><th scope="row" {CELL}>{escape(field)}</th><td {CELL}>{value}</td></tr>')
    # Several columns of fields, so that the picture below stays in sight.
    tables = "".join(
        '<table style="display: inline-table; margin-right: 2em; vertical-align: top">'
        f"{''.join(cells[n : n + 4])}</table>"
        for n in range(0, len(cells), 4)
    )
    command = escape(way.command(journey, step))
    return (
        f'<div role="status" style="line-height: 1.5; min-height: 16em">{"<br>".join(lines)}'
        f"<div>{tables}</div>"
        f"On {escape(step.node)}, this shows it: <code>{command}</code></div>"
    )


def _overlay(visited: tuple[Stop, ...]) -> str:
    """The way so far, as SVG elements in the map's points."""
    if not visited:
        return ""
    parts = []
    if area := visited[-1].area:
        x, y, width, height = area
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="none" '
            f'stroke="{style.TRACK}" stroke-width="3"/>'
        )
    for stop in visited[1:]:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in stop.path)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{style.TRACK}" stroke-width="6" '
            'stroke-opacity="0.6" stroke-linejoin="round"/>'
        )
    for badge in badges(visited):
        x, y, width, height = badge.area
        face, ink = (style.FLAG, style.PAPER) if badge.present else (style.PAPER, style.INK)
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="4" '
            f'fill="{face}" stroke="{style.INK}"/>'
            f'<text x="{x + width / 2:.1f}" y="{y + 9.2:.1f}" text-anchor="middle" '
            f'font-family="DejaVu Sans, sans-serif" font-weight="bold" '
            f'font-size="{style.SMALL}" fill="{ink}">{badge.text}</text>'
        )
    return "".join(parts)

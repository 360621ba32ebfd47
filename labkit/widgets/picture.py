"""A picture in a notebook whose things can be picked: by a click, or by Tab and Enter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from labkit.plot.style import WIDTH, Picture
from labkit.plot.thing import Thing

HERE = Path(__file__).parent
NOTHING = {"png": b"", "alt": "", "size": [1, 1], "pixels": [0, 0], "things": []}


class PictureView(anywidget.AnyWidget):
    """Shows a picture; a thing in it that is picked shows its details, and how to see it by hand.

    Everything that draws comes with the package: it works where there is no internet. Where no
    widget can live (GitHub, a printed page) the picture itself is what shows.

    Attributes:
        picture: the picture that is shown; None before the first.
        picked: the label of the thing that is picked, such as "container web"; "" for none.
            It outlives a new picture: what has that label there is picked.
        overlay: SVG elements over the picture, in its points; what is not yours in it, escape.

    Example:
        >>> from labkit import Snapshot, topology
        >>> view = PictureView()
        >>> view.show(topology(Snapshot.load("tests/unit/snapshots/one.json")))
        >>> view
        <map of host1: 1 container, 1 bridge>
        >>> view.picked = "container web"
    """

    _esm = HERE / "picture.js"
    _css = HERE / "picture.css"
    shown = traitlets.Dict(NOTHING).tag(sync=True)  # one trait, so that it changes in one step
    picked = traitlets.Unicode().tag(sync=True)
    overlay = traitlets.Unicode().tag(sync=True)
    picture: Picture | None = None

    def show(self, picture: Picture) -> None:
        """Put this picture in the place of the last one; the same picture again changes nothing."""
        self.picture = picture
        self.shown = {
            "png": picture.png(),
            "alt": repr(self).strip("<>"),
            "size": [WIDTH, picture.get_size_inches()[1] * 72],
            "pixels": list(picture.pixels),
            "things": _described(picture.things),
        }

    def __repr__(self) -> str:
        return repr(self.picture) if self.picture else "<no picture yet>"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """For Jupyter: the widget, and the picture for where no widget can live."""
        view, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        if self.picture is None:
            return view, metadata
        picture, size = self.picture._repr_mimebundle_()
        return {**view, **picture}, {**metadata, **size}


def labels(things: list[Thing]) -> list[str]:
    """What each thing is called: "interface eth0 of web", of which host if there are many."""
    several = len({thing.host for thing in things} - {""}) > 1
    return [f"{t.kind} {t.name}" + f" on {t.host}" * bool(several and t.host) for t in things]


def _line(thing: Thing) -> list[float]:
    """The points of a thing that is a line; nothing for one that is a box with a line to it."""
    x, y, width, height = thing.box
    within = all(x <= px <= x + width and y <= py <= y + height for px, py in thing.path)
    if len(thing.path) < 2 or not within:
        return []
    return [float(n) for point in thing.path for n in point]


def _described(things: list[Thing]) -> list[dict]:
    """The things as the view needs them: the small ones last, so that they lie on top."""
    described = [
        {
            "box": [float(n) for n in thing.box],
            "path": _line(thing),
            "label": label,
            "details": [list(row) for row in thing.details],
            "commands": list(thing.commands),
            "host": thing.host,
        }
        for thing, label in zip(things, labels(things), strict=True)
    ]
    return sorted(described, key=lambda thing: -thing["box"][2] * thing["box"][3])

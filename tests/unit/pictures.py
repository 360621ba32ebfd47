"""What the tests of pictures share: the saved snapshots, and what can be asked of a picture."""

from __future__ import annotations

import gc
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from matplotlib.transforms import Bbox

from labkit.model.journey import Journey
from labkit.model.snapshot import Snapshot
from labkit.plot.style import Picture

FOLDER = Path(__file__).with_name("snapshots")
SAVED = sorted(FOLDER.glob("*.json"))
SCENES = {path.stem: Snapshot.load(path) for path in SAVED}  # a lab host each
LABS = {  # a whole lab each
    folder.name: tuple(map(Snapshot.load, sorted(folder.glob("*.json"))))
    for folder in sorted(FOLDER.iterdir())
    if folder.is_dir() and any(folder.glob("*.json"))
}
JOURNEYS = {
    path.stem: Journey.load(path) for path in sorted(FOLDER.with_name("journeys").glob("*.json"))
}
scenes = pytest.mark.parametrize("snapshot", SCENES.values(), ids=SCENES)


def open_lines() -> set[str]:
    """The ids of all widgets that have a line to the browser."""
    gc.collect()  # one that nobody holds closes itself
    return set(_instances)


def texts(figure: Picture) -> list[str]:
    return [t.get_text() for t in figure.axes_.texts]


@lru_cache(maxsize=8)
def labels(figure: Picture) -> list[tuple[str, Bbox]]:
    """Every text of the figure with the rectangle of its ink, in pixels."""
    renderer = figure.canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes_.texts]


def shrunk(box: Bbox, by: float) -> Bbox:
    return Bbox([[box.x0 + by, box.y0 + by], [box.x1 - by, box.y1 - by]])


def overlaps(figure: Picture) -> list[tuple[str, str]]:
    """Pairs of labels that lie over each other."""
    found = [(text, shrunk(box, 1)) for text, box in labels(figure)]
    x0, y0, x1, y1 = np.array([box.extents for _, box in found]).T
    over = (x0[:, None] <= x1) & (x1[:, None] >= x0) & (y0[:, None] <= y1) & (y1[:, None] >= y0)
    return [(found[a][0], found[b][0]) for a, b in zip(*np.nonzero(np.triu(over, 1)), strict=True)]


def struck_through(figure: Picture) -> list[str]:
    """Labels that a line runs through."""
    texts = [(t, shrunk(box, 1)) for t, box in labels(figure)]
    found = []
    for line in figure.axes_.lines:
        path = line.get_transform().transform_path(line.get_path())
        around = path.get_extents().padded(1)
        found += [
            t for t, box in texts
            if around.overlaps(box) and path.intersects_bbox(box, filled=False)
        ]  # fmt: skip
    return found


def cut_off(figure: Picture) -> list[str]:
    """Labels that reach over the edge of the page."""
    page = figure.bbox
    return [
        t for t, b in labels(figure)
        if b.x0 < 0 or b.y0 < 0 or b.x1 > page.width or b.y1 > page.height
    ]  # fmt: skip


def undrawn(figure: Picture, path: tuple[tuple[float, float], ...]) -> list:
    """The parts of a path, all of it level or upright, along which no line is drawn."""
    drawn = [s for li in figure.axes_.lines for s in pairwise(li.get_xydata().tolist())]
    missing = []
    for (x0, y0), (x1, y1) in pairwise(path):
        level = y0 == y1
        at, start, end = (y0, *sorted((x0, x1))) if level else (x0, *sorted((y0, y1)))
        along, across = (0, 1) if level else (1, 0)
        spans = sorted(
            sorted((a[along], b[along]))
            for a, b in drawn
            if abs(a[across] - at) < 0.01 and abs(b[across] - at) < 0.01
        )
        for low, high in spans:
            if low <= start + 0.01:
                start = max(start, high)
        if start < end - 0.01:
            missing.append(((x0, y0), (x1, y1)))
    return missing

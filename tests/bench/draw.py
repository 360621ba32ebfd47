"""Drawing the map of twenty containers, beside a bare matplotlib figure of the same size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Bare

from labkit import Snapshot, topology
from labkit.plot.style import DPI
from tests.bench.figures import Figure, paired, timed

SAVED = Path(__file__).parent.parent / "unit" / "snapshots" / "twenty.json"


def draw(runs: int) -> Iterator[Figure]:
    """The map of twenty containers to a PNG, beside one pair of empty axes to a PNG."""
    snapshot = Snapshot.load(SAVED)
    size = topology(snapshot).get_size_inches()

    def bare() -> None:
        figure = Bare(figsize=size, dpi=DPI)
        FigureCanvasAgg(figure)
        figure.add_subplot()
        figure.savefig(io.BytesIO())

    yield paired(
        "map of 20 containers / bare figure, savefig",
        lambda: timed(lambda: topology(snapshot).savefig(io.BytesIO())),
        lambda: timed(bare),
        runs,
        most=3,
    )
    yield paired(
        "map of 20 containers as a cell shows it / bare figure",
        lambda: timed(lambda: topology(snapshot).png()),
        lambda: timed(bare),
        runs,
        most=3,
    )

"""The shell cells of a notebook, so that a test can bring a lab where the lesson brings it."""

from __future__ import annotations

from pathlib import Path

import nbformat

from labkit.lab import Lab

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def run(lab: Lab, notebook: str, *names: str) -> None:
    """Run those cells of the notebook, each on the node that its first line names."""
    cells = {c.id: c.source for c in nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", 4).cells}
    for name in names:
        first, script = cells[name].split("\n", 1)
        assert first.startswith("%%host ")
        lab.node(first.split()[-1]).read(script)

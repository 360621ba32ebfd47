"""What each notebook promises to show, and the cell that shows it, as the notebooks tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nbformat
from rich.table import Table


@dataclass(frozen=True)
class Promise:
    """Something that a learner sees live, and the code cell in which they see it.

    Attributes:
        cell: the cell's id in the notebook.
        first: the cell's first line.
    """

    notebook: str
    text: str
    cell: str
    first: str


def promises(notebook: Path) -> list[Promise]:
    """The promises that a notebook keeps, in order: the lists under ``shows`` of its code cells."""
    return [
        Promise(notebook.stem, text, cell.id, cell.source.partition("\n")[0])
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "code"
        for text in cell.metadata.get("shows", ())
    ]


def table(found: list[Promise]) -> Table:
    """The promises as a table to print."""
    drawn = Table("notebook", "shows", "cell", "which begins with")
    for promise in found:
        drawn.add_row(promise.notebook, promise.text, promise.cell, promise.first)
    return drawn

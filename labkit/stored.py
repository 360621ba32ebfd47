"""Whether a notebook's stored outputs are there and belong to its code.

``./lab run --save`` marks a notebook with a digest of the code that it ran. A cell edited since
then makes the outputs stale, which this tells without running anything: ``python -m labkit.stored
NOTEBOOK…`` exits with 1. What the outputs say is for nbval to compare.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import nbformat

from labkit.errors import LabError, UsageError

KEY = "labkit"


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file; UsageError when there is none."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise UsageError(f"there is no notebook {path}") from None
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} cannot be read as a notebook: {reason}") from error


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that run; a cell with nothing in it does not."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def digest(notebook: nbformat.NotebookNode) -> str:
    """Twelve digits that change with the code of the cells."""
    text = "\0".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def complaint(path: Path) -> str | None:
    """What is wrong with the stored outputs, in one sentence; None when nothing is."""
    notebook = read(path)
    remedy = f"run ./lab run --save {path}"
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return f"{path}: not every cell was run once and in order; {remedy}"
    if notebook.metadata.get(KEY, {}).get("ran") != digest(notebook):
        return f"{path}: its code is not the code that its outputs are of; {remedy}"
    return None


def main() -> int:
    """Tell of each notebook on the command line what is wrong; 1 if something is."""
    try:
        found = [said for path in map(Path, sys.argv[1:]) if (said := complaint(path))]
    except LabError as error:
        found = [str(error)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

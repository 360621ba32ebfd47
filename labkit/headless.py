"""Notebooks executed with nobody watching: `./lab run`. Comparing their outputs is nbval's task."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbconvert import HTMLExporter

from labkit.errors import MachineError, UsageError
from labkit.stored import KEY, digest

CELL_SECONDS = 300
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Failure:
    """The cell that a notebook ended at.

    Attributes:
        number: which of the code cells it was, from 1.
        reason: what happened, in one line.
        source: the cell's text.
        shown: the traceback, or the end of what the cell printed.
    """

    number: int
    reason: str
    source: str
    shown: str


def execute(
    notebook: nbformat.NotebookNode, path: Path, advance: Callable[[], None] = lambda: None
) -> Failure | None:
    """Run every cell in a new kernel, in the notebook's own directory; the outputs go into it.

    Args:
        notebook: as ``labkit.stored.read`` gave it.
        path: where it came from.
        advance: called after each code cell.

    Returns:
        What stopped it; None when every cell ran.
    """
    started: list[nbformat.NotebookNode] = []
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        record_timing=False,  # times would make every stored notebook differ, and so would
        coalesce_streams=True,  # the pieces in which text happens to arrive
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_execute=lambda cell, cell_index: started.append(cell),
        on_cell_executed=lambda cell, cell_index, execute_reply: advance(),
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log: cells' text comes apart
    except CellExecutionError as error:
        return _failure(started, f"{error.ename}: {error.evalue}")
    except CellTimeoutError:
        return _failure(started, f"it was not done after {CELL_SECONDS} s")
    except (RuntimeError, AssertionError) as error:
        # nbclient takes SIGINT for itself, ends the kernel and trips over it.
        if hasattr(client, "_async_cleanup_kernel_future"):
            raise KeyboardInterrupt from error
        if not started:
            raise MachineError(f"no kernel for {path} could be started: {error}") from error
        return _failure(started, "the kernel died")
    return None


def _failure(started: list[nbformat.NotebookNode], reason: str) -> Failure:
    cell = started[-1]
    errors = ["\n".join(o.traceback) for o in cell.outputs if o.output_type == "error"]
    printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
    shown = "\n".join(errors) or "\n".join(printed.splitlines()[-20:])
    return Failure(len(started), reason, cell.source, shown)


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook with its outputs, and with no metadata that differs from run to run.

    A widget keeps what it shows where no widget can live: it went with its kernel, and Jupyter
    would show an error in its place.
    """
    _drop_widgets(notebook)
    notebook.metadata = nbformat.from_dict({**METADATA, KEY: {"ran": digest(notebook)}})
    for cell in notebook.cells:
        kept = ("tags", "jupyter", "shows")
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in kept})
    write(path, nbformat.writes(notebook) + "\n")


def export(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook with its outputs as a page of HTML, which needs no other computer.

    So a widget shows as its picture: the page that has it alive would fetch its code from one.
    """
    _drop_widgets(notebook)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    write(path, page)


def _drop_widgets(notebook: nbformat.NotebookNode) -> None:
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)


def write(path: Path, text: str) -> None:
    """Replace a file's text in one step: an interrupt leaves the old one."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error

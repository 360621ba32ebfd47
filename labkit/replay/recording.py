"""Make a notebook's recording: run it on a lab that boots, and keep what it asked of the lab."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from pathlib import Path

import nbformat

from labkit import headless
from labkit.errors import MachineError, UsageError
from labkit.machine import REPLAY, choose
from labkit.machine.replay import RECORDINGS, SUFFIX, mark
from labkit.replay import tape
from labkit.replay.recorder import VARIABLE
from labkit.stored import code_cells, digest


def record(notebook: nbformat.NotebookNode, path: Path, folder: Path = RECORDINGS) -> Path:
    """Run the notebook and write its recording; where that is.

    Raises:
        UsageError: a cell failed, or no cell asked a lab for anything; nothing is written.
        MachineError: no machine can boot.
    """
    if choose() is REPLAY:
        raise MachineError(f"a replay can't be recorded; {REPLAY.missing()}")
    with tempfile.TemporaryDirectory() as place:
        calls = Path(place) / "calls"
        os.environ[VARIABLE] = str(calls)  # the kernel's too
        try:
            failure = headless.execute(notebook, path)
        finally:
            del os.environ[VARIABLE]
        if failure:
            raise UsageError(f"code cell {failure.number} failed: {failure.reason}")
        if not calls.exists():
            raise UsageError("it starts no lab")
        entries = ordered(calls.read_text(encoding="utf-8").splitlines())
    made = folder / f"{path.stem}{SUFFIX}"
    tape.write(made, about(notebook, path, entries), entries)
    return made


def ordered(lines: list[str]) -> list[dict]:
    """The entries of a tape, as they were asked; what overlapped in time is of one moment."""
    entries = sorted(map(json.loads, lines), key=lambda entry: entry["at"])
    moment, end = -1, -1
    for entry in entries:
        at, until = entry.pop("at"), entry.pop("until")
        if at > end:
            moment += 1
        end = max(end, until)
        entry["moment"] = moment
    return entries


def about(notebook: nbformat.NotebookNode, path: Path, entries: list[dict]) -> dict:
    """What a recording tells of itself."""
    facts = (entry.get("result") for entry in entries if entry["call"] == "observe")
    engines = {f["engine"]["version"].partition("+")[0] for f in facts if f and f["engine"]}
    return {
        "notebook": path.name,
        "ran": digest(notebook),
        "cells": [mark(cell.source) for cell in code_cells(notebook)],
        "date": datetime.date.today().isoformat(),
        "engine": sorted(engines),
    }

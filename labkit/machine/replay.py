"""ReplayMachine: the floor below the machines. It boots nothing and answers from a recording.

Every picture and widget of a notebook is alive on it; only what was recorded can be asked.
``./lab record`` makes the recordings, from a lab that runs.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from labkit.errors import MachineError
from labkit.machine import memory
from labkit.replay import program, tape

RECORDINGS = Path(tape.__file__).with_name("recordings")
SUFFIX = ".jsonl.xz"
VARIABLE = "LABKIT_REPLAY"


def mark(source: str) -> str:
    """Twelve digits that stand for a cell's code."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:12]


def cells() -> set[str]:
    """The marks of the cells that ran in this kernel, the running one included."""
    ipython = sys.modules.get("IPython")  # where it was not imported, there is no kernel
    shell = ipython and ipython.get_ipython()
    return {mark(source) for source in shell.history_manager.input_hist_raw} if shell else set()


def find(folder: Path, ran: set[str]) -> Path | None:
    """The recording of the notebook that these cells are of; None when it is of none.

    Cells tell it by themselves, in whatever program and under whatever name a notebook is open.
    """
    same = {path: len(ran & set(tape.about(path)["cells"])) for path in recordings(folder)}
    best = max(same, key=lambda path: same[path], default=None)
    return best if best and same[best] else None


def recordings(folder: Path) -> list[Path]:
    """The recordings in a folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


class ReplayMachine:
    """The answers of a recorded lab.

    Args:
        others: gives the machines that boot.
    """

    name = "replay"

    def __init__(self, others: Callable[[], Iterable[Any]]) -> None:
        self._others = others

    def available(self) -> tuple[bool, str]:
        """Whether there are recordings, and a system that can play them."""
        if sys.platform == "win32":
            return False, "this system is Windows; use labkit inside WSL"
        if recordings(RECORDINGS):
            return True, "pictures only: notebooks show what was recorded, nothing else runs"
        return False, f"no recordings in {RECORDINGS}; make them with ./lab record NOTEBOOK…"

    @property
    def recorded(self) -> str:
        """When what this kernel's notebook shows was recorded, and on which engine."""
        return _when(self._recording())

    def missing(self) -> str:
        """Whether a machine could boot here, and what it takes to have one."""
        remedies = []
        for machine in self._others():
            able, why = machine.available()
            if able:
                return f"the {machine.name} machine can boot here, if no replay is asked for"
            wrong, _, remedy = why.partition("; ")
            remedies.append(f"{machine.name}: {remedy or wrong}")
        return f"no machine can boot here (to have one: {'; or '.join(remedies)})"

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take: what this computer has."""
        return memory.available()

    def prepare(self, engine: str, image: Path | None = None) -> Path:
        """Where the recordings are; says that it is a replay, and what it takes to have a lab."""
        found = _named() or find(RECORDINGS, cells())
        when = _when(found) if found else "was recorded"
        print(f"Replay: {self.missing()}; what you see {when}", file=sys.stderr)
        return image or RECORDINGS

    def command(self, image: Path, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's; it makes and removes run."""
        return [*program("labkit.replay.agent"), str(self._recording()), str(run), self.missing()]

    def _recording(self) -> Path:
        found = _named() or find(RECORDINGS, cells())
        if found is None:
            raise MachineError(
                "no recording is of the cells that ran in this kernel: open one of the project's "
                f"notebooks; {self.missing()}"
            )
        return found


def _named() -> Path | None:
    """The recording that $LABKIT_REPLAY names."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_file():
        raise MachineError(f"{VARIABLE}={named}: there is no such file")
    return Path(named) if named else None


def _when(recording: Path) -> str:
    about = tape.about(recording)
    return f"was recorded on {about['date']} with Docker Engine {' and '.join(about['engine'])}"

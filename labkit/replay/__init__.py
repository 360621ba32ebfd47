"""Replays: a lab's answers, recorded from a live one, given again where no machine can boot."""

import sys
from pathlib import Path


def program(module: str) -> list[str]:
    """The words that run a module as a program, from the labkit that this one is of."""
    here = str(Path(__file__).parents[2])
    steps = f"import runpy, sys; sys.path.insert(0, {here!r}); runpy.run_module({module!r}, "
    return [sys.executable, "-P", "-c", steps + "run_name='__main__')"]

"""The machine that boots while a page loads: the first lab of a kernel finds it awake.

Only where $LABKIT_WAKE is set, as in Binder's image, and for a machine whose start takes seconds.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from labkit.channel import Channel
from labkit.errors import LabError
from labkit.machine import Machine, choose
from labkit.machine.recipe import generation

VARIABLE = "LABKIT_WAKE"

_awake: list[tuple[Path | str, Channel]] = []


@functools.cache  # once in a kernel
def begin() -> None:
    """Boot ahead the machine of a lab with the default engine, if nothing has to be made first.

    A start that fails is not told here: the lab's own start fails too, and says why.
    """
    if not os.environ.get(VARIABLE):
        return
    with contextlib.suppress(LabError):
        machine = choose()
        ready = getattr(machine, "ready", None)
        if ready and (image := ready(generation())):
            _awake.append((image, Channel(lambda run: machine.command(image, run))))


def take(image: Path | str) -> Channel | None:
    """The machine that was booted ahead from that image, once; one from another image ends."""
    while _awake:
        booted, channel = _awake.pop()
        if booted == image:
            with contextlib.suppress(LabError):
                channel.require()
                return channel
        channel.close()
    return None


def takes_time(machine: Machine) -> bool:
    """Whether a start on that machine takes seconds, so that it is worth to begin early."""
    return hasattr(machine, "ready")

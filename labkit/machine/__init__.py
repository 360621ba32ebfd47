"""The machines: the ways to boot the machine image. They differ in one command.

Below them all is the replay, which boots nothing and answers from a recording.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from labkit.errors import MachineError, UsageError
from labkit.machine.container import ContainerMachine
from labkit.machine.replay import ReplayMachine
from labkit.machine.root import RootMachine
from labkit.machine.user import UserMachine
from labkit.machine.virtual import VirtualMachine


class Machine(Protocol):
    """One way to boot the machine image. A class of it needs no base: these names do.

    Attributes:
        name: one word, what LABKIT_MACHINE and Lab(machine=…) call it.
    """

    name: str

    @property
    def recorded(self) -> str:
        """Of a replay, when what it shows was recorded, in words; empty for all others."""

    def available(self) -> tuple[bool, str]:
        """Whether it can boot here, and why: "what is wrong; what to do" where it can't."""

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take, between them."""

    def prepare(self, engine: str, image: Any = None) -> Any:
        """The image of that engine generation in the form that this machine boots, made once.

        Args:
            engine: "26.1" or "20.10".
            image: the directory of another image to boot in its place.
        """

    def command(self, image: Any, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's.

        It makes ``run``, the directory of the lab's sockets, which only the learner can enter, and
        removes it when the machine has gone.
        """


MACHINES: tuple[Machine, ...] = (  # best first
    RootMachine(),
    UserMachine(),
    ContainerMachine(),
    VirtualMachine(),
)
REPLAY = ReplayMachine(lambda: MACHINES)


def named(name: str) -> Machine:
    """The machine of that name; UsageError names the known ones."""
    every: tuple[Machine, ...] = (*MACHINES, REPLAY)
    for machine in every:
        if machine.name == name:
            return machine
    known = ", ".join(repr(machine.name) for machine in every)
    raise UsageError(f"there is no machine {name!r}; there are {known}")


def choose(wanted: str | None = None) -> Machine:
    """The machine that boots a lab here.

    The one that ``wanted`` or $LABKIT_MACHINE names, and no other; else the first that can boot;
    else the replay. MachineError says why it can't, or why none can.
    """
    if name := wanted or os.environ.get("LABKIT_MACHINE"):
        machine = named(name)
        able, why = machine.available()
        if not able:
            raise MachineError(f"the {name} machine, asked for by name, cannot boot here: {why}")
        return machine
    reasons = []
    for machine in MACHINES:
        able, why = machine.available()
        if able:
            return machine
        reasons.append(f"{machine.name}: {why}")
    if REPLAY.available()[0]:
        return REPLAY
    raise MachineError(f"no machine can boot here ({'; '.join(reasons)}); ./lab doctor says more")

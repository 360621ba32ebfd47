"""The machines: the ways to boot the machine image. They differ in one command."""

from __future__ import annotations

from labkit.errors import MachineError
from labkit.machine.root import RootMachine

MACHINES = (RootMachine(),)  # best first


def choose() -> RootMachine:
    """The first machine that can boot here; MachineError says why none can."""
    reasons = []
    for machine in MACHINES:
        able, why = machine.available()
        if able:
            return machine
        reasons.append(f"{machine.name}: {why}")
    raise MachineError(f"no machine can boot here ({'; '.join(reasons)}); ./lab doctor says more")

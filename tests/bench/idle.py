"""What the virtual machine costs while nobody uses it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from labkit import Lab
from tests.bench.figures import Figure

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def idle(_: int) -> Iterator[Figure]:
    """Its processor seconds in a minute in which nobody asks anything, and its memory."""
    with Lab(machine="virtual") as lab:
        outside = lab._channel._process.pid
        children = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        tree = [outside, *map(int, children)]
        lab.host1.run("nginx", name="web", publish="8080:80")
        time.sleep(10)  # what a start leaves to do
        before = sum(map(used, tree))
        time.sleep(60)
        yield Figure(
            name="virtual, processor time of an idle minute",
            ours=sum(map(used, tree)) - before,
            most=1,
        )
        status = Path(f"/proc/{tree[-1]}/status").read_text().splitlines()
        most = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        yield Figure(
            name="virtual, QEMU's memory at its fullest", ours=most / 1024, unit="MiB",
            most=1229,  # 1.2 GiB
        )  # fmt: skip


def used(pid: int) -> float:
    """The processor seconds that a process has taken (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

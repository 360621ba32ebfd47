"""The memory that a lab takes, beside a bare engine's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from labkit import Lab
from tests.bench.bare import engines
from tests.bench.figures import Figure, paired

MIB = 1 << 20


def memory(runs: int) -> Iterator[Figure]:
    """A lab with one host, no container running yet; and what the kernel counts for it."""

    def ours() -> float:
        with Lab(hosts=1) as lab:
            return pss(lab._channel._process.pid)

    def bare() -> float:
        with engines(1) as pid:
            return pss(pid)

    yield paired(
        "memory (PSS) of the processes of a lab with one host / of dockerd and containerd",
        ours, bare, max(1, runs // 3), unit="MiB", most=1.5,
    )  # fmt: skip
    used = {hosts: counted(hosts) for hosts in (1, 3)}
    everything = "all memory of a lab with one host, by its cgroup"
    yield Figure(name=everything, ours=used[1], unit="MiB")
    more = "all memory of each further host, by its cgroup"
    yield Figure(name=more, ours=(used[3] - used[1]) / 2, unit="MiB")


def pss(pid: int) -> float:
    """MiB of a process and all below it, a shared page counted in parts: proc_pid_smaps(5)."""
    outer = psutil.Process(pid)
    found = 0
    for process in (outer, *outer.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # such as a shell that waits
            found += process.memory_full_info().pss
    return found / MIB


def counted(hosts: int) -> float:
    """MiB of a lab by its cgroup: processes, tmpfs and what the kernel keeps for it."""
    with Lab(hosts=hosts) as lab:
        group = f"labkit.{lab._channel.run.name}"
        places = (f"memory/{group}/memory.usage_in_bytes", f"{group}/memory.current")
        files = [Path("/sys/fs/cgroup", place) for place in places]
        return int(next(f for f in files if f.exists()).read_text()) / MIB

"""The lab that the engine tests share, and what it means that nothing of a lab is left."""

from __future__ import annotations

import contextlib
import glob
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.host import Host


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two lab hosts and a station, started once."""
    with Lab(hosts=2, stations=1) as running:
        yield running


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """host1, with no container and no network of the learner's before and after."""
    bare = "docker ps -aq | xargs -r docker rm -f; docker network prune -f; conntrack -F"
    lab.host1.read(bare)
    yield lab.host1
    lab.host1.read(bare)


def leftovers(run: Path) -> list[str]:
    """What is there of the lab whose run directory this is: files, cgroups, mounts, processes."""
    found = [str(run)] if run.exists() else []
    found += glob.glob(f"/sys/fs/cgroup/**/labkit.{run.name}", recursive=True)
    found += [m for m in Path("/proc/self/mounts").read_text().splitlines() if str(run) in m]
    return found + [str(process) for process in processes(str(run))]


def processes(word: str) -> list[int]:
    """The ids of the processes that have that text on their command line, the oldest first.

    The kernel begins again with small ids at some time: they tell nothing of age.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if any(word in argument for argument in process.cmdline()):
                found.append((process.create_time(), process.pid))
    return [number for _, number in sorted(found)]


def gone_within(run: Path, seconds: float) -> list[str]:
    """What of a lab is still there after that time; empty as soon as there is nothing."""
    end = time.monotonic() + seconds
    while (found := leftovers(run)) and time.monotonic() < end:
        time.sleep(0.02)
    return found

"""Labs that are killed, crowded and started again and again: what of them is left afterwards.

tests/engine runs each of these in small, ``./lab bench endurance`` in full. Each gives
its counts, and raises AssertionError with what was left. As a program it kills COUNT labs of
LABKIT_MACHINE's kind: ``python -m tests.endurance COUNT SEED``.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import glob
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from labkit import Lab

PHASES = {"start": 1.2, "run": 0.4, "capture": 0.4, "journey": 0.8, "stop": 0.2}
"""The phases of a lab's life, and how many seconds each takes, or a little more."""
LIFE = """
import threading
from labkit import Lab, journey
from labkit.errors import LabError

def capture():
    try:
        host.read("timeout 20 tcpdump -i any -w /tmp/frames")
    except (LabError, RuntimeError):
        pass  # the lab was stopped meanwhile

print("start", flush=True)
lab = Lab(hosts=1).start()
host = lab.host1
print("run", flush=True)
host.run("nginx", name="web", publish="8080:80")
print("capture", flush=True)
threading.Thread(target=capture, daemon=True).start()
host.read("curl -s localhost:8080 > /dev/null; curl -s outside > /dev/null")
print("journey", flush=True)
journey(host, "curl -s outside")
print("stop", flush=True)
lab.stop()
"""
CROWD = """
import random, sys, time
from labkit import Lab
number, end = int(sys.argv[1]), time.time() + float(sys.argv[2])
labs = 0
while time.time() < end:
    time.sleep(random.random())
    with Lab(hosts=1) as lab:
        host, name = lab.host1, f"web{number}"
        host.run("nginx", name=name, publish="8080:80")
        assert host.read("docker ps --format {{.Names}}").split() == [name]
        wait = "until curl -s -o /dev/null localhost:8080; do sleep 0.05; done"
        host.read(f"{wait}; docker exec {name} hostname > /tmp/mine")
        time.sleep(random.random())
    labs += 1
print(labs)
"""


def kills(count: int, seed: int, at_once: int = 2) -> collections.Counter[str]:
    """Kill a process with a lab at random moments: how many in each phase, all of them clean."""
    chance = random.Random(seed)
    moments = []
    for number in range(count):
        phase = list(PHASES)[number % len(PHASES)]
        moments.append((phase, chance.random() * PHASES[phase]))
    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(lambda moment: _kill(*moment), moments))
    assert [left for left in found if left] == []
    return collections.Counter(phase for phase, _ in moments)


def _kill(phase: str, delay: float) -> list[str]:
    """Kill a process with a lab, so long after a phase began: what is left three seconds later."""
    with runs() as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        with subprocess.Popen(
            [sys.executable, "-c", LIFE], env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout:
                if line.strip() == phase:
                    break
            else:
                raise AssertionError(f"it ended before its phase {phase}")
            time.sleep(delay)
            names = [path.name for path in folder.iterdir()]
            machine = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        end = time.monotonic() + 3
        while (found := left(folder, names, machine)) and time.monotonic() < end:
            time.sleep(0.05)
        return [f"{phase} + {delay:.3f} s: {thing}" for thing in found]


@contextlib.contextmanager
def runs() -> Iterator[Path]:
    """A folder of its own for run directories, as only its owner has."""
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        yield Path(folder)


def left(folder: Path, names: list[str], machine: Collection[psutil.Process] = ()) -> list[str]:
    """What there is of the labs whose run directories are or were in a folder.

    Args:
        folder: the run directories' parent.
        names: the run directories' names.
        machine: the processes that were theirs. What namespaces and mounts they had of their own
            is gone when they all are: namespaces(7).
    """
    found = [str(path) for path in folder.iterdir()]
    found += [m for m in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in m]
    for name in {*names, *(Path(path).name for path in found)}:
        found += glob.glob(f"/sys/fs/cgroup/**/labkit.{name}", recursive=True)
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if str(folder) in (place / "cmdline").read_text(errors="replace"):
                found.append(f"process {place.name}")
    for process in machine:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process {process.pid}, {process.name()}")
    return found


def crowd(processes: int, seconds: float) -> int:
    """Labs of so many processes at once, started and stopped at random: how many there were."""
    with runs() as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", CROWD, str(number), str(seconds)],
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for number in range(processes)
        ]  # fmt: skip
        ended = [(process.communicate(), process.returncode) for process in started]
        assert [said[1] for said, status in ended if status] == []
        wait_for(lambda: left(folder, []) == [], "run directories, mounts, processes")
        return sum(int(said[0]) for said, _ in ended)


def state_of_this_system() -> str:
    """The learner's own interfaces, rules and network settings, in text."""
    done = [
        subprocess.run(command.split(), capture_output=True, text=True, check=False).stdout
        for command in ("ip addr", "ip route", "iptables-save", "nft list ruleset")
        if shutil.which(command.split()[0])
    ]
    settings = [
        p for place in ("kernel", "net") for p in sorted(Path("/proc/sys", place).rglob("*"))
    ]
    skip = ("random", "ns_last_pid", "pty")
    for path in settings:
        if path.is_file() and not any(word in str(path) for word in skip):
            try:
                done.append(f"{path}: {path.read_text()}")
            except OSError:
                continue
    # lifetimes count down, whoever looks
    return "\n".join(line for line in "\n".join(done).splitlines() if "valid_lft" not in line)


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """This computer's memory and open files are afterwards what they were; for a quiet one."""
    memory, files = _memory(), _files()
    yield
    # One lab's share is 58 MiB and 1,000 open files.
    wait_for(lambda: _memory() > memory - (256 << 20), "memory")
    wait_for(lambda: _files() < files + 2000, "open files")


def row(count: int) -> int:
    """Labs one after the other in one process, whose files, threads and memory stay."""

    def one() -> None:
        with Lab(hosts=1) as lab:
            lab.host1.run("busybox", command="sleep 1000")
            lab.host1.snapshot()

    def state() -> tuple[int, int]:
        gc.collect()  # what earlier tests left to it, too
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    for _ in range(3):  # what is made once is made
        one()
    before, size = state(), _own_memory()
    for _ in range(count):
        one()
    wait_for(lambda: state() == before, f"files and threads: {before} before, {state()} after")
    grown = _own_memory() - size
    assert grown < 32 << 20, f"this process has grown by {grown >> 20} MiB"
    return count


def wait_for(true: Callable[[], bool], what: str) -> None:
    """Wait ten seconds at most for something to be true; AssertionError says what was not."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, f"not as it was before: {what}"
        time.sleep(0.1)


def _memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def _own_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _files() -> int:
    return int(Path("/proc/sys/fs/file-nr").read_text().split()[0])


if __name__ == "__main__":
    killed = kills(int(sys.argv[1]), seed=int(sys.argv[2]))
    print(f"{killed.total()} killed, {killed.total()} clean: {dict(killed)}")

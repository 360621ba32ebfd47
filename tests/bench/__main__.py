"""Measure the lab beside the raw tools: ``.venv/bin/python -m tests.bench``, or some of it by name.

Each figure is a median, taken in turn with its peer in one run, with the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from labkit import Lab
from labkit.machine import image
from tests.bench.draw import draw
from tests.bench.figures import Figure, paired, timed
from tests.bench.idle import idle
from tests.bench.machines import machines
from tests.bench.snapshot import snapshot
from tests.endurance import crowd, kills, row, state_of_this_system, unchanged
from tests.engine import as_user
from tests.fuzz import TARGETS, attack

BARE = Path(__file__).with_name("bare.sh")


def start(runs: int) -> Iterator[Figure]:
    """Two lab hosts ready, beside two engines started by hand."""

    def ours() -> float:
        lab = Lab(hosts=2)
        seconds = timed(lab.start)
        lab.stop()
        return seconds

    def bare(how: str) -> float:
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            with subprocess.Popen(
                [*namespaces, "sh", str(BARE), str(image.ensure("26.1")), folder, how],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout.readline() == "ready\n"
                seconds = time.perf_counter() - begin
        return seconds

    yield paired("Lab(hosts=2) ready / two dockerd by hand", ours, lambda: bare("plain"), runs)
    yield paired(
        "Lab(hosts=2) ready / two, containerd started first by hand",
        ours,
        lambda: bare("containerd"),
        runs,
    )


def run(runs: int) -> Iterator[Figure]:
    """``host.run`` beside ``docker run -d`` typed on the same host."""
    with Lab(hosts=1) as lab:
        host = lab.host1

        def clean(seconds: float) -> float:
            host.read("docker ps -aq | xargs -r docker rm -f")
            return seconds

        # The peer is timed on the host itself: the channel's time is not the CLI's.
        script = (
            "s=$(date +%s%N); docker run -d busybox sleep 1000 > /dev/null; "
            "echo $(($(date +%s%N) - s))"
        )
        yield paired(
            "host.run / docker run -d",
            lambda: clean(timed(lambda: host.run("busybox", command="sleep 1000"))),
            lambda: clean(int(host.read(script)) / 1e9),
            runs,
        )


def memory(_: int) -> Iterator[str]:
    """What one more lab host takes, by the machine's own cgroup: no container runs yet."""
    used = {}
    for hosts in (1, 3):
        with Lab(hosts=hosts) as lab:
            group = f"labkit.{lab._channel.run.name}"
            places = (f"memory/{group}/memory.usage_in_bytes", f"{group}/memory.current")
            files = [Path("/sys/fs/cgroup", place) for place in places]
            used[hosts] = int(next(f for f in files if f.exists()).read_text())
    more = (used[3] - used[1]) // 2
    yield f"a lab with one host takes {used[1] >> 20} MiB, each more {more >> 20} MiB"


def build(_: int) -> Iterator[str]:
    """The machine image, built into an empty cache: time and size."""
    with tempfile.TemporaryDirectory(dir=image.cache()) as folder:
        os.environ["LABKIT_CACHE"] = folder
        try:
            seconds = timed(lambda: image.ensure("26.1"))
            size = subprocess.run(
                ["du", "--summarize", "--bytes", folder], capture_output=True, text=True, check=True
            ).stdout.split()[0]
        finally:
            del os.environ["LABKIT_CACHE"]
    yield f"machine image built in {seconds:.0f} s, {int(size) / 1e6:.0f} MB"


def suite(_: int) -> Iterator[str]:
    """The test command, with images and packages there."""
    command = ["./lab", "test"]
    seconds = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))
    yield f"./lab test, caches warm: {seconds:.0f} s"


def fuzz(_: int) -> Iterator[str]:
    """A hundred thousand pieces of garbage, for all that reads foreign bytes."""
    each = 100_000 // len(TARGETS)
    for target in TARGETS:
        count = attack(target, each)
        yield (
            f"fuzz {target.name}: {count.tried} inputs, {count.accepted} accepted, "
            "the others refused by a defined error"
        )


def endurance(_: int) -> Iterator[str]:
    """Labs killed at random moments, twenty at once for three minutes, a hundred in a row."""
    before = state_of_this_system()
    counts = kills(50, seed=secrets.randbits(32))
    yield f"{counts.total()} labs killed at random moments, {counts.total()} clean: {dict(counts)}"
    if as_user.possible():
        words = ("-m", "tests.endurance", "50", str(secrets.randbits(32)))
        command = as_user.python("ids", *words, LABKIT_MACHINE="user")
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        yield f"the same as an ordinary user: {told.strip()}"
    assert state_of_this_system() == before
    yield "interfaces, routes, rules and /proc/sys of this computer: as before"
    with unchanged():
        labs = crowd(20, 180)
    yield f"{labs} labs by 20 processes in 3 minutes, all clean"
    yield f"{row(100)} labs in a row in one process, all clean"


BENCHES = {
    "start": start,
    "run": run,
    "memory": memory,
    "machines": machines,
    "idle": idle,
    "image": build,
    "test": suite,
    "fuzz": fuzz,
    "snapshot": snapshot,
    "endurance": endurance,
    "draw": draw,
}


def main() -> None:
    """Run the benches that were named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="*", help=f"of {', '.join(BENCHES)}; all without one")
    parser.add_argument("--runs", type=int, default=9, help="pairs of each figure")
    wanted = parser.parse_args()
    if unknown := set(wanted.bench) - BENCHES.keys():
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} processors")
    for name in wanted.bench or BENCHES:
        for figure in BENCHES[name](wanted.runs):
            print(figure, flush=True)


if __name__ == "__main__":
    main()

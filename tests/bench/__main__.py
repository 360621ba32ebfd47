"""Measure the lab beside the raw tools: ``./lab bench``, or some of it by name.

Each figure is a median, taken in turn with its peer in one run, with the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from labkit import Lab
from labkit.machine import image
from tests.bench import report
from tests.bench.draw import draw
from tests.bench.figures import Figure, paired, timed
from tests.bench.idle import idle
from tests.bench.machines import machines
from tests.bench.memory import MIB, memory
from tests.bench.mininet import mininet
from tests.bench.snapshot import snapshot
from tests.bench.start import imported, start
from tests.endurance import crowd, kills, row, state_of_this_system, unchanged
from tests.engine import as_user
from tests.fuzz import TARGETS, attack

JSON = Path("build/bench.json")


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
            most=1.0,
        )


def build(_: int) -> Iterator[Figure]:
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
    yield Figure(name="machine image built into an empty cache", ours=seconds)
    yield Figure(name="machine image on the disk", ours=int(size) / MIB, unit="MiB")


def suite(_: int) -> Iterator[Figure]:
    """The test command, with images and packages there."""
    command = ["./lab", "test"]
    seconds = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))
    yield Figure(name="./lab test, caches warm", ours=seconds, most=600)


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
    "import": imported,
    "mininet": mininet,
    "snapshot": snapshot,
    "draw": draw,
    "machines": machines,
    "idle": idle,
    "image": build,
    "fuzz": fuzz,
    "endurance": endurance,
    "test": suite,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benches that were named, or all of them; 1 if one of them could not end."""
    parser = argparse.ArgumentParser(prog="./lab bench", description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="*", help=f"of {', '.join(BENCHES)}; all without one")
    parser.add_argument("--runs", type=int, default=9, help="pairs of each figure")
    parser.add_argument(
        "--json", type=Path, default=JSON, metavar="FILE",
        help=f"where the figures go, a table (.md) and a picture (.png) beside it; or {JSON}",
    )  # fmt: skip
    wanted = parser.parse_args(arguments)
    if unknown := set(wanted.bench) - BENCHES.keys():
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if wanted.runs < 1:
        parser.error(f"--runs {wanted.runs}: give a whole number, 1 or more")
    found = report.begun()
    for name in wanted.bench or BENCHES:
        try:
            for item in BENCHES[name](wanted.runs):
                print(item, flush=True)
                kind = "figures" if isinstance(item, Figure) else "notes"
                more = {kind: (*getattr(found, kind), item)}
                found = msgspec.structs.replace(found, **more)
        except Exception as error:  # one that fails, in whatever way, takes no other's figures
            reason = f"{name}: {type(error).__name__}: {error}"
            print(f"failed: {reason}", file=sys.stderr, flush=True)
            found = msgspec.structs.replace(found, failures=(*found.failures, reason))
        files = report.save(found, wanted.json)
    print(f"\n{report.table(found)}\nwritten: {', '.join(map(str, files))}")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Each machine beside the root machine: a lab ready, a container started, in turn in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from labkit import Lab
from labkit.machine import MACHINES
from tests.bench.figures import Figure, compared
from tests.engine import as_user

SCRIPT = """
import json, sys, time
from labkit import Lab
begin = time.perf_counter()
with Lab(machine=sys.argv[1]) as lab:
    ready = time.perf_counter() - begin
    lab.host1.read("docker run --rm busybox true")
    begin = time.perf_counter()
    for _ in range(3):
        lab.host1.read("docker run --rm busybox true")
    print(json.dumps([ready, (time.perf_counter() - begin) / 3]))
"""
READY, RUN = "ready", "docker run --rm"
MOST = {("user", READY): 1.3, ("user", RUN): 1.3, ("virtual", RUN): 12.0}  # of the ratios


def machines(runs: int) -> Iterator[Figure]:
    """Every machine that can boot here, an ordinary user's too, beside the root machine."""
    root = [sys.executable, "-c", SCRIPT, "root"]
    with Lab(machine="root") as outer:
        # For the container machine: a lab host's engine, where the environment names none.
        os.environ.setdefault("DOCKER_HOST", f"unix://{outer._channel.run}/host1.sock")
        for machine, how, command in _ways():
            _measure(command), _measure(root)  # builds what is made once, and warms up
            pairs = [(_measure(command), _measure(root)) for _ in range(runs)]
            for n, what in enumerate((READY, RUN)):
                yield compared(
                    f"{machine}{how}, {what} / the root machine",
                    [(a[n], b[n]) for a, b in pairs],
                    most=MOST.get((machine, what)),
                )


def _ways() -> Iterator[tuple[str, str, list[str]]]:
    """The machines beside root's: each one's name, whose it is, the command that measures it."""
    for kind, machine in (("ids", "user"), ("one id", "user"), ("sudo", "root")):
        yield machine, f" ({kind})", as_user.python(kind, "-c", SCRIPT, machine)
    for machine in MACHINES:
        if machine.name not in ("root", "user") and machine.available()[0]:
            yield machine.name, "", [sys.executable, "-c", SCRIPT, machine.name]


def _measure(command: list[str]) -> list[float]:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])

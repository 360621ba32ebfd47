"""Two lab hosts ready beside two engines started by hand, and what comes before: the import."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from labkit import Lab
from tests.bench.bare import engines
from tests.bench.figures import Figure, paired, timed

READY = "Lab(hosts=2) ready / two engines by hand"


def start(runs: int) -> Iterator[Figure]:
    """``Lab(hosts=2).start()``; its machine, LAN, router and outside are in it."""

    def ours() -> float:
        lab = Lab(hosts=2)
        seconds = timed(lab.start)
        lab.stop()
        return seconds

    def bare(how: str) -> float:
        with contextlib.ExitStack() as stack:
            return timed(lambda: stack.enter_context(engines(2, how)))

    yield paired(f"{READY}, dockerd alone", ours, lambda: bare("plain"), runs, most=1.3)
    # The quickest way that we know, and nobody's habit: the target is of the one above.
    yield paired(f"{READY}, containerd first", ours, lambda: bare("containerd"), runs)


def imported(runs: int) -> Iterator[Figure]:
    """What a notebook's first line takes, beside docker-py, which labkit stands on."""

    def python(statement: str) -> float:
        return timed(lambda: subprocess.run([sys.executable, "-c", statement], check=True))

    yield paired(
        "from labkit import Lab / import docker",
        lambda: python("from labkit import Lab"),
        lambda: python("import docker"),
        runs,
    )

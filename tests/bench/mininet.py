"""Small networks beside Mininet's: brought up, and a ping answered from one end to the other.

Mininet's computers are namespaces on a Linux bridge, as the lab's stations are; a lab host has a
Docker Engine besides. Mininet is Debian's package, and makes its bridge in a network namespace of
the bench's own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from labkit import Lab
from labkit.errors import ImageError
from labkit.machine.prerequisites import install
from tests.bench.figures import Figure, paired, timed

SIZES = (2, 20)
PACKAGES = {"mn": "mininet", "brctl": "bridge-utils", "ping": "iputils-ping"}
PING = "ping -c 1 -W 5"
SCRIPT = f"""
import sys, time
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo
begin = time.perf_counter()
net = Mininet(SingleSwitchTopo(int(sys.argv[1])), switch=LinuxBridge, controller=None)
net.start()
answer = net.hosts[0].cmd("{PING}", net.hosts[-1].IP())
print(time.perf_counter() - begin)
net.stop()
assert ", 0% packet loss" in answer, answer
"""


def mininet(runs: int) -> Iterator[Figure | str]:
    """Two and twenty computers; ours as stations beside one lab host, and as lab hosts."""
    try:
        install(programs=PACKAGES)
    except ImageError as error:
        yield f"not compared with Mininet: {error}"
        return
    for size in SIZES:
        peer = f"Mininet's {size} hosts"

        def theirs(size: int = size) -> float:
            done = subprocess.run(
                # The system's Python has the package.
                ["unshare", "--net", "--mount", "/usr/bin/python3", "-I", "-c", SCRIPT, str(size)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            return float(done.stdout)

        yield paired(
            f"{size} stations (and a lab host) up, a ping answered / {peer}",
            lambda size=size: _ours("station", size, hosts=1, stations=size),
            theirs,
            runs,
        )
        yield paired(
            f"{size} lab hosts up, each with an engine, a ping answered / {peer}",
            lambda size=size: _ours("host", size, hosts=size),
            theirs,
            runs,
        )


def _ours(kind: str, size: int, **wanted: int) -> float:
    lab = Lab(**wanted)

    def up() -> None:
        lab.start()
        lab.node(f"{kind}1").read(f"{PING} {kind}{size}")

    seconds = timed(up)
    lab.stop()
    return seconds

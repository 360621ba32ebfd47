"""A snapshot of a host with many containers, beside netlink itself and beside a loop of tools."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from labkit import Lab
from labkit.host import Host
from tests.bench.figures import Figure, paired, timed

SIZES = (10, 100, 300)
DUMP = Path(__file__).with_name("netlink_dump.py")
LOOP = """
s=$(date +%s%N)
for pid in 1 {pids}; do
    for what in "-d -s link" address route "-6 route" neighbour; do
        nsenter --net=/proc/$pid/ns/net ip -j $what
    done
    nsenter --net=/proc/$pid/ns/net bridge -j fdb
    nsenter --net=/proc/$pid/ns/net conntrack -L
    nsenter --net=/proc/$pid/ns/net iptables-save -c
    nsenter --net=/proc/$pid/ns/net ss -Hlntup
done > /dev/null 2>&1
echo $(($(date +%s%N) - s))
"""


def snapshot(runs: int) -> Iterator[Figure | str]:
    """``host.snapshot()`` with 10, 100 and 300 real containers; and how its time grows."""
    took: dict[int, float] = {}
    with Lab(hosts=1) as lab:
        host = lab.host1
        for size in SIZES:
            _fill(host, size)
            pids = _pids(host)
            assert len(pids) == size
            beside_netlink, beside_tools = _compare(host, size, pids, runs)
            took[size] = beside_netlink.ours
            yield from (beside_netlink, beside_tools)
    least, most = SIZES[0], SIZES[-1]
    power = math.log(took[most] / took[least]) / math.log((most + 1) / (least + 1))
    yield f"a snapshot's time grows with the number of namespaces to the power {power:.2f}"


def _compare(host: Host, size: int, pids: list[str], runs: int) -> tuple[Figure, Figure]:
    words = " ".join(pids)
    dump = f"python3 - {words} << 'END'\n{DUMP.read_text()}\nEND"
    loop = LOOP.format(pids=words)
    name = f"snapshot of {size} containers / "

    def ours() -> float:
        return timed(host.snapshot)

    return (
        paired(f"{name}raw netlink dump", ours, lambda: float(host.read(dump)), runs),
        # A loop of tools takes long, and its ratio is far from 1.
        paired(f"{name}nsenter loop", ours, lambda: int(host.read(loop)) / 1e9, max(1, runs // 3)),
    )


def _fill(host: Host, size: int) -> None:
    """Start containers until there are so many, four at once."""
    there = len(host.read("docker ps -q").split())
    numbers = " ".join(map(str, range(there, size)))
    run = "docker run -d --name box{} busybox sleep 100000"
    host.read(f"printf '%s\\n' {numbers} | xargs -P 4 -I{{}} {run}")


def _pids(host: Host) -> list[str]:
    return host.read("docker ps -q | xargs docker inspect -f '{{.State.Pid}}'").split()

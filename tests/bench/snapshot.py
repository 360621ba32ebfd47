"""A snapshot of a host with many containers, beside netlink itself and beside a loop of tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit import Lab
from labkit.host import Host
from tests.bench.figures import Figure, paired, timed

SIZES = (10, 100, 300)
DUMP = Path(__file__).with_name("netlink_dump.py")
# What tells a snapshot's facts on the command line: as JSON where the tool has it, each fact once.
# The older iptables' tables are left out; a snapshot would have them, but there are none.
ONCE = (
    "docker version -f '{{json .}}'",  # the engine's version
    "docker ps -q | xargs docker inspect",  # containers: process, endpoints, aliases, ports
    "docker network ls -q | xargs docker network inspect",  # networks: driver, subnets, options
    "lsns -J -t net -o NS,NETNSID,PID",  # which namespace a veth's other end is in
)
EACH = (
    "ip -d -s -j address",  # interfaces: kind, master, parent, VNI, mode, counters, addresses
    "ip -j route",
    "ip -6 -j route",
    "ip -j neighbour",
    "bridge -j fdb",  # forwarding entries
    "conntrack -L",
    "ss -Hlntup",  # sockets and their processes
    "iptables-save -c",  # chains, rules and their counters
    "ip6tables-save -c",
    "nft -j list ruleset",
)
LOOP = """
s=$(date +%s%N)
{{
    {once}
    for pid in 1 {pids}; do
        {each}
    done
}} > /dev/null 2>&1
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
            for figure in _compare(host, size, pids, runs):
                took.setdefault(size, figure.ours)
                yield figure
    least, most = SIZES[0], SIZES[-1]
    power = math.log(took[most] / took[least]) / math.log((most + 1) / (least + 1))
    yield f"a snapshot's time grows with the number of namespaces to the power {power:.2f}"


def _compare(host: Host, size: int, pids: list[str], runs: int) -> Iterator[Figure]:
    words = " ".join(pids)
    dump = f"python3 - {words} << 'END'\n{DUMP.read_text()}\nEND"
    join = "nsenter --net=/proc/$pid/ns/net"
    loops = {
        "a loop, nsenter a command": "\n".join(f"{join} {command}" for command in EACH),
        "a loop, nsenter a namespace": f"{join} sh -c '{'; '.join(EACH)}'",
    }

    def beside(name: str, peer: Callable[[], float], pairs: int, most: float) -> Figure:
        name = f"snapshot of {size} containers / {name}"
        return paired(name, lambda: timed(host.snapshot), peer, pairs, most=most)

    yield beside("raw netlink dump", lambda: float(host.read(dump)), runs, 2)
    for name, each in loops.items():
        loop = LOOP.format(once="\n".join(ONCE), pids=words, each=each)
        # It takes long, and its ratio is far from 1.
        yield beside(name, lambda loop=loop: int(host.read(loop)) / 1e9, max(1, runs // 3), 0.1)


def _fill(host: Host, size: int) -> None:
    """Start containers until there are so many, four at once."""
    there = len(host.read("docker ps -q").split())
    numbers = " ".join(map(str, range(there, size)))
    run = "docker run -d --name box{} busybox sleep 100000"
    host.read(f"printf '%s\\n' {numbers} | xargs -P 4 -I{{}} {run}")


def _pids(host: Host) -> list[str]:
    return host.read("docker ps -q | xargs docker inspect -f '{{.State.Pid}}'").split()

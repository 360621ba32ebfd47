"""The lab's network: nodes, the LAN that joins them, the router and what lies outside it.

::

    host1 ───┐
    host2 ───┼── lan ─ router ── outside
    station1 ┘

The LAN is 192.168.56.0/24, a bridge in the router's namespace, which is also its name server;
outside is in 203.0.113.0/24, which is nobody's (RFC 5737).

The router forwards and does not translate, and outside knows no way to a Docker network: what
reaches outside from a container got there by the lab host's own MASQUERADE rule.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.agent import SERVERS
from labkit.agent.process import Children, inside

ROUTER, OUTSIDE, OUTSIDE_GATEWAY = "192.168.56.1", "203.0.113.10", "203.0.113.1"


@dataclass(frozen=True)
class Node:
    """A computer of the lab: its name, what it is, its address, its process 1 as seen here."""

    name: str
    kind: str  # "host", "station", "outside", "router"
    address: str
    pid: int = 0

    @property
    def root(self) -> Path:
        """Its root directory, from here: proc_pid_root(5)."""
        return Path(f"/proc/{self.pid}/root")


def plan(hosts: int, stations: int) -> list[Node]:
    """The nodes of a lab and their addresses."""
    return [
        Node("router", "router", ROUTER),
        Node("outside", "outside", OUTSIDE),
        *(Node(f"host{n}", "host", f"192.168.56.{10 + n}") for n in range(1, hosts + 1)),
        *(Node(f"station{n}", "station", f"192.168.56.{100 + n}") for n in range(1, stations + 1)),
    ]


async def build(children: Children, wanted: list[Node], there: dict[str, Node]) -> dict[str, Node]:
    """Make the lab these nodes: those already there stay, the missing start, the others end."""
    names = [node.name for node in wanted]
    kept = {name: node for name, node in there.items() if name in names}
    surplus = {name: node for name, node in there.items() if name not in names}
    if surplus:  # the kernel takes its time to end a namespace and its cable
        cut = "".join(f"link delete {name}\n" for name in surplus)
        await children.output([*inside(kept["router"].pid), "ip", "-batch", "-"], cut)
        await asyncio.gather(*(_end(node) for node in surplus.values()))
    lines = [f"{node.address}\t{node.name}\n" for node in wanted]
    hosts = "127.0.0.1\tlocalhost\n" + "".join(lines)
    Path("/lab/hosts").write_text(hosts)
    for node in kept.values():
        (node.root / "etc/hosts").write_text(hosts)
    missing = [node for node in wanted if node.name not in there]
    shells = await asyncio.gather(*(_start(children, node) for node in missing))
    started = {node.name: node for node, _ in shells}
    every = kept | started
    router = every["router"].pid
    await children.output(["ip", "-batch", "-"], "\n".join(_cables(started, router)))
    for node, shell in shells:
        assert shell.stdin
        shell.stdin.write(_script(node, every))
        shell.stdin.close()
    await asyncio.gather(*(_ready(node, shell) for node, shell in shells))
    if kept:  # the router has plugged in the others, and knows their names
        plugs = "".join(f"ip link set {port} master lan up\n" for port in _ports(started))
        await children.output([*inside(router), "sh", "-ec", f"{plugs} pkill -HUP dnsmasq"])
    return {name: every[name] for name in names}


async def _end(node: Node) -> None:
    """End a node: all its processes and namespaces go with its process 1."""
    os.kill(node.pid, signal.SIGKILL)
    while Path(f"/proc/{node.pid}").exists():
        await asyncio.sleep(0.002)
    await asyncio.to_thread(shutil.rmtree, f"/lab/nodes/{node.name}")


async def _start(children: Children, node: Node) -> tuple[Node, subprocess.Popen]:
    """Make a node's namespaces; the shell that becomes its process 1 waits for its script."""
    namespaces = ("--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
    script = f"{Path(__file__).parent}/node.sh"
    shell, _ = children.spawn(
        ["unshare", *namespaces, "sh", script, node.name, node.kind, ROUTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return replace(node, pid=int(await _line(node, shell, str.isdigit))), shell


async def _ready(node: Node, shell: subprocess.Popen) -> None:
    await _line(node, shell, "ready".__eq__)
    assert shell.stdout
    shell.stdout.close()


async def _line(node: Node, shell: subprocess.Popen, expected: Callable[[str], bool]) -> str:
    """The next line of a node's shell; OSError with what it said instead."""
    assert shell.stdout
    line = (await asyncio.to_thread(shell.stdout.readline)).strip()
    if not expected(line):
        raise OSError(f"{node.name} did not start: {line or 'its process 1 ended'}")
    return line


def _cables(nodes: dict[str, Node], router: int) -> list[str]:
    """``ip -batch`` lines: each node's eth0 and, named after the node, the router's end of it."""
    return [
        f"link add eth0 netns {node.pid} type veth peer name {node.name} netns {router}"
        for node in nodes.values()
        if node.kind != "router"
    ]


def _ports(nodes: dict[str, Node]) -> list[str]:
    """The names of the LAN's ports to these nodes."""
    return [name for name, node in nodes.items() if node.kind in ("host", "station")]


def _script(node: Node, nodes: dict[str, Node]) -> str:
    """What a node's shell runs before it becomes process 1: its addresses, and its servers."""
    if node.kind == "router":
        wires = [
            "link add lan type bridge",
            f"address add {ROUTER}/24 dev lan",
            "link set lan up",
            *(f"link set {port} master lan up" for port in _ports(nodes)),
            f"address add {OUTSIDE_GATEWAY}/24 dev outside",
            "link set outside up",
        ]
        servers = [
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            # Names that /etc/hosts does not have are refused: there is nobody else to ask,
            # but where the lab has a way out (labkit/internet.py).
            f": > {SERVERS}",
            f"dnsmasq --no-resolv --no-poll --servers-file={SERVERS} --interface=lan "
            "--bind-interfaces",
        ]
    else:
        gateway = OUTSIDE_GATEWAY if node.kind == "outside" else ROUTER
        wires = [
            f"address add {node.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {gateway}",
        ]
        nginx = f"printf '%s' {shlex.quote(OUTSIDE_NGINX)} > /etc/nginx/nginx.conf\nnginx"
        servers = {"outside": [nginx], "host": ["/etc/init.d/docker launch"]}.get(node.kind, [])
    return "\n".join(["ip -batch - << END", "link set lo up", *wires, "END", *servers])


OUTSIDE_NGINX = """\
events {}
http {
    access_log /var/log/nginx/access.log;
    server {
        listen 80;
        default_type text/plain;
        location / { return 200 "hello, $remote_addr\\n"; }
    }
}
"""

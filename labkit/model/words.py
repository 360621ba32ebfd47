"""The things of a snapshot in words, a name and one line each, as the glossary has them.

Nothing here compares or draws. What the diff compares is these lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.model.nftables import NftChain
from labkit.model.rules import Chain, Rule
from labkit.model.snapshot import (
    ConntrackEntry,
    Container,
    Endpoint,
    Interface,
    Namespace,
    Network,
)  # fmt: skip


def network(network: Network) -> tuple[str, str]:
    """A Docker network."""
    words = [f"Docker network {network.name}", f"driver {network.driver}"]
    words += [s.subnet for s in network.subnets]
    words += ["internal"] if network.internal else []
    words += [f"bridge {network.bridge}"] if network.bridge else []
    return network.name, ", ".join(words)


def container(container: Container, names: dict[str, str]) -> tuple[str, str]:
    """A container; ``names`` has those of all containers by their ids."""
    mode, _, other = container.network_mode.partition(":")
    if mode == "container":
        where = f"shares the network namespace of {names.get(other, other[:12])}"
    elif mode == "host":
        where = "in the host's own network namespace"
    else:
        networks = [e.network for e in container.endpoints]
        where = f"in network{'s' * (len(networks) > 1)} {' and '.join(networks) or mode}"
    return container.name, f"container {container.name}, image {container.image}, {where}"


def endpoint(endpoint: Endpoint, name: str) -> tuple[str, str]:
    """A place in a Docker network of the container of that name."""
    address = f", {endpoint.address}" if endpoint.address else ""
    return name, f"endpoint of {name} in network {endpoint.network}{address}"


def published(container: Container) -> list[tuple[str, str]]:
    """A container's published ports; IPv4 and IPv6 say the same."""
    name, found = container.name, []
    for p in container.ports:
        anywhere = p.host_address in ("0.0.0.0", "::", "")
        place = str(p.host_port) if anywhere else _at(p.host_address, p.host_port)
        words = f"published port {place} → {p.container_port}/{p.protocol} of {name}"
        found.append((name, words))
    return found


def interface(interface: Interface, end: str | None) -> tuple[str, str]:
    """An interface; ``end`` is where the other end of its cable is."""
    i, words = interface, [interface.name]
    if i.kind not in ("", "veth", "loopback"):
        words.append(f"{_article(i.kind)} {i.kind}" + (f" on {i.parent}" if i.parent else ""))
    words += [f"{i.mode} mode"] if i.mode else []
    words += [f"VNI {i.vni}"] if i.vni is not None else []
    words += [f"VLAN {i.vlan}"] if i.vlan is not None else []
    words += addresses(i)
    words += [f"a port of {i.master}"] if i.master else []
    words += [f"other end {end}"] if end else []
    words += [f"MTU {i.mtu}"] if i.mtu != 1500 and i.kind != "loopback" else []
    words += [] if i.up else ["switched off"]
    return i.name, f"interface {', '.join(words)}"


def addresses(interface: Interface) -> list[str]:
    """Without the one that IPv6 gives each interface, good on its cable only."""
    return [f"{a.address}/{a.prefix}" for a in interface.addresses if a.scope != "link"]


def routes(namespace: Namespace) -> Iterator[tuple[str, str]]:
    """Without those that IPv6 gives each interface."""
    for route in namespace.routes:
        if route.destination.startswith(("fe80::", "ff00::")) and route.protocol == "kernel":
            continue
        default = route.destination == "default"
        words = ["default route" if default else f"route {route.destination}"]
        words += [f"via {route.gateway}"] if route.gateway else []
        words += [f"by {route.interface}"] if route.interface else []
        words += [f"with source {route.source}"] if route.source else []
        words += [f"protocol {route.protocol}"] if route.protocol not in ("boot", "kernel") else []
        yield route.destination, " ".join(words)


def neighbours(namespace: Namespace) -> Iterator[tuple[str, str]]:
    """The neighbours that somebody wrote; the kernel learns the others."""
    for n in namespace.neighbours:
        if n.state == "permanent":
            yield n.address, f"neighbour {n.address} at {n.mac} on {n.interface}, permanent"


def forwarding(namespace: Namespace) -> Iterator[tuple[str, str]]:
    """The forwarding entries that name the host behind which a MAC address lives."""
    for f in namespace.forwarding:
        if f.remote:
            yield f.mac, f"forwarding entry {f.mac} on {f.interface}, behind {f.remote}"


def sockets(namespace: Namespace) -> Iterator[tuple[str, str]]:
    """The listening sockets of TCP, and the unconnected ones of UDP."""
    for s in namespace.sockets:
        listening = "listening " if s.protocol == "tcp" else ""
        at, process = _at(s.address, s.port), f", {s.process}" if s.process else ""
        yield at, f"{listening}socket {s.protocol} {at}{process}"


def tables(namespace: Namespace) -> Iterator[tuple[str, str]]:
    """The rules of a namespace that came or went as a whole: one line for each table."""
    found: dict[str, list[Chain]] = {}
    for family, chain in namespace.families():
        if chain.rules:
            found.setdefault(table(family, chain), []).append(chain)
    for name, full in found.items():
        number = sum(len(c.rules) for c in full)
        yield name, f"{count(number, 'rule')} {name}, in {', '.join(c.name for c in full)}"


def table(family: str, chain: Chain) -> str:
    """A chain's table as people say it: IPv4's iptables are just "nat", "filter"."""
    ours = family == "ip" and not isinstance(chain, NftChain)
    return chain.table if ours else f"{family} {chain.table}"


def rule(place: str, rule: Rule) -> str:
    """A rule: its table and chain, what it takes, what it does, its comment."""
    comment = rule.match("comment")
    said = f" (“{comment.value}”)" if comment else ""
    return f"rule {place}: {rule.condition} → {rule.effect}{said}"


def connection(entry: ConntrackEntry) -> str:
    """A row of connection tracking, and what NAT makes of it."""
    there, back = entry.original, entry.reply
    protocol = f"protocol {entry.protocol}" if entry.protocol.isdecimal() else entry.protocol
    words = f"{protocol} {_at(there.source, there.source_port)} → "
    words += _at(there.destination, there.destination_port)
    if entry.dnat:
        words += f", destination becomes {_at(back.source, back.source_port)}"
    if entry.snat:
        words += f", source becomes {_at(back.destination, back.destination_port)}"
    return words


def count(number: int, noun: str) -> str:
    """So many of them: "1 rule", "2 rules"."""
    return f"{number} {noun}" + "s" * (number != 1)


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key to sort by, in which 9 comes before 10."""
    return [
        (0, int(w)) if w.isdecimal() else (1, w) for w in re.split(r"(\d+)", text) if w
    ]  # fmt: skip


def _at(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeio" else "a"

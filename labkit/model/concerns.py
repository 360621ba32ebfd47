"""Which rules could matter to a packet with some address, port or container: a filter for rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from labkit.errors import UsageError
from labkit.model.rules import Option, Rule
from labkit.model.snapshot import Container, Network, Snapshot
from labkit.model.value import Value

IPAddress = IPv4Address | IPv6Address

ADDRESSES = ("source", "destination")
PORTS = ("source-port", "destination-port", "source-ports", "destination-ports", "ports")


def concerns(
    snapshot: Snapshot,
    address: str | None = None,
    port: int | None = None,
    container: str | None = None,
) -> Callable[[Rule], bool] | None:
    """Whether a rule could matter; None when nothing is asked for.

    A rule that asks for nothing of what is named here stays: every packet meets it. A rule is left
    out when it names something else:

    - ``address``: when it can match no packet from or to it. Of an address in a bridge network
      of Docker's also when it names another container's address, another such network or its
      bridge.
    - ``port``: when it names ports, and neither this nor, if this is a published port of the host,
      the container's port behind it; of a published port also what is about another container or
      bridge network.
    - ``container``: when it is about none of the container's addresses (see ``address``).

    Raises:
        UsageError: the address is none, or there is no such container.
    """
    tests: list[Callable[[Rule], bool]] = []
    if address is not None:
        tests.append(_Ends(snapshot, (_parsed(address),)).admit)
    if container is not None:
        tests.append(_Ends(snapshot, _ends(_container(snapshot, container))).admit)
    if port is not None:
        tests.append(_Port(snapshot, port).admit)
    return (lambda rule: all(test(rule) for test in tests)) if tests else None


def _parsed(address: str) -> IPAddress:
    try:
        return ip_address(address)
    except ValueError:
        raise UsageError(f"{address!r} is no IP address, such as 172.17.0.2") from None


def _container(snapshot: Snapshot, name: str) -> Container:
    if found := snapshot.container(name):
        return found
    known = ", ".join(c.name for c in snapshot.containers) or "none"
    raise UsageError(f"there is no container {name!r} in this snapshot; there are: {known}")


def _ends(*containers: Container) -> tuple[IPAddress, ...]:
    return tuple(ip_address(e.address) for c in containers for e in c.endpoints if e.address)


class _Ends(Value):
    """Addresses, any of which is one end of the packet."""

    snapshot: Snapshot
    ends: tuple[IPAddress, ...]

    def admit(self, rule: Rule) -> bool:
        """Whether the rule can match such a packet, or rewrites its other end to one of them."""
        named = [m for m in rule.matches if m.name in ADDRESSES]
        sides = [[m for m in named if m.name == side] for side in ADDRESSES]
        possible = any(
            all(_covers(m, end) != m.negated for m in side) for end in self.ends for side in sides
        )
        return possible and not self.foreign(rule)

    def foreign(self, rule: Rule) -> bool:
        """Whether it is about other hosts or networks of Docker's than that of these addresses."""
        bridged = [n for n in self.snapshot.networks if n.bridge]
        own = [n for n in bridged if any(_within(n, str(end)) for end in self.ends)]
        if not own:
            return False
        about = [m for m in rule.matches if m.name in ADDRESSES and not m.negated]
        about += [Option(name=a.name, values=(_host(a.value),)) for a in rule.arguments
                  if a.name in ("to-destination", "to-source") and _host(a.value)]  # fmt: skip
        ours = [m for m in about if any(_within(n, m.value) for n in bridged)]
        if ours and not any(_covers(m, end) for m in ours for end in self.ends):
            return True
        interfaces = {m.value for m in rule.matches if m.name in ("in-interface", "out-interface")}
        other = interfaces & {n.bridge for n in bridged}
        return bool(other) and not interfaces & {n.bridge for n in own}


class _Port(Value):
    """A port, and the containers' ports behind it if it is a published one."""

    snapshot: Snapshot
    port: int

    def admit(self, rule: Rule) -> bool:
        """Whether the rule names no port, or this, or the container's behind it."""
        ports = [m for m in rule.matches if m.name in PORTS and not m.negated]
        if not ports:
            behind = [c for c in self.snapshot.containers
                      if any(p.host_port == self.port for p in c.ports)]  # fmt: skip
            foreign = behind and _Ends(self.snapshot, _ends(*behind)).foreign(rule)
            return not foreign and not any(
                _has(m, self.port) for m in rule.matches if m.name in PORTS
            )
        if any(_has(m, self.port) for m in ports) or _leads_to(rule, self.port):
            return True
        where = [m for m in rule.matches if m.name in ADDRESSES and not m.negated]
        for container in self.snapshot.containers:
            for p in container.ports:
                if p.host_port == self.port and any(_has(m, p.container_port) for m in ports):
                    return any(_covers(m, end) for m in where for end in _ends(container))
        return False


def _within(network: Network, addresses: str) -> bool:
    """Whether an address or a network is in a Docker network."""
    try:
        named = ip_network(addresses)
        subnets = [ip_network(s.subnet) for s in network.subnets]
    except ValueError:  # a set, a range, a name
        return False
    return any(named[0] in subnet and named[-1] in subnet for subnet in subnets)


def _covers(option: Option, end: IPAddress) -> bool:
    """Whether the address is among those named; a set of ipset or nft may hold any."""
    for value in ",".join(option.values).split(","):
        if value.startswith("@"):
            return True
        first, dash, last = value.partition("-")
        try:
            if dash:
                low, high = ip_address(first), ip_address(last)
                inside = low.version == end.version and int(low) <= int(end) <= int(high)
            else:
                inside = end in ip_network(first, strict=False)
        except ValueError:  # a name
            continue
        if inside:
            return True
    return False


def _has(option: Option, port: int) -> bool:
    for value in ",".join(option.values).split(","):
        first, _, last = value.partition(":")
        if first.isdecimal() and int(first) <= port <= int(last or first):
            return True
        if not first.isdecimal() and not first:  # ":80" is 0 to 80
            return port <= int(last)
    return False


def _host(target: str) -> str:
    """The address of "172.17.0.2:80", "[fd00::2]:80", "172.17.0.2"; empty for ":53"."""
    found = re.match(r"\[(.*)\]|([\d.]+)", target)
    return (found[1] or found[2]) if found else target if target.count(":") > 1 else ""


def _leads_to(rule: Rule, port: int) -> bool:
    ends = [a.value for a in rule.arguments if a.name in ("to-destination", "to-ports")]
    return any(re.search(rf"(^|:){port}$", end) for end in ends)

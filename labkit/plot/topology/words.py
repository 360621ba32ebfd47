"""The short texts on a map: an interface in one line and in three, a namespace, a count."""

from __future__ import annotations

from labkit.model.snapshot import Interface, Namespace, Port

LINE, ROW = 10, 22  # points: a line of small text; an interface with its two lines
ABOUT = {
    "ingress_sbox": "where a Swarm service's published port arrives",
    "lb_": "shares out a service's virtual IP",
}


OWN = "Docker's own namespace"


def about(namespace: Namespace) -> str:
    """What a namespace without a container is for."""
    return next((w for start, w in ABOUT.items() if namespace.name.startswith(start)), OWN)


def addresses(interface: Interface) -> list[str]:
    """Its addresses, without the IPv6 ones that every interface gives itself."""
    return [f"{a.address}/{a.prefix}" for a in interface.addresses if a.scope != "link"]


def small(interface: Interface, note: str) -> list[str]:
    """The lines under its name."""
    first = f"{interface.mac} · if{interface.index}" + ("" if interface.up else " · down")
    return [first, *addresses(interface)[1:], *([note] if note else [])]


def chip(interface: Interface) -> str:
    """An interface in one line: "lo 127.0.0.1/8"."""
    shown = [a for a in addresses(interface) if not a.startswith("::1/")]
    note = "" if interface.kind == "loopback" else f"({relation(interface)})"
    return " ".join([interface.name, *shown, note]).strip()


def relation(interface: Interface) -> str:
    """What an interface without a wire is, and what it belongs to."""
    words = [interface.kind or "device"]
    if interface.vni is not None:
        words.append(f"VNI {interface.vni}")
    if interface.vlan is not None:
        words.append(f"VLAN {interface.vlan}")
    if interface.parent:
        words.append(f"on {interface.parent}")
    if interface.master:
        words.append(f"port of {interface.master}")
    if interface.peer:
        words.append(f"wired to {interface.peer.name or 'a namespace not shown'}")
    return ", ".join(words)


def inner(port: Port) -> str:
    """A container's port: "80/tcp"."""
    return f"{port.container_port}/{port.protocol}"


def count(number: int, noun: str) -> str:
    """A number and its noun: "3 containers"."""
    return f"{number} {noun}" + "s" * (number != 1)


def listed(names: list[str]) -> str:
    """Names in a sentence: "host1, host2 and host3"."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])

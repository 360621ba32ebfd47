"""What can be picked on a map: each part's details, and the commands that show it.

A command is typed on the part's own node. Into a container's namespace it goes by the container's
process 1, into Docker's own by the file that Docker keeps of it: nsenter(1).
"""

from __future__ import annotations

from shlex import quote

from labkit.model.rules import Rule
from labkit.model.snapshot import Container, Interface, Namespace, Network, Snapshot
from labkit.plot.thing import Thing
from labkit.plot.topology import words
from labkit.plot.topology.parts import Publication

Area = tuple[float, float, float, float]
Path = tuple[tuple[float, float], ...]


def place(snapshot: Snapshot, namespace: Namespace) -> str:
    """What a namespace is called in a thing's name: by the container whose it is."""
    if namespace.kind == "host":
        return snapshot.host
    if namespace.kind == "sandbox":
        return f"sandbox {namespace.name}"
    return _owner(snapshot, namespace)


def _owner(snapshot: Snapshot, namespace: Namespace) -> str:
    names = [
        c.name for c in snapshot.containers
        if c.namespace == namespace.id and not c.network_mode.startswith("container:")
    ]  # fmt: skip
    return (names or [namespace.name])[0]


def named(snapshot: Snapshot, namespace: Namespace, interface: Interface) -> str:
    """An interface's name on the whole host: "eth0 of web"."""
    return f"{interface.name} of {place(snapshot, namespace)}"


def inside(snapshot: Snapshot, namespace: Namespace) -> str:
    """What to type before a command that is to run in the namespace."""
    if namespace.kind == "host":
        return ""
    if namespace.kind == "sandbox":
        return f"nsenter --net=/run/docker/netns/{quote(namespace.name)} "
    name = quote(_owner(snapshot, namespace))
    pid = f"docker inspect --format '{{{{.State.Pid}}}}' {name}"
    return f"nsenter --net --target $({pid}) "


def interface(
    area: Area, snapshot: Snapshot, namespace: Namespace, i: Interface, path: Path = ()
) -> Thing:
    """An interface of any kind."""
    details = [("kind", i.kind or "device"), ("MAC address", i.mac), ("index", str(i.index))]
    details += [("address", f"{a.address}/{a.prefix}") for a in i.addresses]
    details += [("state", i.state if i.up else "switched off"), ("MTU", str(i.mtu))]
    details += [("port of", i.master)] if i.master else []
    details += [("parent", i.parent)] if i.parent else []
    details += [("mode", i.mode)] if i.mode else []
    details += [("VNI", str(i.vni))] if i.vni is not None else []
    details += [("VLAN", str(i.vlan))] if i.vlan is not None else []
    if i.peer:
        there = snapshot.namespace(i.peer.namespace) if i.peer.namespace else None
        where = f"{i.peer.name} of {place(snapshot, there)}" if there else "outside this host"
        details.append(("other end", where))
    details += [
        ("received", f"{i.rx_packets} packets, {i.rx_bytes} bytes"),
        ("sent", f"{i.tx_packets} packets, {i.tx_bytes} bytes"),
    ]
    before, name = inside(snapshot, namespace), quote(i.name)
    commands = [
        f"{before}ip -details -statistics link show dev {name}",
        f"{before}ip address show dev {name}",
    ]
    if i.kind == "bridge":
        commands.append(f"{before}bridge fdb show br {name}")
        if any(port.master == i.name for port in namespace.interfaces):
            commands.append(f"{before}ip link show master {name}")
    if i.kind == "vxlan":
        commands.append(f"{before}bridge fdb show dev {name}")
    kind = "bridge" if i.kind == "bridge" else "interface"
    return Thing(
        area, kind, named(snapshot, namespace, i), tuple(details), tuple(commands),
        snapshot.host, path,
    )  # fmt: skip


def wire(
    snapshot: Snapshot, path: Path, near: tuple[Namespace, Interface],
    far: tuple[Namespace, Interface],
) -> Thing:  # fmt: skip
    """A veth pair, or a macvlan or ipvlan interface's joint with its parent."""
    ends = [named(snapshot, *end) for end in (near, far)]
    kind = "wire" if near[1].peer else f"{near[1].kind} on its parent"
    details = [("from", ends[0]), ("to", ends[1])]
    if far[1].master:
        details.append(("which is a port of", far[1].master))
    commands = [
        f"{inside(snapshot, n)}ip -details link show dev {quote(i.name)}" for n, i in (near, far)
    ]
    xs, ys = zip(*path, strict=True)
    area = (min(xs) - 2.5, min(ys), max(xs) - min(xs) + 5, max(ys) - min(ys))
    return Thing(area, kind, " ↔ ".join(ends), tuple(details), tuple(commands), snapshot.host, path)


def container(area: Area, snapshot: Snapshot, c: Container) -> Thing:
    """A container."""
    details = [("image", c.image), ("id", c.id[:12]), ("network mode", c.network_mode)]
    for e in c.endpoints:
        details.append((f"network {e.network}", e.address or "no address"))
        details += [("aliases", ", ".join(e.aliases))] if e.aliases else []
    name = quote(c.name)
    commands = (
        f"docker container ls --filter name='^{c.name}$'",
        f"docker inspect --format '{{{{.Name}}}} {{{{json .NetworkSettings.Networks}}}}' {name}",
    )
    return Thing(area, "container", c.name, tuple(details), commands, snapshot.host)


def namespace(area: Area, snapshot: Snapshot, n: Namespace) -> Thing:
    """A node's own namespace, or one that Docker made for itself."""
    inner = ", ".join(i.name for i in n.interfaces)
    details = [("interfaces", inner), ("inode", str(n.id))]
    commands = [f"{inside(snapshot, n)}ip -brief address", f"{inside(snapshot, n)}ip route"]
    if n.kind != "host":
        words_ = ("sandbox", f"sandbox {n.name}")
        details.insert(0, ("what it is", words.about(n)))
        details.append(("file", f"/run/docker/netns/{n.name}"))
        commands[1] = f"ls /run/docker/netns/{quote(n.name)}"
    else:
        words_ = ("lab host" if snapshot.kind == "host" else snapshot.kind, snapshot.host)
    if n.kind == "host" and snapshot.engine:
        details.append(("Docker Engine", snapshot.engine))
        commands.append("docker info --format '{{.Name}} {{.ServerVersion}}'")
    return Thing(area, *words_, tuple(details), tuple(commands), snapshot.host)


def network(area: Area, snapshot: Snapshot, n: Network) -> Thing:
    """A Docker network."""
    details = [("driver", n.driver), ("scope", n.scope), ("id", n.id[:12])]
    details += [("subnet", s.subnet) for s in n.subnets]
    details += [("internal", "yes")] if n.internal else []
    commands = (f"docker network inspect {quote(n.name)}",)
    return Thing(area, "network", n.name, tuple(details), commands, snapshot.host)


def published(area: Area, snapshot: Snapshot, p: Publication, path: Path = ()) -> Thing:
    """A published port, with the rule behind it."""
    details = [("at the host", p.place), ("in the container", words.inner(p.port))]
    commands = [f"docker port {quote(p.container.name)}"]
    if p.rule:
        r = p.rule
        details += [("rule", f"{r.table} {r.chain} {r.number}"), ("rule text", r.spec)]
        details += [("in words", f"{r.condition} → {r.effect}"), ("counted", f"{r.packets}")]
        commands.append(f"iptables --table {r.table} --list-rules {r.chain} {r.number}")
    else:
        details.append(("rule", "none: docker-proxy alone takes it to the container"))
    name = f"{p.place} of {p.container.name}"
    return Thing(area, "published port", name, tuple(details), tuple(commands), snapshot.host, path)


def rule(area: Area, snapshot: Snapshot, p: Publication, r: Rule) -> Thing:
    """The DNAT rule behind a published port."""
    details = (
        ("text", r.spec),
        ("sends to", r.argument("to-destination") or ""),
        ("in words", f"{r.condition} → {r.effect}"),
        ("counted", f"{r.packets} packets, {r.bytes} bytes"),
        ("because of", f"published port {p.place} of {p.container.name}"),
    )
    commands = (
        f"iptables --table {r.table} --list-rules {r.chain} {r.number}",
        f"iptables --table {r.table} --list {r.chain} {r.number} --verbose --numeric",
    )
    name = f"rule {r.table} {r.chain} {r.number}"
    return Thing(area, "rule", name, details, commands, snapshot.host)


def lan(area: Area, snapshot: Snapshot, uplink: Interface, subnet: str) -> Thing:
    """The LAN, as a host on it knows it."""
    routes = snapshot.root.routes
    gateway = next((r.gateway for r in routes if r.destination == "default"), None)
    details = [("subnet", subnet)] + ([("default gateway", gateway)] if gateway else [])
    commands = (f"ip route show dev {quote(uplink.name)}",)
    return Thing(area, "LAN", subnet, tuple(details), commands, snapshot.host)


def cable(snapshot: Snapshot, i: Interface, path: Path, far: str = "the LAN") -> Thing:
    """What leads from a node's interface to the LAN; its path ends on the LAN's first branch.

    Outside's leads to an interface of the router, where that is on the map.
    """
    (x, start), (_, end) = path[0], path[1]
    area = (x - 2.5, min(start, end), 5, abs(end - start))
    near = f"{i.name} of {snapshot.host}"
    details = (("one end", near), ("other end", far))
    commands = (f"ip -details link show dev {quote(i.name)}",)
    name = f"{near} ↔ {far.removeprefix('the ')}"
    return Thing(area, "cable", name, details, commands, snapshot.host, path)


def tunnel(
    area: Area, here: tuple[Snapshot, Namespace, Interface], there: str, vtep: str, path: Path
) -> Thing:
    """A VXLAN tunnel from a host's VTEP to another's."""
    snapshot, place_, vxlan = here
    macs = sorted(f.mac for f in place_.forwarding if f.remote == vtep)
    details = [("VNI", str(vxlan.vni)), ("other VTEP", vtep)]
    details += [("MAC address behind it", mac) for mac in macs]
    before, name = inside(snapshot, place_), quote(vxlan.name)
    commands = (
        f"{before}ip -details link show dev {name}",
        f"{before}bridge fdb show dev {name}",
    )
    name = f"VNI {vxlan.vni}, {snapshot.host} ↔ {there}"
    return Thing(area, "VXLAN tunnel", name, tuple(details), commands, snapshot.host, path)

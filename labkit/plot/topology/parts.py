"""What a map of a node shows, found in its snapshot: strips, boxes, wires, published ports.

A strip is a namespace with bridges, drawn across the page: the host's own, and Docker's own of an
overlay network. Every other namespace is a box, wired to a strip or to another box. Nothing here
draws; where things stand is filled in by ``labkit.plot.topology.host``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from labkit.model.causes import published_port
from labkit.model.diff import Diff
from labkit.model.rules import Rule
from labkit.model.snapshot import Container, Interface, Namespace, Network, Port, Snapshot
from labkit.plot.topology import words

COLUMNS, MOST_LANES = 4, 6  # of a floor; lanes of one column


@dataclass(eq=False)
class Strip:
    """A namespace across the page, with its bars: bridges, and parents of other interfaces."""

    namespace: Namespace
    bars: list[Interface] = field(default_factory=list)
    uplinks: list[Interface] = field(default_factory=list)  # they lead out of the host
    bar_y: dict[str, float] = field(default_factory=dict)  # on the floor that is being drawn

    def vxlan(self, bar: Interface) -> Interface | None:
        """The VXLAN interface that is a port of the bar, or the bar itself."""
        if bar.kind == "vxlan":
            return bar
        ports = (i for i in self.namespace.interfaces if i.master == bar.name)
        return next((i for i in ports if i.kind == "vxlan"), None)

    @property
    def chips(self) -> list[Interface]:
        """The interfaces that are neither a bar nor plugged in anywhere, but for veths."""
        drawn = [*self.bars, *self.uplinks, *map(self.vxlan, self.bars)]
        return [i for i in self.namespace.interfaces if i not in drawn]


@dataclass(eq=False)
class Wire:
    """From an interface of a box to its other end: in a strip, or in a box as another wire's."""

    box: Box
    port: Interface
    far: Interface | None = None  # the veth at the other end
    strip: Strip | None = None  # the namespace of far and bar
    bar: Interface | None = None  # the bridge that far is a port of, or a macvlan's parent
    mate: Wire | None = None  # the half of the same cable that ends at far in another box
    lane: float = 0  # x
    far_y: float | None = None


@dataclass(eq=False)
class Publication:
    """A published port, once for IPv4 and IPv6, and the DNAT rule that makes it work."""

    box: Box
    container: Container
    port: Port
    rule: Rule | None
    lane: float = 0
    y: float = 0

    @property
    def everywhere(self) -> bool:
        """Whether it is published at every address of the host."""
        return self.port.host_address in ("0.0.0.0", "::", "")

    @property
    def flag(self) -> str:
        """At the container: "host port 8080 → 80/tcp"."""
        place = "host port " if self.everywhere else f"{self.port.host_address}:"
        return f"{place}{self.port.host_port} → {self.port.container_port}/{self.port.protocol}"

    @property
    def place(self) -> str:
        """At the host: "8080/tcp"."""
        address = "" if self.everywhere else f"{self.port.host_address}:"
        return f"{address}{self.port.host_port}/{self.port.protocol}"


@dataclass(eq=False)
class Box:
    """A namespace beside the strips."""

    namespace: Namespace
    containers: list[Container] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    x: float = 0
    y: float = 0

    @property
    def title(self) -> str:
        """What the box is called."""
        return ", ".join(c.name for c in self.containers) or self.namespace.name

    @property
    def subtitle(self) -> str:
        """The images, or what the namespace is for."""
        images = ", ".join(dict.fromkeys(c.image for c in self.containers))
        if len(self.containers) > 1:
            return f"{images} · sharing one namespace"
        return images or words.about(self.namespace)

    @property
    def bare(self) -> bool:
        """Whether it has no interface but lo."""
        return all(i.kind == "loopback" for i in self.namespace.interfaces)

    @property
    def height(self) -> float:
        """How high it is, in points."""
        rows = sum(map(self._row, self.namespace.interfaces))
        return 36 + rows + words.LINE * self.bare + 14 * len(self.publications)

    @property
    def lanes(self) -> list[Wire | Publication]:
        """What comes down beside it, the innermost first."""
        return [*self.wires, *self.publications]

    def wire(self, interface: Interface) -> Wire | None:
        """The wire that is plugged into it."""
        return next((w for w in self.wires if w.port is interface), None)

    def note(self, interface: Interface) -> str:
        """What there is to say of it when no wire says it."""
        wire = self.wire(interface)
        if wire and wire.far:
            return ""
        if wire and wire.bar:
            return interface.kind + (f", {interface.mode} mode" if interface.mode else "")
        return words.relation(interface)

    def port_y(self, interface: Interface) -> float:
        """The height of its port."""
        above = self.namespace.interfaces[: self.namespace.interfaces.index(interface)]
        return self.y + 37 + sum(map(self._row, above))

    def flag_y(self, publication: Publication) -> float:
        """The height of a published port's flag."""
        below = len(self.publications) - self.publications.index(publication)
        return self.y + self.height - 14 * below + 6

    def _row(self, interface: Interface) -> float:
        if interface.kind == "loopback":
            return 14
        return words.ROW + words.LINE * (len(words.small(interface, self.note(interface))) - 1) + 2


@dataclass(eq=False)
class Floor:
    """Rows of boxes under the strips that they are wired to; a full map has more than one."""

    rows: list[list[Box]]
    strips: list[Strip]

    @property
    def boxes(self) -> list[Box]:
        """All of them, row by row."""
        return [box for row in self.rows for box in row]

    def column(self, number: int) -> list[Box]:
        """The boxes below each other in that column, from the top."""
        return [row[number] for row in self.rows if number < len(row)]

    @property
    def lanes(self) -> int:
        """How many lanes the fullest column has."""
        return max(sum(len(b.lanes) for b in self.column(c)) for c in range(COLUMNS))


class Parts:
    """All of a node: its strips, its boxes on floors, what is new there."""

    def __init__(self, snapshot: Snapshot, change: Diff | None) -> None:
        self.snapshot, self.host = snapshot, snapshot.root
        self.new = _new(snapshot, change)
        self.strips = _strips(snapshot)
        self.boxes = _boxes(snapshot, self.strips)
        for strip in self.strips:
            _find_bars(strip, self.boxes)
        bars = [bar for strip in self.strips for bar in strip.bars]
        self.boxes.sort(key=lambda b: _order(b, bars))
        self.floors = _floors(self.boxes, self.strips)
        _cut_between_floors(self.floors)

    def network(self, strip: Strip, bar: Interface) -> Network | None:
        """The Docker network that the bar belongs to."""
        for network in self.snapshot.networks:
            if strip.namespace is not self.host:
                # libnetwork names the file: a number, and the start of the network's id.
                start = strip.namespace.name.partition("-")[2]
                if start and network.id.startswith(start):
                    return network
            elif bar.name in (network.bridge, network.options.get("parent")):
                return network
        return None

    def key(self, strip: Strip, bar: Interface) -> str:
        """What decides the bar's look: the same for the same network on another host."""
        network = self.network(strip, bar)
        own = f"{self.snapshot.host} {strip.namespace.id} {bar.name}"
        return network.id if network and network.scope != "local" else own


def _strips(snapshot: Snapshot) -> list[Strip]:
    """The host's own namespace, and those with a bridge for other namespaces than the host's."""
    peers = {
        i.peer.namespace
        for n in snapshot.namespaces if n is not snapshot.root
        for i in n.interfaces if i.peer and i.peer.namespace != n.id
    }  # fmt: skip
    return [Strip(snapshot.root)] + [
        Strip(n)
        for n in snapshot.namespaces
        if n is not snapshot.root and n.id in peers
        and any(i.kind == "bridge" for i in n.interfaces)
    ]  # fmt: skip


def _boxes(snapshot: Snapshot, strips: list[Strip]) -> list[Box]:
    """The other namespaces, with their wires and published ports."""
    across: dict[int | None, Strip] = {s.namespace.id: s for s in strips}
    boxes: dict[int | None, Box] = {}
    for namespace in snapshot.namespaces:
        if namespace.id not in across:
            inside = [c for c in snapshot.containers if c.namespace == namespace.id]
            # The one whose namespace it is, then those that joined it.
            inside.sort(key=lambda c: c.network_mode.startswith("container:"))
            boxes[namespace.id] = Box(namespace, inside)
    leads = _dnat(snapshot)
    ends: dict[tuple[int | None, int], Wire] = {}
    for box in boxes.values():
        for port in box.namespace.interfaces:
            if wire := _wire(box, port, across, boxes):
                box.wires.append(wire)
                ends[box.namespace.id, port.index] = wire
        for container in box.containers:
            box.publications += _published(box, container, leads)
    for wire in ends.values():
        if wire.far and not wire.strip and (peer := wire.port.peer):
            wire.mate = ends.get((peer.namespace, peer.index))
    return list(boxes.values())


def _wire(
    box: Box, port: Interface, across: dict[int | None, Strip], boxes: dict[int | None, Box]
) -> Wire | None:
    """The wire of a port, if its other end is in the snapshot."""
    if peer := port.peer:
        strip = across.get(peer.namespace)
        there = strip or boxes.get(peer.namespace)
        inside = there.namespace.interfaces if there else ()
        far = next((i for i in inside if i.index == peer.index), None)
        if far is None:
            return None
        bar = strip.namespace.interface(far.master) if strip else None
        return Wire(box, port, far, strip, bar)
    if port.parent and (port.parent == port.name or not box.namespace.interface(port.parent)):
        host = next(iter(across.values()))
        if parent := host.namespace.interface(port.parent):
            return Wire(box, port, None, host, parent)
    return None


def _find_bars(strip: Strip, boxes: list[Box]) -> None:
    interfaces = strip.namespace.interfaces
    strip.uplinks = [i for i in interfaces if _is_uplink(strip.namespace, i)]
    bridges = [i for i in interfaces if i.kind == "bridge"]
    joined = [w.bar for b in boxes for w in b.wires if w.strip is strip]
    tagged = [i for i in interfaces if i.kind == "vlan"]
    parents = [
        i for i in interfaces
        if i not in (*bridges, *tagged)
        and (i in joined or any(t.parent == i.name for t in tagged))
    ]  # fmt: skip
    parents.sort(key=lambda i: i not in strip.uplinks)
    lone = [i for i in interfaces if i.kind == "vxlan" and i.master is None and i not in parents]
    strip.bars = [*parents, *tagged, *bridges, *lone]


def _published(
    box: Box, container: Container, leads: dict[tuple[str | None, Port], Rule]
) -> list[Publication]:
    found: dict[str, Publication] = {}
    for port in container.ports:
        publication = Publication(box, container, port, leads.get((container.name, port)))
        known = found.setdefault(publication.flag, publication)
        known.rule = known.rule or publication.rule
    return list(found.values())


def _dnat(snapshot: Snapshot) -> dict[tuple[str | None, Port], Rule]:
    """For a container and a published port of it, the host's rule that leads there."""
    found: dict[tuple[str | None, Port], Rule] = {}
    for rule in snapshot.root.rules("nat"):
        if why := published_port(snapshot, snapshot.root, rule):
            for port in why.ports:
                found.setdefault((why.container, port), rule)
    return found


def _order(box: Box, bars: list[Interface]) -> tuple:
    """Boxes of a network side by side, in the order of their addresses."""
    numbers = [bars.index(w.bar) for w in box.wires if w.bar]
    addresses = [int(ip_address(a.address)) for w in box.wires for a in w.port.addresses]
    first = min(numbers, default=len(bars))
    return (not box.wires, first, addresses[:1] or [0], box.title)


def _floors(boxes: list[Box], strips: list[Strip]) -> list[Floor]:
    """The boxes in rows, and as many rows on a floor as leave the lanes apart."""
    floors = [Floor([], strips)]
    for n in range(0, len(boxes), COLUMNS):
        row = boxes[n : n + COLUMNS]
        floors[-1].rows.append(row)
        if floors[-1].lanes > MOST_LANES and len(floors[-1].rows) > 1:
            floors[-1].rows.pop()
            floors.append(Floor([row], []))
    for floor in floors[1:]:
        used = [w.strip for b in floor.boxes for w in b.wires]
        used += [strips[0] for b in floor.boxes if b.publications]
        floor.strips = [s for s in strips if s in used]
    return floors


def _cut_between_floors(floors: list[Floor]) -> None:
    """Say in words what is wired to a box on another floor."""
    place = {box: number for number, floor in enumerate(floors) for box in floor.boxes}
    for box in place:
        box.wires = [w for w in box.wires if not w.mate or place[w.mate.box] == place[box]]


def _is_uplink(place: Namespace, interface: Interface) -> bool:
    """Whether it leads out of the host: its other end is in no namespace that we know."""
    if interface.kind not in ("", "veth") or (interface.peer and interface.peer.namespace):
        return False
    routed = any(r.destination == "default" and r.interface == interface.name for r in place.routes)
    return place.kind == "host" and (routed or interface.name.startswith(("eth", "en")))


def _new(snapshot: Snapshot, change: Diff | None) -> set[int]:
    """What came, by id(): containers, namespaces, and interfaces in the older namespaces."""
    came = {(c.kind, c.place, c.name) for c in change.came} if change else set()
    found = set()
    for namespace in snapshot.namespaces:
        inside = [c for c in snapshot.containers if c.namespace == namespace.id]
        new = [c for c in inside if ("container", snapshot.host, c.name) in came]
        found |= {id(c) for c in new}
        if namespace.kind != "host" and inside and new == inside:
            found.add(id(namespace))
            continue
        places = {snapshot.host} if namespace.kind == "host" else {c.name for c in inside}
        places |= {f"sandbox {namespace.name}"}
        found |= {
            id(i) for i in namespace.interfaces for p in places if ("interface", p, i.name) in came
        }
    return found


def numbered(maps: list[Parts]) -> dict[str, int]:
    """Numbers for the looks of all bars; first of the networks that are on more than one map."""
    keys = [
        (parts.key(strip, bar), number)
        for number, parts in enumerate(maps)
        for bridges in (True, False)
        for strip in parts.strips
        for bar in strip.bars
        if (bar.kind == "bridge") is bridges
    ]
    places: dict[str, set[int]] = {}
    for key, number in keys:
        places.setdefault(key, set()).add(number)
    ordered = sorted(places, key=lambda key: len(places[key]) == 1)
    return {key: number for number, key in enumerate(ordered)}

"""The map of a lab host: namespaces as boxes, interfaces as ports, veth pairs as wires.

From top to bottom: the LAN, the host's own namespace with its bridges as bars across it, then the
other namespaces in rows. A wire runs down a lane of its own beside its column, passes over the
bars that it does not join, and has a dot on the one that it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from itertools import pairwise

from labkit.model.diff import Diff
from labkit.model.snapshot import Container, Interface, Namespace, Snapshot
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, network_look, text_width

EDGE, PAD, COLUMNS = 8, 12, 4
BOX_WIDTH, GAP, LANE = 176, 12, 5
LINE, ROW = 10, 22  # a line of small text; an interface with its two lines
UPLINK = WIDTH * 0.62  # where the first wire to the LAN leaves the host


@dataclass
class _Wire:
    """From an interface of a box up to the host: to a veth there, to a bar, or to both."""

    port: Interface
    host_end: Interface | None  # the veth in the host's namespace
    bar: Interface | None  # the bridge that host_end is a port of, or the parent of a macvlan


@dataclass
class _Box:
    """A namespace that is not the host's, and where it is drawn."""

    namespace: Namespace
    containers: list[Container]
    wires: list[_Wire] = field(default_factory=list)
    x: float = 0
    y: float = 0
    lanes: list[float] = field(default_factory=list)  # x of each wire's lane

    @property
    def title(self) -> str:
        return ", ".join(c.name for c in self.containers) or self.namespace.name

    @property
    def subtitle(self) -> str:
        images = ", ".join(dict.fromkeys(c.image for c in self.containers))
        if len(self.containers) > 1:
            return f"{images} · sharing one namespace"
        return images or "Docker's own namespace"

    @property
    def flags(self) -> list[str]:
        return [f for c in self.containers for f in _published(c)]

    @property
    def bare(self) -> bool:
        """Whether it has no interface but lo."""
        return all(i.kind == "loopback" for i in self.namespace.interfaces)

    @property
    def height(self) -> float:
        rows = sum(map(self._row, self.namespace.interfaces))
        return 32 + rows + LINE * self.bare + 14 * len(self.flags) + 4

    def wire(self, interface: Interface) -> _Wire | None:
        """The wire that is plugged into it."""
        return next((w for w in self.wires if w.port is interface), None)

    def note(self, interface: Interface) -> str:
        """What there is to say of it when no wire says it."""
        wire = self.wire(interface)
        if wire and wire.host_end:
            return ""
        if wire:
            return interface.kind + (f", {interface.mode} mode" if interface.mode else "")
        return _relation(interface)

    def port_y(self, interface: Interface) -> float:
        """The height of its port."""
        above = self.namespace.interfaces[: self.namespace.interfaces.index(interface)]
        return self.y + 37 + sum(map(self._row, above))

    def _row(self, interface: Interface) -> float:
        if interface.kind == "loopback":
            return 14
        return ROW + LINE * (len(_small(interface, self.note(interface))) - 1) + 2


def topology(snapshot: Snapshot, change: Diff | None = None) -> Picture:
    """The map of a lab host's network.

    Args:
        snapshot: of the host; live from ``host.snapshot()`` or loaded from a file.
        change: what led to this snapshot; namespaces and interfaces that came are marked.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value.

    Example:
        >>> from labkit import Snapshot, topology
        >>> topology(Snapshot.load("tests/unit/snapshots/three.json"))
        <map of host1: 3 containers, 1 bridge>
    """
    return _Map(snapshot, change).draw()


class _Map:
    """The drawing on its way from top to bottom; ``y`` is how far it has come."""

    def __init__(self, snapshot: Snapshot, change: Diff | None) -> None:
        self.snapshot, self.host = snapshot, snapshot.root
        self.new = _new(snapshot, change)
        bridges = [i for i in self.host.interfaces if i.kind == "bridge"]
        self.picture = Picture(
            f"map of {snapshot.host}: {_count(len(snapshot.containers), 'container')}, "
            f"{_count(len(bridges), 'bridge')}"
        )
        boxes = _boxes(snapshot)
        self.wires = [w for b in boxes for w in b.wires]
        parents = [
            i for i in self.host.interfaces
            if i not in bridges and any(w.bar is i for w in self.wires)
        ]  # fmt: skip
        self.bars = parents + bridges
        self.looks = {bar.name: network_look(n) for n, bar in enumerate(bridges + parents)}
        self.bar_y: dict[str, float] = {}
        self.uplinks = [i for i in self.host.interfaces if _is_uplink(self.host, i)]
        self.uplink_x: dict[str, float] = {}
        boxes.sort(key=lambda b: _order(b, list(self.looks)))
        self.rows = [boxes[n : n + COLUMNS] for n in range(0, len(boxes), COLUMNS)]
        self.box_width = _place(self.rows)
        self.y = 0.0

    def draw(self) -> Picture:
        self.lan()
        self.header()
        for bar in self.bars:
            self.bar(bar)
        ends = self.host_ends()
        self.picture.box(
            EDGE, self.top, WIDTH - 2 * EDGE, self.y - self.top,
            face=style.HOST, edge=style.SOFT, line=1.3, layer=0.1,
        )  # fmt: skip
        for row in self.rows:
            self.y += GAP
            for box in row:
                self.box(box)
                for wire, x in zip(box.wires, box.lanes, strict=True):
                    self.wire(box, wire, x, ends.get(id(wire)))
            self.y += max(b.height for b in row)
        self.picture.grow(self.y + EDGE)
        return self.picture

    def lan(self) -> None:
        """The LAN, and the interfaces that the host has on it."""
        picture = self.picture
        self.top = 38 if self.uplinks else EDGE
        if not self.uplinks:
            return
        picture.line([(EDGE, 22), (WIDTH - EDGE, 22)], style.FAINT, 6)
        width = picture.text(EDGE + 2, 10, "LAN", style.NAME, bold=True)
        out = next((r.gateway for r in self.host.routes if r.destination == "default"), None)
        about = [str(ip_interface(a).network) for i in self.uplinks for a in _addresses(i)]
        about += [f"default gateway {out}"] if out else []
        picture.text(
            EDGE + width + 10, 10, " · ".join(about), style.PLAIN, WIDTH - 60, color=style.SOFT
        )
        step = (WIDTH - PAD - UPLINK) / len(self.uplinks)
        for number, interface in enumerate(self.uplinks):
            x = self.uplink_x[interface.name] = UPLINK + step * number
            picture.line([(x, 22), (x, self.top)], style.SOFT, 2)
            picture.port(x, self.top, style.INK)
            self.label(x + 9, self.top + 13, interface, step - 14)

    def header(self) -> None:
        """The host's name, its interfaces that are on no bar, the processes in its namespace."""
        picture, x, y = self.picture, EDGE + PAD, self.top + 17
        width = picture.text(x, y, self.snapshot.host, style.TITLE, UPLINK - 190, bold=True)
        engine = self.snapshot.engine
        about = f"Docker Engine {engine}" if engine else "its Docker Engine does not answer"
        picture.text(x + width + 8, y + 1, about, style.PLAIN, 190, color=style.SOFT)
        picture.text(
            x, y + 15, "the lab host's own network namespace", style.PLAIN, color=style.SOFT
        )
        drawn = [*self.bars, *self.uplinks, *(w.host_end for w in self.wires)]
        chips = [
            (_chip(i) + ", new" * (id(i) in self.new), i)
            for i in self.host.interfaces
            if i not in drawn
        ]
        chips += [
            (f"{c.name}: runs right here (--network host)" + ", new" * (id(c) in self.new), None)
            for c in self.snapshot.containers if c.namespace == self.host.id
        ]  # fmt: skip
        right = UPLINK - PAD if self.uplinks else WIDTH - EDGE - PAD
        y += 35
        for text, interface in chips:
            width = min(text_width(text, style.PLAIN) + 28, right - EDGE - PAD)
            if x + width > right and x > EDGE + PAD:
                x, y = EDGE + PAD, y + 19
            if interface:
                picture.port(x + 4, y, style.INK, filled=False)
            else:
                picture.box(x, y - 8, width - 8, 16, edge=style.SOFT, layer=1.5)
            picture.text(x + 12 - 4 * (not interface), y, text, style.PLAIN, width - 24)
            x += width
        self.y = y + 14

    def bar(self, bar: Interface) -> None:
        """A bridge, or the parent of macvlan and ipvlan interfaces."""
        picture, (color, _) = self.picture, self.looks[bar.name]
        left, right = EDGE + 5, WIDTH - EDGE - 5
        y = self.bar_y[bar.name] = self.y + 32
        picture.line([(left, y), (right, y)], color, 5)
        if bar.state == "down":
            picture.line([(left + 1.5, y), (right - 1.5, y)], style.HOST, 2.4)
        taken = [x for row in self.rows for b in row for x in b.lanes]
        if bar.name in self.uplink_x:
            x = self.uplink_x[bar.name]
            self.crossing(x, self.top, y, color, 2, "-")
            picture.dot(x, y, color)
        taken += [self.uplink_x[b.name] for b in self.bars if b.name in self.uplink_x]
        slots = _slots(left, right, taken)
        x, room = slots[0]
        if bar.name in self.uplink_x:  # its own label is where it leaves the box
            picture.text(x, y - 22, f"{bar.name} as a parent", style.NAME, room, bold=True)
        else:
            self.label(x, y - 22, bar, room)
        x, room = slots[1]
        for number, text in enumerate(self.network(bar)):
            picture.text(
                x, y - 22 + number * LINE, text, style.PLAIN - number, room, color=style.SOFT
            )
        self.y = y + 5

    def network(self, bar: Interface) -> tuple[str, str]:
        """Which Docker network the bar belongs to, in two lines."""
        carrier = ", no carrier" if bar.state == "down" else ""
        for network in self.snapshot.networks:
            if bar.name in (network.bridge, network.options.get("parent")):
                return f"Docker network “{network.name}”", f"driver {network.driver}{carrier}"
        name = "no Docker network" if self.snapshot.engine else "Docker network unknown"
        return name, f"a {bar.kind or 'device'} of the host{carrier}"

    def host_ends(self) -> dict[int, float]:
        """Write the veths of the host's namespace, each beside its lane; the height of each."""
        ends, top, most = {}, self.y + 16, 0
        for column in range(COLUMNS):
            below = [row[column] for row in self.rows if column < len(row)]
            wires = [(b, w) for b in below for w in b.wires if w.host_end]
            for number, (box, wire) in enumerate(wires):
                ends[id(wire)] = top + number * ROW
                self.label(box.x + 4, top + number * ROW, wire.host_end, self.box_width - 4)
            most = max(most, len(wires))
        self.y = top + most * ROW - 4 if most else self.y + PAD
        return ends

    def wire(self, box: _Box, wire: _Wire, x: float, end: float | None) -> None:
        """A wire: bar, lane, the host's end, lane, the box's port."""
        color, pattern = self.looks[wire.bar.name] if wire.bar else (style.SOFT, "-")
        port = box.port_y(wire.port)
        start = end
        if wire.bar:
            start = self.bar_y[wire.bar.name]
            self.crossing(x, start, end or port, color, 1.6, pattern)
            self.picture.dot(x, start, color)
        if end:
            self.picture.line([(x, end), (x, port)], color, 1.6, pattern)
            self.picture.port(x, end, color)
        self.picture.line([(x, port), (box.x, port)], color, 1.6, pattern)

    def crossing(
        self, x: float, start: float, end: float, color: str, width: float, pattern: object
    ) -> None:
        """A line straight down, with gaps in the bars that it passes over."""
        for y in self.bar_y.values():
            if start < y < end:
                self.picture.line([(x, y - 4), (x, y + 4)], style.HOST, width + 5)
        self.picture.line([(x, start), (x, end)], color, width, pattern)

    def box(self, box: _Box) -> None:
        """A namespace with its interfaces, and its published ports."""
        picture, room = self.picture, self.box_width - 18
        box.y = self.y
        new = id(box.namespace) in self.new
        edge, line = (style.INK, 2.4) if new else (style.SOFT, 1)
        picture.box(box.x, box.y, self.box_width, box.height, face=style.BOX, edge=edge, line=line)
        tag = self.tag(box.x + 9, box.y + 11) if new else 0
        picture.text(box.x + 9 + tag, box.y + 11, box.title, style.NAME, room - tag, bold=True)
        picture.text(box.x + 9, box.y + 22, box.subtitle, style.SMALL, room, color=style.SOFT)
        for interface in box.namespace.interfaces:
            y, wire = box.port_y(interface), box.wire(interface)
            if interface.kind == "loopback":
                picture.text(box.x + 9, y, _chip(interface), style.PLAIN, room)
            else:
                self.label(box.x + 9, y, interface, room, box.note(interface))
            bar = wire and wire.bar
            picture.port(box.x, y, self.looks[bar.name][0] if bar else style.INK, filled=bool(wire))
        y = box.y + box.height - 8 - 14 * (len(box.flags) - 1)
        if box.bare:
            picture.text(
                box.x + 9, box.y + 49, "and no other interface", style.SMALL, color=style.SOFT
            )
        for number, flag in enumerate(box.flags):
            width = min(text_width(flag, style.SMALL) + 10, room + 8)
            picture.box(
                box.x + 7, y - 7 + 14 * number, width, 12.5, face=style.FLAG, edge=style.FLAG
            )
            picture.text(
                box.x + 12, y - 0.7 + 14 * number, flag, style.SMALL, room, color=style.PAPER
            )

    def label(self, x: float, y: float, interface: Interface, room: float, note: str = "") -> None:
        """Name and address; below, small, MAC address and index, further addresses, a note."""
        width = self.tag(x, y) if id(interface) in self.new else 0
        width += self.picture.text(
            x + width, y, interface.name, style.NAME, room - width, bold=True
        )
        for address in _addresses(interface)[:1]:
            self.picture.text(x + width + 5, y, address, style.PLAIN, room - width - 5)
        for number, text in enumerate(_small(interface, note), 1):
            self.picture.text(x, y + 0.5 + number * LINE, text, style.SMALL, room, color=style.SOFT)

    def tag(self, x: float, y: float) -> float:
        """Write "new" on a dark ground; the room that it takes."""
        width = text_width("new", style.SMALL, bold=True) + 8
        self.picture.box(x, y - 5.5, width, 11, face=style.FLAG, edge=style.FLAG)
        self.picture.text(x + 4, y, "new", style.SMALL, bold=True, color=style.PAPER)
        return width + 4


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


def _boxes(snapshot: Snapshot) -> list[_Box]:
    """The namespaces beside the host's, with their wires to it."""
    host, boxes = snapshot.root, []
    for namespace in snapshot.namespaces:
        if namespace is host:
            continue
        containers = [c for c in snapshot.containers if c.namespace == namespace.id]
        # The one whose namespace it is, then those that joined it.
        containers.sort(key=lambda c: c.network_mode.startswith("container:"))
        box = _Box(namespace, containers)
        for port in namespace.interfaces:
            if port.peer and port.peer.namespace == host.id:
                end = next((i for i in host.interfaces if i.index == port.peer.index), None)
                if end:
                    bar = host.interface(end.master) if end.master else None
                    box.wires.append(_Wire(port, end, bar))
            elif port.parent and (port.parent == port.name or not namespace.interface(port.parent)):
                parent = host.interface(port.parent)
                if parent:
                    box.wires.append(_Wire(port, None, parent))
        boxes.append(box)
    return boxes


def _order(box: _Box, bars: list[str]) -> tuple:
    """Boxes of a network side by side, in the order of their addresses."""
    numbers = [bars.index(w.bar.name) for w in box.wires if w.bar]
    addresses = [int(ip_address(a.address)) for w in box.wires for a in w.port.addresses]
    first = min(numbers, default=len(bars))
    return (not box.wires, first, addresses[:1] or [0], box.title)


def _place(rows: list[list[_Box]]) -> float:
    """Give each box its column and each wire its lane; the width of a box."""
    columns = len(rows[0]) if rows else 1
    lanes = [
        sum(len(row[c].wires) for row in rows if c < len(row)) for c in range(columns)
    ]  # fmt: skip
    step = min(LANE, 30 / max([1, *lanes]))
    gutter = 10 + step * max([1, *lanes])
    pitch = (WIDTH - 2 * EDGE) / columns
    width = min(BOX_WIDTH, pitch - gutter - 4)
    for c in range(columns):
        x = EDGE + c * pitch + (pitch - width - gutter) / 2 + gutter
        used = 0
        for box in (row[c] for row in rows if c < len(row)):
            box.x = x
            # A wire that goes further down runs further out, so that none crosses another.
            box.lanes = [x - 9 - step * (used + n) for n in range(len(box.wires))]
            used += len(box.wires)
    return width


def _slots(left: float, right: float, taken: list[float]) -> list[tuple[float, float]]:
    """Where labels of bars fit between the lanes: left end and room of each place."""
    ends = [left - 1, *sorted(taken), right + 6]
    slots = [(a + 8, b - a - 16) for a, b in pairwise(ends) if b - a > 118]
    x, room = slots[0]
    if room > 330:  # room for both
        slots[:1] = [(x, 200), (x + 210, room - 210)]
    return slots


def _is_uplink(host: Namespace, interface: Interface) -> bool:
    """Whether it leads out of the host: its other end is in no namespace that we know."""
    if interface.kind not in ("", "veth") or (interface.peer and interface.peer.namespace):
        return False
    routed = any(r.destination == "default" and r.interface == interface.name for r in host.routes)
    return routed or interface.name.startswith(("eth", "en"))


def _addresses(interface: Interface) -> list[str]:
    """Its addresses, without the IPv6 ones that every interface gives itself."""
    return [f"{a.address}/{a.prefix}" for a in interface.addresses if a.scope != "link"]


def _small(interface: Interface, note: str) -> list[str]:
    first = f"{interface.mac} · if{interface.index}" + ("" if interface.up else " · down")
    return [first, *_addresses(interface)[1:], *([note] if note else [])]


def _chip(interface: Interface) -> str:
    """An interface in one line: "lo 127.0.0.1/8"."""
    addresses = [a for a in _addresses(interface) if not a.startswith("::1/")]
    note = "" if interface.kind == "loopback" else f"({_relation(interface)})"
    return " ".join([interface.name, *addresses, note]).strip()


def _relation(interface: Interface) -> str:
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


def _published(container: Container) -> list[str]:
    """Its published ports: "host port 8080 → 80/tcp", once for IPv4 and IPv6."""
    flags = []
    for p in container.ports:
        place = "host port " if p.host_address in ("0.0.0.0", "::", "") else f"{p.host_address}:"
        flags.append(f"{place}{p.host_port} → {p.container_port}/{p.protocol}")
    return list(dict.fromkeys(flags))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)

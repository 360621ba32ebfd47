"""One host of a map, drawn from top to bottom.

On each floor: the host's own namespace with its bridges as bars across it, then Docker's own
namespaces of overlay networks likewise, then the other namespaces as boxes in rows. A wire runs
down a lane of its own beside its column, passes over the bars that it does not join, and has a dot
on the one that it does. Where there are too many boxes for one floor, the strips and their bars go
on on the next one, joined along the left side.
"""

from __future__ import annotations

from itertools import pairwise

from labkit.model.snapshot import Container, Interface, Namespace, Network
from labkit.plot import style
from labkit.plot.style import Picture, text_width
from labkit.plot.topology import things, words
from labkit.plot.topology.parts import COLUMNS, Box, Floor, Parts, Publication, Strip, Wire
from labkit.plot.topology.words import LINE, ROW

EDGE, PAD = 8, 12
BOX_WIDTH, GAP, LANE, RAIL = 176, 12, 5, 7
ABOUT = {
    "station": "a plain computer on the LAN",
    "outside": "what is beyond the LAN's router",
    "router": "the LAN's router",
}


class HostMap:
    """The drawing on its way down; ``y`` is how far it has come.

    Args:
        looks: colour and line pattern of each bar, by ``Parts.key``.
        right: the right edge of what is drawn.
    """

    def __init__(
        self, picture: Picture, parts: Parts, looks: dict[str, tuple[str, object]], right: float
    ) -> None:
        self.picture, self.parts, self.snapshot = picture, parts, parts.snapshot
        self.right = right
        self.uplink = EDGE + (right - EDGE) * 0.62  # where the first wire to the LAN leaves
        self.looks = {
            id(bar): looks[parts.key(strip, bar)] for strip in parts.strips for bar in strip.bars
        }
        self.uplink_x: dict[str, float] = {}
        self.vteps: list[tuple[Strip, Interface, float]] = []  # VXLAN interfaces, and their height
        self.box_width = 0.0
        self.rails = self._rails()
        self.left: float = EDGE + (6 + RAIL * len(self.rails) if self.rails else 0)
        self.rail_y: dict[int, float] = {}  # how far each rail has come
        self.y = self.top = self.port_rail = 0.0

    def _rails(self) -> dict[int, float]:
        """The x at which a bar goes on on the next floor, by id(); 0 is the published ports'."""
        later = [s for floor in self.parts.floors[1:] for s in floor.strips]
        bars = [bar for strip in self.parts.strips if strip in later for bar in strip.bars]
        # A bar that no box of a later floor is wired to ends on the first floor.
        used = {id(w.bar) for f in self.parts.floors[1:] for b in f.boxes for w in b.wires if w.bar}
        keys = [id(bar) for bar in bars if id(bar) in used]
        if any(b.publications for f in self.parts.floors[1:] for b in f.boxes):
            keys.insert(0, 0)
        return {key: EDGE + 5 + RAIL * n for n, key in enumerate(keys)}

    @property
    def on_lan(self) -> bool:
        """Whether the host has an interface on the LAN."""
        return bool(self.parts.strips[0].uplinks)

    def draw(self, top: float, lan: float) -> float:
        """Draw it from that height on, with the LAN above it at the height ``lan``; its end."""
        self.top = self.y = top
        self.uplinks(lan)
        first = self.parts.floors[0]
        self.areas: list[tuple[float, float]] = []
        for floor in self.parts.floors:
            self.box_width = self.place(floor)
            self.lines: list[float] = []  # heights of the floor's bars
            if floor is not first:
                self.y += GAP
            for strip in floor.strips:
                self.strip(strip, floor, floor is first)
            self.cords(floor)
            for row in floor.rows:
                self.y += GAP
                for box in row:
                    box.y = self.y
                self.y += max(b.height for b in row)
            for box in floor.boxes:
                self.box(box)
                for publication in box.publications:
                    self.arrow(publication)
                for wire in box.wires:
                    self.wire(wire)
            self.mates(floor)
        self.outline()
        area = (EDGE, self.top, self.right - EDGE, self.areas[0][1] - self.top)
        self.picture.things.append(things.namespace(area, self.snapshot, self.parts.host))
        return self.y

    # The host's namespace and Docker's own

    def uplinks(self, lan: float) -> None:
        """The interfaces that the host has on the LAN."""
        uplinks = self.parts.strips[0].uplinks
        step = (self.right - PAD - self.uplink) / max(1, len(uplinks))
        for number, interface in enumerate(uplinks):
            x = self.uplink_x[interface.name] = self.uplink + step * number
            self.picture.line([(x, lan), (x, self.top)], style.SOFT, 2)
            self.picture.port(x, self.top, style.INK)
            self.label(
                x + 9, self.top + 13, self.parts.host, interface, step - 14, port=(x, self.top)
            )

    def strip(self, strip: Strip, floor: Floor, first: bool) -> None:
        """A namespace across the page."""
        host = strip is self.parts.strips[0]
        top = self.y + (0 if host else GAP)
        self.y = top
        strip.bar_y = {}
        taken = [lane.lane for box in floor.boxes for lane in box.lanes]
        if host and first:
            self.header(strip)
        else:
            self.heading(strip, taken, first)
        joined = [w.bar for b in floor.boxes for w in b.wires]
        bars = [bar for bar in strip.bars if first or bar in joined]
        parents = [b for b in bars if b.kind not in ("bridge", "vxlan")]
        for bar in parents:
            self.bar(strip, bar, taken)
        if host and any(b.publications for b in floor.boxes):
            self.published(floor)
        for bar in bars:
            if bar not in parents:
                self.bar(strip, bar, taken)
        self.tagged(strip)
        self.far_ends(strip, floor)
        if host:
            self.areas.append((top, self.y))
            return
        area = (self.left, top, self.right - self.left, self.y - top)
        self.picture.box(*area, face=style.HOST, edge=style.SOFT, pattern=(0, (4, 2)), layer=0.1)
        self.picture.things.append(things.namespace(area, self.snapshot, strip.namespace))

    def outline(self) -> None:
        """The ground of the host's own namespace, one shape over all floors."""
        areas = [(EDGE, top, self.right - EDGE, end - top) for top, end in self.areas]
        if len(areas) > 1:
            end = self.areas[-1][1]
            areas.append((EDGE, self.top, self.left - EDGE - 2, end - self.top))
        for area in areas:
            self.picture.box(*area, face=style.HOST, edge=style.SOFT, line=1.3, layer=0.1)
        if len(areas) > 1:  # no line where they meet
            for x, y, width, height in areas:
                self.picture.box(
                    x + 0.6, y + 0.6, width - 1.2, height - 1.2, face=style.HOST, edge=style.HOST,
                    line=0, layer=0.2,
                )  # fmt: skip

    def header(self, strip: Strip) -> None:
        """The host's name, its interfaces that are on no bar, the processes in its namespace."""
        picture, x, y = self.picture, self.left + PAD, self.top + 17
        width = picture.write(
            x, y, self.snapshot.host, style.TITLE, self.uplink - self.left - 182, bold=True
        )
        engine, kind = self.snapshot.engine, self.snapshot.kind
        about = f"Docker Engine {engine}" if engine else "its Docker Engine does not answer"
        picture.write(
            x + width + 8, y + 1, ABOUT.get(kind, about), style.PLAIN, 190, color=style.SOFT
        )
        own = "the lab host's own network namespace" if kind == "host" else "its network namespace"
        picture.write(x, y + 15, own, style.PLAIN, color=style.SOFT)
        new = self.parts.new
        chips: list[tuple[str, Interface | Container]]
        chips = [(words.chip(i) + ", new" * (id(i) in new), i) for i in self.chips(strip)]
        chips += [
            (f"{c.name}: runs right here (--network host)" + ", new" * (id(c) in new), c)
            for c in self.snapshot.containers if c.namespace == self.parts.host.id
        ]  # fmt: skip
        right = (self.uplink if self.on_lan else self.right) - PAD
        y += 35
        for text, thing in chips:
            width = min(text_width(text, style.PLAIN) + 28, right - self.left - PAD)
            if x + width > right and x > self.left + PAD:
                x, y = self.left + PAD, y + 19
            area = (x, y - 8, width - 8, 16)
            if isinstance(thing, Interface):
                self.chip(x, y, strip.namespace, thing, text, width)
            else:
                picture.box(*area, edge=style.SOFT, layer=1.5)
                picture.write(x + 8, y, text, style.PLAIN, width - 24)
                picture.things.append(things.container(area, self.snapshot, thing))
            x += width
        self.y = y + 14

    def heading(self, strip: Strip, taken: list[float], first: bool) -> None:
        """The name of Docker's own namespace, or of one that goes on; its loose interfaces."""
        slots = _slots(self.left + 5, self.right - 5, taken)
        x, room = slots[0]
        y = self.y + 13
        host = strip is self.parts.strips[0]
        name = self.snapshot.host if host else strip.namespace.name
        if not first:
            name += ", continued"
        self.picture.write(x, y, name, style.NAME, room, bold=True)
        if not host and first:
            self.picture.write(
                x, y + LINE, words.about(strip.namespace), style.SMALL, room, color=style.SOFT
            )
        if first:
            places = [(x, y, room) for x, room in slots[1:]]
            chips = self.chips(strip)
            while len(places) < len(chips):
                lower = places[-1][1] + 16 if places else y + 24
                places += [(x, lower, room) for x, room in slots]
            for i, (x, line, room) in zip(chips, places, strict=False):
                self.chip(x, line, strip.namespace, i, words.chip(i), room)
                y = max(y, line)
        self.y = y + (14 if first and not host else 4)

    def chips(self, strip: Strip) -> list[Interface]:
        """The strip's interfaces that are drawn nowhere else."""
        far = [w.far for b in self.parts.boxes for w in b.wires if w.strip is strip]
        return [i for i in strip.chips if i not in far]

    def chip(
        self, x: float, y: float, namespace: Namespace, i: Interface, text: str, width: float
    ) -> None:
        """An interface on no bar, in one line."""
        self.picture.port(x + 4, y, style.INK, filled=False)
        self.picture.write(x + 12, y, text, style.PLAIN, width - 24)
        area = (x, y - 8, width - 8, 16)
        self.picture.things.append(
            things.interface(area, self.snapshot, namespace, i, ((x + 4, y),))
        )

    def bar(self, strip: Strip, bar: Interface, taken: list[float]) -> None:
        """A bridge, or the parent of other interfaces."""
        picture, (color, _) = self.picture, self.looks[id(bar)]
        vxlan = strip.vxlan(bar)
        top, again = self.y, id(bar) in self.rail_y
        left, right = self.left + 5, self.right - 5
        if strip is self.parts.strips[0]:
            taken = taken + [self.uplink_x[b.name] for b in strip.bars if b.name in self.uplink_x]
        slots = _slots(left, right, taken, 3 if vxlan else 2)
        note = words.relation(bar) if bar.kind == "vlan" else ""
        below = _too_wide(bar, slots[0][1])
        lines = max(len(words.small(bar, note)) + below, 2 if vxlan else 1)
        y = strip.bar_y[bar.name] = top + (22 if again else 22 + LINE * lines)
        self.lines.append(y)
        start = left
        if id(bar) in self.rails:
            start = self.rails[id(bar)]
            if again:
                self.crossing(start, self.rail_y[id(bar)], y, color, 5, "-")
            self.rail_y[id(bar)] = y
            start -= 2.5
        picture.line([(start, y), (self.right if vxlan else right, y)], color, 5)
        if bar.state == "down":
            picture.line([(left + 1.5, y), (right - 1.5, y)], style.HOST, 2.4)
        self.y = y + 5
        x, room = slots[0]
        if again:
            words_ = f"{bar.name}, continued"
            if text_width(words_, style.PLAIN) > room:
                words_ = bar.name
            picture.write(x, y - 10, words_, style.PLAIN, room, color=style.SOFT)
            return
        self.picture.things.append(
            things.interface(
                (left, top + 4, right - left, y + 4 - top), self.snapshot, strip.namespace, bar,
                ((x, y),),
            )
        )  # fmt: skip
        at = top + 10
        if strip is self.parts.strips[0] and bar.name in self.uplink_x:
            port = self.uplink_x[bar.name]
            self.crossing(port, self.top, y, color, 2, "-")
            picture.dot(port, y, color)
            # Its own label is where it leaves the box.
            picture.write(x, at, f"{bar.name} as a parent", style.NAME, room, bold=True)
        elif bar is not vxlan:
            self.label(x, at, strip.namespace, bar, room, note, below=below)
        x, room = slots[1]
        network = self.parts.network(strip, bar)
        for number, text in enumerate(self.network(bar, network, room)):
            picture.write(x, at + number * LINE, text, style.PLAIN - number, room, color=style.SOFT)
        if network:
            area = (x - 2, at - 7, room, 24)
            picture.things.append(things.network(area, self.snapshot, network))
        if vxlan:
            self.vxlan(strip, vxlan, color, y, at, slots[2])

    def vxlan(
        self, strip: Strip, vxlan: Interface, color: str, y: float, at: float,
        slot: tuple[float, float],
    ) -> None:  # fmt: skip
        """A VXLAN interface, at the right edge, where its tunnels leave."""
        x, room = slot
        vteps = sorted(
            {f.remote for f in strip.namespace.forwarding if f.remote and f.interface == vxlan.name}
        )
        note = f"VNI {vxlan.vni}" + f" → {', '.join(vteps)}" * bool(vteps)
        self.picture.port(self.right, y, color)
        self.vteps.append((strip, vxlan, y))
        self.label(x, at, strip.namespace, vxlan, room, note, port=(self.right, y))

    def network(self, bar: Interface, network: Network | None, room: float) -> tuple[str, str]:
        """Which Docker network the bar belongs to, in two lines."""
        carrier = ", no carrier" if bar.state == "down" else ""
        if network:
            name = f"Docker network “{network.name}”"
            if text_width(name, style.PLAIN) > room:
                name = f"“{network.name}”"
            return name, f"driver {network.driver}{carrier}"
        known = self.snapshot.engine or self.snapshot.kind != "host"
        name = "no Docker network" if known else "Docker network unknown"
        owner = "host" if self.snapshot.kind == "host" else "node"
        return name, f"a {bar.kind or 'device'} of the {owner}{carrier}"

    def tagged(self, strip: Strip) -> None:
        """Join each VLAN interface to its parent, near the right edge."""
        bars = {b.name: b for b in strip.bars if b.name in strip.bar_y}
        joined = [(bars[b.parent], b) for b in bars.values() if b.parent in bars]
        for number, (parent, bar) in enumerate(joined):
            x = self.right - 12 - 8 * number
            start, end = strip.bar_y[parent.name], strip.bar_y[bar.name]
            color = self.looks[id(parent)][0]
            self.crossing(x, min(start, end), max(start, end), color, 2, "-")
            self.picture.dot(x, start, color)
            self.picture.dot(x, end, color)
            path = ((x, end), (x, start))
            self.picture.things.append(
                things.wire(self.snapshot, path, (strip.namespace, bar), (strip.namespace, parent))
            )

    # Lanes

    def place(self, floor: Floor) -> float:
        """Give each box its column and each wire its lane; the width of a box."""
        columns = max(1, min(COLUMNS, len(self.parts.boxes)))
        step = min(LANE, 32 / max(1, floor.lanes))
        gutter = 10 + step * max(1, floor.lanes)
        pitch = (self.right - self.left) / columns
        width = min(BOX_WIDTH, pitch - gutter - 4)
        for c in range(columns):
            x = self.left + c * pitch + (pitch - width - gutter) / 2 + gutter
            used = 0
            for box in floor.column(c):
                box.x = x
                # What goes further down runs further out, so that no wire crosses another.
                for lane in box.lanes:
                    lane.lane = x - 9 - step * used
                    used += 1
        return width

    def far_ends(self, strip: Strip, floor: Floor) -> None:
        """Write the veths of the strip's namespace, each beside its lane."""
        top, most = self.y + 16, 0
        for column in range(COLUMNS):
            wires = [
                (w, w.far) for b in floor.column(column) for w in b.wires
                if w.strip is strip and w.far
            ]  # fmt: skip
            for number, (wire, far) in enumerate(wires):
                wire.far_y = top + number * ROW
                self.label(
                    wire.box.x + 4, wire.far_y, strip.namespace, far, self.box_width - 4,
                    port=(wire.lane, wire.far_y),
                )  # fmt: skip
            most = max(most, len(wires))
        self.y = top + most * ROW - 4 if most else self.y + PAD

    def published(self, floor: Floor) -> None:
        """Write the published ports, each beside its lane, on a line from the uplink."""
        rail = self.y + 4
        top, most, reached = rail + 12, 0, []
        for column in range(COLUMNS):
            found = [p for b in floor.column(column) for p in b.publications]
            for number, p in enumerate(found):
                p.y = top + number * ROW
                x, room = p.box.x + 4, self.box_width - 4
                uplink = min(self.uplink_x.values(), default=0)
                # The uplink's own line may go down to a bar that stands below.
                if any(b.name in self.uplink_x for b in self.parts.strips[0].bars):
                    room = min(room, uplink - 6 - x) if x < uplink else room
                if p.everywhere and self.uplink_x:
                    reached.append(p.lane)
                place = f"{p.port.host_port}/{p.port.protocol}"
                width = self.picture.write(x, p.y, place, style.NAME, room, bold=True)
                if room - width > 40:
                    self.picture.write(
                        x + width + 5, p.y, f"→ {p.container.name}", room=room - width - 5
                    )
                text = f"rule nat {p.rule.chain} {p.rule.number} · DNAT" if p.rule else "no rule"
                if not p.everywhere:
                    text = f"at {p.port.host_address} · {text}"
                self.picture.write(x, p.y + 0.5 + LINE, text, style.SMALL, room, color=style.SOFT)
                if p.rule:
                    area = (x - 2, p.y + 5, room, 11)
                    self.picture.things.append(things.rule(area, self.snapshot, p, p.rule))
            most = max(most, len(found))
        self.y = top + most * ROW - 8
        if reached:
            self.rail(rail, reached)

    def rail(self, y: float, lanes: list[float]) -> None:
        """The line from the uplink to the lanes of the published ports."""
        self.port_rail = y
        if 0 in self.rail_y:
            x = self.rails[0]
            self.crossing(x, self.rail_y[0], y, style.INK, 1.2, "-")
            self.picture.line([(x, y), (max(lanes), y)], style.INK, 1.2)
        else:
            x = next(iter(self.uplink_x.values()))
            if self.lines:  # beside the wire to its own bar
                x -= 6
            self.crossing(x, self.top, y, style.INK, 1.2, "-")
            start = min([x, *lanes, *([self.rails[0]] if 0 in self.rails else [])])
            self.picture.line([(start, y), (max([x, *lanes]), y)], style.INK, 1.2)
        if 0 in self.rails:
            self.rail_y[0] = y

    def arrow(self, p: Publication) -> None:
        """From the published port at the host to the container that gets what arrives there."""
        end = p.box.flag_y(p)
        path = [(p.lane, p.y), (p.lane, end), (p.box.x + 2, end)]
        if p.everywhere and self.uplink_x:
            path.insert(0, (p.lane, self.port_rail))
        self.crossing(p.lane, path[0][1], end, style.INK, 1.2, "-")
        self.picture.line(path[-2:], style.INK, 1.2)
        self.picture.arrow(p.box.x + 3, end, style.INK)
        self.picture.dot(p.lane, p.y, style.INK)
        area = (p.box.x + 2, p.y - 7, self.box_width - 4, 13)
        self.picture.things.append(things.published(area, self.snapshot, p, tuple(path)))

    def wire(self, wire: Wire) -> None:
        """A wire: bar, lane, the far end, lane, the box's port."""
        strip, far = wire.strip, wire.far or wire.bar
        if not strip or not far:  # its other end is in another box
            return
        color, pattern = self.looks[id(wire.bar)] if wire.bar else (style.SOFT, "-")
        box, x, port = wire.box, wire.lane, wire.box.port_y(wire.port)
        if wire.bar:
            bar = strip.bar_y[wire.bar.name]
            self.crossing(x, bar, wire.far_y or port, color, 1.6, pattern)
            self.picture.dot(x, bar, color)
        if wire.far_y:
            self.crossing(x, wire.far_y, port, color, 1.6, pattern)
            self.picture.port(x, wire.far_y, color)
        self.picture.line([(x, port), (box.x, port)], color, 1.6, pattern)
        start = wire.far_y or strip.bar_y[far.name]
        path = ((box.x, port), (x, port), (x, start))
        self.picture.things.append(
            things.wire(self.snapshot, path, (box.namespace, wire.port), (strip.namespace, far))
        )

    def cords(self, floor: Floor) -> None:
        """Keep room under the strips for the wires from box to box."""
        halves = [w for b in floor.boxes for w in b.wires if w.mate and w.mate.box is not b]
        self.channel = self.y + GAP
        if halves:
            self.y += 3 + 3 * len(halves)

    def mates(self, floor: Floor) -> None:
        """The wires from box to box: up a lane, across under the strips, and down again."""
        done: list[Wire] = []
        across = self.channel - 5
        for wire, other in ((w, w.mate) for b in floor.boxes for w in b.wires):
            if not other or other in done:
                continue
            done.append(wire)
            ends = [(w.box.x, w.box.port_y(w.port)) for w in (wire, other)]
            middle = [(w.lane, y) for w, (_, y) in zip((wire, other), ends, strict=True)]
            if other.box is wire.box:  # down the outer lane is enough
                middle = [(other.lane, y) for _, y in middle]
            else:
                middle[1:1] = [(wire.lane, across), (other.lane, across)]
                across += 6
            path = (ends[0], *middle, ends[1])
            self.picture.line(list(path), style.SOFT, 1.6)
            self.picture.things.append(
                things.wire(
                    self.snapshot, path, (wire.box.namespace, wire.port),
                    (other.box.namespace, other.port),
                )
            )  # fmt: skip

    def crossing(
        self, x: float, start: float, end: float, color: str, width: float, pattern: object
    ) -> None:
        """A line straight down, with gaps in the bars that it passes over."""
        for y in self.lines:
            if start < y < end:
                self.picture.line([(x, y - 4), (x, y + 4)], style.HOST, width + 3)
        self.picture.line([(x, start), (x, end)], color, width, pattern)

    # Boxes

    def box(self, box: Box) -> None:
        """A namespace with its interfaces, and its published ports."""
        picture, room = self.picture, self.box_width - 18
        new = id(box.namespace) in self.parts.new
        edge, line = (style.INK, 2.4) if new else (style.SOFT, 1)
        area = (box.x, box.y, self.box_width, box.height)
        picture.box(*area, face=style.BOX, edge=edge, line=line)
        tag = self.tag(box.x + 9, box.y + 11) if new else 0
        picture.write(box.x + 9 + tag, box.y + 11, box.title, style.NAME, room - tag, bold=True)
        picture.write(box.x + 9, box.y + 22, box.subtitle, style.SMALL, room, color=style.SOFT)
        picture.things += [things.container(area, self.snapshot, c) for c in box.containers] or [
            things.namespace(area, self.snapshot, box.namespace)
        ]
        for interface in box.namespace.interfaces:
            y, wire = box.port_y(interface), box.wire(interface)
            if interface.kind == "loopback":
                picture.write(box.x + 9, y, words.chip(interface), style.PLAIN, room)
                picture.things.append(
                    things.interface(
                        (box.x - 4, y - 7, self.box_width, 14), self.snapshot, box.namespace,
                        interface, ((box.x, y),),
                    )
                )  # fmt: skip
            else:
                self.label(
                    box.x + 9, y, box.namespace, interface, room, box.note(interface),
                    port=(box.x, y),
                )  # fmt: skip
            color = style.INK
            if wire:
                color = self.looks[id(wire.bar)][0] if wire.bar else style.SOFT
            picture.port(box.x, y, color, filled=bool(wire))
        if box.bare:
            picture.write(
                box.x + 9, box.y + 49, "and no other interface", style.SMALL, color=style.SOFT
            )
        for p in box.publications:
            y = box.flag_y(p)
            flag = p.flag
            if text_width(flag, style.SMALL) > room:
                flag = f"port {p.port.host_port} → {words.inner(p.port)}"
            width = min(text_width(flag, style.SMALL) + 10, room + 8)
            picture.box(box.x + 7, y - 6, width, 12.5, face=style.FLAG, edge=style.FLAG)
            picture.write(box.x + 12, y + 0.3, flag, style.SMALL, room, color=style.PAPER)
            picture.things.append(
                things.published((box.x + 7, y - 6, width, 12.5), self.snapshot, p)
            )

    def label(
        self, x: float, y: float, namespace: Namespace, interface: Interface, room: float,
        note: str = "", *, port: tuple[float, float] | None = None, below: bool = False,
    ) -> None:  # fmt: skip
        """Name and address; below, small, MAC address and index, further addresses, a note.

        With a port it can be picked as well. The address goes below too if there is no room.
        """
        width = self.tag(x, y) if id(interface) in self.parts.new else 0
        width += self.picture.write(
            x + width, y, interface.name, style.NAME, room - width, bold=True
        )
        small = words.small(interface, note)
        for address in words.addresses(interface)[:1]:
            if below:
                small.insert(0, address)
            else:
                self.picture.write(x + width + 5, y, address, style.PLAIN, room - width - 5)
        for number, text in enumerate(small, 1):
            self.picture.write(
                x, y + 0.5 + number * LINE, text, style.SMALL, room, color=style.SOFT
            )
        if port:
            left = min(x, port[0])
            area = (left - 4, y - 7, x + room - left + 4, 12 + LINE * len(small))
            self.picture.things.append(
                things.interface(area, self.snapshot, namespace, interface, (port,))
            )

    def tag(self, x: float, y: float) -> float:
        """Write "new" on a dark ground; the room that it takes."""
        width = text_width("new", style.SMALL, bold=True) + 8
        self.picture.box(x, y - 5.5, width, 11, face=style.FLAG, edge=style.FLAG)
        self.picture.write(x + 4, y, "new", style.SMALL, bold=True, color=style.PAPER)
        return width + 4


def _too_wide(interface: Interface, room: float) -> bool:
    """Whether its name and its first address do not fit into the room together."""
    width = text_width(interface.name, style.NAME, bold=True) + 5
    return any(width + text_width(a, style.PLAIN) > room for a in words.addresses(interface)[:1])


def _slots(
    left: float, right: float, taken: list[float], least: int = 2
) -> list[tuple[float, float]]:
    """Where labels of bars fit between the lanes: left end and room of each place."""
    ends = [left - 1, *sorted(taken), right + 6]
    slots = [(a + 8, b - a - 16) for a, b in pairwise(ends) if b - a > 118]
    while len(slots) < least or slots[0][1] > 330:
        # Room for two: the widest, or the first when it is wide.
        n = 0 if slots[0][1] > 330 else max(range(len(slots)), key=lambda n: slots[n][1])
        x, room = slots[n]
        half = 200 if room > 330 else room / 2 - 5
        slots[n : n + 1] = [(x, half), (x + half + 10, room - half - 10)]
    return slots

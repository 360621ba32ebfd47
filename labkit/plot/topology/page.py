"""The page of a map: the LAN, the plain computers on it, and the hosts below each other."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network

from labkit.model.diff import Diff
from labkit.model.snapshot import Interface, Snapshot
from labkit.plot import style
from labkit.plot.style import WIDTH, Picture, network_look
from labkit.plot.topology import things, words
from labkit.plot.topology.host import EDGE, GAP, HostMap
from labkit.plot.topology.parts import Parts, Strip, numbered

FIRST = ("router", "outside")  # of the plain computers, side by side: there is a cable between them
TRUNK, TUNNEL = 10, 13  # width of the LAN at the right, and what each tunnel adds to it
SMALL_BOX, DOWN = 152, 9  # width of a plain computer, and where its wire leaves it


class Page:
    """The drawing on its way down; ``y`` is how far it has come."""

    def __init__(self, snapshots: Iterable[Snapshot], changes: dict[str, Diff]) -> None:
        hosts = [s for s in snapshots if s.kind == "host"]
        self.plain = [s for s in snapshots if s.kind != "host"]
        if not hosts:  # one of them will do for a large picture
            hosts, self.plain = self.plain[:1], self.plain[1:]
        self.plain.sort(key=lambda s: FIRST.index(s.kind) if s.kind in FIRST else len(FIRST))
        self.beyond = self._beyond()
        self.maps = [Parts(s, changes.get(s.host)) for s in hosts]
        self.tunnels = self._tunnels()
        vnis = {
            v.vni
            for p in self.maps
            for s in p.strips
            for b in s.bars
            if (v := s.vxlan(b)) and v.vni
        }
        self.columns = sorted(vnis)
        right = WIDTH - EDGE
        if len(hosts) > 1 or vnis:
            right -= 8 + TRUNK + TUNNEL * len(vnis)
        self.right, self.wide = right, right < WIDTH - EDGE
        self.picture = Picture(self.summary())
        looks = {key: network_look(n) for key, n in numbered(self.maps).items()}
        self.hosts = [HostMap(self.picture, p, looks, right) for p in self.maps]
        self.uplinks = [(p, i) for p in self.maps for i in p.strips[0].uplinks]
        self.y = 0.0

    def summary(self) -> str:
        """What is on the picture, in a few words."""
        names = [p.snapshot.host for p in self.maps] + [s.host for s in self.plain]
        containers = sum(len(p.snapshot.containers) for p in self.maps)
        bridges = [i for p in self.maps for i in p.host.interfaces if i.kind == "bridge"]
        counts = [words.count(containers, "container"), words.count(len(bridges), "bridge")]
        if self.tunnels and len(self.maps) > 1:
            counts.append(words.count(len(self.tunnels), "VXLAN tunnel"))
        return f"map of {words.listed(names)}: {', '.join(counts)}"

    def draw(self) -> Picture:
        """The picture, with all on it."""
        trunk = self.lan()
        for number, host in enumerate(self.hosts):
            lan = self.y
            if number and host.on_lan:
                lan = self.y = self.y + GAP + 2
                self.branch(lan)
            top = lan + 16 if host.on_lan else self.y + (GAP if number else EDGE)
            if number == 0 and self.plain and host.on_lan:
                top += 8
            self.y = host.draw(top, lan)
            if host.on_lan:
                trunk.append(lan)
                self.cables(host, top, trunk)
        end = self.y
        if self.wide:
            end = self.trunk(trunk)
        self.picture.grow(max(self.y, end) + EDGE)
        return self.picture

    # The LAN

    def lan(self) -> list[float]:
        """The LAN's first branch with what is on it above; the heights where it begins."""
        if not self.uplinks:
            self.plain_computers()
            return []
        parts, uplink = self.uplinks[0]
        gateway = self.gateway(parts.snapshot)
        about = dict.fromkeys(
            str(ip_interface(a).network) for _, i in self.uplinks for a in words.addresses(i)
        )
        subnet = next(iter(about), "the LAN")
        text = " · ".join([*about, *([f"default gateway {gateway}"] if gateway else [])])
        if self.plain:
            self.plain_computers()
            at = self.y + 12
        else:
            self.y, at = 22, 10
        width = self.picture.write(EDGE + 2, at, "LAN", style.NAME, bold=True)
        room = (self.right * 0.6 if self.plain else WIDTH) - 60
        self.picture.write(EDGE + width + 10, at, text, style.PLAIN, room, color=style.SOFT)
        self.branch(self.y)
        area = (EDGE, self.y - 4, WIDTH - 2 * EDGE, 8)
        self.picture.things.append(things.lan(area, parts.snapshot, uplink, subnet))
        return [self.y]

    def branch(self, y: float) -> None:
        """A part of the LAN across the page."""
        end = self.right + 8 if self.wide else self.right
        self.picture.line([(EDGE, y), (end, y)], style.LAN, 6)

    def cables(self, host: HostMap, top: float, branches: list[float]) -> None:
        """Let a host's cables to the LAN be picked."""
        first, own, side = branches[0], branches[-1], self.right + 8 + TRUNK / 2
        for interface in host.parts.strips[0].uplinks:
            x = host.uplink_x[interface.name]
            path = [(x, top), (x, own)] + [(side, own), (side, first)] * (own != first)
            self.picture.things.append(things.cable(host.parts.snapshot, interface, tuple(path)))

    def gateway(self, snapshot: Snapshot) -> str | None:
        """The default gateway of a node."""
        routes = snapshot.root.routes
        return next((r.gateway for r in routes if r.destination == "default"), None)

    def plain_computers(self) -> None:
        """The router, outside behind it, and the stations, as boxes above the LAN."""
        if not self.plain:
            return
        columns = 4
        pitch = (self.right - EDGE) / columns
        width = min(SMALL_BOX, pitch - 8)
        rows = [self.plain[n : n + columns] for n in range(0, len(self.plain), columns)]
        if len(rows) > 1:
            width -= 6 * len(rows)
        self.y = EDGE
        ends: list[tuple[Snapshot, float, float, float, float]] = []
        for number, row in enumerate(rows):
            heights = []
            for column, snapshot in enumerate(row):
                x = EDGE + column * pitch + (pitch - width if len(rows) > 1 else 0)
                heights.append(self.computer(x, self.y, width, snapshot))
                lane = x - 6 * (len(rows) - number) if len(rows) > 1 else x + DOWN
                ends.append((snapshot, x, lane, self.y, heights[-1]))
            self.y += max(heights) + GAP
        behind = [s for s in self.plain if not self.on_lan(s)]  # a router that is not on the map
        self.y += 14 if behind and not self.beyond else 4
        for snapshot, x, lane, top, height in ends:
            if self.beyond and snapshot.kind == "outside":
                _, start, _, _, tall = ends[0]
                far = (start + width - DOWN, top + tall)
                self.across(snapshot, self.beyond, (x + DOWN, top + height), far)
            else:
                self.down(snapshot, x, lane, top, height)

    def _beyond(self) -> Interface | None:
        """The router's interface to outside, when both are plain computers here."""
        if tuple(s.kind for s in self.plain[:2]) != FIRST:
            return None
        router, outside = self.plain[:2]
        there = {net for i in outside.root.interfaces for net in _networks(i)}
        return next((i for i in router.root.interfaces if there & _networks(i)), None)

    def computer(self, x: float, y: float, width: float, snapshot: Snapshot) -> float:
        """A node without an engine, in a small box; its height."""
        picture, line = self.picture, y + 11
        interfaces = snapshot.root.interfaces
        rows = [(i, words.small(i, "") if i.kind != "loopback" else []) for i in interfaces]
        height = 26 + sum(14 + words.LINE * len(small) for _, small in rows)
        area: things.Area = (x, y, width, height)
        picture.box(*area, face=style.HOST, edge=style.SOFT, line=1.3)
        picture.things.append(things.namespace(area, snapshot, snapshot.root))
        wide = picture.write(x + 18, line, snapshot.host, style.NAME, width - 26, bold=True)
        about = {"outside": "beyond the router", "router": "the LAN's router"}
        picture.write(
            x + 24 + wide, line, about.get(snapshot.kind, "no Docker"), style.SMALL,
            width - wide - 30, color=style.SOFT,
        )  # fmt: skip
        line += 17
        for interface, small in rows:
            top = line
            if interface.kind == "loopback":
                picture.write(x + 18, line, words.chip(interface), style.PLAIN, width - 26)
            else:
                name = picture.write(
                    x + 18, line, interface.name, style.NAME, width - 26, bold=True
                )
                for address in words.addresses(interface)[:1]:
                    picture.write(x + 23 + name, line, address, style.PLAIN, width - name - 30)
            for text in small:
                line += words.LINE
                picture.write(x + 18, line + 0.5, text, style.SMALL, width - 26, color=style.SOFT)
            port = (x, top) if interface.kind == "loopback" else (x + DOWN, y + height)
            if interface is self.beyond:
                port = (x + width - DOWN, y + height)
            if interface.kind == "loopback":
                picture.port(x, top, style.INK, filled=False)
            area = (x + 2, top - 7, width - 4, line - top + 12)
            picture.things.append(
                things.interface(area, snapshot, snapshot.root, interface, (port,))
            )
            line += 14
        return height

    def across(
        self, outside: Snapshot, beyond: Interface,
        near: tuple[float, float], far: tuple[float, float],
    ) -> None:  # fmt: skip
        """Outside's wire to the router's interface beside it, from port to port."""
        below = max(near[1], far[1]) + 6
        path = (near, (near[0], below), (far[0], below), far)
        self.picture.line(list(path), style.SOFT, 2)
        for x, y in (near, far):
            self.picture.port(x, y, style.INK)
        end = f"{beyond.name} of {self.plain[0].host}"
        for interface in (i for i in outside.root.interfaces if i.kind != "loopback"):
            self.picture.things.append(things.cable(outside, interface, path, end))

    def down(self, snapshot: Snapshot, x: float, lane: float, top: float, height: float) -> None:
        """A plain computer's wire to the LAN; outside's by the router, which has no box then."""
        picture, bottom = self.picture, top + height
        picture.port(x + DOWN, bottom, style.INK)
        path = [(x + DOWN, bottom), (lane, self.y)]
        if lane != x + DOWN:
            path[1:1] = [(x + DOWN, bottom + 5), (lane, bottom + 5)]
        for interface in snapshot.root.interfaces:
            if interface.kind != "loopback" and interface is not self.beyond:
                picture.things.append(things.cable(snapshot, interface, tuple(path)))
        if self.on_lan(snapshot):
            picture.line(path, style.SOFT, 2)
        else:
            picture.line([(lane, self.y - 5), path.pop()], style.SOFT, 2)
            picture.line([*path, (lane, self.y - 17)], style.SOFT, 2)
            near, far = self.gateway(self.maps[0].snapshot), self.gateway(snapshot)
            text = f"router {far} | {near}" if near and far else "router"
            width = style.text_width(text, style.SMALL) + 12
            area = (lane - 7, self.y - 17, width, 12)
            picture.box(*area, face=style.PAPER, edge=style.SOFT, layer=3)
            picture.write(lane - 1, self.y - 11, text, style.SMALL, color=style.SOFT)

    def on_lan(self, snapshot: Snapshot) -> bool:
        """Whether it has an address of the LAN."""
        nets = [ip_interface(a).network for _, i in self.uplinks for a in words.addresses(i)]
        own = [ip_address(a.address) for i in snapshot.root.interfaces for a in i.addresses]
        return not nets or any(a in n for a in own for n in nets)

    # Tunnels

    def _tunnels(self) -> list[tuple[Parts, Strip, Interface, Parts | None, str]]:
        """The VXLAN tunnels that start on these maps, once each; the other map may be missing."""
        owner = {
            a.address: p for p in self.maps for i in p.host.interfaces for a in i.addresses
            if i in p.strips[0].uplinks
        }  # fmt: skip
        found, known = [], set()
        for parts in self.maps:
            for strip in parts.strips:
                for vxlan in (v for b in strip.bars if (v := strip.vxlan(b))):
                    remotes = {
                        f.remote for f in strip.namespace.forwarding
                        if f.remote and f.interface == vxlan.name and _unicast(f.remote)
                    }  # fmt: skip
                    for vtep in sorted(remotes):
                        other = owner.get(vtep)
                        ends = frozenset(
                            {parts.snapshot.host, other.snapshot.host if other else vtep}
                        )
                        if (vxlan.vni, ends) not in known:
                            known.add((vxlan.vni, ends))
                            found.append((parts, strip, vxlan, other, vtep))
        return found

    def trunk(self, branches: list[float]) -> float:
        """The LAN at the right side of the page, and the tunnels in it; how far down it goes."""
        left = self.right + 8
        top = min(branches, default=self.y)
        ends = {  # of each VNI's interfaces: map, strip, height, colour
            (id(h.parts), v.vni): (y, h.looks[id(next(
                b for b in s.bars if b is v or b.name == v.master
            ))]) for h in self.hosts for s, v, y in h.vteps
        }  # fmt: skip
        columns: dict[int | None, float] = {
            vni: left + TRUNK + 2 + TUNNEL * n for n, vni in enumerate(self.columns)
        }
        bottom = max([*branches, *(y + 6 for y, _ in ends.values())])
        self.picture.band(left, top - 3, WIDTH - EDGE - left, bottom - top + 6, style.LAN)
        for (_, vni), (y, (color, pattern)) in ends.items():
            self.picture.line([(self.right, y), (columns[vni], y)], color, 1.6, pattern)
        drawn = set()
        for parts, strip, vxlan, other, vtep in self.tunnels:
            x = columns[vxlan.vni]
            start, (color, pattern) = ends[id(parts), vxlan.vni]
            # To a host that is not on the page: into the LAN, and no further.
            end = ends.get((id(other), vxlan.vni), (top, ()))[0] if other else top
            path: things.Path = ((self.right, start), (x, start), (x, end), (self.right, end))
            self.picture.line([(x, start), (x, end)], color, 1.6, pattern)
            if not other:
                path = path[:-1]
            if vxlan.vni not in drawn:
                drawn.add(vxlan.vni)
                self.picture.write(
                    x - 6, (start + end) / 2, f"VXLAN tunnel, VNI {vxlan.vni}", style.SMALL,
                    abs(end - start), color=style.INK, align="center", upright=True,
                )  # fmt: skip
            area = (x - 11, min(start, end), 14, abs(end - start))
            there = other.snapshot.host if other else vtep
            here = (parts.snapshot, strip.namespace, vxlan)
            self.picture.things.append(things.tunnel(area, here, there, vtep, path))
        return bottom


def _networks(interface: Interface) -> set[IPv4Network | IPv6Network]:
    """What it has addresses of."""
    if interface.kind == "loopback":
        return set()
    return {ip_interface(a).network for a in words.addresses(interface)}


def _unicast(address: str) -> bool:
    return not ip_network(address).is_multicast

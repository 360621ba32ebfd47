"""The map: everything of the snapshot is on it, and no label is hidden."""

from functools import cache
from itertools import pairwise

import msgspec
import pytest
from pictures import (
    JOURNEYS,
    LABS,
    SCENES,
    cut_off,
    labels,
    overlaps,
    scenes,
    struck_through,
    texts,
    undrawn,
)

from labkit import diff
from labkit.errors import SnapshotError, UsageError
from labkit.model.snapshot import Address, Container, Interface, Namespace, Port, Snapshot
from labkit.plot import nat_table, topology
from labkit.plot.style import WIDTH, network_look

MAPS = {name: (snapshot,) for name, snapshot in SCENES.items()}
MAPS |= LABS | {f"{lab} {s.host}": (s,) for lab, all_ in LABS.items() for s in all_}
maps = pytest.mark.parametrize("name", MAPS)


@cache
def drawn(name):
    """The map of that name, once for all tests that only look at it."""
    return topology(*MAPS[name])


def test_the_scenes_are_there():
    assert {"empty", "one", "three", "twenty", "fifty", "bridges", "modes", "cable"} <= set(SCENES)
    counted = ("empty", "one", "three", "twenty", "fifty")
    assert [len(SCENES[n].containers) for n in counted] == [0, 1, 3, 20, 50]
    kinds = [(s.host, s.kind) for s in LABS["overlay"]]
    assert kinds == [
        ("host1", "host"), ("host2", "host"), ("outside", "outside"), ("station1", "station"),
    ]  # fmt: skip


def assert_readable(figure):
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []


@maps
def test_no_label_is_hidden(name):
    figure = drawn(name)
    assert len(labels(figure)) > 5
    assert_readable(figure)


@scenes
def test_no_label_of_the_nat_table_is_hidden(snapshot):
    figure = nat_table(snapshot)
    assert len(labels(figure)) > 5
    assert_readable(figure)


@maps
def test_every_interface_is_on_the_map(name):
    shown = texts(drawn(name))
    expected = [i.name for s in MAPS[name] for n in s.namespaces for i in n.interfaces]
    assert expected
    for own in set(expected):
        labels = [t for t in shown if t.split()[0] == own]
        assert len(labels) >= expected.count(own), own


@maps
def test_every_mac_and_address_is_on_the_map(name):
    shown = " ".join(texts(drawn(name)))
    for interface in (i for s in MAPS[name] for n in s.namespaces for i in n.interfaces):
        if interface.kind != "loopback":
            assert f"{interface.mac} · if{interface.index}" in shown
        for address in interface.addresses:
            if address.scope != "link" and address.address != "::1":
                assert f"{address.address}/{address.prefix}" in shown


@maps
def test_every_container_is_on_the_map(name):
    shown = " ".join(texts(drawn(name)))
    assert [c.name for s in MAPS[name] for c in s.containers if c.name not in shown] == []


def place(snapshot, namespace):
    """What a namespace is called in the name of a thing."""
    if namespace.kind == "sandbox":
        return f"sandbox {namespace.name}"
    inside = [c for c in snapshot.containers if c.namespace == namespace.id]
    owners = [c.name for c in inside if not c.network_mode.startswith("container:")]
    return owners[0] if namespace.kind == "container" else namespace.name


@maps
def test_every_veth_pair_is_one_wire(name):
    """From port to port along lines that are drawn."""
    figure = drawn(name)
    ends = {}
    for s in MAPS[name]:
        for n in s.namespaces:
            ends |= {(s.host, n.id, i.index): f"{i.name} of {place(s, n)}" for i in n.interfaces}
    pairs = set()
    for s in MAPS[name]:
        for n in s.namespaces:
            for i in n.interfaces:
                other = i.peer and ends.get((s.host, i.peer.namespace, i.peer.index))
                if other:
                    pairs.add((s.host, frozenset((ends[s.host, n.id, i.index], other))))
    wires = [t for t in figure.things if t.kind == "wire"]
    assert {(w.host, frozenset(w.name.split(" ↔ "))) for w in wires} == pairs
    assert len(wires) == len(pairs)
    for wire in wires:
        assert undrawn(figure, wire.path) == [], wire.name
        for port, end in zip(wire.name.split(" ↔ "), (wire.path[0], wire.path[-1]), strict=True):
            assert figure.find(port, wire.host).path == (end,)


def test_a_wire_joins_its_bridge():
    """Above its host's end, the lane goes on to the bar, and has a dot there."""
    for name, count in (("three", 3), ("fifty", 50)):
        figure = topology(SCENES[name])
        bars = {b.name.split()[0]: b for b in figure.things if b.kind == "bridge"}
        found = 0
        for wire in (t for t in figure.things if t.kind == "wire"):
            bridge = dict(wire.details)["which is a port of"]
            x, y = wire.path[-1]
            dots = [
                li.get_ydata()[0] for li in figure.axes_.lines
                if li.get_marker() == "o" and li.get_xdata()[0] == x and li.get_ydata()[0] < y
            ]  # fmt: skip
            assert any(undrawn(figure, ((x, dot), (x, y))) == [] for dot in dots)
            assert bridge in bars
            found += 1
        assert found == count


def test_a_bridge_that_goes_on_is_joined_along_the_side():
    """Each floor's bar of the same bridge hangs on one line down the left."""
    figure = topology(SCENES["fifty"])
    for number in (0, 1):
        color = network_look(number)[0]
        thick = [
            li for li in figure.axes_.lines if li.get_linewidth() == 5 and li.get_color() == color
        ]
        bars = [li for li in thick if len(set(li.get_ydata())) == 1]
        sides = [li for li in thick if len(set(li.get_xdata())) == 1]
        assert len(bars) == len(sides) + 1 > 1
        for (upper, lower), side in zip(pairwise(bars), sides, strict=True):
            assert list(side.get_ydata()) == [upper.get_ydata()[0], lower.get_ydata()[0]]
            assert side.get_xdata()[0] - 2.5 == min(upper.get_xdata()) == min(lower.get_xdata())


@maps
def test_everything_can_be_picked(name):
    """Every interface, container and namespace of Docker's own; each within the page."""
    figure = drawn(name)
    for s in MAPS[name]:
        for n in s.namespaces:
            for i in n.interfaces:
                thing = figure.find(f"{i.name} of {place(s, n)}", s.host)
                assert thing.kind in ("interface", "bridge")
                assert len(thing.path) == 1
                assert dict(thing.details)["MAC address"] == i.mac
            if n.kind == "sandbox":
                assert figure.find(f"sandbox {n.name}", s.host)
        for c in s.containers:
            assert figure.find(c.name, s.host).kind == "container"
        assert figure.find(s.host, s.host)
    width, height = figure.get_size_inches() * 72
    for thing in figure.things:
        x, y, w, h = thing.box
        assert min(x, y) >= 0, thing
        assert w > 0, thing
        assert h > 0, thing
        assert x + w <= width, thing
        assert y + h <= height, thing
        assert thing.commands, thing
        assert thing.host in {s.host for s in MAPS[name]}


def test_a_point_picks_the_smallest_thing_there():
    figure = topology(SCENES["three"])
    x, y, width, height = figure.find("eth0 of web").box
    assert figure.at(x + width - 3, y + height / 2).name == "eth0 of web"
    assert figure.at(*figure.find("docker0 of host1").path[0]).name == "docker0 of host1"
    web = figure.find("web").box
    assert figure.at(web[0] + web[2] - 2, web[1] + 4).name == "web"
    assert figure.at(WIDTH / 2, web[1] - 4) is None


def test_a_thing_says_how_to_see_it():
    figure = topology(*LABS["overlay"])
    assert figure.find("docker0 of host1").commands == (
        "ip -details -statistics link show dev docker0",
        "ip address show dev docker0",
        "bridge fdb show br docker0",
        "ip link show master docker0",
    )
    assert figure.find("eth0 of near").commands[1] == (
        "nsenter --net --target $(docker inspect --format '{{.State.Pid}}' near) "
        "ip address show dev eth0"
    )
    tunnel = next(t for t in figure.things if t.kind == "VXLAN tunnel")
    assert tunnel.commands[1].startswith("nsenter --net=/run/docker/netns/1-")
    assert tunnel.commands[1].endswith(" bridge fdb show dev vxlan0")


def test_a_published_port_is_an_arrow_with_its_rule():
    figure = topology(SCENES["one"])
    port = next(t for t in figure.things if t.kind == "published port" and t.path)
    assert port.name == "8080/tcp of web"
    assert dict(port.details)["rule"] == "nat DOCKER 2"
    assert dict(port.details)["rule text"].endswith("-j DNAT --to-destination 172.17.0.2:80")
    assert "iptables --table nat --list-rules DOCKER 2" in port.commands
    assert "rule nat DOCKER 2 · DNAT" in texts(figure)
    assert figure.find("rule nat DOCKER 2").kind == "rule"
    assert undrawn(figure, port.path) == []
    # It starts on the line from eth0, and ends at the container's flag.
    uplink, start = figure.find("eth0 of host1").path[0], port.path[0]
    assert undrawn(figure, (uplink, (uplink[0], start[1]), start)) == []
    box = figure.find("web").box
    assert box[0] < port.path[-1][0] < box[0] + 7
    assert box[1] < port.path[-1][1] < box[1] + box[3]


def test_a_port_of_the_loopback_address_is_not_joined_to_the_lan():
    figure = topology(SCENES["bridges"])
    local = next(t for t in figure.things if t.name == "127.0.0.1:8443/tcp of web" and t.path)
    lan = next(t for t in figure.things if t.name == "8080/tcp of web" and t.path)
    assert len(lan.path) == len(local.path) + 1
    assert dict(local.details)["rule text"].startswith("-d 127.0.0.1/32")


def test_a_port_without_a_rule_says_so():
    bare = msgspec.structs.replace(
        SCENES["one"],
        namespaces=tuple(msgspec.structs.replace(n, chains=()) for n in SCENES["one"].namespaces),
    )
    assert "no rule" in texts(topology(bare))


def test_tunnels_run_from_host_to_host():
    figure = topology(*LABS["overlay"])
    tunnels = [t for t in figure.things if t.kind == "VXLAN tunnel"]
    assert sorted(t.name for t in tunnels) == [
        "VNI 4096, host1 ↔ host2", "VNI 4097, host1 ↔ host2",
    ]  # fmt: skip
    for tunnel in tunnels:
        vni = tunnel.name[4:8]
        ends = [
            t.path[0] for t in figure.things
            if t.name.startswith("vxlan0") and dict(t.details)["VNI"] == vni
        ]  # fmt: skip
        assert {tunnel.path[0], tunnel.path[-1]} == set(ends)
        assert undrawn(figure, tunnel.path) == []
        assert f"VXLAN tunnel, VNI {vni}" in texts(figure)


def test_a_tunnel_to_a_host_that_is_not_on_the_map_ends_in_the_lan():
    host1 = LABS["overlay"][0]
    figure = topology(host1)
    tunnels = [t for t in figure.things if t.kind == "VXLAN tunnel"]
    assert sorted(t.name for t in tunnels) == [
        "VNI 4096, host1 ↔ 192.168.56.12", "VNI 4097, host1 ↔ 192.168.56.12",
    ]  # fmt: skip
    assert all(undrawn(figure, t.path) == [] for t in tunnels)
    assert "VNI 4097 → 192.168.56.12" in texts(figure)


def test_a_network_on_two_hosts_looks_the_same():
    """The overlay does; each host's docker_gwbridge is a network of its own."""
    figure = topology(*LABS["overlay"])
    looks = {}
    for wire in (t for t in figure.things if t.kind == "wire"):
        (x, _), end = wire.path[-1], wire.path[1]
        bridge = dict(wire.details)["which is a port of"]
        place = wire.name.rpartition(" of ")[2]
        line = next(
            li for li in figure.axes_.lines
            if li.get_linewidth() == 1.6 and li.get_xdata()[-1] == x
            and li.get_ydata()[-1] == end[1]
        )  # fmt: skip
        look = (line.get_color(), str(line._dash_pattern))
        looks.setdefault(f"{bridge} of {place}" if place[0] == "s" else bridge, set()).add(
            (wire.host, look)
        )
    overlays = {k: v for k, v in looks.items() if k.startswith("br0")}
    assert len(overlays) == 2
    for found in overlays.values():
        assert len({look for _, look in found}) == 1
        assert {host for host, _ in found} == {"host1", "host2"}
    assert len({look for _, look in looks["docker_gwbridge"]}) == 2
    assert len({next(iter(v))[1] for v in overlays.values()}) == 2


def test_vlan_interfaces_hang_on_their_parent():
    """This kernel may have no 802.1Q: the snapshot of one that has, made from a saved one."""
    scene = SCENES["modes"]
    tagged = interface(
        9, "eth0.10", kind="vlan", vlan=10, parent="eth0",
        addresses=(Address(address="10.10.0.1", prefix=24, scope="global"),),
    )  # fmt: skip
    child = interface(3, "eth0", kind="macvlan", mode="bridge", parent="eth0.10")
    alone = next(n for n in scene.namespaces if n.name == "alone")
    changed = {
        id(scene.root): (*scene.root.interfaces, tagged),
        id(alone): (*alone.interfaces, child),
    }
    figure = topology(
        msgspec.structs.replace(
            scene,
            namespaces=tuple(
                msgspec.structs.replace(n, interfaces=changed.get(id(n), n.interfaces))
                for n in scene.namespaces
            ),
        )
    )
    assert_readable(figure)
    assert "vlan, VLAN 10, on eth0" in texts(figure)
    joint = figure.find("eth0.10 of host1 ↔ eth0 of host1")
    assert undrawn(figure, joint.path) == []
    assert figure.find("eth0 of alone ↔ eth0.10 of host1").kind == "macvlan on its parent"


def test_stations_and_outside_hang_on_the_lan():
    figure = topology(*LABS["overlay"])
    shown = texts(figure)
    assert "router 203.0.113.1 | 192.168.56.1" in shown
    assert "no Docker" in shown
    assert figure.find("station1").kind == "station"
    lan = next(t for t in figure.things if t.kind == "LAN")
    below = lan.box[1] + 4
    x, y = figure.find("eth0 of station1").path[0]
    assert undrawn(figure, ((x, y), (x, below))) == []
    x, y = figure.find("eth0 of outside").path[0]  # by the router's box, 12 points high
    assert undrawn(figure, ((x, y), (x, below - 17))) == []
    assert undrawn(figure, ((x, below - 5), (x, below))) == []


def test_the_router_is_there_once_and_outside_hangs_on_it():
    journey = JOURNEYS["nat"]
    figure = topology(*reversed(journey.snapshots), LABS["overlay"][-1])
    assert_readable(figure)
    shown = texts(figure)
    assert [t for t in shown if t.startswith("router")] == ["router"]
    cable = figure.find("eth0 of outside ↔ outside of router")
    assert cable.path[0] == figure.find("eth0 of outside").path[0]
    assert cable.path[-1] == figure.find("outside of router").path[0]
    assert undrawn(figure, cable.path) == []
    assert not figure.find("outside of router ↔ LAN")
    assert figure.find("lan of router ↔ LAN")
    lan = next(t for t in figure.things if t.kind == "LAN")
    assert max(y for _, y in cable.path) < lan.box[1]


def test_many_stations_stay_apart():
    station = LABS["overlay"][-1]
    more = [msgspec.structs.replace(station, host=f"station{n}") for n in range(1, 10)]
    figure = topology(SCENES["three"], *more)
    assert_readable(figure)
    assert sum(t.kind == "station" for t in figure.things) == 9


def test_what_came_is_marked_on_each_host():
    host1, host2, *_ = LABS["overlay"]
    empty = SCENES["empty"]
    changes = [diff(empty, host1), diff(msgspec.structs.replace(empty, host="host2"), host2)]
    figure = topology(host1, host2, change=changes)
    assert {"near", "local", "far"} <= set(tags(figure))
    assert_readable(figure)
    assert "far" not in tags(topology(host1, host2, change=changes[0]))


def test_no_snapshot_or_one_twice_is_refused_in_a_sentence():
    with pytest.raises(UsageError, match="a map needs a snapshot"):
        topology()
    with pytest.raises(UsageError, match="two snapshots of host1"):
        topology(SCENES["one"], SCENES["three"])


def test_published_ports_once_for_both_families():
    shown = texts(topology(SCENES["bridges"]))
    assert shown.count("host port 8080 → 80/tcp") == 1
    assert shown.count("127.0.0.1:8443 → 443/tcp") == 1


def test_modes_are_told_apart():
    shown = texts(topology(SCENES["modes"]))
    assert "native: runs right here (--network host)" in shown
    assert "and no other interface" in shown
    assert "web, sidecar" in shown
    assert "macvlan, bridge mode" in shown
    assert drawn("modes").find("eth0 of web").host == "host1"  # not of sidecar, which joined
    assert "eth0 as a parent" in shown


def test_a_bridge_without_carrier_says_so():
    assert "driver bridge, no carrier" in texts(topology(SCENES["empty"]))
    assert "driver bridge" in texts(topology(SCENES["one"]))


def test_a_dead_engine_is_said():
    snapshot = msgspec.structs.replace(SCENES["one"], engine=None, containers=(), networks=())
    figure = topology(snapshot)
    assert "its Docker Engine does not answer" in texts(figure)
    assert "a bridge of the host" in texts(figure)
    assert "Docker network unknown" in texts(figure)
    assert overlaps(figure) == []


def interface(index, name, **fields):
    fields = {"kind": "veth", "mac": f"02:00:00:00:00:{index:02x}", **fields}
    return Interface(index=index, name=name, mtu=1500, up=True, state="up", **fields)


def test_long_names_and_many_addresses_stay_apart():
    addresses = tuple(
        Address(address=a, prefix=64, scope="global")
        for a in ("fd00:1111:2222:3333:4444:5555:6666:7777", "192.168.100.200", "fd00::2")
    )
    ports = tuple(
        Port(container_port=65000, protocol="sctp", host_address="192.168.100.200", host_port=p)
        for p in range(60000, 60006)
    )
    loop = interface(1, "lo", kind="loopback")
    lone = [interface(n, f"dummy-number-{n}", kind="dummy") for n in range(2, 12)]
    namespaces = [Namespace(id=1, kind="host", name="h" * 60, interfaces=(loop, *lone))]
    containers = []
    for n in range(2, 8):
        wide = interface(7, "a-name-of-fifte", kind="dummy", addresses=addresses)
        namespaces.append(Namespace(id=n, kind="container", name="x", interfaces=(loop, wide)))
        containers.append(
            Container(
                id=str(n),
                name="a-very-long-name-of-a-container-" * 3,
                image="registry/" * 9,
                namespace=n,
                network_mode="bridge",
                pid=n,
                ports=ports,
            )
        )
    snapshot = Snapshot(
        host="h" * 60, time=0, engine="26.1.5", namespaces=tuple(namespaces),
        containers=tuple(containers),
    )  # fmt: skip
    figure = topology(snapshot)
    assert_readable(figure)


def test_a_snapshot_without_a_host_is_refused_in_a_sentence():
    with pytest.raises(SnapshotError, match="no namespace of a lab host"):
        topology(Snapshot(host="host1", time=0, engine=None, namespaces=()))


def test_a_network_keeps_its_look_in_grey():
    """Two networks differ by their line pattern too."""
    figure = topology(SCENES["bridges"])
    styles = {
        (line.get_color(), str(line._dash_pattern))
        for line in figure.axes_.lines
        if line.get_linewidth() == 1.6
    }
    assert len(styles) == 2
    assert len({pattern for _, pattern in styles}) == 2


def test_it_shows_itself_once_with_a_stable_text():
    figure = topology(SCENES["three"])
    data, metadata = figure._repr_mimebundle_()
    assert data["text/plain"] == "<map of host1: 3 containers, 1 bridge>"
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"]["width"] == WIDTH * 96 / 72


@scenes
def test_the_same_snapshot_gives_the_same_picture(snapshot):
    assert topology(snapshot).png() == topology(Snapshot.from_json(snapshot.to_json())).png()


def tags(figure):
    """The names that stand right behind a tag "new"."""
    found = labels(figure)
    new = [box for text, box in found if text == "new"]
    return sorted(
        next(text for text, _ in sorted(
            (f for f in found if f[1].x0 > box.x1 and abs(f[1].y0 - box.y0) < 8),
            key=lambda f: f[1].x0,
        ))
        for box in new
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("empty", "one", ["vethe939cc2", "web"]),
        ("one", "bridges", ["br-ff675b7a9e9e", "cache", "database", "veth1f0cbf2", "veth521003e",
                            "veth921244e", "vethfe524e3", "web"]),
        ("empty", "modes", ["alone", "neighbour", "veth3070235", "web, sidecar"]),
        ("three", "three", []),
    ],
)  # fmt: skip
def test_what_came_is_marked(before, after, marked):
    figure = topology(SCENES[after], change=diff(SCENES[before], SCENES[after]))
    assert tags(figure) == marked
    bold = [p for p in figure.axes_.patches if p.get_linewidth() > 2]
    assert len(bold) == len([name for name in marked if not name.startswith(("veth", "br-"))])
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []


def test_twenty_that_came_are_marked_with_every_name_in_full():
    figure = topology(SCENES["twenty"], change=diff(SCENES["empty"], SCENES["twenty"]))
    assert len(tags(figure)) == 40
    assert not any("…" in text for text in texts(figure))
    assert overlaps(figure) == []


def test_a_new_container_in_a_namespace_that_was_there():
    after = SCENES["modes"]
    native = "native: runs right here (--network host), new"
    for name, words in (("sidecar", []), ("native", [native])):
        before = msgspec.structs.replace(
            after, containers=tuple(c for c in after.containers if c.name != name)
        )
        figure = topology(after, change=diff(before, after))
        assert tags(figure) == []
        assert [t for t in texts(figure) if t.endswith(", new")] == words


def test_an_interface_more_in_a_container_that_was_there():
    after = SCENES["bridges"]
    web = next(n for n in after.namespaces if n.name == "web")
    less = msgspec.structs.replace(web, interfaces=web.interfaces[:-1])
    before = msgspec.structs.replace(
        after, namespaces=tuple(less if n is web else n for n in after.namespaces)
    )
    assert tags(topology(after, change=diff(before, after))) == ["eth1"]

"""The map: everything of the snapshot is on it, and no label is hidden."""

from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from matplotlib.transforms import Bbox

from labkit import diff
from labkit.errors import SnapshotError
from labkit.model.snapshot import Address, Container, Interface, Namespace, Port, Snapshot
from labkit.plot import nat_table, topology
from labkit.plot.style import WIDTH

SAVED = sorted(Path(__file__).with_name("snapshots").glob("*.json"))
SCENES = {path.stem: Snapshot.load(path) for path in SAVED}
scenes = pytest.mark.parametrize("snapshot", SCENES.values(), ids=SCENES)


def labels(figure):
    """Every text of the figure with the rectangle of its ink, in pixels."""
    renderer = figure.canvas.get_renderer()
    figure.canvas.draw()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes_.texts]


def shrunk(box, by):
    return Bbox([[box.x0 + by, box.y0 + by], [box.x1 - by, box.y1 - by]])


def overlaps(figure):
    return [
        (a, b)
        for (a, first), (b, second) in combinations(labels(figure), 2)
        if shrunk(first, 1).overlaps(shrunk(second, 1))
    ]


def struck_through(figure):
    """Labels that a line runs through."""
    found = []
    texts = labels(figure)
    for line in figure.axes_.lines:
        path = line.get_transform().transform_path(line.get_path())
        found += [t for t, box in texts if path.intersects_bbox(shrunk(box, 1), filled=False)]
    return found


def cut_off(figure):
    page = figure.bbox
    return [
        t for t, b in labels(figure)
        if b.x0 < 0 or b.y0 < 0 or b.x1 > page.width or b.y1 > page.height
    ]  # fmt: skip


def texts(figure):
    return [t.get_text() for t in figure.axes_.texts]


def test_the_scenes_are_there():
    assert {"empty", "one", "three", "twenty", "bridges", "modes"} <= set(SCENES)
    assert [len(SCENES[n].containers) for n in ("empty", "one", "three", "twenty")] == [0, 1, 3, 20]


@scenes
@pytest.mark.parametrize("draw", [topology, nat_table])
def test_no_label_is_hidden(draw, snapshot):
    figure = draw(snapshot)
    assert len(labels(figure)) > 5
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []


@scenes
def test_every_interface_is_on_the_map(snapshot):
    shown = texts(topology(snapshot))
    expected = [i.name for n in snapshot.namespaces for i in n.interfaces]
    assert expected
    for name in set(expected):
        labels = [t for t in shown if t.split()[0] == name]
        assert len(labels) >= expected.count(name), name


@scenes
def test_every_mac_and_address_is_on_the_map(snapshot):
    shown = " ".join(texts(topology(snapshot)))
    for interface in (i for n in snapshot.namespaces for i in n.interfaces):
        if interface.kind != "loopback":
            assert f"{interface.mac} · if{interface.index}" in shown
        for address in interface.addresses:
            if address.scope != "link" and address.address != "::1":
                assert f"{address.address}/{address.prefix}" in shown


@scenes
def test_every_container_is_on_the_map(snapshot):
    shown = " ".join(texts(topology(snapshot)))
    assert [c.name for c in snapshot.containers if c.name not in shown] == []


def test_every_veth_pair_is_one_wire():
    """From its bridge down to the container's port, with a port at both ends."""
    figure = topology(SCENES["three"])
    dots = [line for line in figure.axes_.lines if line.get_marker() == "o"]
    assert len(dots) == 3
    for dot in dots:
        x = dot.get_xdata()[0]
        ports = [p for p in figure.axes_.lines if p.get_marker() == "s" and p.get_xdata()[0] == x]
        assert len(ports) == 1


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
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []


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
    figure = topology(SCENES[after], diff(SCENES[before], SCENES[after]))
    assert tags(figure) == marked
    bold = [p for p in figure.axes_.patches if p.get_linewidth() > 2]
    assert len(bold) == len([name for name in marked if not name.startswith(("veth", "br-"))])
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []


def test_twenty_that_came_are_marked_with_every_name_in_full():
    figure = topology(SCENES["twenty"], diff(SCENES["empty"], SCENES["twenty"]))
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
        figure = topology(after, diff(before, after))
        assert tags(figure) == []
        assert [t for t in texts(figure) if t.endswith(", new")] == words


def test_an_interface_more_in_a_container_that_was_there():
    after = SCENES["bridges"]
    web = next(n for n in after.namespaces if n.name == "web")
    less = msgspec.structs.replace(web, interfaces=web.interfaces[:-1])
    before = msgspec.structs.replace(
        after, namespaces=tuple(less if n is web else n for n in after.namespaces)
    )
    assert tags(topology(after, diff(before, after))) == ["eth1"]

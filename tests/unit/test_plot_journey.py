"""The pictures of a journey: all of it is there, rewriting is marked, no label is hidden."""

import re
from functools import cached_property
from itertools import pairwise

import msgspec
import pytest
from matplotlib.colors import to_rgba
from pictures import JOURNEYS, cut_off, overlaps, struck_through, texts

from labkit import journey_map, ladder, timeline
from labkit.errors import UsageError
from labkit.model import way
from labkit.plot import style
from labkit.plot.style import WIDTH
from labkit.plot.track import base_map, stops

journeys = pytest.mark.parametrize("journey", JOURNEYS.values(), ids=JOURNEYS)


def distinct(journey):
    """The packets that went different ways."""
    known = {}
    for packet in journey.packets:
        steps = journey.of(packet.number)
        key = tuple((s.place, s.what) for s in steps)
        known.setdefault(key, packet.number)
    return list(known.values())[:5]


class Walk:
    """A packet's way, and its pictures, each drawn once."""

    def __init__(self, journey, packet):
        self.journey, self.packet = journey, packet
        self.told = way.folded(journey, packet)
        self.steps = journey.of(packet)

    @cached_property
    def timeline(self):
        return timeline(self.journey, self.packet)

    @cached_property
    def base(self):
        return base_map(self.journey)

    @cached_property
    def stops(self):
        return stops(self.base, self.journey, self.packet)

    @cached_property
    def map(self):
        return journey_map(self.journey, self.packet)


@pytest.fixture(
    scope="module",
    params=[(name, p) for name, j in JOURNEYS.items() for p in distinct(j)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def walk(request):
    name, packet = request.param
    return Walk(JOURNEYS[name], packet)


def bold(figure):
    return [t.get_text() for t in figure.axes_.texts if t.get_fontweight() == "bold"]


def shown(figure, text):
    """Whether the text is on the figure, or as much of its start as there is room for."""
    return any(t == text or (t.endswith("…") and text.startswith(t[:-1])) for t in texts(figure))


def test_the_timeline_has_every_step_and_hides_no_label(walk):
    figure = walk.timeline
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []
    numbers = [re.fullmatch(r"(\d+)(?:-(\d+))?", t) for t in texts(figure)]
    steps = len(walk.steps)
    told = walk.told
    assert {row.numbers for row in told} <= {n[0] for n in numbers if n}
    assert told[-1].last == steps
    for row in told:
        if row.first == row.last:
            assert all(shown(figure, text) for text in (row.title, *way.ends(row.headers)))
            assert not row.verdict or shown(figure, row.verdict)
            assert not row.spec or row.spec.split()[0] in " ".join(texts(figure))


def test_what_was_rewritten_is_marked_on_the_timeline(walk):
    figure = walk.timeline
    told = walk.told
    marked = [p for p in figure.axes_.patches if p.get_facecolor() == to_rgba(style.MARK)]
    assert len(marked) == sum(bool(row.rewritten) for row in told)
    strong = " ".join(bold(figure))
    for row in told:
        for change in row.rewritten:
            assert all(word in strong for word in change.split())
        if "source" in row.changed and row.first == row.last:
            assert way.ends(row.headers)[0] in bold(figure)


def test_what_rewrote_it_is_written_in_full(walk):
    assert {row.by for row in walk.told if row.by} <= set(texts(walk.timeline))


def test_every_row_of_the_timeline_can_be_picked(walk):
    figure = walk.timeline
    told = walk.told
    assert [t.name for t in figure.things] == [row.numbers for row in told]
    for above, below in pairwise(figure.things):
        assert above.box[1] + above.box[3] <= below.box[1] + 0.01
    assert all(t.details and t.commands and t.host for t in figure.things)


def test_the_packet_in_vxlan_has_its_outer_headers_around_it():
    journey = JOURNEYS["overlay"]
    wrapped = [s for s in journey.of(1) if s.headers.outer]
    outer = [t for t in texts(timeline(journey, 1)) if t.startswith("inside VXLAN 4097: ")]
    assert wrapped
    assert len(outer) == sum(
        row.headers.outer is not None and row.first == row.last for row in way.folded(journey, 1)
    )
    assert all("192.168.56.11:" in t and t.endswith("→ 192.168.56.12:4789") for t in outer)


def heads(figure):
    return [line for line in figure.axes_.lines if line.get_marker() in ("<", ">")]


@journeys
def test_the_ladder_has_one_arrow_for_each_hop_and_hides_no_label(journey):
    figure = ladder(journey)
    hops = [hop for p in journey.packets for hop in way.hops(journey.of(p.number))]
    assert hops
    assert len(heads(figure)) == len(hops)
    assert overlaps(figure) == []
    assert struck_through(figure) == []
    assert cut_off(figure) == []
    sources = [shortest(way.ends(hop.met.headers)[0]) for hop in hops]
    assert all(any(t.startswith(s) for t in texts(figure)) for s in sources)


def shortest(text):
    """So much of an address as is written in the narrowest ladder."""
    return text[:9]


@journeys
def test_every_packet_and_every_place_is_on_the_ladder(journey):
    figure = ladder(journey)
    said = texts(figure)
    for packet in journey.packets:
        assert f"{packet.number}" in said
        assert any(t.startswith(packet.summary.split()[0]) for t in said)
    for place in way.places(journey):
        assert way.name(journey, place).split()[0] in said
    assert [t.name for t in figure.things] == [f"{p.number}" for p in journey.packets]


def test_the_ladder_marks_new_addresses_and_says_what_rewrote_them():
    said = texts(ladder(JOURNEYS["nat"]))
    strong = bold(ladder(JOURNEYS["nat"]))
    masqueraded = [t for t in strong if t.startswith("192.168.56.11:")]
    put_back = [t for t in strong if t.startswith("→ 172.17.0.2:")]
    packets = JOURNEYS["nat"].packets
    assert len(masqueraded) == sum(p.direction == "request" for p in packets)
    assert len(put_back) == sum(p.direction == "reply" for p in packets)
    rules = [s for s in JOURNEYS["nat"].steps if s.verdict == "MASQUERADE"]
    assert said.count("MASQUERADE") == len(rules)
    assert said.count("connection tracking") == len(packets) - len(rules)


def test_a_request_runs_to_the_right_and_its_reply_to_the_left():
    journey = JOURNEYS["published"]
    marks = [line.get_marker() for line in heads(ladder(journey))]
    expected = []
    for packet in journey.packets:
        mark = ">" if packet.direction == "request" else "<"
        expected += [mark] * len(way.hops(journey.of(packet.number)))
    assert marks == expected


def test_a_dropped_packet_has_a_cross_and_says_so():
    figure = ladder(JOURNEYS["drop"])
    cross = [line for line in figure.axes_.lines if line.get_linewidth() == 2.4]
    assert len(cross) == 2
    assert "DROP" in texts(figure)


def test_vxlan_is_on_the_ladder_with_its_own_addresses():
    said = texts(ladder(JOURNEYS["overlay"]))
    journey = JOURNEYS["overlay"]
    wrapped = [
        h for p in journey.packets for h in way.hops(journey.of(p.number)) if h.met.headers.outer
    ]
    assert said.count("in VXLAN 4097:") == len(wrapped)
    assert said.count("→ 192.168.56.12") + said.count("→ 192.168.56.11") == len(wrapped)


def badges(figure, base):
    return [t.get_text() for t in figure.axes_.texts[len(base.axes_.texts) :]]


def test_every_step_is_on_the_map_at_its_interface(walk):
    assert [s.number for s in walk.stops] == list(range(1, len(walk.steps) + 1))
    for step, stop in zip(walk.steps, walk.stops, strict=True):
        place = way.name(walk.journey, way.place(step))
        thing = walk.base.find(f"{step.interface} of {place}", step.node)
        if step.kind == "capture" and thing and thing.kind != "bridge":
            assert stop.point == thing.path[0]
        assert stop.path[-1] == stop.point
        assert stop.area is not None
    for before, stop in pairwise(walk.stops):
        assert stop.path[0] == before.point
        for a, b in pairwise(stop.path):  # level or upright, but for the end at a port's edge
            assert abs(a[0] - b[0]) < 10 or abs(a[1] - b[1]) < 4


def test_the_way_is_drawn_over_the_map(walk):
    tracks = [line for line in walk.map.axes_.lines if line.get_color() == style.TRACK]
    moved = [s for s in walk.stops if len(s.path) > 1]
    assert len(tracks) == len(moved)
    ranges = [t.split("-") for t in badges(walk.map, walk.base)]
    assert max(int(r[-1]) for r in ranges) == len(walk.steps)
    assert cut_off(walk.map) == []


@journeys
def test_the_way_ends_at_the_step_that_is_asked_for(journey):
    assert badges(journey_map(journey, 1, 1), base_map(journey)) == ["1"]


def test_the_place_where_the_packet_is_has_a_bold_edge():
    journey = JOURNEYS["nat"]
    figure = journey_map(journey, 1, 1)
    edges = [p for p in figure.axes_.patches if p.get_edgecolor() == to_rgba(style.TRACK)]
    assert len(edges) == 1


def test_a_packet_on_its_way_to_a_macvlan_lies_on_its_wires():
    journey = JOURNEYS["macvlan"]
    picture = base_map(journey)
    joint = next(t for t in picture.things if t.kind == "macvlan on its parent")
    out = next(s for s in stops(picture, journey, 1) if len(s.path) > 1)
    assert set(joint.path) <= set(out.path)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda j: timeline(j, 99), "no packet 99; its packets are 1 to 1"),
        (lambda j: journey_map(j, 2), "no packet 2"),
        (lambda j: journey_map(j, 1, 99), "packet 1 has no step 99; its steps are 1 to 6"),
        (lambda j: journey_map(j, 1, 0), "packet 1 has no step 0"),
        (lambda j: journey_map(msgspec.structs.replace(j, snapshots=())), "no snapshot"),
        (lambda j: timeline(msgspec.structs.replace(j, packets=())), "no packet"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(draw, message):
    with pytest.raises(UsageError, match=message):
        draw(JOURNEYS["drop"])


def test_a_journey_without_packets_has_a_ladder_that_says_so():
    empty = msgspec.structs.replace(JOURNEYS["drop"], packets=(), steps=())
    assert "No packet was seen." in texts(ladder(empty))


def test_long_names_and_ipv6_stay_apart():
    """A container's name of 60 letters, a command of 200, addresses of IPv6."""
    journey = JOURNEYS["nat"]

    def longer(step):
        headers = msgspec.structs.replace(
            step.headers,
            source="fd00:1111:2222:3333:4444:5555:6666:7777",
            destination="fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:1111",
        )
        namespace = "w" * 60 if step.namespace == "web" else step.namespace
        return msgspec.structs.replace(step, namespace=namespace, headers=headers)

    long = msgspec.structs.replace(
        journey, command="curl " + "x" * 200, steps=tuple(map(longer, journey.steps))
    )
    for figure in (timeline(long, 1), ladder(long)):
        assert overlaps(figure) == []
        assert cut_off(figure) == []


def test_they_show_themselves_with_a_stable_text():
    data, metadata = timeline(JOURNEYS["drop"])._repr_mimebundle_()
    assert data["text/plain"] == "<way of packet 1, TCP SYN: 6 steps at 2 places>"
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"]["width"] == WIDTH * 96 / 72

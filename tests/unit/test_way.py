"""A journey as its reader follows it: nothing is left out, nothing is said that was not seen."""

from itertools import groupby, pairwise

import msgspec
import pytest
from pictures import JOURNEYS

from labkit.model import way
from labkit.model.journey import Headers, Journey, Packet, Step

PACKETS = [(j, p.number) for j in JOURNEYS.values() for p in j.packets]
packets = pytest.mark.parametrize(
    ("journey", "packet"), PACKETS,
    ids=[f"{name}-{p.number}" for name, j in JOURNEYS.items() for p in j.packets],
)  # fmt: skip


def test_the_journeys_are_there():
    kinds = {"bridge", "drop", "host", "loopback", "macvlan", "names", "nat", "overlay"}
    assert kinds | {"published"} <= set(JOURNEYS)
    assert len(PACKETS) > 50


@packets
def test_every_step_is_in_one_row_in_order(journey, packet):
    told = way.folded(journey, packet)
    numbers = [n for row in told for n in range(row.first, row.last + 1)]
    assert numbers == list(range(1, len(journey.of(packet)) + 1))


@packets
def test_a_row_of_several_steps_hides_nothing_that_happened(journey, packet):
    steps = journey.of(packet)
    for row in way.folded(journey, packet):
        inside = steps[row.first - 1 : row.last]
        assert len({(way.place(s), s.hook) for s in inside}) == 1
        assert not any(s.rewritten for s in inside[1:])
        if len(inside) > 1:
            assert {s.kind for s in inside} <= {"rule", "policy"}
            decided = [s.verdict for s in inside if s.kind == "rule"]
            assert all(v.startswith(("jump ", "RETURN", "continue")) for v in decided)
            assert not any(s.table == "filter" for s in inside if s.kind == "policy")
            assert inside[-1] is not steps[-1]


@packets
def test_the_headers_that_changed_are_those_that_were_rewritten(journey, packet):
    steps = journey.of(packet)
    for before, step in pairwise(steps):
        differ = way.changed(before.headers, step.headers)
        unwrapped = before.headers.vni is not None and step.headers.vni is None
        assert bool(differ or unwrapped) == bool(step.rewritten)
    for row, step in zip(way.rows(journey, packet), steps, strict=True):
        assert row.rewritten == step.rewritten
        assert bool(row.by) == bool(step.rewritten)


@packets
def test_hops_lead_from_place_to_place(journey, packet):
    steps = journey.of(packet)
    visited = [place for place, _ in groupby(map(way.place, steps))]
    hops = way.hops(steps)
    if len(visited) > 1:
        assert [hop.start for hop in hops] == visited[:-1]
        assert [hop.end for hop in hops] == visited[1:]
    else:
        assert all(hop.start == hop.end for hop in hops)
        assert len(hops) == (not way.refused(steps))


def titles(journey):
    return [way.name(journey, place) for place in way.places(journey)]


def test_places_stand_in_the_order_of_the_request():
    assert titles(JOURNEYS["nat"]) == ["web", "host1", "router", "outside"]
    assert titles(JOURNEYS["published"]) == ["station1", "router", "host1", "web"]
    client, sandbox, *middle, other, web = titles(JOURNEYS["overlay"])
    assert (client, middle, web) == ("client", ["host1", "router", "host2"], "web")
    assert sandbox == other
    assert sandbox.startswith("sandbox 1-")


def first(journey, summary):
    return next(p.number for p in journey.packets if p.summary == summary)


def test_what_rewrote_a_packet_is_the_rule_that_said_so():
    nat = JOURNEYS["nat"]
    told = way.rows(nat, first(nat, "TCP SYN"))
    rule = next(row for row in told if row.verdict == "MASQUERADE")
    after = told[rule.first]
    assert after.changed == ("source",)
    assert after.by == f"the rule of step {rule.first}"


def test_a_reply_is_rewritten_by_connection_tracking():
    nat = JOURNEYS["nat"]
    causes = [row.by for row in way.rows(nat, first(nat, "TCP SYN, ACK")) if row.by]
    assert any("connection tracking" in cause for cause in causes)
    assert not any("the rule" in cause for cause in causes)


def test_without_a_trace_no_cause_is_made_up():
    nat = msgspec.structs.replace(JOURNEYS["nat"], means=("captures",))
    causes = [row.by for p in nat.packets for row in way.rows(nat, p.number)]
    assert not any("connection tracking" in cause for cause in causes)


def test_vxlan_wraps_and_unwraps():
    causes = [row.by for row in way.rows(JOURNEYS["overlay"], 1)]
    assert causes.count("the vxlan interface") == 2


def test_the_dropped_packet_ends_at_the_rule_that_dropped_it():
    steps = JOURNEYS["drop"].of(1)
    assert way.refused(steps) is steps[-1]
    assert way.folded(JOURNEYS["drop"], 1)[-1].verdict == "DROP"
    assert "dropped" in way.folded(JOURNEYS["drop"], 1)[-1].words


def headers(**fields):
    return Headers(**{"source": "10.0.0.1", "destination": "10.0.0.9", "protocol": "arp", **fields})


def step(number, namespace, interface="eth0", outgoing=False, **fields):
    fields = {"kind": "capture", "headers": headers(), **fields}
    return Step(
        packet=1, time=number / 1000, node="host1", namespace=namespace, interface=interface,
        outgoing=outgoing, **fields,
    )  # fmt: skip


def test_a_flooded_frame_sets_out_again_where_it_was():
    steps = [
        step(1, "a", outgoing=True), step(2, "host1", "veth1"),
        step(3, "host1", "veth2", outgoing=True), step(4, "b"),
        step(5, "host1", "veth3", outgoing=True), step(6, "c"),
    ]  # fmt: skip
    hops = [(h.start.namespace, h.end.namespace) for h in way.hops(steps)]
    assert hops == [("a", "host1"), ("host1", "b"), ("host1", "c")]


def test_a_packet_that_was_sent_and_seen_nowhere_else_makes_no_hop():
    assert way.hops([step(1, "a", outgoing=True)]) == ()
    assert way.hops([]) == ()


def heard(direction, *steps):
    return Journey(
        command="true", start="host1", status=0, output="", means=(), steps=steps,
        packets=(Packet(number=1, direction=direction, summary="TCP SYN"),),
    )  # fmt: skip


def test_a_reply_alone_has_its_places_in_the_order_of_its_request():
    steps = [step(1, "c", outgoing=True), step(2, "b"), step(3, "a")]
    assert [p.namespace for p in way.places(heard("reply", *steps))] == ["a", "b", "c"]
    assert [p.namespace for p in way.places(heard("request", *steps))] == ["c", "b", "a"]


def test_a_change_begins_a_row_of_its_own():
    rule = {"kind": "rule", "hook": "FORWARD", "table": "filter", "chain": "FORWARD"}
    rule |= {"spec": "-j OTHER", "verdict": "jump OTHER"}
    steps = [
        step(n, "host1", rule=n, headers=headers(ttl=64 if n < 3 else 63), **rule)
        for n in range(1, 5)
    ]
    told = way.folded(heard("request", *steps, step(5, "host1")), 1)
    assert [row.numbers for row in told] == ["1-2", "3-4", "5"]
    assert [row.changed for row in told] == [(), ("ttl",), ("ttl",)]


def test_a_native_rule_is_shown_as_it_is_and_not_explained():
    native = step(
        1, "host1", kind="rule", hook="FORWARD", table="mine", chain="guard", rule=1,
        spec="tcp dport 80 drop", verdict="DROP",
    )  # fmt: skip
    journey = heard("request", native)
    (row,) = way.rows(journey, 1)
    assert (row.spec, row.words) == ("tcp dport 80 drop", "")
    assert way.command(journey, native) == "nft list ruleset"


def commands(name):
    journey = JOURNEYS[name]
    return {way.command(journey, s) for s in journey.steps}


def test_commands_go_to_the_namespace_of_the_step():
    assert any(c.startswith("tcpdump -nn -e -v -i veth") for c in commands("nat"))
    assert "iptables -t nat -L POSTROUTING 1 -n -v" in commands("nat")
    inside = "nsenter -t $(docker inspect -f '{{.State.Pid}}' web) -n tcpdump -nn -e -v -i eth0"
    assert inside in commands("nat")
    assert any(c.startswith("nsenter --net=/run/docker/netns/1-") for c in commands("overlay"))


def test_details_say_old_and_new():
    nat = JOURNEYS["nat"]
    number = first(nat, "TCP SYN")
    row = next(r for r in way.rows(nat, number) if r.changed == ("source",))
    details = dict(way.details(nat, number, row.first))
    assert details["source"].startswith("172.17.0.2:")
    assert " → 192.168.56.11:" in details["source"]
    assert "→" not in details["destination"]

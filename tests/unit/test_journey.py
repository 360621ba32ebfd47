"""Recorded journeys: they agree with what the kernel wrote down, and the joining is no luck."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest

from labkit.errors import SnapshotError
from labkit.model import frames, trace
from labkit.model.journey import Headers, Journey
from tests import agreement

FOLDER = Path(__file__).parent / "journeys"
JOURNEYS = {path.stem: Journey.load(path) for path in sorted(FOLDER.glob("*.json"))}
OTHERS = ("overlay", "drop")  # where another conversation counts too, or nothing is tracked


def joined(name: str, change=lambda heard: None) -> Journey:
    """The journey of what was heard, after a change of it."""
    heard = json.loads((FOLDER / "heard" / f"{name}.json").read_text())
    change(heard)
    known = JOURNEYS[name]
    return trace.join(heard, known.snapshots, known.command, known.start, known.output)


def way(journey: Journey, packet: int = 1) -> list[str]:
    """Where a packet was, and what happened there."""
    return [f"{s.namespace}: {s.what}" for s in journey.of(packet)]


@pytest.fixture(params=JOURNEYS)
def name(request: pytest.FixtureRequest) -> str:
    """Of a recorded journey."""
    return request.param


def test_there_are_all_the_ways_that_a_packet_can_go():
    assert set(JOURNEYS) == {
        "bridge", "drop", "host", "loopback", "macvlan", "names", "nat", "overlay", "published"
    }  # fmt: skip


def test_json_goes_there_and_back(name, tmp_path):
    journey = JOURNEYS[name]
    assert Journey.from_json(journey.to_json()) == journey
    journey.save(tmp_path / "journey.json")
    assert Journey.load(tmp_path / "journey.json") == journey
    with pytest.raises(SnapshotError, match="not a journey's JSON"):
        Journey.from_json('{"host": "host1"}')


def test_what_was_heard_makes_the_journey(name):
    assert joined(name) == JOURNEYS[name]


def test_it_agrees_with_the_kernels_books(name):
    journey = JOURNEYS[name]
    assert agreement.with_tracking(journey) == []
    assert agreement.with_counters(journey, ("host1", "host2") if name == "overlay" else ()) == []
    assert agreement.with_cables(journey) == []


def test_the_order_in_which_namespaces_are_read_does_not_matter(name):
    """The agent reads one socket after the other: only each socket's own order is a fact."""

    def shuffle(heard: dict) -> None:
        dice = random.Random(name)
        for key in ("frames", "reports"):
            queues: dict[int, list] = {}
            for item in heard[key]:
                queues.setdefault(item[0], []).append(item)
            left = [queue[::-1] for queue in queues.values()]
            heard[key] = []
            while left := [queue for queue in left if queue]:
                heard[key].append(dice.choice(left).pop())

    assert joined(name, shuffle) == JOURNEYS[name]


def test_the_time_at_which_reports_are_read_does_not_matter(name):
    def late(heard: dict) -> None:
        heard["reports"] = [(place, 2**62, body) for place, _, body in heard["reports"]]

    assert joined(name, late) == JOURNEYS[name]


def test_time_goes_forward_and_packets_are_numbered_as_they_set_out(name):
    journey = JOURNEYS[name]
    times = [s.time for s in journey.steps]
    assert times == sorted(times)
    assert times[0] == 0
    starts = [journey.of(p.number)[0].time for p in journey.packets]
    assert starts == sorted(starts)
    assert [p.number for p in journey.packets] == list(range(1, len(starts) + 1))
    assert journey.packets[0].direction == "request"


def test_packets_that_are_under_way_at_one_time_stand_side_by_side():
    def slow(heard: dict) -> None:
        router = [place["node"] for place in heard["places"]].index("router")
        for frame in heard["frames"]:
            seen = frames.frame(bytes.fromhex(frame[4]))
            if frame[0] == router and seen and seen.headers.says == "A? outside":
                frame[3] += 10**9

    journey = joined("nat", slow)
    assert [s.packet for s in journey.steps][-1] == 1
    assert way(journey) == way(JOURNEYS["nat"])
    assert [s.time for s in journey.steps] == sorted(s.time for s in journey.steps)


def test_a_report_whose_beginning_was_missed_is_left_out():
    def late(heard: dict) -> None:
        del heard["reports"][0]

    assert len(joined("published", late).steps) < len(JOURNEYS["published"].steps)


def test_published_port_is_rewritten_at_the_dnat_rule():
    journey = JOURNEYS["published"]
    steps = journey.of(1)
    at = next(i for i, s in enumerate(steps) if s.verdict == "DNAT")
    assert (steps[at].hook, steps[at].table, steps[at].chain) == ("PREROUTING", "nat", "DOCKER")
    assert "--to-destination 172.17.0.2:80" in steps[at].spec
    assert steps[at].headers.destination_port == 8080
    assert steps[at + 1].rewritten == (
        "destination 192.168.56.11:8080 → 172.17.0.2:80",
        "TTL 64 → 63",
    )
    reply = [text for s in journey.of(2) for text in s.rewritten]
    assert [r for r in reply if r.startswith("source")] == [
        "source 172.17.0.2:80 → 192.168.56.11:8080"
    ]


def test_a_bridged_packet_meets_the_rules_between_the_ports():
    """With br_netfilter; no capture on the bridge itself, for the packet does not go up to it."""
    places = way(JOURNEYS["bridge"])
    assert places[2:5:2] == ["client: out by eth0", "host1: nat PREROUTING policy → ACCEPT"]
    assert places[3].startswith("host1: in by veth")
    assert places[-2].startswith("host1: out by veth")
    assert not [place for place in places if "by br-" in place]


def test_prerouting_comes_before_the_bridge_with_br_netfilter_and_after_it_without():
    places = way(JOURNEYS["nat"])
    assert places.index("host1: nat PREROUTING policy → ACCEPT") < places.index(
        "host1: in by docker0"
    )

    def without(heard: dict) -> None:
        for place in heard["places"]:
            place["bridge_nf"] = False

    places = way(joined("nat", without))
    assert places.index("host1: nat PREROUTING policy → ACCEPT") > places.index(
        "host1: in by docker0"
    )


def test_on_lo_a_packet_leaves_before_it_arrives():
    assert way(JOURNEYS["loopback"]) == [
        "host1: nat OUTPUT policy → ACCEPT",
        "host1: nat POSTROUTING policy → ACCEPT",
        "host1: out by lo",
        "host1: in by lo",
    ]


def test_a_macvlan_interface_comes_after_its_parent():
    assert way(JOURNEYS["macvlan"], 2)[-2:] == ["host1: in by eth0", "neighbour: in by eth0"]


def test_names_tell_question_and_answer():
    summaries = [p.summary for p in JOURNEYS["names"].packets]
    assert summaries[:3] == ["DNS A? web", "DNS A 10.5.0.2", "DNS A? outside"]
    assert summaries.count("DNS A 203.0.113.10") == 2  # the router's, and the embedded server's
    first = JOURNEYS["names"].of(1)
    assert [s.verdict for s in first[:2]] == ["jump DOCKER_OUTPUT", "DNAT"]


def test_the_carrier_of_an_overlay_is_seen_on_the_lan_only():
    journey = JOURNEYS["overlay"]
    around = {(s.node, s.namespace) for s in journey.steps if s.headers.outer}
    assert around == {("host1", "host1"), ("router", "router"), ("host2", "host2")}
    inside = {(s.node, s.namespace) for s in journey.steps if not s.headers.outer}
    assert not around & inside
    outer = next(s.headers.outer for s in journey.steps if s.headers.outer)
    assert (outer.source, outer.destination, outer.destination_port) == (
        "192.168.56.11", "192.168.56.12", 4789
    )  # fmt: skip
    assert {s.headers.vni for s in journey.steps} == {None, 4097}
    told = [text for s in journey.of(1) for text in s.rewritten]
    assert told == [
        "wrapped in VXLAN with VNI 4097, 192.168.56.11 → 192.168.56.12",
        "unwrapped from VXLAN",
    ]


def test_a_journey_ends_at_the_verdict():
    last = JOURNEYS["drop"].of(1)[-1]
    assert (last.verdict, last.chain, last.rule) == ("DROP", "DOCKER-USER", 1)


def test_without_a_trace_there_are_captures_and_a_remark():
    def untraced(heard: dict) -> None:
        heard["reports"] = []
        for place in heard["places"]:
            place.update(traced=False, before={}, after={})

    journey = joined("nat", untraced)
    assert journey.means == ("captures", "connection tracking")
    assert "the kernel of host1 has no nf_tables trace: captures only" in journey.remarks
    assert {s.kind for s in journey.steps} == {"capture"}
    assert len(journey.packets) == len(JOURNEYS["nat"].packets)
    rewritten = [text for s in journey.of(1) for text in s.rewritten]
    assert rewritten[0].startswith("source 172.17.0.2:")


def test_rules_of_the_legacy_iptables_are_told_apart():
    def legacy(heard: dict) -> None:
        heard["reports"] = []
        for place in heard["places"]:
            place.update(before={"chains": [], "rules": []}, after={"chains": [], "rules": []})

    remarks = joined("nat", legacy).remarks
    assert remarks == ("the rules of host1 are not those of nf_tables: captures only",)


def test_a_packet_sent_again_is_another_packet():
    """SYN-ACKs of one connection can be the same to the last bit."""

    def again(heard: dict) -> None:
        heard["frames"] += [[*f[:3], f[3] + 10**9, f[4]] for f in heard["frames"]]
        heard["reports"] += heard["reports"]

    twice = joined("published", again)
    known = JOURNEYS["published"]
    assert len(twice.packets) == 2 * len(known.packets)
    for number, packet in enumerate(known.packets, 1):
        later = twice.of(len(known.packets) + number)
        assert [s.what for s in later] == [s.what for s in known.of(packet.number)]


def test_a_flooded_frame_is_not_on_its_way_where_nobody_took_it():
    def flood(heard: dict) -> None:
        names = [place["node"] for place in heard["places"]]
        router, other = names.index("router"), names.index("station1")
        for frame in list(heard["frames"]):
            if frame[:3] == [router, "host1", 4]:
                heard["frames"].append([router, "station1", 4, frame[3] + 1, frame[4]])
                heard["frames"].append([other, "eth0", trace.OTHERHOST, frame[3] + 2, frame[4]])

    assert joined("nat", flood) == JOURNEYS["nat"]


def test_it_shows_itself_in_words():
    text = repr(JOURNEYS["published"])
    assert text.splitlines()[0] == (
        "'curl -s -o /dev/null host1:8080' from station1 ended with status 0; 10 packets seen by "
        "nf_tables trace, captures, connection tracking"
    )
    assert "1  request: TCP SYN, 16 steps" in text
    assert "destination 192.168.56.11:8080 → 172.17.0.2:80" in text
    assert "4  request: GET / HTTP/1.1, the way of 3" in text
    shown = JOURNEYS["published"]._repr_html_()
    assert shown.count("<tr>") == 10 + sum(len(JOURNEYS["published"].of(n)) for n in (1, 2, 3))
    assert "! -i docker0 -p tcp" in shown
    assert repr(JOURNEYS["overlay"].of(1)[5].headers).endswith(":4789")


# The checks of tests/agreement.py must see what is wrong.


def _without(journey: Journey, number: int) -> Journey:
    steps = tuple(s for s in journey.steps if s is not journey.of(1)[number])
    return msgspec.structs.replace(journey, steps=steps)


def test_the_checks_see_a_step_that_is_missing():
    journey = JOURNEYS["nat"]
    for number, step in enumerate(journey.of(1)):
        less = _without(journey, number)
        if step.kind == "rule":
            assert agreement.with_counters(less)
        elif step.interface.startswith(("veth", "eth0")):
            assert agreement.with_cables(less)


def test_the_checks_see_a_rewriting_that_is_wrong():
    journey = JOURNEYS["published"]
    assert agreement.with_tracking(msgspec.structs.replace(journey, tracked=()))
    for number, step in enumerate(journey.steps):
        wrong = msgspec.structs.replace(step, rewritten=("destination 10.0.0.1:1 → 10.0.0.2:2",))
        steps = (*journey.steps[:number], wrong, *journey.steps[number + 1 :])
        first = step is next(
            s for s in journey.of(step.packet) if s.namespace == step.namespace
        )  # fmt: skip
        assert first or agreement.with_tracking(msgspec.structs.replace(journey, steps=steps))


def test_headers_tell_an_ipv6_port_apart():
    headers = Headers(source="fe80::1", destination="fe80::2", protocol="tcp", source_port=1,
                      destination_port=80)  # fmt: skip
    assert headers.ends == "[fe80::1]:1 → [fe80::2]:80"

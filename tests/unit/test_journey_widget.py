"""The view of a journey, on its traits, with saved journeys and no lab."""

import re
import threading
from itertools import pairwise

import msgspec
import pytest
from pictures import JOURNEYS, open_lines

from labkit import JourneyView
from labkit.errors import UsageError
from labkit.model import way
from labkit.widgets import journey as module
from labkit.widgets.journey import Steps


@pytest.fixture
def view():
    view = JourneyView(JOURNEYS["nat"])
    yield view
    view.close()


def text(html):
    return re.sub(r"<.*?>", " ", html)


def badges(view):
    return re.findall(r">([\d-]+)</text>", view.map.overlay)


def test_it_begins_at_the_first_step_of_the_first_packet(view):
    assert view.packet.value == 1
    assert (view.step.value, view.step.max) == (1, len(JOURNEYS["nat"].of(1)))
    assert list(view.tabs.titles) == ["Map", "Steps", "Conversation"]
    assert badges(view) == ["1"]
    assert view.back.disabled
    assert repr(view) == f"<journey of curl -s outside: packet 1, step 1 of {view.step.max}>"


def test_next_and_previous_go_through_every_step_of_every_packet_and_back(view):
    every = [(p.number, n) for p in JOURNEYS["nat"].packets
             for n in range(1, len(JOURNEYS["nat"].of(p.number)) + 1)]  # fmt: skip
    seen = [(view.packet.value, view.step.value)]
    while not view.on.disabled:
        view.on.click()
        seen.append((view.packet.value, view.step.value))
    assert seen == every
    view.on.click()
    assert (view.packet.value, view.step.value) == every[-1]
    back = [every[-1]]
    while not view.back.disabled:
        view.back.click()
        back.append((view.packet.value, view.step.value))
    assert back == every[::-1]


def test_the_way_grows_with_the_steps(view):
    lines = []
    for number in range(1, view.step.max + 1):
        view.step.value = number
        lines.append(view.map.overlay.count("<polyline"))
        numbers = [int(n) for badge in badges(view) for n in badge.split("-")]
        assert max(numbers) == number
    assert all(a <= b for a, b in pairwise(lines))
    assert lines[-1] > lines[0]


def test_a_step_sends_no_picture_again(view, monkeypatch):
    sent = []
    monkeypatch.setattr(type(view.map), "show", lambda self, picture: sent.append(picture))
    view.step.value = 5
    view.packet.value = 2
    assert sent == []


def test_a_picture_is_drawn_when_it_is_looked_at_and_only_once(view, monkeypatch):
    drawn = []
    real = module.timeline
    monkeypatch.setattr(module, "timeline", lambda j, p: drawn.append(p) or real(j, p))
    view.packet.value = 2
    assert drawn == []
    view.tabs.selected_index = 1
    assert drawn == [2]
    view.step.value = 4
    view.packet.value = 3
    view.packet.value = 2
    assert drawn == [2, 3]


@pytest.mark.parametrize("name", JOURNEYS)
def test_every_step_is_told_with_its_headers_and_its_command(name):
    journey = JOURNEYS[name]
    view = JourneyView(journey)
    for packet in journey.packets[:3]:
        view.packet.value = packet.number
        for number, step in enumerate(journey.of(packet.number), 1):
            view.step.value = number
            told = text(view.told.value).replace("&gt;", ">")
            assert all(end in told for end in way.ends(step.headers))
            assert all(change in told for change in step.rewritten)
            assert (step.verdict or "") in told
            assert f"On {step.node}, this shows it:" in told
            marked = re.findall(r"<mark><b>(.*?)</b></mark>", view.told.value)
            assert bool(marked) >= bool(step.rewritten)
    view.close()


def test_the_old_value_is_struck_and_the_new_one_marked(view):
    journey = JOURNEYS["nat"]
    row = next(r for r in way.rows(journey, 1) if r.changed == ("source",))
    view.step.value = row.first
    assert re.search(r"<s>172\.17\.0\.2:\d+</s> <mark><b>192\.168\.56\.11:\d+", view.told.value)


def test_a_step_is_picked_on_its_picture(view):
    view.tabs.selected_index = 1
    rows = way.folded(JOURNEYS["nat"], 1)
    labels = [f"step {row.numbers}" for row in rows]
    assert [f"{t.kind} {t.name}" for t in view.steps.picture.things] == labels
    view.steps.picked = labels[-1]
    assert view.step.value == rows[-1].first
    fold = next(row for row in rows if row.first != row.last)
    view.step.value = fold.last
    assert view.steps.picked == f"step {fold.numbers}"
    assert view.step.value == fold.last  # picked by itself, it moves nothing
    view.steps.picked = ""  # a second click
    assert view.steps.picked == f"step {fold.numbers}"


def test_a_packet_is_picked_on_the_ladder(view):
    view.tabs.selected_index = 2
    assert view.ladder.picked == "packet 1"
    view.ladder.picked = "packet 4"
    assert view.packet.value == 4
    view.ladder.picked = ""
    assert view.ladder.picked == "packet 4"


def test_every_control_has_a_label(view):
    for control in (view.packet, view.back, view.on, view.step):
        assert control.description
    assert view.back.tooltip
    assert view.on.tooltip
    assert 'role="status"' in view.told.value


def test_what_a_packet_says_cannot_be_markup():
    journey = JOURNEYS["drop"]
    evil = "<script>alert(1)</script>"
    steps = [
        msgspec.structs.replace(
            s, spec=s.spec and evil, headers=msgspec.structs.replace(s.headers, says=evil)
        )
        for s in journey.steps
    ]
    view = JourneyView(msgspec.structs.replace(journey, steps=tuple(steps), command=evil))
    for number in range(1, view.step.max + 1):
        view.step.value = number
        assert "<script" not in view.told.value
    assert "<script" not in Steps(view.journey)._repr_html_()
    view.close()


def test_a_journey_without_snapshots_has_no_map():
    view = JourneyView(msgspec.structs.replace(JOURNEYS["drop"], snapshots=()))
    assert list(view.tabs.titles) == ["Steps", "Conversation"]
    view.on.click()
    assert view.step.value == 2
    view.close()


def test_a_journey_without_packets_is_refused():
    with pytest.raises(UsageError, match="no packet"):
        JourneyView(msgspec.structs.replace(JOURNEYS["drop"], packets=(), steps=()))


def test_it_carries_the_ladder_for_where_no_widget_can_live(view):
    data, metadata = view._repr_mimebundle_()
    assert data["image/png"] == module.ladder(JOURNEYS["nat"]).png()
    assert data["text/plain"].startswith("<journey of curl -s outside: packet 1")
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata["image/png"]["width"]


def test_the_table_has_every_step(view):
    journey = JOURNEYS["nat"]
    rows = re.findall(r"<tr>(<td.*?)</tr>", Steps(journey)._repr_html_(), re.DOTALL)
    assert len(rows) == len(journey.steps)
    ordered = [s for p in journey.packets for s in journey.of(p.number)]
    for row, step in zip(rows, ordered, strict=True):
        told = text(row)
        assert step.headers.source in told
        assert all(change in told for change in step.rewritten)


@pytest.mark.parametrize("snapshots", [JOURNEYS["nat"].snapshots, ()], ids=["map", "no map"])
def test_closing_it_leaves_no_line_to_the_browser_and_no_thread(snapshots):
    before = open_lines(), threading.active_count()
    view = JourneyView(msgspec.structs.replace(JOURNEYS["nat"], snapshots=snapshots))
    for number in range(len(view.tabs.titles)):
        view.tabs.selected_index = number
        view.on.click()
    assert len(open_lines() - before[0]) > 20
    view.close()
    view.close()
    assert (open_lines(), threading.active_count()) == before


def test_what_is_picked_to_go_there_has_no_details_to_open(view):
    for number, picture in ((1, view.steps), (2, view.ladder)):
        view.tabs.selected_index = number
        assert picture.shown["things"]
        assert all(t["details"] == t["commands"] == [] for t in picture.shown["things"])
    view.packet.value = 2
    view.tabs.selected_index = 1
    assert all(t["details"] == t["commands"] == [] for t in view.steps.shown["things"])
    assert all(t["details"] for t in view.map.shown["things"])  # there they can be opened

"""The picture that can be picked, on its traits; in a browser it is tried in tests/browser."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ipywidgets.widgets import widget as ipywidget

from labkit import Snapshot, topology
from labkit.plot.style import Picture
from labkit.plot.thing import Thing
from labkit.widgets import PictureView

ONE = Snapshot.load(Path(__file__).with_name("snapshots") / "one.json")


def picture(*things: Thing, summary: str = "map of nothing") -> Picture:
    made = Picture(summary)
    made.grow(100)
    made.things.extend(things)
    return made


BOX = Thing(
    (10, 10, 200, 80), "container", "web", (("image", "nginx"),), ("docker inspect web",), "host1"
)
PORT = Thing((20, 20, 8, 8), "interface", "eth0 of web", host="host1")


@pytest.fixture
def view():
    view = PictureView()
    yield view
    view.close()


def test_it_carries_the_picture_its_words_and_its_things(view):
    view.show(made := picture(BOX))
    assert view.shown["png"] == made.png()
    assert view.shown["alt"] == "map of nothing"
    assert view.shown["size"] == [660, 100]
    assert view.shown["pixels"] == [880, 133]
    assert view.shown["things"] == [
        {
            "box": [10, 10, 200, 80],
            "path": [],
            "label": "container web",
            "details": [["image", "nginx"]],
            "commands": ["docker inspect web"],
            "host": "host1",
        }
    ]


def test_small_things_lie_on_large_ones_in_whatever_order_they_come(view):
    for things in ((BOX, PORT), (PORT, BOX)):
        view.show(picture(*things))
        assert [t["label"] for t in view.shown["things"]] == [
            "container web",
            "interface eth0 of web",
        ]


def test_a_line_is_picked_on_its_line_and_not_in_the_box_around_it(view):
    path = ((20, 20), (20, 60), (90, 60))
    wire = Thing((18, 18, 80, 50), "wire", "eth0 of web", path=path)
    flag = Thing((80, 70, 40, 20), "published port", "8080/tcp of web", path=path)
    port = replace(PORT, path=((24, 24),))
    view.show(picture(wire, flag, port))
    paths = {t["label"]: t["path"] for t in view.shown["things"]}
    assert paths == {
        "wire eth0 of web": [20, 20, 20, 60, 90, 60],
        "published port 8080/tcp of web": [],
        "interface eth0 of web": [],
    }


def test_on_a_map_of_several_hosts_a_label_says_on_which(view):
    view.show(picture(BOX, replace(BOX, host="host2")))
    labels = [t["label"] for t in view.shown["things"]]
    assert labels == ["container web on host1", "container web on host2"]


def test_the_same_picture_again_tells_the_browser_nothing(view):
    view.show(picture(BOX))
    changes = []
    view.observe(changes.append, "shown")
    view.show(picture(BOX))
    assert changes == []
    view.show(picture(BOX, PORT))
    assert len(changes) == 1


def test_what_is_picked_outlives_a_new_picture(view):
    view.show(picture(BOX))
    view.picked = "container web"
    view.show(picture(BOX, PORT))
    assert view.picked == "container web"


def test_where_no_widget_can_live_it_is_the_picture(view):
    view.show(made := topology(ONE))
    data, metadata = view._repr_mimebundle_()
    assert data["image/png"] == made.png()
    assert data["text/plain"] == repr(made)
    assert metadata["image/png"]["width"] == 880
    assert "application/vnd.jupyter.widget-view+json" in data


def test_with_no_picture_it_says_so(view):
    data, metadata = view._repr_mimebundle_()
    assert data["text/plain"] == "<no picture yet>"
    assert metadata == {}


def test_what_draws_it_comes_with_the_package_and_asks_no_other_computer(view):
    state = view.get_state()
    assert "export default" in state["_esm"]
    assert "http" not in state["_esm"].replace("http://www.w3.org/2000/svg", "")
    assert "import" not in state["_esm"]
    assert "url(" not in state["_css"]


def test_pictures_can_be_drawn_in_two_threads_at_once():
    """Live mode draws in a thread of its own, while a cell may draw in another."""
    expected = topology(ONE).png()
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: topology(ONE).png(), range(16)))
    assert [png == expected for png in drawn] == [True] * 16


def test_closing_it_leaves_nothing_open():
    view = PictureView()
    number = view.model_id
    assert number in ipywidget._instances
    view.close()
    assert number not in ipywidget._instances

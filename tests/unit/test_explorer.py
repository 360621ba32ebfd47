"""The explorer, on its traits, with hosts that answer saved snapshots."""

import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from pictures import open_lines

from labkit import Snapshot, topology
from labkit.errors import LabStopped, UsageError
from labkit.plot.thing import Thing
from labkit.widgets import Explorer
from labkit.widgets import explorer as module
from labkit.widgets.explorer import Pane
from labkit.widgets.table import Table

PATIENCE = 30
SCENES = {p.stem: Snapshot.load(p) for p in Path(__file__).with_name("snapshots").glob("*.json")}


class SavedHost:
    def __init__(self, name, snapshot):
        self.name, self.answer, self.asked = name, snapshot, 0
        self.calls = []
        self.drawn = queue.SimpleQueue()

    def snapshot(self):
        self.asked += 1
        self.drawn.put(1)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def changes(self, put):
        if isinstance(self.answer, Exception):
            raise self.answer
        self.tell = lambda: put((1, b"kernel"))
        self.calls.append(Future())
        self.tell()
        return self.calls[-1]

    def stop(self):
        self.answer = LabStopped("this lab is stopped")
        self.calls[-1].set_exception(self.answer)


@pytest.fixture
def lab():
    hosts = (SavedHost("host1", SCENES["three"]), SavedHost("host2", SCENES["empty"]))
    return SimpleNamespace(hosts=hosts, recorded="")


@pytest.fixture
def explorer(lab):
    explorer = Explorer(lab)
    yield explorer
    explorer.close()


def alts(explorer):
    assert list(explorer.figures) == list(explorer.panes)  # now they are drawn
    return [pane.view.shown["alt"] for pane in explorer.panes.values()]


def test_it_shows_its_pictures_of_the_first_host(explorer):
    assert [name for name, _ in explorer.picker.options] == ["host1", "host2", "all hosts"]
    assert alts(explorer)[:2] == [
        "map of host1: 3 containers, 1 bridge",
        "NAT table of host1: 6 rules",
    ]
    assert list(explorer.children[1].titles) == list(explorer.panes) == list(explorer.figures)
    assert "host1 as of the last refresh" in explorer.status.value


def test_another_host_can_be_picked(explorer, lab):
    explorer.picker.label = "host2"
    assert lab.hosts[1].asked == 1
    assert alts(explorer)[0] == "map of host1: 0 containers, 1 bridge"  # as that file was saved


def test_all_hosts_are_on_one_map(explorer, lab):
    lab.hosts[1].answer = msgspec.structs.replace(SCENES["empty"], host="host2")
    explorer.picker.label = "all hosts"
    assert "all hosts as of the last refresh" in explorer.status.value
    assert explorer.figures["Map"].find("docker0 of host1")
    assert explorer.figures["Map"].find("docker0 of host2")


def test_one_host_is_all_hosts(lab):
    lab.hosts = lab.hosts[:1]
    explorer = Explorer(lab)
    assert [name for name, _ in explorer.picker.options] == ["host1"]
    explorer.close()


def test_a_tab_is_drawn_when_it_is_looked_at(explorer, lab):
    view = explorer.panes["NAT table"].view
    assert view.picture is None
    explorer.tabs.selected_index = 1
    first = view.picture
    assert repr(first) == "<NAT table of host1: 6 rules>"
    explorer.tabs.selected_index = 0
    explorer.tabs.selected_index = 1
    assert view.picture is first
    lab.hosts[0].answer = SCENES["empty"]
    explorer.button.click()
    assert repr(view.picture) == "<NAT table of host1: 4 rules>"


def test_the_button_reads_the_network_again(explorer, lab):
    lab.hosts[0].answer = SCENES["one"]
    explorer.button.click()
    assert alts(explorer)[0] == "map of host1: 1 container, 1 bridge"


def test_every_control_has_a_label(explorer):
    assert explorer.picker.description
    for control in (explorer.button, explorer.toggle):
        assert control.description
        assert control.tooltip


def test_a_stopped_lab_is_one_sentence_in_the_widget(explorer, lab):
    before = alts(explorer)
    lab.hosts[0].answer = LabStopped("the lab <b>was</b> stopped")
    explorer.button.click()
    assert 'role="alert"' in explorer.status.value
    assert "the lab &lt;b&gt;was&lt;/b&gt; stopped. The pictures are from before." in (
        explorer.status.value
    )
    assert alts(explorer) == before
    lab.hosts[0].answer = SCENES["one"]
    explorer.button.click()
    assert "alert" not in explorer.status.value


def test_a_lab_stopped_before_the_start_shows_no_picture_and_says_why(lab):
    lab.hosts[0].answer = LabStopped("stopped")
    explorer = Explorer(lab)
    data, metadata = explorer._repr_mimebundle_()
    assert "host1: stopped.<" in explorer.status.value
    assert "image/png" not in data
    assert metadata == {}
    explorer.close()


def test_a_lab_without_hosts_is_refused():
    with pytest.raises(UsageError, match=r"lab\.start\(\)"):
        Explorer(SimpleNamespace(hosts=(), recorded=""))


def test_a_dead_engine_is_said(lab):
    lab.hosts[0].answer = msgspec.structs.replace(SCENES["three"], engine=None)
    explorer = Explorer(lab)
    assert "the Docker Engine of host1 does not answer" in explorer.status.value
    explorer.close()


class TestWhereNoWidgetCanLive:
    @pytest.fixture
    def outputs(self, explorer, monkeypatch):
        explorer.figures["Map"].things.append(
            Thing(
                box=(1, 1, 9, 9),
                kind="container",
                name="<web>",
                details=(("image", "nginx"), ("id", "0123456789ab"), ("address", "fe80::1/64")),
            )
        )
        shown = []
        monkeypatch.setattr(
            module, "display", lambda what, metadata=None, raw=False: shown.append((what, metadata))
        )
        explorer._ipython_display_()
        return shown

    def test_there_is_the_map(self, outputs, explorer):
        data, metadata = outputs[0]
        assert data["image/png"] == explorer.figures["Map"].png()
        assert data["text/plain"] == "<explorer of host1, host2>"
        assert "application/vnd.jupyter.widget-view+json" in data
        assert "text/html" not in data  # it would be shown in place of the map
        assert metadata["image/png"]["width"] == 880

    def test_and_a_table_that_says_the_same_in_every_run(self, outputs):
        listed = outputs[1][0]
        page = listed._repr_html_()
        assert page.startswith(
            "<details><summary>As a table, when this cell ran: the map of host1: 3 containers, "
            "1 bridge</summary>"
        )
        assert "<td>container &lt;web&gt;</td><td>image: nginx</td>" in page
        assert "0123456789ab" not in page
        assert "fe80" not in page
        assert repr(listed).startswith("<table of the map of host1: 3 containers, 1 bridge: ")


def test_every_thing_on_the_map_is_in_the_table():
    picture = topology(SCENES["three"])
    page = Table(picture)._repr_html_()
    assert page.count("<tr>") == len(picture.things) + 1


class TestTheRules:
    @pytest.fixture
    def pane(self, explorer):
        explorer.tabs.selected_index = list(explorer.panes).index("Rules")
        return explorer.panes["Rules"]

    def test_are_those_that_could_matter_to_what_is_asked_for(self, pane):
        assert pane.view.shown["alt"].startswith("rules of host1: ")
        pane.fields["address"].value = "172.17.0.2"
        pane.fields["port"].value = "80"
        assert "for address 172.17.0.2 and port 80" in pane.view.shown["alt"]

    @pytest.mark.parametrize(
        ("field", "text", "says"),
        [
            ("port", "http", "is no port; a port is a number from 1 to 65535"),
            ("port", "65536", "is no port"),
            ("address", "web", "is no IP address"),
            ("container", "nobody", "there is no container"),
        ],
    )
    def test_what_cannot_be_asked_for_is_one_sentence(self, pane, field, text, says):
        pane.fields[field].value = text
        assert says in pane.note.value
        assert 'role="alert"' in pane.note.value

    def test_of_all_hosts_are_asked_for_one_by_one(self, explorer, pane):
        explorer.picker.label = "all hosts"
        assert "of one lab host; choose one above" in pane.note.value

    def test_that_counted_since_the_last_refresh_are_marked(self, explorer, pane, monkeypatch):
        asked = []

        def recorded(snapshot, **options):
            asked.append((snapshot, options["before"]))
            return topology(snapshot)

        monkeypatch.setattr(module, "rules_table", recorded)
        explorer.button.click()
        assert asked == [(SCENES["three"], SCENES["three"])]


class TestAPaneWithFields:
    @pytest.fixture
    def pane(self):
        def draw(now, before, port="80"):
            if not port.isdigit():
                raise UsageError(f"port={port!r}: a port is a number")
            picture = topology(*now)
            picture.summary = f"port {port}, {len(before)} before"
            return picture

        pane = Pane(draw, port="8080")
        yield pane
        pane.close()

    def test_draws_what_its_fields_ask_for(self, pane):
        field = pane.fields["port"]
        field.value = "443"  # nothing was read yet
        pane.see((SCENES["one"],), ())
        pane.look()
        assert pane.view.shown["alt"] == "port 443, 0 before"
        field.value = "  "
        assert pane.view.shown["alt"] == "port 80, 0 before"
        assert (field.description, field.placeholder) == ("Port:", "such as 8080")

    def test_says_what_it_cannot_draw_in_place_of_the_picture(self, pane):
        pane.see((SCENES["one"],), (SCENES["one"],))
        pane.look()
        pane.fields["port"].value = "<x>"
        assert '<span role="alert">port=' in pane.note.value
        assert "&lt;x&gt;" in pane.note.value
        assert pane.view.layout.display == "none"
        pane.fields["port"].value = "1"
        assert pane.note.value == ""
        assert pane.view.layout.display is None
        assert pane.view.shown["alt"] == "port 1, 1 before"


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "labkit-live"]


class TestLiveMode:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch):
        monkeypatch.setattr("labkit.live.QUIET", 0.01)

    @pytest.fixture
    def live(self, explorer, lab):
        drawn = self.next_status(explorer)
        explorer.toggle.value = True
        assert drawn.wait(PATIENCE)
        assert explorer.status.value == '<span role="status">host1, live</span>'
        return explorer

    def next_status(self, explorer):
        """An event that is set when the status says something else: a refresh is complete then."""
        changed = threading.Event()
        explorer.status.observe(lambda _: changed.set(), "value")
        return changed

    def ended(self):
        for thread in threads():
            thread.join(PATIENCE)
        return threads() == []

    def test_draws_again_when_something_changes(self, live, lab):
        lab.hosts[0].answer = SCENES["one"]
        drawn = threading.Event()
        live.panes["Map"].view.observe(lambda _: drawn.set(), "shown")
        lab.hosts[0].tell()
        assert drawn.wait(PATIENCE)
        assert alts(live)[0] == "map of host1: 1 container, 1 bridge"

    def test_tells_the_browser_nothing_when_nothing_looks_different(self, live, lab):
        for pane in live.panes.values():
            pane.view.observe(lambda _: pytest.fail("a picture was sent again"), "shown")
        live.status.observe(lambda _: pytest.fail("the status was sent again"), "value")
        lab.hosts[0].drawn.get(timeout=PATIENCE)
        while not lab.hosts[0].drawn.empty():
            lab.hosts[0].drawn.get()
        lab.hosts[0].tell()
        lab.hosts[0].drawn.get(timeout=PATIENCE)
        live._end_live()  # waits for the end of that refresh
        live.status.unobserve_all()

    def test_is_ended_by_its_toggle(self, live, lab):
        live.toggle.value = False
        assert threads() == []
        assert lab.hosts[0].calls[0].cancelled()

    def test_is_ended_by_closing_the_widget(self, live, lab):
        live.close()
        assert threads() == []
        assert lab.hosts[0].calls[0].cancelled()

    def test_closed_leaves_no_line_to_the_browser_and_no_thread(self, lab):
        before = open_lines(), threading.active_count()
        explorer = Explorer(lab)
        drawn = self.next_status(explorer)
        explorer.toggle.value = True
        assert drawn.wait(PATIENCE)
        assert len(threads()) == 1
        assert len(open_lines() - before[0]) > 20
        explorer.close()
        explorer.close()
        assert (open_lines(), threading.active_count()) == before

    def test_ends_by_itself_with_the_lab_and_says_so(self, live, lab):
        said = threading.Event()
        live.status.observe(lambda c: "live mode has ended" in c["new"] and said.set(), "value")
        lab.hosts[0].stop()
        assert said.wait(PATIENCE)
        assert self.ended()
        assert not live.toggle.value
        assert 'role="alert"' in live.status.value

    def test_follows_the_host_that_is_chosen(self, live, lab):
        drawn = self.next_status(live)
        live.picker.label = "host2"
        assert drawn.wait(PATIENCE)
        assert lab.hosts[0].calls[0].cancelled()
        assert not lab.hosts[1].calls[0].cancelled()
        assert len(threads()) == 1

    def test_does_not_start_on_a_stopped_lab(self, explorer, lab):
        lab.hosts[0].answer = LabStopped("this lab is stopped")
        explorer.toggle.value = True
        assert not explorer.toggle.value
        assert "host1: this lab is stopped." in explorer.status.value
        assert threads() == []

    def test_and_the_button_can_be_used_together(self, live, lab):
        for _ in range(3):
            lab.hosts[0].tell()
            live.button.click()
        live.toggle.value = False
        assert threads() == []
        assert alts(live)[0] == "map of host1: 3 containers, 1 bridge"

"""The explorer, on its traits, with hosts that answer saved snapshots."""

import re
from types import SimpleNamespace

import msgspec
import pytest
from test_topology import SCENES

from labkit.errors import LabStopped, UsageError
from labkit.widgets import Explorer


class SavedHost:
    def __init__(self, name, snapshot):
        self.name, self.answer, self.asked = name, snapshot, 0

    def snapshot(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def lab():
    hosts = (SavedHost("host1", SCENES["three"]), SavedHost("host2", SCENES["empty"]))
    return SimpleNamespace(hosts=hosts)


@pytest.fixture
def explorer(lab):
    explorer = Explorer(lab)
    yield explorer
    explorer.close_all()


def alts(explorer):
    return [re.search('alt="(.*?)"', i.value)[1] for i in explorer.images.values()]


def test_it_shows_both_pictures_of_the_first_host(explorer):
    assert [name for name, _ in explorer.picker.options] == ["host1", "host2"]
    assert alts(explorer) == ["map of host1: 3 containers, 1 bridge", "NAT table of host1: 6 rules"]
    assert list(explorer.children[1].titles) == ["Map", "NAT table"]
    assert "host1 as it is now" in explorer.status.value


def test_another_host_can_be_picked(explorer, lab):
    explorer.picker.label = "host2"
    assert lab.hosts[1].asked == 1
    assert alts(explorer)[0] == "map of host1: 0 containers, 1 bridge"  # as that file was saved


def test_the_button_reads_the_network_again(explorer, lab):
    lab.hosts[0].answer = SCENES["one"]
    explorer.button.click()
    assert alts(explorer)[0] == "map of host1: 1 container, 1 bridge"


def test_every_control_has_a_label(explorer):
    assert explorer.picker.description
    assert explorer.button.description
    assert explorer.button.tooltip


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


def test_a_lab_without_hosts_is_refused():
    with pytest.raises(UsageError, match=r"lab\.start\(\)"):
        Explorer(SimpleNamespace(hosts=()))


def test_a_dead_engine_is_said(lab):
    lab.hosts[0].answer = msgspec.structs.replace(SCENES["three"], engine=None)
    assert "its Docker Engine does not answer" in Explorer(lab).status.value


def test_it_carries_the_map_for_where_no_widget_can_live(explorer):
    data, _ = explorer._repr_mimebundle_()
    assert data["image/png"] == explorer.figures["Map"].png()
    assert data["text/plain"] == "<explorer of host1, host2>"
    assert "application/vnd.jupyter.widget-view+json" in data

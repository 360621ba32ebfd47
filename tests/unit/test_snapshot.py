"""Snapshots: JSON in and out, nothing lost."""

import pytest
from pictures import SAVED, SCENES, scenes

from labkit.errors import SnapshotError
from labkit.model.snapshot import Network, Snapshot


@scenes
def test_json_and_back_loses_nothing(snapshot):
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("path", SAVED, ids=lambda p: p.stem)
def test_saving_what_was_loaded_gives_the_same_file(path, tmp_path):
    Snapshot.load(path).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"host": 1}', b"\xff", "null"])
def test_what_is_not_a_snapshot_is_refused(text):
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Snapshot.from_json(text)


def test_an_unknown_field_is_refused():
    text = SCENES["empty"].to_json().replace('"host":', '"guest":"x","host":', 1)
    with pytest.raises(SnapshotError, match="guest"):
        Snapshot.from_json(text)


def test_a_value_cannot_be_changed():
    with pytest.raises(AttributeError):
        SCENES["empty"].host = "other"


def test_both_ends_of_a_veth_pair_name_each_other():
    snapshot = SCENES["three"]
    pairs = 0
    for interface in snapshot.root.interfaces:
        if interface.master:
            there = snapshot.namespace(interface.peer.namespace)
            other = there.interface(interface.peer.name)
            assert (other.peer.namespace, other.peer.name) == (snapshot.root.id, interface.name)
            assert (other.peer.index, interface.peer.index) == (interface.index, other.index)
            pairs += 1
    assert pairs == 3


def test_names_lead_to_things():
    snapshot = SCENES["one"]
    assert snapshot.root.name == "host1"
    web = snapshot.container("web")
    assert snapshot.namespace(web.namespace).name == "web"
    assert snapshot.container("wbe") is None
    assert snapshot.namespace(0) is None
    assert snapshot.root.interface("eth7") is None


def test_a_network_knows_its_bridge():
    named = {n.name: n.bridge for n in SCENES["bridges"].networks}
    assert named["bridge"] == "docker0"
    assert SCENES["bridges"].root.interface(named["backend"]).kind == "bridge"
    assert named["host"] is None
    assert Network(id="0123456789abcdef", name="n", driver="bridge", scope="local").bridge == (
        "br-0123456789ab"
    )

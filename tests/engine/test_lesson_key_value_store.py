"""Notebook 11's exercise on a live lab: the solution passes, a wrong state is named."""

import time

import pytest

from labkit import Lab
from labkit.lessons import key_value_store as lesson
from tests.engine.lesson_cells import run

NOTEBOOK = "11-overlay-before-swarm"
TWIN = "docker network create -d overlay --subnet 10.22.0.0/24 twin"
WEST = "docker run -d --name west --network twin --ip 10.22.0.50 nginx"
STATES = {  # what is done, on which host, and what the check says then
    "nothing": ([], "still missing", "the store has no network named twin"),
    "a bridge": (
        [("host2", "docker network create twin")],
        "keep working",
        "of the driver bridge and the scope local; the store knows nothing of it",
    ),
    "no subnet": (
        [("host2", "docker network create -d overlay twin")],
        "keep working",
        "given was none, so that Docker picked one",
    ),
    "another subnet": (
        [("host2", TWIN.replace("10.22", "10.23"))],
        "keep working",
        "its subnet should be 10.22.0.0/24, given was 10.23.0.0/24",
    ),
    "no west": ([("host2", TWIN)], "keep working", "the store has no endpoint named west"),
    "west ended": (
        [("host2", TWIN), ("host2", f"{WEST.replace('-d ', '')} true")],
        "keep working",
        "west is on host2, but it is exited",
    ),
    "west elsewhere": (
        [("host2", TWIN), ("host2", "docker run -d --name west nginx")],
        "keep working",
        "west runs on host2; the store does not know it",
    ),
    "west in legacy": (
        [("host2", TWIN), ("host2", "docker run -d --name west --network legacy nginx")],
        "keep working",
        "the store has west, in the network legacy; not in twin",
    ),
    "west on host1": (
        [("host2", TWIN), ("host1", WEST)],
        "keep working",
        "at the host 192.168.56.11; it belongs on host2",
    ),
    "another address": (
        [("host2", TWIN), ("host2", WEST.replace(".50", ".51"))],
        "keep working",
        "west is in twin on host2, with 10.22.0.51/24; the task asks for 10.22.0.50/24",
    ),
    "right": ([("host2", lesson.twin.script)], "correct", "west at 10.22.0.50/24 on 192.168.56.12"),
}


@pytest.fixture
def lab():
    """A lab for each state: a store keeps what an engine did not get to take out of it."""
    with Lab(hosts=2, stations=1, engine="20.10") as running:
        run(running, NOTEBOOK, "store-run", "engines-host1", "engines-host2", "network-run")
        yield running


@pytest.mark.parametrize("name", STATES)
def test_a_check_answers_with_what_is_there(lab, name):
    steps, kind, says = STATES[name]
    for host, script in steps:
        lab.node(host).read(script)
    verdict = lesson.twin.check()
    # On a busy computer the engines' gossip about a new endpoint takes longer than one check waits.
    end = time.monotonic() + 60
    while "got no answer from west" in verdict.message and time.monotonic() < end:
        verdict = lesson.twin.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


def test_a_stopped_store_is_one_sentence(lab):
    lab.station1.read("pkill -x etcd; while pgrep -x etcd; do sleep 0.05; done")
    try:
        verdict = lesson.twin.check()
    finally:
        run(lab, NOTEBOOK, "away-back", "away-again")
    assert verdict.kind == "keep working"
    assert "etcd on station1 does not answer" in verdict.message

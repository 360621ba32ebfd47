"""Notebook 09's checks on a live LAN: the solution passes, a wrong state is named."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest

from labkit import Lab
from labkit.lessons import macvlan as lesson
from tests.conftest import ROOT

LAN = (
    "docker network create -d macvlan --subnet 192.168.56.0/24 --gateway 192.168.56.1 "
    "--ip-range 192.168.56.192/28 -o parent=eth0 lan"
)
RUN = "docker run -d --name printer --network lan"
RIGHT = "--ip 192.168.56.200 --mac-address 02:00:00:00:00:c8"
SHIM = "ip address add 10.10.0.250/24 dev shim10; ip link set shim10 up"


def subinterface() -> str:
    """The commands with which the notebook makes eth0.10."""
    notebook = nbformat.read(ROOT / "notebooks" / "09-macvlan-and-ipvlan.ipynb", 4)
    source = next(c.source for c in notebook.cells if c.id == "vlan-eth010")
    names: dict[str, str] = {}
    exec(source.partition("\nlab.")[0], names)
    return names["SUBINTERFACE"]


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    with Lab(hosts=1, stations=1) as lab:
        lab.host1.read(subinterface())
        lab.host1.read(
            f"{LAN}; docker network create -d macvlan -o parent=eth0.10 --subnet 10.10.0.0/24 "
            "vlan10"
        )
        yield lab


@pytest.fixture
def empty(lan: Lab) -> Iterator[Lab]:
    yield lan
    lan.host1.read(
        "docker ps -aq | xargs -r docker rm -f; ip link del shim10 2> /dev/null;"
        "ip address flush dev eth0.10"
    )
    lesson.progress.restart()


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "there is no container named printer"),
        ("docker run -d --name printer nginx", "keep working", "printer is on bridge"),
        (f"{RUN} nginx", "keep working", "address is 192.168.56.192; the task asks for"),
        (f"{RUN} --ip 192.168.56.200 nginx", "keep working", "MAC address is 02:42"),
        (f"{RUN} {RIGHT} nginx true", "keep working", "printer exists and is not running"),
        (
            f"{RUN} {RIGHT} --cap-add NET_ADMIN nginx; docker exec printer ip link set eth0 down",
            "keep working",
            "station1 gets no answer",
        ),
        (lesson.printer.script, "correct", "192.168.56.200 at 02:00:00:00:00:c8"),
    ],
)
def test_printer(empty, steps, kind, says):
    empty.host1.read(f"{steps}; sleep 0.3")
    empty.station1.read("ip neighbour flush all")
    found = lesson.printer.check()
    assert says in found.message
    assert found.kind == kind


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "no interface of its own on eth0.10"),
        ("docker rm -f tagged", "still missing", "no container named tagged"),
        ("ip address add 10.10.0.250/24 dev eth0.10", "keep working", "it is the parent"),
        (
            f"ip link add shim10 link eth0 type macvlan mode bridge; {SHIM}",
            "keep working",
            "shim10 is a macvlan on eth0; tagged is on another",
        ),
        (
            f"ip link add shim10 link eth0.10 type macvlan mode private; {SHIM}",
            "keep working",
            "in mode private",
        ),
        ("ip link add shim10 link eth0.10 type macvlan mode bridge", "keep working", "is down"),
        (
            "ip link add shim10 link eth0.10 type macvlan mode bridge; ip link set shim10 up",
            "keep working",
            "has no address in 10.10.0.0/24",
        ),
        (lesson.vlan_shim.script, "correct", "by shim10, a macvlan on eth0.10"),
    ],
)
def test_vlan_shim(empty, steps, kind, says):
    empty.host1.read(f"docker run -d --name tagged --network vlan10 nginx; {steps}")
    found = lesson.vlan_shim.check()
    assert says in found.message
    assert found.kind == kind


def test_without_the_networks_the_checks_say_what_to_run_first():
    with Lab(hosts=1, stations=1):
        assert "create it as above" in lesson.printer.check().message
        assert "the section on 802.1Q first" in lesson.vlan_shim.check().message

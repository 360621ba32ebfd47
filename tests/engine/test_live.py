"""A lab host's changes are told, each kind of them, and live mode ends with nothing left."""

from __future__ import annotations

import queue
import threading

import pytest

from labkit import Lab
from labkit.errors import LabStopped
from labkit.host import Host
from labkit.live import Live

PATIENCE = 30  # seconds, for what takes a hundredth of one
IN_WEB = "nsenter --target $(docker inspect --format {{.State.Pid}} web) --net "


class Told:
    """The names of those who told of a change, as they came."""

    def __init__(self, host: Host) -> None:
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self.call = host.changes(lambda item: self._queue.put(item[1]))
        self.wait("ready")

    def wait(self, who: str) -> None:
        """Until that one has told something; queue.Empty if it never does."""
        while who not in self._queue.get(timeout=PATIENCE).decode().split():
            pass

    def forget(self) -> None:
        while not self._queue.empty():
            self._queue.get()


@pytest.fixture
def told(host):
    told = Told(host)
    yield told
    told.call.cancel()


@pytest.mark.parametrize(
    "command",
    [
        "ip link add one type bridge; ip link delete one",
        "ip address add 192.0.2.1/32 dev lo; ip address delete 192.0.2.1/32 dev lo",
        "ip -6 route add 2001:db8::/64 dev lo; ip -6 route delete 2001:db8::/64 dev lo",
        "ip neighbour add 192.168.56.99 lladdr 02:00:00:00:00:99 dev eth0;"
        " ip neighbour delete 192.168.56.99 dev eth0",
        "iptables -A INPUT -s 192.0.2.1 -j DROP; iptables -D INPUT -s 192.0.2.1 -j DROP",
        "nft add table ip mine; nft delete table ip mine",
    ],
)
def test_the_kernel_tells(command, host, told):
    told.forget()
    host.read(command)
    told.wait("kernel")


def test_the_kernel_tells_of_a_containers_namespace_too(host, told):
    host.run("nginx", name="web")
    host.read(IN_WEB + "true")
    told.forget()
    host.read(IN_WEB + "ip route add 192.0.2.0/24 dev eth0")
    told.wait("kernel")


def test_the_engine_tells_and_is_found_again_when_it_was_away(host, told):
    host.read("docker network create --driver null nothing 2>&1 || docker network create nothing")
    told.wait("engine")
    host.read("service docker stop")
    told.wait("engine")
    host.read("service docker start; docker network rm nothing")
    told.forget()
    host.read("docker network create nothing")
    told.wait("engine")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "labkit-live"]


def test_live_mode_calls_once_at_the_start_and_after_a_change_and_then_it_can_be_stopped(host):
    calls: queue.SimpleQueue = queue.SimpleQueue()
    ended: list[int] = []
    live = Live([host], lambda: calls.put(1), lambda: ended.append(1))
    calls.get(timeout=PATIENCE)
    host.run("nginx", name="web")
    calls.get(timeout=PATIENCE)
    live.stop()
    live.stop()
    assert threads() == []
    assert [call.cancelled() for call in live._calls] == [True]
    assert ended == []


def test_reading_the_network_is_no_change_to_it(host):
    calls: queue.SimpleQueue = queue.SimpleQueue()

    def changed() -> None:
        host.snapshot()
        calls.put(1)

    live = Live([host], changed)
    calls.get(timeout=PATIENCE)
    for _ in range(20):  # a neighbour's state may change by itself; what we do has no end
        try:
            calls.get(timeout=1)
        except queue.Empty:
            break
    else:
        pytest.fail("each reading is told as a change")
    live.stop()


def test_live_mode_ends_by_itself_when_the_lab_stops():
    gone, called = threading.Event(), threading.Event()
    with Lab(hosts=2) as lab:
        live = Live(lab.hosts, called.set, gone.set)
        assert called.wait(PATIENCE)
    assert gone.wait(PATIENCE)
    live._thread.join(PATIENCE)
    assert threads() == []
    with pytest.raises(LabStopped):
        Live(lab.hosts, called.set)
    assert threads() == []

"""A learner's mistakes each end in one clear sentence."""

import pytest

from labkit import Lab
from labkit.errors import EngineError, LabStopped, UsageError
from labkit.lab import current


@pytest.mark.parametrize("hosts", [0, -1, 1.5, "two", True, None])
def test_a_number_of_hosts_that_is_none(hosts):
    with pytest.raises(UsageError, match=r"hosts=.*give a whole number, 1 or more"):
        Lab(hosts=hosts)


def test_more_hosts_than_this_computer_has_room_for(monkeypatch):
    monkeypatch.setattr("labkit.machine.memory.available", lambda: 1 << 30)
    with pytest.raises(UsageError, match=r"hosts=50: the \w+ machine has room for 8 "):
        Lab(hosts=50).start()


def test_more_hosts_than_the_lan_has_addresses():
    with pytest.raises(UsageError, match="the LAN has room for 80"):
        Lab(hosts=81)


def test_an_engine_that_is_not_known():
    with pytest.raises(UsageError, match=r"19\.03.*26\.1"):
        Lab(engine="19.03").start()


def test_a_node_that_is_not_there(lab):
    with pytest.raises(UsageError, match=r"no 'host9'.*there are router, outside, host1"):
        lab.node("host9")
    with pytest.raises(AttributeError, match="host1"):
        _ = lab.host9


def test_an_image_that_is_not_there(host):
    with pytest.raises(UsageError, match=r"no image 'ngnix'; it has busybox:latest, nginx:latest"):
        host.run("ngnix")


def test_a_port_that_is_taken(host):
    host.run("nginx", name="first", publish="8080:80")
    with pytest.raises(UsageError, match=r"refused.*8080.*already allocated"):
        host.run("nginx", name="second", publish="8080:80")
    assert [c.name for c in host.docker.containers.list(all=True)] == ["first"]


def test_a_name_that_is_taken(host):
    host.run("busybox", name="first", command="sleep 1000")
    with pytest.raises(UsageError, match=r"refused.*already in use"):
        host.run("busybox", name="first")


def test_a_publish_that_is_no_port(host):
    with pytest.raises(UsageError, match="publish="):
        host.run("nginx", publish="a:b:c:d")


def test_a_network_that_is_not_there(host):
    with pytest.raises(UsageError, match=r"refused.*nowhere"):
        host.run("busybox", network="nowhere")
    assert host.docker.containers.list(all=True) == []


def test_an_engine_that_died(lab):
    host = lab.host2
    host.docker.ping()
    try:
        host.read("pkill -9 dockerd; while pgrep dockerd; do sleep 0.05; done; rm /run/docker.sock")
        with pytest.raises(
            EngineError, match=r"Docker Engine does not answer.*service docker start"
        ):
            host.run("busybox")
        with pytest.raises(Exception, match="service docker start"):
            host.docker.containers.list()
    finally:
        host.read("service docker start")
    assert host.docker.ping()


def test_a_lab_that_was_not_started():
    lab = Lab()
    with pytest.raises(LabStopped, match=r"lab\.start\(\)"):
        _ = lab.host1


def test_a_lab_that_was_stopped():
    lab = Lab().start()
    host = lab.host1
    host.docker.ping()
    lab.stop()
    lab.stop()
    uses = (lambda: host.sh("true"), lambda: host.docker, host.snapshot, lambda: host.run("nginx"))
    for use in uses:
        with pytest.raises(LabStopped, match=r"stopped; start one with Lab"):
            use()


def test_a_lab_started_twice(lab):
    with pytest.raises(UsageError, match=r"running already; lab\.stop\(\)"):
        lab.start()


def test_no_lab_is_running(monkeypatch):
    monkeypatch.setattr("labkit.lab._running", [])
    with pytest.raises(LabStopped, match="no lab is running; start one"):
        current()

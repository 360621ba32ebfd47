"""Notebook 10's checks on a live Swarm: the solution passes, a wrong state is named."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from labkit import Lab
from labkit.lessons import overlay as lesson

WEB = "docker service create -d --no-resolve-image --name web --endpoint-mode dnsrr --replicas 2"
SHORE = "docker service create -d --no-resolve-image --name shore"
DEPOT = "docker network create -d overlay --attachable --subnet 10.77.0.0/24 depot"
ON_HOST2 = "--endpoint-mode dnsrr --constraint node.hostname==host2"


@pytest.fixture(scope="module")
def swarm() -> Iterator[Lab]:
    with Lab(hosts=2) as lab:
        lab.host1.read("docker swarm init --advertise-addr 192.168.56.11")
        token = lab.host1.read("docker swarm join-token -q worker").strip()
        lab.host2.read(f"docker swarm join --token {token} 192.168.56.11:2377")
        lab.host1.read("docker network create -d overlay --attachable shared")
        yield lab


@pytest.fixture
def empty(swarm: Lab) -> Iterator[Lab]:
    """The Swarm with no container, service or network of a test."""
    yield swarm
    swarm.host1.read(
        "for n in host1 host2; do docker node update --availability active $n; done;"
        "docker service ls -q | xargs -r docker service rm; docker ps -aq | xargs -r docker rm -f;"
        "timeout 15 sh -c 'while docker network inspect depot; do"
        " docker network rm depot; sleep 0.2; done' > /dev/null 2>&1 || true"
    )
    lesson.progress.restart()


def verdict(exercise, seconds: float = 20):
    """What the check says once nothing is moving any more."""
    end = time.monotonic() + seconds
    while "in a moment" in (found := exercise.check()).message and time.monotonic() < end:
        time.sleep(0.2)
    return found


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "there is no service named web"),
        (
            f"{WEB} --constraint node.hostname==host1 nginx",
            "still missing",
            "both tasks of web run",
        ),
        (f"{WEB} --constraint node.hostname==host2 nginx", "keep working", "run on host2 now"),
        (f"{WEB} nginx; docker service scale -d web=3", "keep working", "web has 3 tasks"),
        (f"{WEB} nginx; docker service scale -d web=0", "keep working", "web has 0 tasks"),
        (
            f"docker node update --availability drain host2; {WEB} nginx",
            "keep working",
            "host2's availability is drain",
        ),
        (f"{WEB} nginx", "correct", "one on host1 and one on host2"),
    ],
)
def test_spread(empty, steps, kind, says):
    empty.host1.read(steps)
    found = verdict(lesson.spread)
    assert says in found.message
    assert found.kind == kind


def test_spread_with_a_host_down_names_the_host_and_then_is_solved(empty):
    empty.host1.read(f"docker swarm update --dispatcher-heartbeat 1s; {WEB} nginx")
    empty.host2.read("service docker stop")
    try:
        empty.host1.read("timeout 30 sh -c 'until docker node ls | grep Down; do sleep 0.1; done'")
        assert "host2 is down" in lesson.spread.check().message
    finally:
        empty.host2.read("service docker start")
    assert "both tasks of web run on host1" in verdict(lesson.spread).message
    assert lesson.spread.solve().kind == "correct"


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "no network named depot"),
        (
            "docker network create --subnet 10.77.0.0/24 depot",
            "keep working",
            "depot's driver is bridge: that network ends at host1",
        ),
        (
            "docker network create -d overlay --attachable depot",
            "keep working",
            "the task asks for 10.77.0.0/24",
        ),
        (
            "docker network create -d overlay --subnet 10.77.0.0/24 depot",
            "keep working",
            "not attachable",
        ),
        (DEPOT, "keep working", "there is no service named shore yet"),
        (
            f"{DEPOT}; docker run -d --name shore --network depot nginx",
            "keep working",
            "shore is a plain container",
        ),
        (
            f"{DEPOT}; {SHORE} {ON_HOST2} --network shared nginx",
            "keep working",
            "shore is not on the network depot",
        ),
        (
            f"{DEPOT}; {SHORE} --endpoint-mode dnsrr --network depot "
            "--constraint node.hostname==host1 nginx",
            "keep working",
            "(on host1); the task asks for one, on host2",
        ),
        (
            f"{DEPOT}; {SHORE} {ON_HOST2} --network depot nginx",
            "keep working",
            "no container named",
        ),
        (
            f"{DEPOT}; {SHORE} {ON_HOST2} --network depot nginx; docker run -d --name ship nginx",
            "keep working",
            "ship is on bridge",
        ),
        (lesson.ferry.script, "correct", "by name, over depot"),
    ],
)
def test_ferry(empty, steps, kind, says):
    empty.host1.read(steps)
    found = verdict(lesson.ferry)
    assert says in found.message
    assert found.kind == kind


def test_a_virtual_ip_is_right_only_where_the_kernel_can_balance(empty):
    empty.host1.read(lesson.ferry.script.replace("--endpoint-mode dnsrr", ""))
    found = verdict(lesson.ferry)
    if lesson.ferry.read().answers("balances"):
        assert found.kind == "correct"
    else:
        assert "this kernel can't serve it" in found.message


def test_without_a_swarm_the_checks_say_so():
    with Lab(hosts=1):
        assert "not a manager of a Swarm" in lesson.spread.check().message
        assert "not a manager of a Swarm" in lesson.ferry.check().message
